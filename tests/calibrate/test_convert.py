"""SUVRs of another pipeline become Centiloids by its own published equation, and only by that."""

import json

import numpy as np
import pytest
from tsv_rows import table_rows

from bidsapp.calibrate.compare import compare
from bidsapp.calibrate.convert import convert, published
from bidsapp.cli.apply import apply
from bidsapp.cli.compare import main as compare_main
from bidsapp.cli.convert import main
from bidsapp.core.statistics.regression import ordinary
from bidsapp.data import read_table
from bidsapp.data.tracers import tracers
from bidsapp.errors import ExitCode, UsageError

ADNI = "SUMMARYSUVR_WHOLECEREBNORM"


def table(path, header, *rows, separator="\t"):
    path.write_text("\n".join(separator.join(row) for row in (header, *rows)) + "\n")
    return path


@pytest.fixture
def adni(tmp_path):
    rows = [("1", "FBP", "1.11"), ("2", "AV45", "1.5"), ("3", "florbetaben", "1.08"),
            ("4", "FBB", "n/a"), ("5", "FBP", "0.6"), ("6", "FBP", "3.5")]  # fmt: skip
    return table(tmp_path / "ucb.csv", ("participant_id", "TRACER", ADNI), *rows, separator=",")


@pytest.mark.parametrize("name", published())
def test_every_equation_has_its_source_and_gives_the_cut_offs_of_its_source(name):
    line = published()[name]
    assert line.tracer in tracers() and line.tracer in name
    assert line.status in ("verified", "from code") and line.read and line.source and line.pipeline
    for suvr, centiloid in line.cutoffs:
        assert round(line.at(suvr)) == centiloid
    # no pipeline is far from the standard one: zero lies where people without amyloid lie
    assert 0.6 < -line.intercept / line.slope < 1.1
    # and it is not the equation that CentiPET itself uses
    own = tracers()[line.tracer].equation
    assert (line.slope, line.intercept) != (own.slope, own.intercept)


def test_a_result_never_takes_the_place_of_its_input(adni, tmp_path, capsys):
    same = adni.rename(tmp_path / "t.tsv")
    same.write_text(same.read_text().replace(",", "\t"))
    (tmp_path / "t.json").write_text("{}")
    (tmp_path / "other.tsv").hardlink_to(same)
    (tmp_path / "x.json").symlink_to("t.json")
    before = same.read_bytes()
    for name in ("t.tsv", "other.tsv", "x.tsv"):
        asked = [str(same), "--equation", "royse2021-FBP-wc", "-o", str(tmp_path / name)]
        assert main(asked) == ExitCode.USAGE
        assert "overwrite an input" in capsys.readouterr().err
    assert same.read_bytes() == before and (tmp_path / "t.json").read_text() == "{}"


def test_an_image_never_takes_the_place_of_the_one_it_is_made_from(tmp_path):
    image, record = tmp_path / "sub-1_pet.nii", tmp_path / "sub-1_centiloid.json"
    sidecar = tmp_path / "sub-1_pet.json"
    for path in (image, record, sidecar):
        path.write_text("{}")
    for output in (tmp_path / "sub-1_pet.nii.gz", tmp_path / "sub-1_centiloid.nii.gz"):
        with pytest.raises(UsageError, match="overwrite an input"):
            apply(image, record, space="pet", goal="T1w", output=output)
        assert not output.exists()


