"""Partial volume correction from stored maps to tables: a head of known tissues in MNI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stored_head import stored_head
from tsv_rows import table_rows

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.regions.pvc import blur
from bidsapp.data import mni_grid, vois
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.regions import Correct
from bidsapp.interfaces.store import fetch_volume, keep, keep_volume
from bidsapp.settings import AtlasChoice, Processing, PvcMethod
from bidsapp.steps.correcting import pvc_columns

GREY, WHITE, CEREBELLUM, STEM = 9000.0, 5000.0, 4000.0, 7000.0
PSF_MM = (6.0, 6.0, 6.0)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """The GAAIN cortex as grey matter amid white; cerebellum and brainstem as they are."""
    folder, masks = tmp_path_factory.mktemp("pvc"), vois(2)
    grid = mni_grid(2)
    stem = (masks["wcb"] | masks["pons"]) & ~masks["wc"]
    grey = masks["ctx"] | masks["wc"]
    near = blur(grey.astype(np.float32), (9.0, 9.0, 9.0)) > 0.2
    white = (near | stem) & ~grey
    truth = np.zeros(grid.shape, np.float32)
    for mask, value in (
        (white, WHITE), (masks["ctx"], GREY), (masks["wc"], CEREBELLUM), (stem, STEM),
    ):  # fmt: skip
        truth[mask] = value
    pet = blur(truth, tuple(width / 2 for width in PSF_MM))
    pet[:, :, -8:] = np.nan
    maps = {"gm": grey, "wm": white, "mask": near | grey}
    maps = {name: data.astype(np.float32) for name, data in maps.items()}
    node = Correct(
        pet=keep_volume(folder / "pet.npz", Volume(pet, grid.affine)),
        **stored_head(folder, grid, maps),
        regions=keep(folder / "regions.npz", {"ctx": masks["ctx"], "cbl": masks["wc"]}),
        processing=Processing(
            atlases=(AtlasChoice("Centiloid"),), pvc=tuple(PvcMethod), psf_mm=PSF_MM
        ),
    )
    return node.run(cwd=folder).outputs


def test_known_activity_is_found(corrected, tmp_path):
    save = SaveTables(
        key="pvc", columns=pvc_columns("Bq/mL"),
        tables=corrected.tables, record=corrected.record, sidecar={"Sources": []},
        place=OutputPlace(tmp_path, {"sub": "01", "trc": "FMM"}),
    )  # fmt: skip
    found = save.run().outputs
    path = tmp_path / found.record.pvc.tables["Centiloid"]
    rows = {row["name"]: row for row in table_rows(path)}
    assert list(rows) == ["ctx", "wc", "cg", "wcb", "pons"]
    assert float(rows["ctx"]["uncorrected"]) < 0.92 * GREY
    for method in ("gtm", "rbv", "iy"):
        assert float(rows["ctx"][method]) == pytest.approx(GREY, rel=0.02)
        assert float(rows["wc"][method]) == pytest.approx(CEREBELLUM, rel=0.02)
        assert float(rows["pons"][method]) == pytest.approx(STEM, rel=0.02)
        assert rows["pons"][f"{method}_gm"] == "n/a"
    assert float(rows["ctx"]["mg_gm"]) == pytest.approx(GREY, rel=0.1)
    described = json.loads(path.with_suffix(".json").read_text())
    assert described["gtm"]["Units"] == "Bq/mL"
    assert described["PartialVolume"]["psf_mm"] == list(PSF_MM)
    assert described["PartialVolume"]["psf_source"] == "given"


def test_ratios_and_images(corrected):
    suvr = corrected.record.pvc.suvr
    assert suvr["gtm"]["wc"] == pytest.approx(GREY / CEREBELLUM, rel=0.03)
    assert suvr["uncorrected"]["wc"] < 0.95 * suvr["gtm"]["wc"]
    for key in ("pvc_rbv", "pvc_iy"):
        image = fetch_volume(getattr(corrected, key)).data
        inside = vois(2)["ctx"] & np.isfinite(image)
        assert np.median(image[inside]) == pytest.approx(GREY, rel=0.03)
        assert np.isnan(image[:, :, -8:]).all()


def test_a_correction_that_fails_is_said(tmp_path):
    grid = Grid((30, 30, 30), mni_grid(2).affine)
    ones = np.ones(grid.shape, np.float32)
    image = keep_volume(tmp_path / "flat.npz", Volume(ones, grid.affine))
    found = Correct(
        pet=image, regions=image,
        **stored_head(tmp_path, grid, dict.fromkeys(("gm", "wm", "csf", "mask"), ones)),
        processing=Processing(pvc=(PvcMethod.GTM,), psf_mm=(60.0, 6.0, 6.0)),
    ).run(cwd=tmp_path).outputs  # fmt: skip
    assert not found.record.pvc.done and "--psf" in found.record.pvc.reason
    assert [flag.code for flag in found.record.flags] == ["pvc"]
