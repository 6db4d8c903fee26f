"""Records on disk: written atomically, and read without exceptions for damaged ones.

Reports and tables are made from records alone, so one that is torn, foreign or half-written must
still become a row that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import is_inside, output_path
from bidsapp.bids.entities import ENTITY_ORDER, parse_entities
from bidsapp.bids.seals import sealed
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import NoInputError
from bidsapp.io.atomic import write_text
from bidsapp.io.reading import parse_json, read_text
from bidsapp.plain import some
from bidsapp.record.codec import plain, structured
from bidsapp.record.model import (
    RECORD_SUFFIX,
    SCHEMA_VERSION,
    ScanRecord,
    Status,
    WindowCoverage,
)
from bidsapp.record.verdicts import band_statement, judged
from bidsapp.settings import Interval

_RUN_AGAIN = "run the participant level again for this participant"
INCOMPLETE = f"the run ended before this scan was finished; {_RUN_AGAIN}"

# Without these there is no result: a record in which one has another form is a failed scan.
_RESULT = (
    "status", "tracer", "suvr", "centiloid", "centiloid_interval", "window_start_min",
    "window_end_min", "tracer_window_min", "reference_region", "equation", "calibration", "method",
    "flags", "voi", "provenance", "schema_version",
)  # fmt: skip
_MOST_NAMED = 3


def record_path(entities: dict[str, str]) -> str:
    """Name of the record of a PET, relative to the dataset.

    Parameters
    ----------
    entities : of the PET, short keys

    Returns
    -------
    str
    """
    return output_path("", "result", entities).as_posix()


def dataset_of(path: Path) -> Path:
    """Root of the derivative dataset that a record lies in.

    Parameters
    ----------
    path : of the record

    Returns
    -------
    Path

    Raises
    ------
    NoInputError
        No record has such a name at such a place.
    """
    entities = _known_entities(path.name)
    is_record = path.name.endswith(RECORD_SUFFIX) and "sub" in entities
    name = Path(record_path(entities) if is_record else "")
    if not is_record or path.parts[-len(name.parts) :] != name.parts:
        raise NoInputError(
            f"{path}: is not the record of a scan (sub-*{RECORD_SUFFIX}) in its place"
        )
    return path.parents[len(name.parts) - 1]


def write_record(output_dir: Path, record: ScanRecord) -> Path:
    """Write a record where it belongs, atomically, with a hash over its own text at the end.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    record : of the scan

    Returns
    -------
    Path
        Of the record.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    return write_text(output_path(output_dir, "result", record.entities), sealed(plain(record)))


def find_records(output_dir: Path, participant: str | None = None) -> list[ScanRecord]:
    """Read every record of a derivative dataset, or of one participant.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    participant : label without ``sub-``; None for all

    Returns
    -------
    list of ScanRecord
        Sorted by participant, session, tracer, rec and run.
    """
    records = [
        read_record(path, output_dir)
        for folder in ("pet", "ses-*/pet")
        for path in output_dir.glob(f"sub-{participant or '*'}/{folder}/sub-*{RECORD_SUFFIX}")
    ]
    return sorted(records, key=lambda record: record.sort_key)


def read_record(path: Path, output_dir: Path) -> ScanRecord:
    """Read one record; a torn or foreign one becomes a failed scan with the reason.

    Where only details have another form, the result stands without them, flagged.

    Parameters
    ----------
    path : of the record
    output_dir : root of the derivative dataset

    Returns
    -------
    ScanRecord
    """
    relative = path.relative_to(output_dir).as_posix()
    try:
        _check_name(relative)
        return record_from_json(parse_json(read_text(path)), relative)
    except (OSError, ValueError) as error:
        entities = _known_entities(relative)
        return ScanRecord(
            path=relative,
            status=Status.FAILED,
            **identity(entities),
            reason=f"{relative}: the record cannot be read ({_short(error)}); {_RUN_AGAIN}",
            error="BadDataError",
            tracer=entities.get("trc"),
        )


