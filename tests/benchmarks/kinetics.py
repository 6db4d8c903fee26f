"""Bias and scatter of the kinetic models, and the time of images, for docs/kinetics.md.

    python tests/benchmarks/kinetics.py [--scans 100]

Studies of known parameters (tests/core/dynamic_studies.py), so that nothing has to be downloaded.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from dynamic_studies import EARLY, FULL, Tissues, schedule, tissues

from bidsapp.core.kinetics.models import fit_models
from bidsapp.core.kinetics.study import KineticStudy
from bidsapp.core.kinetics.voxelwise import srtm2_maps, srtm_maps
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.settings import KineticModel

BPND = np.array([0.1, 0.2, 0.4, 0.6, 1.0, 1.5, 2.0])
R1 = np.array([0.8, 0.65, 0.9, 1.05, 1.05, 1.2, 0.9])
T_STAR = {KineticModel.LOGAN: 30.0}
SCHEDULES = {
    "95 min": schedule((0.0, FULL)),
    "95 min, 10-min frames": schedule((0.0, [60] * 5 + [600] * 9)),
    "0-30 and 90-110 min": schedule((0.0, EARLY), (90.0, [300] * 4)),
}


def _study(made: Tissues, target: np.ndarray, reference: np.ndarray) -> KineticStudy:
    weights = frame_weights(made.start_s, made.end_s, reference, made.decay_factor)
    return KineticStudy.of(made.start_s, made.end_s, target, reference, weights)


def _dvr(made: Tissues, target: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """DVR and its standard error by every model, (2, models, regions)."""
    study = _study(made, target, reference)
    fits = fit_models(study, tuple(KineticModel), t_star_min=T_STAR)
    found = [fits.estimates[model] for model in KineticModel]
    return np.array([[one.values["DVR"] for one in found], [one.errors["DVR"] for one in found]])


def regions(n_scans: int) -> None:
    """Print the largest error of DVR over BPND 0.1 to 2."""
    names = "".join(f"{model.value:>10s}" for model in KineticModel)
    print(f"largest error of DVR, BPND 0.1-2, k2' 0.06-0.2 per min, no noise (%)\n{'':24s}{names}")
    for frames, times in SCHEDULES.items():
        worst = np.zeros(len(KineticModel))
        for k2_prime in (0.06, 0.12, 0.2):
            made = tissues(R1, BPND, k2_prime=k2_prime, frames=times)
            found, _ = _dvr(made, made.target, made.reference)
            worst = np.maximum(worst, np.abs(found / made.DVR - 1).max(axis=1))
        print(f"{frames:24s}" + "".join(f"{100 * value:10.3f}" for value in worst))
    rng = np.random.default_rng(0)
    for level in (0.01, 0.03):
        print(f"\nnoise {level:.0%} in the last frames, k2' 0.12 per min: bias, SD (%), SE/SD")
        for frames, times in SCHEDULES.items():
            made = tissues(R1, BPND, frames=times)
            found = np.array([_dvr(made, *made.noisy(level, rng)) for _ in range(n_scans)])
            values, errors = found[:, 0], found[:, 1]
            bias = 100 * np.abs(np.nanmean(values, axis=0) / made.DVR - 1).max(axis=1)
            spread = np.nanstd(values, axis=0)
            honest = np.median(np.nanmean(errors, axis=0) / spread, axis=1)
            for column in (bias, 100 * (spread / made.DVR).max(axis=1), honest):
                print(f"{frames:24s}" + "".join(f"{value:10.2f}" for value in column))


def images(n_voxels: int) -> None:
    """Print the error of images, and the time of a brain in 60 frames."""
    bpnd, r1 = np.array([0.1, 0.2, 0.4, 0.6, 1.0]), np.array([1.05, 0.65, 0.9, 1.05, 1.05])
    made, rng = tissues(r1, bpnd), np.random.default_rng(0)
    study = _study(made, made.target, made.reference)
    for level in (0.05, 0.1, 0.2):
        voxels = np.concatenate([made.noisy(level, rng)[0] for _ in range(n_voxels)])
        maps = {"srtm": srtm_maps(study, voxels), "srtm2": srtm2_maps(study, voxels, 0.12)}
        for name, one in maps.items():
            dvr = one.DVR.reshape(-1, len(bpnd))
            bias = 100 * (np.nanmean(dvr, axis=0) / made.DVR - 1)
            spread = 100 * np.nanstd(dvr, axis=0) / made.DVR
            print(
                f"voxels, noise {level:.0%}, {name:5s} bias {np.abs(bias).max():.2f} %, "
                f"SD {spread.max():.1f} %, not determined {100 * np.isnan(dvr).mean():.1f} %"
            )
    frames = schedule((0.0, [10] * 6 + [20] * 6 + [60] * 12 + [120] * 18 + [150] * 18))
    made = tissues([1.05], [0.4], frames=frames)
    voxels = np.tile(made.noisy(0.1, rng)[0].astype(np.float32), (270_000, 1))
    study = _study(made, made.target, made.reference)
    begin = time.process_time()
    srtm_maps(study, voxels)
    print(f"SRTM in 270 000 voxels x 60 frames: {time.process_time() - begin:.1f} s of one core")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=100)
    options = parser.parse_args()
    regions(options.scans)
    images(20 * options.scans)
