"""Simulated rescans: how much a Centiloid changes from visit to visit when nothing did.

    python tests/benchmarks/rescan.py ../shared/data sub-01 ... [--pairs 3] [--change 0.05]
    python tests/benchmarks/rescan.py --table FILE ...
    python tests/benchmarks/rescan.py ../shared/data sub-01 sub-02 ... --strangers

A visit is the same head and the same uptake again: the T1w elsewhere in the scanner (resampled
once), with its own coil sensitivity (0.8 to 1.25) and Rician noise of 5 % of a bright voxel; the
PET elsewhere as well, with noise of its own. The uptake of the cortical target is the same at the
second visit, and then higher by ``--change``. Each pair of visits is measured twice, each visit by
its own T1w and both by their within-subject template, PET to T1w included; "placed" is the same
noisy PET read at its true place, so that what goes beyond it comes from processing. Printed: one
line of JSON per pair and change, Centiloids on the PiB scale; ``--table`` makes the table of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from known_heads import KnownHead, pib_centiloid, registration_head
from scipy import ndimage

from bidsapp import data
from bidsapp.core.anatomy.segment import Segmentation
from bidsapp.core.anatomy.within_subject import Visit, ventricles_ml, within_subject_template
from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import resample, sample
from bidsapp.core.grid.sampling import blur
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.rigid import register
from bidsapp.steps.anatomy import segment_head

SHIFT_MM, TURN_DEG = 6.0, 6.0  # standard deviations of the position in the scanner
T1W_NOISE, PET_NOISE = 0.05, 0.08  # of a bright voxel; of the mean uptake of the brain, per voxel
PET_TEXTURE_MM, PSF_MM = 5.0, 6.0


@dataclass(frozen=True)
class Person:
    """What does not change: T1w, PET, its place, and where the uptake may rise."""

    t1w: Volume
    pet: Volume
    t1w_to_pet: np.ndarray
    field: np.ndarray  # T1w world of every MNI voxel, by the standard pipeline
    target: np.ndarray  # share of the cortical target in every PET voxel


@dataclass(frozen=True)
class Scan:
    """One visit: T1w, noise of its PET, and what is truly there."""

    t1w: Volume
    noise: np.ndarray
    to_person: np.ndarray  # T1w world of the visit -> of the person
    to_pet: np.ndarray  # PET world of the visit -> of the person
    t1w_to_pet: np.ndarray


def segmented(t1w: Volume) -> Segmentation:
    """Unified segmentation with its check and its ways out."""
    return segment_head(t1w).segmentation


def person(folder: Path, sub: str) -> Person:
    """Read a participant of the development data."""
    known = KnownHead(folder, sub)
    target = in_target(known.field, known.pet, known.t1w_to_pet)
    return Person(known.t1w, known.pet, known.t1w_to_pet, known.field, target)


def in_target(field: np.ndarray, pet: Volume, t1w_to_pet: np.ndarray) -> np.ndarray:
    """Share of each PET voxel that belongs to the cortical target, as blurred as the PET."""
    points = field[data.vois(2)["ctx"]].astype(float)
    index = np.rint(transform(inverse(pet.affine) @ t1w_to_pet, points)).astype(int)
    counts = np.zeros(pet.data.shape, np.float32)
    inside = ((index >= 0) & (index < counts.shape)).all(axis=1)
    np.add.at(counts, tuple(index[inside].T), 8 / pet.grid.voxel_volume)
    return np.clip(blur(Volume(counts, pet.affine), PSF_MM).data, 0, 1)


def motion(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """A place of the head: shift and turn drawn from normal distributions."""
    turn = np.radians(rng.normal(0, TURN_DEG, 3))
    return rigid_matrix([*rng.normal(0, SHIFT_MM, 3), *turn], centre)


def scan(rng: np.random.Generator, who: Person) -> Scan:
    """One visit."""
    centre = who.field[data.template_mask(2).data].mean(axis=0).astype(float)
    to_person = motion(rng, centre)
    to_pet = motion(rng, transform(who.t1w_to_pet, centre))
    t1w, pet = who.t1w, who.pet
    index = inverse(t1w.affine) @ to_person @ t1w.affine
    clean = ndimage.affine_transform(t1w.data.astype(np.float32), index, order=3)
    x, y, z = (np.cos(np.pi * np.arange(3)[:, None] * np.linspace(0, 1, n)) for n in clean.shape)
    log_bias = np.einsum("abc,ai,bj,ck->ijk", rng.normal(size=(3, 3, 3)), x, y, z, optimize=True)
    log_bias *= np.log(1.25) / np.abs(log_bias).max()
    sigma = T1W_NOISE * np.percentile(t1w.data[t1w.data > 0], 90)
    parts = rng.normal(0, sigma, size=(2, *clean.shape)).astype(np.float32)
    noisy = np.hypot(np.maximum(clean, 0) * np.exp(log_bias) + parts[0], parts[1])
    if (t1w.data == 0).mean() > 0.3:  # no skull, or air set to 0: it stays so
        noisy = np.where(clean <= 0, 0, noisy)
    texture = blur(Volume(rng.normal(size=pet.data.shape), pet.affine), PET_TEXTURE_MM).data
    inside = data.template_mask(2).data
    level = sample(pet, transform(who.t1w_to_pet, who.field[inside].astype(float)))
    return Scan(
        Volume(noisy.astype(np.float32), t1w.affine),
        PET_NOISE * float(np.nanmean(level)) * texture / texture.std(),
        to_person,
        to_pet,
        inverse(to_pet) @ who.t1w_to_pet @ to_person,
    )


def scanned(who: Person, one: Scan, change: float) -> tuple[Volume, Volume]:
    """PET of a visit, and the uptake without noise where the person's PET has it."""
    uptake = Volume(who.pet.data * (1 + change * who.target), who.pet.affine)
    there = resample(uptake, who.pet.grid, one.to_pet).data
    counts = np.where(np.isfinite(there), there + one.noise, 0)
    return Volume(counts.astype(np.float32), who.pet.affine), uptake


