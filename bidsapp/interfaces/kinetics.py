"""Nodes that fit reference-tissue models to a dynamic PET, and write what they found."""

from __future__ import annotations

import json
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

from bidsapp.bids.derivatives import output_path, outputs
from bidsapp.core.grid.resample import sample
from bidsapp.data.kinetics import (
    kinpar_columns,
)
from bidsapp.interfaces.derivatives import _Placed, _Written, named
from bidsapp.interfaces.store import InputSpec, fetch, fetch_volume, keep_volume, optional
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart
from bidsapp.record.codec import plain
from bidsapp.settings import Processing
from bidsapp.steps.modelling import modelled


class FitKineticsInput(InputSpec):
    """Inputs of `FitKinetics`."""

    tacs = File(exists=True, mandatory=True, desc="curves by atlas, as `SampleFrames` gives them")
    frames = File(exists=True, mandatory=True, desc="npy, (T, X, Y, Z) on the 2 mm MNI grid")
    gm = File(exists=True, desc="probability of grey matter, T1w grid")
    wm = File(exists=True, desc="probability of white matter, T1w grid")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    processing = traits.Instance(Processing, mandatory=True, desc="models and their options")


class FitKineticsOutput(TraitedSpec):
    """Outputs of `FitKinetics`; images by the keys of the table of outputs."""

    tables = File(exists=True, desc="JSON: columns by atlas")
    record = traits.Instance(RecordPart, desc="its part of the record: kinetics, flags")
    srtm_r1 = File(exists=True, desc="delivery by SRTM")
    srtm_bpnd = File(exists=True, desc="binding potential by SRTM")
    srtm_dvr = File(exists=True, desc="distribution volume ratio by SRTM")
    srtm2_r1 = File(exists=True, desc="delivery by SRTM2")
    srtm2_bpnd = File(exists=True, desc="binding potential by SRTM2")
    srtm2_dvr = File(exists=True, desc="distribution volume ratio by SRTM2")


class FitKinetics(SimpleInterface):
    """Reference-tissue models in all regions of all atlases, and SRTM in every voxel."""

    input_spec, output_spec = FitKineticsInput, FitKineticsOutput

    def _run_interface(self, runtime: Any) -> Any:
        given, folder = self.inputs, Path(runtime.cwd)
        field = fetch_volume(given.field).data
        maps = {key: optional(path) for key, path in (("GM", given.gm), ("WM", given.wm))}
        tissues = {key: sample(fetch_volume(path), field) for key, path in maps.items() if path}
        frames = np.load(given.frames, mmap_mode="r")
        found = modelled(fetch(given.tacs), frames, tissues, given.processing)
        for key, image in found.images.items():
            self._results[key] = keep_volume(folder / f"{key}.npz", image)
        self._results["record"] = found.part
        (folder / "tables.json").write_text(json.dumps(found.tables))
        self._results["tables"] = str(folder / "tables.json")
        return runtime


# What the record alone says of the fit.
_OWN = ("done", "reason", "tables")


class SaveKineticsInput(_Placed):
    """Inputs of `SaveKinetics`."""

    tables = File(exists=True, mandatory=True, desc="as `FitKinetics` gives them")
    record = traits.Instance(RecordPart, mandatory=True, desc="as `FitKinetics` gives it")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides columns and models")


class SaveKineticsOutput(_Written):
    """Outputs of `SaveKinetics`."""

    record = traits.Instance(RecordPart, desc="the record with the paths of the tables")


class SaveKinetics(SimpleInterface):
    """Write the kinetic parameters, one table per atlas; none when nothing was fitted."""

    input_spec, output_spec, _always_run = SaveKineticsInput, SaveKineticsOutput, True

    def _run_interface(self, runtime: Any) -> Any:
        given, columns, files, written = self.inputs, kinpar_columns(), [], {}
        told = given.record.kinetics
        about_fit = {name: one for name, one in plain(told).items() if name not in _OWN}
        for atlas, table in json.loads(Path(given.tables).read_text()).items():
            path = output_path(given.output_dir, "kinpar", given.entities, atlas=atlas)
            about = {"Description": outputs()["kinpar"].description, **given.sidecar}
            files.append(write_table(path, table, columns, about | {"Kinetics": about_fit}))
            written[atlas] = path.relative_to(given.output_dir).as_posix()
        self._results["written"] = named(given.output_dir, *files)
        kinetics = replace(told, tables=written)
        self._results["record"] = replace(given.record, kinetics=kinetics)
        return runtime
