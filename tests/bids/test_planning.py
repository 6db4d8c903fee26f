import math

import pytest
from synthetic_records import finished_record, write

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.group.quality import qc_rows
from bidsapp.record import read_record
from bidsapp.record.codec import plain
from bidsapp.record.stages import planned_record
from bidsapp.report.lights import lights
from bidsapp.settings import Filters, Processing

EARLY = {"ScanStart": 0, "FrameTimesStart": [0, 900], "FrameDuration": [900, 900],
         "ImageDecayCorrectionTime": 0}  # fmt: skip


def plan_of(raw, **processing):
    return make_plan(read_dataset(raw.root, Filters()), Processing(**processing))


def codes(scan):
    return [flag.code for flag in scan.flags]


def test_a_plain_scan(raw):
    t1w, pet = raw.t1w("sub-01"), raw.pet("sub-01_trc-FBB")
    plan = plan_of(raw)
    (scan,) = plan.scans
    assert (plan.failures, plan.skipped) == ((), ())
    assert (scan.name, scan.tracer, scan.participant, scan.session) == (
        "sub-01_trc-FBB", "FBB", "01", None,
    )  # fmt: skip
    assert (scan.pet, scan.t1w.t1w, scan.flags) == (pet, t1w, ())
    assert scan.window.wanted_min == scan.window.used_min == (90, 110)
    assert scan.window.frame_weights_s == (600, 600)


def test_one_bad_scan_never_stops_the_others(raw):
    for label in "1234567":
        raw.t1w(f"sub-{label}")
    raw.pet("sub-1")
    raw.pet("sub-2", FrameDuration=[600])
    raw.pet("sub-3", TracerName="[18F]FDG")
    raw.pet("sub-4", **EARLY)
    raw.pet("sub-5").write_bytes(b"no image")
    raw.pet("sub-6").with_name("sub-6_pet.json").write_text("{")
    raw.pet("sub-7", TracerRadionuclide="C11")
    plan = plan_of(raw)
    assert [scan.participant for scan in plan.scans] == ["1"]
    found = {f.entities["sub"]: (f.error_name, f.message) for f in plan.failures}
    assert {label: name for label, (name, _) in found.items()} == {
        "2": "BadDataError",
        "4": "BadDataError",
        "5": "NoInputError",
        "6": "BadDataError",
        "7": "BadDataError",
    }
    tracers = {f.entities["sub"]: f.tracer for f in plan.failures}
    assert (tracers["4"], tracers["5"], tracers["6"]) == ("FBB", "FBB", None)
    assert [skip.entities["sub"] for skip in plan.skipped] == ["3"]
    hints = {"2": "FrameDuration", "4": "--allow-off-window", "5": "cannot be read",
             "6": "JSON", "7": "TracerRadionuclide"}  # fmt: skip
    for label, hint in hints.items():
        assert hint in found[label][1]
        assert f"sub-{label}" in found[label][1]
        assert "\n" not in found[label][1]


def test_an_image_that_its_sidecar_calls_another_kind_is_refused(raw):
    for label in "123":
        raw.t1w(f"sub-{label}").with_name(f"sub-{label}_T1w.json").write_text('{"Modality": "MR"}')
    raw.pet("sub-1", Modality="PT")
    raw.pet("sub-2", Modality="MR")
    raw.pet("sub-3")
    side = raw.root / "sub-3" / "anat" / "sub-3_T1w.json"
    side.write_text('{"Modality": "PT"}')
    plan = plan_of(raw)
    assert [scan.participant for scan in plan.scans] == ["1"]
    mr, pt = (failure.message for failure in plan.failures)
    assert "sub-2_pet.nii.gz: its sidecar has Modality MR, so it is not a PET" in mr
    assert "sub-3_T1w.nii.gz: its sidecar has Modality PT, so it is not a T1w" in pt


