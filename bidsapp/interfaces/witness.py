"""Node that asks what the Centiloid would be at the other position of the PET."""

from __future__ import annotations

from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.frames.stills import sample_stills
from bidsapp.core.grid.alignment import transform
from bidsapp.core.quality import position_findings
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.quantification.scale import Scale
from bidsapp.data import TARGET, read_table, vois
from bidsapp.interfaces.store import InputSpec, fetch_stills, fetch_volume
from bidsapp.record import RecordPart


class BothPositionsInput(InputSpec):
    """Inputs of `BothPositions`."""

    stills = File(exists=True, mandatory=True, desc="PET, one image per position of the head")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    by_method = traits.Dict(mandatory=True, desc="4 x 4 of each method, T1w -> PET, RAS mm")
    scale = traits.Instance(Scale, mandatory=True, desc="equations that belong to the scan")


class BothPositionsOutput(TraitedSpec):
    """Outputs of `BothPositions`."""

    record = traits.Instance(
        RecordPart, desc="its part of the record: the Centiloid by each method, flags"
    )


class BothPositions(SimpleInterface):
    """Centiloid by each of the two registrations, from the voxels of the two volumes alone."""

    input_spec, output_spec = BothPositionsInput, BothPositionsOutput

    def _run_interface(self, runtime: Any) -> Any:
        scale, masks = self.inputs.scale, vois(2)
        field, stills = fetch_volume(self.inputs.field).data, fetch_stills(self.inputs.stills)
        equation = scale.equations.get(scale.main)
        found: dict[str, float | None] = {"nmi": None, "model": None}
        for method in found if equation else ():
            matrix = np.array(self.inputs.by_method[method])
            means = []
            for voi in (TARGET, scale.main):
                uptake = sample_stills(stills, transform(matrix, field[masks[voi]].astype(float)))
                known = uptake[np.isfinite(uptake)].astype(np.float64)
                means.append(float(known.mean()) if known.size else 0.0)
            if means[1] > 0:
                found[method] = centiloid(means[0] / means[1], equation)
        limit = read_table("limits")["centiloid_by_position"]["flag"]
        findings = position_findings(found["nmi"], found["model"], limit)
        self._results["record"] = RecordPart(
            qc={f"centiloid_{method}": value for method, value in found.items()}, flags=findings
        )
        return runtime
