"""Scans that were exported as several series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conversions import pet_sidecar, run
from dicom_studies import F18_S, Pet, decay_factor, write
from pydicom.dataset import Dataset

FRAMES = [(5400, 300), (5700, 300), (6000, 300), (6300, 300)]


def one_series_per_frame(
    source: Path, frames: Iterable[tuple[float, float]] = FRAMES, **changes: object
) -> None:
    """Every frame its own series, decay-corrected to its own start, as some archives export."""
    for number, frame in enumerate(frames):
        pet = replace(Pet(frames=[frame], reference="zero"), **changes)
        datasets = list(pet.datasets(study="1.2.3"))
        for data in datasets:
            data.SeriesNumber, data.FrameOfReferenceUID = 10 + number, "1.2.4"
            set_pixel(data, 1000)
        write(source / f"{number}", iter(datasets))


def set_pixel(data: Dataset, value: int) -> None:
    data.PixelData = np.full((data.Rows, data.Columns), value, "<i2").tobytes()


def test_one_series_per_frame_becomes_one_image_with_one_decay_reference(tmp_path: Path) -> None:
    one_series_per_frame(tmp_path / "in")
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == []
    assert [row.decision for row in report.rows] == ["kept", "joined", "joined", "joined"]
    assert len({row.target for row in report.rows}) == 1 and report.n_converted == 1
    (path,) = (tmp_path / "bids").rglob("*_pet.nii.gz")
    assert "_run-" not in path.name
    found = pet_sidecar(tmp_path / "bids")
    assert found["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert found["FrameDuration"] == [300] * 4
    assert found["ImageDecayCorrectionTime"] == 5400
    assert "4 series (numbers 10, 11, 12, 13)" in " ".join(found["CentiPET"]["Remarks"])
    # Each frame was corrected to its own start: 300 s later is 2^(300 / half-life) more.
    voxels = nib.load(path).get_fdata()
    expected = voxels[..., 0, None] * np.exp2(np.arange(4) * 300 / F18_S)
    np.testing.assert_allclose(voxels, expected, rtol=1e-5)
    # The factors are those of the whole as one series.
    expected = [decay_factor(at, 300, F18_S) for at in (0, 300, 600, 900)]
    assert found["DecayCorrectionFactor"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("tag", ["NumberOfTimeSlices", "PixelData"])
def test_no_row_of_a_scan_names_a_file_of_another(tmp_path: Path, tag: str) -> None:
    """Consoles name files after people."""
    one_series_per_frame(tmp_path / "in")
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file() and (data := pydicom.dcmread(path)).SeriesNumber == 11:
            setattr(data, tag, {"NumberOfTimeSlices": [1, 1], "PixelData": b"00"}[tag])
            data.save_as(path.with_name(f"granny_{path.name}"))
            path.unlink()
    rows = run(tmp_path / "in", tmp_path / "bids").rows
    assert tag in rows[0].reason and rows[0].decision == "error"
    assert not any("granny" in row.reason for row in rows)


def test_parts_with_a_pause_or_another_reconstruction_stay_apart(tmp_path: Path) -> None:
    one_series_per_frame(tmp_path / "pause", [(0, 300), (300, 300), (5400, 300), (5700, 300)])
    rows = run(tmp_path / "pause", tmp_path / "bids").rows
    assert sorted(row.decision for row in rows) == ["joined", "joined", "kept", "kept"]
    assert {row.target.partition("_")[2] for row in rows} == {
        "ses-01_trc-FBB_run-1_pet",
        "ses-01_trc-FBB_run-2_pet",
    }
    Pet(frames=[(5400, 300)]).write(tmp_path / "other" / "a")
    Pet(frames=[(5700, 300)], step=14.0).write(tmp_path / "other" / "b")
    rows = run(tmp_path / "other", tmp_path / "bids2").rows
    assert [row.decision for row in rows] == ["kept", "kept"]


@pytest.mark.parametrize("names", [("PET 1", "PET MC 1"), ("frame 10", "frame 20")])
def test_frames_of_two_reconstructions_are_not_woven(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    """Motion correction, say, of which name and number of the series alone tell."""
    for which, name in enumerate(names):
        datasets = list(Pet(frames=[(5400, 300), (5700, 300)], decay="ADMIN").datasets(study="1.2"))
        for number, data in enumerate(datasets):
            frame = number // 9
            # by their identifiers the first frames lie in one order and the second in the other
            data.SeriesInstanceUID = f"1.2.{frame + 1}.{abs(which - frame)}"
            data.SeriesNumber, data.SeriesDescription = 10 * (which + 1) + frame, name
            data.RescaleSlope = 1
            set_pixel(data, 100 * (which + 1))
        write(tmp_path / "in" / str(which), datasets)
    run(tmp_path / "in", tmp_path / "bids")
    images = list((tmp_path / "bids").rglob("*_pet.nii.gz"))
    assert [np.ptp(nib.load(path).get_fdata()) for path in images] == [0, 0]


def test_admin_parts_are_joined_as_they_are(tmp_path: Path) -> None:
    one_series_per_frame(tmp_path / "in", decay="ADMIN")
    assert run(tmp_path / "in", tmp_path / "bids").errors == []
    (path,) = (tmp_path / "bids").rglob("*_pet.nii.gz")
    voxels = nib.load(path).get_fdata()
    np.testing.assert_allclose(voxels, voxels[..., :1].repeat(4, -1), rtol=1e-6)


def test_a_series_that_was_sent_twice_is_converted_once(tmp_path: Path) -> None:
    pet = Pet()
    for name in ("a", "b"):  # other UIDs, the same images
        pet.write(tmp_path / "in" / name)
    report = run(tmp_path / "in", tmp_path / "bids")
    assert sorted(row.decision for row in report.rows) == ["kept", "skipped"]
    assert any(row.reason == "a copy of series 4" for row in report.rows)


# --------------------------------------------------------------------------------- units


def philips(datasets: Iterable[Dataset], suv: str = "", activity: str = "") -> Iterable[Dataset]:
    for data in datasets:
        block = data.private_block(0x7053, "Philips PET Private Group", create=True)
        if suv:
            block.add_new(0x00, "DS", suv)
        if activity:
            block.add_new(0x09, "DS", activity)
        data.PatientWeight = "80"
        yield data


def voxels_of(bids: Path) -> np.ndarray:
    (path,) = bids.rglob("*_pet.nii.gz")
    return np.asarray(nib.load(path).get_fdata())


@pytest.fixture(scope="module")
def becquerels(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("becquerels")
    Pet(manufacturer="Philips").write(folder / "in")
    run(folder / "in", folder / "bids")
    return voxels_of(folder / "bids")


BQ_PER_SUV = 301.7e6 * 2 ** (-5400 / F18_S) / 80_000  # START


def in_suv(folder: Path, **tags: str) -> None:
    """The same image in SUV."""
    datasets = list(Pet(units="GML", manufacturer="Philips").datasets())
    for data in datasets:
        for keyword, text in {"PatientWeight": "80", **tags}.items():
            setattr(data, keyword, text)
    write(folder, datasets)


@pytest.mark.parametrize("decay", ["START", "ADMIN"])
def test_philips_counts_become_becquerels(
    tmp_path: Path, becquerels: np.ndarray, decay: str
) -> None:
    counts = Pet(manufacturer="Philips", units="CNTS", decay=decay)
    write(tmp_path / "activity", philips(counts.datasets(), activity="2.5"))
    write(tmp_path / "suv", philips(counts.datasets(), suv="0.0004"))
    for kind in ("activity", "suv"):
        assert run(tmp_path / kind, tmp_path / f"bids_{kind}").errors == []
    np.testing.assert_allclose(voxels_of(tmp_path / "bids_activity"), 2.5 * becquerels, rtol=1e-5)
    left = 1.0 if decay == "ADMIN" else 2 ** (-5400 / F18_S)
    bq_per_suv = 301.7e6 * left / 80_000
    expected = 0.0004 * bq_per_suv * becquerels
    np.testing.assert_allclose(voxels_of(tmp_path / "bids_suv"), expected, rtol=1e-5)


def test_suv_becomes_becquerels_unless_the_series_is_there_in_becquerels(
    tmp_path: Path, becquerels: np.ndarray
) -> None:
    in_suv(tmp_path / "in" / "suv", SeriesDescription="SUV", SeriesNumber="9")
    assert run(tmp_path / "in", tmp_path / "bids").errors == []
    np.testing.assert_allclose(voxels_of(tmp_path / "bids"), BQ_PER_SUV * becquerels, rtol=1e-5)
    Pet(manufacturer="Philips").write(tmp_path / "in" / "bq")
    report = run(tmp_path / "in", tmp_path / "both")
    assert [row.decision for row in report.rows] == ["kept", "skipped"]
    assert report.rows[1].reason == "series 4 is the same scan in units of activity"


def test_suv_refers_to_the_injection_whatever_its_decay_factors_do(
    tmp_path: Path, becquerels: np.ndarray
) -> None:
    """ADMIN beside factors of the scan's start, as converters of GE scans to SUV write them."""
    in_suv(tmp_path / "in", DecayCorrection="ADMIN")
    (row,) = run(tmp_path / "in", tmp_path / "bids").rows
    assert "(0054,1321) DecayFactor corrects to 5400 s" in row.reason
    np.testing.assert_allclose(voxels_of(tmp_path / "bids"), BQ_PER_SUV * becquerels, rtol=1e-5)


