"""``centipet-calibrate``: make the equations of a pipeline, from images or a table of SUVRs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsapp.cli.command import command_parser, made_folder, run_command
from bidsapp.errors import (
    BadDataError,
    ExitCode,
    NoInputError,
    UsageError,
)
from bidsapp.options.option_table import OWNERS

if TYPE_CHECKING:
    from bidsapp.calibrate.archive import ArchiveScan
    from bidsapp.calibrate.fit import Key
    from bidsapp.calibrate.raw_images import Expected
    from bidsapp.calibrate.report import CalibrationStudy
    from bidsapp.calibrate.tables import Pair, Person
    from bidsapp.core.quantification.centiloid import Anchors
    from bidsapp.core.quantification.scale import Fingerprint
    from bidsapp.core.statistics.calibration import Suspect
    from bidsapp.data.calibrations import CalibrationFile
    from bidsapp.settings import Processing


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate; return 0 when every criterion is met, 1 when one is not."""
    argv = list(sys.argv[1:] if argv is None else argv)
    from_table = any(part.split("=")[0] == "--from-table" for part in argv)
    return run_command(
        "centipet-calibrate",
        lambda: _run(*command_line(with_folder=not from_table).parse_known_args(argv)),
    )


def command_line(*, with_folder: bool = True) -> argparse.ArgumentParser:
    """Parser; without FOLDER the values of centipet's options are never taken for one."""
    without = None if with_folder else "folder"
    return command_parser("calibrate", others=OWNERS, without=without)


def _run(options: argparse.Namespace, others: list[str]) -> int:
    if options.from_table is None and options.folder is None:
        raise UsageError("give FOLDER or --from-table FILE (see centipet-calibrate --help)")
    if not options.error_ratio > 0:
        raise UsageError(f"--error-ratio {options.error_ratio:g}: must be positive")
    if options.level1 is not None and options.level == "level1":
        raise UsageError("--level1 FILE belongs to level2")
    if options.tracer is not None and (options.level == "tau" or _is_of_pib(options)):
        raise UsageError("--tracer NAME belongs to level2")
    if options.from_table is not None and not options.from_table.is_file():
        raise NoInputError(f"--from-table {options.from_table}: no such file")
    made_folder(options.output_dir, "--output-dir")
    if options.level == "tau":
        return _tau(options, others)
    options.regression = options.regression or "ordinary"
    from bidsapp.calibrate.report import words, write
    from bidsapp.data.tracer_file import using_tracer_file

    with using_tracer_file(_processing(others).tracer_file):
        make = _from_table if options.from_table else _from_images
        study = make(options, others)
        print(words(study))
        for path in write(study, options.output_dir):
            print(path)
    return ExitCode.OK if study.passed else ExitCode.SCAN_FAILED


def _is_of_pib(options: argparse.Namespace) -> bool:
    """Whether SUVRs of PiB alone are asked for; archives of images name other tracers, too."""
    return options.level == "level1" and options.from_table is not None


def _tau(options: argparse.Namespace, others: list[str]) -> int:
    from bidsapp.calibrate.fit import regression
    from bidsapp.calibrate.tau import TauStudy, fit_tau, read_tau_pairs, words, write
    from bidsapp.data.calibrations import tau_fingerprint
    from bidsapp.io.hashes import file_hash

    table, processing = options.from_table or options.folder, _processing(others)
    if processing.tau_vois is None:
        raise UsageError(
            "--tau-vois FOLDER is missing: lines belong to the volumes that the SUVRs are of"
        )
    if not table.is_file():
        raise NoInputError(f"{table}: is not a file; give a table of SUVRs by both pipelines")
    kind = options.regression or "deming"
    lines = fit_tau(read_tau_pairs(table), regression(kind, options.error_ratio))
    study = TauStudy(
        lines=lines,
        fingerprints={
            code: tau_fingerprint(processing, code, normalisation=_normalisation(processing))
            for code in dict.fromkeys(code for code, _ in lines)
        },
        regression=kind,
        source={"kind": "table", "name": table.name, "sha256": file_hash(table)},
    )
    print(words(study))
    for path in write(study, options.output_dir):
        print(path)
    return ExitCode.OK if study.passed else ExitCode.SCAN_FAILED


def _from_table(options: argparse.Namespace, others: list[str]) -> CalibrationStudy:
    from bidsapp.calibrate.tables import asked_tracer, read_pairs, read_people, with_published
    from bidsapp.io.hashes import file_hash

    table = options.from_table
    source = {"kind": "table", "name": table.name, "sha256": file_hash(table)}
    processing = _processing(others)
    if options.level == "level1":
        people = with_published(read_people(table))
        return _level1(people, processing, source, options)
    pairs = read_pairs(table, asked_tracer(options.tracer))
    return _level2(pairs, processing, source, options)


