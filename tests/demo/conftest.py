"""The phantom, made once, and its DICOM study."""

from __future__ import annotations

from pathlib import Path

import pytest

from bidsapp import data
from bidsapp.demo.dicom_writer import write_study
from bidsapp.demo.phantom import Phantom, make_phantom

TRUE_SUVR = 1.4


@pytest.fixture(scope="session")
def make():
    """Function that makes the phantom of a given SUVR from the packaged template and VOIs."""

    def function(suvr: float = TRUE_SUVR) -> Phantom:
        return make_phantom(
            data.template(1), data.template_mask(1).data, data.vois(2), data.mni_grid(2), suvr
        )

    return function


@pytest.fixture(scope="session")
def phantom(make) -> Phantom:
    return make()


@pytest.fixture(scope="session")
def dicom_study(phantom, tmp_path_factory) -> Path:
    """Folder of the phantom's participant, one folder per series in it."""
    directory = tmp_path_factory.mktemp("dicom")
    write_study(directory, phantom)
    return directory / "sub-phantom"
