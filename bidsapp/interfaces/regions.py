"""Nodes that measure a PET in the regions of atlases, and write what they found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from numpy.typing import NDArray

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.quantification.suvr import centiloid_image, ratio_image
from bidsapp.core.regions.regions import Regions
from bidsapp.data.atlases import Atlas, chosen_atlases
from bidsapp.interfaces.derivatives import _Placed, _Written, measured_or_zero, named, shown_as
from bidsapp.interfaces.store import InputSpec, fetch, fetch_volume, keep, optional
from bidsapp.io.atomic import write_json, write_lines
from bidsapp.io.nifti import save_volume
from bidsapp.io.tsv import line, write_table
from bidsapp.record import RecordPart
from bidsapp.settings import TEMPLATE_SPACE, Processing
from bidsapp.steps.measuring import (
    Scene,
    measure_atlases,
    pet_scene,
    region_dictionary,
    t1w_scene,
    template_scene,
)

# The atlas may reach a little beyond the brain of the T1w, never as far as this.


class MeasureRegionsInput(InputSpec):
    """Inputs of `MeasureRegions`."""

    pet = File(exists=True, mandatory=True, desc="PET in the space, NaN where not measured")
    space = traits.Enum(TEMPLATE_SPACE, "T1w", "pet", desc="the space it is in")
    gm = File(exists=True, desc="probability of grey matter, T1w grid")
    wm = File(exists=True, desc="probability of white matter, T1w grid")
    field = File(exists=True, desc="T1w world coordinate of every MNI voxel")
    warp = File(exists=True, desc="parameters of the warp")
    mask = File(exists=True, desc="brain mask, T1w grid")
    t1w_to_pet = traits.List(desc="4 x 4, RAS mm")
    processing = traits.Instance(Processing, mandatory=True, desc="atlases and references")
    lines = traits.Dict(mandatory=True, desc="Centiloid slope, intercept by reference region")


class MeasureRegionsOutput(TraitedSpec):
    """Outputs of `MeasureRegions`."""

    tables = File(exists=True, desc="JSON: columns by atlas, uptake by reference region")
    masks = File(desc="regions in the space, when they are asked for")
    references = traits.Dict(desc="mean uptake by reference region, None where not measured")
    record = traits.Instance(RecordPart, desc="its part of the record: reference_uptake")


class MeasureRegions(SimpleInterface):
    """Uptake in every region of every atlas of the run, in one space."""

    input_spec, output_spec = MeasureRegionsInput, MeasureRegionsOutput

    def _run_interface(self, runtime: Any) -> Any:
        pet, processing = fetch_volume(self.inputs.pet), self.inputs.processing
        scene = _scene(self.inputs, pet.grid)
        lines = {name: tuple(line) for name, line in self.inputs.lines.items()}
        found = measure_atlases(pet.data, scene, processing=processing, lines=lines)
        folder = Path(runtime.cwd)
        uptake = {name: asdict(one) for name, one in found.references.items()}
        content = {"columns": found.columns, "references": uptake}
        (folder / "tables.json").write_text(json.dumps(content))
        self._results["tables"] = str(folder / "tables.json")
        self._results["references"] = {name: one.mean for name, one in found.references.items()}
        self._results["record"] = RecordPart(reference_uptake=found.references)
        if processing.write_masks:
            regions = {one.name: scene.place(one.regions) for one in chosen_atlases(processing)}
            if (threshold := processing.voi_threshold) is not None:
                regions = {name: one.at_least(threshold) for name, one in regions.items()}
            arrays = {"affine": pet.affine, **_arrays(regions)}
            self._results["masks"] = keep(folder / "masks.npz", arrays)
        return runtime


def _scene(given: Any, grid: Grid) -> Scene:
    """The space of a PET: how the atlases and the tissues of the T1w come into it."""
    names = {"GM": "gm", "WM": "wm"}
    maps = {k: fetch_volume(p) for k, n in names.items() if (p := optional(getattr(given, n)))}
    if given.space == TEMPLATE_SPACE:
        if not maps:
            return template_scene(grid, {})
        field = fetch_volume(given.field).data
        return template_scene(grid, {k: sample(m, field) for k, m in maps.items()})
    warp = Warp.from_arrays(fetch(given.warp))
    if given.space == "T1w":
        tissues = {k: m.data for k, m in maps.items()}
        return t1w_scene(grid, tissues, fetch_volume(given.mask).data, warp)
    return pet_scene(grid, maps, warp, np.array(given.t1w_to_pet))


def _arrays(regions: Mapping[str, Regions]) -> dict[str, NDArray[Any]]:
    """Plain arrays of several sets of regions, for storage."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, one in regions.items():
        arrays |= {f"{name}_voxels": one.voxels, f"{name}_starts": one.starts}
        if one.weights is not None:
            arrays[f"{name}_weights"] = one.weights
    return arrays | {"shape": np.array(next(iter(regions.values())).shape)}


def _stored(arrays: Mapping[str, NDArray[Any]], name: str) -> Regions:
    x, y, z = arrays["shape"].tolist()
    weights = arrays.get(f"{name}_weights")
    return Regions((x, y, z), arrays[f"{name}_voxels"], arrays[f"{name}_starts"], weights)


