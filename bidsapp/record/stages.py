"""The stages of a record, from plan to result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from bidsapp import __version__
from bidsapp.bids.derivatives import derivative_uri, output_path, raw_uri
from bidsapp.bids.plan import ScanFailure, ScanPlan, ScanSkip, T1wPlan
from bidsapp.bids.seals import hashes_of
from bidsapp.data import REFERENCES
from bidsapp.record.files import INCOMPLETE, identity, record_path
from bidsapp.record.model import (
    RECORD_SUFFIX,
    Provenance,
    RecordPart,
    ScanRecord,
    Status,
    WindowCoverage,
)
from bidsapp.record.stored import StoredScan
from bidsapp.record.tracers import definition_of
from bidsapp.record.verdicts import judged


def empty_record(entities: Mapping[str, str], **known: Any) -> ScanRecord:
    """A record without a result.

    Parameters
    ----------
    entities : of the raw PET, short keys
    **known : fields of it

    Returns
    -------
    ScanRecord
    """
    unknown = dict.fromkeys(REFERENCES)
    base = ScanRecord(
        **identity(entities),
        suvr=unknown,
        centiloids=unknown,
        provenance=Provenance(version=__version__),
        path=record_path(dict(entities)),
    )
    return replace(base, **known)


def planned_record(scan: ScanPlan, bids_dir: Path, **known: Any) -> ScanRecord:
    """Record of a scan that is about to be processed: ``incomplete``, with all the plan knows.

    Parameters
    ----------
    scan : its plan
    bids_dir : root of the raw dataset
    **known : further fields

    Returns
    -------
    ScanRecord
    """
    return empty_record(
        scan.entities,
        **scan.about,
        reason=INCOMPLETE,
        source=raw_uri(scan.pet, bids_dir),
        t1w_source=None if scan.t1w is None else _anatomy_uri(scan.t1w, bids_dir),
        site=scan.site,
        acq_time=None if scan.acquired is None else scan.acquired.isoformat(),
        tracer=scan.tracer,
        tracer_name=scan.metadata.tracer_name,
        tracer_definition=definition_of(scan.tracer),
        window_start_min=scan.window.used_min[0],
        window_end_min=scan.window.used_min[1],
        tracer_window_min=scan.window.wanted_min,
        window=WindowCoverage(scan.window.coverage, scan.window.verdict),
        frame_start_s=tuple(scan.metadata.frame_start_s),
        frame_duration_s=tuple(scan.metadata.frame_duration_s),
        frame_weights_s=tuple(scan.window.frame_weights_s),
        flags=tuple(scan.flags),
        **known,
    )


def _anatomy_uri(t1w: T1wPlan, bids_dir: Path) -> str:
    """Raw T1w, or the template that was made of several."""
    if t1w.t1w is not None:
        return raw_uri(t1w.t1w, bids_dir)
    return derivative_uri(output_path("", "t1w", t1w.entities), "")


def completed_record(
    planned: ScanRecord, parts: Iterable[RecordPart], **hashes: Mapping[str, str]
) -> ScanRecord:
    """Record of a scan whose steps are all done, judged.

    Parameters
    ----------
    planned : as `planned_record` gave it
    parts : what each step gives: ``qc`` numbers and ``flags`` come together, any other field
        belongs to one step
    **hashes : ``inputs``, ``voxels`` and ``outputs`` of its provenance

    Returns
    -------
    ScanRecord

    Raises
    ------
    ValueError
        Two steps give the same field: a fault of the program.
    """
    given: dict[str, Any] = {}
    qc, flags = dict(planned.qc), list(planned.flags)
    nothing = RecordPart()
    for part in parts:
        qc |= part.qc
        flags += part.flags
        for name in (f.name for f in fields(RecordPart) if f.name not in ("qc", "flags")):
            value = getattr(part, name)
            if value == getattr(nothing, name):
                continue
            if name in given:
                raise ValueError(f"two steps give {name}")
            given[name] = value
    provenance = replace(planned.provenance, **cast(Any, hashes))
    record = replace(planned, **given, qc=qc, flags=tuple(flags), provenance=provenance)
    return judged(replace(record, status=Status.OK, reason=None))


def failed_record(record: ScanRecord, error_name: str, message: str, bids_dir: Path) -> ScanRecord:
    """The same record as ``failed``, with a sentence that says why there is no result.

    Paths in the sentence become those within the dataset: where it lay is not part of a result.

    Parameters
    ----------
    record : as it was planned
    error_name : class of the error
    message : its sentence
    bids_dir : root of the raw dataset

    Returns
    -------
    ScanRecord
    """
    reason = message.replace(f"{bids_dir}/", "")
    return replace(record, status=Status.FAILED, error=error_name, reason=reason)


def with_leftovers(record: ScanRecord, output_dir: Path) -> ScanRecord:
    """A failed record with the hashes of the files written before the failure.

    Parameters
    ----------
    record : of a scan that failed
    output_dir : root of the derivative dataset

    Returns
    -------
    ScanRecord
    """
    scan = StoredScan(output_dir, record)
    place = scan.path("result")
    leftovers = list(place.parent.glob(f"{place.name.removesuffix(RECORD_SUFFIX)}_*"))
    if record.t1w_source:
        image = scan.path("t1w")
        leftovers += image.parent.glob(f"{image.name.removesuffix('_desc-preproc_T1w.nii.gz')}_*")
    names = {path.relative_to(output_dir).as_posix() for path in leftovers if path != place}
    outputs = hashes_of(output_dir, sorted(names))
    return replace(record, provenance=replace(record.provenance, outputs=outputs))


def unplanned_record(scan: ScanFailure | ScanSkip, bids_dir: Path) -> ScanRecord:
    """Record of a scan that planning refused or left out.

    Parameters
    ----------
    scan : that was refused or left out
    bids_dir : root of the raw dataset

    Returns
    -------
    ScanRecord
    """
    record = empty_record(
        scan.entities,
        **scan.about,
        source=raw_uri(scan.pet, bids_dir),
        tracer=scan.tracer,
        tracer_definition=definition_of(scan.tracer),
    )
    if isinstance(scan, ScanFailure):
        return failed_record(record, scan.error_name, scan.message, bids_dir)
    return replace(record, status=Status.SKIPPED, reason=scan.reason)
