"""Our normalisation against the standard pipeline's, head by head, in Centiloids.

    python tests/benchmarks/normalisation.py DATA [--heads BIDS] [--set whole stripped bids]
        [--half odd|even] [--only ID ...] [--priors NIFTI] [--checks] [-o TABLE.tsv]

``DATA`` holds ``heads/`` (label maps, deformation of the standard pipeline; their images are made
by the maker of synthetic heads and named by ``--heads``), ``brains/`` (stripped heads and their
deformation) and ``bids/`` with ``spm_fields/`` and ``rigid_truth.json``. The PET stays where it is
known to lie and is read through both deformations. Stripped heads have no PET: one is made of the
tissue that their intensities show, so that its edges are real ones, with uptake by place.

Printed: differences in Centiloids of the PiB scale, fields apart in mm, part of the ventricles
(labels) that counts as white matter, flags, processor seconds; and their summary by set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from agreement import PIB_SCALE
from known_heads import KnownHead, deformation, suvrs
from scipy import ndimage
from scipy.spatial import cKDTree

from bidsapp import data
from bidsapp.core.anatomy.confidence import Template
from bidsapp.core.anatomy.normalise import normalise, suited
from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.anatomy.segment import segment
from bidsapp.core.anatomy.start import find_head
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import codes_beyond
from bidsapp.errors import BadDataError
from bidsapp.io.nifti import load_volume

VENTRICLES = (4, 43)  # of the label maps
PSF_MM = 6.0
# uptake relative to the cerebellar grey matter's 0.8, by place in the template (|x|, y, z)
RICH = (((8, 45, 20), 1.4), ((35, 40, 20), 1.4), ((7, -50, 28), 1.4), ((8, -65, 42), 1.4),
        ((45, -55, 40), 1.15), ((58, -20, -10), 1.0), ((36, 5, 0), 0.95), ((40, -25, 55), 0.5),
        ((48, -12, 35), 0.6), ((10, -85, 5), 0.5), ((22, -12, -28), 0.35),
        ((35, -50, -18), 0.65))  # fmt: skip
RICH_MM = 14.0


@dataclass(frozen=True)
class Case:
    """A head, its PET in T1w space, the standard deformation, and its ventricles where known."""

    name: str
    kind: str
    t1w: Callable[[], Volume]
    pet: Callable[[Volume, np.ndarray], tuple[Volume, np.ndarray]]
    field: Callable[[], np.ndarray]
    ventricles: Callable[[], Volume] | None = None


def whole(source: Path, bids: Path) -> Iterator[Case]:
    """The synthetic whole heads."""
    truth = json.loads((source / "heads" / "truth.json").read_text())
    for name in sorted(truth):
        raw = bids / name
        known = truth[name]

        def pet(t1w: Volume, field: np.ndarray, raw=raw, known=known) -> tuple[Volume, np.ndarray]:
            return load_volume(next(raw.glob("pet/*_pet.nii.gz"))), np.array(known["t1w_to_pet"])

        def ventricles(name=name, known=known) -> Volume:
            labels = load_volume(source / "heads" / f"{name}_dseg.nii.gz")
            inside = ndimage.binary_erosion(np.isin(np.round(labels.data), VENTRICLES))
            return Volume(inside, np.array(known["label_to_t1w"]) @ labels.affine)

        yield Case(
            name, "whole",
            lambda raw=raw, name=name: load_volume(raw / "anat" / f"{name}_T1w.nii.gz"),
            pet,
            lambda name=name: deformation(source / "heads" / f"{name}_from-MNI_to-T1w.nii.gz", 3),
            ventricles,
        )  # fmt: skip


def stripped(source: Path) -> Iterator[Case]:
    """The real skull-stripped heads, with a PET of their own tissue."""
    for path in sorted((source / "brains").glob("sub-*_T1w.nii.gz")):
        name = path.name.split("_")[0]
        load = 0.08 + 0.15 * (int(name[4:]) % 9)
        yield Case(
            f"{name}", "stripped",
            lambda path=path: load_volume(path),
            lambda t1w, field, load=load: (simulated_pet(t1w, field, load), np.eye(4)),
            lambda name=name: deformation(source / "brains" / f"{name}_from-MNI_to-T1w.nii.gz", 4),
        )  # fmt: skip


def development(source: Path) -> Iterator[Case]:
    """The seven real heads with simulated PET."""
    truth = json.loads((source / "rigid_truth.json").read_text())
    for name in sorted(truth):
        if not name.startswith("sub-"):
            continue
        known = KnownHead(source, name)
        yield Case(
            name, "bids",
            lambda known=known: known.t1w,
            lambda t1w, field, known=known: (known.pet, known.t1w_to_pet),
            lambda known=known: known.field.astype(np.float64),
        )  # fmt: skip


def simulated_pet(t1w: Volume, field: np.ndarray, load: float) -> Volume:
    """PET of a stripped head on its own grid: tissue by intensity alone, uptake by place."""
    inside = np.nan_to_num(t1w.data) > 0
    csf, grey, white = intensity_tissue(t1w, inside)
    place = template_place(t1w, inside, field)
    wcb = data.vois(2)["wcb"]
    near = ndimage.distance_transform_edt(~wcb, sampling=2.0) <= 4
    grid = data.mni_grid(2)
    index = np.round(transform(np.linalg.inv(grid.affine), place)).astype(int)
    low = near[tuple(np.clip(index, 0, np.array(near.shape) - 1).T)] & (place[:, 2] < -12)
    stem = low & (np.abs(place[:, 0]) < 16) & (place[:, 1] > -40)
    amount, total = np.zeros(len(place)), np.full(len(place), 1e-9)
    for (x, y, z), rich in RICH:
        away = (np.abs(place[:, 0]) - x) ** 2 + (place[:, 1] - y) ** 2 + (place[:, 2] - z) ** 2
        weight = np.exp(-away / (2 * RICH_MM**2)) + 1e-12
        amount, total = amount + weight * rich, total + weight
    cortex = np.where(low, np.where(stem, 1.4, 0.8), 0.85 + load * amount / total)
    matter = np.where(low, np.where(stem, 1.45, 1.35), 1.5)
    image = np.zeros(t1w.data.shape, np.float32)
    image[inside] = cortex * grey[inside] + matter * white[inside] + 0.4 * csf[inside]
    sigma = PSF_MM / FWHM_PER_SIGMA / t1w.grid.voxel_size
    return Volume(ndimage.gaussian_filter(image, sigma), t1w.affine)


def intensity_tissue(t1w: Volume, inside: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fractions of CSF, grey and white matter from intensities alone, no prior."""
    image = t1w.data.astype(np.float64)
    sigma = 30 / FWHM_PER_SIGMA / t1w.grid.voxel_size
    even = image
    means = np.percentile(image[inside], [10, 50, 85])
    for _ in range(3):
        values = even[inside]
        for _ in range(20):
            nearest = np.abs(values[:, None] - means).argmin(axis=1)
            means = np.array([values[nearest == k].mean() for k in range(3)])
        white = inside & (even > (means[1] + means[2]) / 2)
        weight = ndimage.gaussian_filter(white.astype(np.float64), sigma)
        local = ndimage.gaussian_filter(np.where(white, image, 0), sigma) / np.maximum(weight, 1e-3)
        local = np.where(weight > 0.02, local, image[white].mean())
        even = image / local * image[white].mean()
    knots = means
    fluid = np.interp(even, knots[:2], [1, 0]) * inside
    matter = np.interp(even, knots[1:], [0, 1]) * inside
    return fluid, inside - fluid - matter, matter


