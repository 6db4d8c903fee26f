import json
import os
import shutil
import time

import pytest

from bidsapp.bids.layout import check_dataset, read_dataset
from bidsapp.bids.table_problems import table_problems
from bidsapp.errors import (
    BadDataError,
    InvalidBidsError,
    NoInputError,
    NoMatchError,
    UsageError,
)
from bidsapp.settings import Filters


def names(images):
    return [image.path.name.split(".")[0] for image in images]


@pytest.fixture
def raw_study(raw):
    """Two participants; the first with two sessions and three PETs."""
    raw.t1w("sub-01_ses-a")
    raw.pet("sub-01_ses-a_trc-FBB_run-01")
    raw.pet("sub-01_ses-a_trc-FDG_rec-x", TracerName="FDG")
    raw.pet("sub-01_ses-b_trc-FBB_run-2")
    raw.t1w("sub-02")
    raw.pet("sub-02", TracerName="Amyvid")
    return raw


def test_everything_is_found_and_derivatives_are_not(raw_study):
    copy = raw_study.root / "derivatives" / "x" / "sub-01" / "anat"
    copy.mkdir(parents=True)
    (copy / "sub-01_desc-x_T1w.nii.gz").touch()
    (raw_study.root / "sub-01" / "func").mkdir()
    (raw_study.root / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz").touch()
    dataset = read_dataset(raw_study.root, Filters())
    assert names(dataset.pets) == [
        "sub-01_ses-a_trc-FBB_run-01_pet",
        "sub-01_ses-a_trc-FDG_rec-x_pet",
        "sub-01_ses-b_trc-FBB_run-2_pet",
        "sub-02_pet",
    ]
    assert names(dataset.t1ws) == ["sub-01_ses-a_T1w", "sub-02_T1w"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(participant=("02",)), ["sub-02_pet"]),
        (Filters(session=("b",)), ["sub-01_ses-b_trc-FBB_run-2_pet"]),
        (Filters(rec=("x",)), ["sub-01_ses-a_trc-FDG_rec-x_pet"]),
        (Filters(run=("1",)), ["sub-01_ses-a_trc-FBB_run-01_pet"]),
        (Filters(run=("002",)), ["sub-01_ses-b_trc-FBB_run-2_pet"]),
        (Filters(tracer=("PIB", "florbetapir")), ["sub-02_pet"]),
        (Filters(tracer=("FDG",)), ["sub-01_ses-a_trc-FDG_rec-x_pet"]),
        (Filters(tracer=("FBB",), session=("a",)), ["sub-01_ses-a_trc-FBB_run-01_pet"]),
        (Filters(bids_filters={"pet": {"session": "b"}}), ["sub-01_ses-b_trc-FBB_run-2_pet"]),
        (Filters(bids_filters={"pet": {"session": None}}), ["sub-02_pet"]),
        (
            Filters(bids_filters={"pet": {"reconstruction": "*"}}),
            ["sub-01_ses-a_trc-FDG_rec-x_pet"],
        ),
    ],
)
def test_filters(raw_study, filters, expected):
    assert names(read_dataset(raw_study.root, filters).pets) == expected


def test_a_session_filter_leaves_t1w_of_other_sessions(raw_study):
    dataset = read_dataset(raw_study.root, Filters(session=("b",)))
    assert names(dataset.t1ws) == ["sub-01_ses-a_T1w"]


def test_nothing_matches_is_told_with_what_was_asked(raw_study):
    with pytest.raises(NoMatchError, match=r"participant 07; .* has no sub-07, it has 01, 02"):
        read_dataset(raw_study.root, Filters(participant=("07",)))


def test_a_filter_that_does_not_exist(raw_study):
    with pytest.raises(UsageError, match="filter-file"):
        read_dataset(raw_study.root, Filters(bids_filters={"pet": {"sesion": "b"}}))


def test_the_database_is_made_once_for_all_and_used_again(raw_study, tmp_path, caplog):
    """What is there is listed all the same: an old index neither loses nor invents an image."""
    database, every = tmp_path / "db", {"pet": {"subject": "*"}}
    of_2 = Filters(participant=("02",), bids_filters=every)
    assert names(read_dataset(raw_study.root, of_2, database_dir=database).pets) == ["sub-02_pet"]
    made = (database / "layout_index.sqlite").stat().st_mtime_ns
    before = names(read_dataset(raw_study.root, Filters(), database_dir=database).pets)
    shutil.rmtree(raw_study.root / "sub-02")
    raw_study.pet("sub-09")
    without_filter = read_dataset(raw_study.root, Filters(), database_dir=database)
    left = [name for name in before if name != "sub-02_pet"]
    assert names(without_filter.pets) == [*left, "sub-09_pet"]
    caplog.clear()
    filtered = read_dataset(raw_study.root, Filters(bids_filters=every), database_dir=database)
    assert names(filtered.pets) == left
    assert "sub-09_pet.nii.gz cannot be selected" in caplog.text and "it is old" in caplog.text
    assert (database / "layout_index.sqlite").stat().st_mtime_ns == made


