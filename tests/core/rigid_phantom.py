"""A small head with known tissue, and its PET with known uptake at a known position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.sampling import blur, nearest, trilinear
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.registration.head import Average, Head

T1W_GRID = Grid(
    (60, 72, 60), np.array([[3.0, 0, 0, -90], [0, 3, 0, -110], [0, 0, 3, -80], [0, 0, 0, 1]])
)
PET_GRID = Grid(
    (52, 60, 44), np.array([[-4.0, 0, 0, 100], [0, 4, 0, -120], [0, 0, 4, -88], [0, 0, 0, 1]])
)


@dataclass(frozen=True)
class PhantomHead:
    t1w: Volume
    tissue: np.ndarray
    mask: np.ndarray
    regions: dict[str, np.ndarray]

    @property
    def brain_points(self) -> np.ndarray:
        return transform(self.t1w.affine, np.argwhere(self.mask)[::7].astype(float))

    def region_of(self, points: np.ndarray) -> np.ndarray:
        """1 in the cortex in front, 2 in the cerebellum, 0 elsewhere."""
        number = self.regions["ctx"] + 2 * self.regions["cbl"]
        return nearest(Volume(number, self.t1w.affine), points)

    def side(self, average: Average | None = None) -> Head:
        """The T1w side of a registration."""
        return Head.of(self.t1w, self.tissue, self.mask, self.region_of, average)


def make_head(seed: int = 3) -> PhantomHead:
    """An ellipsoid of folded grey and white with CSF around it, skull, scalp and a cerebellum."""
    world = T1W_GRID.world()
    x, y, z = np.moveaxis(world, -1, 0)
    noise = np.random.default_rng(seed).normal(size=(2, *T1W_GRID.shape))
    folds = gaussian_filter(noise[0], 2.5)
    folds /= folds.std()
    radius = np.sqrt((x / 62) ** 2 + (y / 78) ** 2 + ((z - 5) / 58) ** 2)
    # a flat base at the back for the cerebellum, so that the brain has no symmetry to slip along
    mask = (radius < 1) & ((z > -30) | (np.abs(y + 45) < 30))
    ventricles = ((x / 12) ** 2 + ((y + 5) / 30) ** 2 + ((z - 12) / 10) ** 2 < 1) & mask
    depth = 1 - radius + 0.08 * folds
    white = mask & (depth > 0.22) & ~ventricles
    csf = mask & ((depth < 0.03) | ventricles)
    grey = mask & ~white & ~csf
    tissue = np.stack([grey, white, csf]).astype(np.float32)
    cerebellum = mask & (z < -22) & (y < -15)
    cortex = mask & (y > 0) & ~cerebellum
    scalp = (radius > 1.12) & (radius < 1.25)
    intensity = 0.65 * grey + 1.0 * white + 0.3 * csf + 0.8 * scalp + 0.02 * noise[1]
    t1w = Volume((400 * np.maximum(intensity, 0)).astype(np.float32), T1W_GRID.affine)
    return PhantomHead(t1w, tissue, mask, {"ctx": cortex, "cbl": cerebellum})


def make_pet(
    head: PhantomHead,
    t1w_to_pet: np.ndarray,
    *,
    grey: float = 1.8,
    white: float = 1.3,
    cerebellar_grey: float = 0.9,
    shade: Callable[[np.ndarray], np.ndarray] | None = None,
    grid: Grid = PET_GRID,
) -> Volume:
    """Blurred uptake of ``head`` at ``t1w_to_pet``; ``shade(world)`` multiplies it in T1w world."""
    g, w, c = head.tissue
    scalp = (head.t1w.data > 250) & ~head.mask
    uptake = grey * g + white * w + 0.4 * c + 0.4 * scalp
    uptake += (cerebellar_grey - grey) * g * head.regions["cbl"]
    if shade is not None:
        uptake = uptake * shade(head.t1w.grid.world())
    smooth = blur(Volume(uptake.astype(np.float32), head.t1w.affine), 7.0)
    index = transform(inverse(t1w_to_pet @ head.t1w.affine), grid.world().reshape(-1, 3))
    values, _, inside = trilinear(np.asarray(smooth.data), index, gradient=False)
    noise = 0.02 * np.random.default_rng(1).normal(size=len(values))
    counts = np.maximum(values * inside + noise, 0) * 5000
    return Volume(counts.reshape(grid.shape).astype(np.float32), grid.affine)
