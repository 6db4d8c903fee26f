"""The page of all scans: any column, filters, ratings and the way from page to page."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from synthetic_derivatives import SCAN
from synthetic_records import finished_record, write
from tsv_rows import table_rows

from bidsapp.group.collect import cohort_of, run_group
from bidsapp.group.page import group_figures, group_page
from bidsapp.group.ratings import read_ratings
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.record import find_records
from bidsapp.report.participant import write_page
from bidsapp.report.study_methods import cohort_methods
from bidsapp.settings import Filters, StudyOptions

pytestmark = pytest.mark.slow

WIDTHS = pytest.mark.parametrize("width", [1440, 1024, 390])
PEOPLE = [
    {
        "age": 60 + (7 * number) % 25 + 0.5,
        "sex": "FM"[number % 2],
        "diagnosis": ("CN", "MCI", "AD")[number % 3],
        "site": f"site {number % 12 + 1}",
        "suvr": 1.05 + (7 * number) % 25 / 50,
    }
    for number in range(26)
]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    for number, person in enumerate(PEOPLE):
        entities = {"sub": f"{number:02}", "trc": "FBB"}
        record = finished_record(entities, suvr_wc=person["suvr"], site=person["site"])
        record["participant"] = {name: str(person[name]) for name in ("age", "sex", "diagnosis")}
        write(folder, record, entities)
    run_group(folder, Filters())
    return folder


def opened(visit, cohort, width=1200):
    return visit(cohort / "group_centiloid.html", viewport={"width": width, "height": 900}).page


def count(text: str) -> int:
    return int(re.match(r"\d+", text)[0])


@WIDTHS
def test_scans_are_grouped_and_coloured_by_any_column(visit, cohort, screenshots, width):
    found = visit(cohort / "group_centiloid.html", viewport={"width": width, "height": 900})
    page = found.page
    page.select_option("#by", label="site")
    groups = page.locator("#drawn text:not(.muted)").all_text_contents()
    assert [group.rpartition(" ")[0] for group in groups] == [f"site {n}" for n in range(1, 13)]
    page.select_option("#colour", label="sex")
    assert page.locator("#legend").inner_text().split("\n") == ["F (13)", "M (13)"]
    dots = page.locator("#drawn .dot")
    fills = dots.evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
    sexes = dots.evaluate_all("all => all.map(one => one.textContent.slice(-1))")
    assert len(set(zip(fills, sexes, strict=True))) == len(set(fills)) == 2
    page.select_option("#by", label="diagnosis")
    page.select_option("#colour", label="age")
    assert page.locator("#legend li").count() == 3  # thirds
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert found.messages == []
    page.locator("#explore").screenshot(path=screenshots / f"explore-{width}.png")


def test_against_age_the_line_is_that_of_least_squares(visit, cohort):
    page = opened(visit, cohort)
    assert page.locator("#by").input_value() == "age"
    rows = table_rows(cohort / "group_centiloid.tsv")
    slope, _ = np.polyfit(
        [float(row["age"]) for row in rows], [float(row["centiloid"]) for row in rows], 1
    )
    sentence = f"All scans: first scans of 26 participants, {slope:.2f} CL per year, r 1.00"
    assert sentence in page.inner_text("#explored")
    page.select_option("#colour", label="sex")
    assert page.inner_text("#explored").count("13 participants") == 2


def test_a_line_takes_one_scan_of_everyone(visit, tmp_path):
    random = np.random.default_rng(8)
    for number, (age, suvr) in enumerate(zip(random.normal(70, 6, 20), random.normal(1.4, 0.2, 20),
                                             strict=True)):  # fmt: skip
        for visit_of, session in enumerate(["m24", "m12", "m06"][: 1 + number % 3]):
            entities = {"sub": f"{number:02}", "ses": session, "trc": "FBB"}
            time_of = f"2020-0{visit_of + 1}-01T10:00:00"  # against the order of the labels
            record = finished_record(entities, suvr_wc=suvr + visit_of / 2, acq_time=time_of)
            record["participant"] = {"age": f"{age + visit_of:.1f}"}
            write(tmp_path, record, entities)
    run_group(tmp_path, Filters())
    rows = table_rows(tmp_path / "group_centiloid.tsv")
    first = [row for row in rows if row["years"] in ("0", "0.0")]
    assert len(first) == 20 < len(rows)
    ages, values = ([float(row[name]) for row in first] for name in ("age", "centiloid"))
    slope, r = np.polyfit(ages, values, 1)[0], np.corrcoef(ages, values)[0, 1]
    said = opened(visit, tmp_path).inner_text("#explored").replace("\u2212", "-")
    assert f"first scans of 20 participants, {slope:.2f} CL per year, r {r:.2f}" in said


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("sex=F", 13), ("SEX=f", 13), ("sex!=F", 13), ("sex=", 26), ("age>", 26), ("age>-", 26),
        ("diagnosis=AD sex=M", sum(p["diagnosis"] == "AD" and p["sex"] == "M" for p in PEOPLE)),
        ('site="site 2"', 3), ('site="SITE 12"', 2), ('site!="site 12"', 24), ("participant=07", 1),
        ("age>=70", sum(p["age"] >= 70 for p in PEOPLE)), ("age=60.5", 2), ("age<60", 0),
        ("nosuchcolumn=1", 0), ('site="si', 0),
    ],
)  # fmt: skip
def test_filters_understand_columns(visit, cohort, typed, left):
    page = opened(visit, cohort)
    page.fill("#search", typed)
    assert count(page.inner_text("#shown")) == left


def test_a_value_in_doubt_has_its_own_mark_and_filter(visit, tmp_path):
    for label, code in (("1", "pet-offset"), ("2", "stated"), ("3", None)):
        entities = {"sub": label, "trc": "FBB"}
        flags = [{"code": code, "message": "look"}] if code else []
        write(tmp_path, finished_record(entities, flags=flags), entities)
    run_group(tmp_path, Filters())
    page = opened(visit, tmp_path)
    marks = {"doubt": ["✕ in doubt"], "check": ["✕ in doubt", "! check"], "good": ["✓ no flags"]}
    for chosen, shown in marks.items():
        page.select_option("#status", chosen)
        assert page.locator("#scans .chip").all_inner_texts() == shown


def test_one_scan_is_told_as_one(visit, tmp_path):
    entities = {"sub": "1", "trc": "FBB"}
    write(tmp_path, finished_record(entities), entities)
    run_group(tmp_path, Filters())
    page = opened(visit, tmp_path)
    assert page.inner_text("#shown") == "1 scan"
    assert "1 scan of 1 participant:" in page.inner_text(".lede")
    assert not re.search(r"\b1 (scans|participants|others|pairs)\b", page.inner_text("body"))


# ----------------------------------------------------------------------------------------- ratings


@pytest.fixture(scope="module")
def rated(derivatives, tmp_path_factory):
    """A copy of the study, to change."""
    return shutil.copytree(derivatives, tmp_path_factory.mktemp("rated") / "study")


@WIDTHS
def test_a_rating_is_kept_downloaded_and_read_back(visit, rated, tmp_path, width):
    found = visit(rated / "sub-01.html", viewport={"width": width, "height": 900})
    page = found.page
    card = page.locator(".rating").first
    card.scroll_into_view_if_needed()
    assert card.get_by_role("button", name="Download").is_disabled()
    card.get_by_label("Reject").check()
    card.get_by_label("Comment").fill('=moved,\t"badly"')
    card.get_by_label("Reader").fill("AB")
    card.get_by_label("Reader").press("Tab")
    page.reload()
    assert page.locator(".rating").first.get_by_label("Reject").is_checked()
    assert "You rejected this scan" in page.locator(".rating output").first.inner_text()
    with page.expect_download() as waiting:
        page.locator(".rating .download").first.click()
    table = tmp_path / "ratings.tsv"
    waiting.value.save_as(table)
    ((rating,), problems) = read_ratings(table)
    assert problems == [] and (rating.rating, rating.rater) == ("reject", "AB")
    assert rating.comment == "'=moved, 'badly'"
    run_group(rated, Filters(), [table])
    rows = table_rows(rated / "group_centiloid.tsv")
    (row,) = [row for row in rows if row["rating"] != "n/a"]
    assert (row["participant_id"], row["rating"], row["raters"]) == (
        "sub-01", "reject", "AB: reject",
    )  # fmt: skip
    assert "rated-reject" in row["flags"]
    page.goto((rated / "group_centiloid.html").as_uri())
    page.fill("#search", "rating=reject")
    assert count(page.inner_text("#shown")) == 1
    with page.expect_download() as waiting:
        page.locator("#ratings").click()
    assert waiting.value.path().read_bytes() == table.read_bytes()
    page.goto((rated / "sub-01.html").as_uri())
    page.locator(".rating .withdraw").first.click()
    assert "Not rated yet" in page.locator(".rating output").first.inner_text()
    assert page.locator(".rating .download").first.is_disabled()
    assert found.messages == []


def test_a_rating_of_other_bits_is_told_as_outdated(visit, rated):
    page = visit(rated / "sub-01.html").page
    page.locator(".rating").first.get_by_label("Accept").check()
    path = next(rated.glob("sub-01/**/*_centiloid.json"))
    before = file_hash(path)
    write(rated, finished_record(SCAN, suvr_wc=1.7), SCAN)
    assert file_hash(path) != before
    write_page(rated, "01")
    page.reload()
    said = page.locator(".rating output").first.inner_text()
    assert "You accepted an earlier result" in said and "outdated" in said
    assert not page.locator(".rating").first.get_by_label("Accept").is_checked()


def test_pages_follow_each_other_as_they_were_listed(visit, derivatives):
    page = opened(visit, derivatives)
    page.fill("#search", "sub-0")
    page.locator("#scans thead").get_by_role("button", name="Participant").click()
    page.locator("#scans thead").get_by_role("button", name="Participant").click()  # falling
    people = page.locator("#scans tbody th").all_inner_texts()
    assert people == ["sub-04", "sub-03", "sub-02", "sub-01"]
    page.locator("#scans tbody a").nth(2).click()
    way = page.locator(".way")
    assert way.inner_text().split() == [
        "←", "sub-03", "All", "scans", "3", "of", "4", "sub-01", "→",
    ]  # fmt: skip
    way.locator("[rel=next]").click()
    assert page.url.endswith("/sub-01.html") and page.locator(".way [rel=next]").is_hidden()
    page.locator(".way").get_by_text("All scans").click()
    assert page.url.endswith("/group_centiloid.html")


def test_without_a_list_there_is_no_way(visit, derivatives):
    assert visit(derivatives / "sub-01.html").page.locator(".way").is_hidden()


@pytest.mark.slow
def test_two_thousand_scans_are_one_page(visit, tmp_path):
    for number in range(2000):
        entities = {"sub": f"{number:04}", "trc": ("FBB", "PIB")[number % 2]}
        record = finished_record(entities, suvr_wc=1 + number / 2500, site=f"site {number % 30}")
        record["participant"] = {"age": str(60 + number % 31 / 2), "sex": "FM"[number % 3 > 0]}
        write(tmp_path, record, entities)
    made = cohort_of(tmp_path, find_records(tmp_path), StudyOptions(), ())
    figures, methods = group_figures(made.study), cohort_methods(made.records)
    text = group_page(made.study, [], figures, methods)
    page = write_text(tmp_path / "group_centiloid.html", text)
    assert page.stat().st_size < 6e6
    visit(page).page.wait_for_selector("#scans tbody tr")
