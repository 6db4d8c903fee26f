"""The corpus of broken datasets through the whole command: every case its own error, no more."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_inputs import DATASETS, PARTICIPANTS, make_person, unreadable
from phantom_dataset import write_phantom
from tsv_rows import table_rows
from whole_app import run_centipet

from bidsapp.cli.main import main

GOOD = "zzz"  # the last


def records_of(out: Path, label: str) -> list[dict]:
    found = sorted((out / f"sub-{label}").rglob("sub-*_centiloid.json"))
    return [json.loads(path.read_text()) for path in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All spoilt participants and a good one in one dataset, both levels."""
    folder = tmp_path_factory.mktemp("corpus")
    bids = write_phantom(folder / "bids", GOOD)
    for name, case in PARTICIPANTS.items():
        case.spoil(make_person(bids, name, case.t1w))
    done = run_centipet(
        bids, folder / "out", "participant", "-w", folder / "work", "--nprocs", 2
    )  # fmt: skip
    return folder / "out", done, run_centipet(bids, folder / "out", "group")


@pytest.mark.slow
def test_the_good_participant_is_done_and_nobody_sees_a_traceback(run):
    out, done, grouped = run
    assert (done.returncode, grouped.returncode) == (1, 0)
    for printed in (done.stdout, done.stderr, grouped.stdout, grouped.stderr):
        assert "Traceback" not in printed and "bug in CentiPET" not in printed
    (record,) = records_of(out, GOOD)
    assert record["status"] == "ok"
    rows = table_rows(out / "group_centiloid.tsv")
    assert {row["participant_id"] for row in rows if row["status"] == "ok"} == {f"sub-{GOOD}"}
    assert {row["participant_id"].removeprefix("sub-") for row in rows} == {GOOD, *PARTICIPANTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTICIPANTS)
def test_a_spoilt_participant_has_its_own_error(run, name):
    out, _, _ = run
    case, records = PARTICIPANTS[name], records_of(out, name)
    assert records
    for record in records:
        assert (record["status"], record["error"]) == ("failed", case.error), record["reason"]
        assert case.word in record["reason"] and "\n" not in record["reason"]
        assert f"sub-{name}" in record["reason"] and record["centiloid"] is None
    assert (out / f"sub-{name}.html").is_file()


@pytest.fixture
def no_hang() -> Iterator[None]:
    """End a test that waits for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def plain(tmp_path) -> Path:
    """A dataset of one participant of tiny images."""
    bids = tmp_path / "bids"
    make_person(bids, "1")
    description = {"Name": "bad", "BIDSVersion": "1.11.1"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    return bids


def end_of_run(bids: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    folder = bids.parent
    code = main([str(bids), str(folder / "out"), "participant", "-w", str(folder / "work"),
                 "--nprocs", "1"])  # fmt: skip
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed and "bug in CentiPET" not in printed
    return code, printed


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_a_spoilt_dataset_ends_with_its_code_and_sentence(plain, name, capfd, no_hang):
    case = DATASETS[name]
    case.spoil(plain)
    code, printed = end_of_run(plain, capfd)
    assert code == case.code, printed
    assert case.word in printed


@pytest.mark.skipif(os.getuid() == 0, reason="root may read anything")
@pytest.mark.parametrize("which", ["pet", "t1w", "sidecar"])
def test_a_file_that_may_not_be_read(plain, which, capfd, no_hang):
    person = make_person(plain, "1")
    unreadable(which)(person)
    code, printed = end_of_run(plain, capfd)
    assert code == 66 and "cannot be read" in printed
