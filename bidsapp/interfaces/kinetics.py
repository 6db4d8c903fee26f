"""Nodes that fit reference-tissue models to a dynamic PET, and write what they found."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.core.kinetics.models import Fits, fit_models
from bidsapp.core.kinetics.study import Study, frames_until
from bidsapp.core.kinetics.voxelwise import srtm2_maps, srtm_maps
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.core.regions import region_means
from bidsapp.core.resample import sample
from bidsapp.core.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.kinetics import (
    MAPS,
    VOXELWISE,
    dynamic_rule,
    kinpar_columns,
    kinpar_tables,
    study_rows,
    t_star_min,
)
from bidsapp.data.reference_regions import chosen_references
from bidsapp.errors import BadDataError
from bidsapp.interfaces.derivatives import _Placed, _Written, named
from bidsapp.interfaces.store import InputSpec, fetch, fetch_volume, keep_volume, optional
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart
from bidsapp.record.codec import plain
from bidsapp.record.parts import failed_fit, fitted, not_fitted
from bidsapp.settings import KineticModel, Processing
from bidsapp.steps.measuring import Scene, placed_reference


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

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        stored, processing, tables = fetch(given.tacs), given.processing, {}
        refusal = _refusal(stored, processing)
        if refusal is None:
            try:
                study, frames = _study(stored, given)
            except BadDataError as error:
                record = failed_fit(str(error))
            else:
                fits = fit_models(
                    study,
                    processing.kinetics,
                    t_star_min=t_star_min(processing),
                    k2_prime=processing.k2_prime_per_min,
                )
                rows = study_rows(processing)
                tables = kinpar_tables(fits, study, rows)
                record = fitted(fits, study, rows, processing)
                for key, image in _maps(study, frames, fits).items():
                    self._results[key] = keep_volume(folder / f"{key}.npz", image)
        else:
            record = not_fitted(refusal)
        self._results["record"] = record
        (folder / "tables.json").write_text(json.dumps(tables))
        self._results["tables"] = str(folder / "tables.json")
        return runtime


def _reference_curve(frames: np.ndarray, given: Any) -> np.ndarray:
    """Mean of the reference region in every frame, (T,)."""
    maps = {key: optional(path) for key, path in (("GM", given.gm), ("WM", given.wm))}
    field = fetch_volume(given.field).data
    tissues = {key: sample(fetch_volume(path), field) for key, path in maps.items() if path}
    scene = Scene(mni_grid(2), lambda regions: regions, tissues)
    wanted = given.processing.kinetics_reference
    chosen = {one.name: one for one in chosen_references(given.processing)}[wanted]
    region = placed_reference(chosen, scene)
    return np.array([region_means(frame, region)[0] for frame in frames])


def _refusal(stored: Mapping[str, np.ndarray], processing: Processing) -> str | None:
    """Why the frames at hand (a part may be lost) are not dynamic enough, or None."""
    start, end = stored["frame_start_s"], stored["frame_end_s"]
    try:
        used = frames_until(end, processing.t_end_min)
    except BadDataError as error:
        return str(error)
    return dynamic_refusal(start[used], end[used], dynamic_rule())


def _study(stored: Mapping[str, np.ndarray], given: Any) -> tuple[Study, np.ndarray]:
    """Curves of all regions beside that of the reference region, and the frames of the study."""
    t_end, frames = given.processing.t_end_min, np.load(given.frames, mmap_mode="r")
    start, end = stored["frame_start_s"], stored["frame_end_s"]
    curves = np.concatenate([stored[one.name] for one in chosen_atlases(given.processing)])
    head = np.array([np.nanmean(frame, dtype=np.float64) for frame in frames])
    weights = frame_weights(start, end, head, stored["decay_factor"])
    reference = _reference_curve(frames, given)
    study = Study.of(start, end, curves, reference, weights, t_end_min=t_end)
    return study, frames[frames_until(end, t_end)]


def _maps(study: Study, frames: np.ndarray, fits: Fits) -> dict[str, Volume]:
    """Parametric images by key; none of a model that gave nothing."""
    inside = np.isfinite(frames).all(axis=0)
    voxels = np.ascontiguousarray(frames[:, inside].T)
    images = {}
    for model in VOXELWISE:
        if model not in fits.estimates:
            continue
        if model is KineticModel.SRTM:
            maps = srtm_maps(study, voxels)
        else:
            maps = srtm2_maps(study, voxels, fits.k2_prime)
        for name in MAPS:
            image = np.full(inside.shape, np.nan, np.float32)
            image[inside] = getattr(maps, name)
            images[f"{model.value}_{name.lower()}"] = Volume(image, mni_grid(2).affine)
    return images


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

    def _run_interface(self, runtime):
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
