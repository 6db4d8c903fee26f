"""Traffic lights: what each quality number of a scan says, against limits that are data.

Green is within the limit, amber asks a person to look, red means that the number cannot be right;
a number without a known limit has no colour, it is told for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bidsapp.data import read_table
from bidsapp.report.records import ScanRecord, Status
from bidsapp.report.render import number

_ORDER = ("red", "amber", "green", "none")
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
    """Traffic lights of a finished scan, the worst first."""
    if record.status is not Status.OK:
        return []
    found = [*_window(record), *_coverage(record), *_plausible(record), *_numbers(record.qc)]
    return sorted(found, key=lambda light: _ORDER.index(light.colour))


def _window(record: ScanRecord) -> Iterator[Light]:
    if record.window_min is None or record.tracer_window_min is None:
        return
    (start, end), (first, last) = record.window_min, record.tracer_window_min
    share = record.window.get("coverage")
    covered = "" if share is None else f"{number(100 * share, 0)} % of "
    flagged = any(flag.code.startswith("window-") for flag in record.flags)
    verdict = record.window.get("verdict") or ("look" if flagged else "good")
    colours = {word: colour for colour, word in WORDS.items()}
    yield Light(
        "window",
        colours.get(verdict, "none"),
        "Uptake window",
        f"{number(start)} to {number(end)} min",
        f"{covered}the tracer’s {number(first, 0)} to {number(last, 0)} min",
        "part of the scan that was averaged, after injection; a late start raises the Centiloid",
    )


def _coverage(record: ScanRecord) -> Iterator[Light]:
    covered = {n: c for n, v in record.voi.items() if (c := v.get("coverage")) is not None}
    if not covered:
        return
    least = min(covered, key=lambda name: covered[name])
    limits = read_table("limits")["voi_coverage"]
    share = covered[least]
    colour = "green" if share >= limits["flag"] else "amber" if share >= limits["refuse"] else "red"
    yield Light(
        "coverage",
        colour,
        "Regions inside the field of view",
        f"{number(100 * share, 1)} % ({least})",
        f"limit {number(100 * limits['flag'], 0)} %",
        "the least part of any Centiloid region that the PET has seen",
    )


def _plausible(record: ScanRecord) -> Iterator[Light]:
    if record.centiloid is None:
        return
    limits = read_table("limits")["centiloid"]
    inside = limits["lowest"] <= record.centiloid <= limits["highest"]
    yield Light(
        "plausible",
        "green" if inside else "red",
        "Plausible Centiloid",
        f"{number(record.centiloid)} CL",
        f"people lie between {number(limits['lowest'], 0)} and {number(limits['highest'], 0)} CL",
        "beyond, a wrong tracer, a wrong image or a failed step is likelier",
    )


def _numbers(qc: Mapping[str, float | None]) -> Iterator[Light]:
    """Numbers in the order of the table of known ones, then the others under their own names."""
    known, limits = read_table("qc"), read_table("limits")
    for name, row in known.items():
        if name in qc:
            colour, verdict = judged(qc[name], row, limits.get(row.get("limit", name), {}))
            unit = f" {row['unit']}" if row["unit"] and qc[name] is not None else ""
            value = number(qc[name], row["digits"]) + unit
            yield Light(name, colour, row["label"], value, verdict, row["meaning"])
    for name, value in qc.items():
        if name not in known:
            yield Light(name, "none", name, number(value, 3), "", "")


def judged(
    value: float | None, row: Mapping[str, Any], limits: Mapping[str, Any]
) -> tuple[str, str]:
    """Colour and sentence of a value; limits of flags go before what is usual."""
    if value is None:
        return "none", ""
    unit = f" {row['unit']}" if row["unit"] else ""
    if "possible_above" in row and value <= row["possible_above"]:
        return "red", f"must be above {number(row['possible_above'], row['digits'])}{unit}"
    if isinstance(limit := limits.get("flag"), int | float):
        words = f"limit of {number(limit, row['digits'])}{unit}"
        good = value <= limit
        return ("green", f"within the {words}") if good else ("amber", f"above the {words}")
    if isinstance(limit := limits.get("least"), int | float):
        words = f"least good value of {number(limit, row['digits'])}{unit}"
        good = value >= limit
        return ("green", f"above the {words}") if good else ("amber", f"below the {words}")
    if "usual" in row:
        low, high = row["usual"]
        words = f"usual is {number(low, row['digits'])} to {number(high, row['digits'])}{unit}"
        return ("green" if low <= value <= high else "amber"), words
    return "none", ""
