"""Are wrong results told, and right ones left alone? The limits of data/limits.toml come from here.

    python tests/benchmarks/confidence.py DATA [--participant LABEL ...] [--keep DIR] [--json FILE]

``DATA`` as for known_heads.py. For every participant

* the normalisation as it is, and with a T1w that was turned, cut, coarsened or made noisy: good;
* the same normalisation after moving it on the template by 5-30 mm or degrees, stretching it by a
  quarter, exchanging front and back; and the model fitted from such a start: spoilt;
* the registration as it is, with a displaced PET and with a noisy one: good;
* the PET put 5-30 mm or degrees away by both registrations, PETs of other people, and PETs with
  left and right exchanged: spoilt;
* registrations whose first half ended as far away: misled.

A case counts as good or spoilt by what it is, not by what it was meant to be: spoilt when the
volumes of interest lie more than 3 mm from where they belong or the Centiloid (PiB scale) is off by
more than 5, or the PET is of somebody else or mirrored; good within 1.5 mm and 2 CL; the others are
not counted. A misled registration that ends well is rescued: its flag, that the two halves differ,
is no false alarm. Printed: every case; the share of spoilt ones that is flagged, of good ones that
is, and of misled ones that are rescued; for each number the worst good value beside what the spoilt
ones have. ``--keep`` holds the segmentations, so that a second run is quicker.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from known_heads import KnownHead, participants, pib_centiloid, registration_head
from robustness import VARIATIONS
from scipy import ndimage

from bidsapp.core.anatomy.confidence import normalisation_quality
from bidsapp.core.anatomy.normalise import STRIPPED
from bidsapp.core.anatomy.segment import segment
from bidsapp.core.anatomy.start import Start
from bidsapp.core.grid.alignment import displacement, inverse, rigid_matrix, transform
from bidsapp.core.grid.sampling import scattered_points
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import flagged
from bidsapp.core.registration import rigid
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.settings import PetToT1w
from bidsapp.steps.anatomy import SegmentedT1w, head_template, segment_head
from bidsapp.steps.positioning import position_findings

SPOILT_MM, SPOILT_CL, GOOD_MM, GOOD_CL = 3.0, 5.0, 1.5, 2.0
MOVES = 4  # random ones per participant
GOOD_VARIATIONS = ("rotated 20 degrees", "noise 5 %")


@dataclass(frozen=True)
class Case:
    """One normalisation or registration.

    ``kind``: normalisation or position. ``off_mm``: mean distance over the volumes of interest from
    where they belong; ``off_cl``: Centiloid (PiB scale) minus the right one. ``numbers``: those
    that have limits. ``misled``: the first half of the registration was spoilt.
    """

    kind: str
    participant: str
    what: str
    off_mm: float
    off_cl: float
    flags: tuple[str, ...]
    numbers: dict[str, float] = field(default_factory=dict)
    always_spoilt: bool = False
    misled: bool = False

    @property
    def spoilt(self) -> bool:
        return self.always_spoilt or self.off_mm > SPOILT_MM or abs(self.off_cl) > SPOILT_CL

    @property
    def good(self) -> bool:
        return not self.spoilt and self.off_mm <= GOOD_MM and abs(self.off_cl) <= GOOD_CL


class Person:
    """Images, segmentation and truth of one participant."""

    def __init__(self, folder: Path, label: str, keep: Path | None) -> None:
        self.label, self.template = label, head_template()
        known = KnownHead(folder, label)
        self.t1w, self.pet, self.truth = known.t1w, known.pet, known.t1w_to_pet
        self.found = self._segmented(keep / f"sub-{label}.pkl" if keep else None)
        if self.found.quality["skull_missing"] > STRIPPED:
            self.template = self.template.stripped
        self.field = self.found.segmentation.field.astype(np.float64)
        self.centiloid = self.centiloid_at(self.field, self.truth)

    def _segmented(self, kept: Path | None) -> SegmentedT1w:
        if kept and kept.exists():
            return pickle.loads(kept.read_bytes())
        found = segment_head(self.t1w)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(pickle.dumps(found))
        return found

    def centiloid_at(self, where: np.ndarray, t1w_to_pet: np.ndarray) -> float:
        """Centiloid on the PiB scale."""
        return pib_centiloid(self.pet, transform(t1w_to_pet, where))

    def off_mm(self, where: np.ndarray) -> float:
        """Mean distance of a field from the right one over both volumes of interest."""
        return float(
            np.mean(
                [np.linalg.norm((where - self.field)[vois(2)[m]], axis=-1).mean()
                 for m in ("ctx", "wc")]
            )
        )  # fmt: skip


def moves(seed: int, centre: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Random displacements by 5-30 mm or 5-30 degrees."""
    rng = np.random.default_rng(seed)
    for number in range(MOVES):
        axis, size = rng.normal(size=3), float(rng.uniform(5, 30))
        axis *= size / np.linalg.norm(axis)
        if number % 2:
            yield f"{size:.0f} degrees", rigid_matrix([0, 0, 0, *np.radians(axis)], centre)
        else:
            yield f"{size:.0f} mm", rigid_matrix([*axis, 0, 0, 0], centre)


