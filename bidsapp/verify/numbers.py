"""The numbers of one scan, derived again from its images on disk and the volumes of the package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp import __version__
from bidsapp.bids.entities import parse_entities
from bidsapp.core.grid.resample import itk_affine_text
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.suvr import centiloid_image, ratio_image
from bidsapp.data import mni_grid
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.reference_regions import chosen_references
from bidsapp.data.tracers import tau_tracers
from bidsapp.errors import BadDataError
from bidsapp.io import tsv
from bidsapp.io.nifti import load_displacements, load_volume
from bidsapp.record import ScanRecord
from bidsapp.record.codec import plain
from bidsapp.record.parts import scale_part
from bidsapp.record.stored import StoredScan
from bidsapp.record.verdicts import is_doubtful, judged
from bidsapp.settings import TEMPLATE_SPACE, Processing
from bidsapp.steps.measuring import measure_atlases, template_space, tissues_at
from bidsapp.steps.quantifying import Quantification, quantified
from bidsapp.verify.differences import (
    CENTILOIDS,
    SAME_ARRAY,
    THROUGH_WARP,
    How,
    Tolerance,
    unlike,
    unlike_cells,
)
from bidsapp.verify.file_hashes import Findings
from bidsapp.verify.options import known_options

_RATIO = re.compile(r"_desc-(suvr|cl)([A-Za-z0-9]+)_pet\.nii\.gz$")
_FROM_IMAGE = "by the image and the volumes of the package"
# Fields of a record that the image alone shows.
_DERIVED = (
    "suvr", "centiloid", "centiloid_sd", "centiloid_interval", "rescan_sd", "rescan_interval",
    "uncertainty", "p_above_cutoff", "centiloids", "reference_agreement", "qc", "voi",
)  # fmt: skip
_VOXEL = Tolerance(2e-6, 1e-6)  # float32


@dataclass(frozen=True)
class FinishedScan(StoredScan):
    """A scan with a result, on disk.

    Attributes
    ----------
    processing : its options, as far as the package alone has what they name
    """

    processing: Processing

    @classmethod
    def of(cls, output_dir: Path, record: ScanRecord) -> tuple[FinishedScan, list[str]]:
        """A scan, and what of it needs files of the user: sentences.

        Parameters
        ----------
        output_dir : root of the dataset
        record : of the scan

        Returns
        -------
        (FinishedScan, list of str)
        """
        processing, notes = known_options(record.own_parameters, record.path)
        return cls(output_dir, record, processing), notes

    @property
    def outputs(self) -> list[str]:
        """Names of its files, relative to the dataset."""
        return list(self.record.provenance.outputs or ())

    @property
    def normalisation(self) -> str:
        """``t1w`` or ``pet``."""
        return "pet" if self.record.method == "pet-only" else "t1w"

    @property
    def pipeline(self) -> Pipeline:
        """What decides its SUVRs."""
        return Pipeline(self.processing, self.record.tracer or "", self.normalisation)

    @property
    def regional_equations(self) -> Mapping[str, Equation]:
        """Equations for the regions of atlases, by reference region."""
        return self.pipeline.regional.scale().equations

    def field(self) -> NDArray[np.float64]:
        """T1w (or PET) world coordinate of every voxel of the 2 mm MNI grid, RAS mm.

        Returns
        -------
        ndarray
            Shape (X, Y, Z, 3).
        """
        warp = load_displacements(self.warp)
        return mni_grid(2).world() + warp.data

    def position(self) -> NDArray[np.float64]:
        """T1w world -> PET world, 4 x 4, RAS mm.

        Returns
        -------
        ndarray
        """
        return np.eye(4) if self.normalisation == "pet" else self.t1w_to_pet()


def check_numbers(scan: FinishedScan, findings: Findings) -> None:
    """Recompute everything that the files of a scan allow; report differences.

    What has no images to be derived from, or would need the registrations again, is checked by its
    hash alone.

    Parameters
    ----------
    scan : on disk
    findings : takes what differs
    """
    pet = load_volume(scan.path("pet_mni"), ndim=3)
    _check_record(scan, pet, findings)
    _check_tables(scan, pet, findings)
    _check_ratios(scan, findings)
    if scan.normalisation == "t1w":
        _check_position(scan, findings)


def _check_record(scan: FinishedScan, pet: Volume, findings: Findings) -> None:
    """VOI statistics, SUVRs, Centiloids and how sure they are, verdicts, volume of the brain."""
    record, name, code = scan.record, scan.record.path, scan.record.tracer or ""
    other_way = bool(record.centiloid_suvr) or scan.processing.voi_mm != 2
    pipeline = scan.pipeline.regional  # as the image on disk is
    partly = any(row.coverage != 1.0 for row in record.voi.values())
    image = Volume(with_holes(pet) if partly else pet.data, pet.affine)
    try:
        derived = quantified(
            image,
            Quantification(
                code,
                pipeline.scale(),
                cutoffs=scan.processing.cutoff,
                interval=scan.processing.interval,
            ),
            fwhm_mm=record.qc.get("pet_fwhm_mm"),
        )
    except BadDataError as error:
        findings.broken(name, f"has a result, but its image gives none ({error})")
        return
    flags = {flag.code for flag in derived.flags}
    stored_flags = {flag.code for flag in record.flags}
    again = {key: getattr(derived, key) for key in _DERIVED}
    again["band"] = None if is_doubtful(record.flags) else derived.band
    if other_way:
        again = _of_image(again, scan, pipeline.processing)
    elif "calibration" in _own(scan):
        again = {key: again[key] for key in ("suvr", "voi", "qc")} | _by_own_line(record)
    elif code not in tau_tracers() and not flags <= stored_flags:
        findings.differ(name, "flags", sorted(stored_flags), sorted(flags), _FROM_IMAGE)
    if partly:  # zeros on disk are zeros that were measured, or nothing measured: noise differs
        kept = ("suvr", "centiloid_suvr", "voi", "centiloid", "centiloids")
        again = {key: value for key, value in again.items() if key in kept}
    known = code not in tau_tracers() and "calibration" not in _own(scan)
    if known and record.version == __version__:
        again |= scale_part(scan.pipeline)
    for key, value in again.items():
        tolerance = CENTILOIDS if key.startswith("centiloid") else SAME_ARRAY
        stored = plain(getattr(record, key))
        findings.compare(name, unlike(stored, plain(value), tolerance, key), _FROM_IMAGE)
    if record.version == __version__:  # limits may differ between versions
        stored, value = plain(record.verdicts), plain(judged(record).verdicts)
        apart = unlike(stored, value, SAME_ARRAY, "verdicts")
        findings.compare(name, apart, "by the numbers of the record")
    _check_brain(scan, findings)
    findings.files[name] = How.NUMBERS


def _of_image(again: Mapping[str, Any], scan: FinishedScan, way: Processing) -> dict[str, Any]:
    """What the image on disk shows of a scan whose SUVRs or Centiloid were measured in another."""
    plain_pet = way.smooth_fwhm_mm is None and way.target_resolution_mm is None
    again_of = {} if scan.processing.voi_mm != 2 else {key: again[key] for key in ("suvr", "voi")}
    if scan.record.centiloid_suvr and plain_pet:
        again_of |= {key: value for key, value in again.items() if key not in ("suvr", "voi")}
        again_of["centiloid_suvr"] = again["suvr"]
    return again_of | _by_own_line(scan.record)


def _by_own_line(record: ScanRecord) -> dict[str, Any]:
    """The Centiloid by the equation of the record."""
    ratios = record.centiloid_suvr or record.suvr
    line, ratio = record.equation, ratios.get(record.reference_region or "")
    if line is None or ratio is None or record.centiloid is None:
        return {}
    return {"centiloid": line.slope * ratio + line.intercept}


def _check_brain(scan: FinishedScan, findings: Findings) -> None:
    if scan.normalisation == "pet" or "brain_ml" not in scan.record.qc:
        return
    mask = load_volume(scan.path("mask"))
    volume = float((np.asarray(mask.data) > 0).sum()) * mask.grid.voxel_volume / 1000
    apart = unlike(scan.record.qc["brain_ml"], volume, SAME_ARRAY, "qc.brain_ml")
    findings.compare(scan.record.path, apart, "by the brain mask")


def _check_tables(scan: FinishedScan, pet: Volume, findings: Findings) -> None:
    """Atlas tables on the template."""
    processing = scan.processing
    space = template_space(_tissues(scan))
    equations = scan.regional_equations
    own_line = "calibration" in _own(scan)
    whole, holes = (
        measure_atlases(image, space, processing=processing, equations=equations)
        for image in (_values(pet), with_holes(pet))
    )
    tolerances = _tolerances(processing)
    for atlas in whole.columns:
        name = scan.name("vois", atlas=atlas)
        if name not in scan.outputs:
            continue
        stored = read_rows(scan.output_dir / name)
        rows = _rows(whole.columns[atlas], holes.columns[atlas], stored)
        for row in rows:
            # z needs the norms of the user, as what follows needs an atlas or equations
            not_derived = {"z"}
            not_derived |= set() if processing.background in whole.references else {"snr", "cnr"}
            not_derived |= {key for key in row if own_line and key.startswith("centiloid_")}
            for column in not_derived & row.keys():
                row.pop(column)
        names = [str(row["name"]) for row in rows]
        findings.compare(name, unlike_cells(stored, rows, names, tolerances), _FROM_IMAGE)
        findings.files[name] = How.NUMBERS


def _rows(
    whole: Mapping[str, list[Any]],
    holes: Mapping[str, list[Any]],
    stored: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows with zeros taken as measured where the table says that all of a region was."""
    rows = []
    for place in range(len(whole["name"])):
        full = place < len(stored) and stored[place].get("coverage") in ("1.0", "1")
        columns = whole if full else holes
        rows.append({name: values[place] for name, values in columns.items()})
    return rows


