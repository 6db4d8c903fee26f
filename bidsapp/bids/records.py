"""The record ``_centiloid.json`` of a scan: its fields, and what it says without a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.derivatives import derivative_uri, output_path, raw_uri
from bidsapp.bids.entities import parse_entities
from bidsapp.bids.plan import ScanFailure, ScanPlan, ScanSkip, T1wPlan
from bidsapp.bids.seals import hashes_of, sealed
from bidsapp.io.atomic import write_text

_INCOMPLETE = (
    "the run ended before this scan was finished; run the participant level again for this "
    "participant"
)


def empty_record(entities: Mapping[str, str]) -> dict[str, Any]:
    """Every field of a record, in order, without values.

    Parameters
    ----------
    entities : of the raw PET, short keys
    """
    session = entities.get("ses")
    return {
        "status": "incomplete",
        "reason": "n/a",
        "error": "n/a",
        "participant_id": f"sub-{entities['sub']}",
        "session_id": f"ses-{session}" if session else "n/a",
        "entities": dict(entities),
        "source": None,
        "t1w_source": None,
        "longitudinal": None,
        "site": None,
        "acq_time": None,
        "participant": {},
        "session": {},
        "acquisition": {},
        "tracer": None,
        "tracer_name": None,
        "window_start_min": None,
        "window_end_min": None,
        "tracer_window_min": None,
        "window": None,
        "frame_start_s": None,
        "frame_duration_s": None,
        "frame_weights_s": None,
        "suvr": {"wc": None, "cg": None, "wcb": None, "pons": None},
        "centiloid": None,
        "centiloid_sd": None,
        "centiloid_interval": None,
        "uncertainty": None,
        "band": None,
        "p_above_cutoff": None,
        "centiloids": {"wc": None, "cg": None, "wcb": None, "pons": None},
        "reference_agreement": None,
        "scales": None,
        "reference_region": None,
        "equation": None,
        "calibration": None,
        "method": None,
        "qc": {},
        "flags": [],
        "voi": None,
        "provenance": {"version": __version__},
    }


def planned_record(scan: ScanPlan, bids_dir: Path) -> dict[str, Any]:
    """Record of a scan that is about to be processed: ``incomplete``, with all the plan knows."""
    return empty_record(scan.entities) | {
        **scan.about,
        "reason": _INCOMPLETE,
        "source": raw_uri(scan.pet, bids_dir),
        "t1w_source": None if scan.t1w is None else _anatomy_uri(scan.t1w, bids_dir),
        "site": scan.site,
        "acq_time": None if scan.acquired is None else scan.acquired.isoformat(),
        "tracer": scan.tracer,
        "tracer_name": scan.metadata.tracer_name,
        "window_start_min": scan.window.used_min[0],
        "window_end_min": scan.window.used_min[1],
        "tracer_window_min": list(scan.window.wanted_min),
        "window": {"coverage": scan.window.coverage, "verdict": scan.window.verdict},
        "frame_start_s": list(scan.metadata.frame_start_s),
        "frame_duration_s": list(scan.metadata.frame_duration_s),
        "frame_weights_s": list(scan.window.frame_weights_s),
        "flags": [{"code": flag.code, "message": flag.message} for flag in scan.flags],
    }


def _anatomy_uri(t1w: T1wPlan, bids_dir: Path) -> str:
    """Raw T1w, or the template that was made of several."""
    if t1w.t1w is not None:
        return raw_uri(t1w.t1w, bids_dir)
    return derivative_uri(output_path("", "t1w", t1w.entities), "")


def completed_record(
    planned: Mapping[str, Any],
    parts: Iterable[Mapping[str, Any]],
    hashes: Mapping[str, str],
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """Record of a scan whose steps are all done.

    Parameters
    ----------
    planned : as `planned_record` gave it
    parts : what each step gives: ``qc`` numbers and ``flags`` come together, any other field
        belongs to one step
    hashes : of the raw images, by ``pet`` and, if there is one, ``t1w``
    outputs : hashes of everything that was written, by name relative to the dataset

    Raises
    ------
    ValueError
        Two steps give the same field: a fault of the program.
    """
    record = {**planned, "status": "ok", "reason": "n/a"}
    hashed = {"inputs": dict(hashes), "outputs": dict(outputs)}
    record["provenance"] = {**planned["provenance"], **hashed}
    given: set[str] = set()
    for part in parts:
        own = part.keys() - {"qc", "flags"}
        if twice := given & own:
            raise ValueError(f"two steps give {', '.join(sorted(twice))}")
        given |= own
        record |= {name: part[name] for name in part if name in own}
        record["qc"] = {**record["qc"], **part.get("qc", {})}
        record["flags"] = [*record["flags"], *part.get("flags", [])]
    return record


def failed_record(
    record: Mapping[str, Any], error_name: str, message: str, bids_dir: Path
) -> dict[str, Any]:
    """The same record, ``failed``: what was known stays, the sentence says why no result came.

    Paths in the sentence become those within the dataset: where it lay is no part of a result.
    """
    reason = message.replace(f"{bids_dir}/", "")
    return {**record, "status": "failed", "error": error_name, "reason": reason}


def with_leftovers(record: Mapping[str, Any], output_dir: Path) -> dict[str, Any]:
    """A record with the hashes of what lies beside it: what a scan gave before it failed."""
    place = output_path(output_dir, "result", record["entities"])
    found = list(place.parent.glob(f"{place.name.removesuffix('_centiloid.json')}_*"))
    if t1w := parse_entities(record["t1w_source"] or ""):
        image = output_path(output_dir, "t1w", t1w)
        found += image.parent.glob(f"{image.name.removesuffix('_desc-preproc_T1w.nii.gz')}_*")
    names = {path.relative_to(output_dir).as_posix() for path in found if path != place}
    outputs = hashes_of(output_dir, sorted(names))
    return {**record, "provenance": {**record["provenance"], "outputs": outputs}}


def unplanned_record(scan: ScanFailure | ScanSkip, bids_dir: Path) -> dict[str, Any]:
    """Record of a scan that planning refused or left out."""
    record = empty_record(scan.entities) | {
        **scan.about,
        "source": raw_uri(scan.pet, bids_dir),
        "tracer": scan.tracer,
    }
    if isinstance(scan, ScanFailure):
        return failed_record(record, scan.error_name, scan.message, bids_dir)
    return {**record, "status": "skipped", "reason": scan.reason}


def write_record(output_dir: Path, record: Mapping[str, Any]) -> Path:
    """Write a record where it belongs, atomically, with a hash over its own text at the end.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    path = output_path(output_dir, "result", record["entities"])
    return write_text(path, sealed(record))