def test_an_index_that_cannot_be_used_is_told_as_such(raw_study, tmp_path):
    every = Filters(bids_filters={"pet": {"subject": "*"}})
    database = tmp_path / "db"
    read_dataset(raw_study.root, every, database_dir=database)
    other = shutil.copytree(raw_study.root, tmp_path / "other")
    for bids_dir, content in ((other, None), (raw_study.root, b"junk")):
        if content:
            (database / "layout_index.sqlite").write_bytes(content)
        with pytest.raises(UsageError, match=r"--bids-database-dir .*db: cannot be used"):
            read_dataset(bids_dir, every, database_dir=database)


def test_nearer_sidecars_win(raw_study):
    (raw_study.root / "pet.json").write_text(json.dumps({"Manufacturer": "root", "Extra": 1}))
    (raw_study.root / "trc-FBB_pet.json").write_text(json.dumps({"Extra": 2}))
    (raw_study.root / "trc-FDG_pet.json").write_text(json.dumps({"Extra": 3}))
    dataset = read_dataset(raw_study.root, Filters(participant=("01",)))
    sidecar = dataset.sidecar(dataset.pets[0])
    assert sidecar["Extra"] == 2
    assert sidecar["Manufacturer"] == "Siemens"


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe{}", b""])
def test_a_broken_sidecar_is_an_error_of_that_image_alone(raw_study, content):
    (raw_study.root / "sub-02" / "pet" / "sub-02_pet.json").write_bytes(content)
    dataset = read_dataset(raw_study.root, Filters())
    assert dataset.sidecar(dataset.pets[0])["Units"] == "Bq/mL"
    with pytest.raises(BadDataError, match=r"sub-02_pet\.json"):
        dataset.sidecar(dataset.pets[-1])


def test_a_sidecar_that_cannot_be_read(raw_study):
    path = raw_study.root / "sub-02" / "pet" / "sub-02_pet.json"
    path.unlink()
    path.mkdir()
    dataset = read_dataset(raw_study.root, Filters(tracer=("FBP",)))
    with pytest.raises(NoInputError, match=r"sub-02_pet\.json"):
        dataset.sidecar(dataset.pets[-1])


def test_acquisition_times(raw_study):
    (raw_study.root / "sub-01" / "ses-a" / "sub-01_ses-a_scans.tsv").write_text(
        "filename\tacq_time\nanat/sub-01_ses-a_T1w.nii.gz\t2021-02-16T10:00:00\n"
        "pet/sub-01_ses-a_trc-FBB_run-01_pet.nii.gz\tn/a\n"
    )
    dataset = read_dataset(raw_study.root, Filters())
    assert dataset.acquired(dataset.t1ws[0]).isoformat() == "2021-02-16T10:00:00"
    assert dataset.acquired(dataset.pets[0]) is None
    assert dataset.acquired(dataset.pets[-1]) is None


def test_names_that_are_no_text_harm_nobody(raw_study):
    bad = os.fsencode(raw_study.root / "sub-01" / "ses-a" / "anat") + b"/sub-01_acq-\xe9_T1w.nii.gz"
    with open(bad, "wb"):  # noqa: PTH123 - pathlib takes no bytes
        pass
    assert len(read_dataset(raw_study.root, Filters()).t1ws) == 2


def test_many_participants_are_quick(raw):
    for i in range(150):
        for folder, suffix in (("pet", "pet"), ("func", "bold")):
            path = raw.root / f"sub-{i:04d}" / folder
            path.mkdir(parents=True)
            (path / f"sub-{i:04d}_{suffix}.nii.gz").touch()
    begin = time.perf_counter()
    assert len(read_dataset(raw.root, Filters()).pets) == 150
    everybody = time.perf_counter() - begin
    begin = time.perf_counter()
    assert len(read_dataset(raw.root, Filters(participant=("0007",))).pets) == 1
    assert time.perf_counter() - begin < max(everybody / 2, 0.5)
    assert everybody < 5


