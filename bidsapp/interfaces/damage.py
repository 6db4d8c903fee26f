"""Node that looks for damage in the raw frames of a PET, where the brain is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from scipy.ndimage import binary_erosion, gaussian_filter

from bidsapp.core.alignment import Matrix, inverse, transform
from bidsapp.core.damage import air_level, crosses, inspect, voxels_at
from bidsapp.core.quality import damage_findings, damage_refusal
from bidsapp.core.resample import measured_box, resample
from bidsapp.core.sampling import FWHM_PER_SIGMA
from bidsapp.core.stills import mean_at_reference
from bidsapp.core.volume import Grid, Volume
from bidsapp.data import priors, read_table, template_mask, vois
from bidsapp.errors import BadDataError
from bidsapp.interfaces.store import about, fetch_stills, fetch_volume, keep_stills, keep_volume
from bidsapp.io.nifti import read_frames
from bidsapp.record import RecordPart

_SURELY_TISSUE = 0.8  # after a blur like that of a PET
_BLUR_MM = 6.0
_PRIOR = 0.95  # of grey and white matter, without a T1w

# World of the reference position of the head -> mask on the grid of the PET
_Placed = Callable[[Matrix], np.ndarray]


class InspectInput(BaseInterfaceInputSpec):
    """Inputs of `Inspect`; ``gm``, ``wm`` and ``mask`` on the T1w grid, none without a T1w."""

    pet = File(exists=True, mandatory=True, desc="raw PET, NIfTI")
    weights_s = traits.List(traits.Float, mandatory=True, desc="seconds of each frame that count")
    motion = traits.List(mandatory=True, desc="as `AlignFrames` gives it")
    mean = File(exists=True, mandatory=True, desc="mean over the window, native grid")
    stills = File(exists=True, mandatory=True, desc="the same, one image per position of the head")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    gm = File(exists=True, desc="probability of grey matter")
    wm = File(exists=True, desc="probability of white matter")
    mask = File(exists=True, desc="brain mask")
    reference = traits.Str(mandatory=True, desc="reference region of the Centiloid")


class InspectOutput(TraitedSpec):
    """Outputs of `Inspect`."""

    pet = File(exists=True, desc="mean over the window without what is lost")
    stills = File(exists=True, desc="the same, one image per position of the head")
    record = traits.Instance(RecordPart, desc="its part of the record: quality numbers, flags")


class Inspect(SimpleInterface):
    """Take out what holds no measurement; refuse a PET whose reference region is damaged."""

    input_spec, output_spec = InspectInput, InspectOutput

    def _run_interface(self, runtime):
        given, limits = self.inputs, read_table("limits")
        stills, mean = fetch_stills(given.stills), fetch_volume(given.mean)
        grid, to_pet = mean.grid, np.array(given.t1w_to_pet)
        tissue = self._tissue(grid)
        field = fetch_volume(given.field).data.astype(np.float64)
        in_reference = field[vois(2)[given.reference]]
        seen = _seen(stills[0].image)
        lost = {_key(still.motion): np.zeros(grid.shape, bool) for still in stills}
        shares: dict[str, list[float]] = {"lost": [0.0], "clipped": [0.0], "step": [0.0]}
        reference_lost = 0.0
        with about(given.pet):
            frames = zip(read_frames(given.pet), given.weights_s, given.motion[0], strict=True)
            for frame, weight, matrix in frames:
                if weight <= 0:
                    continue
                motion = np.asarray(matrix, np.float64)
                where = tissue(motion @ to_pet) & seen
                region = voxels_at(transform(motion @ to_pet, in_reference), grid) & seen
                found = inspect(frame, where)
                lost[_key(motion)] |= found.lost
                shares["lost"].append(_share(found.lost, where))
                shares["clipped"].append(found.clipped_share)
                shares["step"].append(found.plane_step)
                reference_lost = max(reference_lost, _share(found.lost, region & where))
                steep = found.plane_step > limits["pet_plane_step"]["refuse"]
                crossed = steep and crosses(found, region, limits["pet_lost_share"]["refuse"])
                if reason := damage_refusal(
                    given.reference, reference_lost, found.plane_step if crossed else None,
                    limits["pet_lost_share"]["refuse"],
                ):  # fmt: skip
                    raise BadDataError(reason)
        at_rest = tissue(to_pet) & seen
        usual = float(np.nanmedian(mean.data[at_rest])) if at_rest.any() else 0.0
        brain = voxels_at(transform(to_pet, field[template_mask(2).data]), grid)
        quality = {
            "pet_lost_share": max(shares["lost"]),
            "pet_clipped_share": max(shares["clipped"]),
            "pet_plane_step": max(shares["step"]),
            "pet_air_level": air_level(mean, brain, usual),
        }
        self._results["pet"], self._results["stills"] = given.mean, given.stills
        if any(part.any() for part in lost.values()):
            stills = [
                replace(still, image=_without(still.image, lost[_key(still.motion)]))
                for still in stills
            ]
            folder = Path(runtime.cwd)
            self._results["pet"] = keep_volume(folder / "mean.npz", mean_at_reference(stills))
            self._results["stills"] = keep_stills(folder / "stills.npz", stills)
        self._results["record"] = RecordPart(qc=quality, flags=damage_findings(quality, limits))
        return runtime

    def _tissue(self, grid: Grid) -> _Placed:
        """Grey and white matter for sure, by the position of the PET."""
        if not isdefined(self.inputs.gm):
            field = fetch_volume(self.inputs.field).data.astype(np.float64)
            points = field[priors().maps[:2].sum(axis=0) > _PRIOR]
            return lambda to_pet: binary_erosion(voxels_at(transform(to_pet, points), grid))
        grey, white = fetch_volume(self.inputs.gm), fetch_volume(self.inputs.wm)
        sigma = _BLUR_MM / FWHM_PER_SIGMA / grey.grid.voxel_size
        within = (grey.data + white.data) * fetch_volume(self.inputs.mask).data
        blurred = Volume(gaussian_filter(np.asarray(within, np.float32), sigma), grey.affine)

        @cache
        def placed(to_pet: bytes) -> np.ndarray:
            t1w = inverse(np.frombuffer(to_pet).reshape(4, 4))
            return np.asarray(resample(blurred, grid, t1w).data > _SURELY_TISSUE)

        return lambda to_pet: placed(np.ascontiguousarray(to_pet, np.float64).tobytes())


def _key(motion: Matrix) -> bytes:
    return np.asarray(motion, np.float64).tobytes()


def _seen(image: Volume) -> np.ndarray:
    """Voxels inside the planes that were measured."""
    first, last = measured_box(image.data)
    inside = np.zeros(image.data.shape, bool)
    inside[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = True
    return inside


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return float((part & whole).sum()) / max(int(whole.sum()), 1)


def _without(image: Volume, lost: np.ndarray) -> Volume:
    return Volume(np.where(lost, np.float32(np.nan), image.data), image.affine)