# ---------------------------------------------------------------- normalisation


def normalisations(person: Person) -> Iterator[Case]:
    """Good and spoilt normalisations of one participant."""
    yield _case(person, "as it is", person.field, person.found)
    for what in GOOD_VARIATIONS:
        image, motion = VARIATIONS[what](person.t1w)
        found = segment_head(image)
        where = transform(inverse(motion), found.segmentation.field.astype(np.float64))
        yield _case(person, what, where, found)
    grid, centre = mni_grid(2), np.array([0.0, -20.0, 10.0])
    stretch, reverse = np.eye(4), np.diag([1.0, -1.0, 1.0, 1.0])
    stretch[:3, :3] *= 1.25
    stretch[:3, 3] = -0.25 * centre
    reverse[1, 3] = 2 * centre[1]
    others = [("stretched", stretch), ("shrunk", inverse(stretch)), ("front to back", reverse)]
    for what, move in (*moves(int(person.label), centre), *others):
        index = np.moveaxis(transform(inverse(grid.affine) @ move, grid.world()), -1, 0)
        where = np.stack(
            [
                ndimage.map_coordinates(person.field[..., k], index, order=1, mode="nearest")
                for k in range(3)
            ],
            axis=-1,
        )
        yield _case(person, what, where, person.found, moved=True)
    affine = person.found.segmentation.warp.affine
    for what, move in list(moves(100 + int(person.label), centre))[:1]:
        displaced = Start(move @ affine, 0.0, 0.0, 0.0)
        found = segment(person.t1w, person.template.priors, start=displaced)
        spoilt = SegmentedT1w(found, found.quality, ())
        yield _case(person, f"start {what} off", found.field.astype(float), spoilt, moved=True)


def _case(
    person: Person, what: str, where: np.ndarray, found: SegmentedT1w, *, moved: bool = False
) -> Case:
    quality, findings = found.quality, found.findings
    if moved:
        part = found.segmentation
        quality = quality | normalisation_quality(
            Volume(part.corrected, person.t1w.affine), part.probabilities, part.brain_mask,
            where.astype(np.float32), person.template,
        )  # fmt: skip
        findings = flagged(quality, read_table("limits"), look="look")
    return Case(
        "normalisation",
        person.label,
        what,
        person.off_mm(where),
        person.centiloid_at(where, person.truth) - person.centiloid,
        tuple(finding.code for finding in findings),
        {name: value for name, value in quality.items() if name in read_table("limits")},
    )


# ---------------------------------------------------------------- registration


