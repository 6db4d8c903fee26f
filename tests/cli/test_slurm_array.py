"""What docs/slurm_array.sh calls, without SLURM; tests/system/test_slurm.py sends it for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs/slurm_array.sh"


@pytest.fixture
def submit(tmp_path):
    """Call the script as SLURM does; return the program's arguments and its environment."""
    for label in ("01", "02", "03"):
        (tmp_path / f"my data/sub-{label}").mkdir(parents=True)
    program = tmp_path / "bin/apptainer"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor word; do echo "$word"; done\necho --\nenv\n')
    program.chmod(0o755)

    def call(*arguments, **environment):
        path = f"{program.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", SCRIPT, "my data", "out", *arguments],
            cwd=tmp_path, env={"PATH": path} | environment,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        words, _, variables = done.stdout.rpartition("\n--\n")
        return words.splitlines(), dict(row.split("=", 1) for row in variables.splitlines())

    return call


def test_a_task_does_its_participant_in_the_image(submit, tmp_path):
    words, variables = submit(
        SLURM_ARRAY_TASK_ID="1", SLURM_CPUS_PER_TASK="2", SLURM_MEM_PER_NODE="4096"
    )
    bids, out = tmp_path / "my data", tmp_path / "out"
    assert words == [
        "run", "--containall", "-B", f"{bids}:{bids}:ro", "-B", f"{out}", "-B", f"{out}-work",
        "centipet.sif", f"{bids}", f"{out}", "participant", "--participant-label", "sub-02",
        "-w", f"{out}-work",
    ]  # fmt: skip
    # the image sees nothing else of the job
    inside = {name: value for name, value in variables.items() if name.startswith("APPTAINERENV")}
    assert inside == {
        "APPTAINERENV_SLURM_CPUS_PER_TASK": "2", "APPTAINERENV_SLURM_MEM_PER_NODE": "4096",
    }  # fmt: skip


def test_the_group_job(submit, tmp_path):
    words, _ = submit("group")
    assert words[-3:] == [f"{tmp_path / 'my data'}", f"{tmp_path / 'out'}", "group"]


def test_another_command_and_another_work_folder(submit, tmp_path):
    words, _ = submit(
        SLURM_ARRAY_TASK_ID="0", CENTIPET="apptainer exec other.sif centipet",
        CENTIPET_WORK=f"{tmp_path}/disk",
    )  # fmt: skip
    assert words[:3] == ["exec", "other.sif", "centipet"]
    assert words[-1] == f"{tmp_path}/disk"
