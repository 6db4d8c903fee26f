"""The participant page: complete, self-contained, safe, and there whatever happened."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from html_page import Page
from PIL import Image
from synthetic_derivatives import SCAN, write_images
from synthetic_records import finished_record, write
from whole_app import used_by

from bidsapp.bids.derivatives import output_path
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import NoInputError
from bidsapp.io.nifti import save_displacements, save_volume
from bidsapp.report.participant import write_page

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>&{{ 7*7 }}"


# glance, uptake, regions, alignment and field of view with the cortex from outside; T1w
SCAN_LAYERS, T1W_LAYERS = 2 + 3 + 2 + 2 + 1 + 1, 2 + 2 + 3


def read(path) -> Page:
    return Page(path.read_text("utf-8"))


def n_layers(page: Page) -> int:
    """Layers of pictures; those that share their pixels use one image."""
    return len(page.all("image")) + len(page.all("use"))


@pytest.fixture(scope="module")
def page_path(derivatives):
    return derivatives / "sub-01.html"


@pytest.fixture(scope="module")
def page(page_path):
    return read(page_path)


def test_the_result_comes_first_with_band_and_source(page_path, page):
    assert page_path.name == "sub-01.html"
    words = page.words
    # the answer, whether it lies in the right place, the details
    order = ("121.2", "Uptake at a glance.", "PET to T1w.", "Field of view.",
             "Cortex from outside.", "Mean, kBq/ml", "Methods, ready to paste")  # fmt: skip
    places = [words.index(one) for one in order]
    assert places == sorted(places)
    assert "Collij et al. 2024" in words
    for value in ("1.80", "2.00", "1.70", "1.29"):  # wc, cg, wcb, pons
        assert value in words


def test_the_page_is_small_and_asks_nobody(page_path, page):
    assert page_path.stat().st_size < 6_000_000
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert not page.all("link") and not page.all("iframe")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
    for image in page.all("image"):
        assert image["href"].startswith("data:image/")
    styles = re.findall(r"url\(|@import", page_path.read_text())
    assert not styles


def test_the_only_script_that_runs_is_the_one_the_policy_names(page):
    running = [
        text
        for tag, text in zip(page.all("script"), page.scripts, strict=True)
        if "type" not in tag
    ]
    (script,) = running
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"fetch\(|XMLHttp|innerHTML|eval\(", script)


def test_pictures_are_real_and_told_in_words(page):
    assert n_layers(page) == SCAN_LAYERS + T1W_LAYERS
    pictures = page.all("image")
    assert len({picture["href"] for picture in pictures}) == len(pictures)  # each is there once
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture["href"].split(",")[1])))
        assert image.size == (int(picture["width"]), int(picture["height"]))
        assert np.asarray(image.convert("L")).std() > 20
    ids = {attributes.get("id") for _, attributes in page.tags}
    drawings = [a for a in page.all("svg") if a.get("role") == "img"]
    assert len(drawings) == 9 + 2
    for drawing in drawings:
        assert set(drawing["aria-labelledby"].split()) <= ids


def test_every_figure_is_a_file_as_well(derivatives):
    folder = derivatives / "sub-01" / "figures"
    names = {path.name for path in folder.glob("*.svg")}
    scan = {"scale", "glance", "pattern", "suvr", "vois", "alignment", "coverage", "timeline"}
    assert names == {f"sub-01_trc-FBB_desc-{name}_pet.svg" for name in scan} | {
        f"sub-01_desc-{name}_T1w.svg" for name in ("normalisation", "tissue", "deformation")
    }
    captions = (folder / "captions.tsv").read_text("utf-8").splitlines()
    assert {line.split("\t")[0] for line in captions[1:]} == names


def test_lights_say_what_a_number_means(page):
    words = " ".join(page.words.split())
    assert "good: Uptake window 90.0 to 110.0 min" in words.replace("✓ ", "").replace("✓", "")
    assert "Within the limit of 3.00 mm" in words and "Usual is 850" in words


def test_a_screen_reader_finds_its_way(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(links) <= set(ids) and "main" in links
    assert all("scope" in header for header in page.all("th"))
    # tables that scroll are groups: as landmarks of a page of many scans they would hide the others
    assert not any(attributes.get("role") == "region" for _, attributes in page.tags)
    assert page.all("html")[0]["lang"] == "en"


@pytest.mark.slow
def test_the_same_derivatives_give_the_same_bytes(derivatives, page_path):
    before = page_path.read_bytes()
    assert write_page(derivatives, "sub-01").read_bytes() == before


@pytest.mark.slow
def test_a_page_leaves_no_image_behind(derivatives):
    def images():
        return [thing for thing in gc.get_objects() if isinstance(thing, Volume)]

    write_page(derivatives, "01")  # what all pages share is read once
    gc.collect()
    before = len(images())
    gc.disable()  # as good as it is between two pages of a run
    try:
        write_page(derivatives, "01")
        assert len(images()) == before
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_page_keeps_to_its_memory(tmp_path):
    """In a process of its own, as a cluster job would, images of real size: 1.5 GB."""
    write_images(tmp_path, SCAN, res=1)
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8), SCAN)
    code = (
        "import sys; from pathlib import Path\n"
        "from bidsapp.report.participant import write_page\n"
        "write_page(Path(sys.argv[1]), '01')"
    )
    _, megabytes = used_by(code, tmp_path)
    assert megabytes < 1500
    assert (tmp_path / "sub-01.html").stat().st_size < 6_000_000


def test_numbers_of_other_helpers_are_shown_when_there_are_any(tmp_path):
    extra = {
        "centiloid_sd": 5.04,
        "centiloid_interval": [111.3, 131.1],
        "rescan_interval": [116.5, 125.9],
        "p_above_cutoff": {"24.4": 0.999},
        "centiloids": {"wc": 121.2, "cg": 118.4},
    }
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8, **extra), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "111.3 to 131.1 CL 95 % interval of what PiB would have shown" in words
    assert "116.5 to 125.9 CL 95 % interval of the same tracer scanned again" in words
    assert "118.4 CL" in words and "above 24.4 CL: 100 %" in words


@pytest.mark.parametrize(
    ("kind", "crossed", "name"),
    [("pib", [10, 30], "what PiB would have shown"), ("rescan", [30], "the same tracer scanned")],
)
def test_the_interval_that_reaches_across_bands_is_named(tmp_path, kind, crossed, name):
    band = {"name": "intermediate", "crossed": crossed, "indeterminate": True}
    record = finished_record(SCAN, centiloid=25.0, interval=kind, band=band)
    write(tmp_path, record, SCAN)
    words = read(write_page(tmp_path, "01")).words
    (sentence,) = [one for one in words.split(". ") if "reaches across" in one]
    assert f"Indeterminate: the interval of {name}" in sentence
    assert words.index("Indeterminate") < words.index("intermediate range")
    assert f"across {' and '.join(map(str, crossed))} CL" in sentence


def test_a_scan_that_no_equation_fits_keeps_its_suvrs(tmp_path):
    calibration = {"id": "published", "calibrated": False, "differences": ["smoothing"]}
    changes = {"centiloid": None, "equation": None, "calibration": calibration}
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8, **changes), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "trc-FBB: no Centiloid" in words
    assert "No Centiloid" in words and "smoothing" in words and "--calibration" in words
    assert "1.80" in words


def test_several_scans_begin_with_a_table_of_their_results(tmp_path):
    flags = [{"code": code, "message": "look"} for code in ("stated", "pet-offset")]
    scans = {
        "1": finished_record(SCAN, centiloid=5.0, rescan_interval=[1.0, 9.0]),
        "2": finished_record(SCAN, centiloid=40.0, flags=flags),
        "3": finished_record(SCAN) | {"status": "failed", "reason": "x"},
    }
    for session, content in scans.items():
        write(tmp_path, content, {"sub": "01", "ses": session, "trc": "FBB"})
    page = read(write_page(tmp_path, "01"))
    table = page.words[page.words.index("Result of every scan") : page.words.index("session 1")]
    rows = table.split("ses-")[1:]
    assert "1_trc-FBB" in rows[0] and "5.0 CL" in rows[0] and "1.0 to 9.0" in rows[0]
    assert "40.0 CL, in doubt" in rows[1] and "pet-offset; stated" in rows[1]
    assert "failed" in rows[2]


@pytest.mark.parametrize("code", ["pet-t1w-distance", "pet-offset", "frame-stands-out"])
def test_no_band_where_the_number_is_in_doubt(tmp_path, code):
    write(tmp_path, finished_record(SCAN, centiloid=5.0), SCAN)
    assert "Below 10 CL: excludes" in read(write_page(tmp_path, "01")).words
    flag = {"code": code, "message": "look"}
    write(tmp_path, finished_record(SCAN, centiloid=5.0, flags=[flag]), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "No band is given" in words and "Below 10 CL: excludes" not in words
    assert (
        "trc-FBB: 5.0 CL, in doubt" in words
        and "value in doubt, 1 flag" in words
        and f"Value in doubt. Look. {code}" in words
    )


def test_a_tau_scan_shows_its_own_scales(tmp_path):
    scales = {"suvr": {"universal": 1.4, "frontal": 1.2}, "centaurz": {"universal": 3.25}}
    changes = {"centiloid": None, "equation": None, "scales": scales, "tracer": "FTP",
               "calibration": {"calibrated": False}}  # fmt: skip
    write(tmp_path, finished_record(SCAN, **changes), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert words.index("3.2CenTauRz") < words.index("Uptake at a glance")
    assert "1.40" in words and "No Centiloid" not in words
    assert "used for CL" not in words and "this tracer no equation of CenTauR" in words


def test_a_tau_scan_may_have_scales_of_some_regions_only(tmp_path):
    scales = {"suvr": {"universal": 1.4, "frontal": 1.2}, "centaurz": {"frontal": 3.25}}
    changes = {"centiloid": None, "equation": None, "scales": scales, "tracer": "FTP"}
    write(tmp_path, finished_record(SCAN, **changes), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "trc-FBB: CenTauRz of some regions" in words and "frontal1.203.2" in words


@pytest.mark.parametrize("broken", ["yes", {"low": 2}, [None, 3], [1], True])
def test_a_record_of_another_form_costs_its_scan(tmp_path, broken):
    record = finished_record(SCAN, suvr_wc=1.8, centiloid_interval=broken)
    write(tmp_path, record, SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "centiloid_interval cannot be what CentiPET wrote" in words and "121.2" not in words


def test_numbers_of_another_shape_count_as_absent(tmp_path):
    broken = [1]
    extra = {"p_above_cutoff": broken, "motion": broken}
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8, **extra), SCAN)
    words = read(write_page(tmp_path, "01")).words
    assert "121.2" in words and "p_above_cutoff, motion" in words


def test_a_scan_without_t1w_is_shown_on_the_template(derivatives, tmp_path):
    shutil.copytree(derivatives / "sub-01" / "pet", tmp_path / "sub-01" / "pet")
    warp = output_path(derivatives, "warp", SCAN)
    shutil.copyfile(warp, output_path(tmp_path, "pet_warp", SCAN))
    record = finished_record(
        SCAN, suvr_wc=1.8, t1w_source=None, method="pet-only", tacs={"Centiloid": "x.tsv"}
    )
    write(tmp_path, record, SCAN)
    page = read(write_page(tmp_path, "01"))
    assert n_layers(page) == 2 + 3 + 1 + 2 + 3 and "no such image" not in page.words
    assert "as the participant has none" in page.words
    assert "The frames of this scan are not in the page" in page.words


def test_a_figure_of_a_scan_that_failed_since_is_gone(derivatives, tmp_path):
    shutil.copytree(derivatives / "sub-01/figures", tmp_path / "sub-01/figures")
    assert list((tmp_path / "sub-01" / "figures").glob("*_pet.svg"))
    write(tmp_path, finished_record(SCAN) | {"status": "failed", "reason": "x; y"}, SCAN)
    write_page(tmp_path, "01")
    assert not list((tmp_path / "sub-01" / "figures").glob("*_pet.svg"))


@pytest.mark.slow
def test_pages_of_many_scans_stay_small(derivatives, tmp_path):
    """Five sessions of one T1w: less detail each, nothing left out but the viewer's own space."""
    for session in range(5):
        entities = {**SCAN, "ses": str(session)}
        write_images(tmp_path, entities, only=("pet_t1w", "pet_mni", "pet_native", "xfm"))
        source = "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
        write(tmp_path, finished_record(entities, suvr_wc=1.8, t1w_source=source), entities)
    shutil.copytree(derivatives / "sub-01" / "anat", tmp_path / "sub-01" / "anat")
    path = write_page(tmp_path, "01")
    assert path.stat().st_size < 6_000_000
    assert n_layers(read(path)) == 5 * SCAN_LAYERS + T1W_LAYERS


