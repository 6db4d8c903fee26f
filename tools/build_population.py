"""Sources of the tissue priors from many heads: ``python -m tools.build_population``.

Needs heads with the deformation of the standard pipeline (``DATA``: ``heads`` and ``brains``, each
with its README; ``bids`` with ``spm_fields``) and the images of ``heads`` (``HEADS``), and half
an hour. `tools.build` makes the priors of what is written here, and the app needs
neither. Only heads with an odd number are used: the even ones are for judging.

1. Each head is segmented with first priors, and its tissue carried to the template by the *standard
   pipeline's* deformation: that is where the priors have to lie. Whole and stripped heads weigh
   alike; how far the inside of the skull reaches is what the labels of the whole heads say.
2. With priors of this average our own deformation still differs from the standard's by a part that
   all heads share. The priors are moved by its mean over the whole heads, and once more by what is
   then left: stripped heads, whose standard deformation depends on where it starts, do not count.
3. Stripped heads share another part: nothing holds their surface from outside. The priors for them
   are moved by its mean over stripped heads, each compared by priors that it was no part of, and
   only once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.anatomy.segment import Segmentation, segment
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, interpolate
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.io.nifti import load_volume, save_volume
from tools.build import (
    POPULATION,
    POPULATION_STEP,
    SHARED_DISPLACEMENT,
    STRIPPED_DISPLACEMENT,
    Wheels,
    displaced_priors,
    first_priors,
    population_priors,
)

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Carried = tuple[Float, Float | None]  # grey and white matter; inside of the skull

OUTSIDE_BRAIN = 200  # labels of ``heads`` from here on are not inside the skull
DISPLACEMENT_FWHM_MM = 8.0
DISPLACEMENT_ROUNDS = 2
FOLDS = 5
NEAR_BRAIN = 0.3  # sum of the priors


@dataclass(frozen=True)
class Subject:
    """One head: T1w, standard deformation, and labels where there are any."""

    name: str
    t1w: Path
    field: Path
    field_step: int
    labels: Path | None = None
    label_to_t1w: tuple[tuple[float, ...], ...] | None = None

    def standard(self) -> Float:
        """T1w world coordinate of every voxel of the 2 mm grid, RAS mm.

        Returns
        -------
        ndarray, shape (91, 109, 91, 3)
        """
        return deformation(self.field, self.field_step)


def deformation(path: Path, step: int) -> Float:
    """Deformation on the 2 mm grid from every ``step``-th voxel of it, (91, 109, 91, 3).

    Parameters
    ----------
    path : NIfTI, (X, Y, Z, 3), world coordinates in RAS mm
    step : voxels of the 2 mm grid between two of its voxels

    Returns
    -------
    ndarray, shape (91, 109, 91, 3)
        RAS, mm.
    """
    coarse = np.asarray(nib.Nifti1Image.from_filename(path).get_fdata(), np.float64)
    if step == 1:
        return coarse
    shape = mni_grid(2).shape
    index = np.stack(np.meshgrid(*(np.arange(n) / step for n in shape), indexing="ij"))
    return np.stack(
        [ndimage.map_coordinates(coarse[..., k], index, order=3, mode="nearest") for k in range(3)],
        axis=-1,
    )


def whole_heads(source: Path, images: Path) -> Iterator[Subject]:
    """Synthetic whole heads of real people.

    Parameters
    ----------
    source : folder of the deformations and labels
    images : BIDS dataset of the T1ws

    Yields
    ------
    Subject
        By name.
    """
    truth = json.loads((source / "heads" / "truth.json").read_text())
    for name, known in sorted(truth.items()):
        yield Subject(
            name,
            images / name / "anat" / f"{name}_T1w.nii.gz",
            source / "heads" / f"{name}_from-MNI_to-T1w.nii.gz",
            3,
            source / "heads" / f"{name}_dseg.nii.gz",
            tuple(map(tuple, known["label_to_t1w"])),
        )


def stripped_heads(source: Path) -> Iterator[Subject]:
    """Real skull-stripped heads.

    Parameters
    ----------
    source : folder of the T1ws and deformations

    Yields
    ------
    Subject
        By name.
    """
    for path in sorted((source / "brains").glob("sub-*_T1w.nii.gz")):
        name = path.name.split("_")[0]
        yield Subject(name, path, path.with_name(f"{name}_from-MNI_to-T1w.nii.gz"), 4)


def real_heads(source: Path) -> Iterator[Subject]:
    """Real whole heads of the development data.

    Parameters
    ----------
    source : folder of the dataset and the deformations

    Yields
    ------
    Subject
        By name.
    """
    for path in sorted((source / "bids").rglob("*_T1w.nii.gz")):
        name = path.name.split("_")[0]
        yield Subject(name, path, source / "spm_fields" / f"{name}_from-MNI_to-T1w.nii.gz", 1)


def odd(subjects: Iterator[Subject]) -> list[Subject]:
    """Those with an odd number in their name.

    Parameters
    ----------
    subjects : with a number in their names

    Returns
    -------
    list of Subject
    """
    return [s for s in subjects if int("".join(c for c in s.name if c.isdigit())) % 2 == 1]


def population(whole: Sequence[Carried], stripped: Sequence[Carried]) -> Float32:
    """Mean grey matter, white matter and inside of the skull, (3, 91, 109, 91), 255 levels.

    Parameters
    ----------
    whole, stripped : tissue of every head, as `_carried` gives it

    Returns
    -------
    ndarray, shape (3, 91, 109, 91)
        In [0, 1].
    """
    grey, white = np.mean(
        [np.mean([tissue for tissue, _ in carried], axis=0) for carried in (whole, stripped)],
        axis=0,
    )
    skulls = [inside for _, inside in whole if inside is not None]
    assert len(skulls) == len(whole)  # whole heads have labels
    maps = np.stack([grey, white, np.maximum(np.mean(skulls, axis=0), grey + white)])
    return (np.round(255 * np.clip(maps, 0, 1)) / 255).astype(np.float32)


def _carried(subject: Subject, priors: TissuePriors) -> Carried:
    """Grey and white matter, and inside of the skull, where the standard pipeline puts them."""
    t1w, head = _segmented(subject, priors)
    standard = subject.standard()
    grey, white = (
        np.nan_to_num(sample(Volume(p, t1w.affine), standard)) for p in head.probabilities[:2]
    )
    tissue = np.stack([grey, white]).astype(np.float64)
    if subject.labels is None:
        return tissue, None
    image = nib.Nifti1Image.from_filename(subject.labels)
    labels = np.asarray(image.dataobj)
    affine = np.array(subject.label_to_t1w) @ image.affine
    index = np.moveaxis(transform(inverse(affine), standard), -1, 0)
    inside = (labels > 0) & (labels < OUTSIDE_BRAIN)
    skull = interpolate(inside.astype(np.float32), index, beyond="constant")
    return tissue * (skull > 0.05), skull


def shared_displacement(subjects: list[Subject], priors: TissuePriors, pool: Executor) -> Float:
    """Mean template displacement (mm) from our deformation to the standard's, smoothed.

    Parameters
    ----------
    subjects : heads that are compared
    priors : they are segmented with
    pool : that segments them

    Returns
    -------
    ndarray, shape (91, 109, 91, 3)
        mm.
    """
    return _smoothed_mean(list(pool.map(_displacement, subjects, repeat(priors))), priors)


def stripped_displacement(
    stripped: list[Subject], whole: list[Carried], carried: list[Carried], pool: Executor
) -> Float:
    """Mean template displacement (mm) over stripped heads, each by priors without it.

    Parameters
    ----------
    stripped : heads that are compared
    whole, carried : tissue of the whole heads and of ``stripped``
    pool : that segments them

    Returns
    -------
    ndarray, shape (91, 109, 91, 3)
        mm.
    """
    every = (slice(None, None, POPULATION_STEP),) * 3
    none = np.zeros((*mni_grid(2).shape, 3))[every]
    displacements: list[Float] = []
    for fold in range(FOLDS):
        maps = population(
            [head for i, head in enumerate(whole) if i % FOLDS != fold],
            [head for i, head in enumerate(carried) if i % FOLDS != fold],
        )
        priors = displaced_priors(maps, none)
        displacements += pool.map(_displacement, stripped[fold::FOLDS], repeat(priors))
    return _smoothed_mean(displacements, displaced_priors(population(whole, carried), none))


def _smoothed_mean(displacements: Sequence[Float], priors: TissuePriors) -> Float:
    mean = np.mean(displacements, axis=0)
    near = (priors.maps.sum(axis=0) > NEAR_BRAIN).astype(np.float64)
    sigma = DISPLACEMENT_FWHM_MM / FWHM_PER_SIGMA / priors.grid.voxel_size
    weight = ndimage.gaussian_filter(near, sigma)
    smooth = [ndimage.gaussian_filter(mean[..., k] * near, sigma) for k in range(3)]
    fade = np.clip(weight / 0.25, 0, 1) / np.maximum(weight, 1e-3)  # nothing far from the brain
    return np.stack(smooth, axis=-1) * fade[..., None]


def _displacement(subject: Subject, priors: TissuePriors) -> Float:
    ours = _segmented(subject, priors)[1].field.astype(np.float64)
    steps = np.stack([np.gradient(ours, axis=axis) for axis in range(3)], axis=-1)
    slope = steps @ np.linalg.inv(priors.affine[:3, :3])
    displacement: Float = np.linalg.solve(slope, (subject.standard() - ours)[..., None])[..., 0]
    return displacement


def _segmented(subject: Subject, priors: TissuePriors) -> tuple[Volume, Segmentation]:
    t1w = load_volume(subject.t1w, ndim=3)
    print(subject.name, flush=True)
    return t1w, segment(t1w, priors)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_population", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("heads", type=Path, help="BIDS dataset of the whole heads")
    parser.add_argument("--wheels", type=Path, help="folder with (or for) the pinned wheels")
    arguments = parser.parse_args()
    whole, stripped = (
        odd(whole_heads(arguments.data, arguments.heads)),
        odd(stripped_heads(arguments.data)),
    )
    grid = mni_grid(2)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor() as pool:
        first = first_priors(Wheels(arguments.wheels or Path(folder)))
        with_skull, without = (
            list(pool.map(_carried, subjects, repeat(first))) for subjects in (whole, stripped)
        )
        maps = np.round(255 * population(with_skull, without)).astype(np.uint8)
        save_volume(POPULATION, Volume(np.moveaxis(maps, 0, -1), grid.affine))
        _write_displacement(
            STRIPPED_DISPLACEMENT, stripped_displacement(stripped, with_skull, without, pool)
        )
        displacement = np.zeros((*grid.shape, 3))
        judges = whole + odd(real_heads(arguments.data))
        _write_displacement(SHARED_DISPLACEMENT, displacement)
        for _ in range(DISPLACEMENT_ROUNDS):
            priors = population_priors(SHARED_DISPLACEMENT)
            displacement += shared_displacement(judges, priors, pool)
            _write_displacement(SHARED_DISPLACEMENT, displacement)


def _write_displacement(path: Path, displacement: Float) -> None:
    every = (slice(None, None, POPULATION_STEP),) * 3
    affine = mni_grid(2).affine @ np.diag([POPULATION_STEP] * 3 + [1])
    stored = np.round(100 * displacement[every]).astype(np.int16)
    save_volume(path, Volume(stored, affine))


if __name__ == "__main__":
    main()
