"""Two tables of the same scans: line, agreement, changes of class, and what cannot be compared."""

import json

import numpy as np
import pytest

from bidsapp.calibrate.compare import class_change, compare, usual_cutoffs
from bidsapp.cli.compare import main
from bidsapp.core.statistics.regression import ordinary
from bidsapp.errors import ExitCode

N = 30


def table(path, centiloid, suvr=None, names=None):
    names = [f"sub-{i:02d}" for i in range(len(centiloid))] if names is None else names
    suvr = (np.asarray(centiloid) + 94.6) / 93.7 if suvr is None else suvr
    rows = [
        f"{name}\tn/a\tPIB\t{'n/a' if np.isnan(c) else repr(float(c))}\t{float(s)!r}"
        for name, c, s in zip(names, centiloid, suvr, strict=True)
    ]
    header = "participant_id\tsession_id\ttracer\tcentiloid\tsuvr_wc"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.uniform(-10, 120, N)
    second = 0.95 * first + 2 + rng.normal(0, 1.5, N)
    return (
        table(tmp_path / "a.tsv", first),
        table(tmp_path / "b.tsv", second),
        first,
        second,
    )


def test_line_bias_and_limits_are_those_of_the_columns(two):
    a, b, first, second = two
    found = compare(a, b, [24.4], ordinary).columns["centiloid"]
    slope, intercept = np.polyfit(first, second, 1)
    assert (found.line.slope, found.line.intercept) == pytest.approx((slope, intercept))
    difference = second - first
    assert found.agreement.bias == pytest.approx(difference.mean())
    assert found.agreement.upper == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("\t", ";").encode(),
        lambda text: text.replace("\t", ",").encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: text.replace("x\t", "Müller\t").encode("latin-1"),
        lambda text: text.replace("sub-", "").replace("ses-", ""),
        lambda text: text.replace("FBB", "[18F]florbetaben"),
    ],
    ids=["semicolons", "commas", "UTF-16", "Latin-1", "no prefixes", "another name"],
)
def test_tables_of_other_programs_name_the_same_scans(tmp_path, written):
    rows = ["participant_id\tsession_id\ttracer\tcentiloid"]
    rows += [f"sub-{who}\tses-1\tFBB\t{cl}" for who, cl in (("x", 3), ("2", 40), ("03", 90))]
    ours, theirs = tmp_path / "a.tsv", tmp_path / "b.tsv"
    text = "\n".join(rows) + "\n"
    content = written(text)
    theirs.write_bytes(content if isinstance(content, bytes) else content.encode())
    ours.write_text(
        text.replace("sub-x", "sub-Müller") if b"M\xfcller" in theirs.read_bytes() else text
    )
    found = compare(ours, theirs, [24.4], ordinary).columns["centiloid"]
    assert found.line.n == 3 and found.line.slope == pytest.approx(1)


def test_changes_of_class_are_counted_and_named():
    names = ["a", "b", "c", "d"]
    found = class_change(24.4, names, np.array([10, 30, 30, 24.4]), np.array([30, 30, 10, 24.4]))
    counts = found.both_above, found.only_first_above, found.only_second_above, found.both_below
    assert counts == (1, 1, 1, 1) and found.changed == ("a", "c")


def test_the_command_writes_numbers_and_plots(two, tmp_path, capsys):
    a, b, *_ = two
    assert main([str(a), str(b), "-o", str(tmp_path / "out")]) == ExitCode.OK
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["columns"].keys() == {"centiloid", "suvr_wc"}
    cutoffs = [row["cutoff"] for row in content["columns"]["centiloid"]["classes"]]
    assert cutoffs == usual_cutoffs() == [
        10, 11, 12.2, 18, 20, 20.1, 24.1, 24.4, 25, 26, 30,
    ]  # fmt: skip
    assert f"{content['columns']['centiloid']['line']['slope']:.4f}" in printed
    assert "centiloid above 24.4: both" in printed
    assert len(list((tmp_path / "out").glob("*.svg"))) == 4
    assert content["files"]["first"]["name"] == "a.tsv"  # no path


def test_scans_of_one_table_only_and_without_result_are_told(tmp_path):
    values = np.linspace(0, 100, 6)
    a = table(tmp_path / "a.tsv", values)
    changed = values.copy()
    changed[1] = np.nan
    b = table(tmp_path / "b.tsv", changed[:5])
    found = compare(a, b, [], ordinary)
    assert found.columns["centiloid"].line.n == 4
    assert found.only_first == ("sub-01 PIB", "sub-05 PIB") and found.only_second == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("participant_id\tage\nsub-01\t3\nsub-02\t4\n", "no column such as centiloid"),
        ("name\tcentiloid\na\t3\nb\t4\n", "no column such as participant_id"),
        ("participant_id\tcentiloid\nsub-01\t3\nsub-01\t4\n", "two rows"),
        ("participant_id\tcentiloid\nsub-01\tlow\nsub-02\t4\n", "'low' is not a number"),
        ("participant_id\tcentiloid\nsub-77\t3\nsub-78\t4\n", "share 0 scans"),
        ("", "no rows"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(tmp_path, capsys, text, word):
    b = tmp_path / "b.tsv"
    b.write_text(text)
    a = table(tmp_path / "a.tsv", np.linspace(0, 100, 6))
    assert main([str(a), str(b), "-o", str(tmp_path / "out")]) == ExitCode.BAD_DATA
    complaint = capsys.readouterr().err
    assert word in complaint and complaint.count("\n") == 1
