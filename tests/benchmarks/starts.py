"""Does a segmentation depend on where it begins? The same head from three starts.

    python tests/benchmarks/starts.py DATA [--heads BIDS] [--set KIND ...] [--only ID ...]

``DATA`` and ``--heads`` as for normalisation.py. The start that was found, the same turned by 3
degrees and moved by 3 mm, and the same stretched by 4-5 % along each axis and moved. Printed:
Centiloid (PiB scale) of each minus that of the first, and the fields' mean distance over the
volumes of interest in mm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from agreement import PIB_SCALE
from known_heads import suvrs
from normalisation import Case, cases, cases_parser
from scipy.spatial.transform import Rotation

from bidsapp import data
from bidsapp.core.anatomy.normalise import suited
from bidsapp.core.anatomy.segment import segment
from bidsapp.core.anatomy.start import find_head
from bidsapp.core.grid.alignment import transform
from bidsapp.steps.anatomy import head_template


def other_starts() -> Iterator[np.ndarray]:
    """Affines of the template world that displace a start."""
    yield np.eye(4)
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 3, degrees=True).as_matrix()
    turned[:3, 3] = (1, -2, 2)
    yield turned
    stretched = np.diag([1.05, 0.95, 1.04, 1])
    stretched[:3, 3] = (-2, 3, -3)
    yield stretched


def row(case: Case) -> tuple[list[float], list[float]]:
    """Centiloids and distances (mm) of the other starts from the first."""
    t1w, template = case.t1w(), head_template()
    found = find_head(t1w, template.priors, template.priors.sampler)
    priors = suited(template, t1w, found)[0].priors
    pet, there = case.pet(t1w, case.field())
    slope = PIB_SCALE["wc"][0]
    needed = data.vois(2)["ctx"] | data.vois(2)["wc"]
    values, fields = [], []
    for change in other_starts():
        start = replace(found, affine=change @ found.affine)
        fields.append(segment(t1w, priors, start=start).field.astype(np.float64))
        values.append(slope * suvrs(pet, transform(there, fields[-1]))["wc"])
    apart = [np.linalg.norm(f - fields[0], axis=-1)[needed].mean() for f in fields[1:]]
    return [v - values[0] for v in values[1:]], [float(a) for a in apart]


def main() -> None:
    """Print a line a head."""
    for case in cases(cases_parser(__doc__).parse_args()):
        values, apart = row(case)
        print(
            case.kind, case.name, *(f"{v:+.2f} CL" for v in values), *(f"{a:.2f} mm" for a in apart)
        )


if __name__ == "__main__":
    main()
