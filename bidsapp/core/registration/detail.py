"""How much of the fine structure of a T1w an image on its place shows: little, if it is a PET.

A PET resolves 4-8 mm, an MR image 1 mm. Contrasts differ between tracers and between MR sequences,
so what counts is not the contrast but how it falls from coarse structure to fine: the part of the
image that the fine structure of the T1w explains, over the contrast of both in coarse structure.
Noise explains nothing of it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter

from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Volume, mask_slices
from bidsapp.core.registration.head import Head

FINE_MM = 4.0  # what a Gaussian of this width removes
BAND_MM = (8.0, 20.0)  # what one removes and the other leaves: coarse structure
DEPTH = 2  # voxels from the surface of the brain, whose edge every image shows
LEAST_VOXELS = 1000


def fine_detail(image: Volume, head: Head, matrix: Matrix) -> float | None:
    """Return how much of the fine structure of the T1w an image shows.

    Parameters
    ----------
    image : Volume, 3D
        On its native grid.
    head : Head
    matrix : ndarray, shape (4, 4)
        T1w world -> world of the image, RAS mm.

    Returns
    -------
    float or None
        0 where it shows none, 1 for the T1w itself, whatever the contrast and its sign; None where
        one of the two has no structure, or too little of the brain was measured.
    """
    brain = head.outside_mm <= 0
    box = mask_slices(brain, DEPTH)
    corner = transform(head.t1w.affine, np.array([part.start for part in box], np.float64))
    affine = head.t1w.affine.copy()
    affine[:3, 3] = corner
    world = Volume(brain[box], affine).grid.world()
    values = sample(image, transform(matrix, world))
    known = brain[box] & np.isfinite(values)
    deep = binary_erosion(known, iterations=DEPTH)
    if np.count_nonzero(deep) < LEAST_VOXELS:
        return None
    weight = known.astype(np.float32)
    both = np.where(known, [values, head.t1w.data[box]], 0)
    per_voxel = FWHM_PER_SIGMA * head.t1w.grid.voxel_size
    narrow, wide, narrowest = (
        np.stack([gaussian_filter(part, fwhm / per_voxel)[deep] for part in (*both, weight)])
        for fwhm in (*BAND_MM, FINE_MM)
    )
    fine = both[:, deep] - narrowest[:2] / narrowest[2]
    coarse = narrow[:2] / narrow[2] - wide[:2] / wide[2]
    (of_image, of_t1w), of_detail = (coarse**2).mean(axis=1), (fine[1] ** 2).mean()
    if not min(of_image, of_t1w, of_detail) > 0:
        return None
    return float(abs((fine[0] * fine[1]).mean()) / of_detail * np.sqrt(of_t1w / of_image))
