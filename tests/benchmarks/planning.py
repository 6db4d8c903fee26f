"""Time to plan a BIDS dataset: finding images, reading sidecars, choosing windows and T1ws.

    python tests/benchmarks/planning.py [--scans 10000] [--limit 30]

Tiny images, two sessions a participant, a T1w and a florbetaben PET in each. Ends with 1 when the
processor time exceeds the limit, in seconds: wall time depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it has the helpers of the tests
import numpy as np
from raw_sidecar import PET_SIDECAR

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.bids.table_problems import table_problems
from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import save_volume
from bidsapp.settings import Filters, Processing


def write_dataset(bids: Path, n_scans: int) -> None:
    """Two sessions a participant, all images alike."""
    t1w = save_volume(bids / "t1w.nii.gz", Volume(np.ones((6, 7, 8), np.float32), np.eye(4)))
    pet = save_volume(bids / "pet.nii.gz", Volume(np.ones((6, 7, 8, 2), np.float32), np.eye(4)))
    images = {"anat/{}_T1w.nii.gz": t1w.read_bytes(), "pet/{}_trc-FBB_pet.nii.gz": pet.read_bytes()}
    files = images | {
        "anat/{}_T1w.json": b'{"Modality": "MR"}',
        "pet/{}_trc-FBB_pet.json": json.dumps(PET_SIDECAR).encode(),
    }
    for image in (t1w, pet):
        image.unlink()
    rows = ["participant_id\tage"]
    for number in range(n_scans):
        person, session = f"sub-{number // 2:05d}", f"ses-{number % 2 + 1}"
        for name, content in files.items():
            path = bids / person / session / name.format(f"{person}_{session}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        rows += [f"{person}\t70"] if number % 2 else []
    (bids / "participants.tsv").write_text("\n".join(rows) + "\n")


def main() -> int:
    """Write a dataset, plan it, tell the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=10_000)
    parser.add_argument("--limit", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bids = Path(folder)
        write_dataset(bids, options.scans)
        wall, processor = time.perf_counter(), time.process_time()
        dataset = read_dataset(bids, Filters())
        problems = table_problems(dataset)
        plan = make_plan(dataset, Processing())
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{len(plan.scans)} scans planned: {wall:.1f} s wall, {processor:.1f} s processor")
    planned = len(plan.scans) == options.scans and not problems
    return 0 if planned and processor < options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
