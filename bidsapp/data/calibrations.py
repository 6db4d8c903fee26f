"""Which equations a pipeline may use: the built-in ones, or those of a calibration file.

A calibration file is what ``centipet-calibrate`` writes: equations, the fingerprint of the pipeline
that made the SUVRs, and a SHA-256 over all of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.scale import Fingerprint, Scale, TauScale, canonical
from bidsapp.core.quantification.uncertainty import ScanError
from bidsapp.data import REFERENCES, TARGET, read_table, tupled, vois
from bidsapp.data.sentences import refused
from bidsapp.data.tau import tau_equations, tau_masks, tau_voi_files
from bidsapp.data.tracers import (
    STANDARD_REFERENCE,
    Tracer,
    any_tracer,
    bare_name,
    disagreement,
    equation_of,
    repeatability,
    tau_tracers,
    tracers,
)
from bidsapp.io.reading import given_text, parse_json
from bidsapp.settings import TEMPLATE_SPACE, Processing

SCHEMA = "centipet-calibration/1"
TAU_SCHEMA = "centipet-tau-calibration/1"
BUILT_IN = "published"

_RES_MM = 2
_Read = TypeVar("_Read")
_Line = TypeVar("_Line", "Equation", "TauLine")


@dataclass(frozen=True)
class CalibrationFile:
    """Equations of a user.

    Attributes
    ----------
    name : first twelve digits of the file's own SHA-256
    fingerprint : of the pipeline that made the SUVRs, by tracer and reference region
    equations : by tracer code and reference region
    disagreement : by tracer code and reference region, as in
    `bidsapp.core.quantification.scale.Scale`
    tracers : name and radionuclide of the tracers that a ``--tracer-file`` described, by code
    """

    name: str
    fingerprint: Mapping[tuple[str, str], Fingerprint] = field(hash=False)
    equations: Mapping[tuple[str, str], Equation] = field(hash=False)
    disagreement: Mapping[tuple[str, str], tuple[float, float]] = field(hash=False)
    tracers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TauLine:
    """SUVR of the standard pipeline = ``slope`` * SUVR of a user's pipeline + ``intercept``.

    Attributes
    ----------
    slope, intercept : float
    n, r2 : scans it was fitted on, squared correlation
    suvr_range : SUVRs of these scans by the user's pipeline
    fingerprint : of the user's pipeline
    """

    slope: float
    intercept: float
    n: int
    r2: float
    suvr_range: tuple[float, float]
    fingerprint: Fingerprint

    def onto(self, equation: Equation, source: str) -> Equation:
        """Equation for SUVRs of the user's pipeline, from that of the standard one.

        Parameters
        ----------
        equation : for SUVRs of the standard pipeline
        source : what the line is called

        Returns
        -------
        Equation
        """
        return replace(
            equation,
            slope=equation.slope * self.slope,
            intercept=equation.slope * self.intercept + equation.intercept,
            source=f"{equation.source}, by {source}",
            n=self.n,
            r2=self.r2,
            suvr_range=self.suvr_range,
        )


@dataclass(frozen=True)
class TauCalibration:
    """Lines of a user: ``name`` as of `CalibrationFile`, ``lines`` by tracer and region."""

    name: str
    lines: Mapping[str, Mapping[str, TauLine]] = field(hash=False)


def fingerprint(
    processing: Processing, tracer: Tracer, reference: str, normalisation: str = "t1w"
) -> Fingerprint:
    """Fingerprint of the pipeline that these options make.

    Parameters
    ----------
    processing : options that change numbers
    tracer, reference : of the SUVR
    normalisation : ``t1w``, or ``pet`` for a scan normalised by the PET alone

    Returns
    -------
    Fingerprint
    """
    hashes = voi_hashes(processing.voi_mm)
    vois = {name: hashes[name] for name in (TARGET, reference)}
    return _fingerprint(processing, tracer, vois, processing.voi_mm, normalisation)


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


def scale_for(processing: Processing, code: str, normalisation: str = "t1w") -> Scale:
    """Equations that a scan of this tracer and pipeline may use, and how they fit.

    Parameters
    ----------
    processing : options that change numbers; ``calibration`` names the user's equations
    code : of the tracer
    normalisation : as in `fingerprint`

    Returns
    -------
    Scale

    Raises
    ------
    NoInputError, BadDataError
        The calibration file cannot be read; is broken or was changed.
    """
    tracer = any_tracer(code)
    own = {r: fingerprint(processing, tracer, r, normalisation) for r in REFERENCES}
    if processing.calibration is not None:
        user = read_calibration(processing.calibration)
        lines = {name: line for (known, name), line in user.equations.items() if known == code}
        if lines:
            _refuse_other(tracer, user.tracers.get(code), processing.calibration)
            spreads = user.disagreement.items()
            return _scale(
                lines,
                {name: user.fingerprint[code, name] for name in lines},
                own,
                calibration=user.name,
                error=ScanError(repeatability()),
                disagreement={name: sds for (known, name), sds in spreads if known == code},
            )
    table = read_table("pipelines")
    return _scale(
        tracer.equations,
        {name: standard_fingerprint(tracer, name) for name in tracer.equations},
        own,
        tolerated=table["tolerated"]["fields"],
        calibration=BUILT_IN,
        error=ScanError(repeatability(), **table["pipeline_error"][normalisation]),
        disagreement=disagreement() if code == "PIB" else {},
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
    tolerated : fields of the fingerprints that may differ; the result is told to be approximate
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


def centiloid_processing(
    processing: Processing, code: str, normalisation: str = "t1w"
) -> Processing:
    """Options with which the Centiloid of a scan is measured.

    Those of the run, unless only the unsmoothed PET in volumes of 2 mm has an equation.

    Parameters
    ----------
    processing, code, normalisation : as in `scale_for`

    Returns
    -------
    Processing
    """
    standard = replace(processing, smooth_fwhm_mm=None, target_resolution_mm=None, voi_mm=_RES_MM)
    for options in (processing, standard):
        tau = tau_scale(options, code, normalisation)
        scale = scale_for(options, code, normalisation)
        if scale.main in scale.equations if tau is None else tau.equations:
            return options
    return processing


def tau_scale(processing: Processing, code: str, normalisation: str = "t1w") -> TauScale | None:
    """Equations of CenTauRz and CenTauR that a scan of this tracer and pipeline may use.

    Those of ``tau_calibration`` where it has the tracer: every field of the fingerprint must agree.

    Parameters
    ----------
    processing, code, normalisation : as in `scale_for`

    Returns
    -------
    TauScale or None
        None for a tracer of amyloid, and without volumes.
    """
    if code not in tau_tracers() or processing.tau_vois is None:
        return None
    published = tau_equations(code)
    user = None
    if processing.tau_calibration is not None:
        user = read_tau_calibration(processing.tau_calibration)
    if user is not None and code in user.lines:
        own = tau_fingerprint(processing, code, normalisation)
        lines = user.lines[code]
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
    standard = replace(processing, smooth_fwhm_mm=None, target_resolution_mm=None, window_min=None)
    made, own = (
        _fingerprint(options, tau_tracers()[code], {}, _RES_MM, way)
        for options, way in ((standard, "t1w"), (processing, normalisation))
    )
    differences = made.differences(own)
    usable = not differences.keys() - set(read_table("pipelines")["tolerated"]["fields"])
    return TauScale(
        equations=published if usable else {},
        calibration=BUILT_IN,
        differences=tuple(differences.values()),
        approximate=usable and "normalisation" in differences,
    )


def tau_fingerprint(processing: Processing, code: str, normalisation: str = "t1w") -> Fingerprint:
    """Fingerprint of the pipeline that measures SUVRs in the user's tau volumes, of 2 mm.

    Parameters
    ----------
    processing, code, normalisation : as in `scale_for`

    Returns
    -------
    Fingerprint
    """
    assert processing.tau_vois is not None
    hashes = _tau_voi_hashes(processing.tau_vois)
    return _fingerprint(processing, tau_tracers()[code], hashes, _RES_MM, normalisation)


def _fingerprint(
    processing: Processing,
    tracer: Tracer,
    vois: Mapping[str, str],
    voi_mm: float,
    normalisation: str,
) -> Fingerprint:
    return Fingerprint(
        template=TEMPLATE_SPACE,
        normalisation=normalisation,
        vois=vois,
        voi_mm=float(voi_mm),
        smooth_fwhm_mm=processing.smooth_fwhm_mm,
        target_resolution_mm=processing.target_resolution_mm,
        window_min=processing.window_min or tracer.window_min,
    )


def regional_scale(processing: Processing, code: str, normalisation: str = "t1w") -> Scale:
    """Equations for the regions of atlases, which are measured on the 2 mm grid.

    Parameters
    ----------
    processing, code, normalisation : as in `scale_for`

    Returns
    -------
    Scale
    """
    return scale_for(replace(processing, voi_mm=_RES_MM), code, normalisation)


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


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same with a SHA-256 over its canonical JSON, under ``sha256``.

    Parameters
    ----------
    content : JSON object; an old hash in it is replaced

    Returns
    -------
    dict
    """
    bare = {key: value for key, value in content.items() if key != "sha256"}
    return {**bare, "sha256": hashlib.sha256(canonical(bare).encode()).hexdigest()}


