"""Smoothing through the whole participant level, with stand-ins for the slow steps."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.data import vois
from bidsapp.execution import engine
from bidsapp.settings import AtlasChoice, Filters, Processing, Resources
from bidsapp.workflows.participant import init_participants_wf

pytestmark = pytest.mark.slow

KERNEL_MM = 6.0


def test_smoothing_reaches_every_image_and_the_record(bids_dir, stand_ins, truth, tmp_path):
    processing = Processing(
        target_resolution_mm=10.0, psf_mm=(8.0, 8.0, 8.0), atlases=(AtlasChoice("Centiloid"),)
    )
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
    assert record["centiloid"] is None  # no equation was made with this smoothing
    expected = gaussian_filter(truth.image(), KERNEL_MM / FWHM_PER_SIGMA / 2)
    for name in ("ctx", "pons"):
        mean = record["voi"][name]["mean"]
        assert mean == pytest.approx(expected[vois(2)[name]].mean(), rel=0.01)
        assert mean != pytest.approx(truth.mean(name), rel=0.01)
    native = nib.load(stem.with_name(f"{stem.name}_desc-preproc_pet.nii.gz")).get_fdata()
    raw = nib.load(bids_dir / "sub-01/pet/sub-01_trc-PIB_pet.nii.gz").get_fdata()
    blurred = gaussian_filter(raw, KERNEL_MM / FWHM_PER_SIGMA / 2)
    inner = (slice(8, -8),) * 3
    np.testing.assert_allclose(native[inner], blurred[inner], rtol=1e-3)
