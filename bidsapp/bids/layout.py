"""What a raw dataset holds: the only place for pybids.

A raw image lies in ``sub-<label>/[ses-<label>/]{anat,pet}/`` and nowhere else, so these folders are
listed, which takes a second where pybids takes a minute; filter files and databases, whose meaning
is that of pybids, are asked of it. Sidecars are read here, one image at a time, so that a broken
one costs one scan (pybids gives up on the whole dataset).
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from bidsapp.bids import raw_tables
from bidsapp.bids.covariates import (
    WEIGHT_COLUMNS,
    first_known,
    unread_covariates,
    weight_kg,
    without_dates,
)
from bidsapp.bids.entities import LONG_NAMES, RAW_ENTITIES, has_labels, parse_entities
from bidsapp.bids.folders import lost_people, people_in, unreadable_people
from bidsapp.bids.sidecar_keys import CASE, in_right_case
from bidsapp.bids.stated import Metadata, flags_of, in_sidecar, with_flag
from bidsapp.data import read_table
from bidsapp.data.sentences import worded
from bidsapp.data.series_texts import is_unknown
from bidsapp.data.tracers import same_tracer
from bidsapp.errors import (
    BadDataError,
    CentipetError,
    InvalidBidsError,
    NoInputError,
    NoMatchError,
    UsageError,
)
from bidsapp.io.reading import parse_json, read_text
from bidsapp.io.untouched import load
from bidsapp.plain import some
from bidsapp.settings import Filters

_LOG = logging.getLogger(__name__)

# Folders without a T1w or a PET, and names that are no text: pybids stores names as UTF-8.
_NEVER = (
    re.compile(r"^(/[^/]+){5}"),  # nothing of ours lies so deep, but links that go round in circles
    re.compile(r"^/(derivatives|sourcedata|code|stimuli|models|phenotype|logs?)(/|$)"),
    re.compile(r"^/sub-[^/]+(/ses-[^/]+)?/(?!anat|pet|ses-)[^/]+/"),
    re.compile(r"/\."),
    re.compile("[\udc80-\udcff]"),
)

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
class UnusedImage:
    """An image of a participant that is not used, and why: one phrase."""

    path: Path
    reason: str


@dataclass(frozen=True)
class RawDataset:
    """The PET scans asked for and every T1w of their participants, sorted by path.

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
        """T1w images of a participant that a filter file leaves, sorted by path."""
        return self._t1ws.get(participant, [])

    def is_filtered_out(self, participant: str) -> bool:
        """Whether a filter file leaves none of the T1w images of a participant."""
        return not self.t1ws_of(participant) and participant in self._people_with_t1w

    @cached_property
    def _t1ws(self) -> dict[str, list[RawImage]]:
        by_participant: dict[str, list[RawImage]] = defaultdict(list)
        for t1w in self.t1ws:
            by_participant[t1w.participant].append(t1w)
        return dict(by_participant)

    @cached_property
    def _people_with_t1w(self) -> set[str]:
        return {t1w.participant for t1w in self.every_t1w}

    def other_anatomy(self, participant: str) -> list[UnusedImage]:
        """Images of a participant that might be taken for a T1w and are none, and why."""
        folder = self.bids_dir / f"sub-{participant}"
        unused = []
        for path in sorted(folder.rglob("anat/**/*.nii*")):
            reason = _problem(path, self.bids_dir, "T1w", "anat")
            if reason is None:
                reason = "it is a folder" if path.is_dir() else "it is not a magnitude image"
            unused.append(UnusedImage(path, reason))
        return unused

    def sidecar(self, image: RawImage) -> dict[str, Any]:
        """Metadata of an image by the BIDS inheritance principle: nearer files win.

        Raises
        ------
        NoInputError, BadDataError
            A sidecar that applies cannot be read; is no JSON object.
        """
        return in_sidecar(
            dict(self._merged(image)),
            self.stated.merged("*", f"sub-{image.participant}", image.path.name.split(".")[0]),
        )

    @cached_property
    def _merged(self) -> Callable[[RawImage], dict[str, Any]]:
        """What `sidecar` reads; planning asks seven times for that of one image."""
        return lru_cache(maxsize=32)(partial(_merged_sidecar, bids_dir=self.bids_dir))

    def readable_sidecar(self, image: RawImage) -> dict[str, Any]:
        """`sidecar` where no number rests on it: empty when it cannot be read."""
        try:
            return self.sidecar(image)
        except CentipetError:
            return {}

    def sidecar_files(self, image: RawImage) -> list[Path]:
        """JSON files that apply to an image, the nearest last."""
        return _applying(image, self.bids_dir)

    def acquired(self, image: RawImage) -> datetime | None:
        """When an image was made: ``acq_time`` of its ``scans.tsv``, else of its session."""
        folder = image.path.parent.name
        key = raw_tables.scan_key(f"{folder}/{image.path.name}")
        return _acq_time(self._scans(image).get(key, {})) or _acq_time(self._session_row(image))

    def session_time(self, image: RawImage) -> datetime | None:
        """When an image was made, at least to a session: as another image of it where unknown."""
        times = filter(None, map(_acq_time, self._scans(image).values()))
        return self.acquired(image) or min(times, default=None)

    def site(self, image: RawImage) -> str | None:
        """Where an image was made: by session, else participant, else the sidecar's institution."""
        site = first_known(self._rows(image), _SITE_COLUMNS)
        if site is None:
            site = self.sidecar(image).get("InstitutionName")
        return None if site in (None, "", "n/a") else str(site)

    def about(self, image: RawImage) -> dict[str, dict[str, Any]]:
        """What the raw dataset tells of a scan besides its image, for the record.

        Returns
        -------
        dict
            ``participant`` and ``session``: columns of ``participants.tsv`` and ``sessions.tsv``
            as they stand there, None for ``n/a``, without dates but that of the begin of
            treatment; ``acquisition``: fields of the sidecar about scanner, dose and
            reconstruction, empty when it cannot be read.
        """
        sidecar = self.readable_sidecar(image)
        fields = read_table("sidecar_keys")["acquisition"]
        return {
            "participant": without_dates(self._participant_row(image)),
            "session": without_dates(self._session_row(image)),
            "acquisition": {key: sidecar[key] for key in fields if key in sidecar},
        }

    def contradictions(self, image: RawImage) -> list[str]:
        """Columns that rows about the participant or the session contradict each other in."""
        tables = [(raw_tables.participants(self.bids_dir), f"sub-{image.participant}")]
        if image.session is not None:
            tables.append(
                (raw_tables.sessions(self.bids_dir, image.participant), f"ses-{image.session}")
            )
        return [column for table, key in tables for column in table.contradicted.get(key, ())]

    def unused_statements(self) -> list[str]:
        """Sentence about what a user states of images that the dataset has not.

        What is not asked for in this run, and series that the images may come from, is passed over.
        """
        images = {*self.every_pet, *self.every_t1w}
        seen = {f"sub-{image.participant}" for image in images}
        names = seen | {image.path.name.split(".")[0] for image in images}
        for selector in self.stated.selectors:
            person = selector.split("_")[0]
            elsewhere = person not in seen and (self.bids_dir / person).is_dir()
            if elsewhere or re.fullmatch(r"\d+(\.\d+)+", selector):
                names.add(selector)
        return self.stated.unused(names)

    def unmatched(self, filters: Filters) -> list[str]:
        """Labels, but for participants, that none of the images has, a sentence each."""
        return replace(filters, participant=()).unmatched(
            lambda alone: any(_is_wanted(pet, alone, self.bids_dir) for pet in self.pets)
        )

    def table_problems(self) -> list[str]:
        """What was wrong with the tables of the participants, one sentence each."""
        people = sorted({pet.participant for pet in self.pets})
        folders = sorted({pet.path.parent.parent for pet in self.pets})
        table = raw_tables.participants(self.bids_dir)
        problems = [*table.problems]
        if table.rows and (lost := [f"sub-{p}" for p in people if f"sub-{p}" not in table.rows]):
            problems.append(f"participants.tsv: has no row of {some(lost)}")
        tables = {
            f"sub-{person}_sessions.tsv": raw_tables.sessions(self.bids_dir, person)
            for person in people
        }
        for folder in folders:
            name = "_".join(folder.relative_to(self.bids_dir).parts)
            tables[f"{name}_scans.tsv"] = raw_tables.scans(folder, self.bids_dir)
        for name, each in tables.items():
            problems += each.problems
            times = {key: _acq_text(row) for key, row in each.rows.items()}
            unread = [key for key, text in times.items() if text and _moment(text) is None]
            if unread:
                problems.append(worded("raw-tables", "acq-time", name=name, keys=some(unread)))
        return problems

    def weight_kg(self, image: RawImage) -> float | None:
        """Body weight by the sidecar, else by the session's or participant's row."""
        sidecar = self.sidecar(image)
        fields = (weight_kg(sidecar.get(key)) for key in _WEIGHT_FIELDS)
        stated = first_known(self._rows(image), WEIGHT_COLUMNS)
        return next((weight for weight in (*fields, weight_kg(stated)) if weight is not None), None)

    def unread_covariates(self, image: RawImage) -> list[str]:
        """What the tables say of the participant's age and weight that cannot be one."""
        return unread_covariates(self._rows(image))

    def unread_weights(self, image: RawImage) -> dict[str, Any]:
        """Fields of the sidecar that should be a weight and are none; 0 stands for unknown."""
        fields = {key: self.sidecar(image).get(key) for key in _WEIGHT_FIELDS}
        return {
            key: value
            for key, value in fields.items()
            if not (value in (None, 0) or is_unknown(str(value))) and weight_kg(value) is None
        }

    def _rows(self, image: RawImage) -> tuple[dict[str, str | None], ...]:
        """Rows of the session and of the participant."""
        return without_dates(self._session_row(image)), without_dates(self._participant_row(image))

    def _scans(self, image: RawImage) -> dict[str, dict[str, str]]:
        return raw_tables.scans(image.path.parent.parent, self.bids_dir).rows

    def _participant_row(self, image: RawImage) -> dict[str, str]:
        return raw_tables.participants(self.bids_dir).rows.get(f"sub-{image.participant}", {})

    def _session_row(self, image: RawImage) -> dict[str, str]:
        if image.session is None:
            return {}
        table = raw_tables.sessions(self.bids_dir, image.participant)
        return table.rows.get(f"ses-{image.session}", {})


