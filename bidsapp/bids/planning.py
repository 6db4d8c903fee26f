"""Decide what happens to every PET scan: its tracer, its frames, its T1w, or why it cannot be used.

One scan that cannot be processed never stops the others: it becomes a `ScanFailure` with the
sentence that says why.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from bidsapp.bids import injections
from bidsapp.bids.candidates import (
    Candidate,
    LeftOut,
    NotQuantifiable,
    check_modality,
    read_candidate,
)
from bidsapp.bids.entities import join_entities
from bidsapp.bids.parcellations import with_parcellations
from bidsapp.bids.pet_metadata import suv_factor
from bidsapp.bids.plan import Plan, ScanFailure, ScanPlan, ScanSkip, T1wPlan
from bidsapp.bids.raw_dataset import RawDataset, RawImage
from bidsapp.bids.stated import flags_of
from bidsapp.bids.t1w_choice import check_dimensions, choose_t1w
from bidsapp.bids.templates import on_template, plan_templates
from bidsapp.bids.windows import choose_window
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.settings import Processing

_LOG = logging.getLogger("bidsapp.run")  # to the log file alone
_Planned = TypeVar("_Planned", ScanPlan, ScanFailure, ScanSkip)


def make_plan(dataset: RawDataset, processing: Processing) -> Plan:
    """Decide for every PET scan of the dataset whether and how it is processed.

    Parameters
    ----------
    dataset : what was found
    processing : options of the run

    Returns
    -------
    Plan
    """
    planner = _Planner(dataset, processing)
    for candidates in planner.visits():
        planner.decide(injections.pieced_together(candidates, dataset, processing))
    return planner.plan()


class _Planner:
    """Decides what becomes of every PET; tracers by their codes."""

    def __init__(self, dataset: RawDataset, processing: Processing) -> None:
        self._dataset, self._processing = dataset, processing
        self._templates = plan_templates(dataset) if processing.longitudinal else {}
        self._scans: list[ScanPlan] = []
        self._failures: list[ScanFailure] = []
        self._skipped: list[ScanSkip] = []

    def plan(self) -> Plan:
        """All scans in the order of their names."""
        return Plan(_in_order(self._scans), _in_order(self._failures), _in_order(self._skipped))

    def visits(self) -> Iterable[list[Candidate]]:
        """Candidates of each participant, session and tracer; the others are skipped or refused."""
        uncorrected: list[tuple[RawImage, NotQuantifiable]] = []
        visits: dict[tuple[object, ...], list[Candidate]] = defaultdict(list)
        names = Counter(join_entities(pet.entities) for pet in self._dataset.pets)
        for pet in self._dataset.pets:
            try:
                if names[join_entities(pet.entities)] > 1:
                    raise refused("plan", "two-formats", pet=pet)
                candidate = read_candidate(pet, self._dataset, self._processing)
            except NotQuantifiable as left:
                uncorrected.append((pet, left))
            except LeftOut as left:
                self._skip(pet, str(left), left.tracer)
            except Exception as error:
                self._refuse(pet, error)
            else:
                visits[_visit(pet, candidate.tracer.code)].append(candidate)
        for pet, doubt in uncorrected:
            twin = next(iter(visits.get(_visit(pet, doubt.tracer), ())), None)
            if twin is None:
                unusable = refused("plan", "uncorrected", pet=pet, reason=doubt)
                self._refuse(pet, unusable, doubt.tracer)
            else:
                self._skip(pet, f"{doubt}; {twin.image.path.name} is used", doubt.tracer)
        return visits.values()

    def decide(self, visit: Sequence[Candidate]) -> None:
        """Plan the scans of a visit, except early parts that are covered by a late part."""
        late = {member.image.path: injections.late_part(member, visit) for member in visit}
        joined: set[Path] = set()
        for candidate in visit:
            if late[candidate.image.path] is None:
                early = [member for member in visit if late[member.image.path] is candidate]
                joined |= self._take(candidate, [part for part in early if not part.unread], visit)
        for candidate in visit:
            pet, code = candidate.image, candidate.tracer.code
            if (sibling := late[pet.path]) is None:
                continue
            if candidate.unread is not None:
                self._refuse(pet, candidate.unread, code)
            else:
                self._skip(pet, injections.why_early(candidate, sibling, pet.path in joined), code)

    def _take(
        self, candidate: Candidate, early: Sequence[Candidate], visit: Sequence[Candidate]
    ) -> set[Path]:
        """Plan a scan, or say why not; return the images that are taken along with it."""
        pet, code = candidate.image, candidate.tracer.code
        for part in candidate.continued:
            self._skip(part, f"goes on with {pet.path.name}: both are measured as one scan", code)
        try:
            scan = on_template(self._scan_plan(candidate, early, visit), self._templates)
            scan = with_parcellations(scan, self._processing)
        except Exception as error:
            self._refuse(pet, error, code)
            return set()
        if candidate.unread is not None:
            self._refuse(pet, candidate.unread, code, scan)
            return set()
        self._scans.append(scan)
        return {part.pet for part in scan.parts}

    def _scan_plan(
        self, candidate: Candidate, early: Sequence[Candidate], visit: Sequence[Candidate]
    ) -> ScanPlan:
        """Plan of a scan that no other one stands for; ``early`` are those it stands for."""
        pet, dataset, processing = candidate.image, self._dataset, self._processing
        others = injections.other_parts_of_window(candidate, visit, processing)
        try:
            window, flags = choose_window(candidate.timing, candidate.tracer, processing, pet.path)
        except BadDataError as error:
            if not others:
                raise
            raise BadDataError(f"{error}; {injections.joining(others)}") from error
        if others:
            flags += (worded_flag("window-split", parts=injections.joining(others)),)
        flags += injections.at_one_time(candidate, visit, dataset)
        image, about_t1w = (None, ()) if processing.pet_only else choose_t1w(pet, dataset)
        t1w = None
        if image is not None:
            check_dimensions(image.path)
            check_modality(image.path, dataset.readable_sidecar(image), "MR")
            t1w = T1wPlan(image.participant, image.session, image.path, dict(image.entities))
            about_t1w = (*about_t1w, *flags_of(dataset.readable_sidecar(image)))
        known = {flag.code for flag in candidate.flags}  # by the conversion from DICOM
        about_t1w = tuple(flag for flag in about_t1w if flag.code not in known)
        return ScanPlan(
            participant=pet.participant,
            session=pet.session,
            tracer=candidate.tracer.code,
            entities=dict(pet.entities),
            pet=pet.path,
            metadata=candidate.timing,
            t1w=t1w,
            window=window,
            flags=(*candidate.flags, *flags, *_covariates(pet, dataset), *about_t1w),
            continued=tuple(image.path for image in candidate.continued),
            parts=injections.parts_of(early, candidate),
            suv_factor=suv_factor(dataset.sidecar(pet), dataset.weight_kg(pet)),
            site=dataset.site(pet),
            acquired=dataset.acquired(pet),
            about=dataset.about(pet),
        )

    def _skip(self, pet: RawImage, reason: str, tracer: str) -> None:
        """Leave a PET out on purpose."""
        about = self._dataset.about(pet)
        self._skipped.append(ScanSkip(dict(pet.entities), pet.path, reason, tracer, about))

    def _refuse(
        self,
        pet: RawImage,
        error: Exception,
        tracer: str | None = None,
        planned: ScanPlan | None = None,
    ) -> None:
        """Record why a PET cannot be processed."""
        reason = _as_centipet_error(pet, error)
        why = type(reason).__name__, str(reason), tracer or pet.entities.get("trc")
        about = self._dataset.about(pet)
        self._failures.append(ScanFailure(dict(pet.entities), pet.path, *why, about, planned))


def _in_order(scans: Iterable[_Planned]) -> tuple[_Planned, ...]:
    return tuple(sorted(scans, key=lambda scan: scan.pet))


def _visit(pet: RawImage, tracer: str) -> tuple[object, ...]:
    return pet.participant, pet.session, tracer


def _covariates(pet: RawImage, dataset: RawDataset) -> tuple[Flag, ...]:
    """Flags of what tables and sidecar say of a person and that cannot be used."""
    flags = []
    if columns := dataset.contradictions(pet):
        flags.append(worded_flag("covariates", "contradicted", columns=", ".join(columns)))
    if unread := dataset.unread_covariates(pet):
        flags.append(worded_flag("covariates", "unread", columns=", and ".join(unread)))
    for key, value in dataset.unread_weights(pet).items():
        flags.append(worded_flag("covariates", "unread-field", key=key, value=str(value)[:20]))
    return tuple(flags)


def _as_centipet_error(pet: RawImage, error: Exception) -> CentipetError:
    """The error; a fault of ours costs only this scan, and is reported as what it is."""
    if isinstance(error, CentipetError):
        return error
    _LOG.error("%s", pet.path, exc_info=error)
    fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return CentipetError(worded("plan", "our-fault", pet=pet, fault=fault))
