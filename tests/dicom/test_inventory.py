"""What is found in a folder, how series are split, and how long it takes."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
import pytest
from dicom_studies import Mr, Pet, many_files, write
from whole_app import used_by

from bidsapp.dicom.header import read_headers
from bidsapp.dicom.inventory import Inventory, take_inventory

BUDGET_S = 30.0  # of processor time for 20,000 files: half of what two cores have in 30 s


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
    """Processor time and peak memory; wall time would measure the neighbours."""
    folder, total = tmp_path / "in", 20_000
    many_files(folder, total)
    code = (
        "import sys; from pathlib import Path\n"
        "from bidsapp.dicom.inventory import take_inventory\n"
        "found = take_inventory(Path(sys.argv[1]), Path(sys.argv[1]), nprocs=1)\n"
        "print(sum(len(s.images) for s in found.series))"
    )
    output, seconds, megabytes = used_by(code, folder)
    images = int(output)
    print(f"{images} files, {seconds:.1f} s of processor time, peak {megabytes:.0f} MB")
    assert images == total
    assert seconds < BUDGET_S
    assert megabytes < 400
