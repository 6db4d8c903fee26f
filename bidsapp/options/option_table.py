"""Every option of ``centipet`` once: how it is typed, checked, kept and told.

The command line (`bidsapp.cli.parser`) and its description for platforms, the command in every
provenance (`bidsapp.bids.command`), what can be derived again (`bidsapp.verify.options`) and the
methods text (`bidsapp.report.methods`) read it. A new option is a field of `bidsapp.settings`, a
row here, and what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bidsapp.options import checks
from bidsapp.options.atlas_options import atlas_choices, known, reference_choices, voi_spaces
from bidsapp.options.checks import absolute_path, finite, labels, processes
from bidsapp.settings import TEMPLATE_SPACE, KineticModel, PetToT1w, PvcMethod

_ATLASES, _REFERENCES = known("atlases"), known("reference_regions")
_MODELS, _METHODS = ([item.value for item in kind] for kind in (KineticModel, PvcMethod))
_LABELS = {"nargs": "+", "metavar": "LABEL", "default": []}
_FLAG = {"action": "store_true"}
_FILE = {"type": absolute_path, "metavar": "FILE"}
_DIR = {"type": absolute_path, "metavar": "DIR"}
_NUMBER = {"type": finite, "metavar": "MM"}


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    Attributes
    ----------
    flags : as typed, the first is its name
    keeps : where the settings keep it, such as ``processing.window_min``; empty: they do not
    help : one line; ``{here}`` is what this machine has
    typed : how argparse reads it: type, nargs, metavar, choices, default, action
    check : takes the flag and what argparse made of the words; gives what the settings hold
    alone : options with the same word here exclude each other
    measures : whether it decides how an image is measured, so that verify needs it
    needed_for : what cannot be derived again without the file that was given
    phrases : of the methods text: by value where there are choices, else of any number
    """

    flags: tuple[str, ...]
    keeps: str
    help: str
    typed: Mapping[str, Any] = field(default_factory=lambda: _FLAG)
    check: Callable[[str, Any], Any] = lambda _, value: value
    alone: str = ""
    measures: bool = False
    needed_for: str = ""
    phrases: Mapping[str, str] = field(default_factory=dict)

    @property
    def flag(self) -> str:
        """Name of the option, with its hyphens."""
        return next(flag for flag in self.flags if flag.startswith("--"))

    @property
    def dest(self) -> str:
        """Name under which argparse keeps what was typed."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def field(self) -> str:
        """Name of the field of the settings."""
        return self.keeps.rpartition(".")[2]


def _option(flags: str, keeps: str, help_text: str, **told: Any) -> Option:
    return Option(tuple(flags.split()), keeps, help_text, **told)


# Group of the help -> its options, in the order in which they are shown.
GROUPS: dict[str, list[Option]] = {
    "which scans": [
        _option(
            "--participant-label", "filters.participant", "participants, with or without sub-",
            typed=_LABELS, check=labels("sub"),
        ),
        _option(
            "--session-label", "filters.session", "sessions of the PET",
            typed=_LABELS, check=labels("ses"),
        ),
        _option(
            "--tracer-label", "filters.tracer", "tracers, by any name: FBB, florbetaben ...",
            typed=_LABELS, check=labels("trc"),
        ),
        _option("--rec-label", "filters.rec", "reconstructions", typed=_LABELS,
                check=labels("rec")),
        _option("--run-label", "filters.run", "runs", typed=_LABELS, check=labels("run")),
        _option(
            "--bids-filter-file", "filters.bids_filters", "JSON of pybids filters: pet, t1w",
            typed=_FILE, check=checks.filter_file,
        ),
        _option(
            "--controls", "filters.controls",
            "group level: young controls by a column of participants.tsv (default: below 45)",
            typed={"type": checks.column_and_value, "metavar": "COLUMN=VALUE"},
        ),
        _option("--bids-database-dir", "database_dir", "pybids index to reuse", typed=_DIR),
        _option(
            "--skip-bids-validation", "skip_bids_validation", "do not check that the input is BIDS"
        ),
    ],
    "start from DICOM (participant level)": [
        _option(
            "--dicom-dir", "dicom.dicom_dir",
            "convert this folder, zip or tar of DICOM, NIfTI + JSON or ECAT into BIDS_DIR first",
            typed=_DIR,
        ),
        _option("--converted-dir", "dicom.converted_dir",
                "convert to here if BIDS_DIR is read-only", typed=_DIR),
        _option(
            "--dicom-map", "dicom.label_map", "which person is which participant, session",
            typed={"type": absolute_path, "metavar": "TSV"},
        ),
        _option(
            "--dicom-metadata", "processing.dicom_metadata",
            "JSON of sidecar values, times of injection and frames; for BIDS input, too",
            typed=_FILE,
        ),
        _option("--tracer", "dicom.tracer", "tracer, where the DICOM does not name it",
                typed={"metavar": "NAME"}),
        _option("--convert-only", "dicom.convert_only", "stop after the conversion"),
        _option("--include-derived", "dicom.include_derived", "convert derived series as well"),
        _option("--keep-dates", "dicom.keep_dates", "keep acquisition dates in BIDS",
                alone="dates"),
        _option(
            "--shift-dates", "dicom.shift_dates",
            "keep dates moved before 1925, by other days for every person", alone="dates",
        ),
    ],
    "what changes numbers": [
        _option(
            "--window", "processing.window_min",
            "average these minutes after injection, not the tracer's",
            typed={"nargs": 2, "type": finite, "metavar": ("START", "END")},
            check=checks.window, measures=True,
        ),
        _option(
            "--allow-off-window", "processing.allow_off_window",
            "use the nearest frames of a scan that misses the window (flagged)",
        ),
        _option(
            "--no-motion-correction", "processing.motion_correction",
            "do not align the frames of a scan", check=lambda _, left_out: not left_out,
        ),
        _option(
            "--smooth", "processing.smooth_fwhm_mm", "blur the PET by this FWHM",
            typed=_NUMBER, check=checks.width, alone="blur", measures=True,
            phrases={"": "the average was smoothed by a Gaussian of {:g} mm (FWHM)"},
        ),
        _option(
            "--target-resolution", "processing.target_resolution_mm",
            "blur the PET up to this resolution",
            typed=_NUMBER, check=checks.width, alone="blur", measures=True,
            phrases={
                "": "the average was smoothed to an effective resolution of {:g} mm (FWHM)"
            },
        ),
        _option(
            "--psf", "processing.psf_mm",
            "resolution of the PET (FWHM), one or along x y z; without it it is measured",
            typed=_NUMBER | {"nargs": "+"}, check=checks.widths,
        ),
        _option(
            "--pet-to-t1w", "processing.pet_to_t1w",
            "align by the person's tissue maps, or by mutual information alone (default: model)",
            typed={"choices": [method.value for method in PetToT1w], "default": "model"},
            check=lambda _, value: PetToT1w(value),
        ),
        _option("--pet-only", "processing.pet_only",
                "normalise by the PET itself, without any T1w", measures=True),
        _option("--longitudinal", "processing.longitudinal",
                "place all visits of a person by one template of all their T1w"),
        _option(
            "--calibration", "processing.calibration", "own equations, of centipet-calibrate",
            typed=_FILE, needed_for="the uncertainty of the Centiloid",
        ),
        _option(
            "--tau-vois", "processing.tau_vois", "CenTauR volumes, for scans with a tau tracer",
            typed=_DIR, needed_for="the tau scales",
        ),
        _option(
            "--cutoff", "processing.cutoff", "tell the probability that the Centiloid lies above",
            typed={"nargs": "+", "type": finite, "metavar": "CL", "default": []},
            check=checks.once, measures=True,
        ),
    ],
    "regions": [
        _option(
            "--atlas", "processing.atlases",
            f"{', '.join(_ATLASES)}, or NAME=FILE[,TABLE] (default: Centiloid DesikanKilliany)",
            typed={"nargs": "+", "metavar": "ATLAS", "default": ["DesikanKilliany"]},
            check=lambda _, names: atlas_choices(("Centiloid", *names), absolute_path),
        ),
        _option(
            "--reference-region", "processing.reference_regions",
            f"besides {', '.join(_REFERENCES[:4])}: {', '.join(_REFERENCES[4:])}, or "
            "NAME=ATLAS:LABELS",
            typed={"nargs": "+", "metavar": "REGION", "default": []},
            check=lambda _, names: reference_choices(names),
        ),
        _option(
            "--output-spaces", "processing.voi_spaces",
            f"tables and SUVR images also in T1w or pet, not only {TEMPLATE_SPACE}",
            typed={"nargs": "+", "metavar": "SPACE", "default": []},
            check=lambda _, names: voi_spaces(names),
        ),
        _option("--norms", "processing.norms", "SUVR of healthy people, for z-scores",
                typed=_FILE, needed_for="the z-scores"),
        _option("--write-masks", "processing.write_masks", "write the regions as images"),
        _option(
            "--atlas-threshold", "processing.voi_threshold",
            "whole voxels of at least this probability, where an atlas has probabilities",
            typed=_NUMBER | {"metavar": "P"}, check=checks.probability, measures=True,
        ),
        _option(
            "--gm-threshold", "processing.gm_threshold",
            "grey-matter means of whole voxels of at least this probability, not weighted ones",
            typed=_NUMBER | {"metavar": "P"}, check=checks.probability, measures=True,
        ),
    ],
    "dynamic scans, partial volume": [
        _option(
            "--kinetics", "processing.kinetics",
            f"for dynamic scans: {', '.join(_MODELS)} (default: all) or none",
            typed={"nargs": "+", "type": str.lower, "choices": [*_MODELS, "none"],
                   "default": _MODELS, "metavar": "MODEL"},
            check=checks.chosen(KineticModel),
            phrases={
                "srtm": "the simplified reference tissue model, SRTM ({lammertsma1996})",
                "srtm2": "SRTM2 ({wu2002})",
                "mrtm": "MRTM ({ichise2003})",
                "mrtm2": "MRTM2 ({ichise2003})",
                "logan": "the Logan plot with reference tissue ({logan1996})",
            },
        ),
        _option(
            "--kinetics-reference", "processing.kinetics_reference",
            "a reference region of the run (default: wc)",
            typed={"metavar": "REGION", "default": "wc"},
        ),
        _option(
            "--t-star", "processing.t_star_min", "use later frames only: MRTM, MRTM2, Logan",
            typed=_NUMBER | {"metavar": "MIN"}, check=checks.not_negative,
        ),
        _option("--t-end", "processing.t_end_min", "use earlier frames only",
                typed=_NUMBER | {"metavar": "MIN"}, check=checks.positive),
        _option(
            "--k2-prime", "processing.k2_prime_per_min", "of the reference (default: by SRTM)",
            typed=_NUMBER | {"metavar": "PER_MIN"}, check=checks.positive,
        ),
        _option(
            "--pvc", "processing.pvc",
            f"correct for partial volume: {', '.join(_METHODS)} (default: none)",
            typed={"nargs": "+", "type": str.lower, "choices": [*_METHODS, "none"],
                   "default": [], "metavar": "METHOD"},
            check=checks.chosen(PvcMethod),
            phrases={
                "gtm": "the geometric transfer matrix ({thomas2011})",
                "rbv": "region-based voxel-wise correction ({thomas2011})",
                "iy": "the iterative Yang method ({erlandsson2012})",
                "mg": "the method of Müller-Gärtner ({mullergartner1992})",
            },
        ),
    ],
    "how it runs": [
        _option(
            "--nprocs --nthreads --n-cpus", "resources.nprocs", "processes (here: {here})",
            typed={"type": processes, "metavar": "N"},
        ),
        _option(
            "--mem --mem-mb", "resources.mem_gb", "memory, also as 8G (here: {here:.0f}G)",
            typed={"type": checks.gigabytes, "metavar": "MB"},
        ),
        _option(
            "-w --work-dir", "work_dir", "intermediate results (default: ./work)",
            typed=_DIR | {"default": "work"}, check=lambda _, path: absolute_path(str(path)),
        ),
        _option("--clean-workdir", "clean_workdir", "forget them first"),
        _option("--dry-run", "dry_run", "only tell what would be done, or converted"),
        _option("--config-file", "", "options as TOML: nprocs = 4", typed={"metavar": "FILE"}),
        _option(
            "--step-timeout", "resources.step_timeout_min",
            "end a step that is stuck for so long, with more than one process (default: 60)",
            typed=_NUMBER | {"metavar": "MIN", "default": 60.0}, check=checks.minutes,
        ),
        _option(
            "--use-plugin", "resources.plugin", "nipype plugin, for SLURM",
            typed=_FILE, check=lambda _, path: None if path is None else str(path),
        ),
        _option("--stop-on-first-crash", "stop_on_first_crash", "do not go on"),
        _option("--reports-only", "reports_only", "write the pages anew"),
        _option("--visual-read", "visual_read",
                "also images in one orientation, to read by eye"),
        _option("--boilerplate-only", "boilerplate_only", "print the methods text"),
        _option("--write-graph", "write_graph", "workflow as .dot in logs/"),
        _option("--debug", "debug", "show where an error arose"),
        _option("-v --verbose", "verbosity", "more, -vv everything",
                typed={"action": "count", "default": 0}),
    ],
}  # fmt: skip

OPTIONS = [option for group in GROUPS.values() for option in group]

# Options that change numbers, by their field of `bidsapp.settings.Processing`.
PROCESSING = {one.field: one for one in OPTIONS if one.keeps.startswith("processing.")}


def option_of(flag: str) -> Option:
    """Row of an option by one of its flags."""
    return next(option for option in OPTIONS if flag in option.flags)
