"""Command line -> `Settings`. Nothing slow is imported here: ``--help`` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from bidsapp import __version__
from bidsapp.cli.atlas_options import atlas_choices, known, reference_choices, voi_spaces
from bidsapp.cli.command import Parser, finite, processes
from bidsapp.cli.machine import available_cpus, available_memory_gb
from bidsapp.errors import NoInputError, UnknownLevelError, UsageError
from bidsapp.io.reading import parse_json, read_text
from bidsapp.settings import (
    TEMPLATE_SPACE,
    DicomInput,
    Filters,
    KineticModel,
    Level,
    PetToT1w,
    Processing,
    PvcMethod,
    Resources,
    Settings,
)

_EPILOG = f"""\
Always written: T1w space and {TEMPLATE_SPACE} (2 mm), one Centiloid per PET scan, one page per
participant. Accepted from other BIDS-Apps without effect: --omp-nthreads (a process computes with
one thread, so that results do not depend on it), --random-seed (nothing is random), --notrack
(nothing is tracked), --resource-monitor (the log has the time of every step). Options may be
written with _ for -. Images that are in MNI space already: centipet voi --help. Is a dataset still
what was computed: centipet-verify OUTPUT_DIR.

Exit codes: 0 done; 1 some scans failed; 16 not BIDS; 17 no such level; 18 nothing matches; 64
usage; 65 bad data; 66 input missing; 70 internal; 73 cannot write; 74 disk full; 75 killed, so
run again.
"""

_WIDEST_MM = 30.0  # FWHM; more leaves nothing of a brain
_BYTES = {"B": 1e-9, "K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}
_FILTERED = ("pet", "t1w")  # of a filter file
# What other programs filter by the same file (niworkflows and its users).
_FILTERED_ELSEWHERE = ("t2w", "flair", "bold", "sbref", "fmap", "roi", "dwi", "asl", "m0scan")
_LEAST_MEM_GB = 1.6  # of the largest step, a segmentation, and the process itself


class _PrintDescriptor(argparse.Action):
    """Prints the command line as other programs read it, then exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from bidsapp.cli.boutiques import descriptor

        print(json.dumps(descriptor(parser), indent=2))
        raise SystemExit(0)


class _PrintPybidsConfig(argparse.Action):
    """Prints what pybids needs to index the derivatives, then exits."""

    def __call__(self, *_: Any) -> NoReturn:
        print(files("bidsapp.data").joinpath("pybids.json").read_text("utf-8"), end="")
        raise SystemExit(0)


def parse(argv: Sequence[str]) -> Settings:
    """Read the command line.

    Parameters
    ----------
    argv : arguments without the name of the program

    Raises
    ------
    UsageError
        The arguments do not make sense.
    UnknownLevelError
        The analysis level is neither participant nor group.
    NoInputError
        A file given as option does not exist or cannot be read.
    SystemExit
        By ``--help`` and ``--version``.
    """
    arguments = [_with_hyphens(argument) for argument in argv]
    options = argparse.Namespace()
    preview, _ = _config_parser().parse_known_args(arguments)
    if preview.config_file is not None:
        options = _read_config(preview.config_file)
    return _settings(_parser().parse_args(arguments, namespace=options))


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=100)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="centipet",
        usage="centipet BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Amyloid PET to a trustworthy Centiloid: a BIDS-App, from DICOM if need be.",
        epilog=_EPILOG,
        formatter_class=_formatter,
        allow_abbrev=False,
        add_help=False,
    )
    main = parser.add_argument_group("the BIDS-App")
    main.add_argument("bids_dir", metavar="BIDS_DIR", type=_path, help="raw dataset")
    main.add_argument("output_dir", metavar="OUTPUT_DIR", type=_path, help="derivative dataset")
    main.add_argument("level", metavar="LEVEL", help="participant, or group when all are done")
    main.add_argument("-h", "--help", action="help", help="show this and exit")
    main.add_argument("--version", action="version", version=f"centipet {__version__}")
    main.add_argument(
        "--demo", metavar="OUT", help="run on a built-in phantom: centipet --demo OUT"
    )
    main.add_argument(
        "--bids-exec-spec", action=_PrintDescriptor, nargs=0,
        help="print the Boutiques descriptor of this command line and exit",
    )  # fmt: skip
    main.add_argument(
        "--pybids-config", action=_PrintPybidsConfig, nargs=0,
        help="print the configuration with which pybids reads the derivatives and exit",
    )  # fmt: skip
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    _add_selection(parser.add_argument_group("which scans"))
    _add_dicom(parser.add_argument_group("start from DICOM (participant level)"))
    _add_processing(parser.add_argument_group("what changes numbers"))
    _add_regions(parser.add_argument_group("regions"))
    _add_models(parser.add_argument_group("dynamic scans, partial volume"))
    _add_execution(parser.add_argument_group("how it runs"))
    for flags, options in _SILENT.items():
        parser.add_argument(*flags, **options, help=argparse.SUPPRESS)


