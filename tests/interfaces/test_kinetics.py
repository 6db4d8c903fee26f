"""Kinetics from stored frames to tables: known tissues on the template."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dynamic_studies import EARLY, FULL, schedule, tissues
from stored_head import stored_head
from tsv_rows import table_rows

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.data import mni_grid, vois
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.kinetics import kinpar_columns, map_keys
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.dynamic import FitKinetics
from bidsapp.interfaces.store import fetch_volume, keep
from bidsapp.settings import AtlasChoice, KineticModel, Processing

PROCESSING = Processing(atlases=(AtlasChoice("Centiloid"),))
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
    [one] = chosen_atlases(PROCESSING)
    curves = np.array([np.nanmean(images[:, masks[name]], axis=1) for name in one.names])
    times = {"frame_start_s": made.start_s, "frame_end_s": made.end_s}
    times["decay_factor"] = made.decay_factor
    return {
        "tacs": keep(folder / "tacs.npz", {"Centiloid": curves, **times}),
        "frames": str(folder / "frames.npy"),
        **stored_head(folder, mni_grid(2)),
    }


def _fit(folder: Path, monkeypatch, processing=PROCESSING, frames=None):
    monkeypatch.chdir(folder)
    stored = _stored(folder, frames)
    return FitKinetics(**stored, processing=processing).run().outputs


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield _fit(tmp_path_factory.mktemp("fit"), patch)


def test_images_hold_what_was_put_into_them(fitted):
    for key in map_keys(PROCESSING):
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


def test_a_break_and_a_failed_model_are_flagged(tmp_path, monkeypatch):
    frames = schedule((0.0, EARLY), (90.0, [600] * 2))
    processing = Processing(
        atlases=(AtlasChoice("Centiloid"),), kinetics=(KineticModel.LOGAN, KineticModel.MRTM)
    )
    found = _fit(tmp_path, monkeypatch, processing, frames)
    flags = {flag.code: flag.message for flag in found.record.flags}
    assert "from 30 to 90 min" in flags["kinetics-gap"]
    assert "Logan" in flags["kinetics-model"] and "--t-star" in flags["kinetics-model"]
    assert list(found.record.kinetics.models) == ["MRTM"]


def test_frames_that_are_not_dynamic_enough_give_a_reason_only(tmp_path, monkeypatch):
    found = _fit(tmp_path, monkeypatch, frames=schedule((0.0, FULL[:15])))
    assert not found.record.kinetics.done
    assert "last frame ends" in found.record.kinetics.reason
    assert json.loads(Path(found.tables).read_text()) == {}


def test_a_reference_region_out_of_view_costs_the_kinetics_only(tmp_path, monkeypatch):
    stored = _stored(tmp_path)
    frames = np.load(stored["frames"])
    frames[4, vois(2)["wcb"]] = np.nan
    np.save(stored["frames"], frames)
    monkeypatch.chdir(tmp_path)
    found = FitKinetics(**stored, processing=PROCESSING).run().outputs
    assert not found.record.kinetics.done
    assert "field of view" in found.record.kinetics.reason
    assert [flag.code for flag in found.record.flags] == ["kinetics-model"]
