"""``centipet-calibrate tau``: lines of a pipeline from a table, and what a scan makes of them."""

import json

import nibabel as nib
import numpy as np
import pytest

from bidsapp.cli.calibrate import main
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.statistics.calibration import between_pipelines
from bidsapp.core.statistics.regression import deming, ordinary
from bidsapp.data.calibrations import TauLine, read_tau_calibration
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tau import tau_equations, tau_regions
from bidsapp.errors import BadDataError
from bidsapp.settings import Processing

SLOPE, INTERCEPT = 1.25, -0.18  # of the standard pipeline's SUVR on that of ours
HEADER = ("participant_id", "tracer", "tau_suvr_universal", "standard_suvr_universal")


def table(path, rows, header=HEADER):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)))
    return path


def people(n=30, noise=0.0, seed=7):
    """Own and standard SUVRs of people with little and with much tau."""
    rng = np.random.default_rng(seed)
    standard = np.concatenate([rng.normal(1.1, 0.06, n // 2), rng.uniform(1.3, 2.6, n - n // 2)])
    own = (standard - INTERCEPT) / SLOPE + rng.normal(0, noise, n)
    return own + 0.0, standard + rng.normal(0, noise, n)


def rows_of(own, standard, tracer="FTP"):
    return [
        (f"sub-{i:02}", tracer, a, b) for i, (a, b) in enumerate(zip(own, standard, strict=True))
    ]


@pytest.fixture
def run(tmp_path, tau_vois, capsys):
    """Run the command on rows; gives exit code, folder, output and error."""

    def _run(rows, *options, header=HEADER):
        out = tmp_path / "out"
        file = table(tmp_path / "pairs.tsv", rows, header)
        arguments = ["tau", file, "-o", out, "--tau-vois", tau_vois, *options]
        code = main(list(map(str, arguments)))
        printed = capsys.readouterr()
        return code, out, printed.out, printed.err

    return _run


@pytest.mark.slow
def test_a_known_line_is_found_and_puts_own_suvrs_where_those_of_the_standard_belong(run, tau_vois):
    own, standard = people()
    code, out, printed, _ = run(rows_of(own, standard))
    assert code == 0 and "PASSED" in printed
    file = out / "tau_calibration.json"
    line = read_tau_calibration(file).lines["FTP", "universal"]
    assert (line.slope, line.intercept) == pytest.approx((SLOPE, INTERCEPT))
    scale = Pipeline(Processing(tau_vois=tau_vois, tau_calibration=file), "FTP").tau_scale()
    assert scale.calibrated and scale.calibration == read_tau_calibration(file).name
    for kind, published in tau_equations("FTP").items():
        ours = scale.equations[kind]["universal"]
        assert [centiloid(a, ours) for a in own] == pytest.approx(
            [centiloid(b, published["universal"]) for b in standard]
        )
    # a region that the table does not have gets nothing, another tracer the published line
    assert set(scale.equations["centaurz"]) == {"universal"} and "frontal" in printed
    other = Pipeline(Processing(tau_vois=tau_vois, tau_calibration=file), "MK6240").tau_scale()
    assert other.equations == tau_equations("MK6240") and other.calibration == "published"


@pytest.mark.parametrize("kind", ["centaurz", "centaur"])
def test_a_line_takes_own_suvrs_to_the_scale_by_way_of_the_standard_ones(kind):
    line = TauLine(
        SLOPE, INTERCEPT, 30, 0.9, (0.9, 2.5), Pipeline(Processing(), "FTP").fingerprint("wc")
    )
    published = tau_equations("FTP")[kind]["universal"]
    own = line.onto(published, "this file")
    assert centiloid(1.7, own) == pytest.approx(centiloid(SLOPE * 1.7 + INTERCEPT, published))
    assert own.source == f"{published.source}, by this file" and own.suvr_range == (0.9, 2.5)


@pytest.mark.parametrize("kind", ["centaurz", "centaur"])
def test_values_of_a_scale_serve_as_those_of_the_standard_pipeline(run, kind):
    own, standard = people()
    line = tau_equations("FTP")[kind]["universal"]
    values = [centiloid(value, line) for value in standard]
    header = (*HEADER[:3], f"standard_{kind}_universal")
    _, out, *_ = run(rows_of(own, values), header=header)
    found = read_tau_calibration(out / "tau_calibration.json").lines["FTP", "universal"]
    assert (found.slope, found.intercept) == pytest.approx((SLOPE, INTERCEPT))


def test_error_in_both_pipelines_does_not_flatten_the_line():
    """Deming finds the slope on average that least squares, which blames one, underestimates."""
    draws = [people(noise=0.12, seed=seed) for seed in range(40)]
    found = {
        fit: np.array([between_pipelines(*one, range(30), {}, fit).line.slope for one in draws])
        for fit in (deming, ordinary)
    }
    error = found[deming].std(ddof=1) / np.sqrt(len(draws))
    assert abs(found[deming].mean() - SLOPE) < 4 * error
    assert found[ordinary].mean() < SLOPE - 4 * error


def test_the_file_belongs_to_options_and_volumes(run, tau_vois, tmp_path):
    own, standard = people()
    _, out, *_ = run(rows_of(own, standard), "--smooth", "6")
    given = Processing(tau_vois=tau_vois, tau_calibration=out / "tau_calibration.json")
    plain = Pipeline(given, "FTP").tau_scale()
    assert plain.equations == {} and "smoothing" in plain.differences[0]
    assert Pipeline(Processing(smooth_fwhm_mm=6.0, **_of(given)), "FTP").tau_scale().calibrated
    other = tmp_path / "others"
    other.mkdir()
    for file in tau_vois.iterdir():
        image = nib.load(file)
        data = np.asarray(image.dataobj).copy()
        data[: data.shape[0] // 2] = 0
        nib.Nifti1Image(data, image.affine).to_filename(other / file.name)
    moved = Processing(tau_vois=other, smooth_fwhm_mm=6.0, tau_calibration=given.tau_calibration)
    assert Pipeline(moved, "FTP").tau_scale().differences == ("volumes of interest",)


def _of(processing):
    return {"tau_vois": processing.tau_vois, "tau_calibration": processing.tau_calibration}


def test_a_line_that_fits_badly_fails_and_writes_no_file(run):
    rng = np.random.default_rng(3)
    own, standard = people()
    code, out, printed, _ = run(rows_of(own, standard + rng.normal(0, 1.2, own.size).clip(-0.6, 3)))
    assert code == 1 and "FAIL  r2" in printed and not (out / "tau_calibration.json").exists()
    assert json.loads((out / "tau_report.json").read_text())["passed"] is False


def test_a_changed_file_is_refused(run):
    _, out, *_ = run(rows_of(*people()))
    file = out / "tau_calibration.json"
    file.write_text(file.read_text().replace('"region": "universal"', '"region": "frontal"'))
    with pytest.raises(BadDataError, match=r"--tau-calibration .*sha256"):
        read_tau_calibration(file)
    file.write_text('{"schema": "centipet-calibration/1"}')
    with pytest.raises(BadDataError, match="centipet-tau-calibration/1"):
        read_tau_calibration(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [(*rows[0][:1], "FBB", *rows[0][2:]), *rows[1:]], "line 2: tracer 'FBB'"),
        (lambda rows: [(*rows[0][:1], "THK", *rows[0][2:]), *rows[1:]], "line 2: tracer 'THK'"),
        (lambda rows: [*rows, rows[0]], "sub-00 has two rows with FTP"),
        (lambda rows: [(*rows[0][:3], "high"), *rows[1:]], "standard_suvr_universal: 'high'"),
        (
            lambda rows: [(*rows[0][:2], "-1.2", "1.1"), *rows[1:]],
            "tau_suvr_universal: -1.2 is not",
        ),
        (lambda rows: [(*row[:3], row[2]) for row in rows], "universal: the SUVRs of both"),
        (lambda rows: [(*row[:3], 5 - row[2]) for row in rows], "does not rise"),
        (lambda rows: [(*row[:3], "n/a") for row in rows], "no row has the values of both"),
        (lambda rows: rows[:2], "FTP, universal"),
    ],
)
def test_bad_rows_are_told_by_line_and_column(run, change, said):
    code, out, _, error = run(change(rows_of(*people())))
    assert code not in (0, 1) and said in error and "Traceback" not in error
    assert not (out / "tau_calibration.json").exists()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("person_no", *HEADER[1:]), "column participant_id"),
        (("participant_id", "scan", *HEADER[2:]), "column tracer"),
        ((*HEADER[:2], "suvr_universal", HEADER[3]), "tau_suvr_REGION"),
        ((*HEADER[:3], "standard_suvr_frontal"), "tau_suvr_REGION"),
    ],
)
def test_missing_columns_are_named(run, header, said):
    code, _, _, error = run(rows_of(*people()), header=header)
    assert code not in (0, 1) and said in error