@pytest.mark.parametrize("units", ["SUV", "SUVBW", "g/ml"])
def test_suv_by_other_names_is_suv(tmp_path: Path, becquerels: np.ndarray, units: str) -> None:
    in_suv(tmp_path / "in", Units=units)
    assert run(tmp_path / "in", tmp_path / "bids").errors == []
    np.testing.assert_allclose(voxels_of(tmp_path / "bids"), BQ_PER_SUV * becquerels, rtol=1e-5)


@pytest.mark.parametrize(
    ("units", "weight", "said"),
    [
        ("CNTS", "80", "counts are not calibrated"),
        ("PROPCPS", "80", "not calibrated"),
        ("GML", "", "PatientWeight is missing"),
    ],
)
def test_units_that_nothing_calibrates_are_refused(
    tmp_path: Path, units: str, weight: str, said: str
) -> None:
    datasets = list(Pet(units=units).datasets())
    for data in datasets:
        data.PatientWeight = weight
    write(tmp_path / "in", iter(datasets))
    (error,) = run(tmp_path / "in", tmp_path / "bids").errors
    assert said in error


@pytest.mark.parametrize("units", ["CNTS", "PROPCPS", "GML"])
def test_what_nothing_calibrates_is_no_error_where_its_activity_is_there(
    tmp_path: Path, units: str
) -> None:
    """Many consoles send both."""
    replace(Pet(), units=units).write(tmp_path / "in" / "other")
    Pet().write(tmp_path / "in" / "bq")
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == []
    assert sorted(row.decision for row in report.rows) == ["kept", "skipped"]


