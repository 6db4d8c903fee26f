"""How well a PET finds the template without a T1w: the tables of docs/pet_only.md.

    python tests/benchmarks/pet_only.py DATA [sub-XX ...] [--heads BIDS] [--bright]
        [--displaced] [--spoilt] [--elsewhere] [--real]

Every PET scan of ``DATA/bids`` is normalised by itself, and what the GAAIN volumes then hold is
compared with ``DATA/reference.tsv``: what the standard normalisation of the T1w measures at the
known position of the PET. SUVRs of all tracers are put on the PiB scale. Printed besides: distance
from the standard's field over two volumes of interest, the quality numbers, and processor time.

``--heads`` takes the scans of BIDS instead, made of the label maps ``DATA/heads``: their uptake
outside the brain is as in real scans. ``--bright`` multiplies uptake outside the brain, patchily,
by 1.6 to 2.8 (from 0.7 to 1.1-1.9 of the cerebellum). ``--displaced`` measures again with the PET
40 mm and 30 degrees away, in four directions, and turned by 90 degrees; ``--spoilt`` with images
that cannot give a result, or hardly: which are flagged or refused? ``--elsewhere`` prints the
quality numbers of the places that were not taken. ``--real`` measures the real
florbetapir scan of ``DATA/real`` instead, by its own equation, under headers that are turned,
tilted and shifted, and with planes cut off; another program gave about 2 CL.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from agreement import PIB_SCALE, agreement_lines
from known_heads import deformation, suvrs
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.plan import ScanPlan
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.alignment import rigid_matrix, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_model import Patterns
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation, normalise_pet, places
from bidsapp.core.quality import flagged
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.registration.rigid import measured_part
from bidsapp.data import read_table, vois
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError
from bidsapp.io.nifti import load_volume
from bidsapp.settings import Filters, Processing
from bidsapp.steps.refusing import refuse_beyond

FAR_CL = 10.0  # a result that is off by more is wrong


def mean_pet(scan: ScanPlan) -> Volume:
    """Time-weighted mean over the window."""
    raw = load_volume(scan.pet)
    frames = raw.data.reshape(*raw.data.shape[:3], -1)
    mean = np.average(frames, axis=-1, weights=scan.window.frame_weights_s)
    return Volume(mean.astype(np.float32), raw.affine)


@dataclass(frozen=True)
class Reference:
    """What is known of the scans of a dataset."""

    bids: Path
    suvr: pd.DataFrame
    rigid: dict[str, np.ndarray]
    fields: Path
    step: int  # voxels of the 2 mm grid from one value of a field to the next

    @classmethod
    def of(cls, data: Path, heads: Path | None) -> Reference:
        """Of ``DATA/bids``, or of the scans made of ``DATA/heads``."""
        folder = data / "heads" if heads else data
        suvr = pd.read_csv(folder / "reference.tsv", sep="\t").set_index("participant_id")
        if heads is None:
            rigid = json.loads((data / "rigid_truth.json").read_text())
            return cls(data / "bids", suvr, rigid, data / "spm_fields", 1)
        truth = json.loads((folder / "truth.json").read_text())
        rigid = {name: one["t1w_to_pet"] for name, one in truth.items()}
        return cls(heads, suvr, rigid, folder, 3)

    def field(self, participant: str) -> np.ndarray:
        """PET world coordinate of every MNI voxel: the standard's field, the known displacement."""
        field = deformation(self.fields / f"{participant}_from-MNI_to-T1w.nii.gz", self.step)
        return transform(np.array(self.rigid[participant]), field)


def brighter(pet: Volume, field: np.ndarray) -> Volume:
    """The PET with the uptake outside the brain multiplied by 1.6 to 2.8, in patches of 3 cm."""
    template = amyloid_template()
    near = template.outside_mm < 20  # where the affine part of the standard's field serves
    world = np.column_stack([field[near], np.ones(near.sum())])
    affine = np.linalg.lstsq(world, template.grid.world()[near], rcond=None)[0].T
    points = pet.grid.world() @ affine[:, :3].T + affine[:, 3]
    distance = sample(Volume(template.outside_mm, template.affine), points)
    outside = np.clip((np.nan_to_num(distance, nan=50.0) - 4) / 6, 0, 1)
    noise = np.random.default_rng(0).standard_normal(pet.data.shape)
    patches = ndimage.gaussian_filter(noise, 13 / pet.grid.voxel_size)
    factor = np.clip(2.2 + 0.35 * patches / patches.std(), 1.6, 2.8)
    return Volume((pet.data * (1 + outside * (factor - 1))).astype(np.float32), pet.affine)


def distance_mm(found: np.ndarray, true: np.ndarray, region: str) -> float:
    """Mean distance of two fields over a volume of interest."""
    gap = (found - true)[vois(2)[region]]
    return float(np.sqrt((gap**2).sum(axis=-1)).mean())


