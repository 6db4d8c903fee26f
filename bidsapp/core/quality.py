"""Flags of a result, each with a sentence, and the limits of quality numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regions.voi import CoverageRule

# By the name of a number: its limits, and what is said beyond them.
Limits = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Flag:
    """Something a person should look at.

    Attributes
    ----------
    code : stable name, for tables and filters
    message : one sentence that says what to do
    """

    code: str
    message: str


class QualityLevel(StrEnum):
    """Rating of a quality number, the best first."""

    GOOD = "good"
    LOOK = "look"  # a person should look
    WRONG = "wrong"  # it cannot be right


def is_beyond(value: float, limits: Mapping[str, Any]) -> bool:
    """Whether a number is beyond its limit: ``flag``, the largest good size, or ``least``.

    Parameters
    ----------
    value : float
    limits : ``flag``, ``least``, ``lowest`` and ``highest``, or none of them

    Returns
    -------
    bool
    """
    if "flag" in limits:
        return bool(abs(value) > limits["flag"])
    if "lowest" in limits:
        return not limits["lowest"] <= value <= limits["highest"]
    return bool("least" in limits and value < limits["least"])


def flagged(
    numbers: Mapping[str, float | None], limits: Limits, **words: object
) -> tuple[Flag, ...]:
    """Flags of the numbers beyond their limits, in the order of the limits.

    Parameters
    ----------
    numbers : by name, None where one cannot be determined
    limits : by the same names: as of `is_beyond`, and ``code`` and ``says`` of the flag, or the
        name of the number that it is ``like``
    **words : what the sentences need besides ``value``, ``limit`` and what the row has

    Returns
    -------
    tuple of Flag

    Examples
    --------
    >>> limits = {"apart_mm": {"flag": 3.0, "code": "apart", "says": "{value:.1f} mm off the {of}"}}
    >>> flagged({"apart_mm": 4.0}, limits, of="T1w")
    (Flag(code='apart', message='4.0 mm off the T1w'),)
    """
    return tuple(
        Flag(
            flag["code"],
            flag["says"].format(
                **{**row, **words}, value=value, limit=row.get("flag", row.get("least"))
            ),
        )
        for flag, row, value in _beyond(numbers, limits)
    )


def codes_beyond(numbers: Mapping[str, float | None], limits: Limits) -> tuple[str, ...]:
    """Codes of the flags that `flagged` gives.

    Parameters
    ----------
    numbers, limits : as of `flagged`

    Returns
    -------
    tuple of str
    """
    return tuple(flag["code"] for flag, *_ in _beyond(numbers, limits))


def _beyond(
    numbers: Mapping[str, float | None], limits: Limits
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], float]]:
    """Rows with code and sentence, and with the limit, of the numbers beyond it, and these."""
    for name, row in limits.items():
        value, flag = numbers.get(name), limits[row.get("like", name)]
        if value is not None and "says" in flag and is_beyond(value, row):
            yield flag, row, value


def coverage_level(share: float, rule: CoverageRule) -> QualityLevel:
    """Rating of the coverage of a volume of interest.

    Parameters
    ----------
    share : part inside the field of view, 0 to 1
    rule : what coverage is enough

    Returns
    -------
    Level
    """
    if share >= rule.flag:
        return QualityLevel.GOOD
    return QualityLevel.LOOK if share >= rule.refuse else QualityLevel.WRONG


def centiloid_level(value: float, lowest: float, highest: float) -> QualityLevel:
    """Whether people have such a Centiloid.

    Parameters
    ----------
    value : Centiloid
    lowest, highest : of people, CL

    Returns
    -------
    Level
    """
    return QualityLevel.GOOD if lowest <= value <= highest else QualityLevel.WRONG


def strain_findings(strain: NDArray[np.float64], limits: Limits) -> tuple[Flag, ...]:
    """A PET that fits the T1w better when it is stretched.

    Parameters
    ----------
    strain : ndarray, shape (3, 3)
        Logarithm of the stretch, T1w world.
    limits : ``pet_t1w_stretch``

    Returns
    -------
    tuple of Flag
    """
    sizes, directions = np.linalg.eigh(strain)
    most = int(np.argmax(np.abs(sizes)))
    size = float(sizes[most])
    alike = (np.sign(sizes) == np.sign(size)).all() and 2 * np.abs(sizes).min() > abs(size)
    axes = ("from left to right", "from front to back", "from head to foot")
    axis = "in all directions" if alike else axes[int(np.argmax(np.abs(directions[:, most])))]
    longer, part = "longer" if size > 0 else "shorter", abs(np.expm1(size))
    return flagged({"pet_t1w_stretch": size}, limits, part=part, longer=longer, axis=axis)


# Flags of a position or a normalisation that may be wrong.
_DOUBTS = ("pet-t1w-", "pet-only-", "normalisation-", "t1w-orientation", "centiloid-implausible")


def doubts_number(flags: Iterable[Flag], limits: Limits) -> bool:
    """Whether a flag says that volumes of interest may be misplaced or damaged.

    Parameters
    ----------
    flags : of a scan
    limits : ``code`` of those that ``doubts``, by the names of the numbers

    Returns
    -------
    bool
    """
    damage = {row["code"] for row in limits.values() if row.get("doubts")}
    return any(flag.code in damage or flag.code.startswith(_DOUBTS) for flag in flags)
