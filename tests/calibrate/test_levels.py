"""Calibration from tables: the public ones, simulated cohorts, and cohorts with something wrong."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from own_tracers import OWN_TRACERS
from scipy import stats

from bidsapp.calibrate.fit import disagreements, fit_level1, fit_level2, standard_anchors
from bidsapp.calibrate.tables import (
    Pair,
    Person,
    public_people,
    read_pairs,
    read_people,
    with_published,
)
from bidsapp.cli.calibrate import main
from bidsapp.cli.main import main as centipet
from bidsapp.core.statistics.regression import ordinary
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import read_calibration, signed
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracer_file import using_tracer_file
from bidsapp.data.tracers import anchors, disagreement, tracers
from bidsapp.errors import BadDataError, ExitCode
from bidsapp.settings import Processing

TRACERS = {"FBB": 35, "FBP": 46, "FMM": 74, "NAV": 55}


@pytest.fixture(scope="module")
def gaain(shared_data):
    return shared_data / "gaain"


def calibrate(*arguments, folder):
    """Exit code and report of ``centipet-calibrate``."""
    code = main([*map(str, arguments), "-o", str(folder)])
    return code, json.loads((folder / f"{arguments[0]}_report.json").read_text())


@pytest.fixture(scope="module")
def level2_folder(gaain, tmp_path_factory):
    """Everything that level 2 of the public table writes."""
    folder = tmp_path_factory.mktemp("level2")
    assert calibrate("level2", "--from-table", gaain / "h2h_f18_tracers.csv", folder=folder)[0] == 0
    return folder


# ------------------------------------------------------------------------------ the public tables


def test_the_packaged_table_is_the_public_one(gaain):
    for ours, theirs in zip(public_people(), read_people(gaain / "PiB_gaain.csv"), strict=True):
        assert ours == theirs


def test_level1_of_the_public_table_is_the_identity_and_gives_the_anchors(gaain, tmp_path, capsys):
    code, report = calibrate(
        "level1", "--from-table", gaain / "PiB_gaain.csv", folder=tmp_path / "out"
    )
    assert code == ExitCode.OK and report["passed"] and report["suspects"] == []
    wanted = {
        "wc": (1.0095, 2.0761, 93.755, -94.646),
        "cg": (1.1702, 2.4276, 79.528, -93.061),
        "wcb": (0.9588, 1.9621, 99.674, -95.567),
        "pons": (0.7613, 1.5348, 129.285, -98.424),
    }
    assert [row["reference_region"] for row in report["calibrations"]] == list(wanted)
    for row in report["calibrations"]:
        line, equation = row["line"], row["equation"]
        zero, hundred, slope, intercept = wanted[row["reference_region"]]
        assert (line["slope"], line["intercept"]) == pytest.approx((1, 0), abs=0.01)
        assert equation["anchors"]["young_mean"] == pytest.approx(zero, abs=6e-5)
        assert equation["anchors"]["patients_mean"] == pytest.approx(hundred, abs=6e-5)
        assert (equation["slope"], equation["intercept"]) == pytest.approx(
            (slope, intercept), abs=6e-4
        )
    printed = capsys.readouterr().out
    assert printed.count("pass  ") == 20 and "Level 1: PASSED" in printed
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".svg"}


def test_level2_of_the_public_table_gives_the_listed_equations(gaain, level2_folder):
    report = json.loads((level2_folder / "level2_report.json").read_text())
    assert report["passed"]
    wanted = {  # gain, offset, slope and intercept of the table's own Centiloids, R2
        "FBB": (0.609, 0.389, 153.55, -155.09, 0.952),
        "FBP": (0.536, 0.501, 175.18, -182.24, 0.894),
        "FMM": (0.768, 0.220, 121.47, -121.30, 0.962),
        "NAV": (1.090, -0.073, 85.36, -88.06, 0.992),
    }
    found = {row["tracer"]: row for row in report["calibrations"]}
    assert found.keys() == wanted.keys()
    pairs = read_pairs(gaain / "h2h_f18_tracers.csv")
    for code, (gain, offset, slope, intercept, r2) in wanted.items():
        row = found[code]
        line = row["line"]
        assert row["n"] == TRACERS[code] and row["reference_region"] == "wc"
        assert (line["slope"], line["intercept"]) == pytest.approx((gain, offset), abs=6e-4)
        assert line["r2"] == pytest.approx(r2, abs=6e-4)
        assert row["table_line"] == pytest.approx(
            {"slope": slope, "intercept": intercept}, abs=6e-3
        )
        equation = row["equation"]
        assert equation["slope"] == pytest.approx(slope, rel=5e-3)
        assert equation["intercept"] == pytest.approx(intercept, rel=7e-3)
        own = [pair for pair in pairs if pair.tracer == code]
        scipy = stats.linregress([p.pib["wc"] for p in own], [p.other["wc"] for p in own])
        assert line["slope_se"] == pytest.approx(scipy.stderr)
        assert line["intercept_se"] == pytest.approx(scipy.intercept_stderr)


def test_the_table_of_tracers_holds_what_the_public_tables_give(gaain):
    found = standard_anchors()
    for name in REFERENCES:
        ours, theirs = anchors()[name], found[name]
        assert ours.young_sd == pytest.approx(theirs.young_sd, abs=6e-6)
        assert ours.patients_sd == pytest.approx(theirs.patients_sd, abs=6e-6)
        # published means of wc have three decimals
        assert ours.young_mean == pytest.approx(theirs.young_mean, abs=6e-4)
        assert ours.patients_mean == pytest.approx(theirs.patients_mean, abs=6e-4)
        equation = tracers()["PIB"].equations[name]
        values = [person.suvr[name] for person in public_people()]
        assert equation.suvr_range == pytest.approx((min(values), max(values)), abs=0.006)
    pairs = fit_level2(
        read_pairs(gaain / "h2h_f18_tracers.csv"), level1_anchors=None, source="", fit=ordinary
    )
    for code in TRACERS:
        ours, theirs = tracers()[code].equation.pairs, pairs[code, "wc"].equation.pairs
        assert ours.gain == pytest.approx(theirs.gain, abs=1e-6)
        assert ours.offset == pytest.approx(theirs.offset, abs=1e-6)
        assert ours.residual_sd == pytest.approx(theirs.residual_sd, abs=1e-6)
        assert ours.covariance == pytest.approx(theirs.covariance, rel=1e-4)
        assert ours.spread == pytest.approx(theirs.spread, rel=3e-3)
    people = fit_level1(public_people(), standard=True, source="", fit=ordinary)
    for (_, name), sds in disagreements(people).items():
        assert disagreement()[name] == pytest.approx(sds, rel=0.02)


def test_a_calibration_file_is_taken_and_makes_the_same_centiloids(level2_folder):
    path = level2_folder / "level2_calibration.json"
    scale = Pipeline(Processing(calibration=path), "FBB").scale()
    assert scale.calibrated and scale.calibration == read_calibration(path).name != "published"
    assert scale.equations["wc"].slope == pytest.approx(153.6, abs=0.1)
    assert scale.equations["wc"].pairs.gain == pytest.approx(0.609, abs=6e-4)
    # a tracer that the file does not have keeps the published equation
    assert Pipeline(Processing(calibration=path), "PIB").scale().calibration == "published"


def test_the_same_table_gives_the_same_bits(gaain, level2_folder, tmp_path):
    calibrate("level2", "--from-table", gaain / "h2h_f18_tracers.csv", folder=tmp_path)
    for path in level2_folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


# ------------------------------------------------------------------------- cohorts, right and wrong


def cohort(rng, gain=1.0, offset=0.0, noise=0.012):
    """The 79 people as another pipeline would measure them."""
    return [
        Person(
            p.name, p.is_young, {"wc": gain * p.suvr["wc"] + offset + rng.normal(0, noise)}, p.cl
        )
        for p in public_people()
    ]


def level1(people, standard=True):
    return fit_level1(people, standard=standard, source="simulated", fit=ordinary)["PIB", "wc"]


def test_a_good_pipeline_passes_and_a_biased_one_fails():
    rng = np.random.default_rng(0)
    assert level1(cohort(rng)).passed
    biased = level1(cohort(rng, gain=0.95))
    assert not biased.passed
    failed = {criterion.name for criterion in biased.criteria if not criterion.passed}
    assert "slope" in failed and biased.line.slope == pytest.approx(0.95, abs=0.01)
    assert not level1(cohort(rng, offset=0.04)).passed  # 4 CL
    assert not level1(cohort(rng, noise=0.12)).passed


def test_a_pipeline_of_its_own_kind_is_judged_by_its_own_line():
    """Smoothing, say, lowers all SUVRs: own anchors take care of that, scatter they do not."""
    rng = np.random.default_rng(1)
    assert level1(cohort(rng, gain=0.9, offset=0.05), standard=False).passed
    assert not level1(cohort(rng, gain=0.9, noise=0.12), standard=False).passed


def test_some_of_the_people_are_not_0_and_100_of_the_scale(tmp_path, capsys):
    """Three patients of 112 CL on average: 100 CL would be what is 112."""
    few = [*public_people()[:3], *public_people()[-3:]]
    patients = np.mean([p.cl["wc"] for p in few if not p.is_young])
    assert patients > 110
    table = tmp_path / "few.tsv"
    rows = [f"{p.name}\t{p.suvr['wc']}" for p in few]
    table.write_text("\n".join(["participant_id\tsuvr_wc", *rows]) + "\n")
    code, report = calibrate("level1", "--from-table", table, folder=tmp_path / "out")
    assert code == ExitCode.SCAN_FAILED and not report["passed"]
    printed = capsys.readouterr().out
    assert f"FAIL  published mean of patients {patients:.4f}, wanted 98 to 102" in printed
    assert "LOOK: only 6 scans" in printed


def simulated_pairs(n, rng, gain=0.61, offset=0.39, sd=0.03):
    pib = rng.uniform(1, 2.4, n)
    return pib, gain * pib + offset + rng.normal(0, sd, n)


def test_residuals_of_few_pairs_are_as_wide_as_their_freedom():
    """Intervals of 95 % hold new people by Student's t, of whatever number of pairs."""
    pib, other = simulated_pairs(8, np.random.default_rng(5))
    pairs = [Pair(f"P{i}", False, "FBB", {"wc": p}, {"wc": o}) for i, (p, o) in
             enumerate(zip(pib, other, strict=True))]  # fmt: skip
    (item,) = fit_level2(pairs, level1_anchors=None, source="", fit=ordinary).values()
    wanted = item.line.residual_sd * stats.t.ppf(0.975, 6) / stats.norm.ppf(0.975)
    assert item.equation.pairs.spread == pytest.approx((wanted, wanted))