def test_flags_that_doubt_the_number_come_first(tmp_path):
    codes = ("units", "pet-offset", "stated", "pet-t1w-distance")
    flags = [{"code": code, "message": "look"} for code in codes]
    write(tmp_path, finished_record(SCAN, flags=flags), SCAN)
    words = read(write_page(tmp_path, "01")).words
    order = sorted(codes, key=lambda code: words.index(f"Look. {code}"))
    assert order == ["pet-offset", "pet-t1w-distance", "units", "stated"]


def test_flags_stand_with_their_sentences(tmp_path):
    flag = {"code": "window-partial", "message": "Only 80 % was scanned; compare with care."}
    content = finished_record(SCAN, flags=[flag], qc={"pet_t1w_distance_mm": 4.5})
    write(tmp_path, content, SCAN)
    page = read(write_page(tmp_path, "01"))
    assert "Only 80 % was scanned; compare with care." in page.words
    assert "1 flag, please check" in page.words
    assert page.words.index("Check the flag before") < page.words.index("corresponds well with")
    assert "Above the limit of 3.00 mm" in page.words and "look:" in page.words


@pytest.mark.parametrize("status", ["failed", "incomplete", "skipped"])
def test_a_scan_without_result_says_what_happened_and_what_to_do(tmp_path, status):
    content = finished_record(SCAN) | {
        "status": status,
        "error": "BadDataError",
        "reason": "sub-01_trc-FBB_pet.json: FrameDuration is missing; add it",
    }
    write(tmp_path, content, SCAN)
    page = read(write_page(tmp_path, "01"))
    lede = page.words[page.words.index("1 PET scan:") :][:40]
    assert "FrameDuration is missing; add it" in page.words
    assert "What happened" in page.words and "What to do" in page.words
    listed = {"failed": "failed", "incomplete": "not finished", "skipped": "left out"}[status]
    assert f"trc-FBB: {listed}" in page.words
    assert "121.2" not in page.words and "quantified" not in lede
    assert "Methods" not in page.words  # nothing was measured
    assert not page.all("image")