@lru_cache
def read_calibration(path: Path) -> CalibrationFile:
    """Read and check a file for ``--calibration``.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    CalibrationFile

    Raises
    ------
    NoInputError
        The file cannot be read.
    BadDataError
        It is not a calibration file, lacks a field, or was changed after it was written.
    """
    calibration = _read(path, "--calibration", SCHEMA, _parsed)
    if unknown := {code for code, _ in calibration.equations} - tracers().keys():
        raise refused("calibration", "unknown-tracer", path=path, code=min(unknown))
    return calibration


@lru_cache
def read_tau_calibration(path: Path) -> TauCalibration:
    """Read and check a file for ``--tau-calibration``; raises as `read_calibration`.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    TauCalibration
    """
    return _read(path, "--tau-calibration", TAU_SCHEMA, _parsed_tau)


def _read(
    path: Path, option: str, schema: str, parsed: Callable[[Mapping[str, Any]], _Read]
) -> _Read:
    """Content of a signed file that a calibration with met criteria wrote."""
    text, where = given_text(path, option), f"{option} {path}"
    try:
        content = parse_json(text)
    except ValueError as error:
        raise refused("calibration", "no-json", where=where, error=error) from error
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise refused("calibration", "schema", where=where, schema=schema)
    if content.get("sha256") != signed(content)["sha256"]:
        raise refused("calibration", "changed", where=where)
    if content.get("passed") is not True:
        raise refused("calibration", "failed", where=where)
    try:
        return parsed(content)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        name = type(error).__name__
        raise refused("calibration", "unread", where=where, name=name, error=error) from error