def test_exchanged_columns_are_told():
    pib, other = simulated_pairs(30, np.random.default_rng(6))
    right, wrong = (
        fit_level2(
            [Pair(f"P{i}", False, "FBB", {"wc": x}, {"wc": y}) for i, (x, y) in
             enumerate(zip(*columns, strict=True))],
            level1_anchors=None, source="", fit=ordinary,
        )["FBB", "wc"]
        for columns in ((pib, other), (other, pib))
    )  # fmt: skip
    assert right.suspects == ()
    (suspect,) = wrong.suspects
    assert suspect.code == "unlike-published" and "100 CL by the published" in suspect.message


def test_exchanged_images_are_named():
    people = cohort(np.random.default_rng(2))
    a, b = (next(p for p in people if p.name == name) for name in ("AD07", "YC110"))
    swapped = [
        Person(p.name, p.is_young, {a.name: b, b.name: a}.get(p.name, p).suvr, p.cl) for p in people
    ]
    found = level1(swapped)
    assert not found.passed
    (suspect,) = found.suspects
    assert set(suspect.people) == {"AD07", "YC110"} and suspect.code == "exchanged"
    assert "AD07" in suspect.message and "YC110" in suspect.message


def test_an_image_of_another_tracer_is_named():
    """Florbetapir taken for PiB: half the effect, far off the line of the others."""
    people = [
        Person(p.name, p.is_young, {"wc": 0.536 * p.suvr["wc"] + 0.501}, p.cl)
        if p.name == "AD20"
        else p
        for p in cohort(np.random.default_rng(3))
    ]
    (suspect,) = level1(people).suspects
    assert suspect.people == ("AD20",) and suspect.code == "outlier"
    assert "below" in suspect.message and "tracer" in suspect.message