def read_dataset(
    bids_dir: Path, filters: Filters, *, database_dir: Path | None = None
) -> RawDataset:
    """Find the PET images that the filters leave and the T1w images of the same people.

    Session, tracer, reconstruction and run choose PET images only: a T1w of another session may
    still be the one to use.

    Parameters
    ----------
    bids_dir : root of the raw dataset
    filters : which scans
    database_dir : of a pybids index to reuse; None for none

    Raises
    ------
    UsageError
        The filter file names an entity that does not exist.
    NoMatchError
        The filters leave no PET image, or the filter file no T1w image.
    """
    finder = _Finder(bids_dir, filters.participant, database_dir)
    every_pet, unused = finder.images("pet", "pet")
    asked = finder.matching("pet", "pet", filters.bids_filters.get("pet"))
    images = every_pet if asked is None else asked
    pets = [pet for pet in images if _is_wanted(pet, filters, bids_dir)]
    if not pets:
        raise NoMatchError(_nothing_found(bids_dir, filters, unused))
    people = {pet.participant for pet in pets}
    every_t1w = [t1w for t1w in finder.images("T1w", "anat")[0] if t1w.participant in people]
    t1ws = finder.matching("T1w", "anat", filters.bids_filters.get("t1w"))
    if t1ws is not None and not any(t1w.participant in people for t1w in t1ws):
        raise NoMatchError(worded("filter-file", "no-t1w", bids_dir=bids_dir))
    return RawDataset(
        bids_dir,
        tuple(pets),
        tuple(t1w for t1w in (every_t1w if t1ws is None else t1ws) if t1w.participant in people),
        tuple(pet for pet in every_pet if pet.participant in people),
        tuple(every_t1w),
        tuple(unused),
    )


