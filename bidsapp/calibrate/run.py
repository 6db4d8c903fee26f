"""A whole calibration: of a table of SUVRs, or of images that the pipeline is run on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bidsapp.calibrate.archive import ArchiveScan, find_images
from bidsapp.calibrate.fit import fit_level1, fit_level2, own_line, regression
from bidsapp.calibrate.raw_images import (
    Expected,
    expected_of_bids,
    image_hashes,
    is_bids,
    measured,
    write_dataset,
)
from bidsapp.calibrate.report import CalibrationStudy
from bidsapp.calibrate.tables import (
    Pair,
    Person,
    asked_tracer,
    not_among,
    read_pairs,
    read_people,
    with_published,
)
from bidsapp.calibrate.tau import TauStudy, fit_tau, read_tau_pairs
from bidsapp.core.quantification.centiloid import Anchors
from bidsapp.core.quantification.scale import Fingerprint
from bidsapp.core.statistics.calibration import Suspect
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import CalibrationFile, Key, OwnEquation, read_calibration
from bidsapp.data.pipelines import Pipeline, standard_fingerprint
from bidsapp.data.sentences import worded
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError, NoInputError, UsageError
from bidsapp.io.hashes import file_hash
from bidsapp.settings import Processing


def calibrated(
    options: argparse.Namespace, processing: Processing, process: Callable[[Path, Path], None]
) -> CalibrationStudy | TauStudy:
    """Calibrate a pipeline.

    Parameters
    ----------
    options : of ``centipet-calibrate``
    processing : options of the pipeline
    process : runs the pipeline on a raw dataset, into a derivative dataset

    Returns
    -------
    CalibrationStudy or TauStudy

    Raises
    ------
    UsageError, NoInputError, BadDataError
        Something is not named, or missing; nothing can be calibrated with what is there.
    """
    if options.level == "tau":
        return _tau(options, processing)
    if options.from_table is None:
        return _of_images(options, processing, process)
    table = options.from_table
    people = read_people(table) if options.level == "level1" else []
    pairs = read_pairs(table, asked_tracer(options.tracer)) if options.level == "level2" else []
    if any(pair.pib_cl is None for pair in pairs):
        _refuse_published_line(options, processing)
    return _of_people(people, pairs, processing, _table_source(table), options)


def _tau(options: argparse.Namespace, processing: Processing) -> TauStudy:
    table = options.from_table or options.folder
    if processing.tau_vois is None:
        raise UsageError(worded("suvr-table", "no-volumes"))
    if not table.is_file():
        raise NoInputError(f"{table}: is not a file; give a table of SUVRs by both pipelines")
    kind = options.regression or "deming"
    lines = fit_tau(read_tau_pairs(table), regression(kind, options.error_ratio))
    codes = dict.fromkeys(code for code, _ in lines)
    way = _normalisation(processing)
    prints = {code: Pipeline(processing, code, way).tau_fingerprint() for code in codes}
    return TauStudy(lines, prints, kind, _table_source(table))


def _of_images(
    options: argparse.Namespace, processing: Processing, process: Callable[[Path, Path], None]
) -> CalibrationStudy:
    """Run the pipeline on the images, and calibrate with its results."""
    work = options.output_dir.absolute()
    derivatives, folder = work / "derivatives", options.folder.absolute()
    source: dict[str, Any] = {"kind": "images", "name": folder.name}
    if options.level == "level2":
        _refuse_published_line(options, processing)
    suspects: tuple[Suspect, ...] = ()
    scans: Sequence[ArchiveScan | Expected]
    if is_bids(folder):
        if options.tracer is not None:
            raise UsageError(
                worded("public-archive", "bids-tracer", options=options, folder=folder)
            )
        process(folder, derivatives)
        scans = expected_of_bids(folder, derivatives)
    else:
        archive, suspects = find_images(
            folder,
            work / "converted",
            tracer=options.tracer,
            only_pib=options.level == "level1",
        )
        scans = archive
        write_dataset(archive, work / "bids")
        process(work / "bids", derivatives)
        source["images"] = image_hashes(archive)
    people, pairs, missing, doubts = measured(scans, derivatives)
    suspects = (*suspects, *doubts)
    try:
        study = _of_people(people, pairs, processing, source, options)
    except BadDataError:
        for suspect in suspects:  # most likely the reason
            print(f"LOOK: {suspect.message}", file=sys.stderr)
        raise
    return replace(study, missing=missing, suspects=suspects)


def _of_people(
    people: Sequence[Person],
    pairs: Sequence[Pair],
    processing: Processing,
    source: dict[str, Any],
    options: argparse.Namespace,
) -> CalibrationStudy:
    """Level 1 of people with PiB, or level 2 of pairs of scans."""
    kind, cited = options.regression or "ordinary", f"own calibration from {source['name']}"
    fit = regression(kind, options.error_ratio)
    if options.level == "level1":
        prints, standard = _prints(processing, ["PIB"])
        people = with_published(people)
        equations = fit_level1(people, standard=standard, source=cited, fit=fit)
        absent = not_among({name for item in equations.values() for name in item.names})
        return CalibrationStudy(1, kind, equations, prints, standard, source, absent=absent)
    codes = list(dict.fromkeys(pair.tracer for pair in pairs))
    prints, standard = _prints(processing, codes)
    user = None if options.level1 is None else read_calibration(options.level1)
    anchors = None if user is None else _level1_anchors(user, options.level1, processing)
    equations = fit_level2(pairs, level1_anchors=anchors, source=cited, fit=fit)
    lines = {code: line for code in codes if (line := own_line(pairs, code)) is not None}
    return CalibrationStudy(
        2, kind, equations, prints, standard, source, table_lines=lines, level1=user
    )


def _level1_anchors(
    user: CalibrationFile[OwnEquation], path: Path, processing: Processing
) -> dict[str, Anchors]:
    """Anchors of a level 1 file, which must be of the same pipeline."""
    anchors = {
        name: line.equation.anchors
        for name, line in user.of("PIB").items()
        if line.equation.anchors is not None
    }
    if not anchors:
        raise BadDataError(f"--level1 {path}: contains no equation for PiB; give a level 1 file")
    prints, _ = _prints(processing, ["PIB"])
    for name in anchors:
        own = user.lines["PIB", name].fingerprint
        if differences := own.differences(prints["PIB", name]):
            raise BadDataError(
                f"--level1 {path}: was made by another pipeline ({'; '.join(differences.values())})"
                "; give the same options to both levels"
            )
    return anchors


def _refuse_published_line(options: argparse.Namespace, processing: Processing) -> None:
    """Refuse SUVRs of PiB by another pipeline than the published line was made with."""
    if options.level1 is None and not _prints(processing, ["PIB"])[1]:
        raise UsageError(worded("suvr-table", "no-level1"))


def _prints(processing: Processing, codes: Iterable[str]) -> tuple[dict[Key, Fingerprint], bool]:
    """Fingerprints of this pipeline for tracers, and whether it is the standard one."""
    way = _normalisation(processing)
    prints = {
        (code, name): Pipeline(processing, code, way).fingerprint(name)
        for code in codes
        for name in REFERENCES
    }
    same = [
        not standard_fingerprint(tracers()[code], name).differences(own)
        for (code, name), own in prints.items()
    ]
    return prints, all(same)


def _normalisation(processing: Processing) -> str:
    return "pet" if processing.pet_only else "t1w"


def _table_source(table: Path) -> dict[str, Any]:
    return {"kind": "table", "name": table.name, "sha256": file_hash(table)}