def _tissues(scan: FinishedScan) -> dict[str, NDArray[np.float32]]:
    """Tissue probabilities of the person on the template."""
    if scan.normalisation == "pet":
        return {}
    return tissues_at(scan.field(), *(load_volume(scan.path(key)) for key in ("gm", "wm")))


def _tolerances(processing: Processing) -> dict[str, Tolerance]:
    """Columns that depend on the warp, which is on disk with less precision than in memory."""
    columns = dict.fromkeys(("gm_mean", "gm_sum", "gm_voxels"), THROUGH_WARP)
    for reference in chosen_references(processing):
        tolerance = SAME_ARRAY if reference.tissue is None else THROUGH_WARP
        columns[f"suvr_{reference.name}"] = tolerance
        lenient = CENTILOIDS if reference.tissue is None else THROUGH_WARP
        columns[f"centiloid_{reference.name}"] = lenient
    return columns


def _check_ratios(scan: FinishedScan, findings: Findings) -> None:
    """Ratio and Centiloid images, voxel by voxel, in every space."""
    pets: dict[str, Volume] = {}
    for name in scan.outputs:
        if (kind := _RATIO.search(name)) is None:
            continue
        pet = _RATIO.sub("_desc-preproc_pet.nii.gz", name)
        mean = _reference_mean(scan, kind[2], parse_entities(name).get("space", "pet"))
        line = scan.record.equation
        if mean is None or pet not in scan.outputs:
            continue
        if pet not in pets:
            pets = {pet: load_volume(scan.output_dir / pet, ndim=3)}
        expected = ratio_image(_values(pets[pet]), mean)
        if kind[1] == "cl":
            own = scan.regional_equations.get(kind[2])
            if own is not None and "calibration" not in _own(scan):
                expected = centiloid_image(expected, own.slope, own.intercept)
            elif line and kind[2] == scan.record.reference_region:
                expected = centiloid_image(expected, line.slope, line.intercept)
            else:
                continue
        _compare_voxels(scan.output_dir / name, name, expected, pets[pet].data == 0, findings)


