"""When a scan gets no number: a volume that was not seen, damage, a value that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bidsapp.core.quality import Limits, QualityLevel, centiloid_level
from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
from bidsapp.data.sentences import refused
from bidsapp.errors import BadDataError


def refuse_unseen(
    table: Mapping[str, VoiStatistics], needed: Iterable[str], rule: CoverageRule
) -> None:
    """Refuse a scan of which a volume that the Centiloid needs was not measured.

    Parameters
    ----------
    table : statistics by volume of interest
    needed : names of the volumes
    rule : what coverage is enough

    Raises
    ------
    BadDataError
    """
    for name in needed:
        if table[name].mean is None:
            raise refused("no-number", "unseen", name=name, row=table[name], rule=rule)


def refuse_damaged(region: str, lost: float, step: float | None, most_lost: float) -> None:
    """Refuse a scan whose reference region is damaged.

    Parameters
    ----------
    region : reference region
    lost : part of it that holds one number, or next to nothing
    step : step of the uptake between two planes that cross it, over the mean; None without one
    most_lost : part that may be lost

    Raises
    ------
    BadDataError
    """
    if lost > most_lost:
        raise refused("no-number", "lost", region=region, lost=lost)
    if step is not None:
        raise refused("no-number", "step", region=region, step=step)


def refuse_beyond(numbers: Mapping[str, float | None], limits: Limits, **words: object) -> None:
    """Refuse a scan with a number that no result has.

    Parameters
    ----------
    numbers : by name, None where one is not known
    limits : by the same names: ``refuse``, the largest of a result, and the sentence when it is
        ``refused``; rows without it give a number
    **words : what the sentences need besides ``name``, ``value``, ``limit`` and what the row has

    Raises
    ------
    BadDataError
    """
    for name, row in limits.items():
        value = numbers.get(name)
        if "refused" in row and value is not None and not value <= row["refuse"]:
            given = {**row, **words, "name": name, "value": value, "limit": row["refuse"]}
            raise BadDataError(row["refused"].format(**given))


def refuse_impossible(centiloid: float, lowest: float, highest: float) -> None:
    """Refuse an impossible Centiloid.

    Parameters
    ----------
    centiloid : CL
    lowest, highest : of people, CL

    Raises
    ------
    BadDataError
    """
    if centiloid_level(centiloid, lowest, highest) is not QualityLevel.GOOD:
        ends = {"lowest": lowest, "highest": highest}
        raise refused("no-number", "impossible", centiloid=centiloid, **ends)
