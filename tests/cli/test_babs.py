"""The call of BABS (BIDS App Bootstrap) and the DataLad dataset it is made on."""

from __future__ import annotations

import pytest
from datalad_job import as_datalad_job, babs_arguments

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.parser import parse
from bidsapp.settings import Processing


@pytest.fixture
def raw_study(raw):
    """Two participants with two sessions each."""
    for label in ("01", "02"):
        for session in ("A", "B"):
            raw.t1w(f"sub-{label}_ses-{session}")
            raw.pet(f"sub-{label}_ses-{session}_trc-FBB")
    (raw.root / "participants.tsv").write_text("participant_id\tage\nsub-01\t70\nsub-02\t71\n")
    return raw.root


def planned(settings):
    return make_plan(read_dataset(settings.bids_dir, settings.filters), Processing())


def test_one_participant_is_there_and_the_others_are_links_to_nothing(raw_study, tmp_path):
    dataset = as_datalad_job(raw_study, tmp_path / "job", "sub-01", "dataset_description.json")
    assert not (dataset / "participants.tsv").exists()  # not fetched either
    settings = parse(babs_arguments(tmp_path / "job", "01"))
    assert (settings.resources.nprocs, settings.verbosity) == (2, 2)
    plan = planned(settings)
    assert [scan.name for scan in plan.scans] == ["sub-01_ses-A_trc-FBB", "sub-01_ses-B_trc-FBB"]
    assert all(".git" not in scan.pet.parts for scan in plan.scans)  # names, not keys
    assert plan.failures == ()


def test_one_session_with_the_filter_file_that_babs_writes(raw_study, tmp_path):
    as_datalad_job(raw_study, tmp_path / "job", "sub-01/ses-A", "dataset_description.json")
    plan = planned(parse(babs_arguments(tmp_path / "job", "01", "A")))
    (scan,) = plan.scans
    assert scan.name == "sub-01_ses-A_trc-FBB"
    assert scan.t1w.t1w.name == "sub-01_ses-A_T1w.nii.gz"
    assert (plan.failures, scan.flags) == ((), ())


def test_paths_of_older_versions_are_relative(raw_study, tmp_path, monkeypatch):
    job = tmp_path / "job"
    as_datalad_job(raw_study, job, "sub-01", "dataset_description.json")
    monkeypatch.chdir(job)
    settings = parse(
        ["inputs/data/BIDS", "outputs", "participant", "-w", ".git/tmp/wkdir",
         "--participant-label", "sub-01"]
    )  # fmt: skip
    assert settings.bids_dir == job / "inputs/data/BIDS"
    assert settings.output_dir == job / "outputs"
    assert len(planned(settings).scans) == 2


def test_a_scan_that_was_not_fetched_is_named_with_the_remedy(raw_study, tmp_path):
    as_datalad_job(
        raw_study, tmp_path / "job", "sub-01/ses-A", "sub-01/ses-B/anat", "dataset_description.json"
    )
    plan = planned(parse(babs_arguments(tmp_path / "job", "01")))
    assert [scan.session for scan in plan.scans] == ["A"]
    (failure,) = plan.failures
    assert "ses-B" in failure.message and "fetch its content" in failure.message