def centiloid(field: np.ndarray, pet: Volume, t1w_to_pet: np.ndarray) -> float:
    """Centiloid (PiB scale) of a PET read at ``field``."""
    return pib_centiloid(pet, transform(t1w_to_pet, field.astype(float)))


def measured(found: Segmentation, affine: np.ndarray, pet: Volume) -> float:
    """Centiloid by a segmented T1w, PET to T1w included."""
    fit = register(pet, registration_head(found, affine))
    return centiloid(found.field, pet, fit.matrix)


def visit(found: Segmentation, affine: np.ndarray) -> Visit:
    """What the template needs of a visit."""
    landmarks = found.field[data.template_mask(2).data][::40].astype(float)
    return Visit(Volume(found.corrected, affine), found.brain_mask, landmarks)


def pairs(folder: Path, sub: str, n: int, change: float, seed: int) -> Iterator[dict[str, object]]:
    """Measure pairs of visits, a line for each and each change."""
    who = person(folder, sub)
    for number in range(n):
        rng = np.random.default_rng([seed, int(sub[-2:]), number])
        scans = [scan(rng, who) for _ in range(2)]
        found = [segmented(one.t1w) for one in scans]
        parts = zip(found, scans, strict=True)
        template = within_subject_template([visit(f, s.t1w.affine) for f, s in parts])
        on_template = segmented(template.image)
        about: dict[str, object] = {"participant": sub, "seed": seed, "pair": number}
        about["apart_mm"] = misplaced(template.to_visits, scans, who)
        about["agreement"] = min(template.agreement)
        for k, (one, own) in enumerate(zip(scans, found, strict=True), start=1):
            voxel = one.t1w.grid.voxel_size
            about[f"ventricles_{k}"] = ventricles_ml(own.probabilities[2], own.brain_mask, voxel)
            about[f"tissue_{k}"] = own.quality["gm_ml"] + own.quality["wm_ml"]
        seen: dict[tuple[int, float], dict[str, float]] = {}
        for k, part in ((1, 0.0), (2, 0.0), (2, change)):
            one, own = scans[k - 1], found[k - 1]
            pet, uptake = scanned(who, one, part)
            seen[k, part] = {
                "true": centiloid(who.field, uptake, who.t1w_to_pet),
                "placed": centiloid(who.field, pet, one.t1w_to_pet @ inverse(one.to_person)),
                "own": measured(own, one.t1w.affine, pet),
                "template": measured(on_template, template.image.affine, pet),
            }
        for part in (0.0, change):
            both = zip((1, 2), (seen[1, 0.0], seen[2, part]), strict=True)
            line = {f"{name}_{k}": cl for k, values in both for name, cl in values.items()}
            yield about | {"change": part} | line


