"""What partial volume correction recovers of balls in balls, for docs/pvc.md.

    python tests/benchmarks/pvc.py

The phantom is that of tests/core/regions/test_pvc.py, blurred in closed form.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "regions"))

from test_pvc import PSFS, TRUTH, VOXEL, _parts, _pet, region_maps

from bidsapp.core.regions.pvc import gtm, in_voxels, iterative_yang, rbv, region_values


def gain(side_mm: float, fwhm_mm: float) -> float:
    """How much noise grows in a cube within a large region."""
    voxel_mm, n = 0.5, 72
    cube = np.zeros((n, n, n), bool)
    cube[(slice(0, round(side_mm / voxel_mm)),) * 3] = True
    cube = np.roll(cube, n // 2 - round(side_mm / voxel_mm / 2), axis=(0, 1, 2))
    regions = region_maps(np.stack([cube, ~cube]).astype(np.float32))
    found = gtm(np.ones(cube.shape, np.float32), regions, np.full(3, fwhm_mm / voxel_mm))
    return float(found.gain[0])


def main() -> None:
    """Print errors in per cent: two ribbons of grey matter, white matter, a nucleus."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for psf_mm in PSFS:
        pet = _pet(psf_mm)
        regions = region_maps(_parts(psf_mm, sharp=True).astype(np.float32))
        for off in (0.0, -1.0, 1.0):
            assumed = tuple(width + off for width in psf_mm)
            fwhm = in_voxels(assumed, np.full(3, VOXEL))
            matrix = gtm(pet, regions, fwhm)
            found = {
                "uncorrected": matrix.observed,
                "gtm": matrix.values,
                "rbv": region_values(rbv(pet, regions, fwhm, matrix), regions, fwhm)[0],
                "iy": region_values(iterative_yang(pet, regions, fwhm), regions, fwhm)[0],
            }
            print(f"FWHM {psf_mm} mm, assumed {off:+.0f} mm")
            for name, values in found.items():
                errors = " ".join(f"{100 * e:7.2f}" for e in values / TRUTH - 1)
                print(f"  {name:12s}{errors}")
    for fwhm_mm in (6.0, 8.0):
        for side in (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0):
            grows = gain(side, fwhm_mm)
            print(f"FWHM {fwhm_mm:g} mm, a cube of {side} mm: noise grows {grows:.1f} times")


if __name__ == "__main__":
    main()
