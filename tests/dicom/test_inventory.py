"""What is found in a folder, how series are split, and how long it takes."""

from __future__ import annotations

import errno
import os
from itertools import cycle
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conversions import run
from dicom_studies import Mr, Pet, many_files, write
from pydicom.dataset import FileMetaDataset
from pydicom.uid import generate_uid
from whole_app import used_by

from bidsapp.dicom.header import read_headers
from bidsapp.dicom.inventory import Inventory, take_inventory
from bidsapp.errors import NoInputError
from bidsapp.io.atomic import write_json


def inventory(folder: Path, nprocs: int = 1) -> Inventory:
    return take_inventory(folder, folder.parent / "scratch", nprocs=nprocs)


def test_junk_is_passed_over_and_names_do_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    paths = Mr().write(folder / "a b" / "ü")
    names = ["x", "x.dcm", "x.IMA", "1.2.3", ".hidden", "with space", "DICOMDIR.txt"]
    for path, name in zip(paths, names, strict=False):
        path.rename(path.with_name(name))
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICMgarbage")
    (folder / "notes.txt").write_text("DICM")
    (folder / "image.jpg").write_bytes(os.urandom(2000))
    os.mkfifo(folder / "pipe")  # opening it would wait for ever
    found = inventory(folder)
    assert [len(series.images) for series in found.series] == [36]
    assert found.broken == ()


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    """Archives older than DICOM part 10 begin with the first element."""
    path = tmp_path / "old"
    data = next(Mr().datasets())
    pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=True, enforce_file_format=False)
    with path.open("rb") as file:
        content = file.read()
    start = content.index(b"\x08\x00\x08\x00")  # (0008,0008)
    path.write_bytes(content[start:])
    (header,) = read_headers(path)
    assert header.text("Modality") == "MR"


@pytest.mark.parametrize("kind", ["no preamble", "no meta", "implicit", "big endian"])
def test_files_as_old_archives_write_them(tmp_path: Path, kind: str) -> None:
    """Whatever a file begins with, its voxels are those of the file that is whole."""
    whole, cut = Pet(frames=((5400, 1200),)).write(tmp_path / "in"), tmp_path / "cut"
    cut.mkdir()
    for path in whole:
        content, data = path.read_bytes(), pydicom.dcmread(path)
        if kind == "no preamble":
            (cut / path.name).write_bytes(content[128 + 4 * (path.name > "I00004") :])
            continue
        if kind == "no meta":
            (cut / path.name).write_bytes(content[content.index(b"\x08\0\x08\0CS") :])
            continue
        little = kind == "implicit"
        if not little:
            data.PixelData = data.pixel_array.astype(">i2").tobytes()
        data.file_meta, data.preamble = FileMetaDataset(), None
        pydicom.dcmwrite(
            cut / path.name,
            data,
            implicit_vr=little,
            little_endian=little,
            enforce_file_format=False,
        )
    images = []
    for source in (tmp_path / "in", cut):
        bids = tmp_path / f"bids-{source.name}"
        assert run(source, bids).errors == []
        (path,) = bids.rglob("*.nii.gz")
        images.append(np.asanyarray(nib.load(path).dataobj))
    np.testing.assert_allclose(*images, rtol=1e-6)  # float32, by two ways


def test_what_is_read_does_not_depend_on_names(tmp_path: Path) -> None:
    """DICOM named like an archive is DICOM; an archive that is not read is told."""
    folder = tmp_path / "in"
    for path, suffix in zip(Mr().write(folder / "a"), cycle((".zip", ".gz", "")), strict=False):
        path.rename(f"{path}{suffix}")
    starts = {
        "scans.7z": b"7z\xbc\xaf\x27\x1c",
        "scans.rar": b"Rar!\x1a\x07\0",
        "cd.iso": b"\0" * 9,
        "download": b"PK\x03\x04",
        "backup.001": b"\x1f\x8b\x08",
    }
    for name, start in starts.items():
        (folder / name).write_bytes(start + b"\0" * 200)
    (folder / "report.docx").write_bytes(b"PK\x03\x04" + b"\0" * 200)
    found = inventory(folder)
    assert [len(series.images) for series in found.series] == [36]
    assert sorted(sentence.partition(":")[0] for sentence in found.broken) == sorted(starts)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """Under their own folders, which may be labels; not in circles, and not to what is above."""
    folder = tmp_path / "study" / "in"
    Mr().write(folder / "sub-01")
    (folder / "a-link-before").symlink_to(folder / "sub-01")
    Pet().write(tmp_path / "elsewhere" / "pet")
    (folder / "sub-01" / "pet").symlink_to(tmp_path / "elsewhere" / "pet")
    (folder / "sub-01" / "back").symlink_to(folder)
    (folder / "above").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "pet" / "round").symlink_to(tmp_path / "elsewhere" / "pet")
    Mr().write(tmp_path / "not-ours")
    found = inventory(folder)
    assert [len(series.images) for series in found.series] == [36, 36]
    paths = {image.path.relative_to(folder).parent for s in found.series for image in s.images}
    assert paths == {Path("sub-01"), Path("sub-01/pet")}


