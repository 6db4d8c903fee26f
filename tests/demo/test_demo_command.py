"""``centipet-demo``: what it hands on, what it says, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from bidsapp.cli import demo
from bidsapp.demo.phantom import Phantom
from bidsapp.errors import ExitCode

HEADER = "participant_id\tsuvr_wc\tsuvr_cg\tsuvr_wcb\tsuvr_pons\tcentiloid\tstatus\n"


class FakeCentipet:
    """Stands for the app: notes what it is asked and writes the group table."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes = codes
        self.levels: list[str] = []

    def __call__(self, argv: list[str]) -> int:
        _bids, derivatives, level = argv[:3]
        self.levels.append(level)
        if level == "participant":
            dicom = Path(argv[argv.index("--dicom-dir") + 1])
            assert len(list(dicom.rglob("*.dcm"))) > 500
            Path(derivatives).mkdir()
            table = Path(derivatives) / "group_centiloid.tsv"
            table.write_text(HEADER + "sub-phantom\t1.5\t1.6\t1.4\t1.3\t75.2\tok\n")
        return self.codes.get(level, 0)


@pytest.fixture
def centipet(monkeypatch, request):
    """The fake app; the session's phantom (SUVR 1.4) and its files instead of new ones."""
    fake = FakeCentipet(getattr(request, "param", {}))

    def link_files(folder: Path, phantom: Phantom) -> int:
        made = request.getfixturevalue("dicom_study")
        shutil.copytree(made, folder / made.name, copy_function=os.link)
        return len(list(folder.rglob("*.dcm")))

    monkeypatch.setattr(demo, "centipet", fake)
    monkeypatch.setattr(demo, "phantom_of", lambda *_: request.getfixturevalue("phantom"))
    monkeypatch.setattr(demo, "write_study", link_files)
    return fake


@pytest.mark.slow
def test_truth_and_result_stand_side_by_side(centipet, tmp_path, capsys):
    assert demo.main([str(tmp_path / "new")]) == 0
    assert centipet.levels == ["participant", "group"]
    out = capsys.readouterr().out
    # 153.4 * 1.4 - 154.9 = 59.9
    assert re.search(r"^Centiloid +59\.9 +75\.2 +\+15\.3$", out, re.MULTILINE)
    assert re.search(r"^SUVR, whole cerebellum +1\.400 +1\.500 +\+0\.100$", out, re.MULTILINE)
    assert str(tmp_path / "new" / "derivatives" / "sub-phantom.html") in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "centipet, levels",
    [({"participant": 75}, ["participant"]), ({"group": 75}, ["participant", "group"])],
    indirect=["centipet"],
)
def test_a_level_that_fails_ends_the_demo_with_its_code(centipet, levels, tmp_path, capsys):
    assert demo.main([str(tmp_path / "new")]) == 75
    assert centipet.levels == levels
    assert "Centiloid   " not in capsys.readouterr().out


def test_a_used_folder_is_refused(centipet, tmp_path, capsys):
    (tmp_path / "thesis.docx").touch()
    assert demo.main([str(tmp_path)]) == ExitCode.CANNOT_CREATE
    assert centipet.levels == []
    assert "name a new folder" in capsys.readouterr().err


@pytest.mark.slow
def test_an_impossible_centiloid_is_a_usage_error(tmp_path, capsys):
    assert demo.main([str(tmp_path / "new"), "--centiloid", "1000"]) == ExitCode.USAGE
    assert "choose a Centiloid between" in capsys.readouterr().err


def test_unknown_options_are_a_usage_error(tmp_path, capsys):
    assert demo.main([str(tmp_path / "new"), "--fast"]) == ExitCode.USAGE
    assert "centipet-demo: unknown option --fast" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("truth", [5.0, 60.0])
def test_the_app_finds_the_true_centiloid(truth, tmp_path, capsys):
    assert demo.main([str(tmp_path / "new"), "--centiloid", str(truth), "--nprocs", "2"]) == 0
    out = capsys.readouterr().out
    true, computed, _ = re.search(r"^Centiloid +(\S+) +(\S+) +(\S+)$", out, re.MULTILINE).groups()
    assert float(true) == truth
    assert float(computed) == pytest.approx(truth, abs=3.0)
    assert (tmp_path / "new" / "derivatives" / "sub-phantom.html").stat().st_size > 100_000
