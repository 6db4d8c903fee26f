"""A small participant, made from the template: a head of 2 mm and a PET of known uptake."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_derivatives import SCAN, write_images
from synthetic_records import finished_record, write

from bidsapp.report.participant import write_page


@pytest.fixture(scope="session")
def derivatives(tmp_path_factory) -> Path:
    """Derivatives of one participant with one finished scan, and its page."""
    folder = tmp_path_factory.mktemp("derivatives")
    write_images(folder, SCAN)
    write(folder, finished_record(SCAN, suvr_wc=1.8), SCAN)
    write_page(folder, "01")
    return folder
