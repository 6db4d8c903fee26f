"""Pages of participants, beside other jobs of the same participant."""

from __future__ import annotations

from synthetic_records import finished_record, write

from bidsapp.cli import pages
from bidsapp.cli.logs import Progress
from bidsapp.settings import Filters, Level, Resources, Settings


def test_a_scan_that_another_job_ends_meanwhile_is_on_the_page(tmp_path, monkeypatch):
    first, second = ({"sub": "1", "ses": session, "trc": "FBB"} for session in ("1", "2"))
    write(tmp_path, finished_record(first), first)
    works = pages.write_page

    def end_of_another_job(output_dir, participant):
        page = works(output_dir, participant)
        write(tmp_path, finished_record(second), second)
        return page

    monkeypatch.setattr(pages, "write_page", end_of_another_job)
    settings = Settings(
        bids_dir=tmp_path, output_dir=tmp_path, level=Level.PARTICIPANT, work_dir=tmp_path,
        filters=Filters(), resources=Resources(nprocs=1, mem_gb=4),
    )  # fmt: skip
    assert pages.write_pages(settings, ["1"], Progress()) == []
    text = (tmp_path / "sub-1.html").read_text()
    assert "session 1" in text and "session 2" in text
    manifest = (tmp_path / "sub-1/figures/manifest.json").read_text()
    assert "sub-1_ses-2_trc-FBB_centiloid.json" in manifest