def _own(scan: FinishedScan) -> set[str]:
    """Options of the record that name files of the user."""
    parameters = scan.record.own_parameters
    files = ("calibration", "norms", "tau_vois", "tau_calibration")
    return {name for name in files if parameters.get(name) is not None}


def _compare_voxels(
    path: Path,
    name: str,
    expected: NDArray[np.float32],
    empty: NDArray[np.bool_],
    findings: Findings,
) -> None:
    """Compare an image with what it should be; where the PET has nothing it may be zero."""
    stored = _values(load_volume(path, ndim=3))
    if stored.shape != expected.shape:
        findings.differ(name, "shape", stored.shape, expected.shape, "by the PET")
        return
    near = np.abs(stored - expected) <= _VOXEL.relative * np.abs(expected) + 100 * _VOXEL.absolute
    wrong = np.argwhere(~(near | (empty & (stored == 0))))
    if len(wrong):
        first = tuple(wrong[0].tolist())
        where = f"voxel {first} ({len(wrong)} voxels in all)"
        findings.differ(name, where, float(stored[first]), float(expected[first]), "by the PET")
    findings.files[name] = How.NUMBERS


def _reference_mean(scan: FinishedScan, reference: str, space: str) -> float | None:
    """Mean uptake of a reference region in a space, from the tables of the scan."""
    if space == TEMPLATE_SPACE:
        stored = scan.record.reference_uptake.get(reference)
        return scan.record.uptake(reference) if stored is None else stored.mean
    name = scan.name("vois", atlas="Centiloid", space=space)
    if name not in scan.outputs:
        return None
    first = next(iter(read_rows(scan.output_dir / name)), {})
    try:
        return float(first["mean"]) / float(first[f"suvr_{reference}"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _check_position(scan: FinishedScan, findings: Findings) -> None:
    """The transforms as ITK text say what the JSON says."""
    matrix = scan.position()
    for key, moving in (("xfm", np.linalg.inv(matrix)), ("xfm_inverse", matrix)):
        name, path = scan.name(key), scan.path(key)
        if name not in scan.outputs:
            continue
        expected = itk_affine_text(moving).split()
        stored = path.read_text("utf-8").split()
        apart = unlike(stored, expected, Tolerance(1e-9, 1e-9), "matrix")
        findings.compare(name, apart, "by T1wToPet of its JSON")
        findings.files[name] = How.NUMBERS


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a table as text.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    list of dict

    Raises
    ------
    BadDataError
        It cannot be read.
    """
    try:
        return tsv.read_rows(path)
    except FileNotFoundError as error:
        raise BadDataError("is missing") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadDataError(f"cannot be read ({' '.join(reason.split())[:80]})") from error


def _values(image: Volume) -> NDArray[np.float32]:
    """Voxels of an image, which was read as float32."""
    return np.asarray(image.data, np.float32)


def with_holes(image: Volume) -> NDArray[np.float32]:
    """NaN where an image on disk is zero: there nothing was measured.

    Parameters
    ----------
    image : of any shape

    Returns
    -------
    ndarray of float32
    """
    data = _values(image)
    return np.where(data == 0, np.float32(np.nan), data)
