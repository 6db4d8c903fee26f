"""Nodes that fit reference-tissue models to a dynamic PET, and write what they found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.core.kinetics.models import Fits, fit_models
from bidsapp.core.kinetics.study import PARAMETERS, Study, frames_until
from bidsapp.core.kinetics.voxelwise import srtm2_maps, srtm_maps
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.core.quality import Finding
from bidsapp.core.regions import Regions, region_means
from bidsapp.core.resample import sample
from bidsapp.data import TARGET, mni_grid
from bidsapp.data.kinetics import (
    MAPS,
    VOXELWISE,
    dynamic_rule,
    kinpar_columns,
    map_keys,
    model_name,
    t_star_min,
)
from bidsapp.data.regional import Scene, chosen_atlases, chosen_references, placed_reference
from bidsapp.interfaces.derivatives import _Placed, _Written, write_json
from bidsapp.interfaces.store import about, fetch, fetch_volume, keep_volume, optional
from bidsapp.nifti import write_text
from bidsapp.settings import KineticModel, Processing
from bidsapp.volume import Volume


class FitKineticsInput(BaseInterfaceInputSpec):
    """Inputs of `FitKinetics`."""

    tacs = File(exists=True, mandatory=True, desc="curves by atlas, as `SampleFrames` gives them")
    frames = File(exists=True, mandatory=True, desc="npy, (T, X, Y, Z) on the 2 mm MNI grid")
    gm = File(exists=True, desc="probability of grey matter, T1w grid")
    wm = File(exists=True, desc="probability of white matter, T1w grid")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")
    processing = traits.Instance(Processing, mandatory=True, desc="models and their options")


class FitKineticsOutput(TraitedSpec):
    """Outputs of `FitKinetics`; images by the keys of the table of outputs."""

    tables = File(exists=True, desc="JSON: columns by atlas")
    record = traits.Dict(desc="its part of the record: kinetics, flags")
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
        stored, processing = fetch(given.tacs), given.processing
        names, curves = _stacked(stored, processing)
        start, end = stored["frame_start_s"], stored["frame_end_s"]
        with about(given.source):
            used = frames_until(end, processing.t_end_min)
            refusal = dynamic_refusal(start[used], end[used], dynamic_rule())
            if refusal is None:
                frames = np.load(given.frames, mmap_mode="r")
                reference = _reference_curve(frames, given)
                study = _study(stored, frames, curves, reference, processing.t_end_min)
                fits = fit_models(
                    study,
                    processing.kinetics,
                    t_star_min=t_star_min(processing),
                    k2_prime=processing.k2_prime_per_min,
                )
        if refusal is not None:
            tables, self._results["record"] = {}, not_fitted(refusal)
        else:
            tables = {
                name: _columns(fits, study, rows) for name, rows in _rows(names, processing).items()
            }
            self._results["record"] = _record(fits, study, names, processing)
            for key, image in _maps(study, frames[used], fits, processing).items():
                self._results[key] = keep_volume(folder / f"{key}.npz", image)
        (folder / "tables.json").write_text(json.dumps(tables))
        self._results["tables"] = str(folder / "tables.json")
        return runtime


def not_fitted(reason: str) -> dict[str, Any]:
    """Record of a scan that reference-tissue models cannot be fitted to, and why."""
    return {"kinetics": {"done": False, "reason": reason}}


def _stacked(
    stored: Mapping[str, np.ndarray], processing: Processing
) -> tuple[list[tuple[str, int | None, str]], np.ndarray]:
    """Atlas, index and name of every region of all atlases, and their curves, (R, T)."""
    names, curves = [], []
    for one in chosen_atlases(processing):
        index = [row.index for row in one.rows] + [None] * len(one.composites)
        names += [(one.name, i, name) for i, name in zip(index, one.names, strict=True)]
        curves.append(stored[one.name])
    return names, np.concatenate(curves)


def _reference_curve(frames: np.ndarray, given: Any) -> np.ndarray:
    """Mean of the reference region in every frame, (T,)."""
    maps = {key: optional(path) for key, path in (("GM", given.gm), ("WM", given.wm))}
    field = fetch_volume(given.field).data
    tissues = {key: sample(fetch_volume(path), field) for key, path in maps.items() if path}
    scene = Scene(mni_grid(2), lambda regions: regions, tissues)
    wanted = given.processing.kinetics_reference
    chosen = {one.name: one for one in chosen_references(given.processing)}[wanted]
    region: Regions = placed_reference(chosen, scene)
    return np.array([region_means(frame, region)[0] for frame in frames])


def _study(
    stored: Mapping[str, np.ndarray],
    frames: np.ndarray,
    curves: np.ndarray,
    reference: np.ndarray,
    t_end_min: float | None,
) -> Study:
    start, end = stored["frame_start_s"], stored["frame_end_s"]
    head = np.array([np.nanmean(frame, dtype=np.float64) for frame in frames])
    weights = frame_weights(start, end, head, stored["decay_factor"])
    return Study.of(start, end, curves, reference, weights, t_end_min=t_end_min)


def _rows(
    names: list[tuple[str, int | None, str]], processing: Processing
) -> dict[str, list[tuple[int, int | None, str]]]:
    """By atlas: position in the study, index and name of every region."""
    found: dict[str, list[tuple[int, int | None, str]]] = {
        one.name: [] for one in chosen_atlases(processing)
    }
    for position, (atlas, index, name) in enumerate(names):
        found[atlas].append((position, index, name))
    return found


def _columns(
    fits: Fits, study: Study, rows: list[tuple[int, int | None, str]]
) -> dict[str, list[Any]]:
    """Columns of the table of one atlas: the regions of the first model, of the second ..."""
    columns: dict[str, list[Any]] = {name: [] for name in kinpar_columns()}
    for model, found in fits.estimates.items():
        residual = _residual_percent(study, found.fitted)
        for position, index, name in rows:
            line = {"model": model_name(model), "index": index, "name": name}
            for parameter in PARAMETERS:
                line[parameter] = _number(found.values[parameter][position])
                line[f"{parameter}_se"] = _number(found.errors[parameter][position])
            line["residual_percent"] = _number(residual[position])
            for column in columns:
                columns[column].append(line[column])
    return columns


def _residual_percent(study: Study, fitted: np.ndarray) -> np.ndarray:
    used = np.isfinite(fitted).any(axis=0)
    weights = study.weights[used] / study.weights[used].sum()
    apart = ((study.target - fitted)[:, used] ** 2 @ weights) ** 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * apart / (study.target[:, used] @ weights)


def _maps(
    study: Study, frames: np.ndarray, fits: Fits, processing: Processing
) -> dict[str, Volume]:
    """Parametric images by key; none of a model without k2'."""
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
    return {key: images[key] for key in map_keys(processing) if key in images}