def record_from_json(content: Any, path: str) -> ScanRecord:
    """The record in a JSON text, from any version of CentiPET.

    Parameters
    ----------
    content : parsed
    path : of the record, relative to the dataset; says whose scan it is

    Returns
    -------
    ScanRecord

    Raises
    ------
    ValueError
        It is not a record, or what makes the result cannot be what CentiPET wrote.
    """
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    version = content.get("schema_version", 0)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(
            f"it has version {version} of the schema and this CentiPET reads up to "
            f"{SCHEMA_VERSION}: use the CentiPET that wrote it, or a newer one"
        )
    misfits: list[str] = []
    known = {"schema_version": 0, **content, **identity(parse_entities(path))}
    record = structured(ScanRecord, known, misfits)
    if "status" not in content or content["status"] is None:
        misfits.append("status")
    if record is not None:
        record = _checked(record, misfits)
    if record is None or (lost := [n for n in misfits if n.split(".")[0] in _RESULT]):
        named = some(lost if record is not None else misfits)
        raise ValueError(f"{named} cannot be what CentiPET wrote")
    record = replace(record, path=path)
    if record.schema_version == 0:
        record = _upgraded(record)
    if record.status is Status.INCOMPLETE and record.reason is None:
        record = replace(record, reason=INCOMPLETE)
    calibrated = record.calibration.calibrated if record.calibration else None
    numberless = record.centiloid is None and not record.scales
    if record.status is Status.OK and numberless and calibrated is not False:
        raise ValueError("its status is ok, but it has no Centiloid")
    return replace(record, flags=(*record.flags, *_damage(misfits)))


def _checked(record: ScanRecord, misfits: list[str]) -> ScanRecord:
    """A record without what has the right form and still cannot be: a day that no month has."""
    for name in [name for name, file in record.tacs.items() if not is_inside(file)]:
        misfits.append(f"tacs.{name}")
    tacs = {name: file for name, file in record.tacs.items() if is_inside(file)}
    acq_time = record.acq_time
    try:
        datetime.fromisoformat(acq_time or "2000-01-01")
    except ValueError:
        misfits.append("acq_time")
        acq_time = None
    for option in ("atlases", "reference_regions"):
        chosen = record.provenance.parameters.get(option)
        entries = chosen if isinstance(chosen, list) else [chosen]
        names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
        if chosen is not None and not all(isinstance(name, str) for name in names):
            misfits.append(f"provenance.parameters.{option}")
    return replace(record, tacs=tacs, acq_time=acq_time)


def _upgraded(record: ScanRecord) -> ScanRecord:
    """A record of CentiPET 0.1, which had no verdicts, and bands and windows only later."""
    record = replace(record, schema_version=SCHEMA_VERSION)
    if record.status is not Status.OK:
        return record
    window = record.window
    if window is None or window.verdict is None:
        flagged = any(flag.code.startswith("window-") for flag in record.flags)
        share = None if window is None else window.coverage
        window = WindowCoverage(share, QualityLevel.LOOK if flagged else QualityLevel.GOOD)
    if record.window_min is None or record.tracer_window_min is None:
        window = None
    band = record.band or band_statement(record.centiloid, record.centiloid_interval, Interval.PIB)
    return judged(
        replace(record, window=window, band=band, interval=record.interval or Interval.PIB)
    )


def identity(entities: Mapping[str, str]) -> dict[str, Any]:
    """Whose scan it is, by the name of the file, so that place and row agree.

    Parameters
    ----------
    entities : of the PET, short keys

    Returns
    -------
    dict
        Fields of the record.
    """
    session = entities.get("ses")
    return {
        "participant_id": f"sub-{entities['sub']}",
        "session_id": f"ses-{session}" if session else None,
        "entities": dict(entities),
    }


def _known_entities(path: str) -> dict[str, str]:
    return {key: label for key, label in parse_entities(path).items() if key in ENTITY_ORDER}


def _check_name(path: str) -> None:
    """Refuse a file that lies where no record of its name would: a copy, or somebody else's."""
    entities = _known_entities(path)
    place = record_path(entities) if all(entities.values()) else ""
    if path != place:
        raise ValueError("no scan has a record of this name at this place")


def _damage(misfits: list[str]) -> tuple[Flag, ...]:
    """Flag that says what of a record could not be read."""
    if not misfits:
        return ()
    fields = some(misfits, _MOST_NAMED)
    return (worded_flag("record-damaged", fields=fields, remedy=_RUN_AGAIN),)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
