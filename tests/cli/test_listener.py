"""Runs whose output nobody takes go on, end with their own exit code, and keep their record."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys

import pytest

from bidsapp.cli.listener import listener_may_leave

CENTIPET = f"{sys.executable} -m bidsapp"


class _Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell",
    ["{} | true", "{} > /dev/full 2> /dev/full", "{} >&- 2>&- <&-"],
    ids=["reader gone", "disk full", "closed"],
)
def test_a_run_goes_on_when_nobody_listens(raw, tmp_path, shell):
    raw.pet("sub-1_trc-FBB", FrameDuration=None)
    command = f"{CENTIPET} {raw.root} {tmp_path}/out participant --work-dir {tmp_path}/w"
    code_file = tmp_path / "code"
    line = shell.format(f"{{ {command}; echo $? > {code_file}; }}")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert code_file.read_text() == "65\n", done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    [record] = (tmp_path / "out/logs").glob("centipet_*.json")
    assert json.loads(record.read_text())["ExitCode"] == 65
    assert (tmp_path / "out/sub-1.html").is_file()


def test_a_stream_that_breaks_falls_silent_and_the_other_is_heard(monkeypatch):
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", _Broken())
    monkeypatch.setattr(sys, "stderr", errors)
    with listener_may_leave():
        for _ in range(3):
            print("nobody")
        print("somebody", file=sys.stderr)
    assert errors.getvalue() == "somebody\n"


@pytest.mark.parametrize("number, said", [(errno.ENOSPC, True), (errno.EPIPE, False)])
def test_a_file_that_is_cut_off_is_reported_and_a_reader_that_left_is_not(
    monkeypatch, number, said
):
    class Cut(io.StringIO):
        def flush(self):
            raise OSError(number, os.strerror(number))

    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Cut())
    monkeypatch.setattr(sys, "stderr", errors)
    with listener_may_leave():
        print("a table")
    assert ("standard output cannot be written (No space" in errors.getvalue()) == said


def test_a_letter_that_the_locale_lacks_is_printed_as_its_code(monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    with listener_may_leave():
        print("\u03b2 of Müller")
        print("more")
    assert printed.getvalue() == "\\u03b2 of Müller\nmore\n".encode("latin-1")


def test_streams_that_python_has_not_are_there(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with listener_may_leave():
        print("nobody")
        sys.stdout.flush()
    assert sys.stdout is None


def test_a_closed_descriptor_is_not_taken_by_the_next_file():
    code = (
        "import os, sys\n"
        "from bidsapp.cli.listener import listener_may_leave\n"
        "with listener_may_leave():\n"
        "    taken = os.open(os.devnull, os.O_RDONLY)\n"
        "sys.exit(0 if taken > 2 else 1)"
    )
    line = f"exec {sys.executable} -c '{code}' <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], env=os.environ, check=False).returncode == 0
