"""How often the intervals of the cohort hold the truth, on simulated studies of known truth.

    python tests/benchmarks/cohort.py

Prints the tables of docs/longitudinal.md. Takes two minutes.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from bidsapp.core.quantification.uncertainty import ScanError, propagate
from bidsapp.core.statistics.change import Measured, change, scale_sd, weighted_slope
from bidsapp.core.statistics.mixed_effects import mixed_effects
from bidsapp.core.statistics.two_groups import TwoNormals, control_cutoff, two_groups
from bidsapp.data import read_table
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.errors import BadDataError

ERROR = ScanError(repeatability(), 1.3)
PEOPLE = 4000


def changes(code: str, before: float, after: float) -> tuple[float, float, float]:
    """Share of intervals with the true change, share beyond the limit, median limit (CL).

    Every person has a calibration cohort (means of the scale, line of the tracer), a signal of the
    tracer of their own, and two scans with errors.
    """
    random, equation = np.random.default_rng(1), tracers()[code].equation
    anchors, pairs = equation.anchors, equation.pairs
    young, patients = (
        random.normal(mean, sd / math.sqrt(n), PEOPLE)
        for mean, sd, n in (
            (anchors.young_mean, anchors.young_sd, anchors.young_n),
            (anchors.patients_mean, anchors.patients_sd, anchors.patients_n),
        )
    )
    true_gain, true_offset, gain, offset = 1.0, 0.0, np.ones(PEOPLE), np.zeros(PEOPLE)
    low = growth = 0.0
    if pairs is not None:
        var_gain, both, var_offset = pairs.covariance
        true_gain, true_offset = pairs.gain, pairs.offset
        gain, offset = random.multivariate_normal(
            [true_gain, true_offset], [[var_gain, both], [both, var_offset]], PEOPLE
        ).T
        low, high = (
            propagate((c - equation.intercept) / equation.slope, equation, ERROR, None)
            .components["tracer"] / equation.slope for c in (0.0, 100.0)
        )  # fmt: skip
        growth = math.sqrt(max(high**2 - low**2, 0.0))
    own = random.standard_normal((2, PEOPLE))
    scans = []
    for c in (before, after):
        pib = anchors.young_mean + c / 100 * (anchors.patients_mean - anchors.young_mean)
        suvr = true_gain * pib + true_offset + low * own[0] + growth * own[1] * c / 100
        suvr = suvr * random.normal(1, repeatability(), PEOPLE)
        value = 100 * ((suvr - offset) / gain - young) / (patients - young)
        scans.append((value, abs(equation.slope) * suvr * repeatability()))
    relative = scale_sd(equation, ERROR)
    found = [
        change(Measured(a, sa), Measured(b, sb), relative)
        for a, sa, b, sb in zip(*scans[0], *scans[1], strict=True)
    ]
    held = np.mean([one.interval[0] <= after - before <= one.interval[1] for one in found])
    return held, np.mean([one.reliable for one in found]), np.median([one.limit for one in found])


def slopes(visits: int, factor: float) -> float:
    """Share of intervals of slopes with the truth; real errors are ``factor`` times the told."""
    random, held = np.random.default_rng(visits), 0
    years, sds = 1.5 * np.arange(visits), np.full(visits, 3.0)
    for _ in range(PEOPLE):
        line = weighted_slope(years, 3 * years + random.normal(0, factor * sds), sds, 0.0)
        held += line.interval[0] <= 3 <= line.interval[1]
    return held / PEOPLE


def models(
    people: int, visits: int, spread: float, own: bool, once: int = 0
) -> tuple[float, float, int]:
    """Share of intervals with the true change per year, mean estimate, fits that were refused.

    ``once``: further people with one visit.
    """
    found, refused = [], 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        who = np.r_[np.repeat(np.arange(people), visits), people + np.arange(once)]
        visit = np.r_[np.tile(np.arange(visits), people), np.zeros(once)]
        years = 2.0 * visit + random.uniform(-0.2, 0.2, who.size) * (visit > 0)
        level, slope = random.normal(20, 30, people + once), random.normal(3, spread, people + once)
        values = level[who] + slope[who] * years
        try:
            fit = mixed_effects(values + random.normal(0, 3, who.size), who, years, {}, slopes=own)
        except BadDataError:
            refused += 1
            continue
        found.append(fit.terms[1])
    held = np.mean([term.low <= 3 <= term.high for term in found])
    return held, float(np.mean([term.estimate for term in found])), refused


def mixtures(people: int) -> tuple[float, float, float]:
    """Share of cohorts with a cut-off; of these, intervals of both cut-offs with the truth."""
    truth = TwoNormals((0.6, 0.4), (2.0, 70.0), (8.0, 28.0), 0.0)
    held = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        lower = random.binomial(people, 0.6)
        values = np.r_[random.normal(2, 8, lower), random.normal(70, 28, people - lower)]
        try:
            found = two_groups(values, **read_table("cohort")["mixture"])
        except BadDataError:
            continue
        cuts = ((found.crossing, truth.crossing), (found.two_sds, truth.two_sds))
        held.append([cut.low <= at <= cut.high for cut, at in cuts])
    return len(held) / 200, *np.mean(held, axis=0)


def one_group(draw: str) -> float:
    """Share of cohorts of one group in which two are found."""
    wrong = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        values = {
            "normal": random.normal(20, 20, 200),
            "log-normal": random.lognormal(3, 0.7, 200),
            "uniform": random.uniform(-20, 120, 200),
        }[draw]
        try:
            two_groups(values, **read_table("cohort")["mixture"])
        except BadDataError:
            continue
        wrong += 1
    return wrong / 200


def controls(people: int) -> float:
    """Share of intervals of mean + 2 SD with the truth."""
    random = np.random.default_rng(people)
    found = [control_cutoff(random.normal(0, 5, people), 8) for _ in range(PEOPLE)]
    return float(np.mean([one.low <= 10 <= one.high for one in found]))


def main() -> None:
    """Print every table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print("tracer | error of a change by the scale | no change at 80 CL: pairs beyond the limit"
          " | limit at 0 / 80 CL | interval covers a change 10 to 40 | 10 to 90")  # fmt: skip
    for code in tracers():
        _, _, limit_0 = changes(code, 0.0, 0.0)
        _, beyond, limit_80 = changes(code, 80.0, 80.0)
        small, large = (changes(code, 10.0, after)[0] for after in (40.0, 90.0))
        scale = scale_sd(tracers()[code].equation, ERROR)
        row(code, scale, beyond, f"{limit_0:.1f} / {limit_80:.1f} CL", small, large)
    print("slope of | interval covers the truth | errors 1.5 times as large as stated")
    for visits in (3, 4, 6):
        row(f"{visits} visits", slopes(visits, 1.0), slopes(visits, 1.5))
    print("mixed model | SD of slopes | interval covers | mean (truth 3) | refused")
    for people, visits, spread, own, once in (
        (12, 3, 2.0, True, 0), (30, 3, 2.0, True, 0), (30, 3, 0.0, True, 0), (30, 2, 2.0, False, 0),
        (10, 3, 2.0, True, 50),
    ):  # fmt: skip
        held, mean, refused = models(people, visits, spread, own, once)
        what = f"{people} people, {visits} visits" + (f", and {once} with one" if once else "")
        row(what, f"{spread:g}", held, f"{mean:.2f}", f"{refused} of 150")
    print("mixture, people | found | interval of the crossing covers | of lower group + 2 SD")
    for people in (60, 150, 500):
        row(people, *mixtures(people))
    for draw in ("normal", "log-normal", "uniform"):
        print(f"one {draw} group taken for two: {100 * one_group(draw):.1f} %")
    for people in (8, 30):
        print(f"{people} controls, mean + 2 SD: interval covers {100 * controls(people):.1f} %")


def row(*cells: str | int | float) -> None:
    """Print a row; floats are shares."""
    print(
        *(f"{100 * c:.1f} %" if isinstance(c, float) else c for c in cells), sep=" | ", flush=True
    )


if __name__ == "__main__":
    main()
