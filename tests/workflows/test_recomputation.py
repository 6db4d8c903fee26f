"""A changed input or option recomputes what depends on it, and nothing else."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.execution import engine
from bidsapp.settings import Filters, Processing, Resources
from bidsapp.workflows.participant import init_participants_wf

pytestmark = pytest.mark.slow

STANDARD = Processing()
ONE = Filters(participant=("01",), tracer=("PIB",))


@pytest.fixture
def dataset(bids_dir, tmp_path) -> Path:
    """A copy to change: one participant, one T1w, a PiB scan of one frame."""
    copy = tmp_path / "bids"
    copy.mkdir()
    shutil.copy(bids_dir / "dataset_description.json", copy)
    shutil.copytree(bids_dir / "sub-01", copy / "sub-01")
    return copy


def run(dataset: Path, folder: Path, processing: Processing = STANDARD) -> dict[str, int]:
    """Process, and return when every step was computed, by its name within the participant."""
    level = init_participants_wf(
        make_plan(read_dataset(dataset, ONE), processing),
        bids_dir=dataset, output_dir=folder / "out", work_dir=folder / "work",
        processing=processing,
    )  # fmt: skip
    assert engine.run(level.workflow, Resources(nprocs=1), crash_dir=folder / "logs") == []
    return {
        path.parent.as_posix().split("sub_01_wf/")[1]: path.stat().st_mtime_ns
        for path in (folder / "work").rglob("result_*.pklz")
    }


def replace_voxel(image: Path) -> None:
    """Another image of the same size in bytes and with the same time of change."""
    stat = image.stat()
    raw = bytearray(gzip.decompress(image.read_bytes()))
    raw[-1] ^= 1
    content = min((gzip.compress(raw, level, mtime=0) for level in (6, 9)), key=len)
    # an image written with less effort is longer; what is missing, zeros, gzip passes over
    plain = gzip.compress(bytes(raw), 1, mtime=0)
    size = max(stat.st_size, len(content), len(plain))
    image.write_bytes(content + bytes(size - len(content)))
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_what_a_changed_input_recomputes(dataset, tmp_path, stand_ins):
    t1w = dataset / "sub-01/anat/sub-01_T1w.nii.gz"
    pet = dataset / "sub-01/pet/sub-01_trc-PIB_pet.nii.gz"
    for image in (t1w, pet):  # once, so that the second time the size stays
        replace_voxel(image)
    first = run(dataset, tmp_path)
    again = run(dataset, tmp_path)
    # nothing has changed: only what writes, to bring back what was removed from the output
    writers = {name for name, time in again.items() if first[name] != time}
    leaves = {name.rsplit("/", 1)[-1] for name in writers}
    assert "result" in leaves and not leaves & {"segment", "register"}

    def changed_by(image: Path) -> set[str]:
        before = run(dataset, tmp_path)
        size, time = image.stat().st_size, image.stat().st_mtime_ns
        replace_voxel(image)
        assert (image.stat().st_size, image.stat().st_mtime_ns) == (size, time)
        stand_ins.clear()
        after = run(dataset, tmp_path)
        return {name for name, time in after.items() if before.get(name) != time} - writers

    by_t1w = changed_by(t1w)
    assert sorted(stand_ins) == ["register", "segment"]
    by_pet = changed_by(pet)
    assert stand_ins == ["register"]
    assert by_t1w - by_pet and by_pet - by_t1w  # each its own reading
    assert by_t1w & by_pet  # and all that comes of both


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (Processing(cutoff=(20.0,)), []),
        (Processing(smooth_fwhm_mm=4.0), ["register"]),
    ],
    ids=["after all images", "of the PET"],
)
def test_what_a_changed_option_recomputes(dataset, tmp_path, stand_ins, options, calls):
    run(dataset, tmp_path)
    stand_ins.clear()
    run(dataset, tmp_path, options)
    assert stand_ins == calls  # never the segmentation
    stand_ins.clear()
    run(dataset, tmp_path)  # and back again, from what is still there
    assert stand_ins == []


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("nprocs", [1, 2])
@pytest.mark.parametrize("damaged", ["*.npz", "result_*.pklz"])
def test_damaged_intermediate_results_are_told(dataset, tmp_path, damaged, nprocs):
    run(dataset, tmp_path)
    for path in (tmp_path / "work").rglob(damaged):
        os.truncate(path, path.stat().st_size // 2)
    plan = make_plan(read_dataset(dataset, ONE), STANDARD)
    level = init_participants_wf(
        plan, bids_dir=dataset, output_dir=tmp_path / "out", work_dir=tmp_path / "work",
        processing=STANDARD,
    )  # fmt: skip
    failures = engine.run(level.workflow, Resources(nprocs=nprocs), crash_dir=tmp_path / "logs")
    assert failures
    assert {failure.error_name for failure in failures} == {"StorageError"}
    assert all("--clean-workdir" in failure.message for failure in failures)
