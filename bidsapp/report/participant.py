"""The participant page: everything a reader needs to trust, or not trust, a Centiloid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from bidsapp import __version__
from bidsapp.bids.derivatives import output_path
from bidsapp.bids.entities import parse_entities
from bidsapp.data import VOI_NAMES, mni_grid, priors, read_table, vois
from bidsapp.errors import BadDataError, CentipetError, NoInputError
from bidsapp.nifti import load_volume, write_text
from bidsapp.report import pictures
from bidsapp.report.drawings import ScaleDrawing, TimelineDrawing
from bidsapp.report.literature import scale
from bidsapp.report.methods import describe_records
from bidsapp.report.mosaic import Layout, lay_out_around
from bidsapp.report.pictures import Picture
from bidsapp.report.records import ScanRecord, Status, find_records
from bidsapp.report.render import render
from bidsapp.volume import Volume

REGION_NAMES = {
    "ctx": "cortical target",
    "wc": "whole cerebellum",
    "cg": "cerebellar grey matter",
    "wcb": "whole cerebellum + brainstem",
    "pons": "pons",
}


@dataclass(frozen=True)
class Problem:
    """A picture that could not be drawn, and why."""

    title: str
    sentence: str


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
    def verdict(self) -> str:
        """``ok``, ``check`` (a result with flags), ``failed``, ``incomplete`` or ``skipped``."""
        if self.record.status is Status.OK and self.record.flags:
            return "check"
        return self.record.status.value


@dataclass(frozen=True)
class _Anatomy:
    """Images of one T1w that several PET scans share."""

    t1w: Volume
    white: Volume
    brain: Volume
    layout: Layout


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
        anatomy=_normalisations(output_dir, records),
        methods=describe_records(records),
        regions={name: REGION_NAMES[name] for name in VOI_NAMES},
        version=__version__,
    )
    return write_text(output_dir / f"sub-{label}.html", page)


def _scans(output_dir: Path, records: Iterable[ScanRecord]) -> list[ScanView]:
    anatomies: dict[str | None, _Anatomy] = {}
    return [
        ScanView(
            record=record,
            scale=None if record.centiloid is None else ScaleDrawing.of(record.centiloid, scale()),
            timeline=TimelineDrawing.of(record),
            pictures=_scan_pictures(output_dir, record, anatomies),
            qc=_qc_rows(record.qc),
        )
        for record in records
    ]


def _scan_pictures(
    output_dir: Path, record: ScanRecord, anatomies: dict[str | None, _Anatomy]
) -> tuple[Picture | Problem, ...]:
    if record.status is not Status.OK:
        return ()

    def anatomy() -> _Anatomy:
        if record.t1w_source not in anatomies:
            anatomies[record.t1w_source] = _load_anatomy(output_dir, record)
        return anatomies[record.t1w_source]

    @cache
    def pet(key: str) -> Volume:
        volume = load_volume(output_path(output_dir, key, record.entities), ndim=3)
        return Volume(np.divide(volume.data, _reference_uptake(record)), volume.affine)

    def over_t1w() -> Picture:
        on = anatomy()
        return pictures.suvr_over_t1w(pet("pet_t1w"), on.t1w, on.layout, record.tracer)

    def tissue() -> Picture:
        on = anatomy()
        return pictures.tissue_on_pet(pet("pet_t1w"), on.white, on.brain, on.layout, record.tracer)

    def where() -> Picture:
        return pictures.vois_on_pet(pet("pet_mni"), _shown_vois(), record.tracer)

    return (
        _drawn("Uptake over anatomy", over_t1w),
        _drawn("Where it was measured", where),
        _drawn("PET to T1w", tissue),
    )


@cache
def _shown_vois() -> dict[str, Volume]:
    """Volumes of interest that are outlined: of wcb only what the cerebellum leaves of it."""
    masks = vois(2)
    shown = {**masks, "brainstem": masks["wcb"] & ~masks["wc"]}
    return {name: Volume(shown[name], mni_grid(2).affine) for name in pictures.VOI_OUTLINES}


def _reference_uptake(record: ScanRecord) -> float:
    mean = record.voi.get("wc", {}).get("mean")
    if not mean:
        raise NoInputError(
            f"{record.path}: has no mean uptake of the whole cerebellum (voi.wc.mean); run the "
            "participant level again"
        )
    return mean


def _load_anatomy(output_dir: Path, record: ScanRecord) -> _Anatomy:
    entities = _t1w_entities(record)
    t1w, white, brain = (
        load_volume(output_path(output_dir, key, entities), ndim=3) for key in ("t1w", "wm", "mask")
    )
    if not brain.data.any():
        raise BadDataError(
            f"{output_path(output_dir, 'mask', entities)}: the brain mask is empty; look at the "
            "T1w and run the participant level again"
        )
    return _Anatomy(t1w, white, brain, lay_out_around(brain))


def _t1w_entities(record: ScanRecord) -> dict[str, str]:
    return parse_entities(record.t1w_source or "") or dict(record.entities)


def _normalisations(
    output_dir: Path, records: Iterable[ScanRecord]
) -> list[tuple[str, Picture | Problem]]:
    """Every T1w of the participant in template space, with its name."""
    drawn: dict[Path, tuple[str, Picture | Problem]] = {}
    for record in records:
        path = output_path(output_dir, "t1w_mni", _t1w_entities(record))
        wanted = record.status is Status.OK or path.exists()
        if not wanted or path in drawn:
            continue
        draw = partial(_normalisation, path)
        drawn[path] = (Path(record.t1w_source or path).name, _drawn("T1w to template", draw))
    return list(drawn.values())


def _normalisation(path: Path) -> Picture:
    return pictures.template_on_t1w(load_volume(path, ndim=3), priors())


def _drawn(title: str, draw: Callable[[], Picture]) -> Picture | Problem:
    """Draw a picture, or say why it is missing: one lost image must not cost the page."""
    try:
        return draw()
    except CentipetError as error:
        return Problem(title, str(error))


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
