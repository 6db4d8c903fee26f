"""The records ``*_centiloid.json`` of a derivative dataset, read back without ever crashing.

A record is the one place where a scan's result is written. Reports and tables are made from it
alone, so a record that is torn, foreign or half-written must still become a row that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import is_inside, output_path
from bidsapp.bids.entities import ENTITY_ORDER, parse_entities
from bidsapp.bids.plan import Flag
from bidsapp.io.reading import parse_json, read_text
from bidsapp.report.forms import NUMBER, TEXT, TRUTH, Form, fitting

RECORD_SUFFIX = "_centiloid.json"
# Options that say what else is told of a scan; its Centiloid and regions are the same without them.
_REPORTING = ("atlases", "reference_regions", "voi_spaces", "write_masks", "norms", "cutoff")
_RUN_AGAIN = "run the participant level again for this participant"

_NUMBERS, _TEXTS = {"*": NUMBER}, {"*": TEXT}
_SERIES, _CHOICES = [NUMBER], [{"name": TEXT}]
# What reports and tables read of a record.
_FORM: Mapping[str, Form] = {
    **dict.fromkeys(
        ("status", "reason", "error", "source", "t1w_source", "site", "acq_time", "tracer",
         "tracer_name", "reference_region", "method"),
        TEXT,
    ),
    **dict.fromkeys(("window_start_min", "window_end_min", "centiloid", "centiloid_sd"), NUMBER),
    **dict.fromkeys(
        ("tracer_window_min", "frame_start_s", "frame_duration_s", "frame_weights_s",
         "centiloid_interval"),
        _SERIES,
    ),
    **dict.fromkeys(("suvr", "uncertainty", "p_above_cutoff", "centiloids", "qc"), _NUMBERS),
    **dict.fromkeys(("participant", "session", "tacs"), _TEXTS),
    "window": {"coverage": NUMBER, "verdict": TEXT},
    "band": {"crossed": [NUMBER], "indeterminate": TRUTH, "*": TEXT},
    "reference_agreement": {"reference": TEXT, "difference": NUMBER, "sds": NUMBER},
    "scales": {"*": _NUMBERS},
    "equation": {"slope": NUMBER, "intercept": NUMBER, "source": TEXT, "doi": TEXT},
    "calibration": {"id": TEXT, "fingerprint": TEXT, "calibrated": TRUTH, "differences": [TEXT]},
    "flags": [{"code": TEXT, "message": TEXT}],
    "voi": {"*": _NUMBERS},
    "motion": {
        **dict.fromkeys(("frame_start_s", "frame_duration_s", "distance_mm"), _SERIES),
        "translation_mm": [_SERIES],
        "rotation_deg": [_SERIES],
        "corrected": TRUTH,
    },
    "kinetics": {"done": TRUTH, "reason": TEXT, "models": {"*": _NUMBERS}},
    "pvc": {"done": TRUTH, "reason": TEXT, "suvr": {"*": _NUMBERS}},
    "t1w_intensities": {},
    "longitudinal": {"template": TRUTH, "reason": TEXT, "t1w_sources": [TEXT]},
    "acquisition": {},
    "provenance": {
        "version": TEXT,
        "command": TEXT,
        **dict.fromkeys(("resources", "inputs", "voxels", "outputs"), _TEXTS),
        "parameters": dict.fromkeys(("atlases", "reference_regions"), _CHOICES),
    },
}  # fmt: skip
# Without these there is no result: a record in which one has another form is a failed scan.
_RESULT = (
    "status", "tracer", "suvr", "centiloid", "centiloid_interval", "window_start_min",
    "window_end_min", "tracer_window_min", "reference_region", "equation", "calibration", "method",
    "flags", "voi", "provenance",
)  # fmt: skip
_MOST_NAMED = 3


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
    window : ``coverage``, part of the tracer's window that was scanned, and ``verdict``, ``good``
        or ``look``: planning judged it, nobody else does
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
    window: Mapping[str, Any] = field(default_factory=dict)
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
    """Read one record; a torn or foreign one becomes a failed scan with the reason.

    Where only details have another form, the result stands without them, flagged.
    """
    relative = path.relative_to(output_dir).as_posix()
    try:
        _check_name(relative)
        return _from_json(parse_json(read_text(path)), relative)
    except (OSError, ValueError) as error:
        return ScanRecord(
            path=relative,
            status=Status.FAILED,
            entities=_known_entities(relative),
            reason=f"{relative}: the record cannot be read ({_short(error)}); {_RUN_AGAIN}",
            error="BadDataError",
            tracer=_known_entities(relative).get("trc"),
        )


def _known_entities(path: str) -> dict[str, str]:
    return {key: label for key, label in parse_entities(path).items() if key in ENTITY_ORDER}


def _check_name(path: str) -> None:
    """Refuse a file that lies where no record of its name would: a copy, or somebody else's."""
    entities = _known_entities(path)
    place = output_path("", "result", entities).as_posix() if all(entities.values()) else ""
    if path != place:
        raise ValueError("no scan has a record of this name at this place")


