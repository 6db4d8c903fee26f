"""Closed output (``| head``, a pager, a closed terminal) does not end a run."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Any, TextIO

from bidsapp.cli.logs import RUN_LOG

_STANDARD = (0, 1, 2)  # descriptors of input, output and errors
_NOBODY = (errno.EPIPE, errno.EBADF)  # the reader is gone, or there never was one


class _Listened:
    """A stream that becomes silent, instead of raising, when its reader is gone."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name, self._heard = stream, name, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to all who listen."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on the written text."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        if not self._heard:
            return
        try:
            act()
        except (OSError, ValueError) as error:  # nobody reads, a full disk; closed
            self._heard = False
            _silence(self._stream)
            RUN_LOG.info("%s is gone (%s): the run continues without it", self._name, error)
            # a file is cut off
            if isinstance(error, OSError) and error.errno not in _NOBODY:
                print(f"{self._name} cannot be written ({error.strerror})", file=sys.stderr)


@contextlib.contextmanager
def listener_may_leave() -> Iterator[None]:
    """Let nothing that is printed end the work: streams that are closed, or break, fall silent.

    What the encoding of standard output lacks is printed as its code.

    Yields
    ------
    None
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file that is opened would be taken for it
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        if None in before:  # as Python has it for one that was closed
            nobody = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
        out, err = (nobody if stream is None else stream for stream in before)
        if isinstance(out, TextIOWrapper):  # a letter that the locale lacks does not end it, either
            with contextlib.suppress(OSError, ValueError):
                out.reconfigure(errors="backslashreplace")
        sys.stdout = _Listened(out, "standard output")
        sys.stderr = _Listened(err, "standard error")
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def _silence(stream: TextIO) -> None:
    """Lead a broken stream nowhere, for Python and for the processes that inherit it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
