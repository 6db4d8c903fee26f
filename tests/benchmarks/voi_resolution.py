"""SUVR and Centiloid by the Centiloid volumes of the 1 mm and of the 2 mm grid.

python tests/benchmarks/voi_resolution.py OUTPUT_DIR

OUTPUT_DIR is what the participant level wrote, without smoothing; scans of one frame, or whose head
did not move, are measured as `--voi-resolution 1` measures them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bidsapp.core.frames.position_means import PositionMean
from bidsapp.core.grid.volume import Volume
from bidsapp.data import REFERENCES, mni_grid
from bidsapp.io.nifti import load_volume
from bidsapp.record import find_records
from bidsapp.steps.quantifying import fine_image, volumes
from bidsapp.verify.numbers import FinishedScan


def main(output_dir: Path) -> None:
    """Print a row per scan and reference region."""
    print("scan", "reference", "suvr_2mm", "suvr_1mm", "percent", "centiloid_difference", sep="\t")
    for record in find_records(output_dir):
        scan, _ = FinishedScan.of(output_dir, record)
        pet = load_volume(scan.path("pet_native"))
        field = Volume(scan.field(), mni_grid(2).affine)
        image = fine_image([PositionMean(pet, 1.0, np.eye(4))], field, scan.position())
        table = volumes(image)
        for name in REFERENCES:
            two, one = record.suvr[name], table["ctx"].mean / table[name].mean
            line = record.equation if name == record.reference_region else None
            apart = f"{line.slope * (one - two):+.2f}" if line else "n/a"
            percent = f"{100 * (one / two - 1):+.2f}"
            print(record.name, name, f"{two:.4f}", f"{one:.4f}", percent, apart, sep="\t")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output_dir", type=Path)
    main(parser.parse_args().output_dir)
