"""How well a PET finds the template without a T1w: the table of docs/pet_only.md.

    python tests/benchmarks/pet_only.py DATA [sub-XX ...] [--displaced] [--spoilt]

Every PET scan of ``DATA/bids`` is normalised by itself, and what the GAAIN volumes then hold is
compared with ``DATA/reference.tsv``: what the standard normalisation of the T1w measures at the
known position of the PET. SUVRs of all tracers are put on the PiB scale. Printed besides: distance
from the standard's field over two volumes of interest, the quality numbers, and processor time.

``--displaced`` measures again with the PET 40 mm and 30 degrees away, in four directions;
``--spoilt`` with images that cannot give a result, or hardly: which are flagged?
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from agreement import PIB_SCALE, agreement
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.plan import ScanPlan
from bidsapp.bids.planning import make_plan
from bidsapp.core.alignment import rigid_matrix, transform
from bidsapp.core.pet_normalisation import PetNormalisation, normalise_pet
from bidsapp.core.quality import pet_only_findings
from bidsapp.core.resample import sample
from bidsapp.data import read_table, vois
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.errors import BadDataError
from bidsapp.nifti import load_volume
from bidsapp.settings import Filters, Processing
from bidsapp.volume import Volume

FAR_CL = 10.0  # a result that is off by more is wrong


def mean_pet(scan: ScanPlan) -> Volume:
    """Time-weighted mean over the window."""
    raw = load_volume(scan.pet)
    frames = raw.data.reshape(*raw.data.shape[:3], -1)
    mean = np.average(frames, axis=-1, weights=scan.window.frame_weights_s)
    return Volume(mean.astype(np.float32), raw.affine)


def suvrs(pet: Volume, field: np.ndarray) -> dict[str, float]:
    """SUVR by reference region."""
    image = sample(pet, field)
    means = {name: float(np.nanmean(image[mask])) for name, mask in vois(2).items()}
    return {region: means["ctx"] / means[region] for region in PIB_SCALE}


def true_field(data: Path, participant: str) -> np.ndarray:
    """PET world coordinate of every MNI voxel: the standard's field, the known displacement."""
    path = data / "spm_fields" / f"{participant}_from-MNI_to-T1w.nii.gz"
    field = np.asarray(nib.load(path).dataobj, dtype=np.float64)
    rigid = json.loads((data / "rigid_truth.json").read_text())[participant]
    return transform(np.array(rigid), field)


def distance_mm(found: np.ndarray, true: np.ndarray, region: str) -> float:
    """Mean distance of two fields over a volume of interest."""
    gap = (found - true)[vois(2)[region]]
    return float(np.sqrt((gap**2).sum(axis=-1)).mean())


def measured(pet: Volume) -> tuple[PetNormalisation, dict[str, float], str]:
    """Normalisation, SUVRs, and the codes of the findings."""
    found = normalise_pet(pet, amyloid_template())
    flags = pet_only_findings(found.quality, read_table("limits"))
    return found, suvrs(pet, found.field), " ".join(flag.code for flag in flags)


def displaced(pet: Volume) -> Iterator[Volume]:
    """The same voxels 40 mm and 30 degrees away."""
    centre = transform(pet.affine, (np.array(pet.data.shape) - 1) / 2)
    for seed in range(4):
        way = np.random.default_rng(seed).standard_normal((2, 3))
        shift, turn = way / np.linalg.norm(way, axis=1)[:, None]
        moved = rigid_matrix([*(40 * shift), *(np.radians(30) * turn)], centre)
        yield Volume(pet.data, moved @ pet.affine)


