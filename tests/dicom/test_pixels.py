"""Every voxel in its place, however the series is written down; or the series is refused."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conversions import series_of, times_of
from dicom_studies import Pet, set_pixels
from pixel_cells import AXES, Cell, all_cells, is_exact, outcome, pairwise, slices, write_cell
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGExtended12Bit, JPEGLosslessSV1

from bidsapp.dicom.decompress import decompress, write_copy
from bidsapp.dicom.header import read_headers
from bidsapp.dicom.image import ConvertedImage, convert_series
from bidsapp.dicom.inventory import take_inventory
from bidsapp.dicom.pet_frames import about_images, frames_of
from bidsapp.dicom.pixels import lossy_compression
from bidsapp.dicom.series import snapped
from bidsapp.errors import BadDataError

STATIC = Cell("uncompressed", "classic", "along", "per slice", "static")
DYNAMIC = Cell("uncompressed", "classic", "along", "per slice", "dynamic")
T1W = Cell("uncompressed", "classic", "along", "one", "T1w")


def write(folder: Path, datasets: Sequence[Dataset]) -> Path:
    (folder / "in").mkdir(parents=True)
    for number, data in enumerate(datasets):
        pydicom.dcmwrite(folder / "in" / f"{number:04d}", data, enforce_file_format=True)
    return folder


def convert(folder: Path) -> ConvertedImage:
    (series,) = take_inventory(folder / "in", folder / "scratch").series
    series.check_grid()
    return convert_series(series, frames_of(series), folder / "work")


@pytest.mark.parametrize("cell", pairwise(), ids=str)
def test_every_voxel_is_in_its_place(
    tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A covering part of the matrix; the codecs run in this process, as below."""
    monkeypatch.setattr("bidsapp.dicom.pixels.decompress", decompress_here)
    truth = write_cell(cell, tmp_path / "in")
    assert is_exact(convert(tmp_path).image, truth)