def _record(
    fits: Fits, study: Study, names: list[tuple[str, int | None, str]], processing: Processing
) -> dict[str, Any]:
    """Its part of the record: what was fitted how, the cortical target, what to look at."""
    target = [name for _, _, name in names].index(TARGET)
    gaps = study.timeline.gaps_min
    starts, models = t_star_min(processing), {}
    for model, found in fits.estimates.items():
        told = {"t_star_min": starts.get(model)}
        for parameter in PARAMETERS:
            told[parameter] = _number(found.values[parameter][target])
            told[f"{parameter}_se"] = _number(found.errors[parameter][target])
        models[model_name(model)] = told
    flags = [Finding("kinetics-gap", _bridged(*gap)) for gap in gaps]
    flags += [
        Finding("kinetics-model", f"{model_name(model)} gives nothing: {why}")
        for model, why in fits.problems.items()
    ]
    return {
        "kinetics": {
            "done": True,
            "reason": None,
            "reference_region": processing.kinetics_reference,
            "k2_prime_per_min": _number(fits.k2_prime),
            "k2_prime_source": "SRTM" if processing.k2_prime_per_min is None else "given",
            "n_frames": len(study.weights),
            "t_end_min": float(study.timeline.edges_min[-1]),
            "gaps_min": [list(gap) for gap in gaps],
            "region": TARGET,
            "models": models,
        },
        "flags": [{"code": flag.code, "message": flag.message} for flag in flags],
    }


def _bridged(begin_min: float, end_min: float) -> str:
    return (
        f"no PET was measured from {begin_min:.0f} to {end_min:.0f} min after injection: kinetics "
        "bridges it by exponentials, so compare DVR only with scans of the same schedule"
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class SaveKineticsInput(_Placed):
    """Inputs of `SaveKinetics`."""

    tables = File(exists=True, mandatory=True, desc="as `FitKinetics` gives them")
    record = traits.Dict(mandatory=True, desc="as `FitKinetics` gives it")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides columns and models")


class SaveKineticsOutput(_Written):
    """Outputs of `SaveKinetics`."""

    record = traits.Dict(desc="the record with the paths of the tables")


class SaveKinetics(SimpleInterface):
    """Write the kinetic parameters, one table per atlas; none when nothing was fitted."""

    input_spec, output_spec, _always_run = SaveKineticsInput, SaveKineticsOutput, True

    def _run_interface(self, runtime):
        given, columns, written = self.inputs, kinpar_columns(), {}
        told = given.record["kinetics"]
        about_fit = {key: value for key, value in told.items() if key not in ("done", "reason")}
        for atlas, table in json.loads(Path(given.tables).read_text()).items():
            rows = zip(*(table[column] for column in columns), strict=True)
            lines = [list(columns), *(map(_cell, row) for row in rows)]
            path = output_path(given.output_dir, "kinpar", given.entities, atlas=atlas)
            write_text(path, "".join("\t".join(line) + "\n" for line in lines))
            described = {"Description": outputs()["kinpar"].description, **given.sidecar}
            write_json(sidecar_path(path), described | {"Kinetics": about_fit} | columns)
            written[atlas] = path.relative_to(given.output_dir).as_posix()
        kinetics = {**told, "tables": written} if written else told
        self._results["written"] = len(written)
        self._results["record"] = {**given.record, "kinetics": kinetics}
        return runtime


def _cell(value: Any) -> str:
    return "n/a" if value is None else str(value)
