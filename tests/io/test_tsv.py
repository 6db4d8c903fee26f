"""Tables come back as they were written: every bit of a number, and names as names."""

import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsapp.io.tsv import cell, finite_number, line, read_rows, write_table


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_numbers_come_back_to_the_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("table") / "a.tsv"
    write_table(path, {"x": values}, {"x": {}}, {})
    read = [finite_number(row["x"]) for row in read_rows(path)]
    assert [math.copysign(1, a) for a in read] == [math.copysign(1, a) for a in values]
    assert read == values


def test_names_stay_text(tmp_path):
    names = ["007", "1e3", "NA", "nan", "True", "Ä", 'a "b', "n/a"]
    path = write_table(tmp_path / "a.tsv", {"name": names}, {"name": {}}, {})
    assert [row["name"] for row in read_rows(path)] == names


@given(st.lists(st.text(), min_size=1))
def test_pandas_reads_every_text_into_its_own_cell_without_options(texts):
    table = line(["first", "text", "last"]) + "".join(line([1, text, 2]) for text in texts)
    read = pd.read_csv(io.StringIO(table), sep="\t")
    assert read["first"].eq(1).all() and read["last"].eq(2).all() and len(read) == len(texts)
    as_text = pd.read_csv(io.StringIO(table), sep="\t", dtype=str, keep_default_na=False)
    assert as_text["text"].tolist() == list(map(cell, texts))


@given(st.text())
def test_no_text_can_be_a_formula_or_break_the_table(text):
    written = cell(text)
    assert written and written == written.strip()
    assert written[0] not in '=+-@"'
    assert len(written.splitlines()) == 1 and "\t" not in written


@pytest.mark.parametrize("formula", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r\n=1"])
def test_formulas_become_text(formula):
    assert cell(formula) == f"'{formula.strip()}"


def test_text_that_is_no_formula_stays_as_it_is():
    assert cell("[18F]florbetaben, 0–30 min") == "[18F]florbetaben, 0–30 min"
    assert cell("") == cell(None) == cell(" \n") == "n/a"


@pytest.mark.parametrize(("value", "expected"), [
    ("12", 12), ("-0.5", -0.5), (2.5, 2.5), ("1e400", None), ("n/a", None), ("", None),
    (None, None), (math.nan, None), (["1"], None),
])  # fmt: skip
def test_what_is_a_finite_number(value, expected):
    found = finite_number(value)
    assert found == expected and type(found) is type(expected)


def test_a_table_cut_off_in_a_row_tells_so(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\n1\t2\n3")
    assert read_rows(path) == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]
    path.write_bytes(b"a\tb\n\xff\t1\n")
    with pytest.raises(ValueError, match="utf-8"):
        read_rows(path)
