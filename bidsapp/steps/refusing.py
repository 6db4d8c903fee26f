"""When a scan gets no number: a volume that was not seen, damage, a value that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bidsapp.core.quality import Limits, QualityLevel, centiloid_level
from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
from bidsapp.data.sentences import refused


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


def refuse_uneven(region: str, apart: float | None, most: float) -> None:
    """Refuse a scan whose reference region is inhomogeneous.

    Parameters
    ----------
    region : reference region
    apart : deviation of a part of it from the others, over its mean; None if it is unknown
    most : largest that a mean may rest on

    Raises
    ------
    BadDataError
    """
    if apart is not None and not apart <= most:
        raise refused("no-number", "uneven", region=region, apart=apart, most=most)


def refuse_one_value(share: float, most: float) -> None:
    """Refuse an image whose brain holds one value, as that of a mask does.

    Parameters
    ----------
    share : part of the brain tissue at the largest value of the image
    most : largest that can be measured

    Raises
    ------
    BadDataError
    """
    if share > most:
        raise refused("no-number", "one-value", share=share, most=most)


def refuse_offset(level: float | None, most: float) -> None:
    """Refuse an image whose air is far from zero, as that of a CT is.

    Parameters
    ----------
    level : size of the air, over the uptake of the brain; None if it is unknown
    most : largest of a PET

    Raises
    ------
    BadDataError
    """
    if level is not None and level > most:
        raise refused("no-number", "offset", level=level, most=most)


def refuse_mr(detail: float | None, most: float) -> None:
    """Refuse an MR image in place of a PET.

    Parameters
    ----------
    detail : part of the fine structure of the T1w that it shows; None if it is unknown
    most : largest of a PET

    Raises
    ------
    BadDataError
    """
    if detail is not None and detail > most:
        raise refused("no-number", "not-a-pet", detail=detail, most=most)


def refuse_impossible(centiloid: float, lowest: float, highest: float) -> None:
    """Refuse a Centiloid that nobody has.

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


def refuse_misplaced(quality: Mapping[str, float], limits: Limits) -> None:
    """Refuse a PET that was misplaced on the template.

    Parameters
    ----------
    quality : of `bidsapp.core.pet_only.pet_normalisation.PetNormalisation`
    limits : by the names of the numbers: ``refuse``, the largest value of a result, and what a
        larger one ``means``

    Raises
    ------
    BadDataError
    """
    for name, row in limits.items():
        limit = row.get("refuse", float("inf"))
        if "means" in row and not quality[name] <= limit:
            numbers = {"name": name, "value": quality[name], "limit": limit}
            raise refused("no-number", "misplaced", means=row["means"], **numbers)
