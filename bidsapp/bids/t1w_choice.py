"""Which T1w places a PET scan, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bidsapp.bids.limits import FAR_T1W, LEAST_EXTENT_MM, LEAST_SLICES, THICKEST_SLICE_MM
from bidsapp.bids.raw_dataset import RawDataset, RawImage
from bidsapp.bids.raw_names import misnamed_images
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.data.series_texts import (
    image_words,
    names_contrast,
    names_stripped,
    projection_word,
    states_agent,
)
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.nifti import read_grid, read_shape
from bidsapp.plain import natural, some

NO_T1W = worded_flag("no-t1w", "bids")

_COARSER = 1.5  # times the finest voxels: another kind of image, not another reconstruction
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "SequenceName")
_SHOWN = 4


def choose_t1w(pet: RawImage, dataset: RawDataset) -> tuple[RawImage | None, tuple[Flag, ...]]:
    """Pick the T1w that places a PET: same session first, else the nearest session.

    Within a session one without contrast agent, of a whole head, with its skull, of all echoes,
    original and not much coarser than another comes first, as sidecars and headers say; among
    equals the plainest name (fewest entities beside participant and session, then the lowest run),
    because ``acq-`` and ``rec-`` mark variants. Whenever there was a choice a flag says what was
    chosen and how to choose otherwise. A participant without a T1w gets none, and a flag.

    Parameters
    ----------
    pet : to be placed
    dataset : what was found

    Returns
    -------
    (RawImage or None, tuple of Flag)

    Raises
    ------
    BadDataError
        A filter file leaves none of the participant's.
    """
    of_participant = dataset.t1ws_of(pet.participant)
    if not of_participant:
        return None, (_without_t1w(pet, dataset),)
    candidates = [t1w for t1w in of_participant if t1w.session == pet.session]
    flags: list[Flag] = []
    if not candidates:
        candidates, how = _nearest_session(pet, of_participant, dataset)
        image = candidates[0].path.name
        flags.append(worded_flag("t1w-other-session", "image", image=image, how=how))
    looks = _looks(candidates, dataset)
    best, *others = sorted(looks, key=lambda look: (look.rank, _plainness(look.image)))
    if others:
        names = some((other.described(best) for other in others), _SHOWN)
        flags.append(worded_flag("t1w-several", image=best.image.path.name, others=names))
    return best.image, (*flags, *best.flags(), *_far_away(pet, best.image, dataset))


def check_dimensions(t1w: Path) -> None:
    """Refuse an image of several volumes.

    Parameters
    ----------
    t1w : its path

    Raises
    ------
    CentipetError
        It has not three dimensions, or its header cannot be read.
    """
    shape = read_shape(t1w)
    if len(shape) != 3:
        raise refused("plan", "dimensions", path=t1w, shape=shape)


def _without_t1w(pet: RawImage, dataset: RawDataset) -> Flag:
    """Flag of a participant without a T1w that can be used.

    Raises
    ------
    BadDataError
        There is one, and the filter file leaves it out.
    """
    if dataset.is_filtered_out(pet.participant):
        raise refused("filter-file", "none-left", pet=pet)
    others = misnamed_images(dataset.bids_dir, pet.participant, "T1w")
    if not others:
        return NO_T1W
    reasons = some((f"{other.path.name} ({other.reason})" for other in others), _SHOWN)
    return worded_flag("t1w-unusable", images=reasons)


# ------------------------------------------------------------------------ several of one session


@dataclass(frozen=True)
class _Look:
    """What sidecar and header of a T1w say against it, in the order of weight."""

    image: RawImage
    edge_mm: float | None  # longest of a voxel; None when the header cannot be read
    against: dict[str, str | None]

    @property
    def rank(self) -> tuple[bool, ...]:
        return tuple(reason is not None for reason in self.against.values())

    def described(self, best: _Look) -> str:
        """Name, and why another one was taken."""
        both = zip(self.against.values(), self.rank, best.rank, strict=True)
        reason = next((text for text, has, best_has in both if has and not best_has), None)
        return f"{self.image.path.name} ({reason or 'its name is less plain'})"

    def flags(self) -> list[Flag]:
        """Flags of the T1w if it is used."""
        name, flags = self.image.path.name, []
        if evidence := self.against["contrast"]:
            flags.append(worded_flag("t1w-contrast-agent", "bids", image=name, evidence=evidence))
        if evidence := self.against["scout"]:
            flags.append(worded_flag("t1w-scout", image=name, evidence=evidence))
        return flags


def _looks(t1ws: Sequence[RawImage], dataset: RawDataset) -> list[_Look]:
    looks = [_look(t1w, dataset, alone=len(t1ws) == 1) for t1w in t1ws]
    edges = [look.edge_mm for look in looks if look.edge_mm is not None]
    limit = _COARSER * min(edges, default=0.0)
    for look in looks:
        coarse = look.edge_mm is not None and look.edge_mm > limit
        look.against["voxels"] = f"voxels of {look.edge_mm:.1f} mm" if coarse else None
    return looks


def _look(t1w: RawImage, dataset: RawDataset, *, alone: bool) -> _Look:
    """Look at a T1w; the grid of one that stands alone decides nothing."""
    sidecar = dataset.readable_sidecar(t1w)
    words = image_words(sidecar.get("ImageType"))
    scout = next((word for word in words if "LOCALI" in word), projection_word(words))
    slab, edge = (None, None) if alone else _grid_problem(t1w.path)
    against = {
        "contrast": _contrast(t1w, sidecar),
        "scout": scout and f"ImageType says {scout}",
        "slab": slab,
        "stripped": _stripped(t1w, sidecar),
        "echo": f"echo-{t1w.entities['echo']} alone" if "echo" in t1w.entities else None,
        "derived": "ImageType says DERIVED" if "DERIVED" in words else None,
    }
    return _Look(t1w, edge, against)


def _contrast(t1w: RawImage, sidecar: Mapping[str, Any]) -> str | None:
    """What says that contrast agent was given: its own fields first, then names."""
    for key, value in sidecar.items():
        if not key.startswith("ContrastBolus") or not isinstance(value, str):
            continue
        if (was_given := states_agent(value)) is not None:
            return f"{key} is {value!r}" if was_given else None
    if ce := t1w.entities.get("ce"):
        return f"ce-{ce}" if states_agent(ce) and names_contrast(f"{ce} contrast") else None
    names = {f"{key} is {sidecar[key]!r}": sidecar[key] for key in _DESCRIPTIONS if key in sidecar}
    names[f"acq-{t1w.entities.get('acq')}"] = t1w.entities.get("acq")
    texts = {where: text for where, text in names.items() if isinstance(text, str)}
    return next((where for where, text in texts.items() if names_contrast(text)), None)


def _stripped(t1w: RawImage, sidecar: Mapping[str, Any]) -> str | None:
    """What says that the skull was taken away; the priors of whole heads are the better ones."""
    if sidecar.get("SkullStripped") is True:
        return "SkullStripped is true"
    labels = {key: t1w.entities.get(key, "") for key in ("acq", "rec")}
    return next((f"{key}-{label}" for key, label in labels.items() if names_stripped(label)), None)


def _grid_problem(path: Path) -> tuple[str | None, float | None]:
    """Why a grid cannot hold a head in three dimensions, and its longest voxel edge, mm."""
    try:
        grid = read_grid(path)
    except NoInputError:
        return None, None  # it may have to be fetched; reported when it is used
    except BadDataError:
        return "its header is not that of a head", None
    edges = grid.voxel_size
    extent = min(n * edge for n, edge in zip(grid.shape, edges, strict=True))
    edge = float(edges.max())
    if edge > THICKEST_SLICE_MM:
        return f"slices {edge:.1f} mm apart", edge
    if min(grid.shape) < LEAST_SLICES or extent < LEAST_EXTENT_MM:
        return f"{min(grid.shape)} slices over {extent:.0f} mm", edge
    return None, edge


def _plainness(t1w: RawImage) -> tuple[int, int, str]:
    extra = t1w.entities.keys() - {"sub", "ses", "run"}
    run = t1w.entities.get("run", "0")
    return len(extra), int(run) if run.isdigit() else 0, t1w.path.name


# ------------------------------------------------------------------------------ another session


def _far_away(pet: RawImage, t1w: RawImage, dataset: RawDataset) -> tuple[Flag, ...]:
    """Flag of a T1w more than a year away, where the dates of both are known."""
    times = dataset.acquired(pet), dataset.acquired(t1w)
    if times[0] is None or times[1] is None or abs(times[0] - times[1]) <= FAR_T1W:
        return ()
    days = abs(times[0] - times[1]).days
    return (worded_flag("t1w-far", "bids", image=t1w.path.name, days=days),)


def _nearest_session(
    pet: RawImage, t1ws: Sequence[RawImage], dataset: RawDataset
) -> tuple[list[RawImage], str]:
    """T1w images of the session nearest to the PET, and the words for how it was found.

    By dates where there are; else by the numbers in the labels, days or months as they may be, and
    the ages at the sessions; else by the order of labels. Of two equally near the earlier one.
    """
    sessions = sorted({t1w.session for t1w in t1ws}, key=_label_order)
    if len(sessions) == 1:
        return list(t1ws), "the only session of this participant with one"
    by_date = _nearest_in_time(pet, t1ws, dataset)
    years = _years_apart(pet, sessions, dataset)
    if by_date is not None:
        session, how = by_date
    elif (far := _label_distances(pet.session, sessions)) is not None:
        apart = years or {}
        session = min(
            sessions, key=lambda name: (far[name], apart.get(name, 0.0), sessions.index(name))
        )
        how = "the nearest by the numbers in the session labels, as acq_time is not known"
    elif years is not None:
        session = min(sessions, key=lambda name: (years[name], sessions.index(name)))
        how = "the nearest by the ages in sessions.tsv, as acq_time is not known"
    else:
        order = sorted({*sessions, pet.session}, key=_label_order)
        at = order.index(pet.session)
        session = min(sessions, key=lambda name: (abs(order.index(name) - at), order.index(name)))
        how = "the nearest by the order of the session labels, as acq_time is not known"
    return [t1w for t1w in t1ws if t1w.session == session], how


def _years_apart(
    pet: RawImage, sessions: Sequence[str | None], dataset: RawDataset
) -> dict[str | None, float] | None:
    """How far the ages at some sessions are from that at the PET; None where one is not known."""
    ages = {name: dataset.session_age(pet.participant, name) for name in (pet.session, *sessions)}
    own = ages[pet.session]
    if own is None:
        return None
    years = {name: abs(age - own) for name in sessions if (age := ages[name]) is not None}
    return years if len(years) == len(sessions) else None


def _nearest_in_time(
    pet: RawImage, t1ws: Sequence[RawImage], dataset: RawDataset
) -> tuple[str | None, str] | None:
    """Session of the T1w nearest by date; None when the PET, or every T1w, has none."""
    pet_time = dataset.session_time(pet)
    times: dict[str | None, datetime] = {}
    for t1w in t1ws:
        if (time := dataset.session_time(t1w)) is not None:
            times.setdefault(t1w.session, time)
    if pet_time is None or not times:
        return None
    session = min(times, key=lambda name: (abs(times[name] - pet_time), times[name]))
    days = abs(times[session] - pet_time).total_seconds() / 86400
    undated = {t1w.session for t1w in t1ws} - times.keys()
    how = f"the nearest in time ({days:.0f} days)"
    if undated:
        names = ", ".join(f"ses-{name}" for name in sorted(undated, key=_label_order))
        how += f" of those with acq_time, which {names} lacks"
    return session, how


def _label_distances(
    pet: str | None, sessions: Sequence[str | None]
) -> dict[str | None, tuple[float, ...]] | None:
    """How far the numbers of session labels are from those of the PET's; None when they have none.

    A label without a number, such as a baseline among months, counts as 0.
    """
    labels = {name: _numbers(name or "") for name in (pet, *sessions)}
    length = max(map(len, labels.values()))
    if length == 0 or any(len(numbers) not in (0, length) for numbers in labels.values()):
        return None
    padded = {name: numbers or (0.0,) * length for name, numbers in labels.items()}
    return {
        name: tuple(abs(a - b) for a, b in zip(padded[name], padded[pet], strict=True))
        for name in sessions
    }


def _numbers(label: str) -> tuple[float, ...]:
    """Numbers in a label; a date of eight digits, or of six without the day, counts in days."""
    return tuple(map(_as_number, re.findall(r"\d+", label)))


def _as_number(digits: str) -> float:
    if len(digits) in (6, 8) and digits[:2] in ("19", "20"):
        try:
            return date.fromisoformat(f"{digits}15"[:8]).toordinal()
        except ValueError:
            pass
    return float(digits)


def _label_order(label: str | None) -> tuple[tuple[str, int], ...]:
    """Sort key of sessions; no label comes before any."""
    return natural(label or "")
