"""Series that are parts of one scan: exports with one series per frame, made one time series.

Parts belong together when they come from one study and one injection, lie on the same grid, are
reconstructed alike, and each begins where the one before ends.  A pause, as between the parts of a
dual-window study, keeps them apart: the head may have moved, and its parts are runs.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bidsapp.bids.pet_metadata import activity_unit
from bidsapp.core.frames.decay import decay_between
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.dicom.habits import tables
from bidsapp.dicom.pixels import alike
from bidsapp.dicom.remarks import TIMES
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import SeriesKey
from bidsapp.dicom.sessions import PetScan
from bidsapp.errors import BadDataError

_LONGEST_PAUSE_S = 60.0  # between frames of one acquisition; clocks round and scanners store
_ROUNDING_S = 1.0
_SAME_PLACE_MM = 0.1


def join_parts(parts: Sequence[PetScan]) -> list[list[PetScan]]:
    """Group parts of one scan, each group in time; most groups have one member.

    Parameters
    ----------
    parts : PETs that are wanted

    Returns
    -------
    list of list of PetScan
    """
    chains: list[list[PetScan]] = []
    of_person: dict[str, list[list[PetScan]]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: (part.start, part.series.key)):
        own = of_person[part.participant]
        fitting = [chain for chain in own if _continues(chain[-1], part)]
        chain = min(fitting, key=lambda chain: _unlike(chain[-1], part), default=None)
        if chain is None:
            own.append([part])
            chains.append(own[-1])
        else:
            chain.append(part)
    return chains


def suv_twins(parts: Sequence[PetScan]) -> dict[SeriesKey, SeriesKey]:
    """Series that hold as SUV what another one holds as activity: key -> key of the other.

    Scanners export both; the one in activity needs no weight and no dose.

    Parameters
    ----------
    parts : PETs that are wanted

    Returns
    -------
    dict of SeriesKey
    """
    activity = {
        _frame_times(part): part.series.key
        for part in parts
        if activity_unit(part.series.header.text("Units")) is not None
    }
    return {
        part.series.key: activity[times]
        for part in parts
        if activity_unit(part.series.header.text("Units")) is None
        and (times := _frame_times(part)) in activity
    }


def multi_frame_copies(parts: Sequence[PetScan]) -> dict[SeriesKey, SeriesKey]:
    """Series that are there as single images, too: key of the multi-frame one -> of the other.

    Archives convert the one into the other and keep both.

    Parameters
    ----------
    parts : of the scans of an input

    Returns
    -------
    dict of SeriesKey
    """
    single: dict[tuple[object, ...], list[PetScan]] = defaultdict(list)
    for part in parts:
        if part.series.header.frame is None:
            single[_to_tenths(part)].append(part)
    return {
        part.series.key: other.series.key
        for part in parts
        if part.series.header.frame is not None
        for other in single[_to_tenths(part)]
        if _is_copy(part, other)
    }


def _is_copy(part: PetScan, other: PetScan) -> bool:
    try:
        return np.allclose(_grid(part), _grid(other), atol=_SAME_PLACE_MM) and alike(
            part.frames[:1], other.frames[:1], other.factors[0] / part.factors[0]
        )
    except BadDataError:  # pixels that cannot be decoded are an error of their own series
        return False


def _to_tenths(part: PetScan) -> tuple[object, ...]:
    """What two exports of one image share except for rounding, times in s."""
    times = part.times
    moments = (*times.frame_start_s, *times.frame_duration_s)
    return (part.participant, part.session, part.tracer, len(part.frames[0]),
            *(round(moment, 1) for moment in moments))  # fmt: skip


def _frame_times(part: PetScan) -> tuple[object, ...]:
    """What two exports of one reconstruction share."""
    header, times = part.series.header, part.times
    method = header.text("ReconstructionMethod"), header.text("ConvolutionKernel")
    return (part.participant, part.session, part.tracer, times.injection,
            times.frame_start_s, times.frame_duration_s, *method)  # fmt: skip


def joined(chain: Sequence[PetScan]) -> PetScan:
    """One scan of all frames of a chain, decay-corrected to the reference of the first.

    Of the remarks of the others, those on times are its own, too.

    Parameters
    ----------
    chain : parts of one scan, in time

    Returns
    -------
    PetScan
    """
    first = chain[0]
    clocks, factors = [], []
    for part in chain:
        again = _redecayed(part, first)
        factors += [factor * again for factor in part.factors]
        clocks += [
            replace(f, decay_factor=f.decay_factor and f.decay_factor * again)
            for f in part.facts.clock.frames
        ]
    clock = replace(first.facts.clock, frames=tuple(clocks))
    on_times = (remark for part in chain for remark in part.remarks if remark.code == TIMES)
    return replace(
        first,
        frames=tuple(frame for part in chain for frame in part.frames),
        remarks=tuple(dict.fromkeys((*on_times, *first.remarks))),
        factors=tuple(factors),
        facts=replace(first.facts, clock=clock, times=_joined_times(chain)),
    )


def about_parts(chain: Sequence[PetScan]) -> tuple[Flag, ...]:
    """Report a scan of several parts.

    Parameters
    ----------
    chain : parts of one scan, in time

    Returns
    -------
    tuple of Flag
        Empty for one part.
    """
    if len(chain) == 1:
        return ()
    numbers = ", ".join(part.series.header.shown("SeriesNumber") for part in chain)
    return (worded_flag("note", "joined", n=len(chain), numbers=numbers),)


def _joined_times(chain: Sequence[PetScan]) -> TimeModel:
    models = [part.times for part in chain]
    return replace(
        models[0],
        frame_start_s=tuple(start for model in models for start in model.frame_start_s),
        frame_duration_s=tuple(length for model in models for length in model.frame_duration_s),
    )


def _redecayed(part: PetScan, first: PetScan) -> float:
    """Factor that takes a part from its own decay reference to that of the first."""
    own_s, first_s = part.times.decay_reference_s, first.times.decay_reference_s
    if own_s is None or first_s is None:
        return 1.0
    return decay_between(own_s, first_s, first.facts.half_life_s)


def _continues(earlier: PetScan, later: PetScan) -> bool:
    """Whether a part is the continuation of another."""
    pause = (later.start - earlier.end).total_seconds()
    same_injection = abs((later.times.injection - earlier.times.injection).total_seconds())
    return (
        -_ROUNDING_S <= pause <= _LONGEST_PAUSE_S
        and same_injection <= _ROUNDING_S
        and (earlier.participant, earlier.session, earlier.tracer)
        == (later.participant, later.session, later.tracer)
        and (earlier.times.decay_reference_s is None) == (later.times.decay_reference_s is None)
        and _signature(earlier) == _signature(later)
        and np.allclose(_grid(earlier), _grid(later), atol=_SAME_PLACE_MM)
    )


def _signature(part: PetScan) -> tuple[object, ...]:
    """What all parts of one scan share."""
    header = part.series.header
    return (*(header.plain(tag) for tag in tables()["compared"]["parts"]), len(part.frames[0]))


def _unlike(earlier: PetScan, later: PetScan) -> tuple[bool, float]:
    """How unlike two parts are by name and number: two reconstructions may share all other tags."""
    names = {
        re.sub(r"\d+", "", p.series.header.text("SeriesDescription")) for p in (earlier, later)
    }
    first, second = (p.series.header.readable_number("SeriesNumber") for p in (earlier, later))
    return len(names) > 1, abs((second or 0.0) - (first or 0.0))


def _grid(part: PetScan) -> tuple[float, ...]:
    """Where a part lies and the size of its pixels, mm; parts of one scan share it."""
    lowest, highest = part.frames[0][0], part.frames[0][-1]
    corners = (image.required("ImagePositionPatient", 3) for image in (lowest, highest))
    return (*lowest.required("PixelSpacing", 2), *itertools.chain(*corners))