def test_rows_take_the_equation_of_their_tracer(adni, tmp_path, capsys):
    out = tmp_path / "new.tsv"
    assert (
        main([str(adni), "--equation", "royse2021-FBP-wc", "royse2021-FBB-wc", "-o", str(out)]) == 0
    )
    rows = table_rows(out)
    assert [row["participant_id"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    values = [row["centiloid"] for row in rows]
    assert float(values[0]) == 188.22 * 1.11 - 189.16 and float(values[2]) == 157.15 * 1.08 - 151.87
    assert values[3] == "n/a" and rows[3]["centiloid_flags"] == "n/a"
    assert rows[4]["centiloid_flags"] == "centiloid-implausible"
    assert values[5] == "n/a" and rows[5]["centiloid_flags"] == "suvr-impossible"
    sidecar = json.loads(out.with_suffix(".json").read_text())
    assert sidecar["Equations"]["royse2021-FBP-wc"]["doi"] == "10.1186/s13195-021-00836-1"
    assert sidecar["SUVR"] == ADNI and set(sidecar["Flags"]) == {
        "centiloid-implausible",
        "suvr-impossible",
    }
    assert "4 of 6 rows" in capsys.readouterr().out
    # nobody converts twice
    assert main([str(out), "--equation", "royse2021-FBP-wc"]) == ExitCode.BAD_DATA


@pytest.mark.parametrize(
    ("equations", "column", "code", "said"),
    [
        (["royse2021-FBP-wc"], None, 65, "row 3, column TRACER: 'florbetaben' is not the tracer"),
        (["royse2021-FBP-composite"], ADNI, 65, "another pipeline or reference region"),
        (["battle2018-FMM-fsl"], None, 64, "with --column"),
        (["royse2021-FBP-wc"], "SUVR", 64, "has no such column"),
        (["royse2021-FBP-wc", "navitsky2018-FBP-avid"], None, 64, "both are for FBP"),
        (["royse"], None, 64, "known are royse2021-FBP-wc"),
    ],
)
def test_an_equation_is_bound_to_tracer_pipeline_and_column(
    adni, capsys, equations, column, code, said
):
    chosen = [] if column is None else ["--column", column]
    assert main([str(adni), "--equation", *equations, *chosen]) == code
    assert said in capsys.readouterr().err


def test_cells_that_are_no_suvr_are_named(tmp_path, capsys):
    path = table(tmp_path / "a.tsv", ("id", "x"), ("1", "1.2"), ("2", "1,3"), ("3", "-1"))
    assert main([str(path), "--equation", "battle2018-FMM-pmod", "--column", "x"]) == 65
    complaint = capsys.readouterr().err
    assert "a.tsv: row 2, column x: '1,3'" in complaint and "row 3, column x: '-1'" in complaint


def test_two_equations_need_to_know_the_tracer(tmp_path, capsys):
    path = table(tmp_path / "a.tsv", ("id", "x"), ("1", "1.2"))
    both = ["--equation", "cho2020-FBB-dc", "cho2020-FMM-dc"]
    assert main([str(path), *both, "--column", "x"]) == 65
    assert "row 1, there is no column tracer" in capsys.readouterr().err


@pytest.mark.parametrize("own", ["suvr_wc", "suvr_pons"])
def test_suvrs_of_centipet_are_refused_by_their_column(tmp_path, capsys, own):
    path = table(tmp_path / "a.tsv", ("participant_id", own, "other"), ("1", "1.2", "1.3"))
    assert main([str(path), "--equation", "royse2021-FBP-wc", "--column", "other"]) == 65
    assert own in capsys.readouterr().err and own in read_table("group_columns")["centiloid"]


def test_suvrs_of_centipet_are_refused_by_the_file_beside_them(tmp_path, capsys):
    path = table(tmp_path / "a.tsv", ("participant_id", "cortex"), ("1", "1.2"))
    chosen = [str(path), "--equation", "royse2021-FBP-wc", "--column", "cortex"]
    beside = tmp_path / "a.json"
    beside.write_text(json.dumps({"GeneratedBy": [{"Name": "CentiPET"}]}))
    assert main([*chosen, "-o", str(tmp_path / "b.tsv")]) == 65
    assert "a.json" in capsys.readouterr().err
    beside.write_text(json.dumps({"GeneratedBy": [{"Name": "PETPrep"}]}))
    assert main([*chosen, "-o", str(tmp_path / "b.tsv")]) == 0


def test_another_pipeline_is_compared_in_centiloids(tmp_path):
    """The same Centiloids on both sides, told as SUVRs on one: a line of one without bias."""
    values = np.linspace(-5, 120, 12)
    line = published()["navitsky2018-FBP-avid"]
    ours = table(tmp_path / "a.tsv", ("participant_id", "centiloid"),
                 *((str(i), repr(float(v))) for i, v in enumerate(values)))  # fmt: skip
    theirs = table(tmp_path / "b.tsv", ("participant_id", "suvr"),
                   *((str(i), repr(float((v - line.intercept) / line.slope)))
                     for i, v in enumerate(values)))  # fmt: skip
    found = compare(ours, theirs, [24.4], ordinary, equations=[line.name], column="suvr")
    item = found.columns["centiloid"]
    assert item.line.slope == pytest.approx(1) and item.agreement.bias == pytest.approx(0, abs=1e-9)
    assert found.files["second"]["equations"][0]["status"] == "from code"
    out = str(tmp_path / "out")
    arguments = [str(ours), str(theirs), "-o", out, "--column", "suvr"]
    assert compare_main(arguments) == ExitCode.USAGE
    assert compare_main([*arguments, "--equation", line.name]) == ExitCode.OK
    assert (tmp_path / "out" / "comparison.json").is_file()


def test_a_table_without_tracer_takes_the_only_equation(tmp_path):
    path = table(tmp_path / "a.tsv", ("id", ADNI), ("1", "1.11"))
    found = convert(path, ["royse2021-FBP-wc"])
    assert found.rows[0]["centiloid"] == pytest.approx(19.76, abs=0.01)
