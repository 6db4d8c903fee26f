"""What a person should know before believing a number: findings, each with a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bidsapp.core.voi import CoverageRule, VoiStatistics


@dataclass(frozen=True)
class Finding:
    """Something a person should look at.

    Attributes
    ----------
    code : str
        Stable name, for tables and filters.
    message : str
        One sentence that says what to do.
    """

    code: str
    message: str


def coverage_refusal(
    table: Mapping[str, VoiStatistics], needed: Iterable[str], rule: CoverageRule
) -> str | None:
    """Why there can be no Centiloid when a volume it needs was not measured, else None."""
    for name in needed:
        if table[name].mean is None:
            return (
                f"the PET's field of view holds {table[name].coverage:.0%} of the volume of "
                f"interest {name}, less than {rule.refuse:.0%}; look whether the image is cut and "
                "whether it belongs to this T1w"
            )
    return None


def coverage_findings(
    table: Mapping[str, VoiStatistics], rule: CoverageRule
) -> tuple[Finding, ...]:
    """Volumes of interest that the PET measured only in part."""
    low = [f"{name} {row.coverage:.0%}" for name, row in table.items() if row.coverage < rule.flag]
    if not low:
        return ()
    return (
        Finding(
            "voi-coverage",
            f"the PET's field of view holds only part of {', '.join(low)}: look whether cerebellum "
            "or vertex are cut, and trust no region that is",
        ),
    )


def alignment_findings(distance_mm: float, limit_mm: float) -> tuple[Finding, ...]:
    """Disagreement of the two ways to align the PET with the T1w."""
    if distance_mm <= limit_mm:
        return ()
    return (
        Finding(
            "pet-t1w-distance",
            f"mutual information and tissue maps put the PET {distance_mm:.1f} mm apart (limit "
            f"{limit_mm:g} mm): look at the picture of the PET over the T1w",
        ),
    )


def centiloid_findings(value: float, lowest: float, highest: float) -> tuple[Finding, ...]:
    """A Centiloid that people do not have."""
    if lowest <= value <= highest:
        return ()
    return (
        Finding(
            "centiloid-implausible",
            f"a Centiloid of {value:.0f} is outside {lowest:g} to {highest:g}: check the tracer, "
            "the choice of images and the alignment",
        ),
    )
