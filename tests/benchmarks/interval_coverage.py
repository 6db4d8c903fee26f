"""How often 95 % intervals of Centiloids hold the truth, in simulations and in the public pairs.

    python tests/benchmarks/interval_coverage.py [PAIRS.csv]

Everything is drawn anew: the groups that define the scale, the people of the paired scans, repeat
scans, noise, what the tracer sees of its own, the bias of the pipeline. With the public table of
paired scans it also prints which end of their growth every second pair speaks for, and how often
intervals made from these pairs hold what PiB showed in the others.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bidsapp.calibrate.fit import fit_level2
from bidsapp.calibrate.tables import Pair, read_pairs
from bidsapp.core.quantification.centiloid import Anchors, Equation
from bidsapp.core.quantification.uncertainty import ScanError, Uncertainty, at_load, propagate
from bidsapp.core.statistics.calibration import Scheme, anchors_of, level2
from bidsapp.core.statistics.regression import ordinary, spread
from bidsapp.settings import Interval

YOUNG, PATIENTS, REPEAT = (1.0095, 0.0462), (2.0761, 0.2013), 0.0194
ERROR = ScanError(repeatability=REPEAT, pipeline_sd=1.0, pipeline_bias_sd=0.6)

# gain, offset, standard deviation of what the tracer sees of its own at 0 and at 100 CL, and the
# Centiloid beyond which it grows no more
TRACERS = {
    "like florbetaben": (0.61, 0.39, (0.03, 0.10), 50.0),
    "like florbetapir": (0.54, 0.50, (0.055, 0.125), 50.0),
    "like flutemetamol": (0.77, 0.22, (0.01, 0.12), 50.0),
    "same for all loads": (0.54, 0.50, (0.09, 0.09), 50.0),
}
ENDLESS = {"grows without end": (0.61, 0.39, (0.03, 0.11), None)}

Drawn = tuple[float, float, tuple[float, float], float | None]
Thirds = tuple[float, float, float]


def truth(pib: np.ndarray) -> np.ndarray:
    """Centiloid on the scale of all young controls and patients, not of those scanned."""
    return 100 * (pib - YOUNG[0]) / (PATIENTS[0] - YOUNG[0])


def people(rng: np.random.Generator, n: int) -> np.ndarray:
    """True PiB SUVRs as a memory clinic has them: half without amyloid, half anywhere."""
    low = rng.normal(1.02, 0.05, n)
    return np.where(rng.random(n) < 0.5, low, rng.uniform(1.05, 2.4, n))


def scanned(rng: np.random.Generator, suvr: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """SUVRs of one scan each."""
    return suvr * (1 + math.hypot(REPEAT, noise) * rng.standard_normal(suvr.shape))


def anchors(rng: np.random.Generator) -> Anchors:
    """Anchors from 34 young controls and 45 patients drawn anew."""
    return anchors_of(
        *(
            rng.normal(mean, sd, n)
            for (mean, sd), n in zip((YOUNG, PATIENTS), (34, 45), strict=True)
        )
    )


def hits(rng: np.random.Generator, equation: Equation, pib: np.ndarray, own: np.ndarray,
         noise: float) -> dict[Interval, np.ndarray]:  # fmt: skip
    """Whether both intervals of each person hold their truth; ``own`` are true SUVRs."""
    suvr = scanned(rng, own, noise)
    expected = equation.slope * own + equation.intercept
    other = ERROR.pipeline_bias_sd * rng.standard_normal()
    moved = (other + ERROR.pipeline_sd * rng.standard_normal(pib.size)) / equation.slope
    found = {}
    for kind, true, seen in (
        (Interval.RESCAN, expected, suvr),
        (Interval.PIB, truth(pib), suvr + moved),
    ):
        errors = [propagate(one, equation, ERROR, noise) for one in seen]
        found[kind] = np.array([holds(*one, kind) for one in zip(errors, true, strict=True)])
    return found


def holds(error: Uncertainty, true: float, kind: Interval) -> bool:
    """Whether an interval holds the truth: as `Uncertainty.interval`, without looking for ends."""
    return abs(error.value - true) < 1.959964 * error.sd_at(true, kind)


def coverage(
    rng: np.random.Generator,
    cohorts: int,
    tracer: Callable[[np.ndarray], np.ndarray],
    line: Callable[[], Equation],
    noise: float,
) -> dict[Interval, Thirds]:
    """Coverage in each third of the true load, by interval."""
    loads, held = [], {kind: [] for kind in Interval}
    for _ in range(cohorts):
        equation, pib = line(), people(rng, 60)
        for kind, found in hits(rng, equation, pib, tracer(pib), noise).items():
            held[kind].extend(found)
        loads.extend(truth(pib))
    return {kind: thirds(np.array(loads), np.array(found)) for kind, found in held.items()}


def thirds(load: np.ndarray, held: np.ndarray) -> Thirds:
    """Mean of ``held`` among people with little, medium and much load."""
    third = np.digitize(load, np.quantile(load, [1 / 3, 2 / 3]))
    return tuple(float(held[third == place].mean()) for place in range(3))


def pib_coverage(
    rng: np.random.Generator, cohorts: int, noise: float = 0.008
) -> dict[Interval, Thirds]:
    """Coverage of PiB intervals."""

    def line() -> Equation:
        own = anchors(rng)
        return Equation(own.slope, own.intercept, "wc", "", "", 79, anchors=own)

    return coverage(rng, cohorts, lambda pib: pib, line, noise)


def tracer_coverage(
    rng: np.random.Generator, drawn: Drawn, pairs: int, cohorts: int, noise: float = 0.006
) -> dict[Interval, Thirds]:
    """Coverage of another tracer that was calibrated with so many pairs."""
    gain, offset, own, full_at = drawn

    def tracer(pib: np.ndarray) -> np.ndarray:
        sd = np.array([at_load(*own, value, full_at) for value in truth(pib)])
        return gain * pib + offset + sd * rng.standard_normal(pib.shape)

    def line() -> Equation:
        pib = people(rng, pairs)
        return level2(
            scanned(rng, pib), scanned(rng, tracer(pib)), np.zeros(pairs, bool), [""] * pairs,
            Scheme("wc", "", {"r2": (0.7, 1.0)}), anchors=anchors(rng),
        ).equation  # fmt: skip

    return coverage(rng, cohorts, tracer, line, noise)


def halves(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Every second pair of each tracer in the order of the load, and the others."""
    ordered = sorted(pairs, key=lambda pair: (pair.tracer, pair.pib["wc"]))
    codes = dict.fromkeys(pair.tracer for pair in ordered)
    own = [[pair for pair in ordered if pair.tracer == code] for code in codes]
    return [p for some in own for p in some[::2]], [p for some in own for p in some[1::2]]


