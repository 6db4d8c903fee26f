"""How long a dynamic study takes, and how much memory: the numbers of docs/time.md.

    python tests/benchmarks/dynamic.py BIDS_DIR [--participant LABEL] [--nprocs N] [--frames N]

Makes a study of 60 frames of 128 x 128 x 96 voxels over 112 minutes from the PET of one participant
of ``BIDS_DIR`` (its uptake follows a rising and falling curve, the head drifts by 3 mm, noise grows
as frames get shorter), and runs the app on it. Prints wall time, processor time and peak memory of
the process tree, and how far the positions of the head found lie from the true ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from known_heads import frame_mean
from run_time import CENTIPET, measure

from bidsapp.bids.layout import read_dataset
from bidsapp.core.grid.alignment import Matrix, displacement, inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.volume import Grid
from bidsapp.io.nifti import load_volume
from bidsapp.settings import Filters

SHAPE = (128, 128, 96)
DURATION_S = np.repeat([5, 10, 20, 30, 60, 120, 180, 240, 300.0], [4, 4, 6, 6, 10, 10, 8, 8, 4])
DRIFT_MM, DRIFT_DEG = 3.0, 2.0


def drift(share: float, centre: np.ndarray) -> Matrix:
    """Position of the head after ``share`` of the study."""
    turn = np.radians(DRIFT_DEG) * share
    return rigid_matrix([DRIFT_MM * share, -DRIFT_MM * share / 2, 0, 0, turn, turn / 2], centre)


def make_study(bids_dir: Path, label: str, made: Path, n_frames: int) -> list[Matrix]:
    """Write the dataset of one person; return the true positions, frame by frame."""
    dataset = read_dataset(bids_dir, Filters(participant=(label,)))
    source, t1w = dataset.pets[0], dataset.t1ws[0]
    mean = frame_mean(load_volume(source.path))
    size = mean.grid.voxel_size
    middle = transform(mean.affine, (np.array(mean.data.shape) - 1) / 2)
    affine = mean.affine @ np.diag([*(2.0 / size), 1.0])
    affine[:3, 3] += middle - transform(affine, (np.array(SHAPE) - 1) / 2)
    grid = Grid(SHAPE, affine)
    duration = DURATION_S[:n_frames]
    start = np.cumsum(duration) - duration
    moves = [drift(when / start.max(), middle) for when in start]
    rng = np.random.default_rng(0)
    frames = np.empty((*SHAPE, len(duration)), np.int16)
    level = float(np.percentile(mean.data, 99))
    for index, (when, length) in enumerate(zip(start + duration / 2, duration, strict=True)):
        curve = (1 - np.exp(-when / 60)) * (0.5 + 1.5 * np.exp(-when / 1800))
        frame = np.nan_to_num(resample(mean, grid, inverse(moves[index])).data) * curve
        noise = rng.normal(size=SHAPE).astype(np.float32)
        frame += 0.1 * level * np.sqrt(curve * 300 / length) * noise * (frame > 0.02 * level)
        frames[..., index] = np.clip(frame / level * 6000, -3e4, 3e4)
    person = made / f"sub-{label}"
    (person / "pet").mkdir(parents=True)
    (person / "anat").mkdir()
    shutil.copy(bids_dir / "dataset_description.json", made)
    shutil.copy(t1w.path, person / "anat")
    sidecar = dataset.sidecar(source) | {
        "ScanStart": 0, "InjectionStart": 0, "FrameTimesStart": start.tolist(),
        "FrameDuration": duration.tolist(), "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": 0, "TracerName": "florbetaben",
    }  # fmt: skip
    name = f"sub-{label}_trc-FBB_pet"
    nib.Nifti1Image(frames, affine).to_filename(person / "pet" / f"{name}.nii.gz")
    (person / "pet" / f"{name}.json").write_text(json.dumps(sidecar))
    return moves


def position_errors(out: Path, label: str, moves: list[Matrix], points: np.ndarray) -> np.ndarray:
    """Distance of each position found from the true one, mm, mean over ``points``."""
    path = out / f"sub-{label}" / "pet" / f"sub-{label}_trc-FBB_desc-confounds_timeseries.json"
    record = json.loads(path.read_text())
    back = inverse(moves[record["ReferenceFrame"]])
    found = np.array(record["ReferenceToFrame"])
    return np.array([
        displacement(matrix, move @ back, points)
        for matrix, move in zip(found, moves, strict=True)
    ])  # fmt: skip


def main() -> None:
    """Make a study, run the app on it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR")
    parser.add_argument("--participant", metavar="LABEL", help="default: the first one")
    parser.add_argument("--nprocs", type=int, default=2, metavar="N")
    parser.add_argument("--frames", type=int, default=len(DURATION_S), metavar="N")
    options = parser.parse_args()
    label = options.participant or min(
        path.name.removeprefix("sub-") for path in options.bids_dir.glob("sub-*")
    )
    with tempfile.TemporaryDirectory(prefix="centipet-dynamic-") as name:
        folder = Path(name)
        moves = make_study(options.bids_dir, label, folder / "bids", options.frames)
        usage = measure(
            [*CENTIPET, str(folder / "bids"), str(folder / "out"), "participant",
             "--work-dir", str(folder / "work"), "--nprocs", str(options.nprocs)]
        )  # fmt: skip
        written = sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
        t1w = load_volume(next((folder / "bids").rglob("*_T1w.nii*")))
        corners = np.array(np.meshgrid(*([-50.0, 50.0],) * 3)).reshape(3, -1).T
        points = corners + transform(t1w.affine, (np.array(t1w.data.shape) - 1) / 2)
        errors = position_errors(folder / "out", label, moves, points)
    rows = {
        "frames": options.frames,
        "wall time": f"{usage.wall_s:.1f} s",
        "processor time": f"{sum(usage.processors_s.values()):.1f} s",
        "peak memory, proportional": f"{usage.peak_proportional / 2**30:.2f} GiB",
        "written": f"{written / 2**20:.0f} MiB",
        "positions, median error": f"{np.median(errors):.2f} mm",
        "positions, largest error": f"{errors.max():.2f} mm (frame {int(errors.argmax()) + 1})",
    }
    for what, value in rows.items():
        print(f"{what:30}{value}")


if __name__ == "__main__":
    main()
