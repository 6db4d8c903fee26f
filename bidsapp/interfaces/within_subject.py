"""Nodes of the within-subject template: each visit by itself, the template, its transforms."""

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

from bidsapp.bids.derivatives import output_path, sidecar_path
from bidsapp.core.anatomy.within_subject import (
    Visit,
    template_findings,
    template_quality,
    ventricles_ml,
    within_subject_template,
)
from bidsapp.core.grid.resample import itk_affine_text
from bidsapp.core.grid.volume import Volume
from bidsapp.data import read_table, template_mask
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.interfaces.derivatives import _described, _Written, named
from bidsapp.interfaces.store import InputSpec, fetch, keep
from bidsapp.io.atomic import write_json, write_text
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.record import RecordPart
from bidsapp.record.model import Longitudinal, TemplateVisit
from bidsapp.steps.anatomy import segment_head

_EVERY = 40  # voxel of the template brain is a landmark: 5,000 of them


class SegmentVisitInput(InputSpec):
    """Inputs of `SegmentVisit`."""

    t1w = File(exists=True, mandatory=True, desc="raw T1w, NIfTI")


class SegmentVisitOutput(TraitedSpec):
    """Outputs of `SegmentVisit`."""

    visit = File(exists=True, desc="what the template needs of it; empty when there is no head")
    told = traits.Dict(desc="volumes in ml, or the reason why it cannot be used")


class SegmentVisit(SimpleInterface):
    """Segmentation of one of several T1w; one that fails is told and stays out of the template."""

    input_spec, output_spec = SegmentVisitInput, SegmentVisitOutput

    def _run_interface(self, runtime: Any) -> Any:
        path = Path(runtime.cwd) / "visit.npz"
        try:
            t1w = load_volume(self.inputs.t1w, ndim=3)
            found = segment_head(t1w).segmentation
        except CentipetError as error:
            self._results["visit"] = keep(path, {})
            self._results["told"] = {"reason": str(error).replace(f"{self.inputs.t1w}: ", "")}
            return runtime
        self._results["visit"] = keep(
            path,
            {
                "data": found.corrected,
                "affine": t1w.affine,
                "brain": found.brain_mask,
                "landmarks": found.field[template_mask(2).data][::_EVERY].astype(np.float64),
            },
        )
        size = t1w.grid.voxel_size
        self._results["told"] = {
            "tissue_ml": found.quality["gm_ml"] + found.quality["wm_ml"],
            "ventricles_ml": ventricles_ml(found.probabilities[2], found.brain_mask, size),
        }
        return runtime


class MakeTemplateInput(InputSpec):
    """Inputs of `MakeTemplate`; one entry per visit."""

    visits = traits.List(File(exists=True), mandatory=True, desc="as `SegmentVisit` gives them")
    told = traits.List(traits.Dict, mandatory=True, desc="as `SegmentVisit` gives them")
    sources = traits.List(traits.Str, mandatory=True, desc="BIDS URIs of the T1ws")


class MakeTemplateOutput(TraitedSpec):
    """Outputs of `MakeTemplate`."""

    t1w = File(exists=True, desc="within-subject template, NIfTI")
    to_visits = traits.List(desc="4 x 4, world of the template -> of each visit; [] if left out")
    record = traits.Instance(
        RecordPart, desc="its part of the record: longitudinal, quality numbers, flags"
    )


class MakeTemplate(SimpleInterface):
    """Within-subject template of several T1w (`bidsapp.core.anatomy.within_subject`)."""

    input_spec, output_spec = MakeTemplateInput, MakeTemplateOutput

    def _run_interface(self, runtime: Any) -> Any:
        sources, told = self.inputs.sources, [dict(one) for one in self.inputs.told]
        usable = [k for k, one in enumerate(told) if "reason" not in one]
        if len(usable) < 2:
            pairs = zip(sources, told, strict=True)
            lost = [f"{Path(s).name} {one['reason']}" for s, one in pairs if "reason" in one]
            raise BadDataError(
                f"no within-subject template can be made ({'; '.join(lost)}): repair or remove "
                "this T1w, or run without --longitudinal"
            )
        stored = (fetch(self.inputs.visits[k]) for k in usable)
        visits = [Visit(Volume(v["data"], v["affine"]), v["brain"], v["landmarks"]) for v in stored]
        made = within_subject_template(visits)
        to_visits: list[list[list[float]]] = [[] for _ in told]
        for k, matrix, agreement in zip(usable, made.to_visits, made.agreement, strict=True):
            to_visits[k] = matrix.tolist()
            told[k]["agreement"] = agreement
        names = [Path(source).name for source in sources]
        quality = template_quality(told)
        flags = template_findings(dict(zip(names, told, strict=True)), read_table("limits"))
        self._results["t1w"] = str(save_volume(Path(runtime.cwd) / "template.nii.gz", made.image))
        self._results["to_visits"] = to_visits
        told_visits = tuple(TemplateVisit(**one) for one in told)
        self._results["record"] = RecordPart(
            longitudinal=Longitudinal(True, None, tuple(sources), told_visits),
            qc=quality,
            flags=flags,
        )
        return runtime


class SaveVisitsInput(InputSpec):
    """Inputs of `SaveVisits`; one entry per visit."""

    output_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    entities = traits.List(traits.Dict, mandatory=True, desc="of the raw T1ws")
    sidecars = traits.List(traits.Dict, mandatory=True, desc="JSON content besides the matrix")
    to_visits = traits.List(mandatory=True, desc="as `MakeTemplate` gives them")


class SaveVisits(SimpleInterface):
    """Write the rigid transform from each T1w to the template as ITK text."""

    input_spec, output_spec, _always_run = SaveVisitsInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        given, files = self.inputs, []
        for entities, sidecar, matrix in zip(
            given.entities, given.sidecars, given.to_visits, strict=True
        ):
            if not matrix:
                continue
            path = output_path(given.output_dir, "visit_xfm", entities)
            # Moving a T1w to the template takes points of the template to points of the T1w.
            write_text(path, itk_affine_text(np.array(matrix)))
            write_json(
                sidecar_path(path), _described("visit_xfm", sidecar | {"TemplateToT1w": matrix})
            )
            files.append(path)
        self._results["written"] = named(given.output_dir, *files)
        return runtime
