"""Jobs on a real SLURM of one node: docs/slurm_array.sh and ``--use-plugin``.

Opt-in, as it installs and starts SLURM (root, Debian): CENTIPET_TEST_SLURM=1. The participants are
copies of one, each with PET uptake of its own so that none can pass for another.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from same_outputs import contents
from tsv_rows import table_rows
from whole_app import run_centipet

ROOT = Path(__file__).parents[2]
TOOLS = ROOT.parent / "shared" / "tools"
PERSON = "sub-04"  # the quickest of the development data
LABELS = ("01", "02", "03", "04", "05", "06")
OPTIONS = ("--pet-to-t1w", "nmi")  # the quicker way
ALWAYS_RUN = {"images", "warp", "xfm"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("CENTIPET_TEST_SLURM") != "1",
        reason="SLURM NOT TESTED: set CENTIPET_TEST_SLURM=1 (root, Debian; installs and starts it)",
    ),
]


@pytest.fixture(scope="module")
def raw(shared_data, tmp_path_factory) -> Path:
    """Six participants who differ in a constant added to their PET."""
    source = shared_data / "bids"
    bids = tmp_path_factory.mktemp("slurm") / "bids"
    bids.mkdir()
    shutil.copy(source / "dataset_description.json", bids)
    for step, label in enumerate(LABELS):
        for path in (source / PERSON).rglob("*"):
            name = path.relative_to(source).as_posix().replace(PERSON, f"sub-{label}")
            if path.is_file():
                (bids / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, bids / name)
        for path in (bids / f"sub-{label}").rglob("*_pet.nii.gz"):
            image = nibabel.load(path)
            values = image.get_fdata(dtype=np.float32)
            values += np.float32(0.03 * step * values.max())
            nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    return bids


@pytest.fixture(scope="module")
def local(raw) -> Path:
    """Results of a run on this machine, both levels."""
    out = raw.parent / "local"
    done = run_centipet(
        raw, out, "participant", "-w", raw.parent / "local-work", "--nprocs", 2, "--mem", "6G",
        *OPTIONS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_centipet(raw, out, "group").returncode == 0
    return out


@pytest.fixture(scope="module")
def slurm():
    """Environment in which a SLURM of one node answers."""
    state = tempfile.mkdtemp(prefix="slurm-")
    # the script counts processors with nproc, which takes OpenMP's variable for their number
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    up = subprocess.run([TOOLS / "slurm_up.sh", state], env=plain, capture_output=True, text=True)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        paths = f"/usr/sbin:{os.environ['PATH']}"
        yield os.environ | {"SLURM_CONF": f"{state}/slurm.conf", "PATH": paths}
    finally:
        subprocess.run([TOOLS / "slurm_down.sh", state], check=True)
        shutil.rmtree(state)


class Cluster:
    """What a user types."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment | {
            "CENTIPET": " ".join([sys.executable, "-m", "bidsapp", *OPTIONS]),
            "PYTHONPATH": str(ROOT),
        }
        self.folder = folder

    def __call__(self, *command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self) -> dict[str, tuple[str, str]]:
        """Job id and state of every task that is queued or runs, by its name such as 12_3."""
        rows = self("squeue", "--noheader", "--array", "--format", "%i %A %T").splitlines()
        return {name: (job, state) for name, job, state in map(str.split, rows)}

    def wait(self, condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.5)

    def restart(self, task: str) -> None:
        """Requeue a task and let it start at once: SLURM waits two minutes for a dead node."""
        self("scontrol", "requeue", task)
        self.wait(lambda: self.states().get(task, ("", ""))[1] == "PENDING", 60)
        self("scontrol", "update", f"JobId={task}", "StartTime=now")


def finished_steps(work: Path, label: str) -> dict[Path, int]:
    """Results of steps of a participant in the work folder, and when they were written.

    Those that write derivatives are left out, which are done in every run.
    """
    found = [path for path in work.rglob("result_*.pklz") if f"sub_{label}_wf" in path.parts]
    return {path: path.stat().st_mtime_ns for path in found if not ALWAYS_RUN & {*path.parts}}


