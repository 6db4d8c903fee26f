"""Segment a T1w, align a PET with it and transform both to the template, in Python.

Unified segmentation gives bias field, tissue maps, brain mask and the warp to MNI space in one
model; `segment` also checks the result. The T1w is that of the phantom, for which the true template
position of every voxel is known.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bidsapp import data, register, segment, to_template
from bidsapp.cli.demo import phantom_of
from bidsapp.core.grid.alignment import displacement
from bidsapp.core.grid.volume import Volume
from bidsapp.data.tracers import tracers
from bidsapp.io.nifti import as_nibabel
from bidsapp.report.mosaic import lay_out_around
from bidsapp.report.pictures import tissue_maps


def main(out: Path) -> Path:
    """Segment the phantom's head, compare the warp with the truth and draw the tissue."""
    phantom = phantom_of(60.0, tracers()["FBB"])
    found = segment(as_nibabel(phantom.t1w))  # or the path of a NIfTI file
    head = found.segmentation
    brain = data.template_mask(2)
    truth = phantom.deformation.to_person(brain.grid.world())
    error = np.linalg.norm(head.field - truth, axis=-1)[brain.data].mean()
    print(f"Mean error of the warp in the brain: {error:.2f} mm; flags: {len(found.flags)}")
    grey = to_template(found.gm, found).get_fdata()
    inside = brain.data & (data.priors().maps[0] > 0.9)
    print(f"Mean grey matter where the template has little else: {grey[inside].mean():.2f}")
    place = register(as_nibabel(phantom.pet_noiseless), found)
    apart = displacement(place.t1w_to_pet, phantom.t1w_to_pet, truth[brain.data][::100])
    print(f"The PET was placed {apart:.2f} mm from where it lies")
    pet = to_template(place.pet, found, place.t1w_to_pet).get_fdata()
    vois = data.vois(2)
    ratio = pet[vois["ctx"]].mean() / pet[vois["wc"]].mean()
    print(f"SUVR {ratio:.3f}, truth {phantom.suvr['wc']:.3f}")
    affine = phantom.t1w.affine
    figure = tissue_maps(
        Volume(head.corrected, affine),
        [Volume(part, affine) for part in head.probabilities],
        lay_out_around(Volume(head.brain_mask, affine)),
    )
    return figure.save(out / "segment_phantom.svg")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if sys.argv[1:] else ".")))
