"""Steps as jobs, with programs that stand for those of SLURM; tests/system has the real ones."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import nipype.interfaces.utility as niu
import nipype.pipeline.engine as pe
import pytest

from bidsapp.cli.main import main
from bidsapp.errors import NoInputError, UsageError
from bidsapp.execution import batch, engine
from bidsapp.execution.batch import read_plugin
from bidsapp.settings import Resources

YAML = "plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=1G --comment='a b'\n"


class FakeSlurm:
    """sbatch runs a job before it returns; which jobs squeue lists is told in a file."""

    def __init__(self, folder: Path, plugin: Path) -> None:
        self.folder, self.plugin = folder, plugin
        self.queue = folder / "queue"
        self.queue.touch()
        (folder / "bin").mkdir()
        self.program("sbatch", f'echo "$*" >> {folder}/submitted; sh "$job" > {folder}/out 2>&1')
        self.program("squeue", f"cat {self.queue}", prints="")
        self.program("scancel", f'echo "$*" > {folder}/cancelled', prints="")

    def program(self, name: str, line: str, prints: str = "echo $$") -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\nfor job; do :; done\n{line}\n{prints}\n")
        path.chmod(0o755)

    @property
    def submitted(self) -> list[str]:
        path = self.folder / "submitted"
        return path.read_text().splitlines() if path.is_file() else []


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path, tmp_path / "plugin.yml")
    made.plugin.write_text(YAML)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(batch, "_POLL_S", 0.0)
    monkeypatch.setattr(batch, "_ARRIVAL_S", 0.2)
    monkeypatch.setattr(engine, "_BATCH_POLL_S", 0.05)
    return made


def half(x, folder):
    import os
    from pathlib import Path

    Path(folder, "threads").write_text(os.environ["OMP_NUM_THREADS"])
    if x % 2:
        from bidsapp.errors import BadDataError

        raise BadDataError(f"{x}: is odd; give an even number")
    return x // 2


def node(name, x, folder):
    made = pe.Node(niu.Function(function=half, output_names=["x"]), name=name)
    made.inputs.trait_set(x=x, folder=str(folder))
    return made


def run(slurm, *nodes, **options):
    workflow = pe.Workflow("jobs_wf", base_dir=str(slurm.folder / "a folder; touch x"))
    workflow.add_nodes(nodes)
    resources = Resources(plugin=str(slurm.plugin))
    return engine.run(workflow, resources, crash_dir=slurm.folder / "logs", **options)


@pytest.mark.slow
def test_every_step_is_a_job_and_failures_keep_their_sentence(slurm, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    failures = run(slurm, node("good", 4, slurm.folder), node("bad", 3, slurm.folder))
    assert [(f.node, f.error_name, f.message) for f in failures] == [
        ("jobs_wf.bad", "BadDataError", "3: is odd; give an even number")
    ]
    assert len(slurm.submitted) == 2
    assert all("--mem=1G --comment=a b" in line for line in slurm.submitted)
    assert {line.split("--job-name ")[1].split()[0] for line in slurm.submitted} == {
        "jobs_wf.good", "jobs_wf.bad",
    }  # fmt: skip
    assert (slurm.folder / "threads").read_text() == "1"  # same bits as on one machine
    assert run(slurm, node("good", 4, slurm.folder)) == []
    assert len(slurm.submitted) == 2  # taken from the work folder


@pytest.mark.slow
def test_a_killed_job_is_a_failure_and_no_earlier_result(slurm):
    assert run(slurm, node("step", 4, slurm.folder)) == []
    slurm.program("sbatch", "true")  # the job ends before it has done anything
    (failure,) = run(slurm, node("step", 8, slurm.folder))
    assert (failure.node, failure.error_name) == ("jobs_wf.step", "WorkerLostError")
    assert "memory" in failure.message and "--use-plugin" in failure.message


def test_a_refused_job_costs_its_step_only(slurm):
    slurm.plugin.write_text(YAML + "  max_tries: 1\n  retry_timeout: 0\n")
    real = (slurm.folder / "bin/sbatch").read_text()
    refuse = 'case "$*" in *bad*) echo "error: invalid partition" >&2; exit 1;; esac'
    (slurm.folder / "bin/sbatch").write_text(real.replace("\necho", f"\n{refuse}\necho", 1))
    failures = run(slurm, node("bad", 2, slurm.folder), node("good", 4, slurm.folder))
    assert [(f.node, f.error_name) for f in failures] == [("jobs_wf.bad", "UsageError")]
    assert "invalid partition" in failures[0].message
    assert len(slurm.submitted) == 1


@pytest.mark.slow
def test_a_silent_scheduler_is_waited_for(slurm):
    """Its jobs go on while it is restarted; nobody takes them for ended."""
    seen, done = slurm.folder / "seen", slurm.folder / "done"
    slurm.program("squeue", f"echo x >> {seen}; [ -e {done} ] || exit 1", prints="")
    slurm.program("sbatch", f'(sh "$job"; touch {done}) > {slurm.folder}/out 2>&1 &')
    assert run(slurm, node("step", 4, slurm.folder)) == []
    assert len(seen.read_text()) > 6


@pytest.fixture
def heeds_signals():
    """Workers of pytest-xdist ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_signals")
