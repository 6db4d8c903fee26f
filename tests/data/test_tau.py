"""Tau scales: equations as published, volumes from the user, the same way as any scan."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tau import tau_equations, tau_masks, tau_regions, tau_voi_files
from bidsapp.data.tracers import named_tracers, tau_tracers, tracer_from_name
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.interfaces.pet import Quantify
from bidsapp.interfaces.store import keep_volume
from bidsapp.settings import Filters, Processing
from bidsapp.steps.quantifying import Quantification, quantified
from bidsapp.workflows.participant import init_participants_wf
from bidsapp.workflows.sidecars import Sidecars


@pytest.fixture
def folder(tau_vois):
    return tau_vois


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("[18F]flortaucipir", "FTP"), ("18F-AV-1451", "FTP"), ("AV1451", "FTP"), ("FTP", "FTP"),
        ("[18F]MK-6240", "MK6240"), ("PI-2620", "PI2620"), ("[18F]RO948", "RO948"),
        ("GTP1", "GTP1"), ("APN-1607", "PMPBB3"), ("AV-45", None), ("FDG", None), ("PiB", None),
    ],
)  # fmt: skip
def test_tau_tracers_are_known_by_name_and_never_taken_for_amyloid(name, code):
    other = named_tracers(name).other
    assert (other if other in tau_tracers() else None) == code
    assert code is None or tracer_from_name(name) is None


def test_equations_put_published_points_where_they_belong():
    for code in tau_tracers():
        lines = tau_equations(code)
        assert set(lines["centaurz"]) == set(tau_regions())
        for region, line in lines["centaurz"].items():
            # a z score of 0 is the mean of people without amyloid: SUVRs about one
            assert 0.8 < -line.intercept / line.slope < 1.3, (code, region)
            assert line.doi == "10.1002/dad2.12454" and line.source
    line = tau_equations("FTP")["centaur"]["universal"]
    assert centiloid(1.06, line) == pytest.approx(0) and centiloid(2.13, line) == pytest.approx(100)
    assert centiloid(1.5, tau_equations("FTP")["centaurz"]["universal"]) == pytest.approx(4.595)


def test_volumes_are_found_wherever_they_lie_and_land_on_our_grid(folder):
    masks = tau_masks(tau_voi_files(folder.parent))
    assert np.array_equal(masks["reference"], vois(2)["cg"])
    assert np.array_equal(masks["universal"], vois(2)["ctx"])


def test_missing_and_misplaced_volumes_are_named(tau_vois, tmp_path):
    folder = shutil.copytree(tau_vois, tmp_path / "copy")
    shifted = nib.load(folder / "CenTauR.nii")
    shifted.affine[:3, 3] += 90
    nib.Nifti1Image(shifted.get_fdata(), shifted.affine).to_filename(folder / "CenTauR.nii")
    with pytest.raises(BadDataError, match=r"CenTauR.nii: .*MNI"):
        tau_masks(tau_voi_files(folder))
    (folder / "TP_CenTauR.nii").unlink()
    with pytest.raises(NoInputError, match=r"TP_CenTauR.nii"):
        tau_voi_files(folder)


def test_two_versions_of_a_volume_are_not_chosen_from(tau_vois, tmp_path):
    for name in ("old", "new"):
        shutil.copytree(tau_vois, tmp_path / name)
    assert tau_voi_files(tmp_path)["universal"] == tmp_path / "new" / "CenTauR.nii"
    image = nib.load(tmp_path / "old" / "CenTauR.nii")
    less = image.get_fdata() * (np.arange(91) > 45)[:, None, None]
    nib.Nifti1Image(less, image.affine).to_filename(tmp_path / "old" / "CenTauR.nii")
    with pytest.raises(BadDataError, match=r"new/CenTauR.nii, old/CenTauR.nii differ"):
        tau_voi_files(tmp_path)


def test_a_scan_gets_every_region_on_both_scales(folder, tmp_path):
    image = np.full((91, 109, 91), 100.0, np.float32)
    image[vois(2)["ctx"]] = 150
    pet = keep_volume(tmp_path / "pet.npz", Volume(image, mni_grid(2).affine))
    processing = Processing(tau_vois=folder)
    record = (
        Quantify(pet=pet, source="sub-01_pet.nii.gz", how=how_of(processing))
        .run()
        .outputs.record
    )  # fmt: skip
    assert record.centiloid is None and record.flags == ()
    assert record.scales["suvr"] == pytest.approx(dict.fromkeys(tau_regions(), 1.5))
    assert record.scales["centaurz"]["universal"] == pytest.approx(13.63 * 1.5 - 15.85)
    assert record.scales["centaurz"]["frontal"] == pytest.approx(11.61 * 1.5 - 13.01)
    assert record.scales["centaur"] == pytest.approx({"universal": 100 * 0.44 / 1.07})


def test_a_tau_scan_is_planned_with_volumes_in_the_window_of_its_tracer(raw, folder, tmp_path):
    raw.t1w("sub-01")
    times = {"FrameTimesStart": [4800, 5400], "FrameDuration": [600, 600], "ScanStart": 4800,
             "ImageDecayCorrectionTime": 4800}  # fmt: skip
    raw.pet("sub-01_trc-FTP", TracerName="[18F]flortaucipir", **times)

    def plan(**options):
        return make_plan(read_dataset(raw.root, Filters()), Processing(**options))

    (skip,) = plan().skipped
    assert "--tau-vois" in skip.reason and "flortaucipir" in skip.reason
    processing = Processing(tau_vois=folder)
    (scan,) = make_plan(read_dataset(raw.root, Filters()), processing).scans
    assert scan.tracer == "FTP" and scan.window.frame_weights_s == (600, 600)
    assert scan.window.wanted_min == (80, 100)
    assert not [flag for flag in scan.flags if flag.code.startswith("window")]
    (part,) = plan(tau_vois=folder, window_min=(80.0, 90.0)).scans
    assert part.window.frame_weights_s == (600, 0)
    assert [flag.code for flag in part.flags if flag.code.startswith("window")] == [
        "window-partial"
    ]
    made = init_participants_wf(
        make_plan(read_dataset(raw.root, Filters()), processing), bids_dir=raw.root,
        output_dir=tmp_path, work_dir=tmp_path, processing=processing,
    )  # fmt: skip
    (node,) = [node for node in made.workflow._get_all_nodes() if node.name == "quantify"]
    assert node.inputs.how.tau_vois == tau_voi_files(folder)
    record = Sidecars(raw.root, tmp_path, processing).record(scan)
    assert record.equation is None and record.calibration.calibrated is True
    options = record.provenance.parameters["tau_vois"]
    assert options["name"] == folder.name and str(folder.parent) not in str(record.provenance)
    assert len(options["files"]) == 6


def test_volumes_that_are_missing_are_told_at_planning_and_amyloid_scans_run(raw, tmp_path):
    raw.t1w("sub-01")
    raw.pet("sub-01_trc-FBB")
    times = {"FrameTimesStart": [4800], "FrameDuration": [1200], "ScanStart": 4800,
             "ImageDecayCorrectionTime": 4800}  # fmt: skip
    raw.pet("sub-01_trc-FTP", TracerName="[18F]flortaucipir", **times)
    plan = make_plan(read_dataset(raw.root, Filters()), Processing(tau_vois=tmp_path / "gone"))
    (failure,) = plan.failures
    assert "--tau-vois" in failure.message and "centaur-project" in failure.message
    assert [scan.tracer for scan in plan.scans] == ["FBB"]


@pytest.mark.parametrize("code", tau_tracers())
def test_no_option_makes_a_centiloid_of_a_tau_tracer(folder, code):
    for processing in (Processing(), Processing(tau_vois=folder), Processing(voi_mm=1)):
        assert Pipeline(processing, code).scale().equations == {}
        assert Pipeline(processing, code).regional.scale().equations == {}


def test_a_scan_outside_the_window_of_its_tau_tracer_is_refused(raw, folder):
    raw.t1w("sub-01")
    times = {"FrameTimesStart": [1200], "FrameDuration": [1200], "ScanStart": 1200,
             "ImageDecayCorrectionTime": 1200}  # fmt: skip
    raw.pet("sub-01_trc-PI2620", TracerName="PI-2620", **times)
    (failure,) = make_plan(read_dataset(raw.root, Filters()), Processing(tau_vois=folder)).failures
    assert "45 to 75 min" in failure.message


def test_every_number_says_where_it_was_read():
    table = read_table("tau")
    parts = [table["cutoff"], *table["scales"].values()]
    for code, row in table["tracers"].items():
        parts.append(row["window"])
        start, end = tau_tracers()[code].window_min
        assert [start, end] == row["window"]["min"] and 20 <= end - start <= 30
        assert set(row["centaurz"]) == set(tau_regions())
        assert ("universal" in row.get("centaur", {})) == (code != "PMPBB3")
    for part in parts:
        assert part["source"] and part["read"] and part["status"] in ("verified", "from code")


def test_equations_are_used_for_their_pipeline_alone(folder):
    """Smoothed images are measured the standard way besides; the window and PET alone are told."""
    usual = Processing(tau_vois=folder)
    assert (
        Pipeline(usual, "FTP").tau_scale().calibrated and Pipeline(usual, "FBB").tau_scale() is None
    )
    assert Pipeline(Processing(), "FTP").tau_scale() is None
    for changed in ({"smooth_fwhm_mm": 4.0}, {"target_resolution_mm": 8.0}):
        processing = replace(usual, **changed)
        scale = Pipeline(processing, "FTP").tau_scale()
        assert scale.equations == {} and not scale.calibrated
        assert str(max(changed.values(), key=float))[:1] in scale.differences[0]
        assert Pipeline(processing, "FTP").for_centiloid().processing == usual
    late = Pipeline(replace(usual, window_min=(90.0, 110.0)), "FTP").tau_scale()
    assert late.equations == tau_equations("FTP") and not late.calibrated
    alone = Pipeline(usual, "FTP", normalisation="pet").tau_scale()
    assert alone.equations and alone.approximate and not alone.calibrated


def how_of(processing):
    pipeline = Pipeline(processing, "FTP")
    return Quantification(
        "FTP", pipeline.scale(), pipeline.tau_scale(), tau_voi_files(processing.tau_vois)
    )


def quantified_tau(image, folder, **options):
    processing = Processing(tau_vois=folder, **options)
    return quantified(Volume(image, mni_grid(2).affine), how_of(processing))


def test_what_no_equation_fits_has_suvrs_alone_and_a_volume_cut_by_the_field_is_named(folder):
    image = np.full((91, 109, 91), 100.0, np.float32)
    record = quantified_tau(image, folder, smooth_fwhm_mm=4.0)
    assert set(record.scales) == {"suvr"} and record.centiloid is None
    (flag,) = (flag for flag in record.flags if flag.code == "not-calibrated")
    assert "CenTauR" in flag.message and "--tau-calibration" in flag.message
    image[:, :, 60:] = np.nan  # the vertex lies outside the field of view
    record = quantified_tau(image, folder)
    (flag,) = (flag for flag in record.flags if flag.code == "voi-coverage")
    assert "tau universal" in flag.message and "tau reference" not in flag.message
