"""Two visits of one person through the whole app, by one within-subject template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tsv_rows import table_rows
from whole_app import run_centipet, validator_errors

from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import load_volume, save_volume

pytestmark = pytest.mark.slow

SUB, NAME = "sub-06", "sub-06_ses-{}"
T1W_MOVED, PET_MOVED = ([9, -6, 7, 0.12, -0.08, 0.1], [-5, 8, -6, -0.1, 0.07, 0.06])


def moved(image: Volume, how: list[float], noise: float, order: int) -> tuple[Volume, np.ndarray]:
    """The same head elsewhere on the same grid, with noise; and new world -> old world."""
    centre = transform(image.affine, (np.array(image.data.shape) - 1) / 2)
    matrix = rigid_matrix(how, centre)
    if order == 1:
        data = np.nan_to_num(resample(image, image.grid, matrix).data)
    else:
        index = inverse(image.affine) @ matrix @ image.affine
        data = ndimage.affine_transform(np.asarray(image.data, np.float32), index, order=order)
    sigma = noise * np.percentile(image.data[image.data > 0], 90)
    data = np.maximum(data + np.random.default_rng(1).normal(0, sigma, data.shape), 0)
    return Volume(data.astype(np.float32), image.affine), matrix


@pytest.fixture(scope="module")
def visits(shared_data, tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A dataset of one person scanned twice; new world -> old world of T1w and PET."""
    bids = tmp_path_factory.mktemp("visits") / "bids"
    bids.mkdir()
    raw = shared_data / "bids"
    for name in ("dataset_description.json", "README.md"):
        shutil.copy(raw / name, bids / name)
    motions = []
    for kind, how, noise, order in (("anat", T1W_MOVED, 0.03, 3), ("pet", PET_MOVED, 0.02, 1)):
        [path] = (raw / SUB / kind).glob("*.nii.gz")
        image = load_volume(path)
        if image.data.ndim == 4:
            image = Volume(np.asarray(image.data[..., 0]), image.affine)
        again, motion = moved(image, how, noise, order)
        motions.append(motion)
        for session, one in (("1", image), ("2", again)):
            new = bids / SUB / f"ses-{session}" / kind
            new.mkdir(parents=True)
            name = path.name.replace(SUB, NAME.format(session))
            save_volume(new / name, Volume(one.data.astype(np.float32), one.affine))
            shutil.copy(
                path.with_name(path.name.replace(".nii.gz", ".json")),
                new / name.replace(".nii.gz", ".json"),
            )
    return bids, *motions


@pytest.fixture(scope="module")
def out(visits) -> Path:
    folder = visits[0].parent
    for level in ("participant", "group"):
        done = run_centipet(
            visits[0],
            folder / "out",
            level,
            "--longitudinal",
            "--nprocs",
            1,
            "-w",
            folder / "work",
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def matrix_of(path: Path, key: str) -> np.ndarray:
    return np.array(json.loads(path.read_text())[key])


def apart(first: np.ndarray, second: np.ndarray, out: Path) -> float:
    """Mean distance over the brain of the template, mm."""
    mask = load_volume(out / SUB / "anat" / f"{SUB}_desc-brain_mask.nii.gz")
    points = transform(mask.affine, np.argwhere(mask.data)[::999].astype(float))
    there = transform(first, points) - transform(second, points)
    return float(np.linalg.norm(there, axis=1).mean())


def test_both_visits_have_one_template_and_nearly_one_centiloid(out):
    rows = table_rows(out / "group_centiloid.tsv")
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert {row["method"] for row in rows} == {"template+model"}
    assert "mixed" not in "".join(row["flags"] for row in rows)
    assert abs(float(rows[0]["centiloid"]) - float(rows[1]["centiloid"])) < 2.5


def test_the_transforms_are_the_known_displacements(out, visits, shared_data):
    places = [
        matrix_of(
            out
            / SUB
            / f"ses-{s}"
            / "anat"
            / f"{NAME.format(s)}_from-orig_to-T1w_mode-image_xfm.json",
            "TemplateToT1w",
        )
        for s in "12"
    ]
    assert apart(places[0], visits[1] @ places[1], out) < 0.15
    truth = np.array(json.loads((shared_data / "rigid_truth.json").read_text())[SUB])
    to_pet = truth @ places[0]  # as the first visit has it
    for session, motion in (("1", np.eye(4)), ("2", visits[2])):
        [path] = (out / SUB / f"ses-{session}" / "pet").glob("*_from-T1w_to-pet_*_xfm.json")
        assert apart(motion @ matrix_of(path, "T1wToPet"), to_pet, out) < 1.0


def test_derivatives_are_valid_bids_and_tell_of_both_t1ws(out):
    assert validator_errors(out) == {}
    anat = out / SUB / "anat"
    for name in (f"{SUB}_desc-preproc_T1w", f"{SUB}_desc-brain_mask", f"{SUB}_label-GM_probseg"):
        assert len(json.loads((anat / f"{name}.json").read_text())["Sources"]) == 2
    page = (out / f"{SUB}.html").read_text()
    assert (
        "within-subject template" in page
        and "Normalised by the within-subject template (--longitudinal)" in page
    )
