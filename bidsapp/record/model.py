"""The content of a record: frozen dataclasses whose fields are the keys of the JSON.

Plain dataclasses, because no library does both things that a record needs: a field of a foreign
record that cannot be what CentiPET wrote is left out and named while the rest is read, and the
result is an ordinary immutable object. The reader for that is `bidsapp.record.codec`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from bidsapp.core.anatomy.intensity_model import IntensityModel
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.core.regions.regional import Uptake
from bidsapp.core.regions.voi import VoiStatistics
from bidsapp.settings import Interval

RECORD_SUFFIX = "_centiloid.json"
SCHEMA_VERSION = 1  # records of CentiPET 0.1 have none and count as 0

# Options that say what else is told of a scan; its Centiloid and regions are the same without them.
_REPORTING = (
    "atlases", "derivatives", "reference_regions", "voi_spaces", "write_masks", "norms", "cutoff",
    "interval", "tracer_file", "background", "histogram_width",
)  # fmt: skip

# Options that scans of tau alone, and those that scans of amyloid alone, are measured by.
_OF_TAU, _OF_AMYLOID = ("tau_vois", "tau_calibration"), ("calibration",)

Numbers = Mapping[str, float | None]


class Status(StrEnum):
    """What became of a scan."""

    OK = "ok"
    FAILED = "failed"
    INCOMPLETE = "incomplete"  # a run began and never said how it ended
    SKIPPED = "skipped"  # left out on purpose


@dataclass(frozen=True)
class Frame:
    """One frame of the raw PET: seconds after injection, and the seconds that were averaged."""

    start_s: float
    duration_s: float
    weight_s: float


class Basis(StrEnum):
    """What the ends of a verdict are."""

    LIMIT = "limit"  # of a flag
    USUAL = "usual"  # what healthy and ill people on clinical scanners have
    POSSIBLE = "possible"  # beyond, the number cannot be right


@dataclass(frozen=True)
class Verdict:
    """A quality number judged: where it lies against its limits.

    Attributes
    ----------
    level : ``good``, ``look`` (a person should look) or ``wrong`` (it cannot be right)
    basis : what the ends are: ``limit`` of a flag, ``usual`` or ``possible`` values; null where
        something else than ends decided
    lowest, highest : ends of the good values; null where there is none
    """

    level: QualityLevel
    basis: Basis | None = None
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class WindowCoverage:
    """How the averaged frames cover the uptake window of the tracer.

    Attributes
    ----------
    coverage : part of the tracer's window that was scanned, 0 to 1
    verdict : ``good`` or ``look``, as planning judged it
    """

    coverage: float | None = None
    verdict: QualityLevel | None = None


@dataclass(frozen=True)
class BandStatement:
    """The band of the Centiloid scale that the value lies in.

    Attributes
    ----------
    name : stable code of the band
    label : the stretch in words
    source, doi : who published the bands
    crossed : thresholds inside the 95 % interval that decides, CL
    indeterminate : whether there is one; null without an interval
    statement : all of it in a sentence
    """

    name: str
    label: str | None = None
    source: str | None = None
    doi: str | None = None
    crossed: tuple[float, ...] = ()
    indeterminate: bool | None = None
    statement: str | None = None


@dataclass(frozen=True)
class ReferenceAgreement:
    """The reference region whose Centiloid differs most from that of the main one.

    Attributes
    ----------
    reference : name of the region
    difference : its Centiloid minus that of the main region, CL
    sds : the same in expected standard deviations
    """

    reference: str | None = None
    difference: float | None = None
    sds: float | None = None


@dataclass(frozen=True)
class EquationUsed:
    """Centiloid = ``slope`` * SUVR + ``intercept``.

    Attributes
    ----------
    slope : CL per unit of SUVR
    intercept : CL
    source, doi : who published it
    """

    slope: float
    intercept: float
    source: str | None = None
    doi: str | None = None


@dataclass(frozen=True)
class CalibrationState:
    """Whether the equation belongs to the way that the scan was processed.

    Attributes
    ----------
    id : of the calibration
    fingerprint : of the pipeline it was made with
    calibrated : whether it was processed so; if not there are SUVRs only, or an approximation
    differences : what was done otherwise
    """

    id: str | None = None
    fingerprint: str | None = None
    calibrated: bool | None = None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeastCoverage:
    """The Centiloid volume of which the PET has seen the least part.

    Attributes
    ----------
    region : name of the volume
    share : part of it in the field of view, 0 to 1
    """

    region: str
    share: float


@dataclass(frozen=True)
class Motion:
    """Motion of the head between all frames of one injection, in the order of time.

    Attributes
    ----------
    corrected : whether the frames of a PET were moved at all
    least_corrected_mm : less is not corrected
    reference_frame : place of the reference frame in the lists, from 0
    pet : PET of each frame; 0 is the scan itself
    frame_start_s, frame_duration_s : of each frame, seconds after injection
    distance_mm : mean displacement over the head against the reference
    translation_mm : of the centre of the head, x, y, z
    rotation_deg : rotation vectors
    borrowed : frames that show no head, or were aligned where none can be, and have the position
        of a neighbour
    """

    corrected: bool | None = None
    least_corrected_mm: float | None = None
    reference_frame: int | None = None
    pet: tuple[int, ...] = ()
    frame_start_s: tuple[float, ...] = ()
    frame_duration_s: tuple[float, ...] = ()
    distance_mm: tuple[float, ...] = ()
    translation_mm: tuple[tuple[float, ...], ...] = ()
    rotation_deg: tuple[tuple[float, ...], ...] = ()
    borrowed: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Kinetics:
    """Kinetic models of the cortical target.

    Attributes
    ----------
    done : whether any model was fitted
    reason : why not
    reference_region : of the models
    k2_prime_per_min : clearance of the reference region, 1/min
    k2_prime_source : model or option that gave it
    n_frames : number of frames used
    t_end_min : end of the last frame, minutes after injection
    gaps_min : stretches without PET that were bridged, minutes after injection
    region : the target
    models : parameters and their standard errors by model
    tables : table of all regions by atlas, relative to the dataset
    """

    done: bool | None = None
    reason: str | None = None
    reference_region: str | None = None
    k2_prime_per_min: float | None = None
    k2_prime_source: str | None = None
    n_frames: int | None = None
    t_end_min: float | None = None
    gaps_min: tuple[tuple[float, ...], ...] = ()
    region: str | None = None
    models: Mapping[str, Numbers] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PartialVolume:
    """Correction for the partial volume effect; the Centiloid is always without.

    Attributes
    ----------
    done : whether uptake was corrected
    reason : why not
    psf_mm : width (FWHM) of the point spread function along the voxel axes, mm
    psf_source : ``given`` or ``measured``
    suvr : SUVRs of the cortical target by method and reference region
    condition : condition number of the geometric transfer matrix
    white_matter : uptake of white matter that Müller-Gärtner takes away, units of the PET
    tables : table of all regions by atlas, relative to the dataset
    """

    done: bool | None = None
    reason: str | None = None
    psf_mm: tuple[float, ...] | None = None
    psf_source: str | None = None
    suvr: Mapping[str, Numbers] = field(default_factory=dict)
    condition: float | None = None
    white_matter: float | None = None
    tables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TemplateVisit:
    """A T1w of the within-subject template.

    Attributes
    ----------
    reason : why it was left out; null where it was used
    tissue_ml : volume of grey and white matter, ml
    ventricles_ml : volume of the CSF deep in the brain, ml
    agreement : correlation, over the brain, with the mean of the others
    """

    reason: str | None = None
    tissue_ml: float | None = None
    ventricles_ml: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Longitudinal:
    """Whether a within-subject template placed the scan; only with ``--longitudinal``.

    Attributes
    ----------
    template : whether one did
    reason : why not
    t1w_sources : BIDS URIs of the T1ws it was made of
    visits : what is known of each of them, in their order
    """

    template: bool | None = None
    reason: str | None = None
    t1w_sources: tuple[str, ...] = ()
    visits: tuple[TemplateVisit, ...] = ()


@dataclass(frozen=True)
class Smoothing:
    """Blur that was added to the PET.

    Attributes
    ----------
    target_mm : resolution that was asked for, FWHM, mm
    kernel_fwhm_mm : of the Gaussian along the voxel axes, mm
    resolution_mm : of the PET before, along the voxel axes, mm
    resolution_source : ``given`` or ``measured``
    """

    target_mm: float | None = None
    kernel_fwhm_mm: tuple[float, ...] = ()
    resolution_mm: tuple[float, ...] = ()
    resolution_source: str | None = None


@dataclass(frozen=True)
class FieldOfView:
    """The axial field of view of the PET.

    Attributes
    ----------
    excluded_planes : planes at its beginning and end that hold artefacts
    """

    excluded_planes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PetOnly:
    """What the normalisation without a T1w found.

    Attributes
    ----------
    levels : uptake of each tissue pattern of the template, units of the PET
    """

    levels: Numbers = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """Everything that made the numbers.

    Attributes
    ----------
    version : of CentiPET
    command : a command line with the options that change numbers
    parameters : these options
    resources : SHA-256 of templates, tissue priors and volumes by name
    inputs : SHA-256 of the raw images
    voxels : SHA-256 of the voxels of the raw images
    outputs : SHA-256 of every file that was written, by name relative to the dataset
    """

    version: str | None = None
    command: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    voxels: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class RecordPart:
    """What one step of the processing gives to the record of a scan.

    Attributes
    ----------
    method : how the PET was placed: ``t1w+model``, ``t1w+nmi``, the same with ``template``, or
        ``pet-only``
    suvr : uptake ratio of the cortical target by reference region
    centiloid_suvr : the same that the Centiloid rests on, where ``suvr`` is measured in a way for
        which there is no equation (smoothed, volumes of 1 mm); else empty
    centiloid : by the reference region ``reference_region``, CL
    centiloid_sd : its standard deviation as what PiB would have shown, CL
    centiloid_interval : 95 % interval of what PiB would have shown, CL
    rescan_sd : its standard deviation as what the same tracer gives on average over many scans, CL
    rescan_interval : 95 % interval of the same tracer scanned again, CL
    uncertainty : standard deviation of the Centiloid by component, CL
    band : the band of the Centiloid scale that it lies in; none where a flag doubts the number
    p_above_cutoff : probability that the true Centiloid lies above a cut-off (its name, CL)
    interval : the 95 % interval that band and cut-offs are read by: ``rescan`` or ``pib``
    centiloids : Centiloid by reference region
    reference_agreement : the reference region that differs most
    scales : of a tau tracer: values by scale (``suvr``, ``centaurz``, ``centaur``) and region
    qc : quality numbers by name; ``data/qc.toml`` has their meaning and unit
    flags : what a person should look at
    voi : uptake in the Centiloid volumes
    reference_uptake : uptake of every reference region, units of the PET
    field_of_view : the axial field of view of the PET
    smoothing : blur that was added; null without
    motion : of the head between frames; null for a single frame
    tacs, tacs_suv : tables of activity over time by atlas, relative to the dataset; in the units
        of the PET and as standardised uptake values
    kinetics : kinetic models; null without
    pvc : correction for partial volume; null without
    pet_only : normalisation without a T1w; null with one
    t1w_intensities : histogram of the T1w
    longitudinal : within-subject template; null without ``--longitudinal``
    """

    method: str | None = None
    suvr: Numbers = field(default_factory=dict)
    centiloid_suvr: Numbers = field(default_factory=dict)
    centiloid: float | None = None
    centiloid_sd: float | None = None
    centiloid_interval: tuple[float, float] | None = None
    rescan_sd: float | None = None
    rescan_interval: tuple[float, float] | None = None
    uncertainty: Numbers = field(default_factory=dict)
    band: BandStatement | None = None
    p_above_cutoff: Numbers = field(default_factory=dict)
    interval: Interval | None = None
    centiloids: Numbers = field(default_factory=dict)
    reference_agreement: ReferenceAgreement | None = None
    scales: Mapping[str, Numbers] = field(default_factory=dict)
    qc: Numbers = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    voi: Mapping[str, VoiStatistics] = field(default_factory=dict)
    reference_uptake: Mapping[str, Uptake] = field(default_factory=dict)
    field_of_view: FieldOfView | None = None
    smoothing: Smoothing | None = None
    motion: Motion | None = None
    tacs: Mapping[str, str] = field(default_factory=dict)
    tacs_suv: Mapping[str, str] = field(default_factory=dict)
    kinetics: Kinetics | None = None
    pvc: PartialVolume | None = None
    pet_only: PetOnly | None = None
    t1w_intensities: IntensityModel | None = None
    longitudinal: Longitudinal | None = None


@dataclass(frozen=True)
class TracerDefinition:
    """A tracer that the package does not have, as the user's file described it.

    Attributes
    ----------
    name : for people
    synonyms : other names
    radionuclide : as BIDS writes it
    half_life_s : of the radionuclide, seconds
    window_min : uptake window, minutes after injection
    """

    name: str
    synonyms: tuple[str, ...]
    radionuclide: str
    half_life_s: float
    window_min: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ScanRecord(RecordPart):
    """One PET scan: what was planned, what came out, what made it.

    Attributes
    ----------
    schema_version : version of the schema that the record follows
    status : what became of the scan
    reason : why there is no result, a sentence
    error : class of the error
    participant_id, session_id : ``sub-<label>``; ``ses-<label>`` or null
    entities : BIDS short keys -> labels of the raw PET
    source, t1w_source : BIDS URIs of the raw images; of the template that was made of several T1w
    site : where it was scanned, as the raw dataset says
    acq_time : when, ISO 8601; only differences within a participant mean anything
    participant, session : columns of ``participants.tsv`` and ``sessions.tsv``, as they stand there
    acquisition : fields of the raw sidecar about scanner, dose and reconstruction
    tracer, tracer_name : code as in ``trc-``; name as the raw data gave it
    tracer_definition : of ``--tracer-file``; null for a tracer of the package
    window_start_min, window_end_min : what was averaged, minutes after injection
    tracer_window_min : what the tracer asks for, minutes after injection
    window : how far the one covers the other
    frame_start_s, frame_duration_s : of every frame of the raw PET, seconds after injection
    frame_weights_s : seconds of each frame that were averaged
    reference_region : of the Centiloid
    equation : of the Centiloid; null where none belongs to the scan
    calibration : whether it belongs to the way the scan was processed
    coverage : the Centiloid volume that the PET has seen least of
    verdicts : on ``window``, ``coverage``, ``plausible`` (the Centiloid) and on the numbers of
        ``qc`` that have limits: judged once, when the record is completed
    provenance : everything that made the numbers
    path : of the record, relative to the derivative dataset, with ``/``; not in the JSON
    """

    schema_version: int = SCHEMA_VERSION
    status: Status = Status.INCOMPLETE
    reason: str | None = None
    error: str | None = None
    participant_id: str
    session_id: str | None = None
    entities: Mapping[str, str]
    source: str | None = None
    t1w_source: str | None = None
    site: str | None = None
    acq_time: str | None = None
    participant: Mapping[str, str | None] = field(default_factory=dict)
    session: Mapping[str, str | None] = field(default_factory=dict)
    acquisition: Mapping[str, object] = field(default_factory=dict)
    tracer: str | None = None
    tracer_name: str | None = None
    tracer_definition: TracerDefinition | None = None
    window_start_min: float | None = None
    window_end_min: float | None = None
    tracer_window_min: tuple[float, float] | None = None
    window: WindowCoverage | None = None
    frame_start_s: tuple[float, ...] = ()
    frame_duration_s: tuple[float, ...] = ()
    frame_weights_s: tuple[float, ...] = ()
    reference_region: str | None = None
    equation: EquationUsed | None = None
    calibration: CalibrationState | None = None
    coverage: LeastCoverage | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    path: str = field(default="", metadata={"written": False})

    @property
    def name(self) -> str:
        """``sub-01_ses-02_trc-FBB``: unique in the dataset."""
        return Path(self.path).name.removesuffix(RECORD_SUFFIX)

    @property
    def version(self) -> str | None:
        """Version of the app that wrote the record."""
        return self.provenance.version

    @property
    def window_min(self) -> tuple[float, float] | None:
        """Start and end of what was averaged, minutes after injection."""
        if self.window_start_min is None or self.window_end_min is None:
            return None
        return self.window_start_min, self.window_end_min

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Every frame of the raw PET; empty when the record does not list them."""
        columns = (self.frame_start_s, self.frame_duration_s, self.frame_weights_s)
        if len({len(column) for column in columns}) != 1:
            return ()
        return tuple(Frame(*map(float, row)) for row in zip(*columns, strict=True))

    @property
    def acquired(self) -> datetime | None:
        """When it was scanned, without time zone."""
        if self.acq_time is None:
            return None
        return datetime.fromisoformat(self.acq_time).replace(tzinfo=None)

    def uptake(self, region: str) -> float | None:
        """Mean uptake of a Centiloid volume, units of the PET.

        Parameters
        ----------
        region : name of the volume

        Returns
        -------
        float or None
            None when it was not measured.
        """
        return self.voi[region].mean if region in self.voi else None

    @property
    def worst(self) -> QualityLevel | None:
        """The worst verdict; None without any."""
        levels = [verdict.level for verdict in self.verdicts.values()]
        return max(levels, key=list(QualityLevel).index, default=None)

    @property
    def n_doubts(self) -> int:
        """Number of verdicts that are not good."""
        return sum(verdict.level is not QualityLevel.GOOD for verdict in self.verdicts.values())

    @property
    def atlases(self) -> tuple[str, ...]:
        """Names of the atlases of the run that made the record."""
        options = (self.provenance.parameters.get(key) for key in ("atlases", "derivatives"))
        entries = [row for chosen in options if isinstance(chosen, list) for row in chosen]
        return tuple(str(row["name"]) for row in entries if isinstance(row, dict) and "name" in row)

    @property
    def fingerprint(self) -> str | None:
        """Twelve hexadecimal digits that change with what makes the numbers of a scan."""
        unused = {*_REPORTING, *(_OF_AMYLOID if self.scales else _OF_TAU)}
        options = {k: v for k, v in self.provenance.parameters.items() if k not in unused}
        recipe: dict[str, Mapping[str, object] | None] = {
            "parameters": options or None,
            "resources": self.provenance.resources or None,
        }
        if not any(recipe.values()):
            return None
        canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Order of tables and pages: participant, session, tracer, rec, run."""
        run = self.entities.get("run", "")
        return (
            *(self.entities.get(key, "") for key in ("sub", "ses", "trc", "rec")),
            run.zfill(6),
            self.path,
        )
