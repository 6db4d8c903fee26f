"""Kill a run at random times, resume it, and compare with a run that nobody disturbed.

    python tests/system/kill_points.py [-n 100] [--seed 1] [--folder DIR]

Every kill is a SIGKILL to the whole process group of ``centipet`` at a random time of a run on the
demo's phantom, with one and with two processes in turns. Some runs are killed once, others again
and again while they resume. After every kill the output folder may hold nothing but finished
files of the undisturbed run, temporary files, and a record that says ``incomplete``; the group
level must not find a result there. The last run of a chain must end with exit code 0 and leave the
same bytes in every file but those in ``logs/``, and no temporary file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
from phantom_dataset import write_phantom
from tsv_rows import table_rows
from whole_app import hashes, run_centipet

KILLS_PER_CHAIN = (1, 4)  # in turns
RECORD = "sub-*_centiloid.json"
_PATIENCE_S = 1800


@dataclass(frozen=True)
class Undisturbed:
    """The run that all others must equal."""

    seconds: float
    files: dict[str, str]  # hashes by name relative to the output folder


@dataclass(frozen=True)
class Chain:
    """One output folder: the times at which its runs were killed, and the run that finished it."""

    killed_after_s: tuple[float, ...]
    resumed_s: float
    faults: tuple[str, ...]


def undisturbed(bids: Path, folder: Path) -> Undisturbed:
    """Run both levels in peace."""
    begin = time.monotonic()
    done = run_centipet(bids, folder / "out", "participant", "-w", folder / "work", "--nprocs", 2)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_centipet(bids, folder / "out", "group").returncode == 0
    return Undisturbed(seconds, hashes(folder / "out"))


def kill_points(
    bids: Path,
    folder: Path,
    truth: Undisturbed,
    n: int,
    seed: int,
    kills_per_chain: Sequence[int] = KILLS_PER_CHAIN,
) -> Iterator[Chain]:
    """Kill ``n`` runs, chain by chain, and tell of each chain what went wrong."""
    dice = random.Random(seed)
    left, number = n, 0
    while left > 0:
        kills = min(left, kills_per_chain[number % len(kills_per_chain)])
        own = folder / f"chain{number}"
        yield _chain(bids, own, truth, kills, 1 + number % 2, dice)
        left, number = left - kills, number + 1


def _chain(
    bids: Path, folder: Path, truth: Undisturbed, kills: int, nprocs: int, dice: random.Random
) -> Chain:
    out = folder / "out"
    command = [bids, out, "participant", "-w", folder / "work", "--nprocs", nprocs]
    times: list[float] = []
    faults: list[str] = []
    while len(times) < kills:
        # a resumed run is shorter
        after = dice.uniform(0, truth.seconds / (1 if not times else 2))
        if _killed(command, after):
            times.append(after)
            faults += [f"after {after:.1f} s: {fault}" for fault in false_claims(out, truth)]
            faults += [f"after {after:.1f} s: {fault}" for fault in _group_level(bids, out)]
    begin = time.monotonic()
    done = run_centipet(*command)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        faults.append(f"the resumed run ended with {done.returncode}: {done.stdout}{done.stderr}")
    if (code := run_centipet(bids, out, "group").returncode) != 0:
        faults.append(f"the group level ended with {code}")
    found = hashes(out)
    names = sorted(truth.files.keys() | found.keys())
    faults += [f"{n}: differs" for n in names if truth.files.get(n) != found.get(n)]
    faults += [f"{path}: is left over" for path in out.rglob("*.tmp")]
    return Chain(tuple(times), seconds, tuple(faults))


def _killed(command: Sequence[object], after_s: float) -> bool:
    """Start a run and kill all its processes; False when it had ended before."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "bidsapp", *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(root)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    ended = process.wait()
    deadline = time.monotonic() + _PATIENCE_S
    while _lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return ended == -signal.SIGKILL


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def false_claims(out: Path, truth: Undisturbed) -> list[str]:
    """What lies in an output folder after a kill and says more than is true."""
    faults = []
    found = hashes(out)
    for path in out.rglob(RECORD):
        name = path.relative_to(out).as_posix()
        if json.loads(path.read_text())["status"] == "ok":
            anatomy = {file for file in truth.files if "/anat/" in file or "/pet/" in file}
            faults += [f"{name} says ok without {file}" for file in sorted(anatomy - found.keys())]
        else:
            found.pop(name)
    claimed = {name: digest for name, digest in found.items() if not _is_provisional(name)}
    wrong = [name for name, digest in claimed.items() if truth.files.get(name) != digest]
    return faults + [f"{name} is not that of the undisturbed run" for name in wrong]


def _is_provisional(name: str) -> bool:
    """Whether a file may differ: temporary, or what the group level made of a record."""
    return name.endswith(".tmp") or name.startswith(("group_", "figures/"))


def _group_level(bids: Path, out: Path) -> list[str]:
    """What the group level makes of an unfinished participant."""
    done = run_centipet(bids, out, "group")
    records = list(out.rglob(RECORD))
    if done.returncode != (0 if records else 66) or "Traceback" in done.stdout + done.stderr:
        return [f"group level with {len(records)} records: exit code {done.returncode}"]
    if not records:
        return []
    (row,) = table_rows(out / "group_centiloid.tsv")
    finished = json.loads(records[0].read_text())["status"] == "ok"
    if finished == (row["status"] == "ok") and finished == (row["centiloid"] != "n/a"):
        return []
    return [f"group level: {row['status']}, Centiloid {row['centiloid']} of an unfinished scan"]


def main() -> int:
    """Print one line per chain and a summary; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=100, help="kills (default: 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; must be new and is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="centipet-kill-") as name:
        folder = options.folder or Path(name)
        bids = write_phantom(folder / "bids")
        truth = undisturbed(bids, folder / "truth")
        print(f"undisturbed: {truth.seconds:.1f} s, {len(truth.files)} files", flush=True)
        resumed, kills, wrong = [], 0, 0
        for chain in kill_points(bids, folder, truth, options.n, options.seed):
            kills += len(chain.killed_after_s)
            resumed.append(chain.resumed_s)
            wrong += bool(chain.faults)
            times = ", ".join(f"{seconds:.1f}" for seconds in chain.killed_after_s)
            said = "; ".join(chain.faults) or "correct"
            print(f"[{kills}/{options.n}] killed after {times} s, "
                  f"resumed in {chain.resumed_s:.1f} s: {said}", flush=True)  # fmt: skip
    print(
        f"{kills} kills, {wrong} of {len(resumed)} chains wrong; resumed runs took "
        f"{min(resumed):.1f} to {max(resumed):.1f} s, mean {mean(resumed):.1f} s "
        f"(undisturbed {truth.seconds:.1f} s)"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
