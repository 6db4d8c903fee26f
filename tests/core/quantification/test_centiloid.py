"""The Centiloid lines: anchors, the public per-subject tables, and what must never be used."""

import csv

import numpy as np
import pytest

from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data.tracers import tracers


@pytest.fixture(scope="module")
def pib_table(shared_data):
    with (shared_data / "gaain" / "PiB_gaain.csv").open(encoding="utf-8-sig") as file:
        return [
            {key.strip(): value.strip() for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def pairs(shared_data):
    with (shared_data / "gaain" / "h2h_f18_tracers.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def anchors(pib_table, column):
    young, alzheimer = (
        [float(row[column]) for row in pib_table if row["sub_id"].startswith(group)]
        for group in ("YC", "AD")
    )
    return young, alzheimer


def pib_line(young, alzheimer):
    """Slope and intercept that put the anchor groups at 0 and 100."""
    slope = 100 / (np.mean(alzheimer) - np.mean(young))
    return slope, -slope * np.mean(young)


# Level 1 of the public table, as computed for the project's notes with another program.
@pytest.mark.parametrize(
    ("column", "zero", "hundred", "slope", "intercept"),
    [
        ("suvr_wc", 1.0095, 2.0761, 93.755, -94.646),
        ("suvr_cg", 1.1702, 2.4276, 79.528, -93.061),
        ("_suvr_wc_b", 0.9588, 1.9621, 99.674, -95.567),
        ("suvr_pons", 0.7613, 1.5348, 129.285, -98.424),
    ],
)
def test_anchor_groups_give_the_pib_line(pib_table, column, zero, hundred, slope, intercept):
    young, alzheimer = anchors(pib_table, column)
    assert (len(young), len(alzheimer)) == (34, 45)
    line = pib_line(young, alzheimer)
    assert line == pytest.approx((slope, intercept), abs=6e-4)
    assert np.mean(young) == pytest.approx(zero, abs=6e-5)
    assert np.mean(alzheimer) == pytest.approx(hundred, abs=6e-5)


def test_the_published_pib_line_is_within_a_tenth_of_the_tables(pib_table):
    slope, intercept = pib_line(*anchors(pib_table, "suvr_wc"))
    for suvr in (0.9, 1.009, 1.5, 2.076, 2.8):
        ours = centiloid(suvr, tracers()["PIB"].equation)
        assert ours == pytest.approx(slope * suvr + intercept, abs=0.15)


# Level 2: gain and offset against PiB, and the line that the table's own Centiloids follow.
@pytest.mark.parametrize(
    ("code", "name", "gain", "offset", "slope", "intercept"),
    [
        ("FBB", "Florbetaben", 0.609, 0.389, 153.55, -155.09),
        ("FBP", "Florbetapir", 0.536, 0.501, 175.18, -182.24),
        ("FMM", "Flutemetamol", 0.768, 0.220, 121.47, -121.30),
        ("NAV", "NAV4694", 1.090, -0.073, 85.36, -88.06),
    ],
)
def test_paired_scans_give_the_line_of_each_tracer(
    pairs, code, name, gain, offset, slope, intercept
):
    rows = [row for row in pairs if row["tracer"] == name]
    pib, other, scale = (
        np.array([float(row[column]) for row in rows])
        for column in ("pib_suvr_wcb", "f18_suvr_wcb", "f18_cl")
    )
    equation = tracers()[code].equation
    assert len(rows) == equation.n
    assert np.corrcoef(pib, other)[0, 1] ** 2 == pytest.approx(equation.r2, abs=6e-4)
    assert np.polyfit(pib, other, 1) == pytest.approx((gain, offset), abs=6e-4)
    assert np.polyfit(other, scale, 1) == pytest.approx((slope, intercept), abs=6e-3)
    for suvr, table_value in zip(other, scale, strict=True):
        assert centiloid(suvr, equation) == pytest.approx(table_value, abs=1.5)  # 2-digit SUVRs


@pytest.mark.parametrize(
    ("code", "suvr", "expected"),
    [
        ("PIB", 1.009, 0.0),
        ("PIB", 2.076, 100.0),
        ("NAV", 1.028, 0.0),
        ("NAV", 2.202, 100.0),
        ("FBB", 1.2, 29.18),
        ("FBP", 1.2, 28.18),
        ("FMM", 1.2, 24.544),
    ],
)
def test_published_equations(code, suvr, expected):
    assert centiloid(suvr, tracers()[code].equation) == pytest.approx(expected, abs=0.01)
