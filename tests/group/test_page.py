"""The group page: every scan in it, safe, and with nothing to ask of any host."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time

import pytest
from html_page import Page
from synthetic_records import finished_record, write

from bidsapp.group.collect import run_group
from bidsapp.group.page import summaries
from bidsapp.report.drawings import Axis
from bidsapp.settings import Filters

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'>"


def page_of(folder) -> Page:
    run_group(folder, Filters())
    return Page((folder / "group_centiloid.html").read_text("utf-8"))


@pytest.fixture
def study(tmp_path):
    for number, suvr in enumerate((1.0, 1.1, 1.9), start=1):
        entities = {"sub": f"{number:02}", "trc": "FBB"}
        write(tmp_path, finished_record(entities, suvr_wc=suvr), entities)
    failed = {"sub": "04", "trc": "PIB"}
    content = finished_record(failed) | {"status": "failed", "reason": "no T1w; add one"}
    write(tmp_path, content, failed)
    return tmp_path


def test_every_scan_is_a_row_with_a_link_and_a_dot(study):
    page = page_of(study)
    links = [a["href"] for a in page.all("a")]
    assert [f"sub-{n:02}.html" for n in range(1, 5)] == [u for u in links if u.startswith("sub-")]
    assert len(page.all("circle")) == 3
    assert "4 scans of 4 participants: 3 quantified, 1 failed." in page.words
    assert "no T1w; add one" in page.words
    verdicts = [row["data-verdict"] for row in page.all("tr") if "data-verdict" in row]
    assert verdicts == ["ok", "ok", "ok", "failed"]


def test_the_only_script_is_the_one_the_policy_names(study):
    page = page_of(study)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not any("src" in attributes for _, attributes in page.tags)
    assert not re.search(r"fetch|XMLHttp|innerHTML|eval", script)


def test_sorting_keys_are_the_full_numbers(study):
    page = page_of(study)
    values = [cell["data-value"] for cell in page.all("td") if "data-value" in cell]
    assert repr(153.4 * 1.9 - 154.9) in values
    assert all(value == "" or float(value) is not None for value in values)


def test_hostile_strings_stay_text(tmp_path):
    entities = {"sub": "01", "trc": "FBB"}
    flags = [{"code": HOSTILE, "message": "x"}]
    write(tmp_path, finished_record(entities, tracer=HOSTILE, flags=flags), entities)
    other = {"sub": "02", "trc": "FBB"}
    write(tmp_path, finished_record(other) | {"status": "failed", "reason": HOSTILE}, other)
    page = page_of(tmp_path)
    assert len(page.all("script")) == 1 and not page.all("img")
    assert page.words.count(HOSTILE) >= 3
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_a_study_without_any_result_still_has_a_page(tmp_path):
    write(tmp_path, "{", {"sub": "01", "trc": "FBB"})
    page = page_of(tmp_path)
    assert "No scan has a Centiloid yet" in page.words and "cannot be read" in page.words


def row(centiloid, tracer="FBB"):
    return {"centiloid": centiloid, "tracer": tracer}


def test_summaries_count_bands_and_quartiles():
    rows = [row(value) for value in (-5, 5, 10, 20, 30, 31, 90, 400)] + [row(None), row(7, "PIB")]
    pib, fbb = summaries(rows, Axis(-30, 170))
    assert (pib.name, fbb.name) == ("[11C]PiB", "[18F]florbetaben")
    assert [count for _, count in fbb.bands] == [2, 3, 3]
    assert fbb.median == 25 and fbb.centiloids[0] == -5
    assert fbb.quartiles == (8.75, 45.75)
    assert pib.quartiles is None


def test_dots_do_not_cover_each_other_until_there_are_very_many():
    (summary,) = summaries([row(20.0 + 0.001 * i) for i in range(9)], Axis(-30, 170))
    heights = sorted(dot.y for dot in summary.dots)
    assert all(after - before >= 6 for before, after in itertools.pairwise(heights))
    (crowded,) = summaries([row(20.0)] * 500, Axis(-30, 170))
    assert max(abs(dot.y) for dot in crowded.dots) <= 29


def test_a_thousand_scans_take_seconds(tmp_path):
    for number in range(1000):
        entities = {"sub": f"{number:04}", "trc": "FMM"}
        write(tmp_path, finished_record(entities, suvr_wc=1 + number / 1000), entities)
    start = time.process_time()
    page = page_of(tmp_path)
    assert time.process_time() - start < 10
    assert len(page.all("circle")) == 1000
