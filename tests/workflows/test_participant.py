"""The participant level from BIDS to record, with stand-ins for segmentation and registration."""

import hashlib
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from record_schema import read_valid

import bidsapp
from bidsapp.bids.derivatives import output_path
from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.main import main
from bidsapp.core.frames.decay import decay_between
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import mni_grid, vois
from bidsapp.data.atlases import atlas
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError
from bidsapp.execution import engine
from bidsapp.interfaces import anatomy
from bidsapp.io.affine_files import load_itk_affine
from bidsapp.settings import Filters, PetToT1w, Processing, Resources
from bidsapp.steps.measuring import region_dictionary
from bidsapp.workflows.participant import init_participants_wf

REFERENCES = ("wc", "cg", "wcb", "pons")
ANAT_IMAGES = ("t1w", "mask", "gm", "wm", "csf", "t1w_mni")
PET_IMAGES = ("pet_native", "pet_t1w", "pet_mni", *(f"suvr_{name}" for name in REFERENCES))

STANDARD = Processing()


def process(bids_dir, folder, processing=STANDARD, **filters):
    plan = make_plan(read_dataset(bids_dir, Filters(**filters)), processing)
    out = folder / "out"
    level = init_participants_wf(
        plan, bids_dir=bids_dir, output_dir=out, work_dir=folder / "work", processing=processing
    )
    failures = engine.run(level.workflow, Resources(nprocs=1), crash_dir=out / "logs")
    return out, level, failures


def read(path):
    return (
        read_valid(path) if path.name.endswith("_centiloid.json") else json.loads(path.read_text())
    )


@pytest.fixture(scope="module")
def done(bids_dir, tmp_path_factory, stand_ins):
    """Everything processed once: output folder, workflow, failures, calls of the stand-ins."""
    stand_ins.clear()
    return *process(bids_dir, tmp_path_factory.mktemp("done")), tuple(stand_ins)


@pytest.fixture
def sub01(done):
    return done[0] / "sub-01"


@pytest.mark.parametrize("tracer", ["FBB", "PIB"])
def test_the_record_holds_the_known_uptake(sub01, truth, tracer):
    record = read(sub01 / "pet" / f"sub-01_trc-{tracer}_centiloid.json")
    assert record["status"] == "ok" and record["error"] is record["reason"] is None
    assert list(record["voi"]) == ["ctx", *REFERENCES]
    for name, row in record["voi"].items():
        assert row["mean"] == pytest.approx(truth.mean(name), rel=1e-4)
        assert row["coverage"] == 1 and row["n_voxels"] == vois(2)[name].sum()
        assert row["volume_ml"] == pytest.approx(0.008 * row["n_voxels"])
    for name in REFERENCES:
        assert record["suvr"][name] == pytest.approx(truth.mean("ctx") / truth.mean(name), rel=1e-4)
    equation = tracers()[tracer].equation
    assert record["centiloid"] == centiloid(record["suvr"]["wc"], equation)
    assert record["equation"]["doi"] == equation.doi and record["reference_region"] == "wc"
    assert record["method"] == "t1w+model"
    known = {
        "pet_t1w_distance_mm": 1.5, "pet_t1w_nmi": 1.2, "pet_t1w_unexplained": 0.1,
        "pet_t1w_own_anatomy": 1.1, "pet_fwhm_mm": 6.0, "gm_wm_contrast": 2.5,
        "brain_ml": pytest.approx(1960, rel=0.1),
        "centiloid_model": pytest.approx(record["centiloid"]),
    }  # fmt: skip
    assert {name: record["qc"][name] for name in known} == known
    # the other registration puts this sharp image 1.5 mm elsewhere
    assert abs(record["qc"]["centiloid_nmi"] - record["centiloid"]) > 5
    expected = ["pet-t1w-fallback", "pet-t1w-centiloid"]
    assert [flag["code"] for flag in record["flags"]] == expected