def test_jobs_of_a_run_that_stops_are_cancelled(slurm):
    slurm.program("sbatch", f"echo 4711 > {slurm.queue}", prints="echo '4711;one'")
    slurm.program("squeue", f"kill -INT {os.getpid()}", prints="")
    with pytest.raises(KeyboardInterrupt):
        run(slurm, node("step", 4, slurm.folder))
    assert (slurm.folder / "cancelled").read_text() == "4711\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "plugin: SLURM"),
        ("- SLURM\n", "plugin: SLURM"),
        ("plugin: [SLURM]\n", "plugin: SLURM"),
        ("plugin: {\n", "neither YAML nor JSON"),
        ("plugin: Nonsense\n", "Nonsense is not a plugin of nipype"),
        ("plugin: MultiProc\n", "MultiProc is not a batch plugin"),
        ("plugin: Linear\n", "Linear is not a batch plugin"),
        ("plugin: SLURMGraph\n", "SLURMGraph is not a batch plugin"),
        ("plugin: SLURM\nplugin_args: --mem=1G\n", "plugin_args must be names and values"),
        ("plugin: SLURM\nplugin_args: {sbatch_arg: --mem=1G}\n", "unknown sbatch_arg"),
        ("plugin: SLURM\nplugin_args: {sbatch_args: [--mem=1G]}\n", "sbatch_args must be text"),
        ("plugin: SLURM\nplugin_args: {max_jobs: many}\n", "max_jobs must be a number"),
        ('plugin: SLURM\nplugin_args: {sbatch_args: "--comment=\'a"}\n', "cannot be read"),
    ],
)
def test_wrong_files_give_one_sentence(slurm, text, words):
    slurm.plugin.write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        read_plugin(slurm.plugin)
    assert str(slurm.plugin) in str(error.value) and "\n" not in str(error.value)


def test_json_is_read_as_well(slurm):
    path = slurm.folder / "plugin.json"
    path.write_text('{"plugin": "SLURM", "plugin_args": {"max_jobs": 4}}')
    assert read_plugin(path)[1] == {"max_jobs": 4}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NoInputError, match=r"plugin\.yml"):
        read_plugin(tmp_path / "plugin.yml")


def test_a_machine_without_slurm(slurm, monkeypatch):
    shutil.rmtree(slurm.folder / "bin")
    monkeypatch.setenv("PATH", str(slurm.folder))
    with pytest.raises(UsageError, match="sbatch was not found"):
        read_plugin(slurm.plugin)


def test_the_command_refuses_a_wrong_file_before_it_writes(raw, tmp_path, capsys):
    raw.t1w("sub-01")
    raw.pet("sub-01_trc-FBB")
    (tmp_path / "plugin.yml").write_text("plugin: SLURMGraph\n")
    out = tmp_path / "out"
    typed = [raw.root, out, "participant", "--use-plugin", tmp_path / "plugin.yml"]
    assert main(list(map(str, typed))) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert "SLURMGraph" in line
    assert not (out / "dataset_description.json").exists()
