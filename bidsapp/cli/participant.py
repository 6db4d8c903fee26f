"""The participant level: convert, read, plan, compute, report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bidsapp.bids.atlas_descriptions import write_atlases
from bidsapp.bids.derivative_root import (
    remove_leftovers,
    replaced_results,
    write_root_files,
)
from bidsapp.bids.entities import join_entities
from bidsapp.bids.folders import lost_people, people_in, unreadable_people
from bidsapp.bids.layout import check_dataset, raw_facts, read_dataset
from bidsapp.bids.parcellations import absence_sentences
from bidsapp.bids.plan import Plan, ScanFailure, ScanPlan, ScanSkip
from bidsapp.bids.planning import make_plan
from bidsapp.bids.raw_names import misnamed_images, misnamed_people
from bidsapp.bids.stated import read_metadata
from bidsapp.bids.table_problems import table_problems
from bidsapp.cli.listing import print_rows
from bidsapp.cli.logs import RUN_LOG, Progress
from bidsapp.cli.pages import write_pages
from bidsapp.cli.plan_table import plan_exit_code, plan_rows, print_plan
from bidsapp.cli.run_record import earlier_step_s
from bidsapp.cli.steps import Steps
from bidsapp.cli.summary import exit_code, print_summary
from bidsapp.data.sentences import worded
from bidsapp.errors import (
    BadDataError,
    CentipetError,
    ExitCode,
    NoInputError,
    NoMatchError,
    StorageError,
    UsageError,
)
from bidsapp.execution.workers import dismiss_workers, keep_freed_memory
from bidsapp.group.absent import vanished
from bidsapp.group.scans import write_scan_tables
from bidsapp.io.atomic import write_text
from bidsapp.io.untouched import load
from bidsapp.plain import natural, some
from bidsapp.record import ScanRecord, find_records, write_record
from bidsapp.record.stages import failed_record, unplanned_record, with_leftovers
from bidsapp.report.methods import boilerplate
from bidsapp.settings import DicomInput, Settings
from bidsapp.steps.measuring import check_options

if TYPE_CHECKING:
    from bidsapp.execution.engine import NodeFailure

_MOST_IMAGES, _MOST_PEOPLE = 4, 20  # that are named
_Scan = TypeVar("_Scan", ScanPlan, ScanFailure, ScanSkip)


def run_participant(settings: Settings, progress: Progress) -> int:
    """Run the participant level and return the exit code.

    Parameters
    ----------
    settings : what to do
    progress : where it is reported

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    CentipetError
        Nothing can be done at all. What concerns one scan stands in its record instead.
    """
    keep_freed_memory()
    problems: list[str] = []
    if (dicom := settings.dicom) is not None:
        bids_dir, problems = _convert(dicom, settings, progress)
        settings = replace(settings, bids_dir=bids_dir)
        if dicom.convert_only or dicom.dry_run:
            return ExitCode.SCAN_FAILED if problems else ExitCode.OK
    if settings.reports_only:
        return _reports_only(settings, progress)
    if settings.resources.plugin is not None:
        load("nipype")
        from bidsapp.execution.batch import read_plugin

        read_plugin(Path(settings.resources.plugin))  # refused now, before anything is written
    for note in check_options(settings.processing):
        progress.warn(note)
    closed = unreadable_people(settings.bids_dir, settings.filters.participant)
    for sentence in closed.values():
        progress.fail(sentence)
    plan, unknown = _plan(settings, progress, closed)
    plan = _without(plan, closed)
    planned: tuple[ScanPlan | ScanFailure | ScanSkip, ...] = (
        *plan.scans, *plan.failures, *plan.skipped,
    )  # fmt: skip
    seen = {scan.entities["sub"] for scan in planned}
    problems += ["NoInputError" for label in closed if label not in seen]
    problems += ["NoMatchError"] * len(unknown)
    for sentence in replaced_results(settings.output_dir, settings.bids_dir, seen):
        progress.warn(sentence)
    if settings.dry_run:
        print_plan(plan, progress)
        return plan_exit_code(plan) or (ExitCode.SCAN_FAILED if problems else ExitCode.OK)
    for cells in plan_rows(plan):
        progress.detail(", ".join(filter(None, cells)))
    _prepare_output(settings, seen)
    refused = _compute(settings, plan, progress)
    problems += ["StorageError"] * len(refused)
    left = seen - refused
    unwritten = _write_tables(settings.output_dir, left, progress) if left else set()
    problems += ["StorageError"] * len(unwritten)
    people = sorted(left - unwritten)
    names = {join_entities(scan.entities) for scan in planned if scan.entities["sub"] in people}
    broken_pages = write_pages(settings, people, progress)
    records = _records(settings, people, names, progress)
    problems += ["StorageError"] * (len(names) - len(records))
    print_summary(records, settings.output_dir, progress)
    if not plan.scans and not plan.failures:
        progress.fail(
            f"{settings.bids_dir}: none of the PET images found can be processed by CentiPET"
        )
        return ExitCode.NO_MATCH
    return exit_code(records, [*problems, *broken_pages])


def _records(
    settings: Settings, people: Iterable[str], names: Collection[str], progress: Progress
) -> list[ScanRecord]:
    """Records of the scans of a run by name; report those removed meanwhile.

    Told as well: results of earlier runs on the pages whose image is gone.

    Raises
    ------
    StorageError
        All of them were.
    """
    output_dir = settings.output_dir
    every_record = [record for label in people for record in find_records(output_dir, label)]
    for sentence in vanished(every_record, settings.bids_dir):
        progress.warn(sentence)
    records = [record for record in every_record if record.name in names]
    if lost := sorted(set(names) - {record.name for record in records}):
        sentence = (
            f"{output_dir}: the records of {some(lost)} are missing: they were removed "
            "during the run; run it again"
        )
        if not records:
            raise StorageError(sentence)
        progress.fail(sentence)
    return records


def _convert(dicom: DicomInput, settings: Settings, progress: Progress) -> tuple[Path, list[str]]:
    """Convert DICOM; return where its BIDS is and one error class per series that failed."""
    from bidsapp.dicom.convert import convert
    from bidsapp.dicom.decision_table import COLUMNS, cells, format_table

    report = convert(
        dicom,
        settings.bids_dir,
        nprocs=settings.resources.nprocs,
        progress=progress.say,
        passed_over=(settings.output_dir, settings.work_dir),
    )
    if not settings.workers:
        dismiss_workers()  # that read headers; what follows is done here, or by a batch system
    lines, console = format_table(report.rows).splitlines(), progress.console
    if console.is_terminal and max(map(len, lines)) > console.width:
        print_rows(COLUMNS, ((cells(row), None) for row in report.rows), progress, title=3)
        for line in lines:
            RUN_LOG.info("%s", line)
    else:
        for line in lines:
            progress.say(line)
    for sentence in report.remarks:
        progress.warn(sentence)
    for sentence in report.errors:
        progress.fail(sentence)
    if report.n_converted == 0 and not dicom.dry_run:
        if report.errors:
            raise BadDataError(f"{dicom.dicom_dir}: no series could be converted")
        raise NoInputError(f"{dicom.dicom_dir}: contains neither a T1w nor an amyloid PET")
    return report.bids_dir, ["BadDataError"] * len(report.errors)


def _without(plan: Plan, closed: Mapping[str, str]) -> Plan:
    """Leave out participants with a folder that cannot be read: their T1w may lie in it."""
    lost = [scan for scan in plan.scans if scan.participant in closed]
    failures = [
        ScanFailure(
            scan.entities, scan.pet, "NoInputError", closed[scan.participant], scan.tracer,
            scan.about,
        )
        for scan in lost
    ]  # fmt: skip
    scans = tuple(scan for scan in plan.scans if scan.participant not in closed)
    return replace(plan, scans=scans, failures=(*plan.failures, *failures))


def _plan(
    settings: Settings, progress: Progress, closed: Mapping[str, str]
) -> tuple[Plan, dict[str, str]]:
    """The plan, and requested participants who do not exist (`_lost`)."""
    bids_dir = settings.bids_dir
    if not bids_dir.is_dir():
        raise NoInputError(
            f"{bids_dir}: no such folder; give the raw BIDS dataset, or plain images to centipet "
            "quantify"
        )
    if not settings.skip_bids_validation:
        check_dataset(bids_dir)
    try:
        dataset = read_dataset(bids_dir, settings.filters, database_dir=settings.database_dir)
    except NoMatchError as error:
        if closed:  # and reported
            raise NoInputError(f"{error}; {len(closed)} could not be read") from error
        raise
    if (stated := settings.processing.dicom_metadata) is not None:
        dataset = replace(dataset, stated=read_metadata(stated))
    with_pet = {pet.participant for pet in dataset.pets}
    lost = _lost(settings)
    for sentence in lost.values():
        progress.fail(sentence)
    without = {*(settings.filters.participant or people_in(bids_dir))} - with_pet
    for sentence in _without_pet(bids_dir, without - closed.keys() - lost.keys()):
        progress.warn(sentence)
    for sentence in misnamed_people(bids_dir):
        progress.warn(sentence)
    for sentence in (
        *dataset.unmatched(settings.filters), *dataset.unused_statements(),
        *table_problems(dataset),
    ):  # fmt: skip
        progress.warn(sentence)
    plan = make_plan(dataset, settings.processing)
    for sentence in absence_sentences(settings.processing):
        progress.say(sentence)
    _check_initial_transform(settings, plan)
    n_people = len({scan.participant for scan in plan.scans})
    progress.say(
        f"PET scans: {len(plan.scans)} to process (participants: {n_people}), "
        f"{len(plan.failures)} refused, {len(plan.skipped)} left out on purpose"
    )
    if settings.processing.longitudinal:
        templates = {scan.participant for scan in plan.scans if scan.anatomy == "template"}
        progress.say(f"within-subject templates: {len(templates)} of {n_people} participants")
    for failure in plan.failures:
        # centipet quantify tries in a temporary folder, of which nobody knows
        inside = failure.message.replace(f"{bids_dir}/", "") if settings.dry_run else None
        progress.fail(inside or failure.message)
    for skip in plan.skipped:
        progress.say(f"{skip.pet.name}: {skip.reason}")
    for scan in plan.scans:
        for flag in scan.flags:
            progress.warn(f"{scan.name}: {flag.message}")
    return plan, lost


def _without_pet(bids_dir: Path, people: Iterable[str]) -> Iterator[str]:
    """Sentences about participants without a PET, and about images of theirs that may be one."""
    plain = []
    for label in sorted(people, key=natural):
        unused = misnamed_images(bids_dir, label, "pet")
        reasons = some((f"{image.path.name}: {image.reason}" for image in unused), _MOST_IMAGES)
        if reasons:
            yield f"sub-{label}: {worded('dataset', 'no-pet')}; not used: {reasons}"
        else:
            plain.append(f"sub-{label}")
    if plain:
        yield f"{some(plain, _MOST_PEOPLE)}: {worded('dataset', 'no-pet')}"


def _lost(settings: Settings) -> dict[str, str]:
    """Requested participants who are not in the dataset, and a sentence about them."""
    bids_dir, asked = settings.bids_dir, settings.filters.participant
    if not asked:
        return {}
    present = [name.removeprefix("sub-") for name in raw_facts(bids_dir)["participants"]]
    return lost_people(asked, present, bids_dir)


def _check_initial_transform(settings: Settings, plan: Plan) -> None:
    """Refuse a transform that cannot be read, or that would be used for several heads."""
    initial = settings.processing.initial_transform
    if initial is None:
        return
    from bidsapp.steps.anatomy import initial_affine

    initial_affine(initial)
    heads = sorted({scan.t1w.raw[0].name for scan in plan.scans if scan.t1w is not None})
    if plan.scans and len(heads) != 1:
        named = f" ({some(heads)})" if heads else ""
        raise UsageError(
            f"--initial-transform {initial}: applies to one T1w, but there are {len(heads)}{named};"
            " choose one with --participant-label and --session-label"
        )


def _prepare_output(settings: Settings, people: Collection[str]) -> None:
    remove_leftovers(settings.output_dir, people)
    write_root_files(settings.output_dir, settings.bids_dir)
    processing = settings.processing
    atlases = (*processing.atlases, *processing.derivatives)
    write_atlases(settings.output_dir, atlases, masks=processing.write_masks)
    text = boilerplate(settings.processing).as_markdown()
    write_text(settings.output_dir / "logs" / "CITATION.md", text)


def _compute(settings: Settings, plan: Plan, progress: Progress) -> set[str]:
    """Write a record of every scan, run the workflow, and put failures into the records.

    Returns
    -------
    set of str
        Participants whose results cannot be written, from the beginning or no longer.

    Raises
    ------
    StorageError
        Nobody's results can be written.
    """
    from bidsapp.cli.work_folder import kept_bytes, work_folder
    from bidsapp.workflows.sidecars import Sidecars

    people = sorted({scan.participant for scan in plan.scans})
    with work_folder(settings, people) as work_dir:
        unplanned: tuple[ScanFailure | ScanSkip, ...] = (*plan.failures, *plan.skipped)
        sidecars = Sidecars(settings.bids_dir, settings.output_dir, settings.processing)
        records = {scan.name: sidecars.record(scan) for scan in plan.scans}
        first = [
            *(unplanned_record(scan, settings.bids_dir) for scan in unplanned),
            *records.values(),
        ]
        sentences = _refusals(
            (record.entities["sub"], partial(write_record, settings.output_dir, record))
            for record in first
        )
        for sentence in sentences.values():
            progress.fail(sentence)
        refused = set(sentences)
        plan = _only(plan, refused)
        unplanned = (*plan.failures, *plan.skipped)
        everybody = {scan.entities["sub"] for scan in (*plan.scans, *unplanned)}
        if everybody:  # earlier results are none now
            unwritten = _write_tables(settings.output_dir, everybody, progress)
            refused |= unwritten
            plan = _only(plan, unwritten)
        if not plan.scans:
            return refused
        for name, failure in _run_workflow(settings, plan, work_dir, progress).items():
            message = failure.message
            for folder in (work_dir, settings.output_dir):
                message = message.replace(f"{folder}/", "")
            failed = failed_record(records[name], failure.error_name, message, settings.bids_dir)
            try:
                write_record(settings.output_dir, with_leftovers(failed, settings.output_dir))
            except (StorageError, OSError) as error:  # its record stays that of no result
                label = failed.entities["sub"]
                if label not in refused:
                    progress.fail(f"sub-{label}: {_refusal(error)}")
                refused.add(label)
        size_mb = kept_bytes(work_dir, people) / 1e6
        progress.say(
            f"intermediate results: {size_mb:.0f} MB in {work_dir}; --clean-workdir deletes them"
        )
        return refused


def _refusals(works: Iterable[tuple[str, Callable[[], object]]]) -> dict[str, str]:
    """Write something of participants; return by participant why it cannot be written.

    Raises
    ------
    StorageError
        Nothing at all can be written.
    """
    refused: dict[str, str] = {}
    written = 0
    for label, write in works:
        try:
            write()
            written += 1
        except (StorageError, OSError) as error:
            refused[label] = _refusal(error)
    if refused and not written:
        raise StorageError(next(iter(refused.values())))
    return refused


def _write_tables(output_dir: Path, people: Collection[str], progress: Progress) -> set[str]:
    """Write the tables of participants; report and return for whom they cannot be written.

    Raises
    ------
    StorageError
        They can be written for none.
    """
    refused = _refusals(
        (label, partial(write_scan_tables, output_dir, [label])) for label in sorted(people)
    )
    for label, sentence in refused.items():
        progress.fail(f"sub-{label}: {sentence}")
    return set(refused)


def _refusal(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: cannot be written ({error.strerror}); correct permissions"
    return str(error)


def _only(plan: Plan, refused: Collection[str]) -> Plan:
    """Leave out participants."""

    def kept(scans: Iterable[_Scan]) -> tuple[_Scan, ...]:
        return tuple(scan for scan in scans if scan.entities["sub"] not in refused)

    return Plan(kept(plan.scans), kept(plan.failures), kept(plan.skipped))


def _run_workflow(
    settings: Settings, plan: Plan, work_dir: Path, progress: Progress
) -> dict[str, NodeFailure]:
    """Run all scans; return the reason of each failure."""
    from bidsapp.execution import engine
    from bidsapp.workflows.participant import init_participants_wf

    built = init_participants_wf(
        plan,
        bids_dir=settings.bids_dir,
        output_dir=settings.output_dir,
        work_dir=work_dir,
        processing=settings.processing,
    )
    logs = settings.output_dir / "logs"
    if settings.write_graph:
        built.workflow.write_graph(str(logs / "workflow.dot"), graph2use="colored", format="dot")
    unbuilt = {name: _unbuilt(name, error) for name, error in built.problems.items()}
    for failure in unbuilt.values():
        progress.fail(failure.message)
    if not built.prefixes:
        return unbuilt
    subjects: dict[str, str] = {}
    for scan in plan.scans:
        if scan.name in unbuilt:
            continue
        subjects[built.prefixes[scan.name][-1]] = scan.name
        if scan.t1w is not None:
            subjects[built.prefixes[scan.name][0]] = join_entities(scan.t1w.entities)
    steps = Steps(
        subjects, built.workflow.list_node_names(), progress, earlier_s=earlier_step_s(logs)
    )
    with progress.live():
        failures = engine.run(
            built.workflow,
            settings.resources,
            crash_dir=logs,
            stop_on_first_crash=settings.stop_on_first_crash,
            on_step=steps.tell,
        )
    progress.step_s = steps.time_left.measured_s()
    for failure in failures:
        progress.fail(failure.message)
    blame = {
        name: [failure for failure in failures if failure.node.startswith(prefixes)]
        for name, prefixes in built.prefixes.items()
    }
    return unbuilt | {name: failed[0] for name, failed in blame.items() if failed}


def _unbuilt(name: str, error: Exception) -> NodeFailure:
    """Failure of a scan that no steps could be made for."""
    from bidsapp.execution.engine import NodeFailure

    RUN_LOG.error("%s", name, exc_info=error)
    if isinstance(error, CentipetError):
        return NodeFailure(name, type(error).__name__, str(error))
    sentence = (
        f"{name}: its steps could not be made ({type(error).__name__}: "
        f"{' '.join(str(error).split())}), which is a bug in CentiPET: please report it with the "
        "log"
    )
    return NodeFailure(name, "CentipetError", sentence)


def _reports_only(settings: Settings, progress: Progress) -> int:
    wanted = settings.filters.participant
    present = {record.entities["sub"] for record in find_records(settings.output_dir)}
    people = sorted(label for label in present if not wanted or label in wanted)
    lost = lost_people(wanted, present, settings.output_dir)
    if not present:
        raise NoInputError(
            f"{settings.output_dir}: contains no result to report on; run the participant level "
            "first"
        )
    if not people:
        raise NoMatchError("; ".join(lost.values()))
    write_scan_tables(settings.output_dir, people)
    for sentence in lost.values():
        progress.fail(sentence)
    broken = write_pages(settings, people, progress)
    records = [record for label in people for record in find_records(settings.output_dir, label)]
    print_summary(records, settings.output_dir, progress)
    return ExitCode.SCAN_FAILED if broken or lost else ExitCode.OK
