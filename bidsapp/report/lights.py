"""Traffic lights: the verdicts of a record as a page shows them.

Green is within the limit, amber asks a person to look, red means that the number cannot be right;
a number without a known limit has no colour, it is shown for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bidsapp.core.quality import QualityLevel
from bidsapp.data import read_table
from bidsapp.record import ScanRecord, Status
from bidsapp.record.model import Basis, Verdict
from bidsapp.report.render import number

_ORDER = ("red", "amber", "green", "none")
_COLOURS = {QualityLevel.GOOD: "green", QualityLevel.LOOK: "amber", QualityLevel.WRONG: "red"}
WORDS = {"green": "good", "amber": "look", "red": "wrong", "none": "for comparison"}


@dataclass(frozen=True)
class Light:
    """One quality item.

    Attributes
    ----------
    name : key: of the table of quality numbers, or ``window``, ``coverage``, ``plausible``
    colour : ``green``, ``amber``, ``red`` or ``none``
    label : what was measured
    value : for people, with its unit
    verdict : the value against its limit; empty without one
    meaning : what the number is
    """

    name: str
    colour: str
    label: str
    value: str
    verdict: str
    meaning: str

    @property
    def word(self) -> str:
        """The colour for those who do not see it."""
        return WORDS[self.colour]


def lights(record: ScanRecord) -> list[Light]:
    """Traffic lights of a finished scan, the worst first; none of any other.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    list of Light
    """
    if record.status is not Status.OK:
        return []
    every_light = [*_window(record), *_coverage(record), *_plausible(record), *_numbers(record)]
    return sorted(every_light, key=lambda light: _ORDER.index(light.colour))


def _window(record: ScanRecord) -> Iterator[Light]:
    if record.window_min is None or record.tracer_window_min is None:
        return
    (start, end), (first, last) = record.window_min, record.tracer_window_min
    share = record.window.coverage if record.window else None
    covered = "" if share is None else f"{number(100 * share, 0)} % of "
    yield Light(
        "window",
        _colour(record, "window"),
        "Uptake window",
        f"{number(start)} to {number(end)} min",
        f"{covered}the tracer’s {number(first, 0)} to {number(last, 0)} min",
        "part of the scan that was averaged, after injection; a late start raises the Centiloid",
    )


def _coverage(record: ScanRecord) -> Iterator[Light]:
    if record.coverage is None:
        return
    region = read_table("display")["volumes"].get(record.coverage.region, record.coverage.region)
    verdict = record.verdicts.get("coverage")
    limit = verdict.lowest if verdict else None
    yield Light(
        "coverage",
        _colour(record, "coverage"),
        "Regions inside the field of view",
        f"{number(100 * record.coverage.share, 1)} % ({region})",
        "" if limit is None else f"limit {number(100 * limit, 0)} %",
        "smallest part of any Centiloid region inside the field of view of the PET",
    )


def _plausible(record: ScanRecord) -> Iterator[Light]:
    verdict = record.verdicts.get("plausible")
    if record.centiloid is None or verdict is None:
        return
    yield Light(
        "plausible",
        _colour(record, "plausible"),
        "Plausible Centiloid",
        f"{number(record.centiloid)} CL",
        f"range in people: {number(verdict.lowest, 0)} to {number(verdict.highest, 0)} CL",
        "outside this range, a wrong tracer, a wrong image or a failed step is more likely",
    )


def _numbers(record: ScanRecord) -> Iterator[Light]:
    """Numbers in the order of the table of known ones, then the others under their own names."""
    known, qc = read_table("qc"), record.qc
    for name, row in known.items():
        if name in qc:
            unit = f" {row['unit']}" if row["unit"] and qc[name] is not None else ""
            shown = number(qc[name], row["digits"]) + unit
            verdict = record.verdicts.get(name)
            judged = "" if verdict is None else in_words(verdict, row)
            yield Light(name, _colour(record, name), row["label"], shown, judged, row["meaning"])
    for name, value in qc.items():
        if name not in known:
            yield Light(name, "none", name, number(value, 3), "", "")


def _colour(record: ScanRecord, name: str) -> str:
    verdict = record.verdicts.get(name)
    return "none" if verdict is None else _COLOURS[verdict.level]


def in_words(verdict: Verdict, row: Mapping[str, Any]) -> str:
    """Sentence of a verdict.

    Parameters
    ----------
    verdict : of a quality number
    row : of the table of quality numbers

    Returns
    -------
    str
    """
    unit = f" {row['unit']}" if row["unit"] else ""
    low, high = number(verdict.lowest, row["digits"]), number(verdict.highest, row["digits"])
    good = verdict.level is QualityLevel.GOOD
    if verdict.basis is Basis.POSSIBLE:
        return f"must be above {low}{unit}"
    if verdict.basis is Basis.USUAL:
        return f"usual is {low} to {high}{unit}"
    if verdict.highest is not None:
        return f"{'within' if good else 'above'} the limit of {high}{unit}"
    return f"at least {low}{unit}" if good else f"below the limit of {low}{unit}"
