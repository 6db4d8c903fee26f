"""DICOM to BIDS: inventory, decisions, conversion.  What the command line calls."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from bidsapp.bids.stated import Metadata, flags_of, own_notes, read_metadata
from bidsapp.bids.values import UNDATED, map_text
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded
from bidsapp.data.tracers import all_tracers, known_tracer
from bidsapp.dicom import identity, image, raw_root, sidecar
from bidsapp.dicom.clocks import IMAGE_CLOCK
from bidsapp.dicom.decide import Decisions, Job, decide, why_not
from bidsapp.dicom.decision_table import COLUMNS, FAILED, KEPT, DecisionRow, cells, in_order
from bidsapp.dicom.habits import tables
from bidsapp.dicom.inventory import Inventory, in_one_sentence, take_inventory
from bidsapp.dicom.remarks import NOTE, WITHOUT_T1W, in_a_row, in_sidecar
from bidsapp.dicom.scratch import scratch_folder
from bidsapp.dicom.scrub import Scrubber
from bidsapp.dicom.series import Series, SeriesKey
from bidsapp.dicom.sessions import PetScan
from bidsapp.errors import StorageError, UsageError
from bidsapp.grouping import grouped
from bidsapp.io.atomic import write_gzip, write_json, write_lines
from bidsapp.io.reading import has_content, known_object
from bidsapp.io.tsv import line as table_line
from bidsapp.settings import DicomInput


@dataclass(frozen=True)
class ConversionReport:
    """What became of a folder of DICOM.

    Attributes
    ----------
    bids_dir : the dataset that was written (with a dry run: that would be)
    rows : decision table, one row per series
    n_converted : series whose image is in the dataset now
    errors : one sentence per series that should have been converted but could not, and for files
        that start like DICOM but cannot be read
    remarks : one sentence each about files without content, and about what the user states of
        nothing in the folder
    """

    bids_dir: Path
    rows: tuple[DecisionRow, ...]
    n_converted: int
    errors: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def convert(
    dicom: DicomInput,
    bids_dir: Path,
    *,
    nprocs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
    passed_over: Iterable[Path] = (),
) -> ConversionReport:
    """Convert the T1w and amyloid PET series of a folder of DICOM into a BIDS dataset.

    Parameters
    ----------
    dicom : where it comes from and how
    bids_dir : dataset to add to; existing files are never overwritten
    nprocs : processes for reading headers, threads for converting
    progress : called with a line of text as work proceeds
    passed_over : folders that may lie among the DICOM and hold none, such as those of results

    Returns
    -------
    ConversionReport

    Raises
    ------
    CentipetError
        Nothing can be done at all: no DICOM, nowhere to write, a broken option file.
        A series that cannot be converted is reported in ``errors`` instead.
    """
    if dicom.tracer is not None and known_tracer(dicom.tracer) is None:
        raise UsageError(worded("tracer", "option", dicom=dicom, known=", ".join(all_tracers())))
    metadata = Metadata() if dicom.metadata is None else read_metadata(dicom.metadata)
    labels = None if dicom.label_map is None else identity.read_label_map(dicom.label_map)
    folder = bids_dir
    with scratch_folder() as scratch:
        source = dicom.dicom_dir.absolute()
        inventory = take_inventory(
            source,
            scratch / "unpacked",
            nprocs=nprocs,
            progress=progress,
            passed_over=filter(None, (bids_dir, dicom.converted_dir, *passed_over)),
        )
        decisions = decide(dicom, inventory, metadata, labels)
        if not dicom.dry_run:
            folder = raw_root.choose_folder(bids_dir, dicom.converted_dir)
            _convert_all(decisions, folder, scratch, nprocs, progress)
            _describe(decisions, folder, dicom)
    rows = in_order(list(decisions.rows.values()))
    errors = [
        f"{row.participant_id} series {row.series} '{row.description}' ({row.kind}): {row.reason}"
        for row in rows
        if row.decision == FAILED
    ]
    unreadable = in_one_sentence([decisions.scrub(sentence) for sentence in inventory.broken])
    n_converted = 0 if dicom.dry_run else sum(row.decision == KEPT for row in rows)
    remarks = [*map(decisions.scrub, inventory.remarks)]
    remarks += _unused(inventory, decisions, metadata, labels)
    return ConversionReport(folder, rows, n_converted, [*unreadable, *errors], remarks)


def _unused(
    inventory: Inventory,
    decisions: Decisions,
    metadata: Metadata,
    labels: identity.LabelMap | None,
) -> list[str]:
    """Sentences about statements on people and series that are not in the folder."""
    people = {f"sub-{label}" for label in decisions.persons}
    unused = metadata.unused(people | {series.uid for series in inventory.series})
    if labels is not None:
        headers = [series.header for series in inventory.series]
        places = [identity.place(header.path, inventory.roots) for header in headers]
        unused += labels.unused(headers, places)
    return unused


def _convert_all(
    decisions: Decisions,
    folder: Path,
    scratch: Path,
    nprocs: int,
    progress: Callable[[str], None],
) -> None:
    """Convert every job; a failure becomes a row, a full disk ends it all."""

    def convert_job(item: tuple[SeriesKey, Job]) -> None:
        key, job = item
        row = decisions.rows[key]
        progress(f"Converting {job.target.stem.name}")
        try:
            remarks = _convert_one(job, folder, scratch, decisions.scrub)
            reason = decisions.scrub(in_a_row(row.reason, remarks))
            decisions.rows[key] = replace(row, reason=reason)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(worded("conversion", "no-space", error=error)) from error
        except Exception as error:  # a fault of ours in one series must not stop the others
            reason = why_not(
                error, [*job.scan.series.images, *chain.from_iterable(job.scan.frames)]
            )
            decisions.rows[key] = replace(row, decision=FAILED, reason=decisions.scrub(reason))

    if decisions.jobs:
        raw_root.write_root_files(folder, image.dcm2niix_version())
    with ThreadPoolExecutor(max(nprocs, 1)) as executor:
        list(executor.map(convert_job, decisions.jobs.items()))


def _convert_one(job: Job, folder: Path, scratch: Path, scrub: Scrubber) -> tuple[Flag, ...]:
    """Convert one series; return what was done to its image.

    The sidecar is written first and the image last, so an image is never without its sidecar,
    and a run that was killed between them is completed by the next.
    """
    scan, stem = job.scan, folder / job.target.stem
    nifti, side = stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}.json")
    origin = _origin(scan.series)
    for path in (nifti, side):
        if has_content(path) and _origin_of(side) != origin:
            raise refused("conversion", "other-series", path=path.relative_to(folder))
    if has_content(nifti):
        return _done_before(job.scan.remarks, side, scrub)
    _refuse_second_name(folder, side, origin)
    for temporary in nifti.parent.glob(f".{stem.name}.*.tmp"):  # of a run that was killed
        temporary.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder_of_job:
        converted = image.convert_series(scan.series, scan.frames, Path(folder_of_job))
        converted = replace(converted, image=image.scaled(converted.image, scan.factors))
        content = _clean_sidecar(job, converted.sidecar, converted.remarks, scrub)
        content["CentiPET"]["Series"] = origin
        write_json(side, content)
        write_gzip(nifti, [converted.image.to_bytes()])
    return converted.remarks


def _done_before(known: Iterable[Flag], side: Path, scrub: Scrubber) -> tuple[Flag, ...]:
    """What an earlier run did to the image of a series, as its sidecar states.

    What is known of the series was judged anew: a T1w may have come since.
    """
    content = known_object(side)
    judged_anew = {scrub(remark.message) for remark in (*known, WITHOUT_T1W)}
    judged_anew |= {flag.message for flag in flags_of(content)}
    noted = map(str, own_notes(content).get("Remarks") or ())
    return tuple(Flag(NOTE, text) for text in noted if text not in judged_anew)


def _refuse_second_name(folder: Path, side: Path, origin: str) -> None:
    """Refuse a series that is in the dataset under another name, where there is no older scan."""
    (participant,) = (part for part in side.relative_to(folder).parts[:1])
    for other in (folder / participant).rglob("*.json"):
        if other != side and _origin_of(other) == origin:
            raise refused("conversion", "second-name", other=other, side=side)


def _clean_sidecar(
    job: Job, dcm2niix: Mapping[str, Any], about_image: Iterable[Flag], scrub: Scrubber
) -> dict[str, Any]:
    """Sidecar of a series, with all remarks, without anything about a person."""
    if isinstance(job.scan, PetScan):
        content = sidecar.pet_sidecar(job.scan.facts, dcm2niix)
    else:
        content = sidecar.t1w_sidecar(dcm2niix)
    content["CentiPET"] |= in_sidecar((*job.scan.remarks, *about_image))
    clean = {key: _clean_value(key, value, scrub) for key, value in content.items()}
    sidecar.refuse_patient_data(clean, job.target.stem.name)
    return clean


def _clean_value(key: str, value: Any, scrub: Scrubber) -> Any:
    """Value of a sidecar without names; what comes from a fixed vocabulary holds none."""
    makers = tables()["manufacturer"].values()
    if key in tables()["fixed_vocabulary"]["keys"] and (key != "Manufacturer" or value in makers):
        return value
    if key == "CentiPET":
        return map_text(value, scrub)
    return map_text(value, lambda text: text if text in ("n/a", "none") else scrub.text(text))


def _origin(series: Series) -> str:
    """What a series is recognised by in its sidecar; nobody can read the UID from it."""
    return hashlib.sha256(f"{series.uid}/{series.part}".encode()).hexdigest()[:16]


def _origin_of(side: Path) -> str | None:
    series = own_notes(known_object(side)).get("Series")
    return None if series is None else str(series)


def _describe(decisions: Decisions, folder: Path, dicom: DicomInput) -> None:
    """Write the files around the images: participants, dates, decision tables."""
    converted = [job for key, job in decisions.jobs.items() if decisions.rows[key].decision == KEPT]
    if converted:
        raw_root.list_participants(folder, (job.target.entities["sub"] for job in converted))
    for job in converted if dicom.keep_dates or dicom.shift_dates else ():
        person = decisions.persons[job.target.entities["sub"]]
        _write_date(job, folder, person if dicom.shift_dates else None)
    in_table = in_order(list(decisions.rows.values()))
    people = grouped((row.participant_id, cells(row)) for row in in_table)
    for participant, rows in people.items():
        path = folder / "code" / "dicom_decisions" / f"{participant}.tsv"
        write_lines(path, map(table_line, (COLUMNS, *rows)))


def _write_date(job: Job, folder: Path, shift_of: identity.Person | None) -> None:
    """Note when a series was acquired in the ``_scans.tsv`` of its session, shifted if asked."""
    stem = job.target.stem
    name = "_".join(stem.name.split("_")[:2]) + "_scans.tsv"  # sub-XX_ses-YY
    moments = [
        m for m in map(IMAGE_CLOCK.acquired, job.scan.frames[0]) if m and m.year > UNDATED.year
    ]
    start = min(moments) if moments else None
    if start and shift_of:
        start = identity.shifted(start, shift_of)
    row = {
        "filename": f"{stem.parent.name}/{stem.name}.nii.gz",
        "acq_time": start.isoformat() if start else "n/a",
    }
    raw_root.add_rows(folder / stem.parent.parent / name, [row])
