"""A phantom head of known Centiloid: T1w and amyloid PET as arrays.

One person is made from the template head by a known smooth deformation, so the voxels of the
Centiloid VOIs can be followed into the person without any registration. The PET gets its uptake
from the tissue of that same head, is blurred by a known point spread and lies at a known rigid
displacement from the T1w. The true Centiloid is what a perfect registration would measure: the
noiseless PET, read at the true place of every VOI voxel.

Grey, white and CSF come from the template's own intensities and not from the packaged priors:
these lie where the *standard pipeline* puts the tissue, about a millimetre away, and T1w and PET
of one person must show the same anatomy.

Reading images, classifying tissue and averaging in VOIs are written again here on purpose: a truth
made by the code under test would prove nothing. All is deterministic: random numbers come from one
fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, interpolate
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.errors import UsageError

SEED = 20261121

# --- the person: template world -> T1w world --------------------------------------------------
# A template made of many heads is larger than a head: shrink by the inverse of usual stretches.
HEAD_SCALE = (0.93, 0.94, 0.91)
HEAD_ROTATION_DEG = (11.0, -2.5, 3.0)  # about x (chin down), y, z
HEAD_CENTRE_MM = (2.0, 14.0, -9.0)  # where the template's origin comes to lie
WARP_FREQUENCIES = 4  # cosines per axis; the shortest wave is 2/3 of the head
WARP_RMS_MM = 4.0

# --- the scans ---------------------------------------------------------------------------------
T1W_SHAPE = (224, 224, 160)  # columns (to posterior), rows (to inferior), sagittal slices
T1W_VOXEL_MM = 1.1
T1W_TILT_DEG = (0.0, 1.5, -2.0)  # slices are laid along the midline by hand, never exactly
T1W_PEAK = 600.0  # stored value of white matter
T1W_NOISE = 0.025  # of white matter
BIAS_STRENGTH = 0.12  # log units, peak of the receive field's variation

PET_SHAPE = (128, 128, 88)  # columns (to left), rows (to posterior), axial slices
PET_VOXEL_MM = 2.0
PET_FWHM_MM = 6.0
PET_ROTATION_DEG = (-6.0, 2.0, 4.5)
PET_SHIFT_MM = (4.0, -7.0, 9.0)
NOISE_FWHM_MM = 4.0
NOISE_PER_FRAME = 0.05  # of cerebellar grey matter, where the uptake is 1
ATTENUATION_PER_MM = 0.015  # 511 keV in water, both photons, net of the loss at the rim
ACTIVITY_BQML = 2300.0  # uptake 1: SUV 1 of 300 MBq in 75 kg, 90 minutes on

FRAME_START_S = (5400.0, 5700.0, 6000.0, 6300.0)  # after injection
FRAME_DURATION_S = (300.0, 300.0, 300.0, 300.0)

# --- uptake relative to cerebellar grey matter -------------------------------------------------
# White matter keeps F-18 tracers whatever the amyloid load; other grey matter follows the cortex.
WHITE = 1.5
CEREBELLAR_WHITE = 1.3
CSF = 0.3
SCALP = 0.35
OTHER_GREY_SHARE = 0.75  # of the cortical excess over 1
MAX_UPTAKE = 5.0
HEAD_THRESHOLD = 0.12  # of white matter in the template: what is darker is air


@dataclass(frozen=True)
class Deformation:
    """Template world -> T1w world of the phantom, ``p = A (m + d(m))``, in RAS mm.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
    coefficients : ndarray, shape (3, K, K, K)
        Weights of the cosines of `d`, one set per component, mm.
    origin, extent : ndarray, shape (3,)
        Box on which the cosines live, template world mm.
    """

    affine: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    origin: NDArray[np.float64]
    extent: NDArray[np.float64]

    def displacement(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `d` in mm at template world points, both of shape (..., 3).

        Parameters
        ----------
        points : ndarray, shape (..., 3)

        Returns
        -------
        ndarray
        """
        flat = points.reshape(-1, 3)
        order = np.arange(self.coefficients.shape[1])
        x, y, z = (
            np.cos(np.pi * order * (flat[:, axis, None] - self.origin[axis]) / self.extent[axis])
            for axis in range(3)
        )
        xy = (x[:, :, None] * y[:, None, :]).reshape(len(flat), -1)
        parts = self.coefficients.reshape(3, -1, len(order))
        return np.stack([((xy @ part) * z).sum(axis=1) for part in parts], axis=1).reshape(
            points.shape
        )

    def to_person(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """T1w world mm of template world points, shape (..., 3).

        Parameters
        ----------
        points : ndarray, shape (..., 3)

        Returns
        -------
        ndarray
        """
        return transform(self.affine, points + self.displacement(points))

    def to_template(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Template world mm of T1w world points, shape (..., 3): the inverse of `to_person`.

        Fixed-point iteration; it contracts because the slopes of `d` stay far below one.

        Parameters
        ----------
        points : ndarray, shape (..., 3)

        Returns
        -------
        ndarray
        """
        start = transform(inverse(self.affine), points)
        points_there = start
        for _ in range(12):
            points_there = start - self.displacement(points_there)
        return points_there


@dataclass(frozen=True)
class Phantom:
    """One person's scans and the truth about them.

    Attributes
    ----------
    t1w : Volume
        (X, Y, Z), arbitrary units from 0 up.
    pet : Volume
        (X, Y, Z, frames), Bq/mL, decay-corrected to the start of the scan, with noise.
    pet_nac : Volume
        (X, Y, Z), what the scanner shows without attenuation correction.
    pet_noiseless : Volume
        (X, Y, Z), Bq/mL.
    t1w_to_pet : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.
    deformation : Deformation
    suvr : dict of str to float
        True SUVR by reference region.
    """

    t1w: Volume
    pet: Volume
    pet_nac: Volume
    pet_noiseless: Volume
    t1w_to_pet: NDArray[np.float64]
    deformation: Deformation
    suvr: dict[str, float]


def make_phantom(
    head: Volume,
    brain: NDArray[np.bool_],
    vois: Mapping[str, NDArray[np.bool_]],
    voi_grid: Grid,
    suvr: float,
) -> Phantom:
    """Make the phantom whose true SUVR over the whole cerebellum is ``suvr``.

    Parameters
    ----------
    head : Volume
        T1w template with skull.
    brain : ndarray of bool
        Brain mask on the grid of ``head``.
    vois : mapping of str to ndarray of bool
        Centiloid VOIs on ``voi_grid``: ``ctx``, ``wc`` and ``wcb``, and further reference regions.
    voi_grid : Grid
        Grid of ``vois`` in the world of ``head``.
    suvr : float
        Wanted SUVR of ``ctx`` over ``wc``.

    Returns
    -------
    Phantom

    Raises
    ------
    UsageError
        No uptake of the cortex gives that SUVR.
    """
    random = np.random.default_rng(SEED)
    deformation = head_deformation(head.grid, random)
    t1w = image_t1w(head, deformation, random)

    t1w_to_pet = rigid(PET_ROTATION_DEG, PET_SHIFT_MM)
    field = transform(t1w_to_pet, deformation.to_person(voi_grid.world()))
    grid = centred_grid(PET_SHAPE, PET_VOXEL_MM, np.diag([-1.0, -1.0, 1.0]))
    places = template_points(deformation, grid, inverse(t1w_to_pet))
    regions = {
        name: sample(Volume(vois[name], voi_grid.affine), places) for name in ("ctx", "wc", "wcb")
    }
    fixed, cortical = (
        ndimage.gaussian_filter(part, PET_FWHM_MM / FWHM_PER_SIGMA / PET_VOXEL_MM)
        for part in paint_uptake(tissue_at(head, brain, places), regions)
    )
    uptake = solve_uptake(
        voi_means(Volume(fixed, grid.affine), field, vois),
        voi_means(Volume(cortical, grid.affine), field, vois),
        suvr,
    )
    pet = ACTIVITY_BQML * (fixed + np.float32(uptake) * cortical)
    means = voi_means(Volume(pet, grid.affine), field, vois)
    return Phantom(
        t1w=t1w,
        pet=Volume(noisy_frames(pet, random), grid.affine),
        pet_nac=Volume(attenuate(pet), grid.affine),
        pet_noiseless=Volume(pet, grid.affine),
        t1w_to_pet=t1w_to_pet,
        deformation=deformation,
        suvr={name: means["ctx"] / mean for name, mean in means.items() if name != "ctx"},
    )


# --- geometry ----------------------------------------------------------------------------------


def rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z, shape (3, 3).

    Parameters
    ----------
    degrees : about x, y and z

    Returns
    -------
    ndarray
    """
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def rigid(
    degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Rotation about the origin, then a shift, shape (4, 4).

    Parameters
    ----------
    degrees : about x, y, z
    shift_mm : along x, y, z

    Returns
    -------
    ndarray
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees)
    matrix[:3, 3] = shift_mm
    return matrix


def centred_grid(shape: tuple[int, int, int], voxel_mm: float, axes: NDArray[np.float64]) -> Grid:
    """Isotropic grid about the isocentre; columns of ``axes`` are the directions of its axes.

    Parameters
    ----------
    shape : voxels
    voxel_mm : edge of a voxel
    axes : ndarray, shape (3, 3)

    Returns
    -------
    Grid
    """
    affine = np.eye(4)
    affine[:3, :3] = axes * voxel_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def head_deformation(template: Grid, random: np.random.Generator) -> Deformation:
    """Draw the smooth deformation of the phantom's head (see `Deformation`).

    Parameters
    ----------
    template : its grid
    random : source of its coefficients

    Returns
    -------
    Deformation
    """
    frequency = np.indices((WARP_FREQUENCIES,) * 3).sum(axis=0)
    decay = np.where(frequency > 0, 1.0 / (1.0 + frequency) ** 2, 0.0)  # no mere shift; smooth
    coefficients = random.standard_normal((3, *decay.shape)) * decay
    corner = transform(template.affine, np.zeros(3))
    far = transform(template.affine, np.array(template.shape) - 1.0)
    affine = np.eye(4)
    affine[:3, :3] = rotation(HEAD_ROTATION_DEG) @ np.diag(HEAD_SCALE)
    affine[:3, 3] = HEAD_CENTRE_MM
    drawn = Deformation(affine, coefficients, np.minimum(corner, far), np.abs(far - corner))
    inside = Grid((20, 20, 20), np.diag([*(drawn.extent / 19), 1.0])).world() + drawn.origin
    rms = np.sqrt((drawn.displacement(inside) ** 2).sum(axis=-1).mean())
    return Deformation(affine, coefficients * (WARP_RMS_MM / rms), drawn.origin, drawn.extent)


def template_points(
    deformation: Deformation, grid: Grid, to_t1w: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Template world mm of every voxel of ``grid``, shape ``grid.shape + (3,)``.

    The inverse is iterated on every third voxel and read linearly between: on a deformation
    this smooth that is off by less than 0.05 mm, on the 2 mm grid of the PET.

    Parameters
    ----------
    deformation : of the head
    grid : whose voxels are followed
    to_t1w : world of the grid -> T1w world, 4 x 4

    Returns
    -------
    ndarray
    """
    step = 3
    coarse = Grid(
        tuple(-(-(n - 1) // step) + 1 for n in grid.shape),  # type: ignore[arg-type]
        grid.affine @ np.diag([step, step, step, 1.0]),
    )
    points_there = deformation.to_template(transform(to_t1w, coarse.world()))
    index = np.indices(grid.shape, dtype=np.float32) / step
    return interpolate(points_there, index, beyond="constant")


def sample(image: Volume, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Read ``image`` linearly at world points of shape (..., 3); 0 outside.

    Parameters
    ----------
    image : to read
    points : world mm, shape (..., 3)

    Returns
    -------
    ndarray
    """
    index = np.moveaxis(transform(inverse(image.affine), points), -1, 0)
    return interpolate(np.asarray(image.data, dtype=np.float32), index, beyond="constant")


def voi_means(
    pet: Volume, field: NDArray[np.float64], vois: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """Mean of ``pet`` in every VOI; ``field`` says where in the PET's world a VOI voxel lies.

    Parameters
    ----------
    pet : shape (X, Y, Z)
    field : world mm of the PET, shape of the VOIs + (3,)
    vois : masks by name

    Returns
    -------
    dict
        By name of the volume.
    """
    return {
        name: float(sample(pet, field[voi]).mean(dtype=np.float64)) for name, voi in vois.items()
    }


# --- the T1w -----------------------------------------------------------------------------------


def image_t1w(head: Volume, deformation: Deformation, random: np.random.Generator) -> Volume:
    """Sagittal T1w of the deformed head with bias field and Rician noise.

    Parameters
    ----------
    head : the template
    deformation : of the head
    random : source of the noise

    Returns
    -------
    Volume
    """
    to_posterior, to_inferior, to_left = [0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]
    axes = rotation(T1W_TILT_DEG) @ np.array([to_posterior, to_inferior, to_left]).T
    grid = centred_grid(T1W_SHAPE, T1W_VOXEL_MM, axes)
    signal = sample(head, template_points(deformation, grid, np.eye(4)))
    signal *= T1W_PEAK / white_level(head) * bias_field(grid)
    sigma = T1W_NOISE * T1W_PEAK
    real, imaginary = random.standard_normal((2, *grid.shape), dtype=np.float32) * sigma
    return Volume(np.hypot(signal + real, imaginary), grid.affine)


def white_level(head: Volume) -> float:
    """Intensity of white matter: almost the brightest large tissue of a T1w.

    Parameters
    ----------
    head : the template

    Returns
    -------
    float
    """
    return float(np.percentile(head.data[head.data > 0], 98))


def bias_field(grid: Grid) -> NDArray[np.float32]:
    """Smooth receive field of a head coil: brighter at the rim, more so at the back and left.

    Parameters
    ----------
    grid : of the T1w

    Returns
    -------
    ndarray
    """
    x, y, z = np.meshgrid(
        *(np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True
    )
    shape = 0.6 * (x**2 + y**2 + z**2) / 3 + 0.3 * x + 0.2 * np.sin(2 * z) - 0.2 * y
    return np.exp(BIAS_STRENGTH * shape)


# --- the PET -----------------------------------------------------------------------------------


def classify(head: Volume, brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Grey, white and CSF fractions of the template brain from its intensities.

    A mixture of three Gaussians fitted by expectation-maximisation.

    Parameters
    ----------
    head : the template
    brain : its mask

    Returns
    -------
    ndarray, shape (3, X, Y, Z), float32
        Grey, white, CSF on the grid of ``head``; 0 outside the brain.
    """
    values = head.data[brain].astype(np.float64)
    mean = np.percentile(values, [45.0, 88.0, 3.0])
    sd = np.full(3, values.std() / 2)
    share = np.full(3, 1 / 3)
    # on the histogram: a thousand bins instead of two million voxels
    count, edges = np.histogram(values, bins=1000)
    centre = (edges[1:] + edges[:-1]) / 2
    for _ in range(60):
        part = _responsibilities(centre, mean, sd, share)
        weight = part @ count
        share = weight / weight.sum()
        mean = part @ (count * centre) / weight
        sd = np.sqrt((part * (centre - mean[:, None]) ** 2) @ count / weight)
    tissue = np.zeros((3, *brain.shape), dtype=np.float32)
    tissue[:, brain] = _responsibilities(values, mean, sd, share)
    return tissue


def _responsibilities(
    values: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Probability of each class, shape (classes, len(values))."""
    distance = (values - mean[:, None]) / sd[:, None]
    density = (share / sd)[:, None] * np.exp(-0.5 * distance**2)
    return density / density.sum(axis=0)


def tissue_at(
    head: Volume, brain: NDArray[np.bool_], places: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Fractions of grey, white, csf and scalp (all soft tissue and bone outside the brain).

    Parameters
    ----------
    head, brain : as in `make_phantom`
    places : ndarray, shape (X, Y, Z, 3)
        Template world, mm.

    Returns
    -------
    dict of str to ndarray, shape (X, Y, Z)
    """
    scalp = (head.data > HEAD_THRESHOLD * white_level(head)) & ~brain
    maps = dict(zip(("grey", "white", "csf"), classify(head, brain), strict=True)) | {
        "scalp": scalp
    }
    return {name: sample(Volume(data, head.affine), places) for name, data in maps.items()}


def paint_uptake(
    tissue: Mapping[str, NDArray[np.float32]], regions: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Uptake before blurring as ``fixed + u * cortical``, `u` the uptake of cortical grey matter.

    Parameters
    ----------
    tissue : fractions from `tissue_at`
    regions : fractions of ``ctx``, ``wc`` and ``wcb`` in the same voxels

    Returns
    -------
    fixed, cortical : ndarray, relative to cerebellar grey matter
    """
    ctx, cerebellum, hindbrain = regions["ctx"], regions["wc"], regions["wcb"]
    other = OTHER_GREY_SHARE * (1 - ctx) * (1 - hindbrain)
    cortical = tissue["grey"] * (ctx + other)
    fixed = (
        tissue["grey"] * (1 - ctx - other)
        + tissue["white"] * (WHITE + (CEREBELLAR_WHITE - WHITE) * cerebellum)
        + tissue["csf"] * CSF
        + tissue["scalp"] * SCALP
    )
    return fixed, cortical


def solve_uptake(fixed: Mapping[str, float], cortical: Mapping[str, float], suvr: float) -> float:
    """Cortical uptake `u` that gives ``suvr``, from the VOI means of both parts of the PET.

    Parameters
    ----------
    fixed, cortical : mean of every VOI in both parts of the PET
    suvr : wanted, of ``ctx`` over ``wc``

    Returns
    -------
    float
    """
    uptake = (suvr * fixed["wc"] - fixed["ctx"]) / (cortical["ctx"] - suvr * cortical["wc"])
    if not 0 < uptake < MAX_UPTAKE:
        raise UsageError(
            f"a SUVR of {suvr:.2f} would take a cortical uptake of {uptake:.2f} times the "
            "cerebellum's; choose a Centiloid between -20 and 200"
        )
    return uptake


def noisy_frames(pet: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Repeat ``pet`` in every frame with correlated noise that grows as the root of activity.

    Parameters
    ----------
    pet : Bq/mL, shape (X, Y, Z)
    random : source of the noise

    Returns
    -------
    ndarray
    """
    spread = np.sqrt(np.maximum(pet, 0) / ACTIVITY_BQML + 0.01) * (NOISE_PER_FRAME * ACTIVITY_BQML)
    frames = np.empty((*pet.shape, len(FRAME_START_S)), dtype=np.float32)
    for index in range(len(FRAME_START_S)):
        grain = ndimage.gaussian_filter(
            random.standard_normal(pet.shape, dtype=np.float32),
            NOISE_FWHM_MM / FWHM_PER_SIGMA / PET_VOXEL_MM,
        )
        # iterative reconstruction gives no negative activity
        frames[..., index] = np.maximum(pet + spread * grain / grain.std(), 0)
    return frames


def attenuate(pet: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is left of ``pet`` without attenuation correction: a bright rim, a dark centre.

    Parameters
    ----------
    pet : of the phantom

    Returns
    -------
    ndarray
    """
    head = ndimage.binary_fill_holes(pet > 0.1 * ACTIVITY_BQML)
    depth_mm = ndimage.distance_transform_edt(head) * PET_VOXEL_MM
    return (pet * np.exp(-ATTENUATION_PER_MM * depth_mm)).astype(np.float32)
