"""How a participant's own parcellation is told from that of another head.

python tests/benchmarks/parcellations.py LABELS T1WS ...

LABELS is a folder of label images ``sub-<label>_dseg.nii.gz`` (FreeSurfer's numbers) with
``truth.json``, which has by participant ``label_to_t1w`` (4 x 4, RAS mm); T1WS are T1ws of the
same participants. Every head is segmented (30 s each); printed are the numbers that
`bidsapp.steps.parcellating.fit` has for its own labels, for those moved and mirrored, and for those
of two other heads, centred on it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume, mask_centre
from bidsapp.core.regions.regions import Regions
from bidsapp.data.atlases import Atlas
from bidsapp.data.freesurfer import freesurfer_rows
from bidsapp.io.nifti import load_labels, load_volume
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.head import HeadTissues
from bidsapp.steps.parcellating import fit

_EXTRACEREBRAL = 200
_OTHERS = 2  # heads that each is compared with
# Parcellations of fewer and coarser regions: label -> label, others dropped.
_KINDS = {
    "structures": None,
    "hemispheres": dict.fromkeys((2, 3, 10, 11, 12, 13, 17, 18, 26, 28), 1)
    | dict.fromkeys((41, 42, 49, 50, 51, 52, 53, 54, 58, 60), 2)
    | dict.fromkeys((7, 8, 46, 47), 3),
    "cortex": {3: 3, 42: 42, 8: 8, 47: 47},
    "hippocampi": {17: 17, 53: 53},
}


def parcellation(data: np.ndarray, affine: np.ndarray) -> Atlas:
    """Atlas in the space of a T1w."""
    rows = freesurfer_rows(np.unique(data).tolist())
    regions = Regions.from_labels(data, [row.index for row in rows])
    return Atlas("toy", "toy", rows, regions, {}, grid=Volume(data, affine).grid)


def main(labels: Path, t1ws: list[Path]) -> None:
    """Print the range of each number by kind of parcellation and by what was done to it."""
    truth = json.loads((labels / "truth.json").read_text())
    heads = {}
    for path in t1ws:
        name = path.name.split("_", 1)[0]
        cached = path.with_suffix(".npz")
        if cached.is_file():
            with np.load(cached) as stored:
                tissues, brain = stored["tissues"], stored["brain"]
        else:
            found = segment_head(load_volume(path, ndim=3)).segmentation
            tissues, brain = np.moveaxis(found.probabilities, 0, -1), found.brain_mask
            np.savez(cached, tissues=tissues, brain=brain)
        own = load_labels(labels / f"{name}_dseg.nii.gz")
        numbers = np.where(own.data >= _EXTRACEREBRAL, 0, own.data).astype(int)
        affine = load_volume(path, ndim=3).affine
        place = np.array(truth[name]["label_to_t1w"]) @ own.affine
        maps = [Volume(tissue, affine) for tissue in np.moveaxis(tissues, -1, 0)]
        heads[name] = HeadTissues(*maps, Volume(brain, affine)), numbers, place
    print("kind\tlabels\tn\tinside\there\tratio")
    for kind, merged in _KINDS.items():
        numbers_of = defaultdict(list)
        for name, (tissues, numbers, place) in heads.items():
            centre = transform(tissues.mask.affine, mask_centre(tissues.mask.data))
            for what, data, at in _tried(name, heads, numbers, place, centre):
                if merged is not None:
                    data = sum(np.where(data == n, m, 0) for n, m in merged.items())
                numbers_of[what].append(fit(parcellation(data, at), tissues))
        for what, rows in numbers_of.items():
            inside, here, beside = np.array(rows).T
            cells = [
                f"{v.min():.2f}-{v.max():.2f}" for v in (inside, here, here / np.fmax(beside, 1e-9))
            ]
            print(kind, what, len(rows), *cells, sep="\t", flush=True)


def _tried(name, heads, numbers, place, centre):
    yield "own", numbers, place
    for shift in ((2, 0, 0), (0, 3, 0), (0, 0, 5)):
        moved = place.copy()
        moved[:3, 3] += shift
        yield f"moved by {max(shift)} mm", numbers, moved
    yield "mirrored", numbers[::-1], _centred(numbers[::-1], place, centre)
    names = list(heads)
    for step in range(1, _OTHERS + 1):
        *_, theirs, where = heads[names[(names.index(name) + step) % len(names)]]
        yield "other head", theirs, _centred(theirs, where, centre)


def _centred(numbers, place, centre):
    moved = place.copy()
    moved[:3, 3] += centre - transform(place, mask_centre(numbers > 0))
    return moved


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("t1ws", type=Path, nargs="+")
    options = parser.parse_args()
    main(options.labels, options.t1ws)
