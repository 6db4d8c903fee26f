"""Settings of libraries that somebody left in the current folder or at home change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

STEERING = {
    "pybids_config.json": json.dumps({"config_paths": {"bids": "/nowhere.json"}}),
    ".nipype/nipype.cfg": "[execution]\nremove_node_directories = true\nhash_method = timestamp\n",
}
SHOWN = """
import json, os, sys
from bidsapp.cli.main import main
code = main(sys.argv[1:])
from bidsapp.io.untouched import load
bids, nipype = map(load, ("bids", "nipype"))
print(json.dumps({
    "paths": bids.config.get_option("config_paths")["bids"],
    "kept": nipype.config.get("execution", "remove_node_directories"),
    "folder": os.getcwd(), "home": os.environ["HOME"], "nipype": nipype.config.cwd, "code": code,
}))
"""


@pytest.mark.slow
def test_a_run_among_settings_of_others(raw, tmp_path):
    raw.pet("sub-1_trc-FBB", FrameDuration=None)
    home, folder = tmp_path / "home", tmp_path / "folder"
    for name, text in STEERING.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir()
    (folder / "nipype.cfg").write_bytes(b"\xff\xfe no settings")
    (folder / "pybids_config.json").mkdir()  # whoever reads it fails, root as well
    environ = {**os.environ, "HOME": str(home), "PYBIDS_CONFIG": str(home / "pybids_config.json")}
    options = {"cwd": folder, "env": environ, "capture_output": True, "text": True}
    run = [str(raw.root), str(tmp_path / "out"), "participant", "--work-dir", str(tmp_path / "w")]
    done = subprocess.run([sys.executable, "-c", SHOWN, *run], **options, check=True)
    assert "FrameDuration" in done.stdout, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer.pop("paths").endswith("layout/config/bids.json")
    assert answer == {
        "kept": "false", "folder": str(folder), "home": str(home),
        "nipype": str(folder), "code": 65,
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_without_a_folder_for_temporary_files():
    code = "import tempfile; tempfile.tempdir = '/nowhere'; import bidsapp.cli.participant"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nipype_writes_any_character_in_any_locale(tmp_path):
    code = "import sys; from bidsapp.io.untouched import load; load('nipype')\n"
    code += "open(sys.argv[1], 'w').write(chr(0x3B2))"
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    path = tmp_path / "text"
    subprocess.run([sys.executable, "-c", code, str(path)], env=ascii_only, check=True)
    assert path.read_text("utf-8") == "\u03b2"


LOST = """
import os
os.rmdir(os.getcwd())
from bidsapp.io.untouched import load
for name in ("bids", "nipype"):
    load(name)
    try:
        raise AssertionError(os.getcwd())
    except FileNotFoundError:
        pass
"""


def test_a_folder_that_is_gone_stays_the_current_one(tmp_path):
    """Else a relative path would lead from the top of the file system."""
    gone = tmp_path / "gone"
    gone.mkdir()
    subprocess.run([sys.executable, "-c", LOST], cwd=gone, check=True)


READS = """
import sys
from bidsapp.io.nifti import load_volume
assert load_volume(sys.argv[1]).data.shape == (4, 4, 4)
assert "pydicom" not in sys.modules
import pydicom
assert pydicom.Dataset
"""


def test_an_image_with_a_dicom_header_in_it_is_read_without_pydicom(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(2, b"no DICOM at all"))
    nib.save(image, tmp_path / "t1w.nii")
    subprocess.run([sys.executable, "-c", READS, str(tmp_path / "t1w.nii")], check=True)