def template_place(t1w: Volume, inside: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Template coordinate of every voxel of a mask, by the nearest point of a deformation."""
    world = transform(t1w.affine, np.argwhere(inside).astype(float))
    target = data.mni_grid(2).world().reshape(-1, 3)
    return target[cKDTree(field.reshape(-1, 3)).query(world)[1]]


def measure(case: Case, template: Template, checks: bool) -> dict[str, object]:
    """Segment a head and compare."""
    t1w = case.t1w()
    begin = time.process_time()
    flags, extra = "", {}
    try:
        if checks:
            done = normalise(t1w, template, data.read_table("limits"))
            found = done.segmentation
            codes = set(codes_beyond(done.quality, data.read_table("limits")))
            flags = " ".join(sorted(codes | ({"normalisation-fallback"} if done.reason else set())))
            extra = done.quality
        else:
            start = find_head(t1w, template.priors, template.priors.sampler)
            found = segment(t1w, suited(template, t1w, start)[0].priors, start=start)
            extra = found.quality
    except BadDataError as error:
        return {"name": case.name, "set": case.kind, "flags": f"refused: {error}"}
    seconds = time.process_time() - begin
    standard = case.field()
    pet, there = case.pet(t1w, standard)
    row: dict[str, object] = {"name": case.name, "set": case.kind}
    suvr = [suvrs(pet, transform(there, np.asarray(f, float))) for f in (standard, found.field)]
    for region, (slope, _) in PIB_SCALE.items():
        row[region] = slope * (suvr[1][region] - suvr[0][region])
        row[f"standard_{region}"] = slope * suvr[0][region] + PIB_SCALE[region][1]
    apart = np.linalg.norm(found.field - standard, axis=-1)
    for voi in ("ctx", "wc", "pons"):
        row[f"mm_{voi}"] = float(apart[data.vois(2)[voi]].mean())
        drift = (found.field - standard)[data.vois(2)[voi]].mean(axis=0)
        row |= {f"d{axis}_{voi}": d for axis, d in zip("xyz", drift, strict=True)}
    if case.ventricles is not None:
        mask = case.ventricles()
        at = transform(mask.affine, np.argwhere(mask.data > 0).astype(float))
        ml = float(len(at)) * mask.grid.voxel_volume / 1000
        white = sample(Volume(found.probabilities[1], t1w.affine), at)
        row |= {"ventricles_ml": ml, "ventricle_white": float(np.nanmean(white))}
    row |= {"rounds": extra["rounds"], "flags": flags, "seconds": seconds}
    row |= {f"q_{key}": value for key, value in extra.items()}
    return row


def summary(table: pd.DataFrame) -> str:
    """Bias, SD, mean and largest difference, slope and R2 by set and region."""
    lines = ["set       region  n   bias     SD   mean|d|  largest  slope    R2"]
    for kind, rows in table.groupby("set"):
        for region in PIB_SCALE:
            d = rows[region].dropna()
            x = rows.loc[d.index, f"standard_{region}"]
            fit = np.polyfit(x, x + d, 1) if len(d) > 2 else (np.nan, np.nan)
            r2 = np.corrcoef(x, x + d)[0, 1] ** 2 if len(d) > 2 else np.nan
            size = d.abs()
            lines.append(
                f"{kind:9s} {region:6s} {len(d):2d} {d.mean():+6.2f} {d.std():6.2f}"
                f" {size.mean():8.2f} {size.max():8.2f} {fit[0]:6.3f} {r2:7.4f}"
            )
    return "\n".join(lines)


def cases_parser(description: str | None) -> argparse.ArgumentParser:
    """Command line that chooses heads, for `cases`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", type=Path)
    parser.add_argument("--set", nargs="+", default=["whole", "stripped", "bids"])
    parser.add_argument("--half", choices=["odd", "even"])
    parser.add_argument("--only", nargs="+")
    return parser


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Heads that the command line asks for."""
    found: list[Case] = []
    if "whole" in options.set and options.heads:
        found += whole(options.data, options.heads)
    if "stripped" in options.set:
        found += stripped(options.data)
    if "bids" in options.set:
        found += development(options.data)
    for case in found:
        number = int("".join(c for c in case.name if c.isdigit()))
        half = options.half is None or number % 2 == (options.half == "odd")
        if half and (not options.only or case.name in options.only):
            yield case


def main() -> None:
    """Run the cases and print the table."""
    parser = cases_parser(__doc__)
    parser.add_argument("--priors", type=Path)
    parser.add_argument("--checks", action="store_true", help="with checks and other ways")
    parser.add_argument("-o", type=Path)
    options = parser.parse_args()
    given, of_stripped = data.priors(), data.stripped_priors
    if options.priors:
        image = load_volume(options.priors, ndim=4)
        given = TissuePriors(np.moveaxis(image.data, -1, 0).astype(np.float32), image.affine)
        of_stripped = lambda: given  # noqa: E731
    template = Template(given, data.template_mask(2).data, data.vois(2), of_stripped)
    rows = []
    for case in cases(options):
        row = measure(case, template, options.checks)
        rows.append(row)
        shown = {k: v for k, v in row.items() if not k.startswith(("q_", "standard"))}
        cells = (f"{k}={v:.2f}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items())
        print(*cells, flush=True)
        if options.o:
            pd.DataFrame(rows).to_csv(options.o, sep="\t", index=False)
    print(summary(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
