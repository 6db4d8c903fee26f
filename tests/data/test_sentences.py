"""Sentences of tables fit the code: every call gives them their values, and none is left over."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import bidsapp
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.errors import BadDataError

PACKAGE = Path(bidsapp.__file__).parent
Row = tuple[str, str]


def calls(*names: str) -> Iterator[tuple[str, Row, set[str] | None]]:
    """Place, row and names of the values of every call; None where values are handed on.

    Refusals by a method (``PairRow.refused``) are of pairs, and name a column before the row.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) != 2:
                continue
            topic, why = node.args
            if isinstance(node.func, ast.Attribute) and node.func.attr in names:
                topic = ast.Constant("pairs")
            elif not (isinstance(node.func, ast.Name) and node.func.id in names):
                continue
            if isinstance(topic, ast.Constant) and isinstance(why, ast.Constant):
                given = {value.arg for value in node.keywords}
                known = None if None in given else {str(name) for name in given}
                place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                yield place, (str(topic.value), str(why.value)), known


def wanted(text: str) -> set[str]:
    """Names of the values that a sentence has in braces."""
    fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
    return {field.replace("[", ".").split(".")[0] for field in fields}


def test_a_text_of_others_is_cut_where_nobody_would_read_on():
    flag = worded_flag("tracer-name", text="x" * 10**5, tracer="PiB")
    assert len(flag.message) < 1200 and "…" in flag.message and "PiB" in flag.message


@pytest.mark.parametrize(
    ("name", "functions"), [("sentences", ("worded", "refused")), ("flags", ("worded_flag",))]
)
def test_every_call_gives_a_sentence_its_values(name, functions):
    table = read_table(name)
    wrong = [
        (place, row)
        for place, row, given in calls(*functions)
        if given is not None and wanted(table.get(row[0], {}).get(row[1], "{no row}")) != given
    ]
    assert wrong == []


def test_no_sentence_is_left_over():
    rows = {(topic, why) for topic, whys in read_table("sentences").items() for why in whys}
    assert rows - {row for _, row, _ in calls("worded", "refused")} == set()


def test_values_stand_in_their_places():
    text = worded("slices", "uneven-frames", least=2, most=3)
    assert text.startswith("(0020,0032) ImagePositionPatient: slice positions have 2 to 3 images ")
    error = refused("slices", "uneven-frames", least=2, most=3)
    assert isinstance(error, BadDataError)
    assert str(error) == text
