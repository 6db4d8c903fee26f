"""Node that lays a PET on the template without a T1w."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.interfaces.store import InputSpec, about, fetch_volume, keep, keep_volume
from bidsapp.record import RecordPart
from bidsapp.steps.positioning import positioned_alone


class NormalisePetInput(InputSpec):
    """Inputs of `NormalisePet`."""

    pet = File(exists=True, mandatory=True, desc="PET on its native grid")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")


class NormalisePetOutput(TraitedSpec):
    """Outputs of `NormalisePet`: those of a T1w and its registration, the PET in its place."""

    field = File(exists=True, desc="PET world coordinate of every MNI voxel, and the MNI affine")
    warp = File(exists=True, desc="parameters of the warp, PET world -> template world")
    t1w_to_pet = traits.List(desc="4 x 4, the identity: field and warp are those of the PET")
    record = traits.Instance(
        RecordPart, desc="its part of the record: method, pet_only, quality numbers, flags"
    )


class NormalisePet(SimpleInterface):
    """Map between a PET and the template (`bidsapp.core.pet_only.pet_normalisation`)."""

    input_spec, output_spec = NormalisePetInput, NormalisePetOutput

    def _run_interface(self, runtime: Any) -> Any:
        with about(self.inputs.source):
            found, self._results["record"] = positioned_alone(fetch_volume(self.inputs.pet))
        folder, grid = Path(runtime.cwd), mni_grid(2)
        field = Volume(found.field, grid.affine)
        self._results["field"] = keep_volume(folder / "field.npz", field)
        self._results["warp"] = keep(folder / "warp.npz", found.warp.to_arrays())
        self._results["t1w_to_pet"] = np.eye(4).tolist()
        return runtime