def _from_json(content: Any, path: str) -> ScanRecord:
    misfits: list[str] = []
    content = fitting(content, _FORM, "", misfits)
    if content is None:
        raise ValueError("it is not a JSON object")
    if lost := [name for name in misfits if name.split(".")[0] in _RESULT]:
        raise ValueError(f"{', '.join(lost[:3])} cannot be what CentiPET wrote")
    status = Status(str(content.get("status")))
    reason = content.get("reason")
    if status is Status.INCOMPLETE:
        reason = reason or f"the run ended before this scan was finished; {_RUN_AGAIN}"
    calibration = content.get("calibration") or {}
    if (
        status is Status.OK
        and content.get("centiloid") is None
        and calibration.get("calibrated") is not False
    ):
        raise ValueError("its status is ok, but it has no Centiloid")
    provenance = content.get("provenance") or {}
    tacs = content.get("tacs") or {}
    acquired = _moment(content.get("acq_time"), misfits)
    return ScanRecord(
        path=path,
        status=status,
        reason=reason,
        error=content.get("error"),
        entities=parse_entities(path),
        tracer=content.get("tracer"),
        tracer_name=content.get("tracer_name"),
        window_min=_pair((content.get("window_start_min"), content.get("window_end_min"))),
        tracer_window_min=_pair(content.get("tracer_window_min")),
        window=content.get("window") or {},
        frames=_frames(content),
        suvr=content.get("suvr") or {},
        centiloid=content.get("centiloid"),
        centiloid_sd=content.get("centiloid_sd"),
        centiloid_interval=_pair(content.get("centiloid_interval")),
        p_above=content.get("p_above_cutoff") or {},
        centiloids=content.get("centiloids") or {},
        uncertainty=content.get("uncertainty") or {},
        band=content.get("band") or {},
        calibration=calibration,
        reference_agreement=content.get("reference_agreement") or {},
        scales=content.get("scales") or {},
        reference_region=content.get("reference_region"),
        equation=_equation(content.get("equation") or {}),
        method=content.get("method"),
        qc=content.get("qc") or {},
        flags=_flags(content.get("flags") or (), misfits),
        voi=content.get("voi") or {},
        motion=content.get("motion") or {},
        tacs={name: file for name, file in tacs.items() if is_inside(file)},
        kinetics=content.get("kinetics") or {},
        pvc=content.get("pvc") or {},
        t1w_intensities=content.get("t1w_intensities") or {},
        source=content.get("source"),
        t1w_source=content.get("t1w_source"),
        longitudinal=content.get("longitudinal") or {},
        site=content.get("site"),
        participant=content.get("participant") or {},
        session=content.get("session") or {},
        acquisition=content.get("acquisition") or {},
        acquired=acquired,
        version=provenance.get("version"),
        provenance=provenance,
    )


def _frames(content: Mapping[str, Any]) -> tuple[Frame, ...]:
    columns = [content.get(f"frame_{name}_s") or () for name in ("start", "duration", "weights")]
    if len({len(column) for column in columns}) != 1:
        return ()
    return tuple(Frame(*map(float, row)) for row in zip(*columns, strict=True))


def _equation(content: Mapping[str, Any]) -> Mapping[str, Any]:
    is_whole = content.get("slope") is not None and content.get("intercept") is not None
    return content if is_whole else {}


def _flags(told: Iterable[Mapping[str, Any]], misfits: list[str]) -> tuple[Flag, ...]:
    """Flags of a record, and one that says what of the record could not be read."""
    flags = [Flag(str(one.get("code")), str(one.get("message"))) for one in told]
    if misfits:
        more = f" and {len(misfits) - _MOST_NAMED} more" if len(misfits) > _MOST_NAMED else ""
        named = ", ".join(misfits[:_MOST_NAMED]) + more
        message = (
            f"fields of the record cannot be what CentiPET wrote and count as absent ({named}); "
            f"{_RUN_AGAIN}"
        )
        flags.append(Flag("record-damaged", message))
    return tuple(flags)


def _moment(text: str | None, misfits: list[str]) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        misfits.append("acq_time")
        return None


def _pair(values: Sequence[float | None] | None) -> tuple[float, float] | None:
    if values is None or len(values) != 2 or values[0] is None or values[1] is None:
        return None
    return values[0], values[1]


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
