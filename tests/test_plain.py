"""Hostile text: what it may not do to a terminal, a log, a table."""

from __future__ import annotations

import io
import logging
import pickle

import pytest
from rich.console import Console

from bidsapp.cli.logs import RUN_LOG, Progress, logging_to
from bidsapp.errors import BadDataError
from bidsapp.io.tsv import cell
from bidsapp.plain import plain

HOSTILE = "a\x1b]0;title\x07\x1b[2Jb\r\nERROR c\u202eevil\x00\x9b31m\u2028d\ud800"


def test_nothing_is_left_that_a_terminal_would_obey():
    assert plain(HOSTILE).isprintable()
    assert plain("Müller 東京 ½ – °") == "Müller 東京 ½ – °"


def test_an_error_is_one_plain_line_wherever_it_is_told():
    error = BadDataError(f"sub-01: TracerName {HOSTILE}")
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("tell", ["say", "warn", "fail"])
def test_console_and_log_get_plain_lines(tell, tmp_path):
    screen = io.StringIO()
    progress = Progress(Console(file=screen, width=500))
    path = tmp_path / "run.log"
    with logging_to(path, 0):
        getattr(progress, tell)(f"{HOSTILE} [red]not a colour[/red]")
        RUN_LOG.error("%s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("bidsapp").exception("with a traceback")
    assert screen.getvalue().count("\n") == 1
    assert screen.getvalue().rstrip("\n").isprintable() and "[red]" in screen.getvalue()
    lines = path.read_text("utf-8").split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("ERROR c") for line in lines)  # no forged line


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", " @", "\r=", "\u202e=", "＝", "＋", "－", "＠"]
)
def test_no_cell_is_a_formula(start):
    written = cell(f'{start}HYPERLINK("http://x")')
    assert written.startswith("'") and written.isprintable()
