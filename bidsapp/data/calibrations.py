"""The user's calibration files, written by ``centipet-calibrate`` for ``--calibration``.

Such a file holds equations, the fingerprint of the pipeline that made the SUVRs, and a SHA-256 over
all of it. That of tau holds lines to the SUVRs of the standard pipeline instead.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.scale import Fingerprint, canonical
from bidsapp.data import REFERENCES, tupled
from bidsapp.data.sentences import refused
from bidsapp.data.tau import tau_equations
from bidsapp.data.tracers import equation_of, tracers
from bidsapp.io.reading import given_text, parse_json

SCHEMA = "centipet-calibration/1"
TAU_SCHEMA = "centipet-tau-calibration/1"

_Line = TypeVar("_Line")

Key = tuple[str, str]
"""Code of a tracer; reference region, or region of a tau tracer."""


@dataclass(frozen=True)
class OwnEquation:
    """An equation of a user, for SUVRs to one reference region.

    Attributes
    ----------
    equation : Equation
    fingerprint : of the pipeline that made the SUVRs
    disagreement : as in `bidsapp.core.quantification.scale.Scale`; None where it is not known
    """

    equation: Equation
    fingerprint: Fingerprint
    disagreement: tuple[float, float] | None = None


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
class CalibrationFile(Generic[_Line]):
    """Lines of a user: `OwnEquation`, or `TauLine`.

    Attributes
    ----------
    name : first twelve digits of the file's own SHA-256
    lines : by `Key`
    tracers : name and radionuclide of the tracers that a ``--tracer-file`` described, by code
    """

    name: str
    lines: Mapping[Key, _Line] = field(hash=False)
    tracers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    def of(self, code: str) -> dict[str, _Line]:
        """Lines of a tracer.

        Parameters
        ----------
        code : of the tracer

        Returns
        -------
        dict
            By region.
        """
        return {region: line for (known, region), line in self.lines.items() if known == code}


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
def read_calibration(path: Path) -> CalibrationFile[OwnEquation]:
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
    calibration = _read(path, "--calibration", SCHEMA, "equations", _own_equation)
    if unknown := {code for code, _ in calibration.lines} - tracers().keys():
        raise refused("calibration", "unknown-tracer", path=path, code=min(unknown))
    return calibration


@lru_cache
def read_tau_calibration(path: Path) -> CalibrationFile[TauLine]:
    """Read and check a file for ``--tau-calibration``; raises as `read_calibration`.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    CalibrationFile
    """
    return _read(path, "--tau-calibration", TAU_SCHEMA, "lines", _tau_line)


def _read(
    path: Path,
    option: str,
    schema: str,
    heading: str,
    parsed: Callable[[dict[str, Any]], tuple[Key, _Line]],
) -> CalibrationFile[_Line]:
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
        lines = dict(parsed(dict(row)) for row in content[heading])
        if not lines:
            raise ValueError(f"no {heading.removesuffix('s')}")
        described = {code: dict(row) for code, row in content.get("tracers", {}).items()}
        return CalibrationFile(content["sha256"][:12], lines, described)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        name = type(error).__name__
        raise refused("calibration", "unread", where=where, name=name, error=error) from error


def _own_equation(row: dict[str, Any]) -> tuple[Key, OwnEquation]:
    key = row.pop("tracer"), row["reference_region"]
    if key[1] not in REFERENCES:
        raise ValueError(f"unknown reference region {key[1]}")
    own, sds = Fingerprint(**tupled(row.pop("fingerprint"))), row.pop("disagreement")
    spread = None if sds is None else (float(sds[0]), float(sds[1]))
    equation = equation_of(row)
    _check_finite(equation.slope, equation.intercept)
    return key, OwnEquation(equation, own, spread)


def _tau_line(row: dict[str, Any]) -> tuple[Key, TauLine]:
    code, region = row.pop("tracer"), row.pop("region")
    if region not in tau_equations(code)["centaurz"]:
        raise ValueError(f"unknown region {region}")
    own = Fingerprint(**tupled(row.pop("fingerprint")))
    line = TauLine(**tupled(row), fingerprint=own)
    _check_finite(line.slope, line.intercept)
    return (code, region), line


def _check_finite(*coefficients: float) -> None:
    if not all(map(math.isfinite, coefficients)):
        raise ValueError("slope and intercept must be numbers")


def calibration_content(lines: Mapping[Key, OwnEquation], **about: Any) -> dict[str, Any]:
    """Content of a calibration file, signed.

    Parameters
    ----------
    lines : by `Key`
    **about : whatever else the file states

    Returns
    -------
    dict
    """
    rows = [
        {
            "tracer": code,
            **asdict(line.equation),
            "fingerprint": asdict(line.fingerprint),
            "disagreement": None if line.disagreement is None else list(line.disagreement),
        }
        for (code, _), line in lines.items()
    ]
    return signed({"schema": SCHEMA, **about, "equations": rows})


def tau_calibration_content(lines: Mapping[Key, TauLine], **about: Any) -> dict[str, Any]:
    """Content of a file for ``--tau-calibration``, signed.

    Parameters
    ----------
    lines : by `Key`
    **about : whatever else the file states

    Returns
    -------
    dict
    """
    rows = [
        {"tracer": code, "region": region, **asdict(line)} for (code, region), line in lines.items()
    ]
    return signed({"schema": TAU_SCHEMA, **about, "lines": rows})
