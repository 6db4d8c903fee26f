"""Participants of the raw dataset without a scan in the derivatives, and vice versa."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bidsapp.bids.derivative_root import RAW_FACTS
from bidsapp.bids.derivatives import raw_path
from bidsapp.bids.folders import lost_people, people_in
from bidsapp.io.reading import known_object
from bidsapp.plain import count, some
from bidsapp.record import ScanRecord
from bidsapp.settings import Filters

_MOST_NAMED = 20


def read_facts(output_dir: Path) -> dict[str, Any]:
    """Facts about the raw dataset that the participant level wrote; empty when they cannot be read.

    Parameters
    ----------
    output_dir : root of the derivative dataset

    Returns
    -------
    dict
    """
    facts = known_object(output_dir / RAW_FACTS)
    shapes = {"participants": list, "participant": dict, "session": dict}
    return {name: facts[name] for name, kind in shapes.items() if isinstance(facts.get(name), kind)}


def absent_people(
    facts: Mapping[str, Any], records: Iterable[ScanRecord], filters: Filters
) -> list[str]:
    """Selected participants of the raw dataset, ``sub-<label>``, without a record.

    Parameters
    ----------
    facts : of `read_facts`
    records : every scan of the dataset, before filters
    filters : which participants are asked for

    Returns
    -------
    list of str
    """
    people = map(str, facts.get("participants", ()))
    asked = {f"sub-{label}" for label in filters.participant}
    seen = {f"sub-{record.entities['sub']}" for record in records}
    return [name for name in people if name not in seen and (not asked or name in asked)]


def unknown_people(output_dir: Path, filters: Filters) -> dict[str, str]:
    """Requested participants who are neither in the raw dataset nor in the derivatives.

    Parameters
    ----------
    output_dir : root of the derivatives
    filters : which participants are asked for

    Returns
    -------
    dict
        Label -> sentence.
    """
    if not filters.participant:
        return {}
    raw = (
        str(name).removeprefix("sub-") for name in read_facts(output_dir).get("participants", ())
    )
    return lost_people(filters.participant, {*people_in(output_dir), *raw}, output_dir)


def absence(people: list[str]) -> list[str]:
    """Sentence about participants without a record; none without any.

    Parameters
    ----------
    people : of `absent_people`

    Returns
    -------
    list of str
    """
    if not people:
        return []
    return [
        f"{len(people)} of the raw dataset have no PET or were never processed, so that they are "
        f"in no table: {some(people, _MOST_NAMED)}"
    ]


def vanished(records: Sequence[ScanRecord], bids_dir: Path | None) -> list[str]:
    """Sentence about results whose raw image no longer exists (withdrawn, renamed).

    Without a raw dataset, or with one that has none of the raw images, there is none.

    Parameters
    ----------
    records : scans
    bids_dir : raw dataset

    Returns
    -------
    list of str
    """
    if bids_dir is None:
        return []
    sources = {
        record.name: raw_path(record.source, bids_dir) for record in records if record.source
    }
    gone = [name for name, path in sources.items() if not os.path.lexists(path)]
    if not gone or len(gone) == len(sources):
        return []
    return [
        f"the raw dataset no longer has the image of {count(len(gone), 'result')} in pages and "
        f"tables: {some(gone, _MOST_NAMED)}; remove these files from the derivatives if an image "
        "was withdrawn or renamed"
    ]
