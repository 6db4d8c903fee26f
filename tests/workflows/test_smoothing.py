"""Smoothing through the whole participant level, with stand-ins for the slow steps."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import vois
from bidsapp.data.tracers import tracers
from bidsapp.execution import engine
from bidsapp.settings import AtlasChoice, Filters, Processing, Resources
from bidsapp.verify.dataset import check_scan
from bidsapp.workflows.participant import init_participants_wf

pytestmark = pytest.mark.slow

KERNEL_MM = 6.0


def test_smoothing_reaches_every_image_and_the_record(bids_dir, stand_ins, truth, tmp_path):
    processing = Processing(
        target_resolution_mm=10.0, psf_mm=(8.0, 8.0, 8.0), atlases=(AtlasChoice("Centiloid"),),
        voi_mm=1,
    )  # fmt: skip
    filters = Filters(participant=("01",), tracer=("PIB",))
    plan = make_plan(read_dataset(bids_dir, filters), processing)
    level = init_participants_wf(
        plan, bids_dir=bids_dir, output_dir=tmp_path / "out", work_dir=tmp_path / "work",
        processing=processing,
    )  # fmt: skip
    assert engine.run(level.workflow, Resources(nprocs=1), crash_dir=tmp_path) == []
    stem = tmp_path / "out" / "sub-01" / "pet" / "sub-01_trc-PIB"
    record = json.loads(stem.with_name(f"{stem.name}_centiloid.json").read_text())
    assert record["smoothing"]["kernel_fwhm_mm"] == pytest.approx([KERNEL_MM] * 3)
    assert record["provenance"]["parameters"]["target_resolution_mm"] == 10
    expected = gaussian_filter(truth.image(), KERNEL_MM / FWHM_PER_SIGMA / 2)
    for name in ("ctx", "pons"):
        assert record["voi"][name]["n_voxels"] == vois(1)[name].sum()
        fine = map_coordinates(expected, np.argwhere(vois(1)[name]).T / 2, order=1)
        mean = record["voi"][name]["mean"]
        assert mean == pytest.approx(fine.mean(), rel=0.01)
        assert mean != pytest.approx(truth.mean(name), rel=0.01)
    # the Centiloid is that of the PET as it is, in volumes of 2 mm, and says so
    ratio = truth.mean("ctx") / truth.mean("wc")
    assert record["centiloid_suvr"]["wc"] == pytest.approx(ratio, rel=1e-4)
    assert record["suvr"]["wc"] < 0.99 * ratio
    line = tracers()["PIB"].equation
    assert record["centiloid"] == pytest.approx(centiloid(ratio, line), rel=1e-3)
    assert record["centiloid_interval"] and record["equation"]["slope"] == line.slope
    assert "centiloid-standard" in {flag["code"] for flag in record["flags"]}
    found = check_scan(tmp_path / "out", "sub-01/pet/sub-01_trc-PIB_centiloid.json")
    assert found.differences == []
    native = nib.load(stem.with_name(f"{stem.name}_desc-preproc_pet.nii.gz")).get_fdata()
    raw = nib.load(bids_dir / "sub-01/pet/sub-01_trc-PIB_pet.nii.gz").get_fdata()
    blurred = gaussian_filter(raw, KERNEL_MM / FWHM_PER_SIGMA / 2)
    inner = (slice(8, -8),) * 3
    np.testing.assert_allclose(native[inner], blurred[inner], rtol=1e-3)
