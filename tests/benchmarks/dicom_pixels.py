"""Whether every voxel is in its place, in every way in which a series can be written down.

    PYTHONPATH=. python tests/benchmarks/dicom_pixels.py [--show]

Writes the matrix of ``tests/dicom/pixel_cells.py`` (coding of the pixels x structure of the files
x order x scaling x kind: 864 tiny series), converts each and compares every voxel with the pixels
that were written.  Prints how many series are exact, refused and wrong by the levels of each axis;
with ``--show`` also every cell that is not exact.  Ends with 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dicom"))  # for the writer of the matrix

from pixel_cells import AXES, all_cells, outcome, write_cell


def main() -> int:
    """Run the matrix and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--show", action="store_true", help="print cells that are not exact")
    options = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    for cell in all_cells():
        with tempfile.TemporaryDirectory(prefix="centipet-pixels-") as name:
            found = outcome(Path(name), write_cell(cell, Path(name) / "in"))
        if options.show and found != "exact":
            print(cell, found, flush=True)
        for axis in AXES:
            counts[axis, getattr(cell, axis), found.partition(":")[0]] += 1
    print(f"{'axis':10} {'level':20} {'exact':>6} {'refused':>8} {'wrong':>6}")
    for axis, levels in AXES.items():
        for level in levels:
            exact, refused, wrong = (
                counts[axis, level, word] for word in ("exact", "refused", "WRONG")
            )
            print(f"{axis:10} {level:20} {exact:6} {refused:8} {wrong:6}")
    return int(any(word == "WRONG" for _, _, word in counts))


if __name__ == "__main__":
    sys.exit(main())
