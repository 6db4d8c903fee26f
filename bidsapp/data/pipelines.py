"""What decides the SUVRs of a scan, and the equations that may be used for them.

Equations are those of the package or of a calibration file of the user; they count where the
pipeline is the one that they were made with (`bidsapp.core.quantification.scale.Fingerprint`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.scale import Fingerprint, Scale, TauScale
from bidsapp.core.quantification.uncertainty import ScanError
from bidsapp.data import REFERENCES, TARGET, read_table, vois
from bidsapp.data.calibrations import read_calibration, read_tau_calibration
from bidsapp.data.sentences import refused
from bidsapp.data.tau import tau_equations, tau_masks, tau_voi_files
from bidsapp.data.tracers import (
    STANDARD_REFERENCE,
    Tracer,
    any_tracer,
    bare_name,
    disagreement,
    repeatability,
    tau_tracers,
)
from bidsapp.settings import TEMPLATE_SPACE, Processing

BUILT_IN = "published"

_RES_MM = 2


@dataclass(frozen=True)
class Pipeline:
    """What decides the SUVRs of a scan.

    Attributes
    ----------
    processing : options that change numbers; ``calibration`` and ``tau_calibration`` name equations
        of the user
    code : of the tracer
    normalisation : ``t1w``, or ``pet`` for a scan normalised by the PET alone
    """

    processing: Processing
    code: str
    normalisation: str = "t1w"

    @property
    def regional(self) -> Pipeline:
        """The same for the regions of atlases, which are measured on the 2 mm grid."""
        return self._with(voi_mm=_RES_MM)

    def for_centiloid(self) -> Pipeline:
        """The pipeline that measures the Centiloid.

        It is this one, unless only the unsmoothed PET in volumes of 2 mm has an equation.

        Returns
        -------
        Pipeline
        """
        standard = self._with(smooth_fwhm_mm=None, target_resolution_mm=None, voi_mm=_RES_MM)
        for pipeline in (self, standard):
            tau, scale = pipeline.tau_scale(), pipeline.scale()
            if scale.main in scale.equations if tau is None else tau.equations:
                return pipeline
        return self

    def fingerprint(self, reference: str) -> Fingerprint:
        """Fingerprint for SUVRs to a reference region.

        Parameters
        ----------
        reference : name of the region

        Returns
        -------
        Fingerprint
        """
        hashes = voi_hashes(self.processing.voi_mm)
        masks = {name: hashes[name] for name in (TARGET, reference)}
        return self._fingerprint(masks, self.processing.voi_mm)

    def tau_fingerprint(self) -> Fingerprint:
        """Fingerprint for SUVRs in the user's tau volumes, of 2 mm.

        Returns
        -------
        Fingerprint
        """
        assert self.processing.tau_vois is not None
        return self._fingerprint(_tau_voi_hashes(self.processing.tau_vois), _RES_MM)

    def scale(self) -> Scale:
        """Equations that a scan may use, and how they fit.

        Returns
        -------
        Scale

        Raises
        ------
        NoInputError, BadDataError
            The calibration file cannot be read; is broken or was changed.
        """
        tracer, file = any_tracer(self.code), self.processing.calibration
        own = {name: self.fingerprint(name) for name in REFERENCES}
        if file is not None:
            user = read_calibration(file)
            if lines := user.of(self.code):
                _refuse_other(tracer, user.tracers.get(self.code), file)
                spreads = {name: line.disagreement for name, line in lines.items()}
                return _scale(
                    {name: line.equation for name, line in lines.items()},
                    {name: line.fingerprint for name, line in lines.items()},
                    own,
                    calibration=user.name,
                    error=ScanError(repeatability()),
                    disagreement={name: sds for name, sds in spreads.items() if sds is not None},
                )
        table = read_table("pipelines")
        return _scale(
            tracer.equations,
            {name: standard_fingerprint(tracer, name) for name in tracer.equations},
            own,
            tolerated=table["tolerated"]["fields"],
            calibration=BUILT_IN,
            error=ScanError(repeatability(), **table["pipeline_error"][self.normalisation]),
            disagreement=disagreement() if self.code == "PIB" else {},
        )

    def tau_scale(self) -> TauScale | None:
        """Equations of CenTauRz and CenTauR that a scan may use.

        Those of ``tau_calibration`` where it has the tracer: every field of the fingerprint must
        agree.

        Returns
        -------
        TauScale or None
            None for a tracer of amyloid, and without volumes.
        """
        file = self.processing.tau_calibration
        if self.code not in tau_tracers() or self.processing.tau_vois is None:
            return None
        published = tau_equations(self.code)
        user = None if file is None else read_tau_calibration(file)
        if user is not None and (lines := user.of(self.code)):
            own = self.tau_fingerprint()
            apart = [line.fingerprint.differences(own) for line in lines.values()]
            differences = {name: words for fields in apart for name, words in fields.items()}
            equations = {
                scale: {
                    region: line.onto(by_region[region], f"--tau-calibration {user.name}")
                    for region, line in lines.items()
                    if region in by_region
                }
                for scale, by_region in published.items()
            }
            return TauScale({} if differences else equations, user.name, (*differences.values(),))
        unsmoothed = self._with(smooth_fwhm_mm=None, target_resolution_mm=None, window_min=None)
        standard = replace(unsmoothed, normalisation="t1w")
        made, own = (way._fingerprint({}, _RES_MM) for way in (standard, self))
        differences = made.differences(own)
        usable = not differences.keys() - set(read_table("pipelines")["tolerated"]["fields"])
        return TauScale(
            equations=published if usable else {},
            calibration=BUILT_IN,
            differences=tuple(differences.values()),
            approximate=usable and "normalisation" in differences,
        )

    def _with(self, **options: Any) -> Pipeline:
        return replace(self, processing=replace(self.processing, **options))

    def _fingerprint(self, masks: Mapping[str, str], voi_mm: float) -> Fingerprint:
        return Fingerprint(
            template=TEMPLATE_SPACE,
            normalisation=self.normalisation,
            vois=masks,
            voi_mm=float(voi_mm),
            smooth_fwhm_mm=self.processing.smooth_fwhm_mm,
            target_resolution_mm=self.processing.target_resolution_mm,
            window_min=self.processing.window_min or any_tracer(self.code).window_min,
        )


def standard_fingerprint(tracer: Tracer, reference: str) -> Fingerprint:
    """Fingerprint of the pipeline that the built-in equations were made with.

    Parameters
    ----------
    tracer, reference : of the SUVR

    Returns
    -------
    Fingerprint
    """
    row = read_table("pipelines")["standard"]
    return Fingerprint(
        **(row | {"vois": {name: row["vois"][name] for name in (TARGET, reference)}}),
        smooth_fwhm_mm=None,
        target_resolution_mm=None,
        window_min=tracer.window_min,
    )


def _scale(
    equations: Mapping[str, Equation],
    made: Mapping[str, Fingerprint],
    own: Mapping[str, Fingerprint],
    *,
    tolerated: Sequence[str] = (),
    **about: Any,
) -> Scale:
    """Scale of the equations that a pipeline may use, by the pipelines they were made with.

    Parameters
    ----------
    equations, made : by reference region
    own : fingerprint of the pipeline, by reference region
    tolerated : fields of the fingerprints that may differ; the result is marked as approximate
    **about : whatever else the scale has
    """
    apart = {name: made[name].differences(own[name]) for name in equations}
    differences = {field: words for fields in apart.values() for field, words in fields.items()}
    usable = {n: line for n, line in equations.items() if not apart[n].keys() - set(tolerated)}
    is_standard = not equations or STANDARD_REFERENCE in equations
    main = STANDARD_REFERENCE if is_standard else next(iter(equations))
    return Scale(
        equations=usable,
        main=main,
        fingerprint=own[main].digest,
        differences=tuple(differences.values()),
        approximate=bool(usable and tolerated) and "normalisation" in differences,
        **about,
    )


def _refuse_other(tracer: Tracer, stated: Mapping[str, Any] | None, path: Path) -> None:
    """Refuse equations that were made for another tracer of the same code."""
    if stated is None:
        return
    same_name = bare_name(stated["name"]) in map(bare_name, tracer.names)
    if not same_name or stated["radionuclide"] != tracer.radionuclide:
        raise refused("calibration", "other-tracer", path=path, stated=stated, tracer=tracer)


@lru_cache
def voi_hashes(res: int) -> dict[str, str]:
    """SHA-256 of the packed bits of every Centiloid mask on the grid of a resolution, mm.

    Parameters
    ----------
    res : of the masks, 1 or 2, mm

    Returns
    -------
    dict of str
        By name of the volume.
    """
    return _mask_hashes(vois(res))


@lru_cache
def _tau_voi_hashes(folder: Path) -> dict[str, str]:
    return _mask_hashes(tau_masks(tau_voi_files(folder)))


def _mask_hashes(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, str]:
    return {
        name: hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
        for name, mask in masks.items()
    }
