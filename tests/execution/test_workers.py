"""Workers: forked from the run where that is safe, quiet, mortal, and replaced when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_for

BEGIN = """
import os, signal, sys, threading, time
from bidsapp.execution import workers as module
from bidsapp.execution.workers import dismiss_workers, forked_workers, workers

def where():
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    ours = handlers == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_IGN]
    return os.getpid(), os.getppid(), ours
"""


def printed_by(script: str, stderr: str = "") -> list[str]:
    """What a process prints that runs a script."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert stderr in done.stderr if stderr else done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_workers_are_forked_from_the_run_and_have_none_of_its_handlers():
    assert printed_by("""
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with forked_workers(2):
    _, parent, ours = workers(2).submit(where).result()
    print(parent == os.getpid(), ours, "scipy.ndimage" in sys.modules)
""") == ["True", "True", "True"]


@pytest.mark.slow
def test_a_process_with_threads_does_not_fork():
    assert printed_by("""
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
with forked_workers(2):
    print(module._workers)
    print(workers(1).submit(os.getppid).result() == os.getpid())
""") == ["None", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_dismissed_workers_leave_no_thread():
    """One that still closes its pipes while the interpreter ends writes a traceback (3.11)."""
    assert printed_by("""
with forked_workers(2):
    workers(2).submit(abs, -7).result()
    print(threading.active_count() > 1)
print(threading.active_count())
""") == ["True", "1"]


@pytest.mark.slow
def test_killed_workers_are_replaced():
    assert printed_by("""
with forked_workers(2):
    first = workers(2)
    print(workers(2) is first, workers(1) is first)
    pid = workers(1).submit(os.getpid).result()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    print(workers(1).submit(os.getpid).result() != pid)
print(module._workers)
""") == ["True", "False", "True", "None"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
@pytest.mark.parametrize("allowed", [0, 1])
def test_workers_that_cannot_be_forked_are_told_and_none_is_left(allowed):
    assert printed_by(f"""
import multiprocessing
from bidsapp.errors import WorkerLostError
fork, calls = os.fork, []
def no_more():
    calls.append(1)
    if len(calls) > {allowed}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = no_more
try:
    with forked_workers(2):
        print("forked")
except WorkerLostError as error:
    print("--nprocs 1" in str(error), "ulimit -u" in str(error))
print(module._workers)
for worker in multiprocessing.active_children():
    worker.join(20)
print(multiprocessing.active_children())
""") == ["True", "True", "None", "[]"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_a_worker_that_cannot_be_set_up_is_told():
    assert printed_by(
        """
from bidsapp.errors import WorkerLostError
def no_thread():
    raise RuntimeError("can't start new thread")
module._begin = no_thread
try:
    with forked_workers(2):
        print("forked")
except WorkerLostError as error:
    print("--nprocs 1" in str(error))
""",
        stderr="can't start new thread",
    ) == ["True"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_semaphores_that_cannot_be_made_are_told():
    """As where there is no /dev/shm, or where it is read-only."""
    assert printed_by("""
import multiprocessing.synchronize
from bidsapp.errors import WorkerLostError
def refused(*_):
    raise OSError(30, "Read-only file system")
multiprocessing.synchronize._multiprocessing.SemLock = refused
try:
    with forked_workers(2):
        print("forked")
except WorkerLostError as error:
    print("--nprocs 1" in str(error), "/dev/shm" in str(error))
print(module._workers)
""") == ["True", "True", "None"]


def test_workers_start_where_a_socket_has_no_place(tmp_path):
    """In a TMPDIR whose path is longer than the 107 bytes of a socket."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    script = f"""
os.environ["TMPDIR"] = {str(folder)!r}
if __name__ == "__main__":
    print(workers(1).submit(abs, -7).result())
"""
    assert printed_by(script) == ["7"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_workers_end_with_a_run_although_another_worker_hangs(tmp_path):
    pids = tmp_path / "pids"
    script = f"""
with forked_workers(2):
    open({str(pids)!r}, "w").write(" ".join(map(str, sorted(module._workers._processes))))
    time.sleep(60)
"""
    run = subprocess.Popen([sys.executable, "-c", BEGIN + script])
    assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    first, last = map(int, pids.read_text().split())
    os.kill(last, signal.SIGSTOP)
    try:
        run.kill()
        run.wait()
        assert wait_for(lambda: not alive(first), seconds=10)
    finally:
        os.kill(last, signal.SIGKILL)


def test_no_worker_outlives_a_run_that_is_killed(tmp_path):
    script = (
        BEGIN
        + f"""
with forked_workers(2):
    pids = [workers(2).submit(os.getpid).result() for _ in range(20)]
    open({str(tmp_path / "pids")!r}, "w").write(" ".join(map(str, pids)))
    time.sleep(60)
"""
    )
    run = subprocess.Popen([sys.executable, "-c", script])
    written = tmp_path / "pids"
    assert wait_for(lambda: written.exists() and len(written.read_text().split()) == 20)
    children = {*map(int, written.read_text().split())}
    run.kill()
    run.wait()
    assert wait_for(lambda: not any(map(alive, children)), seconds=10)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_run_that_ends_by_itself_leaves_no_worker():
    begin = time.perf_counter()
    (pid,) = printed_by("print(workers(1).submit(os.getpid).result())")
    assert time.perf_counter() - begin < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
