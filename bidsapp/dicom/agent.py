"""Whether an MR was made with a contrast agent: tags and name of the series have a vote each."""

from __future__ import annotations

from enum import IntEnum

from bidsapp.dicom.header import Header
from bidsapp.dicom.tables import name_matches
from bidsapp.errors import BadDataError


class Agent(IntEnum):
    """Whether there is contrast agent in an image, the better for a T1w the smaller."""

    WITHOUT = 0
    DOUBTFUL = 1
    WITH = 2


def contrast_agent(header: Header, name: str) -> Agent:
    """Judge from tags and name; what contradicts itself is doubtful, silence is without.

    Parameters
    ----------
    header : of the series
    name : of the series, as people type it
    """
    text = " ".join(header.texts("ContrastBolusAgent") + header.texts("ContrastBolusAgentMeaning"))
    votes = {
        {"YES": True, "NO": False}.get(header.text("ContrastBolusAgentAdministered").upper()),
        _amount(header),
        _named(text, "with_contrast", "no_agent", otherwise=True) if text else None,
        _named(name, "with_contrast", "without_contrast", otherwise=None),
    } - {None}
    if len(votes) == 2:
        return Agent.DOUBTFUL
    return Agent.WITH if True in votes else Agent.WITHOUT


def _named(text: str, yes: str, no: str, *, otherwise: bool | None) -> bool | None:
    """Vote of a text; a denial ("ohne KM") holds the word it denies, so it comes first."""
    if name_matches(no, text):
        return False
    return True if name_matches(yes, text) else otherwise


def _amount(header: Header) -> bool | None:
    """Vote of volume and dose; None where no number is stated."""
    amounts = []
    for keyword in ("ContrastBolusVolume", "ContrastBolusTotalDose"):
        try:
            amounts.append(header.number(keyword))
        except BadDataError:
            continue  # text where a number belongs says nothing
    known = [amount for amount in amounts if amount is not None]
    return max(known) > 0 if known else None