def test_links_to_nothing_are_told(tmp_path: Path) -> None:
    """As of a DataLad dataset whose images were not fetched."""
    folder = tmp_path / "in"
    Mr().write(folder / "mr")
    for number in range(3):
        (folder / f"{number}.dcm").symlink_to(".git/annex/objects/gone")
    results = folder / "results"
    results.mkdir()
    write_json(results / "dataset_description.json", {"GeneratedBy": [{"Name": "CentiPET"}]})
    (results / "of-no-input.dcm").symlink_to("gone")
    (remark,) = inventory(folder).remarks
    assert remark.startswith("3 links to missing files, first 0.dcm")


def test_an_archive_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    Mr().write(folder / "mr")
    (folder / "closed.zip").write_bytes(b"PK")
    opened = Path.open

    def open_(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "closed.zip":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", open_)
    (sentence,) = inventory(folder).broken
    assert sentence.startswith("closed.zip: cannot be unpacked (")


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    Mr().write(folder / "mr")
    (folder / "closed").mkdir()
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (sentence,) = inventory(folder).broken
    assert sentence == "closed: cannot be read (Permission denied); check permissions"


def test_a_single_file_is_no_input(tmp_path: Path) -> None:
    path = Mr().write(tmp_path / "in")[0]
    with pytest.raises(NoInputError, match="is a file, not a folder or archive; give the folder"):
        inventory(path)


def test_parts_of_a_series_are_told_apart(tmp_path: Path) -> None:
    """Echoes, phase beside magnitude, and a second run under one SeriesInstanceUID."""
    uid = "1.2.3.4"
    kinds = [Mr(), Mr(echo=7.38), Mr(image_type=("ORIGINAL", "PRIMARY", "P")), Mr()]
    for number, kind in enumerate(kinds):
        datasets = list(kind.datasets())
        for data in datasets:
            data.SeriesInstanceUID, data.AcquisitionNumber = uid, 1 + number // 3
        write(tmp_path / "in" / str(number), iter(datasets))
    found = inventory(tmp_path / "in")
    assert sorted((s.part, len(s.images)) for s in found.series) == [(p, 36) for p in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("tag", "value"), [("AcquisitionTime", "091500"), ("TemporalPositionIdentifier", "2")]
)
def test_repeated_volumes_are_told_apart_by_the_tag_that_does(
    tmp_path: Path, tag: str, value: str
) -> None:
    datasets = [data for _ in range(2) for data in Mr().datasets()]
    for number, data in enumerate(datasets):
        data.SeriesInstanceUID, data.InstanceNumber = "1.2.3.4", number + 1
        if tag not in data:
            setattr(data, tag, "1")
    for data in datasets[36:]:
        setattr(data, tag, value)
    write(tmp_path / "in", datasets)
    assert [len(series.images) for series in inventory(tmp_path / "in").series] == [36, 36]


@pytest.mark.parametrize(
    ("n_volumes", "n_slices_at_once", "numbered"),
    [(2, 1, False), (12, 9, False), (12, 9, True), (5, 9, True)],
)
def test_volumes_of_a_functional_series_stay_together(
    tmp_path: Path, n_volumes: int, n_slices_at_once: int, numbered: bool
) -> None:
    """They would be hundreds of rows of a volume or of an image."""
    volume = Mr(positions=tuple(range(9)))
    datasets = [data for _ in range(n_volumes) for data in volume.datasets(study="1.2.3")]
    for number, data in enumerate(datasets):
        data.SeriesInstanceUID, data.InstanceNumber = "1.2.3.4", number + 1
        moment = number // n_slices_at_once
        data.AcquisitionNumber = moment + 1 if numbered else 1
        data.AcquisitionTime = f"0915{moment // 2:02d}.{moment % 2}"
    write(tmp_path / "in", datasets)
    (series,) = inventory(tmp_path / "in").series
    assert len(series.images) == 9 * n_volumes


@pytest.mark.parametrize("tag", ["SeriesInstanceUID", "Modality"])
@pytest.mark.parametrize("value", ["", None])
def test_series_whose_identifiers_were_removed_are_found(
    tmp_path: Path, tag: str, value: str | None
) -> None:
    """They were passed over in silence; SOPClassUID says the modality, other tags the series."""
    for images in (Mr(), Mr(description="t1_mprage_2", number=3), Pet()):
        datasets = list(images.datasets(study="1.2.3"))
        for data in datasets:
            setattr(data, tag, value) if value is not None else delattr(data, tag)
        write(tmp_path / "in" / images.description, datasets)
    found = inventory(tmp_path / "in")
    assert [len(series.images) for series in found.series] == [36, 36, 36]
    assert sorted(s.header.text("Modality") for s in found.series) == ["MR", "MR", "PT"]
    assert found.broken == ()


def test_images_of_no_series_are_told(tmp_path: Path) -> None:
    datasets = list(Mr().datasets())
    for data in datasets:
        del data.Modality, data.SOPClassUID
    write(tmp_path / "in", datasets[:2])
    Pet().write(tmp_path / "in" / "pet")
    broken = inventory(tmp_path / "in").broken
    assert len(broken) == 2 and "(0008,0060) Modality is missing" in broken[0]


def test_files_whose_encoding_is_not_the_one_they_state_are_told(tmp_path: Path) -> None:
    """Little endian under the name of big endian: no tag can be read."""
    Pet().write(tmp_path / "in" / "pet")
    path = Mr().write(tmp_path / "in")[0]
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"))
    broken = inventory(tmp_path / "in").broken
    assert f"{path.name}: broken DICOM header (ValueError); export it again" in broken


def test_dicom_named_like_an_image_is_told(tmp_path: Path) -> None:
    (path, *_) = Mr().write(tmp_path / "in")
    path.rename(f"{path}.v")
    (sentence,) = inventory(tmp_path / "in").broken
    assert sentence == f"{path.name}.v: is DICOM, but named like another image; rename it"


def test_single_images_without_a_number_of_their_series(tmp_path: Path) -> None:
    datasets = list(Pet().datasets())
    for data in datasets:
        data.SeriesInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid()
        data.SeriesNumber = ""
    write(tmp_path / "in", datasets)
    assert [len(series.images) for series in inventory(tmp_path / "in").series] == [36]


@pytest.mark.slow
def test_workers_find_the_same_as_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    Pet(n_slices=90, step=1.5).write(folder / "pet")
    Mr(positions=tuple(range(100))).write(folder / "mr")
    one, two = inventory(folder, 1), inventory(folder, 2)
    assert len(one.series) == 2
    for mine, its in zip(one.series, two.series, strict=True):
        assert mine.uid == its.uid
        assert [dict(image.values) for image in mine.images] == [
            dict(image.values) for image in its.images
        ]


def test_a_tag_that_one_image_lacks_is_not_lent_by_the_others(tmp_path: Path) -> None:
    datasets = list(Pet().datasets())
    del datasets[5].DecayCorrection
    write(tmp_path / "in", iter(datasets))
    (series,) = inventory(tmp_path / "in").series
    assert [image.text("DecayCorrection") for image in series.images].count("") == 1


@pytest.mark.slow
def test_twenty_thousand_files(tmp_path: Path) -> None:
    """All are found in little memory; `tests/benchmarks/inventory.py` measures the time."""
    folder, total = tmp_path / "in", 20_000
    many_files(folder, total)
    code = (
        "import sys; from pathlib import Path\n"
        "from bidsapp.dicom.inventory import take_inventory\n"
        "found = take_inventory(Path(sys.argv[1]), Path(sys.argv[1]), nprocs=1)\n"
        "print(sum(len(s.images) for s in found.series))"
    )
    output, megabytes = used_by(code, folder)
    assert int(output) == total
    assert megabytes < 400
