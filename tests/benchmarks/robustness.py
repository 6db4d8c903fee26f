"""How much a Centiloid moves when the T1w comes otherwise: turned, cut, coarse, biased, noisy.

    python tests/benchmarks/robustness.py ../shared/data [sub-01 ...] [--hard]

``--hard`` asks for worse: wrong headers, no origin, a cut vertex, thick slices, no skull.

The PET stays as it is and its known displacement is used, so that only the normalisation is
asked. Printed: difference to the Centiloid with the untouched T1w, on the PiB scale.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from agreement import PIB_SCALE
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsapp import data
from bidsapp.core.alignment import transform
from bidsapp.core.confidence import Template
from bidsapp.core.normalise import Normalised, normalise
from bidsapp.core.resample import sample
from bidsapp.core.sampling import FWHM_PER_SIGMA
from bidsapp.nifti import load_volume
from bidsapp.volume import Volume

# A variation gives the changed image and the 4 x 4 motion of the world it implies.
Variation = Callable[[Volume], tuple[Volume, np.ndarray]]


def moved(turn_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Variation:
    """The same voxels, elsewhere in the world."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
        motion[:3, 3] = shift_mm
        return Volume(t1w.data, motion @ t1w.affine), motion

    return vary


def reordered(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Axes permuted and flipped in storage; nothing moves in the world."""
    data = np.ascontiguousarray(t1w.data.transpose(2, 0, 1)[::-1, :, ::-1])
    index = np.zeros((4, 4))  # new index -> old index
    nz, ny = t1w.data.shape[2], t1w.data.shape[1]
    index[2, 0], index[2, 3] = -1, nz - 1
    index[0, 1] = 1
    index[1, 2], index[1, 3] = -1, ny - 1
    index[3, 3] = 1
    return Volume(data, t1w.affine @ index), np.eye(4)


def cropped(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """10 mm less on every side."""
    n = np.ceil(10 / t1w.grid.voxel_size).astype(int)
    affine = t1w.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ n
    inner = tuple(slice(k, -k) for k in n)
    return Volume(np.ascontiguousarray(t1w.data[inner]), affine), np.eye(4)


def coarse(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Voxels of 1.5 mm."""
    factor = t1w.grid.voxel_size / 1.5
    sigma = np.sqrt(np.maximum(0, (1 / factor) ** 2 - 1)) / FWHM_PER_SIGMA
    smooth = ndimage.gaussian_filter(t1w.data, sigma)
    shape = np.floor(np.array(t1w.data.shape) * factor).astype(int)
    scale = np.diag([*(1 / factor), 1])
    image = ndimage.affine_transform(smooth, scale, output_shape=tuple(shape), order=1)
    return Volume(image, t1w.affine @ scale), np.eye(4)


def biased(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """A smooth field between 0.6 and 1.4."""
    x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in t1w.data.shape)
    field = x[:, None, None] * 0.5 + y[:, None] ** 2 - z * 0.6
    field = (field - field.min()) / np.ptp(field)
    return Volume(t1w.data * (0.6 + 0.8 * field), t1w.affine), np.eye(4)


def noisy(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Noise of 5 % of a bright voxel, Rician as in magnitude images; masked voxels stay masked."""
    rng = np.random.default_rng(0)
    sigma = 0.05 * np.percentile(t1w.data[t1w.data > 0], 90)
    real, imaginary = rng.normal(0, sigma, size=(2, *t1w.data.shape)).astype(np.float32)
    image = np.hypot(t1w.data + real, imaginary)
    return Volume(np.where(t1w.data == 0, 0, image), t1w.affine), np.eye(4)


VARIATIONS: dict[str, Variation] = {
    "rotated 20 degrees": moved((20, 0, 0), (0, 0, 0)),
    "rotated 20 degrees, other axis": moved((0, 20, 0), (0, 0, 0)),
    "shifted 50 mm": moved((0, 0, 0), (30, -30, 26)),
    "axes reordered": reordered,
    "cropped by 10 mm": cropped,
    "1.5 mm voxels": coarse,
    "bias 0.6-1.4": biased,
    "noise 5 %": noisy,
}


def turned_header(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """A header that is wrong by 90 degrees."""
    motion = np.eye(4)
    motion[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    return Volume(t1w.data, motion @ t1w.affine), motion


def without_origin(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """World zero at the first voxel, as when a header has no place in space."""
    motion = np.eye(4)
    motion[:3, 3] = -t1w.affine[:3, 3]
    return Volume(t1w.data, motion @ t1w.affine), motion


def stored_as(codes: str) -> Variation:
    """Voxels stored along the axes of these codes; nothing moves in the world."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        image = nib.Nifti1Image(t1w.data, t1w.affine)
        now = nib.orientations.io_orientation(t1w.affine)
        turn = nib.orientations.ornt_transform(now, nib.orientations.axcodes2ornt(codes))
        turned = image.as_reoriented(turn)
        return Volume(np.ascontiguousarray(turned.dataobj), turned.affine), np.eye(4)

    return vary


def cut_vertex(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Without the upper 15 mm of the head."""
    up = int(np.argmax(np.abs(t1w.affine[2, :3])))
    height = t1w.grid.world()[..., 2]
    head = t1w.data > 0.3 * np.percentile(t1w.data, 95)
    keep = height.min(axis=tuple({0, 1, 2} - {up})) < np.percentile(height[head], 99.9) - 15
    first, last = np.flatnonzero(keep)[[0, -1]]
    affine = t1w.affine.copy()
    affine[:3, 3] += affine[:3, up] * first
    part = np.take(t1w.data, np.arange(first, last + 1), axis=up)
    return Volume(np.ascontiguousarray(part), affine), np.eye(4)


def thick_slices(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Slices of 3 mm along the last axis."""
    n = max(1, round(3 / t1w.grid.voxel_size[2]))
    affine = t1w.affine @ np.diag([1, 1, n, 1.0])
    affine[:3, 3] += t1w.affine[:3, 2] * (n - 1) / 2
    slices = t1w.data[:, :, : t1w.data.shape[2] // n * n]
    return Volume(slices.reshape(*slices.shape[:2], -1, n).mean(axis=-1), affine), np.eye(4)


def without_skull(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Everything outside the brain mask of an earlier segmentation set to zero."""
    return Volume(t1w.data * checked(t1w).segmentation.brain_mask, t1w.affine), np.eye(4)


HARD: dict[str, Variation] = {
    "header turned by 90 degrees": turned_header,
    "no origin": without_origin,
    "stored as PIR": stored_as("PIR"),
    "stored as LIA": stored_as("LIA"),
    "vertex cut by 15 mm": cut_vertex,
    "slices of 3 mm": thick_slices,
    "no skull": without_skull,
}


def checked(t1w: Volume) -> Normalised:
    """Segmentation with its check and its ways out."""
    template = Template(data.priors(), data.template_mask(2).data, data.vois(2))
    return normalise(t1w, template, data.read_table("limits"))


def suvr(field: np.ndarray, pet: Volume, t1w_to_pet: np.ndarray) -> float:
    """Whole-cerebellum SUVR of a PET read at ``field``."""
    uptake = sample(pet, transform(t1w_to_pet, field.astype(float)))
    return float(np.nanmean(uptake[data.vois(2)["ctx"]]) / np.nanmean(uptake[data.vois(2)["wc"]]))


def differences(
    folder: Path, sub: str, variations: dict[str, Variation]
) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Variation, change of the Centiloid (PiB scale), flags."""
    t1w = load_volume(folder / f"bids/{sub}/anat/{sub}_T1w.nii.gz", ndim=3)
    pet = load_volume(next((folder / f"bids/{sub}/pet").glob("*_pet.nii.gz")))
    if pet.data.ndim == 4:
        pet = Volume(pet.data.mean(axis=-1), pet.affine)
    truth = np.array(json.loads((folder / "rigid_truth.json").read_text())[sub])
    plain = suvr(checked(t1w).segmentation.field, pet, truth)
    for name, vary in variations.items():
        image, motion = vary(t1w)
        found = checked(image)
        moved = suvr(found.segmentation.field, pet, truth @ np.linalg.inv(motion))
        flags = tuple(finding.code for finding in found.findings)
        yield name, PIB_SCALE["wc"][0] * (moved - plain), flags


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("participants", nargs="*", default=["sub-02", "sub-05"])
    parser.add_argument("--hard", action="store_true")
    arguments = parser.parse_args()
    for sub in arguments.participants:
        variations = HARD if arguments.hard else VARIATIONS
        for name, difference, flags in differences(arguments.data, sub, variations):
            told = " ".join(flags) or "-"
            print(f"{sub}  {name:32s} {difference:+.2f} CL  {told}", flush=True)


if __name__ == "__main__":
    main()
