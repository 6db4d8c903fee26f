"""The participant level without a T1w, with a stand-in for the normalisation of the PET."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from record_schema import read_valid
from stand_in_head import rigid_warp, template_field

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation
from bidsapp.data import mni_grid
from bidsapp.execution import engine
from bidsapp.io.nifti import load_displacements
from bidsapp.report.participant import write_page
from bidsapp.settings import Filters, Processing, PvcMethod, Resources
from bidsapp.workflows.participant import init_participants_wf

pytestmark = pytest.mark.slow

QUALITY = {
    "pet_only_unexplained": 0.02, "pet_only_fluid": 0.2, "pet_only_rival": 0.4,
    "pet_only_stretch_sds": 0.5, "pet_only_turn_deg": 8.0,
    "pet_only_jacobian_min": 0.2, "pet_only_jacobian_max": 1.3, "pet_only_fwhm_mm": 6.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def done(bids_dir, truth, tmp_path_factory):
    """Everything processed once with ``--pet-only``: output folder, failures."""

    def normalise(pet, template) -> PetNormalisation:
        warp = rigid_warp(pet.grid, np.linalg.inv(truth.t1w_to_pet))
        field = template_field(truth.t1w_to_pet)
        return PetNormalisation(warp, field, {"gm_target": 1.7}, QUALITY)

    processing = Processing(
        pet_only=True, write_masks=True, voi_spaces=("T1w", "pet"), pvc=(PvcMethod.GTM,)
    )
    folder = tmp_path_factory.mktemp("pet_only")
    plan = make_plan(read_dataset(bids_dir, Filters(participant=("01",))), processing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bidsapp.steps.positioning.normalise_pet", normalise)
        level = init_participants_wf(
            plan, bids_dir=bids_dir, output_dir=folder / "out", work_dir=folder / "work",
            processing=processing,
        )  # fmt: skip
        failures = engine.run(
            level.workflow, Resources(nprocs=1), crash_dir=folder / "out" / "logs"
        )
    return folder / "out", failures


def read(out, tracer):
    return read_valid(out / f"sub-01/pet/sub-01_trc-{tracer}_centiloid.json")


@pytest.mark.parametrize("tracer", ["FBB", "PIB"])
def test_the_record_holds_the_known_uptake_and_says_how(done, truth, tracer):
    out, failures = done
    assert not failures
    record = read(out, tracer)
    assert (record["status"], record["method"], record["t1w_source"]) == ("ok", "pet-only", None)
    for name, row in record["voi"].items():
        assert row["mean"] == pytest.approx(truth.mean(name), rel=1e-3)
    assert record["pet_only"] == {"levels": {"gm_target": 1.7}}
    assert set(QUALITY) < set(record["qc"])
    assert set(record["provenance"]["inputs"]) == {"pet"}
    assert record["pvc"]["done"] is False and "pvc" in [f["code"] for f in record["flags"]]
    # of the numbers of the stand-in only the compression is beyond its limit
    flags = [flag["code"] for flag in record["flags"] if flag["code"].startswith("pet-only")]
    assert flags == ["pet-only-jacobian-min"]


def test_files_are_those_of_a_pet_without_t1w(done, truth):
    out, _ = done
    names = {path.name for path in (out / "sub-01").rglob("*") if path.is_file()}
    assert not (out / "sub-01/anat").exists()
    assert not [name for name in names if "T1w" in name]
    warp = "sub-01_trc-FBB_from-pet_to-MNI152NLin6Asym_mode-image_xfm"
    field = np.asarray(nib.load(out / f"sub-01/pet/{warp}.nii.gz").dataobj)[:, :, :, 0]
    world = mni_grid(2).world()
    found = world + field * [-1, -1, 1]
    assert np.abs(found - transform(truth.t1w_to_pet, world)).max() < 0.01
    way_back = warp.replace("from-pet_to-MNI152NLin6Asym", "from-MNI152NLin6Asym_to-pet")
    back = load_displacements(out / f"sub-01/pet/{way_back}.nii.gz")
    world = back.grid.world()
    found = world + back.data
    assert np.abs(found - transform(inverse(truth.t1w_to_pet), world)).max() < 0.01
    mean = "sub-01_trc-FBB_space-MNI152NLin6Asym_res-2_desc-preproc_pet.json"
    sources = json.loads((out / "sub-01/pet" / mean).read_text())["Sources"]
    assert any(warp in source for source in sources)
    # in its own space the PET meets the atlas through the same warp
    table = out / "sub-01/pet/sub-01_trc-FBB_space-pet_atlas-Centiloid_vois.tsv"
    assert table.exists()
    assert not any("space-T1w" in name for name in names)


def test_the_page_is_written(done):
    out, _ = done
    page = write_page(out, "01").read_text()
    assert "pet-only" in page and "from the T1w" not in page
