"""Steps of a PET scan on their own."""

import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import doubts_number
from bidsapp.core.quantification.uncertainty import COMPONENTS
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.data.pipelines import Pipeline
from bidsapp.errors import BadDataError
from bidsapp.interfaces.pet import Quantify, RatioImages, TimeAverage
from bidsapp.interfaces.store import fetch_volume, keep_volume
from bidsapp.settings import Filters, Interval, Processing
from bidsapp.steps.quantifying import Quantification
from bidsapp.workflows.pet import average_frames
from bidsapp.workflows.sidecars import Sidecars
from bidsapp.workflows.wiring import Flow

SOURCE = "sub-01_pet.nii.gz"


@pytest.fixture
def planned(bids_dir):
    filters = Filters(participant=("01",), tracer=("FBB",))
    return make_plan(read_dataset(bids_dir, filters), Processing()).scans[0]


def average(planned, pet: Path, folder: Path):
    flow = Flow("one", Sidecars(folder, folder, Processing(motion_correction=False)))
    average_frames(flow, replace(planned, pet=pet))
    flow.workflow.base_dir = str(folder)
    flow.workflow.run()
    return fetch_volume(next(folder.rglob("average/pet.npz")))


def test_frames_without_decay_correction_are_corrected_to_the_start(planned, tmp_path):
    """Frames of a source that only decays are told apart by the physics, not by our formula."""
    half_life = 6586.2
    fine = np.arange(0, 1200, 0.1) + 0.05
    activity = 8000 * 0.5 ** (fine / half_life)
    frames = [part.mean() for part in np.split(activity, [3000, 6000])]
    data = np.broadcast_to(frames, (5, 6, 7, 3)).astype(np.float32)
    pet = tmp_path / "pet.nii.gz"
    nib.Nifti1Image(data, np.eye(4)).to_filename(pet)
    uncorrected = replace(planned, metadata=replace(planned.metadata, decay_corrected=False))
    mean = average(uncorrected, pet, tmp_path / "one")
    np.testing.assert_allclose(mean.data, 8000, rtol=1e-5)
    as_is = average(planned, pet, tmp_path / "other")
    np.testing.assert_allclose(as_is.data, activity.mean(), rtol=1e-5)


def test_frames_that_do_not_fit_the_sidecar_are_named(tmp_path):
    pet = tmp_path / "sub-01_pet.nii.gz"
    nib.Nifti1Image(np.ones((4, 4, 4, 3), np.float32), np.eye(4)).to_filename(pet)
    with pytest.raises(BadDataError, match=r"sub-01_pet.nii.gz: FrameTimesStart .* 2 frames"):
        TimeAverage(pet=[str(pet)], weights_s=[300.0, 300.0]).run(cwd=str(tmp_path))


@pytest.fixture
def template_pet(truth, tmp_path):
    def write(change) -> str:
        image = truth.image().astype(np.float32)
        change(image)
        return keep_volume(tmp_path / "pet.npz", Volume(image, mni_grid(2).affine))

    return write


def quantify(pet: str, tracer: str = "FBB", cutoffs=(), **options):
    processing = Processing(**options)
    node = Quantify(
        pet=pet,
        source=SOURCE,
        how=Quantification(
            tracer,
            Pipeline(processing, tracer).scale(),
            cutoffs=cutoffs,
            interval=processing.interval,
        ),
    )
    return node.run().outputs


def codes(found) -> list[str]:
    return [flag.code for flag in found.record.flags]


def test_a_cerebellum_cut_in_part_is_flagged_and_not_refused(template_pet, truth):
    def cut(image):
        image[:, :, :14] = np.nan

    found = quantify(template_pet(cut))
    assert 0.5 < found.record.voi["wc"].coverage < 0.9
    assert codes(found) == ["voi-coverage"]
    image, mask = truth.image(), vois(2)["wc"].copy()
    mask[:, :, :14] = False
    assert found.record.voi["wc"].mean == pytest.approx(image[mask].mean(), rel=1e-6)


def test_a_region_that_was_not_measured_has_no_ratio_image(template_pet, tmp_path, monkeypatch):
    def without_pons(image):
        image[vois(2)["pons"]] = np.nan

    pet = template_pet(without_pons)
    found = quantify(pet)
    assert found.record.suvr["pons"] is None and found.record.suvr["wc"] > 1
    monkeypatch.chdir(tmp_path)
    images = RatioImages(pet=pet).run().outputs
    assert Path(images.wc).is_file() and not (tmp_path / "pons.npz").exists()