def test_the_record_tells_what_made_it(sub01, bids_dir):
    record = read(sub01 / "pet" / "sub-01_trc-FBB_centiloid.json")
    raw = {"pet": "pet/sub-01_trc-FBB_pet.nii.gz", "t1w": "anat/sub-01_T1w.nii.gz"}
    for key, name in raw.items():
        digest = hashlib.sha256((bids_dir / "sub-01" / name).read_bytes()).hexdigest()
        assert record["provenance"]["inputs"][key] == f"sha256:{digest}"
    assert record["source"] == "bids:raw:sub-01/pet/sub-01_trc-FBB_pet.nii.gz"
    assert record["provenance"]["parameters"]["pet_to_t1w"] == "model"
    assert str(bids_dir.parent) not in json.dumps(record)


def test_one_segmentation_serves_every_scan_of_its_t1w(done):
    *_, calls = done
    assert sorted(calls) == ["register"] * 3 + ["segment"] * 2


def test_a_cut_cerebellum_fails_its_scan_alone_with_one_sentence(done):
    out, level, failures, _ = done
    assert [failure.error_name for failure in failures] == ["BadDataError"]
    assert "sub-02_trc-FBP_pet.nii.gz" in failures[0].message
    assert "field of view" in failures[0].message and "\n" not in failures[0].message
    hit = [name for name, prefix in level.prefixes.items() if failures[0].node.startswith(prefix)]
    assert hit == ["sub-02_trc-FBP"]
    for tracer in ("FBB", "PIB"):
        assert read(out / f"sub-01/pet/sub-01_trc-{tracer}_centiloid.json")["status"] == "ok"
    assert not (out / "sub-02/pet/sub-02_trc-FBP_centiloid.json").exists()


@pytest.mark.slow
def test_a_broken_t1w_costs_its_participant_only(bids_dir, tmp_path, stand_ins, monkeypatch):
    works = anatomy.segment_head

    stand_ins.clear()

    def fails_first(t1w, initial=None):
        if not stand_ins:
            stand_ins.append("segment")
            raise BadDataError("shows no head; look at it")
        return works(t1w)

    monkeypatch.setattr(anatomy, "segment_head", fails_first)
    _, level, failures = process(bids_dir, tmp_path)
    first = failures[0]
    assert first.error_name == "BadDataError"
    assert first.message.endswith("_T1w.nii.gz: shows no head; look at it")
    hit = {name for name, prefix in level.prefixes.items() if first.node.startswith(prefix)}
    assert hit in ({"sub-01_trc-FBB", "sub-01_trc-PIB"}, {"sub-02_trc-FBP"})


def test_images_lie_where_they_should(sub01, truth):
    mni = mni_grid(2)
    image = truth.image()
    pet = nib.load(sub01 / "pet/sub-01_trc-FBB_space-MNI152NLin6Asym_res-2_desc-preproc_pet.nii.gz")
    np.testing.assert_allclose(pet.affine, mni.affine)
    measured = pet.get_fdata() != 0
    assert measured.mean() > 0.9
    np.testing.assert_allclose(pet.get_fdata()[measured], image[measured], rtol=2e-3)
    suvr = nib.load(sub01 / "pet/sub-01_trc-FBB_space-MNI152NLin6Asym_res-2_desc-suvrcg_pet.nii.gz")
    assert suvr.get_fdata()[vois(2)["cg"]].mean() == pytest.approx(1, rel=1e-5)
    on_t1w = nib.load(sub01 / "pet/sub-01_trc-FBB_space-T1w_desc-preproc_pet.nii.gz")
    assert on_t1w.shape == (45, 54, 45)
    index = np.array([22, 31, 23])  # T1w voxel -> the same place in MNI, by the affines alone
    world = on_t1w.affine[:3, :3] @ index + on_t1w.affine[:3, 3]
    same = np.rint(np.linalg.inv(mni.affine)[:3] @ [*world, 1]).astype(int)
    assert on_t1w.get_fdata()[tuple(index)] == pytest.approx(image[tuple(same)], rel=1e-2)
    native = nib.load(sub01 / "pet/sub-01_trc-FBB_desc-preproc_pet.nii.gz")
    np.testing.assert_allclose(native.get_fdata(), image, rtol=1e-5)  # mean of frames, not a sum


