"""Would another setting of the segmentation agree better? One table of candidates, leave-one-out.

    python tests/benchmarks/candidates.py DATA [--candidate NAME ...] [--participant LABEL ...]
        [--json FILE]

``DATA`` as for known_heads.py, with ``reference.tsv`` (uptake ratios of the standard normalisation
with the known displacement of the PET). For every candidate and participant: difference of the
Centiloid (PiB scale) by each reference region, distance of the field from the standard's in the
cortical and the cerebellar volume of interest (mm), rounds, processor seconds and peak memory of a
process of its own. The template head of the package is segmented, too: distance only.

Then, per candidate, the regression of the level-1 criterion and the mean and largest difference;
and what choosing among the candidates is worth: for each participant the candidate that is best on
the others. If that is not better than what is shipped, a better row is luck with these heads.
``--json`` keeps the rows and adds to those it finds there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from agreement import PIB_SCALE, agreement
from known_heads import KnownHead, participants, suvrs
from scipy.ndimage import gaussian_filter

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.anatomy.segment import Options, segment
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.data import priors, template, vois
from bidsapp.io.nifti import load_volume

TEMPLATE = "MNI152NLin6Asym"
# Options, and FWHM (mm) by which the shipped priors are blurred further.
CANDIDATES: dict[str, tuple[Options, float]] = {
    "as shipped": (Options(), 0.0),
    "to convergence": (Options(rounds=60, gain=1e-5), 0.0),
    "priors of 6 mm": (Options(), float(np.sqrt(6.0**2 - 4.0**2))),
    "warp twice as stiff": (Options(warp_penalty=2.0), 0.0),
    "warp half as stiff": (Options(warp_penalty=0.5), 0.0),
    "samples of 2 mm": (Options(spacing_mm=2.0), 0.0),
}


def row(folder: Path, candidate: str, label: str) -> dict[str, object]:
    """Segment one head under one candidate."""
    options, fwhm = CANDIDATES[candidate]
    shipped = priors()
    sigma = fwhm / FWHM_PER_SIGMA / shipped.grid.voxel_size
    maps = np.stack([gaussian_filter(tissue, sigma) for tissue in shipped.maps])
    known = KnownHead(folder, label)
    t1w = template(1) if label == TEMPLATE else known.t1w
    start = time.process_time()
    found = segment(t1w, TissuePriors(maps, shipped.affine), options)
    seconds = time.process_time() - start
    of_template = folder / "spm_fields" / f"tpl-{TEMPLATE}_from-MNI_to-tpl.nii.gz"
    standard = load_volume(of_template).data if label == TEMPLATE else known.field
    apart = np.linalg.norm(found.field - standard, axis=-1)
    return {
        "candidate": candidate,
        "participant": label,
        **({} if label == TEMPLATE else _ratios(known, found.field)),
        "mm_ctx": float(apart[vois(2)["ctx"]].mean()),
        "mm_wc": float(apart[vois(2)["wc"]].mean()),
        "rounds": found.quality["rounds"],
        "seconds": seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _ratios(known: KnownHead, field: np.ndarray) -> dict[str, float]:
    """Uptake ratios with the known displacement, ours and the standard's."""
    ours = suvrs(known.pet, transform(known.t1w_to_pet, field.astype(np.float64)))
    table = pd.read_csv(known.data / "reference.tsv", sep="\t").set_index("participant_id")
    found = {}
    for region, ratio in ours.items():
        found[f"suvr_{region}"] = ratio
        found[f"standard_{region}"] = float(table.loc[known.name, f"suvr_{region}"])
    return found


def summary(table: pd.DataFrame) -> Iterator[str]:
    """Agreement per candidate, and what choosing is worth."""
    people = table[table.participant != TEMPLATE]
    off = pd.DataFrame(
        {r: PIB_SCALE[r][0] * (people[f"suvr_{r}"] - people[f"standard_{r}"]) for r in PIB_SCALE}
    )
    off = off.set_index(pd.MultiIndex.from_frame(people[["candidate", "participant"]]))
    yield off.round(2).to_string()
    for name, rows in people.groupby("candidate", sort=False):
        for region in PIB_SCALE:
            found = agreement(rows[f"suvr_{region}"], rows[f"standard_{region}"], region)
            yield (
                f"{name:20s} {region:5s} slope {found.slope:.3f} intercept {found.intercept:+.2f} "
                f"R2 {found.r2:.4f} mean {found.mean_absolute:.2f} largest {found.largest:.2f} CL"
            )
        means = rows[["mm_ctx", "mm_wc", "seconds", "megabytes"]].mean()
        yield f"{name:20s} " + "  ".join(f"{k} {v:.2f}" for k, v in means.items())
    size = off.abs().mean(axis=1).unstack("candidate").dropna()
    for label in size.index:
        best = size.drop(label).mean().idxmin()
        yield (
            f"leave {label} out: best on the others is '{best}', {size.loc[label, best]:.2f} CL on "
            f"it; shipped {size.loc[label, 'as shipped']:.2f} CL"
        )


def main() -> None:
    """Segment what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--candidate", nargs="*", choices=list(CANDIDATES))
    parser.add_argument("--participant", nargs="*")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    labels = args.participant or [*participants(args.data), TEMPLATE]
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    known = {(found["candidate"], found["participant"]) for found in rows}
    # a fresh process for each, so that the peak of memory is its own
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for candidate in args.candidate or CANDIDATES:
            for label in labels:
                if (candidate, label) in known:
                    continue
                rows.append(pool.apply(row, (args.data, candidate, label)))
                print(json.dumps(rows[-1]), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    print(*summary(pd.DataFrame(rows)), sep="\n")


if __name__ == "__main__":
    main()
