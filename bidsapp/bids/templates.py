"""Which participants get a within-subject template, and which T1w it is made of.

A template is made of the T1ws that the PETs of a participant would be placed by one by one, when
they lie in two or more sessions. All PETs of the dataset count, whatever labels, filters or windows
leave of them in this run: the template of a participant is the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bidsapp.bids.plan import ScanPlan, T1wPlan
from bidsapp.bids.raw_dataset import RawDataset, RawImage
from bidsapp.bids.stated import flags_of
from bidsapp.bids.t1w_choice import check_dimensions, choose_t1w
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import CentipetError
from bidsapp.grouping import grouped

# What the choice of one T1w per PET reports and the template makes untrue.
_UNTRUE = ("t1w-other-session", "t1w-far")
# What it reports of the image, which all scans on the template rest on.
_OF_IMAGE = ("t1w-contrast-agent", "t1w-scout")


@dataclass(frozen=True)
class TemplatePlan:
    """The template of a participant, and flags of it and of each of its T1ws."""

    t1w: T1wPlan
    flags: tuple[Flag, ...] = ()
    of_visits: Mapping[Path, tuple[Flag, ...]] = field(default_factory=dict)


def plan_templates(dataset: RawDataset) -> dict[str, TemplatePlan]:
    """Plan a template for every participant with T1ws of two or more sessions.

    An image that is not a T1w stays out of it.

    Parameters
    ----------
    dataset : what was found

    Returns
    -------
    dict
        By label without ``sub-``; participants with one T1w are not in it.
    """
    plans = {}
    people = grouped((pet.participant, pet) for pet in dataset.every_pet)
    for label, own in sorted(people.items()):
        if dataset.is_filtered_out(label):
            continue  # flagged at every scan
        chosen = {t1w: flags for t1w, flags in (choose_t1w(pet, dataset) for pet in own) if t1w}
        good, flags = [], []
        for t1w in sorted(chosen, key=lambda image: image.path):
            try:
                check_dimensions(t1w.path)
            except CentipetError:
                flags.append(worded_flag("visit-left-out", image=t1w.path.name))
            else:
                good.append(t1w)
        if len({t1w.session for t1w in good}) > 1:
            visits = tuple(T1wPlan(label, v.session, v.path, dict(v.entities)) for v in good)
            template = T1wPlan(label, None, None, {"sub": label}, visits)
            of_visits = {v.path: _about_image(v, chosen[v], dataset) for v in good}
            plans[label] = TemplatePlan(template, tuple(flags), of_visits)
    return plans


def _about_image(t1w: RawImage, of_choice: Iterable[Flag], dataset: RawDataset) -> tuple[Flag, ...]:
    """Flags of a T1w by its choice and by its conversion, with its name."""
    noted = flags_of(dataset.readable_sidecar(t1w))
    named = (Flag(flag.code, f"{t1w.path.name}: {flag.message}") for flag in noted)
    return (*(flag for flag in of_choice if flag.code in _OF_IMAGE), *named)


def on_template(scan: ScanPlan, templates: Mapping[str, TemplatePlan]) -> ScanPlan:
    """Place a scan by the template of its participant, if there is one.

    Parameters
    ----------
    scan : placed by a T1w of its own
    templates : as `plan_templates` gives them

    Returns
    -------
    ScanPlan
    """
    template = templates.get(scan.participant)
    if template is None or scan.t1w is None:
        return scan
    flags = [*(flag for flag in scan.flags if flag.code not in _UNTRUE), *template.flags]
    others = {path: own for path, own in template.of_visits.items() if path != scan.t1w.t1w}
    flags += [flag for own in others.values() for flag in own]
    if scan.session not in {visit.session for visit in template.t1w.visits}:
        visits = (visit for visit in template.t1w.visits if visit.session)
        sessions = ", ".join(f"ses-{visit.session}" for visit in visits)
        flags.append(worded_flag("t1w-other-session", "template", sessions=sessions))
    return replace(scan, t1w=template.t1w, flags=tuple(flags))