def test_a_value_that_no_suvr_gives_is_told(run):
    rows = [(*row[:3], -99.0) for row in rows_of(*people())]
    code, _, _, error = run(rows, header=(*HEADER[:3], "standard_centaurz_universal"))
    assert code not in (0, 1) and "no SUVR gives -99.0" in error


def test_two_columns_of_the_standard_pipeline_are_refused(run):
    rows = [(*row, 1.0) for row in rows_of(*people())]
    code, _, _, error = run(rows, header=(*HEADER, "standard_centaurz_universal"))
    assert code not in (0, 1) and "keep only one of them" in error


def test_volumes_and_table_are_asked_for(tmp_path, capsys):
    file = table(tmp_path / "pairs.tsv", rows_of(*people()))
    assert main(["tau", str(file), "-o", str(tmp_path / "out")]) == 64
    assert "--tau-vois" in capsys.readouterr().err
    gone = ["tau", str(tmp_path / "gone.tsv"), "-o", str(tmp_path), "--tau-vois", str(tmp_path)]
    assert main(gone) == 66
    assert "is not a file" in capsys.readouterr().err


def test_columns_of_the_group_table_are_those_that_are_read(run):
    header = ("participant_id", "tracer", *(f"tau_suvr_{one}" for one in tau_regions()),
              *(f"standard_suvr_{one}" for one in tau_regions()))  # fmt: skip
    own, standard = people(12)
    rows = [
        (f"sub-{i}", "AV-1451", *[a] * 5, *[b] * 5)
        for i, (a, b) in enumerate(zip(own, standard, strict=True))
    ]
    rows.append(("sub-x", "FBB", *["n/a"] * 10))  # an amyloid scan of the same table
    rows.append(("sub-y", "FTP", *["n/a"] * 5, *[1.2] * 5))  # nothing of this pipeline
    code, out, _, _ = run(rows, header=header)
    assert code == 0
    assert set(read_tau_calibration(out / "tau_calibration.json").of("FTP")) == set(tau_regions())
