"""The group tables: columns and rows from the records.

Columns, their order and their descriptions are data (``data/group_columns.toml``). Numbers are
written in full, as the shortest text that reads back to the same bits, so that a table loses
nothing of the records; absent values are ``n/a``.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bidsapp.bids.covariates import SEX_COLUMNS, SEXES, is_date_cell
from bidsapp.bids.values import DAY_S, YEAR_DAYS
from bidsapp.core.quality import Flag
from bidsapp.core.quantification.uncertainty import COMPONENTS
from bidsapp.data import REFERENCES, VOI_NAMES, read_table
from bidsapp.data.kinetics import model_name
from bidsapp.data.tau import tau_regions
from bidsapp.data.tracers import all_tracers
from bidsapp.group.regional import NOTHING, RegionalTables, Values
from bidsapp.group.template_flags import template_flags
from bidsapp.io.tsv import cell
from bidsapp.record import ScanRecord, Status
from bidsapp.record.about import age_of, reconstruction_of, scanner_of, sex_of, typed
from bidsapp.settings import KineticModel

Row = dict[str, Any]
_YEAR_S = YEAR_DAYS * DAY_S

_QC = (
    "pet_t1w_distance_mm",
    "pet_t1w_unexplained",
    "pet_fwhm_mm",
    "start_spread_mm",
    "gm_wm_contrast",
    "brain_ml",
)

_OF_TRACERS = {"tracer", "tracer_last", "amyloid_tracer", "tau_tracer"}  # columns

# Columns of the tau scales: scale of the record, regions.
_TAU_COLUMNS = {
    "tau_suvr": ("suvr", tau_regions()),
    "centaurz": ("centaurz", tau_regions()),
    "centaur": ("centaur", ("universal",)),
}


@dataclass(frozen=True)
class Table:
    """A table of the group level, as it will be written.

    Attributes
    ----------
    name : of the file, without ``.tsv``
    columns : entry of the JSON dictionary by column, in order
    rows : values by column; made while they are asked for, once, where they are many
    """

    name: str
    columns: Mapping[str, Mapping[str, Any]]
    rows: Iterable[Row]


def centiloid_rows(
    records: Sequence[ScanRecord], unfiltered: Sequence[ScanRecord] | None = None
) -> list[Row]:
    """One row per scan, with the flags of the cohort added to those of the scan.

    Every row has the columns of `centiloid_columns`, in their order.

    Parameters
    ----------
    records : scans
    unfiltered : every scan of the dataset, as a participant's years count from the first of them;
        None if these are all

    Returns
    -------
    list of Row
    """
    cohort = cohort_flags(records)
    years = _years(records if unfiltered is None else unfiltered)
    raw = raw_columns(records)
    order = [*read_table("group_columns")["centiloid"], *raw]
    rows = []
    for record in records:
        row = _centiloid_row(record, cohort.get(record.path, ()), years.get(record.path))
        row |= {
            name: _raw_cell(column, getattr(record, table).get(column))
            for name, (table, column) in raw.items()
        }
        rows.append({name: row[name] for name in order})
    return rows


def _raw_cell(column: str, text: str | None) -> str | int | float | None:
    """Unchanged cell of a raw table, except dates, which could identify a person."""
    return None if text is not None and is_date_cell(column, text) else typed(text)


def centiloid_columns(
    records: Sequence[ScanRecord], described: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Describe the columns of ``group_centiloid.tsv``: our own, then those of the raw tables.

    Parameters
    ----------
    records : scans
    described : ``participant`` and ``session`` -> dictionary of the raw table, where there is one

    Returns
    -------
    dict
    """
    columns = columns_of("group_columns", "centiloid")
    for name, (table, column) in raw_columns(records).items():
        entry = (described or {}).get(table, {}).get(column)
        origin = f"Column {column} of {table}s.tsv of the raw dataset"
        entry = dict(entry) if isinstance(entry, Mapping) else {}
        if column.lower() in SEX_COLUMNS and isinstance(levels := entry.get("Levels"), Mapping):
            has_codes = not {code.lower() for code in levels} <= SEXES.keys()
            entry = {k: v for k, v in entry.items() if k != "Levels" or not has_codes}
        text = entry.get("Description")
        entry["Description"] = f"{text} ({origin})" if isinstance(text, str) else origin
        columns[name] = entry
    return columns


