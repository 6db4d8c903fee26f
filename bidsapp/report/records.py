"""The records ``*_centiloid.json`` of a derivative dataset, read back without ever crashing.

A record is the one place where a scan's result is written. Reports and tables are made from it
alone, so a record that is torn, foreign or half-written must still become a row that says so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bidsapp.bids.derivatives import is_inside
from bidsapp.bids.entities import parse_entities
from bidsapp.bids.plan import Flag

RECORD_SUFFIX = "_centiloid.json"
T = TypeVar("T")
# Options that say what else is told of a scan; its Centiloid and regions are the same without them.
_REPORTING = ("atlases", "reference_regions", "voi_spaces", "write_masks", "norms", "cutoff")
_RUN_AGAIN = "run the participant level again for this participant"


class Status(StrEnum):
    """What became of a scan."""

    OK = "ok"
    FAILED = "failed"
    INCOMPLETE = "incomplete"  # a run began and never said how it ended
    SKIPPED = "skipped"  # left out on purpose


@dataclass(frozen=True)
class Frame:
    """One frame of the raw PET: seconds after injection, and the seconds that were averaged."""

    start_s: float
    duration_s: float
    weight_s: float


@dataclass(frozen=True)
class ScanRecord:
    """One PET scan, as its record tells it; what is absent is None or empty.

    Attributes
    ----------
    path : of the record, relative to the derivative dataset, with ``/``
    status, reason, error : what became of the scan, the sentence and the class of the error
    entities : BIDS short keys -> labels, from the file name, so that place and row agree
    tracer, tracer_name : code as in ``trc-``; name as the raw data gave it
    window_min : (start, end) that was averaged, minutes after injection
    tracer_window_min : (start, end) that the tracer asks for
    frames : every frame of the raw PET, empty when the record does not list them
    suvr : reference region -> uptake ratio of ``ctx``
    centiloid : by the reference region ``reference_region``
    centiloid_sd, centiloid_interval : its standard deviation and 95 % interval, CL
    p_above : cut-off (as text, CL) -> probability that the true value lies above it
    centiloids : reference region -> Centiloid by it
    uncertainty : component -> its standard deviation, CL
    band : name, label, source, crossed thresholds, statement
    calibration : id, fingerprint, calibrated, differences; not calibrated means SUVRs only, or an
        approximation
    reference_agreement : reference region that differs most, difference (CL), sds
    scales : of a tau tracer: ``suvr``, ``centaurz``, ``centaur`` -> region -> value
    equation : slope, intercept (numbers), source, doi; empty without both numbers
    method : how the Centiloid was made
    qc : name -> number
    flags : what a person should look at
    voi : region -> mean, sd (Bq/mL), n_voxels, volume_ml, coverage (0 to 1)
    motion : what the alignment of the frames found
    tacs : atlas -> table of the activity over time
    kinetics : whether models were fitted (``done``), or why not
    pvc : whether uptake was corrected for partial volume (``done``), or why not; SUVRs by method
    t1w_intensities : histogram of the T1w and the Gaussians of its tissues
    source, t1w_source : BIDS URIs of the raw images; of the template that was made of several T1w
    longitudinal : whether a within-subject template placed it (``template``), of which T1ws
        (``t1w_sources``), or why not (``reason``); empty without ``--longitudinal``
    site : where it was scanned, as the raw dataset says
    participant, session : columns of ``participants.tsv`` and ``sessions.tsv``, as they stand there
    acquisition : fields of the raw sidecar about scanner and reconstruction
    acquired : when, as ``scans.tsv`` says; only differences within a participant mean anything
    version : of the app that wrote the record
    provenance : everything else that made the numbers
    """

    path: str
    status: Status
    entities: Mapping[str, str]
    reason: str | None = None
    error: str | None = None
    tracer: str | None = None
    tracer_name: str | None = None
    window_min: tuple[float, float] | None = None
    tracer_window_min: tuple[float, float] | None = None
    frames: tuple[Frame, ...] = ()
    suvr: Mapping[str, float | None] = field(default_factory=dict)
    centiloid: float | None = None
    centiloid_sd: float | None = None
    centiloid_interval: tuple[float, float] | None = None
    p_above: Mapping[str, float | None] = field(default_factory=dict)
    centiloids: Mapping[str, float | None] = field(default_factory=dict)
    uncertainty: Mapping[str, float | None] = field(default_factory=dict)
    band: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    reference_agreement: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    reference_region: str | None = None
    equation: Mapping[str, Any] = field(default_factory=dict)
    method: str | None = None
    qc: Mapping[str, float | None] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    voi: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    motion: Mapping[str, Any] = field(default_factory=dict)
    tacs: Mapping[str, Any] = field(default_factory=dict)
    kinetics: Mapping[str, Any] = field(default_factory=dict)
    pvc: Mapping[str, Any] = field(default_factory=dict)
    t1w_intensities: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    t1w_source: str | None = None
    longitudinal: Mapping[str, Any] = field(default_factory=dict)
    site: str | None = None
    participant: Mapping[str, str | None] = field(default_factory=dict)
    session: Mapping[str, str | None] = field(default_factory=dict)
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    acquired: datetime | None = None
    version: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``sub-01_ses-02_trc-FBB``: unique in the dataset."""
        return Path(self.path).name.removesuffix(RECORD_SUFFIX)

    @property
    def fingerprint(self) -> str | None:
        """Twelve hexadecimal digits that change with what makes the numbers of a scan."""
        recipe = {key: self.provenance.get(key) for key in ("parameters", "resources")}
        if isinstance(recipe["parameters"], dict):
            options = recipe["parameters"].items()
            recipe["parameters"] = {k: v for k, v in options if k not in _REPORTING}
        if not any(recipe.values()):
            return None
        canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Order of tables and pages: participant, session, tracer, rec, run."""
        run = self.entities.get("run", "")
        return (
            *(self.entities.get(key, "") for key in ("sub", "ses", "trc", "rec")),
            run.zfill(6),
            self.path,
        )


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
    """Read one record; a torn or foreign one becomes a failed scan with the reason."""
    relative = path.relative_to(output_dir).as_posix()
    try:
        content = json.loads(path.read_text("utf-8"))
        return _from_json(content, relative)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        return ScanRecord(
            path=relative,
            status=Status.FAILED,
            entities=parse_entities(relative),
            reason=f"{relative}: the record cannot be read ({_short(error)}); {_RUN_AGAIN}",
            error="BadDataError",
            tracer=parse_entities(relative).get("trc"),
        )


def _from_json(content: Any, path: str) -> ScanRecord:
    if not isinstance(content, dict):
        raise TypeError("no JSON object")
    status = Status(str(content.get("status")))
    reason = _text(content.get("reason"))
    if status is Status.INCOMPLETE:
        reason = reason or f"the run ended before this scan was finished; {_RUN_AGAIN}"
    centiloid = _number(content.get("centiloid"))
    calibration = _extra(_mapping, content.get("calibration")) or {}
    if status is Status.OK and centiloid is None and calibration.get("calibrated") is not False:
        raise ValueError("its status is ok, but it has no Centiloid")
    provenance = _mapping(content.get("provenance"))
    return ScanRecord(
        path=path,
        status=status,
        reason=reason,
        error=_text(content.get("error")),
        entities=parse_entities(path),
        tracer=_text(content.get("tracer")),
        tracer_name=_text(content.get("tracer_name")),
        window_min=_pair((content.get("window_start_min"), content.get("window_end_min"))),
        tracer_window_min=_pair(content.get("tracer_window_min")),
        frames=_frames(content),
        suvr=_numbers(content.get("suvr")),
        centiloid=centiloid,
        centiloid_sd=_extra(_number, content.get("centiloid_sd")),
        centiloid_interval=_extra(_pair, content.get("centiloid_interval")),
        p_above=_extra(_probabilities, content.get("p_above_cutoff")) or {},
        centiloids=_extra(_numbers, content.get("centiloids")) or {},
        uncertainty=_extra(_numbers, content.get("uncertainty")) or {},
        band=_extra(_mapping, content.get("band")) or {},
        calibration=calibration,
        reference_agreement=_extra(_mapping, content.get("reference_agreement")) or {},
        scales=_extra(_scales, content.get("scales")) or {},
        reference_region=_text(content.get("reference_region")),
        equation=_equation(_mapping(content.get("equation"))),
        method=_text(content.get("method")),
        qc=_numbers(content.get("qc")),
        flags=tuple(map(_flag, content.get("flags") or ())),
        voi={
            str(region): _numbers(values) for region, values in _mapping(content.get("voi")).items()
        },
        motion=_extra(_mapping, content.get("motion")) or {},
        tacs=_inside(_extra(_mapping, content.get("tacs")) or {}),
        kinetics=_extra(_mapping, content.get("kinetics")) or {},
        pvc=_extra(_mapping, content.get("pvc")) or {},
        t1w_intensities=_extra(_mapping, content.get("t1w_intensities")) or {},
        source=_text(content.get("source")),
        t1w_source=_text(content.get("t1w_source")),
        longitudinal=_extra(_mapping, content.get("longitudinal")) or {},
        site=_text(content.get("site")),
        participant=_extra(_texts, content.get("participant")) or {},
        session=_extra(_texts, content.get("session")) or {},
        acquisition=_extra(_mapping, content.get("acquisition")) or {},
        acquired=_extra(_moment, content.get("acq_time")),
        version=_text(provenance.get("version")),
        provenance=provenance,
    )


def _frames(content: Mapping[str, Any]) -> tuple[Frame, ...]:
    columns = [content.get(f"frame_{name}_s") or () for name in ("start", "duration", "weights")]
    if len({len(column) for column in columns}) != 1:
        return ()
    return tuple(Frame(*map(float, row)) for row in zip(*columns, strict=True))


def _equation(content: Mapping[str, Any]) -> dict[str, Any]:
    slope, intercept = _number(content.get("slope")), _number(content.get("intercept"))
    if slope is None or intercept is None:
        return {}
    return {**content, "slope": slope, "intercept": intercept}


def _flag(value: Any) -> Flag:
    return Flag(str(value["code"]), str(value["message"]))


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {type(value).__name__}")
    return value


def _extra(parse: Callable[[Any], T], value: Any) -> T | None:
    """Read what a result can do without: a value of another shape counts as absent."""
    try:
        return parse(value)
    except (TypeError, ValueError):
        return None


def _scales(value: Any) -> dict[str, dict[str, float | None]]:
    return {str(scale): _numbers(values) for scale, values in _mapping(value).items()}


def _probabilities(value: Any) -> dict[str, float | None]:
    return _numbers(value) if isinstance(value, dict) else {}


def _inside(files: Mapping[str, Any]) -> dict[str, Any]:
    """Files by name, without those that lie outside the dataset."""
    return {name: path for name, path in files.items() if is_inside(path)}


def _moment(value: Any) -> datetime | None:
    return None if value in (None, "", "n/a") else datetime.fromisoformat(str(value))


def _numbers(value: Any) -> dict[str, float | None]:
    return {str(key): _number(item) for key, item in _mapping(value).items()}


def _texts(value: Any) -> dict[str, str | None]:
    return {str(key): _text(item) for key, item in _mapping(value).items()}


def _pair(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    first, second = map(_number, value)
    return None if first is None or second is None else (first, second)


def _number(value: Any) -> float | None:
    """Keep finite numbers; integers stay integers so that counts are printed as counts."""
    if value is None or value == "n/a":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return value if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    return None if value in (None, "", "n/a") else str(value)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