def measured(pet: Volume) -> tuple[PetNormalisation, dict[str, float], str]:
    """Normalisation, SUVRs, and the codes of the findings.

    Raises
    ------
    BadDataError
        There would be no number.
    """
    found = normalise_pet(pet, amyloid_template())
    limits = read_table("limits")
    refuse_beyond(found.quality, limits)
    numbers = {name: row for name, row in found.quality.items() if name != "pet_only_fwhm_mm"}
    flags = flagged(numbers, limits, look="look")
    return found, suvrs(pet, found.field), " ".join(flag.code for flag in flags)


def displaced(pet: Volume) -> Iterator[Volume]:
    """The same voxels 40 mm and 30 degrees away, and turned by 90 degrees."""
    centre = transform(pet.affine, (np.array(pet.data.shape) - 1) / 2)
    for seed in range(4):
        way = np.random.default_rng(seed).standard_normal((2, 3))
        shift, turn = way / np.linalg.norm(way, axis=1)[:, None]
        moved = rigid_matrix([*(40 * shift), *(np.radians(30) * turn)], centre)
        yield Volume(pet.data, moved @ pet.affine)
    for axis in np.eye(3):
        moved = rigid_matrix([0, 0, 0, *(np.pi / 2 * axis)], centre)
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


def odd_headers(pet: Volume) -> Iterator[tuple[str, Volume]]:
    """The same voxels under other headers, or fewer of them."""
    yield "as it is", pet
    centre = transform(pet.affine, (np.array(pet.data.shape) - 1) / 2)
    for axis, way in zip("xyz", np.eye(3), strict=True):
        for angle in (90, 25):
            moved = rigid_matrix([0, 0, 0, *(np.radians(angle) * way)], centre)
            yield f"turned by {angle} degrees about {axis}", Volume(pet.data, moved @ pet.affine)
        shifted = rigid_matrix([*(50 * way), 0, 0, 0], centre)
        yield f"shifted by 50 mm along {axis}", Volume(pet.data, shifted @ pet.affine)
    for below, above in ((0, 10), (4, 0), (4, 10)):
        data = np.ascontiguousarray(pet.data[:, :, below : pet.data.shape[2] - above])
        affine = pet.affine.copy()
        affine[:3, 3] += below * affine[:3, 2]
        yield f"{below} planes cut below, {above} above", Volume(data, affine)


def real_scan(data: Path) -> None:
    """Print what a scan of a person gives under odd headers."""
    known = make_plan(read_dataset(data / "real" / "mended", Filters()), Processing(pet_only=True))
    (scan,) = known.scans
    equation = tracers()[scan.tracer].equations["wc"]
    for what, pet in odd_headers(mean_pet(scan)):
        try:
            found, ratios, flags = measured(pet)
        except BadDataError as error:
            print(f"refused  {what}: {error}", flush=True)
            continue
        quality = " ".join(f"{key} {value:.2f}" for key, value in found.quality.items())
        print(
            f"{centiloid(ratios['wc'], equation):6.1f} CL  {what}  {quality}  {flags}", flush=True
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("participants", nargs="*", metavar="sub-XX", help="all if none are named")
    parser.add_argument("--heads", type=Path, metavar="BIDS")
    parser.add_argument("--bright", action="store_true")
    parser.add_argument("--displaced", action="store_true")
    parser.add_argument("--spoilt", action="store_true")
    parser.add_argument("--elsewhere", action="store_true")
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    if options.real:
        real_scan(options.data)
        return
    known = Reference.of(options.data, options.heads)
    plan = make_plan(read_dataset(known.bids, Filters()), Processing(pet_only=True))
    rows = {}
    slope, intercept = PIB_SCALE["wc"]
    for scan in plan.scans:
        name = f"sub-{scan.participant}"
        if options.participants and name not in options.participants:
            continue
        true = known.field(name)
        pet = mean_pet(scan)
        if options.bright:
            pet = brighter(pet, true)
        wanted = slope * known.suvr.loc[name, "suvr_wc"] + intercept
        if options.elsewhere:
            (_, best, _), *others = places(measured_part(pet), Patterns(amyloid_template()))
            for _, gain, fluid in others:
                print(
                    f"{name} elsewhere: pet_only_fluid {fluid:.2f} pet_only_rival {gain / best:.2f}"
                )
        start = time.process_time()
        try:
            found, own, flags = measured(pet)
        except BadDataError as error:
            print(f"{name} {scan.tracer} {wanted:6.1f} CL refused: {error}", flush=True)
            continue
        seconds = time.process_time() - start
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
                try:
                    change = slope * (measured(other)[1]["wc"] - own["wc"])
                    print(f"  displaced: {change:+.2f} CL", flush=True)
                except BadDataError as error:
                    print(f"  displaced: refused: {error}", flush=True)
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
    ours, reference = pd.DataFrame(rows).T, known.suvr.loc[list(rows)]
    print("", *agreement_lines(ours, reference), sep="\n")


if __name__ == "__main__":
    main()
