"""Charts of the tables of a scan: regional uptake, time-activity curves, head motion.

Only tables that belong to the run that made the record are read: its parameters name the atlases,
its ``tacs`` the activity over time. What cannot be read is left out, for the numbers of the record
stand without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.core.regions.regional import asymmetry
from bidsapp.data import REFERENCES, read_table
from bidsapp.data.display import display_of
from bidsapp.io.reading import known_object
from bidsapp.io.tsv import finite_number, known_rows
from bidsapp.record import ScanRecord
from bidsapp.record.stored import StoredScan
from bidsapp.report.charts import RegionValue, curves, regional_bars
from bidsapp.report.figure import Figure, Words

_CENTILOID = "Centiloid"
_CURVES = ("ctx", "wc", "cg", "pons")
PARAMETERS = ("R1", "k2", "BPND", "DVR")


def time_and_regions(scan: StoredScan) -> Iterator[Figure]:
    """Charts of the tables of a scan; none for a static scan without a further atlas.

    Parameters
    ----------
    scan : on disk

    Yields
    ------
    Figure
    """
    times = (
        activity(scan),
        *motion(scan.record),
        *(
            regions(scan, atlas)
            for atlas in scan.record.atlases
            if atlas != _CENTILOID and re.fullmatch("[A-Za-z0-9]+", atlas)
        ),
    )
    yield from (figure for figure in times if figure is not None)


def regions(scan: StoredScan, atlas: str) -> Figure | None:
    """Uptake by region of an atlas, with z-scores when the run had norms.

    Ventricles and regions made of several others are left to the table; those of tau stages are
    shown for a tau tracer, whose they are.

    Parameters
    ----------
    scan : on disk
    atlas : name of the atlas

    Returns
    -------
    Figure or None
        None without the table of the atlas.
    """
    hidden = _not_uptake(scan.output_dir, atlas, tau=bool(scan.record.scales))
    measured = [
        RegionValue(row["name"], suvr, finite_number(row.get("z")))
        for row in known_rows(scan.path("vois", atlas=atlas))
        if row.get("name") not in (None, *hidden)
        and (suvr := finite_number(row.get("suvr_wc", row.get("suvr")))) is not None
    ]
    return regional_bars(measured, atlas, display_of(scan.record.tracer).top)


def _not_uptake(output_dir: Path, atlas: str, *, tau: bool) -> set[str]:
    """Regions of an atlas that are not tissue, or made of others, by its description."""
    described = known_object(output_dir / f"atlas-{atlas}_description.json")
    composites: dict[str, list[str]] = described.get("Composites", {})
    try:
        made = {name for name in composites if not (tau and name.startswith("braak"))}
        return made.union(
            *(composites[name] for name in composites if name.startswith("ventricle"))
        )
    except (TypeError, AttributeError):
        return set()


@dataclass(frozen=True)
class Side:
    """Uptake of a region on one side, None where it was not measured.

    Attributes
    ----------
    suvr : to the reference region of the record
    centiloid : CL
    z : z-score
    """

    suvr: float | None
    centiloid: float | None
    z: float | None


@dataclass(frozen=True)
class BothSides:
    """A region that readers of amyloid PET look at.

    Attributes
    ----------
    name : of the region
    left : its uptake on the left
    right : its uptake on the right
    """

    name: str
    left: Side
    right: Side

    @property
    def asymmetry(self) -> float | None:
        """Left minus right over their mean, percent."""
        return asymmetry([self.left.suvr, self.right.suvr], [(0, 1)])[0]


def regions_of_readers(scan: StoredScan) -> list[BothSides]:
    """Uptake of the regions that readers look at, by side; empty for a run without their atlas.

    Parameters
    ----------
    scan : on disk

    Returns
    -------
    list of BothSides
        Empty without the atlas of these regions.
    """
    table, reference = read_table("display")["regions"], scan.record.reference_region or "wc"
    rows = known_rows(scan.path("vois", atlas=table["atlas"]))
    by_name = {row.get("name"): row for row in rows}

    def side(name: str) -> Side:
        row = by_name.get(name, {})
        columns = (f"suvr_{reference}", f"centiloid_{reference}", "z")
        return Side(*(finite_number(row.get(column)) for column in columns))

    return [
        BothSides(words, side(f"{name}_L"), side(f"{name}_R"))
        for name, words in table["names"].items()
        if f"{name}_L" in by_name
    ]


def decay_time_min(scan: StoredScan) -> float | None:
    """Minutes after injection to which the mean PET is decay-corrected.

    Parameters
    ----------
    scan : on disk

    Returns
    -------
    float or None
        None when its sidecar does not say so.
    """
    stored = known_object(sidecar_path(scan.path("pet_native")))
    try:
        return float(stored["ImageDecayCorrectionTime"] - stored["InjectionStart"]) / 60
    except (ValueError, LookupError, TypeError):
        return None


def activity(scan: StoredScan) -> Figure | None:
    """Time-activity curves of the Centiloid regions.

    Parameters
    ----------
    scan : on disk

    Returns
    -------
    Figure or None
        None for a static scan.
    """
    if _CENTILOID not in scan.record.tacs:
        return None
    rows = known_rows(scan.path("tacs", atlas=_CENTILOID))
    times = [_middle_min(row) for row in rows]
    if len(times) < 2 or None in times:
        return None
    lines = {
        name: [
            None if (value := finite_number(row.get(name))) is None else value / 1000
            for row in rows
        ]
        for name in _CURVES
        if name in rows[0]
    }
    return curves(
        Words.of("tacs"),
        [time for time in times if time is not None],
        lines,
        x_title="minutes after injection",
        y_title="kBq/ml",
        shaded=scan.record.window_min,
    )


def motion(record: ScanRecord) -> list[Figure]:
    """Head motion between frames: displacement and translations, rotations.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    list of Figure
    """
    recorded = record.motion
    if recorded is None:
        return []
    times = [
        (start + duration / 2) / 60
        for start, duration in zip(recorded.frame_start_s, recorded.frame_duration_s, strict=False)
    ]
    rows = (recorded.distance_mm, recorded.translation_mm, recorded.rotation_deg)
    triples = all(len(triple) == 3 for triple in (*recorded.translation_mm, *recorded.rotation_deg))
    if len(times) < 2 or {len(times)} != set(map(len, rows)) or not triples:
        return []
    shifts, turns = (list(zip(*column, strict=True)) for column in rows[1:])
    verdict = record.verdicts.get("motion_window_mm")
    limit = None if verdict is None else verdict.highest
    did = "corrected" if recorded.corrected else "found, not corrected"
    time = "minutes after injection"
    return [
        curves(
            Words.of("motion", did=did),
            times, {"distance": recorded.distance_mm} | dict(zip("xyz", shifts, strict=True)),
            x_title=time, y_title="mm", shaded=record.window_min, limit=limit,
        ),
        curves(
            Words.of("rotation", did=did),
            times, dict(zip("xyz", turns, strict=True)),
            x_title=time, y_title="degrees", shaded=record.window_min,
        ),
    ]  # fmt: skip


def kinetics(record: ScanRecord) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    """Kinetic models of the cortical target, from the record; empty without any.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    dict of dict
        Model -> parameter -> value and standard error, None where the model has none.
    """
    if record.kinetics is None or not record.kinetics.done:
        return {}
    return {
        name: {key: (fit.get(key), fit.get(f"{key}_se")) for key in PARAMETERS}
        for name, fit in record.kinetics.models.items()
    }


def corrected(record: ScanRecord) -> dict[str, dict[str, float | None]]:
    """SUVRs of the cortical target by method of partial volume correction and reference region.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    dict
        Method -> reference region -> SUVR; empty without correction.
    """
    if record.pvc is None or not record.pvc.done:
        return {}
    return {
        method: {region: values.get(region) for region in REFERENCES}
        for method, values in record.pvc.suvr.items()
        if any(value is not None for value in values.values())
    }


def _middle_min(row: Mapping[str, str]) -> float | None:
    start, end = finite_number(row.get("frame_start")), finite_number(row.get("frame_end"))
    return None if start is None or end is None else (start + end) / 120
