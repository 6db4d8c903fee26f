"""Overlap (Dice) of the brain mask and the tissue maps with known ones.

    python tests/benchmarks/brain_mask.py [T1w.nii.gz ...]

Without arguments: the demo's phantom, a whole head whose brain mask (that of the template head) and
tissue (the template's intensities, classified by other code) are known through its deformation; the
same head without its skull. Each ``T1w.nii.gz`` is a skull-stripped image, whose mask is where it
is not zero, holes filled.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, template, template_mask, vois
from bidsapp.demo.phantom import classify, make_phantom, sample, template_points
from bidsapp.io.nifti import load_volume
from bidsapp.steps.anatomy import segment_head


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Twice the common part over the sum of both."""
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


def phantom_rows() -> list[tuple[str, dict[str, float]]]:
    """Whole and stripped phantom against what is known of it."""
    head, brain = template(1), template_mask(1).data
    made = make_phantom(head, brain, vois(2), mni_grid(2), suvr=1.5)
    places = template_points(made.deformation, made.t1w.grid, np.eye(4))
    mask = sample(Volume(brain.astype(np.float32), head.affine), places) > 0.5
    tissue = [sample(Volume(part, head.affine), places) for part in classify(head, brain)]
    rows = []
    for name, image in (
        ("phantom, whole head", made.t1w),
        ("phantom, no skull", Volume(made.t1w.data * mask, made.t1w.affine)),
    ):
        found = segment_head(image).segmentation
        row = {"brain": dice(found.brain_mask, mask)}
        for part, known, ours in zip(("grey", "white"), tissue, found.probabilities, strict=False):
            row[part] = dice((known > 0.5) & mask, (ours > 0.5) & found.brain_mask)
        rows.append((name, row))
    return rows


def stripped_row(path: Path) -> tuple[str, dict[str, float]]:
    """A skull-stripped image against where it is not zero."""
    image = load_volume(path, ndim=3)
    mask = ndimage.binary_fill_holes(image.data > 0)
    return path.name, {"brain": dice(segment_head(image).segmentation.brain_mask, mask)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stripped", nargs="*", type=Path, metavar="T1w.nii.gz")
    args = parser.parse_args()
    rows = [stripped_row(path) for path in args.stripped] if args.stripped else phantom_rows()
    for name, row in rows:
        print(f"{name:28s}", "  ".join(f"{part} {value:.3f}" for part, value in row.items()))


if __name__ == "__main__":
    main()
