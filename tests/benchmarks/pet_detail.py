"""How much of the fine structure of a T1w PETs show, and MR images: the limits of `pet_t1w_detail`.

    python tests/benchmarks/pet_detail.py OUTPUT [...]

``OUTPUT`` are derivative folders of CentiPET, whose PETs, T1w and tissue maps are read. Printed for
every scan, and as the range of all: the PET; in its place the T1w, another contrast made of it,
that one in slices of 5 mm, and the T1w smoothed by 2-4 mm; PETs without noise made of its tissue,
of 2.5, 3.5 and 5 mm, with more uptake in grey matter and with more in white; and the PET beside a
T1w smoothed by 2-4 mm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, block_affine, block_mean
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.detail import fine_detail
from bidsapp.core.registration.head import Head
from bidsapp.io.nifti import load_volume

UPTAKES = {"grey": (1.0, 0.8, 0.3), "white": (0.5, 1.0, 0.2)}  # of grey, white, CSF
AROUND = 0.3  # the uptake of everything else


def smoothed(image: Volume, fwhm_mm: float) -> Volume:
    """An image after a Gaussian of so many mm."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / image.grid.voxel_size
    return Volume(gaussian_filter(np.asarray(image.data, np.float32), sigma), image.affine)


def other_contrast(t1w: Volume, brain: np.ndarray) -> Volume:
    """Dark fluid and dimmer white matter, as FLAIR has them."""
    share = t1w.data / np.percentile(t1w.data[brain], 99)
    return Volume(np.clip(0.35 + 0.9 * share - 1.15 * share**2, 0, None), t1w.affine)


def in_slices(image: Volume, thickness_mm: float) -> Volume:
    """An image whose planes are averaged in packs of some mm."""
    factors = (1, 1, max(1, round(thickness_mm / image.grid.voxel_size[2])))
    return Volume(block_mean(image.data, factors), block_affine(image.affine, factors))


def images(
    t1w: Volume, tissue: list[np.ndarray], brain: np.ndarray
) -> Iterator[tuple[str, Volume]]:
    """What may be given in place of the PET, on the grid of the T1w."""
    other = other_contrast(t1w, brain)
    yield "T1w", t1w
    yield "other", other
    yield "other, slices", in_slices(other, 5.0)
    for fwhm in (2, 3, 4):
        yield f"T1w, {fwhm} mm", smoothed(t1w, fwhm)
    for name, uptake in UPTAKES.items():
        of_brain = sum(level * part for level, part in zip(uptake, tissue, strict=True))
        pet = Volume(np.where(brain, of_brain, AROUND), t1w.affine)
        for fwhm in (2.5, 3.5, 5.0):
            yield f"{name} {fwhm} mm", smoothed(pet, fwhm)


def scan(record: Path) -> dict[str, float]:
    """The measure of everything about one finished scan, by name."""
    folder = record.parents[1]

    def own(pattern: str) -> Path:
        return next(p for p in sorted(folder.glob(pattern)) if "_space-" not in p.name)

    t1w = load_volume(own("anat/*desc-preproc_T1w.nii.gz"))
    brain = load_volume(own("anat/*desc-brain_mask.nii.gz")).data > 0
    labels = ("GM", "WM", "CSF")
    tissue = [load_volume(own(f"anat/*label-{label}_probseg.nii.gz")).data for label in labels]
    pet = load_volume(own("pet/*desc-preproc_pet.nii.gz"))
    to_pet = np.array(json.loads(own("pet/*from-T1w_to-pet*xfm.json").read_text())["T1wToPet"])
    head = Head.of(t1w, tissue, brain)
    row = {"PET": fine_detail(pet, head, to_pet)}
    row |= {name: fine_detail(image, head, np.eye(4)) for name, image in images(t1w, tissue, brain)}
    for fwhm in (2, 3, 4):
        soft = Head.of(smoothed(t1w, fwhm), tissue, brain)
        row[f"PET, T1w {fwhm} mm"] = fine_detail(pet, soft, to_pet)
    return row


def main() -> None:
    """Print the table of the scans of some outputs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", nargs="+", type=Path)
    rows = {}
    for output in parser.parse_args().output:
        for record in sorted(output.glob("sub-*/pet/*_centiloid.json")):
            if json.loads(record.read_text())["status"] == "ok":
                rows[record.name.removesuffix("_centiloid.json")] = scan(record)
    table = pd.DataFrame(rows).T
    print(table.round(2).to_string())
    print(table.agg(["min", "max"]).T.round(2).to_string())


if __name__ == "__main__":
    main()
