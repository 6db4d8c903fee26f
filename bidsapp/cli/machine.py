"""Resources of this process by affinity, control groups and SLURM.

A container or a cluster job often owns two cores and 8 GB of a node of a hundred and a terabyte;
a process that relies on the node's numbers is killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

_GIB = 1024**3
_ROOT = Path("/")


def available_cpus(environ: Mapping[str, str] = os.environ, root: Path = _ROOT) -> int:
    """Processors this process may keep busy, at least one.

    Parameters
    ----------
    environ : variables of the environment
    root : of the file system

    Returns
    -------
    int
    """
    limits = [processors()]
    for folder in _control_groups(root):
        quota, period = _read(folder / "cpu.max", "max 1").split()[:2]
        if quota == "max":
            quota = _read(folder / "cpu.cfs_quota_us", "-1")
            period = _read(folder / "cpu.cfs_period_us", "1")
        if quota.isdigit() and period.isdigit():
            limits.append(ceil(int(quota) / int(period)))
    # --cpus-per-task, and without it what the job has on this node
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        limits += _number(environ, name)
    return max(1, min(limits))


def processors() -> int:
    """Processors that this process may run on; all on macOS, which has no affinity.

    Returns
    -------
    int
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def instruction_sets() -> list[str]:
    """What NumPy and the BLAS use of this processor, on which the rounding of results depends.

    Returns
    -------
    list of str
        For example ``X86_V3`` (AVX2) of NumPy and the kernel ``Haswell`` of OpenBLAS.
    """
    import numpy as np
    from threadpoolctl import threadpool_info

    config: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    extensions = config.get("SIMD Extensions", {})
    used = [name for part in ("baseline", "found") for name in extensions.get(part, ())]
    kernels = {library.get("architecture") for library in threadpool_info()} - {None}
    return used + sorted(kernels)


def available_memory_gb(environ: Mapping[str, str] = os.environ, root: Path = _ROOT) -> float:
    """Memory this process may fill, GiB.

    Parameters
    ----------
    environ : variables of the environment
    root : of the file system

    Returns
    -------
    float
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB]
    for folder in _control_groups(root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name, "max")
            if text.isdigit():
                limits.append(int(text) / _GIB)
    # both are MB, and 0 where the job has the whole node (--mem=0)
    limits += [mb / 1024 for mb in _number(environ, "SLURM_MEM_PER_NODE")]
    for mb in _number(environ, "SLURM_MEM_PER_CPU"):
        cpus = _number(environ, "SLURM_CPUS_ON_NODE") or _number(environ, "SLURM_CPUS_PER_TASK")
        limits.append(mb * (cpus or [1])[0] / 1024)
    return min(limits)


def _number(environ: Mapping[str, str], name: str) -> list[int]:
    """Value of a variable of SLURM; nothing where it is unset, 0 or no number."""
    text = environ.get(name, "")
    return [int(text)] if text.isdigit() and int(text) > 0 else []


def _control_groups(root: Path) -> Iterator[Path]:
    """Folders that may hold limits of this process: its own control group and those above it."""
    mount = root / "sys/fs/cgroup"
    yield mount
    for line in _read(root / "proc/self/cgroup", "").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for base in (mount / controllers, mount) if controllers else (mount,):
            here = base / path.strip("/")
            while here != base.parent and here != mount:
                yield here
                here = here.parent


def _read(path: Path, default: str) -> str:
    try:
        return path.read_text("utf-8").strip() or default
    except (OSError, UnicodeDecodeError):
        return default
