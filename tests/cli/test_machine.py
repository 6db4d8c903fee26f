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
            path = tmp_path / "sys/fs/cgroup" / folder.replace("__", "/").replace("_dot_", ".")
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


@pytest.fixture
def large_machine(monkeypatch):
    """Sixteen processors and 64 GiB, of which limits take away."""
    pages = {"SC_PHYS_PAGES": 64 * 1024**2 // 4, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)


def test_affinity_counts_not_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7})
    assert available_cpus({}, tmp_path) == 3


def test_the_limits_of_a_container_stand_at_its_root(large_machine, control_group):
    """Version 2 in a name space of its own, as Docker and podman start containers."""
    root = control_group("0::/\n", cpu_dot_max="250000 100000\n", memory_dot_max=str(8 * 1024**3))
    assert available_cpus({}, root) == 3  # two and a half: none is left idle
    assert available_memory_gb({}, root) == pytest.approx(8)


def test_a_container_of_version_1_sees_the_path_of_its_host(large_machine, control_group):
    root = control_group(
        "5:memory:/docker/4a\n2:cpu,cpuacct:/docker/4a\n",
        **{
            "cpu,cpuacct__cpu_dot_cfs_quota_us": "400000",
            "cpu,cpuacct__cpu_dot_cfs_period_us": "100000",
            "memory__memory_dot_limit_in_bytes": str(6 * 1024**3),
        },
    )
    assert available_cpus({}, root) == 4
    assert available_memory_gb({}, root) == pytest.approx(6)


def test_no_limit_of_either_version(large_machine, control_group):
    root = control_group(
        "4:memory:/box\n3:cpu,cpuacct:/box\n0::/job\n",
        **{
            "job__cpu_dot_max": "max 100000",
            "job__memory_dot_max": "max",
            "cpu,cpuacct__box__cpu_dot_cfs_quota_us": "-1",
            "memory__box__memory_dot_limit_in_bytes": "9223372036854771712",
        },
    )
    assert available_cpus({}, root) == 16
    assert available_memory_gb({}, root) == pytest.approx(64)


def test_the_tightest_of_nested_groups_counts(large_machine, control_group):
    """As SLURM makes them: a limit of the job, and none or a wider one of its step."""
    step = "system_dot_slice__slurmstepd_dot_scope__job_7"
    root = control_group(
        "0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n",
        **{
            f"{step}__cpu_dot_max": "600000 100000",
            f"{step}__memory_dot_max": str(10 * 1024**3),
            f"{step}__step_batch__user__memory_dot_max": str(12 * 1024**3),
        },
    )
    assert available_cpus({}, root) == 6
    assert available_memory_gb({}, root) == pytest.approx(10)


@pytest.mark.parametrize(
    ("environment", "cpus", "memory_gb"),
    [
        ({"SLURM_CPUS_PER_TASK": "3", "SLURM_CPUS_ON_NODE": "12"}, 3, 64),
        ({"SLURM_CPUS_ON_NODE": "5"}, 5, 64),
        ({"SLURM_CPUS_PER_TASK": "40"}, 16, 64),  # never more than there are
        ({"SLURM_MEM_PER_NODE": "4096"}, 16, 4),
        ({"SLURM_MEM_PER_NODE": "0"}, 16, 64),  # --mem=0: all of the node
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "4"}, 4, 8),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_PER_TASK": "2"}, 2, 4),
        ({"SLURM_MEM_PER_CPU": "2048"}, 16, 2),  # of one, as nothing says how many
        ({"SLURM_CPUS_PER_TASK": "many", "SLURM_MEM_PER_NODE": ""}, 16, 64),
    ],
)
def test_slurm(large_machine, tmp_path, environment, cpus, memory_gb):
    assert available_cpus(environment, tmp_path) == cpus
    assert available_memory_gb(environment, tmp_path) == pytest.approx(memory_gb)