def test_a_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(InvalidBidsError, match="--dicom-dir"):
        check_dataset(tmp_path)


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("{", "JSON"),
        ('{"Name": "x"}', "BIDSVersion"),
        ('{"Name": "x", "BIDSVersion": "1", "DatasetType": "derivative"}', "derivative"),
        ('{"Name": "x", "BIDSVersion": "1"}', "sub-<label>"),
    ],
)
def test_what_is_wrong_with_a_dataset(tmp_path, description, hint):
    (tmp_path / "dataset_description.json").write_text(description)
    with pytest.raises(InvalidBidsError, match=hint):
        check_dataset(tmp_path)


def test_the_development_data_are_a_dataset(shared_data):
    check_dataset(shared_data / "bids")
    assert len(read_dataset(shared_data / "bids", Filters()).pets) == 7


def test_derivatives_among_raw_images_are_not_used(raw_study):
    raw_study.t1w("sub-02_desc-preproc")
    raw_study.t1w("sub-02_space-MNI")
    raw_study.t1w("sub-02_part-phase")
    raw_study.pet("sub-02_desc-mean")
    raw_study.pet("sub-02_odd-thing")
    (raw_study.root / "sub-02" / "pet" / "nobody_pet.nii.gz").touch()
    dataset = read_dataset(raw_study.root, Filters(participant=("02",)))
    assert names(dataset.pets) == ["sub-02_pet"]
    assert names(dataset.t1ws) == ["sub-02_T1w"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"suffix": "UNIT1"}, ["sub-02_UNIT1"]),  # what the filter says replaces suffix ...
        ({"datatype": "pet", "suffix": "pet", "tracer": None}, ["sub-02_pet"]),
        ({"acq": "fast"}, ["sub-02_acq-fast_T1w"]),
        ({"acquisition": "Query.none"}, ["sub-02_T1w"]),
        ({"acquisition": "Query.ANY"}, ["sub-02_acq-fast_T1w"]),
        ({"acquisition": ["fast", None]}, ["sub-02_T1w", "sub-02_acq-fast_T1w"]),
        ({"acquisition": "Query.OPTIONAL"}, ["sub-02_T1w", "sub-02_acq-fast_T1w"]),
        ({"acquisition": "^f", "regex_search": True}, ["sub-02_acq-fast_T1w"]),
    ],
)
def test_filters_mean_what_they_mean_elsewhere(raw_study, query, expected):
    fast = raw_study.t1w("sub-02_acq-fast")
    fast.with_name("sub-02_UNIT1.nii.gz").write_bytes(fast.read_bytes())
    filters = Filters(participant=("02",), bids_filters={"t1w": query})
    assert names(read_dataset(raw_study.root, filters).t1ws) == expected


def test_a_t1w_filter_that_matches_nothing_is_an_error(raw_study):
    with pytest.raises(NoMatchError, match="no T1w image matches"):
        read_dataset(raw_study.root, Filters(bids_filters={"t1w": {"acquisition": "nowhere"}}))


@pytest.mark.parametrize("value", ["Query.NEVER", "query.x"])
def test_a_query_that_does_not_exist(raw_study, value):
    with pytest.raises(UsageError, match="null means absent"):
        read_dataset(raw_study.root, Filters(bids_filters={"pet": {"run": value}}))


@pytest.mark.parametrize(
    ("wanted", "label"),
    [("flortaucipir", "18FAV1451"), ("Amyvid", "AV45"), ("fluorodeoxyglucose", "18FFDG"),
     ("fbb", "FBB"), ("ownname", "ownName")],
)  # fmt: skip
def test_a_tracer_is_asked_for_by_any_of_its_names(raw, wanted, label):
    raw.pet(f"sub-1_trc-{label}")
    raw.pet("sub-2_trc-PIB")
    assert len(read_dataset(raw.root, Filters(tracer=(wanted,))).pets) == 1


def test_the_tracer_under_acq_is_told_with_what_to_do(raw):
    path = raw.pet("sub-1_acq-AV45")
    with pytest.raises(NoMatchError, match=r"sub-1_acq-AV45_pet.*rename acq- to trc-"):
        read_dataset(raw.root, Filters())
    raw.pet("sub-2")
    (unused,) = read_dataset(raw.root, Filters()).unused
    assert unused.path == path and "rename" in unused.reason


def test_what_the_tables_lack_is_told_of_those_who_are_asked_for(raw_study):
    (raw_study.root / "participants.tsv").write_text("participant_id\tage\n01\t70\n")
    problems = table_problems(read_dataset(raw_study.root, Filters()))
    assert problems == ["participants.tsv: 01 was read as sub-01",
                    "participants.tsv: has no row of sub-02"]  # fmt: skip
