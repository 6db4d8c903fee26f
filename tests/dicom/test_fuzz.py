"""Broken headers and files: a row in the table, never a traceback, a hang or a wrong file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from conversions import dry, run
from dicom_studies import Person, Pet, write
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from bidsapp.dicom.convert import ConversionReport, convert
from bidsapp.settings import DicomInput

VALUES = ["", "x", "-1", "0", "nan", "inf", "1e308", "9" * 20, "\\", "\\\\1\\", "é\0ü", "1" * 70,
          "00000000", "240000", "235960", "20210231", "20210302", "../../etc", "**",
          "BQML"]  # fmt: skip
NUMERIC = {"DS", "IS", "DA", "TM", "DT"}
TRUTH = Pet(frames=[(5400, 300), (5700, 300)], n_slices=2, step=60.0, description="mutant")


def with_items(data: Dataset) -> list[Dataset]:
    """The data set and the items of its sequences."""
    sequences = (element.value for element in data if element.VR == "SQ")
    return [data, *(inner for items in sequences for item in items for inner in with_items(item))]


def elements(data: Dataset) -> list[tuple[Dataset, pydicom.DataElement]]:
    """All elements but the pixels, with the data set that holds them."""
    return [
        (holder, element)
        for holder in with_items(data)
        for element in holder
        if element.keyword != "PixelData"
    ]


def as_text(tag: BaseTag, value: str) -> pydicom.dataelem.RawDataElement:
    content = value.encode()
    return pydicom.dataelem.RawDataElement(tag, "UT", len(content), content, 0, False, True)


def delete(dice: random.Random, data: Dataset) -> str:
    holder, element = dice.choice(elements(data))
    del holder[element.tag]
    return element.keyword


def empty(dice: random.Random, data: Dataset) -> str:
    holder, element = dice.choice(elements(data))
    holder[element.tag] = pydicom.DataElement(element.tag, element.VR, None)
    return element.keyword


def garble(dice: random.Random, data: Dataset) -> str:
    """Absurd text where a value was, in the VR of text: the bytes stand in the file like that."""
    holder, element = dice.choice(elements(data))
    holder[element.tag] = as_text(element.tag, dice.choice(VALUES))
    return element.keyword


def mutants(folder: Path, count: int, seed: int, ways: list[Callable]) -> dict[str, str]:
    """Write series that each have one broken tag; return participant number -> keyword."""
    dice = random.Random(seed)
    broken = {}
    for number in range(count):
        way, state = dice.choice(ways), dice.random()
        series = list(TRUTH.datasets(Person(f"M{number}", f"ID{number:05d}")))
        only_one = dice.random() < 0.2
        keyword = ""
        for data in series[: 1 if only_one else None]:
            keyword = way(random.Random(state), data)  # the same damage to every file
        place = folder / f"sub-{number:04d}"
        try:
            write(place, iter(series))
        except Exception:  # what pydicom refuses to write cannot be a mutant
            continue
        broken[f"sub-{number:04d}"] = keyword
    return broken


def check_sentences(report: ConversionReport) -> None:
    """One sentence each, and none that owns up to a fault of the converter."""
    sentences = [row.reason for row in report.rows] + report.errors
    assert all(text and "\n" not in text and "unexpected" not in text for text in sentences)


def check_table(report: ConversionReport, n_mutants: int) -> None:
    rows = {row.participant_id: row for row in report.rows}
    assert rows["sub-control"].decision == "kept"
    assert all(row.decision in ("kept", "skipped", "error") for row in report.rows)
    check_sentences(report)
    assert len(report.rows) + len(report.errors) >= n_mutants


@pytest.mark.parametrize(
    "count", [pytest.param(60, id="few"), pytest.param(2000, id="many", marks=pytest.mark.slow)]
)
def test_mutated_headers_never_raise(tmp_path: Path, count: int) -> None:
    TRUTH.write(tmp_path / "sub-control")
    broken = mutants(tmp_path, count, seed=count, ways=[delete, empty, garble])
    assert len(broken) > 0.9 * count
    report = dry(tmp_path)
    check_table(report, len(broken))
    assert {"kept", "error"} <= {row.decision for row in report.rows}


@pytest.mark.parametrize(
    "count", [pytest.param(25, id="few"), pytest.param(300, id="many", marks=pytest.mark.slow)]
)
def test_what_is_written_in_spite_of_a_missing_tag_is_true(tmp_path: Path, count: int) -> None:
    source, bids = tmp_path / "source", tmp_path / "bids"
    TRUTH.write(source / "sub-control")
    broken = mutants(source, count, seed=count + 1, ways=[delete, empty])
    report = convert(DicomInput(source), bids, nprocs=2)
    check_table(report, len(broken))
    written = 0
    for side in bids.glob("sub-*/ses-*/pet/*.json"):
        content = json.loads(side.read_text())
        keyword = broken.get(side.name.split("_")[0], "")
        written += 1
        assert content["InjectionStart"] == 0 and content["TimeZero"] == "10:04:30", keyword
        # a frame placed by its FrameReferenceTime (0.1 ms) has the true start to the millisecond
        assert content["FrameTimesStart"] == pytest.approx([5400, 5700], abs=1e-3), keyword
        assert content["FrameDuration"] == [300, 300], keyword
        assert content["ImageDecayCorrectionTime"] == pytest.approx(5400, abs=1e-3), keyword
        assert side.with_suffix("").with_suffix(".nii.gz").is_file()
    assert written > count / 4


RARER = ("-1e308", "1e-308", "99991231235959")


@pytest.mark.parametrize(
    "value",
    [
        *("1e308", "0", "-1", "nan"),
        *(pytest.param(value, marks=pytest.mark.slow) for value in RARER),
    ],
)
def test_absurd_numbers_in_every_tag_that_is_read(tmp_path: Path, value: str) -> None:
    """Each numeric or temporal tag in turn, alone and together with a missing acquisition time."""
    tags = [e.keyword for _, e in elements(next(TRUTH.datasets())) if e.VR in NUMERIC]
    assert len(tags) > 20
    for number, keyword in enumerate(tags):
        for alone in (True, False):
            series = list(TRUTH.datasets(Person(f"M{number}", f"ID{number}{alone}")))
            for data in series:
                for holder in with_items(data):
                    if keyword in holder:
                        holder[keyword] = as_text(holder.get_item(keyword).tag, value)
                if not alone:
                    data.AcquisitionTime = "120000"
            write(tmp_path / f"sub-{number:04d}{'a' if alone else 'b'}", iter(series))
    report = dry(tmp_path)
    check_sentences(report)
    assert len(report.rows) >= 2 * len(tags) - 4
    assert sum(row.decision == "error" for row in report.rows) > len(tags) / 4


def test_damaged_files_do_no_harm(tmp_path: Path) -> None:
    """Truncated files, flipped bytes, random bytes, endless lengths."""
    dice = random.Random(5)
    paths = TRUTH.write(tmp_path / "sub-control")
    content = paths[0].read_bytes()
    folder = tmp_path / "sub-damaged"
    folder.mkdir()
    for number in range(150):
        damaged = bytearray(content[: dice.randrange(len(content))] if number % 3 == 0 else content)
        if number % 3 == 1:
            for _ in range(dice.randint(1, 30)):
                damaged[dice.randrange(132, len(damaged))] = dice.randrange(256)
        if number % 3 == 2:
            at = dice.randrange(140, 1500)
            damaged[at : at + 4] = b"\xff\xff\xff\xff"
        (folder / f"{number}").write_bytes(bytes(damaged))
    (folder / "noise").write_bytes(dice.randbytes(5000))
    (folder / "empty").write_bytes(b"")
    (folder / "DICM").write_bytes(b"\0" * 128 + b"DICM")
    report = run(tmp_path, tmp_path / "bids")
    assert {row.decision for row in report.rows if row.participant_id == "sub-control"} <= {
        "kept",
        "error",  # a damaged copy of one of its files cannot be told from its own
    }
    check_sentences(report)


def test_truncated_pixels_are_an_error_that_names_the_tag(tmp_path: Path) -> None:
    paths = TRUTH.write(tmp_path / "sub-short")
    for path in paths:
        path.write_bytes(path.read_bytes()[:-300])
    TRUTH.write(tmp_path / "sub-control")
    report = run(tmp_path, tmp_path / "bids")
    decisions = {row.participant_id: row.decision for row in report.rows}
    assert decisions == {"sub-short": "error", "sub-control": "kept"}
    assert not list((tmp_path / "bids").glob("sub-short/**/*.nii.gz"))
