"""Tau: the SUVRs of a pipeline against those of the standard one, from a table of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.calibrate.figures import Paired, paired_plots
from bidsapp.calibrate.report import REPORT_SCHEMA, few_words, fit_words, judged, versions
from bidsapp.calibrate.tables import needed, number_of, read_rows, suvr_of
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.scale import Fingerprint
from bidsapp.core.statistics.calibration import PipelineLine, Suspect, between_pipelines
from bidsapp.core.statistics.regression import Fit
from bidsapp.data import read_table
from bidsapp.data.calibrations import Key, TauLine, signed, tau_calibration_content
from bidsapp.data.tau import tau_equations, tau_regions
from bidsapp.data.tracers import known_tracer, tau_tracers
from bidsapp.errors import BadDataError
from bidsapp.io.atomic import write_json
from bidsapp.plain import of_suvr


@dataclass(frozen=True)
class TauPairs:
    """SUVRs of scans by both pipelines: names of the people, own and standard, shape (N,) each."""

    names: tuple[str, ...]
    own: NDArray[np.float64]
    standard: NDArray[np.float64]


@dataclass(frozen=True)
class TauStudy:
    """Lines of a pipeline with everything in their report.

    Attributes
    ----------
    lines : by tracer and region
    fingerprints : of the pipeline, by tracer
    regression : name of the regression
    source : where the SUVRs come from
    """

    lines: Mapping[Key, PipelineLine]
    fingerprints: Mapping[str, Fingerprint]
    regression: str
    source: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every line meets all criteria: a file always has all requested regions."""
        return all(line.passed for line in self.lines.values())

    @property
    def doubts(self) -> tuple[Suspect, ...]:
        """Everybody who looks wrong in any region, each once."""
        suspects = (line.suspects for line in self.lines.values())
        return tuple(dict.fromkeys(chain.from_iterable(suspects)))

    def equations(self, key: Key) -> dict[str, Equation]:
        """Equations for the pipeline's own SUVRs, by scale.

        Parameters
        ----------
        key : tracer and region

        Returns
        -------
        dict
        """
        code, region = key
        line = _tau_line(self.lines[key], self.fingerprints[code])
        return {
            scale: line.onto(by_region[region], f"own line from {self.source['name']}")
            for scale, by_region in tau_equations(code).items()
            if region in by_region
        }

    def write(self, folder: Path) -> list[Path]:
        """Write report, plots and, with all criteria met, the file for ``--tau-calibration``.

        Parameters
        ----------
        folder : where they go

        Returns
        -------
        list of Path
        """
        written = [write_json(folder / "tau_report.json", _report(self))]
        if self.passed:
            about = {"regression": self.regression, "source": dict(self.source)}
            prints, lines = self.fingerprints, self.lines.items()
            content = tau_calibration_content(
                {key: _tau_line(line, prints[key[0]]) for key, line in lines},
                passed=True,
                versions=versions(),
                **about,
            )
            written.append(write_json(folder / "tau_calibration.json", content))
        for (code, region), fit in self.lines.items():
            stem, words = f"tau_trc-{code}_region-{region}", region.replace("_", " ")
            labels = f"own SUVR ({words})", f"standard SUVR ({words})"
            ends = "mean of both (SUVR)", "by the line \N{MINUS SIGN} standard (SUVR)"
            on_scale = Paired(fit.standard, fit.line.at(fit.own), *ends)
            own = Paired(fit.own, fit.standard, *labels)
            written += paired_plots(folder / stem, own, fit.line, on_scale, fit.agreement)
        return written

    def words(self) -> str:
        """Text for the terminal: coefficients with standard errors, criteria, doubts.

        Returns
        -------
        str
        """
        lines = []
        for (code, region), fitted in self.lines.items():
            line, limits = fitted.line, fitted.agreement
            lines += [
                "",
                f"{tau_tracers()[code].name}, {region.replace('_', ' ')}, n = {line.n}, "
                f"{self.regression} regression",
                f"  standard SUVR on own: {fit_words(line)}; own SUVRs {fitted.own.min():.3f} to "
                f"{fitted.own.max():.3f}",
                *(
                    f"  equation: {_NAMES[scale]} = {of_suvr(each.slope, each.intercept, 3)}"
                    for scale, each in self.equations((code, region)).items()
                ),
                f"  difference: bias {limits.bias + 0.0:+.4f}, 95 % limits {limits.lower:+.4f} to "
                f"{limits.upper:+.4f}, largest {limits.largest:.4f} SUVR",
                *judged(fitted.criteria),
            ]
            lines += few_words(line)
        for suspect in self.doubts:
            lines += ["", f"LOOK: {suspect.message}"]
        for code in self.fingerprints:
            if lacking := [name for name in tau_regions() if (code, name) not in self.lines]:
                listed = ", ".join(lacking).replace("_", " ")
                lines += ["", f"{code}: the table has nothing for {listed}: no CenTauRz there"]
        verdict = "PASSED" if self.passed else "FAILED: no file for --tau-calibration is written"
        return "\n".join([*lines, "", f"Tau: {verdict}"])


