import errno
import json

import pytest

from bidsapp.cli.work_folder import kept_bytes, work_folder
from bidsapp.errors import BusyError, CannotCreateError, ExitCode, StorageError, UsageError
from bidsapp.settings import Level, Settings


@pytest.fixture
def settings(tmp_path):
    def make(**changes):
        given = {"bids_dir": tmp_path / "bids", "output_dir": tmp_path / "out",
                 "level": Level.PARTICIPANT, "work_dir": tmp_path / "work"}  # fmt: skip
        return Settings(**given | changes)

    return make


def keep(folder, version, label):
    path = folder / f"centipet-{version}/centipet_wf/sub_{label}_wf/step/result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(label))
    return path


def test_clean_workdir_forgets_the_participants_of_the_run_in_every_version(settings):
    with work_folder(settings(), ["01", "02"]) as folder:
        own = [keep(folder, version, "01") for version in ("1-a", "2-b")]
        other = keep(folder, "1-a", "02")
        assert kept_bytes(folder, ["01"]) >= sum(path.stat().st_size for path in own)
    with work_folder(settings(), ["01"]):
        assert all(path.exists() for path in own)
    with work_folder(settings(clean_workdir=True), ["01"]) as again:
        assert again == folder
        assert not any(path.exists() for path in own) and other.exists()
        assert kept_bytes(folder, ["01"]) == 0


def test_datasets_have_folders_of_their_own(settings, tmp_path):
    with work_folder(settings(), []) as one, work_folder(
        settings(output_dir=tmp_path / "other"), []
    ) as other:  # fmt: skip
        assert one != other


@pytest.mark.parametrize("name", ["study [2024]", "work?", "*"])
def test_a_folder_whose_files_nipype_would_not_find_is_refused(settings, tmp_path, name):
    with (
        pytest.raises(UsageError, match=r"contains \*, \? or \[.*--work-dir$"),
        work_folder(settings(work_dir=tmp_path / name / "work"), ["01"]),
    ):
        pass
    assert not (tmp_path / name).exists()


def test_two_runs_of_one_participant_do_not_share_a_work_folder(settings):
    with work_folder(settings(), ["01", "02"]):
        with work_folder(settings(), ["03"]):
            pass
        with (
            pytest.raises(BusyError, match="--work-dir") as caught,
            work_folder(settings(), ["02"]),
        ):
            pass
    assert caught.value.exit_code == ExitCode.TEMPORARY
    with work_folder(settings(), ["01", "02"]):  # the other has ended
        pass


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.EROFS, CannotCreateError), (errno.ENOSPC, StorageError)]
)
def test_a_folder_that_cannot_be_made(settings, monkeypatch, number, expected):
    def refuse(*args, **kwargs):
        raise OSError(number, "no")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(expected, match=r"cannot be written \(no\)"), work_folder(settings(), []):
        pass