def test_a_clean_public_cohort_raises_no_suspicion(gaain):
    found = fit_level2(
        read_pairs(gaain / "h2h_f18_tracers.csv"), level1_anchors=None, source="", fit=ordinary
    )
    assert [item.suspects for item in found.values()] == [()] * 4


def test_exchanged_people_of_level2_are_named():
    rng = np.random.default_rng(4)
    pib = np.concatenate([rng.normal(1.0, 0.05, 15), rng.uniform(1.3, 2.4, 25)])
    other = 0.61 * pib + 0.39 + rng.normal(0, 0.02, 40)
    other[[0, 30]] = other[[30, 0]]
    pairs = [
        Pair(f"P{i:02d}", i < 15, "FBB", {"wc": p}, {"wc": o})
        for i, (p, o) in enumerate(zip(pib, other, strict=True))
    ]
    (item,) = fit_level2(pairs, level1_anchors=None, source="", fit=ordinary).values()
    assert [set(suspect.people) for suspect in item.suspects] == [{"P00", "P30"}]


def test_a_failed_calibration_writes_no_file_for_the_pipeline(tmp_path, capsys):
    rows = [f"{p.name}\t{0.95 * p.suvr['wc']!r}" for p in public_people()[2:]]
    table = tmp_path / "own.tsv"
    table.write_text("participant_id\tsuvr_wc\n" + "\n".join(rows) + "\n")
    code, report = calibrate("level1", "--from-table", table, folder=tmp_path / "out")
    assert code == ExitCode.SCAN_FAILED and not report["passed"]
    assert report["absent"] == ["AD01", "AD02"]
    assert not (tmp_path / "out" / "level1_calibration.json").exists()
    printed = capsys.readouterr().out
    assert "ABSENT: 2 of the 79 people" in printed
    assert "FAIL  slope 0.95" in printed and "Level 1: FAILED" in printed


