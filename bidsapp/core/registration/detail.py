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
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, Float32, Float64, block_mean
from bidsapp.core.grid.volume import Volume, mask_slices
from bidsapp.core.registration.head import Head
from bidsapp.core.registration.rigid import cropped

FINE_MM = 4.0  # what a Gaussian of this width removes
BAND_MM = (8.0, 20.0)  # what one removes and the other leaves: coarse structure
DEPTH_MM = 4.0  # from the surface of the brain, whose edge every image shows
BORDER = 2  # voxels of nothing around the brain, for the blurs
LEAST_VOXELS = 5000  # 40 ml


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
    box = mask_slices(brain, BORDER)
    t1w = cropped(head.t1w, *np.transpose([(part.start, part.stop) for part in box]))
    values = sample(image, transform(matrix, t1w.grid.world()))
    known = brain[box] & np.isfinite(values)
    if np.count_nonzero(known) < LEAST_VOXELS:
        return None
    both = np.where(known, [values, t1w.data], 0)
    edge_mm = t1w.grid.voxel_size
    fine = _structure(both, known.astype(np.float32), (0.0, FINE_MM), edge_mm)
    halves = [block_mean(part, (2, 2, 2)) for part in (*both, known)]
    coarse = _structure(np.stack(halves[:2]), halves[2], BAND_MM, 2 * edge_mm)
    if not fine.size or not coarse.size:
        return None
    (of_image, of_t1w), of_detail = (coarse**2).mean(axis=1), (fine[1] ** 2).mean()
    if not min(of_image, of_t1w, of_detail) > 0:
        return None
    return float(abs((fine[0] * fine[1]).mean()) / of_detail * np.sqrt(of_t1w / of_image))


def _structure(
    both: Float32, weight: Float32, band_mm: tuple[float, float], edge_mm: Float64
) -> Float32:
    """What the first blur leaves and the second one removes, at voxels deep in the brain, (2, N).

    Blurs are means over known voxels, of which ``weight`` is the part.
    """
    deep = binary_erosion(weight > 0.99, iterations=round(DEPTH_MM / float(edge_mm.max())))

    def blurred(fwhm_mm: float) -> Float32:
        sigma = fwhm_mm / FWHM_PER_SIGMA / edge_mm
        *sums, share = (gaussian_filter(part, sigma)[deep] for part in (*both, weight))
        return np.stack(sums) / share

    narrow, wide = map(blurred, band_mm)
    return narrow - wide
