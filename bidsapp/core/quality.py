"""What a person should know before believing a number: flags, each with a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regions.voi import CoverageRule, VoiStatistics

# By the name of a number: its limits, and what is said beyond them.
Limits = Mapping[str, Mapping[str, Any]]

COPY_AGAIN = "look at the image, and convert or copy it again"


@dataclass(frozen=True)
class Flag:
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


class QualityLevel(StrEnum):
    """What a quality number says, the best first."""

    GOOD = "good"
    LOOK = "look"  # a person should look
    WRONG = "wrong"  # it cannot be right


def is_beyond(value: float, limits: Mapping[str, Any]) -> bool:
    """Whether a number lies beyond its limit: ``flag``, the largest good size, or ``least``.

    Parameters
    ----------
    value : float
    limits : ``flag`` or ``least``, or neither

    Returns
    -------
    bool
    """
    if "flag" in limits:
        return bool(abs(value) > limits["flag"])
    return bool("least" in limits and value < limits["least"])


def flagged(
    numbers: Mapping[str, float | None], limits: Limits, **words: object
) -> tuple[Flag, ...]:
    """Flags of the numbers beyond their limits, in the order of the limits.

    Parameters
    ----------
    numbers : by name, None where one cannot be told
    limits : by the same names: ``flag`` or ``least``, and ``code`` and ``says`` of the flag, or the
        name of the number that it is ``like``
    **words : what the sentences need besides ``value`` and ``limit``

    Returns
    -------
    tuple of Flag

    Examples
    --------
    >>> limits = {"apart_mm": {"flag": 3.0, "code": "apart", "says": "{value:.1f} mm off the {of}"}}
    >>> flagged({"apart_mm": 4.0}, limits, of="T1w")
    (Flag(code='apart', message='4.0 mm off the T1w'),)
    """
    flags = []
    for name, row in limits.items():
        value, flag = numbers.get(name), limits[row.get("like", name)]
        if value is not None and "says" in flag and is_beyond(value, row):
            limit = row.get("flag", row.get("least"))
            message = flag["says"].format(value=value, limit=limit, **words)
            flags.append(Flag(flag["code"], message))
    return tuple(flags)


def coverage_level(share: float, rule: CoverageRule) -> QualityLevel:
    """What the part of a volume of interest inside the field of view says.

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


def coverage_refusal(
    table: Mapping[str, VoiStatistics], needed: Iterable[str], rule: CoverageRule
) -> str | None:
    """Why there can be no Centiloid when a volume it needs was not measured, else None.

    Parameters
    ----------
    table : statistics by volume of interest
    needed : names of the volumes
    rule : what coverage is enough

    Returns
    -------
    str or None
    """
    for name in needed:
        if table[name].mean is None:
            return (
                f"the PET's field of view holds {table[name].coverage:.0%} of the volume of "
                f"interest {name}, less than {rule.refuse:.0%}; check whether the image is cut and "
                "whether it belongs to this T1w"
            )
    return None


def coverage_findings(table: Mapping[str, VoiStatistics], rule: CoverageRule) -> tuple[Flag, ...]:
    """Volumes of interest that the PET measured only in part.

    Parameters
    ----------
    table : statistics by volume of interest
    rule : what coverage is enough

    Returns
    -------
    tuple of Flag
    """
    low = [
        f"{name} {row.coverage:.0%}"
        for name, row in table.items()
        if coverage_level(row.coverage, rule) is not QualityLevel.GOOD
    ]
    if not low:
        return ()
    return (
        Flag(
            "voi-coverage",
            f"the PET's field of view holds only part of {', '.join(low)}: check whether "
            "cerebellum or vertex are cut, and trust no region that is",
        ),
    )


def strain_findings(strain: NDArray[np.float64], limit: float) -> tuple[Flag, ...]:
    """A PET that fits the T1w better when it is stretched.

    Parameters
    ----------
    strain : ndarray, shape (3, 3)
        Logarithm of the stretch, T1w world.
    limit : largest good size

    Returns
    -------
    tuple of Flag
    """
    sizes, directions = np.linalg.eigh(strain)
    most = int(np.argmax(np.abs(sizes)))
    size = float(sizes[most])
    if abs(size) <= limit:
        return ()
    alike = (np.sign(sizes) == np.sign(size)).all() and 2 * np.abs(sizes).min() > abs(size)
    axes = ("from left to right", "from front to back", "from head to foot")
    axis = "in all directions" if alike else axes[int(np.argmax(np.abs(directions[:, most])))]
    return (
        Flag(
            "pet-t1w-stretch",
            f"the PET fits the T1w better when it is made {abs(np.expm1(size)):.1%} "
            f"{'longer' if size > 0 else 'shorter'} {axis} (limit {limit:.1%}): the voxel size or "
            "the slice distance of one of the two is wrong; compare their headers with the "
            "protocols of the scanners",
        ),
    )


