"""All frames of an injection: one clock, one decay reference, one position, and kinetics."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from dynamic_studies import EARLY, FULL, schedule, tissues
from stored_head import stored_head
from tsv_rows import table_rows

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.core.frames.decay import decay_factors
from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.data import VOI_NAMES, mni_grid, vois
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.kinetics import kinpar_columns, map_keys
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.dynamic import FitKinetics, SampleFrames, SaveDynamic, SaveMotion, SaveTacs
from bidsapp.interfaces.store import fetch, fetch_volume, keep
from bidsapp.record import RecordPart
from bidsapp.record.model import Motion
from bidsapp.settings import AtlasChoice, KineticModel, Processing
from bidsapp.steps.averaging import FrameSeries

# ----------------------------------------------------------------------------------------- frames

HALF_LIFE = 6586.2
ONLY_CENTILOID = Processing(atlases=(AtlasChoice("Centiloid"),))
EARLY_TO_LATE = rigid_matrix([2.0, -4.0, 6.0, 0, 0, 0])  # whole voxels: nothing is interpolated
UPTAKE = {"ctx": 9.0, "wcb": 6.0, "wc": 5.0, "cg": 4.0, "pons": 7.0}
LEVELS = (0.0, 2.0, 1.5)  # two early frames, before and after the tracer arrives, and a late one
START, DURATION = ((0.0, 60.0), (5400.0,)), ((60.0, 240.0), (1200.0,))


def image(level):
    """Uptake on the MNI grid, with a background that is not zero."""
    data = np.full(mni_grid(2).shape, 2.0)
    for name, value in UPTAKE.items():
        data[vois(2)[name]] = value
    return level * data


@pytest.fixture(scope="module")
def dual_window(tmp_path_factory):
    """Late scan corrected to its start, early part not corrected at all and moved."""
    folder = tmp_path_factory.mktemp("study")
    affine = mni_grid(2).affine
    late_factor = decay_factors([5400.0], [1200.0], HALF_LIFE, 0.0)[0]
    own_factor = decay_factors([5400.0], [1200.0], HALF_LIFE, 5400.0)[0]
    late = image(LEVELS[2]) / late_factor * own_factor
    early_decay = decay_factors(START[0], DURATION[0], HALF_LIFE, 0.0)
    early = np.stack([image(LEVELS[k]) / early_decay[k] for k in (0, 1)], axis=-1)
    nib.Nifti1Image(late.astype(np.float32), affine).to_filename(folder / "late.nii.gz")
    nib.Nifti1Image(early.astype(np.float32), EARLY_TO_LATE @ affine).to_filename(
        folder / "early.nii.gz"
    )
    to_injection = float(2 ** (5400.0 / HALF_LIFE))
    series = [
        FrameSeries(
            (folder / "late.nii.gz",), START[1], DURATION[1], (to_injection,), (late_factor,)
        ),
        FrameSeries((folder / "early.nii.gz",), START[0], DURATION[0], early_decay, early_decay),
    ]
    motion = [[np.eye(4).tolist()], [EARLY_TO_LATE.tolist()] * 2]
    field = stored_head(folder, mni_grid(2))["field"]
    frames = {"series": series, "motion": motion, "ends": [0, 0]}
    done = SampleFrames(
        **frames, field=field, t1w_to_pet=np.eye(4).tolist(), processing=ONLY_CENTILOID
    ).run(cwd=str(folder))
    return frames, done.outputs, field


def test_curves_are_those_of_the_tissue_whatever_each_part_was_corrected_to(dual_window):
    tacs = fetch(dual_window[1].tacs)
    np.testing.assert_array_equal(tacs["frame_start_s"], [0, 60, 5400])
    np.testing.assert_array_equal(tacs["frame_end_s"], [60, 300, 6600])
    means = [image(1.0)[vois(2)[name]].mean() for name in VOI_NAMES]
    np.testing.assert_allclose(tacs["Centiloid"], np.outer(means, LEVELS), rtol=1e-5)
    expected = decay_factors([0, 60, 5400], [60, 240, 1200], HALF_LIFE, 0.0)
    np.testing.assert_allclose(tacs["decay_factor"], expected)


def test_frames_on_the_template_can_be_read_one_by_one(dual_window):
    frames = np.load(dual_window[1].frames, mmap_mode="r")
    assert frames.shape == (3, *mni_grid(2).shape) and frames.dtype == np.float32
    inside = vois(2)["ctx"]
    np.testing.assert_allclose(frames[1][inside], image(LEVELS[1])[inside], rtol=1e-5)
    assert np.isnan(frames[:, 0, 0, 0]).all()


def test_a_lost_part_leaves_the_rest(dual_window, tmp_path):
    frames = dual_window[0] | {"motion": [dual_window[0]["motion"][0], []]}
    done = SampleFrames(
        **frames, field=dual_window[2], t1w_to_pet=np.eye(4).tolist(), processing=ONLY_CENTILOID
    ).run(cwd=str(tmp_path))
    tacs = fetch(done.outputs.tacs)
    np.testing.assert_array_equal(tacs["frame_start_s"], [5400])


def test_tables_in_activity_and_suv(dual_window, tmp_path):
    done = SaveTacs(
        place=OutputPlace(tmp_path, {"sub": "1", "trc": "FBB"}), tacs=dual_window[1].tacs,
        processing=ONLY_CENTILOID, suv_factor=0.25, sidecar={"Sources": []},
    ).run()  # fmt: skip
    record = done.outputs.record
    tables = (record.tacs["Centiloid"], record.tacs_suv["Centiloid"])
    activity, suv = (pd.read_csv(tmp_path / name, sep="\t") for name in tables)
    assert list(activity) == ["frame_start", "frame_end", *VOI_NAMES] == list(suv)
    np.testing.assert_allclose(suv[VOI_NAMES[0]], activity[VOI_NAMES[0]] / 4)
    for key, units in (("tacs", "Bq/mL"), ("tacs_suv", "g/mL")):
        path = tmp_path / getattr(record, key)["Centiloid"].replace(".tsv", ".json")
        columns = json.loads(path.read_text())
        assert columns["frame_start"]["Units"] == "s" and columns["ctx"]["Units"] == units
    assert "desc-suv" in record.tacs_suv["Centiloid"]
    done = SaveTacs(
        place=OutputPlace(tmp_path, {"sub": "2"}), tacs=dual_window[1].tacs,
        processing=ONLY_CENTILOID, sidecar={},
    ).run()  # fmt: skip
    assert done.outputs.record.tacs and not done.outputs.record.tacs_suv


def test_all_frames_on_the_grid_of_the_scan(dual_window, tmp_path):
    SaveDynamic(
        **dual_window[0],
        place=OutputPlace(tmp_path, {"sub": "1"}),
        sidecar={"Units": "Bq/mL"},
    ).run()
    found = nib.load(tmp_path / "sub-1/pet/sub-1_desc-dynamic_pet.nii.gz")
    np.testing.assert_array_equal(found.affine, mni_grid(2).affine)
    data = found.get_fdata()
    for index, level in enumerate(LEVELS):
        part = (slice(4, -4), slice(4, -4), slice(4, -4), index)
        np.testing.assert_allclose(data[part], image(level)[4:-4, 4:-4, 4:-4], rtol=1e-5)
    content = json.loads((tmp_path / "sub-1/pet/sub-1_desc-dynamic_pet.json").read_text())
    assert content["FrameTimesStart"] == [0, 60, 5400]
    assert content["FrameDuration"] == [60, 240, 1200]
    assert found.header.get_zooms()[3] == 500  # their mean: the header has room for one
    assert found.header.get_xyzt_units() == ("mm", "sec")


def test_the_motion_table_has_a_row_per_frame_in_time(dual_window, tmp_path):
    motion = Motion(
        corrected=True, least_corrected_mm=0.5, reference_frame=2,
        pet=(1, 1, 0), frame_start_s=(0.0, 60.0, 5400.0),
        frame_duration_s=(60.0, 240.0, 1200.0), distance_mm=(7.5, 7.5, 0.0),
        translation_mm=((2.0, -4.0, 6.0),) * 2 + ((0.0,) * 3,),
        rotation_deg=((0.0, 0.0, 180 / np.pi),) * 2 + ((0.0,) * 3,),
        borrowed=(True, False, False),
    )  # fmt: skip
    SaveMotion(
        place=OutputPlace(tmp_path, {"sub": "1"}), record=RecordPart(motion=motion),
        motion=dual_window[0]["motion"], sidecar={},
    ).run()  # fmt: skip
    path = tmp_path / "sub-1/pet/sub-1_desc-confounds_timeseries.tsv"
    table = pd.read_csv(path, sep="\t")
    content = json.loads(path.with_suffix(".json").read_text())
    assert list(table) == [name for name in content if name in table]
    assert list(table.frame_end) == [60, 300, 6600]
    assert list(table.trans_y) == [-4, -4, 0]
    assert table.rot_z[0] == pytest.approx(1)
    assert list(table.corrected) == [1, 1, 0] and list(table.borrowed) == [1, 0, 0]
    expected = [EARLY_TO_LATE.tolist()] * 2 + [np.eye(4).tolist()]
    assert content["ReferenceToFrame"] == expected


# --------------------------------------------------------------------------------------- kinetics

BPND = {"ctx": 0.8, "pons": 0.3}


def _stored(folder: Path, frames=None) -> dict[str, str]:
    """Curves and frames whose cortex and pons have known binding; the cerebellum has none."""
    made = tissues([0.9, 0.7], list(BPND.values()), frames=frames)
    masks, shape = vois(2), mni_grid(2).shape
    images = np.full((len(made.start_s), *shape), np.nan, np.float32)
    images[:, masks["wcb"]] = made.reference[:, None]
    images[:, masks["wc"]] = made.reference[:, None]
    for name, curve in zip(BPND, made.target, strict=True):
        images[:, masks[name]] = curve[:, None]
    np.save(folder / "frames.npy", images)
    [one] = chosen_atlases(ONLY_CENTILOID)
    curves = np.array([np.nanmean(images[:, masks[name]], axis=1) for name in one.names])
    times = {"frame_start_s": made.start_s, "frame_end_s": made.end_s}
    times["decay_factor"] = made.decay_factor
    return {
        "tacs": keep(folder / "tacs.npz", {"Centiloid": curves, **times}),
        "frames": str(folder / "frames.npy"),
        **stored_head(folder, mni_grid(2)),
    }


def _fit(folder: Path, stored: dict[str, str], processing=ONLY_CENTILOID):
    return FitKinetics(**stored, processing=processing).run(cwd=folder).outputs


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    return _fit(folder, _stored(folder))


def test_images_hold_what_was_put_into_them(fitted):
    for key in map_keys(ONLY_CENTILOID):
        image = fetch_volume(getattr(fitted, key)).data
        assert np.isnan(image[~np.any(list(vois(2).values()), axis=0)]).all()
        if key.endswith("dvr"):
            for name, bpnd in BPND.items():
                assert np.median(image[vois(2)[name]]) == pytest.approx(1 + bpnd, rel=0.005)
            assert np.median(image[vois(2)["wc"]]) == pytest.approx(1, rel=0.005)


def test_record_tells_the_cortex_by_every_model(fitted):
    kinetics = fitted.record.kinetics
    assert kinetics.done and kinetics.gaps_min == () and fitted.record.flags == ()
    assert kinetics.k2_prime_per_min == pytest.approx(0.12, rel=0.01)
    assert (kinetics.k2_prime_source, kinetics.t_end_min) == ("SRTM", 95)
    for name in ("SRTM", "SRTM2", "MRTM", "MRTM2", "Logan"):
        assert kinetics.models[name]["DVR"] == pytest.approx(1.8, rel=0.005)
    assert kinetics.models["Logan"]["t_star_min"] == 30


def test_table_has_a_row_per_model_and_region(fitted, tmp_path):
    save = SaveTables(
        key="kinpar", columns=kinpar_columns(),
        tables=fitted.tables, record=fitted.record, sidecar={"Sources": []},
        place=OutputPlace(tmp_path, {"sub": "01", "trc": "FMM"}),
    )  # fmt: skip
    found = save.run().outputs
    path = tmp_path / "sub-01" / "pet" / "sub-01_trc-FMM_atlas-Centiloid_kinpar.tsv"
    assert found.record.kinetics.tables == {"Centiloid": path.relative_to(tmp_path).as_posix()}
    rows = table_rows(path)
    assert [(row["model"], row["name"]) for row in rows] == [
        (model, name)
        for model in ("SRTM", "SRTM2", "MRTM", "MRTM2", "Logan")
        for name in ("ctx", "wc", "cg", "wcb", "pons")
    ]
    described = json.loads(path.with_suffix(".json").read_text())
    assert set(rows[0]) == set(kinpar_columns()) and set(rows[0]) <= set(described)
    assert described["k2"]["Units"] == "1/min" and described["Kinetics"]["n_frames"] == 30
    assert float(rows[0]["DVR"]) == pytest.approx(1.8, rel=0.005)
    assert rows[20]["R1"] == "n/a"  # Logan has none
    assert float(rows[1]["DVR"]) == pytest.approx(1, abs=1e-3)


def test_a_break_and_a_failed_model_are_flagged(tmp_path):
    frames = schedule((0.0, EARLY), (90.0, [600] * 2))
    processing = Processing(
        atlases=(AtlasChoice("Centiloid"),), kinetics=(KineticModel.LOGAN, KineticModel.MRTM)
    )
    found = _fit(tmp_path, _stored(tmp_path, frames), processing)
    flags = {flag.code: flag.message for flag in found.record.flags}
    assert "from 30 to 90 min" in flags["kinetics-gap"]
    assert "Logan" in flags["kinetics-model"] and "--t-star" in flags["kinetics-model"]
    assert list(found.record.kinetics.models) == ["MRTM"]


def test_frames_that_are_not_dynamic_enough_give_a_reason_only(tmp_path):
    found = _fit(tmp_path, _stored(tmp_path, schedule((0.0, FULL[:15]))))
    assert not found.record.kinetics.done
    assert "last frame ends" in found.record.kinetics.reason
    assert json.loads(Path(found.tables).read_text()) == {}


def _rewritten(stored: dict[str, str], change) -> None:
    frames = np.load(stored["frames"])
    change(frames)
    np.save(stored["frames"], frames)


def test_a_reference_region_out_of_view_costs_the_kinetics_only(tmp_path):
    stored = _stored(tmp_path)

    def unseen(frames):
        frames[:, vois(2)["wcb"]] = np.nan

    _rewritten(stored, unseen)
    found = _fit(tmp_path, stored)
    assert not found.record.kinetics.done
    assert "field of view" in found.record.kinetics.reason
    assert [flag.code for flag in found.record.flags] == ["kinetics-model"]


def test_a_frame_that_shows_little_of_the_reference_region_is_a_break(tmp_path):
    stored = _stored(tmp_path)

    def cut(frames):
        wc = np.flatnonzero(vois(2)["wc"])
        frames[20].reshape(-1)[wc[: int(0.7 * len(wc))]] = np.nan
        frames[20].reshape(-1)[wc[int(0.7 * len(wc)) :]] *= 1.5

    _rewritten(stored, cut)
    found = _fit(tmp_path, stored)
    assert found.record.kinetics.models["SRTM"]["DVR"] == pytest.approx(1.8, rel=0.005)
    assert [flag.code for flag in found.record.flags] == ["kinetics-gap"]


def test_a_frame_without_any_measurement_is_a_break(tmp_path):
    stored = _stored(tmp_path)
    frames = np.load(stored["frames"])
    frames[20] = np.nan
    np.save(stored["frames"], frames)
    kinetics = _fit(tmp_path, stored).record.kinetics
    assert len(kinetics.gaps_min) == 1
    for model in kinetics.models.values():
        assert model["DVR"] == pytest.approx(1.8, rel=0.005)
