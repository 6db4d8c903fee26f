"""Which participants get a within-subject template, and what it is made of."""

from __future__ import annotations

import json

import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.settings import Filters, Processing


def plan_of(raw, **filters):
    return make_plan(read_dataset(raw.root, Filters(**filters)), Processing(longitudinal=True))


def sources(scan) -> list[str]:
    return [path.name for path in scan.t1w.raw]


def codes(scan) -> list[str]:
    return [flag.code for flag in scan.flags]


@pytest.fixture
def two(raw):
    """Two sessions with T1w and PET."""
    for session in "12":
        raw.t1w(f"sub-1_ses-{session}")
        raw.pet(f"sub-1_ses-{session}")
    return raw


BOTH = ["sub-1_ses-1_T1w.nii.gz", "sub-1_ses-2_T1w.nii.gz"]


def test_scans_of_all_visits_share_one_template(two):
    first, second = plan_of(two).scans
    assert first.t1w == second.t1w and hash(first.t1w) == hash(second.t1w)
    assert sources(first) == BOTH and first.t1w.t1w is None
    assert first.t1w.entities == {"sub": "1"} and first.t1w.session is None
    assert [visit.session for visit in first.t1w.visits] == ["1", "2"]
    assert (first.anatomy, first.normalisation) == ("template", "t1w")
    assert codes(first) == []


def test_without_the_option_every_scan_has_its_own(two):
    plan = make_plan(read_dataset(two.root, Filters()), Processing())
    assert [sources(scan) for scan in plan.scans] == [BOTH[:1], BOTH[1:]]
    assert {scan.anatomy for scan in plan.scans} == {"t1w"}


@pytest.mark.parametrize(
    "filters",
    [
        {"session": ("2",)},
        {"bids_filters": {"pet": {"session": "2"}}},
        {"participant": ("1",), "session": ("2",), "run": ()},
    ],
)
def test_what_is_selected_does_not_change_the_template(two, filters):
    (scan,) = plan_of(two, **filters).scans
    assert scan.session == "2" and sources(scan) == BOTH


def test_a_tracer_left_out_still_belongs_to_the_participant(two):
    two.t1w("sub-1_ses-3")
    two.pet("sub-1_ses-3_trc-FDG", TracerName="[18F]FDG")
    (one, other) = plan_of(two, tracer=("FBB",)).scans
    assert sources(one) == sources(other) == [*BOTH, "sub-1_ses-3_T1w.nii.gz"]


def test_a_t1w_that_places_no_pet_stays_out(two):
    two.t1w("sub-1_ses-9")
    two.t1w("sub-1_ses-1_acq-fast")
    assert sources(plan_of(two).scans[0]) == BOTH


def test_what_is_told_of_a_t1w_is_told_of_every_scan_on_the_template(two):
    side = two.root / "sub-1" / "ses-2" / "anat" / "sub-1_ses-2_T1w.json"
    noted = {"Flags": [{"code": "slices-missing", "message": "3: the head may be cut"}]}
    side.write_text(json.dumps({"ContrastBolusIngredient": "GADOLINIUM", "CentiPET": noted}))
    first, second = plan_of(two).scans
    assert codes(first) == codes(second) == ["t1w-contrast-agent", "slices-missing"]
    assert all(flag.message.startswith("sub-1_ses-2_T1w.nii.gz") for flag in first.flags)
    (alone, _) = make_plan(read_dataset(two.root, Filters()), Processing()).scans
    assert codes(alone) == []


def test_a_session_without_t1w_is_placed_by_the_template_and_told(two):
    two.pet("sub-1_ses-3")
    *_, third = plan_of(two).scans
    assert sources(third) == BOTH and codes(third) == ["t1w-other-session"]
    assert "within-subject template of ses-1, ses-2" in third.flags[0].message


def test_t1ws_of_sessions_of_their_own_make_a_template_of_those_nearest(raw):
    for session in ("mr1", "mr2"):
        raw.t1w(f"sub-1_ses-{session}")
    for session in ("pet1", "pet2"):
        raw.pet(f"sub-1_ses-{session}")
    rows = {"mr1": "2020-01-01", "pet1": "2020-02-01", "mr2": "2022-01-01", "pet2": "2022-02-01"}
    for session, date in rows.items():
        kind = "anat" if session[:2] == "mr" else "pet"
        suffix = "T1w" if kind == "anat" else "pet"
        name = f"sub-1_ses-{session}"
        text = f"filename\tacq_time\n{kind}/{name}_{suffix}.nii.gz\t{date}T10:00:00\n"
        (raw.root / "sub-1" / f"ses-{session}" / f"{name}_scans.tsv").write_text(text)
    one, other = plan_of(raw).scans
    assert sources(one) == sources(other)
    assert len(sources(one)) == 2


def test_one_t1w_is_used_as_always(raw):
    raw.t1w("sub-1_ses-1")
    for session in "12":
        raw.pet(f"sub-1_ses-{session}")
    raw.t1w("sub-2")
    raw.pet("sub-2")
    scans = plan_of(raw).scans
    assert {scan.anatomy for scan in scans} == {"t1w"}
    assert codes(scans[1]) == ["t1w-other-session"]


def test_no_template_across_participants(raw):
    for label in "12":
        raw.t1w(f"sub-{label}_ses-1")
        raw.pet(f"sub-{label}_ses-1")
    assert {scan.anatomy for scan in plan_of(raw).scans} == {"t1w"}


def test_a_t1w_that_cannot_be_read_stays_out_and_costs_its_own_scan(two):
    two.t1w("sub-1_ses-3").write_bytes(b"no image")
    two.pet("sub-1_ses-3")
    plan = plan_of(two)
    assert [sources(scan) for scan in plan.scans] == [BOTH, BOTH]
    assert [codes(scan) for scan in plan.scans] == [["visit-left-out"]] * 2
    assert "sub-1_ses-3_T1w.nii.gz" in plan.scans[0].flags[0].message
    assert "cannot be read" in plan.failures[0].message


def test_of_two_t1ws_one_of_them_broken_there_is_no_template(two):
    (two.root / "sub-1/ses-2/anat" / BOTH[1]).write_bytes(b"no image")
    (scan,) = plan_of(two).scans
    assert scan.anatomy == "t1w" and sources(scan) == BOTH[:1]
