"""Which T1w places a PET: the session first, then dates, numbers in labels, sidecars and grids."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import save_volume
from bidsapp.settings import Filters, Processing


def scan_of(raw, **filters):
    (scan,) = make_plan(read_dataset(raw.root, Filters(**filters)), Processing()).scans
    return scan


def chosen(raw):
    scan = scan_of(raw)
    return scan.t1w.t1w.name, {flag.code: flag.message for flag in scan.flags}


def dated(raw, session, rows):
    name = f"sub-1_ses-{session}"
    lines = ["filename\tacq_time", *(f"{file}\t{time}" for file, time in rows.items())]
    (raw.root / "sub-1" / f"ses-{session}" / f"{name}_scans.tsv").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("pet", "t1ws", "nearest"),
    [
        ("d1000", ["d0010", "d1001"], "d1001"),  # days, OASIS-3
        ("d1000", ["d0010", "d0990", "d1010"], "d0990"),  # the earlier of two
        ("M54", ["bl", "M60"], "M60"),  # months, ADNI
        ("m06", ["bl", "m48"], "bl"),
        ("20210301", ["20190301", "20210228", "20220301"], "20210228"),
        ("20210101", ["20201231", "20210115"], "20201231"),  # days, not digits
        ("PET100", ["MR90", "MR400"], "MR90"),
        ("v1y10", ["v1y2", "v1y9", "v2y10"], "v1y9"),
        ("10", ["1", "9", "20"], "9"),
        ("202001", ["201912", "202012"], "201912"),  # months
        ("b", ["a"], "a"),
        ("follow", ["base", "end", "third"], "end"),  # no numbers: by their order
    ],
)
def test_the_nearest_session_by_its_label(raw, pet, t1ws, nearest):
    for session in t1ws:
        raw.t1w(f"sub-1_ses-{session}")
    raw.pet(f"sub-1_ses-{pet}")
    name, flags = chosen(raw)
    assert name == f"sub-1_ses-{nearest}_T1w.nii.gz"
    assert list(flags) == ["t1w-other-session"]
    assert ("acq_time" in flags["t1w-other-session"]) == (len(t1ws) > 1)


def test_the_session_of_the_pet_comes_first(raw):
    raw.t1w("sub-1_ses-a")
    raw.t1w("sub-1_ses-b")
    raw.pet("sub-1_ses-b")
    assert chosen(raw) == ("sub-1_ses-b_T1w.nii.gz", {})


@pytest.mark.parametrize(
    ("pet", "ages", "nearest"),
    [
        ("b", {"a": 70, "b": 75, "c": 75.1}, "c"),  # labels alone would take a
        ("2", {"1": 70, "2": 75, "3": 75.1}, "3"),  # as near by number
        ("1", {"0": 70, "1": 75, "3": 75.1}, "0"),  # nearer by number, which may count days
        ("b", {"a": 70, "b": 75, "c": "n/a"}, "a"),
        ("b", {"a": 70, "b": "n/a", "c": 75.1}, "a"),
    ],
)
def test_ages_in_sessions_tell_the_nearest_where_labels_do_not(raw, pet, ages, nearest):
    for session in ages:
        if session != pet:
            raw.t1w(f"sub-1_ses-{session}")
    raw.pet(f"sub-1_ses-{pet}")
    rows = "".join(f"ses-{session}\t{age}\n" for session, age in ages.items())
    (raw.root / "sub-1" / "sub-1_sessions.tsv").write_text(f"session_id\tage\n{rows}")
    assert chosen(raw)[0] == f"sub-1_ses-{nearest}_T1w.nii.gz"


def test_dates_of_scans_tell_the_nearest_against_labels(raw):
    for session, day in {"1": "2020-01-01", "9": "2020-01-02", "20": "2021-03-02"}.items():
        raw.t1w(f"sub-1_ses-{session}")
        dated(raw, session, {f"anat/sub-1_ses-{session}_T1w.nii.gz": f"{day}T09:00:00"})
    raw.pet("sub-1_ses-10")
    dated(raw, "10", {"pet/sub-1_ses-10_pet.nii.gz": "2021-03-01T09:00:00"})
    name, flags = chosen(raw)
    assert name == "sub-1_ses-20_T1w.nii.gz" and "1 days" in flags["t1w-other-session"]


def test_one_unknown_date_does_not_hide_the_others(raw):
    for session, time in {"a": "2020-01-01", "b": "2021-02-01", "c": "n/a"}.items():
        raw.t1w(f"sub-1_ses-{session}")
        dated(raw, session, {f"anat/sub-1_ses-{session}_T1w.nii.gz": time})
    raw.pet("sub-1_ses-d")
    dated(raw, "d", {"pet/sub-1_ses-d_pet.nii.gz": "2021-01-01T10:00:00"})
    name, flags = chosen(raw)
    assert name == "sub-1_ses-b_T1w.nii.gz"
    assert "ses-c lacks" in flags["t1w-other-session"]


def test_dates_of_sessions_count_too(raw):
    for session in ("1", "2", "30"):
        raw.t1w(f"sub-1_ses-{session}")
    raw.pet("sub-1_ses-3")
    dates = {"1": "2021-03-01", "2": "2018-01-01", "3": "2021-03-05", "30": "2019-01-01"}
    rows = "".join(f"ses-{label}\t{date}\n" for label, date in dates.items())
    (raw.root / "sub-1" / "sub-1_sessions.tsv").write_text(f"session_id\tacq_time\n{rows}")
    assert chosen(raw)[0] == "sub-1_ses-1_T1w.nii.gz"


@pytest.mark.parametrize("table", ["scans", "sessions"])
def test_a_t1w_more_than_a_year_away_is_flagged(raw, table):
    raw.t1w("sub-1_ses-1")
    raw.pet("sub-1_ses-2_trc-FBB")
    days = {"1": "2018-03-01T10:00:00", "2": "2021-03-02T10:00:00"}
    if table == "sessions":
        rows = "".join(f"ses-{label}\t{day}\n" for label, day in days.items())
        (raw.root / "sub-1" / "sub-1_sessions.tsv").write_text(f"session_id\tacq_time\n{rows}")
    else:
        dated(raw, "1", {"anat/sub-1_ses-1_T1w.nii.gz": days["1"]})
        dated(raw, "2", {"pet/sub-1_ses-2_trc-FBB_pet.nii.gz": days["2"]})
    assert "1097 days" in chosen(raw)[1]["t1w-far"]


def test_several_t1w_in_one_session_are_told(raw):
    for name in ("sub-1_acq-fast_run-1", "sub-1_run-10", "sub-1_run-2"):
        raw.t1w(name)
    raw.pet("sub-1")
    name, flags = chosen(raw)
    assert name == "sub-1_run-2_T1w.nii.gz" and list(flags) == ["t1w-several"]
    assert "--bids-filter-file" in flags["t1w-several"]


def grid(path, shape, edges):
    save_volume(path, Volume(np.ones(shape, np.uint8), np.diag([*edges, 1.0])), dtype=np.uint8)
    return path


def write_sidecar(path, **sidecar):
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


HEAD = ((40, 44, 40), (3.0, 3.0, 3.0))


@pytest.mark.parametrize(
    ("plain", "shape", "sidecar", "reason"),
    [
        ("sub-1_acq-localizer", ((80, 80, 20), (2.5, 2.5, 6.0)), {}, "slices 6.0 mm apart"),
        ("sub-1_acq-scout", ((80, 80, 3), (2.5, 2.5, 60.0)), {}, "its header"),
        ("sub-1", HEAD, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "ImageType"),
        ("sub-1_echo-1", HEAD, {}, "echo-1 alone"),
        ("sub-1_ce-gadolinium", HEAD, {}, "ce-gadolinium"),
        ("sub-1", HEAD, {"ContrastBolusIngredient": "GADOLINIUM"}, "ContrastBolusIngredient"),
        ("sub-1", HEAD, {"SeriesDescription": "T1 MPRAGE post KM"}, "SeriesDescription"),
        ("sub-1_acq-skullstripped", HEAD, {}, "acq-skullstripped"),
        ("sub-1", HEAD, {"SkullStripped": True}, "SkullStripped is true"),
        ("sub-1", ((26, 30, 40), (5.0, 5.0, 3.0)), {}, "slices 5.0 mm"),
    ],
)
def test_a_plain_name_loses_by_what_sidecar_and_grid_say(raw, plain, shape, sidecar, reason):
    write_sidecar(grid(raw.t1w(plain), *shape), **sidecar)
    write_sidecar(
        grid(raw.t1w("sub-1_acq-mprage_rec-norm"), *HEAD),  # the plain sidecar applies to it, too
        ImageType="ORIGINAL", ContrastBolusIngredient="none", SeriesDescription="MPRAGE",
        SkullStripped=False,
    )  # fmt: skip
    raw.pet("sub-1")
    name, flags = chosen(raw)
    assert name == "sub-1_acq-mprage_rec-norm_T1w.nii.gz"
    assert (
        list(flags) == ["t1w-several"] and f"{plain}_T1w.nii.gz ({reason}" in flags["t1w-several"]
    )


def test_images_outside_the_exact_folders_are_not_raw(raw):
    right = raw.t1w("sub-1_ses-1")
    raw.pet("sub-1_ses-1_trc-FBB")
    name = right.name
    for place in ("backup/sub-1/ses-1/anat", "sub-1/ses-1/anat/old", "excluded/sub-1/anat",
                  "sub-1/ses-1_bad/anat", "sub-1/anat", "sub-1/ses-2/anat", "sub-1/ses-1/pet",
                  "sub-2/ses-1/anat", "sub-1x/ses-1/anat"):  # fmt: skip
        folder = raw.root / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(right.read_bytes())
        (folder / "sub-1_ses-1_trc-FBB_pet.nii.gz").write_bytes(b"none of ours")
    (raw.root / "sub-1/ses-1/anat/sub-1_ses-1_trc-FBB_pet.nii.gz").write_bytes(b"none of ours")
    raw.pet("sub-1_ses-1_trc-FBB")
    for database in (None, raw.root.parent / "database"):
        dataset = read_dataset(raw.root, Filters(participant=("1",)), database_dir=database)
        assert [t1w.path for t1w in dataset.t1ws] == [right]
        assert [pet.path.parent for pet in dataset.pets] == [right.parents[1] / "pet"]


def test_a_filter_that_leaves_a_participant_no_t1w_is_no_missing_t1w(raw):
    raw.t1w("sub-1_acq-a")
    raw.t1w("sub-2_acq-b")
    raw.pet("sub-1")
    raw.pet("sub-2")
    raw.pet("sub-3")
    filters = Filters(bids_filters={"t1w": {"acquisition": "a"}})
    dataset = read_dataset(raw.root, filters)
    for plan in (make_plan(dataset, Processing(longitudinal=own)) for own in (False, True)):
        assert [(scan.participant, scan.normalisation) for scan in plan.scans] == [
            ("1", "t1w"), ("3", "pet"),
        ]  # fmt: skip
        (failure,) = plan.failures
        assert failure.entities["sub"] == "2" and "--bids-filter-file" in failure.message
