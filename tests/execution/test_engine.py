"""The engine on real nipype workflows of tiny steps, failures and killed workers included."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nipype.interfaces.utility as niu
import nipype.pipeline.engine as pe
import pytest
from waiting import wait_for

from bidsapp.execution.engine import explain, run
from bidsapp.execution.workers import dismiss_workers, workers
from bidsapp.settings import Resources

ONE, TWO = Resources(nprocs=1), Resources(nprocs=2, mem_gb=4)


def add_one(x, folder, mark):
    from pathlib import Path

    with Path(folder, mark).open("a") as file:
        file.write("ran\n")
    return x + 1


def refuse(x):
    from bidsapp.errors import BadDataError

    raise BadDataError("sub-01_pet.json: FrameDuration is missing; add it")


def stumble(x):
    return {}["no such key"]


def kill_itself(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def kill_itself_once(x, folder):
    import os
    import signal
    from pathlib import Path

    mark = Path(folder, "killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 1


def wait_a_little(x):
    import time

    time.sleep(0.3)
    return x


def fill_the_disk(x):
    raise OSError(28, "No space left on device", "pet.nii.gz")


def find_no_work_folder(x):
    from pathlib import Path

    raise FileNotFoundError(2, "No such file or directory", str(Path.cwd() / "t1w.npz"))


def lose_the_first_result(x, folder):
    from pathlib import Path

    (result,) = Path(folder).rglob("result_first.pklz")
    result.unlink()
    return x


def note_worker(x, folder):
    import json
    import os
    import threading
    import time
    from pathlib import Path

    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    from bidsapp.core.parallel import each

    def who(part):
        time.sleep(0.05)  # meanwhile the others begin
        return threading.get_ident()

    seen = {
        "pid": os.getpid(),
        "threads": [pool["num_threads"] for pool in threadpool_info()],
        "parts_at_a_time": len(set(each(who, range(6)))),
    }
    Path(folder, "worker.json").write_text(json.dumps(seen))


def node(function, name, **inputs):
    made = pe.Node(niu.Function(function=function, output_names=["x"]), name=name)
    made.inputs.trait_set(**{"x": 0} | inputs)
    return made


def execute(tmp_path, workflow, resources, **options):
    workflow.base_dir = str(tmp_path / "work")
    return run(workflow, resources, crash_dir=tmp_path / "logs", **options)


@pytest.fixture
def chain(tmp_path):
    """Ten steps, one after the other; each run of a step leaves a line in a file of its name."""
    workflow = pe.Workflow("chain_wf")
    steps = [node(add_one, f"step{i}", folder=str(tmp_path), mark=f"step{i}") for i in range(10)]
    for before, after in itertools.pairwise(steps):
        workflow.connect(before, "x", after, "x")
    return workflow


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_a_chain_runs_and_is_quick(tmp_path, chain, resources):
    seen = []
    workers(2).submit(int).result()  # the imports of the server are not what is measured
    begin = time.perf_counter()
    failures = execute(
        tmp_path, chain, resources, on_step=lambda name, what: seen.append((name, what))
    )
    assert failures == []
    # nipype's own MultiProc needs 2 s per step
    assert time.perf_counter() - begin < 15
    assert all((tmp_path / f"step{i}").read_text() == "ran\n" for i in range(10))
    assert seen[0] == ("chain_wf.step0", "start")
    assert seen[-1] == ("chain_wf.step9", "end")
    assert not list((tmp_path / "logs").glob("*"))


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_participants_are_finished_one_after_the_other(tmp_path, resources):
    whole = pe.Workflow("all_wf")
    for participant in ("sub_b", "sub_a", "sub_c"):
        own = pe.Workflow(f"{participant}_wf")
        steps = [
            node(add_one, name, folder=str(tmp_path), mark=f"{participant}-{name}")
            for name in ("z_first", "last")
        ]
        for step in steps:
            step.n_procs = 2  # one at a time, also with two processes
        own.connect(steps[0], "x", steps[1], "x")
        whole.add_nodes([own])
    ended = []
    failures = execute(
        tmp_path, whole, resources,
        on_step=lambda name, what: ended.append(name[7:]) if what == "end" else None,
    )  # fmt: skip
    assert failures == []
    assert ended == [f"sub_{p}_wf.{step}" for p in "abc" for step in ("z_first", "last")]


def test_what_most_others_wait_for_is_begun_first(tmp_path):
    own = pe.Workflow("sub_a_wf")
    steps = {
        name: node(add_one, name, folder=str(tmp_path), mark=name)
        for name in ("a", "b", "z0", "z1", "z2")
    }
    for step in steps.values():
        step.n_procs = 2  # one at a time
    own.add_nodes(list(steps.values()))
    for before, after in itertools.pairwise(("z0", "z1", "z2")):
        own.connect(steps[before], "x", steps[after], "x")
    whole = pe.Workflow("all_wf")
    whole.add_nodes([own])
    begun = []
    execute(
        tmp_path, whole, TWO,
        on_step=lambda name, what: begun.append(name.split(".")[-1]) if what == "start" else None,
    )  # fmt: skip
    assert begun == ["z0", "z1", "a", "b", "z2"]


@pytest.mark.parametrize(("participants", "threads"), [("a", 2), ("ab", 1)])
def test_processes_that_no_participant_uses_are_threads_of_steps(tmp_path, participants, threads):
    whole = pe.Workflow("all_wf")
    for participant in participants:
        own = pe.Workflow(f"sub_{participant}_wf")
        own.add_nodes([node(note_worker, "note", folder=str(tmp_path))])
        whole.add_nodes([own])
    assert execute(tmp_path, whole, TWO) == []
    assert json.loads((tmp_path / "worker.json").read_text())["parts_at_a_time"] == threads


def test_a_second_run_takes_results_from_the_work_folder(tmp_path, chain):
    execute(tmp_path, chain, ONE)
    execute(tmp_path, chain, ONE)
    assert (tmp_path / "step9").read_text() == "ran\n"


def stop_itself_once(x, folder):
    import os
    import signal
    from pathlib import Path

    mark = Path(folder, "stopped")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return x + 1


def stop_itself(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
def test_a_stuck_worker_is_ended_and_its_step_tried_again(tmp_path):
    workflow = pe.Workflow("stuck_wf")
    workflow.add_nodes(
        [
            node(stop_itself_once, "once", folder=str(tmp_path)),
            node(stop_itself, "always"),
            node(add_one, "innocent", folder=str(tmp_path), mark="innocent"),
        ]
    )
    impatient = Resources(nprocs=2, mem_gb=4, step_timeout_min=0.1)
    (failure,) = execute(tmp_path, workflow, impatient)
    assert (failure.node, failure.error_name) == ("stuck_wf.always", "WorkerLostError")
    assert "stuck" in failure.message
    assert (tmp_path / "innocent").exists()


def test_a_step_larger_than_the_memory_runs_alone(tmp_path):
    workflow = pe.Workflow("large_wf")
    workflow.add_nodes([node(wait_a_little, name) for name in ("one", "other")])
    for name in ("one", "other"):
        workflow.get_node(name)._mem_gb = 500
    running, most = 0, 0

    def count(name, what):
        nonlocal running, most
        running += 1 if what == "start" else -1
        most = max(most, running)

    assert execute(tmp_path, workflow, TWO, on_step=count) == []
    assert (running, most) == (0, 1)


def failing_workflow(tmp_path, function):
    workflow = pe.Workflow("two_wf")
    bad, good = node(function, "bad"), node(add_one, "good", folder=str(tmp_path), mark="good")
    after = node(add_one, "after", folder=str(tmp_path), mark="after")
    workflow.add_nodes([good])
    workflow.connect(bad, "x", after, "x")
    return workflow


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_our_errors_keep_class_and_sentence_and_others_finish(tmp_path, resources):
    failures = execute(tmp_path, failing_workflow(tmp_path, refuse), resources)
    assert [(f.node, f.error_name, f.message) for f in failures] == [
        ("two_wf.bad", "BadDataError", "sub-01_pet.json: FrameDuration is missing; add it")
    ]
    assert (tmp_path / "good").is_file()
    assert not (tmp_path / "after").exists()
    crash = list((tmp_path / "logs").glob("crash-*.txt"))
    assert len(crash) == 1
    assert "FrameDuration is missing" in crash[0].read_text()


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_a_fault_of_ours_says_so(tmp_path, resources):
    (failure,) = execute(tmp_path, failing_workflow(tmp_path, stumble), resources)
    assert failure.error_name == "CentipetError"
    assert "two_wf.bad" in failure.message
    assert "KeyError: 'no such key'" in failure.message
    assert "\n" not in failure.message


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_a_full_disk_is_told_as_such(tmp_path, resources):
    (failure,) = execute(tmp_path, failing_workflow(tmp_path, fill_the_disk), resources)
    assert failure.error_name == "StorageError"
    assert "No space left on device" in failure.message


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_a_lost_intermediate_result_is_no_fault_of_ours(tmp_path, resources):
    workflow = pe.Workflow("lost_wf")
    first, last = node(wait_a_little, "first"), pe.Node(niu.Merge(2), name="last")
    thief = node(lose_the_first_result, "thief", folder=str(tmp_path))
    workflow.connect([(first, thief, [("x", "x")]), (first, last, [("x", "in1")])])
    workflow.connect(thief, "x", last, "in2")
    (failure,) = execute(tmp_path, workflow, resources)
    assert (failure.node, failure.error_name) == ("lost_wf.last", "StorageError")
    assert "missing or damaged" in failure.message


def test_a_work_folder_that_is_removed_is_no_fault_of_ours(tmp_path):
    (failure,) = execute(tmp_path, failing_workflow(tmp_path, find_no_work_folder), ONE)
    assert failure.error_name == "StorageError"
    assert "missing or damaged" in failure.message


def test_a_killed_worker_is_a_failure_and_no_hang(tmp_path):
    begin = time.perf_counter()
    (failure,) = execute(tmp_path, failing_workflow(tmp_path, kill_itself), TWO)
    assert time.perf_counter() - begin < 60
    assert (failure.node, failure.error_name) == ("two_wf.bad", "WorkerLostError")
    assert "--nprocs" in failure.message
    assert (tmp_path / "good").is_file()


def test_a_killed_worker_takes_no_innocent_with_it(tmp_path):
    workflow = pe.Workflow("innocent_wf")
    patient = node(wait_a_little, "patient")
    after = node(add_one, "after", folder=str(tmp_path), mark="after")
    workflow.connect(patient, "x", after, "x")
    workflow.add_nodes([node(kill_itself, "guilty")])
    failures = execute(tmp_path, workflow, TWO)
    assert [failure.node for failure in failures] == ["innocent_wf.guilty"]
    assert (tmp_path / "after").is_file()


def test_a_worker_killed_once_is_tried_again(tmp_path):
    workflow = pe.Workflow("again_wf")
    fragile = node(kill_itself_once, "fragile", folder=str(tmp_path))
    after = node(add_one, "after", folder=str(tmp_path), mark="after")
    workflow.connect(fragile, "x", after, "x")
    assert execute(tmp_path, workflow, TWO) == []
    assert (tmp_path / "after").is_file()


@pytest.mark.parametrize("resources", [ONE, TWO], ids=["linear", "multiproc"])
def test_stop_on_first_crash(tmp_path, resources):
    workflow = pe.Workflow("stop_wf")
    workflow.add_nodes([node(refuse, f"bad{i}") for i in range(6)])
    failures = execute(tmp_path, workflow, resources, stop_on_first_crash=True)
    assert 1 <= len(failures) < 6


@pytest.mark.slow
def test_workers_use_one_thread_and_do_not_outlive_the_run(tmp_path):
    workflow = pe.Workflow("threads_wf")
    workflow.add_nodes([node(note_worker, "note", folder=str(tmp_path))])
    assert execute(tmp_path, workflow, TWO) == []
    worker = json.loads((tmp_path / "worker.json").read_text())
    assert worker["threads"]
    assert set(worker["threads"]) == {1}
    assert worker["pid"] != os.getpid()
    dismiss_workers()
    assert wait_for(lambda: not _is_alive(worker["pid"]))


@pytest.mark.slow
def test_workers_die_with_a_killed_main_process(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "import nipype.interfaces.utility as niu\n"
        "import nipype.pipeline.engine as pe\n"
        "from bidsapp.execution.engine import run\n"
        "from bidsapp.settings import Resources\n"
        "def endless(folder):\n"
        "    import os, time\n"
        "    from pathlib import Path\n"
        "    Path(folder, 'pid.tmp').write_text(str(os.getpid()))\n"
        "    Path(folder, 'pid.tmp').rename(Path(folder, 'pid'))\n"
        "    time.sleep(120)\n"
        "if __name__ == '__main__':\n"
        "    workflow = pe.Workflow('endless_wf', base_dir=sys.argv[1])\n"
        "    step = pe.Node(niu.Function(function=endless), name='endless')\n"
        "    step.inputs.folder = sys.argv[1]\n"
        "    workflow.add_nodes([step])\n"
        "    run(workflow, Resources(nprocs=2), crash_dir=Path(sys.argv[1]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    main = subprocess.Popen([sys.executable, script, tmp_path], env=environment)
    try:
        assert wait_for((tmp_path / "pid").exists)
        worker = int((tmp_path / "pid").read_text())
        assert _is_alive(worker)
    finally:
        main.kill()
        main.wait()
    assert wait_for(lambda: not _is_alive(worker))


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_explain_reads_the_last_error_of_a_chain():
    text = (
        "Traceback (most recent call last):\n  File ...\nKeyError: 'a'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "\tTraceback (most recent call last):\n"
        "\tbidsapp.errors.NoInputError: t1w.nii.gz: no such image\n"
    )
    assert explain(text) == ("NoInputError", "t1w.nii.gz: no such image")
    assert explain("ValueError") == (None, "ValueError")
    assert explain("") == (None, "unknown error")
    assert explain("MemoryError\n")[0] == "WorkerLostError"
    busy = "OSError: [Errno 16] Device or resource busy: '.nfs0001'"  # of a folder of NFS
    assert explain(busy)[0] == "StorageError"
    assert explain("FileNotFoundError: [Errno 2] No such file or directory: 'a'")[0] is None