def test_a_torn_record_and_a_good_one_share_a_page(tmp_path):
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8), SCAN)
    write(tmp_path, "{", {**SCAN, "ses": "2"})
    page = read(write_page(tmp_path, "01"))
    assert "2 PET scans: 1 quantified, 1 failed." in page.words
    assert "cannot be read" in page.words and "run the participant level again" in page.words
    assert "121.2" in page.words


def test_a_lost_image_and_one_of_another_shape_cost_their_pictures_not_the_page(
    derivatives, tmp_path
):
    shutil.copytree(derivatives, tmp_path, dirs_exist_ok=True)
    lost, warp = (output_path(tmp_path, name, SCAN) for name in ("pet_mni", "warp"))
    lost.unlink()
    save_displacements(warp, np.zeros((9, 9, 9, 1, 3), np.float32), np.eye(4))
    page = read(write_page(tmp_path, "01"))
    assert f"{lost.relative_to(tmp_path)}: no such image" in page.words
    assert "Warp to the template: no picture" in page.words and "please report" in page.words
    assert n_layers(page) == SCAN_LAYERS + T1W_LAYERS - (1 + 2) - 3
    assert str(tmp_path) not in page.words


def test_an_empty_brain_mask_costs_its_pictures_not_the_page(derivatives, tmp_path):
    shutil.copytree(derivatives, tmp_path, dirs_exist_ok=True)
    mask = output_path(tmp_path, "mask", SCAN)
    save_volume(mask, Volume(np.zeros((4, 4, 4), bool), np.eye(4)))
    page = read(write_page(tmp_path, "01"))
    assert n_layers(page) == 1 + 2 + 2 + 3
    assert f"{mask.relative_to(tmp_path)}: the brain mask is empty" in page.words


