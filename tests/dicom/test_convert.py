"""Whole conversions of tiny studies: choices, labels, restarts, options, privacy."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conversions import dry, injected, pet_sidecar, run
from dicom_studies import C11_S, Mr, Person, Pet, write

from bidsapp.bids.raw_tables import participants
from bidsapp.data.tracer_file import using_tracer_file
from bidsapp.dicom.convert import ConversionReport, convert
from bidsapp.dicom.identity import pseudonym
from bidsapp.dicom.raw_root import list_participants
from bidsapp.errors import BadDataError, CannotCreateError, NoInputError, UsageError
from bidsapp.settings import DicomInput

ERIKA = Person()
SUB = f"sub-{pseudonym((ERIKA.patient_id, ERIKA.birth))}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An MPRAGE and a static florbetaben PET of Erika."""
    folder = tmp_path / "source"
    Mr().write(folder / "mr")
    Pet().write(folder / "pet")
    return folder


def targets(report: ConversionReport) -> dict[str, str]:
    """Description -> name below the participant."""
    return {row.description: Path(row.target).name.partition("_")[2] for row in report.rows}


def test_voxels_place_and_sidecar_of_a_tiny_study(source: Path, tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    report = run(source, bids)
    assert report.errors == [] and report.n_converted == 2
    image = nib.load(bids / SUB / "ses-01" / "pet" / f"{SUB}_ses-01_trc-FBB_pet.nii.gz")
    assert image.shape == (18, 20, 9, 4)
    last = list(Pet().datasets())[-1]
    x, y = 5, 7  # column, row
    point = np.array([-70.0 + 9 * x, -85.0 + 8 * y, 15.0 * 8 - 60]) * (-1, -1, 1)
    i, j, k = np.rint(np.linalg.inv(image.affine) @ [*point, 1])[:3].astype(int)
    expected = last.pixel_array[y, x] * float(last.RescaleSlope)
    assert image.dataobj[i, j, k, 3] == pytest.approx(expected, rel=1e-6)
    content = pet_sidecar(bids)
    assert content["ReconMethodParameterLabels"] == ["subsets", "iterations"]
    assert content["ReconMethodParameterValues"] == [21, 4]
    assert content["ReconMethodParameterUnits"] == ["none", "none"]
    assert (content["ReconFilterType"], content["ReconFilterSize"]) == ("XYZ Gaussian", 4)
    assert content["InjectedRadioactivity"] == 301.7
    assert content["InjectedVolume"] == 9.5
    assert (content["MolarActivity"], content["MolarActivityUnits"]) == (2.1e11, "Bq/umol")


def test_no_word_of_the_patient_is_written(tmp_path: Path) -> None:
    """The name also stands in the series description, where people type it."""
    source, bids = tmp_path / "source", tmp_path / "bids"
    Pet(description="FBB Mustermann MRN-4711 AC").write(source)
    Mr(description="t1_mprage erika").write(source)
    report = run(source, bids)
    assert report.n_converted == 2
    words = ["mustermann", "erika", "4711", "19480229", "hausarzt", "krankenhaus", "20210302"]
    for path in [p for p in bids.rglob("*") if p.is_file()]:
        content = path.read_bytes()
        if path.name.endswith(".nii.gz"):
            content = nib.load(path).header.binaryblock
        text = content.decode("latin-1").lower() + str(path.relative_to(bids)).lower()
        assert not [word for word in words if word in text], path
    assert "FBB *** AC" in report.rows[1].description + report.rows[0].description


def test_a_name_inside_a_word_of_ours_is_left_alone(tmp_path: Path) -> None:
    """Mrs Beta and florbetaben; a name that a number or an underscore follows still goes."""
    person = Person("Beta^Anna", "X10", "19480229")
    Pet(description="PET_BETA1 florbetaben anna_ac").write(tmp_path / "source", person)
    report = run(tmp_path / "source", tmp_path / "bids")
    assert report.rows[0].description == "PET_***1 florbetaben ***_ac"
    assert pet_sidecar(tmp_path / "bids")["TracerName"] == "[18F]florbetaben"


def test_label_is_the_same_in_every_run_and_tells_nothing(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Pet().write(other)
    assert {row.participant_id for row in dry(source).rows} == {SUB}
    assert {row.participant_id for row in dry(other).rows} == {SUB}
    assert pseudonym(("MRN-4712", ERIKA.birth)) != pseudonym(("MRN-4711", ERIKA.birth))


def test_same_identifier_with_two_birth_dates_is_two_people(source: Path) -> None:
    Pet().write(source / "twin", replace(ERIKA, birth="19990101"))
    assert len({row.participant_id for row in dry(source).rows}) == 2


def test_labels_from_folders_and_from_the_map(source: Path, tmp_path: Path) -> None:
    renamed = source.rename(tmp_path / "sub-07")
    assert {row.participant_id for row in dry(renamed).rows} == {"sub-07"}
    table = tmp_path / "map.tsv"
    table.write_text("patient_id\tparticipant_id\tsession_id\nMRN-4711\tsub-E1\tses-base\n")
    report = dry(renamed, label_map=table)
    assert all(row.target.startswith("sub-E1/ses-base/") for row in report.rows)
    table.write_text("PatientID\tParticipant ID\nMRN-4711\t002\n")
    assert {row.participant_id for row in dry(renamed, label_map=table).rows} == {"sub-002"}
    table.write_text("patient_id\tparticipant_id\nMRN-4711\tsub E1\n")
    with pytest.raises(BadDataError, match="line 2"):
        dry(renamed, label_map=table)


def test_what_is_stated_of_nobody_in_the_folder_is_told(source: Path, tmp_path: Path) -> None:
    table, metadata = tmp_path / "map.csv", tmp_path / "metadata.json"
    table.write_bytes(
        "PatientID;participant_id\r\n04711;1\r\nMRN-4711;2\r\nx;3\r\n".encode("utf-16")
    )
    metadata.write_text('{"*": {}, "sub-2": {}, "sub-02": {"InjectionTime": "09:00:00"}}')
    report = dry(source, label_map=table, metadata=metadata)
    assert {row.participant_id for row in report.rows} == {"sub-2"}
    of_metadata, of_map = report.remarks
    assert "nothing in this input is named sub-02," in of_metadata
    assert "patient_id and study_uid of line 2, 4," in of_map and "4711" not in of_map


def test_files_without_content_are_told(source: Path, tmp_path: Path) -> None:
    assert dry(source).remarks == []
    for path in (source / "pet").iterdir():
        path.write_bytes(b"")
    (source / ".done").write_bytes(b"")
    report = run(source, tmp_path / "bids")
    assert report.n_converted == 1 and report.errors == []
    (remark,) = report.remarks
    assert remark.startswith("36 files without content, first ") and "copy them" in remark
    shutil.rmtree(source / "mr")
    with pytest.raises(NoInputError, match=r"36 files examined; 36 files without content"):
        dry(source / "pet")


def test_one_image_of_another_person_in_a_series_is_told(source: Path, tmp_path: Path) -> None:
    path = sorted((source / "pet").iterdir())[7]
    image = pydicom.dcmread(path)
    image.PatientName, image.PatientID = "Beta^Anna", "MRN-0815"
    image.save_as(path)
    report = run(source, tmp_path / "bids")
    flags = pet_sidecar(tmp_path / "bids")["CentiPET"]["Flags"]
    messages = {flag["code"]: flag["message"] for flag in flags}
    assert "PatientID differs between series or images" in messages["identity"]
    assert not any("0815" in row.reason or "Anna" in row.reason for row in report.rows)


def test_a_map_with_two_names_for_one_patient_is_refused(source: Path, tmp_path: Path) -> None:
    table = tmp_path / "map.tsv"
    table.write_text("patient_id\tparticipant_id\nMRN-4711\t1\nMRN-4711\t1\nMRN-4711\t2\n")
    with pytest.raises(BadDataError, match="lines 2 and 4"):
        dry(source, label_map=table)


def test_map_that_gives_two_injections_one_name_is_refused(source: Path, tmp_path: Path) -> None:
    Pet(injection=datetime(2022, 4, 5, 9, 0)).write(source / "later")
    table = tmp_path / "map.tsv"
    table.write_text("patient_id\tparticipant_id\tsession_id\nMRN-4711\tsub-E1\tses-1\n")
    report = dry(source, label_map=table)
    assert len(report.errors) == 2 and "give other labels" in report.errors[0]


def test_sessions_are_injections_in_time_and_runs_parts_of_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    second = datetime(2022, 4, 5, 23, 50)
    Mr().write(source / "mr")
    Pet(description="first").write(source / "first")
    early = Pet(injection=second, frames=[(0, 60), (60, 300)], tracer="Vizamyl", description="e")
    early.write(source / "early")
    late = replace(early, frames=[(5400, 600), (6000, 600)], description="late")
    late.write(source / "late")
    Mr(acquired=datetime(2022, 3, 1), description="t1 second").write(source / "mr2")
    assert targets(dry(source)) == {
        "first": "ses-01_trc-FBB_pet",
        "e": "ses-02_trc-FMM_run-1_pet",
        "late": "ses-02_trc-FMM_run-2_pet",
        "t1_mprage": "ses-01_T1w",
        "t1 second": "ses-02_T1w",
    }


def test_the_t1w_nearest_in_time_comes_first(tmp_path: Path) -> None:
    source = tmp_path / "source"
    Mr(acquired=datetime(2018, 1, 1), description="old").write(source / "a")
    Mr(acquired=datetime(2021, 5, 1), description="new").write(source / "b")
    Mr(acquired=datetime(2021, 3, 3), description="km", contrast="Gadovist").write(source / "c")
    Pet().write(source / "pet")
    named = targets(dry(source))
    assert [named[name] for name in ("new", "old", "km")] == [
        *("ses-01_run-1_T1w", "ses-01_run-2_T1w", "ses-01_run-3_T1w"),
    ]  # fmt: skip


def test_t1ws_of_two_years_under_one_study_uid_are_of_two_visits(tmp_path: Path) -> None:
    for year in (2021, 2022):
        Mr(acquired=datetime(year, 2, 16, 9, 0)).write(tmp_path / "in" / f"mr{year}", study="1.2.3")
        Pet(injection=datetime(year, 3, 2, 10, 4, 30)).write(tmp_path / "in" / f"pet{year}")
    rows = dry(tmp_path / "in").rows
    targets = {row.target.partition("_")[2] for row in rows if row.kind == "T1w"}
    assert targets == {"ses-01_T1w", "ses-02_T1w"}


def test_clocks_of_two_consoles_do_not_part_one_injection(tmp_path: Path) -> None:
    """The early part says 2 min later than the late part; the early part is still run 1."""
    injection = datetime(2022, 4, 5, 9, 2)
    early = Pet(injection=injection, frames=[(0, 60), (60, 300)], description="early")
    late = Pet(injection=datetime(2022, 4, 5, 9, 0), description="late")
    early.write(tmp_path / "source" / "a")
    late.write(tmp_path / "source" / "b")
    assert targets(dry(tmp_path / "source")) == {
        "early": "ses-01_trc-FBB_run-1_pet",
        "late": "ses-01_trc-FBB_run-2_pet",
    }


def test_a_scan_that_fails_keeps_its_place_in_the_numbering(tmp_path: Path) -> None:
    source = tmp_path / "source"
    first = Pet(injection_tags="none", description="first")
    first.write(source / "first")
    Pet(injection=datetime(2022, 4, 5, 9, 0), description="second").write(source / "second")
    assert targets(dry(source))["second"] == "ses-02_trc-FBB_pet"
    stated = tmp_path / "stated.json"
    stated.write_text(json.dumps({"*": {"InjectionTime": "10:04:30"}}))
    report = dry(source, metadata=stated)
    assert targets(report)["first"] == "ses-01_trc-FBB_pet"
    second = next(row for row in report.rows if row.description == "second")
    assert "10:04:30 was used" in second.reason and "says 09:00:00" in second.reason


def test_what_was_made_among_the_dicom_is_no_input(source: Path) -> None:
    """The dataset, results and intermediate images of one run lie below the DICOM of the next."""
    bids, work = source / "bids", source / "work"
    first = run(source, bids)
    shutil.copytree(bids, source / "old" / "bids")
    shutil.copytree(bids / SUB, work / SUB)
    before = contents(bids)
    again = convert(DicomInput(source), bids, nprocs=1, passed_over=(work,))
    assert again.rows == first.rows and again.errors == []
    assert contents(bids) == before


def test_a_t1w_that_comes_later_is_no_longer_missed(tmp_path: Path) -> None:
    source, bids = tmp_path / "source", tmp_path / "bids"
    Pet().write(source / "pet")
    assert "no T1w of this person" in run(source, bids).rows[0].reason
    Mr().write(source / "mr")
    assert "no T1w" not in "".join(row.reason for row in run(source, bids).rows)


def test_an_older_scan_that_arrives_later_is_not_mixed_in(tmp_path: Path) -> None:
    source, bids = tmp_path / "source", tmp_path / "bids"
    Pet(injection=datetime(2022, 4, 5, 9, 0), tracer="Vizamyl").write(source / "second")
    assert run(source, bids).errors == []
    Pet().write(source / "first")
    report = run(source, bids)
    assert len(list(bids.rglob("*_trc-FMM_pet.nii.gz"))) == 1
    assert "sessions are numbered by date" in report.errors[0]


def test_two_reconstructions_of_one_scan_get_different_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    study = "1.2.3.4"  # two reconstructions of one scan
    write(source / "a", Pet(description="four").datasets(study=study))
    write(source / "b", Pet(frames=[(5400, 1200)], description="one").datasets(study=study))
    named = targets(dry(source))
    assert named["four"] != named["one"]
    assert "_rec-4framesOSEM3D4i21s" in named["four"] and "_rec-1frames" in named["one"]
    assert not any("_run-" in name for name in named.values())


def one_frame(**habits: object) -> Pet:
    return Pet(frames=[(5400, 1200)], **habits)


TOF = ("skipped", "angiography")


@pytest.mark.parametrize(
    ("series", "decision", "said"),
    [
        (Mr(description="t2_spc", sequence=("SE",), echo=409), "skipped", "echo time of 409"),
        (Mr(description="T2_FLAIR_3D", sequence=("SE", "IR"), echo=390), "skipped", "FLAIR"),
        (Mr(acquisition="2D", description="survey"), "skipped", "localizer"),
        (Mr(positions=tuple(range(20))), "skipped", "a whole brain"),
        (Mr(image_type=("DERIVED", "PRIMARY", "MPR")), "skipped", "DERIVED"),
        (Mr(description="SAG FSPGR BRAVO", sequence=("GR",), variant=("SP",)), "kept", "spoiled"),
        (Mr(sequence=(), variant=(), description="3D_T1_TFE"), "kept", "sequence tags are missing"),
        (Mr(description="SAG MPRAGE", protocol="BRAIN FLAIR DWI PERFUSION"), "kept", "MPRAGE"),
        (Mr(description="3D TOF", sequence=("GR",), variant=("SP",), repetition=22), *TOF),
        (Mr(description="swi", sequence=("GR",), echo=20, repetition=28), "skipped", "suscept"),
        (Mr(description="phase", image_type=("ORIGINAL", "PRIMARY", "P")), "skipped", "says P"),
        (one_frame(corrected=("NORM", "DECY")), "skipped", "lacks ATTN"),
        (one_frame(corrected=(), description="FBB NAC"), "skipped", "says NAC"),
        (one_frame(image_type=("DERIVED", "SECONDARY", "MIP")), "skipped", "MIP"),
        (one_frame(image_type=("DERIVED", "PRIMARY")), "skipped", "--include-derived"),
        (one_frame(n_slices=50), "skipped", "more than a head"),
        (one_frame(tracer="FDG -- fluorodeoxyglucose"), "skipped", "neither amyloid nor tau"),
        (one_frame(tracer="AV-1451"), "kept", "FTP"),
        (one_frame(tracer="[18F]MK6240", description="PET tau AC"), "kept", "MK6240"),
        (one_frame(tracer="Solution", description="APN-1607 dynamic"), "kept", "PMPBB3"),
        (one_frame(tracer="Solution", description="PET tau"), "error", "state it with --tracer"),
        (
            one_frame(tracer="Solution", study="Amyloid (AV45)", description="tau"),
            "error",
            "--tracer",
        ),
        (one_frame(tracer="Florbetaben", description="PET Tauvid"), "error", "different tracers"),
        (one_frame(tracer="Florbetaben", description="PET tau"), "error", "different tracers"),
        (one_frame(tracer="AV-1451", description="FDG"), "error", "different tracers"),
        (one_frame(tracer="Solution"), "error", "state it with --tracer"),
        (one_frame(tracer="Solution", description="PET AV45 AC"), "kept", "FBP"),
        (one_frame(tracer="Solution", study="Amyloid PET (NAV4694)"), "kept", "NAV"),
        (one_frame(tracer="FDG", description="AV45 AC"), "error", "different tracers"),
        (one_frame(tracer="Florbetaben", description="PET Amyvid"), "error", "different tracers"),
        (one_frame(nuclide="^11^Carbon"), "error", "names C11"),
        (one_frame(units="CNTS"), "error", "not calibrated activity"),
        (one_frame(units="GML"), "error", "PatientWeight"),
        (one_frame(description="Head_MRAC_PET AC Images"), "kept", "FBB"),
        (one_frame(description="PET umap"), "skipped", "attenuation"),
        (one_frame(units="1CM"), "skipped", "attenuation"),
        (one_frame(description="Transmission"), "skipped", "attenuation"),
        (one_frame(series_type="GATED"), "skipped", "phases"),
        (one_frame(corrected=("NORM,DTIM,ATTN,DECY",)), "kept", "FBB"),
        (
            one_frame(tracer="PIB", nuclide="^11^Carbon", half_life=C11_S, description="FBP"),
            "kept",
            "PIB",
        ),
        (one_frame(tracer="Solution", description="PET FBP 90-110"), "kept", "FBP"),
        (one_frame(tracer="Solution", description="PET FBP", method="3DRP"), "error", "--tracer"),
        (Mr(description="Head_MRAC_UMAP", step=2.9), "skipped", "attenuation map"),
        (Mr(description="t1_vibe_dixon_in", sequence=("GR",)), "skipped", "attenuation map"),
        (Mr(description="Acc Sag IR-FSPGR", sequence=("RM",), variant=("NONE",)), "kept", "T1"),
        (Mr(description="MPRAGE", acquisition=""), "kept", "MPRAGE"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.description[:12]}",
)
def test_what_is_kept_and_why(tmp_path: Path, series: Pet | Mr, decision: str, said: str) -> None:
    series.write(tmp_path / "source")
    (row,) = dry(tmp_path / "source").rows
    assert (row.decision, said in row.reason) == (decision, True), row


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Mr(step=2.5, spacing=9.0, positions=tuple(range(42))), "finer voxels (8.00 against 9.00"),
        (Mr(contrast="Gadovist"), "without contrast agent"),
        (Mr(image_type=("ORIGINAL", "PRIMARY", "M", "ND")), "intensity-normalised"),
        (Mr(image_type=("ORIGINAL", "PRIMARY", "M", "NORM")), "equally good"),
        (Mr(positions=tuple(range(35))), "more slices"),
        (Mr(image_type=("ORIGINAL", "PRIMARY", "M", "NORM"), description="echo"), "equally good"),
    ],
)
def test_best_t1w_of_a_study_is_chosen_with_its_reason(
    tmp_path: Path, other: Mr, said: str
) -> None:
    Mr().write(tmp_path / "source", study="1.2.3")
    replace(other, number=1).write(tmp_path / "source" / "b", study="1.2.3")
    rows = dry(tmp_path / "source").rows
    kept = [row for row in rows if row.decision == "kept"]
    (left,) = [row for row in rows if row.decision == "skipped"]
    assert len(kept) == 1
    assert said in left.reason
    if "equally" not in said:
        assert (kept[0].series, left.series) == ("2", "1")


