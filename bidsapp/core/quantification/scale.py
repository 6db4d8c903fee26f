"""From the SUVRs of a scan to Centiloids, if the equation was made with the same pipeline.

Pipelines are compared by their fingerprints. Where they differ in something that changes an SUVR
there is no Centiloid, and the result reports the difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bidsapp.core.quantification.centiloid import Equation, centiloid
from bidsapp.core.quantification.noise import Noise
from bidsapp.core.quantification.uncertainty import (
    ScanError,
    Uncertainty,
    largest_disagreement,
    propagate,
)
from bidsapp.settings import Interval

_WINDOW_TOLERANCE_MIN = 1.0

_WORDS = {
    "template": "template",
    "normalisation": "normalisation",
    "vois": "volumes of interest",
    "voi_mm": "grid of the volumes of interest",
    "smooth_fwhm_mm": "smoothing (mm)",
    "target_resolution_mm": "target resolution (mm)",
    "window_min": "uptake window (min)",
}


@dataclass(frozen=True)
class Fingerprint:
    """Properties of a pipeline that change its SUVRs systematically: an equation depends on them.

    How PET and T1w are aligned and whether frames are is not part of it: all methods estimate one
    and the same position, better or worse. Nor is whether the T1w is one image or the
    within-subject template of several: it shows the same head with less noise, and the same
    segmentation reads it (tests/benchmarks/rescan.py measures that the level stays).

    Attributes
    ----------
    template : space of the volumes of interest
    normalisation : ``t1w`` (driven by the T1w) or ``pet`` (PET alone)
    vois : SHA-256 of the masks by name: target and reference region
    voi_mm : voxel of their grid, mm
    smooth_fwhm_mm, target_resolution_mm : smoothing of the PET, mm; None for none
    window_min : uptake window that is asked for, minutes after injection
    """

    template: str
    normalisation: str
    vois: Mapping[str, str]
    voi_mm: float
    smooth_fwhm_mm: float | None
    target_resolution_mm: float | None
    window_min: tuple[float, float]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of its SHA-256."""
        return hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()[:12]

    def differences(self, other: Fingerprint) -> dict[str, str]:
        """Differences of another pipeline: field -> words for a sentence.

        Parameters
        ----------
        other : Fingerprint

        Returns
        -------
        dict of str
        """
        apart = {}
        for name, words in _WORDS.items():
            mine, its = getattr(self, name), getattr(other, name)
            if name == "window_min":
                same = all(
                    abs(a - b) <= _WINDOW_TOLERANCE_MIN for a, b in zip(mine, its, strict=True)
                )
            else:
                same = mine == its
            if not same:
                apart[name] = words if name == "vois" else f"{words} {_text(its)} not {_text(mine)}"
        return apart


@dataclass(frozen=True)
class Scale:
    """Conversion of the SUVRs of a scan to Centiloids.

    Attributes
    ----------
    equations : by reference region; empty when none may be used
    main : reference region of the Centiloid that is reported
    calibration : name of the set of equations
    fingerprint : digest of the pipeline of the scan
    differences : in what this pipeline differs from the calibrated one, words
    approximate : the equations were made otherwise but are used, flagged
    error : constants of repeat scans and of the pipeline
    disagreement : standard deviation of Centiloids of other reference regions about the main one
        at 0 and at 100 Centiloid, by reference region
    """

    equations: Mapping[str, Equation] = field(hash=False)
    main: str
    calibration: str
    fingerprint: str
    error: ScanError
    differences: tuple[str, ...] = ()
    approximate: bool = False
    disagreement: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)

    @property
    def calibrated(self) -> bool:
        """Whether equation and pipeline belong together."""
        return self.main in self.equations and not self.differences


