"""Images of the public archive, of a table of paths, of BIDS: whose they are and what they show."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import Mr, Pet
from synthetic_records import finished_record
from synthetic_records import write as write_record

from bidsapp.bids.layout import check_dataset
from bidsapp.bids.pet_metadata import read_timing
from bidsapp.calibrate.archive import find_images
from bidsapp.calibrate.raw_images import Expected, expected_of_bids, measured, write_dataset
from bidsapp.cli.calibrate import main
from bidsapp.errors import BadDataError, ExitCode, NoInputError, UsageError


def image(path, shape=(4, 4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)).to_filename(path)
    return path


def archive(root, *names):
    for name in names:
        image(root / name)
    return root


def scans(root, **options):
    return [
        (s.person, s.is_young, s.tracer, s.pet.name, s.t1w.name)
        for s in find_images(root, root / "converted", **options)[0]
    ]


def test_the_archive_of_level1_as_unpacked(tmp_path):
    root = archive(
        tmp_path,
        "AD-100_PET_5070/nifti/AD01_PiB_5070.nii",
        "AD-100_MR/nifti/AD01_MR.nii",
        "YC-0_PET_5070/YC-0_PET_5070/nifti/YC101_PiB_5070.nii",  # unpacked into its own folder
        "YC-0_MR/nifti/YC101_MR.nii",
        "Centiloid_Std_VOI/nifti/2mm/voi_ctx_2mm.nii",
    )
    assert scans(root) == [
        ("AD01", False, "PIB", "AD01_PiB_5070.nii", "AD01_MR.nii"),
        ("YC101", True, "PIB", "YC101_PiB_5070.nii", "YC101_MR.nii"),
    ]


def test_archives_of_level2(tmp_path):
    root = archive(
        tmp_path,
        "FBBproject_E-25_FBB_90110/NIfTI/1008.nii",
        "FBBproject_E-25_PiB_5070/NIfTI/1008.nii",
        "FBBproject_E-25_MR/NIfTI/1008.nii",
        "FBP/Young_Control_florbetapir/101437_AV45_AC.nii.gz",
        "FBP/Young_Control_PiB/101437_PiB3_AC.nii.gz",
        "FBP/Young_Control_MRI/101437_MR1.nii.gz",
        "GE_AD_F18_NIFTI/AD_100_F18.nii",
        "GE_AD_C11_NIFTI/AD_100_C11.nii",
        "GE_AD_MRI_NIFTI/AD_100_MRI.nii",
        "YC-10_NAV_5070/Y1002_NAV4694_5070.nii",
        "YC-10_MR/Y1002_MR.nii",
    )
    found = [(person, young, tracer) for person, young, tracer, *_ in scans(root)]
    assert found == [
        ("1008", False, "FBB"), ("1008", False, "PIB"),
        ("101437", True, "FBP"), ("101437", True, "PIB"),
        ("AD100", False, "FMM"), ("AD100", False, "PIB"),
        ("Y1002", True, "NAV"),
    ]  # fmt: skip


def test_the_archive_of_florbetapir_as_exported(tmp_path):
    """Folders as XNAT exports them, names of the archive, frames as series of their own."""
    pet = Pet(frames=((3000.0, 300.0),))
    folders = {
        "Elder_subject_florbetapir/291467/scans/510007/DICOM": pet,
        "Elder_subject_PiB/PiB-291467/scans/510003/DICOM": pet,
        "Elder_subject_PiB/PiB-291467/scans/510004/DICOM": pet,
        "Elder_subject_MRI/291467_mr/scans/12/DICOM": Mr(),
        "Young_Control_florbetapir/411884/411884/scans/4/DICOM": pet,
        "Young_Control_PiB/411884_PiB3_AC/4118844_PiB3_AC/scans/4/DICOM": pet,
        "Young_Control_MRI/411884_MR/scans/4/DICOM": Mr(),
        "Young_Control_PiB/296898_PiB_7_8_2016_13_45_27/scans/4/DICOM": pet,
    }
    for folder, series in folders.items():
        series.write(tmp_path / "archive" / folder)
    found, suspects = find_images(tmp_path / "archive", tmp_path / "converted")
    assert [(scan.person, scan.tracer, scan.is_young, scan.n_series) for scan in found] == [
        ("291467", "FBP", False, 1), ("291467", "PIB", False, 2),
        ("411884", "FBP", True, 1), ("411884", "PIB", True, 1),
    ]  # fmt: skip
    one, two = nib.load(found[0].pet), nib.load(found[1].pet)
    assert two.shape == (*one.shape, 2)
    assert np.allclose(two.dataobj[..., 1], one.dataobj) and np.allclose(two.affine, one.affine)
    assert {s.people[0]: s.code for s in suspects} == {
        "291467": "several-series", "296898": "no-t1w"
    }  # fmt: skip


def test_folders_of_people_may_lie_in_others_with_numbers(tmp_path):
    root = archive(tmp_path / "GAAIN_2018", "download_2/P3/MR/vol.nii", "download_2/P3/PiB/vol.nii")
    for person in ("P1", "P2"):
        Mr().write(root / person / "MR")
        Pet().write(root / "2019" / person / "PiB")
    found, suspects = find_images(root, tmp_path / "converted")
    assert [(scan.person, scan.tracer) for scan in found] == [
        ("P1", "PIB"), ("P2", "PIB"), ("P3", "PIB")
    ]  # fmt: skip
    assert not suspects


def test_dicom_of_what_there_is_as_nifti_is_left_alone(tmp_path):
    root = archive(
        tmp_path / "archive",
        "AD-100_PET_5070/nifty/AD01_PiB_5070.nii",
        "AD-100_MR/nifti/AD01_MR.nii",
        "AD-100_MR/nifti/AD10_MR.nii",
        "AD-100_MR/nifti/AD11_MR.nii",
    )
    for person in ("AD01", "AD10", "AD11"):
        Pet().write(root / "AD-100_PET_5070" / "dicom" / person)
    for file in (root / "AD-100_PET_5070" / "dicom" / "AD11").iterdir():
        file.write_bytes(bytes(128) + b"DICM")  # cut
    found, suspects = find_images(root, tmp_path / "converted", only_pib=True)
    assert [(scan.person, scan.pet.name.split(".")[0]) for scan in found] == [
        ("AD01", "AD01_PiB_5070"), ("AD10", "AD-100_PET_5070--dicom--AD10")
    ]  # fmt: skip
    (unread,) = suspects
    assert (unread.people, unread.code) == (("AD11",), "unreadable")


def test_f18_without_a_tracer_is_asked_for(tmp_path):
    root = archive(tmp_path, "F18/P1_F18.nii", "PiB/P1_PiB.nii", "MR/P1_MR.nii")
    with pytest.raises(UsageError, match="--tracer"):
        find_images(root, root / "c")
    assert {s[2] for s in scans(root, tracer="florbetaben")} == {"FBB", "PIB"}


def test_a_tracer_that_no_image_has_is_told(tmp_path):
    root = archive(tmp_path, "FBP/P1_AV45.nii", "PiB/P1_PiB.nii", "MR/P1_MR.nii")
    with pytest.raises(BadDataError, match="--tracer FBB fits no image, names say FBP, PIB"):
        find_images(root, root / "c", tracer="FBB")
    assert {s[2] for s in scans(root, tracer="florbetapir")} == {"FBP", "PIB"}


def test_a_table_of_paths_contradicts_another_tracer(tmp_path):
    image(tmp_path / "x.nii")
    table = tmp_path / "paths.tsv"
    table.write_text("person\ttracer\tpet\tt1w\nP1\tFBP\tx.nii\tx.nii\n")
    with pytest.raises(BadDataError, match="P1: tracer 'FBP' contradicts --tracer FBB"):
        find_images(table, tmp_path / "c", tracer="FBB")


def test_what_an_earlier_run_made_in_the_archive_does_not_count(tmp_path):
    own = ("cal/work/P1_PiB.nii", "cal/bids/P1_MR.nii")
    root = archive(tmp_path, "PiB/P1_PiB.nii", "MR/P1_MR.nii", *own)
    (scan,), _ = find_images(root, root / "cal" / "converted", passed_over=(root / "cal",))
    assert (scan.pet, scan.t1w) == (root / "PiB" / "P1_PiB.nii", root / "MR" / "P1_MR.nii")


def test_dicom_folders_are_converted(tmp_path, shared_data):
    """A folder per person, as the archive of the florbetaben pairs has."""
    source = shared_data / "dicom" / "ALPHA"
    first = next(path for path in sorted(source.rglob("*")) if path.is_file()).parent
    place = tmp_path / "archive" / "FBBproject_E-25_FBB_90110" / "1008_PET_FBB"
    place.mkdir(parents=True)
    for path in sorted(first.iterdir())[:12]:
        shutil.copy(path, place)
    image(tmp_path / "archive" / "FBBproject_E-25_MR" / "1008_MR.nii")
    (scan,), _ = find_images(tmp_path / "archive", tmp_path / "out" / "converted")
    assert (scan.person, scan.tracer) == ("1008", "FBB")
    assert scan.pet.is_file() and nib.load(scan.pet).ndim >= 3


def test_another_tracer_in_the_folder_is_named(tmp_path):
    root = archive(
        tmp_path,
        "AD-100_PET_5070/AD01_PiB_5070.nii",
        "AD-100_PET_5070/AD02_FBB_90110.nii",
        "AD-100_PET_5070/AD03_PiB_5070.nii",
        *(f"AD-100_MR/AD0{i}_MR.nii" for i in (1, 2, 3)),
    )
    sidecar = root / "AD-100_PET_5070" / "AD03_PiB_5070.json"
    sidecar.write_text(json.dumps({"TracerName": "[18F]florbetapir"}))
    _, found = find_images(root, root / "c", only_pib=True)
    assert {s.people[0]: s.code for s in found} == {"AD02": "wrong-tracer", "AD03": "wrong-tracer"}
    assert "FBB" in found[0].message and "FBP" in found[1].message


@pytest.mark.parametrize("content", [b'["FBB"]', b"{", b"\xff\xfe\x00"])
def test_a_sidecar_of_the_archive_that_cannot_be_read_says_nothing(tmp_path, content):
    root = archive(tmp_path, "AD-100_PET_5070/AD01_PiB_5070.nii", "AD-100_MR/AD01_MR.nii")
    (root / "AD-100_PET_5070" / "AD01_PiB_5070.json").write_bytes(content)
    assert not find_images(root, root / "c", only_pib=True)[1]


def test_two_images_of_the_same_are_refused(tmp_path):
    root = archive(tmp_path, "PiB/P1_PiB.nii", "more/P1_PiB_5070.nii", "MR/P1_MR.nii")
    with pytest.raises(BadDataError, match=r"P1_PiB.* both claim .* P1"):
        find_images(root, root / "c")


def test_only_pets_on_one_grid_are_frames_of_one_scan(tmp_path):
    pet = Pet(frames=((3000.0, 300.0),))
    for name, role, series in (
        ("t1w", "T1w", {"PiB/scans/4": pet, "MR/scans/12": Mr(), "MR/scans/13": Mr()}),
        ("grid", "PIB", {
            "PiB/scans/4": pet, "PiB/scans/5": replace(pet, step=12.0), "MR/scans/12": Mr(),
        }),
        ("dynamic", "PIB", {
            "PiB/scans/4": Pet(frames=((3000.0, 300.0), (3300.0, 300.0))),
            "PiB/scans/5": pet, "MR/scans/12": Mr(),
        }),
    ):  # fmt: skip
        for folder, images in series.items():
            kind, *scan = folder.split("/")
            images.write(tmp_path / name / kind / f"P1_{kind}" / "/".join(scan) / "DICOM")
        with pytest.raises(BadDataError, match=f"both claim to be the {role} of P1"):
            find_images(tmp_path / name, tmp_path / name / "converted")


def test_folders_without_images_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, error in (("nowhere", NoInputError), ("empty", NoInputError)):
        with pytest.raises(error, match=folder):
            find_images(tmp_path / folder, tmp_path / "c")
    root = archive(tmp_path / "one", "PiB/P1_PiB.nii", "MR/P2_MR.nii")
    with pytest.raises(BadDataError, match="no participant has both"):
        find_images(root, tmp_path / "c")


def test_a_table_of_paths(tmp_path):
    image(tmp_path / "x.nii")
    image(tmp_path / "y.nii")
    table = tmp_path / "paths.tsv"
    table.write_text("person\tgroup\ttracer\tpet\tt1w\nP1\tyoung\tPiB\tx.nii\ty.nii\n")
    assert scans(table) == [("P1", True, "PIB", "x.nii", "y.nii")]
    table.write_text("person\tgroup\ttracer\tpet\tt1w\nP1\tyoung\tPiB\tz.nii\ty.nii\n")
    with pytest.raises(NoInputError, match=r"P1: .*z.nii does not exist"):
        scans(table)


def test_the_dataset_holds_links_and_the_window_of_the_tracer(tmp_path):
    root = archive(tmp_path / "a", "PiB/AD_01_PiB.nii", "MR/AD_01_MR.nii")
    image(root / "PiB" / "AD_01_PiB.nii", (4, 4, 4, 2))
    found, _ = find_images(root, tmp_path / "c")
    for _ in range(2):  # a second run replaces the links
        write_dataset(found, tmp_path / "raw")
    pet = tmp_path / "raw" / "sub-AD01" / "pet" / "sub-AD01_trc-PIB_pet.nii"
    assert pet.is_symlink() and pet.resolve() == found[0].pet
    timing = read_timing(json.loads(pet.with_suffix(".json").read_text()), pet, 2)
    assert (timing.frame_start_s, timing.frame_duration_s) == ((3000, 3600), (600, 600))
    assert (timing.decay_corrected, timing.decay_reference_s) == (True, 3000)
    assert timing.findings == ()
    check_dataset(tmp_path / "raw")
    twin = replace(found[0], person="AD-01")
    with pytest.raises(BadDataError, match="AD-01 and AD01 have the same BIDS label AD01"):
        write_dataset([*found, twin], tmp_path / "raw")


def test_scans_of_a_dataset_have_the_group_of_the_table(tmp_path):
    for who in ("01", "YC02"):
        entities = {"sub": who, "trc": "PIB"}
        write_record(tmp_path / "out", finished_record(entities), entities)
    expected = [Expected("01", False, "PIB"), Expected("YC02", True, "PIB")]
    assert expected_of_bids(tmp_path, tmp_path / "out") == expected
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tyoung\n")
    expected[0] = Expected("01", True, "PIB")
    assert expected_of_bids(tmp_path, tmp_path / "out") == expected


def test_what_was_measured_and_what_was_not(tmp_path):
    root = archive(
        tmp_path / "a",
        *(f"{kind}/{who}_{kind}.nii" for kind in ("PiB", "MR", "FBB") for who in ("AD01", "YC101")),
        "FBB/AD02_FBB.nii",
        "MR/AD02_MR.nii",
    )
    found, _ = find_images(root, tmp_path / "c")
    for who, tracer, suvr in (
        ("AD01", "PIB", 2.0), ("AD01", "FBB", 1.6), ("YC101", "PIB", 1.0), ("AD02", "FBB", 1.5),
    ):  # fmt: skip
        entities = {"sub": who, "trc": tracer}
        flags = [{"code": "pet-t1w-mirrored", "message": "look"}] if who == "YC101" else []
        write_record(tmp_path / "out", finished_record(entities, suvr, flags=flags), entities)
    people, pairs, missing, suspects = measured(found, tmp_path / "out")
    assert {p.name: (p.is_young, p.suvr["wc"]) for p in people} == {
        "AD01": (False, 2.0), "YC101": (True, 1.0)
    }  # fmt: skip
    assert [(p.name, p.tracer, p.pib["wc"], p.other["wc"]) for p in pairs] == [
        ("AD01", "FBB", 2.0, 1.6)
    ]
    assert missing == {"YC101 (FBB)": "the pipeline gave no record"}
    assert suspects[0].people == ("YC101",) and "left and right" in suspects[0].message


@pytest.mark.slow
def test_level1_from_images_to_the_report(tmp_path, shared_data, capsys):
    """Two heads of the development data as two people each, one PET with left and right exchanged.

    Four people are no calibration: what is tested is the way from folders to equations.
    """
    raw, root = shared_data / "bids", tmp_path / "archive"
    people = {"AD01": ("sub-03", 1), "AD02": ("sub-03", -1), "YC101": ("sub-02", 1),
              "YC102": ("sub-02", 1)}  # fmt: skip
    for name, (subject, direction) in people.items():
        group = "AD-100" if name.startswith("AD") else "YC-0"
        t1w = next((raw / subject).rglob("*_T1w.nii.gz"))
        pet = nib.load(next((raw / subject).rglob("*_pet.nii.gz")))
        data = np.asanyarray(pet.dataobj, dtype=np.float32)
        data = data.mean(-1) if data.ndim == 4 else data
        for folder in (f"{group}_PET_5070/nifti", f"{group}_MR/nifti"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        target = root / f"{group}_PET_5070" / "nifti" / f"{name}_PiB_5070.nii"
        nib.Nifti1Image(np.ascontiguousarray(data[::direction]), pet.affine).to_filename(target)
        small = nib.load(t1w).slicer[::2, ::2, ::2]  # 2 mm: a quick segmentation is enough here
        small.to_filename(root / f"{group}_MR" / "nifti" / f"{name}_MR.nii")
    code = main(["level1", str(root), "-o", str(tmp_path / "out"), "--nprocs", "2"])
    report = json.loads((tmp_path / "out" / "level1_report.json").read_text())
    printed = capsys.readouterr().out
    assert code == ExitCode.SCAN_FAILED and not report["passed"]  # they are not the people named
    regions = [row["reference_region"] for row in report["calibrations"]]
    assert regions == ["wc", "cg", "wcb", "pons"] and report["calibrations"][0]["n"] == 4
    anchors = report["calibrations"][0]["equation"]["anchors"]
    assert anchors["young_mean"] == pytest.approx(1.20, abs=0.06)  # reference.tsv
    assert report["source"]["images"].keys() == people.keys()
    mirrored = [s for s in report["suspects"] if s["code"] == "pet-t1w-mirrored"]
    assert [s["people"] for s in mirrored] == [["AD02"]]
    assert "AD02 (PIB): left and right of the PET look exchanged" in printed
    assert not (tmp_path / "out" / "level1_calibration.json").exists()
