"""How often 95 % intervals of Centiloids hold the truth in simulated calibrations.

    python tests/benchmarks/interval_coverage.py [PAIRS.csv]

Everything is drawn anew: the groups that define the scale, the people of the paired scans, repeat
scans, noise, what the tracer sees of its own. With the public table of paired scans it also prints
whether their residuals grow with the load (likelihood ratio against one standard deviation).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from bidsapp.calibrate.tables import read_pairs
from bidsapp.core.quantification.centiloid import Anchors, Equation
from bidsapp.core.quantification.uncertainty import ScanError, at_load, propagate
from bidsapp.core.statistics.calibration import Scheme, anchors_of, level2
from bidsapp.core.statistics.regression import ordinary, spread

YOUNG, PATIENTS, REPEAT = (1.0095, 0.0462), (2.0761, 0.2013), 0.0177
ERROR = ScanError(repeatability=REPEAT, pipeline_sd=0.0)

# gain, offset, standard deviation of what the tracer sees of its own at 0 and at 100 CL
TRACERS = {
    "like florbetaben": (0.61, 0.39, (0.03, 0.11)),
    "like flutemetamol": (0.77, 0.22, (0.01, 0.14)),
    "same for all loads": (0.54, 0.50, (0.09, 0.09)),
}


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


def hits(rng: np.random.Generator, equation: Equation, pib: np.ndarray, suvr: np.ndarray,
         noise: float) -> np.ndarray:  # fmt: skip
    """Whether the interval of each person holds the truth."""
    values = equation.slope * suvr + equation.intercept
    sds = np.array([propagate(one, equation, ERROR, noise).sd for one in suvr])
    return np.abs(values - truth(pib)) < 1.959964 * sds


def pib_coverage(rng: np.random.Generator, cohorts: int, noise: float = 0.008) -> float:
    """Coverage of PiB intervals."""
    found = []
    for _ in range(cohorts):
        own = anchors(rng)
        line = Equation(own.slope, own.intercept, "wc", "", "", 79, anchors=own)
        pib = people(rng, 40)
        found.append(hits(rng, line, pib, scanned(rng, pib, noise), noise))
    return float(np.mean(found))


def tracer_coverage(
    rng: np.random.Generator, name: str, pairs: int, cohorts: int, noise: float = 0.006
) -> tuple[float, float, float]:
    """Coverage of another tracer: below 25 CL, above, all."""
    gain, offset, own = TRACERS[name]

    def tracer(pib: np.ndarray) -> np.ndarray:
        sd = np.array([at_load(*own, value) for value in truth(pib)])
        return gain * pib + offset + sd * rng.standard_normal(pib.shape)

    low, high = [], []
    for _ in range(cohorts):
        pib = people(rng, pairs)
        line = level2(
            scanned(rng, pib), scanned(rng, tracer(pib)), np.zeros(pairs, bool), [""] * pairs,
            Scheme("wc", "", {"r2": (0.7, 1.0)}), anchors=anchors(rng),
        ).equation  # fmt: skip
        new = people(rng, 60)
        held = hits(rng, line, new, scanned(rng, tracer(new), noise), noise)
        low.extend(held[truth(new) < 25])
        high.extend(held[truth(new) >= 25])
    return float(np.mean(low)), float(np.mean(high)), float(np.mean([*low, *high]))


def growth(table: Path) -> None:
    """Print how the residuals of the public pairs grow with the load."""
    pairs = read_pairs(table)
    print("\ntracer  SD at 0 CL  at 100 CL  likelihood ratio  p")
    for code in dict.fromkeys(pair.tracer for pair in pairs):
        own = [pair for pair in pairs if pair.tracer == code]
        x, y = (np.array([getattr(p, side)["wc"] for p in own]) for side in ("pib", "other"))
        residual, load = y - ordinary(x, y).at(x), truth(x) / 100
        low, high = spread(load, residual)
        shrink = (len(own) - 2) / len(own)
        varying = shrink * np.array([at_load(low, high, 100 * value) for value in load]) ** 2
        constant = np.mean(residual**2)
        ratio = np.sum(np.log(constant / varying) + residual**2 * (1 / constant - 1 / varying))
        print(f"{code:6}  {low:10.4f}  {high:9.4f}  {ratio:16.1f}  {stats.chi2.sf(ratio, 1):.4f}")


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(0)
    print(f"PiB: {pib_coverage(rng, 300):.3f}")
    print(f"{'tracer':20}{'pairs':>6}{'below 25 CL':>13}{'above':>8}{'all':>8}")
    for name in TRACERS:
        for pairs in (35, 50, 74, 300):
            low, high, together = tracer_coverage(rng, name, pairs, 150)
            print(f"{name:20}{pairs:6d}{low:13.3f}{high:8.3f}{together:8.3f}")
    if len(sys.argv) > 1:
        growth(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