def _add_selection(group: Any) -> None:
    labels = {"nargs": "+", "metavar": "LABEL", "default": []}
    group.add_argument("--participant-label", **labels, help="participants, with or without sub-")
    group.add_argument("--session-label", **labels, help="sessions of the PET")
    group.add_argument(
        "--tracer-label", **labels, help="tracers, by any name: FBB, florbetaben ..."
    )
    group.add_argument("--rec-label", **labels, help="reconstructions")
    group.add_argument("--run-label", **labels, help="runs")
    group.add_argument(
        "--bids-filter-file", type=_path, metavar="FILE", help="JSON of pybids filters: pet, t1w"
    )
    group.add_argument(
        "--controls",
        type=_controls,
        metavar="COLUMN=VALUE",
        help="group level: young controls by a column of participants.tsv (default: below 45)",
    )
    group.add_argument(
        "--bids-database-dir", type=_path, metavar="DIR", help="pybids index to reuse"
    )
    group.add_argument(
        "--skip-bids-validation", action="store_true", help="do not check that the input is BIDS"
    )


def _add_dicom(group: Any) -> None:
    group.add_argument(
        "--dicom-dir",
        type=_path,
        metavar="DIR",
        help="convert this folder, zip or tar of DICOM, NIfTI + JSON or ECAT into BIDS_DIR first",
    )
    group.add_argument(
        "--converted-dir",
        type=_path,
        metavar="DIR",
        help="convert to here if BIDS_DIR is read-only",
    )
    group.add_argument(
        "--dicom-map", type=_path, metavar="TSV", help="which person is which participant, session"
    )
    group.add_argument(
        "--dicom-metadata",
        type=_path,
        metavar="FILE",
        help="JSON of sidecar values, times of injection and frames; for BIDS input, too",
    )
    group.add_argument("--tracer", metavar="NAME", help="tracer, where the DICOM does not name it")
    group.add_argument("--convert-only", action="store_true", help="stop after the conversion")
    group.add_argument(
        "--include-derived", action="store_true", help="convert derived series as well"
    )
    dates = group.add_mutually_exclusive_group()
    dates.add_argument("--keep-dates", action="store_true", help="keep acquisition dates in BIDS")
    dates.add_argument(
        "--shift-dates",
        action="store_true",
        help="keep dates moved before 1925, by other days for every person",
    )


def _add_processing(group: Any) -> None:
    group.add_argument(
        "--window",
        nargs=2,
        type=finite,
        metavar=("START", "END"),
        help="average these minutes after injection, not the tracer's",
    )
    group.add_argument(
        "--allow-off-window",
        action="store_true",
        help="use the nearest frames of a scan that misses the window (flagged)",
    )
    group.add_argument(
        "--no-motion-correction", action="store_true", help="do not align the frames of a scan"
    )
    blur = group.add_mutually_exclusive_group()
    blur.add_argument("--smooth", type=finite, metavar="MM", help="blur the PET by this FWHM")
    blur.add_argument(
        "--target-resolution", type=finite, metavar="MM", help="blur the PET up to this resolution"
    )
    group.add_argument(
        "--psf", nargs="+", type=finite, metavar="MM",
        help="resolution of the PET (FWHM), one or along x y z; without it it is measured",
    )  # fmt: skip
    group.add_argument(
        "--pet-to-t1w",
        choices=[method.value for method in PetToT1w],
        default=PetToT1w.MODEL.value,
        help="align by the person's tissue maps, or by mutual information alone (default: model)",
    )
    group.add_argument(
        "--pet-only", action="store_true", help="normalise by the PET itself, without any T1w"
    )
    group.add_argument(
        "--longitudinal", action="store_true",
        help="place all visits of a person by one template of all their T1w",
    )  # fmt: skip
    group.add_argument(
        "--calibration", type=_path, metavar="FILE", help="own equations, of centipet-calibrate"
    )
    group.add_argument(
        "--tau-vois", type=_path, metavar="DIR", help="CenTauR volumes, for scans with a tau tracer"
    )
    group.add_argument(
        "--cutoff", nargs="+", type=finite, metavar="CL", default=[],
        help="tell the probability that the Centiloid lies above",
    )  # fmt: skip