def misplaced(to_visits: tuple[np.ndarray, ...], scans: list[Scan], who: Person) -> float:
    """Mean distance over the brain between the places that two visits say are one, mm."""
    points = who.field[data.template_mask(2).data][::97].astype(float)
    first, second = (one.to_person @ m for one, m in zip(scans, to_visits, strict=True))
    there = transform(first @ inverse(second), points)
    return float(np.linalg.norm(there - points, axis=1).mean())


def strangers(folder: Path, subs: list[str]) -> None:
    """Print how far the T1ws of different people agree in one template (``visits_agreement``)."""
    inside = data.template_mask(2).data
    for first, second in combinations(subs, 2):
        visits = []
        for sub in (first, second):
            known = KnownHead(folder, sub)
            t1w, brain = known.t1w, known.field[inside].astype(float)
            index = np.rint(transform(inverse(t1w.affine), brain)).astype(int)
            index = index[((index >= 0) & (index < t1w.data.shape)).all(axis=1)]
            mask = np.zeros(t1w.data.shape, bool)
            mask[tuple(index.T)] = True
            mask = ndimage.binary_closing(mask, iterations=2)
            visits.append(Visit(t1w, mask, brain[::40]))
        agreement = within_subject_template(visits).agreement
        print(f"{first} and {second}: {min(agreement):.2f}", flush=True)


def table(files: list[Path]) -> None:
    """Print what the lines say, by participant and together."""
    lines = [json.loads(text) for file in files for text in file.read_text().splitlines()]
    for change in sorted({line["change"] for line in lines}):
        here = [line for line in lines if line["change"] == change]
        true = np.mean([line["true_2"] - line["true_1"] for line in here])
        print(f"\nuptake of the target {change:+.0%} at the second visit, {true:+.1f} CL in truth")
        print("                    measured minus true change, CL        beyond image noise, CL")
        print("             mean         root mean square          root mean square    template")
        print(
            "participant  pairs   own  template   own template placed      own template  minus own"
        )
        for name in [*dict.fromkeys(line["participant"] for line in here), "all"]:
            print(row(name, [line for line in here if name in (line["participant"], "all")]))
    print(f"\nvisits misplaced by up to {max(line['apart_mm'] for line in lines):.3f} mm")
    print(f"agreement {min(line['agreement'] for line in lines):.3f} or more")
    for what in ("ventricles", "tissue"):
        spread = [abs(line[f"{what}_2"] - line[f"{what}_1"]) for line in lines]
        print(f"{what}: two visits differ by up to {max(spread):.1f} ml")


def row(name: str, lines: list[dict[str, float]]) -> str:
    """Row of the table."""

    def of(key: str) -> np.ndarray:
        return np.array([line[key] for line in lines])

    def rms(values: np.ndarray) -> float:
        return float(np.sqrt((values**2).mean()))

    change = {m: of(f"{m}_2") - of(f"{m}_1") for m in ("true", "placed", "own", "template")}
    own, template, placed = (change[m] - change["true"] for m in ("own", "template", "placed"))
    level = np.mean([of(f"template_{k}") - of(f"own_{k}") for k in (1, 2)])
    return (
        f"{name:11}{len(lines):7d}{own.mean():+6.2f}{template.mean():+10.2f}"
        f"{rms(own):6.2f}{rms(template):9.2f}{rms(placed):7.2f}"
        f"{rms(own - placed):9.2f}{rms(template - placed):9.2f}{level:+11.2f}"
    )


def main() -> None:
    """Print the lines, or the table of lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("participants", nargs="*", default=["sub-01"])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--change", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strangers", action="store_true", help="T1ws of different people")
    parser.add_argument("--table", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
        return
    if arguments.strangers:
        strangers(arguments.data, arguments.participants)
        return
    for sub in arguments.participants:
        given = arguments.pairs, arguments.change, arguments.seed
        for line in pairs(arguments.data, sub, *given):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
