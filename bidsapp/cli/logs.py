"""Output of a run: short lines on the console, and a complete log file with times.

Times and run ids appear here only, never in results.
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bidsapp.plain import plain, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

# For what the log must have and the user sees elsewhere, or need not see.
RUN_LOG = logging.getLogger("bidsapp.run")

_APP = "bidsapp"
_LOGGERS = (
    _APP,
    "nipype.workflow",
    "nipype.interface",
    "nipype.utils",
    "py.warnings",
)
_STDERR_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Plain(logging.Formatter):
    """A message is one line; a traceback has several, each without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(map(plain, super().format(record).split("\n")))


_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def new_log_file(output_dir: Path) -> Path:
    """Path of the log of this run; a random part distinguishes runs started in the same second.

    Parameters
    ----------
    output_dir : root of the derivative dataset

    Returns
    -------
    Path
    """
    name = f"centipet_{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4().hex[:8]}.log"
    return output_dir / "logs" / name


@contextmanager
def logging_to(log_file: Path | None, verbosity: int) -> Iterator[None]:
    """Send all log records to a file, and some to stderr.

    Parameters
    ----------
    log_file : written as UTF-8, its folder is made; None for no file
    verbosity : 0 for our warnings on stderr, 1 for our details too, 2 for those of the libraries

    Yields
    ------
    None
    """
    handlers: list[logging.Handler] = [_stderr_handler(verbosity)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file_handler = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
        file_handler.setFormatter(_Plain(_FORMAT))
        handlers.append(file_handler)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk: no traceback for every line that is lost
    for logger in loggers:
        logger.handlers, logger.propagate = list(handlers), False
        logger.setLevel(logging.DEBUG if logger.name == _APP else logging.INFO)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, logger.handlers, level, logger.propagate in before:
            logger.setLevel(level)
        for handler in handlers:
            with suppress(OSError):  # again the full disk
                handler.close()


def _stderr_handler(verbosity: int) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(levelname)s: %(message)s"))
    handler.setLevel(_STDERR_LEVELS[min(verbosity, 2)])
    handler.addFilter(
        lambda record: (
            record.name != RUN_LOG.name and (verbosity > 1 or record.name.startswith(_APP))
        )
    )
    return handler


class Progress:
    """Progress lines for a person; on a terminal also the running steps.

    Every line goes to the log file as well.
    """

    def __init__(self, console: Console | None = None, *, verbose: bool = False) -> None:
        """Write to ``console``, by default standard output; ``verbose`` adds details."""
        from rich.console import Console

        # A terminal would break lines within words. Files and pipes get them whole, and as long as
        # tables need.
        terminal = sys.stdout.isatty()
        self.console = console or Console(
            highlight=False, soft_wrap=not terminal, width=None if terminal else 200
        )
        self.verbose = verbose
        self.scans: dict[str, str] = {}  # what became of each, by name; for the record of the run
        self.step_s: dict[str, float] = {}  # mean time of each kind of step; for the record, too
        self.foot = ""  # how far everything is, before the steps that run
        self._running: dict[str, float] = {}
        self._status: Status | None = None

    def say(self, text: str) -> None:
        """One line.

        Parameters
        ----------
        text : without line break
        """
        RUN_LOG.info("%s", text)
        self.console.print(plain(text), markup=False)

    def detail(self, text: str) -> None:
        """One line for verbose output.

        Parameters
        ----------
        text : without line break
        """
        if self.verbose:
            self.say(text)
        else:
            RUN_LOG.info("%s", text)

    def warn(self, text: str) -> None:
        """One line that a person should not miss.

        Parameters
        ----------
        text : without line break
        """
        RUN_LOG.warning("%s", text)
        self.console.print(f"! {plain(text)}", markup=False, style="yellow")

    def fail(self, text: str) -> None:
        """One line about an error.

        Parameters
        ----------
        text : without line break
        """
        RUN_LOG.error("%s", text)
        self.console.print(f"x {plain(text)}", markup=False, style="red")

    def start(self, step: str) -> None:
        """A step begins.

        Parameters
        ----------
        step : in words
        """
        RUN_LOG.info("start %s", step)
        self._running[step] = time.perf_counter()
        self._show_running()

    def end(self, step: str, count: str = "", left: str = "", *, brief: bool = False) -> None:
        """A step has ended well.

        Parameters
        ----------
        step : as it was started; one that was not is known from an earlier run
        count : how far everything is, such as ``[3/20]``
        left : how long the rest will take
        brief : a detail
        """
        begin = self._running.pop(step, None)
        took = "from an earlier run" if begin is None else f"{time.perf_counter() - begin:.1f} s"
        tell = self.detail if brief else self.say
        after = f"; {left}" if left else ""
        tell(f"{f'{count} ' if count else ''}{step} ({took}{after})")
        self._show_running()

    def drop(self, step: str) -> None:
        """A step has ended without success; the failure itself is reported separately.

        Parameters
        ----------
        step : as it was started
        """
        self._running.pop(step, None)
        self._show_running()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the running steps at the foot of a terminal, nothing elsewhere.

        Yields
        ------
        None
        """
        if not self.console.is_terminal:
            yield
            return
        with self.console.status("") as self._status:
            yield
        self._status = None

    def _show_running(self) -> None:
        if self._status is not None:
            # never empty: rich would leave the last text standing
            self._status.update(_line(self.foot, list(self._running), self.console.width) or " ")


def _line(foot: str, running: Sequence[str], width: int) -> str:
    """One line of a terminal: how far everything is, and as many steps as there is room for."""
    room = width - len("⠋ ") - 1
    before = f"{foot} | " if foot and running else foot
    for shown in range(len(running), 0, -1):
        after = f", {len(running) - shown} more" if shown < len(running) else ""
        steps = ", ".join(running[:shown])
        if len(before + steps + after) <= room or shown == 1:
            space = max(1, room - len(before + after))
            return plain(before + shortened(steps, space) + after)
    return plain(before)
