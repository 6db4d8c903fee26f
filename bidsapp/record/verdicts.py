"""Verdicts on a scan: bands, quality numbers, coverage, plausibility.

Pages, tables and summaries show what stands here; none of them knows a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bidsapp.core.quality import (
    Flag,
    QualityLevel,
    centiloid_level,
    coverage_level,
    doubts_number,
    is_beyond,
)
from bidsapp.core.regions.voi import CoverageRule
from bidsapp.data import read_table
from bidsapp.data.literature import Band, scale
from bidsapp.options.option_table import PROCESSING
from bidsapp.record.model import (
    BandStatement,
    Basis,
    LeastCoverage,
    ScanRecord,
    Status,
    Verdict,
)
from bidsapp.settings import Interval


def judged(record: ScanRecord) -> ScanRecord:
    """A record with its verdicts; one without a result has none.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    ScanRecord
    """
    if record.status is not Status.OK:
        return replace(record, verdicts={}, coverage=None)
    covered = {name: row.coverage for name, row in record.voi.items()}
    coverage = None
    if covered:
        least = min(covered, key=lambda name: covered[name])
        coverage = LeastCoverage(least, covered[least])
    band = None if is_doubtful(record.flags) else record.band
    record = replace(record, coverage=coverage, band=band)
    return replace(record, verdicts=dict(_verdicts(record)))


def is_doubtful(flags: Iterable[Flag]) -> bool:
    """Whether a flag puts the number itself in doubt: its band is not given.

    Parameters
    ----------
    flags : of a scan

    Returns
    -------
    bool
    """
    return doubts_number(flags, read_table("limits"))


def by_weight(flags: Iterable[Flag]) -> list[Flag]:
    """Flags as people read them: those that put the number in doubt first.

    Parameters
    ----------
    flags : of a scan

    Returns
    -------
    list of Flag
    """
    return sorted(flags, key=lambda flag: not is_doubtful([flag]))


def _verdicts(record: ScanRecord) -> Iterator[tuple[str, Verdict]]:
    limits = read_table("limits")
    if record.window is not None and record.window.verdict is not None:
        yield "window", Verdict(record.window.verdict)
    if record.coverage is not None:
        rule = CoverageRule(**limits["voi_coverage"])
        level = coverage_level(record.coverage.share, rule)
        yield "coverage", Verdict(level, Basis.LIMIT, lowest=rule.flag)
    if record.centiloid is not None:
        ends = limits["centiloid"]["lowest"], limits["centiloid"]["highest"]
        level = centiloid_level(record.centiloid, *ends)
        yield "plausible", Verdict(level, Basis.POSSIBLE, *ends)
    for name, row in read_table("qc").items():
        value = record.qc.get(name)
        if value is not None:
            verdict = number_verdict(value, row, limits.get(row.get("limit", name), {}))
            if verdict is not None:
                yield name, verdict


def number_verdict(
    value: float, row: Mapping[str, Any], limits: Mapping[str, float]
) -> Verdict | None:
    """Judge a quality number; limits of flags take precedence over usual ranges.

    Parameters
    ----------
    value : of the number
    row : of ``qc.toml``
    limits : of ``limits.toml``: ``flag`` or ``least``; empty without

    Returns
    -------
    Verdict or None
        None for a number without a limit, which is shown for comparison.
    """
    if "possible_above" in row and value <= row["possible_above"]:
        return Verdict(QualityLevel.WRONG, Basis.POSSIBLE, lowest=row["possible_above"])
    if limits.keys() & {"flag", "least"}:
        level = QualityLevel.LOOK if is_beyond(value, limits) else QualityLevel.GOOD
        highest = limits.get("flag")
        return Verdict(
            level, Basis.LIMIT, None if highest is not None else limits["least"], highest
        )
    if "usual" in row:
        low, high = row["usual"]
        level = QualityLevel.GOOD if low <= value <= high else QualityLevel.LOOK
        return Verdict(level, Basis.USUAL, low, high)
    return None


def band_statement(
    value: float | None, interval: tuple[float, float] | None, kind: Interval
) -> BandStatement | None:
    """What a record says of the band of a Centiloid.

    Parameters
    ----------
    value : Centiloid, None when there is none
    interval : its 95 % interval, None when it is not known
    kind : which of the two intervals that is

    Returns
    -------
    BandStatement or None
        A shared edge belongs to the inner band.
    """
    if value is None:
        return None
    known = scale()
    band = known.band_of(value)
    crossed = () if interval is None else known.crossed(interval)
    return BandStatement(
        name=band.name,
        label=band.label,
        source=known.source.short,
        doi=known.source.doi,
        crossed=crossed,
        indeterminate=None if interval is None else bool(crossed),
        statement=_statement(band, crossed, kind, known.source.short),
    )


def _statement(band: Band, crossed: tuple[float, ...], kind: Interval, source: str) -> str:
    if not crossed:
        return f"{band.label} CL: {band.meaning} ({source})"
    edges = " and ".join(f"{edge:g}" for edge in crossed)
    words = PROCESSING["interval"].phrases[kind]
    return (
        f"indeterminate near the threshold: the 95 % interval of {words} crosses "
        f"{edges} CL; the value itself lies {band.label} CL ({source})"
    )