@pytest.mark.slow
@pytest.mark.parametrize("coding", AXES["coding"])
def test_every_voxel_of_the_whole_matrix_is_in_its_place(
    tmp_path: Path, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that differs is which files there are, so the codecs run in this process."""
    monkeypatch.setattr("bidsapp.dicom.pixels.decompress", decompress_here)
    found = {}
    for number, cell in enumerate(cell for cell in all_cells() if cell.coding == coding):
        folder = tmp_path / f"{number}"
        found[cell] = outcome(folder, write_cell(cell, folder / "in"))
        shutil.rmtree(folder)
    assert len(found) == 144
    assert {cell: word for cell, word in found.items() if word != "exact"} == {}


def decompress_here(paths: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """What ``decompress`` does, without a process of its own to start."""
    copies = {path: folder / f"{number:06d}" / path.name for number, path in enumerate(paths)}
    folder.mkdir(parents=True)
    for path, copy_ in copies.items():
        assert write_copy(str(path), copy_) is None
    return copies


@pytest.mark.parametrize("slope", ["", "0", "-1"])
@pytest.mark.parametrize("where", [slice(None), slice(3, 4)])
def test_pet_without_a_slope_is_refused(slope: str, where: slice) -> None:
    """PS3.3 C.8.9.4: RescaleSlope is of type 1."""
    made = slices(DYNAMIC)
    for data in made[where]:
        data.RescaleSlope = slope
    with pytest.raises(BadDataError, match=r"\(0028,1053\) RescaleSlope"):
        series_of(made).check_grid()


@pytest.mark.parametrize("cell", [T1W, STATIC])
def test_the_private_slope_of_philips_is_not_used(tmp_path: Path, cell: Cell) -> None:
    made = slices(cell)
    for data in made:
        data.Manufacturer = "Philips"
        data.RescaleSlope, data.RescaleIntercept = "2.5", "-3"
        block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0123)
    converted = convert(write(tmp_path, made))
    assert is_exact(converted.image, made)


@pytest.mark.parametrize("scale", [1e-10, 1e-8, 1e-3, 1e4])
@pytest.mark.parametrize("cell", [T1W, STATIC, DYNAMIC])
def test_slopes_of_any_size_are_kept(tmp_path: Path, cell: Cell, scale: float) -> None:
    made = slices(cell)
    for z, data in enumerate(made):
        data.RescaleSlope, data.RescaleIntercept = f"{scale * (1 + 0.1 * (z % 5)):.6g}", "0"
    assert is_exact(convert(write(tmp_path, made)).image, made)


# ---------------------------------------------------------------------------- frames and series


@pytest.mark.parametrize("n_frames", [2, 3, 4])
@pytest.mark.parametrize("same_time", [False, True])
def test_no_frame_is_woven_of_two(n_frames: int, same_time: bool) -> None:
    """Nine files lost anywhere: whole frames are left, or the series is refused."""
    pet = Pet(frames=[(5400 + 300 * i, 300) for i in range(n_frames)])
    made = list(pet.datasets())
    for number, data in enumerate(made):
        data.NumberOfFrames = number // 9  # what nobody reads says whose slice it is
        if same_time:
            data.AcquisitionTime = data.SeriesTime
    for start in range(len(made) - 8):
        left = made[:start] + made[start + 9 :]
        try:
            frames = frames_of(series_of(left))
        except BadDataError as error:
            assert start % 9 and "images" in str(error)
            continue
        assert start % 9 == 0
        for frame in frames:
            assert len({image.text("NumberOfFrames") for image in frame}) == 1
            assert len(frame) == 9


def test_frames_woven_without_any_count_are_refused() -> None:
    """Two frames left as one, renumbered: only the kind of the series tells."""
    made = list(Pet(frames=[(5400, 300), (5700, 300)]).datasets())
    made = made[:5] + made[14:]
    for number, data in enumerate(made, start=1):
        data.InstanceNumber = number
        del data.NumberOfTimeSlices
    with pytest.raises(BadDataError, match="images are missing"):
        frames_of(series_of(made))


def test_beds_are_one_frame_and_it_is_said() -> None:
    pet = Pet(frames=[(3600, 600)], reference="zero", n_slices=4)
    made = list(pet.datasets())
    for data in made[2:]:
        data.AcquisitionTime = f"{pet.injection + timedelta(seconds=4200):%H%M%S}"
    series = series_of(made)
    (frame,) = frames = frames_of(series)
    times = times_of(series)
    assert len(frame) == 4 and times.frame_start_s == (3600,)
    (remark,) = about_images(series, frames, times, 1)
    assert "bed positions" in remark.message


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (slice(0, 5, 2), "(0018,0050) SliceThickness is 4 mm"),
        (slice(0, 5, 4), "(0054,0081) NumberOfSlices is 5"),
        (slice(2, 4), "(0054,0081) NumberOfSlices is 5"),
        (slice(4, 5), "(0054,0081) NumberOfSlices is 5"),
    ],
)
@pytest.mark.parametrize("cell", [STATIC, DYNAMIC])
def test_a_pet_of_which_single_slices_are_left_is_refused(
    cell: Cell, kept: slice, said: str
) -> None:
    made = slices(cell)
    places = sorted({float(data.ImagePositionPatient[2]) for data in made})[kept]
    left = [data for data in made if float(data.ImagePositionPatient[2]) in places]
    with pytest.raises(BadDataError, match=re.escape(said)):
        series_of(left).check_grid()


def test_slices_that_lie_as_far_apart_as_their_header_says_are_a_grid() -> None:
    """Thin slices with gaps that the header states, thick ones that overlap, and no thickness.

    And a wrong thickness, where the header states how many slices there are.
    """
    written = ("1", "-4", 0), ("10", "", 0), ("", "", 0), ("thin", "", 0), ("1", "", 5)
    for thickness, spacing, n in written:
        made = slices(STATIC)
        for data in made:
            data.NumberOfSlices = n
            data.add_new("SliceThickness", "LO", thickness)  # so that a word can be written
            data.SpacingBetweenSlices = spacing
        series_of(made).check_grid()


def _jitter_echo(data: Dataset, z: int) -> None:
    data.EchoTime = f"{3.98 + 0.0001 * (z % 3):.4f}" if z % 2 else "3.980"


def _spacing_text(data: Dataset, z: int) -> None:
    data.PixelSpacing = ["8.0", "8.000"] if z % 2 else ["8", "8"]


def _spacing_digit(data: Dataset, z: int) -> None:
    data.PixelSpacing = ["8.000001", "8"] if z % 2 else ["7.999999", "8"]


def _image_type(data: Dataset, z: int) -> None:
    words = list(data.ImageType)
    data.ImageType = words[:2] + words[:1:-1] if z % 2 else words


def _orientation(data: Dataset, z: int) -> None:
    wobble = 0.0000004 if z % 2 else -0.0000004
    data.ImageOrientationPatient = [0.005 + wobble, 0.9999875, 0, 0, 0, -1]


@pytest.mark.parametrize(
    "edit", [_jitter_echo, _spacing_text, _spacing_digit, _image_type, _orientation]
)
def test_a_series_is_split_by_numbers_not_by_text(
    tmp_path: Path, edit: Callable[[Dataset, int], None]
) -> None:
    made = slices(T1W)
    for z, data in enumerate(made):
        edit(data, z)
    assert len(take_inventory(write(tmp_path, made) / "in", tmp_path).series) == 1


@pytest.mark.parametrize(
    ("keyword", "values"),
    [("EchoTime", ("2.9", "3.0")), ("InversionTime", ("700", "2500")), ("Rows", (20, 22))],
)
def test_what_differs_is_split(tmp_path: Path, keyword: str, values: tuple[object, ...]) -> None:
    made = slices(T1W)
    for z, data in enumerate(made):
        setattr(data, keyword, values[z % 2])
    assert len(take_inventory(write(tmp_path, made) / "in", tmp_path).series) == 2


def _no_number(data: Dataset, index: int) -> None:
    del data.InstanceNumber


def _one_number(data: Dataset, index: int) -> None:
    data.InstanceNumber = 1


def _one_uid(data: Dataset, index: int) -> None:
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"


def _jitter(data: Dataset, index: int) -> None:
    x, y, z = map(float, data.ImagePositionPatient)
    shift = 0.0008 * (index // 5)
    data.ImagePositionPatient = [f"{value + shift + 0.0046:.5f}" for value in (x, y, z)]


def _times_of_its_own(data: Dataset, index: int) -> None:
    data.StudyTime = data.SeriesTime = f"1011{index:02d}"


def _float(keyword: str, dtype: str, bits: int) -> Callable[[Dataset, int], None]:
    def edit(data: Dataset, index: int) -> None:
        pixels = np.frombuffer(data.PixelData, "<i2").astype(dtype)
        for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
            delattr(data, name)
        data.BitsAllocated = bits
        setattr(data, keyword, pixels.tobytes())

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        _no_number,
        _one_number,
        _one_uid,
        _jitter,
        _times_of_its_own,
        _float("FloatPixelData", "<f4", 32),
        _float("DoubleFloatPixelData", "<f8", 64),
    ],
)
@pytest.mark.parametrize("cell", [T1W, DYNAMIC])
def test_what_nobody_needs_may_be_odd(
    tmp_path: Path, cell: Cell, edit: Callable[[Dataset, int], None]
) -> None:
    made = slices(cell)
    truth = copy.deepcopy(made)
    for index, data in enumerate(made):
        edit(data, index)
    assert is_exact(convert(write(tmp_path, made)).image, truth)


@pytest.mark.parametrize("block", [0x10, 0x11, 0x42, 0xFF])
def test_private_elements_of_any_block_are_read(tmp_path: Path, block: int) -> None:
    data = slices(STATIC)[0]
    data.add_new((0x7053, block), "LO", "Philips PET Private Group")
    data.add_new((0x7053, (block << 8) + 0x09), "DS", "0.4711")
    path = write(tmp_path, [data]) / "in" / "0000"
    assert read_headers(path)[0].number("PhilipsActivityScaleFactor") == 0.4711


# ------------------------------------------------------------------------------------- pixels


def test_a_negative_number_in_twelve_bits_is_negative(tmp_path: Path) -> None:
    made = slices(T1W)
    truth = copy.deepcopy(made)
    for data, right in zip(made, truth, strict=True):
        pixels = np.frombuffer(data.PixelData, "<i2") % 4096
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = pixels.astype("<i2").tobytes()
        set_pixels(right, np.where(pixels > 2047, pixels - 4096, pixels), None)
    assert is_exact(convert(write(tmp_path, made)).image, truth)


def test_pixels_of_more_bits_than_stated_are_refused(tmp_path: Path) -> None:
    made = slices(T1W)
    for data in made:
        data.BitsStored, data.HighBit = 12, 11
    with pytest.raises(BadDataError, match="BitsStored is 12"):
        convert(write(tmp_path, made))


def _not_a_stream(data: Dataset) -> None:
    data.PixelData = encapsulate([random.Random(0).randbytes(200)])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def _high_throughput(data: Dataset) -> None:
    _not_a_stream(data)
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"


def _cut(data: Dataset) -> None:
    data.PixelData = data.PixelData[:300]


def _in_colour(data: Dataset) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.PixelData = data.PixelData * 3


def _not_a_number(data: Dataset) -> None:
    _float("FloatPixelData", "<f4", 32)(data, 0)
    data.FloatPixelData = np.full(360, np.nan, "<f4").tobytes()


@pytest.mark.parametrize("edit", [_not_a_stream, _high_throughput, _cut, _in_colour, _not_a_number])
def test_pixels_that_nobody_can_read_are_refused(
    tmp_path: Path, edit: Callable[[Dataset], None]
) -> None:
    made = slices(STATIC)
    edit(made[2])
    with pytest.raises(BadDataError, match=r"^0002: "):
        convert(write(tmp_path, made))


def test_a_slice_beside_the_grid_is_refused(tmp_path: Path) -> None:
    made = slices(STATIC)
    made[2].ImagePositionPatient = [-26, -25, 8]
    with pytest.raises(BadDataError, match="off the grid"):
        convert(write(tmp_path, made))


def test_values_as_near_as_a_tolerance_are_one() -> None:
    values = np.array([3.0, 1.0, 1.001, 2.0, 1.002])
    np.testing.assert_array_equal(snapped(values, 0.0015), [3, 1, 1, 2, 1])


# --------------------------------------------------------------------- compressed files and pixels


@pytest.mark.parametrize(
    "cell",
    [
        Cell("JPEG-LS", "classic", "shuffled", "per slice", "dynamic"),
        Cell("RLE", "enhanced", "against", "per frame", "dynamic"),
        Cell("deflated", "two enhanced files", "interleaved", "one", "T1w"),
    ],
    ids=str,
)
def test_files_compressed_one_by_one(tmp_path: Path, cell: Cell) -> None:
    truth = write_cell(cell, tmp_path / "in")
    for path in list((tmp_path / "in").iterdir()):
        (tmp_path / "in" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    assert outcome(tmp_path, truth) == "exact"


def _stated_loss(data: Dataset) -> None:
    data.LossyImageCompression, data.LossyImageCompressionRatio = "01", "8.5"
    data.LossyImageCompressionMethod = "ISO_15444_1"


def _coded_with_loss(data: Dataset) -> None:
    data.file_meta.TransferSyntaxUID = JPEGExtended12Bit


@pytest.mark.parametrize(
    ("edit", "words"),
    [(_stated_loss, ("(0028,2110)", "8.5 JPEG 2000")), (_coded_with_loss, ("JPEG Extended",))],
)
def test_loss_is_told(edit: Callable[[Dataset], None], words: tuple[str, ...]) -> None:
    made = slices(STATIC)
    assert lossy_compression(series_of(made).images) is None
    edit(made[3])
    flag = lossy_compression(series_of(made).images)
    assert flag is not None and all(word in flag.message for word in (*words, "loss"))


def _no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")


def _no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidsapp.dicom.decompress.__name__", "bidsapp.dicom.gone")


@pytest.mark.parametrize("breaks", [_no_interpreter, _no_module])
def test_a_decoder_that_cannot_start_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[pytest.MonkeyPatch], None]
) -> None:
    write_cell(Cell("RLE", "enhanced", "along", "one", "T1w"), tmp_path / "in")
    breaks(monkeypatch)
    with pytest.raises(BadDataError, match=r"cannot be started.*the file may be sound"):
        convert(tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGSEGV, "codec crashed.*export it again"), (signal.SIGKILL, "killed.*may be sound")],
)
def test_how_a_decoder_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    paths = [tmp_path / "0.dcm"]
    write_cell(Cell("RLE", "enhanced", "along", "one", "T1w"), tmp_path / "in")
    (tmp_path / "in" / "0000.dcm").rename(paths[0])

    def ended(command: list[str], *, input: str, **_: object) -> subprocess.CompletedProcess[str]:
        Path(json.loads(input)[0]).touch()
        return subprocess.CompletedProcess(command, -number)

    monkeypatch.setattr("subprocess.run", ended)
    with pytest.raises(BadDataError, match=words):
        decompress(paths, tmp_path / "copies")


@pytest.mark.parametrize("vr", ["SS", "US"])
def test_padding_is_no_measurement(tmp_path: Path, vr: str) -> None:
    """(0028,0120), also where it was written under the other VR; the rest stays as it is."""
    whole = list(Pet(frames=((5400, 1200),)).datasets())
    padded = [copy.deepcopy(data) for data in whole]
    for data, other in zip(whole, padded, strict=True):
        pixels = data.pixel_array.copy()
        pixels[:4] = 0
        data.PixelData = pixels.tobytes()
        pixels[:4] = -32768
        other.PixelData = pixels.tobytes()
        other.add_new(0x00280120, vr, -32768 if vr == "SS" else 32768)
    images = []
    for name, datasets in (("whole", whole), ("padded", padded)):
        images.append(convert(write(tmp_path / name, datasets)).image.get_fdata())
    np.testing.assert_allclose(*images, rtol=1e-6)
