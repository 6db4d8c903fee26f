"""Tables as spreadsheets leave them: what can be read is read, the rest is told."""

from __future__ import annotations

import pytest

from bidsapp.bids import raw_tables

GOOD = "participant_id\tage\tname\nsub-01\t70\tZoé\nsub-02\t80\tAnn\n"
ROWS = {"sub-01": {"age": "70", "name": "Zoé"}, "sub-02": {"age": "80", "name": "Ann"}}


def read(folder, raw):
    (folder / "participants.tsv").write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return raw_tables.participants(folder)


def test_a_table_as_it_should_be(tmp_path):
    assert read(tmp_path, GOOD) == raw_tables.RawTable(ROWS)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (GOOD.encode("utf-8-sig"), ""),
        (GOOD.replace("\n", "\r\n"), ""),
        (GOOD.replace("\n", "\r"), ""),
        (GOOD.encode("utf-16"), "UTF-16"),
        (GOOD.encode("utf-16-le"), "UTF-16"),
        (GOOD.encode("utf-16-be"), "UTF-16"),
        (GOOD.encode("latin-1"), "Latin-1"),
        (GOOD.replace("\t", ","), "','"),
        (GOOD.replace("\t", ";"), "';'"),
        (GOOD.replace("\t", " \t").replace("\n", "  \n"), ""),
        (GOOD.replace("70", '"70"'), ""),
        (GOOD.replace("sub-", ""), "01, 02 was read as sub-01, sub-02"),
        (GOOD.replace("sub-", "SUB-"), "was read as sub-01"),
        (GOOD.replace("participant_id", "Participant ID"), ""),
        (GOOD.replace("participant_id", "who"), "'who' was used instead"),
        (GOOD + "\n\n", ""),
        (GOOD + "\t90\tBob\n", "no participant is named in line 4"),
        (GOOD + "sub-01\t70\tZoé\n", ""),
        (GOOD + "sub-01\tn/a\tZoé\n", ""),
        ("age\tparticipant_id\tname\n70\tsub-01\tZoé\n80\tsub-02\tAnn\n", "column 2"),
        ("age\tID\tname\n70\t01\tZoé\n80\t02\tAnn\n", "'ID' was used instead"),
        (GOOD.encode("utf-32"), "UTF-32"),
        ("sep=,\n" + GOOD.replace("\t", ","), "','"),
        (GOOD.replace("sub-01", "sub-01\u200b"), ""),
        ("site_id\tparticipant_id\tage\tname\n", "column 2"),
    ],
)
def test_what_can_be_read_is_read(tmp_path, raw, expected):
    table = read(tmp_path, raw)
    assert table.rows in (ROWS, {})
    assert bool(table.rows) == (b"Ann" in (raw if isinstance(raw, bytes) else raw.encode())
                                .replace(b"\0", b""))  # fmt: skip
    assert expected in " ".join(table.problems) and bool(table.problems) == bool(expected)
    assert all(sentence.startswith("participants.tsv: ") for sentence in table.problems)


def test_a_table_without_a_header_loses_nobody_in_silence(tmp_path):
    table = read(tmp_path, "sub-01\t70\nsub-02\t80\n")
    assert table.rows == {} and "no line of column names" in table.problems[0]


def test_one_column_in_two_spellings_contradicts_itself(tmp_path):
    table = read(tmp_path, "participant_id\tage\tAge\nsub-01\t70\t60\nsub-02\t80\t80\n")
    assert table.rows == {"sub-01": {}, "sub-02": {"age": "80"}}
    assert table.contradicted == {"sub-01": ("age",)}


def test_only_ends_of_lines_part_rows(tmp_path):
    table = read(tmp_path, "participant_id\tnote\tage\nsub-01\ta\x0bb\u2028c\x85d\t70\n")
    assert table.rows == {"sub-01": {"note": "a\x0bb\u2028c\x85d", "age": "70"}}


