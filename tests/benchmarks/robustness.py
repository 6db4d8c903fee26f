"""How much a Centiloid moves when the T1w comes otherwise: turned, cut, coarse, biased, noisy.

    python tests/benchmarks/robustness.py DATA [sub-01 ...] [--hard] [--only TEXT]
    python tests/benchmarks/robustness.py DATA --no-head

All whole heads of ``DATA/bids`` are varied if none are named.
``--hard`` asks for worse: wrong headers, no origin, a cut vertex, thick slices, no skull, neck and
shoulders, strong shading. ``--only``: the variations whose name holds this text. ``--no-head``:
what is no head at all, which must end soon with an error or a flag.

The PET stays as it is and its known displacement is used, so that only the normalisation is
asked. Printed: difference to the Centiloid with the untouched T1w, on the PiB scale; flags;
processor seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from known_heads import KnownHead, pib_centiloid
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError
from bidsapp.steps.anatomy import SegmentedT1w, segment_head

# A variation gives the changed image and the 4 x 4 motion of the world it implies.
Variation = Callable[[Volume], tuple[Volume, np.ndarray]]
Mask = np.ndarray
WHOLE_HEADS = ["sub-01", "sub-02", "sub-03", "sub-05", "sub-06", "sub-07"]


def moved(turn_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Variation:
    """The same voxels, elsewhere in the world."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
        motion[:3, 3] = shift_mm
        return Volume(t1w.data, motion @ t1w.affine), motion

    return vary