def test_storage_left_or_right_gives_the_same_numbers(sub01):
    one, other = (
        read(sub01 / "pet" / f"sub-01_trc-{tracer}_centiloid.json") for tracer in ("FBB", "PIB")
    )
    for name in one["voi"]:
        assert one["voi"][name]["mean"] == pytest.approx(other["voi"][name]["mean"], rel=1e-6)


def test_transforms_are_what_antsapplytransforms_reads(sub01, truth):
    text = (sub01 / "pet/sub-01_trc-FBB_from-T1w_to-pet_mode-image_xfm.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("Parameters: "))
    numbers = np.array(line.removeprefix("Parameters: ").split(), float)
    pet_point = truth.t1w_to_pet @ [10, -20, 30, 1]
    lps = np.diag([-1, -1, 1.0]) @ pet_point[:3]
    back = np.diag([-1, -1, 1.0]) @ (numbers[:9].reshape(3, 3) @ lps + numbers[9:])
    np.testing.assert_allclose(back, (10, -20, 30), atol=1e-9)
    content = read(sub01 / "pet/sub-01_trc-FBB_from-T1w_to-pet_mode-image_xfm.json")
    np.testing.assert_allclose(content["T1wToPet"], truth.t1w_to_pet)
    assert content["T1wToPetByMethod"]["nmi"][0][3] == pytest.approx(truth.t1w_to_pet[0, 3] + 1.5)
    assert content["Method"] == "t1w+model" and content["Quality"]["pet_t1w_distance_mm"] == 1.5
    way_back = sub01 / "pet/sub-01_trc-FBB_from-pet_to-T1w_mode-image_xfm.txt"
    np.testing.assert_allclose(load_itk_affine(way_back), truth.t1w_to_pet, atol=1e-9)
    sidecar = read(way_back.with_suffix(".json"))
    assert (sidecar["From"], sidecar["To"], sidecar["T1wToPet"]) == (
        "pet",
        "T1w",
        content["T1wToPet"],
    )
    assert sidecar["SpatialReference"] == "bids::sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
    back = sub01 / "anat/sub-01_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.nii.gz"
    native = nib.load(sub01 / "anat/sub-01_desc-preproc_T1w.nii.gz")
    assert nib.load(back).shape == (*native.shape, 1, 3)  # of 4 mm, so no coarser than the T1w
    assert np.abs(nib.load(back).get_fdata()).max() < 1e-4
    warp = nib.load(sub01 / "anat/sub-01_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.nii.gz")
    assert warp.shape == (91, 109, 91, 1, 3) and warp.header.get_intent()[0] == "vector"
    assert np.abs(warp.get_fdata()).max() < 1e-4  # the stand-in has no warp


def test_any_image_of_a_scan_is_brought_to_any_space(sub01, tmp_path, capsys):
    record = sub01 / "pet/sub-01_trc-FBB_centiloid.json"
    here = sub01 / "pet/sub-01_trc-FBB"
    ours = {
        "pet": f"{here}_desc-preproc_pet.nii.gz",
        "T1w": f"{here}_space-T1w_desc-preproc_pet.nii.gz",
        "MNI152NLin6Asym": f"{here}_space-MNI152NLin6Asym_res-2_desc-preproc_pet.nii.gz",
    }
    for goal in ("T1w", "MNI152NLin6Asym"):  # the same interpolation as that of the run
        out = bidsapp.apply(
            ours["pet"], record, space="pet", goal=goal, output=tmp_path / f"{goal}.nii.gz"
        )
        np.testing.assert_allclose(
            nib.load(out).get_fdata(), nib.load(ours[goal]).get_fdata(), rtol=1e-4, atol=1e-2
        )
        codes = {name: int(nib.load(out).header[name]) for name in ("sform_code", "qform_code")}
        assert set(codes.values()) == {{"T1w": 2, "MNI152NLin6Asym": 4}[goal]}  # of NIfTI
        sidecar = read(out.with_name(f"{goal}.json"))
        assert (sidecar["From"], sidecar["To"], sidecar["Interpolation"]) == ("pet", goal, "linear")
    pet = nib.load(ours["pet"])
    frames = nib.Nifti1Image(np.stack([pet.get_fdata()] * 2, -1), pet.affine)
    frames.header.set_xyzt_units("mm", "msec")
    frames.header.set_zooms((*pet.header.get_zooms(), 300_000))
    nib.save(frames, tmp_path / "frames.nii.gz")
    out = bidsapp.apply(
        tmp_path / "frames.nii.gz", record, space="pet", goal="T1w", output=tmp_path / "4d.nii.gz"
    )
    header = nib.load(out).header
    assert header.get_xyzt_units() == ("mm", "msec") and header.get_zooms()[3] == 300_000
    labels = tmp_path / "labels.nii.gz"
    mni = nib.load(ours["MNI152NLin6Asym"])
    marked = np.zeros(mni.shape, np.int16)
    marked[40:50, 50:60, 40:50] = 7
    nib.save(nib.Nifti1Image(marked, mni.affine), labels)
    arguments = [labels, record, "--from", "MNI152NLin6Asym", "--to", "pet"]
    result = ["-o", tmp_path / "native.nii.gz"]
    assert main(["apply", *map(str, [*arguments, *result, "--labels"])]) == 0
    native = nib.load(tmp_path / "native.nii.gz")
    assert native.shape == nib.load(ours["pet"]).shape and set(np.unique(native.dataobj)) == {0, 7}
    volume = (np.asarray(native.dataobj) == 7).sum() * np.prod(native.header.get_zooms())
    assert volume == pytest.approx(1000 * 8, rel=0.1)
    capsys.readouterr()
    for wrong, code, words in (
        ([*arguments, "-o", "x.nii"], 64, "must end with"),
        ([arguments[0], labels, *arguments[2:], *result], 66, "is not the record"),
        ([tmp_path / "no.nii.gz", *arguments[1:], *result], 66, "no such image"),
    ):
        assert main(["apply", *map(str, wrong)]) == code
        assert words in capsys.readouterr().err


def test_the_table_of_volumes_has_fixed_rows_and_a_dictionary(sub01):
    path = sub01 / "pet/sub-01_trc-PIB_atlas-Centiloid_vois.tsv"
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert header == list(region_dictionary(Processing(), "Bq/mL"))
    assert header[:5] == ["index", "name", "mean", "sd", "minimum"]
    assert [row[:2] for row in rows] == [
        ["1", "ctx"], ["2", "wc"], ["3", "cg"], ["4", "wcb"], ["5", "pons"]
    ]  # fmt: skip
    content = read(path.with_suffix(".json"))
    assert set(header) <= set(content) and content["mean"]["Units"] == "Bq/mL"
    record = read(sub01 / "pet/sub-01_trc-PIB_centiloid.json")
    for row in (dict(zip(header, row, strict=True)) for row in rows):
        assert float(row["mean"]) == record["voi"][row["name"]]["mean"]  # to the last bit
        if row["name"] == "ctx":
            assert float(row["suvr_wc"]) == record["suvr"]["wc"]
            assert float(row["centiloid_wc"]) == record["centiloid"]


def test_every_atlas_has_a_table_with_the_same_rows_for_every_scan(sub01):
    rows = {}
    for tracer in ("FBB", "PIB"):
        path = sub01 / f"pet/sub-01_trc-{tracer}_atlas-DesikanKilliany_vois.tsv"
        rows[tracer] = [line.split("\t") for line in path.read_text().splitlines()]
    one, other = rows.values()
    assert one[0] == other[0] and [row[1] for row in one] == [row[1] for row in other]
    assert [row[1] for row in one[1:]] == list(atlas("DesikanKilliany").names)


def test_centiloid_images_are_written_for_every_equation(sub01):
    for tracer in ("FBB", "PIB"):
        ratio = f"sub-01_trc-{tracer}_space-MNI152NLin6Asym_res-2_desc"
        found = {path.name for path in sub01.glob(f"pet/{ratio}-cl*_pet.nii.gz")}
        assert found == {f"{ratio}-cl{name}_pet.nii.gz" for name in tracers()[tracer].equations}
        line = tracers()[tracer].equation
        suvr, scaled = (
            nib.load(sub01 / f"pet/{ratio}-{kind}wc_pet.nii.gz").get_fdata()[vois(2)["ctx"]]
            for kind in ("suvr", "cl")
        )
        assert np.allclose(scaled, line.slope * suvr + line.intercept, atol=1e-3)


def test_every_image_has_its_sidecar_with_the_required_fields(sub01):
    images = sorted(sub01.rglob("*.nii.gz"))
    keys = {("sub", "01"): (*ANAT_IMAGES, "warp")} | {
        ("trc", tracer): PET_IMAGES for tracer in ("FBB", "PIB")
    }
    for (entity, label), wanted in keys.items():
        entities = {"sub": "01", entity: label}
        assert {output_path(sub01.parent, key, entities) for key in wanted} <= set(images)
    for image in images:
        content = read(image.with_name(image.name.replace(".nii.gz", ".json")))
        assert content["Description"] and content["Sources"] and content["CentiPET"]["Version"]
        for uri in content["Sources"]:
            kind, _, path = uri.rpartition(":")
            assert kind in ("bids:raw", "bids:") and not path.startswith("/")
            if kind == "bids:":
                assert (sub01.parent / path).exists()
        assert ("res-2" in image.name) == ("Resolution" in content)
        if image.name.endswith(("_T1w.nii.gz", "_pet.nii.gz")):
            assert content["SkullStripped"] is False
        if "space-MNI" in image.name:
            assert content["SpatialReference"].endswith("tpl-MNI152NLin6Asym_res-02_T1w.nii.gz")
        elif "space-T1w" in image.name or image.name.endswith(("_mask.nii.gz", "_probseg.nii.gz")):
            assert content["SpatialReference"].endswith("_desc-preproc_T1w.nii.gz")
        if image.name.endswith("_pet.nii.gz"):
            frames = nib.load(image).shape[3:] or (1,)
            assert (len(content["FrameTimesStart"]),) == (len(content["FrameDuration"]),) == frames


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(done, bids_dir, tmp_path):
    again, _, _ = process(bids_dir, tmp_path, participant=("01",))
    files = sorted(path for path in (again / "sub-01").rglob("*") if path.is_file())
    assert len(files) > 40
    for path in files:
        assert path.read_bytes() == (done[0] / path.relative_to(again)).read_bytes(), path.name


@pytest.mark.slow
def test_a_removed_file_comes_back_although_everything_is_cached(bids_dir, tmp_path, stand_ins):
    out, *_ = process(bids_dir, tmp_path, participant=("01",), tracer=("PIB",))
    victims = [next(out.rglob("*_desc-suvrwc_pet.nii.gz")), next(out.rglob("*_centiloid.json"))]
    before = [victim.read_bytes() for victim in victims]
    for victim in victims:
        victim.unlink()
    calls = len(stand_ins)
    process(bids_dir, tmp_path, participant=("01",), tracer=("PIB",))
    assert [victim.read_bytes() for victim in victims] == before
    assert len(stand_ins) == calls  # nothing was computed again


@pytest.mark.slow
def test_another_window_is_computed_anew(bids_dir, tmp_path, stand_ins):
    record = "sub-01/pet/sub-01_trc-FBB_centiloid.json"
    means = []
    for window in (None, (90.0, 95.0)):
        processing = Processing(window_min=window, allow_off_window=window is not None)
        out, _, failures = process(
            bids_dir, tmp_path, processing, participant=("01",), tracer=("FBB",)
        )
        assert failures == []
        means.append(read(out / record)["voi"]["ctx"]["mean"])
    assert means[1] == pytest.approx(0.9 * means[0], rel=1e-5)  # the first frame alone


def test_version_and_options_name_the_folders(bids_dir, tmp_path):
    plan = make_plan(read_dataset(bids_dir, Filters(participant=("01",))), Processing())
    plain, same, other = (
        init_participants_wf(
            plan, bids_dir=bids_dir, output_dir=tmp_path, work_dir=tmp_path, processing=options
        )
        for options in (Processing(), Processing(), Processing(pet_to_t1w=PetToT1w.NMI))
    )
    assert {Path(made.workflow.base_dir).parent for made in (plain, same, other)} == {tmp_path}
    assert plain.prefixes == same.prefixes
    for name, (t1w, scan) in plain.prefixes.items():
        assert other.prefixes[name][0] == t1w  # segmented once for all options
        assert other.prefixes[name][1] != scan


@pytest.mark.slow
def test_a_window_in_two_files_gives_what_one_file_gives(done, bids_dir, tmp_path):
    """The second file has its own clock and is corrected to its own start."""
    whole, bids = bids_dir / "sub-01/pet/sub-01_trc-FBB_pet.nii.gz", tmp_path / "bids"
    shutil.copytree(bids_dir, bids, ignore=shutil.ignore_patterns("sub-02", "pet"))
    (bids / "sub-01/pet").mkdir()
    sidecar = json.loads(whole.with_name("sub-01_trc-FBB_pet.json").read_text())
    early = sidecar | {"FrameTimesStart": [5400, 5700], "FrameDuration": [300, 300]}
    late = early | {"FrameTimesStart": [0], "FrameDuration": [600], "ScanStart": 0,
                    "ImageDecayCorrectionTime": 0, "TimeZero": "11:40:00",
                    "InjectionStart": -6000}  # fmt: skip
    image = nib.load(whole)
    parts = image.get_fdata()[..., :2], image.get_fdata()[..., 2:]
    factors = 1.0, decay_between(5400, 6000, tracers()["FBB"].half_life_s)
    names = [f"sub-01_trc-FBB_run-{number}" for number in (1, 2)]
    for name, frames, factor, content in zip(names, parts, factors, (early, late), strict=True):
        pet = bids / "sub-01/pet" / f"{name}_pet.nii.gz"
        stored = (factor * frames).astype(np.float32)
        nib.Nifti1Image(stored, image.affine).to_filename(pet)
        pet.with_name(f"{name}_pet.json").write_text(json.dumps(content))
    out, _, failures = process(bids, tmp_path)
    assert failures == []
    one, two = {"sub": "01", "trc": "FBB"}, {"sub": "01", "trc": "FBB", "run": "1"}
    for kind in ("pet_native", "pet_dynamic", "pet_mni"):
        expected = nib.load(output_path(done[0], kind, one)).get_fdata()
        found = nib.load(output_path(out, kind, two)).get_fdata()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)  # Bq/mL
    expected, found = (
        read(output_path(done[0], "result", one)),
        read(output_path(out, "result", two)),
    )
    assert found["centiloid"] == pytest.approx(expected["centiloid"], abs=1e-3)
    for key in ("window", "frame_start_s", "frame_weights_s"):
        assert found[key] == expected[key]
    assert [flag["code"] for flag in found["flags"]] == [flag["code"] for flag in expected["flags"]]
    assert f"{names[1]}_pet.nii.gz" in found["provenance"]["inputs"]