@pytest.mark.parametrize(
    ("ids", "folders", "meant"),
    [
        ("1 2 10", "sub-01 sub-02 sub-10", "sub-01 sub-02 sub-10"),
        ("1.0 2.0", "sub-001 sub-002", "sub-001 sub-002"),
        ("sub_A1 002_S_0295", "sub-a1 sub-002S0295", "sub-a1 sub-002S0295"),
        ("1 01", "sub-1 sub-01", "sub-1 sub-01"),  # both are there
        ("1", "sub-01 sub-001", "sub-1"),  # either may be meant
        ("1 001", "sub-01", "sub-1 sub-001"),  # and here
        ("11", "sub-1", "sub-11"),
    ],
)
def test_a_row_is_that_of_the_folder_alone_like_it(tmp_path, ids, folders, meant):
    for folder in folders.split():
        (tmp_path / folder).mkdir()
    rows = "".join(f"{label}\t{70 + n}\n" for n, label in enumerate(ids.split()))
    table = read(tmp_path, f"participant_id\tage\n{rows}")
    assert table.rows == {name: {"age": f"{70 + n}"} for n, name in enumerate(meant.split())}
    assert "was read as" in table.problems[0]


def test_a_folder_that_comes_later_is_seen(tmp_path):
    assert read(tmp_path, "participant_id\tage\n1\t70\n").rows == {"sub-1": {"age": "70"}}
    (tmp_path / "sub-01").mkdir()
    assert raw_tables.participants(tmp_path).rows == {"sub-01": {"age": "70"}}


@pytest.mark.parametrize("cell", ["NA", "#N/A", "#REF!", "#DIV/0!", "<NA>", ".", "NULL", " "])
def test_what_programs_write_for_a_missing_value_is_one(tmp_path, cell):
    table = read(tmp_path, f"participant_id\tgroup\nsub-01\t{cell}\nsub-02\tnone\n")
    assert table.rows == {"sub-01": {"group": "n/a"}, "sub-02": {"group": "none"}}


def test_rows_that_contradict_each_other_say_nothing(tmp_path):
    table = read(tmp_path, GOOD + "sub-01\t71\tZoé\n")
    assert table.rows == {**ROWS, "sub-01": {"name": "Zoé"}}
    assert table.contradicted == {"sub-01": ("age",)}
    assert "contradict" in table.problems[0]


def test_short_rows_are_read_as_far_as_they_go_and_long_ones_left_out(tmp_path):
    text = 'participant_id\tnote\tage\nsub-1\ta\nsub-2\t"b\tc"\t80\nsub-3\td\t90\t\t\n'
    table = read(tmp_path, text)
    assert table.rows["sub-1"]["note"] == "a" and table.rows["sub-3"]["age"] == "90"
    assert "sub-2" not in table.rows
    fewer, more = table.problems
    assert "fewer cells than in the header in line 2" in fewer
    assert "more cells than in the header in line 3, which was left out" in more


@pytest.mark.parametrize(
    "raw", [b"", b"\n\n", bytes(100), b"\xff\xfe\t", b"/annex/objects/MD5E-s123--abc.tsv\n"]
)
def test_what_is_no_table_is_told(tmp_path, raw):
    table = read(tmp_path, raw)
    assert table.rows == {} and len(table.problems) == 1


def test_sessions_and_scans_likewise(tmp_path):
    folder = tmp_path / "sub-1" / "ses-a"
    folder.mkdir(parents=True)
    (folder.parent / "sub-1_sessions.tsv").write_text("acq_time,session_id\n2020-01-01,a\n")
    table = raw_tables.sessions(tmp_path, "1")
    assert table.rows == {"ses-a": {"acq_time": "2020-01-01"}} and len(table.problems) == 3
    (folder / "sub-1_ses-a_scans.tsv").write_text(
        "filename\tacq_time\nses-a\\pet\\sub-1_ses-a_pet.nii\t2020-01-02\n"
    )
    found = raw_tables.scans(folder, tmp_path).rows
    assert found[raw_tables.scan_key("pet/sub-1_ses-a_pet.nii.gz")] == {"acq_time": "2020-01-02"}
