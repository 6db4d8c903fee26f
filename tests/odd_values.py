"""Files with odd values anywhere, and what must hold whatever they say: nobody stops the others."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from conftest import RawDatasetMaker
from raw_sidecar import PET_SIDECAR
from synthetic_records import finished_record, up_to_date, write, write_cohort
from tsv_rows import table_rows

from bidsapp.bids.derivative_root import write_root_files
from bidsapp.cli.main import main as centipet
from bidsapp.cli.verify import main as verify
from bidsapp.core.grid.volume import Volume
from bidsapp.data.calibrations import OwnEquation, calibration_content, signed
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracers import tracers
from bidsapp.io.nifti import save_volume
from bidsapp.record import Status, read_record
from bidsapp.settings import Processing

ODD = (
    None, True, False, 0, -1, 1, 7.5, 1e-320, 1e9, -1e15, 1e300, math.nan, math.inf, -math.inf,
    10**30, 10**400, "", " ", "n/a", "7", "NaN", "\x00", "\ud800", "\u202e<script>", "=1+1",
    "x" * 9999, "../../x", "2020-02-30", "2020-01-01T00:00:00+05:00", [], [None], [1], ["a"],
    [[1, 2], [3]], [math.nan, 1], [0] * 1000, {}, {"a": {}}, {"": None}, {"models": 1}, [{}],
    [{"name": []}],
)  # fmt: skip
_TOGETHER = 100  # damaged records beside each other in one dataset


def mutated(content: Any, random: np.random.Generator, most: int = 3) -> Any:
    """A copy of JSON in which one to ``most`` parts, however deep, are odd or gone."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, most + 1)):
        places = list(_places(content))
        if not places:
            break
        holder, key = places[random.integers(len(places))]
        if random.random() < 0.15:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(ODD[random.integers(len(ODD))])
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Everything that can be replaced: (what holds it, its name or place)."""
    items: list[tuple[Any, Any]] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content[:4]))
    for key, value in items:
        yield content, key
        yield from _places(value)


def whole_record(entities: dict[str, str]) -> dict[str, Any]:
    """A record with every field that a dynamic, longitudinal scan can have."""
    frames = {"frame_start_s": [0.0, 300.0], "frame_duration_s": [300.0, 300.0]}
    moved = {"translation_mm": [[0.0, 0.0, 0.0], [1.0, 0.5, 0.2]], "distance_mm": [0.0, 1.2]}
    record = finished_record(
        entities,
        centiloid_sd=3.1,
        centiloid_interval=[60.0, 72.0],
        uncertainty={"noise": 1.0, "equation": 2.0},
        band={"name": "high", "label": "High", "source": "A 2020", "doi": "10.1/x",
              "crossed": [24.4], "indeterminate": True, "statement": "High."},
        p_above_cutoff={"24.4": 0.99},
        centiloids={"wc": 66.0, "cg": 65.0, "wcb": 64.0, "pons": 70.0},
        reference_agreement={"reference": "pons", "difference": 4.0, "sds": 1.1},
        scales={"suvr": {"universal": 1.2}, "centaurz": {"universal": 3.0}},
        calibration={"id": "standard", "fingerprint": "ab", "calibrated": True, "differences": []},
        motion={**frames, **moved, "rotation_deg": [[0.0] * 3, [0.1] * 3], "corrected": True},
        tacs={"Centiloid": f"sub-{entities['sub']}/pet/x_tacs.tsv"},
        kinetics={"done": True, "reason": None, "region": "ctx",
                  "models": {"SRTM": {"DVR": 1.4, "DVR_se": 0.02}, "MRTM2": {"DVR": 1.3}}},
        pvc={"done": True, "psf_mm": [6.0] * 3, "suvr": {"rbv": {"wc": 1.9, "cg": 2.0}}},
        longitudinal={"template": True, "t1w_sources": ["bids:raw:a_T1w.nii.gz"]},
        participant={"age": "70", "sex": "F"},
        session={"apoe": "e3e4"},
        acq_time="1921-02-03T10:11:12",
        site="A",
        acquisition={"Manufacturer": "Siemens", "ReconMethodParameterLabels": ["subsets"],
                     "ReconMethodParameterValues": [21], "ReconFilterSize": 4},
        flags=[{"code": "window-partial", "message": "1.0 min are missing."}],
    )  # fmt: skip
    record["provenance"] |= {
        "command": "centipet",
        "inputs": {"pet": "sha256:01", "t1w": "sha256:02"},
        "voxels": {"pet": "sha256:03"},
        "outputs": {f"sub-{entities['sub']}/pet/x.nii.gz": "sha256:04"},
        "parameters": {"atlases": [{"name": "Centiloid"}], "reference_regions": [],
                       "window_min": [50, 70], "cutoff": [24.4], "smooth_fwhm_mm": None},
    }  # fmt: skip
    return up_to_date(record)


def damaged_records(folder: Path, number: int, seed: int = 0) -> Counter[str]:
    """Run the group level and the verification over many damaged records beside good ones.

    Raises
    ------
    AssertionError
        A level broke off, or the rows of the good scans are not what they were.
    """
    random, fates = np.random.default_rng(seed), Counter[str]()
    write_cohort(folder, 6, ("m00", "m24"))
    write_root_files(folder, folder)
    alone = _rows_of_the_good(folder)
    for first in range(0, number, _TOGETHER):
        paths = []
        for place in range(first, min(first + _TOGETHER, number)):
            entities = {"sub": f"odd{place % _TOGETHER:03}", "trc": ("FBB", "PIB")[place % 2]}
            damaged = mutated(whole_record(entities), random)
            paths.append(write(folder, json.dumps(damaged), entities))
        assert _rows_of_the_good(folder) == alone, f"records {first} and on, seed {seed}"
        code, printed = _told(verify, [str(folder)])
        assert code == 1 and "Traceback" not in printed, printed
        assert "cannot be recomputed" not in printed, printed
        for path in paths:
            record = read_record(path, folder)
            odd = any(flag.code == "record-damaged" for flag in record.flags)
            fates["a result, flagged" if odd and record.status is Status.OK else record.status] += 1
            path.unlink()
    return fates


def damaged_sidecars(folder: Path, number: int, seed: int = 0) -> Counter[str]:
    """Run the participant level, without the steps, over many damaged sidecars beside good ones.

    Raises
    ------
    AssertionError
        The level broke off, told a fault of its own, or did not come to its steps with a good scan.
    """
    random, fates = np.random.default_rng(seed), Counter[str]()
    raw, out = RawDatasetMaker(folder / "raw"), folder / "out"
    odd = [f"sub-odd{place:03}" for place in range(min(number, _TOGETHER))]
    for name in (*odd, "sub-good1", "sub-good2"):
        raw.t1w(name)
        raw.pet(f"{name}_trc-FBB")
    options = ["--work-dir", str(folder / "work"), "--nprocs", "1", "--mem", "8G"]
    for _ in range(0, number, _TOGETHER):
        for name in odd:
            content = mutated(PET_SIDECAR | {"DecayCorrectionFactor": [1.1, 1.2]}, random)
            path = raw.root / name / "pet" / f"{name}_trc-FBB_pet.json"
            path.write_text(json.dumps(content))
        with patch("bidsapp.execution.engine.run", return_value=[]), patch(
            "bidsapp.cli.participant.write_pages", return_value=[]
        ):  # fmt: skip
            code, printed = _told(centipet, [str(raw.root), str(out), "participant", *options])
        assert code == 1 and "Traceback" not in printed and "bug in CentiPET" not in printed, (
            printed
        )
        for name in ("sub-good1", "sub-good2", *odd):
            record = read_record(out / name / "pet" / f"{name}_trc-FBB_centiloid.json", out)
            if name in odd:
                fates["planned" if record.status is Status.INCOMPLETE else record.status] += 1
                assert record.error in (None, "BadDataError", "NoInputError"), record.reason
            else:
                assert record.status is Status.INCOMPLETE  # came to its steps
    return fates


def damaged_options(folder: Path, number: int, seed: int = 0) -> Counter[str]:
    """Run the participant level, without the steps, with damaged files as options.

    Raises
    ------
    AssertionError
        A run ended with a traceback or with a fault of its own.
    """
    random, fates = np.random.default_rng(seed), Counter[str]()
    raw, out = RawDatasetMaker(folder / "raw"), folder / "out"
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB")
    (folder / "dicom").mkdir()
    (folder / "dicom" / "notes.txt").write_text("no image")
    base = [str(raw.root), str(out), "participant", "--work-dir", str(folder / "work")]
    files = _option_files(folder)
    for place in range(number):
        option, path, content, more = files[place % len(files)]
        path.write_bytes(_damaged_text(option, content, random))
        value = f"Own={folder / 'atlas.nii.gz'},{path}" if option == "--atlas" else str(path)
        with patch("bidsapp.execution.engine.run", return_value=[]), patch(
            "bidsapp.cli.participant.write_pages", return_value=[]
        ):  # fmt: skip
            code, printed = _told(centipet, [*base, option, value, *more])
        assert code in (0, 1, 18, 64, 65, 66), (option, code, printed, path.read_bytes()[:2000])
        assert "Traceback" not in printed and "bug in CentiPET" not in printed, (option, printed)
        fates["accepted" if code in (0, 1) else f"refused with {code}"] += 1
    return fates


def _option_files(folder: Path) -> list[tuple[str, Path, Any, list[str]]]:
    """Options that name a file, its path, what is good in it, and what else must be given."""
    code, reference = "FBB", "wc"
    tracer = tracers()[code]
    key, line = (code, reference), tracer.equation
    own = OwnEquation(line, Pipeline(Processing(), code).fingerprint(reference), (1.0, 2.0))
    signed_by_user = calibration_content({key: own}, passed=True)
    labels = np.zeros((6, 6, 6), np.int16)
    labels[2:4, 2:4, 2:4] = 1
    save_volume(folder / "atlas.nii.gz", Volume(labels, np.diag([2.0, 2.0, 2.0, 1.0])))
    options = {
        "nprocs": 2, "mem": "8G", "window": [90.0, 110.0], "smooth": 4.0, "cutoff": [24.4],
        "participant-label": ["1"], "kinetics": ["srtm"], "pvc": ["gtm"], "step-timeout": 60.0,
        "write-masks": True, "output-spaces": ["T1w"], "k2-prime": 0.1,
    }  # fmt: skip
    filters = {"pet": {"session": None, "run": [1], "tracer": "FBB", "extension": ".nii.gz"},
               "t1w": {"acquisition": "*", "suffix": "T1w"}, "bold": {"task": "rest"}}  # fmt: skip
    lab = {"QZ41": {"name": "[18F]QZ-41", "synonyms": ["qualizetaben"], "radionuclide": "F18",
                    "window_min": [50.0, 70.0]}}  # fmt: skip
    metadata = {"sub-01": {"InjectionTime": "10:00:00", "InjectedRadioactivity": 300}}
    dicom = ["--dicom-dir", str(folder / "dicom")]
    return [
        ("--config-file", folder / "options.toml", options, []),
        ("--bids-filter-file", folder / "filters.json", filters, []),
        ("--use-plugin", folder / "plugin.json",
         {"plugin": "SLURM", "plugin_args": {"sbatch_args": "--mem=3G", "max_jobs": 4}}, []),
        ("--calibration", folder / "calibration.json", signed_by_user, []),
        ("--tracer-file", folder / "lab.toml", {"tracers": lab}, []),
        ("--norms", folder / "norms.tsv",
         [["atlas", "region", "mean", "sd"], ["Centiloid", "ctx", 1.1, 0.1]], []),
        ("--atlas", folder / "atlas.tsv", [["index", "name"], [1, "Pons"]], []),
        ("--dicom-map", folder / "map.tsv",
         [["patient_id", "participant_id"], ["A", "sub-1"]], dicom),
        ("--dicom-metadata", folder / "metadata.json", metadata, dicom),
    ]  # fmt: skip


def _damaged_text(option: str, content: Any, random: np.random.Generator) -> bytes:
    """The file with odd values, as who writes by hand may make them, or with other bytes."""
    odd = content
    if random.random() < 0.7:
        odd = mutated(content, random)
        if option == "--calibration" and random.random() < 0.5 and isinstance(odd, dict):
            odd = signed(odd)  # as its owner could
    if option in ("--config-file", "--tracer-file"):
        lines = [f"{json.dumps(str(key))} = {_toml(value)}" for key, value in odd.items()]
        text = "\n".join(lines)
    elif isinstance(content, list):
        rows = [row if isinstance(row, list) else [row] for row in odd]
        text = "\n".join("\t".join(map(_cell, row)) for row in rows)
    else:
        text = json.dumps(odd)
    data = bytearray(text.encode(errors="surrogatepass"))
    if odd is content or random.random() < 0.1:
        first = int(random.integers(len(data) + 1))
        last = first + int(random.integers(40))
        data[first:last] = random.bytes(int(random.integers(12)))
    return bytes(data)


def _cell(value: Any) -> str:
    return str(value) if not isinstance(value, int) or abs(value) < 10**300 else "9" * 401


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _rows_of_the_good(folder: Path) -> list[dict[str, str]]:
    """Rows of the group table for scans that nobody damaged, without what depends on the others."""
    code, printed = _told(centipet, [str(folder / "raw"), str(folder), "group"])
    assert code == 0 and "Traceback" not in printed, printed
    rows = table_rows(folder / "group_centiloid.tsv")
    good = [row for row in rows if not row["participant_id"].startswith("sub-odd")]
    own = ("participant_id", "session_id", "status", "centiloid", "suvr_wc", "age", "years", "band")
    return [{name: row[name] for name in own} for row in good]


def _told(command: Any, arguments: list[str]) -> tuple[int, str]:
    """Exit code of a command, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = command(arguments)
    return code, out.getvalue()
