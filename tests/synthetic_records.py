"""Records of scans as the participant level writes them, without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import output_path
from bidsapp.bids.records import empty_record
from bidsapp.data.tracers import tracers

VOXELS = {"ctx": 29328, "wc": 14940, "cg": 7858, "wcb": 17793, "pons": 2261}


def finished_record(entities: Mapping[str, str], suvr_wc: float = 1.5, **changes: Any) -> dict:
    """Record of a scan with a result: four frames over the window, uptake 5 kBq/mL in wc."""
    tracer = tracers()[entities["trc"]]
    start, end = tracer.window_min
    frame = (end - start) * 60 / 4
    uptake = {"ctx": 5000 * suvr_wc, "wc": 5000.0, "cg": 4500.0, "wcb": 5300.0, "pons": 7000.0}
    equation = tracer.equation
    raw = "bids:raw:sub-{sub}/".format(**entities)
    return empty_record(entities) | {
        "status": "ok",
        "source": f"{raw}pet/sub-{entities['sub']}_trc-{tracer.code}_pet.nii.gz",
        "t1w_source": f"{raw}anat/sub-{entities['sub']}_T1w.nii.gz",
        "tracer": tracer.code,
        "tracer_name": tracer.name,
        "window_start_min": start,
        "window_end_min": end,
        "tracer_window_min": [start, end],
        "frame_start_s": [start * 60 + i * frame for i in range(4)],
        "frame_duration_s": [frame] * 4,
        "frame_weights_s": [frame] * 4,
        "suvr": {name: uptake["ctx"] / uptake[name] for name in ("wc", "cg", "wcb", "pons")},
        "centiloid": equation.slope * suvr_wc + equation.intercept,
        "reference_region": "wc",
        "equation": {
            "slope": equation.slope,
            "intercept": equation.intercept,
            "source": equation.source,
            "doi": equation.doi,
        },
        "method": "t1w+model",
        "qc": {"pet_t1w_distance_mm": 0.8, "brain_ml": 1400.0},
        "voi": {
            name: {
                "mean": mean,
                "sd": 0.1 * mean,
                "n_voxels": VOXELS[name],
                "volume_ml": 0.008 * VOXELS[name],
                "coverage": 1.0,
            }
            for name, mean in uptake.items()
        },
        "provenance": {
            "version": "0.1.0",
            "parameters": {"pet_to_t1w": "model"},
            "resources": {"a.nii.gz": "sha256:00"},
        },
        **changes,
    }


def write(output_dir: Path, record: Mapping[str, Any] | str, entities: Mapping[str, str]) -> Path:
    """Put a record, or any text in its stead, where the participant level would."""
    path = output_path(output_dir, "result", entities)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record if isinstance(record, str) else json.dumps(record), "utf-8")
    return path
