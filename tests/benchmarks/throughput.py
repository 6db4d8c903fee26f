"""Throughput of several processes against one, and memory against ``--mem``.

    python tests/benchmarks/throughput.py [--participants 16] [--nprocs 2] [--mem-gb 4] [BIDS_DIR]

Makes copies of the demo's phantom (or of the first participant of ``BIDS_DIR``), processes them
once with one process and once with ``--nprocs``, and prints how many times faster that was and the
peak memory of the whole process tree beside ``--mem``. Means little on a machine that does anything
else. Ends with 1 when the ratio is below 1.6 or the memory above ``--mem``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from run_time import CENTIPET, Usage, measure

sys.path.insert(0, str(Path(__file__).parents[1]))
from phantom_dataset import copy_participant, write_phantom

LEAST_RATIO = 1.6


def dataset(folder: Path, given: Path | None, n: int) -> Path:
    """A dataset of ``n`` participants with the same images."""
    if given is None:
        bids = write_phantom(folder / "bids", "p0")
    else:
        bids = folder / "bids"
        bids.mkdir()
        shutil.copy(given / "dataset_description.json", bids)
        first = min(path.name for path in given.glob("sub-*/")).removeprefix("sub-")
        copy_participant(bids, first, "p0", source=given)
    for number in range(1, n):
        copy_participant(bids, "p0", f"p{number}")
    return bids


def run(bids: Path, folder: Path, nprocs: int, mem_gb: float) -> Usage:
    """Process everything in a fresh folder."""
    return measure(
        [*CENTIPET, str(bids), str(folder / f"out{nprocs}"), "participant", "--nprocs",
         str(nprocs), "--mem", f"{mem_gb}G", "--work-dir", str(folder / f"work{nprocs}")]
    )  # fmt: skip


def main() -> int:
    """Measure both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bids_dir", nargs="?", type=Path, metavar="BIDS_DIR")
    parser.add_argument("--participants", type=int, default=16, metavar="N")
    parser.add_argument("--nprocs", type=int, default=2, metavar="N")
    parser.add_argument("--mem-gb", type=float, default=4.0, metavar="GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="centipet-throughput-") as name:
        folder = Path(name)
        bids = dataset(folder, options.bids_dir, options.participants)
        alone = run(bids, folder, 1, options.mem_gb)
        shared = run(bids, folder, options.nprocs, options.mem_gb)
    ratio = alone.wall_s / shared.wall_s
    peak_gb = max(alone.peak_proportional, shared.peak_proportional) / 1e9
    for what, usage in (("one process", alone), (f"{options.nprocs} processes", shared)):
        per_hour = 3600 * options.participants / usage.wall_s
        print(
            f"{what:14}{usage.wall_s:8.0f} s{per_hour:8.0f} participants an hour"
            f"{sum(usage.processors_s.values()):9.0f} s of processor"
            f"{usage.peak_proportional / 1e9:7.2f} GB at most"
        )
    print(f"ratio {ratio:.2f} (at least {LEAST_RATIO}); {peak_gb:.2f} of {options.mem_gb:g} GB")
    return int(ratio < LEAST_RATIO or peak_gb > options.mem_gb)


if __name__ == "__main__":
    sys.exit(main())
