"""The longitudinal mode from BIDS to record, with stand-ins for segmentation and registration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from record_schema import read_valid
from scipy.ndimage import gaussian_filter

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.anatomy.within_subject import within_subject_template
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError
from bidsapp.execution import engine
from bidsapp.interfaces import anatomy
from bidsapp.io.affine_files import load_itk_affine
from bidsapp.io.nifti import load_volume
from bidsapp.settings import Filters, Processing, Resources
from bidsapp.steps import templating
from bidsapp.steps.anatomy import SegmentedT1w
from bidsapp.workflows.participant import init_participants_wf

from .conftest import head, write_image, write_pet

pytestmark = pytest.mark.slow

MODE = Processing(longitudinal=True, kinetics=())


def add_t1w(bids: Path, session: str, seed: int, sub: str = "01") -> None:
    """A folded head with noise of its own."""
    clean = head()
    folds = gaussian_filter(np.random.default_rng(0).normal(size=clean.data.shape), 1.5)
    noise = np.random.default_rng(seed).normal(0, 10, clean.data.shape)
    data = np.where(clean.data > 0, 1000 + 3000 * folds + noise, 0)
    name = f"sub-{sub}_ses-{session}_T1w.nii.gz"
    path = bids / f"sub-{sub}" / f"ses-{session}" / "anat" / name
    write_image(path, np.maximum(data, 0).astype(np.int16), clean.affine, {})


def add_pet(bids: Path, session: str, image: np.ndarray, sub: str = "01") -> None:
    name = f"sub-{sub}_ses-{session}_trc-FBB"
    write_pet(
        bids, name, frames=image.astype(np.float32), TracerName="[18F]florbetaben",
        start=[5400], duration=[1200],
    )  # fmt: skip
    folder = bids / f"sub-{sub}" / f"ses-{session}" / "pet"
    folder.mkdir(parents=True)
    for path in (bids / f"sub-{sub}" / "pet").iterdir():
        path.rename(folder / path.name)
    (bids / f"sub-{sub}" / "pet").rmdir()


@pytest.fixture
def visits(tmp_path, truth) -> Path:
    """sub-01: T1w and PET in ses-1 and ses-2, PET alone in ses-3. sub-02: one visit."""
    bids = tmp_path / "bids"
    bids.mkdir()
    description = {"Name": "visits", "BIDSVersion": "1.11.0", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    for number, session in enumerate("12"):
        add_t1w(bids, session, seed=number)
    for session in "123":
        add_pet(bids, session, truth.image())
    add_t1w(bids, "1", seed=7, sub="02")
    add_pet(bids, "1", truth.image(), sub="02")
    return bids


@pytest.fixture
def calls(stand_ins, monkeypatch) -> list[str]:
    """Calls of the stand-ins for segmentation, which here also tells volumes, and template."""

    def segment_head(t1w) -> SegmentedT1w:
        if not np.any(t1w.data):
            raise BadDataError("contains no head")
        found = anatomy.segment_head(t1w)
        quality = found.segmentation.quality | {"gm_ml": 700.0, "wm_ml": 500.0}
        return SegmentedT1w(replace(found.segmentation, quality=quality), quality, ())

    def template(given):
        stand_ins.append(f"template of {len(given)}")
        return within_subject_template(given)

    monkeypatch.setattr(templating, "segment_head", segment_head)
    monkeypatch.setattr(templating, "within_subject_template", template)
    stand_ins.clear()
    return stand_ins


def process(bids: Path, processing=MODE, **filters) -> tuple[Path, list]:
    plan = make_plan(read_dataset(bids, Filters(**filters)), processing)
    out = bids.parent / "out"
    level = init_participants_wf(
        plan, bids_dir=bids, output_dir=out, work_dir=bids.parent / "work", processing=processing
    )
    return out, engine.run(level.workflow, Resources(nprocs=1), crash_dir=out / "logs")


def record(out: Path, session: str, sub: str = "01") -> dict:
    name = f"sub-{sub}_ses-{session}_trc-FBB_centiloid.json"
    return read_valid(out / f"sub-{sub}" / f"ses-{session}" / "pet" / name)


def test_all_visits_are_placed_by_one_template(visits, calls, truth):
    out, failures = process(visits)
    assert failures == []
    assert calls.count("template of 2") == 1
    assert calls.count("segment") == 2 + 1 + 1  # visits, template, the person of one visit
    uris = [f"bids:raw:sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in "12"]
    names = {Path(uri).name for uri in uris}
    for session in "123":
        found = record(out, session)
        assert found["status"] == "ok" and found["method"] == "template+model"
        assert found["suvr"]["wc"] == pytest.approx(truth.mean("ctx") / truth.mean("wc"), rel=1e-4)
        assert found["t1w_source"] == "bids::sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
        template = found["longitudinal"]
        assert template["template"] is True and template["t1w_sources"] == uris
        assert [one["tissue_ml"] for one in template["visits"]] == [1200.0, 1200.0]
        assert found["qc"]["visits_agreement"] > 0.95
        assert names <= found["provenance"]["inputs"].keys()
        codes = [flag["code"] for flag in found["flags"]]
        assert ("t1w-other-session" in codes) == (session == "3")
        assert not [code for code in codes if code.startswith("visit")]
    alone = record(out, "1", sub="02")
    assert alone["method"] == "t1w+model" and alone["longitudinal"]["template"] is False
    assert "--longitudinal" in alone["longitudinal"]["reason"]

    anat = out / "sub-01" / "anat"
    image = load_volume(anat / "sub-01_desc-preproc_T1w.nii.gz")
    sidecar = json.loads((anat / "sub-01_desc-preproc_T1w.json").read_text())
    assert sidecar["Sources"] == uris and image.grid.voxel_size == pytest.approx(4.0)
    for session in "12":
        stem = f"sub-01_ses-{session}_from-orig_to-T1w_mode-image_xfm"
        place = out / "sub-01" / f"ses-{session}" / "anat" / stem
        assert "AffineTransform_double_3_3" in place.with_suffix(".txt").read_text()
        there, back = place.parent, place.name.replace("from-orig_to-T1w", "from-T1w_to-orig")
        both = [load_itk_affine(there / f"{name}.txt") for name in (place.name, back)]
        assert both[0] @ both[1] == pytest.approx(np.eye(4), abs=1e-9)
        content = json.loads(place.with_suffix(".json").read_text())
        assert content["Sources"][1] == "bids::sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
        assert np.array(content["TemplateToT1w"]) == pytest.approx(np.eye(4), abs=0.05)
        assert f"sub-01/ses-{session}/anat/{stem}.txt" in found["provenance"]["outputs"]
    pet = json.loads(
        next((out / "sub-01/ses-1/pet").glob("*_space-T1w_desc-preproc*.json")).read_text()
    )
    assert pet["SpatialReference"] == "bids::sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
    assert str(visits.parent) not in "".join(p.read_text() for p in out.rglob("sub-*/**/*.json"))


def test_a_third_visit_makes_another_template_of_what_was_kept(visits, calls):
    out, _ = process(visits, participant=("01",))
    before = (out / "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz").read_bytes()
    add_t1w(visits, "3", seed=3)
    calls.clear()
    out, failures = process(visits, session=("3",))
    assert failures == []
    assert calls.count("template of 3") == 1
    assert calls.count("segment") == 1 + 1  # the new visit and the template
    assert calls.count("register") == 1  # only the scan that was asked for
    assert len(record(out, "3")["longitudinal"]["t1w_sources"]) == 3
    assert len(record(out, "1")["longitudinal"]["t1w_sources"]) == 2  # marked by the group level
    assert (out / "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz").read_bytes() != before


def test_a_visit_without_a_head_stays_out_and_is_told(visits, calls):
    empty = visits / "sub-01/ses-4/anat/sub-01_ses-4_T1w.nii.gz"
    write_image(empty, np.zeros((20, 20, 20), np.int16), np.eye(4), {})
    add_pet(visits, "4", np.asarray(load_pet(visits).data))
    out, failures = process(visits, participant=("01",))
    assert failures == []
    found = record(out, "1")
    visit = found["longitudinal"]["visits"][2]
    assert {key: value for key, value in visit.items() if value is not None} == {
        "reason": "contains no head"
    }
    message = next(f["message"] for f in found["flags"] if f["code"] == "visit-left-out")
    assert message.startswith("sub-01_ses-4_T1w.nii.gz contains no head")
    assert not list((out / "sub-01/ses-4/anat").glob("*xfm*"))
    (visits / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz").write_bytes(empty.read_bytes())
    _, failures = process(visits, participant=("01",))
    assert {failure.error_name for failure in failures} == {"BadDataError"}
    assert "run without --longitudinal" in failures[0].message
    assert str(visits) not in failures[0].message


def load_pet(bids: Path) -> Volume:
    path = bids / "sub-01/ses-1/pet/sub-01_ses-1_trc-FBB_pet.nii.gz"
    return Volume(np.asarray(nib.load(path).dataobj), np.eye(4))