@dataclass(frozen=True)
class TauScale:
    """Conversion of the SUVRs of tau volumes to CenTauRz and CenTauR.

    Attributes
    ----------
    equations : by scale and region; empty when none may be used
    calibration, differences, approximate : as of `Scale`
    """

    equations: Mapping[str, Mapping[str, Equation]] = field(hash=False)
    calibration: str
    differences: tuple[str, ...] = ()
    approximate: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether equations and pipeline belong together."""
        return bool(self.equations) and not self.differences


@dataclass(frozen=True)
class CentiloidResult:
    """SUVRs of a scan on the Centiloid scale.

    Attributes
    ----------
    centiloid : by the main reference region; None when there is no equation or no SUVR
    centiloids : by every reference region; None where there is none
    uncertainty : of ``centiloid``; None without one
    disagreement : reference region, its difference from the main one (CL), the same in expected
        standard deviations; None when there is nothing to compare
    """

    centiloid: float | None
    centiloids: Mapping[str, float | None]
    uncertainty: Uncertainty | None
    disagreement: tuple[str, float, float] | None

    def sd(self, kind: Interval) -> float | None:
        """Standard deviation, CL.

        Parameters
        ----------
        kind : of which quantity

        Returns
        -------
        float or None
        """
        return None if self.uncertainty is None else self.uncertainty.sd(kind)

    def interval(self, kind: Interval) -> tuple[float, float] | None:
        """95 % interval, CL.

        Parameters
        ----------
        kind : of which quantity

        Returns
        -------
        (float, float) or None
        """
        return None if self.uncertainty is None else self.uncertainty.interval(kind)

    def probability_above(self, cutoff: float, kind: Interval) -> float | None:
        """Probability that the true Centiloid is above a cut-off.

        Parameters
        ----------
        cutoff : Centiloid
        kind : of which quantity

        Returns
        -------
        float or None
            0 to 1; None when there is no Centiloid or no error of it.
        """
        if self.uncertainty is None:
            return None
        return self.uncertainty.probability_above(cutoff, kind)


def to_centiloids(
    suvr: Mapping[str, float | None],
    scale: Scale,
    noise: Mapping[str, float | None],
    fwhm_mm: float | None = None,
) -> CentiloidResult:
    """Put the SUVRs of a scan on the Centiloid scale.

    Parameters
    ----------
    suvr : by reference region, None where not measured
    scale : equations that belong to the scan
    noise : relative standard deviation of these SUVRs by the noise of the image
    fwhm_mm : blur of the image; None when it is not known, or the equations allow for it

    Returns
    -------
    CentiloidResult
    """
    values: dict[str, float | None] = {}
    for name, ratio in suvr.items():
        line = scale.equations.get(name)
        values[name] = None if ratio is None or line is None else centiloid(ratio, line)
    ratio = suvr.get(scale.main)
    main = values.get(scale.main)
    uncertainty = None
    if main is not None and ratio is not None:
        line = scale.equations[scale.main]
        uncertainty = propagate(ratio, line, scale.error, noise[scale.main], fwhm_mm)
    return CentiloidResult(
        centiloid=main,
        centiloids=values,
        uncertainty=uncertainty,
        disagreement=largest_disagreement(values, scale.main, scale.disagreement),
    )


def ratio_noise(
    noise: Noise | None,
    masks: Mapping[str, Any],
    target: str,
    references: tuple[str, ...],
    voxel_mm: float,
) -> dict[str, float | None]:
    """Relative standard deviation of target over reference by image noise, by reference region.

    Target and reference are far apart, so their noise is independent.

    Parameters
    ----------
    noise : of the image; None when it could not be measured
    masks : volumes of interest by name
    target : name of the target
    references : names of the reference regions
    voxel_mm : edge of the cubic voxels

    Returns
    -------
    dict of float or None
        By reference region, relative to the SUVR.
    """
    if noise is None:
        return dict.fromkeys(references)
    means = {name: noise.of_mean(masks[name], voxel_mm) for name in (target, *references)}
    return {name: (means[target] ** 2 + means[name] ** 2) ** 0.5 for name in references}


def canonical(content: Any) -> str:
    """JSON that is the same for the same content: sorted keys, no blanks.

    Parameters
    ----------
    content : what JSON can hold

    Returns
    -------
    str
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "-".join(f"{number:g}" for number in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