def calibration_content(
    equations: Iterable[tuple[str, Equation]],
    prints: Mapping[tuple[str, str], Fingerprint],
    spreads: Mapping[tuple[str, str], tuple[float, float]],
    **about: Any,
) -> dict[str, Any]:
    """Content of a calibration file, signed.

    Parameters
    ----------
    equations : (code of the tracer, equation)
    prints, spreads : fingerprint and disagreement by tracer and reference region
    **about : whatever else the file tells

    Returns
    -------
    dict
    """
    rows = []
    for code, line in equations:
        key = code, line.reference_region
        rows.append(
            {
                "tracer": code,
                **asdict(line),
                "fingerprint": asdict(prints[key]),
                "disagreement": list(spreads[key]) if key in spreads else None,
            }
        )
    return signed({"schema": SCHEMA, **about, "equations": rows})


def tau_calibration_content(
    lines: Iterable[tuple[str, str, TauLine]], **about: Any
) -> dict[str, Any]:
    """Content of a file for ``--tau-calibration``, signed.

    Parameters
    ----------
    lines : (code of the tracer, region, line)
    **about : whatever else the file tells

    Returns
    -------
    dict
    """
    rows = [{"tracer": code, "region": region, **asdict(line)} for code, region, line in lines]
    return signed({"schema": TAU_SCHEMA, **about, "lines": rows})


def _parsed(content: Mapping[str, Any]) -> CalibrationFile:
    prints, equations, spreads = {}, {}, {}
    for row in content["equations"]:
        line = dict(row)
        key = line.pop("tracer"), line["reference_region"]
        if key[1] not in REFERENCES:
            raise ValueError(f"unknown reference region {key[1]}")
        prints[key] = Fingerprint(**tupled(line.pop("fingerprint")))
        if (sds := line.pop("disagreement")) is not None:
            spreads[key] = (float(sds[0]), float(sds[1]))
        equations[key] = _finite(equation_of(line))
    if not equations:
        raise ValueError("no equation")
    described = {code: dict(definition) for code, definition in content.get("tracers", {}).items()}
    return CalibrationFile(content["sha256"][:12], prints, equations, spreads, described)


def _parsed_tau(content: Mapping[str, Any]) -> TauCalibration:
    lines: dict[str, dict[str, TauLine]] = {}
    for row in content["lines"]:
        line = dict(row)
        code, region = line.pop("tracer"), line.pop("region")
        if region not in tau_equations(code)["centaurz"]:
            raise ValueError(f"unknown region {region}")
        own = Fingerprint(**tupled(line.pop("fingerprint")))
        lines.setdefault(code, {})[region] = _finite(TauLine(**tupled(line), fingerprint=own))
    if not lines:
        raise ValueError("no line")
    return TauCalibration(content["sha256"][:12], lines)


def _finite(line: _Line) -> _Line:
    if not (math.isfinite(line.slope) and math.isfinite(line.intercept)):
        raise ValueError("slope and intercept must be numbers")
    return line
