"""Nodes on the PET: mean over the window, position relative to the T1w, resampling."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.frames.stills import (
    mean_at_reference,
    resample_stills,
    sample_stills,
)
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import CentipetError
from bidsapp.interfaces.store import (
    InputSpec,
    about,
    fetch,
    fetch_stills,
    fetch_volume,
    keep_stills,
    keep_volume,
    optional,
)
from bidsapp.io.nifti import affine_disagreement, read_frames
from bidsapp.record import RecordPart
from bidsapp.settings import PetToT1w
from bidsapp.steps.averaging import Part, aligned, averaged
from bidsapp.steps.positioning import head_of, positioned


class AlignFramesInput(InputSpec):
    """Inputs of `AlignFrames`; one entry per PET of the injection, the scan itself first."""

    pets = traits.List(
        traits.List(File(exists=True)), mandatory=True, desc="files of each raw PET, NIfTI"
    )
    durations_s = traits.List(traits.List(traits.Float), mandatory=True, desc="of each frame")
    starts_s = traits.List(traits.List(traits.Float), mandatory=True, desc="after injection")
    weights_s = traits.List(traits.Float, mandatory=True, desc="seconds of the scan's frames used")
    within = traits.Bool(True, usedefault=True, desc="align the frames of a PET, too")


class AlignFramesOutput(TraitedSpec):
    """Outputs of `AlignFrames`."""

    motion = traits.List(desc="per PET and frame 4 x 4: world of the reference -> of the frame")
    record = traits.Instance(
        RecordPart, desc="its part of the record: motion, quality numbers, flags"
    )


class AlignFrames(SimpleInterface):
    """Position of the head in every frame of a scan, and of others after the same injection."""

    input_spec, output_spec = AlignFramesInput, AlignFramesOutput

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        each = zip(given.pets, given.starts_s, given.durations_s, strict=True)
        scan, *others = [
            Part(Path(files[0]).name, partial(_frames, *files), starts, durations)
            for files, starts, durations in each
        ]
        with about(given.pets[0][0]):
            motion, self._results["record"] = aligned(
                scan, others, given.weights_s, within=given.within
            )
        self._results["motion"] = [[matrix.tolist() for matrix in part] for part in motion]
        return runtime


def _frames(pet: str, *more: str) -> Iterator[Volume]:
    """Frames of an image; what is wrong with them is told without its path."""
    try:
        yield from read_frames(pet, *more)
    except CentipetError as error:
        reason = str(error).replace(f"{pet}: ", "").replace(f"{Path(pet).parent}/", "")
        raise type(error)(reason) from error


class TimeAverageInput(InputSpec):
    """Inputs of `TimeAverage`."""

    pet = InputMultiObject(
        File(exists=True), mandatory=True, desc="files of the raw PET, NIfTI, 3D or 4D"
    )
    weights_s = traits.List(traits.Float, mandatory=True, desc="seconds of each frame that count")
    decay_factors = traits.List(traits.Float, desc="correction of each frame, if it needs one")
    motion = traits.List(desc="as `AlignFrames` gives it")


class TimeAverageOutput(TraitedSpec):
    """Outputs of `TimeAverage`."""

    pet = File(exists=True, desc="mean over the window, native grid, head at the reference")
    stills = File(exists=True, desc="the same, one image per position of the head")
    ends = traits.List(traits.Int, desc="planes left out at both ends of the axis of the scanner")
    record = traits.Instance(RecordPart, desc="its part of the record: field_of_view, flags")


class TimeAverage(SimpleInterface):
    """Time-weighted mean of the frames in the uptake window."""

    input_spec, output_spec = TimeAverageInput, TimeAverageOutput

    def _run_interface(self, runtime: Any) -> Any:
        weights = self.inputs.weights_s
        motion = self.inputs.motion[0] if self.inputs.motion else [np.eye(4)] * len(weights)
        files = self.inputs.pet
        with about(files[0]):
            stills, ends, self._results["record"] = averaged(
                read_frames(*files), weights, motion, optional(self.inputs.decay_factors)
            )
        self._results["ends"] = list(map(int, ends))
        folder = Path(runtime.cwd)
        self._results["pet"] = keep_volume(folder / "mean.npz", mean_at_reference(stills))
        self._results["stills"] = keep_stills(folder / "stills.npz", stills)
        return runtime


class RegisterInput(InputSpec):
    """Inputs of `Register`; images but ``pet`` on the T1w grid."""

    pet = File(exists=True, mandatory=True, desc="PET on its native grid")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")
    t1w = File(exists=True, mandatory=True, desc="bias-corrected T1w")
    mask = File(exists=True, mandatory=True, desc="brain mask")
    gm = File(exists=True, mandatory=True, desc="probability of grey matter")
    wm = File(exists=True, mandatory=True, desc="probability of white matter")
    csf = File(exists=True, mandatory=True, desc="probability of cerebrospinal fluid")
    warp = File(exists=True, mandatory=True, desc="parameters of the warp to the template")
    anatomy = traits.Enum("t1w", "template", usedefault=True, desc="what the T1w is")
    method = traits.Enum(*[method.value for method in PetToT1w], desc="which position to use")


class RegisterOutput(TraitedSpec):
    """Outputs of `Register`; matrices as nested lists, T1w world -> PET world, RAS mm."""

    t1w_to_pet = traits.List(desc="the position used")
    by_method = traits.Dict(desc="the position each method found")
    record = traits.Instance(
        RecordPart, desc="its part of the record: method, quality numbers, flags"
    )


class Register(SimpleInterface):
    """Rigid position of the PET relative to the T1w (`bidsapp.core.registration.rigid`)."""

    input_spec, output_spec = RegisterInput, RegisterOutput

    def _run_interface(self, runtime: Any) -> Any:
        tissue = [fetch_volume(getattr(self.inputs, name)).data for name in ("gm", "wm", "csf")]
        warp = Warp.from_arrays(fetch(self.inputs.warp))
        t1w, mask = fetch_volume(self.inputs.t1w), fetch_volume(self.inputs.mask).data
        with about(self.inputs.source):
            fit, self._results["record"] = positioned(
                fetch_volume(self.inputs.pet),
                head_of(t1w, np.stack(tissue), mask, warp.to_template),
                method=PetToT1w(self.inputs.method),
                anatomy=self.inputs.anatomy,
                header_apart_mm=affine_disagreement(self.inputs.source),
            )
        self._results["t1w_to_pet"] = fit.matrix.tolist()
        self._results["by_method"] = {"nmi": fit.nmi.tolist(), "model": fit.model.tolist()}
        return runtime


class PetToT1wGridInput(InputSpec):
    """Inputs of `PetToT1wGrid`."""

    stills = File(exists=True, mandatory=True, desc="PET, one image per position of the head")
    reference = File(exists=True, mandatory=True, desc="image on the T1w grid")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")


class PetToT1wGridOutput(TraitedSpec):
    """Outputs of `PetToT1wGrid`."""

    pet = File(exists=True, desc="PET on the T1w grid, NaN outside its field of view")


class PetToT1wGrid(SimpleInterface):
    """PET to the T1w grid, trilinear, from its native grid."""

    input_spec, output_spec = PetToT1wGridInput, PetToT1wGridOutput

    def _run_interface(self, runtime: Any) -> Any:
        grid = fetch_volume(self.inputs.reference).grid
        stills = fetch_stills(self.inputs.stills)
        moved = resample_stills(stills, grid, np.array(self.inputs.t1w_to_pet))
        self._results["pet"] = keep_volume(Path(runtime.cwd) / "t1w.npz", moved)
        return runtime


class PetToTemplateInput(InputSpec):
    """Inputs of `PetToTemplate`."""

    stills = File(exists=True, mandatory=True, desc="PET, one image per position of the head")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")


class PetToTemplateOutput(TraitedSpec):
    """Outputs of `PetToTemplate`."""

    pet = File(exists=True, desc="PET on the 2 mm MNI grid, NaN outside its field of view")


class PetToTemplate(SimpleInterface):
    """PET to the 2 mm MNI grid, one trilinear interpolation from its native grid."""

    input_spec, output_spec = PetToTemplateInput, PetToTemplateOutput

    def _run_interface(self, runtime: Any) -> Any:
        field = fetch_volume(self.inputs.field)
        points = transform(np.array(self.inputs.t1w_to_pet), field.data.astype(np.float64))
        warped = Volume(sample_stills(fetch_stills(self.inputs.stills), points), field.affine)
        self._results["pet"] = keep_volume(Path(runtime.cwd) / "template.npz", warped)
        return runtime