def test_hostile_strings_stay_text(tmp_path):
    content = finished_record(SCAN) | {
        "status": "failed",
        "reason": HOSTILE,
        "error": HOSTILE,
        "tracer_name": HOSTILE,
        "tracer": HOSTILE,
        "source": HOSTILE,
        "t1w_source": HOSTILE,
        "method": HOSTILE,
        "equation": {"slope": 1, "intercept": 2, "source": HOSTILE, "doi": HOSTILE},
        "flags": [{"code": HOSTILE, "message": HOSTILE}],
        "qc": {HOSTILE: 1.0},
        "provenance": {"version": HOSTILE, "parameters": {HOSTILE: HOSTILE}},
    }
    write(tmp_path, content, SCAN)
    page = read(write_page(tmp_path, "01"))
    assert len(page.all("script")) == 1 and not page.all("img")
    assert page.words.count(HOSTILE) >= 6


def test_hostile_strings_stay_text_in_a_finished_scan(tmp_path):
    content = finished_record(
        SCAN,
        tracer_name=HOSTILE,
        method=HOSTILE,
        reference_region=HOSTILE,
        flags=[{"code": HOSTILE, "message": HOSTILE}],
        qc={HOSTILE: 1.0},
        equation={"slope": 1, "intercept": 2, "source": HOSTILE, "doi": 'x" onclick="y'},
    )
    write(tmp_path, content, SCAN)
    page = read(write_page(tmp_path, "01"))
    assert len(page.all("script")) == 1 and not page.all("img")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.words.count(HOSTILE) >= 5


def test_nobody_to_report_on_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(NoInputError, match=r"sub-07.*run the participant level first"):
        write_page(tmp_path, "07")