def test_an_image_whose_sidecar_has_what_only_another_kind_has_is_refused(raw):
    for label in "123":
        raw.t1w(f"sub-{label}")
    raw.pet("sub-1", EchoTime=None, RepetitionTime="n/a")
    raw.pet("sub-2", EchoTime=0.003, RepetitionTime=2.3, SeriesDescription="t1_mprage")
    raw.pet("sub-3")
    side = raw.root / "sub-3" / "anat" / "sub-3_T1w.json"
    side.write_text('{"FrameTimesStart": [5400], "FrameDuration": [1200]}')
    plan = plan_of(raw)
    assert [scan.participant for scan in plan.scans] == ["1"]
    mr, pt = (failure.message for failure in plan.failures)
    assert "its sidecar has EchoTime and RepetitionTime, so it is not a PET" in mr
    assert "its sidecar has FrameTimesStart and FrameDuration, so it is not a T1w" in pt


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        *((value, []) for value in (6586.2, "6586.2", [6586.2], ["6586.2"], "n/a", None)),
        *((value, ["half-life"]) for value in ("109.8 min", [6586.2, 1223.4], True, 0)),
    ],
)
def test_a_half_life_is_compared_or_told(raw, value, flags):
    raw.t1w("sub-1")
    raw.pet("sub-1", RadionuclideHalfLife=value)
    (scan,) = plan_of(raw).scans
    assert codes(scan) == flags


@pytest.mark.parametrize("value", [1223.4, "1223.4", [1223.4], "109.77"])
def test_a_half_life_of_another_nuclide_is_refused_in_any_type(raw, value):
    raw.t1w("sub-1")
    raw.pet("sub-1", RadionuclideHalfLife=value)
    (failure,) = plan_of(raw).failures
    assert "RadionuclideHalfLife is" in failure.message and "6586.2 s; correct" in failure.message


