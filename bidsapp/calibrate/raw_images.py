"""The images of a calibration as a raw BIDS dataset, and the pipeline's results for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bidsapp.calibrate.archive import ArchiveScan
from bidsapp.calibrate.tables import Pair, Person, is_young, pairs_with_pib, read_rows
from bidsapp.core.statistics.calibration import Suspect
from bidsapp.data import read_table
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError, CannotCreateError
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.io.image_names import nifti_ending
from bidsapp.io.nifti import read_shape
from bidsapp.record import ScanRecord, Status, find_records


def write_dataset(scans: Sequence[ArchiveScan], folder: Path) -> None:
    """Write a raw dataset of links to the images, with the sidecars that the pipeline needs.

    The archive's images are averages over the tracer's window (or its frames, equally long), which
    is what the sidecars say. An image already there is linked anew.

    Parameters
    ----------
    scans : images of the archive
    folder : of the dataset

    Raises
    ------
    BadDataError
        Two people get the same BIDS label.
    CannotCreateError
        The folder cannot be written.
    """
    labels: dict[str, str] = {}
    for scan in scans:
        label = bids_label(scan.person)
        if labels.setdefault(label, scan.person) != scan.person:
            raise BadDataError(
                f"{scan.person} and {labels[label]} have the same BIDS label {label}; rename one"
            )
    description = {"Name": "Calibration images", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")
        write_text(folder / "README.md", "Links to calibration images, by centipet-calibrate.\n")
        for scan in scans:
            subject = f"sub-{bids_label(scan.person)}"
            _link(scan.t1w, folder / subject / "anat", f"{subject}_T1w")
            stem = f"{subject}_trc-{scan.tracer}_pet"
            _link(scan.pet, folder / subject / "pet", stem)
            sidecar = json.dumps(_sidecar(scan), indent=2) + "\n"
            write_text(folder / subject / "pet" / f"{stem}.json", sidecar)
    except OSError as error:
        raise CannotCreateError(
            f"{folder}: cannot be written ({error.strerror}); choose another --output-dir"
        ) from error


@dataclass(frozen=True)
class Expected:
    """A scan that should have a result: person and tracer."""

    person: str
    is_young: bool
    tracer: str


def is_bids(folder: Path) -> bool:
    """Whether a folder is a raw dataset, which is processed unchanged.

    Parameters
    ----------
    folder : of images

    Returns
    -------
    bool
    """
    return (folder / "dataset_description.json").is_file()


def expected_of_bids(folder: Path, derivatives: Path) -> list[Expected]:
    """Scans of a raw dataset that were processed; groups by ``participants.tsv`` or by label.

    Parameters
    ----------
    folder : raw dataset
    derivatives : derivative dataset

    Returns
    -------
    list of Expected
    """
    table = folder / "participants.tsv"
    rows = read_rows(table) if table.is_file() else []
    groups = {row.get("participant_id", ""): row.get("group", "") for row in rows}
    return [
        Expected(label, is_young(label, groups.get(f"sub-{label}", "")), record.tracer)
        for record in find_records(derivatives)
        if (label := record.entities["sub"]) and record.tracer is not None
    ]


def measured(
    scans: Sequence[ArchiveScan | Expected], derivatives: Path
) -> tuple[list[Person], list[Pair], dict[str, str], tuple[Suspect, ...]]:
    """What the pipeline measured.

    Parameters
    ----------
    scans : that should have a result
    derivatives : derivative dataset

    Returns
    -------
    people : with PiB SUVRs
    pairs : with PiB and another tracer
    missing : scans without a result, and why
    suspects : scans whose flags say that an image is wrong
    """
    records = {
        (record.entities["sub"], record.tracer): record for record in find_records(derivatives)
    }
    suvr: dict[str, dict[str, dict[str, float]]] = {}
    young: dict[str, bool] = {}
    missing, suspects = {}, []
    for scan in scans:
        young[scan.person] = young.get(scan.person, False) or scan.is_young
        record = records.get((bids_label(scan.person), scan.tracer))
        if record is None or record.status is not Status.OK:
            reason = record.reason if record is not None else "the pipeline gave no record"
            missing[f"{scan.person} ({scan.tracer})"] = reason or "no reason given"
            continue
        suspects += _flagged(scan, record)
        values = {name: value for name, value in record.suvr.items() if value is not None}
        suvr.setdefault(scan.person, {})[scan.tracer] = values
    people = [
        Person(name, young[name], by_tracer["PIB"], {})
        for name, by_tracer in suvr.items()
        if "PIB" in by_tracer
    ]
    return people, pairs_with_pib(suvr, young), missing, tuple(suspects)


def image_hashes(scans: Iterable[ArchiveScan]) -> dict[str, dict[str, str]]:
    """SHA-256 of every image, by person and content.

    Parameters
    ----------
    scans : images of the archive

    Returns
    -------
    dict
    """
    hashes: dict[str, dict[str, str]] = {}
    for scan in scans:
        of_person = hashes.setdefault(scan.person, {})
        of_person[scan.tracer] = file_hash(scan.pet)
        of_person.setdefault("t1w", file_hash(scan.t1w))
    return hashes


def bids_label(person: str) -> str:
    """Name of a person as BIDS label: letters and digits only.

    Parameters
    ----------
    person : name

    Returns
    -------
    str
    """
    return re.sub(r"[^A-Za-z0-9]", "", person.removeprefix("sub-"))


def _flagged(scan: ArchiveScan | Expected, record: ScanRecord) -> list[Suspect]:
    """Flags that mean: look at this image before calibrating with it."""
    whose, doubts = f"{scan.person} ({scan.tracer})", read_table("calibration")["suspicious"]
    return [
        Suspect((scan.person,), flag.code, f"{whose}: {doubts[flag.code]}; {flag.message}")
        for flag in record.flags
        if flag.code in doubts
    ]


def _link(image: Path, folder: Path, stem: str) -> None:
    target = folder / f"{stem}{nifti_ending(image)}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{stem}.nii*"):
        old.unlink()
    target.symlink_to(image.resolve())


def _sidecar(scan: ArchiveScan) -> dict[str, object]:
    """Metadata of an average over the tracer's window; its frames, if any, are equally long."""
    tracer = tracers()[scan.tracer]
    start, end = (60 * minutes for minutes in tracer.window_min)
    shape = read_shape(scan.pet)
    n_frames = shape[3] if len(shape) > 3 else 1
    length = (end - start) / n_frames
    unknown = ("Manufacturer", "ManufacturersModelName", "InjectedRadioactivity",
               "InjectedRadioactivityUnits", "InjectedMass", "InjectedMassUnits",
               "SpecificRadioactivity", "SpecificRadioactivityUnits", "AcquisitionMode",
               "ReconMethodName", "AttenuationCorrection")  # fmt: skip
    return {
        **dict.fromkeys(unknown, "n/a"),
        "TracerName": tracer.name,
        "TracerRadionuclide": tracer.radionuclide,
        "Units": "Bq/mL",
        "ModeOfAdministration": "bolus",
        "TimeZero": "12:00:00",
        "ScanStart": start,
        "InjectionStart": 0,
        "FrameTimesStart": [start + i * length for i in range(n_frames)],
        "FrameDuration": [length] * n_frames,
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": start,
        "ReconMethodParameterLabels": ["none"],
        "ReconFilterType": "none",
    }
