"""Records, sidecars and option files with odd values anywhere: nobody stops the others.

    python tests/benchmarks/damaged_files.py [--records 5000] [--sidecars 5000] [--options 1000]

Of every kind that many files are made from good ones by replacing one to three parts, however deep,
with values that nobody expects there. Told is how each kind was received; the script ends with an
error where a run breaks off, calls it a fault of its own, or others are not finished.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
import odd_values


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for kind, number in (("records", 5000), ("sidecars", 5000), ("options", 1000)):
        parser.add_argument(f"--{kind}", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    kinds = {
        "records": (given.records, odd_values.damaged_records),
        "sidecars": (given.sidecars, odd_values.damaged_sidecars),
        "option files": (given.options, odd_values.damaged_options),
    }
    for name, (number, try_many) in kinds.items():
        if number:
            begin = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                fates: Counter[str] = try_many(Path(folder), number, given.seed)
            summary = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
            print(f"{number} {name} in {time.monotonic() - begin:.0f} s: {summary}", flush=True)


if __name__ == "__main__":
    main()
