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


if __name__ == "__main__":
    main()