def test_combined_echoes_are_preferred(tmp_path: Path) -> None:
    Mr(description="memprage echo").write(tmp_path / "source", study="1.2.3")
    rms = ("ORIGINAL", "PRIMARY", "OTHER", "ND", "NORM", "MEAN")
    Mr(description="memprage RMS", image_type=rms).write(tmp_path / "source" / "b", study="1.2.3")
    decisions = {row.description: row for row in dry(tmp_path / "source").rows}
    assert decisions["memprage RMS"].decision == "kept"
    assert "combines all echoes" in decisions["memprage echo"].reason


def test_people_without_identifier_stay_apart_by_name_and_study(tmp_path: Path) -> None:
    for name, folder in (("A^One", "a"), ("B^Two", "b"), ("", "c"), ("", "d")):
        Pet(n_slices=7, step=20).write(tmp_path / "source" / folder, Person(name, "", ""))
    assert len({row.participant_id for row in dry(tmp_path / "source").rows}) == 4


def test_doubts_about_the_person_are_told(tmp_path: Path) -> None:
    """Order and case of a name may vary between scanners; another name may not."""
    source = tmp_path / "sub-1"
    Mr().write(source / "mr", replace(ERIKA, name="ERIKA MUSTERMANN"))
    Pet().write(source / "pet")
    assert not any("differs" in row.reason for row in dry(source).rows)
    Mr(description="other").write(source / "other", replace(ERIKA, name="Muster^Max"))
    reasons = [row.reason for row in dry(source).rows if row.decision == "kept"]
    assert all("PatientName differs" in reason for reason in reasons)


