"""Sites and scanners of a study: number and quality of scans, differences of Centiloids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

from bidsapp.core.quality import Flag
from bidsapp.core.statistics.location import shift
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.group.longitudinal import flag_columns
from bidsapp.group.outliers import LIMIT, Score
from bidsapp.group.scan_choice import first_scans
from bidsapp.group.tables import Row
from bidsapp.plain import natural
from bidsapp.report.render import number

_MEASURES = ("pet_fwhm_mm", "sd_noise", "pet_t1w_distance_mm", "least_coverage", "brain_ml")


def site_rows(rows: Sequence[Row], scored: Iterable[Score]) -> list[dict[str, Any]]:
    """Rows of ``group_sites.tsv``: every site, then the scanners of sites with several, by tracer.

    Centiloids are those of the first scan of each person with the tracer, wherever it was: a site
    with more visits does not count for more, and nobody is compared with themselves. The difference
    is that from all other sites (or scanners) of the tracer.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    scored : of `bidsapp.group.outliers.scores`

    Returns
    -------
    list of dict
    """
    far = {score.index for score in scored if abs(score.z) > LIMIT}
    site_table = []
    for level in ("site", "scanner"):
        groups: dict[str | None, dict[tuple[Any, ...], list[int]]] = {}
        for index, row in enumerate(rows):
            key = (row.get("site"), row.get("scanner") if level == "scanner" else None)
            groups.setdefault(row["tracer"], {}).setdefault(key, []).append(index)
        for tracer in sorted(groups, key=lambda code: (code is None, code)):
            members = groups[tracer]
            if level == "scanner" and all(key[1] is None for key in members):
                continue
            scanners = Counter(key[0] for key in members)
            first = _first_centiloids(rows, chain.from_iterable(members.values()))
            values = {
                key: [first[index] for index in indices if index in first]
                for key, indices in members.items()
            }
            for key in sorted(members, key=lambda key: [natural(part or "") for part in key]):
                if level == "site" or scanners[key[0]] > 1:  # else the row of the site has it all
                    site_table.append(_row(rows, level, tracer, key, members[key], far, values))
    return site_table


def _row(
    rows: Sequence[Row], level: str, tracer: str | None, key: tuple[Any, ...],
    indices: Sequence[int], far: set[int], centiloids: Mapping[tuple[Any, ...], Sequence[float]],
) -> dict[str, Any]:  # fmt: skip
    scanners = {rows[index].get("scanner") for index in indices}
    done = [index for index in indices if rows[index]["status"] == "ok"]
    values = centiloids[key]
    others = [value for other, of in centiloids.items() if other != key for value in of]
    difference, flags = _difference(values, others, _comparisons(centiloids.values()), level)
    given: dict[str, Any] = {
        "level": level,
        "tracer": tracer,
        "site": key[0],
        "scanner": scanners.pop() if len(scanners) == 1 else None,
        "n_participants": len({rows[index]["participant_id"] for index in indices}),
        "n_scans": len(indices),
        "n_results": len(done),
        "n_flagged": sum(bool(rows[index]["flags"]) for index in done),
        "n_outliers": len(far.intersection(done)),
        "centiloid_median": median(values) if values else None,
        "centiloid_mad": _mad(values),
        **difference,
    }
    for name in _MEASURES:
        known = [x for index in done if (x := rows[index].get(name)) is not None]
        given[f"{name}_median"] = median(known) if known else None
        given[f"{name}_mad"] = _mad(known)
    return given | flag_columns(flags)


def _comparisons(groups: Iterable[Sequence[float]]) -> int:
    """Differences between groups that can be computed; of two groups both are the same one."""
    sizes = list(map(len, groups))
    fewest = read_table("cohort")["sites"]["fewest"]
    enough = sum(min(size, sum(sizes) - size) >= fewest for size in sizes)
    return 1 if enough == 2 and sum(map(bool, sizes)) == 2 else max(enough, 1)


def _difference(
    values: Sequence[float], others: Sequence[float], comparisons: int, level: str
) -> tuple[dict[str, float | None], list[Flag]]:
    names = ("difference", "difference_low", "difference_high")
    limits = read_table("cohort")["sites"]
    difference = None
    if min(len(values), len(others)) >= limits["fewest"]:
        difference = shift(values, others, 1 - (1 - limits["level"]) / comparisons)
    if difference is None:
        return dict.fromkeys(names), []
    flags = []
    if difference[1] > 0 or difference[2] < 0:
        worded = dict(zip(names, map(number, difference), strict=True))
        flags.append(worded_flag(f"{level}-differs", **worded))
    return dict(zip(names, difference, strict=True)), flags


def _first_centiloids(rows: Sequence[Row], indices: Iterable[int]) -> dict[int, float]:
    """One Centiloid per person, that of the earliest scan, by its index."""
    indices = sorted(indices)
    first = first_scans([rows[index] for index in indices])
    return {indices[i]: rows[indices[i]]["centiloid"] for i in first}


def _mad(values: Sequence[float]) -> float | None:
    """Median absolute deviation; None for fewer than three."""
    if len(values) < 3:
        return None
    middle = median(values)
    return median(abs(value - middle) for value in values)
