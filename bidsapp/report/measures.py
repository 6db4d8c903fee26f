"""Tables of a scan as charts: uptake by region, activity over time, motion of the head.

Only tables that belong to the run that made the record are read: its parameters name the atlases,
its ``tacs`` the activity over time. What cannot be read is left out, for the numbers of the record
stand without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bidsapp.data import REFERENCES, read_table
from bidsapp.io.tsv import finite_number, read_rows
from bidsapp.report.charts import Region, curves, regional_bars
from bidsapp.report.display import display_of
from bidsapp.report.figure import Figure
from bidsapp.report.records import RECORD_SUFFIX, ScanRecord

_CENTILOID = "Centiloid"
_CURVES = ("ctx", "wc", "cg", "pons")
PARAMETERS = ("R1", "k2", "BPND", "DVR")


def time_and_regions(output_dir: Path, record: ScanRecord) -> Iterator[Figure]:
    """Charts of the tables that a scan has; none for a static scan without further atlas."""
    found = (
        activity(output_dir, record),
        *motion(record),
        *(regions(output_dir, record, atlas) for atlas in _atlases(record)),
    )
    yield from (figure for figure in found if figure is not None)


def regions(output_dir: Path, record: ScanRecord, atlas: str) -> Figure | None:
    """Uptake by region of an atlas, with z-scores when the run had norms."""
    rows = _read(output_dir, record, f"atlas-{atlas}_vois")
    found = [
        Region(row["name"], suvr, finite_number(row.get("z")))
        for row in rows
        if row.get("name")
        and (suvr := finite_number(row.get("suvr_wc", row.get("suvr")))) is not None
    ]
    return regional_bars(found, atlas, display_of(record.tracer).top)


def activity(output_dir: Path, record: ScanRecord) -> Figure | None:
    """Activity over time in the Centiloid regions; None for a static scan."""
    if _CENTILOID not in record.tacs:
        return None
    rows = _read(output_dir, record, f"atlas-{_CENTILOID}_tacs")
    times = [_middle_min(row) for row in rows]
    if len(times) < 2 or None in times:
        return None
    lines = {
        name: [_kilo(finite_number(row.get(name))) for row in rows]
        for name in _CURVES
        if name in rows[0]
    }
    return curves(
        "tacs",
        "Activity over time",
        "Mean activity of the Centiloid regions, decay-corrected to the injection, frame by frame; "
        "the marked stretch is the part that was averaged.",
        [time for time in times if time is not None],
        lines,
        x_title="minutes after injection",
        y_title="kBq/ml",
        shaded=record.window_min,
    )


def motion(record: ScanRecord) -> list[Figure]:
    """Motion of the head between frames: distance and shifts, and rotations."""
    told = record.motion
    try:
        times = [
            (start + duration / 2) / 60
            for start, duration in zip(told["frame_start_s"], told["frame_duration_s"], strict=True)
        ]
        shifts = list(zip(*told["translation_mm"], strict=True))
        turns = list(zip(*told["rotation_deg"], strict=True))
        distance = [float(value) for value in told["distance_mm"]]
        whole = {len(times)} == {len(distance), *map(len, [*shifts, *turns])}
        whole = whole and len(shifts) == len(turns) == 3
    except (KeyError, TypeError, ValueError):
        return []
    if not whole or len(times) < 2:
        return []
    limit = read_table("limits").get("frame_motion_mm", {}).get("flag")
    did = "corrected" if told.get("corrected") else "found, not corrected"
    time = "minutes after injection"
    return [
        curves(
            "motion", "Motion of the head",
            f"Motion against the reference frame, {did}: mean distance over the head and shifts "
            "(x to the right, y to the front, z upwards). The dashed line is the limit for frames "
            "of the window.",
            times, {"distance": distance} | dict(zip("xyz", shifts, strict=True)),
            x_title=time, y_title="mm", shaded=record.window_min, limit=limit,
        ),
        curves(
            "rotation", "Rotation of the head",
            f"Rotation about the axes against the reference frame, {did}: x nods, y tilts the "
            "head to a side, z turns it.",
            times, dict(zip("xyz", turns, strict=True)),
            x_title=time, y_title="degrees", shaded=record.window_min,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """A kinetic model of the cortical target.

    Attributes
    ----------
    model : its name
    values : parameter -> (value, standard error), None where the model has none
    """

    model: str
    values: Mapping[str, tuple[float | None, float | None]]


def kinetics(record: ScanRecord) -> list[Fit]:
    """Kinetic models of the cortical target, as the record tells them; empty without any."""
    models = record.kinetics.get("models") if record.kinetics.get("done") else None
    if not isinstance(models, Mapping):
        return []
    return [
        Fit(str(name), {
            key: (finite_number(found.get(key)), finite_number(found.get(f"{key}_se")))
            for key in PARAMETERS
        })
        for name, found in models.items()
        if isinstance(found, Mapping)
    ]  # fmt: skip


def corrected(record: ScanRecord) -> dict[str, dict[str, float | None]]:
    """SUVRs of the cortical target by method of partial volume correction and reference region."""
    found = record.pvc.get("suvr") if record.pvc.get("done") else None
    if not isinstance(found, Mapping):
        return {}
    return {
        str(method): {region: finite_number(values.get(region)) for region in REFERENCES}
        for method, values in found.items()
        if isinstance(values, Mapping)
    }


def _atlases(record: ScanRecord) -> list[str]:
    """Atlases of the run that made a record, without the Centiloid regions."""
    parameters = record.provenance.get("parameters")
    chosen = parameters.get("atlases") if isinstance(parameters, Mapping) else None
    entries = chosen if isinstance(chosen, Sequence) else ()
    names = [str(one.get("name")) for one in entries if isinstance(one, Mapping)]
    return [name for name in names if re.fullmatch("[A-Za-z0-9]+", name) and name != _CENTILOID]


def _read(output_dir: Path, record: ScanRecord, what: str) -> list[dict[str, str]]:
    path = output_dir / f"{record.path.removesuffix(RECORD_SUFFIX)}_{what}.tsv"
    try:
        return read_rows(path)
    except (OSError, ValueError):
        return []


def _middle_min(row: Mapping[str, str]) -> float | None:
    start, end = finite_number(row.get("frame_start")), finite_number(row.get("frame_end"))
    return None if start is None or end is None else (start + end) / 120


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000
