"""Nodes that correct a PET for the partial volume effect, and write what they found."""

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
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.volume import Volume
from bidsapp.data import read_table
from bidsapp.data.atlases import chosen_atlases
from bidsapp.errors import BadDataError
from bidsapp.interfaces.derivatives import _Placed, _Written, named
from bidsapp.interfaces.store import InputSpec, fetch, fetch_volume, keep_volume
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart
from bidsapp.record.codec import plain
from bidsapp.record.parts import not_corrected
from bidsapp.settings import Processing
from bidsapp.steps.correcting import VOI_ATLAS, PlacedAnatomy, corrected, corrected_columns


class CorrectInput(InputSpec):
    """Inputs of `Correct`."""

    pet = File(exists=True, mandatory=True, desc="mean PET on its native grid")
    gm = File(exists=True, mandatory=True, desc="probability of grey matter, T1w grid")
    wm = File(exists=True, mandatory=True, desc="probability of white matter, T1w grid")
    csf = File(exists=True, mandatory=True, desc="probability of cerebrospinal fluid, T1w grid")
    mask = File(exists=True, mandatory=True, desc="brain mask, T1w grid")
    regions = File(exists=True, mandatory=True, desc="masks ctx and cbl on the T1w grid")
    warp = File(exists=True, mandatory=True, desc="parameters of the warp")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")
    processing = traits.Instance(Processing, mandatory=True, desc="methods, resolution, atlases")


class CorrectOutput(TraitedSpec):
    """Outputs of `Correct`; images on the native grid."""

    tables = File(exists=True, desc="JSON: columns by atlas")
    record = traits.Instance(RecordPart, desc="its part of the record: pvc")
    pvc_rbv = File(exists=True, desc="by region-based voxel-wise correction")
    pvc_iy = File(exists=True, desc="by iterative Yang correction")
    pvc_mg = File(exists=True, desc="grey matter by the method of Mueller-Gaertner")


class Correct(SimpleInterface):
    """Partial volume correction in the regions of every atlas, on the grid of the PET."""

    input_spec, output_spec = CorrectInput, CorrectOutput

    def _run_interface(self, runtime: Any) -> Any:
        given, folder = self.inputs, Path(runtime.cwd)
        tables: dict[str, Any] = {}
        pet = fetch_volume(given.pet)
        anatomy = PlacedAnatomy(
            grey=fetch_volume(given.gm),
            white=fetch_volume(given.wm),
            fluid=fetch_volume(given.csf),
            brain=fetch_volume(given.mask).data,
            regions=fetch(given.regions),
            warp=Warp.from_arrays(fetch(given.warp)),
            to_pet=np.array(given.t1w_to_pet),
        )
        try:
            found, self._results["record"] = corrected(pet, anatomy, given.processing)
        except BadDataError as error:
            self._results["record"] = not_corrected(str(error))
        else:
            for method, image in found[VOI_ATLAS].images.items():
                key = f"pvc_{method.value}"
                self._results[key] = keep_volume(folder / f"{key}.npz", Volume(image, pet.affine))
            tables = {
                one.name: corrected_columns(found[one.name], one)
                for one in chosen_atlases(given.processing)
            }
        (folder / "tables.json").write_text(json.dumps(tables))
        self._results["tables"] = str(folder / "tables.json")
        return runtime


_SETTINGS = ("psf_mm", "psf_source", "condition", "white_matter")


class SavePvcInput(_Placed):
    """Inputs of `SavePvc`."""

    tables = File(exists=True, mandatory=True, desc="as `Correct` gives them")
    record = traits.Instance(RecordPart, mandatory=True, desc="as `Correct` gives it")
    units = traits.Str(mandatory=True, desc="units of the PET")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides columns and settings")


class SavePvcOutput(_Written):
    """Outputs of `SavePvc`."""

    record = traits.Instance(RecordPart, desc="the record with the paths of the tables")


class SavePvc(SimpleInterface):
    """Write corrected beside uncorrected uptake, one table per atlas."""

    input_spec, output_spec, _always_run = SavePvcInput, SavePvcOutput, True

    def _run_interface(self, runtime: Any) -> Any:
        given, files, written, columns = self.inputs, [], {}, {}
        for name, entry in read_table("pvc_columns").items():
            units = {"Units": given.units} if entry.get("unit") else {}
            columns[name] = {"Description": entry["Description"]} | units
        told = given.record.pvc
        settings = {name: one for name, one in plain(told).items() if name in _SETTINGS}
        for name, table in json.loads(Path(given.tables).read_text()).items():
            path = output_path(given.output_dir, "pvc", given.entities, atlas=name)
            about = {"Description": outputs()["pvc"].description, **given.sidecar}
            files.append(write_table(path, table, columns, about | {"PartialVolume": settings}))
            written[name] = path.relative_to(given.output_dir).as_posix()
        self._results["written"] = named(given.output_dir, *files)
        self._results["record"] = replace(given.record, pvc=replace(told, tables=written))
        return runtime
