"""Decisions before conversion: person, kind, times and name of every series."""

from __future__ import annotations

import logging
import traceback
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bidsapp.bids.pet_metadata import prefix_doubts
from bidsapp.bids.sidecar_keys import CASE
from bidsapp.bids.stated import Metadata, flags_of
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.dicom import identity
from bidsapp.dicom.classify import Kind, SeriesVerdict, classify
from bidsapp.dicom.clocks import IMAGE_CLOCK
from bidsapp.dicom.decision_table import FAILED, JOINED, KEPT, SKIPPED, DecisionRow
from bidsapp.dicom.header import Header
from bidsapp.dicom.inventory import Inventory
from bidsapp.dicom.join import about_parts, join_parts, joined, multi_frame_copies, suv_twins
from bidsapp.dicom.nifti_ecat import in_words_of, is_nifti_or_ecat, load_image
from bidsapp.dicom.pet_frames import (
    Frame,
    about_images,
    contents_of,
    copies_in,
    frames_of,
    scan_clock,
)
from bidsapp.dicom.pixels import lossy_compression, same_pixels
from bidsapp.dicom.remarks import NOTE, in_a_row
from bidsapp.dicom.scrub import Scrubber, shortened, without_file_name
from bidsapp.dicom.series import Series, SeriesKey
from bidsapp.dicom.sessions import ConversionPlan, LostScan, PetScan, T1wScan, Target, make_plan
from bidsapp.dicom.sidecar import PetFacts, check_half_life, dose_doubt, pet_sidecar
from bidsapp.dicom.sidecar_tags import read_sidecar
from bidsapp.dicom.timing import time_model
from bidsapp.dicom.tracer import disagreement, find_tracer, second_injection
from bidsapp.dicom.two_clocks import with_one_clock
from bidsapp.dicom.units import to_bq_per_ml
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.settings import DicomInput

_Scan = TypeVar("_Scan", PetScan, T1wScan)


@dataclass(frozen=True)
class Job:
    """A series to be converted, and its name."""

    scan: PetScan | T1wScan
    target: Target


@dataclass(frozen=True)
class Decisions:
    """What was decided.

    Attributes
    ----------
    rows : decision table by series; conversion may still change a row
    jobs : what is to be converted
    persons : participant label -> whose it is; secret
    scrub : removes names and identifiers of all people in the input from text
    """

    rows: dict[SeriesKey, DecisionRow]
    jobs: dict[SeriesKey, Job]
    persons: dict[str, identity.Person]
    scrub: Scrubber


def decide(
    dicom: DicomInput,
    inventory: Inventory,
    metadata: Metadata,
    label_map: identity.LabelMap | None,
) -> Decisions:
    """Classify all series, work out their times, and name those that are wanted.

    Parameters
    ----------
    dicom : what was asked for
    inventory : series that were found
    metadata : ``--dicom-metadata``
    label_map : ``--dicom-map``; None without one

    Returns
    -------
    Decisions
    """
    headers = [series.header for series in inventory.series]
    people = _label_all(headers, label_map, inventory.roots)
    labels = [label for label, _ in people]
    originals = {
        _acquisition_of(h): h.shown("SeriesNumber") for h in headers if not is_nifti_or_ecat(h.path)
    }
    scrub = Scrubber(image for series in inventory.series for image in series.images)
    desk = _Desk(dicom, metadata, scrub, originals)
    for series, label in zip(inventory.series, labels, strict=True):
        desk.judge(series, label)
    plan = make_plan(desk.join(), desk.scans_of(T1wScan), desk.lost)
    jobs = desk.close(plan, _find_doubts(inventory.series, people))
    persons = {label.participant: person for label, person in people}
    return Decisions(desk.rows, jobs, persons, scrub)


def _label_all(
    headers: Sequence[Header], label_map: identity.LabelMap | None, roots: Sequence[Path]
) -> list[tuple[identity.Labels, identity.Person]]:
    """Labels of every series, by map, folders or pseudonym, and the person it is of."""
    labels = []
    places = [identity.place(header.path, roots) for header in headers]
    persons = identity.person_keys(headers, places)
    for header, place, person in zip(headers, places, persons, strict=True):
        mapped = label_map.find(header, place) if label_map else None
        subject, session = identity.folder_labels(header.path, roots)
        own = identity.Labels(subject or identity.pseudonym(person), session)
        labels.append((mapped or own, person))
    return labels


