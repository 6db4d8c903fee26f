"""What a calibration says: a signed report, the file for ``--calibration``, words, and plots."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.calibrate.figures import Paired, paired_plots
from bidsapp.calibrate.fit import disagreements
from bidsapp.core.quantification.scale import Fingerprint
from bidsapp.core.statistics.calibration import (
    FEWEST_FOR_SPREAD,
    Calibration,
    Criterion,
    Suspect,
)
from bidsapp.core.statistics.regression import Line
from bidsapp.data.calibrations import CalibrationFile, Key, OwnEquation, calibration_content, signed
from bidsapp.data.sentences import worded
from bidsapp.data.tracers import tracers
from bidsapp.io.atomic import write_json
from bidsapp.plain import of_suvr, some
from bidsapp.record.tracers import definition_of

REPORT_SCHEMA = "centipet-calibration-report/1"


@dataclass(frozen=True)
class CalibrationStudy:
    """A calibration with everything in its report.

    Attributes
    ----------
    level : 1 or 2
    regression : name of the regression
    calibrations, fingerprints : by tracer and reference region
    standard : whether the pipeline is the standard one, by its fingerprint
    source : where the SUVRs come from: kind, name, hashes
    suspects : what is wrong with images, besides what the calibrations found
    missing : people without a number, and why
    table_lines : slope and intercept that a table's own Centiloids follow, by tracer
    absent : people of the public table that are not among those measured
    level1 : at level 2, the level 1 file of the same pipeline, whose equations are kept
    """

    level: int
    regression: str
    calibrations: Mapping[Key, Calibration]
    fingerprints: Mapping[Key, Fingerprint]
    standard: bool
    source: Mapping[str, Any]
    suspects: tuple[Suspect, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    table_lines: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    level1: CalibrationFile[OwnEquation] | None = None

    @property
    def main(self) -> dict[Key, Calibration]:
        """Those that decide: over the whole cerebellum, or all when there is none."""
        main = {key: item for key, item in self.calibrations.items() if key[1] == "wc"}
        return main or dict(self.calibrations)

    @property
    def passed(self) -> bool:
        """Whether every deciding calibration meets all criteria."""
        return all(item.passed for item in self.main.values())

    @property
    def doubts(self) -> tuple[Suspect, ...]:
        """Everything that looks wrong, each once."""
        suspects = [*self.suspects]
        for item in self.main.values():
            suspects += item.suspects
        return tuple(dict.fromkeys(suspects))

    def write(self, folder: Path) -> list[Path]:
        """Write report, plots and, where the criteria are met, the file for ``--calibration``.

        Parameters
        ----------
        folder : where they go

        Returns
        -------
        list of Path
        """
        stem = f"level{self.level}"
        written = [write_json(folder / f"{stem}_report.json", report(self))]
        if self.passed:
            written.append(write_json(folder / f"{stem}_calibration.json", calibration(self)))
        for (code, name), item in self.calibrations.items():
            written += _plots(self.level, code, name, item, folder)
        return written

    def words(self) -> str:
        """Text for the terminal: coefficients with standard errors, criteria, doubts.

        Returns
        -------
        str
        """
        lines = []
        for (code, name), item in self.calibrations.items():
            lines += ["", *_words(code, name, item, self)]
        for suspect in self.doubts:
            lines += ["", f"LOOK: {suspect.message}"]
        for person, reason in self.missing.items():
            lines += ["", f"MISSING: {person}: {reason}"]
        if self.absent:
            among = f"{len(self.absent)} of the 79 people of the public table"
            lines += ["", f"ABSENT: {among}: {some(self.absent, 5)}"]
        verdict = "PASSED" if self.passed else "FAILED: no file for --calibration is written"
        return "\n".join([*lines, "", f"Level {self.level}: {verdict}"])


def report(study: CalibrationStudy) -> dict[str, Any]:
    """Content of the report, signed.

    Parameters
    ----------
    study : calibration

    Returns
    -------
    dict
    """
    return signed(
        {
            "schema": REPORT_SCHEMA,
            "level": study.level,
            "passed": study.passed,
            "regression": study.regression,
            "standard_pipeline": study.standard,
            "source": dict(study.source),
            "versions": versions(),
            "tracers": _described(code for code, _ in study.calibrations),
            "calibrations": [
                _entry(code, name, item, study) for (code, name), item in study.calibrations.items()
            ],
            "suspects": [asdict(suspect) for suspect in study.doubts],
            "missing": dict(study.missing),
            "absent": list(study.absent),
        }
    )


def calibration(study: CalibrationStudy) -> dict[str, Any]:
    """Signed content of the file for ``--calibration``: equations that passed, and their basis.

    Parameters
    ----------
    study : calibration

    Returns
    -------
    dict
    """
    spreads = disagreements(study.calibrations)
    lines = {} if study.level1 is None else dict(study.level1.lines)
    lines |= {
        key: OwnEquation(item.equation, study.fingerprints[key], spreads.get(key))
        for key, item in study.calibrations.items()
        if item.passed
    }
    return calibration_content(
        lines,
        level=study.level,
        passed=study.passed,
        regression=study.regression,
        source=dict(study.source),
        versions=versions(),
        tracers=_described(code for code, _ in lines),
    )


def _described(codes: Iterable[str]) -> dict[str, Any]:
    """Definitions of the tracers that the package does not have, by code."""
    rows = {code: definition_of(code) for code in codes}
    return {code: asdict(row) for code, row in rows.items() if row is not None}


def versions() -> dict[str, str]:
    """Versions of the app and of its numerical libraries.

    Returns
    -------
    dict
        By name.
    """
    return {
        "centipet": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy")},
    }


def _words(code: str, name: str, item: Calibration, study: CalibrationStudy) -> list[str]:
    equation, line = item.equation, item.line
    lines = [worded("fit", "head", tracer=tracers()[code].name, name=name, line=line, study=study)]
    if study.level == 1 and equation.anchors is not None:
        anchors = equation.anchors
        lines.append(worded("fit", "anchors", anchors=anchors))
        relation = "own Centiloid on the published one"
    else:
        relation = "SUVR on that of PiB"
    lines += [
        f"  {relation}: {fit_words(line)}",
        f"  equation: Centiloid = {of_suvr(equation.slope, equation.intercept, 3)}",
    ]
    if study.level == 2 and name == "wc" and code in study.table_lines:
        lines.append(f"  the table's own Centiloids follow {of_suvr(*study.table_lines[code], 2)}")
    limits = item.agreement
    lines.append(worded("fit", "difference", bias=round(limits.bias, 2) + 0.0, limits=limits))
    if item.young_ratio is not None:
        lines.append(
            f"  young controls: SD of Centiloids over that with PiB {item.young_ratio:.2f}"
        )
    return [*lines, *judged(item.criteria), *few_words(line)]


def fit_words(line: Line) -> str:
    """Coefficients of a line with their standard errors, and how well it fits.

    Parameters
    ----------
    line : fitted

    Returns
    -------
    str
    """
    return worded("fit", "line", line=line)


def few_words(line: Line) -> list[str]:
    """Line for the terminal where a fit rests on few scans; none where it does not.

    Parameters
    ----------
    line : fitted

    Returns
    -------
    list of str
    """
    few = line.n < FEWEST_FOR_SPREAD
    return [f"  LOOK: only {line.n} scans; the line is as sure as its standard errors"] * few


def judged(criteria: Iterable[Criterion]) -> list[str]:
    """Line for the terminal of every criterion.

    Parameters
    ----------
    criteria : of a calibration

    Returns
    -------
    list of str
    """
    return [
        f"  {'pass' if criterion.passed else 'FAIL'}  {criterion.name} {criterion.value:.4f}, "
        f"wanted {criterion.lowest:g} to {criterion.highest:g}"
        for criterion in criteria
    ]


def _entry(code: str, name: str, item: Calibration, study: CalibrationStudy) -> dict[str, Any]:
    table_line = study.table_lines.get(code) if name == "wc" else None
    columns = {"x": item.x, "y": item.y, "reference_cl": item.reference_cl, "own_cl": item.own_cl}
    return {
        "tracer": code,
        "reference_region": name,
        "n": item.line.n,
        "passed": item.passed,
        "criteria": [
            {**asdict(criterion), "passed": criterion.passed} for criterion in item.criteria
        ],
        "equation": asdict(item.equation),
        "line": asdict(item.line),
        "agreement": asdict(item.agreement),
        "young_sd_ratio": item.young_ratio,
        "table_line": table_line and dict(zip(("slope", "intercept"), table_line, strict=True)),
        "fingerprint": asdict(study.fingerprints[code, name]),
        "people": [
            {"name": who, **{key: float(values[n]) for key, values in columns.items()}}
            for n, who in enumerate(item.names)
        ],
    }


def _plots(level: int, code: str, name: str, item: Calibration, folder: Path) -> list[Path]:
    stem = f"level{level}_trc-{code}_ref-{name}"
    tracer = tracers()[code].name
    labels = f"[11C]PiB SUVR ({name})", f"{tracer} SUVR ({name})"
    ends = "mean of both (CL)", f"{tracer} \N{MINUS SIGN} PiB (CL)"
    if level == 1:
        labels = f"published Centiloid ({name}), CL", f"own Centiloid ({name}), CL"
        ends = "mean of both (CL)", "own \N{MINUS SIGN} published (CL)"
    regressed = Paired(item.x, item.y, *labels)
    compared = Paired(item.reference_cl, item.own_cl, *ends)
    return paired_plots(
        folder / stem, regressed, item.line, compared, item.agreement, identity=level == 1
    )