def raw_columns(records: Iterable[ScanRecord]) -> dict[str, tuple[str, str]]:
    """Columns of participants.tsv and sessions.tsv: name in our table -> (table, name there).

    A name that is taken already gets the name of its table in front.

    Parameters
    ----------
    records : scans

    Returns
    -------
    dict
    """
    stated = {
        table: dict.fromkeys(name for record in records for name in getattr(record, table))
        for table in ("participant", "session")
    }
    taken = set(read_table("group_columns")["centiloid"])
    columns: dict[str, tuple[str, str]] = {}
    for table, names in stated.items():
        for name in names:
            unique = cell(name)
            while unique in taken:
                unique = f"{table}s_{unique}"
            taken.add(unique)
            columns[unique] = (table, name)
    return columns


def voi_rows(records: Iterable[ScanRecord], regional: RegionalTables = NOTHING) -> Iterator[Row]:
    """One row per scan and region: every region of any scan for each of them.

    Parameters
    ----------
    records : scans; the Centiloid volumes come from them
    regional : atlas tables of the same scans

    Yields
    ------
    Row
    """
    centiloid = [("Centiloid", name) for name in VOI_NAMES]
    regions = tuple(dict.fromkeys([*centiloid, *regional.regions]))
    for record in records:
        values = regional.values(record)
        for region in regions:
            yield _voi_row(record, region, values.get(region, {}), regional.references)


def voi_columns(references: Sequence[str] = ()) -> dict[str, Any]:
    """Describe the columns of ``group_regions.tsv``.

    Parameters
    ----------
    references : columns of further reference regions, ``suvr_<name>`` and ``centiloid_<name>``

    Returns
    -------
    dict
    """
    columns = columns_of("group_columns", "vois")
    for column in references:
        kind, _, reference = column.partition("_")
        columns[column] = dict(columns[f"{kind}_cg"])
        text = columns[column]["Description"]
        columns[column]["Description"] = text.replace("cerebellar grey matter", reference)
    return columns


def cohort_flags(records: Sequence[ScanRecord]) -> dict[str, tuple[Flag, ...]]:
    """Flags of scans that cannot be compared with the rest, by the path of their record.

    A scan is flagged when its version (or, among scans of amyloid or of tau, its fingerprint:
    parameters and resources; or, among scans with one tracer, what a user's file said of it) is
    not the commonest among the scans with a result; when none is the commonest, all are flagged.

    Parameters
    ----------
    records : scans

    Returns
    -------
    dict
    """
    done = [record for record in records if record.status is Status.OK]
    flags: dict[str, tuple[Flag, ...]] = {}
    kinds: list[tuple[str, str, Callable[[ScanRecord], str | None], list[ScanRecord]]] = [
        ("mixed-versions", "version", lambda record: record.version, done),
    ]
    for of_tau in (False, True):
        alike = [record for record in done if bool(record.scales) == of_tau]
        kinds.append(("mixed-pipelines", "fingerprint", lambda record: record.fingerprint, alike))
    for tracer in sorted({record.tracer or "" for record in done if record.tracer_definition}):
        alike = [record for record in done if record.tracer == tracer]
        kinds.append(("mixed-tracers", f"definition of {tracer}", _definition, alike))
    for code, what, value, compared in kinds:
        counts = Counter(map(value, compared)).most_common()
        tie = len(counts) > 1 and counts[0][1] == counts[1][1]
        for record in compared:
            stated = value(record)
            if len(counts) > 1 and (tie or stated != counts[0][0]):
                message = (
                    f"{what} {stated} differs from that of other scans of the table; run the "
                    "participant level again for the scans that are to be compared"
                )
                flags[record.path] = (*flags.get(record.path, ()), Flag(code, message))
    for path, flag in template_flags(done).items():
        if flag.code not in [known.code for known in flags.get(path, ())]:
            flags[path] = (*flags.get(path, ()), flag)
    return flags