def _add_regions(group: Any) -> None:
    atlases, regions = known("atlases"), known("reference_regions")
    group.add_argument(
        "--atlas", nargs="+", metavar="ATLAS", default=["DesikanKilliany"],
        help=f"{', '.join(atlases)}, or NAME=FILE[,TABLE] (default: Centiloid DesikanKilliany)",
    )  # fmt: skip
    group.add_argument(
        "--reference-region", nargs="+", metavar="REGION", default=[],
        help=f"besides {', '.join(regions[:4])}: {', '.join(regions[4:])}, or NAME=ATLAS:LABELS",
    )  # fmt: skip
    group.add_argument(
        "--output-spaces", nargs="+", metavar="SPACE", default=[],
        help=f"tables and SUVR images also in T1w or pet, not only {TEMPLATE_SPACE}",
    )  # fmt: skip
    group.add_argument(
        "--norms", type=_path, metavar="FILE", help="SUVR of healthy people, for z-scores"
    )
    group.add_argument("--write-masks", action="store_true", help="write the regions as images")
    group.add_argument(
        "--atlas-threshold", type=finite, metavar="P",
        help="whole voxels of at least this probability, where an atlas has probabilities",
    )  # fmt: skip
    group.add_argument(
        "--gm-threshold", type=finite, metavar="P",
        help="grey-matter means of whole voxels of at least this probability, not weighted ones",
    )  # fmt: skip


def _add_models(group: Any) -> None:
    models, methods = ([item.value for item in kind] for kind in (KineticModel, PvcMethod))
    group.add_argument(
        "--kinetics", nargs="+", type=str.lower, choices=[*models, "none"], default=models,
        metavar="MODEL", help=f"for dynamic scans: {', '.join(models)} (default: all) or none",
    )  # fmt: skip
    group.add_argument(
        "--kinetics-reference", metavar="REGION", default="wc",
        help="a reference region of the run (default: wc)",
    )  # fmt: skip
    group.add_argument(
        "--t-star", type=finite, metavar="MIN", help="use later frames only: MRTM, MRTM2, Logan"
    )
    group.add_argument("--t-end", type=finite, metavar="MIN", help="use earlier frames only")
    group.add_argument(
        "--k2-prime", type=finite, metavar="PER_MIN", help="of the reference (default: by SRTM)"
    )
    group.add_argument(
        "--pvc", nargs="+", type=str.lower, choices=[*methods, "none"], default=[],
        metavar="METHOD", help=f"correct for partial volume: {', '.join(methods)} (default: none)",
    )  # fmt: skip


