"""Time and memory of the group level on synthetic participants.

    python tests/benchmarks/group.py [--people 2000] [--sessions 1]

Records and atlas tables are made as the default options make them (two atlases). Every group run is
a process of its own, so that its memory is its own; processor time does not depend on what else
the machine does.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
from synthetic_records import finished_record, write, write_cohort


def group_run(folder: Path) -> str:
    """Run the group level; return wall time, processor time and the most memory it had."""
    command = [sys.executable, "-m", "bidsapp", "bids", str(folder), "group"]
    begin = time.monotonic()
    process = os.posix_spawn(
        sys.executable, command, os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )  # fmt: skip
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - begin
    if status:
        raise SystemExit(f"the group level ended with {status}")
    processor = usage.ru_utime + usage.ru_stime
    return f"{wall:5.1f} s wall, {processor:5.1f} s processor, {usage.ru_maxrss / 1e6:.2f} GB"


def tables(folder: Path) -> str:
    """Hash of every table."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("group_*.tsv")):
        found.update(path.read_bytes())
    return found.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        visits = [f"m{12 * visit:02}" for visit in range(given.sessions)]
        print(f"{write_cohort(folder, given.people, visits)} scans of {given.people} people")
        print(f"first run            {group_run(folder)}")
        entities = {"sub": "99999", "ses": "m00", "trc": "FBB"}
        write(folder, finished_record(entities), entities)
        print(f"one more participant {group_run(folder)}")
        made = tables(folder)
        print(f"the same again       {group_run(folder)}")
        print(f"same tables: {tables(folder) == made}")
        for path in sorted(folder.glob("group_*.tsv")) + sorted(folder.glob("group_*.html")):
            print(f"{path.name:28} {path.stat().st_size / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