def deviance(pairs: list[Pair], full_at: float) -> float:
    """Minus twice the log-likelihood of the residuals of all tracers, but for a constant."""
    total = 0.0
    for code in dict.fromkeys(pair.tracer for pair in pairs):
        own = [pair for pair in pairs if pair.tracer == code]
        x, y = (np.array([getattr(p, side)["wc"] for p in own]) for side in ("pib", "other"))
        residual = (y - ordinary(x, y).at(x)) / ordinary(x, y).slope
        found = spread(truth(x) / 100, residual, full_at / 100).variance * (1 - 2 / len(own))
        total += float(np.sum(np.log(found) + residual**2 / found))
    return total


def pairs_coverage(made_from: list[Pair], tried_on: list[Pair]) -> Thirds:
    """How often intervals from some people's pairs hold what one PiB scan showed in others."""
    lines = fit_level2(made_from, level1_anchors=None, source="", fit=ordinary)
    loads, held = [], []
    for pair in tried_on:
        equation = lines[pair.tracer, "wc"].equation
        error = propagate(pair.other["wc"], equation, ScanError(REPEAT), None)
        shown = equation.anchors.slope * pair.pib["wc"] + equation.anchors.intercept
        of_pib = REPEAT * equation.anchors.slope * pair.pib["wc"]
        sd = math.hypot(error.sd_at(shown, Interval.PIB), of_pib)
        loads.append(shown)
        held.append(abs(error.value - shown) < 1.959964 * sd)
    return thirds(np.array(loads), np.array(held))


def _row(*cells: str | int, found: Thirds) -> str:
    return " | ".join(["", *map(str, cells), *(f"{100 * one:.1f} %" for one in found), ""]).strip()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", type=Path, nargs="?", help="public table of paired scans")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| simulated tracer | pairs | interval | least load | middle | most |")
    for kind, found in pib_coverage(rng, 300).items():
        print(_row("PiB itself", "-", kind, found=found))
    for name, drawn in {**TRACERS, **ENDLESS}.items():
        for pairs in (35, 50, 74, 300):
            for kind, found in tracer_coverage(rng, drawn, pairs, 300).items():
                print(_row(name, pairs, kind, found=found), flush=True)
    if options.pairs is not None:
        every = read_pairs(options.pairs)
        tune, report = halves(every)
        print("\n| grows until | deviance, half to tune | half to report | all |")
        for end in (20, 30, 40, 50, 60, 80, 100, 1e9):
            cells = [f"{deviance(some, end):.1f}" for some in (tune, report, every)]
            print(f"| {' | '.join([f'{end:g}', *cells])} |")
        print("\n| pairs | least load | middle | most |")
        print(
            _row(
                "derived from the tuning half, tested on the other",
                found=pairs_coverage(tune, report),
            )
        )
        print(_row("vice versa", found=pairs_coverage(report, tune)))
        print(_row("derived from all, tested on all", found=pairs_coverage(every, every)))


if __name__ == "__main__":
    main()