def raw_facts(bids_dir: Path) -> dict[str, Any]:
    """What the group level may know of the raw dataset, which it does not need to see.

    Returns
    -------
    dict
        ``participants``: everybody in ``participants.tsv`` or with a folder, sorted;
        ``participant`` and ``session``: ``participants.json`` and ``sessions.json``, empty when
        there is none that can be read.
    """
    facts: dict[str, Any] = {}
    for what in ("participant", "session"):
        try:
            facts[what] = _read_object(bids_dir / f"{what}s.json")
        except CentipetError:
            facts[what] = {}
    listed = set(raw_tables.participants(bids_dir).rows)
    with os.scandir(bids_dir) as entries:  # asks no file of thousands, as Path.is_dir would
        folders = {entry.name for entry in entries if entry.is_dir()}
    people = {name for name in folders | listed if name.startswith("sub-")}
    return {"participants": sorted(people), **facts}


def check_dataset(bids_dir: Path) -> None:
    """Refuse a folder that is no raw BIDS dataset.

    This is a look at what the app relies on, not a validation: bids-validator does that.

    Raises
    ------
    InvalidBidsError
    """
    description = bids_dir / "dataset_description.json"
    try:
        content = _read_object(description)
    except BadDataError as error:
        raise InvalidBidsError(str(error)) from error
    except NoInputError as error:
        raise InvalidBidsError(worded("dataset", "no-description", bids_dir=bids_dir)) from error
    for key in ("Name", "BIDSVersion"):
        if not isinstance(content.get(key), str):
            raise InvalidBidsError(f"{description}: {key} is missing; BIDS requires it")
    if content.get("DatasetType") == "derivative":
        raise InvalidBidsError(worded("dataset", "derivative", description=description))
    if not any(path.is_dir() for path in bids_dir.glob("sub-*")):
        raise InvalidBidsError(worded("dataset", "no-people", bids_dir=bids_dir))


