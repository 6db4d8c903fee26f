"""What the headers of written images say: space, time, and the values to show."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from bidsapp.bids.derivatives import OutputPlace, output_path, sidecar_path
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.data.tracers import tracers
from bidsapp.errors import BusyError, StorageError
from bidsapp.interfaces.derivatives import RawFile, SaveImages, SaveResult, named
from bidsapp.interfaces.regions import SaveRatios
from bidsapp.interfaces.store import keep_volume
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import save_frames
from bidsapp.record import RecordPart

ENTITIES = {"sub": "1", "trc": "FBB"}
SCANNER, ALIGNED, MNI = 1, 2, 4  # codes of NIfTI
IMAGE = Volume(np.ones((4, 5, 6), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))


def _codes(header: nib.Nifti1Header) -> tuple[int, int]:
    return int(header["sform_code"]), int(header["qform_code"])


@pytest.mark.parametrize(
    ("key", "code"),
    [("pet_native", SCANNER), ("pet_t1w", ALIGNED), ("pet_mni", MNI), ("suvr_wc", MNI),
     ("t1w", SCANNER), ("mask", SCANNER), ("t1w_mni", MNI), ("read_pet", ALIGNED)],
)  # fmt: skip
def test_the_header_names_the_space_and_what_to_show(tmp_path, key, code):
    kept = keep_volume(tmp_path / "kept.npz", IMAGE)
    sidecar = {"TracerName": tracers()["FBB"].name}
    save = SaveImages((key,), place=OutputPlace(tmp_path, ENTITIES), sidecars={key: sidecar})
    setattr(save.inputs, key, kept)
    save.run()
    header = nib.load(output_path(tmp_path, key, ENTITIES)).header
    assert _codes(header) == (code, code)
    equation = tracers()["FBB"].equation
    shown = round((200 - equation.intercept) / equation.slope, 1) if key == "suvr_wc" else 0.0
    assert (header["cal_min"], header["cal_max"]) == (0.0, np.float32(shown))


@pytest.mark.parametrize(("missing", "stripped"), [(0.98, True), (0.02, False)])
def test_the_sidecar_says_whether_the_t1w_has_a_skull(tmp_path, missing, stripped):
    kept, keys = keep_volume(tmp_path / "kept.npz", IMAGE), ("t1w", "t1w_mni", "mask")
    save = SaveImages(
        keys, place=OutputPlace(tmp_path, ENTITIES), sidecars={key: {} for key in keys},
        head=RecordPart(qc={"skull_missing": missing}), **dict.fromkeys(keys, kept),
    )  # fmt: skip
    save.run()
    said = {
        key: json.loads(sidecar_path(output_path(tmp_path, key, ENTITIES)).read_text())
        for key in keys
    }
    assert said["t1w"]["SkullStripped"] is said["t1w_mni"]["SkullStripped"] is stripped
    assert "SkullStripped" not in said["mask"]


@pytest.mark.parametrize(
    ("space", "code"), [("pet", SCANNER), ("T1w", ALIGNED), ("MNI152NLin6Asym", MNI)]
)
def test_ratio_and_centiloid_images_of_every_space(tmp_path, space, code):
    SaveRatios(
        pet=keep_volume(tmp_path / "kept.npz", IMAGE), references={"wc": 2.0},
        equations={"wc": Equation(100.0, -100.0, "wc", "", "", 0)}, space=space, skip=[],
        sidecar={},
        place=OutputPlace(tmp_path, ENTITIES),
    ).run()  # fmt: skip
    tops = {}
    for path in tmp_path.glob("sub-1/pet/*.nii.gz"):
        header = nib.load(path).header
        assert _codes(header) == (code, code)
        tops["cl" if "desc-cl" in path.name else "suvr"] = float(header["cal_max"])
    assert tops == {"suvr": 3.0, "cl": 200.0}  # no tracer is named: the scale of none


def test_frames_have_their_duration_in_seconds(tmp_path):
    path = save_frames(tmp_path / "sub-1_pet.nii.gz", [IMAGE, IMAGE], 2, frame_s=300.0)
    header = nib.load(path).header
    assert header.get_zooms() == (2.0, 2.0, 2.0, 300.0)
    assert header.get_xyzt_units() == ("mm", "sec")
    assert _codes(header) == (SCANNER, SCANNER)


@pytest.mark.parametrize(
    ("changed", "error"), [(lambda path: path.write_text("of another run"), BusyError),
                           (lambda path: path.unlink(), StorageError)],
)  # fmt: skip
def test_no_record_of_files_that_were_replaced_or_removed(tmp_path, changed, error):
    image = tmp_path / "sub-1_pet.nii.gz"
    for path in (image, tmp_path / "sub-1_pet.json"):
        path.write_text("of this run")
    raw = tmp_path / "raw_pet.nii.gz"
    raw.write_text("of both runs")
    written = named(OutputPlace(tmp_path, ENTITIES), image)
    changed(image)
    with pytest.raises(error, match="sub-1_pet"):
        SaveResult._function(
            tmp_path, planned=None, raw=[RawFile("pet", raw, file_hash(raw))], parts=[],
            written=written,
        )  # fmt: skip


def test_no_record_of_a_raw_image_that_was_replaced(tmp_path):
    raw = tmp_path / "sub-1_pet.nii.gz"
    raw.write_text("as it was planned")
    planned = RawFile("pet", raw, file_hash(raw))
    raw.write_text("another")
    with pytest.raises(StorageError, match="changed while it was processed"):
        SaveResult._function(tmp_path, planned=None, raw=[planned], parts=[], written=[])
