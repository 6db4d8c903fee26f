"""What tests ask of scanner files and of data sets: their conversion, a series, its times."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from bidsapp.bids.stated import NOTHING_STATED, StatedTimes
from bidsapp.dicom.convert import ConversionReport, convert
from bidsapp.dicom.header import headers_of
from bidsapp.dicom.pet_frames import frames_of, scan_clock
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import Series
from bidsapp.dicom.timing import time_model
from bidsapp.dicom.two_clocks import with_one_clock
from bidsapp.settings import DicomInput


def run(source: Path, bids: Path, **options: Any) -> ConversionReport:
    """Convert in this process."""
    return convert(DicomInput(source, **options), bids, nprocs=1)


def dry(source: Path, **options: Any) -> ConversionReport:
    """Decide only."""
    return run(source, source.parent / "nowhere", dry_run=True, **options)


def pet_sidecar(bids: Path) -> dict[str, Any]:
    """Sidecar of the only PET of a dataset."""
    (path,) = bids.rglob("*_pet.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def series_of(datasets: Iterable[Dataset]) -> Series:
    """The series that data sets are, without files."""
    headers = (headers_of(data, Path(f"{number}")) for number, data in enumerate(datasets))
    return Series("1.2", 0, tuple(chain.from_iterable(headers)))


def times_of(
    series: Series, injection: datetime | None = None, stated: StatedTimes = NOTHING_STATED
) -> TimeModel:
    """The times of a PET by its headers and what the user states, in the steps of a conversion."""
    series = with_one_clock(series, stated)
    return time_model(scan_clock(series, frames_of(series), injection, stated))


def injected(data: Dataset) -> Dataset:
    """What a data set says of the injection."""
    item: Dataset = data.RadiopharmaceuticalInformationSequence[0]
    return item