def test_own_centiloids_of_a_group_table_are_not_taken_for_published_ones(tmp_path):
    """A pipeline judged by its own numbers would always pass."""
    rows = [f"{p.name}\tPIB\t{0.9 * p.suvr['wc']!r}\t{p.cl['wc']!r}" for p in public_people()]
    table = tmp_path / "group_centiloid.tsv"
    header = "participant_id\ttracer\tsuvr_wc\tcentiloid_wc"
    table.write_text("\n".join([header, *rows]) + "\n")
    people = with_published(read_people(table))
    assert people[0].cl == public_people()[0].cl  # by the name of the person
    assert all("wc" not in person.cl for person in read_people(table))


def test_columns_are_known_in_whatever_case(tmp_path):
    tables = {name: tmp_path / name for name in ("people.csv", "pairs.csv")}
    tables["people.csv"].write_text(
        "Person,Cohort,SUVR_WC,_SUVR_WC_B\nX,YC,1.1,0.9\nY,AD,2.1,1.7\n"
    )
    tables["pairs.csv"].write_text("ID,Cohort,Tracer,PiB_SUVR_wc,F18_SUVR_wc\nX,YC,FBB,1.5,1.4\n")
    assert [(p.name, p.is_young, p.suvr) for p in read_people(tables["people.csv"])] == [
        ("X", True, {"wc": 1.1, "wcb": 0.9}),
        ("Y", False, {"wc": 2.1, "wcb": 1.7}),
    ]
    (pair,) = read_pairs(tables["pairs.csv"])
    assert (pair.tracer, pair.pib, pair.other) == ("FBB", {"wc": 1.5}, {"wc": 1.4})
    assert pair.is_young


