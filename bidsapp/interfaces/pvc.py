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
from bidsapp.core.alignment import Matrix, inverse, transform
from bidsapp.core.compartments import Tissues, compartments
from bidsapp.core.corrected import Corrected, correct
from bidsapp.core.pvc import Fwhm, in_voxels
from bidsapp.core.regions import Regions
from bidsapp.core.resample import resample
from bidsapp.core.resolution import measure_resolution
from bidsapp.core.sampling import FWHM_PER_SIGMA, blur
from bidsapp.core.voi import template_voxels
from bidsapp.core.volume import Grid, Volume
from bidsapp.core.warp import Warp
from bidsapp.data import VOI_NAMES, mni_grid, read_table
from bidsapp.data.atlases import Atlas, atlas, chosen_atlases
from bidsapp.errors import BadDataError
from bidsapp.interfaces.derivatives import _Placed, _Written, named
from bidsapp.interfaces.store import InputSpec, fetch, fetch_volume, keep_volume
from bidsapp.io.tsv import finite_number, write_table
from bidsapp.record import RecordPart
from bidsapp.record.codec import plain
from bidsapp.record.parts import corrected_part, not_corrected
from bidsapp.settings import Processing


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

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        tables: dict[str, Any] = {}
        try:
            found, self._results["record"] = _corrected(given)
        except BadDataError as error:
            self._results["record"] = not_corrected(str(error))
        else:
            affine = fetch_volume(given.pet).affine
            for method, image in found[VOI_ATLAS].images.items():
                key = f"pvc_{method.value}"
                self._results[key] = keep_volume(folder / f"{key}.npz", Volume(image, affine))
            tables = {one.name: _columns(found[one.name], one) for one in _atlases(given)}
        (folder / "tables.json").write_text(json.dumps(tables))
        self._results["tables"] = str(folder / "tables.json")
        return runtime


VOI_ATLAS = "Centiloid"  # its regions make the images and the ratios


class Placing:
    """Brings atlas and tissues to the grid of a PET."""

    def __init__(self, grid: Grid, given: Any) -> None:
        self.grid, self.given = grid, given
        self.to_t1w = inverse(np.array(given.t1w_to_pet))
        warp = Warp.from_arrays(fetch(given.warp))

        def to_template(points):
            return warp.to_template(transform(self.to_t1w, points))

        self.template_voxel = template_voxels(grid, mni_grid(2), to_template)

    def on(self, regions: Regions) -> Regions:
        """Regions of the template on the grid of the PET."""
        return regions.on(self.grid.shape, self.template_voxel)

    def tissues(self) -> Tissues:
        """Fractions of tissue in the voxels of the PET, and where cerebellum and brainstem are."""
        given = self.given
        grey, white, fluid = (
            fractions(fetch_volume(path), self.grid, self.to_t1w)
            for path in (given.gm, given.wm, given.csf)
        )
        gaain = self.on(atlas(VOI_ATLAS).regions)
        cerebellum = self._mask(gaain, "wc")
        stem = (self._mask(gaain, "wcb") | self._mask(gaain, "pons")) & ~cerebellum
        return Tissues(grey, white, fluid, cerebellum, stem)

    def _mask(self, regions: Regions, name: str) -> np.ndarray:
        mask = np.zeros(self.grid.shape, bool)
        mask.reshape(-1)[regions.of(VOI_NAMES.index(name))] = True
        return mask


def fractions(tissue: Volume, grid: Grid, to_tissue: Matrix) -> np.ndarray:
    """Part of every voxel of ``grid`` that a tissue fills.

    The map is read after a Gaussian of the variance that the larger voxel has over the smaller
    one: the mean over the voxel, but for its corners.
    """
    larger = (grid.voxel_size**2).mean() - (tissue.grid.voxel_size**2).mean()
    width = float(np.sqrt(max(larger, 0.0) / 12)) * FWHM_PER_SIGMA
    found = resample(blur(tissue, width) if width else tissue, grid, to_tissue)
    return np.clip(np.nan_to_num(found.data), 0, 1)


def _resolution(pet: Volume, given: Any) -> tuple[Fwhm, str]:
    """FWHMs along the voxel axes, mm: those of the user, else measured in the image."""
    if given.processing.psf_mm is not None:
        return given.processing.psf_mm, "given"
    tissue = [fetch_volume(path) for path in (given.gm, given.wm, given.csf)]
    widths = measure_resolution(
        pet,
        np.stack([one.data for one in tissue]),
        fetch_volume(given.mask).data,
        fetch(given.regions),
        tissue[0].affine,
        np.array(given.t1w_to_pet),
    )
    return widths, "measured"


def _atlases(given: Any) -> tuple[Atlas, ...]:
    return chosen_atlases(given.processing)


def _corrected(given: Any) -> tuple[dict[str, Corrected], RecordPart]:
    """Result by atlas, and its part of the record."""
    pet = fetch_volume(given.pet)
    placed = Placing(pet.grid, given)
    tissues = placed.tissues()
    psf_mm, source = _resolution(pet, given)
    fwhm_vox = in_voxels(psf_mm, pet.grid.voxel_size)
    found = {}
    for one in _atlases(given):
        head = compartments(placed.on(one.regions), placed.on(one.measured), tissues)
        found[one.name] = correct(pet.data, head, fwhm_vox, given.processing.pvc)
    names = atlas(VOI_ATLAS).names
    return found, corrected_part(found[VOI_ATLAS], names, psf_mm, source)


def _columns(found: Corrected, one: Atlas) -> dict[str, Any]:
    index = [row.index for row in one.rows] + [None] * len(one.composites)
    numbers = {
        key: [finite_number(value) for value in column] for key, column in found.columns.items()
    }
    return {"index": index, "name": list(one.names)} | numbers


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

    def _run_interface(self, runtime):
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
