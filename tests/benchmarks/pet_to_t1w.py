"""How far the PET lands from where it is known to lie: the table of both rigid registrations.

    python tests/benchmarks/pet_to_t1w.py DATA [--participant LABEL ...] [--displaced N]

``DATA`` as for known_heads.py; the standard pipeline's field places the cortical and cerebellar
volumes of interest. Each T1w is segmented, then its PET is registered as
it is and N times more after moving it by 40 mm and 30 degrees, each time in another direction.
The error is the mean distance over the voxels of both volumes of interest, in mm. Seconds are
processor time of one registration; memory is its own peak, without the inputs.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from known_heads import KnownHead, participants, registration_head

from bidsapp.core.grid.alignment import Matrix, displacement, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.head import Head
from bidsapp.core.registration.rigid import RigidFit, register
from bidsapp.data import vois
from bidsapp.steps.anatomy import segment_head

SHIFT_MM, TURN_DEG = 40.0, 30.0


@dataclass(frozen=True)
class Row:
    """One registration; errors in mm over both volumes, and over each for the model."""

    participant: str
    displaced: int
    nmi: float
    model: float
    cortex: float
    cerebellum: float
    distance_mm: float
    unexplained: float
    fwhm_mm: float
    flags: str
    seconds: float
    megabytes: float


def rows(data: Path, participant: str, displaced: int) -> Iterator[Row]:
    """Register one participant's PET as it is (number 0) and ``displaced`` times moved."""
    known = KnownHead(data, participant)
    cortex, cerebellum = (known.field[vois(2)[name]].astype(np.float64) for name in ("ctx", "wc"))
    head = registration_head(segment_head(known.t1w).segmentation, known.t1w.affine)
    for number in range(displaced + 1):
        spoil = displacement_number(number, int(participant), cortex.mean(axis=0))
        pet = Volume(known.pet.data, spoil @ known.pet.affine)
        fit, seconds, megabytes = measured(pet, head)
        goal = spoil @ known.t1w_to_pet
        both = np.concatenate([cortex, cerebellum])
        yield Row(
            participant=participant,
            displaced=number,
            nmi=displacement(fit.nmi, goal, both),
            model=displacement(fit.model, goal, both),
            cortex=displacement(fit.model, goal, cortex),
            cerebellum=displacement(fit.model, goal, cerebellum),
            distance_mm=fit.distance_mm,
            unexplained=fit.unexplained,
            fwhm_mm=fit.fwhm_mm,
            flags=" ".join(fit.doubts) or "-",
            seconds=seconds,
            megabytes=megabytes,
        )


def displacement_number(number: int, seed: int, centre: np.ndarray) -> Matrix:
    """Return the ``number``-th displacement about ``centre``; number 0 is none."""
    if number == 0:
        return np.eye(4)
    shift, axis = np.random.default_rng([seed, number]).normal(size=(2, 3))
    shift *= SHIFT_MM / np.linalg.norm(shift)
    axis *= np.radians(TURN_DEG) / np.linalg.norm(axis)
    return rigid_matrix([*shift, *axis], centre)


def measured(pet: Volume, head: Head) -> tuple[RigidFit, float, float]:
    """Register; also return processor seconds and peak megabytes."""
    tracemalloc.start()
    start = time.process_time()
    fit = register(pet, head)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return fit, seconds, peak / 1e6


def main() -> None:
    """Print the table; write it as JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--participant", nargs="*")
    parser.add_argument("--displaced", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    columns = list(Row.__dataclass_fields__)
    print(*columns, sep="\t")
    table = []
    for label in args.participant or participants(args.data):
        for row in rows(args.data, label, args.displaced):
            table.append(asdict(row))
            print(
                *(f"{v:.3g}" if isinstance(v, float) else v for v in asdict(row).values()), sep="\t"
            )
    for method in ("nmi", "model"):
        errors = [row[method] for row in table]
        print(f"{method}: mean {np.mean(errors):.2f} mm, largest {max(errors):.2f} mm")
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
