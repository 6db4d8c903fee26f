"""What will be done, decided before anything is computed: one T1w and one window per PET scan.

`bidsapp.bids.planning` makes a plan; the workflows carry it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.bids.pet_metadata import PetTiming
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.settings import AtlasFile


@dataclass(frozen=True)
class T1wPlan:
    """The T1w of one participant and session, or the within-subject template of several.

    Attributes
    ----------
    participant, session : labels without ``sub-`` and ``ses-``
    t1w : path of the raw image; None for a template
    entities : BIDS short keys (sub, ses, acq, rec, run ...) -> labels; of a template sub alone
    visits : the T1ws that a template is made of
    """

    participant: str
    session: str | None
    t1w: Path | None
    entities: dict[str, str] = field(hash=False)
    visits: tuple[T1wPlan, ...] = ()

    @property
    def raw(self) -> tuple[Path, ...]:
        """Paths of the raw images behind it."""
        own = () if self.t1w is None else (self.t1w,)
        return (*own, *(path for visit in self.visits for path in visit.raw))


@dataclass(frozen=True)
class WindowChoice:
    """The part of a scan that is averaged.

    Attributes
    ----------
    wanted_min : (start, end), minutes after injection, that the tracer asks for
    used_min : (start, end) of the frames that are averaged
    frame_weights_s : seconds of each frame inside the window, one per frame of the image
    coverage : part of the wanted window that was scanned, 0 to 1
    late_min : middle of the averaged time minus middle of the wanted window, minutes
    verdict : ``good``, or ``look`` where a flag says how it misses the wanted window
    """

    wanted_min: tuple[float, float]
    used_min: tuple[float, float]
    frame_weights_s: tuple[float, ...]
    coverage: float
    late_min: float
    verdict: QualityLevel


@dataclass(frozen=True)
class PetPart:
    """Another PET after the injection of a scan: the early part of a dual-window study.

    Attributes
    ----------
    pet : path of the raw image
    entities : BIDS short keys -> labels
    metadata : times, on the clock of the scan; units
    """

    pet: Path
    entities: dict[str, str] = field(hash=False)
    metadata: PetTiming


@dataclass(frozen=True)
class ScanPlan:
    """One PET scan that will be processed.

    Attributes
    ----------
    participant, session : labels without ``sub-`` and ``ses-``
    tracer : code as in ``trc-`` of the tracer table (PIB, FBB, FBP, FMM, NAV)
    entities : BIDS short keys of the raw PET (sub, ses, trc, rec, run ...) -> labels
    pet : path of the raw image
    metadata : times, units
    t1w : the T1w or template that places it; None for a PET that is normalised by itself
    window : frames to average
    flags : what planning noticed (window, choice of T1w)
    continued : files that go on with it, on the grid of ``pet``; ``metadata`` has all frames
    parts : other PETs after the same injection, which only the activity over time needs
    suv_factor : SUV of 1 Bq/mL decay-corrected to the injection; None when dose or body weight are
        not known
    site : where it was scanned, None when the dataset does not say
    acquired : when, from ``scans.tsv`` or ``sessions.tsv``; dates may be shifted on purpose, so
        that only differences within a participant mean anything
    about : of participant, session and acquisition (`bidsapp.bids.raw_dataset.RawDataset.about`)
    parcellations : those of the participant that were found, in the space of the T1w
    """

    participant: str
    session: str | None
    tracer: str
    entities: dict[str, str] = field(hash=False)
    pet: Path
    metadata: PetTiming
    t1w: T1wPlan | None
    window: WindowChoice
    flags: tuple[Flag, ...] = ()
    continued: tuple[Path, ...] = ()
    parts: tuple[PetPart, ...] = ()
    suv_factor: float | None = None
    site: str | None = None
    acquired: datetime | None = None
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    parcellations: tuple[AtlasFile, ...] = ()

    @property
    def n_frames(self) -> int:
        """Frames of the scan and of the other parts."""
        return sum(len(part.frame_start_s) for part in self.timings)

    @property
    def is_dynamic(self) -> bool:
        """Whether there is activity over time: several frames, stored in the order of time."""
        starts = [part.frame_start_s for part in self.timings]
        return self.n_frames > 1 and all(list(part) == sorted(part) for part in starts)

    @property
    def timings(self) -> tuple[PetTiming, ...]:
        """Times of the scan, then of the other parts."""
        return (self.metadata, *(part.metadata for part in self.parts))

    @property
    def files(self) -> tuple[tuple[Path, ...], ...]:
        """Raw images of the scan, then of each of the other parts."""
        return ((self.pet, *self.continued), *((part.pet,) for part in self.parts))

    @property
    def pets(self) -> tuple[Path, ...]:
        """All raw PETs behind it."""
        return tuple(pet for files in self.files for pet in files)

    @property
    def raw(self) -> tuple[Path, ...]:
        """Paths of all raw images behind it: its PETs, its T1w."""
        return (*self.pets, *(() if self.t1w is None else self.t1w.raw))

    @property
    def normalisation(self) -> str:
        """How the scan gets to the template: ``t1w``, or ``pet`` for one without T1w."""
        return "pet" if self.t1w is None else "t1w"

    @property
    def anatomy(self) -> str:
        """What it is aligned with: ``t1w``, ``template`` (within-subject), or ``pet`` for none."""
        return "template" if self.t1w is not None and self.t1w.visits else self.normalisation

    @property
    def name(self) -> str:
        """``sub-01_ses-02_trc-FBB``: unique in the dataset."""
        return join_entities(self.entities)


@dataclass(frozen=True)
class ScanFailure:
    """One PET scan that cannot be processed, and why: found while planning.

    ``error_name`` is the name of a class in `bidsapp.errors`; ``message`` one sentence;
    ``planned`` what is going to be done once the image, which only has to be fetched, is there.
    """

    entities: dict[str, str] = field(hash=False)
    pet: Path
    error_name: str
    message: str
    tracer: str | None = None
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    planned: ScanPlan | None = None


@dataclass(frozen=True)
class ScanSkip:
    """One PET scan that is left out on purpose, such as the early part of a dual-window study."""

    entities: dict[str, str] = field(hash=False)
    pet: Path
    reason: str
    tracer: str | None = None
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Plan:
    """Everything one run will do, scans in the order of their names."""

    scans: tuple[ScanPlan, ...]
    failures: tuple[ScanFailure, ...] = ()
    skipped: tuple[ScanSkip, ...] = ()