def test_a_group_table_gives_pairs(tmp_path):
    lines = ["participant_id\ttracer\tsuvr_wc\tsuvr_pons"]
    for i in range(6):
        pib = 1 + 0.2 * i
        lines.append(f"sub-{i}\tPIB\t{pib}\t{pib / 1.3}")
        lines.append(f"sub-{i}\tFBB\t{0.6 * pib + 0.4}\tn/a")
    lines.append("sub-9\tFBB\t1.2\t0.9")
    table = tmp_path / "group_centiloid.tsv"
    table.write_text("\n".join(lines) + "\n")
    pairs = read_pairs(table)
    assert len(pairs) == 6 and pairs[0].other == {"wc": 1.0}
    people = with_published(read_people(table))
    assert len(people) == 6 and people[1].suvr["wc"] == 1.2
    table.write_text("\n".join([lines[0], "sub-0\tPIB\tn/a\tn/a", *lines[1:]]) + "\n")
    assert read_pairs(table) == pairs  # a failed scan is no second one
    table.write_text("\n".join(line for line in lines if "PIB" not in line) + "\n")
    with pytest.raises(BadDataError, match="no row has the tracer PiB"):
        read_people(table)


SAME = "id\ttracer\tpib_suvr_wc\tf18_suvr_wc\nA\tFBB\t1\t1\nB\tFBB\t2\t2\nC\tFBB\t3\t3\n"


