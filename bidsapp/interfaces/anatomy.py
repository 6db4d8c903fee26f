"""Nodes on the T1w: segmentation with its warp, regions in its own space, its picture in MNI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import affine_findings
from bidsapp.core.regions.voi import in_native_space
from bidsapp.data import mni_grid, read_table
from bidsapp.data.atlases import uptake_regions
from bidsapp.interfaces.store import (
    InputSpec,
    about,
    fetch,
    fetch_volume,
    keep,
    keep_volume,
    optional,
)
from bidsapp.io.nifti import affine_disagreement, load_volume
from bidsapp.record import RecordPart
from bidsapp.record.parts import intensities_part
from bidsapp.steps.anatomy import segment_head


class SegmentInput(InputSpec):
    """Inputs of `Segment`."""

    t1w = File(exists=True, mandatory=True, desc="raw T1w, NIfTI")
    source = traits.Str(desc="what to call it in messages, its path if not given")


class SegmentOutput(TraitedSpec):
    """Outputs of `Segment`, all on the T1w grid but field and warp."""

    t1w = File(exists=True, desc="bias-corrected T1w")
    mask = File(exists=True, desc="brain mask")
    gm = File(exists=True, desc="probability of grey matter")
    wm = File(exists=True, desc="probability of white matter")
    csf = File(exists=True, desc="probability of cerebrospinal fluid")
    field = File(exists=True, desc="T1w world coordinate of every MNI voxel, and the MNI affine")
    warp = File(exists=True, desc="parameters of the warp")
    record = traits.Instance(RecordPart, desc="its part of the record: quality numbers, flags")


class Segment(SimpleInterface):
    """Unified segmentation of a T1w, checked (`bidsapp.core.anatomy.normalise`)."""

    input_spec, output_spec = SegmentInput, SegmentOutput

    def _run_interface(self, runtime: Any) -> Any:
        t1w = load_volume(self.inputs.t1w, ndim=3)
        with about(optional(self.inputs.source) or self.inputs.t1w):
            checked = segment_head(t1w)
        found = checked.segmentation
        grey, white, fluid = found.probabilities
        images = {
            "t1w": found.corrected, "mask": found.brain_mask,
            "gm": grey, "wm": white, "csf": fluid,
        }  # fmt: skip
        folder = Path(runtime.cwd)
        for name, data in images.items():
            self._results[name] = keep_volume(folder / f"{name}.npz", Volume(data, t1w.affine))
        self._results["field"] = keep_volume(
            folder / "field.npz", Volume(found.field, mni_grid(2).affine)
        )
        self._results["warp"] = keep(folder / "warp.npz", found.warp.to_arrays())
        apart = affine_disagreement(self.inputs.t1w)
        limit = read_table("limits")["header_places_mm"]["flag"]
        self._results["record"] = RecordPart(
            t1w_intensities=intensities_part(found.intensities),
            qc=checked.quality,
            flags=(*checked.findings, *affine_findings(apart, limit, "T1w")),
        )
        return runtime


class NativeRegionsInput(InputSpec):
    """Inputs of `NativeRegions`."""

    mask = File(exists=True, mandatory=True, desc="brain mask, T1w grid")
    warp = File(exists=True, mandatory=True, desc="parameters of the warp")


class NativeRegionsOutput(TraitedSpec):
    """Outputs of `NativeRegions`."""

    regions = File(exists=True, desc="masks ctx and cbl on the T1w grid")


class NativeRegions(SimpleInterface):
    """Cortical target and cerebellum in the T1w's own space."""

    input_spec, output_spec = NativeRegionsInput, NativeRegionsOutput

    def _run_interface(self, runtime: Any) -> Any:
        mask = fetch_volume(self.inputs.mask)
        warp = Warp.from_arrays(fetch(self.inputs.warp))
        regions = in_native_space(
            uptake_regions(), mni_grid(2), warp.to_template, mask.data, mask.affine
        )
        self._results["regions"] = keep(Path(runtime.cwd) / "regions.npz", regions)
        return runtime


class ToTemplateInput(InputSpec):
    """Inputs of `ToTemplate`."""

    image = File(exists=True, mandatory=True, desc="image on the T1w grid")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")


class ToTemplateOutput(TraitedSpec):
    """Outputs of `ToTemplate`."""

    image = File(exists=True, desc="image on the 2 mm MNI grid, NaN outside its field of view")


class ToTemplate(SimpleInterface):
    """Image in T1w space to the 2 mm MNI grid, trilinear."""

    input_spec, output_spec = ToTemplateInput, ToTemplateOutput

    def _run_interface(self, runtime: Any) -> Any:
        field = fetch_volume(self.inputs.field)
        warped = Volume(sample(fetch_volume(self.inputs.image), field.data), field.affine)
        self._results["image"] = keep_volume(Path(runtime.cwd) / "template.npz", warped)
        return runtime
