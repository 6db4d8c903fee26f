"""Nodes on all frames of an injection: activity over time, in regions, on the template, on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.core.frames.field import box_without_ends
from bidsapp.core.frames.frames import drift_per_min, standing_out
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.resample import Box, common_box, resample, sample
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero
from bidsapp.core.quality import drift_findings, frame_findings
from bidsapp.core.regions.regions import region_means
from bidsapp.data import TARGET, VOI_NAMES, mni_grid, read_table, template_mask
from bidsapp.data.atlases import CENTILOID, chosen_atlases
from bidsapp.data.tracers import window_rule
from bidsapp.interfaces.derivatives import _Placed, _Written, named
from bidsapp.interfaces.store import InputSpec, about, fetch, fetch_volume, keep
from bidsapp.io.atomic import write_json
from bidsapp.io.nifti import read_frames, save_frames
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart
from bidsapp.record.model import Motion
from bidsapp.settings import Processing


@dataclass(frozen=True)
class Series:
    """The frames of one PET of an injection.

    Attributes
    ----------
    files : paths of the raw image; several where its frames are spread over them
    start_s, duration_s : of each frame, seconds after injection
    factors : what each frame is multiplied by to be Bq/mL, decay-corrected to the injection
    decay : what measured activity is multiplied by to be decay-corrected to the injection
    """

    files: tuple[str, ...]
    start_s: tuple[float, ...]
    duration_s: tuple[float, ...]
    factors: tuple[float, ...]
    decay: tuple[float, ...]


class _FramesInput(InputSpec):
    """All frames of an injection, and where the head lies in them."""

    series = traits.List(traits.Instance(Series), mandatory=True, desc="the scan, other parts")
    pets = traits.List(File(exists=True), mandatory=True, desc="their images, for nipype's cache")
    motion = traits.List(mandatory=True, desc="as `AlignFrames` gives it; empty for a lost part")
    ends = traits.List(traits.Int, mandatory=True, desc="planes that were not measured")


class SampleFramesInput(_FramesInput):
    """Inputs of `SampleFrames`."""

    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    processing = traits.Instance(Processing, mandatory=True, desc="atlases")


class SampleFramesOutput(TraitedSpec):
    """Outputs of `SampleFrames`; activity in Bq/mL, decay-corrected to the injection."""

    tacs = File(exists=True, desc="npz: (R, T) by atlas, frame_start_s, frame_end_s, decay_factor")
    frames = File(exists=True, desc="npy, float32 (T, X, Y, Z) on the 2 mm MNI grid, NaN outside")


class SampleFrames(SimpleInterface):
    """Every frame on the template, by one interpolation, and its means in all regions."""

    input_spec, output_spec = SampleFramesInput, SampleFramesOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder, given = Path(runtime.cwd), self.inputs
        atlases = {one.name: one.measured for one in chosen_atlases(given.processing)}
        wanted = template_mask(2).data.copy()
        for regions in atlases.values():
            wanted.reshape(-1)[regions.voxels] = True
        points = fetch_volume(given.field).data[wanted].astype(np.float64)
        points = transform(np.array(given.t1w_to_pet), points)
        order = _in_time(given.series, given.motion)
        shape = (len(order), *mni_grid(2).shape)
        frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.float32, shape)
        least = read_table("limits")["voi_coverage"]["refuse"]
        tacs = {name: np.empty((len(regions), len(order))) for name, regions in atlases.items()}
        read = _read(given.series, given.motion, given.ends, order)
        for place, frame in enumerate(read):
            image = frames[place]
            image[...] = np.nan
            image[wanted] = sample(frame.image, transform(frame.motion, points), frame.box)
            for name, regions in atlases.items():
                covered = region_means(np.isfinite(image).astype(np.float32), regions)
                means = region_means(image, regions)
                tacs[name][:, place] = np.where(covered >= least, means, np.nan)
        frames.flush()
        self._results["frames"] = str(folder / "frames.npy")
        self._results["tacs"] = keep(folder / "tacs.npz", tacs | _times(given.series, order))
        return runtime


class TellDriftInput(InputSpec):
    """Inputs of `TellDrift`."""

    tacs = File(exists=True, mandatory=True, desc="as `SampleFrames` gives it")
    used_s = traits.List(traits.Float, mandatory=True, desc="starts of the frames of the mean")
    reference = traits.Str(mandatory=True, desc="reference region of the Centiloid")
    slope = traits.Float(mandatory=True, desc="Centiloids per unit of SUVR")
    late_min = traits.Float(mandatory=True, desc="middle of the mean minus that of the window")


class TellDriftOutput(TraitedSpec):
    """Outputs of `TellDrift`."""

    record = traits.Instance(RecordPart, desc="its part of the record: quality number, flags")


class TellDrift(SimpleInterface):
    """How the Centiloid changes between the frames of the mean, and whether one stands out."""

    input_spec, output_spec = TellDriftInput, TellDriftOutput

    def _run_interface(self, runtime: Any) -> Any:
        given, stored = self.inputs, fetch(self.inputs.tacs)
        used = np.isin(stored["frame_start_s"], given.used_s)
        curves = dict(zip(VOI_NAMES, stored[CENTILOID][:, used], strict=True))
        ratios = curves[TARGET] / curves[given.reference]
        values = given.slope * ratios
        times = stored["frame_start_s"][used], stored["frame_end_s"][used]
        drift = drift_per_min(*times, values)
        tolerance_min = window_rule().tolerance_s / 60
        quality = {} if drift is None else {"centiloid_per_min": drift[0]}
        flags = drift_findings(given.late_min, drift, tolerance_min)
        if farthest := standing_out(ratios):
            number, apart = farthest
            quality["frame_apart"] = abs(apart)
            limit = read_table("limits")["frame_apart"]["flag"]
            flags += frame_findings(number + 1, len(ratios), apart, limit)
        self._results["record"] = RecordPart(qc=quality, flags=flags)
        return runtime


class SaveDynamicInput(_FramesInput, _Placed):
    """Inputs of `SaveDynamic`."""

    sidecar = traits.Dict(mandatory=True, desc="JSON content, times left out")


class SaveDynamic(SimpleInterface):
    """Write all frames, with the head at one position, on the native grid of the scan."""

    input_spec, output_spec, _always_run = SaveDynamicInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        order = _in_time(given.series, given.motion)
        path = output_path(given.output_dir, "pet_dynamic", given.entities)
        grid = next(read_frames(*given.series[0].files)).grid
        read = _read(given.series, given.motion, given.ends, order)
        times = _times(given.series, order)
        start, duration = times["frame_start_s"], times["frame_end_s"] - times["frame_start_s"]
        save_frames(path, _native(read, grid), len(order), frame_s=float(duration.mean()))
        content = {
            "FrameTimesStart": start.tolist(),
            "FrameDuration": duration.tolist(),
        }
        described = {"Description": outputs()["pet_dynamic"].description}
        write_json(sidecar_path(path), described | given.sidecar | content)
        self._results["written"] = named(given.output_dir, path)
        return runtime


class SaveTacsInput(_Placed):
    """Inputs of `SaveTacs`."""

    tacs = File(exists=True, mandatory=True, desc="as `SampleFrames` gives it")
    processing = traits.Instance(Processing, mandatory=True, desc="atlases")
    units = traits.Str("Bq/mL", usedefault=True, desc="of the curves")
    suv_factor = traits.Float(desc="SUV of 1 Bq/mL at injection, when dose and weight are known")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides the columns")


class SaveTacsOutput(_Written):
    """Outputs of `SaveTacs`."""

    record = traits.Instance(
        RecordPart, desc="its part of the record: paths of the tables by atlas"
    )


class SaveTacs(SimpleInterface):
    """Write the time-activity curves, one table per atlas, in Bq/mL and as SUV."""

    input_spec, output_spec, _always_run = SaveTacsInput, SaveTacsOutput, True

    def _run_interface(self, runtime: Any) -> Any:
        given, files = self.inputs, list[Path]()
        paths: dict[str, dict[str, str]] = {"tacs": {}, "tacs_suv": {}}
        stored = fetch(given.tacs)
        scales = {"tacs": (given.units, 1.0)}
        if isdefined(given.suv_factor):
            scales["tacs_suv"] = ("g/mL", given.suv_factor)
        for one in chosen_atlases(given.processing):
            for key, (units, scale) in scales.items():
                curves = dict(zip(one.names, scale * stored[one.name], strict=True))
                times = {"frame_start": "frame_start_s", "frame_end": "frame_end_s"}
                columns = {name: stored[array] for name, array in times.items()} | curves
                path = output_path(given.output_dir, key, given.entities, atlas=one.name)
                about = {"Description": outputs()[key].description, **given.sidecar}
                files.append(write_table(path, _known(columns), tac_columns(curves, units), about))
                paths[key][one.name] = path.relative_to(given.output_dir).as_posix()
        self._results["written"] = named(given.output_dir, *files)
        self._results["record"] = RecordPart(tacs=paths["tacs"], tacs_suv=paths["tacs_suv"])
        return runtime


class SaveMotionInput(_Placed):
    """Inputs of `SaveMotion`."""

    record = traits.Instance(RecordPart, mandatory=True, desc="as `AlignFrames` gives it")
    motion = traits.List(mandatory=True, desc="as `AlignFrames` gives it")
    sidecar = traits.Dict(mandatory=True, desc="JSON content besides columns and matrices")


class SaveMotion(SimpleInterface):
    """Write the motion of the head, a row per frame, with the matrices in its JSON."""

    input_spec, output_spec, _always_run = SaveMotionInput, _Written, True

    def _run_interface(self, runtime: Any) -> Any:
        given, columns = self.inputs, read_table("motion_columns")
        told = given.record.motion
        path = output_path(given.output_dir, "motion", given.entities)
        rows = zip(*motion_rows(told), strict=True)
        matrices = {
            "LeastCorrectedMm": told.least_corrected_mm,
            "ReferenceFrame": told.reference_frame,
            "ReferenceToFrame": _as_rows(given.motion, told.pet),
        }
        about = {"Description": outputs()["motion"].description, **given.sidecar, **matrices}
        write_table(path, dict(zip(columns, rows, strict=True)), columns, about)
        self._results["written"] = named(given.output_dir, path)
        return runtime


def tac_columns(regions: Mapping[str, Any], units: str) -> dict[str, dict[str, str]]:
    """JSON dictionary of a table of time-activity curves."""
    after = "after injection"
    columns = {
        "frame_start": {"Description": f"Start of the frame, {after}", "Units": "s"},
        "frame_end": {"Description": f"End of the frame, {after}", "Units": "s"},
    }
    mean = "Mean uptake, decay-corrected to the injection; n/a where less than half was measured"
    return columns | {name: {"Description": mean, "Units": units} for name in regions}


def motion_rows(told: Motion) -> Iterator[list[Any]]:
    """Rows of the motion table (``data/motion_columns.toml``) from the record."""
    assert told.corrected is not None and told.least_corrected_mm is not None
    for index, start in enumerate(told.frame_start_s):
        moved = told.distance_mm[index] >= told.least_corrected_mm
        yield [
            start,
            start + told.frame_duration_s[index],
            *told.translation_mm[index],
            *np.radians(told.rotation_deg[index]).tolist(),
            told.distance_mm[index],
            int(told.pet[index] != 0 or (told.corrected and moved)),
            int(told.borrowed[index]),
            told.pet[index],
        ]


def _in_time(series: list[Series], motion: list[Any]) -> list[tuple[int, int]]:
    """(PET, frame) of all frames in the order of time, without those of lost parts."""
    parts = sorted(range(len(series)), key=lambda number: series[number].start_s[0])
    return [(number, index) for number in parts for index in range(len(motion[number]))]


@dataclass(frozen=True)
class _Frame:
    """Activity of a frame, the part of it that was measured, and reference -> frame."""

    image: Volume
    box: Box
    motion: np.ndarray


def _read(
    series: list[Series], motion: list[Any], ends: list[int], order: list[tuple[int, int]]
) -> Iterator[_Frame]:
    """Read every frame in the order of time."""
    for number in dict.fromkeys(number for number, _ in order):
        part = series[number]
        with about(part.files[0]):
            # of all frames: before the tracer arrives there is nothing to tell it by
            box = common_box(frame.data for frame in read_frames(*part.files))
            for index, frame in enumerate(read_frames(*part.files)):
                if index == 0 and number == 0:  # other parts may come from another scanner
                    box = box_without_ends(frame, box, (ends[0], ends[1]))
                activity = np.asarray(frame.data, np.float32) * np.float32(part.factors[index])
                matrix = np.array(motion[number][index])
                yield _Frame(Volume(activity, frame.affine), box, matrix)


def _native(frames: Iterator[_Frame], grid: Grid) -> Iterator[Volume]:
    """Frames on the grid of the scan, the head at the reference; 0 where not measured."""
    for frame in frames:
        own = frame.image.grid
        same = own.shape == grid.shape and np.array_equal(own.affine, grid.affine)
        still = same and np.array_equal(frame.motion, np.eye(4))
        image = frame.image if still else resample(frame.image, grid, frame.motion, frame.box)
        yield Volume(known_or_zero(image.data), grid.affine)


def _times(series: list[Series], order: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    start = np.array([series[number].start_s[index] for number, index in order])
    length = np.array([series[number].duration_s[index] for number, index in order])
    decay = np.array([series[number].decay[index] for number, index in order])
    return {"frame_start_s": start, "frame_end_s": start + length, "decay_factor": decay}


def _as_rows(motion: list[Any], pets: Sequence[int]) -> list[Any]:
    """Matrices in the order of the rows of the motion table."""
    left = [iter(part) for part in motion]
    return [next(left[number]) for number in pets]


def _known(columns: Mapping[str, np.ndarray]) -> dict[str, list[float | None]]:
    """Columns for a table: what was not measured is None."""
    return {
        name: [None if np.isnan(value) else value for value in values.tolist()]
        for name, values in columns.items()
    }