def test_two_reconstructions_in_one_series_are_told_apart(tmp_path: Path) -> None:
    """The NAC beside the AC under one SeriesInstanceUID."""
    datasets = [*Pet().datasets(), *Pet(corrected=("NORM", "DECY")).datasets()]
    for data in datasets:
        data.SeriesInstanceUID = "1.2.3"
    write(tmp_path / "source", iter(datasets))
    report = run(tmp_path / "source", tmp_path / "bids")
    assert report.errors == []
    assert sorted((row.kind, row.decision) for row in report.rows) == [
        ("PET", "kept"),
        ("PET without attenuation correction", "skipped"),
    ]


def test_copies_under_other_instance_uids_count_once(tmp_path: Path) -> None:
    datasets = list(Pet().datasets())
    copies = list(Pet().datasets())[9:18]
    for copy, original in zip(copies, datasets[9:18], strict=True):
        copy.StudyInstanceUID = original.StudyInstanceUID
        copy.SeriesInstanceUID = original.SeriesInstanceUID
    write(tmp_path / "source", iter([*datasets, *copies]))
    report = run(tmp_path / "source", tmp_path / "bids")
    assert report.errors == []
    assert "9 images were exported twice" in report.rows[0].reason
    assert pet_sidecar(tmp_path / "bids")["FrameTimesStart"] == [5400, 5700, 6000, 6300]


