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

from bidsapp.bids.entities import parse_entities
from bidsapp.core.anatomy.intensity_model import IntensityModel
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.core.regions.regional import Uptake
from bidsapp.core.regions.voi import VoiStatistics
from bidsapp.settings import Interval

RECORD_SUFFIX = "_centiloid.json"
SCHEMA_VERSION = 1  # records of CentiPET 0.1 have none and count as 0

# Options that say what else is recorded; Centiloid and regions are the same without them.
_REPORTING = (
    "atlases", "derivatives", "reference_regions", "voi_spaces", "write_masks", "norms", "cutoff",
    "interval", "tracer_file", "background", "histogram_width",
)  # fmt: skip

# Options that scans of tau alone, and those that scans of amyloid alone, are measured by.
_OF_TAU, _OF_AMYLOID = ("tau_vois", "tau_calibration"), ("calibration",)

Numbers = Mapping[str, float | None]
Entities = tuple[tuple[str, str], ...]


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
    """A quality number compared with its limits.

    Attributes
    ----------
    level : ``good``, ``look`` (a person should look) or ``wrong`` (it cannot be right)
    basis : what the ends are: ``limit`` of a flag, ``usual`` or ``possible`` values; null where
        something else than ends decided
    lowest : smallest of the good values; null if there is none
    highest : largest of the good values; null if there is none
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
    source : who published the bands
    doi : of that publication
    crossed : thresholds of the scale inside the 95 % interval (see ``interval``), CL
    indeterminate : whether a threshold is crossed; null without an interval
    statement : band, interval and thresholds in a sentence
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
    reference : name of the reference region
    difference : Centiloid by it minus Centiloid by ``reference_region``, CL
    sds : the difference in standard deviations that are expected of it
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
    intercept : Centiloid at an SUVR of 0, CL
    source : who published the equation
    doi : of that publication
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
    id : name of the calibration
    fingerprint : of the pipeline that the calibration was made with
    calibrated : whether the scan was processed in that way; if not, there are SUVRs only, or the
        Centiloid is an approximation
    differences : what was done in another way, in words
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
    corrected : whether frames were moved to the position of the reference frame
    least_corrected_mm : displacement below which a frame is left where it is, mm
    reference_frame : place of the reference frame in the lists, from 0
    pet : number of the PET that each frame is of; 0 is the scan itself
    frame_start_s : start of each frame, seconds after injection
    frame_duration_s : duration of each frame, seconds
    distance_mm : mean displacement of the head in each frame against the reference frame, mm
    translation_mm : displacement of the centre of the head in each frame along x, y, z, mm
    rotation_deg : rotation of the head in each frame: a vector along the axis, as long as the
        angle, degrees
    borrowed : whether a frame has the position of a neighbour, because it shows no head or was
        aligned where none can be
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
    reason : why none was, a sentence
    reference_region : reference region of the models
    k2_prime_per_min : clearance k2' of the reference region, 1/min
    k2_prime_source : ``SRTM``, or ``given`` by the option
    n_frames : number of frames used
    t_end_min : end of the last frame, minutes after injection
    gaps_min : breaks between frames that were bridged, minutes after injection
    region : name of the target region
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
    reason : why it was not, a sentence
    psf_mm : width (FWHM) of the point spread function along the voxel axes, mm
    psf_source : whether that width was ``given`` or ``measured``
    suvr : SUVRs of the cortical target by method and reference region
    condition : condition number of the geometric transfer matrix
    white_matter : uptake of white matter subtracted by Müller-Gärtner, units of the PET
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
    reason : why the image was left out, a sentence; null where it was used
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
    template : whether a within-subject template was used
    reason : why none did, a sentence
    t1w_sources : BIDS URIs of the T1w images that the template was made of
    visits : what is known of each of these images, in the same order
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
    kernel_fwhm_mm : FWHM of the Gaussian that was added, along the voxel axes, mm
    resolution_mm : resolution of the PET before, FWHM along the voxel axes, mm
    resolution_source : whether that resolution was ``given`` or ``measured``
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
    version : version of CentiPET
    command : a command line with the options that change numbers
    parameters : the options that change numbers, by name
    resources : SHA-256 of templates, tissue priors and volumes by name
    inputs : SHA-256 of the raw images, as files
    voxels : SHA-256 of the raw images, of their voxels alone
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
    """The part of a scan's record from one processing step.

    Attributes
    ----------
    method : how the PET was aligned: ``t1w+model``, ``t1w+nmi``, the same with ``template``, or
        ``pet-only``
    suvr : uptake ratio of the cortical target by reference region
    centiloid_suvr : uptake ratios that the Centiloid rests on, where those of ``suvr`` are measured
        in a way for which there is no equation (smoothed, volumes of 1 mm); else empty
    centiloid : Centiloid by the reference region ``reference_region``, CL
    centiloid_sd : standard deviation of the Centiloid as an estimate of what PiB would show, CL
    centiloid_interval : 95 % interval of what PiB would show, CL
    rescan_sd : standard deviation of the Centiloid as an estimate of the average over many scans
        of the same person with the same tracer, CL
    rescan_interval : 95 % interval of that average, CL
    uncertainty : standard deviation of the Centiloid by component, CL
    band : the band of the Centiloid scale that the Centiloid lies in; null where a flag doubts the
        number
    p_above_cutoff : probability that the true Centiloid lies above a cut-off, by cut-off in CL
    interval : the 95 % interval that band and cut-offs are read by: ``rescan``
        (``rescan_interval``) or ``pib`` (``centiloid_interval``)
    centiloids : Centiloid by reference region
    reference_agreement : the reference region by which the Centiloid differs most
    scales : of a tau tracer: values by scale (``suvr``, ``centaurz``, ``centaur``) and region
    qc : quality numbers by name; ``data/qc.toml`` has their meaning and unit
    flags : what a person should check
    voi : uptake in the Centiloid volumes
    reference_uptake : uptake of every reference region, units of the PET
    field_of_view : the axial field of view of the PET
    smoothing : blur that was added to the PET; null without
    motion : motion of the head between frames; null for a single frame
    tacs : time-activity curves in the units of the PET by atlas, relative to the dataset
    tacs_suv : time-activity curves as standardised uptake values by atlas, relative to the
        dataset
    kinetics : kinetic models of a dynamic scan; null without
    pvc : correction for partial volume; null without
    pet_only : normalisation without a T1w; null with one
    t1w_intensities : histogram of the T1w and the tissues fitted to it; null without a T1w
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
    name : displayed name
    synonyms : other names that raw data may use
    radionuclide : as BIDS writes it
    half_life_s : half-life of the radionuclide, seconds
    window_min : uptake window, minutes after injection
    """

    name: str
    synonyms: tuple[str, ...]
    radionuclide: str
    half_life_s: float
    window_min: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ScanRecord(RecordPart):
    """One PET scan: plan, result and provenance.

    Attributes
    ----------
    schema_version : version of the schema that the record follows
    status : outcome of the scan
    reason : why there is no result, a sentence; null with one
    error : class of the error that ended the scan; null without
    participant_id : ``sub-<label>``
    session_id : ``ses-<label>``; null without sessions
    entities : entities of the name of the raw PET: short key -> label
    source : BIDS URI of the raw PET
    t1w_source : BIDS URI of the raw T1w, or of the template that was made of several; null without
    site : where it was scanned, as the raw dataset says
    acq_time : when it was scanned, ISO 8601; dates may be shifted, so only differences within a
        participant mean anything
    participant : row of ``participants.tsv`` without dates, explained codes of sex in words
    session : row of ``sessions.tsv``, likewise
    acquisition : fields of the raw sidecar about scanner, dose and reconstruction
    tracer : code of the tracer, as in ``trc-``
    tracer_name : name of the tracer as the raw data gave it
    tracer_definition : the tracer as ``--tracer-file`` describes it; null for one of the package
    window_start_min : start of what was averaged, minutes after injection
    window_end_min : end of what was averaged, minutes after injection
    tracer_window_min : start and end of the uptake window of the tracer, minutes after injection
    window : how what was averaged covers the uptake window of the tracer
    frame_start_s : start of every frame of the raw PET, seconds after injection
    frame_duration_s : duration of every frame of the raw PET, seconds
    frame_weights_s : seconds of each frame that were averaged
    reference_region : reference region that ``centiloid`` rests on
    equation : equation from SUVR to Centiloid; null if there is none for the scan
    calibration : whether that line belongs to the way the scan was processed
    coverage : the Centiloid volume of which least lies in the field of view
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
    def t1w_entities(self) -> Entities:
        """Entities of its T1w; of the scan itself when it never got one."""
        return tuple((parse_entities(self.t1w_source or "") or self.entities).items())

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
    def own_parameters(self) -> dict[str, object]:
        """Options of the run without those for scans of another kind: amyloid or tau."""
        unused = _OF_AMYLOID if self.scales else _OF_TAU
        return {k: v for k, v in self.provenance.parameters.items() if k not in unused}

    @property
    def fingerprint(self) -> str | None:
        """Twelve hexadecimal digits that change with what makes the numbers of a scan."""
        options = {k: v for k, v in self.own_parameters.items() if k not in _REPORTING}
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