class SaveRegionsInput(_Placed):
    """Inputs of `SaveRegions`."""

    tables = File(exists=True, mandatory=True, desc="as `MeasureRegions` gives them")
    masks = File(exists=True, desc="as `MeasureRegions` gives them")
    t1w_entities = traits.Dict(desc="entities of the T1w, for masks in its space")
    space = traits.Str(mandatory=True, desc="the space of the tables")
    processing = traits.Instance(Processing, mandatory=True, desc="atlases and references")
    units = traits.Str(mandatory=True, desc="units of the PET")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides the columns")
    mask_sidecar = traits.Dict(mandatory=True, desc="JSON content of the masks")


class SaveRegions(SimpleInterface):
    """Write a table per atlas with its dictionary, and the masks: the same rows for every scan."""

    input_spec, output_spec, _always_run = SaveRegionsInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        tables = json.loads(Path(given.tables).read_text())["columns"]
        described = region_dictionary(given.processing, given.units)
        space = {} if given.space == TEMPLATE_SPACE else {"space": given.space}
        atlases, files = chosen_atlases(given.processing), []
        for one in atlases:
            path = output_path(given.output_dir, "vois", given.entities, atlas=one.name, **space)
            files.append(write_table(path, tables[one.name], described, self._sidecar(one)))
        files += self._save_masks(atlases)
        self._results["written"] = named(given.output_dir, *files)
        return runtime

    def _sidecar(self, one: Atlas) -> dict[str, Any]:
        notes = {"Notes": list(one.notes)} if one.notes else {}
        about = {"Description": f"Uptake in the regions of {one.title}", "Atlas": one.name}
        return about | {"Space": self.inputs.space} | notes | self.inputs.sidecar

    def _save_masks(self, atlases: Sequence[Atlas]) -> list[Path]:
        if (path := optional(self.inputs.masks)) is None:
            return []
        arrays, files = fetch(path), []
        for one in atlases:
            image, regions = self._mask_path(one), _stored(arrays, one.name)
            overlap = one.regions.overlapping
            index = [row.index for row in one.rows]
            data = regions.maps() if overlap else regions.labelled(index)
            files.append(save_volume(image, Volume(data, arrays["affine"])))
            names = {"LabelMap": [row.name for row in one.rows]} if overlap else {}
            write_json(sidecar_path(image), self._mask_sidecar(one) | names)
            if not overlap:
                rows = [("index", "name"), *((row.index, row.name) for row in one.rows)]
                table = sidecar_path(image).with_suffix(".tsv")
                files.append(write_lines(table, map(line, rows)))
        return files

    def _mask_path(self, one: Atlas) -> Path:
        """Masks in the space of the PET lie beside it, others with the T1w."""
        given = self.inputs
        extra: dict[str, str] = {}
        kind = "probseg" if one.regions.overlapping else "dseg"
        if given.space == "pet":
            key, entities = f"pet_{kind}", given.entities
        elif given.space == "T1w":
            key, entities = f"t1w_{kind}", given.t1w_entities
        else:
            extra = {"space": TEMPLATE_SPACE, "res": "2"}
            own = given.t1w_entities
            key, entities = (f"t1w_{kind}", own) if own else (f"pet_{kind}", given.entities)
        return output_path(given.output_dir, key, entities, atlas=one.name, **extra)

    def _mask_sidecar(self, one: Atlas) -> dict[str, Any]:
        content = {"Description": f"Regions of {one.title}", "Atlas": one.name}
        if self.inputs.space == TEMPLATE_SPACE:
            content["Resolution"] = "2 mm isotropic, the grid of the GAAIN volumes of interest"
        return content | self.inputs.mask_sidecar


class SaveRatiosInput(_Placed):
    """Inputs of `SaveRatios`."""

    pet = File(exists=True, mandatory=True, desc="PET in the space, NaN where not measured")
    references = traits.Dict(mandatory=True, desc="mean uptake by reference region")
    lines = traits.Dict(mandatory=True, desc="Centiloid slope, intercept by reference region")
    space = traits.Str(mandatory=True, desc="the space of the PET")
    skip = traits.List(traits.Str, desc="reference regions whose ratio image others write")
    sidecar = traits.Dict(mandatory=True, desc="JSON content but units")


class SaveRatios(SimpleInterface):
    """Write ratio images and, where there is an equation, Centiloid images, one per reference."""

    input_spec, output_spec, _always_run = SaveRatiosInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        pet, given, files = fetch_volume(self.inputs.pet), self.inputs, []
        for name, mean in given.references.items():
            if mean is None or mean <= 0:
                continue
            ratio = ratio_image(pet.data, mean)
            images = {} if name in given.skip else {"suvr": ratio}
            if name in given.lines:
                images["cl"] = centiloid_image(ratio, *given.lines[name])
            files += [self._save(k, name, Volume(data, pet.affine)) for k, data in images.items()]
        self._results["written"] = named(given.output_dir, *files)
        return runtime

    def _save(self, kind: str, reference: str, image: Volume) -> Path:
        given = self.inputs
        space = {"pet": {}, "T1w": {"space": "T1w"}}.get(
            given.space, {"space": TEMPLATE_SPACE, "res": "2"}
        )
        path = output_path(
            given.output_dir, f"{kind}_image", given.entities, desc=f"{kind}{reference}", **space
        )
        shown = shown_as(kind, given.sidecar.get("TracerName"))
        save_volume(path, measured_or_zero(image), shown=shown)
        told = {"Description": outputs()[f"{kind}_image"].description, "ReferenceRegion": reference}
        units = {"Units": "CL" if kind == "cl" else "unitless"}
        write_json(sidecar_path(path), told | units | given.sidecar)
        return path
