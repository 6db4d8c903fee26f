"""Who is in the raw dataset and has no scan in the derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bidsapp.bids.derivative_root import RAW_FACTS
from bidsapp.io.reading import parse_json, read_text
from bidsapp.plain import some
from bidsapp.record import ScanRecord
from bidsapp.settings import Filters

_MOST_NAMED = 20


def read_facts(output_dir: Path) -> dict[str, Any]:
    """What the participant level told of the raw dataset; empty when that cannot be read."""
    try:
        facts = parse_json(read_text(output_dir / RAW_FACTS))
    except (OSError, ValueError):
        return {}
    shapes = {"participants": list, "participant": dict, "session": dict}
    facts = facts if isinstance(facts, dict) else {}
    return {name: facts[name] for name, kind in shapes.items() if isinstance(facts.get(name), kind)}


def absent_people(
    facts: Mapping[str, Any], records: Iterable[ScanRecord], filters: Filters
) -> list[str]:
    """Participants of the raw dataset, ``sub-<label>``, without a record, as far as asked for.

    Parameters
    ----------
    facts : of `read_facts`
    records : every scan of the dataset, before filters
    filters : which participants are asked for
    """
    people = map(str, facts.get("participants", ()))
    asked = {f"sub-{label}" for label in filters.participant}
    seen = {f"sub-{record.entities['sub']}" for record in records}
    return [name for name in people if name not in seen and (not asked or name in asked)]


def absence(people: list[str]) -> list[str]:
    """Sentence about them; none without any."""
    if not people:
        return []
    return [
        f"{len(people)} of the raw dataset have no PET or were never processed, so that they are "
        f"in no table: {some(people, _MOST_NAMED)}"
    ]