def _find_doubts(
    every_series: Sequence[Series], people: Sequence[tuple[identity.Labels, identity.Person]]
) -> dict[str, tuple[Flag, ...]]:
    """Participant -> what makes one doubt that it is one person."""
    groups: dict[str, list[Header]] = defaultdict(list)
    labels = [label for label, _ in people]
    headers = [series.header for series in every_series]
    for series, label in zip(every_series, labels, strict=True):
        groups[label.participant] += identity.unlike(series.images)
    twice = identity.same_people(headers, labels)
    of_person = identity.doubts(headers, [person for _, person in people])
    # A person named by map or folder is not doubted where an identifier is missing.
    own = {identity.pseudonym(person): flags for person, flags in of_person.items()}
    doubts = {}
    for participant, group in groups.items():
        flags = [identity.mismatch(group), *own.get(participant, ())]
        if participant in twice:
            flags.insert(1, worded_flag("identity", "two-identifiers"))
        doubts[participant] = tuple(flag for flag in flags if flag)
    return doubts


@dataclass
class _Desk:
    """Where series are judged one after the other; an error of one is a row, not an end."""

    dicom: DicomInput
    metadata: Metadata
    scrub: Scrubber
    originals: Mapping[tuple[object, ...], str]  # acquisition of a DICOM series -> its number
    rows: dict[SeriesKey, DecisionRow] = field(default_factory=dict)
    scans: dict[SeriesKey, PetScan | T1wScan] = field(default_factory=dict)  # that are wanted
    lost: list[LostScan] = field(default_factory=list)
    _joined: dict[SeriesKey, SeriesKey] = field(default_factory=dict)  # part -> the first part
    _unscaled: dict[SeriesKey, BadDataError] = field(default_factory=dict)  # no activity by itself
    _seen: dict[object, Series] = field(default_factory=dict)  # by contents

    def judge(self, series: Series, labels: identity.Labels) -> None:
        """Give a series its row and, when it is wanted, a place in the plan."""
        kind: str = series.header.text("Modality")
        try:
            contents = (labels.participant, contents_of(series))
            first = series if None in contents else self._seen.setdefault(contents, series)
            twin = self._twin(first, series)
            if first is not series and twin is None:
                reason = f"a copy of series {self.rows[first.key].series}"
                return self._note(series, labels, kind, SKIPPED, reason)
            made_from = self.originals.get(_acquisition_of(series.header))
            if is_nifti_or_ecat(series.header.path) and made_from is not None:
                reason = f"made from series {made_from}, whose DICOM files are here"
                return self._note(series, labels, kind, SKIPPED, reason)
            verdict = classify(series, include_derived=self.dicom.include_derived)
            kind = verdict.kind
            if verdict.wanted:
                series.check_grid()
                verdict = replace(verdict, remarks=(*verdict.remarks, *filter(None, [twin])))
                take = self._take_pet if kind is Kind.PET else self._take_t1w
                verdict = take(verdict, series, labels)
            decision = KEPT if verdict.wanted else SKIPPED
            self._note(series, labels, kind, decision, in_a_row(verdict.reason, verdict.remarks))
        except CentipetError as error:
            self._note(series, labels, kind, FAILED, in_words_of(series.header.path, str(error)))
            if kind == Kind.PET and (moment := IMAGE_CLOCK.acquired(series.header)):
                self.lost.append(LostScan(labels.participant, moment))
        except Exception as error:  # a fault of ours in one series must not stop the others
            self._note(series, labels, kind, FAILED, _unexpected(error))

    def _twin(self, first: Series, series: Series) -> Flag | None:
        """What to report of a series whose headers are those of another, but not its pixels."""
        if first is series:
            return None
        try:
            wanted = classify(series, include_derived=self.dicom.include_derived).wanted
            if not wanted or _same_voxels(first, series):
                return None
        except BadDataError:  # its headers decide
            return None
        numbers = sorted({self.rows[first.key].series, _number(series)})
        remark = worded_flag("copied-headers", numbers=", ".join(numbers))
        if (scan := self.scans.get(first.key)) is not None:
            self.scans[first.key] = scan.with_remarks(remark)
        self._tell(first.key, remark)
        return remark

    def _take_pet(
        self, verdict: SeriesVerdict, series: Series, labels: identity.Labels
    ) -> SeriesVerdict:
        """Work out tracer and times of a PET; judge it by them."""
        header = series.header
        stated = self.metadata.find(labels.participant, series.uid)
        named = find_tracer(header, stated, self.dicom.tracer)
        if named is None:
            return SeriesVerdict(verdict.kind, worded("tracer", "other-target"))
        tracer, tracer_source = named
        series = with_one_clock(series, stated.times)
        frames = _checked_frames(series)
        clock = scan_clock(series, frames, stated.injection, stated.times)
        times = time_model(clock)
        on_tracer = disagreement(header, tracer), check_half_life(header, tracer)
        carried = read_sidecar(header.path) if is_nifti_or_ecat(header.path) else {}
        remarks = (*times.remarks, *verdict.remarks,
                   *prefix_doubts(carried), *(f for f in flags_of(carried) if f.code == CASE),
                   second_injection(header, tracer, stated), dose_doubt(header, stated.values),
                   lossy_compression(series.images), *on_tracer)  # fmt: skip
        remarks_in_words = tuple(
            replace(remark, message=in_words_of(header.path, remark.message))
            for remark in filter(None, remarks)
        )
        facts = PetFacts(header, clock, times, tracer, tracer_source, stated.values, carried)
        factor = 1.0
        try:
            factor, units_source = to_bq_per_ml(series, times, facts.half_life_s)
            facts = replace(facts, units_source=units_source)
        except BadDataError as error:  # it may be there in units of activity, too
            self._unscaled[series.key] = error
        pet_sidecar(facts, {})  # a value it cannot do without is an error now, not later
        about = labels.participant, labels.session, frames, remarks_in_words
        self.scans[series.key] = PetScan(series, *about, (factor,) * len(frames), facts)
        reason = f"{verdict.reason}; {times.kind} {tracer.code} PET"
        return replace(verdict, reason=reason, remarks=remarks_in_words)

    def join(self) -> list[PetScan]:
        """Join series that are parts of one scan."""
        for key, twin in suv_twins(self.scans_of(PetScan)).items():
            reason = worded("units", "twin", other=self.rows[twin])
            self._change(key, decision=SKIPPED, reason=reason)
        kept = [part for part in self._kept() if part.series.key not in self._unscaled]
        for key, twin in multi_frame_copies(kept).items():
            self._change(key, decision=SKIPPED, reason=f"a copy of series {self.rows[twin].series}")
        for part in self._kept():
            if error := self._unscaled.get(part.series.key):
                self._fail([part], error)
                self.lost.append(LostScan(part.participant, part.start))
        pets = []
        for chain in join_parts(self._kept()):
            try:
                pets.append(self._whole(chain))
                self.scans[pets[-1].series.key] = pets[-1]
            except Exception as error:  # a fault of ours in one scan must not stop the others
                self._fail(chain, error)
        return pets

    def scans_of(self, kind: type[_Scan]) -> list[_Scan]:
        """Scans of one kind that are wanted, in the order in which they were judged."""
        return [scan for scan in self.scans.values() if isinstance(scan, kind)]

    def _kept(self) -> list[PetScan]:
        parts = self.scans_of(PetScan)
        return [part for part in parts if self.rows[part.series.key].decision == KEPT]

    def _fail(self, parts: Sequence[PetScan], error: Exception) -> None:
        """Say why parts of a scan cannot be converted."""
        reason = why_not(error, [image for part in parts for image in part.series.images])
        for part in parts:
            self._change(part.series.key, decision=FAILED, reason=reason)

    def _whole(self, chain: Sequence[PetScan]) -> PetScan:
        """Scan of its parts, with what is noticed when they are taken together."""
        whole = joined(chain) if len(chain) > 1 else chain[0]
        key, remarks = whole.series.key, dict.fromkeys(about_parts(chain))
        for part in chain:
            about = about_images(part.series, part.frames, part.times, len(whole.frames))
            remarks |= dict.fromkeys(about)
        self._joined |= {part.series.key: key for part in chain[1:]}
        self._tell(key, *sorted(remarks, key=lambda remark: remark.code != NOTE))
        in_order = sorted((*whole.remarks, *remarks), key=lambda remark: remark.code == NOTE)
        return replace(whole, remarks=tuple(in_order))

    def _take_t1w(
        self, verdict: SeriesVerdict, series: Series, labels: identity.Labels
    ) -> SeriesVerdict:
        frames = _checked_frames(series)
        if len(frames) != 1:
            raise refused("pixels", "not-told-apart", header=series.header, n=len(frames))
        lossy = lossy_compression(series.images)
        notes = (replace(lossy, code=NOTE),) if lossy else ()
        remarks = (*series.header.remarks, *notes, *verdict.remarks)
        about = labels.participant, labels.session, frames, remarks
        self.scans[series.key] = T1wScan(series, *about, IMAGE_CLOCK.acquired(series.header))
        return replace(verdict, remarks=remarks)

    def _note(
        self, series: Series, labels: identity.Labels, kind: str, decision: str, reason: str
    ) -> None:
        header = series.header
        self.rows[series.key] = DecisionRow(
            participant_id=f"sub-{labels.participant}",
            series=_number(series),
            description=shortened(self.scrub.text(header.shown("SeriesDescription"))),
            kind=str(kind),
            files=len({image.path for image in series.images}),
            decision=decision,
            target="",
            reason=self.scrub(without_file_name(reason, series.images)),
        )

    def close(
        self, plan: ConversionPlan, doubts: dict[str, tuple[Flag, ...]]
    ) -> dict[SeriesKey, Job]:
        """Put the plan into the table; return what is to be converted."""
        for key, reason in plan.left_out.items():
            self._change(key, decision=SKIPPED, reason=reason)
        jobs = {}
        shared = _shared_names(plan)
        for key, target in plan.targets.items():
            remarks = (*plan.remarks[key], *doubts.get(target.entities["sub"], ()))
            self._tell(key, *remarks, target=str(target.stem))
            if count := shared.get(key):
                reason = f"{count} series would be named {target.stem.name}; give other labels"
                self._change(key, decision=FAILED, reason=reason)
            else:
                jobs[key] = Job(self.scans[key].with_remarks(*remarks), target)
        for key, first in self._joined.items():
            reason = f"{self.rows[key].reason}; frames of series {self.rows[first].series}"
            self._change(key, decision=JOINED, target=self.rows[first].target, reason=reason)
        return jobs

    def _tell(self, key: SeriesKey, *remarks: Flag, target: str | None = None) -> None:
        """Add remarks to a row."""
        self._change(key, in_a_row(self.rows[key].reason, remarks), target=target)

    def _change(
        self, key: SeriesKey, reason: str, *, decision: str | None = None, target: str | None = None
    ) -> None:
        """Say anew why; decision and target stay where none is given."""
        row = self.rows[key]
        decision, target = decision or row.decision, target or row.target
        self.rows[key] = replace(row, reason=self.scrub(reason), decision=decision, target=target)