def _definition(record: ScanRecord) -> str:
    """What of a tracer's definition makes numbers, in words."""
    if (definition := record.tracer_definition) is None:
        return "(the package's)"
    start, end = definition.window_min
    return f"({definition.radionuclide}, {start:g} to {end:g} min)"


def mixture_warnings(records: Sequence[ScanRecord]) -> list[str]:
    """Sentences about scans that cannot be compared with the rest (see `cohort_flags`).

    Parameters
    ----------
    records : scans

    Returns
    -------
    list of str
    """
    marked: dict[str, list[str]] = {}
    for path, flags in cohort_flags(records).items():
        for flag in flags:
            marked.setdefault(flag.code, []).append(path)
    what = {"mixed-versions": "another version", "mixed-pipelines": "other options or T1ws",
            "mixed-tracers": "another definition of the tracer"}  # fmt: skip
    return [
        f"{len(paths)} of {len(records)} scans were made by {what[code]} than most (flag {code}, "
        f"for example {paths[0]}); run the participant level again for scans to be compared"
        for code, paths in marked.items()
    ]


def columns_of(book: str, table: str) -> dict[str, Any]:
    """Columns of a table as a file of ``data/`` has them, with the names of the tracers of today.

    Parameters
    ----------
    book : ``group_columns`` or ``cohort_columns``
    table : name of the table there

    Returns
    -------
    dict
    """
    columns: dict[str, Any] = copy.deepcopy(read_table(book)[table])
    for name in _OF_TRACERS & columns.keys():
        columns[name]["Levels"] = {code: tracer.name for code, tracer in all_tracers().items()}
    return columns


def with_flags(row: Row, codes: Sequence[str]) -> Row:
    """Add codes to the flags of a row.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``
    codes : of flags

    Returns
    -------
    Row
    """
    if not codes:
        return row
    flags = [*filter(None, (row["flags"] or "").split(";")), *codes]
    return {**row, "flags": ";".join(flags), "n_flags": len(flags)}


def least_coverage(record: ScanRecord) -> float | None:
    """Least coverage of a Centiloid volume by the field of view of the PET.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    float or None
        0 to 1; None when it was not measured.
    """
    return None if record.coverage is None else record.coverage.share


def scan_columns(record: ScanRecord) -> Row:
    """Columns that identify a scan, and its status.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    Row
    """
    return {
        "participant_id": record.participant_id,
        "session_id": record.session_id,
        "tracer": record.tracer or record.entities.get("trc"),
        "rec": record.entities.get("rec"),
        "run": record.entities.get("run"),
        "status": record.status.value,
    }


def on_two_calendars(records: Sequence[ScanRecord]) -> set[str]:
    """Participants (labels) whose dates are too far apart: some of them were shifted.

    Parameters
    ----------
    records : scans

    Returns
    -------
    set[str]
    """
    moments: dict[str, list[datetime]] = {}
    for record in records:
        if record.acquired is not None:
            moments.setdefault(record.entities["sub"], []).append(record.acquired)
    most_s = read_table("cohort")["implausible"]["most_years"] * _YEAR_S
    return {
        label
        for label, times in moments.items()
        if (max(times) - min(times)).total_seconds() > most_s
    }


def _years(records: Sequence[ScanRecord]) -> dict[str, float]:
    """Years since the first scan of the same participant, by the path of the record.

    None of participants `on_two_calendars`.
    """
    odd = on_two_calendars(records)
    known = [
        (record, moment)
        for record in records
        if (moment := record.acquired) is not None and record.entities["sub"] not in odd
    ]
    first: dict[str, datetime] = {}
    for record, moment in known:
        label = record.entities["sub"]
        first[label] = min(moment, first.get(label, moment))
    return {
        record.path: (moment - first[record.entities["sub"]]).total_seconds() / _YEAR_S
        for record, moment in known
    }


