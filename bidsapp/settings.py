"""User settings, built once from the command line and passed down as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

TEMPLATE_SPACE = "MNI152NLin6Asym"
TEMPLATE_REFERENCE = (
    "https://templateflow.s3.amazonaws.com/tpl-MNI152NLin6Asym/"
    "tpl-MNI152NLin6Asym_res-02_T1w.nii.gz"
)


class Level(StrEnum):
    """Analysis levels of the BIDS-App."""

    PARTICIPANT = "participant"
    GROUP = "group"


class PetToT1w(StrEnum):
    """How the PET is aligned with the T1w."""

    MODEL = "model"  # by the subject's own tissue maps, after an NMI start
    NMI = "nmi"  # normalised mutual information, as the published scale was made


class Interval(StrEnum):
    """Meaning of the 95 % interval of a Centiloid."""

    RESCAN = "rescan"  # what the same tracer gives on average when the person is scanned again
    PIB = "pib"  # what PiB would have shown


class KineticModel(StrEnum):
    """Reference-tissue models of dynamic scans."""

    SRTM = "srtm"  # Lammertsma & Hume 1996
    SRTM2 = "srtm2"  # Wu & Carson 2002
    MRTM = "mrtm"  # Ichise et al. 2003
    MRTM2 = "mrtm2"  # Ichise et al. 2003
    LOGAN = "logan"  # Logan et al. 1996


class PvcMethod(StrEnum):
    """Corrections of the partial volume effect."""

    GTM = "gtm"  # geometric transfer matrix, Rousset et al. 1998
    RBV = "rbv"  # region-based voxel-wise, Thomas et al. 2011
    IY = "iy"  # iterative Yang, Erlandsson et al. 2012
    MG = "mg"  # Mueller-Gaertner et al. 1992


@dataclass(frozen=True)
class Filters:
    """Which part of the dataset to process; empty means all. Labels without prefix."""

    participant: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    tracer: tuple[str, ...] = ()
    rec: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    bids_filters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def unmatched(self, is_there: Callable[[Filters], bool]) -> list[str]:
        """One sentence per label that matches nothing, such as a typing error.

        Parameters
        ----------
        is_there : whether anything is left by a filter, which holds one label

        Returns
        -------
        list of str
        """
        sentences = []
        for name in ("participant", "session", "tracer", "rec", "run"):
            for label in getattr(self, name):
                alone: dict[str, Any] = {name: (label,)}
                if not is_there(Filters(**alone)):
                    sentences.append(f"--{name}-label {label}: no PET has it")
        return sentences


@dataclass(frozen=True)
class StudyOptions:
    """How the group level combines scans; None for the defaults of the package."""

    controls: tuple[str, str] | None = None  # --controls, column and value; None: the young
    leave_out_rejected: bool = False
    amyloid_cutoff: float | None = None  # --amyloid-cutoff, CL; A+ above
    tau_cutoff: tuple[str | None, float] | None = None  # --tau-cutoff, region, CenTauRz; T+ above
    pair_days: float | None = None  # --pair-days, longest between an amyloid and a tau scan


USUAL_STUDY = StudyOptions()


@dataclass(frozen=True)
class DicomInput:
    """Where DICOM comes from and where its BIDS goes."""

    dicom_dir: Path
    converted_dir: Path | None = None
    label_map: Path | None = None  # --dicom-map
    metadata: Path | None = None  # --dicom-metadata
    convert_only: bool = False
    dry_run: bool = False
    tracer: str | None = None  # --tracer
    include_derived: bool = False
    keep_dates: bool = False
    shift_dates: bool = False


@dataclass(frozen=True)
class AtlasChoice:
    """An atlas of the package, by its name."""

    name: str


@dataclass(frozen=True)
class AtlasFile(AtlasChoice):
    """An atlas from a file: of the user, or the parcellation of one participant."""

    image: Path
    table: Path | None = None
    space: str | None = None  # None: as the name of the image says
    program: str | None = None  # whose names the labels have
    erode_mm: float | None = None  # margin of every region that is not measured


@dataclass(frozen=True, kw_only=True)
class ParcellationChoice(AtlasChoice):
    """A parcellation of every participant: what is measured is the `AtlasFile` of each."""

    table: Path | None = None
    space: str = "T1w"
    own: Path  # pattern of the files (--atlas), or folder of the program (--derivatives)
    program: str | None = None
    erode_mm: float | None = None


@dataclass(frozen=True)
class ReferenceChoice:
    """A reference region: of the table by its name, labels of an atlas, or several of these."""

    name: str
    atlas: str | None = None
    labels: tuple[str, ...] = ()  # names, indices, ranges of indices
    parts: tuple[ReferenceChoice, ...] = ()  # of a composite; all have a weight, or none has
    weight: float | None = None  # of the mean of a part; None: its voxels count like all others
    erode_mm: float | None = None


@dataclass(frozen=True)
class Processing:
    """Options that change numbers; they enter every hash and every derivative's provenance."""

    pet_to_t1w: PetToT1w = PetToT1w.MODEL
    window_min: tuple[float, float] | None = None  # --window, minutes after injection
    allow_off_window: bool = False
    pet_only: bool = False  # --pet-only, no T1w even where there is one
    initial_transform: Path | None = None  # --initial-transform, from template to T1w, of ITK
    longitudinal: bool = False  # --longitudinal, one template of all T1w of a participant
    motion_correction: bool = True  # --no-motion-correction
    smooth_fwhm_mm: float | None = None  # --smooth, blur added to the mean of the window
    target_resolution_mm: float | None = None  # --target-resolution, blurred up to this
    voi_mm: int = 2  # --voi-resolution, grid of the Centiloid volumes
    psf_mm: tuple[float, float, float] | None = None  # --psf, resolution along the voxel axes
    atlases: tuple[AtlasChoice, ...] = (AtlasChoice("Centiloid"), AtlasChoice("DesikanKilliany"))
    derivatives: tuple[
        ParcellationChoice | AtlasFile, ...
    ] = ()  # --derivatives, parcellations of other programs
    reference_regions: tuple[ReferenceChoice, ...] = ()  # besides the four of the Centiloid project
    voi_spaces: tuple[str, ...] = (TEMPLATE_SPACE,)  # --output-spaces; also T1w, pet
    voi_threshold: float | None = None  # of probability maps, None: fractional voxels
    gm_threshold: float | None = None  # None: weighted by the probability of grey matter
    write_masks: bool = False
    background: str = "wc"  # --background of SNR and CNR, one of the reference regions of the run
    histogram_width: float | None = None  # --histograms, bins of SUVR; None: no histograms
    norms: Path | None = None
    calibration: Path | None = None  # --calibration, the user's own equations
    tracer_file: Path | None = None  # --tracer-file, tracers that the package does not have
    tau_vois: Path | None = None  # --tau-vois, folder of the CenTauR volumes
    tau_calibration: Path | None = None  # --tau-calibration, lines to the SUVRs of the standard way
    dicom_metadata: Path | None = None  # --dicom-metadata of a BIDS dataset: stated times and doses
    cutoff: tuple[float, ...] = ()  # --cutoff, CL; report the probability of lying above
    interval: Interval = Interval.RESCAN  # --interval, that bands and cut-offs are read by
    kinetics: tuple[KineticModel, ...] = tuple(KineticModel)  # --kinetics, for dynamic scans
    kinetics_reference: str = "wc"  # --kinetics-reference, one of the reference regions of the run
    t_star_min: float | None = None  # --t-star, minutes after injection; None: that of the model
    t_end_min: float | None = None  # --t-end, minutes after injection
    k2_prime_per_min: float | None = None  # --k2-prime; None: from SRTM
    pvc: tuple[PvcMethod, ...] = ()  # --pvc


