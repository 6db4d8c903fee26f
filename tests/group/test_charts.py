"""Charts of a study show every scan, and what stands out does."""

from __future__ import annotations

import itertools
import re

import pytest

from bidsapp.data.literature import scale
from bidsapp.group import courses as study_courses
from bidsapp.group.charts import agreement, distribution, groups, outlier_strips, spaghetti
from bidsapp.group.courses import course_groups, gaps, treated_years, treatment_warnings
from bidsapp.group.outliers import LIMIT, outliers, scores
from bidsapp.group.visits import all_visits
from bidsapp.record import ScanRecord


def row(centiloid, tracer="FBB", **changes):
    return {
        "centiloid": centiloid, "tracer": tracer, "participant_id": "sub-01", "session_id": None,
        "flags": "", "status": "ok", "years": None, "site": None, "pet_t1w_distance_mm": None,
        "pet_t1w_unexplained": None, "pet_fwhm_mm": None, "least_coverage": None,
        "start_spread_mm": None, "gm_wm_contrast": None, "brain_ml": None, "centiloid_wc": None,
        "centiloid_cg": None, "centiloid_wcb": None, "centiloid_pons": None, "centiloid_sd": None,
        "reference_difference": None, "suvr_wc": centiloid, "rec": None,
        "band": None if centiloid is None else scale().band_of(centiloid).name,
        **changes,
    }  # fmt: skip


def dots(figure):
    pattern = r'<circle class="([^"]*)" cx="([^"]*)" cy="([^"]*)" r="[^"]*" data-row="(\d+)"'
    found = re.findall(pattern, figure.drawing)
    return [(style, float(x), float(y), int(index)) for style, x, y, index in found]


def test_groups_count_bands_and_quartiles():
    rows = [row(value) for value in (-5, 5, 10, 20, 30, 31, 90, 400)] + [row(None), row(7, "PIB")]
    pib, fbb = groups(rows, "tracer")
    assert (pib.name, fbb.name) == ("[11C]PiB", "[18F]florbetaben")
    assert [count for _, count in fbb.bands] == [2, 3, 3]
    assert fbb.median == 25 and fbb.centiloids[0] == -5
    assert fbb.quartiles == (8.75, 45.75)
    assert pib.quartiles is None


def test_very_many_sites_are_put_together():
    rows = [row(float(i), site=f"s{i:03}") for i in range(60)]
    found = groups(rows, "site")
    assert len(found) == 24 and found[-1].name == "37 others"
    assert sum(len(group.indices) for group in found) == 60


def test_every_scan_is_a_dot_and_flagged_ones_are_open():
    rows = [row(10.0), row(None), row(90.0, flags="x")]
    drawn = dots(distribution(rows, "tracer", "tracer"))
    assert [(style, index) for style, _, _, index in drawn] == [("dot", 0), ("dot flagged", 2)]
    assert drawn[0][1] < drawn[1][1]
    assert distribution([row(None)], "tracer", "tracer") is None


def test_dots_do_not_cover_each_other_until_there_are_very_many():
    drawn = dots(distribution([row(20.0 + 0.001 * i) for i in range(9)], "tracer", "tracer"))
    heights = sorted(y for _, _, y, _ in drawn)
    assert all(after - before >= 6 for before, after in itertools.pairwise(heights))
    crowded = dots(distribution([row(20.0)] * 500, "tracer", "tracer"))
    assert max(abs(y - 78) for _, _, y, _ in crowded) <= 29


def test_agreement_tells_mean_and_limits():
    rows = [row(50.0, centiloid_wc=50.0, centiloid_pons=50.0 + d) for d in (2, 4, 6)]
    figure = agreement(rows)
    assert "Pons: mean 4.0 CL, limits 0.1 to 7.9 CL" in figure.caption
    assert len(dots(figure)) == 3
    assert agreement([row(50.0, centiloid_wc=50.0)]) is None


def test_one_odd_scan_is_found_within_its_tracer():
    """6 mm is nothing special among the PiB scans of this study, but it is among florbetaben."""
    rows = [row(1.0, pet_fwhm_mm=4 + 0.01 * i) for i in range(20)]
    rows += [row(1.0, "PIB", pet_fwhm_mm=6 + 0.01 * i) for i in range(20)]
    rows += [row(1.0, pet_fwhm_mm=6.1), row(1.0, status="failed", pet_fwhm_mm=99.0)]
    scored = scores(rows)
    (odd,) = outliers(scored)
    assert (odd.index, odd.measure) == (40, "pet_fwhm_mm") and odd.z > LIMIT
    assert len(dots(outlier_strips(rows, scored, {}))) == 41


def test_one_odd_scan_is_found_among_those_of_its_scanner():
    """A scan of a sharp scanner that was smoothed is as sharp as those of another scanner."""
    rows = [row(1.0, pet_fwhm_mm=4 + 0.02 * i, site="a", scanner="sharp") for i in range(10)]
    rows += [row(1.0, pet_fwhm_mm=6 + 0.02 * i, site="b", scanner="blurred") for i in range(10)]
    assert outliers(scores(rows)) == []
    rows += [row(1.0, pet_fwhm_mm=5.9, site="a", scanner="sharp")]
    scored = scores(rows)
    (odd,) = outliers(scored)
    assert odd.index == 20 and odd.z > LIMIT
    assert sorted(one.index for one in scored) == list(range(21))


