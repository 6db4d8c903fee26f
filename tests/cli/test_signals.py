"""Signals on real processes: a run with workers ends soon and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A workflow of two long steps, as the command runs it.
RUN = """
import sys
from pathlib import Path
import nipype.interfaces.utility as niu
import nipype.pipeline.engine as pe
from bidsapp.execution import engine
from bidsapp.cli.signals import ended_by_signals
from bidsapp.settings import Resources

def work(x):
    import time
    print("working", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        x += 1
    return x

if __name__ == "__main__":
    workflow = pe.Workflow("long_wf", base_dir=sys.argv[1])
    for name in ("one", "other"):
        node = pe.Node(niu.Function(function=work, output_names=["x"]), name=name)
        node.inputs.x = 0
        workflow.add_nodes([node])
    with ended_by_signals():
        resources = Resources(nprocs=int(sys.argv[2]), mem_gb=4)
        engine.run(workflow, resources, crash_dir=Path(sys.argv[1]))
"""


def heeding() -> None:
    """Undo what a shell does to programs that it starts in the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def alive(group: int) -> bool:
    """Whether any process of a process group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("nprocs", [1, 2])
def test_a_run_at_work_ends_soon_and_whole(tmp_path, number, nprocs):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path, str(nprocs)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())}, start_new_session=True,
        preexec_fn=heeding,
    )  # fmt: skip
    try:
        assert any("working" in line for line in process.stdout)
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
        while alive(process.pid) and time.monotonic() - begin < 10:
            time.sleep(0.1)
        assert not alive(process.pid)
        assert time.monotonic() - begin < 7  # before the last resort, which comes after 8 s
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_only_begins_ends_without_a_traceback(number):
    code = (
        "import sys, time\n"
        "from bidsapp.cli import main as module\n"
        "module.parse = lambda argv: print('ready', flush=True) or time.sleep(60)\n"
        "sys.exit(module.main(['bids', 'out', 'participant']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())}, preexec_fn=heeding,
    )  # fmt: skip
    assert "ready" in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (128 + number, "")


def test_what_was_ignored_still_is():
    """As nohup starts a program, and a script what it puts in the background."""
    code = (
        "import os, signal\n"
        "from bidsapp.cli.signals import ended_by_signals\n"
        "for number in (signal.SIGHUP, signal.SIGINT):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "    with ended_by_signals():\n"
        "        os.kill(os.getpid(), number)\n"
        "    assert signal.getsignal(number) is signal.SIG_IGN\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_signal_does_not_wait(tmp_path):
    code = (
        "import time\n"
        "from bidsapp.cli.signals import ended_by_signals\n"
        "with ended_by_signals():\n"
        "    try:\n"
        "        print('ready', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('unwinding', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    for word in ("ready", "unwinding"):
        assert word in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert time.monotonic() - begin < 5