@dataclass(frozen=True)
class Resources:
    """Resources of the machine."""

    nprocs: int = 1
    mem_gb: float = 4.0
    plugin: str | None = None  # --use-plugin FILE
    step_timeout_min: float = 60.0


@dataclass(frozen=True)
class Settings:
    """One run of ``centipet``."""

    bids_dir: Path
    output_dir: Path
    level: Level
    work_dir: Path
    filters: Filters = Filters()
    study: StudyOptions = USUAL_STUDY
    ratings: tuple[Path, ...] = ()  # of readers, for the group level
    dicom: DicomInput | None = None
    processing: Processing = Processing()
    resources: Resources = Resources()
    database_dir: Path | None = None
    skip_bids_validation: bool = False
    clean_workdir: bool = False
    dry_run: bool = False  # --dry-run for BIDS input: print the plan and stop
    stop_on_first_crash: bool = False
    reports_only: bool = False
    visual_read: bool = False  # images in one orientation and on one scale, besides
    boilerplate_only: bool = False
    write_graph: bool = False
    debug: bool = False
    verbosity: int = 0

    @property
    def workers(self) -> int:
        """Processes of this machine, beside this one, that process participants; 0 for none."""
        without_results = self.dry_run or self.reports_only or self.boilerplate_only
        converted = self.dicom is not None and (self.dicom.convert_only or self.dicom.dry_run)
        here = self.level is Level.PARTICIPANT and self.resources.plugin is None
        nprocs = self.resources.nprocs
        return nprocs if here and nprocs > 1 and not without_results and not converted else 0