def test_noise_is_compared_in_per_cent_of_the_suvr():
    """Twice the uptake with twice the noise is nothing special; three times the noise is."""
    alike = [row(1.0, sd_noise=(1 + 0.01 * i) * s, slope=150.0, suvr_wc=1.0 * s)
             for i in range(10) for s in (1, 2)]  # fmt: skip
    rows = [*alike, row(1.0, sd_noise=3.0, slope=150.0, suvr_wc=1.0), row(1.0)]
    (odd,) = outliers(scores(rows))
    assert (odd.index, odd.measure) == (20, "noise_percent")
    assert odd.value == pytest.approx(2.0)


def test_noise_is_that_of_the_reference_region_of_the_centiloid():
    """The whole cerebellum does not matter where the Centiloid is that of the pons."""
    rows = [row(1.0, sd_noise=1 + 0.01 * i, slope=100.0, suvr_pons=1.0, suvr_wc=1 + i,
                reference_region="pons") for i in range(10)]  # fmt: skip
    assert [one.value for one in scores(rows)] == pytest.approx([1 + 0.01 * i for i in range(10)])


def test_too_few_or_equal_numbers_have_no_scores():
    assert scores([row(1.0, brain_ml=i) for i in range(7)]) == []
    assert scores([row(1.0, brain_ml=1400)] * 20 + [row(1.0, brain_ml=1401)]) == []
    assert outlier_strips([], [], {}) is None


def visit(who, session, value, years=None, tracer="FBB"):
    return row(value, tracer, participant_id=who, session_id=session, years=years)


def courses(rows, treated=None):
    return study_courses.courses(rows, all_visits(rows), treated)


def test_slopes_are_per_year_in_order_of_time():
    rows = [visit("a", "m24", 30.0, 2.0), visit("a", "m00", 20.0, 0.0), visit("b", "m00", 1.0, 0.0)]
    (course,) = courses(rows)
    assert course.slope == pytest.approx(5.0) and course.in_years and course.indices == (1, 0)
    figure = spaghetti(rows, [course])
    assert "median change 5.0 CL per year" in figure.alt and len(dots(figure)) == 2


def test_next_to_no_change_looks_like_none():
    rows = [visit("a", "m00", 17.3, 0.0), visit("a", "m24", 17.4, 2.0)]
    heights = [y for _, _, y, _ in dots(spaghetti(rows, courses(rows)))]
    assert max(heights) - min(heights) < 1
    rows = [row(50.0, centiloid_wc=50.0, centiloid_pons=50.0 + d) for d in (0.1, 0.2)]
    heights = [y for _, _, y, _ in dots(agreement(rows))]
    assert max(heights) - min(heights) < 2


def test_without_times_slopes_are_per_visit():
    (course,) = courses([visit("a", "1", 20.0), visit("a", "2", 26.0), visit("a", "3", 32.0)])
    assert not course.in_years and course.slope == pytest.approx(6.0)
    assert "per visit" in spaghetti([visit("a", str(i), 1.0) for i in range(3)], [course]).alt


def test_visits_without_times_are_in_the_order_of_their_numbers():
    (course,) = courses([visit("a", "m12", 26.0), visit("a", "m6", 20.0)])
    assert course.values == (20.0, 26.0)


def test_the_chart_shows_the_scans_that_the_table_of_change_compares():
    """Of two reconstructions of a session the one that the participant has most often counts."""
    rows = [
        visit("a", session, value + other, years) | {"rec": rec}
        for session, value, years in (("m00", 20.0, 0.0), ("m24", 30.0, 2.0))
        for rec, other in ((None, 7.0), ("OSEM", 0.0))
    ]
    rows += [visit("a", "m48", 40.0, 4.0) | {"rec": "OSEM"}]
    (course,) = courses(rows)
    (visits,) = all_visits(rows)
    assert course.values == (20.0, 30.0, 40.0) and course.indices == visits.indices
    assert course.slope == pytest.approx(5.0)


@pytest.mark.parametrize("years", [0.0, 0.04, 0.49])
def test_scans_within_half_a_year_have_no_slope_as_in_the_table_of_change(years):
    (course,) = courses([visit("a", "1", 20.0, 0.0), visit("a", "2", 26.0, years)])
    assert course.slope is None
    assert spaghetti([], []) is None


def test_sessions_that_most_have_and_one_has_not_are_missing():
    rows = [visit(who, s, 1.0) for who in "abc" for s in ("m00", "m24")] + [visit("d", "m00", 1.0)]
    rows += [visit("d", "extra", 1.0)]
    unknown = [visit("e", s, 1.0) for s in ("m00", "m24")] + [visit("f", "m00", 1.0)]
    (gap,) = gaps([*rows, *(one | {"tracer": None} for one in unknown)])
    assert (gap.participant, gap.session, gap.tracer) == ("d", "m24", "FBB")