def test_a_count_that_is_no_number_is_named(tmp_path: Path) -> None:
    datasets = list(Pet().datasets())
    for data in datasets:
        value = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(0x00540101), "UT", 3, b"nan", 0, False, True
        )
        data[0x00540101] = value
    write(tmp_path / "source", iter(datasets))
    (error,) = dry(tmp_path / "source").errors
    assert "NumberOfTimeSlices is 'nan'" in error and "unexpected" not in error


def test_frames_missing_from_the_export_are_told(tmp_path: Path) -> None:
    paths = Pet().write(tmp_path / "source")
    for path in paths[9:18]:
        path.unlink()
    run(tmp_path / "source", tmp_path / "bids")
    (flag,) = pet_sidecar(tmp_path / "bids")["CentiPET"]["Flags"]
    assert flag["code"] == "frames-missing"
    assert "NumberOfTimeSlices says 4, but 3 frames were found" in flag["message"]


@pytest.mark.parametrize("lost", range(4))
def test_a_hole_in_time_is_told_without_any_count(tmp_path: Path, lost: int) -> None:
    """A frame at the end leaves no hole."""
    datasets = list(Pet().datasets())
    for data in datasets:
        del data.NumberOfTimeSlices
    write(tmp_path / "source", iter(datasets[: 9 * lost] + datasets[9 * lost + 9 :]))
    (row,) = dry(tmp_path / "source").rows
    start = 5400 + 300 * lost
    assert (f"no frame covers {start} to {start + 300} s" in row.reason) == (lost in (1, 2))


