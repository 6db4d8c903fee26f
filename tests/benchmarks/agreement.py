"""Agreement with the standard pipeline, from finished derivatives: the table of the README.

    python tests/benchmarks/agreement.py OUT REFERENCE.tsv [--without sub-XX ...]

``OUT`` is an output folder of the group level. ``REFERENCE.tsv`` holds, per participant, what the
standard normalisation measures on the same images with the PET's known position (columns
``suvr_wc suvr_cg suvr_wcb suvr_pons``). SUVRs of all tracers are put on the PiB scale of each
reference region, so that they weigh alike; the differences are then in Centiloids.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

# Centiloid = slope * SUVR + intercept for PiB, recomputed from the public GAAIN tables.
PIB_SCALE = {
    "wc": (93.755, -94.646),
    "cg": (79.528, -93.061),
    "wcb": (99.674, -95.567),
    "pons": (129.285, -98.424),
}


@dataclass(frozen=True)
class Agreement:
    """Regression of ours on the standard's, in Centiloids of the PiB scale."""

    slope: float
    intercept: float
    r2: float
    mean_absolute: float
    largest: float
    differences: pd.Series


def agreement(ours: pd.Series, standard: pd.Series, region: str) -> Agreement:
    """Compare SUVRs of one reference region; both series are indexed alike."""
    slope, intercept = PIB_SCALE[region]
    x, y = slope * standard + intercept, slope * ours + intercept
    fit = np.polyfit(x, y, 1)
    difference = y - x
    return Agreement(
        slope=float(fit[0]),
        intercept=float(fit[1]),
        r2=float(np.corrcoef(x, y)[0, 1] ** 2),
        mean_absolute=float(difference.abs().mean()),
        largest=float(difference.abs().max()),
        differences=difference,
    )


def agreement_lines(ours: pd.DataFrame, standard: pd.DataFrame) -> Iterator[str]:
    """Table of the agreement by reference region, from the columns ``suvr_wc`` and so on."""
    about = f"(CL, PiB scale; n = {len(ours)})"
    yield f"reference  slope  intercept  R2      mean |d|  largest  {about}"
    for region in PIB_SCALE:
        found = agreement(ours[f"suvr_{region}"], standard[f"suvr_{region}"], region)
        yield (
            f"{region:9s}  {found.slope:.3f}  {found.intercept:+8.2f}  {found.r2:.4f}"
            f"  {found.mean_absolute:8.2f}  {found.largest:7.2f}"
        )


def read(out: Path, reference: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of both tables for the participants they share, indexed by participant."""
    ours = pd.read_csv(out / "group_centiloid.tsv", sep="\t", na_values="n/a")
    standard = pd.read_csv(reference, sep="\t", na_values="n/a").set_index("participant_id")
    ours = ours.set_index("participant_id")
    shared = ours.index.intersection(standard.index)
    return ours.loc[shared], standard.loc[shared]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--without", nargs="+", default=[], metavar="sub-XX")
    arguments = parser.parse_args()
    ours, standard = (
        table.drop(arguments.without, errors="ignore")
        for table in read(arguments.out, arguments.reference)
    )
    print(*agreement_lines(ours, standard), sep="\n")
    differences = pd.DataFrame(
        {r: agreement(ours[f"suvr_{r}"], standard[f"suvr_{r}"], r).differences for r in PIB_SCALE}
    )
    print(differences.round(2).to_string())


if __name__ == "__main__":
    main()
