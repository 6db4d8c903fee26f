"""The work folder of a run: ownership, removal of old results, size.

Below ``--work-dir`` every pair of raw and derivative dataset has a folder, in it every version and
configuration of the app, in it every participant. nipype runs a step again when the content of
what goes into it has changed.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from bidsapp.errors import BusyError, UsageError, cannot_write
from bidsapp.io.locks import holding
from bidsapp.settings import Settings
from bidsapp.workflows.participant import ROOT
from bidsapp.workflows.wiring import node_name

_REMEDY = "choose a folder with --work-dir"


@contextlib.contextmanager
def work_folder(settings: Settings, people: Collection[str]) -> Iterator[Path]:
    """Give the folder of intermediate results, held against other runs of the same participants.

    ``--clean-workdir`` forgets what is kept of these participants, of every version, and nothing
    of others, at whom another job may be at work.

    Parameters
    ----------
    settings : of the run
    people : labels without ``sub-``

    Yields
    ------
    Path

    Raises
    ------
    UsageError
        nipype does not work in the folder.
    CannotCreateError, StorageError
        The folder cannot be made or written.
    BusyError
        Another run is at work on one of the participants.
    """
    work_dir = str(settings.work_dir)
    if glob.escape(work_dir) != work_dir:
        raise UsageError(
            f"{work_dir}: the path contains *, ? or [, where nipype does not find its own files; "
            f"{_REMEDY}"
        )
    pair = f"{settings.bids_dir}\0{settings.output_dir}".encode(errors="surrogateescape")
    folder = settings.work_dir / hashlib.sha256(pair).hexdigest()[:8]
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for label in people:
                stack.enter_context(holding(folder / f"sub-{label}.lock"))
        except BlockingIOError as error:
            raise BusyError(
                f"{folder}: another run is processing one of these participants; wait until it "
                "ends, or choose another folder with --work-dir"
            ) from error
        except OSError as error:
            raise cannot_write(error, folder, _REMEDY) from error
        if settings.clean_workdir:
            for own in _folders(folder, people):
                shutil.rmtree(own, ignore_errors=True)
        yield folder


def kept_bytes(folder: Path, people: Collection[str]) -> int:
    """Size of the intermediate results of some participants, in all versions and configurations.

    Parameters
    ----------
    folder : of `work_folder`
    people : labels without ``sub-``

    Returns
    -------
    int
    """
    total = 0
    for own in _folders(folder, people):
        for path in own.rglob("*"):
            with contextlib.suppress(OSError):  # gone meanwhile
                total += path.lstat().st_size
    return total


def _folders(folder: Path, people: Collection[str]) -> list[Path]:
    names = {node_name(f"sub-{label}") for label in people}
    return [own for own in folder.glob(f"centipet-*/{ROOT}/*/") if own.name in names]