def reordered(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Axes permuted and flipped in storage; nothing moves in the world."""
    data = np.ascontiguousarray(t1w.data.transpose(2, 0, 1)[::-1, :, ::-1])
    index = np.zeros((4, 4))  # new index -> old index
    nz, ny = t1w.data.shape[2], t1w.data.shape[1]
    index[2, 0], index[2, 3] = -1, nz - 1
    index[0, 1] = 1
    index[1, 2], index[1, 3] = -1, ny - 1
    index[3, 3] = 1
    return Volume(data, t1w.affine @ index), np.eye(4)


def cropped(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """10 mm less on every side."""
    n = np.ceil(10 / t1w.grid.voxel_size).astype(int)
    affine = t1w.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ n
    inner = tuple(slice(k, -k) for k in n)
    return Volume(np.ascontiguousarray(t1w.data[inner]), affine), np.eye(4)


def voxels(*size_mm: float) -> Variation:
    """Voxels of another size: blurred first when they are larger, interpolated when smaller."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        factor = t1w.grid.voxel_size / size_mm
        sigma = np.sqrt(np.maximum(0, (1 / factor) ** 2 - 1)) / FWHM_PER_SIGMA
        smooth = ndimage.gaussian_filter(t1w.data, sigma)
        shape = np.floor(np.array(t1w.data.shape) * factor).astype(int)
        scale = np.diag([*(1 / factor), 1])
        image = ndimage.affine_transform(smooth, scale, output_shape=tuple(shape), order=1)
        return Volume(image, t1w.affine @ scale), np.eye(4)

    return vary


def biased(low: float, high: float) -> Variation:
    """Shading by a smooth field between two factors."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in t1w.data.shape)
        field = x[:, None, None] * 0.5 + y[:, None] ** 2 - z * 0.6
        field = (field - field.min()) / np.ptp(field)
        return Volume(t1w.data * (low + (high - low) * field), t1w.affine), np.eye(4)

    return vary


def noisy(part: float) -> Variation:
    """Noise by its part of a bright voxel, Rician as in magnitude images; masked voxels stay so."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        rng = np.random.default_rng(0)
        sigma = part * np.percentile(t1w.data[t1w.data > 0], 90)
        real, imaginary = rng.normal(0, sigma, size=(2, *t1w.data.shape)).astype(np.float32)
        image = np.hypot(t1w.data + real, imaginary)
        return Volume(np.where(t1w.data == 0, 0, image), t1w.affine), np.eye(4)

    return vary


VARIATIONS: dict[str, Variation] = {
    "rotated 20 degrees": moved((20, 0, 0), (0, 0, 0)),
    "rotated 20 degrees, other axis": moved((0, 20, 0), (0, 0, 0)),
    "shifted 50 mm": moved((0, 0, 0), (30, -30, 26)),
    "axes reordered": reordered,
    "cropped by 10 mm": cropped,
    "1.5 mm voxels": voxels(1.5),
    "bias 0.6-1.4": biased(0.6, 1.4),
    "noise 5 %": noisy(0.05),
}


def turned_header(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """A header that is wrong by 90 degrees."""
    motion = np.eye(4)
    motion[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    return Volume(t1w.data, motion @ t1w.affine), motion


def without_origin(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """World zero at the first voxel, as when a header has no place in space."""
    motion = np.eye(4)
    motion[:3, 3] = -t1w.affine[:3, 3]
    return Volume(t1w.data, motion @ t1w.affine), motion


def stored_as(codes: str) -> Variation:
    """Voxels stored along the axes of these codes; nothing moves in the world."""

    def vary(t1w: Volume) -> tuple[Volume, np.ndarray]:
        image = nib.Nifti1Image(t1w.data, t1w.affine)
        now = nib.orientations.io_orientation(t1w.affine)
        turn = nib.orientations.ornt_transform(now, nib.orientations.axcodes2ornt(codes))
        turned = image.as_reoriented(turn)
        return Volume(np.ascontiguousarray(turned.dataobj), turned.affine), np.eye(4)

    return vary


def cut_vertex(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Without the upper 15 mm of the head."""
    up = int(np.argmax(np.abs(t1w.affine[2, :3])))
    height = t1w.grid.world()[..., 2]
    head = t1w.data > 0.3 * np.percentile(t1w.data, 95)
    keep = height.min(axis=tuple({0, 1, 2} - {up})) < np.percentile(height[head], 99.9) - 15
    first, last = np.flatnonzero(keep)[[0, -1]]
    affine = t1w.affine.copy()
    affine[:3, 3] += affine[:3, up] * first
    part = np.take(t1w.data, np.arange(first, last + 1), axis=up)
    return Volume(np.ascontiguousarray(part), affine), np.eye(4)


def thick_slices(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Slices of 3 mm along the last axis."""
    n = max(1, round(3 / t1w.grid.voxel_size[2]))
    affine = t1w.affine @ np.diag([1, 1, n, 1.0])
    affine[:3, 3] += t1w.affine[:3, 2] * (n - 1) / 2
    slices = t1w.data[:, :, : t1w.data.shape[2] // n * n]
    return Volume(slices.reshape(*slices.shape[:2], -1, n).mean(axis=-1), affine), np.eye(4)


def without_skull(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Everything outside the brain mask of an earlier segmentation set to zero."""
    return Volume(t1w.data * segment_head(t1w).segmentation.brain_mask, t1w.affine), np.eye(4)


def flat(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Half the contrast within the head, and noise of 3 %."""
    middle = np.percentile(t1w.data[t1w.data > 0], 60)
    head = t1w.data > 0.3 * middle
    data = np.where(head, middle + 0.5 * (t1w.data - middle), t1w.data).astype(np.float32)
    return noisy(0.03)(Volume(data, t1w.affine))


def wide(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """A field of view of 300 mm."""
    return padded(t1w, np.maximum(0, 300 / t1w.grid.voxel_size - t1w.data.shape).astype(int) // 2)


def padded(
    t1w: Volume, before: np.ndarray, after: np.ndarray | None = None
) -> tuple[Volume, np.ndarray]:
    """Air around the image: what its dark corners hold."""
    after = before if after is None else after
    air = float(np.median(t1w.data[:4, :4, :4]))
    data = np.pad(t1w.data, np.column_stack([before, after]), constant_values=air)
    affine = t1w.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ before
    return Volume(data, affine), np.eye(4)


def tight(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Cut to the brain and 5 mm around it."""
    found = np.argwhere(segment_head(t1w).segmentation.brain_mask)
    rim = np.ceil(5 / t1w.grid.voxel_size).astype(int)
    low, high = np.maximum(found.min(axis=0) - rim, 0), found.max(axis=0) + 1 + rim
    affine = t1w.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return Volume(np.ascontiguousarray(t1w.data[inner]), affine), np.eye(4)


def with_shoulders(t1w: Volume) -> tuple[Volume, np.ndarray]:
    """Neck and shoulders below the head: muscle in a rim of fat, a spine, an airway."""
    up = int(np.argmax(np.abs(t1w.affine[2, :3])))
    pads = np.zeros((2, 3), int)
    pads[0 if t1w.affine[2, up] > 0 else 1, up] = round(130 / t1w.grid.voxel_size[up])
    wider = np.ceil(40 / t1w.grid.voxel_size).astype(int)
    wider[up] = 0
    image, _ = padded(t1w, pads[0] + wider, pads[1] + wider)
    world = image.grid.world()
    old = transform(np.linalg.inv(t1w.affine), world)
    edge = 0 if t1w.affine[2, up] > 0 else t1w.data.shape[up] - 1
    below = (edge - old[..., up]) * (1 if edge == 0 else -1) * t1w.grid.voxel_size[up]
    bottom = np.take(t1w.data, range(edge, edge + 10) if edge == 0 else range(edge - 9, edge + 1),
                     axis=up)  # fmt: skip
    bright, head = np.percentile(bottom, 98), t1w.data > 0.3 * np.percentile(t1w.data, 95)
    x0, y0 = t1w.grid.world()[head][:, :2].mean(axis=0)
    x, y = world[..., 0] - x0, world[..., 1] - (y0 - 15)
    broad = 55 + 135 / (1 + np.exp((60 - below) / 12))
    radius = np.hypot(x / broad, y / (55 + 0.25 * (broad - 55)))
    tissue = np.select(
        [np.hypot(x, y - 20) < 9, np.hypot(x, y + 20) < 16, radius < 0.92, radius < 1],
        [0.02 * bright, 0.35 * bright, 0.45 * bright, bright], 0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    tissue = np.hypot(tissue + rng.normal(0, 0.03 * bright, tissue.shape), 0.02 * bright)
    data = np.where((below > 0) & (radius < 1), tissue, image.data).astype(np.float32)
    return Volume(data, image.affine), np.eye(4)


HARD: dict[str, Variation] = {
    "header turned by 90 degrees": turned_header,
    "no origin": without_origin,
    "stored as PIR": stored_as("PIR"),
    "stored as LIA": stored_as("LIA"),
    "vertex cut by 15 mm": cut_vertex,
    "slices of 3 mm": thick_slices,
    "no skull": without_skull,
    "0.6 mm voxels": voxels(0.6),
    "2 mm voxels": voxels(2.0),
    "2.2 mm voxels": voxels(2.2),
    "3 mm voxels": voxels(3.0),
    "neck and shoulders": with_shoulders,
    "field of view of 300 mm": wide,
    "cut to the brain": tight,
    "bias 0.4-1.8": biased(0.4, 1.8),
    "noise 10 %": noisy(0.1),
    "half the contrast": flat,
}


def air(shape: tuple[int, int, int] = (180, 220, 200)) -> tuple[np.ndarray, np.ndarray]:
    """Zeros of 1 mm voxels and their affine."""
    affine = np.eye(4)
    affine[:3, 3] = -np.array(shape) / 2
    return np.zeros(shape, np.float32), affine


def inside(shape: tuple[int, ...], centre: tuple[float, ...], half: tuple[float, ...]) -> Mask:
    """An ellipsoid."""
    x, y, z = (((np.arange(n) - c) / h) ** 2 for n, c, h in zip(shape, centre, half, strict=True))
    return x[:, None, None] + y[None, :, None] + z[None, None, :] < 1


def grainy(data: np.ndarray, affine: np.ndarray) -> Volume:
    """Rician noise over an image of about 0-1000."""
    real, imaginary = np.random.default_rng(0).normal(0, 15, (2, *data.shape))
    return Volume(np.hypot(data + real, imaginary).astype(np.float32), affine)


def only_noise() -> Volume:
    return grainy(*air())


def ramp() -> Volume:
    data, affine = air()
    return Volume(data + np.linspace(0, 1000, len(data), dtype=np.float32)[:, None, None], affine)


def slanted_ramp() -> Volume:
    data, affine = air()
    return Volume(np.indices(data.shape).sum(axis=0).astype(np.float32), affine)


def block() -> Volume:
    data, affine = air()
    data[50:130, 60:160, 50:150] = 700
    return Volume(data, affine)


def grainy_block() -> Volume:
    return grainy(block().data, block().affine)


def bottle() -> Volume:
    """A ball of water in a bright shell, as large as a head."""
    data, affine = air()
    data[inside(data.shape, (90, 110, 100), (75, 95, 80))] = 800
    data[inside(data.shape, (90, 110, 100), (65, 85, 70))] = 400
    return grainy(data, affine)


def belly() -> Volume:
    """A trunk: fat around organs."""
    data, affine = air((320, 240, 200))
    data[inside(data.shape, (160, 120, 100), (150, 105, 1e4))] = 900
    data[inside(data.shape, (160, 120, 100), (130, 85, 1e4))] = 300
    for centre, half, value in (
        ((100, 130, 120), (50, 55, 60), 550), ((220, 110, 110), (28, 28, 50), 450),
        ((110, 90, 70), (25, 25, 40), 500), ((210, 90, 70), (25, 25, 40), 500),
        ((160, 70, 100), (22, 22, 1e4), 700), ((160, 100, 100), (12, 12, 1e4), 80),
        ((180, 150, 110), (40, 25, 35), 120),
    ):  # fmt: skip
        data[inside(data.shape, centre, half)] = value
    return grainy(ndimage.gaussian_filter(data, 1), affine)


def shuffled(t1w: Volume) -> Volume:
    """Cubes of 22 voxels of a head, in any order."""
    size = 22
    n = [k // size for k in t1w.data.shape]
    corners = np.array([size * np.array(index) for index in np.ndindex(*n)])
    data = t1w.data.copy()
    for to, of in zip(corners, np.random.default_rng(0).permutation(corners), strict=True):
        there, here = (tuple(slice(c, c + size) for c in corner) for corner in (to, of))
        data[there] = t1w.data[here]
    return Volume(data, t1w.affine)


NO_HEAD: dict[str, Callable[[], Volume]] = {
    f.__name__.replace("_", " "): f
    for f in (only_noise, ramp, slanted_ramp, block, grainy_block, bottle, belly)
}


@dataclass(frozen=True)
class Outcome:
    """What came of an image: flags, or the error in their place, and processor seconds."""

    flags: tuple[str, ...]
    seconds: float
    difference_cl: float = float("nan")

    def __str__(self) -> str:
        return (
            f"{self.difference_cl:+.2f} CL  {' '.join(self.flags) or '-'}  ({self.seconds:.0f} s)"
        )


def differences(
    folder: Path, sub: str, variations: dict[str, Variation]
) -> Iterator[tuple[str, Outcome]]:
    """Variation, and what it does to the Centiloid (PiB scale)."""
    known = KnownHead(folder, sub)

    def centiloid(found: SegmentedT1w, motion: np.ndarray) -> float:
        points = transform(np.linalg.inv(motion), found.segmentation.field.astype(float))
        return pib_centiloid(known.pet, transform(known.t1w_to_pet, points))

    plain = centiloid(segment_head(known.t1w), np.eye(4))
    for name, vary in variations.items():
        image, motion = vary(known.t1w)
        found, outcome = outcome_of(image)
        if found:
            outcome = replace(outcome, difference_cl=centiloid(found, motion) - plain)
        yield name, outcome


def outcome_of(image: Volume) -> tuple[SegmentedT1w | None, Outcome]:
    """Normalise an image; no result when it is refused."""
    begin = time.process_time()
    try:
        found = segment_head(image)
    except BadDataError as error:
        return None, Outcome((f"error: {error}",), time.process_time() - begin)
    flags = tuple(finding.code for finding in found.findings)
    return found, Outcome(flags, time.process_time() - begin)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("participants", nargs="*", default=WHOLE_HEADS)
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--no-head", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if arguments.no_head:
        head = KnownHead(arguments.data, "sub-02").t1w
        for name, make in {**NO_HEAD, "shuffled head": lambda: shuffled(head)}.items():
            if arguments.only in name:
                print(f"{name:24s} {outcome_of(make())[1]}", flush=True)
        return
    chosen = HARD if arguments.hard else VARIATIONS
    variations = {name: vary for name, vary in chosen.items() if arguments.only in name}
    for sub in arguments.participants:
        for name, outcome in differences(arguments.data, sub, variations):
            print(f"{sub}  {name:32s} {outcome}", flush=True)


if __name__ == "__main__":
    main()
