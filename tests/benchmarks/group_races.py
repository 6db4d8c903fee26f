"""Participants and group runs at once on one output folder: no lost row, no torn file.

    python tests/benchmarks/group_races.py [--rounds 100] [--writers 5] [--groups 2]

Writers are participant levels without the images: every round they write the record of each of
their participants as begun, its tables, the record with a result, and scans.tsv, by the functions
of the app. One more writer is killed again and again wherever it is. Group runs go on meanwhile;
after each, every table is read. With the numbers above these are eight processes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
from synthetic_records import finished_record, write_sealed

from bidsapp.bids.derivative_root import remove_leftovers
from bidsapp.bids.derivatives import output_path
from bidsapp.group.collect import run_group
from bidsapp.group.scans import write_scan_tables
from bidsapp.io import atomic
from bidsapp.io.atomic import write_text
from bidsapp.io.tsv import write_table
from bidsapp.record import write_record
from bidsapp.record.stages import empty_record
from bidsapp.settings import Filters

SLOPE, INTERCEPT = 153.4, -154.9  # of florbetaben, see data/tracers.toml
PER_WRITER = 4
REGIONS = [f"region{number}" for number in range(8)]
COLUMNS: dict[str, dict[str, str]] = {"index": {}, "name": {}, "mean": {}, "suvr_wc": {}}
ATLASES = {"version": "1", "parameters": {"atlases": [{"name": "Toy"}]}}


def write_scan(folder: Path, label: str, change: int) -> None:
    """Write a scan as the participant level does, with a result of this round."""
    entities = {"sub": label, "ses": "m00", "trc": "FBB"}
    write_record(folder, empty_record(entities))
    write_scan_tables(folder, [label])
    suvr = 1 + change % 97 / 97
    values: dict[str, Sequence[Any]] = {
        "index": range(8), "name": REGIONS, "mean": [suvr] * 8, "suvr_wc": [suvr] * 8,
    }  # fmt: skip
    write_table(output_path(folder, "vois", entities, atlas="Toy"), values, COLUMNS, {})
    write_text(output_path(folder, "pet_native", entities), "voxels" * change)
    write_sealed(folder, finished_record(entities, suvr, provenance=ATLASES))
    write_scan_tables(folder, [label])


def write_rounds(folder: Path, labels: Sequence[str], rounds: int, stop: Any = None) -> None:
    """A participant level over some participants, again and again until all others are done."""
    for change in count(1):
        last = change >= rounds and (stop is None or stop.is_set())
        for label in labels:
            write_scan(folder, label, rounds if last else change)
        if last:
            return


def group_rounds(folder: Path, people: Sequence[str], rounds: int) -> None:
    """Group runs, each table read after each of them."""
    for _ in range(rounds):
        run_group(folder, Filters())
        check_tables(folder, people)


def check_tables(folder: Path, people: Sequence[str]) -> Counter[str]:
    """Read the group tables; every scan must be there once and whole.

    Returns
    -------
    Counter
        Scans by status.

    Raises
    ------
    AssertionError
        A row is lost, twice there, torn, or says what its record does not.
    """
    wanted = [f"sub-{label}" for label in people]
    rows = read(folder / "group_centiloid.tsv")
    assert [row["participant_id"] for row in rows] == wanted, "lost rows"
    for row in rows:
        assert row["status"] in ("ok", "incomplete"), row
        if row["status"] == "ok":
            expected = SLOPE * float(row["suvr_wc"]) + INTERCEPT
            assert abs(float(row["centiloid"]) - expected) < 1e-9, row
        else:
            assert row["centiloid"] == "n/a", row
    assert [row["participant_id"] for row in read(folder / "group_qc.tsv")] == wanted
    regions = Counter(row["participant_id"] for row in read(folder / "group_regions.tsv"))
    assert list(regions) == wanted and len(set(regions.values())) == 1, regions
    for path in folder.glob("group_*.json"):
        json.loads(path.read_text("utf-8"))
    assert (folder / "group_centiloid.html").read_text("utf-8").rstrip().endswith("</html>")
    return Counter(row["status"] for row in rows)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(None not in row and None not in row.values() for row in rows), f"{path}: torn"
    return rows


def race(folder: Path, *, rounds: int, writers: int, groups: int, kills: bool = True) -> str:
    """Let them run and look at what is left; return what happened, in one sentence.

    Raises
    ------
    AssertionError
        A process failed, or what is left is not whole.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "bidsapp.group.collect"])
    teams = [
        [f"{team:02}{number:02}" for number in range(PER_WRITER)] for team in range(writers + kills)
    ]
    people = sorted(label for team in teams for label in team)
    write_rounds(folder, people, 1)
    stop = context.Event()
    readers = [
        context.Process(target=group_rounds, args=(folder, people, rounds)) for _ in range(groups)
    ]
    steady = [
        context.Process(target=write_rounds, args=(folder, team, rounds, stop))
        for team in teams[:writers]
    ]
    for process in (*readers, *steady):
        process.start()
    killed, chance = 0, random.Random(2015)
    while any(process.is_alive() for process in readers):
        if not kills:
            time.sleep(0.05)
            continue
        victim = context.Process(target=write_rounds, args=(folder, teams[-1], rounds * 1000))
        victim.start()
        victim.join(chance.uniform(0.1, 1.0))
        victim.kill()
        victim.join()
        killed += 1
    stop.set()
    for process in (*steady, *readers):
        process.join()
        assert process.exitcode == 0, f"{process.name} ended with {process.exitcode}"
    atomic._JUST_MADE_S = 0.0  # all who wrote are gone
    left = remove_leftovers(folder, people)
    run_group(folder, Filters())
    status = check_tables(folder, people)
    for team in teams[:writers]:
        for label in team:
            check_participant(folder, label, 1 + rounds % 97 / 97)
    assert not list(folder.rglob("*.tmp")), "temporary files are left"
    assert status["ok"] >= PER_WRITER * writers
    return (
        f"{writers} writers and {groups} group levels, {rounds} rounds each, {killed} kills: "
        f"{len(people)} rows whole at any time, {status['incomplete']} incomplete at the end, "
        f"{left} temporary files of the killed removed"
    )


def check_participant(folder: Path, label: str, suvr: float) -> None:
    """A participant's own table must have the result of its last round."""
    name = f"sub-{label}_ses-m00"
    (row,) = read(folder / f"sub-{label}/ses-m00/{name}_scans.tsv")
    assert float(row["suvr_wc"]) == suvr, row
    (session,) = read(folder / f"sub-{label}/sub-{label}_sessions.tsv")
    assert session["centiloid"] == row["centiloid"], session


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--writers", type=int, default=5)
    parser.add_argument("--groups", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        counts = race(Path(folder), rounds=given.rounds, writers=given.writers, groups=given.groups)
        print(f"{counts}; {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
