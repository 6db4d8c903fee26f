"""PET phantoms: patterns of the template, warped into a head, at a known amyloid load."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Grid, Volume, mask_centre
from bidsapp.core.pet_only.pet_template import CLASSES, PetTemplate
from bidsapp.data import mni_grid, vois

# Uptake over cerebellar grey matter without amyloid, and what 100 Centiloids add.
NEGATIVE = {
    "gm": 1.0, "gm_target": 1.0, "gm_deep": 1.2, "gm_cerebellum": 1.0, "wm": 1.8,
    "wm_cerebellum": 1.4, "csf": 0.4, "rest": 0.3,
}  # fmt: skip
LOAD = {"gm": 0.8, "gm_target": 1.3, "gm_deep": 0.7}


@dataclass(frozen=True)
class PetPhantom:
    """A PET and the map that truly belongs to it: PET world coordinate of every template voxel."""

    pet: Volume
    field: NDArray[np.float32]


def make_phantom(
    template: PetTemplate,
    *,
    load: float,
    negative: dict[str, float] | None = None,
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    fwhm_mm: float = 6.0,
    noise: float = 0.05,
    scalp: float = 0.0,
    voxel_mm: float = 3.0,
    cerebellum_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    seed: int = 0,
) -> PetPhantom:
    """Warp the template into a head, give it uptake, blur, noise, and a displaced position.

    ``scalp`` is the uptake of a patchy layer about the head and of the neck below it;
    ``cerebellum_mm`` how far the cerebellum lies from where the rest of the head has it.
    """
    grid = _grid(voxel_mm)
    warp = _moved_cerebellum(_head(template, grid, shift_mm, turn_deg, seed), grid, cerebellum_mm)
    points = warp.to_template(grid.world().reshape(-1, 3))
    uptake = dict(negative or NEGATIVE)
    for name, gain in LOAD.items():
        uptake[name] += gain * load / 100
    image = template.blurred(fwhm_mm) @ np.array([uptake[name] for name in CLASSES], np.float32)
    if scalp:
        image += scalp * _surroundings(template, fwhm_mm, seed)
    values = sample(Volume(image, template.affine), points)
    values = np.nan_to_num(values, nan=0.0).reshape(grid.shape)
    rng = np.random.default_rng(seed)
    speckle = ndimage.gaussian_filter(rng.standard_normal(grid.shape), 0.8)
    values = values + noise * speckle / speckle.std() * np.sqrt(np.maximum(values, 0.02))
    pet = Volume((5000 * np.maximum(values, 0)).astype(np.float32), grid.affine)
    return PetPhantom(pet, warp.to_t1w(template.grid))


def _surroundings(template: PetTemplate, fwhm_mm: float, seed: int) -> NDArray[np.float32]:
    """A layer 8 to 20 mm from the brain and all below the skull, half to twice as bright."""
    distance, height = template.outside_mm, template.grid.world()[..., 2]
    layer = ((distance > 8) & (distance < 20)) | ((height < -60) & (distance > 8))
    patches = ndimage.gaussian_filter(
        np.random.default_rng(seed + 1).standard_normal(layer.shape), 5
    )
    patches = layer * np.clip(1 + 0.35 * patches / patches.std(), 0.5, 2)
    sigma = fwhm_mm / 2.3548 / template.grid.voxel_size
    return ndimage.gaussian_filter(patches, sigma).astype(np.float32)


def _grid(voxel_mm: float) -> Grid:
    shape = tuple(round(extent / voxel_mm) for extent in (220, 250, 200))
    affine = np.diag([-voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = np.array([1, -1, -1]) * voxel_mm * (np.array(shape) - 1) / 2
    return Grid((shape[0], shape[1], shape[2]), affine)


def _head(
    template: PetTemplate,
    grid: Grid,
    shift_mm: tuple[float, float, float],
    turn_deg: tuple[float, float, float],
    seed: int,
) -> Warp:
    """A head of usual size in the middle of the grid, warped by some 3 mm, displaced."""
    rng = np.random.default_rng(seed)
    orders = (5, 6, 5)
    frequency = sum(np.square(k) for k in np.meshgrid(*map(np.arange, orders), indexing="ij"))
    coefficients = rng.standard_normal((3, *orders)) * (frequency > 0) / (2 + frequency)
    length = np.array(grid.shape, dtype=np.float64)
    warp = Warp(coefficients, np.zeros(3), length, grid.affine, np.eye(4))
    size = np.sqrt((warp.displacement(*map(np.arange, grid.shape)) ** 2).sum(axis=-1)).mean()
    stretch = np.diag([1.12, 1.08, 1.03, 1.0])
    stretch[:3, 3] = template.centre
    displaced = rigid_matrix([*shift_mm, *np.radians(turn_deg)])
    return Warp(
        coefficients * 3 / size, np.zeros(3), length, grid.affine, stretch @ inverse(displaced)
    )


def _moved_cerebellum(warp: Warp, grid: Grid, way_mm: tuple[float, float, float]) -> Warp:
    """The same head with a smooth displacement besides, greatest in the cerebellum."""
    middle = transform(mni_grid(2).affine, mask_centre(vois(2)["wc"]))
    centre = transform(inverse(warp.affine), middle)
    away = np.linalg.norm(grid.world() - centre, axis=-1)
    bump = warp.basis(*map(np.arange, grid.shape)).project(np.exp(-0.5 * (away / 40) ** 2))
    further = np.multiply.outer(np.array(way_mm), bump)
    return replace(warp, coefficients=warp.coefficients - further)


def no_heads() -> dict[str, Volume]:
    """Images of what a scanner measures besides heads, in voxels of 4 mm."""
    x, y, z = (4.0 * (np.indices((80, 64, 64)).T - (40, 32, 32))).T

    def ball(
        centre: tuple[float, float, float], radii: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        (a, b, c), (u, v, w) = centre, radii
        return ((x - a) / u) ** 2 + ((y - b) / v) ** 2 + ((z - c) / w) ** 2 < 1

    def rod(a: float, b: float, u: float, v: float) -> NDArray[np.bool_]:
        return ((x - a) / u) ** 2 + ((y - b) / v) ** 2 < 1

    cylinder = np.where(rod(0, 0, 100, 100) & (np.abs(z) < 100), 1.0, 0.02)
    rods = cylinder.copy()
    for number, radius in enumerate((6, 8, 11, 14, 19)):
        angle = 2 * np.pi * number / 5
        rods[rod(57 * np.cos(angle), 57 * np.sin(angle), radius, radius) & (np.abs(z) < 100)] = 4
    trunk = np.where(rod(0, 0, 150, 100), 0.6, 0.02)
    trunk[rod(0, -65, 20, 22)] = 1.8  # spine
    for side in (-1, 1):
        trunk[ball((75 * side, 0, 70), (60, 75, 110))] = 0.25  # lungs
    trunk[ball((-15, 25, 30), (45, 40, 45))] = 1.2  # heart
    trunk[ball((65, 0, -70), (85, 75, 60))] = 4  # liver
    liver = np.where(ball((0, 0, 0), (100, 75, 60)), 3.0, 0.1)
    liver[ball((20, 20, -20), (14, 14, 30))] = 9  # gall bladder
    images = {"cylinder": cylinder, "rods": rods, "trunk": trunk, "liver": liver}
    return {name: _scanned(image) for name, image in images.items()}


def _scanned(image: NDArray[np.float64]) -> Volume:
    """Blurred by 7 mm, noise of 5 %."""
    blurred = ndimage.gaussian_filter(image, 7 / 2.3548 / 4)
    speckle = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(image.shape), 0.8)
    noisy = blurred * (1 + 0.05 * speckle / speckle.std())
    return Volume((5000 * np.maximum(noisy, 0)).astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