def position_findings(nmi: float | None, model: float | None, limit: float) -> tuple[Flag, ...]:
    """Centiloids that depend on how the PET was aligned.

    Parameters
    ----------
    nmi, model : Centiloid at the position by each method, None without one
    limit : largest good difference, CL

    Returns
    -------
    tuple of Flag
    """
    if nmi is None or model is None or abs(model - nmi) <= limit:
        return ()
    return (
        Flag(
            "pet-t1w-centiloid",
            f"the Centiloid is {model:.0f} with the PET aligned by tissue maps and {nmi:.0f} by "
            f"mutual information (limit {limit:g} apart; the published scale was made with the "
            "latter): look at the picture of the PET over the T1w",
        ),
    )


def missing_findings(n_voxels: int) -> tuple[Flag, ...]:
    """Voxels of the brain without an intensity.

    Parameters
    ----------
    n_voxels : int

    Returns
    -------
    tuple of Flag
    """
    if n_voxels == 0:
        return ()
    return (
        Flag(
            "t1w-missing",
            f"{n_voxels} voxels of the T1w inside the brain contain no number, or one far beyond "
            "all others, and count as missing: look at the image and convert it again",
        ),
    )


def negative_findings(level: float | None) -> tuple[Flag, ...]:
    """Intensities of a T1w below zero.

    Parameters
    ----------
    level : that was taken for zero instead, None if none had to be

    Returns
    -------
    tuple of Flag
    """
    if level is None:
        return ()
    return (
        Flag(
            "t1w-negative",
            f"intensities of the T1w go far below zero, so {level:g}, below nearly all others, "
            "was taken as zero: give the T1w as the scanner stored it if there is one, and look at "
            "the picture of its tissue",
        ),
    )


def mni_place_findings(moves: NDArray[np.floating], limit: float) -> tuple[Flag, ...]:
    """An image that is said to lie on the template and fits it better somewhere else.

    Parameters
    ----------
    moves : ndarray, shape (N, 3)
        How the best affine moves points on the border of a brain, RAS mm.
    limit : of their mean length, mm

    Returns
    -------
    tuple of Flag
    """
    apart = float(np.linalg.norm(moves, axis=1).mean())
    if apart <= limit:
        return ()
    x, y, z = (f"{value:+.0f}" for value in moves.mean(axis=0))
    return (
        Flag(
            "mni-place",
            f"does not lie where the template lies: its brain fits best when it is moved by "
            f"{apart:.1f} mm (limit {limit:g} mm; on average ({x}, {y}, {z}) mm right, front, up): "
            "normalise it again, or give the raw dataset to centipet",
        ),
    )


def not_uptake_findings(
    stated: str,
    cerebellum: NDArray[np.floating],
    ratio: float,
    limits: Limits,
) -> tuple[Flag, ...]:
    """An image whose values are not uptake, so that their ratios mean nothing.

    Parameters
    ----------
    stated : what its name or sidecar says of its units, if that is not uptake; empty otherwise
    cerebellum : ndarray, shape (N,)
        Its voxels in the whole cerebellum.
    ratio : of the mean of the cortical target to theirs
    limits : ``cerebellum_not_positive`` and ``target_ratio``

    Returns
    -------
    tuple of Flag
    """
    share = float((cerebellum <= 0).mean()) if cerebellum.size else 0.0
    possible = limits["target_ratio"]
    reason = f"its {stated}" if stated else ""
    if not reason and share > limits["cerebellum_not_positive"]["flag"]:
        reason = f"{share:.0%} of its cerebellum is zero or less"
    if not reason and not possible["lowest"] <= ratio <= possible["highest"]:
        reason = f"its cortex has {ratio:.2g} times the value of its cerebellum"
    if not reason:
        return ()
    return (
        Flag(
            "not-uptake",
            f"the values are not uptake ({reason}), those of a Centiloid or z image, say: means "
            "are given, ratios and Centiloids are not; give the SUVR image for these",
        ),
    )


def initial_transform_findings(name: str) -> tuple[Flag, ...]:
    """A head whose place a person gave.

    Parameters
    ----------
    name : of the file

    Returns
    -------
    tuple of Flag
    """
    return (
        Flag(
            "initial-transform",
            f"the normalisation began where {name} says (--initial-transform): look at the picture "
            "of the T1w on the template",
        ),
    )


