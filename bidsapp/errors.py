"""Errors that carry the exit code of the command line (design: BIDS-Apps execution rules)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import ClassVar

from bidsapp.plain import plain


class ExitCode(IntEnum):
    """Exit codes of ``centipet``; the numbers from 64 on are those of BSD ``sysexits``."""

    OK = 0
    SCAN_FAILED = 1  # some scan failed, the rest was done
    INVALID_BIDS = 16
    UNKNOWN_LEVEL = 17
    NO_MATCH = 18  # the filters matched nothing
    USAGE = 64
    BAD_DATA = 65
    NO_INPUT = 66  # input missing or unreadable
    INTERNAL = 70
    CANNOT_CREATE = 73
    IO_ERROR = 74
    TEMPORARY = 75  # a worker was killed: run again


class Interrupted(SystemExit):
    """Raised in the main thread by a signal; carries the exit code a shell expects.

    nipype takes whatever a step raises in this process for a failure of the step, an end of the
    program included: who runs steps here asks `repeat` after one that failed.

    Attributes
    ----------
    pending : exit code once there was a signal
    """

    pending: ClassVar[int | None] = None

    @classmethod
    def repeat(cls) -> None:
        """Raise again what was swallowed; nothing where there was no signal."""
        if cls.pending is not None:
            raise cls(cls.pending)


class CentipetError(Exception):
    """An error a user can act on: one sentence that names file, field and remedy.

    The message must survive a trip through another process and a nipype crash report, so it is
    the only state; the exit code belongs to the class.
    """

    exit_code = ExitCode.INTERNAL

    def __str__(self) -> str:
        """One line, without control characters from files or headers."""
        return plain(super().__str__())


class UsageError(CentipetError):
    """The command line does not make sense."""

    exit_code = ExitCode.USAGE


class UnknownLevelError(CentipetError):
    """The analysis level is neither participant nor group."""

    exit_code = ExitCode.UNKNOWN_LEVEL


class InvalidBidsError(CentipetError):
    """The input folder is not a BIDS dataset."""

    exit_code = ExitCode.INVALID_BIDS


class NoMatchError(CentipetError):
    """The filters leave nothing to do."""

    exit_code = ExitCode.NO_MATCH


class BadDataError(CentipetError):
    """An image, a header or a sidecar is contradictory or incomplete."""

    exit_code = ExitCode.BAD_DATA


class NoInputError(CentipetError):
    """An input is missing or cannot be read."""

    exit_code = ExitCode.NO_INPUT


class CannotCreateError(CentipetError):
    """An output cannot be written."""

    exit_code = ExitCode.CANNOT_CREATE


class StorageError(CentipetError):
    """The disk is full or failed while writing."""

    exit_code = ExitCode.IO_ERROR


class WorkerLostError(CentipetError):
    """A worker process vanished, most often killed because memory ran out."""

    exit_code = ExitCode.TEMPORARY


class BusyError(CentipetError):
    """Another run is at work on the same thing."""

    exit_code = ExitCode.TEMPORARY


def cannot_write(error: OSError, what: object, remedy: str) -> CentipetError:
    """Error of ours for something that cannot be made: a full disk has an exit code of its own.

    Parameters
    ----------
    error : of the system
    what : file or folder
    remedy : what the user can do

    Returns
    -------
    CentipetError
    """
    is_storage = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    kind = StorageError if is_storage else CannotCreateError
    return kind(f"{what}: cannot be written ({error.strerror}); {remedy}")


def error_of_system(error: OSError, log: Path | None = None) -> CentipetError:
    """Error of ours for one of the system that was not expected where it arose.

    Parameters
    ----------
    error : of the system; a folder that is closed to the user already refuses to be looked into
    log : of the run

    Returns
    -------
    CentipetError
    """
    if isinstance(error, PermissionError) and error.filename is not None:
        remedy = "correct its permissions or those of its folders, or choose another"
        return NoInputError(f"{error.filename}: cannot be accessed ({error.strerror}); {remedy}")
    return StorageError(f"{error}; see {log}" if log else str(error))


_BY_NAME: dict[str, type[CentipetError]] = {}


def error_class(name: str) -> type[CentipetError] | None:
    """Return the error class called ``name``, or None: crash reports carry names, not objects.

    Parameters
    ----------
    name : of the class

    Returns
    -------
    type or None
        None when there is no such class.
    """
    if not _BY_NAME:
        pending = [CentipetError]
        while pending:
            cls = pending.pop()
            _BY_NAME[cls.__name__] = cls
            pending.extend(cls.__subclasses__())
    return _BY_NAME.get(name)


@contextmanager
def prefixed_errors(path: str | Path) -> Iterator[None]:
    """Prefix an error with the raw image, unless its message begins with it.

    Parameters
    ----------
    path : of the raw image

    Yields
    ------
    None

    Raises
    ------
    CentipetError
        The same class with the longer message.
    """
    try:
        yield
    except CentipetError as error:
        if str(error).startswith((f"{path}: ", f"{Path(path).parent}/")):
            raise
        raise type(error)(f"{path}: {error}") from error