class _Finder:
    """Lists the images of a raw dataset, each once.

    Parameters
    ----------
    bids_dir : root
    participants : labels; all when there are none
    database_dir : of a pybids index, which then tells what there is
    """

    def __init__(
        self, bids_dir: Path, participants: tuple[str, ...], database_dir: Path | None
    ) -> None:
        self.bids_dir, self.participants, self.database_dir = bids_dir, participants, database_dir

    def images(self, suffix: str, datatype: str) -> tuple[list[RawImage], list[UnusedImage]]:
        """Raw images of a suffix, sorted by path, and those of a name that cannot be used."""
        if self.database_dir is None:
            paths = list(self._walk(datatype))
        else:
            paths = self._asked({"extension": [".nii", ".nii.gz"], "datatype": datatype})
        named = [path for path in paths if _suffix(path) == suffix]
        return self._sorted_out(named, suffix, datatype)

    def matching(
        self, suffix: str, datatype: str, query: Mapping[str, Any] | None
    ) -> list[RawImage] | None:
        """Raw images that a filter file leaves; None when it does not speak of them.

        As in niworkflows, what the filter says replaces suffix, data type and extension.
        """
        if query is None:
            return None
        default = {"suffix": suffix, "datatype": datatype, "extension": [".nii", ".nii.gz"]}
        return self._sorted_out(self._asked(default | dict(query)), None, None)[0]

    def _walk(self, datatype: str) -> Iterator[Path]:
        """NIfTI images in ``sub-<label>/[ses-<label>/]<datatype>/``."""
        for person in _listed(self.bids_dir, _is_folder("sub-")):
            if self.participants and person.name.removeprefix("sub-") not in self.participants:
                continue
            for folder in (person, *_listed(person, _is_folder("ses-"))):
                yield from _listed(folder / datatype, _is_image)

    @cached_property
    def _layout(self) -> Any:
        load("bids")
        from bids.layout import BIDSLayout, BIDSLayoutIndexer

        ignore = list(_NEVER)
        if self.participants and self.database_dir is None:  # a database is for every later run
            people = "|".join(map(re.escape, self.participants))
            ignore.append(re.compile(rf"^/sub-(?!(?:{people})(?:/|$))"))
        closed = unreadable_people(self.bids_dir, self.participants)
        ignore += [re.compile(rf"^/sub-{re.escape(label)}(/|$)") for label in closed]
        return BIDSLayout(
            self.bids_dir,
            validate=False,
            config=["bids"],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore),
            database_path=None if self.database_dir is None else str(self.database_dir),
        )

    def _asked(self, query: Mapping[str, Any]) -> list[Path]:
        """What pybids finds."""
        asked = {
            key if key == "regex_search" else _long_name(key): _query_value(value)
            for key, value in query.items()
        }
        try:
            paths = self._layout.get(return_type="filename", **asked)
        except Exception as error:  # pybids raises its own, ValueError or TypeError, by the mistake
            raise UsageError(f"--bids-filter-file: {' '.join(str(error).split())[:300]}") from error
        root = Path(str(self._layout.root))
        return [self.bids_dir / Path(path).relative_to(root) for path in paths]

    def _sorted_out(
        self, paths: Iterable[Path], suffix: str | None, datatype: str | None
    ) -> tuple[list[RawImage], list[UnusedImage]]:
        images, unused = [], []
        for path in sorted(paths):
            image = RawImage(path, parse_entities(path))
            if self.participants and image.entities.get("sub") not in self.participants:
                continue
            if reason := _problem(path, self.bids_dir, suffix, datatype):
                unused.append(UnusedImage(path, reason))
                _LOG.warning("%s: not used, %s", path, reason)
            elif image.entities.get("part", "mag") == "mag":
                images.append(image)
        return images, unused