def spoilt(pet: Volume) -> Iterator[tuple[str, Volume]]:
    """Images that a scanner or a converter should not have made."""
    centre = transform(pet.affine, (np.array(pet.data.shape) - 1) / 2)
    for axis in "xyz":
        for angle in (90, 180):
            turn = Rotation.from_euler(axis, angle, degrees=True).as_rotvec()
            moved = rigid_matrix([0, 0, 0, *turn], centre) @ pet.affine
            yield f"header turned {angle} about {axis}", Volume(pet.data, moved)
    upside_down = np.ascontiguousarray(pet.data[:, :, ::-1])
    yield "slices in reverse order", Volume(upside_down, pet.affine)
    half = pet.data.shape[2] // 2
    yield "lower half only", Volume(pet.data[:, :, :half].copy(), pet.affine)
    thick = pet.affine @ np.diag([1, 1, 2.0, 1])
    yield "slices twice as thick as said", Volume(pet.data, thick)
    noise = np.random.default_rng(0).random(pet.data.shape).astype(np.float32)
    yield "noise", Volume(noise, pet.affine)
    smooth = ndimage.gaussian_filter(noise, 5).astype(np.float32)
    yield "clouds", Volume(smooth - smooth.min(), pet.affine)
    index = np.stack(np.indices(pet.data.shape), axis=-1) - np.array(pet.data.shape) / 2
    away = np.linalg.norm(index * pet.grid.voxel_size / [70, 85, 65], axis=-1)
    yield "even ellipsoid", Volume((1000.0 * (away < 1)).astype(np.float32), pet.affine)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("participants", nargs="*", metavar="sub-XX", help="all if none are named")
    parser.add_argument("--displaced", action="store_true")
    parser.add_argument("--spoilt", action="store_true")
    options = parser.parse_args()
    standard = pd.read_csv(options.data / "reference.tsv", sep="\t").set_index("participant_id")
    plan = make_plan(read_dataset(options.data / "bids", Filters()), Processing(pet_only=True))
    rows = {}
    slope, intercept = PIB_SCALE["wc"]
    for scan in plan.scans:
        name = f"sub-{scan.participant}"
        if options.participants and name not in options.participants:
            continue
        pet = mean_pet(scan)
        start = time.process_time()
        found, own, flags = measured(pet)
        seconds = time.process_time() - start
        true = true_field(options.data, name)
        wanted = slope * standard.loc[name, "suvr_wc"] + intercept
        rows[name] = {f"suvr_{region}": value for region, value in own.items()}
        print(
            f"{name} {scan.tracer} {wanted:6.1f} CL {slope * own['wc'] + intercept - wanted:+5.1f}"
            f"  field ctx {distance_mm(found.field, true, 'ctx'):.1f}"
            f" wc {distance_mm(found.field, true, 'wc'):.1f} mm  {seconds:.1f} s  "
            + " ".join(f"{key} {value:.2f}" for key, value in found.quality.items())
            + f"  {flags}",
            flush=True,
        )
        if options.displaced:
            for other in displaced(pet):
                change = slope * (measured(other)[1]["wc"] - own["wc"])
                print(f"  displaced: {change:+.2f} CL", flush=True)
        if options.spoilt:
            for what, other in spoilt(pet):
                try:
                    _, ratios, flags = measured(other)
                except BadDataError as error:
                    print(f"  refused  {what}: {error}", flush=True)
                    continue
                off = slope * ratios["wc"] + intercept - wanted
                verdict = "flagged" if flags else "MISSED" if abs(off) > FAR_CL else "fine"
                print(f"  {verdict:8s} {what}: {off:+.1f} CL {flags}", flush=True)
    if len(rows) < 3:
        return
    ours, reference = pd.DataFrame(rows).T, standard.loc[list(rows)]
    print(f"\nreference  slope  intercept  R2      mean |d|  largest  (CL, n = {len(ours)})")
    for region in PIB_SCALE:
        one = agreement(ours[f"suvr_{region}"], reference[f"suvr_{region}"], region)
        print(
            f"{region:9s}  {one.slope:.3f}  {one.intercept:+8.2f}  {one.r2:.4f}"
            f"  {one.mean_absolute:8.2f}  {one.largest:7.2f}"
        )


if __name__ == "__main__":
    main()
