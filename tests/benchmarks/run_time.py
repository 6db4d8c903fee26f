"""How long a participant takes, and how much memory: the numbers of the README.

    python tests/benchmarks/run_time.py [BIDS_DIR] [--participant LABEL] [--nprocs N]

Runs the installed ``centipet`` on one participant of ``BIDS_DIR``, in a fresh folder; without
``BIDS_DIR`` on the demo's phantom, which is made first and not counted. Prints wall
time, processor time and the peak memory of the whole process tree, sampled ten times a second;
and, since seconds of one machine say little about another, both times in units of a fixed piece of
NumPy work, measured before and after in one thread, with the name of the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from compileall import compile_dir
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

import bidsapp

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
from phantom_dataset import write_phantom

INTERVAL_S = 0.1
CENTIPET = [sys.executable, "-m", "bidsapp"]


@dataclass
class Usage:
    """What a process tree used.

    Resident memory counts pages that processes share once for each of them, so its sum is an
    upper bound; proportional memory divides them, so its sum is what the machine must have.
    """

    wall_s: float = 0.0
    processors_s: dict[tuple[int, float], float] = field(default_factory=dict)
    peak_resident: int = 0
    peak_proportional: int = 0
    peak_processes: int = 0

    def sample(self, root: psutil.Process) -> None:
        """Look at every process of the tree; those that end meanwhile are left out."""
        resident = proportional = count = 0
        for process in (root, *root.children(recursive=True)):
            try:
                memory = process.memory_full_info()
                spent = process.cpu_times()
                key = (process.pid, process.create_time())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            resident += memory.rss
            proportional += memory.pss
            count += 1
            self.processors_s[key] = spent.user + spent.system
        self.peak_resident = max(self.peak_resident, resident)
        self.peak_proportional = max(self.peak_proportional, proportional)
        self.peak_processes = max(self.peak_processes, count)


def measure(command: list[str]) -> Usage:
    """Run ``command`` and measure it; its failure is ours."""
    usage = Usage()
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                usage.sample(root)
            except psutil.NoSuchProcess:
                break
            time.sleep(INTERVAL_S)
    usage.wall_s = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return usage


def yardstick_s(repeats: int = 5) -> float:
    """Processor time of a fixed piece of work, the best of some: what the machine is worth now.

    Of the kinds that fill a run: exponentials, gathers, blends and sums of millions of numbers, a
    matrix product and a factorisation.
    """
    rng = np.random.default_rng(0)
    values, place = rng.random((4, 500_000), np.float32), rng.integers(0, 500_000, 500_000)
    matrix = rng.random((800, 800)) + 800 * np.eye(800)

    def work() -> None:
        for _ in range(10):
            gathered = values.take(place, axis=1)
            gathered += 0.5 * (values - gathered)
            np.exp(-(gathered**2)).sum(axis=0, dtype=np.float64)
        np.linalg.cholesky(matrix @ matrix.T)

    taken = []
    with threadpool_limits(1):
        for _ in range(repeats):
            begin = time.process_time()
            work()
            taken.append(time.process_time() - begin)
    return min(taken)


def machine() -> str:
    """Model of the processor and how many cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


def main() -> None:
    """Measure one participant and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bids_dir", nargs="?", type=Path, metavar="BIDS_DIR")
    parser.add_argument("--participant", metavar="LABEL", help="default: the first one")
    parser.add_argument("--nprocs", type=int, default=2, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="centipet-run-time-") as name:
        folder = Path(name)
        bids = options.bids_dir or write_phantom(folder / "bids")
        label = options.participant or min(path.name for path in bids.glob("sub-*"))
        unit = yardstick_s()
        compile_dir(Path(bidsapp.__file__).parent, quiet=1)  # as pip does where it installs
        usage = measure(
            [*CENTIPET, str(bids), str(folder / "out"), "participant", "--participant-label",
             label, "--work-dir", str(folder / "work"), "--nprocs", str(options.nprocs)]
        )  # fmt: skip
    unit = min(unit, yardstick_s())
    processors_s = sum(usage.processors_s.values())
    rows = {
        "machine": machine(),
        "fixed NumPy work": f"{unit:.3f} s",
        "participant": label if options.bids_dir else f"{label} (demo)",
        "processes asked for": options.nprocs,
        "processes seen": usage.peak_processes,
        "wall time": f"{usage.wall_s:.1f} s, {usage.wall_s / unit:.0f} times the fixed work",
        "processor time": f"{processors_s:.1f} s, {processors_s / unit:.0f} times the fixed work",
        "peak memory, proportional": f"{usage.peak_proportional / 2**30:.2f} GiB",
        "peak memory, sum of resident": f"{usage.peak_resident / 2**30:.2f} GiB",
    }
    for what, value in rows.items():
        print(f"{what:30}{value}")


if __name__ == "__main__":
    main()
