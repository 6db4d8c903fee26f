"""Which T1w places a PET scan, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from bidsapp.bids.layout import RawDataset, RawImage
from bidsapp.bids.plan import Flag

_NO_T1W = Flag(
    "no-t1w",
    "The participant has no T1w (anat/*_T1w.nii.gz), so the PET was laid on the template by "
    "itself; add the T1w if there is one.",
)

_FAR = timedelta(days=365)


def choose_t1w(pet: RawImage, dataset: RawDataset) -> tuple[RawImage | None, tuple[Flag, ...]]:
    """Pick the T1w that places a PET: same session first, else the nearest session.

    Within a session the plainest name wins (fewest entities beside participant and session, then
    the lowest run), because ``acq-`` and ``rec-`` mark variants. Whenever there was a choice a flag
    says what was chosen and how to choose otherwise. A participant without a T1w gets none, and a
    flag that says so.
    """
    own = [t1w for t1w in dataset.t1ws if t1w.participant == pet.participant]
    if not own:
        return None, (_NO_T1W,)
    here = [t1w for t1w in own if t1w.session == pet.session]
    flags: list[Flag] = []
    if not here:
        here, how = _nearest_session(pet, own, dataset)
        flags.append(
            Flag(
                "t1w-other-session",
                f"No T1w in the session of the PET: {here[0].path.name} was used, {how}; check "
                "that the head has not changed in between.",
            )
        )
    here = sorted(here, key=_plainness)
    if len(here) > 1:
        names = ", ".join(t1w.path.name for t1w in here[1:])
        flags.append(
            Flag(
                "t1w-several",
                f"{here[0].path.name} was used, the plainest name, not {names}; choose another "
                "with --bids-filter-file.",
            )
        )
    return here[0], (*flags, *_far_away(pet, here[0], dataset))


def _far_away(pet: RawImage, t1w: RawImage, dataset: RawDataset) -> tuple[Flag, ...]:
    """Flag of a T1w more than a year away, where the dates of both are known."""
    times = dataset.acquired(pet), dataset.acquired(t1w)
    if times[0] is None or times[1] is None or abs(times[0] - times[1]) <= _FAR:
        return ()
    days = abs(times[0] - times[1]).days
    message = f"{t1w.path.name} lies {days} days from this PET: check that the head has not changed"
    return (Flag("t1w-far", message),)


def _nearest_session(
    pet: RawImage, t1ws: Sequence[RawImage], dataset: RawDataset
) -> tuple[list[RawImage], str]:
    """T1w images of the session nearest to the PET, and the words for how it was found."""
    sessions = sorted({t1w.session for t1w in t1ws}, key=_natural)
    if len(sessions) == 1:
        return list(t1ws), "the only one of this participant"
    pet_time = dataset.acquisition_time(pet)
    times = [(t1w, time) for t1w in t1ws if (time := dataset.acquisition_time(t1w)) is not None]
    if pet_time is not None and len(times) == len(t1ws):
        days = {t1w: abs((time - pet_time).total_seconds()) / 86400 for t1w, time in times}
        nearest = min(t1ws, key=lambda t1w: (days[t1w], t1w.path))
        how = f"the nearest in time ({days[nearest]:.0f} days)"
        return [t1w for t1w in t1ws if t1w.session == nearest.session], how
    order = sorted({*sessions, pet.session}, key=_natural)
    here = order.index(pet.session)
    session = min(sessions, key=lambda name: (abs(order.index(name) - here), order.index(name)))
    how = "the nearest by session label, as scans.tsv holds no acq_time for all of them"
    return [t1w for t1w in t1ws if t1w.session == session], how


def _plainness(t1w: RawImage) -> tuple[int, int, str]:
    extra = t1w.entities.keys() - {"sub", "ses", "run"}
    run = t1w.entities.get("run", "0")
    return len(extra), int(run) if run.isdigit() else 0, t1w.path.name


def _natural(label: str | None) -> tuple[object, ...]:
    """Sort key that puts ``2`` before ``10`` and no label before any."""
    parts = re.findall(r"\d+|\D+", label or "")
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
