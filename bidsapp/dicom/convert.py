"""DICOM to BIDS: inventory, decisions, conversion.  What the command line calls."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bidsapp.data.tracers import Tracer, tracer_from_name, tracers
from bidsapp.dicom import dataset, identity, image, sidecar
from bidsapp.dicom.classify import Kind, classify
from bidsapp.dicom.frames import Frame, acquired, count_remarks, frames_of, scan_clock
from bidsapp.dicom.header import Header
from bidsapp.dicom.metadata import Metadata, Stated, read_metadata
from bidsapp.dicom.plan import PetScan, Plan, T1wScan, make_plan
from bidsapp.dicom.series import Inventory, Series, take_inventory
from bidsapp.dicom.tables import tables
from bidsapp.dicom.timing import ScanClock, time_model
from bidsapp.errors import BadDataError, CentipetError, UsageError
from bidsapp.nifti import COMPRESSION, write_bytes, write_text
from bidsapp.settings import DicomInput

KEPT, SKIPPED, FAILED = "kept", "skipped", "error"


@dataclass(frozen=True)
class Row:
    """One series in the decision table; text without names, identifiers and dates."""

    participant: str
    series: str  # number and, when it was split, part
    description: str
    kind: str
    n_files: int
    decision: str  # kept, skipped or error
    reason: str
    target: str = ""  # path below the dataset, without extension


@dataclass(frozen=True)
class ConversionReport:
    """What became of a folder of DICOM.

    Attributes
    ----------
    bids_dir : the dataset that was written (with a dry run: that would be)
    rows : decision table, one row per series
    n_converted : series whose image is in the dataset now
    errors : one sentence per series or file that should have been converted but could not
    """

    bids_dir: Path
    rows: tuple[Row, ...]
    n_converted: int
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Wanted:
    """A series to be converted, with all that its sidecar needs."""

    series: Series
    frames: tuple[Frame, ...]
    participant: str
    clock: ScanClock | None = None  # PET only, like the following
    tracer: Tracer | None = None
    tracer_source: str = ""
    stated: Stated = field(default_factory=Stated)


def convert(
    dicom: DicomInput,
    bids_dir: Path,
    *,
    nprocs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> ConversionReport:
    """Convert the T1w and amyloid PET series of a folder of DICOM into a BIDS dataset.

    Parameters
    ----------
    dicom : where it comes from and how
    bids_dir : dataset to add to; existing files are never overwritten
    nprocs : processes for reading headers, threads for converting
    progress : called with a line of text as work proceeds

    Raises
    ------
    CentipetError
        Nothing can be done at all: no DICOM, nowhere to write, a broken option file.
        A series that cannot be converted is reported in ``errors`` instead.
    """
    if dicom.tracer is not None and tracer_from_name(dicom.tracer) is None:
        raise UsageError(
            f"--tracer {dicom.tracer}: unknown; expected one of {', '.join(tracers())}"
        )
    metadata = Metadata() if dicom.metadata is None else read_metadata(dicom.metadata)
    labels = None if dicom.label_map is None else identity.read_label_map(dicom.label_map)
    folder = bids_dir
    with tempfile.TemporaryDirectory(prefix="centipet-", ignore_cleanup_errors=True) as scratch:
        inventory = take_inventory(
            dicom.dicom_dir.absolute(), Path(scratch), nprocs=nprocs, progress=progress
        )
        work = _Decisions(dicom, inventory, metadata, labels)
        work.decide()
        if not dicom.dry_run:
            folder = dataset.choose_folder(bids_dir, dicom.converted_dir)
            work.convert_all(folder, nprocs, progress)
    rows = work.table()
    errors = [
        f"{row.participant} series {row.series} '{row.description}' ({row.kind}): {row.reason}"
        for row in rows
        if row.decision == FAILED
    ]
    n_converted = 0 if dicom.dry_run else sum(row.decision == KEPT for row in rows)
    return ConversionReport(folder, rows, n_converted, [*work.broken, *errors])


class _Decisions:
    """State of one conversion: every series with its verdict, then its target, then its fate."""

    def __init__(
        self,
        dicom: DicomInput,
        inventory: Inventory,
        metadata: Metadata,
        labels: identity.LabelMap | None,
    ) -> None:
        self._dicom = dicom
        self._series = inventory.series
        self._metadata = metadata
        headers = [series.header for series in self._series]
        self._scrub = identity.Scrubber(headers)
        self.broken = _in_one_sentence([self._scrub(sentence) for sentence in inventory.broken])
        self._labels = self._label_all(headers, labels, inventory.roots)
        self._doubts = self._find_doubts(headers)
        self._rows: dict[tuple[str, int], Row] = {}
        self._wanted: dict[tuple[str, int], _Wanted] = {}
        self._plan = Plan()

    def _label_all(
        self,
        headers: Sequence[Header],
        label_map: identity.LabelMap | None,
        roots: Sequence[Path],
    ) -> list[identity.Labels]:
        """Participant and session label of every series: map, then folders, then pseudonym."""
        labels = []
        for header, person in zip(headers, identity.person_keys(headers), strict=True):
            mapped = label_map.find(header) if label_map else None
            subject, session = identity.folder_labels(header.path, roots)
            labels.append(mapped or identity.Labels(subject or identity.pseudonym(person), session))
        return labels

    def _find_doubts(self, headers: Sequence[Header]) -> dict[str, str]:
        """Participant -> what makes one doubt that it is one person."""
        people = defaultdict(list)
        for header, labels in zip(headers, self._labels, strict=True):
            people[labels.participant].append(header)
        doubts = {label: identity.mismatch(group) for label, group in people.items()}
        return {label: doubt for label, doubt in doubts.items() if doubt}

    # ------------------------------------------------------------------------------ deciding

    def decide(self) -> None:
        """Classify all series and name those that are wanted."""
        pets: list[PetScan] = []
        t1ws: list[T1wScan] = []
        for series, labels in zip(self._series, self._labels, strict=True):
            try:
                verdict = classify(series, include_derived=self._dicom.include_derived)
                decision = KEPT if verdict.wanted else SKIPPED
                self._note(series, labels, verdict.kind, decision, verdict.reason)
                if verdict.wanted and verdict.kind is Kind.PET:
                    if scan := self._pet_scan(series, labels):
                        pets.append(scan)
                elif verdict.wanted:
                    t1ws.append(self._t1w_scan(series, labels))
            except CentipetError as error:
                self._fail(series, labels, error)
        self._plan = make_plan(pets, t1ws)
        for key, reason in self._plan.left_out.items():
            self._rows[key] = replace(self._rows[key], decision=SKIPPED, reason=reason)
        for key, target in self._plan.targets.items():
            doubt = self._doubts.get(target.entities["sub"])
            target = replace(target, remarks=(*target.remarks, *filter(None, [doubt])))
            self._plan.targets[key] = target
            reason = "; ".join([self._rows[key].reason, *target.remarks])
            self._rows[key] = replace(self._rows[key], reason=reason, target=str(target.stem))
        self._refuse_shared_targets()

    def _pet_scan(self, series: Series, labels: identity.Labels) -> PetScan | None:
        """Work out tracer and times of a PET; None when it is no amyloid PET."""
        series.check_grid()
        header = series.header
        stated = self._metadata.find(labels.participant, series.uid)
        found = find_tracer(header, stated.tracer or self._dicom.tracer)
        if found is None:
            self._note(series, labels, Kind.PET, SKIPPED, "its tracer is not an amyloid tracer")
            return None
        tracer, source = found
        frames = frames_of(series)
        clock = scan_clock(series, frames, stated.injection)
        times = time_model(clock)
        remarks = count_remarks(series, frames)
        sidecar.pet_sidecar(header, clock, times, tracer, source, {}, stated.values)  # or an error
        self._wanted[series.key] = _Wanted(
            series, frames, labels.participant, clock, tracer, source, stated
        )
        reason = "; ".join([f"{times.kind} {tracer.code} PET", *times.remarks, *remarks])
        self._note(series, labels, Kind.PET, KEPT, reason)
        return PetScan(series, labels.participant, labels.session, tracer.code, times)

    def _t1w_scan(self, series: Series, labels: identity.Labels) -> T1wScan:
        series.check_grid()
        images = series.images
        if not series.is_multiframe:
            by_position = zip(series.positions(), images, strict=True)
            images = tuple(image for _, image in sorted(by_position, key=lambda pair: pair[0]))
        self._wanted[series.key] = _Wanted(series, (images,), labels.participant)
        return T1wScan(series, labels.participant, labels.session, acquired(series.header))

    def _note(
        self, series: Series, labels: identity.Labels, kind: str, decision: str, reason: str
    ) -> None:
        header = series.header
        part = f".{series.part}" if series.part else ""
        self._rows[series.key] = Row(
            participant=f"sub-{labels.participant}",
            series=header.shown("SeriesNumber") + part,
            description=self._scrub(header.shown("SeriesDescription")),
            kind=str(kind),
            n_files=len(series.images),
            decision=decision,
            reason=self._scrub(reason),
        )

    def _fail(self, series: Series, labels: identity.Labels, error: CentipetError) -> None:
        row = self._rows.get(series.key)
        kind = row.kind if row else series.header.text("Modality")
        self._note(series, labels, kind, FAILED, str(error))

    def _refuse_shared_targets(self) -> None:
        """Two series must never have one name (a --dicom-map that merges two injections)."""
        by_stem = defaultdict(list)
        for key, target in self._plan.targets.items():
            by_stem[target.stem].append(key)
        for stem, keys in by_stem.items():
            if len(keys) > 1:
                reason = f"{len(keys)} series would be named {stem.name}; give other labels"
                for key in keys:
                    self._rows[key] = replace(self._rows[key], decision=FAILED, reason=reason)

    # ---------------------------------------------------------------------------- converting

    def convert_all(self, folder: Path, nprocs: int, progress: Callable[[str], None]) -> None:
        """Convert every series that has a target; write the files at the root."""
        keys = [key for key in self._plan.targets if self._rows[key].decision == KEPT]
        if keys:
            dataset.write_root_files(folder, image.dcm2niix_version())

        def one(key: tuple[str, int]) -> None:
            progress(f"Converting {self._plan.targets[key].stem.name}")
            try:
                self._convert_one(key, folder)
            except (CentipetError, OSError) as error:
                reason = self._scrub(str(error))
                self._rows[key] = replace(self._rows[key], decision=FAILED, reason=reason)

        with ThreadPoolExecutor(max(nprocs, 1)) as executor:
            list(executor.map(one, keys))
        done = [key for key in keys if self._rows[key].decision == KEPT]
        if done:
            dataset.list_participants(folder, (self._wanted[key].participant for key in done))
        if self._dicom.keep_dates:
            for key in done:
                self._write_date(folder, key)
        self._write_decisions(folder)

    def _convert_one(self, key: tuple[str, int], folder: Path) -> None:
        """Convert one series: sidecar first, image last, so an image is never without sidecar."""
        wanted, target = self._wanted[key], self._plan.targets[key]
        stem = folder / target.stem
        nifti, side = stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}.json")
        origin = _origin(wanted.series)
        for path in (nifti, side):
            if path.exists() and _origin_of(side) != origin:
                raise BadDataError(
                    f"{path}: exists and was not made from this series; existing files are never "
                    "overwritten, so remove it or choose another folder"
                )
        if nifti.exists():
            return
        with tempfile.TemporaryDirectory(prefix="centipet-") as scratch:
            converted = image.convert_series(wanted.series, wanted.frames, Path(scratch))
            counts = () if wanted.clock is None else count_remarks(wanted.series, wanted.frames)
            remarks = [*target.remarks, *counts, *converted.remarks]
            content = self._sidecar_of(wanted, converted.sidecar, remarks)
            content["CentiPET"]["Series"] = origin
            write_text(side, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            packed = gzip.compress(converted.image.to_bytes(), COMPRESSION, mtime=0)
            write_bytes(nifti, packed)
        if remarks:
            reason = "; ".join(dict.fromkeys([self._rows[key].reason, *converted.remarks]))
            self._rows[key] = replace(self._rows[key], reason=reason)

    def _sidecar_of(
        self, wanted: _Wanted, dcm2niix: dict[str, Any], remarks: Sequence[str]
    ) -> dict[str, Any]:
        if wanted.clock is None or wanted.tracer is None:
            content = sidecar.t1w_sidecar(dcm2niix)
        else:
            content = sidecar.pet_sidecar(
                wanted.series.header,
                wanted.clock,
                time_model(wanted.clock),
                wanted.tracer,
                wanted.tracer_source,
                dcm2niix,
                wanted.stated.values,
            )
        content["CentiPET"]["Remarks"] += remarks
        fixed = tables()["fixed_vocabulary"]["keys"]
        clean = {
            key: value if key in fixed else _map_text(value, self._scrub)
            for key, value in content.items()
        }
        sidecar.refuse_patient_data(clean, "sidecar")
        return clean

    def _write_date(self, folder: Path, key: tuple[str, int]) -> None:
        """Note when a series was acquired in the ``_scans.tsv`` of its session."""
        stem = self._plan.targets[key].stem
        session = folder / stem.parent.parent
        name = "_".join(stem.name.split("_")[:2]) + "_scans.tsv"  # sub-XX_ses-YY
        moments = [moment for moment in map(acquired, self._wanted[key].frames[0]) if moment]
        row = {
            "filename": f"{stem.parent.name}/{stem.name}.nii.gz",
            "acq_time": min(moments).isoformat() if moments else "n/a",
        }
        dataset.add_rows(session / name, [row])

    def _write_decisions(self, folder: Path) -> None:
        """Write the decision table of every participant under ``code/``."""
        people = defaultdict(list)
        for row in self.table():
            people[row.participant].append(row)
        for participant, rows in people.items():
            path = folder / "code" / "dicom_decisions" / f"{participant}.tsv"
            dataset.write_table(path, _COLUMNS, [_cells(row) for row in rows])

    def table(self) -> tuple[Row, ...]:
        """Decision table, sorted by participant and series number."""
        return tuple(sorted(self._rows.values(), key=_row_order))


def find_tracer(header: Header, stated: str | None) -> tuple[Tracer, str] | None:
    """Find the tracer of a PET and what names it; None when it is known not to be amyloid.

    The radiopharmaceutical tags come first, the series and study descriptions last.

    Raises
    ------
    BadDataError
        Nothing names a known tracer.
    """
    if stated is not None:
        tracer = tracer_from_name(stated)
        if tracer is None:
            raise BadDataError(
                f"the stated tracer '{stated}' is unknown; use {', '.join(tracers())}"
            )
        return tracer, "stated by the user"
    sources = {
        "Radiopharmaceutical": "(0018,0031) Radiopharmaceutical",
        "RadiopharmaceuticalCodeMeaning": "(0054,0304) RadiopharmaceuticalCodeSequence",
        "SeriesDescription": "(0008,103E) SeriesDescription",
        "ProtocolName": "(0018,1030) ProtocolName",
        "StudyDescription": "(0008,1030) StudyDescription",
    }
    for keyword, source in sources.items():
        text = header.text(keyword)
        if tracer := tracer_from_name(text):
            return tracer, source
        if re.search(tables()["other_tracers"]["pattern"], text.lower()):
            return None
    raise header.error(
        "Radiopharmaceutical",
        f"'{header.shown('Radiopharmaceutical')}' names no known amyloid tracer, nor does the "
        f"series '{header.shown('SeriesDescription')}'; state it with --tracer",
    )


def _in_one_sentence(broken: Sequence[str]) -> list[str]:
    """Tell of files that start like DICOM but cannot be read; a thousand of them say it once."""
    if len(broken) < 2:
        return list(broken)
    return [f"{len(broken)} files start like DICOM but cannot be read, the first: {broken[0]}"]


def _origin(series: Series) -> str:
    """What a series is recognised by in its sidecar; nobody can read the UID from it."""
    return hashlib.sha256(f"{series.uid}/{series.part}".encode()).hexdigest()[:16]


def _origin_of(side: Path) -> str | None:
    try:
        return str(json.loads(side.read_text("utf-8"))["CentiPET"]["Series"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map_text(value: Any, function: Callable[[str], str]) -> Any:
    """Apply a function to all text inside a JSON value (not to keys)."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {key: _map_text(item, function) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_text(item, function) for item in value]
    return value


# ------------------------------------------------------------------------------ decision table

_COLUMNS = (
    "participant_id",
    "series",
    "description",
    "kind",
    "files",
    "decision",
    "target",
    "reason",
)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.participant,
        row.series,
        row.description,
        row.kind,
        str(row.n_files),
        row.decision,
        row.target,
        row.reason,
    )


def _row_order(row: Row) -> tuple[object, ...]:
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", row.series))
    return row.participant, numbers, row.series, row.target, row.description, row.kind


def format_table(rows: Sequence[Row]) -> str:
    """Decision table as aligned text, one line per series."""
    table = [_COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]])
        for line in table
    )
