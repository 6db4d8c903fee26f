"""Sessions and names: which converted series goes where in the BIDS dataset.

One session per injection.  A T1w joins the session of the injection nearest to it in time.  Scans
of one time that come from two studies with two frames of reference are two visits whose dates were
made equal: reconstructions of one acquisition share one of the two.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import ClassVar, Self

from bidsapp.bids.limits import FAR_T1W
from bidsapp.bids.values import UNDATED
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.dicom.classify import rank_reason, t1w_rank
from bidsapp.dicom.pet_frames import Frame
from bidsapp.dicom.remarks import WITHOUT_T1W
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import Series, SeriesKey
from bidsapp.dicom.sidecar import PetFacts
from bidsapp.grouping import grouped

_SAME_INJECTION = timedelta(minutes=5)  # series of one injection, clocks of two consoles
_ROUNDING = timedelta(seconds=1)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class WantedScan:
    """A series that is wanted, with what its name and its conversion rest on.

    Attributes
    ----------
    participant, session : labels; the session is None unless the user gave it
    frames : its images in time
    remarks : what was noticed
    """

    series: Series
    participant: str
    session: str | None
    frames: tuple[Frame, ...]
    remarks: tuple[Flag, ...]

    def with_remarks(self, *remarks: Flag) -> Self:
        """Return it with more remarks.

        Parameters
        ----------
        *remarks : to add

        Returns
        -------
        Self
        """
        return replace(self, remarks=(*self.remarks, *remarks))


@dataclass(frozen=True)
class PetScan(WantedScan):
    """A PET series.

    Attributes
    ----------
    factors : what takes the rescaled voxels of each frame to Bq/mL
    facts : what its sidecar needs
    """

    factors: tuple[float, ...]
    facts: PetFacts

    @property
    def tracer(self) -> str:
        """Code of the tracer."""
        return self.facts.tracer.code

    @property
    def times(self) -> TimeModel:
        """Its times."""
        return self.facts.times

    @property
    def start(self) -> datetime:
        """Wall-clock start of the first frame."""
        return self.times.injection + timedelta(seconds=self.times.scan_start_s)

    @property
    def end(self) -> datetime:
        """Wall-clock end of the last frame."""
        return self.times.injection + timedelta(seconds=self.times.end_s)


@dataclass(frozen=True)
class T1wScan(WantedScan):
    """A T1w series, of one frame.

    Attributes
    ----------
    acquired : when, None when no tag says it
    """

    acquired: datetime | None
    factors: ClassVar = (1.0,)  # its voxels stay as they are

    @property
    def order(self) -> tuple[object, ...]:
        """Sort key among equals: the earlier one."""
        return self.acquired or datetime.max, self.series.key


@dataclass(frozen=True)
class Target:
    """Name of a converted series."""

    entities: dict[str, str]
    suffix: str

    @property
    def stem(self) -> PurePosixPath:
        """Path below the dataset without extension."""
        entities = self.entities
        folders = [f"sub-{entities['sub']}", f"ses-{entities['ses']}"]
        name = "_".join([*(f"{key}-{value}" for key, value in entities.items()), self.suffix])
        return PurePosixPath(*folders, "pet" if self.suffix == "pet" else "anat", name)


@dataclass
class ConversionPlan:
    """Targets and remarks by series, and why a series that could be converted is not."""

    targets: dict[SeriesKey, Target] = field(default_factory=dict)
    remarks: dict[SeriesKey, list[Flag]] = field(default_factory=lambda: defaultdict(list))
    left_out: dict[SeriesKey, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Session:
    label: str
    injection: datetime | None


@dataclass(frozen=True)
class LostScan:
    """A PET that cannot be converted now, and when it was acquired."""

    participant: str
    acquired: datetime


def make_plan(pets: list[PetScan], t1ws: list[T1wScan], lost: list[LostScan]) -> ConversionPlan:
    """Give every wanted series its name.

    A lost scan keeps its place in the numbering of sessions, so that the others keep their names
    when it can be converted after all.

    Parameters
    ----------
    pets, t1ws : series that are wanted
    lost : PETs that cannot be converted now

    Returns
    -------
    ConversionPlan
    """
    plan = ConversionPlan()
    people = sorted({scan.participant for scan in pets} | {scan.participant for scan in t1ws})
    for person in people:
        own_pets = [scan for scan in pets if scan.participant == person]
        own_t1ws = [scan for scan in t1ws if scan.participant == person]
        dates = [scan.acquired for scan in lost if scan.participant == person]
        sessions = _name_pets(own_pets, dates, plan)
        _name_t1ws(own_t1ws, sessions, plan)
        _tell_far_t1w(own_t1ws, own_pets, plan)
    return plan


def _name_pets(scans: list[PetScan], lost: list[datetime], plan: ConversionPlan) -> list[_Session]:
    """Name the PET scans of a person; return the sessions in time order."""
    sessions = []
    for place, group in enumerate(groups := _by_injection(scans)):
        first = group[0]
        number = 1 + sum(
            other[0].times.injection < first.times.injection
            or (i < place and _same_time(other[0], first))
            for i, other in enumerate(groups)
        )
        number += _days_before(first.times.injection, lost, groups)
        label = next((scan.session for scan in group if scan.session), f"{number:02d}")
        sessions.append(_Session(label, first.times.injection))
        _name_session(group, label, plan)
        if any(_same_time(first, other[0]) for other in groups if other is not group):
            for scan in group:
                plan.remarks[scan.series.key].append(worded_flag("session-order"))
        elif (
            len(groups) > 1 and first.session is None and first.times.injection.year <= UNDATED.year
        ):
            for scan in group:
                plan.remarks[scan.series.key].append(worded_flag("session-order", "undated"))
    return sessions


def _same_time(scan: PetScan, other: PetScan) -> bool:
    """Whether two scans claim one injection."""
    apart = abs(scan.times.injection - other.times.injection)
    return apart <= _SAME_INJECTION and scan.tracer == other.tracer


def _days_before(injection: datetime, lost: list[datetime], groups: list[list[PetScan]]) -> int:
    """Count the days of lost scans before an injection, without those of a session."""
    known = [group[0].times.injection for group in groups]
    days = {
        moment.date()
        for moment in lost
        if moment < injection and all(abs(moment - other) > _ONE_DAY for other in known)
    }
    return len(days)


def _by_injection(scans: list[PetScan]) -> list[list[PetScan]]:
    """Group scans of one injection; groups in time order."""
    groups: list[list[PetScan]] = []
    for scan in sorted(scans, key=lambda scan: (scan.times.injection, scan.series.key)):
        matching = (
            group
            for group in groups
            if _same_time(scan, group[0])
            and scan.session == group[0].session
            and not any(_another_visit(scan, other) for other in group)
        )
        if (group := next(matching, None)) is not None:
            group.append(scan)
        else:
            groups.append([scan])
    return groups


def _another_visit(scan: PetScan, other: PetScan) -> bool:
    """Whether scans of one time were made of two acquisitions, which cannot be at one time."""
    if scan.session or not (
        scan.start < other.end - _ROUNDING and other.start < scan.end - _ROUNDING
    ):
        return False
    (study, frame), (other_study, other_frame) = (
        [candidate.series.header.text(uid) for uid in ("StudyInstanceUID", "FrameOfReferenceUID")]
        for candidate in (scan, other)
    )
    two_studies = "" not in (study, other_study) and study != other_study
    return two_studies and (not frame or frame != other_frame)


def _name_session(group: list[PetScan], session: str, plan: ConversionPlan) -> None:
    """Name the scans of one injection: runs in time, ``rec-`` for reconstructions of one run."""
    runs: list[list[PetScan]] = []
    for scan in sorted(group, key=lambda scan: (scan.start, scan.series.key)):
        if runs and scan.start < runs[-1][0].end - _ROUNDING:
            runs[-1].append(scan)
        else:
            runs.append([scan])
    for number, run in enumerate(runs, start=1):
        labels = _reconstruction_labels(run)
        for scan, label in zip(run, labels, strict=True):
            entities = {"sub": scan.participant, "ses": session, "trc": scan.tracer}
            if label:
                entities["rec"] = label
            if len(runs) > 1:
                entities["run"] = str(number)
            plan.targets[scan.series.key] = Target(entities, "pet")


def _reconstruction_labels(run: list[PetScan]) -> list[str]:
    """Distinguish the reconstructions of one acquisition; '' when there is only one."""
    if len(run) == 1:
        return [""]
    labels: list[str] = []
    for scan in run:
        header = scan.series.header
        text = header.shown("ReconstructionMethod") + header.shown("ConvolutionKernel")
        label = f"{len(scan.times.frame_start_s)}frames" + re.sub(r"[^A-Za-z0-9]", "", text)
        twins = sum(other == label or other.startswith(f"{label}v") for other in labels)
        labels.append(label if not twins else f"{label}v{twins + 1}")
    return labels


def _name_t1ws(scans: list[T1wScan], sessions: list[_Session], plan: ConversionPlan) -> None:
    """Keep the best T1w of every study and put it into the session nearest in time.

    Anonymisers may give one UID to the studies of several days.
    """
    studies = grouped(
        (
            (scan.series.header.text("StudyInstanceUID"), scan.acquired and scan.acquired.date()),
            scan,
        )
        for scan in scans
    )
    placed: dict[str, list[T1wScan]] = defaultdict(list)
    for study in studies.values():
        best, *others = sorted(study, key=lambda scan: (*t1w_rank(scan.series), scan.order))
        for other in others:
            plan.left_out[other.series.key] = rank_reason(best.series, other.series)
        placed[best.session or _nearest(best, sessions)].append(best)
    injections = {session.label: session.injection for session in sessions}
    for session, chosen in placed.items():
        when = injections.get(session)
        chosen.sort(key=lambda scan: _preference(scan, when))
        for number, scan in enumerate(chosen, start=1):
            entities = {"sub": scan.participant, "ses": session}
            if len(chosen) > 1:
                entities["run"] = str(number)
            plan.targets[scan.series.key] = Target(entities, "T1w")


def _preference(scan: T1wScan, injection: datetime | None) -> tuple[object, ...]:
    """Sort key of the T1w scans of a session: without contrast, original, near, then the best."""
    part, contrast, derived, *lesser = t1w_rank(scan.series)
    return part, contrast, derived, _gap(scan, injection), *lesser, scan.order


def _nearest(scan: T1wScan, sessions: list[_Session]) -> str:
    """Label of the session whose injection is nearest to a T1w; the first without dates."""
    if not sessions:
        return "01"
    return min(sessions, key=lambda session: _gap(scan, session.injection)).label


def _gap(scan: T1wScan, injection: datetime | None) -> timedelta:
    """Time between a T1w and an injection; zero when a date is unknown."""
    dated = [
        moment for moment in (scan.acquired, injection) if moment and moment.year > UNDATED.year
    ]
    return abs(dated[0] - dated[1]) if len(dated) == 2 else timedelta(0)


def _tell_far_t1w(t1ws: list[T1wScan], pets: list[PetScan], plan: ConversionPlan) -> None:
    """Report at every PET when its nearest T1w is missing or more than a year away."""
    for scan in pets:
        gaps = [_gap(t1w, scan.times.injection) for t1w in t1ws]
        if not gaps:
            plan.remarks[scan.series.key].append(WITHOUT_T1W)
        elif min(gaps) > FAR_T1W:
            plan.remarks[scan.series.key].append(worded_flag("t1w-far", "dicom"))