def test_a_pet_without_t1w_is_laid_on_the_template_by_itself(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1")
    raw.pet("sub-2")
    with_t1w, without = plan_of(raw).scans
    assert with_t1w.t1w is not None and codes(with_t1w) == []
    assert without.t1w is None and codes(without) == ["no-t1w"]
    assert (with_t1w.normalisation, without.normalisation) == ("t1w", "pet")


def test_pet_only_passes_every_t1w_over(raw):
    raw.t1w("sub-1").write_bytes(b"no image")
    raw.pet("sub-1")
    [scan] = plan_of(raw, pet_only=True).scans
    assert scan.t1w is None and codes(scan) == []


def test_tracer_by_label_or_name_but_not_both_ways(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-AV45_run-1", TracerName=None, ScanStart=3000,
            FrameTimesStart=[3000], FrameDuration=[600])  # fmt: skip
    raw.pet("sub-1_trc-FBB_run-2", TracerName="compound 7")
    raw.pet("sub-1_trc-FBP_run-3", TracerName="florbetaben")
    plan = plan_of(raw)
    assert [(scan.tracer, codes(scan)) for scan in plan.scans] == [
        ("FBP", []),
        ("FBB", ["tracer-name"]),
    ]
    assert "correct the wrong one" in plan.failures[0].message


def test_the_early_part_of_a_dual_window_study_is_left_out(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB_run-1", **EARLY)
    # its clock starts with the late scan
    raw.pet("sub-1_trc-FBB_run-2", TimeZero="11:30:00", ScanStart=0, InjectionStart=-5400,
            FrameTimesStart=[0, 600], ImageDecayCorrectionTime=0)  # fmt: skip
    plan = plan_of(raw)
    assert [scan.entities["run"] for scan in plan.scans] == ["2"]
    assert [skip.entities["run"] for skip in plan.skipped] == ["1"]
    assert "sub-1_trc-FBB_run-2_pet.nii.gz" in plan.skipped[0].reason
    assert plan.failures == ()
    (part,) = plan.scans[0].parts
    assert part.entities["run"] == "1" and "time-activity curves" in plan.skipped[0].reason
    assert part.metadata.frame_start_s == (0, 900)
    assert plan.scans[0].metadata.frame_start_s == (5400, 6000)
    assert plan.scans[0].n_frames == 4 and plan.scans[0].is_dynamic


def test_clocks_of_one_injection_that_differ_agree_in_the_time_of_day(raw):
    """Injections noted 40 s apart, on both sides of midnight: the late scan's is believed."""
    raw.t1w("sub-1")
    raw.pet("sub-1_run-1", **EARLY | {"TimeZero": "23:59:50"})
    raw.pet("sub-1_run-2", TimeZero="00:00:30")
    (scan,) = plan_of(raw).scans
    (part,) = scan.parts
    assert part.metadata.frame_start_s == (-40, 860)
    assert part.metadata.decay_reference_s == -40
    assert scan.metadata.frame_start_s == (5400, 6000)


def test_of_two_reconstructions_of_a_part_one_joins_each_scan(raw):
    raw.t1w("sub-1")
    for rec in ("a", "b", "c"):
        raw.pet(f"sub-1_rec-{rec}_run-1", **EARLY)
    for rec in ("a", "b"):
        raw.pet(f"sub-1_rec-{rec}_run-2")
    plan = plan_of(raw)
    assert [(s.entities["rec"], [p.entities["rec"] for p in s.parts]) for s in plan.scans] == [
        ("a", ["a"]),
        ("b", ["b"]),
    ]
    dynamic = {skip.entities["rec"]: "time-activity curves" in skip.reason for skip in plan.skipped}
    assert dynamic == {"a": True, "b": True, "c": False}


def quarters(raw, minutes=(90, 95, 100, 105), **sidecar):
    """Runs of five minutes, each with a clock that starts with its scan, in no order of names."""
    raw.t1w("sub-1")
    for number, minute in zip((3, 1, 4, 2), minutes, strict=True):
        start = {"TimeZero": f"11:{minute - 60}:00", "InjectionStart": -60 * minute,
                 "ImageDecayCorrectionTime": 0}  # fmt: skip
        times = {"ScanStart": 0, "FrameTimesStart": [0], "FrameDuration": [300]}
        raw.pet(f"sub-1_trc-FBB_run-{number}", **start | times | sidecar)


def test_a_window_in_several_files_is_one_scan(raw):
    quarters(raw, InjectedRadioactivity="n/a")
    plan = plan_of(raw)
    [scan] = plan.scans
    assert codes(scan) == [] and plan.failures == ()
    assert [path.name[14:19] for path in scan.files[0]] == ["run-3", "run-1", "run-4", "run-2"]
    assert scan.metadata.frame_start_s == (5400, 5700, 6000, 6300)
    assert scan.window.frame_weights_s == (300,) * 4 and scan.window.coverage == 1
    # each was corrected to its own start
    assert scan.metadata.frame_reference_s == scan.metadata.frame_start_s
    assert sorted(skip.entities["run"] for skip in plan.skipped) == ["1", "2", "4"]
    assert all("run-3_pet.nii.gz" in skip.reason for skip in plan.skipped)


def test_a_scan_that_covers_the_window_needs_no_other(raw):
    """Its frames as files of their own beside it, as some archives have them."""
    quarters(raw)
    raw.pet("sub-1_trc-FBB_run-5", TimeZero="10:00:00")
    plan = plan_of(raw)
    assert [scan.entities["run"] for scan in plan.scans] == ["5"]
    assert plan.scans[0].continued == () and len(plan.skipped) == 4


def test_reconstructions_in_halves_are_joined_each_with_its_own(raw):
    raw.t1w("sub-1")
    for rec in "ab":
        for run, start in ((1, 5400), (2, 6000)):
            raw.pet(f"sub-1_trc-FBB_rec-{rec}_run-{run}", ScanStart=start,
                    FrameTimesStart=[start], FrameDuration=[600])  # fmt: skip
    found = [[path.name for path in scan.files[0]] for scan in plan_of(raw).scans]
    assert found == [
        [f"sub-1_trc-FBB_rec-{rec}_run-{run}_pet.nii.gz" for run in (1, 2)] for rec in "ab"
    ]


@pytest.mark.parametrize(
    ("change", "continued"),
    [({"InjectedRadioactivity": 301}, [1]), ({"InjectedRadioactivity": 280}, [0, 0]),
     ({"ReconMethodName": "FBP"}, [0, 0]), ({"Units": "SUV"}, [0, 0]),
     ({"TimeZero": "15:00:00"}, [0, 0])],
)  # fmt: skip
def test_halves_of_another_injection_or_reconstruction_are_two_scans(raw, change, continued):
    raw.t1w("sub-1")
    raw.pet("sub-1_run-1", FrameTimesStart=[5400], FrameDuration=[600])
    raw.pet("sub-1_run-2", FrameTimesStart=[6000], FrameDuration=[600], ScanStart=6000, **change)
    assert [len(scan.continued) for scan in plan_of(raw).scans] == continued


def test_a_window_whose_files_are_not_fetched_is_planned_as_one(raw):
    quarters(raw)
    for pet in raw.root.glob("sub-1/pet/*.nii.gz"):
        pet.unlink()
        pet.symlink_to("../../.git/annex/objects/aa/b")
    plan = plan_of(raw)
    [failure] = plan.failures
    assert len(failure.planned.files[0]) == 4 and codes(failure.planned) == []


def test_a_frame_of_zero_length_of_an_image_that_is_not_fetched_is_none(raw):
    raw.t1w("sub-1")
    pet = raw.pet("sub-1", FrameTimesStart=[5400, 6600], FrameDuration=[1200, 0])
    pet.unlink()
    pet.symlink_to("../../.git/annex/objects/aa/b")
    [failure] = plan_of(raw).failures
    assert failure.message.endswith("is a link to an image that is not there; fetch its content")
    assert codes(failure.planned) == ["frame-times"]


def test_what_a_scan_lacks_is_not_to_be_written_where_it_counts_for_all(raw):
    raw.t1w("sub-1")
    pet = raw.pet("sub-1_trc-FBB")
    pet.with_name("sub-1_trc-FBB_pet.json").unlink()
    (raw.root / "pet.json").write_text('{"Units": "Bq/mL", "Manufacturer": "GE"}')
    [failure] = plan_of(raw).failures
    assert "are missing; add to sub-1_trc-FBB_pet.json" in failure.message


def test_a_key_that_is_no_number_contradicts_nothing(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB", ReconFilterSize=math.nan)
    beside = raw.root / "sub-1" / "pet" / "trc-FBB_pet.json"
    beside.write_text('{"ReconFilterSize": "n/a", "InjectedMass": NaN, "InjectedMass": NaN}')
    (scan,) = plan_of(raw).scans
    assert scan.flags == () and scan.about["acquisition"]["ReconFilterSize"] is None


def test_parts_of_other_units_do_not_join(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_run-1", **EARLY, Units="SUV")
    raw.pet("sub-1_run-2")
    plan = plan_of(raw)
    assert plan.scans[0].parts == () and len(plan.skipped) == 1


def test_the_early_part_stays_a_part_when_off_window_is_allowed(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_run-1", **EARLY)
    raw.pet("sub-1_run-2")
    plan = plan_of(raw, allow_off_window=True)
    assert [scan.entities["run"] for scan in plan.scans] == ["2"]
    assert len(plan.scans[0].parts) == 1 and len(plan.skipped) == 1


@pytest.mark.parametrize(
    ("sidecar", "table", "expected"),
    [
        ({"PatientWeight": 80}, None, 80e3 / 300e6),
        ({}, "participant_id\tweight\nsub-1\t60\n", 60e3 / 300e6),
        ({"InjectedRadioactivityUnits": "Bq"}, "participant_id\tweight\nsub-1\t60\n", None),
        ({"InjectedRadioactivity": 10, "InjectedRadioactivityUnits": "mCi", "PatientWeight": 74},
         None, 74e3 / 370e6),
        ({}, "participant_id\tweight\nsub-1\tn/a\n", None),
        ({"PatientWeight": 0}, None, None),
    ],
)  # fmt: skip
def test_suv_needs_a_dose_and_a_weight(raw, sidecar, table, expected):
    raw.t1w("sub-1")
    raw.pet("sub-1", **sidecar)
    if table:
        (raw.root / "participants.tsv").write_text(table)
    (scan,) = plan_of(raw).scans
    assert scan.suv_factor == pytest.approx(expected)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "sub-1_ses-b_trc-FBB", "sidecar": {}},  # another visit
        {"name": "sub-1_ses-a_trc-FBB_run-2", "sidecar": {"TimeZero": "15:00:00"}},  # injection
        {"name": "sub-2_ses-a_trc-FBB", "sidecar": {}},  # another person
    ],
)
def test_an_early_scan_without_its_late_part_is_a_failure(raw, other):
    raw.t1w("sub-1_ses-a")
    raw.t1w("sub-2_ses-a")
    raw.pet("sub-1_ses-a_trc-FBB_run-1", **EARLY)
    raw.pet(other["name"], **other["sidecar"])
    plan = plan_of(raw)
    assert len(plan.scans) == 1
    assert [f.entities.get("run") for f in plan.failures] == ["1"]
    assert plan.skipped == ()


def test_off_window_when_allowed_is_flagged(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1", **EARLY)
    (scan,) = plan_of(raw, allow_off_window=True).scans
    assert [code for code in codes(scan) if code.startswith("window-")] == ["window-off"]
    assert scan.window.used_min == (0, 30)
    assert sum(scan.window.frame_weights_s) == 1200  # as long as the tracer's window


@pytest.mark.parametrize(
    ("starts_min", "durations_min", "coverage", "verdict"),
    [
        ((90, 100), (10, 10), 1.0, "good"),
        ((90, 105), (5, 5), 0.5, "look"),  # the middle of the window was never scanned
        ((90.72, 100.72), (10, 10), 0.964, "good"),  # 43 s late: within the tolerance
        ((92, 102), (10, 10), 0.9, "look"),
        ((85, 95, 105), (10, 10, 10), 1.0, "look"),  # time outside enters with the frames
    ],
)
def test_flag_light_and_table_say_the_same_of_the_window(
    raw, starts_min, durations_min, coverage, verdict
):
    raw.pet(
        "sub-1_trc-FBB",
        FrameTimesStart=[60 * start for start in starts_min],
        FrameDuration=[60 * duration for duration in durations_min],
        ScanStart=60 * starts_min[0],
    )
    (scan,) = plan_of(raw).scans
    flagged = any(flag.code.startswith("window-") for flag in scan.flags)
    assert flagged == (verdict == "look")
    assert scan.window.coverage == pytest.approx(coverage)
    content = finished_record(scan.entities) | {
        name: value
        for name, value in plain(planned_record(scan, raw.root)).items()
        if "window" in name or name == "flags"
    }
    record = read_record(write(raw.root, content, scan.entities), raw.root)
    (light,) = [light for light in lights(record) if light.name == "window"]
    assert (light.word, light.colour == "green") == (verdict, not flagged)
    assert light.verdict.startswith(f"{100 * coverage:.0f} % of")
    (row,) = qc_rows([record])
    assert row["uptake_window_verdict"] == verdict


def test_a_window_of_ones_own(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1")
    (scan,) = plan_of(raw, window_min=(100, 110)).scans
    assert scan.window.frame_weights_s == (0, 600) and scan.window.late_min == 5
    assert scan.window.wanted_min == (90, 110)
    assert "window-partial" in codes(scan)
    (failure,) = plan_of(raw, window_min=(10, 20)).failures
    assert "--window 10 20" in failure.message


def test_a_broken_t1w_is_one_sentence_for_its_scans_only(raw):
    raw.t1w("sub-1").write_bytes(b"\x1f\x8bnonsense")
    raw.pet("sub-1")
    raw.t1w("sub-2")
    raw.pet("sub-2")
    plan = plan_of(raw)
    assert [scan.participant for scan in plan.scans] == ["2"]
    assert plan.failures[0].error_name == "NoInputError"
    assert "sub-1_T1w.nii.gz" in plan.failures[0].message


def test_the_development_data(shared_data):
    plan = make_plan(read_dataset(shared_data / "bids", Filters()), Processing())
    assert [scan.tracer for scan in plan.scans] == ["FBB", "PIB", "FMM", "FBP", "NAV", "FBB", "FBP"]
    assert all(scan.window.coverage == 1 and not scan.flags for scan in plan.scans)


def test_two_images_of_one_name_are_nobodys_choice(raw):
    raw.t1w("sub-1")
    pet = raw.pet("sub-1")
    pet.with_suffix("").write_bytes(b"the same, not compressed")
    plan = plan_of(raw)
    assert plan.scans == ()
    assert {failure.error_name for failure in plan.failures} == {"BadDataError"}
    assert "remove one" in plan.failures[0].message


def test_flags_of_the_conversion_are_flags_of_the_scan(raw):
    raw.t1w("sub-1")
    stated = [
        {"code": "t1w-far", "message": "far"},
        {"code": "times", "message": "odd"},
        "nonsense",
    ]
    raw.pet("sub-1_trc-FBB", CentiPET={"Flags": stated})
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    assert [(flag.code, flag.message) for flag in scan.flags] == [
        ("t1w-far", "far"),
        ("times", "odd"),
    ]


def test_site_and_time_of_a_scan_are_told(raw):
    raw.t1w("sub-01_ses-a")
    raw.pet("sub-01_ses-a_trc-FBB", InstitutionName="Clinic")
    raw.t1w("sub-01_ses-b")
    raw.pet("sub-01_ses-b_trc-FBB")
    raw.t1w("sub-02_ses-a")
    raw.pet("sub-02_ses-a_trc-FBB")
    raw.pet("sub-02_ses-b_trc-FBB")
    (raw.root / "participants.tsv").write_text("participant_id\tSite\nsub-02\tOslo\nsub-01\tn/a\n")
    sessions = "session_id\tacq_time\nses-a\t2020-01-01T10:00:00\nses-b\t2022-01-01T10:00:00Z\n"
    (raw.root / "sub-01" / "sub-01_sessions.tsv").write_text(sessions)
    moved = "session_id\tsite_id\nses-a\tn/a\nses-b\tBergen\n"
    (raw.root / "sub-02" / "sub-02_sessions.tsv").write_text(moved)
    scans = "filename\tacq_time\npet/sub-01_ses-a_trc-FBB_pet.nii.gz\t2020-01-02T09:00:00\n"
    (raw.root / "sub-01" / "ses-a" / "sub-01_ses-a_scans.tsv").write_text(scans)
    sites_and_times = [
        (scan.site, scan.acquired and scan.acquired.isoformat()) for scan in plan_of(raw).scans
    ]
    assert sites_and_times == [
        ("Clinic", "2020-01-02T09:00:00"), (None, "2022-01-01T10:00:00"), ("Oslo", None),
        ("Bergen", None),
    ]  # fmt: skip


def test_tables_that_cannot_be_read_cost_no_scan(raw):
    raw.t1w("sub-01")
    raw.pet("sub-01_trc-FBB")
    (raw.root / "participants.tsv").write_bytes(b"\xff\xfe broken")
    (scan,) = plan_of(raw).scans
    assert scan.site is None


def test_what_the_raw_tables_and_the_sidecar_say_is_told_without_dates(raw):
    raw.pet(
        "sub-01_ses-a_trc-FBB", Manufacturer="Siemens", ReconMethodName="OSEM", BodyPart="BRAIN"
    )
    raw.t1w("sub-01_ses-a")
    (raw.root / "participants.tsv").write_text(
        "participant_id\tage\tborn\tseen\tweight\tid\n"
        "sub-01\t71.5\t1950-02-03\t03.02.2019\tn/a\t20259999\n"
    )
    (raw.root / "sub-01" / "sub-01_sessions.tsv").write_text(
        "session_id\tacq_time\tmmse\nses-a\t2019-02-03T10:00:00\t29\n"
    )
    (scan,) = plan_of(raw).scans
    assert scan.about["participant"] == {"age": "71.5", "weight": None, "id": "20259999"}
    assert scan.about["session"] == {"mmse": "29"}
    acquisition = scan.about["acquisition"]
    assert (acquisition["Manufacturer"], acquisition["ReconMethodName"]) == ("Siemens", "OSEM")
    assert "BodyPart" not in acquisition


def test_people_whose_scan_cannot_be_used_keep_their_columns(raw):
    raw.pet("sub-01_trc-FBB", FrameDuration=None)
    (raw.root / "participants.tsv").write_text("participant_id\tage\nsub-01\t71\n")
    (failure,) = plan_of(raw).failures
    assert failure.about["participant"] == {"age": "71"}


SAME = {
    "a copy": ("trc-FBB_run-1", "trc-FBB_run-2", {}),
    "half of its time": (
        "trc-FBB_run-1",
        "trc-FBB_run-2",
        {"FrameTimesStart": [5400], "FrameDuration": [1080]},
    ),
    "a clock set": ("trc-FBB_run-1", "trc-FBB_run-2", {"TimeZero": "10:00:30"}),
    "another name": ("trc-FBB", "trc-florbetaben", {}),
}
APART = {
    "two reconstructions": ("trc-FBB_rec-a", "trc-FBB_rec-b", {}),
    "a second injection": ("trc-FBB_run-1", "trc-FBB_run-2", {"TimeZero": "14:00:00"}),
}


@pytest.mark.parametrize("case", [*SAME, *APART])
def test_two_images_of_one_time_are_told(raw, case):
    first, second, sidecar = (SAME | APART)[case]
    raw.t1w("sub-1")
    names = [f"sub-1_{one}" for one in (first, second)]
    raw.pet(names[0], TimeZero="10:00:00")
    raw.pet(names[1], **{"TimeZero": "10:00:00", **sidecar})
    scans = plan_of(raw).scans
    flagged = ["same-acquisition" in codes(scan) for scan in scans]
    assert flagged == [case in SAME] * 2
    if case in SAME:
        flags = [flag for scan in scans for flag in scan.flags]
        messages = [flag.message for flag in flags if flag.code == "same-acquisition"]
        assert all(f"{name}_pet.nii.gz" in text for text in messages for name in names)


@pytest.mark.parametrize(("day", "is_flagged"), [("01", True), ("02", False)])
def test_two_days_are_two_acquisitions(raw, day, is_flagged):
    raw.t1w("sub-1")
    for run in "12":
        raw.pet(f"sub-1_trc-FBB_run-{run}")
    (raw.root / "sub-1" / "sub-1_scans.tsv").write_text(
        "filename\tacq_time\n"
        "pet/sub-1_trc-FBB_run-1_pet.nii.gz\t2020-01-01T10:00:00\n"
        f"pet/sub-1_trc-FBB_run-2_pet.nii.gz\t2020-01-{day}T10:00:00\n"
    )
    assert ["same-acquisition" in codes(scan) for scan in plan_of(raw).scans] == [is_flagged] * 2