def _from_images(options: argparse.Namespace, others: list[str]) -> CalibrationStudy:
    """Run the pipeline on the images, and calibrate with what it measured."""
    from dataclasses import replace

    from bidsapp.calibrate.archive import find_images, found_suspects
    from bidsapp.calibrate.raw_images import (
        expected_of_bids,
        image_hashes,
        is_bids,
        measured,
        write_dataset,
    )
    from bidsapp.calibrate.tables import with_published

    work = options.output_dir.absolute()
    derivatives, folder = work / "derivatives", options.folder.absolute()
    source: dict[str, Any] = {"kind": "images", "name": folder.name}
    suspects: tuple[Suspect, ...] = ()
    scans: Sequence[ArchiveScan | Expected]
    if is_bids(folder):
        if options.tracer is not None:
            raise UsageError(
                f"--tracer {options.tracer}: {folder} is BIDS, where every PET names its tracer; "
                "leave it out"
            )
        _process(folder, derivatives, work, others)
        scans = expected_of_bids(folder, derivatives)
    else:
        scans = archive = find_images(folder, work / "converted", tracer=options.tracer)
        write_dataset(archive, work / "bids")
        _process(work / "bids", derivatives, work, others)
        source["images"] = image_hashes(archive)
        suspects = found_suspects(archive, only_pib=options.level == "level1")
    people, pairs, missing, doubts = measured(scans, derivatives)
    processing, suspects = _processing(others), (*suspects, *doubts)
    try:
        if options.level == "level1":
            study = _level1(with_published(people), processing, source, options)
        else:
            study = _level2(pairs, processing, source, options)
    except BadDataError:
        for suspect in suspects:  # most likely the reason
            print(f"LOOK: {suspect.message}", file=sys.stderr)
        raise
    return replace(study, missing=missing, suspects=suspects)


def _process(raw: Path, derivatives: Path, work: Path, others: list[str]) -> None:
    """Run ``centipet`` as a user would; scans that fail are told in the report."""
    from bidsapp.cli.main import main as centipet

    command = [str(raw), str(derivatives), "participant", "--work-dir", str(work / "work"), *others]
    code = centipet(command)
    if code not in (ExitCode.OK, ExitCode.SCAN_FAILED):
        raise BadDataError(
            f"centipet {' '.join(command)} ended with exit code {code}; see its message above"
        )


def _level1(
    people: Sequence[Person],
    processing: Processing,
    source: Mapping[str, Any],
    options: argparse.Namespace,
) -> CalibrationStudy:
    from bidsapp.calibrate.fit import fit_level1, regression
    from bidsapp.calibrate.report import CalibrationStudy
    from bidsapp.calibrate.tables import not_among

    prints, standard = _prints(processing, {("PIB", "wc"), *_keys("PIB")})
    equations = fit_level1(
        people,
        standard=standard,
        source=_cited(source),
        fit=regression(options.regression, options.error_ratio),
    )
    present = {name for item in equations.values() for name in item.names}
    return CalibrationStudy(
        1, options.regression, equations, prints, standard, source, absent=not_among(present)
    )


def _level2(
    pairs: Sequence[Pair],
    processing: Processing,
    source: Mapping[str, Any],
    options: argparse.Namespace,
) -> CalibrationStudy:
    from bidsapp.calibrate.fit import fit_level2, own_line, regression
    from bidsapp.calibrate.report import CalibrationStudy
    from bidsapp.data.calibrations import read_calibration

    codes = dict.fromkeys(pair.tracer for pair in pairs)
    prints, standard = _prints(processing, {key for code in codes for key in _keys(code)})
    user = None if options.level1 is None else read_calibration(options.level1)
    anchors = None if user is None else _level1_anchors(user, options.level1, processing)
    equations = fit_level2(
        pairs,
        level1_anchors=anchors,
        source=_cited(source),
        fit=regression(options.regression, options.error_ratio),
    )
    lines = {code: line for code in codes if (line := own_line(pairs, code)) is not None}
    return CalibrationStudy(
        2, options.regression, equations, prints, standard, source, table_lines=lines, level1=user
    )


def _level1_anchors(
    user: CalibrationFile, path: Path, processing: Processing
) -> dict[str, Anchors]:
    """Anchors of a level 1 file, which must be of the same pipeline."""
    from bidsapp.data.calibrations import fingerprint
    from bidsapp.data.tracers import tracers

    anchors = {}
    for (code, name), equation in user.equations.items():
        if code != "PIB" or equation.anchors is None:
            continue
        own = fingerprint(
            processing, tracers()[code], name, normalisation=_normalisation(processing)
        )
        if differences := user.fingerprint[code, name].differences(own):
            raise BadDataError(
                f"--level1 {path}: was made by another pipeline ({'; '.join(differences.values())})"
                "; give the same options to both levels"
            )
        anchors[name] = equation.anchors
    if not anchors:
        raise BadDataError(f"--level1 {path}: contains no equation for PiB; give a level 1 file")
    return anchors


def _prints(processing: Processing, keys: Iterable[Key]) -> tuple[dict[Key, Fingerprint], bool]:
    """Fingerprints of this pipeline, and whether it is the standard one."""
    from bidsapp.data.calibrations import fingerprint, standard_fingerprint
    from bidsapp.data.tracers import tracers

    kind = _normalisation(processing)
    prints = {
        (code, name): fingerprint(processing, tracers()[code], name, normalisation=kind)
        for code, name in keys
    }
    same = [
        not standard_fingerprint(tracers()[code], name).differences(own)
        for (code, name), own in prints.items()
    ]
    return prints, all(same)


def _normalisation(processing: Processing) -> str:
    return "pet" if processing.pet_only else "t1w"


def _keys(code: str) -> list[Key]:
    from bidsapp.data import REFERENCES

    return [(code, name) for name in REFERENCES]


def _processing(others: list[str]) -> Processing:
    """Options of ``centipet`` that change numbers, as its own parser reads them."""
    from bidsapp.cli.parser import parse

    return parse(["raw", "derivatives", "participant", *others]).processing


def _cited(source: Mapping[str, Any]) -> str:
    return f"own calibration from {source['name']}"
