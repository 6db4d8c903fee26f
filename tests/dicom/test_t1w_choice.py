"""Which T1w is taken: contrast agent, sequence, MP2RAGE; by what tags say, then by names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from conversions import dry, run
from dicom_studies import Mr, Pet, write
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.dicom.classify import Agent, contrast_agent
from bidsapp.dicom.decision_table import DecisionRow
from bidsapp.dicom.header import Header, headers_of
from bidsapp.settings import Filters, Processing

SMALL = Mr(spacing=20.0, shape=(6, 6), step=3.0, positions=tuple(range(35)))
FLASH = replace(SMALL, description="x", sequence=("GR",), variant=("SP",), repetition=5.0, flip=15)


def decided(*series: Mr, source: Path) -> tuple[DecisionRow, ...]:
    for number, images in enumerate(series):
        images.write(source / str(number), study="1.2.3")
    return dry(source).rows


@pytest.mark.parametrize(
    ("tags", "agent"),
    [
        ({"ContrastBolusAgent": "Gadovist"}, Agent.WITH),
        ({"ContrastBolusAgent": "YES"}, Agent.WITH),
        ({"ContrastBolusAgent": "NONE"}, Agent.WITHOUT),
        ({"ContrastBolusAgent": "No contrast"}, Agent.WITHOUT),
        ({"ContrastBolusAgent": "0 ml"}, Agent.WITHOUT),
        ({"ContrastBolusVolume": "7.5"}, Agent.WITH),
        ({"ContrastBolusVolume": "0"}, Agent.WITHOUT),
        ({"ContrastBolusVolume": "?"}, Agent.WITHOUT),
        ({"ContrastBolusTotalDose": "5"}, Agent.WITH),
        ({"ContrastBolusAgentMeaning": "Gadopiclenol"}, Agent.WITH),
        ({"ContrastBolusAgent": "Gadovist", "ContrastBolusVolume": "0"}, Agent.DOUBTFUL),
        ({"ContrastBolusAgent": "NONE", "ContrastBolusVolume": "9"}, Agent.DOUBTFUL),
        ({"ContrastBolusAgentAdministered": "NO"}, Agent.WITHOUT),
    ],
)
def test_contrast_agent_by_tags(tags: dict[str, str], agent: Agent) -> None:
    header = Header(Path("x"), {key: (value,) for key, value in tags.items()})
    assert contrast_agent(header, "t1_mprage") is agent
    if agent is Agent.WITH:
        assert contrast_agent(header, "t1_mprage pre") is Agent.DOUBTFUL


def test_the_name_tells_of_an_agent_where_no_tag_does() -> None:
    silent = Header(Path("x"), {})
    assert contrast_agent(silent, "t1_mprage KM") is Agent.WITH
    assert contrast_agent(silent, "t1_mprage") is Agent.WITHOUT


def test_the_sequence_of_agents_is_read() -> None:
    data, code = next(SMALL.datasets()), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C", "99", "Gadobutrol"
    data.ContrastBolusAgentSequence = Sequence([code])
    (header,) = headers_of(data, Path("x"))
    assert contrast_agent(header, "t1_mprage") is Agent.WITH


def test_the_earlier_of_equals_is_taken(tmp_path: Path) -> None:
    """Whatever the order of their identifiers."""
    late = replace(SMALL, description="late", acquired=datetime(2021, 2, 16, 9, 30), number=1)
    for uids in (("1.2.8", "1.2.9"), ("1.2.9", "1.2.8")):
        source = tmp_path / uids[0]
        for series, uid in zip((SMALL, late), uids, strict=True):
            write(source / uid, with_uid(series, uid))
        rows = {row.description: row for row in dry(source).rows}
        assert rows["t1_mprage"].decision == "kept", rows
        assert "equally good and was acquired earlier" in rows["late"].reason


def with_uid(series: Mr, uid: str) -> Iterator[Dataset]:
    for data in series.datasets(study="1.2.3"):
        data.SeriesInstanceUID = uid
        yield data


def test_a_lone_t1w_with_agent_is_used_with_a_flag(tmp_path: Path) -> None:
    source, bids = tmp_path / "source", tmp_path / "bids"
    replace(SMALL, contrast="Gadovist").write(source / "mr")
    Pet().write(source / "pet")
    assert run(source, bids).errors == []
    (side,) = bids.rglob("*_T1w.json")
    (flag,) = json.loads(side.read_text())["CentiPET"]["Flags"]
    assert flag["code"] == "t1w-contrast-agent"
    (scan,) = make_plan(read_dataset(bids, Filters()), Processing()).scans
    codes = [flag.code for flag in scan.flags]
    assert codes.count("t1w-contrast-agent") == 1


FINER = {
    "variable flip angle": replace(FLASH, flip=2),
    "fat-saturated VIBE": replace(FLASH, repetition=4.1, flip=9, options=("FS",)),
    "FGATIR": replace(SMALL, description="fgatir", repetition=3000, inversion=409, flip=6),
    "SWI magnitude": replace(FLASH, echo=5.0, repetition=27, options=("FC",)),
    "unnamed TOF": replace(FLASH, echo=3.4, repetition=21, flip=18, variant=("SP", "MTC")),
    "MT-weighted": replace(FLASH, repetition=25, flip=6, variant=("SP", "MTC")),
    "T1-weighted FLASH": replace(FLASH, repetition=18, flip=20),
}


def test_no_finer_gradient_echo_beats_the_mprage(tmp_path: Path) -> None:
    """One study a day: an MPRAGE and something finer."""
    for day, other in enumerate(FINER.values(), start=1):
        moment = datetime(2021, 2, day, 9, 0)
        finer = {"spacing": 10.0, "shape": (12, 12), "step": 2.9, "positions": range(36)}
        for series in (SMALL, replace(other, number=9, **finer)):
            folder = tmp_path / "in" / f"{day}" / f"{series.number}"
            replace(series, acquired=moment).write(folder, study=f"1.2.{day}")
    rows = dry(tmp_path / "in").rows
    assert len(rows) == 2 * len(FINER)
    assert {(row.series, row.decision) for row in rows} == {("2", "kept"), ("9", "skipped")}, rows


def test_what_is_no_t1w_is_none_when_alone(tmp_path: Path) -> None:
    """Not even when the name says T1: the flip angle is stronger than what people type."""
    none = [FINER[kind] for kind in ("SWI magnitude", "unnamed TOF", "MT-weighted")]
    none += [replace(FINER[k], description="T1 3D") for k in ("variable flip angle", "FGATIR")]
    rows = decided(*none, source=tmp_path / "in")
    assert len(rows) == 5 and {row.decision for row in rows} == {"skipped"}, rows


INVERSIONS = [
    replace(
        SMALL, description="t1_mp2rage_INV1", repetition=5000, inversion=700, number=11, field=3
    ),
    replace(
        SMALL, description="t1_mp2rage_INV2", repetition=5000, inversion=2500, number=12, field=3
    ),
]
UNIFORM = replace(
    SMALL,
    description="t1_mp2rage_UNI_Images",
    repetition=5000,
    image_type=("DERIVED", "PRIMARY", "M", "ND", "UNI"),
    number=13,
)
DENOISED = replace(UNIFORM, description="t1_mp2rage_UNI-DEN", number=14)
T1_MAP = replace(UNIFORM, image_type=("DERIVED", "PRIMARY", "T1 MAP"), number=15)


def test_mp2rage_is_taken_denoised_or_with_a_flag(tmp_path: Path) -> None:
    both = [*INVERSIONS, UNIFORM, DENOISED, T1_MAP]
    rows = decided(*both, source=tmp_path / "both")
    assert [row.series for row in rows if row.decision == "kept"] == ["14"]
    assert not any("t1w-mp2rage" in row.reason or "noise outside" in row.reason for row in rows)
    rows = decided(*both[:3], T1_MAP, source=tmp_path / "noisy")
    (kept,) = [row for row in rows if row.decision == "kept"]
    assert kept.series == "13" and "noise outside the head" in kept.reason
    rows = decided(*INVERSIONS, source=tmp_path / "bare")
    assert all(row.decision == "skipped" and "UNI-DEN" in row.reason for row in rows)


def test_inversions_without_a_name_are_told_by_their_times(tmp_path: Path) -> None:
    unnamed = [replace(series, description="sag 3d") for series in INVERSIONS]
    rows = decided(*unnamed, source=tmp_path / "in")
    assert all(row.decision == "skipped" and "InversionTime" in row.reason for row in rows), rows


def test_another_part_of_the_body_is_the_last_choice(tmp_path: Path) -> None:
    """Of a whole-body PET/MR; alone it is used with a flag, for consoles are told wrong, too."""
    for number, (images, part) in enumerate(((SMALL, "ABDOMEN"), (FLASH, "BRAIN"))):
        datasets = list(images.datasets(study="1.2.3"))
        for data in datasets:
            data.BodyPartExamined = part
        write(tmp_path / "in" / str(number), datasets)
    rows = dry(tmp_path / "in").rows
    decided = {row.description: (row.decision, row.reason) for row in rows}
    assert decided["x"][0] == "kept" and "BodyPartExamined" not in decided["x"][1]
    assert decided["t1_mprage"][0] == "skipped" and "BodyPartExamined" in decided["t1_mprage"][1]
    (row,) = dry(tmp_path / "in" / "0").rows
    assert row.decision == "kept" and "BodyPartExamined is ABDOMEN: check" in row.reason


@pytest.mark.parametrize("kind", ["PHASE", "REAL", "GE"])
def test_what_is_no_magnitude_is_no_t1w(tmp_path: Path, kind: str) -> None:
    """Beside the magnitude of its series, where ImageType is the same for both."""
    datasets = [data for _ in range(2) for data in SMALL.datasets(study="1.2.3")]
    for number, data in enumerate(datasets):
        data.SeriesInstanceUID, data.InstanceNumber = "1.2.3.4", number + 1
        if kind == "GE":
            block = data.private_block(0x43, "GEMS_PARM_01", create=True)
            block.add_new(0x2F, "SS", 2 * (number >= 35))
        else:
            data.ComplexImageComponent = kind if number >= 35 else "MAGNITUDE"
    write(tmp_path / "in", datasets)
    report = dry(tmp_path / "in")
    assert [(row.kind, row.decision) for row in report.rows] == [
        ("T1w", "kept"),
        ("other MR", "skipped"),
    ]
    assert "not a T1w magnitude image" in report.rows[1].reason