def test_a_map_of_function_and_a_picture_in_colours_are_no_error(tmp_path: Path) -> None:
    replace(Pet(), units="MLMINML", description="Patlak").write(tmp_path / "in" / "map")
    pictures = list(Pet(frames=((5400, 1200),)).datasets())
    for data in pictures:
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = bytes(20 * 18 * 3)
        del data.RescaleSlope
    write(tmp_path / "in" / "pictures", pictures)
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == []
    assert {row.kind: row.reason for row in report.rows} == {
        "derived": "(0054,1001) Units is MLMINML: a parametric map",
        "other": "(0028,0002) SamplesPerPixel: a colour picture",
    }


@pytest.mark.parametrize(("off_s", "told"), [(0, False), (30, False), (-1500, True)])
def test_the_moment_of_siemens_is_a_clock_of_its_own(
    tmp_path: Path, off_s: float, told: bool
) -> None:
    """Decay factors say what was corrected to as seen from the frames, which may be misplaced."""
    pet = Pet()
    datasets = list(pet.datasets())
    for data in datasets:
        block = data.private_block(0x0071, "SIEMENS MED PT", create=True)
        moment = pet.injection + timedelta(seconds=5400 + off_s)
        block.add_new(0x22, "DT", f"{moment:%Y%m%d%H%M%S.%f}")
    write(tmp_path / "in", iter(datasets))
    (row,) = run(tmp_path / "in", tmp_path / "bids").rows
    assert ("(0071,1022), is 1500 s before" in row.reason) is told
    assert ("check it" in row.reason) is told


def test_the_moment_of_siemens_says_what_is_corrected_to(tmp_path: Path) -> None:
    """Without decay factors the private (0071,1022) speaks."""
    pet = Pet(reference="zero")
    datasets = list(pet.datasets())
    for data in datasets:
        del data.DecayFactor
        block = data.private_block(0x0071, "SIEMENS MED PT", create=True)
        moment = pet.injection + timedelta(seconds=5000)
        block.add_new(0x22, "DT", f"{moment:%Y%m%d%H%M%S.%f}")
    write(tmp_path / "in", iter(datasets))
    report = run(tmp_path / "in", tmp_path / "bids")
    assert "would be 5400 s after injection" in report.rows[0].reason
    found = pet_sidecar(tmp_path / "bids")
    assert found["ImageDecayCorrectionTime"] == 5000
    assert [flag["code"] for flag in found["CentiPET"]["Flags"]] == ["times"]
