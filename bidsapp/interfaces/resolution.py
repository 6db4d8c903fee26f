"""Node that brings the mean of the window to a resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.frames.stills import mean_at_reference
from bidsapp.core.quality import Flag, resolution_findings
from bidsapp.core.quantification.resolution import Widths, kernel_to, measure_resolution, smooth
from bidsapp.interfaces.store import (
    InputSpec,
    fetch,
    fetch_stills,
    fetch_volume,
    keep_stills,
    keep_volume,
    optional,
)
from bidsapp.record import RecordPart
from bidsapp.record.model import Smoothing


class SmoothInput(InputSpec):
    """Inputs of `Smooth`; those on the T1w grid are for measuring the resolution."""

    pet = File(exists=True, mandatory=True, desc="mean PET, native grid")
    stills = File(exists=True, mandatory=True, desc="the same, one image per position of the head")
    gm = File(exists=True, desc="probability of grey matter")
    wm = File(exists=True, desc="probability of white matter")
    csf = File(exists=True, desc="probability of cerebrospinal fluid")
    mask = File(exists=True, desc="brain mask")
    regions = File(exists=True, desc="masks ctx and cbl")
    t1w_to_pet = traits.List(desc="4 x 4, RAS mm")
    fwhm_mm = traits.Float(desc="blur to add")
    target_mm = traits.Float(desc="resolution to reach instead")
    psf_mm = traits.List(traits.Float, desc="resolution of the image, when it is known")


class SmoothOutput(TraitedSpec):
    """Outputs of `Smooth`."""

    pet = File(exists=True, desc="mean PET, native grid, smoothed")
    stills = File(exists=True, desc="the same, one image per position of the head")
    record = traits.Instance(
        RecordPart, desc="its part of the record: smoothing, quality numbers, flags"
    )


class Smooth(SimpleInterface):
    """Blur along the voxel axes: by a given width, or up to a common resolution."""

    input_spec, output_spec = SmoothInput, SmoothOutput

    def _run_interface(self, runtime: Any) -> Any:
        target, added = optional(self.inputs.target_mm), optional(self.inputs.fwhm_mm)
        own = optional(self.inputs.psf_mm)
        source = "given" if own else "measured"
        flags: tuple[Flag, ...] = ()
        if target is None:
            kernel: Widths = (added, added, added)
        else:
            own = own or list(self._measured())
            kernel = kernel_to(target, own)
            flags = resolution_findings(target, own)
        stills = fetch_stills(self.inputs.stills)
        stills = [replace(still, image=smooth(still.image, kernel)) for still in stills]
        folder = Path(runtime.cwd)
        self._results["pet"] = keep_volume(folder / "mean.npz", mean_at_reference(stills))
        self._results["stills"] = keep_stills(folder / "stills.npz", stills)
        smoothing = Smoothing(target, tuple(kernel))
        if own:
            smoothing = replace(smoothing, resolution_mm=tuple(own), resolution_source=source)
        self._results["record"] = RecordPart(smoothing=smoothing, flags=flags)
        return runtime

    def _measured(self) -> Widths:
        tissue = [fetch_volume(getattr(self.inputs, name)) for name in ("gm", "wm", "csf")]
        return measure_resolution(
            fetch_volume(self.inputs.pet),
            np.stack([one.data for one in tissue]),
            fetch_volume(self.inputs.mask).data,
            fetch(self.inputs.regions),
            tissue[0].affine,
            np.array(self.inputs.t1w_to_pet),
        )