def _listed(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    """What is wanted of a folder and has a name that pybids could read; nothing of no folder."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if wanted(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _LOG.warning("%s: cannot be read (%s)", folder, error.strerror)
        return []
    return [folder / name for name in names if name.isprintable()]


def _is_folder(prefix: str) -> Callable[[os.DirEntry[str]], bool]:
    return lambda entry: entry.name.startswith(prefix) and entry.is_dir()


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether it is NIfTI; a link to nothing, too, for its content may have to be fetched."""
    is_nifti = entry.name.endswith((".nii", ".nii.gz")) and not entry.name.startswith(".")
    return is_nifti and (entry.is_symlink() or not entry.is_dir())


def _problem(path: Path, bids_dir: Path, suffix: str | None, datatype: str | None) -> str | None:
    """Why an image is none of the raw dataset, by its name and its place; None when it is one.

    Parameters
    ----------
    path : below ``bids_dir``
    suffix, datatype : what it should be; None for any
    """
    entities = parse_entities(path)
    if "sub" not in entities:
        return "its name has no sub-"
    kind = path.parent.name
    own = [f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities]
    if list(path.relative_to(bids_dir).parts[:-1]) != [*own, datatype or kind]:
        return f"it does not lie in {'/'.join([*own, datatype or kind])}/, where its name belongs"
    if suffix is not None and _suffix(path) != suffix:
        return f"its suffix is {_suffix(path)}, not {suffix}"
    foreign = sorted(entities.keys() - set(RAW_ENTITIES.get(kind, ())))
    if foreign and kind == "pet" and foreign == ["acq"]:
        return "a PET has no acq-: if it names the tracer, rename acq- to trc-"
    if foreign:
        verb = "is not an entity" if len(foreign) == 1 else "are not entities"
        return f"{', '.join(f'{key}-' for key in foreign)} {verb} of a raw image of this kind"
    return None


def _is_wanted(pet: RawImage, filters: Filters, bids_dir: Path) -> bool:
    """Whether labels and tracer are among those asked for."""
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
            return True  # planning tells what is wrong with the sidecar
    return any(same_tracer(label, name) for name in wanted)


def _merged_sidecar(image: RawImage, bids_dir: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in _applying(image, bids_dir):
        farther = [flag for flag in flags_of(merged) if flag.code == CASE]
        merged |= in_right_case(_read_object(path), path)
        for flag in farther:
            if flag not in flags_of(merged):
                merged = with_flag(merged, flag)
    return merged


def _applying(image: RawImage, bids_dir: Path) -> list[Path]:
    """JSON files that apply to an image by the inheritance principle, the nearest last."""
    suffix, sidecars = _suffix(image.path), []
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


def _suffix(path: Path) -> str:
    return path.name.split(".", 1)[0].rsplit("_", 1)[-1]


def _long_name(key: str) -> str:
    """Name that pybids has for an entity; that of file names is understood as well.

    Raises
    ------
    UsageError
        There is no such entity.
    """
    if key in LONG_NAMES.values():
        return key
    if key in LONG_NAMES:
        return LONG_NAMES[key]
    raise UsageError(worded("filter-file", "entity", key=key, known=", ".join(LONG_NAMES.values())))


def _query_value(value: Any) -> Any:
    """A value of a filter file: null means absent, ``*`` present, a text or a list as it is."""
    load("bids")
    from bids.layout import Query

    if isinstance(value, list):
        return [_query_value(element) for element in value]
    if value is None:
        return Query.NONE
    if value == "*":
        return Query.REQUIRED
    if isinstance(value, str) and value.lower().startswith("query."):
        try:
            return Query[value[len("query.") :].upper()]
        except KeyError as error:
            known = ", ".join(f"Query.{name}" for name in Query.__members__)
            raise UsageError(worded("filter-file", "query", value=value, known=known)) from error
    return value


def _nothing_found(bids_dir: Path, filters: Filters, unused: Sequence[UnusedImage]) -> str:
    asked = [
        f"{name} {', '.join(values)}"
        for name in ("participant", "session", "tracer", "rec", "run")
        if (values := getattr(filters, name))
    ]
    if "pet" in filters.bids_filters:
        asked.append("the filter file")
    left = f"; {unused[0].path.name}: {unused[0].reason}" if unused else ""
    if len(unused) > 1:
        left += f"; nor are {len(unused) - 1} other images used"
    if not asked:
        where = "sub-<label>/[ses-<label>/]pet/*_pet.nii[.gz]"
        return f"{bids_dir}: contains no PET image ({where}) that can be used{left}"
    lost = lost_people(filters.participant, people_in(bids_dir), bids_dir)
    hint = "".join(f"; {sentence}" for sentence in lost.values())
    return f"{bids_dir}: no PET image matches {' and '.join(asked)}{hint}{left}"


def _json_files(folder: Path) -> tuple[tuple[Path, str, dict[str, str]], ...]:
    """JSON files of a folder, their suffixes and entities; kept until the folder changes."""
    return _listing(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _listing(folder: Path, _changed: int) -> tuple[tuple[Path, str, dict[str, str]], ...]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(".json"))
    except PermissionError:
        return ()
    return tuple((path, _suffix(path), parse_entities(path)) for path in paths)


def _acq_time(row: Mapping[str, str]) -> datetime | None:
    return _moment(_acq_text(row))


def _acq_text(row: Mapping[str, str]) -> str:
    """What a row says about the time; empty where it says nothing."""
    text = next((value for name, value in row.items() if name.lower() == "acq_time"), "")
    return "" if text == "n/a" else text


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def _read_object(path: Path) -> dict[str, Any]:
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


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object of a JSON text; a name that stands twice must say the same both times."""
    stated: dict[str, Any] = {}
    for name, value in pairs:
        if name in stated and stated[name] != value:
            raise ValueError(f"{name} stands there twice with different values")
        stated[name] = value
    return stated