def _number(series: Series) -> str:
    """Number of a series, and of its part where it was split."""
    return series.header.shown("SeriesNumber") + (f".{series.part}" if series.part else "")


def _same_voxels(first: Series, other: Series) -> bool:
    paths = (series.header.path for series in (first, other))
    if images := [load_image(path) for path in paths if is_nifti_or_ecat(path)]:
        voxels = [np.asanyarray(image.dataobj) for image in images]
        return len(voxels) == 2 and np.array_equal(voxels[0], voxels[1])
    return same_pixels(frames_of(first), frames_of(other))


def _checked_frames(series: Series) -> tuple[Frame, ...]:
    """Frames of a series whose copies, if there are any by their headers, are copies.

    Raises
    ------
    BadDataError
        They are not; see also `frames_of`.
    """
    frames, pairs = frames_of(series), copies_in(series)
    if pairs and not is_nifti_or_ecat(series.header.path):
        kept, copies = zip(*pairs, strict=True)
        if not same_pixels([kept], [copies]):
            raise refused("pixels", "two-under-one", header=series.header)
    return frames


def _shared_names(plan: ConversionPlan) -> dict[SeriesKey, int]:
    """Series that would share their name with others (a map that merges two injections)."""
    stems = Counter(target.stem for target in plan.targets.values())
    counts = {key: stems[target.stem] for key, target in plan.targets.items()}
    return {key: count for key, count in counts.items() if count > 1}


def why_not(error: Exception, images: Sequence[Header]) -> str:
    """Say why images cannot be converted, as their kind calls tags, and without names of files.

    Parameters
    ----------
    error : that stopped it
    images : of a scan, those of all its parts

    Returns
    -------
    str
    """
    reason = str(error) if isinstance(error, CentipetError) else _unexpected(error)
    return in_words_of(images[0].path, without_file_name(reason, images))


def _unexpected(error: Exception) -> str:
    """Sentence for a fault of the converter itself; the trace goes to the debug log."""
    where = "".join(traceback.format_tb(error.__traceback__))  # its message may hold a name
    logging.getLogger(__name__).debug("unexpected %s in a series\n%s", type(error).__name__, where)
    return f"unexpected {type(error).__name__} in the converter; please report it"


def _acquisition_of(header: Header) -> tuple[object, ...]:
    """What an image and the DICOM series it was made of share; dates and names may be gone."""
    moment = IMAGE_CLOCK.acquired(header)
    clock = moment and moment.time().replace(microsecond=0)
    tags = ("Modality", "SeriesNumber", "SeriesDescription")
    return (*(header.text(tag) for tag in tags), clock or header.path)