def test_an_empty_reference_region_is_an_error_that_names_the_image(template_pet):
    def empty(image):
        image[vois(2)["cg"]] = 0

    with pytest.raises(BadDataError, match=r"sub-01_pet.nii.gz: .* reference region cg"):
        quantify(template_pet(empty))


def with_cortex(factor):
    def hot(image):
        image[vois(2)["ctx"]] *= factor

    return hot


def test_a_centiloid_that_people_do_not_have_is_flagged(template_pet):
    found = quantify(template_pet(with_cortex(1.5)))
    assert codes(found) == ["centiloid-implausible", "beyond-calibration"]


def test_an_suvr_far_below_those_of_the_equation_is_flagged_and_has_no_band(template_pet):
    found = quantify(template_pet(with_cortex(0.3)))
    assert {"beyond-calibration", "suvr-implausible"} <= set(codes(found))
    assert doubts_number(found.record.flags, read_table("limits"))


def test_a_centiloid_that_cannot_be_is_refused(template_pet):
    with pytest.raises(
        BadDataError, match=r"sub-01_pet.nii.gz: a Centiloid of 1\d\d\d is impossible"
    ):
        quantify(template_pet(with_cortex(4.0)))


def unchanged(image):
    pass


def test_a_centiloid_says_how_sure_it_is(template_pet):
    record = quantify(template_pet(unchanged), cutoffs=(12.0, 24.4)).record
    parts = record.uncertainty
    assert list(parts) == list(COMPONENTS)
    assert record.centiloid_sd == pytest.approx(math.hypot(*parts.values()))
    assert record.rescan_sd == pytest.approx(math.hypot(parts["noise"], parts["repeatability"]))
    (pib_low, pib_high), (low, high) = record.centiloid_interval, record.rescan_interval
    assert pib_low < low < record.centiloid < high < pib_high
    assert record.interval == "rescan"
    assert record.band.crossed == ()  # far above every threshold
    near = record.centiloid + 5
    by_rescan, for_pib = (
        quantify(template_pet(unchanged), cutoffs=(near,), interval=kind).record
        for kind in Interval
    )
    assert for_pib.interval == "pib"
    assert (for_pib.rescan_interval, for_pib.centiloid_interval) == (
        (low, high),
        (pib_low, pib_high),
    )
    (p_rescan,), (p_pib,) = (one.p_above_cutoff.values() for one in (by_rescan, for_pib))
    assert p_rescan < 0.25 < p_pib < 0.5
    assert list(record.p_above_cutoff) == ["12", "24.4"]
    assert 0 <= record.p_above_cutoff["24.4"] <= record.p_above_cutoff["12"] <= 1
    assert record.centiloids == {
        "wc": record.centiloid, "cg": None, "wcb": None, "pons": None
    }  # fmt: skip
    assert record.qc["suvr_noise_percent"] < 1


def test_all_references_of_pib_stand_side_by_side_and_a_hot_pons_is_flagged(template_pet):
    def usual(image):  # SUVRs of 50 CL over wc and pons in the public table
        image[vois(2)["ctx"]] = 5000
        image[vois(2)["wc"]] = 5000 / 1.543
        image[vois(2)["pons"]] = 5000 / 1.148

    record = quantify(template_pet(usual), tracer="PIB").record
    assert all(value is not None for value in record.centiloids.values())
    assert abs(record.centiloids["pons"] - record.centiloid) < 3

    def hot(image):
        usual(image)
        image[vois(2)["pons"]] *= 1.6

    found = quantify(template_pet(hot), tracer="PIB")
    assert "reference-disagreement" in codes(found)
    assert found.record.reference_agreement.reference in ("pons", "wcb")  # wcb holds pons


def test_an_equation_of_another_pipeline_is_not_used(template_pet, monkeypatch):
    """Changed smoothing, masks or reference: SUVRs stay, no Centiloid, and the flag says why."""
    pet = template_pet(unchanged)
    monkeypatch.setitem(read_table("pipelines")["standard"]["vois"], "wc", "another mask")
    found = quantify(pet)
    assert found.record.centiloid is None and found.record.centiloid_interval is None
    assert found.record.suvr["wc"] > 1 and codes(found) == ["not-calibrated"]
    assert "volumes of interest" in found.record.flags[0].message
