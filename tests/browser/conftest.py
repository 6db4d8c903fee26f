"""Pages in a headless Chromium, which sees every request, every message and every pixel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from synthetic_derivatives import SCAN, fake_pet, write_images
from synthetic_records import finished_record, write

from bidsapp import data
from bidsapp.bids.derivatives import output_path
from bidsapp.core.grid.volume import Volume
from bidsapp.data import read_table
from bidsapp.data.atlases import atlas
from bidsapp.group.collect import run_group
from bidsapp.io.nifti import save_volume
from bidsapp.io.tsv import write_table
from bidsapp.report.participant import write_page
from bidsapp.settings import Filters

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(2)>\"'>"

STATIC = {"sub": "04", "trc": "FMM"}

# As root and without a network: no sandbox, no questions to any host.
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The browser; a machine without one skips these tests, and says so at the end of the run."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        pytest.skip("NOT TESTED IN A BROWSER: there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page and what it did besides."""

    page: object
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def visit(chromium) -> Iterator:
    """Open a file as from disk."""
    contexts = []

    def opened(path: Path, **options) -> Visit:
        options.setdefault("viewport", {"width": 1200, "height": 900})
        context = chromium.new_context(**options)
        contexts.append(context)
        found = Visit(context.new_page())
        page = found.page
        page.on("console", lambda message: found.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.messages.append(f"error: {error}"))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where a person can look at the pages of the last run."""
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_dynamic(folder: Path) -> None:
    """What a dynamic scan has besides: two frames, activity over time, uptake by region."""
    frames = np.stack([fake_pet()[:, :, 12:] * share for share in (0.5, 1.0)], axis=-1)
    affine = data.mni_grid(2).affine.copy()
    affine[:3, 3] = affine[:3, :3] @ (0, 0, 12) + affine[:3, 3]
    save_volume(output_path(folder, "pet_dynamic", SCAN), Volume(frames, affine))
    tacs = {"frame_start": [5400, 5700], "frame_end": [5700, 6000], "ctx": [8e3, 9e3],
            "wc": [5e3, 5e3]}  # fmt: skip
    names = atlas("DesikanKilliany").names
    vois = {"name": list(names), "z": [2.0] * len(names), "centiloid_wc": [60.0] * len(names),
            "suvr_wc": [1.4 if one.endswith("_L") else 1.2 for one in names]}  # fmt: skip
    for key, of, table in (("tacs", "Centiloid", tacs), ("vois", "DesikanKilliany", vois)):
        path = output_path(folder, key, SCAN, atlas=of)
        write_table(path, table, {column: {} for column in table}, {})


def unremarkable(name: str, row: dict) -> float:
    """A value of a quality number that nobody has to look at."""
    limit = read_table("limits").get(row.get("limit", name), {})
    if "flag" in limit:
        return 0.7 * limit["flag"]
    if "least" in limit:
        return limit["least"] + 0.1
    return sum(row.get("usual", (1.0, 1.0))) / 2


@pytest.fixture(scope="session")
def derivatives(tmp_path_factory) -> Path:
    """Pages of a dynamic, a failed, a hostile and a static participant, and of 200 scans."""
    folder = tmp_path_factory.mktemp("study")
    write_images(folder, SCAN)
    write_dynamic(folder)
    write_images(folder, STATIC)
    flag = {"code": "window-shifted", "message": "Scanned late; compare with care."}
    motion = {
        "corrected": True, "frame_start_s": [5400.0, 5700.0], "frame_duration_s": [300.0, 300.0],
        "distance_mm": [0.0, 4.0], "translation_mm": [[0, 0, 0], [3, 2, 1]],
        "rotation_deg": [[0, 0, 0], [1, 2, 0]],
    }  # fmt: skip
    qc = {name: unremarkable(name, row) for name, row in read_table("qc").items()}
    extra = {
        "motion": motion,
        "qc": qc,
        "centiloid_sd": 5.0,
        "centiloid_interval": [111.4, 131.0],
        "flags": [flag],
        "participant": {"age": "71", "sex": "F"},
        "acquisition": {"Manufacturer": "Siemens", "ManufacturersModelName": "Biograph mCT",
                        "InjectedRadioactivity": 300, "InjectedRadioactivityUnits": "MBq"},
    }  # fmt: skip
    provenance = {"version": "0.1.0", "parameters": {
        "atlases": [{"name": "Centiloid"}, {"name": "DesikanKilliany"}], "psf_mm": None,
    }}  # fmt: skip
    dynamic = {
        "tacs": {"Centiloid": "told"}, "kinetics": {"done": True, "reference_region": "cg",
        "models": {name: {"DVR": 1.3, "DVR_se": 0.02} for name in ("SRTM", "SRTM2", "Logan")}},
        "provenance": provenance,
    }  # fmt: skip
    write(folder, finished_record(SCAN, suvr_wc=1.8, **extra, **dynamic), SCAN)
    write(folder, finished_record(STATIC, suvr_wc=1.8, **{**extra, "motion": None}), STATIC)
    failed = {"sub": "02", "trc": "PIB"}
    reason = "sub-02_trc-PIB_pet.json: FrameDuration is missing; add it"
    content = finished_record(failed) | {
        "status": "failed",
        "reason": reason,
        "error": "BadDataError",
    }
    write(folder, content, failed)
    hostile = {"sub": "03", "trc": "FBB"}
    write(folder, finished_record(
        hostile, tracer=HOSTILE, tracer_name=HOSTILE, site=HOSTILE, method=HOSTILE, source=HOSTILE,
        flags=[{"code": HOSTILE, "message": HOSTILE}], qc={HOSTILE: 1.0},
    ), hostile)  # fmt: skip
    for label in ("01", "02", "03", "04"):
        write_page(folder, label)
    for number in range(100):
        for year in (2020, 2022):
            entities = {
                "sub": f"g{number:03}",
                "ses": f"y{year}",
                "trc": ("FBB", "PIB")[number % 2],
            }
            suvr = 1 + number / 150 + 0.02 * (year - 2020)
            record = finished_record(entities, suvr_wc=suvr, site=f"site {number % 3}")
            record["acq_time"] = f"{year}-06-01T10:00:00"
            record["centiloids"] = {
                "wc": record["centiloid"],
                "pons": record["centiloid"] + number % 7,
            }
            record["qc"]["brain_ml"] = 1400 + number % 11 if number else 700
            write(folder, record, entities)
    run_group(folder, Filters())
    return folder
