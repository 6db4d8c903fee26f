"""Outliers of quality numbers among the scans of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bidsapp.core.grid.sampling import SD_PER_MAD
from bidsapp.group.longitudinal import suvr_of
from bidsapp.group.tables import Row
from bidsapp.grouping import grouped

# Of the PET, compared within a tracer and a scanner: a scan that was smoothed after the
# reconstruction may be as sharp as those of other scanners. Of the T1w, compared among all.
OF_PET = (
    "pet_t1w_distance_mm", "pet_t1w_unexplained", "pet_fwhm_mm", "least_coverage",
    "reference_difference_sds", "noise_percent",
)  # fmt: skip
OF_T1W = ("start_spread_mm", "gm_wm_contrast", "brain_ml")

LIMIT = 3.5  # Iglewicz & Hoaglin 1993, How to detect and handle outliers
FEWEST = 8  # scans that a spread can be taken from


@dataclass(frozen=True)
class Score:
    """Robust z-score of one number of one scan.

    Attributes
    ----------
    index : of the row among all
    measure : column
    value, z : the number, and (value - median) / (1.4826 * median absolute deviation)
    """

    index: int
    measure: str
    value: float
    z: float


def scores(rows: Sequence[Row]) -> list[Score]:
    """Robust z-scores of every quality number; none where fewer than eight scans can be compared.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    list of Score
    """
    scored: list[Score] = []
    done = [index for index, row in enumerate(rows) if row["status"] == "ok"]
    kinds = _by_kind(rows, done)
    for measure in OF_PET:
        for kind, indices in kinds.items():
            among = indices if len(kind) > 1 else [p for p in done if rows[p]["tracer"] == kind[0]]
            members = set(indices)
            scored += [score for score in _scores(rows, among, measure) if score.index in members]
    for measure in OF_T1W:
        scored += _scores(rows, done, measure)
    return scored


def _by_kind(rows: Sequence[Row], indices: Sequence[int]) -> dict[tuple[Any, ...], list[int]]:
    """Scans of a tracer by one scanner; those of scanners with too few of them by tracer alone."""
    keys = {p: tuple(rows[p].get(key) for key in ("tracer", "site", "scanner")) for p in indices}
    count = Counter(keys.values())
    kinds = grouped((key if count[key] >= FEWEST else key[:1], p) for p, key in keys.items())
    return kinds


def outliers(scored: Iterable[Score]) -> list[Score]:
    """Scores beyond the limit, the farthest first.

    Parameters
    ----------
    scored : of `scores`

    Returns
    -------
    list of Score
    """
    return sorted(
        (score for score in scored if abs(score.z) > LIMIT), key=lambda score: -abs(score.z)
    )


def _scores(rows: Sequence[Row], indices: Sequence[int], measure: str) -> list[Score]:
    values = {
        index: known for index in indices if (known := _value(rows[index], measure)) is not None
    }
    if len(values) < FEWEST:
        return []
    middle = median(values.values())
    spread = SD_PER_MAD * median(abs(value - middle) for value in values.values())
    if spread < 1e-9 * max(abs(middle), 1.0):  # all alike: distance has no measure
        return []
    return [Score(at, measure, value, (value - middle) / spread) for at, value in values.items()]


def _value(row: Row, measure: str) -> float | None:
    """Number of a scan; noise in per cent of the SUVR, so that it does not grow with the load."""
    if measure != "noise_percent":
        return row.get(measure)
    noise, slope, suvr = row.get("sd_noise"), row.get("slope"), suvr_of(row)
    return 100 * noise / abs(slope * suvr) if noise is not None and slope and suvr else None
