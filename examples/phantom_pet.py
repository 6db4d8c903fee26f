"""Uptake of the phantom over its T1w.

The phantom of ``centipet-demo`` has a head with a known deformation and a PET with known Centiloid
and position. Here the PET is resampled to the T1w with its true position, scaled to SUVR, and shown
as on the participant's page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bidsapp import data
from bidsapp.cli.demo import phantom_of
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.data.tracers import tracers
from bidsapp.demo.phantom import sample, voi_means
from bidsapp.report.pictures import mni_brain_layout, suvr_over_anatomy


def main(out: Path) -> Path:
    """Carry T1w and PET of the phantom to the template and draw them."""
    phantom = phantom_of(60.0, tracers()["FBB"])
    grid = data.mni_grid(2)
    in_t1w = phantom.deformation.to_person(grid.world())
    in_pet = transform(phantom.t1w_to_pet, in_t1w)
    t1w = Volume(sample(phantom.t1w, in_t1w), grid.affine)
    activity = voi_means(phantom.pet_noiseless, in_pet, data.vois(2))["wc"]
    suvr = Volume(sample(phantom.pet_noiseless, in_pet) / np.float32(activity), grid.affine)
    back = transform(inverse(phantom.t1w_to_pet), in_pet)
    print(f"SUVR {phantom.suvr['wc']:.3f}; T1w to PET and back: {abs(back - in_t1w).max():.1e} mm")
    figure = suvr_over_anatomy(suvr, t1w, mni_brain_layout(), "FBB")
    return figure.save(out / "phantom_pet.svg")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if sys.argv[1:] else ".")))
