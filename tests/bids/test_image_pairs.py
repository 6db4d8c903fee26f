"""Plain images and what is said of them: checked row by row, and made a BIDS dataset."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsapp.bids import image_pairs, pair_dataset
from bidsapp.bids.image_pairs import judge_pairs, read_pairs
from bidsapp.bids.layout import check_dataset, read_dataset
from bidsapp.bids.pair_dataset import write_pairs
from bidsapp.bids.planning import make_plan
from bidsapp.errors import BadDataError, CannotCreateError, NoInputError
from bidsapp.io.tsv import read_rows
from bidsapp.settings import Filters, Processing

HEADER = ("participant", "session", "pet", "t1w", "tracer", "window", "frame_start_s",
          "frame_duration_s")  # fmt: skip


@pytest.fixture
def images(tmp_path):
    """Writes images as a lab has them, in a folder of their own."""
    folder = tmp_path / "lab"

    def write(name, n_frames=1, value=1.0):
        shape = (6, 7, 8) if n_frames == 1 else (6, 7, 8, n_frames)
        folder.mkdir(exist_ok=True)
        nib.Nifti1Image(np.full(shape, value, np.float32), np.eye(4)).to_filename(folder / name)

    for person in "123":
        write(f"pet {person}.nii.gz")
        write(f"t1-{person}.nii")
    write.folder = folder
    return write


@pytest.fixture
def judged(images):
    """Judge rows of a table; gives pairs and the sentences about the others."""

    def judge(*rows, header=HEADER):
        table = images.folder / "pairs.tsv"
        lines = [header, *rows]
        table.write_text("".join("\t".join(line) + "\n" for line in lines))
        pairs, errors = judge_pairs(read_pairs(table)[0])
        return pairs, [str(error) for error in errors]

    return judge


def planned(pairs, root):
    """Scans as planned from the dataset of pairs, by name."""
    written, errors = write_pairs(pairs, root)
    assert errors == [] and len(written) == len(pairs)
    check_dataset(root)
    plan = make_plan(read_dataset(root, Filters()), Processing())
    assert plan.failures == () and plan.skipped == ()
    return {scan.name: scan for scan in plan.scans}


def codes(scan):
    return {flag.code for flag in scan.flags}


def test_a_row_becomes_a_scan_of_the_dataset(judged, tmp_path):
    pairs, errors = judged(("A_01", "ses-m 12", "pet 1.nii.gz", "t1-1.nii", "AV45", "50-60"))
    assert errors == []
    root = tmp_path / "raw"
    (scan,) = planned(pairs, root).values()
    assert scan.name == "sub-A01_ses-m12_trc-FBP"
    assert scan.window.used_min == (50, 60) and scan.window.coverage == 1
    assert [path.name for path in scan.t1w.raw] == ["sub-A01_ses-m12_T1w.nii"]
    assert "stated" in codes(scan) and "window-assumed" not in codes(scan)
    link = root / "sub-A01/ses-m12/pet/sub-A01_ses-m12_trc-FBP_pet.nii.gz"
    assert link.readlink() == tmp_path / "lab" / "pet 1.nii.gz"
    assert (root / "participants.tsv").read_text() == "participant_id\nsub-A01\n"


@pytest.mark.parametrize("ending", [".NII", ".NII.GZ"])
def test_names_in_capitals_are_those_of_images_with_their_json(judged, images, tmp_path, ending):
    lab = images.folder
    images("PET.nii.gz" if ending == ".NII.GZ" else "PET.nii")
    (lab / f"PET{ending.lower()}").rename(lab / f"PET{ending}")
    (lab / "PET.json").write_text('{"TracerName": "FBB", "Units": "kBq/mL"}')
    pairs, errors = judged(("1", "", f"PET{ending}", "", "FBB"))
    assert errors == [] and pairs[0].sidecar["Units"] == "kBq/mL"
    (scan,) = planned(pairs, tmp_path / "raw").values()
    assert scan.pet.name == f"sub-1_trc-FBB_pet{ending.lower()}"


def test_images_in_each_others_place_are_refused(judged, images):
    for name in ("sub-1_T1w.nii.gz", "sub-1_pet.nii.gz", "FBB_in_T1w.nii.gz"):
        images(name)
    pairs, errors = judged(
        ("1", "", "sub-1_T1w.nii.gz", "", "FBB"),
        ("2", "", "pet 1.nii.gz", "sub-1_pet.nii.gz", "FBB"),
        ("3", "", "FBB_in_T1w.nii.gz", "sub-1_T1w.nii.gz", "FBB"),
    )
    assert [pair.participant for pair in pairs] == ["3"]
    assert "column pet: " in str(errors[0]) and "is a T1w by its name; swap" in str(errors[0])
    assert "column t1w: " in str(errors[1]) and "is a PET by its name; swap" in str(errors[1])


@pytest.mark.parametrize(
    ("tracer", "window"), [("FBB", (90, 110)), ("[11C]PiB", (50, 70)), ("Vizamyl", (90, 110))]
)
def test_without_a_window_that_of_the_tracer_is_assumed_and_told(judged, tmp_path, tracer, window):
    pairs, _ = judged(("1", "", "pet 1.nii.gz", "", tracer))
    (scan,) = planned(pairs, tmp_path / "raw").values()
    assert scan.window.used_min == window
    (flag,) = (flag for flag in scan.flags if flag.code == "window-assumed")
    assert f"{window[0]} to {window[1]} min" in flag.message and "give the window" in flag.message


@pytest.mark.parametrize(
    ("window", "starts", "durations"),
    [
        ("90 110", "", "300"),
        ("90-110", "", "300,300,300,300"),
        ("", "5400 5700 6000 6300", "300 300 300 300"),
        ("90 110", "5400;5700;6000;6300", "300"),
        ("90 110", "", ""),
    ],
)
def test_frames_may_be_stated_in_several_ways(judged, images, tmp_path, window, starts, durations):
    images("frames.nii.gz", n_frames=4)
    pairs, _ = judged(("1", "", "frames.nii.gz", "", "FBB", window, starts, durations))
    (scan,) = planned(pairs, tmp_path / "raw").values()
    assert scan.metadata.frame_start_s == (5400, 5700, 6000, 6300)
    assert scan.metadata.frame_duration_s == (300,) * 4
    assert ("frame-times" in codes(scan)) is (durations == "")
    assert "decay-correction" in codes(scan)


@pytest.mark.parametrize(
    ("cells", "column", "said"),
    [
        ({"pet": "gone.nii.gz"}, "pet", "gone.nii.gz"),
        ({"pet": ""}, "pet", "is empty"),
        ({"pet": "pairs.tsv"}, "pet", "is not NIfTI"),
        ({"pet": "broken.nii"}, "pet", "broken.nii"),
        ({"t1w": "gone.nii"}, "t1w", "gone.nii"),
        ({"t1w": "frames.nii.gz"}, "t1w", "4 volumes"),
        ({"t1w": "pet 1.nii.gz"}, "t1w", "is the PET"),
        ({"tracer": "FDG"}, "tracer", "'FDG' is not a tracer of CentiPET"),
        ({"tracer": "[18F]PiB"}, "tracer", "is not a tracer of CentiPET"),
        ({"tracer": "AV-1451"}, "tracer", "for CenTauRz and CenTauR, add --tau-vois"),
        ({"tracer": "n/a"}, "tracer", "is empty"),
        ({"participant": "n/a"}, "participant", "is empty"),
        ({"participant": "_"}, "participant", "no letter or digit"),
        ({"window": "110 90"}, "window", "not a window"),
        ({"window": "5400 6600"}, "window", "in minutes"),
        ({"window": "late"}, "window", "two numbers"),
        ({"pet": "frames.nii.gz"}, "window", "4 frames"),
        ({"pet": "frames.nii.gz", "frame_duration_s": "300 300"}, "frame_duration_s", "2 values"),
        ({"pet": "frames.nii.gz", "frame_duration_s": "5 min"}, "frame_duration_s", "list of"),
        ({"pet": "frames.nii.gz", "frame_duration_s": "300"}, "frame_duration_s", "window"),
        ({"frame_start_s": "5400"}, "frame_start_s", "frame_duration_s"),
        ({"window": "90 110", "frame_duration_s": "300"}, "window", "cover 90 to 95 min"),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_by_line_and_column(judged, images, cells, column, said):
    images("frames.nii.gz", n_frames=4)
    (images.folder / "broken.nii").write_bytes(b"no image")
    good = {"participant": "1", "pet": "pet 1.nii.gz", "t1w": "t1-1.nii", "tracer": "FBB"}
    row = {**good, **cells}
    other = ("2", "", "pet 2.nii.gz", "t1-2.nii", "FBB")
    pairs, (error,) = judged(tuple(row.get(name, "") for name in HEADER), other)
    assert error.startswith(f"pairs.tsv, line 2, column {column}: ") and said in error
    assert [pair.participant for pair in pairs] == ["2"]


def test_the_ends_of_a_window_may_have_columns_of_their_own(judged, tmp_path):
    header = ("participant", "pet", "tracer", "window_start_min", "window_end_min")
    pairs, errors = judged(
        ("1", "pet 1.nii.gz", "FBB", "92.5", "110"), ("2", "pet 2.nii.gz", "FBB", "92.5", ""),
        header=header,
    )  # fmt: skip
    (scan,) = planned(pairs, tmp_path / "raw").values()
    assert scan.window.used_min == (92.5, 110)
    assert len(errors) == 1 and "line 3, column window_end_min: " in errors[0]


def test_one_image_of_two_people_counts_for_the_first_and_is_told_at_both(judged, images):
    os.link(images.folder / "pet 1.nii.gz", images.folder / "same.nii.gz")
    pairs, errors = judged(
        ("1", "", "pet 1.nii.gz", "t1-1.nii", "FBB"),
        ("2", "", "same.nii.gz", "t1-2.nii", "FBB"),
        ("3", "", "pet 3.nii.gz", "t1-1.nii", "FBB"),
        ("1", "b", "pet 1.nii.gz", "", "FBB"),
    )
    assert [pair.participant for pair in pairs] == ["1"]
    assert [error.split(": ")[0].rpartition(" ")[2] for error in errors] == ["pet", "t1w", "pet"]
    messages = [flag["message"] for flag in pairs[0].sidecar["CentiPET"]["Flags"]
            if flag["code"] == "image-twice"]  # fmt: skip
    assert len(messages) == 2 and "line 3" in messages[0] and "line 4" in messages[1]


def test_rows_that_would_have_one_name_are_told(judged):
    pairs, errors = judged(
        ("a_1", "", "pet 1.nii.gz", "t1-1.nii", "FBB"),
        ("a1", "x", "pet 2.nii.gz", "", "FBB"),
        ("a_1", "", "pet 2.nii.gz", "", "florbetaben"),
        ("a_1", "", "pet 2.nii.gz", "t1-2.nii", "PiB"),
        ("a_1", "", "pet 3.nii.gz", "t1-1.nii", "PiB"),
    )
    assert [pair.name for pair in pairs] == ["sub-a1_trc-FBB", "sub-a1_trc-PIB"]
    assert [error.split(": ")[0].rpartition(" ")[2] for error in errors] == [
        "participant", "pet", "t1w",
    ]  # fmt: skip


def test_a_table_that_is_none_is_refused(images, tmp_path):
    with pytest.raises(NoInputError, match=r"gone\.tsv"):
        read_pairs(tmp_path / "gone.tsv")
    table = tmp_path / "pairs.csv"
    for text, said in {
        "participant,pet\n1,a.nii\n": "no column tracer",
        "participant,pet,tracer,pet\n": "column pet is given twice",
        "participant,pet,tracer\n": "no row",
    }.items():
        table.write_text(text)
        with pytest.raises(BadDataError, match=said):
            read_pairs(table)
    table.write_text("Participant;PET;Tracer;age\n1;a.nii;FBB;70\n")
    (row,), (sentence,) = read_pairs(table)  # about the column, not about the semicolons
    assert row.get("pet") == "a.nii" and "age" in sentence


def test_a_json_beside_the_image_counts_where_nothing_is_stated(judged, images, tmp_path):
    beside = {
        "TimeZero": "10:00:00", "InjectionStart": 0, "FrameTimesStart": [5400],
        "FrameDuration": [1200], "ImageDecayCorrected": True, "ImageDecayCorrectionTime": 5400,
        "Units": "Bq/mL", "AttenuationCorrection": "CT", "InjectedRadioactivity": 300,
    }  # fmt: skip
    (images.folder / "pet 1.json").write_text(json.dumps(beside))
    pairs, _ = judged(("1", "", "pet 1.nii.gz", "", "FBB"), ("2", "", "pet 2.nii.gz", "", "FBB"))
    first, second = planned(pairs, tmp_path / "raw").values()
    assert first.window.used_min == (90, 110) and first.metadata.injection_clock_s == 36000
    assert "window-assumed" in codes(second) - codes(first)
    assert "attenuation-unknown" in codes(second) - codes(first)


def test_the_dataset_grows_and_never_takes_one_image_for_another(judged, images, tmp_path):
    root = tmp_path / "raw"
    before = {path: path.read_bytes() for path in images.folder.iterdir()}
    for person in "12":
        pairs, _ = judged((person, "", f"pet {person}.nii.gz", f"t1-{person}.nii", "FBB"))
        planned(pairs, root)
    assert (root / "participants.tsv").read_text() == "participant_id\nsub-1\nsub-2\n"
    pairs, _ = judged(("1", "", "pet 1.nii.gz", "t1-1.nii", "FBB", "80 110"))
    assert planned(pairs, root)["sub-1_trc-FBB"].metadata.frame_start_s == (4800,)
    images("other.nii.gz", value=2)
    pairs, _ = judged(("1", "", "other.nii.gz", "", "FBB"))
    written, (error,) = write_pairs(pairs, root)
    assert written == [] and "column pet: " in str(error) and "another image" in str(error)
    assert before == {path: path.read_bytes() for path in before}


def test_images_that_were_moved_are_linked_anew(judged, images, tmp_path):
    root = tmp_path / "raw"
    planned(judged(("1", "", "pet 1.nii.gz", "t1-1.nii", "FBB"))[0], root)
    (images.folder / "pet 1.nii.gz").rename(images.folder / "moved.nii.gz")
    planned(judged(("1", "", "moved.nii.gz", "t1-1.nii", "FBB"))[0], root)
    link = root / "sub-1/pet/sub-1_trc-FBB_pet.nii.gz"
    assert link.readlink().name == "moved.nii.gz"


def test_a_row_with_more_cells_than_columns_is_told(judged):
    pairs, errors = judged(
        ("1", "", "pet 1.nii.gz", "", "FBB", "", "", "", "", "shifted"),
        ("2", "", "~nobody/pet.nii", "", "FBB"),
        ("3", "", "pet 3.nii.gz", "", "FBB"),
    )
    assert [pair.participant for pair in pairs] == ["3"]
    assert "line 2: has more cells" in errors[0] and "line 3, column pet" in errors[1]


def test_without_links_the_images_are_copied(judged, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(image_pairs.Path, "symlink_to", refuse)
    pairs, _ = judged(("1", "", "pet 1.nii.gz", "t1-1.nii", "FBB"))
    for _ in range(2):
        planned(pairs, tmp_path / "raw")
    copy = tmp_path / "raw/sub-1/pet/sub-1_trc-FBB_pet.nii.gz"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (tmp_path / "lab" / "pet 1.nii.gz").read_bytes()


def test_a_dataset_of_somebody_else_is_left_alone(judged, raw):
    before = (raw.root / "dataset_description.json").read_bytes()
    pairs, _ = judged(("1", "", "pet 1.nii.gz", "", "FBB"))
    with pytest.raises(CannotCreateError):
        write_pairs(pairs, raw.root)
    assert (raw.root / "dataset_description.json").read_bytes() == before


def test_other_columns_are_told_of_participants_and_of_sessions(judged, tmp_path):
    header = ("participant", "session", "pet", "t1w", "tracer", "Sex", "Age at scan", "apoe")
    pairs, errors = judged(
        ("1", "a", "pet 1.nii.gz", "t1-1.nii", "FBB", "F", "70.5", "e3"),
        ("1", "b", "pet 2.nii.gz", "t1-2.nii", "FBB", "F", "72.5", ""),
        ("2", "a", "pet 3.nii.gz", "t1-3.nii", "FBB", "=M", "68", "e4"),
        header=header,
    )
    assert errors == []
    root = tmp_path / "raw"
    first, second, _ = planned(pairs, root).values()
    people = "participant_id\tsex\tapoe\nsub-1\tF\te3\nsub-2\t'=M\te4\n"
    assert (root / "participants.tsv").read_text() == people
    assert first.about["session"]["age_at_scan"] == "70.5" and "covariates" not in codes(first)
    assert second.about["session"]["age_at_scan"] == "72.5"
    # a later run adds to both and forgets nothing
    pairs, _ = judged(("2", "a", "pet 3.nii.gz", "t1-3.nii", "FBB", "M", "69", "e4"), header=header)
    planned(pairs, root)
    lines = (root / "participants.tsv").read_text().splitlines()
    assert lines[1:] == ["sub-1\tF\te3", "sub-2\tM\te4"]
    visits = root / "sub-2" / "sub-2_sessions.tsv"
    assert visits.read_text() == "session_id\tage_at_scan\nses-a\t69\n"


def test_rows_of_a_session_that_contradict_each_other_are_flagged(judged, images, tmp_path):
    pairs, _ = judged(
        ("1", "a", "pet 1.nii.gz", "t1-1.nii", "FBB", "70"),
        ("1", "a", "pet 2.nii.gz", "t1-1.nii", "PiB", "71"),
        header=("participant", "session", "pet", "t1w", "tracer", "age"),
    )
    scans = planned(pairs, tmp_path / "raw").values()
    assert all("covariates" in codes(scan) for scan in scans)
    assert all("age" not in scan.about["session"] for scan in scans)


def test_time_is_linear_in_the_rows(judged, images, monkeypatch):
    """A table of thousands compared every row with every other."""
    asked = []
    samefile = Path.samefile
    monkeypatch.setattr(Path, "samefile", lambda *pair: asked.append(pair) or samefile(*pair))
    for person in range(20):
        images(f"p{person}.nii")
        images(f"m{person}.nii")
    rows = [(f"a{i}", "", f"p{i}.nii", f"m{i}.nii", "FBB") for i in range(20)]
    assert len(judged(*rows)[0]) == len(asked) == 20


def test_two_runs_at_once_lose_no_row_of_participants(judged, tmp_path, monkeypatch):
    def read_slowly(path):
        rows = read_rows(path)
        time.sleep(0.05)
        return rows

    monkeypatch.setattr(pair_dataset, "read_rows", read_slowly)
    header = ("participant", "session", "pet", "t1w", "tracer", "apoe")
    first, *others = [
        judged((name, "", f"pet {name}.nii.gz", "", "FBB", f"e{name}"), header=header)[0]
        for name in "123"
    ]
    root = tmp_path / "raw"
    write_pairs(first, root)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pairs: write_pairs(pairs, root), others))
    text = (root / "participants.tsv").read_text()
    assert text == "participant_id\tapoe\nsub-1\te1\nsub-2\te2\nsub-3\te3\n"