@pytest.mark.parametrize(
    ("text", "level", "word"),
    [
        ("participant_id\tsuvr_wc\n", "level1", "no rows"),
        ("participant_id\tother\nAD01\t1\n", "level1", "suvr_wc"),
        ("name\tsuvr_wc\nAD01\t1\n", "level1", "participant_id"),
        ("participant_id\tsuvr_wc\nAD01\tone\n", "level1", "'one' is not a number"),
        ("participant_id\tsuvr_wc\nAD01\t1\nAD01\t2\n", "level1", "two rows"),
        ("participant_id\tsuvr_wc\nAD01\t1\t2\n", "level1", "line 2"),
        (
            "participant_id\tsuvr_wc\nAD01\t210\n",
            "level1",
            "suvr_wc: 210 is not an SUVR (0.2 to 20",
        ),
        ("participant_id\tsuvr_wc\nAD01\t0\n", "level1", "0 is not an SUVR"),
        ("id\ttracer\tpib_suvr_wc\tf18_suvr_wc\nA\tPiB\t1\t2\n", "level2", "is also PiB"),
        ("id\ttracer\tpib_suvr_wc\tf18_suvr_wc\nA\tFBB\t1\t-1\n", "level2", "not an SUVR"),
        (SAME, "level2", "the SUVRs of the tracer are those of PiB"),
        ("participant_id\tsuvr_wc\nP1\t1\nP2\t2\nP3\t2\n", "level1", "AD01 to AD45"),
        ("participant_id\tsuvr_wc\nAD01\t2\nAD02\t2.1\nAD03\t2\n", "level1", "young controls"),
        ("participant_id\tsuvr_wc\nAD01\t1\n", "level2", "pib_suvr_wc"),
        ("participant_id\ttracer\tsuvr_wc\nA\tFBB\t1\n", "level2", "no participant"),
        (
            "id\ttracer\tpib_suvr_wc\tf18_suvr_wc\nA\tFDG\t1\t1\n",
            "level2",
            "'FDG' is not an amyloid",
        ),
        ("id\ttracer\tpib_suvr_wc\tf18_suvr_wc\nA\tFBB\t1\t1.1\n", "level2", "at least 3"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_a_sentence(tmp_path, capsys, text, level, word):
    table = tmp_path / "table.tsv"
    table.write_text(text)
    code = main([level, "--from-table", str(table), "-o", str(tmp_path / "out")])
    complaint = capsys.readouterr().err
    assert code == ExitCode.BAD_DATA and word in complaint and complaint.count("\n") == 1


def test_options_of_the_pipeline_describe_a_table(gaain, tmp_path):
    """SUVRs of another window: judged by own anchors, for that pipeline only."""
    options = ["--window", "60", "80"]
    code, report = calibrate(
        "level1", "--from-table", gaain / "PiB_gaain.csv", *options, folder=tmp_path
    )
    assert code == ExitCode.OK and not report["standard_pipeline"]
    assert report["calibrations"][0]["fingerprint"]["window_min"] == [60, 80]
    path = tmp_path / "level1_calibration.json"
    late = Pipeline(Processing(calibration=path, window_min=(60.0, 80.0)), "PIB").scale()
    assert late.calibrated and late.equations.keys() == set(REFERENCES)
    assert set(late.disagreement) == {"cg", "wcb", "pons"}
    assert not Pipeline(Processing(calibration=path), "PIB").scale().equations
    # level 2 of the same pipeline takes its anchors; of another, never
    command = ["level2", "--from-table", str(gaain / "h2h_f18_tracers.csv"), "--level1", str(path)]
    out = ["-o", str(tmp_path / "two")]
    assert main([*command, *options, *out]) == ExitCode.OK
    both = read_calibration(tmp_path / "two" / "level2_calibration.json")
    assert {code for code, _ in both.lines} == {"PIB", *TRACERS}
    assert main([*command, *out]) == ExitCode.BAD_DATA
    # and without them never the published line of PiB, unless the table has its Centiloids
    rows = read_pairs(gaain / "h2h_f18_tracers.csv")
    for given, wanted in (("pib_suvr_wc", ExitCode.USAGE), ("pib_cl", ExitCode.OK)):
        pib = [p.pib_cl if given == "pib_cl" else p.pib["wc"] for p in rows]
        lines = [
            f"{p.name}\t{p.tracer}\t{value}\t{p.other['wc']}"
            for p, value in zip(rows, pib, strict=True)
        ]
        table = tmp_path / f"{given}.tsv"
        table.write_text("\n".join([f"id\ttracer\t{given}\tf18_suvr_wc", *lines]) + "\n")
        level2 = ["level2", "--from-table", str(table), "-o", str(tmp_path / given)]
        assert main([*level2, "--smooth", "6"]) == wanted
        assert main(level2) == ExitCode.OK
    assert main([*command, "--no-such-option", *out]) == ExitCode.USAGE


WIDE = "participant_id\tpib_suvr_wc\tf18_suvr_wc\nA\t2\t1.5\nB\t1\t1\n"
LONG = "participant_id\ttracer\tsuvr_wc\nA\tPiB\t2\nA\tFBP\t1.5\n"


@pytest.mark.parametrize(
    ("text", "tracers_of_rows"),
    [
        (WIDE, ["FBB", "FBB"]),
        (WIDE.replace("participant_id", "participant_id\ttracer").replace("A\t", "A\tn/a\t")
         .replace("B\t", "B\tflorbetaben\t"), ["FBB", "FBB"]),
        (LONG.replace("FBP", "[18F]florbetaben"), ["FBB"]),
    ],
)  # fmt: skip
def test_the_tracer_of_the_command_line_is_that_of_rows_that_tell_none(
    tmp_path, text, tracers_of_rows
):
    table = tmp_path / "table.tsv"
    table.write_text(text)
    assert [pair.tracer for pair in read_pairs(table, "FBB")] == tracers_of_rows


@pytest.mark.parametrize(
    "text", [LONG, WIDE.replace("_id", "_id\ttracer").replace("A\t", "A\tFBP\t")]
)
def test_rows_of_another_tracer_than_the_command_line_says_are_refused(tmp_path, text):
    table = tmp_path / "table.tsv"
    table.write_text(text.replace("B\t1", "B\tFBB\t1"))
    with pytest.raises(BadDataError, match=r"A: tracer 'FBP' contradicts --tracer FBB; leave"):
        read_pairs(table, "FBB")


@pytest.mark.parametrize(
    ("level", "tracer", "word"),
    [
        ("level1", "FBB", "is only for level2"),
        ("tau", "FTP", "is only for level2"),
        ("level2", "QZ99", "is not known"),
        ("level2", "PiB", "is the reference tracer"),
    ],
)
def test_a_tracer_that_says_nothing_of_a_table_is_refused(tmp_path, capsys, level, tracer, word):
    table = tmp_path / "table.tsv"
    table.write_text(LONG)
    command = [level, "--from-table", str(table), "--tracer", tracer, "-o", str(tmp_path / "out")]
    assert main(command) == ExitCode.USAGE and word in capsys.readouterr().err


def test_a_table_without_tracer_asks_for_it(tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text(WIDE)
    with pytest.raises(BadDataError, match="column tracer is missing; add it, or give --tracer"):
        read_pairs(table)


def test_usage_errors(tmp_path, capsys):
    table = tmp_path / "absent.tsv"
    for arguments, code in (
        (["level1"], ExitCode.USAGE),
        (["level3", "x"], ExitCode.USAGE),
        (["level1", "x", "--from-table", str(table)], ExitCode.NO_INPUT),
        (["level1", "--from-table", str(table)], ExitCode.NO_INPUT),
        (["level1", "--from-table", str(table), "--error-ratio", "0"], ExitCode.USAGE),
        (["level1", str(tmp_path / "nowhere"), "-o", str(tmp_path / "o")], ExitCode.NO_INPUT),
    ):
        assert main(arguments) == code
        assert capsys.readouterr().err.startswith("centipet-calibrate: ")


# ---------------------------------------------------------------------- files that must not be used


@pytest.fixture
def calibration_file(level2_folder, tmp_path):
    return shutil.copy(level2_folder / "level2_calibration.json", tmp_path / "calibration.json")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c["equations"][0].update(slope=200.0), "sha256"),
        (lambda c: c.update(schema="other"), "schema"),
        (lambda c: c.pop("sha256"), "sha256"),
    ],
)
def test_a_calibration_file_that_was_changed_is_refused(calibration_file, change, word):
    content = json.loads(calibration_file.read_text())
    change(content)
    calibration_file.write_text(json.dumps(content))
    with pytest.raises(BadDataError, match=word):
        read_calibration(calibration_file)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c.update(passed=False), "criteria"),
        (lambda c: c.update(equations=[]), "no equation"),
        (lambda c: c["equations"][0].update(reference_region="moon"), "reference region moon"),
        (lambda c: c["equations"][0].update(intercept=math.inf), "must be numbers"),
    ],
)
def test_a_calibration_file_of_nothing_that_can_be_used_is_refused(calibration_file, change, word):
    content = json.loads(calibration_file.read_text())
    change(content)
    calibration_file.write_text(json.dumps(signed(content)))
    with pytest.raises(BadDataError, match=word):
        read_calibration(calibration_file)


