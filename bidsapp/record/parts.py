"""Parts of a record from results of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bidsapp.core.kinetics.models import Fits
from bidsapp.core.kinetics.study import KineticStudy
from bidsapp.core.quantification.scale import CentiloidResult
from bidsapp.core.regions.corrected import Corrected
from bidsapp.core.registration.motion import LEAST_CORRECTED_MM, FrameAlignment
from bidsapp.data import REFERENCES, TARGET
from bidsapp.data.kinetics import KineticRow, model_name, parameters_of, t_star_min
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.sentences import worded_flag
from bidsapp.io.tsv import finite_number
from bidsapp.record.model import (
    CalibrationState,
    EquationUsed,
    Kinetics,
    Motion,
    Numbers,
    PartialVolume,
    RecordPart,
    ReferenceAgreement,
)
from bidsapp.record.verdicts import band_statement
from bidsapp.settings import Interval, Processing

# Uptake of the target and of the reference regions by method: grey matter over all tissue.
_PVC_COLUMNS = {
    "uncorrected": ("uncorrected", "uncorrected"),
    "mg": ("mg_gm", "mg_gm"),
    **{name: (f"{name}_gm", name) for name in ("gtm", "rbv", "iy")},
}


def centiloid_part(
    expressed: CentiloidResult, cutoffs: Sequence[float], interval: Interval
) -> RecordPart:
    """The Centiloid, how sure it is, and its band.

    Parameters
    ----------
    expressed : SUVRs on the Centiloid scale
    cutoffs : CL, to tell who exceeds them
    interval : that band and cut-offs are read by

    Returns
    -------
    RecordPart
    """
    uncertainty, disagreement = expressed.uncertainty, expressed.disagreement
    return RecordPart(
        centiloid=expressed.centiloid,
        centiloid_sd=expressed.sd(Interval.PIB),
        centiloid_interval=expressed.interval(Interval.PIB),
        rescan_sd=expressed.sd(Interval.RESCAN),
        rescan_interval=expressed.interval(Interval.RESCAN),
        uncertainty={} if uncertainty is None else uncertainty.components,
        band=band_statement(expressed.centiloid, expressed.interval(interval), interval),
        interval=None if expressed.centiloid is None else interval,
        p_above_cutoff={f"{cut:g}": expressed.probability_above(cut, interval) for cut in cutoffs},
        centiloids=dict(expressed.centiloids),
        reference_agreement=None if disagreement is None else ReferenceAgreement(*disagreement),
    )


def scale_part(pipeline: Pipeline) -> dict[str, Any]:
    """Fields of a record about its equation, and whether that belongs to the way of processing.

    Parameters
    ----------
    pipeline : of the scan

    Returns
    -------
    dict
        ``reference_region``, `EquationUsed` or None, `CalibrationState`.
    """
    measured = pipeline.for_centiloid()
    scale = measured.scale()
    used = measured.tau_scale() or scale
    line = scale.equations.get(scale.main)
    return {
        "reference_region": scale.main,
        "equation": line and EquationUsed(line.slope, line.intercept, line.source, line.doi),
        "calibration": CalibrationState(
            used.calibration, scale.fingerprint, used.calibrated, tuple(used.differences)
        ),
    }


def motion_part(
    parts: Sequence[FrameAlignment | None],
    starts_s: Sequence[Sequence[float]],
    durations_s: Sequence[Sequence[float]],
    corrected: bool,
) -> Motion:
    """Motion of all frames of one injection, in the order of time.

    Parameters
    ----------
    parts : one per PET, against the reference of the first; None for one that was lost
    starts_s, durations_s : of the frames of each PET
    corrected : whether the frames of a PET are moved at all

    Returns
    -------
    Motion
    """
    present = {number: part for number, part in enumerate(parts) if part is not None}
    moved = {number: part.parameters for number, part in present.items()}
    order = sorted(
        (float(start), number, index)
        for number in present
        for index, start in enumerate(starts_s[number])
    )
    places = [(number, index) for _, number, index in order]
    return Motion(
        corrected=corrected,
        least_corrected_mm=LEAST_CORRECTED_MM,
        reference_frame=places.index((0, present[0].reference)) if 0 in present else None,
        pet=tuple(number for number, _ in places),
        frame_start_s=tuple(start for start, _, _ in order),
        frame_duration_s=tuple(float(durations_s[number][index]) for number, index in places),
        distance_mm=tuple(float(present[n].distance_mm[i]) for n, i in places),
        translation_mm=tuple(tuple(moved[n][0][i].tolist()) for n, i in places),
        rotation_deg=tuple(tuple(np.degrees(moved[n][1][i]).tolist()) for n, i in places),
        borrowed=tuple(bool(present[n].borrowed[i]) for n, i in places),
    )


def not_fitted(reason: str) -> RecordPart:
    """A scan that is not dynamic enough for models, and why.

    Parameters
    ----------
    reason : a sentence

    Returns
    -------
    RecordPart
    """
    return RecordPart(kinetics=Kinetics(done=False, reason=reason))


def failed_fit(reason: str) -> RecordPart:
    """A dynamic scan for which models failed; its Centiloid is kept.

    Parameters
    ----------
    reason : a sentence

    Returns
    -------
    RecordPart
    """
    flag = worded_flag("kinetics-model", "none", reason=reason)
    return RecordPart(kinetics=Kinetics(done=False, reason=reason), flags=(flag,))


def fitted(
    fits: Fits, study: KineticStudy, rows: Sequence[KineticRow], processing: Processing
) -> RecordPart:
    """What was fitted how, the cortical target, what to look at.

    Parameters
    ----------
    fits : of every model
    study : the curves that were fitted
    rows : region of every curve
    processing : options of the run

    Returns
    -------
    RecordPart
    """
    target = [row.name for row in rows].index(TARGET)
    gaps, starts = study.timeline.gaps_min, t_star_min(processing)
    flags = [worded_flag("kinetics-gap", begin_min=begin, end_min=end) for begin, end in gaps]
    flags += [
        worded_flag("kinetics-model", "one", model=model_name(model), reason=why)
        for model, why in fits.problems.items()
    ]
    kinetics = Kinetics(
        done=True,
        reference_region=processing.kinetics_reference,
        k2_prime_per_min=finite_number(fits.k2_prime),
        k2_prime_source="SRTM" if processing.k2_prime_per_min is None else "given",
        n_frames=len(study.weights),
        t_end_min=float(study.timeline.edges_min[-1]),
        gaps_min=tuple(tuple(map(float, gap)) for gap in gaps),
        region=TARGET,
        models={
            model_name(model): {"t_star_min": starts.get(model)}
            | parameters_of(fits, model, target)
            for model in fits.estimates
        },
    )
    return RecordPart(kinetics=kinetics, flags=tuple(flags))


def not_corrected(reason: str) -> RecordPart:
    """A scan that could not be corrected for partial volume; its Centiloid is kept.

    Parameters
    ----------
    reason : a sentence

    Returns
    -------
    RecordPart
    """
    flag = worded_flag("pvc", reason=reason)
    return RecordPart(pvc=PartialVolume(done=False, reason=reason), flags=(flag,))


def corrected_part(
    result: Corrected, regions: Sequence[str], psf_mm: Sequence[float], source: str
) -> RecordPart:
    """SUVRs with correction for partial volume, and how it was done.

    Parameters
    ----------
    result : correction in the Centiloid volumes
    regions : their names, in the order of the columns
    psf_mm : width of the point spread function along the voxel axes, mm
    source : where it comes from

    Returns
    -------
    RecordPart
    """
    row = {name: position for position, name in enumerate(regions)}
    suvr: dict[str, Numbers] = {}
    for kind, (above, below) in _PVC_COLUMNS.items():
        target = result.columns[above][row[TARGET]]
        ratios = {name: target / result.columns[below][row[name]] for name in REFERENCES}
        suvr[kind] = {name: finite_number(ratio) for name, ratio in ratios.items()}
    return RecordPart(
        pvc=PartialVolume(
            done=True,
            psf_mm=tuple(float(width) for width in psf_mm),
            psf_source=source,
            suvr=suvr,
            condition=result.condition,
            white_matter=result.white_matter,
        )
    )