def positions(person: Person, other: Person) -> Iterator[Case]:
    """Good and spoilt registrations of one participant."""
    head = registration_head(person.found.segmentation, person.t1w.affine)
    pet = rigid.measured_part(person.pet)
    brain = scattered_points(person.found.segmentation.brain_mask, person.t1w.affine, 10.0)

    def whole(image: Volume) -> rigid.RigidFit:
        """Register from scratch."""
        nmi, score = rigid._register_nmi(head, image, rigid._rough_positions(head, image))
        return rigid.choose_position(head, image, nmi, score, brain, PetToT1w.MODEL)

    right = whole(pet)
    yield _position(person, "as it is", right)
    rng = np.random.default_rng(int(person.label))
    noise = rng.normal(scale=0.15 * pet.data[pet.data > 0].mean(), size=pet.data.shape)
    noisy = Volume((pet.data + noise).astype(np.float32), pet.affine)
    yield _position(person, "noise 15 %", rigid.choose_position(
        head, noisy, right.nmi, right.score, brain, PetToT1w.MODEL))  # fmt: skip
    centre = transform(right.matrix, head.centre)
    for what, move in moves(200 + int(person.label), centre):
        start = move @ right.nmi
        fit = rigid.choose_position(head, pet, start, right.score, brain, PetToT1w.MODEL)
        yield _position(person, f"first half {what} off", fit, misled=True)
        shown = rigid.own_anatomy(head, pet, start, right.fwhm_mm)
        wrong = replace(right, matrix=start, nmi=start, model=start, distance_mm=0.0,
                        own_anatomy=shown)  # fmt: skip
        yield _position(person, f"both {what} off", wrong)
    flipped = Volume(pet.data[::-1].copy(), pet.affine)
    for what, image in (
        (f"PET of {other.label}", rigid.measured_part(other.pet)), ("left-right", flipped),
    ):  # fmt: skip
        yield _position(person, what, whole(image), always_spoilt=True)


def _position(
    person: Person,
    what: str,
    fit: rigid.RigidFit,
    always_spoilt: bool = False,
    misled: bool = False,
) -> Case:
    points = np.concatenate([person.field[vois(2)[m]] for m in ("ctx", "wc")])
    return Case(
        "position",
        person.label,
        what,
        displacement(fit.matrix, person.truth, points),
        person.centiloid_at(person.field, fit.matrix) - person.centiloid,
        tuple(finding.code for finding in position_findings(fit)),
        {
            "pet_t1w_distance_mm": fit.distance_mm,
            "pet_t1w_unexplained": fit.unexplained,
            **({} if fit.own_anatomy is None else {"pet_t1w_own_anatomy": fit.own_anatomy}),
        },
        always_spoilt,
        misled,
    )


# ---------------------------------------------------------------- summary


def summary(cases: list[Case]) -> Iterator[str]:
    """Shares of flagged cases, and ranges of the numbers."""
    for kind in ("normalisation", "position"):
        here = [case for case in cases if case.kind == kind]
        spoilt, good = [c for c in here if c.spoilt], [c for c in here if c.good and not c.misled]
        caught, alarms = sum(bool(c.flags) for c in spoilt), sum(bool(c.flags) for c in good)
        yield f"{kind}: {caught} of {len(spoilt)} spoilt flagged, {alarms} of {len(good)} good"
        if misled := [case for case in here if case.misled]:
            yield f"  {sum(case.good for case in misled)} of {len(misled)} misled are rescued"
        for name in sorted({name for case in here for name in case.numbers}):
            ours = [c.numbers[name] for c in good if name in c.numbers]
            theirs = [c.numbers[name] for c in spoilt if name in c.numbers]
            limit = read_table("limits").get(name, {})
            if ours and theirs:
                yield (
                    f"  {name:24s} good {min(ours):.3g} to {max(ours):.3g}   spoilt "
                    f"{' '.join(f'{v:.3g}' for v in np.percentile(theirs, [0, 10, 50, 90, 100]))}"
                    f" (0 10 50 90 100 %)   limit {limit or '-'}"
                )


def main() -> None:
    """Print the cases and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--participant", nargs="*")
    parser.add_argument("--only", choices=["normalisation", "position"])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cases: list[Case] = []
    labels = args.participant or participants(args.data)
    people = [Person(args.data, label, args.keep) for label in labels]
    for person, other in zip(people, [*people[1:], people[0]], strict=True):
        made: list[Iterator[Case]] = []
        if args.only != "position":
            made.append(normalisations(person))
        if args.only != "normalisation":
            made.append(positions(person, other))
        for case in (case for group in made for case in group):
            cases.append(case)
            verdict = "spoilt" if case.spoilt else "good" if case.good else "between"
            print(
                f"{case.kind[:4]} sub-{case.participant} {case.what:28s} {case.off_mm:6.2f} mm "
                f"{case.off_cl:+7.2f} CL  {verdict:8s}{' '.join(case.flags) or '-'}  "
                + " ".join(f"{name}={value:.3g}" for name, value in case.numbers.items()),
                flush=True,
            )
            if args.json:
                args.json.write_text(json.dumps([asdict(case) for case in cases], indent=1))
    print(*summary(cases), sep="\n")


if __name__ == "__main__":
    main()
