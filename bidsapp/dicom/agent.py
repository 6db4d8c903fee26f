"""Whether an MR was made with a contrast agent: tags and name of the series have a vote each."""

from __future__ import annotations

from enum import IntEnum

from bidsapp.data.series_texts import names_contrast, states_agent
from bidsapp.dicom.header import Header


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

    Returns
    -------
    Agent
    """
    text = " ".join(header.texts("ContrastBolusAgent") + header.texts("ContrastBolusAgentMeaning"))
    votes = {
        {"YES": True, "NO": False}.get(header.text("ContrastBolusAgentAdministered").upper()),
        _amount(header),
        states_agent(text),
        names_contrast(name),
    } - {None}
    if len(votes) == 2:
        return Agent.DOUBTFUL
    return Agent.WITH if True in votes else Agent.WITHOUT


def _amount(header: Header) -> bool | None:
    """Vote of volume and dose; None where no number is stated."""
    amounts = map(header.readable_number, ("ContrastBolusVolume", "ContrastBolusTotalDose"))
    known = [amount for amount in amounts if amount is not None]
    return max(known) > 0 if known else None
