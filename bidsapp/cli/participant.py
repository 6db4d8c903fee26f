"""The participant level: convert, look, plan, compute, tell."""

from __future__ import annotations

import hashlib
import os
import shutil
import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bidsapp.bids.dataset import write_root_files
from bidsapp.bids.entities import join_entities
from bidsapp.bids.layout import check_dataset, read_dataset
from bidsapp.bids.plan import Plan
from bidsapp.bids.planning import make_plan
from bidsapp.bids.records import failed_record, unplanned_record, write_record
from bidsapp.cli.summary import print_summary
from bidsapp.data import read_table
from bidsapp.errors import (
    BadDataError,
    CannotCreateError,
    CentipetError,
    ExitCode,
    NoInputError,
    WorkerLostError,
    error_class,
)
from bidsapp.logs import LOGGER, Progress
from bidsapp.nifti import write_text
from bidsapp.report.methods import boilerplate
from bidsapp.report.participant import write_page
from bidsapp.report.records import ScanRecord, Status, find_records
from bidsapp.settings import Settings


def run_participant(settings: Settings, progress: Progress) -> int:
    """Run the participant level and return the exit code.

    Raises
    ------
    CentipetError
        Nothing can be done at all. What concerns one scan is told in its record instead.
    """
    problems: list[str] = []
    if settings.dicom is not None:
        settings, problems = _convert(settings, progress)
        if settings.dicom.convert_only or settings.dicom.dry_run:
            return ExitCode.SCAN_FAILED if problems else ExitCode.OK
    if settings.reports_only:
        return _reports_only(settings, progress)
    plan = _plan(settings, progress)
    _prepare_output(settings)
    _compute(settings, plan, progress)
    names = _names(plan)
    people = sorted({name["sub"] for name in names})
    broken_pages = _write_pages(settings, people, progress)
    keys = {_key(name) for name in names}
    records = [
        record
        for label in people
        for record in find_records(settings.output_dir, label)
        if _key(record.entities) in keys
    ]
    print_summary(records, settings.output_dir, progress)
    return exit_code(records, [*problems, *broken_pages])


def exit_code(records: Iterable[ScanRecord], problems: Iterable[str] = ()) -> int:
    """Exit code of a run: 0 all well; a class's own when all failed alike; 1 otherwise.

    Parameters
    ----------
    records : every scan of the run; those left out on purpose do not count
    problems : class names of errors that cost no scan its result, or happened before there was one
    """
    counted = [record for record in records if record.status is not Status.SKIPPED]
    errors = [r.error or "" for r in counted if r.status is not Status.OK] + list(problems)
    if not errors:
        return ExitCode.OK
    kind = error_class(errors[0])
    if len(set(errors)) == 1 and kind and all(r.status is not Status.OK for r in counted):
        return kind.exit_code
    return ExitCode.SCAN_FAILED


def _convert(settings: Settings, progress: Progress) -> tuple[Settings, list[str]]:
    """Convert DICOM; return where its BIDS is and one error name per series that failed."""
    from bidsapp.dicom.convert import convert, format_table

    assert settings.dicom is not None
    report = convert(
        settings.dicom, settings.bids_dir, nprocs=settings.resources.nprocs, progress=progress.say
    )
    for line in format_table(report.rows).splitlines():
        progress.say(line)
    for sentence in report.errors:
        progress.fail(sentence)
    if report.n_converted == 0 and not settings.dicom.dry_run:
        if report.errors:
            raise BadDataError(f"{settings.dicom.dicom_dir}: no series could be converted")
        raise NoInputError(f"{settings.dicom.dicom_dir}: holds neither a T1w nor an amyloid PET")
    return replace(settings, bids_dir=report.bids_dir), ["BadDataError"] * len(report.errors)


def _plan(settings: Settings, progress: Progress) -> Plan:
    bids_dir = settings.bids_dir
    if not bids_dir.is_dir():
        raise NoInputError(f"{bids_dir}: no such folder; give the raw BIDS dataset")
    if not settings.skip_bids_validation:
        check_dataset(bids_dir)
    dataset = read_dataset(bids_dir, settings.filters, database_dir=settings.database_dir)
    found = {pet.participant for pet in dataset.pets}
    for label in settings.filters.participant:
        if label not in found:
            progress.warn(f"sub-{label}: no PET to process")
    plan = make_plan(dataset, settings.processing)
    n_people = len({scan.participant for scan in plan.scans})
    progress.say(
        f"PET scans to process: {len(plan.scans)}, of {n_people} participants; "
        f"that cannot be: {len(plan.failures)}; left out on purpose: {len(plan.skipped)}"
    )
    for failure in plan.failures:
        progress.fail(failure.message)
    for skip in plan.skipped:
        progress.say(f"{skip.pet.name}: {skip.reason}")
    for scan in plan.scans:
        for flag in scan.flags:
            progress.warn(f"{scan.name}: {flag.message}")
    return plan


def _prepare_output(settings: Settings) -> None:
    write_root_files(settings.output_dir, settings.bids_dir)
    text = boilerplate(pet_to_t1w=settings.processing.pet_to_t1w).as_markdown()
    write_text(settings.output_dir / "logs" / "CITATION.md", text)