def test_a_pause_between_two_windows_is_no_hole(tmp_path: Path) -> None:
    Pet(frames=[(0, 600), (600, 600), (5400, 600), (6000, 600)]).write(tmp_path / "source")
    (row,) = dry(tmp_path / "source").rows
    assert row.decision == "kept" and "no frame covers" not in row.reason


@pytest.mark.parametrize("gone", [slice(0, 1), slice(8, 9), slice(0, 2)])
def test_slices_missing_at_an_end_of_a_pet_are_flagged(tmp_path: Path, gone: slice) -> None:
    datasets = list(Pet().datasets())
    places = sorted({float(data.ImagePositionPatient[2]) for data in datasets})
    left = [d for d in datasets if float(d.ImagePositionPatient[2]) not in places[gone]]
    write(tmp_path / "source", iter(left))
    run(tmp_path / "source", tmp_path / "bids")
    (flag,) = pet_sidecar(tmp_path / "bids")["CentiPET"]["Flags"]
    assert flag["code"] == "slices-missing"
    n_left = 9 - len(places[gone])
    assert f"NumberOfSlices says 9, but {n_left} slices were found" in flag["message"]


def test_parts_of_a_scan_state_the_frames_of_the_part_or_of_the_whole(tmp_path: Path) -> None:
    """One series per frame; a part that is lost leaves a hole, or a count, that is told."""
    for stated in (1, 4):
        datasets = list(Pet().datasets())
        for number, data in enumerate(datasets):
            data.SeriesInstanceUID += f".{number // 9}"
            data.SeriesNumber, data.NumberOfTimeSlices = 4 + number // 9, stated
        for lost, flagged in ((slice(0), False), (slice(27, 36), stated == 4)):
            left = [data for data in datasets if data not in datasets[lost]]
            place = tmp_path / f"{stated}-{flagged}-{lost.start}"
            write(place, iter(left))
            rows = dry(place).rows
            assert [row.decision for row in rows] == ["kept"] + ["joined"] * (len(left) // 9 - 1)
            assert ("frames were found" in rows[0].reason) == flagged, rows[0].reason


TWO = ("bids", "expected")


def test_frames_are_ordered_by_time_whatever_their_numbers(tmp_path: Path) -> None:
    def reversed_numbers():
        for data in (datasets := list(Pet().datasets())):
            data.InstanceNumber = len(datasets) + 1 - data.InstanceNumber
            data.ImageIndex = data.InstanceNumber
            yield data

    write(tmp_path / "source", reversed_numbers())
    report = run(tmp_path / "source", tmp_path / "bids")
    assert report.errors == []
    assert pet_sidecar(tmp_path / "bids")["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    Pet().write(tmp_path / "plain")
    run(tmp_path / "plain", tmp_path / "expected")
    images = [nib.load(next(d.rglob("*.nii.gz"))) for d in map(tmp_path.joinpath, TWO)]
    assert np.array_equal(images[0].affine, images[1].affine)
    np.testing.assert_allclose(images[0].get_fdata(), images[1].get_fdata(), rtol=1e-6)


def test_dates_removed_by_anonymisation(tmp_path: Path) -> None:
    """Times of day are kept, dates are gone; the injection before midnight is still right."""

    def without_dates():
        for data in Pet(injection=datetime(2021, 3, 2, 23, 10)).datasets():
            for kind in ("Study", "Series", "Acquisition"):
                delattr(data, f"{kind}Date")
            yield data

    write(tmp_path / "source", without_dates())
    report = run(tmp_path / "source", tmp_path / "bids")
    assert report.errors == []
    content = pet_sidecar(tmp_path / "bids")
    assert (content["TimeZero"], content["ScanStart"]) == ("23:10:00", 5400)


def test_distant_t1w_is_told(tmp_path: Path) -> None:
    Mr(acquired=datetime(2018, 1, 1)).write(tmp_path / "source")
    Pet().write(tmp_path / "source" / "pet")
    rows = {row.kind: row for row in dry(tmp_path / "source").rows}
    assert "more than a year" in rows["PET"].reason


def test_missing_slices(tmp_path: Path) -> None:
    """One slice of a T1w is interpolated where it was; of a PET, or many, never."""
    source, bids = tmp_path / "source", tmp_path / "bids"
    whole = Mr(positions=tuple(range(60)), step=2.0)
    replace(whole, positions=(*range(20), *range(21, 60))).write(source / "t1")
    report = run(source, bids)
    assert "1 missing slice interpolated" in report.rows[0].reason
    before = contents(bids)
    assert run(source, bids).rows == report.rows and contents(bids) == before
    image = nib.load(next(bids.rglob("*_T1w.nii.gz")))
    assert sorted(image.shape) == [22, 24, 60]
    pixels = [data.pixel_array.astype(float) for data in whole.datasets()]
    axis = int(np.argmax(np.abs(image.affine[0, :3])))  # slices run from right to left
    volume = np.moveaxis(image.get_fdata(), axis, 0)
    x = image.affine[0, axis] * np.arange(60) + image.affine[0, 3]
    means = volume.mean(axis=(1, 2))
    for index, picture in enumerate(pixels):
        where = int(np.argmin(np.abs(x - -(2.0 * index - 75.0))))
        if index != 20:
            assert means[where] == pytest.approx(picture.mean())
        else:
            neighbours = (pixels[19] + pixels[21]) / 2
            assert means[where] == pytest.approx(neighbours.mean(), abs=0.5)

    paths = Pet(frames=[(5400, 600)]).write(tmp_path / "pet")
    paths[4].unlink()
    assert "1 of 9 slices are missing" in dry(tmp_path / "pet").errors[0]
    replace(whole, positions=(*range(20), *range(30, 60))).write(tmp_path / "many")
    assert "10 of 60 slices are missing" in dry(tmp_path / "many").errors[0]


def test_doubled_export_counts_once(source: Path) -> None:
    for path in sorted((source / "pet").iterdir()):
        path.with_name(f"copy_{path.name}").write_bytes(path.read_bytes())
    assert [row.files for row in dry(source).rows if row.kind == "PET"] == [36]


def test_options_state_what_the_headers_do_not(source: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    Pet(injection_tags="none", tracer="Solution").write(bare)
    assert "--tracer" in dry(bare).errors[0]
    assert "InjectionTime" in dry(bare, tracer="FBB").errors[0]
    stated = tmp_path / "metadata.json"
    content = {"*": {"InjectionTime": "10:04:30", "AcquisitionMode": "list mode",
                     "InjectedRadioactivity": 250}}  # fmt: skip
    stated.write_text(json.dumps(content))
    report = run(bare, tmp_path / "bids", tracer="NAV4694", metadata=stated)
    assert report.errors == []
    found = pet_sidecar(tmp_path / "bids")
    assert found["TimeZero"] == "10:04:30" and found["ScanStart"] == 5400
    assert found["AcquisitionMode"] == "list mode"
    assert (found["InjectedRadioactivity"], found["InjectedRadioactivityUnits"]) == (250, "MBq")
    assert found["CentiPET"]["Sources"]["AcquisitionMode"].startswith("stated")
    assert found["CentiPET"]["Sources"]["TracerName"] == "stated by the user (--tracer)"
    assert "_trc-NAV_" in report.rows[0].target


@pytest.mark.parametrize(
    "content",
    [
        {"TimeZero": "10:04:30"},
        {"TimeZero": "10:04:00", "InjectionStart": 30},
        {"*": {"InjectionTime": "08:00:00"}, SUB: {"InjectionTime": "2021-03-02T10:04:30"}},
    ],
)
def test_ways_to_state_the_injection(source: Path, tmp_path: Path, content: dict) -> None:
    Pet(injection_tags="none").write(tmp_path / "bare")
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(content))
    assert run(tmp_path / "bare", tmp_path / "bids", metadata=path).errors == []
    found = pet_sidecar(tmp_path / "bids")
    assert (found["TimeZero"], found["InjectionStart"]) == ("10:04:30", 0)
    assert found["FrameTimesStart"][0] == 5400


@pytest.mark.parametrize("tracer", ["FDG", "Florbetaben", "Vizamyl", "Solution", "Tauvid"])
def test_the_tracer_of_all_scans_makes_no_amyloid_scan_of_another(
    tmp_path: Path, tracer: str
) -> None:
    Pet(tracer=tracer).write(tmp_path / "in")
    (row,) = dry(tmp_path / "in", tracer="FBB").rows
    assert row.decision == ("skipped" if tracer == "FDG" else "kept")
    assert ("[18F]flutemetamol" in row.reason) == (tracer == "Vizamyl")
    assert ("FTP" in row.reason) == (tracer == "Tauvid")
    (row,) = dry(tmp_path / "in", tracer="flortaucipir").rows
    assert ("FTP" in row.reason) == (tracer in ("Tauvid", "Solution"))
    stated = tmp_path / "stated.json"
    stated.write_text(json.dumps({"*": {"Tracer": "FBB"}}))
    (row,) = dry(tmp_path / "in", metadata=stated).rows
    assert row.decision == "kept"


def test_screenshots_and_reports_of_a_scanner_are_no_errors(source: Path) -> None:
    """They carry the modality of the scan, but no place in space."""
    secondary = "1.2.840.10008.5.1.4.1.1.7"
    for number, (images, uid) in enumerate([(Pet, secondary), (Mr, "1.2.840.10008.5.1.4.1.1.66")]):
        data = next(iter(images().datasets()))
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid
        del data.ImagePositionPatient, data.ImageOrientationPatient
        write(source / f"no_image{number}", iter([data]))
    report = dry(source)
    assert report.errors == []
    assert sum("image in space" in row.reason for row in report.rows) == 2


def test_date_without_a_time_is_no_time_of_injection(source: Path) -> None:
    """(0018,1078) may hold a date alone; (0018,1072) has the time then."""
    datasets = list(Pet(injection_tags="time").datasets())
    for data in datasets:
        item = injected(data)
        item.RadiopharmaceuticalStartDateTime = "20210302"
    write(source / "in", iter(datasets))
    report = dry(source / "in")
    assert report.errors == [] and report.rows[0].decision == "kept"


def test_an_archive_may_be_given_itself(source: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "sub-09"), "gztar", source)
    report = run(Path(archive), tmp_path / "bids")
    assert report.errors == [] and report.n_converted == 2
    assert {row.participant_id for row in report.rows} == {"sub-09"}  # the name of the archive
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(NoInputError, match="folder or archive"):
        dry(tmp_path / "notes.txt")


def test_unknown_tracer_option(source: Path) -> None:
    with pytest.raises(UsageError, match="FBB, FBP"):
        dry(source, tracer="unobtainium")


def test_interrupted_conversion_is_completed(source: Path, tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    run(source, bids)
    images = sorted(bids.rglob("*.nii.gz"))
    before = {path: path.read_bytes() for path in images}
    images[0].unlink()  # killed between sidecar and image
    assert run(source, bids).errors == []
    assert {path: path.read_bytes() for path in images} == before


def test_existing_files_are_never_overwritten(source: Path, tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    run(source, bids)
    image = next(bids.rglob("*_pet.nii.gz"))
    side = next(bids.rglob("*_pet.json"))
    side.write_text('{"made": "by somebody else"}')
    image.write_bytes(b"mine")
    (bids / "participants.tsv").write_text(f"participant_id\tage\n{SUB}\t73\n")
    (bids / "dataset_description.json").write_text('{"Name": "mine"}')
    report = run(source, bids)
    assert "never overwritten" in report.errors[0]
    assert report.n_converted == 1
    assert image.read_bytes() == b"mine" and "somebody" in side.read_text()
    assert "73" in (bids / "participants.tsv").read_text()
    assert "mine" in (bids / "dataset_description.json").read_text()


def test_new_participant_joins_the_table(source: Path, tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    bids.mkdir()
    (bids / "participants.tsv").write_text("participant_id\tage\nsub-x\t73\n")
    run(source, bids)
    assert (
        bids / "participants.tsv"
    ).read_text() == f"participant_id\tage\nsub-x\t73\n{SUB}\tn/a\n"


def test_dates_are_kept_when_asked_for_and_only_then(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "without")
    assert not list((tmp_path / "without").rglob("*_scans.tsv"))
    for _ in range(2):  # the second run adds nothing
        run(source, tmp_path / "with", keep_dates=True)
    (table,) = (tmp_path / "with").rglob("*_scans.tsv")
    rows = dict(line.split("\t") for line in table.read_text().splitlines())
    assert rows == {
        "filename": "acq_time",
        f"pet/{SUB}_ses-01_trc-FBB_pet.nii.gz": "2021-03-02T11:34:30",
        f"anat/{SUB}_ses-01_T1w.nii.gz": "2021-02-16T09:00:00",
    }


def test_where_the_dataset_goes(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CannotCreateError, match="--converted-dir"):
        run(source, blocked / "bids")
    report = run(source, blocked / "bids", converted_dir=tmp_path / "elsewhere")
    assert report.bids_dir == tmp_path / "elsewhere" and report.n_converted == 2


def test_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NoInputError, match="1 file examined"):
        dry(tmp_path)
    with pytest.raises(NoInputError, match="no such folder"):
        dry(tmp_path / "missing")


def test_one_broken_series_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    Pet(injection=datetime(2020, 1, 1), injection_tags="none").write(source / "broken")
    report = run(source, tmp_path / "bids")
    assert report.n_converted == 2
    assert len(report.errors) == 1 and "(0018,1078)" in report.errors[0]


def test_a_fault_of_ours_in_one_series_is_told_and_the_others_convert(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bidsapp.dicom.decide.about_images", broken)
    report = run(source, tmp_path / "bids")
    assert report.n_converted == 1
    assert "unexpected ZeroDivisionError" in report.errors[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from bidsapp.settings import DicomInput
from bidsapp.dicom.convert import convert

left, rename = int(sys.argv[3]), Path.replace
def replace(self, target):
    global left
    left -= 1
    if left < 0:  # the file is written under its temporary name only
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.replace = replace
convert(DicomInput(Path(sys.argv[1])), Path(sys.argv[2]), nprocs=1)
"""


@pytest.mark.parametrize(
    "renames", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 4, 5, 6))]
)
def test_killed_at_any_write_and_run_again_gives_the_same_dataset(
    source: Path, tmp_path: Path, renames: int
) -> None:
    """Killed before the n-th file gets its name: nothing half-written is taken for finished."""
    bids, whole = tmp_path / "bids", tmp_path / "whole"
    run(source, whole)
    command = [sys.executable, "-c", KILLED, str(source), str(bids), str(renames)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    for name, content in contents(bids).items():
        assert ".tmp" in name or ".new" in name or content == contents(whole)[name]
    assert run(source, bids).errors == []
    left = {name: c for name, c in contents(bids).items() if not Path(name).name.startswith(".")}
    assert left == contents(whole)
    assert not list(bids.rglob("sub-*/**/.*"))


def test_files_that_a_power_failure_left_empty_are_written_again(
    source: Path, tmp_path: Path
) -> None:
    bids = tmp_path / "bids"
    run(source, bids)
    whole = contents(bids)
    for name in whole:
        (bids / name).write_bytes(b"")
    assert run(source, bids).errors == []
    assert contents(bids) == whole


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_tracers_of_the_user_are_converted_as_those_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        '[tracers.FC119S]\nname = "[18F]FC119S"\nsynonyms = []\nradionuclide = "F18"\n'
        'window_min = [30, 60]\n[tracers.QZ41]\nname = "[11C]QZ-41"\nradionuclide = "C11"\n'
        'synonyms = ["qualizetaben"]\nwindow_min = [40, 60]\n'
    )
    source, carbon = tmp_path / "source", {"nuclide": "^11^Carbon", "half_life": C11_S}
    Pet(tracer="Alzavue (florapronol F18)", description="one").write(source / "one")
    Pet(tracer="Solution", description="Qualizetaben AC", **carbon).write(source / "two")
    Pet(tracer="[11C]QZ 41", description="three").write(source / "three")  # with the life of F18
    Pet(description="four").write(source / "four")
    said = {row.description: row for row in dry(source).rows}
    assert said["one"].decision == "error" and "--tracer-file" in said["one"].reason
    with pytest.raises(UsageError, match="--tracer-file"):
        dry(source, tracer="QZ41")
    with using_tracer_file(file):
        report = run(source, tmp_path / "bids")
    rows = {row.description.split()[0]: row for row in report.rows}
    decided = {name: (row.decision, row.target[-15:]) for name, row in rows.items()}
    assert decided["one"] == ("kept", "_trc-FC119S_pet")
    assert decided["Qualizetaben"][0] == "kept" and "trc-QZ41" in rows["Qualizetaben"].target
    assert decided["three"][0] == "error" and "that of C11" in rows["three"].reason
    assert decided["four"][0] == "kept" and "trc-FBB" in rows["four"].target
    (path,) = (tmp_path / "bids").rglob("*trc-QZ41*_pet.json")
    content = json.loads(path.read_text())
    assert (content["TracerName"], content["TracerRadionuclide"]) == ("[11C]QZ-41", "C11")


def test_people_are_added_to_a_table_that_a_spreadsheet_has_saved(tmp_path: Path) -> None:
    table = tmp_path / "participants.tsv"
    table.write_bytes(b"\xef\xbb\xbfparticipant_id\tage\r\nsub-1\t70\r\n")
    list_participants(tmp_path, ["1", "2"])
    assert participants(tmp_path).rows == {"sub-1": {"age": "70"}, "sub-2": {"age": "n/a"}}
    for text in ("participant_id;age\nsub-1;70\n", "participant_id\tort\nsub-1\tKöln\n"):
        content = text.encode("latin-1")
        table.write_bytes(content)
        with pytest.raises(BadDataError, match="not a tab-separated table in UTF-8"):
            list_participants(tmp_path, ["2"])
        assert table.read_bytes() == content


def test_sessions_without_dates_are_in_no_order(tmp_path: Path) -> None:
    for hour in (10, 14):
        datasets = list(Pet(injection=datetime(2021, 3, 2, hour, 4, 30)).datasets(ERIKA))
        for data in datasets:
            data.StudyDate = data.SeriesDate = data.AcquisitionDate = ""
            del injected(data).RadiopharmaceuticalStartDateTime
        write(tmp_path / "in" / str(hour), datasets)
    rows = dry(tmp_path / "in").rows
    assert len(rows) == 2
    assert all("order of the sessions of this participant is arbitrary" in r.reason for r in rows)
