"""Records of scans as the participant level writes them, without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from bidsapp.bids.derivatives import output_path
from bidsapp.bids.seals import sealed
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import read_table
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.tau import tau_equations, tau_regions
from bidsapp.data.tracers import tau_tracers, tracers
from bidsapp.io.atomic import write_text
from bidsapp.io.tsv import write_table
from bidsapp.record.codec import plain
from bidsapp.record.files import record_from_json
from bidsapp.record.stages import empty_record
from bidsapp.settings import Processing
from bidsapp.steps.measuring import region_dictionary
from bidsapp.workflows.sidecars import parameters

VOXELS = {"ctx": 29328, "wc": 14940, "cg": 7858, "wcb": 17793, "pons": 2261}


def tau_record(entities: Mapping[str, str], suvr: float = 1.5, **changes: Any) -> dict:
    """Record of a tau scan with a result: one SUVR in all CenTauR volumes, no Centiloid."""
    tracer = tau_tracers()[entities["trc"]]
    amyloid = finished_record(entities | {"trc": "FBB"})
    scales = {"suvr": dict.fromkeys(tau_regions(), suvr)} | {
        scale: {region: centiloid(suvr, line) for region, line in lines.items()}
        for scale, lines in tau_equations(tracer.code).items()
        if lines
    }
    return amyloid | {
        "entities": dict(entities),
        "source": amyloid["source"].replace("FBB", tracer.code),
        "tracer": tracer.code,
        "tracer_name": tracer.name,
        "tracer_window_min": list(tracer.window_min),
        "centiloid": None,
        "equation": None,
        "calibration": {"id": "published", "calibrated": True, "differences": []},
        "scales": scales,
        **changes,
    }


def finished_record(entities: Mapping[str, str], suvr_wc: float = 1.5, **changes: Any) -> dict:
    """Record of a scan with a result: four frames over the window, uptake 5 kBq/mL in wc.

    It is one of CentiPET 0.1, without verdicts, so that whatever ``changes`` hold is judged when
    it is read; `up_to_date` makes one of today.
    """
    tracer = tracers()[entities["trc"]]
    start, end = tracer.window_min
    frame = (end - start) * 60 / 4
    uptake = {"ctx": 5000 * suvr_wc, "wc": 5000.0, "cg": 4500.0, "wcb": 5300.0}
    uptake["pons"] = 7000 + crc32(repr(sorted(entities.items())).encode()) / 2**32  # no duplicates
    equation = tracer.equation
    raw = "bids:raw:sub-{sub}/".format(**entities)
    empty = {
        key: value
        for key, value in plain(empty_record(entities)).items()
        if key != "schema_version"
    }
    return empty | {
        "status": "ok",
        "source": f"{raw}pet/sub-{entities['sub']}_trc-{tracer.code}_pet.nii.gz",
        "t1w_source": f"{raw}anat/sub-{entities['sub']}_T1w.nii.gz",
        "tracer": tracer.code,
        "tracer_name": tracer.name,
        "window_start_min": start,
        "window_end_min": end,
        "tracer_window_min": [start, end],
        "window": {"coverage": 1.0, "verdict": "good"},
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


def up_to_date(record: Mapping[str, Any]) -> dict[str, Any]:
    """The same record as the participant level writes it today, verdicts included."""
    return plain(record_from_json(record, output_path("", "result", record["entities"]).as_posix()))


def write_cohort(output_dir: Path, n_people: int, sessions: Sequence[str] = ("m00",)) -> int:
    """Write records and atlas tables of many people, as the options' defaults make them.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    n_people : how many
    sessions : of each of them, two years apart

    Returns
    -------
    int
        Scans.
    """
    rng = np.random.default_rng(2015)
    columns = region_dictionary(Processing(), "Bq/mL")
    tables = {one.name: list(one.names) for one in chosen_atlases(Processing())}
    for person in range(n_people):
        start = rng.normal(1.35, 0.25)
        for visit, session in enumerate(sessions):
            entities = {"sub": f"{person:05}", "ses": session, "trc": "FBB"}
            suvr = float(start + 0.03 * visit + rng.normal(0, 0.01))
            record = finished_record(entities, suvr, **_details(person, visit, rng))
            write(output_dir, record, entities)
            for name, regions in tables.items():
                values = {column: _values(column, regions, suvr, rng) for column in columns}
                path = output_path(output_dir, "vois", entities, atlas=name)
                write_table(path, values, columns, {})
    return n_people * len(sessions)


def _details(person: int, visit: int, rng: np.random.Generator) -> dict[str, Any]:
    """What a record has besides its Centiloid, in its usual size."""
    return {
        "participant": {"age": str(60 + person % 30), "sex": "FM"[person % 2], "apoe": "e3e4"},
        "site": f"site{person % 12}",
        "acq_time": (datetime(1920, 1, 1) + timedelta(days=731 * visit)).isoformat(),
        "acquisition": {"Manufacturer": "Siemens", "ManufacturersModelName": "Biograph mMR"},
        "qc": {name: float(rng.normal(1, 0.1)) for name in read_table("qc")},
        "t1w_intensities": {"counts": rng.integers(0, 9999, 256).tolist()},
        "provenance": {
            "version": "0.1.0",
            "parameters": parameters(Processing()),
            "resources": {f"tpl-{i}.nii.gz": f"sha256:{i:064}" for i in range(20)},
        },
    }


def _values(column: str, regions: list[str], suvr: float, rng: np.random.Generator) -> list[Any]:
    """A column of an atlas table."""
    if column in ("index", "n_voxels"):
        return list(range(1, len(regions) + 1))
    if column in ("name", "z"):
        return regions if column == "name" else [None] * len(regions)
    return rng.normal(suvr, 0.1, len(regions)).tolist()


def write_sealed(output_dir: Path, record: Mapping[str, Any]) -> Path:
    """Write a record, given as JSON, with its hash."""
    return write_text(output_path(output_dir, "result", record["entities"]), sealed(record))


def write(output_dir: Path, record: Mapping[str, Any] | str, entities: Mapping[str, str]) -> Path:
    """Put a record, or any text in its stead, where the participant level would."""
    path = output_path(output_dir, "result", entities)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record if isinstance(record, str) else json.dumps(record), "utf-8")
    return path