def _compute(settings: Settings, plan: Plan, progress: Progress) -> None:
    """Write a record of every scan, run the workflow, and put failures into the records."""
    from bidsapp import engine
    from bidsapp.workflows.participant import init_participants_wf
    from bidsapp.workflows.sidecars import Sidecars

    work_dir = _work_dir(settings)
    sidecars = Sidecars(settings.bids_dir, settings.output_dir, settings.processing)
    records = {scan.name: sidecars.record(scan) for scan in plan.scans}
    for other in (*plan.failures, *plan.skipped):
        write_record(settings.output_dir, unplanned_record(other, settings.bids_dir))
    for record in records.values():
        write_record(settings.output_dir, record)
    if not plan.scans:
        return
    made = init_participants_wf(
        plan,
        bids_dir=settings.bids_dir,
        output_dir=settings.output_dir,
        work_dir=work_dir,
        processing=settings.processing,
    )
    logs = settings.output_dir / "logs"
    if settings.write_graph:
        made.workflow.write_graph(str(logs / "workflow.dot"), graph2use="colored", format="dot")
    subjects = {}
    for scan in plan.scans:
        anatomy, own = made.prefixes[scan.name]
        subjects |= {anatomy: join_entities(scan.t1w.entities), own: scan.name}
    steps = _Steps(subjects, made.workflow.list_node_names(), progress)
    with progress.live():
        failures = engine.run(
            made.workflow,
            settings.resources,
            crash_dir=logs,
            stop_on_first_crash=settings.stop_on_first_crash,
            on_step=steps.tell,
        )
    for failure in failures:
        progress.fail(failure.message)
    for name, record in records.items():
        own = [f for f in failures if f.node.startswith(made.prefixes[name])]
        if own:
            write_record(
                settings.output_dir, failed_record(record, own[0].error_name, own[0].message)
            )


class _Steps:
    """Tells nodes as steps in words (``data/steps.toml``); counts how many are done."""

    def __init__(
        self, subjects: Mapping[str, str], nodes: Iterable[str], progress: Progress
    ) -> None:
        """Take whom a node is about by the beginning of its name, and all names for the count."""
        self._subjects = subjects
        self._words: Mapping[str, str] = read_table("steps")
        self._total = sum(name.rsplit(".", 1)[-1] in self._words for name in nodes)
        self._done = 0
        self._progress = progress

    def tell(self, node: str, what: str) -> None:
        """Say what happened to a node: ``start``, ``end`` or ``exception``."""
        LOGGER.debug("%s %s", what, node)
        step = node.rsplit(".", 1)[-1]
        if step not in self._words:
            return
        about = [name for prefix, name in self._subjects.items() if node.startswith(prefix)]
        words = f"{''.join(about)}: {self._words[step]}"
        if what == "start":
            self._progress.start(words)
            return
        self._done += 1
        if what == "end":
            self._progress.end(words, f"[{self._done}/{self._total}]")
        else:
            self._progress.drop(words)
            self._progress.fail(f"{words}: failed")


def _work_dir(settings: Settings) -> Path:
    """Folder for intermediate results: one per pair of datasets, so that none is mistaken."""
    pair = f"{settings.bids_dir}\0{settings.output_dir}".encode(errors="surrogateescape")
    folder = settings.work_dir / hashlib.sha256(pair).hexdigest()[:8]
    try:
        if settings.clean_workdir:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"{folder}: cannot be made ({error.strerror}); choose a folder with --work-dir"
        ) from error
    if not os.access(folder, os.W_OK):
        raise CannotCreateError(f"{folder}: cannot be written; choose a folder with --work-dir")
    return folder


def _reports_only(settings: Settings, progress: Progress) -> int:
    wanted = settings.filters.participant
    people = sorted({record.entities["sub"] for record in find_records(settings.output_dir)})
    people = [label for label in people if not wanted or label in wanted]
    if not people:
        raise NoInputError(
            f"{settings.output_dir}: holds no result to report on; run the participant level first"
        )
    broken = _write_pages(settings, people, progress)
    for label in people:
        progress.say(f"{settings.output_dir / f'sub-{label}.html'}")
    return ExitCode.SCAN_FAILED if broken else ExitCode.OK


def _write_pages(settings: Settings, people: list[str], progress: Progress) -> list[str]:
    """Write the page of every participant; return the error class of each that failed."""
    broken = []
    write = partial(_try_page, settings.output_dir)
    n_workers = min(settings.resources.nprocs, len(people))
    with progress.live():
        progress.start("pages")
        try:
            if n_workers == 1:
                outcomes = list(map(write, people))
            else:
                with ProcessPoolExecutor(n_workers, mp_context=get_context("forkserver")) as pool:
                    outcomes = list(pool.map(write, people))
        except BrokenProcessPool as error:
            raise WorkerLostError(
                "a process that wrote pages was killed, most often for want of memory; the results "
                "are there, run again with --reports-only --nprocs 1"
            ) from error
        progress.end("pages")
    for name, sentence, details in filter(None, outcomes):
        progress.fail(sentence)
        LOGGER.error("%s", details)
        broken.append(name)
    return broken


def _try_page(output_dir: Path, participant: str) -> tuple[str, str, str] | None:
    """Write a page; None when it worked, else class and sentence of the error, and its origin."""
    try:
        write_page(output_dir, participant)
    except CentipetError as error:
        return type(error).__name__, str(error), traceback.format_exc()
    except Exception as error:
        sentence = (
            f"the page of sub-{participant} could not be written "
            f"({type(error).__name__}: {error}); the results are there, please report this"
        )
        return "CentipetError", sentence, traceback.format_exc()
    return None


def _names(plan: Plan) -> list[dict[str, str]]:
    return [scan.entities for scan in (*plan.scans, *plan.failures, *plan.skipped)]


def _key(entities: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(entities.items()))
