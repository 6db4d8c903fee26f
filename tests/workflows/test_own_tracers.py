"""Tracers of a user through the whole app: file, level 2, participants, study, verification."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_tracers import OWN_TRACERS
from record_schema import read_valid
from tsv_rows import table_rows

from bidsapp.cli.calibrate import main as calibrate
from bidsapp.cli.main import main as centipet
from bidsapp.cli.verify import main as verify
from bidsapp.data.tracers import tracers
from bidsapp.io.hashes import file_hash

from .conftest import head, write_image, write_pet

pytestmark = pytest.mark.slow

GAIN, OFFSET = 0.7, 0.3
SCANS = {
    "QZ41": ("QZ 041", 3600, 1200),
    "FC119S": ("Alzavue", 1800, 1800),
    "FBB": ("FBB", 5400, 1200),
}


class Lab:
    """A lab with a new tracer: its file, its pairs, a person scanned with three tracers."""

    def __init__(self, folder: Path, image: np.ndarray) -> None:
        self.file, self.pairs, self.out = (folder / n for n in ("lab.toml", "pairs.tsv", "out"))
        self.work, self.calibration = folder / "work", folder / "level2_calibration.json"
        self.bids = folder / "bids"
        self.file.write_text(OWN_TRACERS)
        rows = [f"P{i}\tQZ41\t{pib!r}\t{GAIN * pib + OFFSET!r}" for i, pib in
                enumerate(np.linspace(0.95, 2.3, 12).tolist())]  # fmt: skip
        self.pairs.write_text("\n".join(["id\ttracer\tpib_suvr_wc\ttracer_suvr_wc", *rows]) + "\n")
        description = {"Name": "lab", "BIDSVersion": "1.11.0", "DatasetType": "raw"}
        self.bids.mkdir()
        (self.bids / "dataset_description.json").write_text(json.dumps(description))
        t1w = head()
        write_image(self.bids / "sub-01/anat/sub-01_T1w.nii.gz", t1w.data, t1w.affine, {})
        for code, (name, start, length) in SCANS.items():
            write_pet(self.bids, f"sub-01_trc-{code}", frames=image.astype(np.float32),
                      TracerName=name, start=[start], duration=[length])  # fmt: skip

    def participant(self, *options: str) -> int:
        command = [self.bids, self.out, "participant", "--tracer-file", self.file, "-w", self.work]
        common = ["--nprocs", "1", "--calibration", str(self.calibration), "--skip-bids-validation"]
        return centipet([*map(str, command), *common, *options])

    def record(self, code: str) -> dict:
        return read_valid(self.out / f"sub-01/pet/sub-01_trc-{code}_centiloid.json")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, truth, stand_ins) -> Lab:
    made = Lab(tmp_path_factory.mktemp("lab"), truth.image())
    level2 = ["level2", "--from-table", str(made.pairs), "--tracer-file", str(made.file)]
    assert calibrate([*level2, "-o", str(made.calibration.parent)]) == 0
    assert made.participant() == 0
    return made


def test_the_equation_of_level2_makes_the_centiloid(lab, truth):
    ratio = truth.mean("ctx") / truth.mean("wc")
    record = lab.record("QZ41")
    # 100 (PiB - 1.009) / 1.067 of the SUVR that PiB would have had
    expected = 100 * ((ratio - OFFSET) / GAIN - 1.009) / 1.067
    assert record["suvr"]["wc"] == pytest.approx(ratio, rel=1e-4)
    assert record["centiloid"] == pytest.approx(expected, abs=0.05)
    assert record["calibration"]["calibrated"] and record["rescan_interval"]
    assert record["centiloid_interval"][0] < record["centiloid"] < record["centiloid_interval"][1]
    assert (record["window_start_min"], record["window_end_min"]) == (60, 80)
    package = lab.record("FBB")
    line = tracers()["FBB"].equation
    assert package["centiloid"] == pytest.approx(line.slope * ratio + line.intercept, abs=0.05)


def test_without_an_equation_there_are_suvrs_and_what_to_do(lab, truth):
    record = lab.record("FC119S")
    assert record["suvr"]["wc"] == pytest.approx(truth.mean("ctx") / truth.mean("wc"), rel=1e-4)
    assert record["centiloid"] is None and set(record["centiloids"].values()) == {None}
    (message,) = [flag["message"] for flag in record["flags"] if flag["code"] == "not-calibrated"]
    assert "no Centiloid equation for FC119S" in message and "PiB and with FC119S" in message
    assert "standard pipeline" not in message


def test_a_record_says_by_which_definition_it_was_made(lab):
    assert lab.record("QZ41")["tracer_definition"] == {
        "name": "[18F]qualizetaben", "synonyms": ["QZ-041"], "radionuclide": "F18",
        "half_life_s": tracers()["FBB"].half_life_s, "window_min": [60, 80],
    }  # fmt: skip
    assert lab.record("FBB")["tracer_definition"] is None
    for code in SCANS:
        definition = lab.record(code)["provenance"]["parameters"]["tracer_file"]
        assert definition == {"name": "lab.toml", "sha256": file_hash(lab.file)}
    sidecars = [*(lab.out / "sub-01" / "pet").glob("sub-01_trc-QZ41_*desc-preproc_pet.json")]
    assert len(sidecars) == 3  # native, T1w, MNI
    for path in sidecars:
        content = json.loads(path.read_text())
        assert content["TracerRadionuclide"] == "F18"
        assert content["CentiPET"]["Parameters"]["tracer_file"]["sha256"] == file_hash(lab.file)
        assert "--tracer-file lab.toml" in content["CentiPET"]["Command"]


def test_page_and_methods_text_name_it(lab):
    page = (lab.out / "sub-01.html").read_text()
    assert "[18F]qualizetaben" in page and "[18F]FC119S" in page
    assert "60\N{EN DASH}80 min for [18F]qualizetaben, as stated by the user" in page
    assert "own calibration from pairs.tsv" in page
    assert "SUVRs of [18F]FC119S were not converted to Centiloids" in page
    planned = (lab.out / "logs" / "CITATION.md").read_text()
    assert f"[18F]qualizetaben: CL = {100 / 1.067 / GAIN:g}" in planned
    assert "SUVRs of [18F]FC119S were not converted" in planned and "doi:\n" not in planned


def test_the_study_needs_no_file(lab, capsys):
    level = [str(lab.bids), str(lab.out), "group"]
    assert centipet(level) == 0
    rows = {row["tracer"]: row for row in table_rows(lab.out / "group_centiloid.tsv")}
    assert rows.keys() == SCANS.keys()
    assert rows["FC119S"]["centiloid"] == "n/a" != rows["QZ41"]["centiloid"]
    for table in ("group_centiloid", "group_regions"):
        levels = json.loads((lab.out / f"{table}.json").read_text())["tracer"]["Levels"]
        assert levels["QZ41"] == "[18F]qualizetaben" and levels["FBB"] == "[18F]florbetaben"
    page = (lab.out / "group_centiloid.html").read_text()
    assert "[18F]qualizetaben" in page and "mixed-" not in page
    assert verify([str(lab.out)]) == 0, capsys.readouterr()
    assert centipet([*level, "--tracer-label", "qz041", "Florapronol"]) == 0
    rows = table_rows(lab.out / "group_centiloid.tsv")
    assert sorted(row["tracer"] for row in rows) == ["FC119S", "QZ41"]


def test_a_changed_file_makes_its_scans_again(lab, stand_ins, tmp_path):
    saved = tmp_path / "out"
    shutil.copytree(lab.out, saved)
    before = {code: lab.record(code) for code in SCANS}
    lab.file.write_text(OWN_TRACERS.replace("[60, 80]", "[62, 78]"))
    stand_ins.clear()
    assert lab.participant() == 0
    after = {code: lab.record(code) for code in SCANS}
    assert after["QZ41"]["tracer_definition"]["window_min"] == [62, 78]
    assert after["QZ41"]["tracer_window_min"] == [62, 78]
    assert after["QZ41"]["centiloid"] is None  # its equation is that of another window
    (message,) = [f["message"] for f in after["QZ41"]["flags"] if f["code"] == "not-calibrated"]
    assert "62-78 not 60-80" in message
    assert after["FBB"]["centiloid"] == before["FBB"]["centiloid"]
    hashes = {
        record["provenance"]["parameters"]["tracer_file"]["sha256"] for record in after.values()
    }
    assert hashes == {file_hash(lab.file)}
    assert "segment" not in stand_ins
    # both definitions in one study: told
    for record in (saved / "sub-01").rglob("sub-01_trc-QZ41_*"):
        target = lab.out / "sub-02" / "pet" / record.name.replace("sub-01", "sub-02")
        target.parent.mkdir(parents=True, exist_ok=True)
        if record.name.endswith("_centiloid.json"):
            shutil.copy(record, target)
    assert centipet([str(lab.bids), str(lab.out), "group"]) == 0
    flags = {(row["participant_id"], row["tracer"]): row["flags"] for row in
             table_rows(lab.out / "group_centiloid.tsv")}  # fmt: skip
    assert "mixed-tracers" in flags["sub-01", "QZ41"] and "mixed-tracers" in flags["sub-02", "QZ41"]
    assert "mixed-tracers" not in flags["sub-01", "FC119S"] + flags["sub-01", "FBB"]
