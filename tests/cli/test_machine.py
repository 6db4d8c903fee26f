import os

import pytest

from bidsapp.cli.machine import available_cpus, available_memory_gb


@pytest.fixture
def control_group(tmp_path):
    """Write files of a control group below a root that stands for ``/``."""

    def write(line, **files):
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/self/cgroup").write_text(line)
        for name, text in files.items():
            folder, _, file = name.rpartition("__")
            path = tmp_path / "sys/fs/cgroup" / folder.replace("__", "/")
            path.mkdir(parents=True, exist_ok=True)
            (path / file.replace("_dot_", ".")).write_text(text)
        return tmp_path

    return write


def test_nothing_but_the_machine(tmp_path):
    assert available_cpus({}, tmp_path) == len(os.sched_getaffinity(0))
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    assert available_memory_gb({}, tmp_path) == pytest.approx(physical)


def test_control_group_version_2(control_group):
    root = control_group(
        "0::/job/step\n",
        job__step__cpu_dot_max="max 100000\n",
        job__cpu_dot_max="50000 100000\n",
        job__memory_dot_max=str(512 * 1024**2),
    )
    assert available_cpus({}, root) == 1
    assert available_memory_gb({}, root) == pytest.approx(0.5)


def test_control_group_version_1(control_group):
    root = control_group(
        "4:memory:/box\n3:cpu,cpuacct:/box\n",
        **{
            "cpu,cpuacct__box__cpu_dot_cfs_quota_us": "100000",
            "cpu,cpuacct__box__cpu_dot_cfs_period_us": "100000",
            "memory__box__memory_dot_limit_in_bytes": str(1024**3),
        },
    )
    assert available_cpus({}, root) == 1
    assert available_memory_gb({}, root) == pytest.approx(1.0)


def test_slurm(tmp_path):
    assert available_cpus({"SLURM_CPUS_PER_TASK": "1"}, tmp_path) == 1
    assert available_memory_gb({"SLURM_MEM_PER_NODE": "1024"}, tmp_path) == pytest.approx(1.0)
    assert available_memory_gb(
        {"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_PER_TASK": "1"}, tmp_path
    ) == pytest.approx(0.5)
