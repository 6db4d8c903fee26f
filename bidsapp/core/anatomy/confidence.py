"""Confidence in a normalisation, by numbers that are independent of its own fit.

The likelihood of the fit says little: it depends on the scanner, and a wrong fit explains part of
the image, too. So the priors are registered again to the normalised T1w, part by part. For a brain
part in the right position the shift is within 1-2 mm, for one that is 5 mm off it is 5 mm. Overlap
of the masks, tissue in the volumes of interest and its contrast, and the field of view detect other
failures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.anatomy.warp import jacobian
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.sampling import Float32, Float64, thinned
from bidsapp.core.grid.volume import Volume, mask_slices
from bidsapp.core.registration.tissue_model import TissueModel, fit_pose
from bidsapp.errors import BadDataError

Mask = NDArray[np.bool_]

BRAIN = 0.3  # sum of the priors: brain and the CSF around it
AROUND_MM = 6.0  # of the cerebellum: tentorium and the CSF behind it hold it in place
FRONT_MM, ABOVE_MM = -20.0, -30.0  # planes that part the cerebrum, template y and z
POINTS = 5000  # per part
LEAST_MEASURED = 0.5  # of a part, to register it
DRIFT_ORDER = 1  # what is left of the bias field
FIT_STEPS = 12


@dataclass(frozen=True)
class Template:
    """Reference for the check of a normalised head, all on one grid.

    Attributes
    ----------
    priors : TissuePriors
    mask : ndarray of bool, shape (X, Y, Z)
        Brain of the template head.
    vois : mapping of ndarray of bool, shape (X, Y, Z)
        ``ctx``, ``wc`` and ``wcb``.
    stripped_priors : callable
        Reads the priors of a T1w without skull.
    has_skull : bool
        The head to be checked has one. Zeros are then a part that was not imaged, filled up to a
        larger box; without a skull they are what was removed.
    """

    priors: TissuePriors
    mask: Mask
    vois: Mapping[str, Mask]
    stripped_priors: Callable[[], TissuePriors]
    has_skull: bool = True

    @cached_property
    def stripped(self) -> Template:
        """The same for a T1w without skull."""
        return replace(self, priors=self.stripped_priors(), has_skull=False)

    @cached_property
    def classes(self) -> Float32:
        """Grey, white, CSF, everything else, shape (X, Y, Z, 4)."""
        return np.ascontiguousarray(np.moveaxis(self.priors.sampler.on_grid, 0, -1))

    @cached_property
    def parts(self) -> dict[str, Mask]:
        """Cerebellum with brainstem, and the four quarters of the cerebrum."""
        grid = self.priors.grid
        x, y, z = np.moveaxis(grid.world(), -1, 0)
        near = self.priors.maps.sum(axis=0) > BRAIN
        whole = self.vois["wcb"]
        box = mask_slices(whole, np.ceil(AROUND_MM / grid.voxel_size).astype(int))
        distance = ndimage.distance_transform_edt(~whole[box], sampling=grid.voxel_size)
        cerebellum = np.zeros_like(near)
        cerebellum[box] = near[box] & (distance <= AROUND_MM)
        cerebrum = near & ~cerebellum & (z > ABOVE_MM)
        parts = {"cerebellum": cerebellum}
        for side, lateral in (("left", x < 0), ("right", x > 0)):
            parts[f"{side} front"] = cerebrum & lateral & (y >= FRONT_MM)
            parts[f"{side} back"] = cerebrum & lateral & (y < FRONT_MM)
        return parts


def normalisation_quality(
    t1w: Volume,
    tissue: NDArray[np.floating],
    mask: Mask,
    field: NDArray[np.floating],
    template: Template,
) -> dict[str, float]:
    """Numbers of confidence in a normalisation.

    Parameters
    ----------
    t1w : Volume, 3D
        Bias-corrected.
    tissue : ndarray, shape (3, X, Y, Z)
        Grey, white, CSF on the T1w grid.
    mask : ndarray of bool, shape (X, Y, Z)
        Brain on the T1w grid.
    field : ndarray, shape of the template + (3,)
        T1w world coordinate of every voxel of the template, RAS mm.
    template : Template

    Returns
    -------
    dict of float
        ``template_shift_mm``, shift of the part that is displaced most;
        ``jacobian_min`` and ``jacobian_max``, strongest compression and expansion inside the
        volumes of interest, against the brain as a whole; ``brain_overlap``, Dice of the masks;
        ``t1w_coverage``, part of the volumes of interest inside the T1w; ``tissue_ctx`` and
        ``tissue_wc``, mean probability of grey or white under them; ``voi_contrast``, white minus
        grey under them, over the pooled SD.

    Raises
    ------
    BadDataError
        No part of the brain is inside the T1w.
    """
    image = sample(t1w, field)
    shifts = [
        _wanted_shift(image, template, where)
        for where in template.parts.values()
        if np.isfinite(image[where]).mean() >= LEAST_MEASURED
    ]
    if not shifts:
        raise BadDataError(
            "contains no head where it was found: is this a T1w of a whole head or brain, and is "
            "its orientation right?"
        )
    # an image of zero and one, so that "not measured" needs no planes that hold something
    brain = np.nan_to_num(sample(Volume(mask, t1w.affine), field)) > 0.5
    needed = template.vois["ctx"] | template.vois["wcb"]
    wanted = np.logical_or.reduce(list(template.vois.values()))
    grey, white = (
        np.nan_to_num(_inside(Volume(np.asarray(part, np.float32), t1w.affine), field, wanted))
        for part in tissue[:2]
    )
    imaged = Volume(t1w.data != 0 if template.has_skull else np.ones(mask.shape, bool), t1w.affine)
    measured = np.nan_to_num(_inside(imaged, field, wanted)) > 0.5
    # large ventricles are stretched or squeezed like nothing else, and nothing is measured there
    box = mask_slices(template.mask | needed, 1)
    volume = jacobian(field[box], template.priors.affine)
    change = volume[template.mask[box]].mean(dtype=np.float64) / volume[needed[box]]
    return {
        "template_shift_mm": max(shifts),
        "jacobian_min": float(change.min()),
        "jacobian_max": float(change.max()),
        "brain_overlap": 2 * float((brain & template.mask).sum())
        / max(int(brain.sum()) + int(template.mask.sum()), 1),
        "t1w_coverage": float(measured[needed].mean()),
        **{
            f"tissue_{voi}": float((grey + white)[template.vois[voi]].mean(dtype=np.float64))
            for voi in ("ctx", "wc")
        },
        "voi_contrast": _contrast(image[needed], grey[needed], white[needed]),
    }  # fmt: skip


def _inside(image: Volume, field: NDArray[np.floating], where: Mask) -> Float32:
    """Image in template space at some voxels, zero at the others."""
    values = np.zeros(where.shape, np.float32)
    values[where] = sample(image, field[where])
    return values


def _wanted_shift(image: Float32, template: Template, part: Mask) -> float:
    """Mean displacement in mm of the priors when they are registered to this part of the image."""
    points, values = _thinned(image, template, part)
    model = TissueModel(template.classes, template.priors.affine, points.mean(axis=0))
    fit = fit_pose(
        model, points, values, np.eye(4), drift_order=DRIFT_ORDER, rounds=1, steps=FIT_STEPS
    )
    moved = transform(fit.pet_to_t1w, points) - points
    return float(np.sqrt((moved**2).sum(axis=1)).mean())


def _thinned(image: Float32, template: Template, part: Mask) -> tuple[Float64, Float64]:
    """Template world (N, 3) and values (N,) of about POINTS voxels of a part that were measured."""
    index = thinned(np.argwhere(part & np.isfinite(image)), POINTS)
    world = transform(template.priors.affine, index.astype(np.float64))
    return world, image[tuple(index.T)].astype(np.float64)


def _contrast(image: Float32, grey: Float32, white: Float32) -> float:
    """White minus grey of an image over their pooled SD; 0 where one of them is missing."""
    known = np.isfinite(image)
    moments = list(_moments(image[known], [grey[known], white[known]]))
    if len(moments) < 2:
        return 0.0
    (grey_mean, grey_variance), (white_mean, white_variance) = moments
    pooled = float(np.sqrt((grey_variance + white_variance) / 2))
    return (white_mean - grey_mean) / max(pooled, 1e-12)


def _moments(image: Float32, weights: list[Float32]) -> Iterator[tuple[float, float]]:
    for weight in weights:
        if weight.sum() > 0:
            mean = float(np.average(image, weights=weight))
            yield mean, float(np.average((image - mean) ** 2, weights=weight))