@pytest.fixture(scope="module")
def array(slurm, raw) -> Path:
    """Results of an array of six jobs: one killed, one requeued as it runs, and a group job."""
    out, work = raw.parent / "array", raw.parent / "array-work"
    cluster = Cluster(slurm, raw.parent)
    script = ROOT / "docs/slurm_array.sh"
    job = cluster(
        "sbatch", "--parsable", f"--array=0-{len(LABELS) - 1}%20", "--cpus-per-task=1",
        "--mem=3G", script, raw, out,
    )  # fmt: skip
    group = cluster(
        "sbatch", "--parsable", f"--dependency=afterany:{job}", "--cpus-per-task=1", "--mem=2G",
        script, raw, out, "group",
    )  # fmt: skip
    kept = {}
    for task, label in ((f"{job}_0", "01"), (f"{job}_3", "04")):
        cluster.wait(lambda label=label: len(finished_steps(work, label)) >= 2, 600)
        kept |= finished_steps(work, label)
        assert cluster.states()[task][1] == "RUNNING"
        if label == "01":  # as by the kernel for memory: nothing can be said or saved
            rows = cluster("scontrol", "listpids", cluster.states()[task][0]).splitlines()[1:]
            for pid in {int(row.split()[0]) for row in rows} - {-1}:
                os.kill(pid, signal.SIGKILL)
            cluster.wait(lambda task=task: task not in cluster.states(), 60)
        cluster.restart(task)
    assert cluster.states()[group][1] == "PENDING"
    cluster.wait(lambda: not cluster.states(), 900)
    again = {path: path.stat().st_mtime_ns for path in kept}
    assert kept and again == kept, "steps that were finished have been computed again"
    return out


def test_the_array_gives_what_a_local_run_gives(array, local):
    rows = table_rows(array / "group_centiloid.tsv")
    assert [row["participant_id"] for row in rows] == [f"sub-{label}" for label in LABELS]
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["centiloid"] for row in rows}) == len(LABELS)
    assert contents(array) == contents(local)
    assert len(contents(local)) > 200


def test_the_jobs_used_what_they_were_given(array):
    logs = [path.read_text() for path in (array / "logs").glob("*.log")]
    ran = [text for text in logs if "level=<Level.PARTICIPANT" in text]
    assert len(ran) >= len(LABELS) + 2  # two of them twice
    assert all("Resources(nprocs=1, mem_gb=3.0" in text for text in ran)


def use_plugin(slurm, raw, name, arguments) -> subprocess.CompletedProcess[str]:
    plugin = raw.parent / f"{name}.yml"
    plugin.write_text(f"plugin: SLURM\nplugin_args:\n  {arguments}\n")
    command = [
        sys.executable, "-m", "bidsapp", raw, raw.parent / name, "participant",
        "--participant-label", "01", "-w", raw.parent / f"{name} work", "--use-plugin", plugin,
        *OPTIONS,
    ]  # fmt: skip
    environment = slurm | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=600
    )


def test_every_step_as_a_job_gives_the_same(slurm, raw, local):
    done = use_plugin(slurm, raw, "plugin", "sbatch_args: --mem=2G --cpus-per-task=1")
    assert done.returncode == 0, done.stdout + done.stderr
    expected = contents(local)
    found = contents(raw.parent / "plugin")
    assert len(found) > 40
    assert found == {name: expected[name] for name in found}
    assert list((raw.parent / "plugin work").rglob("slurm-*.out"))


def test_jobs_that_slurm_refuses_are_told(slurm, raw):
    done = use_plugin(slurm, raw, "refused", "{sbatch_args: --mem=900T, max_tries: 0}")
    assert done.returncode == 64, done.stdout + done.stderr
    assert "sbatch refused the job" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
