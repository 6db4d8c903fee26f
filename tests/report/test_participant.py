"""The participant page: complete, self-contained, safe, and there whatever happened."""

from __future__ import annotations

import base64
import io
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from html_page import Page
from PIL import Image
from synthetic_records import finished_record, write
from whole_app import used_by

from bidsapp.bids.derivatives import output_path
from bidsapp.errors import NoInputError
from bidsapp.nifti import save_volume
from bidsapp.report.participant import write_page
from bidsapp.volume import Volume

SCAN = {"sub": "01", "trc": "FBB"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>&{{ 7*7 }}"


def read(path) -> Page:
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def page_path(derivatives):
    return write_page(derivatives, "01")


@pytest.fixture(scope="module")
def page(page_path):
    return read(page_path)


def test_the_result_comes_first_with_band_and_source(page_path, page):
    assert page_path.name == "sub-01.html"
    words = page.words
    assert words.index("121.2") < words.index("Evidence") < words.index("Methods, ready to paste")
    assert "Collij et al. 2024" in words
    for value in ("1.800", "2.000", "1.698", "1.286"):  # wc, cg, wcb, pons
        assert value in words


def test_the_page_is_small_and_asks_nobody(page_path, page):
    assert page_path.stat().st_size < 6_000_000
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes or attributes["src"].startswith("data:image/")
    styles = re.findall(r"url\(|@import", page_path.read_text())
    assert not styles


def test_pictures_are_real_and_told_in_words(page):
    pictures = page.all("img")
    assert len(pictures) == 4
    for picture in pictures:
        assert len(picture["alt"]) > 40
        image = Image.open(io.BytesIO(base64.b64decode(picture["src"].split(",")[1])))
        assert image.size == (int(picture["width"]), int(picture["height"]))
        assert np.asarray(image.convert("L")).std() > 20
    for drawing in (a for a in page.all("svg") if a.get("role") == "img"):
        ids = {attributes.get("id") for _, attributes in page.tags}
        assert set(drawing["aria-labelledby"].split()) <= ids


def test_a_screen_reader_finds_its_way(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(links) <= set(ids) and "main" in links
    assert all("scope" in header for header in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_the_same_derivatives_give_the_same_bytes(derivatives, page_path):
    before = page_path.read_bytes()
    assert write_page(derivatives, "sub-01").read_bytes() == before


def test_the_page_keeps_to_its_budget(derivatives):
    """In a process of its own, as a cluster job would: 5 s on a free core, 1.5 GB."""
    code = (
        "import sys; from pathlib import Path\n"
        "from bidsapp.report.participant import write_page\n"
        "write_page(Path(sys.argv[1]), '01')"
    )
    _, seconds, megabytes = used_by(code, derivatives)
    assert megabytes < 1500
    assert seconds < 15  # three times the budget: other processes share the caches of the core


def test_the_colour_scale_is_that_of_the_tracer_not_of_the_person(derivatives, tmp_path, page):
    """Half the ratio is drawn darker: the scale does not follow the participant."""
    shutil.copytree(derivatives, tmp_path, dirs_exist_ok=True)
    record = finished_record(SCAN, suvr_wc=1.8)
    for values in record["voi"].values():
        values["mean"] *= 2
    write(tmp_path, record, SCAN)
    darker = read(write_page(tmp_path, "01")).all("img")[0]["src"]
    brightness = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(src.split(",")[1]))).convert("L")).mean()
        for src in (page.all("img")[0]["src"], darker)
    ]
    assert brightness[1] < 0.9 * brightness[0]


def test_flags_stand_with_their_sentences(tmp_path):
    flag = {"code": "window-partial", "message": "Only 80 % was scanned; compare with care."}
    content = finished_record(SCAN, flags=[flag], qc={"pet_t1w_distance_mm": 4.5})
    write(tmp_path, content, SCAN)
    page = read(write_page(tmp_path, "01"))
    assert "Only 80 % was scanned; compare with care." in page.words
    assert "1 flag, please check" in page.words
    assert page.words.index("Check the flag before") < page.words.index("corresponds well with")
    assert "above the limit of 3.00 mm" in page.words


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
    assert "121.2" not in page.words and "quantified" not in lede
    assert not page.all("img")


def test_a_torn_record_and_a_good_one_share_a_page(tmp_path):
    write(tmp_path, finished_record(SCAN, suvr_wc=1.8), SCAN)
    write(tmp_path, "{", {**SCAN, "ses": "2"})
    page = read(write_page(tmp_path, "01"))
    assert "2 PET scans: 1 quantified, 1 failed." in page.words
    assert "cannot be read" in page.words and "run the participant level again" in page.words
    assert "121.2" in page.words


@pytest.mark.parametrize(("key", "left"), [("pet_t1w", 2), ("pet_mni", 3)])
def test_a_lost_image_costs_its_pictures_not_the_page(derivatives, tmp_path, key, left):
    shutil.copytree(derivatives, tmp_path, dirs_exist_ok=True)
    lost = output_path(tmp_path, key, SCAN)
    lost.unlink()
    page = read(write_page(tmp_path, "01"))
    assert len(page.all("img")) == left
    assert f"{lost.relative_to(tmp_path)}: no such image" in page.words
    assert str(tmp_path) not in page.words


def test_an_empty_brain_mask_costs_its_pictures_not_the_page(derivatives, tmp_path):
    shutil.copytree(derivatives, tmp_path, dirs_exist_ok=True)
    mask = output_path(tmp_path, "mask", SCAN)
    save_volume(mask, Volume(np.zeros((4, 4, 4), bool), np.eye(4)))
    page = read(write_page(tmp_path, "01"))
    assert len(page.all("img")) == 2
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
    assert not page.all("script") and not page.all("img")
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
    assert not page.all("script") and not page.all("img")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.words.count(HOSTILE) >= 5


def test_nobody_to_report_on_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(NoInputError, match=r"sub-07.*run the participant level first"):
        write_page(tmp_path, "07")
