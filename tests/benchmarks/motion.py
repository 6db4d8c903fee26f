"""How well head motion between frames is found and undone: the numbers of docs/time.md.

    python tests/benchmarks/motion.py BIDS_DIR [--participant LABEL ...] [--moves N]

Takes the scans of ``BIDS_DIR`` that have several frames, moves the head in every frame rigidly by a
known motion (growing from 0 to 6 mm and 0 to 5 degrees over the frames, directions by chance), and
runs what the app runs: alignment of the frames, mean, position on the T1w, resampling, Centiloid.
Prints, per scan, how far the positions found lie from the true ones (mean over the head), and the
Centiloid without motion, with motion left alone, and with motion undone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from known_heads import registration_head
from scipy.ndimage import affine_transform

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.plan import ScanPlan
from bidsapp.bids.planning import make_plan
from bidsapp.core.anatomy.segment import Segmentation, segment
from bidsapp.core.frames.position_means import mean_at_points, mean_at_reference, mean_per_position
from bidsapp.core.grid.alignment import Matrix, displacement, inverse, rigid_matrix, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.registration.motion import align_frames
from bidsapp.core.registration.rigid import register
from bidsapp.data import priors, vois
from bidsapp.data.tracers import tracers
from bidsapp.io.nifti import load_volume
from bidsapp.settings import Filters, Processing

LARGEST_MM, LARGEST_DEG = 6.0, 5.0


@dataclass(frozen=True)
class Outcome:
    """One scan, moved once: errors in mm, Centiloids."""

    scan: str
    moved_mm: float
    worst_mm: float
    still: float
    left_alone: float
    undone: float


class Person:
    """A segmented T1w, onto which a PET can be placed again and again."""

    def __init__(self, scan: ScanPlan) -> None:
        """Segment the T1w of a scan."""
        self.scan = scan
        self.t1w = load_volume(scan.t1w.t1w, ndim=3)
        self.found: Segmentation = segment(self.t1w, priors())
        self.head = registration_head(self.found, self.t1w.affine)

    def centiloid(self, frames: Volume, motion: list[Matrix]) -> float:
        """Centiloid of frames whose positions are ``motion``, aligned with the T1w anew."""
        weights = self.scan.window.frame_weights_s
        position_means = mean_per_position(frames.frames(), weights, motion)
        fit = register(mean_at_reference(position_means), self.head)
        pet = mean_at_points(
            position_means, transform(fit.matrix, self.found.field.astype(np.float64))
        )
        means = [float(np.nanmean(pet[vois(2)[name]])) for name in ("ctx", "wc")]
        return centiloid(means[0] / means[1], tracers()[self.scan.tracer].equation)


def moves_of(frames: int, seed: int, centre: np.ndarray) -> list[Matrix]:
    """Motions about the middle of the head that grow with time, with directions by chance."""
    rng = np.random.default_rng(seed)
    moves = []
    for size in np.linspace(0, 1, frames):
        shift, axis = rng.normal(size=(2, 3))
        shift *= size * LARGEST_MM / np.linalg.norm(shift)
        axis *= size * np.radians(LARGEST_DEG) / np.linalg.norm(axis)
        moves.append(rigid_matrix([*shift, *axis], centre))
    return moves


def moved(frames: Volume, moves: list[Matrix]) -> Volume:
    """Move what every frame shows, by cubic splines; the first frame is not touched."""
    data = np.empty_like(frames.data)
    for index, move in enumerate(moves):
        to_index = inverse(frames.affine) @ inverse(move) @ frames.affine
        frame = frames.data[..., index]
        data[..., index] = frame
        if not np.allclose(to_index, np.eye(4)):
            linear, offset = to_index[:3, :3], to_index[:3, 3]
            data[..., index] = affine_transform(frame, linear, offset, order=3, mode="nearest")
    return Volume(data, frames.affine)


def measure(scan: ScanPlan, seeds: list[int]) -> list[Outcome]:
    """Move the frames of a scan, once per seed, and undo it."""
    person = Person(scan)
    frames = load_volume(scan.pet, ndim=4)
    n, durations = frames.data.shape[3], scan.metadata.frame_duration_s
    unmoved = [np.eye(4)] * n
    still = person.centiloid(frames, unmoved)
    head = align_frames(frames.frames(), durations).head
    outcomes = []
    for seed in seeds:
        moves = moves_of(n, seed, head.mean(axis=0))
        film = moved(frames, moves)
        found = align_frames(film.frames(), durations)
        back = inverse(moves[found.reference])
        errors = [
            displacement(matrix, move @ back, transform(moves[found.reference], head))
            for matrix, move in zip(found.measured, moves, strict=True)
        ]
        outcomes.append(
            Outcome(
                scan=scan.name,
                moved_mm=max(displacement(move, np.eye(4), head) for move in moves),
                worst_mm=max(errors),
                still=still,
                left_alone=person.centiloid(film, unmoved),
                undone=person.centiloid(film, list(found.matrices)),
            )
        )
    return outcomes


def scans_with_frames(bids_dir: Path, participants: list[str]) -> list[ScanPlan]:
    """Scans of several frames."""
    plan = make_plan(read_dataset(bids_dir, Filters(participant=tuple(participants))), Processing())
    return [scan for scan in plan.scans if len(scan.metadata.frame_start_s) > 1]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR")
    parser.add_argument("--participant", nargs="+", default=[], metavar="LABEL")
    parser.add_argument("--moves", type=int, default=2, metavar="N", help="per scan")
    options = parser.parse_args()
    print("scan\tmoved mm\terror mm\tCL still\tCL left alone\tCL undone\tdifference", flush=True)
    every = []
    for scan in scans_with_frames(options.bids_dir, options.participant):
        for one in measure(scan, list(range(options.moves))):
            every.append(one)
            numbers = (one.moved_mm, one.worst_mm, one.still, one.left_alone, one.undone,
                       one.undone - one.still)  # fmt: skip
            print(one.scan, *(f"{number:.2f}" for number in numbers), sep="\t", flush=True)
    print(f"worst position: {max(one.worst_mm for one in every):.2f} mm")
    print(f"worst Centiloid: {max(abs(one.undone - one.still) for one in every):.2f} CL")
    print(f"left alone: {max(abs(one.left_alone - one.still) for one in every):.2f} CL")


if __name__ == "__main__":
    main()
