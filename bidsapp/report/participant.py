"""The participant page: everything a reader needs to trust, or not trust, a Centiloid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bidsapp import __version__
from bidsapp.data import VOI_NAMES, read_table
from bidsapp.data.tracers import tracers
from bidsapp.errors import NoInputError
from bidsapp.nifti import write_text
from bidsapp.report.drawings import ScaleDrawing, TimelineDrawing
from bidsapp.report.evidence import Problem, ScanPictures, template_pictures
from bidsapp.report.literature import scale
from bidsapp.report.methods import describe_records
from bidsapp.report.pictures import Picture
from bidsapp.report.records import ScanRecord, Status, find_records
from bidsapp.report.render import render

REGION_NAMES = {
    "ctx": "cortical target",
    "wc": "whole cerebellum",
    "cg": "cerebellar grey matter",
    "wcb": "whole cerebellum + brainstem",
    "pons": "pons",
}


@dataclass(frozen=True)
class QcRow:
    """A quality number in words; ``limit`` is the value above which a scan is flagged."""

    label: str
    value: float | None
    digits: int
    unit: str
    meaning: str
    limit: float | None = None

    @property
    def verdict(self) -> str | None:
        """``ok`` or ``check`` against the limit, None without one."""
        if self.limit is None or self.value is None:
            return None
        return "ok" if self.value <= self.limit else "check"


@dataclass(frozen=True)
class ScanView:
    """A scan as the page shows it."""

    record: ScanRecord
    scale: ScaleDrawing | None
    timeline: TimelineDrawing | None
    pictures: tuple[Picture | Problem, ...]
    qc: tuple[QcRow, ...]

    @property
    def tracer(self) -> str:
        """Name of the tracer for people: the table's, else what the raw data say."""
        code = self.record.tracer or ""
        return tracers()[code].name if code in tracers() else self.record.tracer_name or "PET"

    @property
    def verdict(self) -> str:
        """``ok``, ``check`` (a result with flags), ``failed``, ``incomplete`` or ``skipped``."""
        if self.record.status is Status.OK and self.record.flags:
            return "check"
        return self.record.status.value


def write_page(output_dir: Path, participant: str) -> Path:
    """Write ``sub-<participant>.html`` over every PET scan of a participant.

    Parameters
    ----------
    output_dir : root of the derivative dataset, the only input
    participant : label, with or without ``sub-``

    Returns
    -------
    Path
        The page: self-contained, no script, no request to any host.

    Raises
    ------
    NoInputError
        There is no record of this participant.
    StorageError
        The page cannot be written.
    """
    label = participant.removeprefix("sub-")
    records = find_records(output_dir, label)
    if not records:
        raise NoInputError(
            f"{output_dir / f'sub-{label}'}: holds no *_centiloid.json to report on; run the "
            "participant level first"
        )
    page = render(
        "participant.html",
        label=label,
        scans=_scans(output_dir, records),
        anatomy=template_pictures(output_dir, records),
        methods=describe_records(records),
        regions={name: REGION_NAMES[name] for name in VOI_NAMES},
        version=__version__,
    )
    return write_text(output_dir / f"sub-{label}.html", page)


def _scans(output_dir: Path, records: Iterable[ScanRecord]) -> list[ScanView]:
    draw = ScanPictures(output_dir)
    return [
        ScanView(
            record=record,
            scale=None if record.centiloid is None else ScaleDrawing.of(record.centiloid, scale()),
            timeline=TimelineDrawing.of(record),
            pictures=draw(record) if record.status is Status.OK else (),
            qc=_qc_rows(record.qc),
        )
        for record in records
    ]


def _qc_rows(qc: Mapping[str, float | None]) -> tuple[QcRow, ...]:
    """Numbers in the order of the table of known ones, then the others under their own names."""
    known, limits = read_table("qc"), read_table("limits")
    rows = [
        QcRow(
            row["label"], qc[name], row["digits"], row["unit"], row["meaning"],
            limits.get(name, {}).get("flag"),
        )
        for name, row in known.items()
        if name in qc
    ]  # fmt: skip
    others = (QcRow(name, value, 3, "", "") for name, value in qc.items() if name not in known)
    return (*rows, *others)
