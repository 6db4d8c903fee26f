"""A raw dataset: its images, and the information of sidecars and tables about them.

Sidecars are read one image at a time, so that a broken one costs one scan (pybids gives up on
the whole dataset).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from bidsapp.bids import raw_tables
from bidsapp.bids.covariates import (
    AGE_COLUMNS,
    WEIGHT_COLUMNS,
    age_years,
    first_known,
    unread_covariates,
    weight_kg,
    with_sexes,
    with_units,
    without_dates,
)
from bidsapp.bids.entities import bids_stem, has_labels, parse_entities
from bidsapp.bids.raw_names import UnusedImage, suffix_of
from bidsapp.bids.sidecar_keys import CASE, in_right_case, read_keys
from bidsapp.bids.stated import Metadata, flags_of, in_sidecar, with_flag
from bidsapp.bids.values import differ, finite
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded
from bidsapp.data.series_texts import is_unknown
from bidsapp.data.tracers import same_tracer
from bidsapp.errors import BadDataError, CentipetError, NoInputError
from bidsapp.grouping import grouped
from bidsapp.io.reading import parse_json, read_text
from bidsapp.settings import Filters

# Columns of sessions.tsv and participants.tsv that say where, in lower case, the likeliest first.
_SITE_COLUMNS = ("site", "site_id", "siteid", "center", "centre", "institution", "scanner_site")
_WEIGHT_FIELDS = ("PatientWeight", "BodyWeight", "ParticipantWeight")


@dataclass(frozen=True)
class RawImage:
    """An image of the raw dataset: its path and the entities of its name (short keys)."""

    path: Path
    entities: Mapping[str, str] = field(hash=False)

    @property
    def participant(self) -> str:
        """Label without ``sub-``."""
        return self.entities["sub"]

    @property
    def session(self) -> str | None:
        """Label without ``ses-``."""
        return self.entities.get("ses")


@dataclass(frozen=True)
class RawDataset:
    """The selected PET scans and all T1w of their participants, sorted by path.

    Attributes
    ----------
    bids_dir : root
    pets : images asked for
    t1ws : of their participants, as far as a filter file leaves them
    every_pet : of the same participants whatever was asked for: the template of a participant must
        not depend on it
    every_t1w : of the same participants, whatever the filter file leaves
    unused : PET images that are none of a raw dataset
    stated : what a user states of the images
    """

    bids_dir: Path
    pets: tuple[RawImage, ...]
    t1ws: tuple[RawImage, ...]
    every_pet: tuple[RawImage, ...] = ()
    every_t1w: tuple[RawImage, ...] = ()
    unused: tuple[UnusedImage, ...] = ()
    stated: Metadata = field(default_factory=Metadata)

    def t1ws_of(self, participant: str) -> list[RawImage]:
        """T1w images of a participant that a filter file leaves, sorted by path.

        Parameters
        ----------
        participant : label without ``sub-``

        Returns
        -------
        list of RawImage
        """
        return self._t1ws.get(participant, [])

    def is_filtered_out(self, participant: str) -> bool:
        """Whether a filter file leaves none of the T1w images of a participant.

        Parameters
        ----------
        participant : label without ``sub-``

        Returns
        -------
        bool
        """
        return not self.t1ws_of(participant) and participant in self._people_with_t1w

    @cached_property
    def _t1ws(self) -> dict[str, list[RawImage]]:
        return grouped((t1w.participant, t1w) for t1w in self.t1ws)

    @cached_property
    def _people_with_t1w(self) -> set[str]:
        return {t1w.participant for t1w in self.every_t1w}

    def sidecar(self, image: RawImage) -> dict[str, Any]:
        """Metadata of an image by the BIDS inheritance principle: nearer files win.

        A tracer that is stated of this very image overrides what the console had.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        dict

        Raises
        ------
        NoInputError, BadDataError
            A sidecar that applies cannot be read; is not a JSON object.
        """
        content, name = dict(self._merged(image)), bids_stem(image.path)
        if "Tracer" in self.stated.selectors.get(name, {}):
            content.pop("Radiopharmaceutical", None)
        return in_sidecar(content, self.stated.merged("*", f"sub-{image.participant}", name))

    @cached_property
    def _merged(self) -> Callable[[RawImage], dict[str, Any]]:
        """What `sidecar` reads; planning asks seven times for that of one image."""
        return lru_cache(maxsize=32)(partial(_merged_sidecar, bids_dir=self.bids_dir))

    def readable_sidecar(self, image: RawImage) -> dict[str, Any]:
        """`sidecar` where no number rests on it: empty when it cannot be read.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        dict
        """
        try:
            return self.sidecar(image)
        except CentipetError:
            return {}

    def acquired(self, image: RawImage) -> datetime | None:
        """When an image was made: ``acq_time`` of its ``scans.tsv``, else of its session.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        datetime or None
            None where no table says it.
        """
        row = raw_tables.scan_row(self._scans(image), image.path) or {}
        return raw_tables.acq_time(row) or raw_tables.acq_time(self._session_row(image))

    def session_time(self, image: RawImage) -> datetime | None:
        """When an image was made, at least to a session: as another image of it where unknown.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        datetime or None
            None where no table says it.
        """
        times = filter(None, map(raw_tables.acq_time, self._scans(image).values()))
        return self.acquired(image) or min(times, default=None)

    def session_age(self, participant: str, session: str | None) -> float | None:
        """Age at a session by ``sessions.tsv``.

        Parameters
        ----------
        participant, session : labels without ``sub-`` and ``ses-``

        Returns
        -------
        float or None
            Years; None where it is not known.
        """
        rows = raw_tables.sessions(self.bids_dir, participant).rows
        return age_years(first_known([rows.get(f"ses-{session}", {})], AGE_COLUMNS))

    def site(self, image: RawImage) -> str | None:
        """Where an image was made: by session, else participant, else the sidecar's institution.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        str or None
            None where nothing says it.
        """
        site = first_known(self._rows(image), _SITE_COLUMNS)
        if site is None:
            site = self.sidecar(image).get("InstitutionName")
        return None if site in (None, "", "n/a") else str(site)

    def about(self, image: RawImage) -> dict[str, dict[str, Any]]:
        """Information of the raw dataset about a scan, besides its image, for the record.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        dict
            ``participant`` and ``session``: columns of ``participants.tsv`` and ``sessions.tsv``
            as they stand there, None for ``n/a``, without dates but that of the begin of
            treatment, codes of sex in words; ``acquisition``: fields of the sidecar about scanner,
            dose and reconstruction, empty when it cannot be read.
        """
        sidecar = self.readable_sidecar(image)
        fields = read_table("sidecar_keys")["acquisition"]
        return {
            "participant": with_sexes(
                without_dates(self._participant_row(image)), self._dictionaries["participant"]
            ),
            "session": with_sexes(
                without_dates(self._session_row(image)), self._dictionaries["session"]
            ),
            "acquisition": finite({key: sidecar[key] for key in fields if key in sidecar}),
        }

    def contradictions(self, image: RawImage) -> list[str]:
        """Columns that rows about the participant or the session contradict each other in.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        list of str
        """
        tables = [(raw_tables.participants(self.bids_dir), f"sub-{image.participant}")]
        if image.session is not None:
            tables.append(
                (raw_tables.sessions(self.bids_dir, image.participant), f"ses-{image.session}")
            )
        return [column for table, key in tables for column in table.contradicted.get(key, ())]

    def unused_statements(self) -> list[str]:
        """Sentence about statements of the user on images that are not in the dataset.

        What is not asked for in this run, and series that the images may come from, is passed over.

        Returns
        -------
        list of str
            One sentence, or none.
        """
        images = {*self.every_pet, *self.every_t1w}
        seen = {f"sub-{image.participant}" for image in images}
        names = seen | {bids_stem(image.path) for image in images}
        for selector in self.stated.selectors:
            person = selector.split("_")[0]
            elsewhere = person not in seen and (self.bids_dir / person).is_dir()
            if elsewhere or re.fullmatch(r"\d+(\.\d+)+", selector):
                names.add(selector)
        return self.stated.unused(names)

    def unmatched(self, filters: Filters) -> list[str]:
        """Labels, except for participants, that none of the images has, a sentence each.

        Parameters
        ----------
        filters : which scans

        Returns
        -------
        list of str
        """
        return replace(filters, participant=()).unmatched(
            lambda alone: any(is_wanted(pet, alone, self.bids_dir) for pet in self.pets)
        )

    def weight_kg(self, image: RawImage) -> float | None:
        """Body weight by the sidecar, else by the session's or participant's row.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        float or None
            kg; None where nothing says it.
        """
        sidecar = self.sidecar(image)
        fields = (weight_kg(sidecar.get(key)) for key in _WEIGHT_FIELDS)
        stated = first_known(self._rows(image), WEIGHT_COLUMNS)
        return next((weight for weight in (*fields, weight_kg(stated)) if weight is not None), None)

    def unread_covariates(self, image: RawImage) -> list[str]:
        """What the tables say of the participant's age and weight that cannot be one.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        list of str
            A phrase each.
        """
        return unread_covariates(self._rows(image))

    def unread_weights(self, image: RawImage) -> dict[str, Any]:
        """Fields of the sidecar that should be a weight but are not; 0 means unknown.

        Parameters
        ----------
        image : of the dataset

        Returns
        -------
        dict
            Value by key.
        """
        fields = {key: self.sidecar(image).get(key) for key in _WEIGHT_FIELDS}
        return {
            key: value
            for key, value in fields.items()
            if value != 0 and not is_unknown(value) and weight_kg(value) is None
        }

    def _rows(self, image: RawImage) -> tuple[dict[str, str | None], ...]:
        """Rows of the session and of the participant, weights with the units of their columns."""
        name = f"sub-{image.participant}"
        of_visits = table_dictionary(self.bids_dir / name, f"{name}_session")
        return (
            with_units(
                without_dates(self._session_row(image)), self._dictionaries["session"] | of_visits
            ),
            with_units(
                without_dates(self._participant_row(image)), self._dictionaries["participant"]
            ),
        )

    @cached_property
    def _dictionaries(self) -> dict[str, dict[str, Any]]:
        levels = ("session", "participant")
        return {level: table_dictionary(self.bids_dir, level) for level in levels}

    def _scans(self, image: RawImage) -> dict[str, dict[str, str]]:
        return raw_tables.scans(image.path.parent.parent, self.bids_dir).rows

    def _participant_row(self, image: RawImage) -> dict[str, str]:
        return raw_tables.participants(self.bids_dir).rows.get(f"sub-{image.participant}", {})

    def _session_row(self, image: RawImage) -> dict[str, str]:
        if image.session is None:
            return {}
        table = raw_tables.sessions(self.bids_dir, image.participant)
        return table.rows.get(f"ses-{image.session}", {})


def _merged_sidecar(image: RawImage, bids_dir: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    alike: dict[tuple[Path, int], dict[str, tuple[Path, Any]]] = defaultdict(dict)
    for path in sidecar_files(image, bids_dir):
        farther = [flag for flag in flags_of(merged) if flag.code == CASE]
        content = in_right_case(read_object(path), path)
        said = alike[path.parent, len(parse_entities(path))]
        for key in content.keys() & read_keys():
            other, value = said.setdefault(key, (path, content[key]))
            if differ(value, content[key]):
                raise refused("sidecar", "two-files", path=path, other=other.name, key=key)
        merged |= content
        for flag in farther:
            if flag not in flags_of(merged):
                merged = with_flag(merged, flag)
    return merged


def sidecar_files(image: RawImage, bids_dir: Path) -> list[Path]:
    """JSON files that apply to an image by the inheritance principle, the nearest last.

    Parameters
    ----------
    image : of the dataset
    bids_dir : its root

    Returns
    -------
    list of Path
    """
    suffix, sidecars = suffix_of(image.path), []
    for folder in _around(image.path.parent, bids_dir):
        applying = [
            (entities, path)
            for path, its_suffix, entities in _json_files(folder)
            if its_suffix == suffix and entities.items() <= image.entities.items()
        ]
        sidecars += [path for _, path in sorted(applying, key=lambda sidecar: len(sidecar[0]))]
    return sidecars


@lru_cache(maxsize=64)
def _around(folder: Path, bids_dir: Path) -> tuple[Path, ...]:
    """The dataset, the folders in it that hold a folder, and this itself."""
    return tuple(accumulate(folder.relative_to(bids_dir).parts, Path.joinpath, initial=bids_dir))


def _json_files(folder: Path) -> tuple[tuple[Path, str, dict[str, str]], ...]:
    """JSON files of a folder, their suffixes and entities; kept until the folder changes."""
    return _listing(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _listing(folder: Path, _changed: int) -> tuple[tuple[Path, str, dict[str, str]], ...]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(".json"))
    except PermissionError:
        return ()
    return tuple((path, suffix_of(path), parse_entities(path)) for path in paths)


def read_object(path: Path) -> dict[str, Any]:
    """JSON object of a file of the raw dataset.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    dict

    Raises
    ------
    NoInputError, BadDataError
        It cannot be read; it is not a JSON object, or contradicts itself.
    """
    try:
        content = parse_json(read_text(path), object_pairs_hook=_unambiguous)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise NoInputError(worded("sidecar", "broken-link", path=path)) from error
        raise NoInputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{path}: is not UTF-8 text; save it again as UTF-8") from error
    except ValueError as error:
        raise BadDataError(f"{path}: is not valid JSON ({error}); correct it") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{path}: must hold one JSON object of names and values")
    return content


def table_dictionary(folder: Path, level: str) -> dict[str, Any]:
    """``participants.json`` or ``sessions.json`` of a folder: meaning of table columns.

    Parameters
    ----------
    folder : root of a raw dataset, or of a participant
    level : ``participant`` or ``session``, or ``sub-<label>_session``

    Returns
    -------
    dict
        Empty when there is none that can be read.
    """
    try:
        return read_object(folder / f"{level}s.json")
    except CentipetError:
        return {}


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object of a JSON text; a name that occurs twice must have the same value."""
    stated: dict[str, Any] = {}
    for name, value in pairs:
        if name in stated and differ(stated[name], value):
            raise ValueError(f"{name} is given twice with different values")
        stated[name] = value
    return stated


def is_wanted(pet: RawImage, filters: Filters, bids_dir: Path) -> bool:
    """Whether labels and tracer are selected.

    Parameters
    ----------
    pet : of the dataset
    filters : which scans
    bids_dir : root of the dataset, for sidecars that name the tracer

    Returns
    -------
    bool
    """
    return has_labels(pet.entities, filters) and (
        not filters.tracer or _has_tracer(pet, filters.tracer, bids_dir)
    )


def _has_tracer(pet: RawImage, wanted: tuple[str, ...], bids_dir: Path) -> bool:
    """Whether the tracer, under any of its names, is one of ``wanted``."""
    label = pet.entities.get("trc")
    if label is None:
        try:
            label = str(_merged_sidecar(pet, bids_dir).get("TracerName", ""))
        except CentipetError:
            return True  # planning reports what is wrong with the sidecar
    return any(same_tracer(label, name) for name in wanted)
