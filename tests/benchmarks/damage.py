"""Is damage told? PET and T1w are spoilt on purpose, and what comes of it is printed.

    python tests/benchmarks/damage.py BIDS [--participant LABEL ...] [--keep DIR]
        [--good | --in-place]

Every participant of BIDS needs a T1w and a PET of an amyloid tracer. The T1w is segmented and the
PET placed once (anew where size or sharpness change); then each damage is done at three strengths,
and the steps that follow run on it: mean of the window, inspection, Centiloid volumes. Printed: the
Centiloid (PiB scale), its change, the flags or the refusal, and ``SILENT`` for a change of more
than 3 CL that nothing tells.
``--good`` does no damage: the numbers of good scans, which the limits come from. ``--in-place``
only smooths the PET, where it lies: what the error by resolution comes from. ``--keep`` holds the
segmentations, so that a second run is quicker.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from known_heads import pib_centiloid, registration_head, suvrs

from bidsapp.core.frames.frames import outlying_frame
from bidsapp.core.frames.position_means import mean_at_reference, mean_per_position
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import flagged, strain_findings
from bidsapp.core.quantification.resolution import smooth
from bidsapp.core.registration.head import Head
from bidsapp.core.registration.rigid import RigidFit, register
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.errors import BadDataError
from bidsapp.interfaces.pet import Inspect
from bidsapp.interfaces.store import fetch_volume, keep, keep_position_means, keep_volume
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.positioning import position_findings
from bidsapp.steps.refusing import refuse_impossible

TOLD_CL = 3.0
Frames = np.ndarray  # (X, Y, Z, T)


class Person:
    """Images, segmentation and position of one participant."""

    def __init__(self, folder: Path, keep: Path | None) -> None:
        self.label = folder.name
        self.t1w = load_volume(next(folder.glob("**/anat/*_T1w.nii.gz")), ndim=3)
        pet = load_volume(next(folder.glob("**/pet/*_pet.nii.gz")))
        self.affine = pet.affine
        self.frames: Frames = pet.data if pet.data.ndim == 4 else pet.data[..., None]
        self.kept = keep / f"{folder.name}.pkl" if keep else None
        if self.kept and self.kept.exists():
            self.found, self.to_pet = pickle.loads(self.kept.read_bytes())
        else:
            self.found = segment_head(self.t1w).segmentation
            self.to_pet = self.placed()
            if self.kept:
                self.kept.parent.mkdir(parents=True, exist_ok=True)
                self.kept.write_bytes(pickle.dumps((self.found, self.to_pet)))
        points = transform(self.to_pet, self.found.field.astype(np.float64))
        index = transform(np.linalg.inv(self.affine), points[vois(2)["wcb"] | vois(2)["ctx"]])
        self.upright = int(np.argmax(np.abs(self.affine[2, :3])))
        self.upwards = bool(self.affine[2, self.upright] > 0)
        ends = np.percentile(index[:, self.upright], [0.5, 99.5])
        self.lowest = round(float(ends[0] if self.upwards else ends[1]))
        cerebellum = transform(np.linalg.inv(self.affine), points[vois(2)["wc"]])
        self.cerebellum = round(float(np.median(cerebellum[:, self.upright])))
        brain = np.moveaxis(self.frames, self.upright, 0)
        self.level = float(np.median(brain[brain > 0.5 * np.percentile(brain, 99)]))
        self.plane_mm = float(np.linalg.norm(self.affine[:3, self.upright]))

    def placed(self) -> np.ndarray:
        """T1w world -> PET world."""
        return self.registered(self.frames, self.affine).matrix

    def registered(self, frames: Frames, affine: np.ndarray) -> RigidFit:
        """Position of an image and what registration tells of it."""
        return register(Volume(frames.mean(axis=-1), affine), self.head)

    def with_t1w(self, spoilt: Volume, folder: Path) -> tuple[Person, list[str]]:
        """The same person by another T1w, which goes through a file, and what is told of it."""
        other = copy.copy(self)
        other.__dict__.pop("head", None)
        other.t1w = load_volume(save_volume(folder / "t1w.nii.gz", spoilt), ndim=3)
        made = segment_head(other.t1w)
        other.found = made.segmentation
        return other, [flag.code for flag in made.findings]

    @cached_property
    def head(self) -> Head:
        """The T1w side of the registration."""
        return registration_head(self.found, self.t1w.affine)

    def below(self, height_mm: float) -> slice:
        """Planes from the lower end of the field up to a height above the lowest of the brain."""
        planes = round(height_mm / self.plane_mm)
        if self.upwards:
            return slice(0, self.lowest + planes)
        return slice(self.lowest - planes + 1, None)


Damage = Callable[[Person, Frames], Frames]
T1wDamage = Callable[[Volume], Volume]


def clipped(share: float) -> Damage:
    """Nothing above a share of the 99th percentile of the head."""

    def do(person: Person, frames: Frames) -> Frames:
        bright = frames[frames > 0.15 * np.percentile(frames, 99.5)]
        return np.minimum(frames, share * np.percentile(bright, 99))

    return do


def filled(height_mm: float, level: float) -> Damage:
    """The lowest part of the brain holds a share of the maximum."""

    def do(person: Person, frames: Frames) -> Frames:
        planes = np.moveaxis(frames.copy(), person.upright, 0)
        planes[person.below(height_mm)] = level * frames.max()
        return np.moveaxis(planes, 0, person.upright)

    return do


def emptied(planes_lost: int) -> Damage:
    """Planes of zeros in the middle of the cerebellum."""

    def do(person: Person, frames: Frames) -> Frames:
        planes = np.moveaxis(frames.copy(), person.upright, 0)
        first = person.cerebellum - planes_lost // 2
        planes[first : first + planes_lost] = 0
        return np.moveaxis(planes, 0, person.upright)

    return do


def scaled(factor: float, *, one: bool) -> Damage:
    """What lies below the middle of the cerebellum times a factor, in one frame or in all."""

    def do(person: Person, frames: Frames) -> Frames:
        if one and frames.shape[-1] == 1:
            frames = np.repeat(frames, 4, axis=-1)
        planes = np.moveaxis(frames.copy(), person.upright, 0)
        below = slice(0, person.cerebellum) if person.upwards else slice(person.cerebellum, None)
        if one:
            planes[below][..., 1] *= factor
        else:
            planes[below] *= factor
        return np.moveaxis(planes, 0, person.upright)

    return do


def faded(width_mm: float) -> Damage:
    """A ball in the right half of the cerebellum that has lost half of its uptake."""

    def do(person: Person, frames: Frames) -> Frames:
        right = vois(2)["wc"].copy()
        right[mni_grid(2).world()[..., 0] < 0] = False
        middle = transform(person.to_pet, person.found.field[right].astype(np.float64)).mean(axis=0)
        world = Volume(frames[..., 0], person.affine).grid.world()
        ball = np.linalg.norm(world - middle, axis=-1) < width_mm / 2
        return np.where(ball[..., None], 0.5 * frames, frames)

    return do


def offset(level: float) -> Damage:
    """A constant added, in units of the uptake of the brain."""
    return lambda person, frames: frames + np.float32(level * person.level)


def infinite(voxels: int) -> Damage:
    """Voxels without a finite number near the middle."""

    def do(person: Person, frames: Frames) -> Frames:
        frames = frames.copy()
        x, y, z = (n // 2 for n in frames.shape[:3])
        frames[x, y, z : z + voxels] = np.inf
        return frames

    return do


def smoothed(fwhm_mm: float) -> Damage:
    """Smoothed after the reconstruction."""

    def do(person: Person, frames: Frames) -> Frames:
        images = (Volume(one, person.affine) for one in np.moveaxis(frames, -1, 0))
        return np.stack([smooth(image, (fwhm_mm,) * 3).data for image in images], axis=-1)

    return do


def resized(person: Person, factors: tuple[float, float, float]) -> np.ndarray:
    """Affine of a header whose voxel sizes are wrong by factors, the middle in its place."""
    affine = person.affine @ np.diag([*factors, 1.0])
    middle = np.array(person.frames.shape[:3]) / 2
    affine[:3, 3] += transform(person.affine, middle) - transform(affine, middle)
    return affine


def t1w_voxels(value: float, count: int) -> T1wDamage:
    """Voxels in a row near the middle of a T1w, in units of its 99th percentile."""

    def do(t1w: Volume) -> Volume:
        data = t1w.data.astype(np.float32)
        x, y, z = (n // 2 for n in data.shape)
        data[x, y, z : z + count] = value * np.percentile(data, 99)
        return Volume(data, t1w.affine)

    return do


def t1w_hole(side_mm: float) -> T1wDamage:
    """A cube beside the middle of a T1w without a number."""

    def do(t1w: Volume) -> Volume:
        data = t1w.data.astype(np.float32)
        half = [round(side_mm / 2 / size) for size in t1w.grid.voxel_size]
        middle = [n // 2 for n in data.shape]
        middle[0] += round(25 / t1w.grid.voxel_size[0])
        place = tuple(slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))
        data[place] = np.nan
        return Volume(data, t1w.affine)

    return do


T1W_DAMAGES: dict[str, tuple[T1wDamage, ...]] = {
    "T1w: 1, 10, 40 voxels infinite": tuple(t1w_voxels(np.inf, n) for n in (1, 10, 40)),
    "T1w: a voxel 20, 200, 20000 times as bright": tuple(
        t1w_voxels(v, 1) for v in (20.0, 200.0, 2e4)
    ),
    "T1w: a cube of 4, 12, 30 mm without a number": tuple(map(t1w_hole, (4.0, 12.0, 30.0))),
}
# What the registration must tell: images by their damage, headers by factors of the voxel sizes.
SMOOTHED: dict[str, tuple[Damage, ...]] = {
    "smoothed by 4, 6, 8 mm": tuple(map(smoothed, (4.0, 6.0, 8.0))),
}
HEADERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "planes 3, 5, 10 % too far apart": ((1, 1, 1.03), (1, 1, 1.05), (1, 1, 1.1)),
    "voxels 3, 5, 10 % too small": ((0.97,) * 3, (0.95,) * 3, (0.9,) * 3),
    # a T1w of wrong slice distance differs from this by the person's turn between the scanners
    "one side 5, 10, 15 % too short": ((1, 0.95, 1), (1, 0.9, 1), (1, 0.85, 1)),
}
DAMAGES: dict[str, tuple[Damage, ...]] = {
    "clipped at 0.9, 0.75, 0.6": tuple(map(clipped, (0.9, 0.75, 0.6))),
    "lowest 6, 20, 40 mm filled with 1 %": tuple(filled(mm, 0.01) for mm in (6, 20, 40)),
    "lowest 12 mm filled with 5, 20, 60 %": tuple(filled(12, v) for v in (0.05, 0.2, 0.6)),
    "1, 2, 4 planes empty": tuple(map(emptied, (1, 2, 4))),
    "one frame's lower part x 0.9, 0.8, 0.6": tuple(scaled(f, one=True) for f in (0.9, 0.8, 0.6)),
    "lower part x 0.95, 0.8, 0.6": tuple(scaled(f, one=False) for f in (0.95, 0.8, 0.6)),
    "a ball of 15, 25, 40 mm at half uptake": tuple(map(faded, (15.0, 25.0, 40.0))),
    "offset 2, 5, 20 %": tuple(map(offset, (0.02, 0.05, 0.2))),
    "offset -2, -5, -20 %": tuple(map(offset, (-0.02, -0.05, -0.2))),
    "1, 3, 9 voxels infinite": tuple(map(infinite, (1, 3, 9))),
}


def outcome(
    person: Person, frames: Frames, folder: Path, affine: np.ndarray | None = None
) -> tuple[float | None, dict, list[str]]:
    """Centiloid, numbers and flags; a sentence in place of flags when it is refused.

    With an affine the PET is placed anew.
    """
    limits = read_table("limits")
    to_pet, placing, findings = person.to_pet, {}, ()
    if affine is not None:
        fit = person.registered(frames, affine)
        to_pet = fit.matrix
        stretch = float(np.abs(np.linalg.eigvalsh(fit.strain)).max())
        placing = {"pet_t1w_stretch": stretch, "pet_fwhm_mm": fit.fwhm_mm}
        findings = (
            *position_findings(fit),
            *strain_findings(fit.strain, limits),
            *flagged({"pet_fwhm_mm": fit.fwhm_mm}, limits),
        )
    affine = person.affine if affine is None else affine
    path = save_volume(folder / "pet.nii.gz", Volume(frames.astype(np.float32), affine))
    loaded = load_volume(path)
    loaded = Volume(loaded.data.reshape(frames.shape), loaded.affine)
    weights, still = [60.0] * frames.shape[-1], [np.eye(4).tolist()] * frames.shape[-1]
    position_means = mean_per_position(loaded.frames(), weights, still)
    segmented, place = person.found, person.t1w.affine
    maps = (*segmented.probabilities, segmented.brain_mask)
    head = {"gm": maps[0], "wm": maps[1], "csf": maps[2], "mask": maps[3]}
    head = {name: Volume(data, place) for name, data in head.items()}
    head["field"] = Volume(segmented.field, mni_grid(2).affine)
    node = Inspect(
        pet=[str(path)], weights_s=weights, motion=[still], reference="wc",
        mean=keep_volume(folder / "mean.npz", mean_at_reference(position_means)),
        position_means=keep_position_means(folder / "position_means.npz", position_means),
        warp=keep(folder / "warp.npz", segmented.warp.to_arrays()), t1w_to_pet=to_pet.tolist(),
        **{name: keep_volume(folder / f"{name}.npz", image) for name, image in head.items()},
    )  # fmt: skip
    (folder / "node").mkdir(exist_ok=True)
    try:
        found = node.run(cwd=str(folder / "node")).outputs
        points = transform(to_pet, person.found.field.astype(np.float64))
        value = pib_centiloid(fetch_volume(found.pet), points)
        refuse_impossible(value, **limits["centiloid_possible"])
    except BadDataError as error:
        return None, {}, ["REFUSED: " + str(error).partition(": ")[2]]
    numbers = placing | dict(found.record.qc)
    flags = [flag.code for flag in findings] + [flag.code for flag in found.record.flags]
    flags += [flag.code for flag in flagged({"centiloid": value}, limits)]
    ratios = [suvrs(frame, points)["wc"] for frame in loaded.frames()]
    if farthest := outlying_frame(ratios):
        numbers["frame_apart"] = abs(farthest[1])
        words = {"number": farthest[0] + 1, "of": len(ratios)}
        apart = flagged({"frame_apart": farthest[1]}, limits, **words)
        flags += [flag.code for flag in apart]
    return value, numbers, flags


def cases(person: Person) -> Iterator[tuple[str, Frames, np.ndarray | None]]:
    """Every damage at every strength; an affine where the PET is to be placed anew."""
    for name, strengths in (DAMAGES | SMOOTHED).items():
        affine = person.affine if name in SMOOTHED else None
        for number, damage in enumerate(strengths, start=1):
            yield f"{name} [{number}]", damage(person, person.frames), affine
    for name, sizes in HEADERS.items():
        for number, factors in enumerate(sizes, start=1):
            yield f"{name} [{number}]", person.frames, resized(person, factors)


def t1w_outcome(
    person: Person, damage: T1wDamage, folder: Path
) -> tuple[float | None, dict, list[str]]:
    """As `outcome`, of a person whose T1w is spoilt: segmented and placed anew."""
    try:
        spoilt, codes = person.with_t1w(damage(person.t1w), folder)
    except BadDataError as error:
        return None, {}, [f"REFUSED: {error}"]
    value, numbers, flags = outcome(spoilt, person.frames, folder, person.affine)
    return value, numbers, codes + flags


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bids", type=Path)
    parser.add_argument("--participant", nargs="*")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--good", action="store_true")
    parser.add_argument("--in-place", action="store_true")
    args = parser.parse_args()
    folders = sorted(args.bids.glob("sub-*"))
    if args.participant:
        folders = [args.bids / f"sub-{label}" for label in args.participant]
    silent = 0
    for folder in folders:
        person = Person(folder, args.keep)
        with tempfile.TemporaryDirectory() as place:
            right, numbers, flags = outcome(person, person.frames, Path(place), person.affine)
            print(
                f"{person.label} as it is: {right:.1f} CL  {' '.join(flags) or '-'}  "
                + " ".join(f"{k}={v:.4g}" for k, v in numbers.items() if v is not None),
                flush=True,
            )
            if args.good:
                continue
            if args.in_place:
                for mm in (4.0, 6.0, 8.0):
                    value, *_ = outcome(person, smoothed(mm)(person, person.frames), Path(place))
                    print(f"  smoothed in place by {mm:g} mm: {value - right:+.2f} CL", flush=True)
                continue
            spoilt = (
                (name, outcome(person, frames, Path(place), affine))
                for name, frames, affine in cases(person)
            )
            of_t1w = (
                (f"{name} [{number}]", t1w_outcome(person, damage, Path(place)))
                for name, strengths in T1W_DAMAGES.items()
                for number, damage in enumerate(strengths, start=1)
            )
            for name, (value, _, flags) in chain(spoilt, of_t1w):
                off = "" if value is None else f"{value:8.1f} CL {value - right:+8.1f}"
                quiet = value is not None and abs(value - right) > TOLD_CL and not flags
                silent += quiet
                print(
                    f"  {name:44s} {off or 'no number':>20s}  "
                    f"{' '.join(flags) or ('SILENT' if quiet else '-')}",
                    flush=True,
                )
    print(f"{silent} silent")


if __name__ == "__main__":
    main()