def colours(figure):
    """Colour of every course, and names in the legend."""
    return re.findall(r'<path class="line"[^>]* stroke="(#\w+)"', figure.drawing)


def test_a_column_of_the_participants_groups_and_colours_the_courses():
    rows = [
        visit(who, ses, 10.0, years) for who in "abc" for ses, years in (("1", 0.0), ("2", 2.0))
    ]
    diagnoses = ["AD", "AD", "MCI", "MCI", None, None]
    figure = spaghetti(rows, courses(rows), ("diagnosis", diagnoses))
    assert figure.name == "longitudinal-diagnosis" and "by diagnosis" in figure.title
    assert len(set(colours(figure))) == 3
    for name in ("AD", "MCI", "not stated"):
        assert f">{name}<" in figure.drawing
    assert len(set(colours(spaghetti(rows, courses(rows))))) == 1
    diagnoses = ["cognitively normal elderly", *diagnoses[1:]]
    assert (
        ">cognitively norma…<" in spaghetti(rows, courses(rows), ("diagnosis", diagnoses)).drawing
    )


@pytest.mark.parametrize(
    ("participant", "years", "expected"),
    [
        ({"Treatment_Start": "2020-07-02"}, 1.0, 0.5),
        ({"treatment_start": "0.5"}, 2.0, 1.5),
        ({"treatment_start": "1"}, 2.0, 1.0),
        ({"first_dose": "2021-01-01"}, None, 0.0),
        ({"treatment_start": "soon"}, 1.0, None),
        ({"treatment_start": "2021"}, 1.0, None),
        ({"treatment_start": "1921-01-01"}, 1.0, None),
        ({"treatment_start": "0.5"}, None, None),
        ({}, 1.0, None),
    ],
)
def test_time_counts_from_the_begin_of_treatment(participant, years, expected):
    record = ScanRecord(participant_id="sub-1", entities={"sub": "1"}, participant=participant,
                        acq_time="2021-01-01T00:00:00")  # fmt: skip
    found = treated_years(record, years)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.003))


def test_a_begin_of_treatment_that_cannot_be_read_is_told():
    begins = {"1": "2020-07-02", "2": "soon", "3": "2021", "4": "0.5", "5": "31.12.2020", "6": None}
    records = [
        ScanRecord(participant_id=f"sub-{who}", entities={"sub": who, "ses": ses},
                   participant={"treatment_start": begin})
        for who, begin in begins.items() for ses in "12"
    ]  # fmt: skip
    (sentence,) = treatment_warnings(records)
    assert "sub-2 'soon', sub-3 '2021', sub-5 '31.12.2020' is neither a date" in sentence
    assert treatment_warnings(records[:2]) == []


def test_a_begin_of_treatment_on_another_calendar_than_the_scans_is_told():
    record = ScanRecord(participant_id="sub-1", entities={"sub": "1"},
                        participant={"treatment_start": "2021-03-31"},
                        acq_time="1921-05-01T10:00:00")  # fmt: skip
    (sentence,) = treatment_warnings([record])
    assert "sub-1 and acq_time of the scans cannot be of one calendar" in sentence
    assert "100" not in sentence and "2021" not in sentence  # it would give the date back


def test_courses_since_treatment_have_only_people_whose_begin_is_known():
    rows = [visit(who, ses, 90.0 - 40 * years, years)
            for who in "ab" for ses, years in (("1", 0.0), ("2", 2.0))]  # fmt: skip
    (only,) = courses(rows, [-0.5, 1.5, None, 1.0])
    assert only.participant == "a" and only.times == (-0.5, 1.5)
    figure = spaghetti(rows, [only], treated=True)
    assert figure.name == "longitudinal-treatment" and "years since treatment" in figure.drawing
    assert ">24.1 CL<" in figure.drawing and "Shcherbinin et al. 2022" in figure.caption


def test_who_accumulates_reliably_is_counted():
    rows = [
        visit(who, ses, rate * years, years)
        for who, rate in (("a", 2.9), ("b", 3.1))
        for ses, years in (("1", 0.0), ("2", 2.0))
    ]
    caption = spaghetti(rows, courses(rows)).caption
    assert "1 rise faster than 3.0 CL a year (Bollack et al. 2024)" in caption


def test_a_participant_with_two_tracers_is_one_participant():
    rows = [
        visit("a", ses, 10.0 + 4 * years, years) | {"tracer": tracer}
        for ses, years in (("1", 0.0), ("2", 2.0)) for tracer in ("FBB", "PIB")
    ]  # fmt: skip
    caption = spaghetti(rows, courses(rows)).caption
    assert "1 participant with two sessions" in caption and " 1 rise faster" in caption


def test_columns_with_one_or_very_many_values_group_nobody():
    def records(column, values):
        return [ScanRecord(participant_id="sub-1", entities={"sub": "1"}, participant={column: v})
                for v in values]  # fmt: skip

    assert course_groups(records("DX", ["AD", "CN"])) == {"dx": ["AD", "CN"]}
    assert course_groups(records("dx", ["AD", "AD"])) == {}
    assert course_groups(records("dx", list("abcdefgh"))) == {}
    assert course_groups(records("handedness", ["l", "r"])) == {}