def read_tau_pairs(path: Path) -> dict[Key, TauPairs]:
    """Scans that a table gives the SUVRs of both pipelines of, by tracer and region.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    dict
        By tracer and region.

    Raises
    ------
    BadDataError
        A column is missing or stands for two, a value is not an SUVR, a tracer is not one of tau,
        or a person appears twice.
    """
    rows = read_rows(path)
    person, tracer = (needed(rows, key, path) for key in ("person", "tracer"))
    used = {
        region: columns
        for region in tau_regions()
        if (columns := _columns(rows[0], region, path)) is not None
    }
    if not used:
        raise BadDataError(
            f"{path}: needs columns tau_suvr_REGION and standard_suvr_REGION (or "
            f"standard_centaurz_REGION), REGION one of {', '.join(tau_regions())}"
        )
    values_of: dict[Key, dict[str, tuple[float, float]]] = {}
    for number, row in enumerate(rows, start=2):
        for region, (own, kind, other) in used.items():
            if not (row[own] and row[other]):
                continue
            where = f"{path}: line {number}"
            code = _code(row[tracer], where)
            standard = _standard(row[other], other, where, kind, code, region)
            values = suvr_of(row[own], f"{where}: {own}"), standard
            if row[person] in values_of.setdefault((code, region), {}):
                raise BadDataError(
                    f"{where}: {row[person]} has two rows with {code}; keep the right one"
                )
            values_of[code, region][row[person]] = values
    if not values_of:
        raise BadDataError(f"{path}: no row has the values of both pipelines")
    return {
        key: TauPairs(tuple(people), *np.array(list(people.values())).T)
        for key, people in values_of.items()
    }


def fit_tau(pairs: Mapping[Key, TauPairs], fit: Fit) -> dict[Key, PipelineLine]:
    """Line of every tracer and region.

    Parameters
    ----------
    pairs : by tracer and region
    fit : regression

    Returns
    -------
    dict
        By tracer and region.

    Raises
    ------
    BadDataError
        A line cannot be fitted; the sentence names tracer and region.
    """
    limits, lines = read_table("calibration")["criteria"]["tau"], {}
    for key, pair in pairs.items():
        try:
            lines[key] = between_pipelines(pair.own, pair.standard, pair.names, limits, fit)
        except BadDataError as error:
            raise BadDataError(f"{', '.join(key)}: {error}") from error
    return lines


_NAMES = {"centaurz": "CenTauRz", "centaur": "CenTauR"}


def _report(study: TauStudy) -> dict[str, Any]:
    return signed(
        {
            "schema": REPORT_SCHEMA,
            "level": "tau",
            "passed": study.passed,
            "regression": study.regression,
            "source": dict(study.source),
            "versions": versions(),
            "lines": [
                {
                    "tracer": code,
                    "region": region,
                    "passed": fitted.passed,
                    "criteria": [asdict(c) | {"passed": c.passed} for c in fitted.criteria],
                    "line": asdict(fitted.line),
                    "agreement": asdict(fitted.agreement),
                    "equations": {
                        scale: {"slope": equation.slope, "intercept": equation.intercept}
                        for scale, equation in study.equations((code, region)).items()
                    },
                    "people": [
                        {"name": name, "own": own, "standard": standard}
                        for name, own, standard in zip(
                            fitted.names, fitted.own.tolist(), fitted.standard.tolist(), strict=True
                        )
                    ],
                }
                for (code, region), fitted in study.lines.items()
            ],
            "suspects": [asdict(doubt) for doubt in study.doubts],
        }
    )


def _tau_line(fitted: PipelineLine, own: Fingerprint) -> TauLine:
    return TauLine(
        slope=fitted.line.slope,
        intercept=fitted.line.intercept,
        n=fitted.line.n,
        r2=fitted.line.r2,
        suvr_range=(float(fitted.own.min()), float(fitted.own.max())),
        fingerprint=own,
    )


def _columns(row: Mapping[str, str], region: str, path: Path) -> tuple[str, str, str] | None:
    """Columns of a region: own SUVR, kind of the other and its column; None without them."""
    names = read_table("calibration")["columns"]
    present = {
        kind: column
        for kind in ("own", "suvr", "centaurz", "centaur")
        for pattern in names[f"tau_{kind}"]
        if (column := pattern.format(ref=region)) in row
    }
    own, others = present.pop("own", None), list(present.items())
    if len(others) > 1 and own:
        listed = " and ".join(column for _, column in others)
        raise BadDataError(f"{path}: has columns {listed}; keep only one of them")
    return (own, *others[0]) if own and others else None


def _code(text: str, where: str) -> str:
    tracer = known_tracer(text)
    if tracer is None or tracer.code not in tau_tracers():
        raise BadDataError(
            f"{where}: tracer {text!r} is not a tau tracer ({', '.join(tau_tracers())}); correct it"
        )
    return tracer.code


def _standard(text: str, column: str, where: str, kind: str, code: str, region: str) -> float:
    """SUVR of the standard pipeline, or that of its CenTauRz or CenTauR."""
    if kind == "suvr":
        return suvr_of(text, f"{where}: {column}")
    line = tau_equations(code)[kind].get(region)
    if line is None:
        raise BadDataError(
            f"{where}: {column}: {code} has no equation of {_NAMES[kind]} for this region; give "
            "SUVRs"
        )
    value = (number_of(text, f"{where}: {column}") - line.intercept) / line.slope
    if value <= 0:
        raise BadDataError(f"{where}: {column}: no SUVR gives {text}; correct it or write n/a")
    return value
