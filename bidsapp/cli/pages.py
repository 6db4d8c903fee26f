"""The participant pages: a separate step after the workflow, which can be repeated."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from bidsapp import __version__
from bidsapp.bids.derivatives import sidecar_path
from bidsapp.bids.seals import write_manifest
from bidsapp.cli.logs import RUN_LOG, Progress
from bidsapp.core.parallel import use_threads
from bidsapp.errors import CentipetError, WorkerLostError
from bidsapp.execution.workers import dismiss_workers, workers
from bidsapp.record import ScanRecord, Status, find_records
from bidsapp.record.stored import StoredScan
from bidsapp.report.participant import write_page
from bidsapp.report.visual_read import export_read
from bidsapp.settings import Settings

# Views of the records of a participant, which no record names (`bidsapp.group.scans`).
_TABLES = ("scans", "sessions")
_MOST_ROUNDS = 3  # of writing a page, while other jobs of the participant end


def write_pages(settings: Settings, people: list[str], progress: Progress) -> list[str]:
    """Write the page of every participant; return the error class of each that failed.

    Parameters
    ----------
    settings : of the run
    people : labels without ``sub-``
    progress : where it is reported

    Returns
    -------
    list of str
    """
    broken = []
    n_processes = settings.resources.nprocs
    n_workers = min(n_processes, len(people))
    write = partial(
        _try_page,
        settings.output_dir,
        visual_read=settings.visual_read,
        threads=n_processes // max(n_workers, 1),
    )
    with progress.live():
        progress.start("pages")
        try:
            if n_workers <= 1:
                dismiss_workers()  # their memory
                outcomes = list(map(write, people))
            else:
                outcomes = list(workers(n_processes).map(write, people))
        except BrokenProcessPool as error:
            raise WorkerLostError(
                "a process that wrote pages was killed, most often because memory ran out; the "
                "results are there, run again with --reports-only --nprocs 1"
            ) from error
        finally:
            use_threads(1)
        progress.end("pages")
    for name, sentence, details in filter(None, outcomes):
        progress.fail(sentence)
        RUN_LOG.error("%s", details)
        broken.append(name)
    return broken


def _try_page(
    output_dir: Path, participant: str, *, visual_read: bool, threads: int
) -> tuple[str, str, str] | None:
    """Write a page; None when it worked, else class and sentence of the error, and its origin."""
    use_threads(threads)
    try:
        for _ in range(_MOST_ROUNDS):  # the last job of a participant has seen all records
            records = find_records(output_dir, participant)
            _write(output_dir, participant, records, visual_read=visual_read)
            if find_records(output_dir, participant) == records:
                break
    except CentipetError as error:
        return type(error).__name__, str(error), traceback.format_exc()
    except Exception as error:
        sentence = (
            f"the page of sub-{participant} could not be written "
            f"({type(error).__name__}: {error}); the results are there, please report this"
        )
        return "CentipetError", sentence, traceback.format_exc()
    return None


def _write(
    output_dir: Path, participant: str, records: Sequence[ScanRecord], *, visual_read: bool
) -> None:
    files = [write_page(output_dir, participant)]
    for record in records:
        if visual_read and record.status is Status.OK:
            images = export_read(StoredScan(output_dir, record))
            files += [path for image in images for path in (image, sidecar_path(image))]
    person = output_dir / f"sub-{participant}"
    figures = person / "figures"
    files += [path for path in figures.glob("[!.]*") if path.name != "manifest.json"]
    files += [path for kind in _TABLES for path in person.rglob(f"sub-*_{kind}.*")]
    made_from = [record.path for record in records]
    write_manifest(figures / "manifest.json", output_dir, files, made_from, Version=__version__)