def test_a_broken_file_ends_a_run_before_anything_is_computed(raw, tmp_path, capsys):
    raw.t1w("sub-01")
    raw.pet("sub-01_trc-FBB")
    broken = tmp_path / "calibration.json"
    run = [str(raw.root), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
    for text, code in (("{}", ExitCode.BAD_DATA), (None, ExitCode.NO_INPUT)):
        if text is not None:
            broken.write_text(text)
        else:
            broken.unlink()
        assert centipet([*run, "--calibration", str(broken)]) == code
        (complaint,) = [
            line for line in capsys.readouterr().err.splitlines() if "centipet:" in line
        ]
        assert f"--calibration {broken}" in complaint


def test_an_equation_of_another_pipeline_stays_unused(calibration_file, monkeypatch):
    """Same file, other options: the fingerprint differs, and nothing is tolerated."""
    real = Pipeline.fingerprint
    smoothed = lambda *given: replace(real(*given), smooth_fwhm_mm=4.5)  # noqa: E731
    monkeypatch.setattr(Pipeline, "fingerprint", smoothed)
    for code in ("FBB", "PIB"):
        scale = Pipeline(Processing(calibration=calibration_file), code).scale()
        assert not scale.calibrated and not scale.equations
        assert "smoothing (mm) 4.5 not none" in scale.differences


def test_a_window_of_ones_own_needs_an_equation_of_ones_own(calibration_file):
    own = Processing(calibration=calibration_file, window_min=(80.0, 100.0))
    assert not Pipeline(own, "FBB").scale().equations
    same = Processing(calibration=calibration_file, window_min=(90.0, 110.0))
    assert Pipeline(same, "FBB").scale().calibrated


def test_pet_only_is_an_approximation():
    scale = Pipeline(Processing(), "FBB", normalisation="pet").scale()
    assert scale.equations and scale.approximate and not scale.calibrated
    assert scale.error.pipeline_sd > Pipeline(Processing(), "FBB").scale().error.pipeline_sd


# ------------------------------------------------------------------------- tracers of the user


@pytest.fixture
def own(tmp_path):
    """A file of two tracers, and pairs: SUVR = 0.7 PiB + 0.3 and 0.5 PiB + 0.6, without noise."""
    (tmp_path / "lab.toml").write_text(OWN_TRACERS)
    lines = ["id\ttracer\tpib_suvr_wc\tf18_suvr_wc"]
    for i in range(12):
        pib = 0.95 + 0.12 * i
        lines.append(f"A{i}\tQualizetaben\t{pib!r}\t{0.7 * pib + 0.3!r}")
        lines.append(f"B{i}\t[18F]FC119S\t{pib!r}\t{0.5 * pib + 0.6!r}")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def slope_and_intercept(gain, offset):
    """Centiloid = 100 ((S - offset) / gain - 1.009) / 1.067, by the definition of the scale."""
    return 100 / (1.067 * gain), -100 * (offset / gain + 1.009) / 1.067


def test_two_tracers_of_the_user_get_their_equations(own):
    file = ["--tracer-file", own / "lab.toml"]
    table = ["level2", "--from-table", own / "pairs.tsv"]
    code, report = calibrate(*table, *file, folder=own / "out")
    assert code == ExitCode.OK and report["tracers"]["QZ41"]["window_min"] == [60, 80]
    assert [row["line"]["r2"] for row in report["calibrations"]] == [pytest.approx(1)] * 2
    path, lab = own / "out" / "level2_calibration.json", own / "lab.toml"
    processing = Processing(calibration=path, tracer_file=lab)
    with using_tracer_file(lab):
        for name, line in {"QZ41": (0.7, 0.3), "FC119S": (0.5, 0.6)}.items():
            scale = Pipeline(processing, name).scale()
            found = scale.equations["wc"]
            assert scale.calibrated
            assert (found.slope, found.intercept) == pytest.approx(slope_and_intercept(*line))
        assert Pipeline(processing, "FBB").scale().calibration == "published"
        other_window = replace(processing, window_min=(50.0, 70.0))
        assert not Pipeline(other_window, "QZ41").scale().equations
    read_calibration.cache_clear()
    with pytest.raises(BadDataError, match=r"FC119S, a tracer that CentiPET does not know; give"):
        read_calibration(path)
    for changed in (
        OWN_TRACERS.replace("qualizetaben", "otherzetaben"),
        OWN_TRACERS.replace("18F", "11C").replace("F18", "C11"),
    ):
        lab.write_text(changed)
        with (
            using_tracer_file(lab),
            pytest.raises(BadDataError, match=r"was made for \[18F\]qualiz"),
        ):
            Pipeline(processing, "QZ41").scale()


def test_centiloids_of_pib_are_as_good_as_its_suvrs(own):
    """A table without PiB SUVRs: by the published anchors, or by those of the own pipeline."""
    line = tracers()["PIB"].equation
    rows = ["id\ttracer\tpib_cl\tf18_suvr_wc"]
    for i in range(12):
        rows.append(f"A{i}\tQZ41\t{10.0 * i - 5}\t{0.006 * (10 * i - 5) + 1.1!r}")
    rows.append("B\tQZ41\tn/a\t3.0")  # has nothing of PiB
    (own / "pairs.tsv").write_text("\n".join(rows) + "\n")
    with using_tracer_file(own / "lab.toml"):
        pairs = read_pairs(own / "pairs.tsv")
        for anchor in (None, {"wc": replace(line.anchors, young_mean=0.9, patients_mean=2.3)}):
            fitted = fit_level2(pairs, level1_anchors=anchor, source="", fit=ordinary)
            found = fitted["QZ41", "wc"].equation
            assert (found.slope, found.intercept) == pytest.approx((1 / 0.006, -1.1 / 0.006))


@pytest.mark.parametrize(
    ("tracer", "words"),
    [
        ("QZ99", "A: tracer 'QZ99' is not known; correct it, or describe it in a --tracer-file"),
        ("florapronol", "another tracer; florapronol has to be described in a --tracer-file"),
    ],
)
def test_a_tracer_that_nobody_described_is_named(tmp_path, tracer, words):
    table = tmp_path / "group_centiloid.tsv"
    table.write_text(f"participant_id\ttracer\tsuvr_wc\nA\tPIB\t1.5\nA\t{tracer}\t1.2\n")
    with pytest.raises(BadDataError) as caught:
        read_pairs(table)
    assert words in str(caught.value)
