"""How long the inventory of a folder of DICOM takes, and how much memory.

    PYTHONPATH=. python tests/benchmarks/inventory.py [--files N] [--nprocs N]

Writes N small PET files (default 20,000, one series per 100), reads them once to warm the cache
of the file system, and then runs ``centipet --dry-run`` on them: the time of everything up to the
decision table. Prints wall time, processor time and peak memory of the process tree.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dicom"))  # for the writer of tiny studies

from dicom_studies import many_files
from run_time import CENTIPET, measure


def main() -> None:
    """Measure one inventory and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20_000, metavar="N")
    parser.add_argument("--nprocs", type=int, default=2, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="centipet-inventory-") as name:
        folder = Path(name)
        many_files(folder / "dicom", options.files)
        for path in (folder / "dicom").rglob("*"):
            if path.is_file():
                path.read_bytes()
        usage = measure(
            [*CENTIPET, str(folder / "bids"), str(folder / "out"), "participant", "--dry-run",
             "--dicom-dir", str(folder / "dicom"), "--nprocs", str(options.nprocs)]
        )  # fmt: skip
    rows = {
        "files": options.files,
        "processes asked for": options.nprocs,
        "wall time": f"{usage.wall_s:.1f} s",
        "processor time": f"{sum(usage.processors_s.values()):.1f} s",
        "peak memory, proportional": f"{usage.peak_proportional / 2**20:.0f} MiB",
    }
    for what, value in rows.items():
        print(f"{what:30}{value}")


if __name__ == "__main__":
    main()