# What another start or a stiffer warp may repair.
REPAIRABLE = {
    "normalisation-shift", "normalisation-overlap", "normalisation-tissue", "normalisation-warp",
}  # fmt: skip


def motion_findings(
    spread_mm: float, limit_mm: float, *, corrected: bool = True
) -> tuple[Flag, ...]:
    """Head motion between the frames that make the Centiloid.

    Parameters
    ----------
    spread_mm : largest distance between two frames
    limit_mm : largest good distance
    corrected : the frames were realigned

    Returns
    -------
    tuple of Flag
    """
    if spread_mm <= limit_mm:
        return ()
    undone = (
        "frames are realigned, but not what moved within a frame nor the attenuation map, so look "
        "at the images"
        if corrected
        else "nothing was realigned, so leave --no-motion-correction out"
    )
    return (
        Flag(
            "motion-window",
            f"the head moved by {spread_mm:.1f} mm between frames of the uptake window (limit "
            f"{limit_mm:g} mm): {undone}",
        ),
    )


def drift_findings(
    late_min: float, drift: tuple[float, float] | None, tolerance_min: float
) -> tuple[Flag, ...]:
    """What a mean outside the middle of the tracer's window does, by the frames of the scan itself.

    Parameters
    ----------
    late_min : middle of the mean minus middle of the window, min
    drift : Centiloids per minute and their standard error
    tolerance_min : less is not worth a flag

    Returns
    -------
    tuple of Flag
    """
    if drift is None or abs(late_min) <= tolerance_min:
        return ()
    slope, error = drift
    effect, unsure = slope * late_min, 2 * error * abs(late_min)
    return (
        Flag(
            "window-effect",
            f"between the frames of this scan the Centiloid changes by {slope:+.2f} +- {error:.2f} "
            f"per minute, so taking the mean {abs(late_min):.1f} min "
            f"{'late' if late_min > 0 else 'early'} changed it by about {effect:+.1f} CL (between "
            f"{effect - unsure:+.1f} and {effect + unsure:+.1f}): do not compare smaller changes",
        ),
    )


def end_findings(lower: int, upper: int) -> tuple[Flag, ...]:
    """Planes at the ends of the field of view that hold artefacts.

    Parameters
    ----------
    lower, upper : how many planes at each end

    Returns
    -------
    tuple of Flag
    """
    if lower + upper == 0:
        return ()
    return (
        Flag(
            "end-planes",
            f"{lower} planes at the beginning and {upper} at the end of the PET's axial field of "
            "view hold noise or steps instead of activity and count as not measured: look at them",
        ),
    )


def resolution_findings(target_mm: float, resolution_mm: Sequence[float]) -> tuple[Flag, ...]:
    """An image that is more blurred than the resolution it should have.

    Parameters
    ----------
    target_mm : FWHM it should have
    resolution_mm : FWHM along the voxel axes

    Returns
    -------
    tuple of Flag
    """
    if max(resolution_mm) <= target_mm:
        return ()
    own = " x ".join(f"{width:.1f}" for width in resolution_mm)
    return (
        Flag(
            "resolution-target",
            f"the PET's resolution ({own} mm) is lower than the target of {target_mm:g} mm along "
            "an axis, which stays as it is: choose a higher target for all scans",
        ),
    )


def part_findings(name: str, reason: str) -> tuple[Flag, ...]:
    """Another PET of the same injection that could not be used.

    Parameters
    ----------
    name : of its file
    reason : why

    Returns
    -------
    tuple of Flag
    """
    return (
        Flag(
            "dual-window-part",
            f"{name} of the same injection is missing from the activity over time ({reason}); "
            "the Centiloid does not depend on it",
        ),
    )


def damage_refusal(region: str, lost: float, step: float | None, most_lost: float) -> str | None:
    """Why there can be no Centiloid when the reference region is damaged, else None.

    Parameters
    ----------
    region : reference region
    lost : part of it that holds one number, or next to nothing
    step : step of the uptake between two planes that cross it, over the mean; None without one
    most_lost : part that may be lost

    Returns
    -------
    str or None
    """
    if lost > most_lost:
        return (
            f"{lost:.0%} of the reference region {region} holds one and the same number or next to "
            f"nothing instead of activity: {COPY_AGAIN}"
        )
    if step is not None:
        return (
            f"the uptake jumps by {step:.0%} from one plane to the next within the reference "
            f"region {region}, as no anatomy does: {COPY_AGAIN}"
        )
    return None


