"""A PET and a T1w as plain files, with the checked statements of the user.

What nobody knows is not made up: it is missing, or flagged where it is assumed.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.bids.limits import MAX_UPTAKE_S
from bidsapp.bids.pet_metadata import missing_keys
from bidsapp.bids.raw_dataset import read_object
from bidsapp.bids.raw_tables import read_cells
from bidsapp.bids.sidecar_keys import in_right_case
from bidsapp.bids.stated import with_flag, with_values
from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.data.series_texts import is_unknown
from bidsapp.data.tracers import Tracer, all_tracers, known_tracer, named_tracers, tau_tracers
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.io.image_names import json_beside, nifti_ending
from bidsapp.io.nifti import read_shape

COLUMNS = (
    *("participant", "session", "pet", "t1w", "tracer", "window", "window_start_min"),
    *("window_end_min", "frame_start_s", "frame_duration_s", "units"),
)
"""Columns of a table of pairs."""

_NEEDED = ("participant", "pet", "tracer")
_NUMBER = r"\d+(?:\.\d*)?"
_LATEST_MIN = MAX_UPTAKE_S / 60
_ROUNDING_S = 1.0
_TIMES = {"FrameTimesStart", "FrameDuration", "InjectionStart"}
_UNKNOWN = read_table("sidecar_keys")["unknown"]


@dataclass(frozen=True)
class PairRow:
    """What is said of a pair, as text.

    Attributes
    ----------
    cells : by column; empty or ``n/a`` is not said
    folder : that relative paths begin at
    where : table and line, for the messages; empty for a command line
    arguments : what a column is called where there is no table
    too_long : whether there are more cells than columns
    chosen : how PET and T1w were found, where no person named them
    """

    cells: Mapping[str, str]
    folder: Path
    where: str = ""
    arguments: Mapping[str, str] | None = None
    too_long: bool = False
    chosen: str = ""

    def get(self, column: str) -> str | None:
        """Text of a cell; None when it says nothing.

        Parameters
        ----------
        column : of the table

        Returns
        -------
        str or None
        """
        text = self.cells.get(column, "").strip()
        return None if is_unknown(text) else text

    def at(self, column: str) -> str:
        """Position of a cell, for the beginning of a message.

        Parameters
        ----------
        column : of the table

        Returns
        -------
        str
        """
        if self.where:
            return f"{self.where}, column {column}"
        return (self.arguments or {}).get(column, column)

    def wrong(self, column: str, problem: str) -> BadDataError:
        """Error about a cell.

        Parameters
        ----------
        column : of the table
        problem : end of the message

        Returns
        -------
        BadDataError
        """
        return BadDataError(f"{self.at(column)}: {problem}")

    def refused(self, column: str, why: str, /, **values: Any) -> BadDataError:
        """Error about a cell, with a sentence of the table.

        Parameters
        ----------
        column : of the table
        why : row of the sentences about pairs
        **values : in place of the words in braces

        Returns
        -------
        BadDataError
        """
        return self.wrong(column, worded("pairs", why, **values))


@dataclass(frozen=True)
class ImagePair:
    """A PET and its T1w, checked.

    Attributes
    ----------
    row : what it was made from
    participant, session : labels without prefix
    sidecar : of the PET
    contradicted : columns in which another row of the session says something else
    """

    row: PairRow
    participant: str
    session: str | None
    pet: Path
    t1w: Path | None
    tracer: Tracer
    sidecar: Mapping[str, Any]
    contradicted: frozenset[str] = frozenset()

    @property
    def entities(self) -> dict[str, str]:
        """Of the T1w; the PET has the tracer besides."""
        session = {} if self.session is None else {"ses": self.session}
        return {"sub": self.participant, **session}

    @property
    def visit(self) -> str:
        """``sub-01_ses-1``."""
        return join_entities(self.entities)

    @property
    def more(self) -> dict[str, str]:
        """What the row says of the participant besides."""
        own = (*COLUMNS, "participant_id", "session_id")
        every = ((name, self.row.get(name)) for name in self.row.cells if name not in own)
        return {
            re.sub(r"\W+", "_", name): text for name, text in every if name and text is not None
        }

    @property
    def name(self) -> str:
        """``sub-01_ses-1_trc-FBB``."""
        return join_entities({**self.entities, "trc": self.tracer.code})


def read_pairs(path: Path) -> tuple[list[PairRow], list[str]]:
    """Rows of a table of pairs, and remarks about the table.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    (list of PairRow, list of str)
        Sentences begin with the name of the table.

    Raises
    ------
    NoInputError, BadDataError
        It cannot be read; a column is missing, or stands there twice.
    """
    header, lines, problems = read_cells(path)
    names = [name.strip().lower() for name in header]
    for column in _NEEDED:
        if column not in names:
            listed = {"columns": ", ".join(COLUMNS), "needed": ", ".join(_NEEDED)}
            raise refused("pairs", "no-column", path=path, column=column, **listed)
    if twice := sorted({name for name in names if name in COLUMNS and names.count(name) > 1}):
        raise BadDataError(f"{path}: column {twice[0]} is given twice; remove one")
    if more := [name for name in names if name and name not in COLUMNS]:
        problems.append(worded("pairs", "more-columns", path=path, columns=", ".join(more)))
    rows = [
        PairRow(
            dict(zip(names, line, strict=False)),
            path.parent,
            f"{path.name}, line {number}",
            too_long=any(line[len(names) :]),
        )
        for number, line in enumerate(lines, start=2)
    ]
    if not rows:
        raise BadDataError(f"{path}: has no row below its header")
    return rows, problems


def judge_pairs(
    rows: Iterable[PairRow], *, tau: bool = False
) -> tuple[list[ImagePair], list[CentipetError]]:
    """Check pairs one by one and against each other; a bad one never stops the others.

    Of two rows about one image the first counts, flagged where the two say that it is of different
    people.

    Parameters
    ----------
    rows : what is said of each
    tau : whether there are volumes for tau tracers

    Returns
    -------
    list of ImagePair
        That can be processed.
    list of CentipetError
        One sentence for each of the others, which names row and column.
    """
    pairs: list[ImagePair] = []
    errors: list[CentipetError] = []
    places: dict[object, list[int]] = defaultdict(list)  # in pairs, by what two should not share
    for row in rows:
        try:
            pair = _pair(row, tau=tau)
            keys = _shareable(pair)
            _check_against(pair, pairs, sorted({i for key in keys for i in places[key]}))
        except CentipetError as error:
            errors.append(error)
        else:
            for key in keys:
                places[key].append(len(pairs))
            pairs.append(pair)
    return pairs, errors


def _pair(row: PairRow, *, tau: bool) -> ImagePair:
    if row.too_long:
        raise refused("pairs", "too-long", row=row)
    participant = _label(row, "participant", "sub-")
    if participant is None:
        raise row.wrong("participant", "is empty; name the participant")
    session = _label(row, "session", "ses-")
    name = row.get("tracer") or ""
    tracer = known_tracer(name)
    if tracer is None:
        known = ", ".join(f"{tracer.code} ({tracer.name})" for tracer in all_tracers().values())
        problem = f"{name!r} is not a tracer of CentiPET" if name else "is empty"
        raise row.refused("tracer", "tracer", said=problem, known=known)
    if tracer.code in tau_tracers() and not tau:
        raise row.refused("tracer", "tau", tracer=tracer)
    pet, shape = _image(row, "pet")
    t1w = None
    if row.get("t1w") is not None:
        t1w, t1w_shape = _image(row, "t1w")
        if len(t1w_shape) != 3:
            raise row.wrong("t1w", f"{t1w}: has {t1w_shape[3]} volumes; give a T1w of one")
        if t1w.samefile(pet):
            raise row.wrong("t1w", f"{t1w}: is the PET; give the T1w, or none")
    sidecar = _sidecar(row, pet, tracer, shape[3] if len(shape) > 3 else 1)
    return ImagePair(row, participant, session, pet, t1w, tracer, sidecar)


def _label(row: PairRow, column: str, prefix: str) -> str | None:
    """Label of letters and digits, as BIDS wants it."""
    text = row.get(column)
    if text is None:
        return None
    label = re.sub(r"[^0-9A-Za-z]", "", text.removeprefix(prefix))
    if not label:
        raise row.wrong(column, f"{text!r} has no letter or digit for a BIDS label")
    return label


def _image(row: PairRow, column: str) -> tuple[Path, tuple[int, ...]]:
    """Path and shape of an image that can be read."""
    text = row.get(column)
    if text is None:
        raise row.wrong(column, "is empty; name the image")
    path = row.folder / os.path.expanduser(text)  # noqa: PTH111 - Path's fails for unknown users
    if nifti_ending(path) is None:
        raise row.refused(column, "not-nifti", path=path)
    stem = path.name.split(".")[0]
    other = {"pet": "T1w", "t1w": "PET"}[column]
    is_both = "pet" in stem.lower() or named_tracers(stem).understood  # "PET_in_T1w"
    if stem.lower().endswith(f"_{other.lower()}") and not (column == "pet" and is_both):
        raise row.refused(column, "exchanged", path=path, other=other)
    try:
        return path, read_shape(path)
    except CentipetError as error:
        raise type(error)(f"{row.at(column)}: {error}") from error


def _shareable(pair: ImagePair) -> list[object]:
    """Participant and files of a pair: another one with none of them is not about the same."""
    states = [path.stat() for path in (pair.pet, pair.t1w) if path is not None]
    return [pair.participant, *((state.st_dev, state.st_ino) for state in states)]


def _check_against(pair: ImagePair, earlier: list[ImagePair], places: Iterable[int]) -> None:
    """Refuse what an earlier row has already; flag that row where the doubt is about it, too.

    Parameters
    ----------
    pair : to check
    earlier : pairs that were accepted
    places : of those that share something with it, in order
    """
    row = pair.row
    for i in places:
        other = earlier[i]
        above = other.row.where.rpartition(", ")[2] or "an earlier pair"
        labels = row.get("participant"), other.row.get("participant")
        if pair.participant == other.participant and len(set(map(_bare, labels))) > 1:
            raise row.refused("participant", "same-label", said=labels, pair=pair, above=above)
        same_person = pair.participant == other.participant
        for column, ours, theirs in (("pet", pair.pet, other.pet), ("t1w", pair.t1w, other.t1w)):
            if ours is None or theirs is None or not ours.samefile(theirs):
                continue
            if column == "t1w" and same_person:
                continue
            if not same_person:
                where = row.where or "another pair"
                twice = worded_flag(
                    "image-twice", where=where, column=column, participant=pair.participant
                )
                earlier[i] = replace(other, sidecar=with_flag(other.sidecar, twice))
            raise row.refused(column, "image-twice", ours=ours, above=above, other=other)
        if pair.entities != other.entities:
            continue
        if pair.tracer == other.tracer:
            raise row.refused("pet", "second-pet", above=above, pair=pair)
        if pair.t1w and other.t1w and not pair.t1w.samefile(other.t1w):
            raise row.refused("t1w", "second-t1w", above=above, pair=pair)


def _bare(text: str | None) -> str:
    return (text or "").removeprefix("sub-")


# ------------------------------------------------------------------------------------- sidecar


def _sidecar(row: PairRow, pet: Path, tracer: Tracer, n_frames: int) -> dict[str, Any]:
    """Metadata of the PET: from its JSON, if there is one, and from the row."""
    beside = _beside(row, pet)
    stated, assumed = _times(row, tracer, n_frames, beside)
    values: dict[str, Any] = {**beside, "TracerName": beside.get("TracerName", tracer.name)}
    values.setdefault("TracerRadionuclide", tracer.radionuclide)
    flags = list(assumed)
    if stated:
        values = with_values(values, stated)
        if values["TimeZero"] is None:  # nobody knows the time of day
            del values["TimeZero"]
    if (units := row.get("units")) is not None:
        values["Units"] = units
    if "ImageDecayCorrected" not in values and stated:
        values |= {"ImageDecayCorrected": True, "ImageDecayCorrectionTime": values["ScanStart"]}
        if n_frames > 1:
            flags.append(worded_flag("decay-correction", "assumed"))
    stated_keys = [*sorted(stated)] if not assumed or assumed[0].code != "window-assumed" else []
    stated_keys += ["Units"] if units is not None else []
    stated_keys += [] if "TracerName" in beside else ["TracerName"]
    if stated_keys:
        flags.insert(0, worded_flag("stated", "quantify", keys=", ".join(stated_keys)))
    if row.chosen:
        flags.insert(0, Flag("found-by-name", row.chosen))
    values = {**_UNKNOWN, **values}
    for flag in flags:
        values = with_flag(values, flag)
    return values


def _beside(row: PairRow, pet: Path) -> dict[str, Any]:
    """The JSON beside an image; empty when there is none."""
    path = json_beside(pet)
    try:
        return in_right_case(read_object(path), path) if path.is_file() else {}
    except CentipetError as error:
        raise row.wrong("pet", str(error)) from error


def _times(
    row: PairRow, tracer: Tracer, n_frames: int, beside: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Flag]]:
    """Times of the frames in s after the injection, and flags about what was assumed.

    None are stated where the JSON beside the image has them.
    """
    window = _window(row)
    starts, durations = (
        _numbers(row, f"frame_{what}_s", n_frames) for what in ("start", "duration")
    )
    flags: list[Flag] = []
    if window is None and starts is None and durations is None:
        if not _TIMES & set(missing_keys(beside)):
            return {}, []
        if n_frames > 1:
            raise row.refused(
                "window", "no-times", n_frames=n_frames, column=row.at("frame_duration_s")
            )
        window = tracer.window_min
        start, end = window
        flags.append(worded_flag("window-assumed", start=start, end=end, tracer=tracer.name))
    if durations is None:
        if starts is not None:
            raise row.wrong("frame_start_s", f"give {row.at('frame_duration_s')} with it")
        assert window is not None
        length = 60 * (window[1] - window[0]) / n_frames
        durations = [length] * n_frames
        if n_frames > 1:
            flags.append(worded_flag("frame-times", "equal", n=n_frames, length_s=length))
    if starts is None:
        if window is None:
            raise row.wrong("frame_duration_s", f"give {row.at('window')} with it")
        starts = [60 * window[0] + s for s in accumulate(durations[:-1], initial=0.0)]
    if window is not None:
        end = starts[-1] + durations[-1]
        if max(abs(starts[0] - 60 * window[0]), abs(end - 60 * window[1])) > _ROUNDING_S:
            covered = starts[0] / 60, end / 60
            raise row.refused("window", "other-span", window=window, covered=covered)
    return {"ScanStart": starts[0], "FrameTimesStart": starts, "FrameDuration": durations}, flags


def _window(row: PairRow) -> tuple[float, float] | None:
    """Minutes after the injection that the PET covers."""
    column = "window"
    ends = [row.get("window_start_min"), row.get("window_end_min")]
    text = row.get("window")
    if any(ends):
        if text is not None:
            raise row.wrong(
                "window",
                "is given together with window_start_min and window_end_min; give only one",
            )
        column = "window_start_min" if ends[0] is None else "window_end_min"
        if None in ends:
            raise row.wrong(column, "is empty; give both ends of the window")
        text = f"{ends[0]} {ends[1]}"
    if text is None:
        return None
    match = re.fullmatch(rf"({_NUMBER})\s*(?:\s|-|–|;|to)\s*({_NUMBER})", text)
    if match is None:
        raise row.wrong(column, f"{text!r} is not two numbers of minutes, such as 90 110")
    start, end = float(match[1]), float(match[2])
    if not start < end <= _LATEST_MIN:
        raise row.refused(column, "window", start=start, end=end, latest_min=_LATEST_MIN)
    return start, end


def _numbers(row: PairRow, column: str, n_frames: int) -> list[float] | None:
    """Seconds of every frame; one duration stands for all."""
    text = row.get(column)
    if text is None:
        return None
    words = re.split(r"[\s,;]+", text.strip("[] "))
    if not all(re.fullmatch(_NUMBER, word) for word in words):
        raise row.wrong(column, f"{text!r} is not a list of seconds, such as 300 300 300 300")
    values = [float(word) for word in words]
    if len(values) == 1 and column == "frame_duration_s":
        values *= n_frames
    if len(values) != n_frames:
        raise row.refused(column, "count", n=len(values), n_frames=n_frames)
    return values
