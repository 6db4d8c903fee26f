"""Nodes that write the derivative dataset: images, transforms, tables, the record of a scan.

They always run: a file that somebody removed from the output folder comes back, although the work
folder still holds everything that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.core.grid.resample import itk_affine_text, itk_displacements
from bidsapp.core.grid.volume import Volume, known_or_zero
from bidsapp.data import read_table
from bidsapp.data.display import display_of
from bidsapp.data.tracers import tracer_from_name
from bidsapp.errors import StorageError
from bidsapp.interfaces.store import InputSpec, fetch_volume, optional
from bidsapp.io.atomic import write_json, write_text
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import save_displacements, save_volume, voxel_hash
from bidsapp.record import RecordPart, ScanRecord, write_record
from bidsapp.record.stages import completed_record


class _Placed(InputSpec):
    """Where a derivative belongs."""

    output_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    entities = traits.Dict(mandatory=True, desc="entities of the raw image")


class SaveImagesInput(DynamicTraitedSpec, _Placed):
    """Inputs of `SaveImages`: one file per key besides these."""

    sidecars = traits.Dict(mandatory=True, desc="JSON content by key")


class _Written(TraitedSpec):
    """What was written; names and no paths, whose contents nipype would hash."""

    written = traits.List(traits.Str, desc="files, relative to the dataset")


def named(output_dir: str | Path, *files: Path) -> list[str]:
    """Names of files and of the sidecars beside them, relative to the dataset."""
    both = dict.fromkeys(path for file in files for path in (file, sidecar_path(file)))
    return [path.relative_to(output_dir).as_posix() for path in both]


class SaveImages(SimpleInterface):
    """Write images under the names of the table of outputs, each with its sidecar."""

    input_spec, output_spec, _always_run = SaveImagesInput, _Written, True

    def __init__(self, keys: Iterable[str] = (), **inputs: Any) -> None:
        """Make one input per key of ``data/outputs.toml``."""
        super().__init__(**inputs)
        self._keys = tuple(keys)
        add_traits(self.inputs, self._keys)

    def _run_interface(self, runtime: Any) -> Any:
        given = [key for key in self._keys if isdefined(getattr(self.inputs, key))]
        paths = []
        for key in given:
            path = output_path(self.inputs.output_dir, key, self.inputs.entities)
            image = measured_or_zero(fetch_volume(getattr(self.inputs, key)))
            tracer = self.inputs.sidecars[key].get("TracerName")
            save_volume(path, image, shown=shown_as(key.split("_")[0], tracer))
            write_json(sidecar_path(path), _described(key, self.inputs.sidecars[key]))
            paths.append(path)
        self._results["written"] = named(self.inputs.output_dir, *paths)
        return runtime


class SaveWarpInput(_Placed):
    """Inputs of `SaveWarp`."""

    key = traits.Enum("warp", "pet_warp", usedefault=True, desc="of T1w or PET")
    field = File(exists=True, mandatory=True, desc="world coordinate there of every MNI voxel")
    sidecar = traits.Dict(mandatory=True, desc="JSON content")


class SaveWarp(SimpleInterface):
    """Write the warp to the template as ITK displacement field."""

    input_spec, output_spec, _always_run = SaveWarpInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        field = fetch_volume(self.inputs.field)
        path = output_path(self.inputs.output_dir, self.inputs.key, self.inputs.entities)
        save_displacements(path, itk_displacements(field.data, field.grid), field.affine)
        write_json(sidecar_path(path), _described(self.inputs.key, self.inputs.sidecar))
        self._results["written"] = named(self.inputs.output_dir, path)
        return runtime


class SavePositionInput(_Placed):
    """Inputs of `SavePosition`."""

    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, T1w world -> PET world, RAS mm")
    by_method = traits.Dict(mandatory=True, desc="the same by each method")
    record = traits.Instance(
        RecordPart, mandatory=True, desc="what the registration gives to the record"
    )
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides the matrices")


class SavePosition(SimpleInterface):
    """Write the rigid transform from T1w to PET as ITK text, its matrices as JSON."""

    input_spec, output_spec, _always_run = SavePositionInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        path = output_path(self.inputs.output_dir, "xfm", self.inputs.entities)
        # Moving the T1w image to the PET grid takes PET points to T1w points: the inverse.
        write_text(path, itk_affine_text(np.linalg.inv(self.inputs.t1w_to_pet)))
        found = {
            "Method": self.inputs.record.method,
            "T1wToPet": self.inputs.t1w_to_pet,
            "T1wToPetByMethod": self.inputs.by_method,
            "Quality": dict(self.inputs.record.qc),
        }
        write_json(sidecar_path(path), _described("xfm", self.inputs.sidecar | found))
        self._results["written"] = named(self.inputs.output_dir, path)
        return runtime


class SaveResultInput(InputSpec):
    """Inputs of `SaveResult`."""

    output_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    planned = traits.Instance(ScanRecord, mandatory=True, desc="record of the scan as planned")
    pet = File(exists=True, mandatory=True, desc="raw PET")
    t1w = File(exists=True, desc="raw T1w, if there is one")
    others = traits.List(File(exists=True), desc="other raw images behind it")
    parts = traits.List(
        traits.Instance(RecordPart), mandatory=True, desc="what each step gives to the record"
    )
    written = traits.List(traits.Str, mandatory=True, desc="by the nodes that must come before")


class SaveResult(SimpleInterface):
    """Complete the record of a scan: its last step, so that ``ok`` means all was written."""

    input_spec, output_spec, _always_run = SaveResultInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        raw = {"pet": self.inputs.pet, "t1w": optional(self.inputs.t1w)}
        raw |= {Path(path).name: path for path in optional(self.inputs.others) or []}
        hashes = {name: file_hash(path) for name, path in raw.items() if path}
        output_dir = Path(self.inputs.output_dir)
        try:
            outputs = {n: file_hash(output_dir / n) for n in sorted({*self.inputs.written})}
        except FileNotFoundError as error:
            raise StorageError(
                f"{error.filename}: it was removed during the run; run again"
            ) from error
        voxels = {name: voxel_hash(path) for name, path in raw.items() if path}
        record = completed_record(
            self.inputs.planned, self.inputs.parts, inputs=hashes, voxels=voxels, outputs=outputs
        )
        path = write_record(output_dir, record)
        self._results["written"] = [path.relative_to(output_dir).as_posix()]
        return runtime


def _described(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"Description": outputs()[key].description, **content}


def shown_as(kind: str, tracer_name: str | None) -> tuple[float, float] | None:
    """Values that viewers show as black and white; None leaves it to them.

    Parameters
    ----------
    kind : ``suvr``, ``cl``, or any other image
    tracer_name : in any words
    """
    if kind == "cl":
        return 0.0, read_table("display")["top_cl"]
    if kind != "suvr":
        return None
    tracer = tracer_from_name(tracer_name or "")
    return 0.0, display_of(None if tracer is None else tracer.code).top


def measured_or_zero(image: Volume) -> Volume:
    """Zero where nothing was measured, as other programs expect; the VOI table has the coverage."""
    if image.data.dtype.kind != "f":
        return image
    return Volume(known_or_zero(image.data), image.affine)