def _add_execution(group: Any) -> None:
    cpus, memory = available_cpus(), available_memory_gb()
    group.add_argument(
        "--nprocs", "--nthreads", "--n-cpus", type=processes, metavar="N", default=cpus,
        help=f"processes (here: {cpus})",
    )  # fmt: skip
    group.add_argument(
        "--mem", "--mem-mb", type=_gigabytes, metavar="MB", default=memory,
        help=f"memory, also as 8G (here: {memory:.0f}G)",
    )  # fmt: skip
    group.add_argument(
        "-w", "--work-dir", type=_path, metavar="DIR", default="work",
        help="intermediate results (default: ./work)",
    )  # fmt: skip
    group.add_argument("--clean-workdir", action="store_true", help="forget them first")
    group.add_argument(
        "--dry-run", action="store_true", help="only tell what would be done, or converted"
    )
    group.add_argument("--config-file", metavar="FILE", help="options as TOML: nprocs = 4")
    group.add_argument(
        "--step-timeout", type=finite, metavar="MIN", default=60.0,
        help="end a step that is stuck for so long, with more than one process (default: 60)",
    )  # fmt: skip
    group.add_argument("--use-plugin", type=_path, metavar="FILE", help="nipype plugin, for SLURM")
    group.add_argument("--stop-on-first-crash", action="store_true", help="do not go on")
    group.add_argument("--reports-only", action="store_true", help="write the pages anew")
    group.add_argument(
        "--visual-read", action="store_true", help="also images in one orientation, to read by eye"
    )
    group.add_argument("--boilerplate-only", action="store_true", help="print the methods text")
    group.add_argument("--write-graph", action="store_true", help="workflow as .dot in logs/")
    group.add_argument("--debug", action="store_true", help="show where an error arose")
    group.add_argument("-v", "--verbose", action="count", default=0, help="more, -vv everything")


_SILENT: dict[tuple[str, ...], dict[str, Any]] = {
    ("-d", "--derivatives"): {"nargs": "+", "default": []},
    ("--omp-nthreads",): {"type": int},
    ("--random-seed",): {"type": int},
    ("--resource-monitor",): {"action": "store_true"},
    ("--notrack",): {"action": "store_true"},
}


def _config_parser() -> argparse.ArgumentParser:
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-file", type=_path)
    return parser


def _read_config(path: Path) -> argparse.Namespace:
    """Options of a TOML file, as if typed before those of the command line."""
    try:
        table = tomllib.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config-file {path}: is no TOML ({error})") from error
    parser = Parser(prog=f"--config-file {path}", add_help=False, allow_abbrev=False)
    _add_options(parser)
    return parser.parse_args([text for key, value in table.items() for text in _typed(key, value)])


def _typed(key: str, value: Any) -> list[str]:
    """An entry of the configuration as it would be typed."""
    flag = f"--{key}".replace("_", "-")
    if value is True or value is False:
        return [flag] if value else []
    values = value if isinstance(value, list) else [value]
    return [flag, *map(str, values)]


