"""The group page: every scan in it, safe, and with nothing to ask of any host."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from html_page import Page
from synthetic_records import finished_record, write

from bidsapp.group.collect import run_group
from bidsapp.settings import Filters

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'>"


def page_of(folder) -> Page:
    run_group(folder, Filters())
    return Page((folder / "group_centiloid.html").read_text("utf-8"))


@pytest.fixture
def cohort(tmp_path):
    for number, suvr in enumerate((1.0, 1.1, 1.9), start=1):
        entities = {"sub": f"{number:02}", "trc": "FBB"}
        write(tmp_path, finished_record(entities, suvr_wc=suvr), entities)
    failed = {"sub": "04", "trc": "PIB"}
    content = finished_record(failed) | {"status": "failed", "reason": "no T1w; add one"}
    write(tmp_path, content, failed)
    return tmp_path


def data_of(page: Page) -> dict:
    places = [i for i, tag in enumerate(page.all("script")) if tag.get("id") == "table-data"]
    return json.loads(page.scripts[places[0]])


def test_every_scan_is_in_the_table_and_a_dot(cohort):
    page = page_of(cohort)
    data = data_of(page)
    people = [row[data["columns"].index("participant_id")] for row in data["rows"]]
    assert people == [f"sub-{n:02}" for n in range(1, 5)]
    dots = [dot for dot in page.all("circle") if "data-row" in dot]
    assert [dot["data-row"] for dot in dots] == ["0", "1", "2"]
    assert "4 scans of 4 participants: 3 quantified, 1 failed." in page.words
    assert "No T1w; add one." in page.words and "Missing and failed scans" in page.words


def test_the_cells_of_the_page_are_those_of_the_table(cohort):
    data = data_of(page_of(cohort))
    lines = ["\t".join(row) for row in [data["columns"], *data["rows"]]]
    assert "\n".join(lines) + "\n" == (cohort / "group_centiloid.tsv").read_text("utf-8")


def test_values_in_doubt_are_counted_and_marked(tmp_path):
    for label, code in (("01", "pet-offset"), ("02", "stated"), ("03", None)):
        entities = {"sub": label, "trc": "FBB"}
        flags = [{"code": code, "message": "look"}] if code else []
        write(tmp_path, finished_record(entities, flags=flags), entities)
    page = page_of(tmp_path)
    assert "2 of the results have flags; 1 value is in doubt." in page.words
    assert "the bands do not count 1 value in doubt" in page.words
    assert data_of(page)["doubtful"] == [0]


def test_the_only_script_is_the_one_the_policy_names(cohort):
    page = page_of(cohort)
    running = [
        text
        for tag, text in zip(page.all("script"), page.scripts, strict=True)
        if "type" not in tag
    ]
    (script,) = running
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not any("src" in attributes for _, attributes in page.tags)
    assert not re.search(r"fetch\(|XMLHttp|innerHTML|eval\(", script)


def test_hostile_strings_stay_text(tmp_path):
    entities = {"sub": "01", "trc": "FBB"}
    flags = [{"code": HOSTILE, "message": "x"}]
    content = finished_record(entities, tracer=HOSTILE, flags=flags, site=HOSTILE)
    write(tmp_path, content, entities)
    other = {"sub": "02", "trc": "FBB"}
    write(tmp_path, finished_record(other) | {"status": "failed", "reason": HOSTILE}, other)
    page = page_of(tmp_path)
    assert len(page.all("script")) == 2 and not page.all("img")
    assert page.words.count(HOSTILE) >= 2
    assert HOSTILE in data_of(page)["rows"][0]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_a_study_without_any_result_still_has_a_page(tmp_path):
    write(tmp_path, "{", {"sub": "01", "trc": "FBB"})
    page = page_of(tmp_path)
    assert "No scan has a Centiloid yet" in page.words and "cannot be read" in page.words


def test_figures_are_files_as_well(cohort):
    run_group(cohort, Filters())
    names = {path.name for path in (cohort / "figures").glob("*.svg")}
    assert names == {"group_distribution-tracer.svg"}


@pytest.mark.slow
def test_a_thousand_scans_are_rows_of_the_page(tmp_path):
    for number in range(1000):
        entities = {"sub": f"{number:04}", "trc": "FMM"}
        write(tmp_path, finished_record(entities, suvr_wc=1 + number / 1000), entities)
    assert len(data_of(page_of(tmp_path))["rows"]) == 1000
