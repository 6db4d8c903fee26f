"""The recipes of docs/bids_input.md for archives, tried on files made like theirs."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsapp.bids.image_pairs import judge_pairs, read_pairs
from bidsapp.bids.layout import read_dataset
from bidsapp.bids.pair_dataset import write_pairs
from bidsapp.bids.planning import make_plan
from bidsapp.core.quality import QualityLevel
from bidsapp.settings import Filters, Processing

PAGE = Path(__file__).parents[2] / "docs" / "bids_input.md"
ADNI, OASIS, GAAIN = re.findall(r"```tsv\n(.*?)```", PAGE.read_text(), re.S)
FRAMES = {"Co-registered_Dynamic.nii": 4, "sub-OAS30001_ses-d2430_acq-PIB_pet.nii.gz": 52}


@pytest.fixture
def planned(tmp_path):
    def plan(table):
        (tmp_path / "PAIRS.tsv").write_text(table)
        for number, row in enumerate(csv.DictReader(table.splitlines(), delimiter="\t")):
            frames = (FRAMES[row["pet"]],) if row["pet"] in FRAMES else ()
            for name, shape in ((row["pet"], (6, 7, 8, *frames)), (row["t1w"], (6, 7, 8))):
                # another brightness each, or one image would be there twice
                nib.Nifti1Image(
                    np.full(shape, 1.0 + number + 9 * (name == row["t1w"]), np.float32), np.eye(4)
                ).to_filename(tmp_path / name)
        pairs, errors = judge_pairs(read_pairs(tmp_path / "PAIRS.tsv")[0])
        assert errors == []
        assert write_pairs(pairs, tmp_path / "raw")[1] == []
        found = make_plan(read_dataset(tmp_path / "raw", Filters()), Processing())
        assert found.failures == () and found.skipped == ()
        return found.scans

    return plan


def codes(scan):
    return {flag.code for flag in scan.flags}


def test_every_stage_of_adni_is_measured_over_its_window(planned):
    scans = planned(ADNI)
    assert [scan.session for scan in scans] == ["bl", "m24", "m48", "m72"]
    assert [scan.n_frames for scan in scans] == [4, 1, 1, 1]
    for scan in scans:
        assert scan.tracer == "FBP" and scan.t1w is not None
        assert {"stated", "attenuation-unknown"} <= codes(scan)
        assert not {"window-off", "window-assumed"} & codes(scan)
    frames, *means = scans
    assert frames.window.used_min == (50, 60) and frames.window.verdict is QualityLevel.GOOD
    for mean in means:  # 20 min, of which the equation asks for 10
        assert mean.window.used_min == (50, 70) and "window-shifted" in codes(mean)


def test_a_dynamic_scan_of_oasis_covers_half_of_the_window(planned):
    [scan] = planned(OASIS)
    assert scan.tracer == "PIB" and scan.n_frames == 52 and scan.is_dynamic
    assert scan.window.used_min == (50, 60) and scan.window.coverage == pytest.approx(0.5)
    assert "window-partial" in codes(scan)


def test_the_images_of_gaain_have_the_window_of_the_scale(planned):
    scans = planned(GAAIN)
    assert [scan.participant for scan in scans] == ["AD01", "YC101"]
    assert {scan.window.used_min for scan in scans} == {(50, 70)}
    assert all("stated" in codes(scan) for scan in scans)