def _with_hyphens(argument: str) -> str:
    """``--participant_label=x_y`` -> ``--participant-label=x_y``."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _path(text: str) -> Path:
    """Absolute path without ``..``; symbolic links stay, so that messages show what was typed."""
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() follows links


def _gigabytes(text: str) -> float:
    """``8G``, ``8000M`` or ``8000`` (MB, as other BIDS-Apps count) in GB."""
    match = re.fullmatch(r"([\d.]+)\s*([BKMGT]?)B?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory, such as 8G or 8000")
    return finite(match[1]) * _BYTES[match[2] or "M"]


def _settings(options: argparse.Namespace) -> Settings:
    try:
        level = Level(options.level)
    except ValueError as error:
        raise UnknownLevelError(
            f"analysis level {options.level!r} is unknown; use participant or group"
        ) from error
    _refuse(options)
    _check_folders(options)
    return Settings(
        bids_dir=options.bids_dir,
        output_dir=options.output_dir,
        level=level,
        work_dir=_path(str(options.work_dir)),
        filters=_filters(options),
        dicom=_dicom(options, level),
        processing=Processing(
            pet_to_t1w=PetToT1w(options.pet_to_t1w),
            window_min=_window(options.window),
            allow_off_window=options.allow_off_window,
            pet_only=options.pet_only,
            longitudinal=options.longitudinal,
            motion_correction=not options.no_motion_correction,
            smooth_fwhm_mm=_width("--smooth", options.smooth),
            target_resolution_mm=_width("--target-resolution", options.target_resolution),
            psf_mm=_psf(options.psf),
            calibration=options.calibration,
            dicom_metadata=options.dicom_metadata if options.dicom_dir is None else None,
            tau_vois=options.tau_vois,
            cutoff=_cutoffs(options.cutoff),
            atlases=atlas_choices(("Centiloid", *options.atlas), _path),
            reference_regions=reference_choices(options.reference_region),
            voi_spaces=voi_spaces(options.output_spaces),
            voi_threshold=_probability("--atlas-threshold", options.atlas_threshold),
            gm_threshold=_probability("--gm-threshold", options.gm_threshold),
            write_masks=options.write_masks,
            norms=options.norms,
            kinetics=tuple(map(KineticModel, _chosen("--kinetics", options.kinetics))),
            kinetics_reference=options.kinetics_reference,
            t_star_min=_positive("--t-star", options.t_star, zero=True),
            t_end_min=_positive("--t-end", options.t_end),
            k2_prime_per_min=_positive("--k2-prime", options.k2_prime),
            pvc=tuple(map(PvcMethod, _chosen("--pvc", options.pvc))),
        ),
        resources=Resources(
            nprocs=options.nprocs,
            mem_gb=options.mem,
            plugin=None if options.use_plugin is None else str(options.use_plugin),
            step_timeout_min=options.step_timeout,
        ),
        database_dir=options.bids_database_dir,
        skip_bids_validation=options.skip_bids_validation,
        clean_workdir=options.clean_workdir,
        dry_run=options.dry_run and options.dicom_dir is None,
        stop_on_first_crash=options.stop_on_first_crash,
        reports_only=options.reports_only,
        visual_read=options.visual_read,
        boilerplate_only=options.boilerplate_only,
        write_graph=options.write_graph,
        debug=options.debug,
        verbosity=options.verbose,
    )


def _refuse(options: argparse.Namespace) -> None:
    """Options that would be a lie: what they ask for does not happen."""
    if options.demo is not None:
        raise UsageError("--demo OUT stands alone: centipet --demo OUT")
    if options.derivatives:
        raise UsageError(
            "--derivatives: results of other pipelines are not used, everything is computed from "
            "the raw data; leave the option out"
        )
    if options.pet_only and options.target_resolution is not None and options.psf is None:
        raise UsageError(
            "--target-resolution: without a T1w the resolution cannot be measured; give it with "
            "--psf, or use --smooth"
        )
    if options.dry_run and options.level != Level.PARTICIPANT:
        raise UsageError("--dry-run belongs to the participant level")
    if options.pet_only and options.longitudinal:
        raise UsageError("--longitudinal: there is no template without T1w; leave out --pet-only")
    if options.step_timeout <= 0:
        raise UsageError(f"--step-timeout {options.step_timeout:g}: must be minutes above 0")
    if options.mem < _LEAST_MEM_GB and options.use_plugin is None:  # whose jobs have their own
        if options.mem == available_memory_gb():  # found, not given
            raise UsageError(
                f"only {options.mem:.1f}G of memory may be used here (machine, control group or "
                f"SLURM job) and one step needs {_LEAST_MEM_GB:g}G: ask for 4G or more"
            )
        raise UsageError(
            f"--mem {1000 * options.mem:g}M: one step needs {_LEAST_MEM_GB:g}G; a number alone is "
            "MB, so write 8G or 8000"
        )


def _check_folders(options: argparse.Namespace) -> None:
    bids_dir, output_dir = options.bids_dir, options.output_dir
    derivatives = bids_dir / "derivatives"
    if output_dir == derivatives or (
        output_dir.is_relative_to(bids_dir) and not output_dir.is_relative_to(derivatives)
    ):
        raise UsageError(
            f"{output_dir}: results do not belong among the raw data; use "
            f"{derivatives / 'centipet'} or a folder outside"
        )
    work_dir = _path(str(options.work_dir))
    if work_dir.is_relative_to(bids_dir) and not work_dir.is_relative_to(derivatives):
        raise UsageError(f"--work-dir {work_dir}: lies in the raw dataset; choose another folder")


def _window(window: Sequence[float] | None) -> tuple[float, float] | None:
    if window is None:
        return None
    start, end = window
    if not 0 <= start < end:
        raise UsageError(f"--window {start:g} {end:g}: give two rising minutes after injection")
    return start, end


def _cutoffs(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(dict.fromkeys(values))


def _chosen(flag: str, values: Sequence[str]) -> tuple[str, ...]:
    """Values without repetition; ``none`` stands alone."""
    if "none" in values and set(values) != {"none"}:
        raise UsageError(f"{flag} {' '.join(values)}: none and something contradict each other")
    return tuple(dict.fromkeys(value for value in values if value != "none"))


def _positive(flag: str, value: float | None, *, zero: bool = False) -> float | None:
    if value is not None and not (value > 0 or (zero and value == 0)):
        raise UsageError(f"{flag} {value:g}: give a positive number")
    return value


def _probability(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1:
        raise UsageError(f"{option} {value:g}: give a probability above 0, up to 1")
    return value


def _width(option: str, fwhm_mm: float | None) -> float | None:
    if fwhm_mm is not None and not 0 < fwhm_mm <= _WIDEST_MM:
        raise UsageError(f"{option} {fwhm_mm:g}: give a width in mm, above 0, up to {_WIDEST_MM:g}")
    return fwhm_mm


def _psf(widths: Sequence[float] | None) -> tuple[float, float, float] | None:
    if widths is None:
        return None
    if len(widths) not in (1, 3):
        raise UsageError("--psf: give one width, or three along the axes of the image")
    x, y, z = (_width("--psf", width) or 0.0 for width in (*widths, *widths, *widths)[:3])
    return x, y, z


def _filters(options: argparse.Namespace) -> Filters:
    return Filters(
        participant=_labels(options.participant_label, "sub"),
        session=_labels(options.session_label, "ses"),
        tracer=_labels(options.tracer_label, "trc"),
        rec=_labels(options.rec_label, "rec"),
        run=_labels(options.run_label, "run"),
        bids_filters=_filter_file(options.bids_filter_file),
        controls=options.controls,
    )


def _controls(text: str) -> tuple[str, str]:
    column, sign, value = (part.strip() for part in text.partition("="))
    if not (column and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE, such as group=control")
    return column, value


def _labels(values: Iterable[str], entity: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.removeprefix(f"{entity}-") for value in values))


def _filter_file(path: Path | None) -> dict[str, dict[str, Any]]:
    """Filters for PET and T1w; those of other programs for other images are of no concern here."""
    if path is None:
        return {}
    try:
        content = parse_json(_read_text(path))
    except ValueError as error:
        raise UsageError(f"--bids-filter-file {path}: is no JSON ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise UsageError(
            f'--bids-filter-file {path}: must look like {{"pet": {{"session": "01"}}}}'
        )
    named = {key: key.lower() for key in content}
    if unknown := [key for key in content if named[key] not in (*_FILTERED, *_FILTERED_ELSEWHERE)]:
        raise UsageError(
            f"--bids-filter-file {path}: {unknown[0]!r} is no kind of image; there are "
            f"{' and '.join(_FILTERED)}"
        )
    if len(set(named.values())) < len(named):
        raise UsageError(f"--bids-filter-file {path}: pet or t1w stands there twice")
    return {named[key]: value for key, value in content.items() if named[key] in _FILTERED}


def _dicom(options: argparse.Namespace, level: Level) -> DicomInput | None:
    dependent = ("convert_only", "converted_dir", "dicom_map",
                 "tracer", "include_derived", "keep_dates", "shift_dates")  # fmt: skip
    if options.dicom_dir is None:
        if given := [name for name in dependent if getattr(options, name)]:
            raise UsageError(f"--{given[0].replace('_', '-')} needs --dicom-dir DIR")
        return None
    if level is not Level.PARTICIPANT:
        raise UsageError("--dicom-dir belongs to the participant level")
    if not options.dicom_dir.exists():
        raise NoInputError(f"--dicom-dir {options.dicom_dir}: no such folder or archive")
    return DicomInput(
        dicom_dir=options.dicom_dir,
        converted_dir=options.converted_dir,
        label_map=options.dicom_map,
        metadata=options.dicom_metadata,
        convert_only=options.convert_only,
        dry_run=options.dry_run,
        tracer=options.tracer,
        include_derived=options.include_derived,
        keep_dates=options.keep_dates,
        shift_dates=options.shift_dates,
    )


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise NoInputError(f"{path}: cannot be read ({error})") from error