def uneven_refusal(region: str, apart: float | None, most: float) -> str | None:
    """Why there can be no Centiloid when the reference region is not of one kind, else None.

    Parameters
    ----------
    region : reference region
    apart : how far a part of it is from the others, over its mean, None where it cannot be told
    most : largest that a mean may rest on

    Returns
    -------
    str or None
    """
    if apart is None or apart <= most:
        return None
    return (
        f"a part of the reference region {region} differs from the others by {apart:.0%} of its "
        f"uptake (at most {most:.0%}): it is damaged, or the region lies wrong; {COPY_AGAIN}"
    )


# Flags of a position or a normalisation that may be wrong.
_DOUBTS = ("pet-t1w-", "pet-only-", "normalisation-", "t1w-orientation", "centiloid-implausible")


def doubts_number(flags: Iterable[Flag], limits: Limits) -> bool:
    """Whether a flag says that volumes of interest may lie in the wrong place or on damage.

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


def centiloid_refusal(value: float, lowest: float, highest: float) -> str | None:
    """Why a Centiloid cannot be one, else None.

    Parameters
    ----------
    value : Centiloid
    lowest, highest : of people, CL

    Returns
    -------
    str or None
    """
    if centiloid_level(value, lowest, highest) is QualityLevel.GOOD:
        return None
    return (
        f"a Centiloid of {value:.0f} cannot be (possible are {lowest:g} to {highest:g}): check the "
        "image for damage, the tracer and the alignment"
    )


def apart_findings(suvr: float | None, what: str = "the Centiloid was") -> tuple[Flag, ...]:
    """A Centiloid that is not that of the SUVRs beside it.

    Parameters
    ----------
    suvr : that it rests on
    what : words for another quantity of which this holds

    Returns
    -------
    tuple of Flag
    """
    apart = "" if suvr is None else f" (SUVR {suvr:.3f})"
    return (
        Flag(
            "centiloid-standard",
            f"{what} measured the standard way, in the PET as it is and in volumes of 2 mm{apart}, "
            "since no equation was made for SUVRs measured as asked; those, tables "
            "and images are as asked",
        ),
    )


def centiloid_findings(value: float, lowest: float, highest: float) -> tuple[Flag, ...]:
    """A Centiloid that people do not have.

    Parameters
    ----------
    value : Centiloid
    lowest, highest : of people, CL

    Returns
    -------
    tuple of Flag
    """
    if centiloid_level(value, lowest, highest) is QualityLevel.GOOD:
        return ()
    return (
        Flag(
            "centiloid-implausible",
            f"a Centiloid of {value:.0f} is outside {lowest:g} to {highest:g}: check the tracer, "
            "the choice of images and the alignment",
        ),
    )


_PET_ONLY = {
    "pet_only_unexplained": "the tissue of the template does not explain the PET",
    "pet_only_fluid": "what would be fluid takes up tracer like what would be brain",
    "pet_only_rival": "another place in the PET explains it nearly as well",
    "pet_only_stretch_sds": "the head would have a size or shape that adults do not have",
    "pet_only_turn_deg": "the head does not lie as the header says",
    "pet_only_jacobian_min": "the warp compresses tissue too much",
    "pet_only_jacobian_max": "the warp expands tissue too much",
}


def pet_only_refusal(quality: Mapping[str, float], limits: Limits) -> str | None:
    """Why the place of a PET on the template is not a result at all, else None.

    Parameters
    ----------
    quality : of `bidsapp.core.pet_only.pet_normalisation.PetNormalisation`
    limits : ``refuse`` (largest value of a result) by the names of the numbers

    Returns
    -------
    str or None
    """
    for name, word in _PET_ONLY.items():
        limit = limits[name].get("refuse", float("inf"))
        if not quality[name] <= limit:
            return (
                f"no brain was found in it that could be trusted: {word} ({name} "
                f"{quality[name]:.2f}, at most {limit:g}); check whether it is an amyloid PET of a "
                "whole head, or use a T1w"
            )
    return None


def pet_only_findings(quality: Mapping[str, float], limits: Limits) -> tuple[Flag, ...]:
    """Signs that a PET was laid on the template wrongly.

    Parameters
    ----------
    quality : of `bidsapp.core.pet_only.pet_normalisation.PetNormalisation`
    limits : ``flag`` (largest good value) or ``least`` (smallest) by the names of the numbers

    Returns
    -------
    tuple of Flag
    """
    flags = []
    for name, word in _PET_ONLY.items():
        value, known = quality[name], limits[name]
        if is_beyond(value, known):
            limit = known["flag"] if "flag" in known else known["least"]
            flags.append(
                Flag(
                    name.replace("_", "-"),
                    f"{word} ({value:.2g}, limit {limit:g}): look at the outlines on the PET, and "
                    "use a T1w if there is one",
                )
            )
    return tuple(flags)
