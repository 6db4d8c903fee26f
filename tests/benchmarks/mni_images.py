"""How far images in MNI space, and misplaced ones, are from where they fit: the limit of voi.

    python tests/benchmarks/mni_images.py DATA [HEADS] [--even]

Scans of DATA/bids and of HEADS (made by make_heads.py) are brought to the template by the standard
pipeline's deformation and the known displacement. Odd numbers set the limit, even ones report.
Every image is also misplaced in one of the eight ways, as it is, stripped or smoothed, in turn.
"""

from __future__ import annotations

import argparse
from itertools import cycle
from pathlib import Path

import numpy as np
from pet_only import Reference
from scipy import ndimage

from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume, known_or_zero
from bidsapp.core.pet_only.pet_model import Patterns
from bidsapp.core.pet_only.pet_normalisation import template_misfit
from bidsapp.data import mni_grid, template_mask
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.io.nifti import read_frames

GRID, PATTERNS = mni_grid(2), Patterns(amyloid_template())
MIDDLE = (0, -18, 8)
MISPLACED = {
    f"{size} {unit} {name}": rigid_matrix([*shift, *np.radians(turn)], MIDDLE)
    for size, unit, name, shift, turn in (
        (6, "mm", "right", (6, 0, 0), (0, 0, 0)),
        (6, "mm", "front", (0, 6, 0), (0, 0, 0)),
        (6, "mm", "up", (0, 0, 6), (0, 0, 0)),
        (5, "degrees", "pitch", (0, 0, 0), (5, 0, 0)),
        (5, "degrees", "roll", (0, 0, 0), (0, 5, 0)),
        (5, "degrees", "yaw", (0, 0, 0), (0, 0, 5)),
    )
} | {
    f"{factor:g} times": rigid_matrix([0] * 6, MIDDLE) @ np.diag([factor] * 3 + [1.0])
    for factor in (0.9, 1.1)
}


def misfit(image: np.ndarray) -> float:
    """Mean distance, mm."""
    moves = template_misfit(Volume(known_or_zero(image), GRID.affine), PATTERNS)
    return float(np.linalg.norm(moves, axis=1).mean())


def kinds(image: np.ndarray) -> dict[str, np.ndarray]:
    """The same image as others have it: stripped of the scalp, smoothed."""
    outside = ndimage.distance_transform_edt(~template_mask(2).data, sampling=2.0)
    known = known_or_zero(image)
    return {
        "as it is": image,
        "stripped": np.where(outside <= 4, image, 0),
        "smoothed by 8 mm": ndimage.gaussian_filter(known, 8 / 2.355 / 2),
    }


def main() -> None:
    """Print a row per image and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("heads", type=Path, nargs="?")
    parser.add_argument("--even", action="store_true")
    given = parser.parse_args()
    images: dict[str, np.ndarray] = {}
    for reference in [Reference.of(given.data, None)] + (
        [Reference.of(given.data, given.heads)] if given.heads else []
    ):
        for folder in sorted(reference.bids.glob("sub-*/pet")):
            name = folder.parent.name
            if (int(name[-2:]) % 2 == 0) is not given.even or name not in reference.rigid:
                continue
            frames = list(read_frames(next(folder.glob("*_pet.nii.gz"))))
            pet = Volume(np.mean([one.data for one in frames], axis=0), frames[0].affine)
            images[name] = sample(pet, reference.field(name))
    images["mean"] = np.nanmean([one / np.nanmean(one) for one in images.values()], axis=0)
    for (name, image), way, turn in zip(
        images.items(), cycle(MISPLACED), cycle(range(3)), strict=False
    ):
        made = kinds(image)
        for kind, one in made.items():
            print(f"{name}\t{kind}\t{misfit(one):.2f}", flush=True)
        kind = list(made)[turn]
        points = transform(inverse(MISPLACED[way]), GRID.world())
        moved = sample(Volume(known_or_zero(made[kind]), GRID.affine), points)
        print(f"{name}\t{kind}, {way}\t{misfit(moved):.2f}", flush=True)


if __name__ == "__main__":
    main()
