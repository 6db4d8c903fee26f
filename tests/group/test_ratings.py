"""Ratings of readers: read, kept, told when they are of other bits, left out when asked."""

from __future__ import annotations

import csv

import pytest
from html_page import Page
from synthetic_records import finished_record, write
from tsv_rows import table_rows

from bidsapp.cli.main import main
from bidsapp.errors import BadDataError, NoInputError, UsageError
from bidsapp.group.collect import run_group
from bidsapp.group.ratings import read_ratings
from bidsapp.io.hashes import file_hash
from bidsapp.record import find_records
from bidsapp.settings import Filters, StudyOptions
from bidsapp.verify.file_hashes import Findings
from bidsapp.verify.group_tables import check_group_tables

HEAD = ("scan", "rating", "rater", "comment", "rated", "record_sha256")


@pytest.fixture
def cohort(tmp_path):
    """Ten scans of as many people, the last far from the others."""
    folder = tmp_path / "out"
    for number in range(10):
        entities = {"sub": f"{number:02}", "trc": "FBB"}
        suvr = 3.0 if number == 9 else 1.1 + 0.01 * number
        record = finished_record(entities, suvr_wc=suvr, site="AB"[number % 2])
        write(folder, record, entities)
    return folder


def said(folder, *rows, name="ratings.tsv"):
    """A table as a page gives it; rows are scan, rating, rater, comment, time."""
    hashes = {one.name: file_hash(folder / one.path) for one in find_records(folder)}
    path = folder.parent / name
    lines = [HEAD, *((*row, hashes.get(row[0], "sha256:0")) for row in rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    return path


def rows_of(folder, table="group_centiloid"):
    with (folder / f"{table}.tsv").open() as file:
        return {row.get("scan", row.get("participant_id")): row
                for row in csv.DictReader(file, delimiter="\t")}  # fmt: skip


def test_the_last_rating_is_told_by_the_moment_and_not_by_the_text(cohort):
    scan, other = "sub-00_trc-FBB", "sub-01_trc-FBB"
    table = said(
        cohort,
        (scan, "reject", "AB", "n/a", "2026-01-01T12:00:00+02:00"),
        (scan, "accept", "AB", "n/a", "2026-01-01T11:00:00Z"),
        (other, "accept", "AB", "n/a", "2026-02-01T10:00:00Z"),
        (other, "reject", "AB", "n/a", "31.01.2026 10:00"),  # as a spreadsheet writes it
    )
    (problem,) = read_ratings(table)[1]
    assert "line 5: rated '31.01.2026 10:00' is not a time" in problem
    run_group(cohort, Filters(), [table])
    rows = rows_of(cohort)
    assert [rows[f"sub-0{n}"]["rating"] for n in range(2)] == ["accept", "accept"]


def test_the_worst_rating_counts_and_stays(cohort):
    table = said(
        cohort,
        ("sub-00_trc-FBB", "accept", "AB", "n/a", "2026-01-01T10:00:00Z"),
        ("sub-01_trc-FBB", "accept", "AB", "fine", "2026-01-01T10:00:00Z"),
        ("sub-01_trc-FBB", "doubt", "CD", "moved", "2026-01-01T10:00:00Z"),
        ("sub-02_trc-FBB", "reject", "AB", "n/a", "2026-01-01T10:00:00Z"),
        ("sub-02_trc-FBB", "accept", "AB", "n/a", "2026-01-02T10:00:00Z"),  # changed the mind
    )
    run_group(cohort, Filters(), [table])
    rows = rows_of(cohort)
    assert [rows[f"sub-0{n}"]["rating"] for n in range(4)] == ["accept", "doubt", "accept", "n/a"]
    assert rows["sub-01"]["raters"] == "AB: accept;CD: doubt"
    assert rows["sub-01"]["rating_comment"] == "fine; moved"
    assert rows["sub-01"]["flags"].split(";")[-2:] == ["rated-doubt", "ratings-differ"]
    before = (cohort / "group_centiloid.tsv").read_bytes()
    table.unlink()
    run_group(cohort, Filters())  # kept in group_ratings.tsv
    assert (cohort / "group_centiloid.tsv").read_bytes() == before
    assert "1 accepted" not in (cohort / "group_methods.md").read_text()
    assert "2 readers rated 3 scans: 2 accepted, 1 doubted." in (
        cohort / "group_methods.md"
    ).read_text().replace("\n", " ")


def test_a_rating_of_other_bits_does_not_count(cohort, caplog):
    table = said(cohort, ("sub-03_trc-FBB", "reject", "AB", "n/a", "2026-01-01"))
    entities = {"sub": "03", "trc": "FBB"}
    write(cohort, finished_record(entities, suvr_wc=1.2), entities)
    run_group(cohort, Filters(), [table])
    row = rows_of(cohort)["sub-03"]
    assert row["rating"] == "n/a" and row["flags"].endswith("rating-outdated")
    assert rows_of(cohort, "group_ratings")["sub-03_trc-FBB"]["state"] == "outdated"
    assert "computed again since" in caplog.text
    page = Page((cohort / "group_centiloid.html").read_text("utf-8"))
    assert "computed again since" in page.words


def test_rejected_scans_are_left_out_when_asked_only(cohort):
    table = said(cohort, ("sub-09_trc-FBB", "reject", "AB", "n/a", "2026-01-01"))
    run_group(cohort, Filters(), [table])
    whole = {name: (cohort / name).read_text() for name in ("group_sites.tsv", "group_methods.md")}
    assert "not left out" in whole["group_methods.md"]
    run_group(cohort, Filters(), options=StudyOptions(leave_out_rejected=True))
    rows = rows_of(cohort)
    assert float(rows["sub-09"]["centiloid"]) > 100 and rows["sub-09"]["rating"] == "reject"
    methods = (cohort / "group_methods.md").read_text()
    assert "Rejected scans were left out of all statistics" in methods
    assert (cohort / "group_sites.tsv").read_text() != whole["group_sites.tsv"]
    page = Page((cohort / "group_centiloid.html").read_text("utf-8"))
    dots = {tag["data-row"] for tag in page.all("circle") if "data-row" in tag}
    assert dots == {str(n) for n in range(9)}
    assert "1 scan that readers rejected is in the table" in page.words


def test_statistics_without_a_rejected_scan_are_those_of_a_study_that_never_had_it(cohort):
    """But for the number of its scans."""
    table = said(cohort, ("sub-09_trc-FBB", "reject", "AB", "n/a", "2026-01-01"))
    run_group(cohort, Filters(), [table], options=StudyOptions(leave_out_rejected=True))
    left = rows_of(cohort, "group_cutoffs") if (cohort / "group_cutoffs.tsv").exists() else {}
    site = next(row for row in table_rows(cohort / "group_sites.tsv") if row["site"] == "B")
    for path in cohort.glob("sub-09/**/*.json"):
        path.unlink()
    (cohort / "group_ratings.tsv").unlink()
    run_group(cohort, Filters())
    never = next(row for row in table_rows(cohort / "group_sites.tsv") if row["site"] == "B")
    counts = {"n_participants", "n_scans"}
    assert {k: v for k, v in site.items() if k not in counts} == {
        k: v for k, v in never.items() if k not in counts
    }
    assert left == (rows_of(cohort, "group_cutoffs") if left else {})


def test_what_is_no_rating_is_told_and_stops_nothing(cohort, caplog):
    table = said(
        cohort,
        ("sub-00_trc-FBB", "accept", "AB", "n/a", "2026"),
        ("sub-01_trc-FBB", "great", "AB", "n/a", "2026"),
        ("sub-77_trc-FBB", "reject", "AB", "n/a", "2026"),
    )
    run_group(cohort, Filters(), [table])
    assert "ratings.tsv, line 3: great of sub-01_trc-FBB is not a rating" in caplog.text
    assert "are of scans that are not here (sub-77_trc-FBB)" in caplog.text
    assert rows_of(cohort)["sub-00"]["rating"] == "accept"


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.tsv"
    path.write_text("participant_id\tage\nsub-01\t70\n")
    with pytest.raises(BadDataError, match="has no column scan, rating, record_sha256"):
        read_ratings(path)
    with pytest.raises(NoInputError, match="cannot be read"):
        read_ratings(tmp_path / "nowhere.tsv")


def test_filters_do_not_make_ratings_those_of_nobody(cohort, caplog):
    table = said(cohort, ("sub-05_trc-FBB", "doubt", "AB", "n/a", "2026"))
    run_group(cohort, Filters(participant=("01",)), [table])
    assert "not here" not in caplog.text
    assert rows_of(cohort, "group_ratings")["sub-05_trc-FBB"]["state"] == "counts"


def test_the_command_line(cohort, capsys):
    from bidsapp.cli.parser import parse

    table = said(cohort, ("sub-09_trc-FBB", "reject", "AB", "n/a", "2026"))
    typed = ["bids", str(cohort), "group", "--ratings", str(table), "--leave-out-rejected"]
    assert main(typed) == 0
    assert "group_ratings.tsv" in capsys.readouterr().out
    found, asked = Findings(), StudyOptions(leave_out_rejected=True)
    check_group_tables(cohort, find_records(cohort), (Filters(), asked), found)
    assert not found.differences
    check_group_tables(cohort, find_records(cohort), (Filters(), StudyOptions()), found)
    assert found.differences  # without the option the sites are others
    for flag in (["--ratings", str(table)], ["--leave-out-rejected"]):
        with pytest.raises(UsageError, match="group level"):
            parse(["bids", str(cohort), "participant", *flag])
