"""Tracer of a PET: from tags and statements of the user."""

from __future__ import annotations

import re

from bidsapp.bids.stated import Stated
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.data.tracers import Tracer, all_tracers, known_tracer, tau_tracers
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, tag_name
from bidsapp.dicom.scan_times import STATED
from bidsapp.dicom.words import known_words

_OTHERS = "OtherRadiopharmaceuticals"
# In the order of trust; descriptions come last.
_TAGS = ("Radiopharmaceutical", "RadiopharmaceuticalCodeMeaning", "GETracerName",
         _OTHERS, "SeriesDescription", "ProtocolName")  # fmt: skip
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName")
# Florbetapir in some protocols, filtered back-projection in others.
_AMBIGUOUS = re.compile(r"(?<![a-z])fbp(?![a-z])", re.IGNORECASE)
_BACK_PROJECTION = re.compile(r"fbp|filter|back|3drp|dift", re.IGNORECASE)


def find_tracer(header: Header, stated: Stated, option: str | None) -> tuple[Tracer, str] | None:
    """Find the tracer of a PET, amyloid or tau, and what names it; None for other targets.

    A tracer stated for the series wins.  ``--tracer`` counts for all series, so it decides where
    tags name none or several, but makes no amyloid scan of one that only names a tracer of tau or
    of something else.

    Parameters
    ----------
    header : of the series
    stated : what ``--dicom-metadata`` states for it
    option : ``--tracer``

    Returns
    -------
    (Tracer, str) or None

    Raises
    ------
    BadDataError
        Nothing names a known tracer, or tags name different ones.
    """
    if stated.tracer is not None:
        return _known(stated.tracer), STATED
    named = _named(header)
    texts = " ".join(header.text(key).lower() for key in _TAGS)
    words = tables()["other_tracers"]
    other, says_tau = (re.search(words[kind], texts) for kind in ("pattern", "tau"))
    if option is not None:
        wanted = _known(option)
        alike = [tracer for tracer in named.values() if _binds_tau(tracer) == _binds_tau(wanted)]
        unnamed = not (named or other or (says_tau and not _binds_tau(wanted)))
        if alike or unnamed:
            return wanted, "stated by the user (--tracer)"
    codes = {tracer.code for tracer in named.values()}
    against = other or (says_tau and not any(map(_binds_tau, named.values())))
    if named and (against or len(codes) > 1):
        texts_of_tags = "; ".join(f"{tag_name(key)} '{header.shown(key)}'" for key in _TAGS
                         if header.text(key))  # fmt: skip
        raise refused("tracer", "several", header=header, said=texts_of_tags)
    if named:
        key, tracer = next(iter(named.items()))
        return tracer, tag_name(key)
    if other:
        return None
    of_day = _in_description(header, "StudyDescription")  # of all scans of a day
    if of_day and not says_tau:
        return of_day, tag_name("StudyDescription")
    if not _BACK_PROJECTION.search(header.text("ReconstructionMethod")):
        for key in _DESCRIPTIONS:
            if by_fbp := known_tracer(header.text(key)):
                return by_fbp, tag_name(key)
    agent, series = map(header.shown, ("Radiopharmaceutical", "SeriesDescription"))
    raise refused("tracer", "unnamed", header=header, agent=agent, series=series)


def disagreement(header: Header, tracer: Tracer) -> Flag | None:
    """Say that tags name another tracer than the one that was stated; None when none does.

    Parameters
    ----------
    header : of the series
    tracer : that the PET shows

    Returns
    -------
    Flag or None
    """
    others = {name.name for name in _named(header).values() if name != tracer}
    if not others:
        return None
    return worded_flag("note", "other-tracer", named=", ".join(sorted(others)), tracer=tracer)


def second_injection(header: Header, tracer: Tracer, stated: Stated) -> Flag | None:
    """Report a second radiopharmaceutical; None when there is one only.

    Parameters
    ----------
    header : of the series
    tracer : that the PET shows
    stated : what ``--dicom-metadata`` states for it

    Returns
    -------
    Flag or None

    Raises
    ------
    BadDataError
        It is the tracer of the scan, and nobody stated when it was injected.
    """
    others = header.texts(_OTHERS)
    if not others:
        return None
    sequence = "(0054,0016) RadiopharmaceuticalInformationSequence"
    first = header.text("Radiopharmaceutical") or "unnamed"
    named = ", ".join(f"'{known_words(name)}'" for name in (first, *others))
    its_own = known_tracer(first)
    later = its_own != tracer and any(known_tracer(name) == tracer for name in others)
    if later and stated.injection is None and not stated.times.keys:
        raise refused(
            "tracer", "not-first", header=header, sequence=sequence, named=named, tracer=tracer
        )
    return worded_flag("radiopharmaceuticals", sequence=sequence, named=named)


def _named(header: Header) -> dict[str, Tracer]:
    """Tag -> the tracer of amyloid or tau that it names beyond doubt."""
    named = {
        key: _in_description(header, key)
        if key in _DESCRIPTIONS
        else known_tracer(header.text(key))
        for key in _TAGS
    }
    return {key: tracer for key, tracer in named.items() if tracer}


def _in_description(header: Header, key: str) -> Tracer | None:
    """Tracer that a description names by more than the letters of a reconstruction."""
    return known_tracer(_AMBIGUOUS.sub(" ", header.text(key)))


def _binds_tau(tracer: Tracer) -> bool:
    return tracer.code in tau_tracers()


def _known(name: str) -> Tracer:
    tracer = known_tracer(name)
    if tracer is None:
        raise refused("tracer", "stated", name=name, known=", ".join(all_tracers()))
    return tracer
