"""The DICOM studies of the development data, all the way to the group table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from agreement import PIB_SCALE
from whole_app import run_centipet, validator_errors

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import displacement
from bidsapp.core.kinetics.srtm import srtm
from bidsapp.core.kinetics.study import KineticStudy
from bidsapp.core.regions.compartments import compartments
from bidsapp.core.regions.pvc import blur, gtm, in_voxels
from bidsapp.data import vois
from bidsapp.data.atlases import atlas
from bidsapp.interfaces.store import fetch, fetch_volume
from bidsapp.io.nifti import load_volume
from bidsapp.steps.correcting import AnatomyOnPet
from bidsapp.steps.head import HeadTissues, PlacedHead

pytestmark = pytest.mark.slow

# What the studies are called in reference.tsv, by tracer (each tracer occurs once)
REFERENCE_ROW = {"FBB": "A1", "FMM": "A2", "FBP": "B1"}


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dicom_run")
    done = run_centipet(
        folder / "bids", folder / "out", "participant", "--dicom-dir", shared_data / "dicom",
        "--nprocs", 2, "-w", folder / "work",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_centipet(folder / "bids", folder / "out", "group")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_raw_and_derivatives_are_valid_bids(run):
    assert validator_errors(run / "bids") == {}
    assert validator_errors(run / "out") == {}


def test_suvr_agrees_with_the_standard_pipeline(run, shared_data):
    table = pd.read_csv(run / "out" / "group_centiloid.tsv", sep="\t", na_values="n/a")
    reference = pd.read_csv(shared_data / "reference.tsv", sep="\t").set_index("participant_id")
    done = table[table.status == "ok"].set_index("tracer")
    assert sorted(done.index) == sorted(REFERENCE_ROW)
    for tracer, row in REFERENCE_ROW.items():
        difference = done.suvr_wc[tracer] - reference.suvr_wc[row]
        assert abs(PIB_SCALE["wc"][0] * difference) < 5, (tracer, difference)


def test_early_part_of_the_dual_window_study_is_left_out_and_said(run):
    table = pd.read_csv(run / "out" / "group_centiloid.tsv", sep="\t")
    skipped = table[table.status == "skipped"]
    assert list(skipped.tracer) == ["FMM"]
    assert skipped.reason.str.len().min() > 20


def head_points() -> np.ndarray:
    """Points spread over a head in T1w world, mm."""
    axes = [-60, 0, 60], [-90, -20, 60], [-40, 10, 70]
    return np.array(np.meshgrid(*axes), float).reshape(3, -1).T


@pytest.mark.parametrize(
    ("tracer", "study", "frames"),
    [
        ("FBB", "ALPHA static", lambda truth: truth["t1w_world_to_pet_frame"]),
        ("FMM", "ALPHA dual-window", lambda truth: [truth["t1w_world_to_pet_early"]] * 17
         + [truth["t1w_world_to_pet_late"]] * 4),
    ],
)  # fmt: skip
def test_the_head_is_found_in_every_frame(run, shared_data, tracer, study, frames):
    truth = json.loads((shared_data / "dicom_truth.json").read_text())[study]
    [path] = (run / "out").rglob(f"*trc-{tracer}*_desc-confounds_timeseries.json")
    content = json.loads(path.read_text())
    positions = [np.array(matrix) for matrix in frames(truth)]
    found = [np.array(matrix) for matrix in content["ReferenceToFrame"]]
    reference = positions[content["ReferenceFrame"]]
    for one, position in zip(found, positions, strict=True):
        assert displacement(one @ reference, position, head_points()) < 0.7


def test_both_parts_of_the_dual_window_study_are_on_one_clock(run, shared_data):
    truth = json.loads((shared_data / "dicom_truth.json").read_text())["ALPHA dual-window"]
    [path] = (run / "out").rglob("*trc-FMM*_atlas-Centiloid_tacs.tsv")
    curves = pd.read_csv(path, sep="\t")
    early = np.cumsum([0, *truth["early_frame_durations_s"]])
    assert list(curves.frame_start) == [*early[:-1], *truth["late_frame_starts_s"]]
    length = curves.frame_end - curves.frame_start
    assert list(length) == [*truth["early_frame_durations_s"], *truth["late_frame_durations_s"]]
    # one decay reference: washout goes on after the break, without the step of 90 min of decay
    for region in ("ctx", "wc"):
        last, first = curves[region][16], curves[region][17]
        assert 0.3 < first / last < 0.6, region
    [image] = (run / "out").rglob("*trc-FMM*_desc-dynamic_pet.json")
    content = json.loads(image.read_text())
    assert content["ImageDecayCorrectionTime"] == 0 and len(content["FrameTimesStart"]) == 21


def test_kinetics_of_the_dual_window_study_have_their_truth(run, shared_data):
    """Deep white matter against the grey matter of the cerebellum, freed of its neighbours.

    The phantom's reference tissue is the cerebellar cortex alone, which a PET of 6 mm never shows
    alone: the geometric transfer matrix takes it out of every frame. What is left of the folia's
    white matter lowers the early frames of that curve by some 8 %, hence the bars of R1 and k2.
    """
    truth = json.loads((shared_data / "dicom_truth.json").read_text())["ALPHA dual-window"]
    classes = truth["SRTM_by_uptake_class"]
    white = classes["1.4"]
    pet = next((run / "out").rglob("*trc-FMM*_desc-dynamic_pet.nii.gz"))
    frames = load_volume(pet)
    side = json.loads(pet.with_name(pet.name.replace(".nii.gz", ".json")).read_text())
    start = np.array(side["FrameTimesStart"])
    end = start + side["FrameDuration"]
    assert (len(start), end[-1]) == (21, 6600)
    head, fwhm = _compartments(run, pet, frames)
    curves = np.array([
        gtm(np.where(frames.data[..., i] == 0, np.nan, frames.data[..., i]), head.maps, fwhm).values
        for i in range(len(start))
    ])  # fmt: skip
    reference = curves[:, head.grey_share[2].argmax()]  # most of cg
    cerebral_white = np.eye(head.maps.number)[-4]  # then cerebellar, brainstem, fluid
    deep = blur(head.maps.image(cerebral_white), fwhm) > 0.98
    weights = (end - start) / np.exp(np.log(2) / 6586.2 * (start + end) / 2)
    target = frames.data[deep].mean(axis=0, dtype=float)
    found = srtm(KineticStudy.of(start, end, target, reference, weights)).values
    assert found["DVR"][0] == pytest.approx(white["DVR"], rel=0.05)
    assert found["k2_prime"][0] == pytest.approx(white["k2_per_min"] / white["R1"], rel=0.04)
    assert found["R1"][0] == pytest.approx(white["R1"], rel=0.12)
    assert found["k2"][0] == pytest.approx(white["k2_per_min"], rel=0.12)


def _compartments(run, pet, frames):
    """Tissues and Centiloid volumes on the grid of a PET, from the files of its run."""
    person, scan = pet.name.split("_")[0], pet.name.removesuffix("_desc-dynamic_pet.nii.gz")
    [warp] = (
        path
        for path in (run / "work").rglob("segment/warp.npz")
        if f"{person.replace('-', '_')}_wf" in path.parts
    )
    names = ("gm", "wm", "csf", "mask", "field", "warp")
    maps = {name: str(warp.with_name(f"{name}.npz")) for name in names}
    [xfm] = pet.parent.glob(f"{scan}_from-T1w_to-pet*.json")
    matrix = json.loads(xfm.read_text())["T1wToPet"]
    grey, white, fluid, mask, field = (
        fetch_volume(maps[name]) for name in ("gm", "wm", "csf", "mask", "field")
    )
    warped = Warp.from_arrays(fetch(maps["warp"]))
    tissues = HeadTissues(grey, white, fluid, mask)
    placed = AnatomyOnPet(frames.grid, PlacedHead(field, warped, np.array(matrix), tissues))
    regions = placed.on(atlas("Centiloid").regions)
    return (
        compartments(regions, regions, placed.tissues()),
        in_voxels((6.0, 6.0, 6.0), frames.grid.voxel_size),
    )


def test_kinetic_models_agree_and_images_follow_regions(run):
    [path] = (run / "out").rglob("*_trc-FMM*_atlas-Centiloid_kinpar.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a").set_index(["model", "name"])
    assert list(dict.fromkeys(table.index.get_level_values(0))) == [
        "SRTM", "SRTM2", "MRTM", "MRTM2", "Logan",
    ]  # fmt: skip
    cortex = table.xs("ctx", level="name").DVR
    assert cortex.max() / cortex.min() < 1.02
    assert table.DVR["SRTM", "wc"] == pytest.approx(1)
    image = load_volume(next(path.parent.glob("*desc-SRTM2DVR_pet.nii.gz")))
    known = image.data[vois(2)["ctx"]]
    assert known[known != 0].mean() == pytest.approx(cortex["SRTM2"], rel=0.03)
    record = json.loads(next(path.parent.glob("*FMM_run-2_centiloid.json")).read_text())
    assert record["kinetics"]["gaps_min"] == [[30.0, 90.0]]
    assert "kinetics-gap" in [flag["code"] for flag in record["flags"]]


def test_static_studies_say_why_they_have_no_kinetics(run):
    for path in (run / "out").rglob("*_trc-FBB*_centiloid.json"):
        kinetics = json.loads(path.read_text())["kinetics"]
        assert not kinetics["done"] and "first frame starts 90.0 min" in kinetics["reason"]


def test_a_second_run_converts_nothing_and_changes_nothing(run, shared_data):
    raw = sorted(path for path in (run / "bids").rglob("*.nii.gz"))
    before = [(path.name, path.stat().st_mtime_ns) for path in raw]
    done = run_centipet(
        run / "bids", run / "out", "participant", "--dicom-dir", shared_data / "dicom",
        "--convert-only",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(path.name, path.stat().st_mtime_ns) for path in raw] == before