def _centiloid_row(record: ScanRecord, cohort: Iterable[Flag], years: float | None) -> Row:
    start, end = record.window_min or (None, None)
    nothing = ScanRecord(participant_id="", entities={})
    result = record if record.status is Status.OK else nothing
    flags = (*record.flags, *cohort)
    return {
        **scan_columns(record),
        "window_start_min": start,
        "window_end_min": end,
        **{f"suvr_{name}": result.suvr.get(name) for name in REFERENCES},
        "centiloid": result.centiloid,
        "method": record.method,
        "flags": ";".join(flag.code for flag in flags),
        "version": record.version,
        "reason": record.reason,
        "error": record.error,
        "band": result.band and result.band.name,
        **_certainty(result),
        **{f"dvr_{model.value}": _dvr(result, model) for model in KineticModel},
        "tracer_name": record.tracer_name,
        "reference_region": record.reference_region,
        "slope": record.equation and record.equation.slope,
        "intercept": record.equation and record.equation.intercept,
        **{name: record.qc.get(name) for name in _QC},
        "least_coverage": least_coverage(record),
        "n_flags": len(flags),
        "fingerprint": record.fingerprint,
        "site": record.site,
        "scanner": scanner_of(record),
        "reconstruction": reconstruction_of(record),
        "age": age_of(record),
        "sex": sex_of(record),
        "years": years,
        "source": record.source,
        "t1w_source": record.t1w_source,
        "record": record.path,
        **dict.fromkeys(("rating", "raters", "rating_comment")),
    }


def _dvr(record: ScanRecord, model: KineticModel) -> float | None:
    """DVR of the cortical target of a dynamic scan."""
    models = record.kinetics.models if record.kinetics else {}
    return models.get(model_name(model), {}).get("DVR")


def _certainty(record: ScanRecord) -> Row:
    """How sure the Centiloid of a scan is."""
    intervals = {"centiloid": record.centiloid_interval, "rescan": record.rescan_interval}
    ends = {name: interval or (None, None) for name, interval in intervals.items()}
    agreement, calibration = record.reference_agreement, record.calibration
    crossed = record.band.crossed if record.band else ()
    calibrated = calibration and calibration.calibrated
    return {
        "centiloid_sd": record.centiloid_sd,
        "rescan_sd": record.rescan_sd,
        **{f"{name}_low": interval[0] for name, interval in ends.items()},
        **{f"{name}_high": interval[1] for name, interval in ends.items()},
        **{f"sd_{name}": record.uncertainty.get(name) for name in COMPONENTS},
        "interval": record.interval and record.interval.value,
        "thresholds_crossed": ";".join(f"{edge:g}" for edge in crossed) or None,
        "p_above_cutoff": ";".join(f"{cut}:{p!r}" for cut, p in record.p_above_cutoff.items())
        or None,
        **{f"centiloid_{name}": record.centiloids.get(name) for name in REFERENCES},
        "reference_difference": agreement and agreement.difference,
        "reference_difference_sds": agreement and agreement.sds,
        **{
            f"{name}_{region}": record.scales.get(scale, {}).get(region)
            for name, (scale, regions) in _TAU_COLUMNS.items()
            for region in regions
        },
        "calibration": calibration and calibration.id,
        "calibrated": None if calibrated is None else str(calibrated).lower(),
    }


def _voi_row(
    record: ScanRecord, region: tuple[str, str], numbers: Values, references: Sequence[str]
) -> Row:
    """Row of a region; the Centiloid volumes are in the record even without a table."""
    atlas, name = region
    values = dict(numbers)
    if atlas == "Centiloid" and record.status is Status.OK:
        mean, reference = (record.uptake(region) for region in (name, "wc"))
        suvr = mean / reference if mean is not None and reference else None
        recorded = asdict(record.voi[name]) if name in record.voi else {}
        values = {"suvr_wc": suvr} | values | recorded
    columns = (*read_table("group_columns")["vois"], *references)
    row = {column: values.get(column) for column in columns}
    row |= {"suvr": values.get("suvr_wc"), "centiloid": values.get("centiloid_wc")}
    return row | scan_columns(record) | {"atlas": atlas, "region": name}
