"""Node that looks for damage in the raw frames of a PET, where the brain is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bidsapp.core.frames.stills import mean_at_reference
from bidsapp.interfaces.store import (
    InputSpec,
    about,
    fetch_stills,
    fetch_volume,
    keep_stills,
    keep_volume,
)
from bidsapp.io.nifti import read_frames
from bidsapp.record import RecordPart
from bidsapp.steps.inspecting import inspected, tissue_of_t1w, tissue_of_template


class InspectInput(InputSpec):
    """Inputs of `Inspect`; ``gm``, ``wm`` and ``mask`` on the T1w grid, none without a T1w."""

    pet = InputMultiObject(File(exists=True), mandatory=True, desc="files of the raw PET, NIfTI")
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

    def _run_interface(self, runtime: Any) -> Any:
        given, folder = self.inputs, Path(runtime.cwd)
        mean, field = fetch_volume(given.mean), fetch_volume(given.field).data
        if isdefined(given.gm):
            grey, white = fetch_volume(given.gm), fetch_volume(given.wm)
            tissue = tissue_of_t1w(grey, white, fetch_volume(given.mask).data, mean.grid)
        else:
            tissue = tissue_of_template(field, mean.grid)
        with about(given.pet[0]):
            kept, self._results["record"] = inspected(
                read_frames(*given.pet),
                given.weights_s,
                given.motion[0],
                fetch_stills(given.stills),
                mean,
                tissue=tissue,
                to_pet=np.array(given.t1w_to_pet),
                field=field,
                reference=given.reference,
            )
        self._results["pet"], self._results["stills"] = given.mean, given.stills
        if kept is not None:
            self._results["pet"] = keep_volume(folder / "mean.npz", mean_at_reference(kept))
            self._results["stills"] = keep_stills(folder / "stills.npz", kept)
        return runtime
