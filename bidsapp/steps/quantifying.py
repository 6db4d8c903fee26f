"""Quantification of a PET in template space: VOI means, SUVRs, Centiloids, uncertainty, flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from bidsapp.core.frames.position_means import PositionMean, mean_at_points
from bidsapp.core.grid.alignment import Matrix, inverse, transform
from bidsapp.core.grid.sampling import interpolate
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import (
    Flag,
    QualityLevel,
    coverage_level,
    flagged,
)
from bidsapp.core.quantification.centiloid import Equation, centiloid
from bidsapp.core.quantification.noise import estimate
from bidsapp.core.quantification.scale import (
    CentiloidResult,
    Scale,
    TauScale,
    ratio_noise,
    to_centiloids,
)
from bidsapp.core.quantification.suvr import uptake_ratios
from bidsapp.core.regions.voi import CoverageRule, VoiStatistics, measure
from bidsapp.data import REFERENCES, TARGET, mni_grid, read_table, vois
from bidsapp.data.pipelines import BUILT_IN
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tau import REFERENCE, tau_masks, tau_regions
from bidsapp.record import RecordPart
from bidsapp.record.parts import centiloid_part
from bidsapp.settings import Interval
from bidsapp.steps.refusing import refuse_impossible, refuse_unseen


@dataclass(frozen=True)
class Quantification:
    """How the PET of a scan is quantified.

    Attributes
    ----------
    tracer : code of the tracer table
    scale : equations that belong to the scan
    tau, tau_vois : equations for the SUVRs of tau volumes, and these by region; none for amyloid
    cutoffs : CL
    interval : decides how bands and cut-offs are read
    standard_centiloid : whether the Centiloid is that of the PET itself, although VOI means and
        SUVRs are measured in another image
    """

    tracer: str
    scale: Scale
    tau: TauScale | None = None
    tau_vois: Mapping[str, Path] = field(default_factory=dict, hash=False)
    cutoffs: tuple[float, ...] = ()
    interval: Interval = Interval.RESCAN
    standard_centiloid: bool = False


def quantified(
    pet: Volume,
    how: Quantification,
    *,
    requested_image: Volume | None = None,
    fwhm_mm: float | None = None,
) -> RecordPart:
    """VOI means, SUVRs, Centiloids, image noise and flags of a PET on the template.

    Parameters
    ----------
    pet : on the 2 mm MNI grid, NaN where nothing was measured
    how : it is quantified
    requested_image : the PET in which VOI means and SUVRs are to be measured, smoothed or on the
        1 mm grid; None for the PET itself
    fwhm_mm : resolution of the PET estimated with the T1w, None when it is not known

    Returns
    -------
    RecordPart

    Raises
    ------
    BadDataError
        The target or the reference region was not measured, or holds nothing.
    """
    scale, tau = how.scale, how.tau
    rule = CoverageRule(**read_table("limits")["voi_coverage"])
    shown = volumes(requested_image or pet)
    table = volumes(pet) if how.standard_centiloid else shown
    refuse_unseen(table, (TARGET, scale.main), rule)
    suvr = _ratios(table)
    noise = _noise(pet)
    own_noise = noise[scale.main]
    # a user's own equation was made with images of the same resolution
    blur = fwhm_mm if scale.calibration == BUILT_IN else None
    expressed = to_centiloids(suvr, scale, noise, blur)
    if expressed.centiloid is not None:
        refuse_impossible(expressed.centiloid, **read_table("limits")["centiloid_possible"])
    missing = scale_findings(tau or scale, how.tracer)
    scales: dict[str, dict[str, float | None]] = {}
    if how.tau_vois and tau is not None:
        masks, voxel_mm3 = tau_masks(how.tau_vois), pet.grid.voxel_volume
        tau_volumes = measure(pet.data, masks, voxel_mm3, least_coverage=rule.refuse)
        scales = _tau_scales(tau_volumes, tau)
        table = table | {f"tau {name.replace('_', ' ')}": row for name, row in tau_volumes.items()}
        missing += _tau_beyond(scales["suvr"], tau)
    findings = (*coverage_findings(table, rule), *missing, *_doubts(suvr, expressed, scale))
    if how.standard_centiloid:
        what, ratio = "CenTauRz and CenTauR were", None
        if tau is None:
            what, ratio = "the Centiloid was", suvr[scale.main]
        shown_ratio = "" if ratio is None else f" (SUVR {ratio:.3f})"
        findings += (worded_flag("centiloid-standard", what=what, suvr=shown_ratio),)
    return replace(
        centiloid_part(expressed, how.cutoffs, how.interval),
        suvr=_ratios(shown),
        centiloid_suvr=suvr if how.standard_centiloid else {},
        qc={"suvr_noise_percent": None if own_noise is None else 100 * own_noise},
        flags=findings,
        voi=shown,
        scales=scales,
    )


def fine_image(position_means: Sequence[PositionMean], field: Volume, t1w_to_pet: Matrix) -> Volume:
    """PET in the Centiloid volumes of the 1 mm grid, by one interpolation from its own grid.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    field : T1w world coordinate of every voxel of the 2 mm MNI grid, between which it is linear
    t1w_to_pet : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.

    Returns
    -------
    Volume
        NaN outside the volumes and outside the field of view.
    """
    grid = mni_grid(1)
    inside = np.any(list(vois(1).values()), axis=0)
    world = transform(grid.affine, np.argwhere(inside).astype(np.float64))
    index = transform(inverse(field.affine), world).T
    points = interpolate(field.data.astype(np.float64), index)
    image = np.full(grid.shape, np.nan, np.float32)
    image[inside] = mean_at_points(position_means, transform(t1w_to_pet, points))
    return Volume(image, grid.affine)


def by_both_positions(
    position_means: Sequence[PositionMean],
    field: Volume,
    by_method: Mapping[str, ArrayLike],
    scale: Scale,
) -> RecordPart:
    """Centiloid by each of the two registrations, from the voxels of its two volumes alone.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    field : T1w world coordinate of every MNI voxel
    by_method : T1w world -> PET world, 4 x 4, RAS mm, by ``nmi`` and ``model``
    scale : equations that belong to the scan

    Returns
    -------
    RecordPart
        The Centiloid by each method, flags.
    """
    masks, equation = vois(2), scale.equations.get(scale.main)
    by_position: dict[str, float | None] = {"nmi": None, "model": None}
    if equation is not None:
        for method in by_position:
            means = []
            for voi in (TARGET, scale.main):
                points = transform(
                    np.array(by_method[method]), field.data[masks[voi]].astype(float)
                )
                uptake = mean_at_points(position_means, points)
                known = uptake[np.isfinite(uptake)].astype(np.float64)
                means.append(float(known.mean()) if known.size else 0.0)
            if min(means) > 0:  # both were seen
                by_position[method] = centiloid(means[0] / means[1], equation)
    nmi, model = by_position["nmi"], by_position["model"]
    apart = None if nmi is None or model is None else model - nmi
    return RecordPart(
        qc={f"centiloid_{method}": value for method, value in by_position.items()},
        flags=flagged({"centiloid_by_position": apart}, read_table("limits"), **by_position),
    )


def volumes(pet: Volume) -> dict[str, VoiStatistics]:
    """Uptake in the Centiloid volumes.

    Parameters
    ----------
    pet : on the 1 mm or the 2 mm MNI grid, NaN where nothing was measured

    Returns
    -------
    dict of VoiStatistics
        By name of the volume.
    """
    rule = CoverageRule(**read_table("limits")["voi_coverage"])
    masks = vois(round(float(pet.grid.voxel_size[0])))
    return measure(pet.data, masks, pet.grid.voxel_volume, least_coverage=rule.refuse)


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
    return (worded_flag("voi-coverage", low=", ".join(low)),) if low else ()


def _ratios(table: Mapping[str, VoiStatistics]) -> dict[str, float | None]:
    return dict(uptake_ratios(table, target=TARGET, references=REFERENCES))


def _doubts(
    suvr: Mapping[str, float | None], expressed: CentiloidResult, scale: Scale
) -> tuple[Flag, ...]:
    """Findings about the Centiloid."""
    return (
        *flagged({"centiloid": expressed.centiloid}, read_table("limits")),
        *_beyond(suvr[scale.main], scale.equations.get(scale.main)),
        *_disagreement(expressed),
    )


def _disagreement(expressed: CentiloidResult) -> tuple[Flag, ...]:
    """Reference regions that disagree more than they do in the calibration cohort."""
    if expressed.disagreement is None:
        return ()
    name, difference, sds = expressed.disagreement
    words = {"name": name, "difference": difference, "sds": abs(sds)}
    return flagged({"reference_disagreement": sds}, read_table("limits"), **words)


def scale_findings(scale: Scale | TauScale, tracer: str) -> tuple[Flag, ...]:
    """Flags of a missing equation, or of one made with another pipeline.

    Parameters
    ----------
    scale : equations that belong to the scan
    tracer : code of the tracer table

    Returns
    -------
    tuple of Flag
    """
    if isinstance(scale, TauScale):
        usable, kind, name = bool(scale.equations), "CenTauR", "values"
        people = "scans of the standard and of this pipeline"
        remedy = "centipet-calibrate tau and give it with --tau-calibration"
    else:
        usable, kind, name = scale.main in scale.equations, "Centiloid", "Centiloid"
        people = f"people scanned with PiB and with {tracer}"
        remedy = "centipet-calibrate and give it with --calibration"
    if usable:
        return (worded_flag("method-pet-only", name=name),) if scale.approximate else ()
    why = "another-pipeline" if scale.differences else "tracer"
    differences = "; ".join(scale.differences)
    flag = worded_flag(
        "not-calibrated", why, kind=kind, differences=differences, tracer=tracer, people=people,
        remedy=remedy,
    )  # fmt: skip
    return (flag,)


def _beyond(suvr: float | None, equation: Equation | None) -> tuple[Flag, ...]:
    """An SUVR outside of those the equation was made from, by more than a tenth, or far below."""
    if suvr is None or equation is None or equation.suvr_range is None:
        return ()
    low, high = equation.suvr_range
    if 0.9 * low <= suvr <= 1.1 * high:
        return ()
    below = flagged({"suvr_below_range": max(1 - suvr / low, 0.0)}, read_table("limits"), low=low)
    return (worded_flag("beyond-calibration", suvr=suvr, low=low, high=high), *below)


def _tau_beyond(suvr: Mapping[str, float | None], scale: TauScale) -> tuple[Flag, ...]:
    """The same of tau volumes, by region."""
    regions = {
        region.replace("_", " ")
        for lines in scale.equations.values()
        for region, line in lines.items()
        if _beyond(suvr[region], line)
    }
    listed = ", ".join(sorted(regions))
    return (worded_flag("beyond-calibration", "tau", regions=listed),) if regions else ()


def _noise(pet: Volume) -> dict[str, float | None]:
    """Relative error of the SUVRs by image noise, by reference region."""
    masks, voxel_mm = vois(2), pet.grid.voxel_volume ** (1 / 3)
    noise = estimate(pet.data, masks[TARGET] | masks["wcb"], voxel_mm)
    return ratio_noise(noise, masks, TARGET, REFERENCES, voxel_mm)


def _tau_scales(
    table: Mapping[str, VoiStatistics], tau: TauScale
) -> dict[str, dict[str, float | None]]:
    """SUVRs of the tau volumes and their values on the scales of the tracer, by region."""
    suvr = {
        region: uptake_ratios(table, target=region, references=[REFERENCE])[REFERENCE]
        for region in tau_regions()
    }
    on_scales = {
        scale: {
            region: None if (ratio := suvr[region]) is None else centiloid(ratio, line)
            for region, line in lines.items()
        }
        for scale, lines in tau.equations.items()
    }
    return {"suvr": suvr} | {scale: values for scale, values in on_scales.items() if values}
