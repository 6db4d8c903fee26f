"""``centipet``: command line -> conversion, participant or group level -> exit code."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from bidsapp import __version__
from bidsapp.cli.command import (
    ENVIRONMENT,
    SUB_COMMANDS,
    complain,
    nearest,
    refuse_lost_folder,
)
from bidsapp.cli.listener import listener_may_leave
from bidsapp.cli.logs import RUN_LOG, Progress, logging_to, new_log_file
from bidsapp.cli.parser import parse
from bidsapp.cli.signals import ended_by_signals
from bidsapp.errors import (
    CentipetError,
    ExitCode,
    Interrupted,
    NoInputError,
    UsageError,
    WorkerLostError,
    cannot_write,
    error_of_system,
)
from bidsapp.options.option_table import idle_options
from bidsapp.settings import Level, Settings

# Objects made before garbage is looked for, instead of 700: imports make 300,000 that all stay.
_YOUNG_OBJECTS = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``centipet`` and return its exit code.

    Parameters
    ----------
    argv : arguments without the name of the program; None takes those of the process

    Returns
    -------
    int
        Exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    os.environ.update(ENVIRONMENT)
    gc.set_threshold(_YOUNG_OBJECTS)
    with listener_may_leave(), ended_by_signals():
        return _main(argv)


def _main(argv: Sequence[str]) -> int:
    if argv[:1] == ["--demo"]:
        from bidsapp.cli.demo import main as demo

        return demo(argv[1:])
    if argv[:1] == ["--print-completion"]:
        from bidsapp.cli.completion import main as completion

        return completion(argv[1:])
    if argv and argv[0] in SUB_COMMANDS and not _is_level(argv):
        return int(import_module(f"bidsapp.cli.{argv[0]}").main(argv[1:]))
    try:
        refuse_lost_folder()
        settings = parse(argv)
    except CentipetError as refused:
        error: CentipetError = refused
        meant = nearest(argv[0], SUB_COMMANDS) if argv and argv[0][:1] != "-" else None
        if meant and not _is_level(argv) and not Path(argv[0]).exists():
            error = UsageError(f"unknown command {argv[0]}; did you mean centipet {meant}?")
        return _complain(error)
    except OSError as closed:
        return _complain(closed)
    from bidsapp.execution.workers import forked_workers

    try:
        with forked_workers(settings.workers):
            return run(settings, argv)
    except CentipetError as no_workers:
        return _complain(no_workers, settings.debug)


def _is_level(argv: Sequence[str]) -> bool:
    """Whether the level stands where it belongs: the first argument is a dataset then."""
    return bool(set(argv[2:3]) & set(Level))


def run(settings: Settings, argv: Sequence[str]) -> int:
    """Run one level with its log and its record in ``logs/``; return its exit code.

    Parameters
    ----------
    settings : what to do
    argv : what was typed for it, for the record

    Returns
    -------
    int
        Exit code.
    """
    from bidsapp.cli.run_record import RunRecord
    from bidsapp.data.tracer_file import using_tracer_file

    try:
        tracers = using_tracer_file(settings.processing.tracer_file)
        with tracers, _logged(settings) as log_file:
            RUN_LOG.info(
                "CentiPET %s, Python %s, %s", __version__, sys.version.split()[0], settings
            )
            record, progress = RunRecord(log_file, argv), Progress(verbose=settings.verbosity > 0)
            code = _outcome(settings, progress, log_file)
            record.end(code, progress.scans, progress.step_s)
            return code
    except (CentipetError, OSError) as error:
        return _complain(error, settings.debug)


def _outcome(settings: Settings, progress: Progress, log_file: Path | None) -> int:
    """Run one level; any failure becomes a sentence and an exit code."""
    try:
        return _level(settings, progress)
    except Interrupted as interrupted:
        RUN_LOG.error("interrupted")
        print("centipet: interrupted; run again to resume where it stopped", file=sys.stderr)
        return int(interrupted.code or 0)
    except Exception as error:
        known = isinstance(error, CentipetError | MemoryError | OSError)
        RUN_LOG.log(logging.ERROR if known else logging.CRITICAL, "%s", error, exc_info=True)
        return _complain(_as_ours(error, log_file), settings.debug)


def _as_ours(error: Exception, log_file: Path | None) -> CentipetError:
    """Error with a sentence for the user and an exit code, for whatever ended a run."""
    if isinstance(error, CentipetError):
        return error
    if isinstance(error, MemoryError):
        return WorkerLostError(
            "the run itself ran out of memory; give it more, or fewer participants at once"
        )
    if isinstance(error, OSError):
        return error_of_system(error, log_file)
    return CentipetError(
        f"{type(error).__name__}: {error}; this is a bug in CentiPET; please "
        f"report it with {log_file or 'the output of --debug'}"
    )


def _level(settings: Settings, progress: Progress) -> int:
    if settings.boilerplate_only:
        from bidsapp.report.methods import boilerplate

        print(boilerplate(settings.processing).as_markdown(), end="")
        return ExitCode.OK
    for sentence in idle_options(settings):
        progress.warn(sentence)
    if settings.level is Level.GROUP:
        from bidsapp.group.absent import unknown_people
        from bidsapp.group.collect import run_group

        given = settings.filters, settings.ratings, settings.bids_dir, settings.study
        for path in run_group(settings.output_dir, *given):
            if path.parent == settings.output_dir:  # figures need not be named one by one
                progress.say(f"{path}")
        unknown = unknown_people(settings.output_dir, settings.filters)  # named among the warnings
        return ExitCode.SCAN_FAILED if unknown else ExitCode.OK
    from bidsapp.cli.participant import run_participant

    return run_participant(settings, progress)


@contextlib.contextmanager
def _logged(settings: Settings) -> Iterator[Path | None]:
    """Log to the output folder, which must be writable; runs that write nothing there do not log.

    Raises
    ------
    NoInputError
        There is no output folder although its results are to be read.
    CannotCreateError
        The output folder cannot be written.
    """
    if (
        settings.level is Level.GROUP or settings.reports_only
    ) and not settings.output_dir.is_dir():
        raise NoInputError(
            f"{settings.output_dir}: no such folder; run the participant level first"
        )
    from bidsapp.bids.derivative_root import refuse_foreign

    dicom = settings.dicom
    converts = dicom is not None and (dicom.convert_only or dicom.dry_run)
    if not (converts or settings.boilerplate_only):
        refuse_foreign(settings.output_dir)
    writes = not (converts or settings.boilerplate_only or settings.dry_run)
    log_file = new_log_file(settings.output_dir) if writes else None
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(logging_to(log_file, settings.verbosity))
        except OSError as error:
            raise cannot_write(
                error,
                settings.output_dir,
                "choose another output folder or its permissions",
            ) from error
        yield log_file


def _complain(error: CentipetError | OSError, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    return complain("centipet", error)
