"""Contents of a raw dataset: the only place for pybids.

A raw image lies in ``sub-<label>/[ses-<label>/]{anat,pet}/`` and nowhere else, so these folders are
listed, which takes a second where pybids takes a minute; filter files, whose meaning is that of
pybids, are asked of it, perhaps of an index that it made earlier.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bidsapp.bids import raw_tables
from bidsapp.bids.entities import LONG_NAMES, parse_entities
from bidsapp.bids.folders import lost_people, people_in, unreadable_people
from bidsapp.bids.raw_dataset import (
    RawDataset,
    RawImage,
    is_wanted,
    read_object,
    table_dictionary,
)
from bidsapp.bids.raw_names import DATATYPES, UnusedImage, problem_of, suffix_of
from bidsapp.data.sentences import worded
from bidsapp.errors import (
    BadDataError,
    InvalidBidsError,
    NoInputError,
    NoMatchError,
    UsageError,
)
from bidsapp.io.image_names import NIFTI
from bidsapp.io.untouched import load
from bidsapp.plain import some
from bidsapp.settings import Filters

_LOG = logging.getLogger(__name__)

# Folders without a T1w or a PET, and names that are not text: pybids stores names as UTF-8.
_NEVER = (
    re.compile(r"^(/[^/]+){5}"),  # nothing of ours lies so deep, but links that go round in circles
    re.compile(r"^/(derivatives|sourcedata|code|stimuli|models|phenotype|logs?)(/|$)"),
    re.compile(r"^/sub-[^/]+(/ses-[^/]+)?/(?!anat|pet|ses-)[^/]+/"),
    re.compile(r"/\."),
    re.compile("[\udc80-\udcff]"),
)


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

    Returns
    -------
    RawDataset

    Raises
    ------
    UsageError
        The filter file names an entity that does not exist.
    NoMatchError
        The filters leave no PET image, or the filter file no T1w image.
    """
    finder = _Finder(bids_dir, filters.participant, database_dir)
    every_pet, unused = finder.images("pet")
    asked = finder.matching("pet", filters.bids_filters.get("pet"))
    images = every_pet if asked is None else asked
    pets = [pet for pet in images if is_wanted(pet, filters, bids_dir)]
    if not pets:
        raise NoMatchError(_nothing_found(bids_dir, filters, unused))
    people = {pet.participant for pet in pets}
    every_t1w = [t1w for t1w in finder.images("T1w")[0] if t1w.participant in people]
    t1ws = finder.matching("T1w", filters.bids_filters.get("t1w"))
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

    Parameters
    ----------
    bids_dir : root of the raw dataset

    Returns
    -------
    dict
        ``participants``: everybody in ``participants.tsv`` or with a folder, sorted;
        ``participant`` and ``session``: ``participants.json`` and ``sessions.json``, empty when
        there is none that can be read.
    """
    facts = {level: table_dictionary(bids_dir, level) for level in ("participant", "session")}
    listed = raw_tables.participants(bids_dir).rows
    people = {f"sub-{label}" for label in people_in(bids_dir)}
    people |= {name for name in listed if name.startswith("sub-")}
    return {"participants": sorted(people), **facts}


def check_dataset(bids_dir: Path) -> None:
    """Refuse a folder that is not a raw BIDS dataset.

    This is a look at what the app relies on, not a validation: bids-validator does that.

    Parameters
    ----------
    bids_dir : root of the raw dataset

    Raises
    ------
    InvalidBidsError
    """
    description = bids_dir / "dataset_description.json"
    try:
        content = read_object(description)
    except BadDataError as error:
        raise InvalidBidsError(str(error)) from error
    except NoInputError as error:
        missing = worded("dataset", "no-description", bids_dir=bids_dir)
        is_there = os.path.lexists(description)  # to be fetched, say
        raise InvalidBidsError(str(error) if is_there else missing) from error
    for key in ("Name", "BIDSVersion"):
        if not isinstance(content.get(key), str):
            raise InvalidBidsError(f"{description}: {key} is missing; BIDS requires it")
    if content.get("DatasetType") == "derivative":
        raise InvalidBidsError(worded("dataset", "derivative", description=description))
    if not any(path.is_dir() for path in bids_dir.glob("sub-*")):
        raise InvalidBidsError(worded("dataset", "no-people", bids_dir=bids_dir))


@dataclass(frozen=True)
class _Finder:
    """Lists the images of a raw dataset, each once.

    Attributes
    ----------
    bids_dir : root
    participants : labels; all when there are none
    database_dir : of a pybids index, for what a filter file asks
    """

    bids_dir: Path
    participants: tuple[str, ...]
    database_dir: Path | None

    def images(self, suffix: str) -> tuple[list[RawImage], list[UnusedImage]]:
        """Raw images of a suffix, sorted by path, and those of a name that cannot be used."""
        return self._sorted_out(self._named(suffix), suffix)

    def matching(self, suffix: str, query: Mapping[str, Any] | None) -> list[RawImage] | None:
        """Raw images that a filter file leaves; None when it does not speak of them.

        As in niworkflows, what the filter says replaces suffix, data type and extension.
        """
        if query is None:
            return None
        default = {"datatype": DATATYPES[suffix], "extension": list(NIFTI)}
        paths = filter(os.path.lexists, self._asked({"suffix": suffix} | default | dict(query)))
        self._tell_unknown(suffix, set(self._asked(default)))
        return self._sorted_out(paths, None)[0]

    def _tell_unknown(self, suffix: str, known: Collection[Path]) -> None:
        """Say which images pybids does not know, so that no filter can leave them."""
        if unknown := [path.name for path in self._named(suffix) if path not in known]:
            remedy = "" if self.database_dir is None else f"; remove {self.database_dir}, it is old"
            names = some(unknown)
            _LOG.warning("%s", worded("filter-file", "unknown", names=names, remedy=remedy))

    def _named(self, suffix: str) -> Iterator[Path]:
        """NIfTI images of a suffix in ``sub-<label>/[ses-<label>/]<datatype>/``."""
        for person in _listed(self.bids_dir, _is_folder("sub-")):
            if self.participants and person.name.removeprefix("sub-") not in self.participants:
                continue
            for folder in (person, *_listed(person, _is_folder("ses-"))):
                images = _listed(folder / DATATYPES[suffix], _is_image)
                yield from (path for path in images if suffix_of(path) == suffix)

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
        index = None if self.database_dir is None else str(self.database_dir)
        try:
            layout = BIDSLayout(
                self.bids_dir,
                validate=False,
                config=["bids"],
                indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore),
                database_path=index,
            )
        except Exception as error:  # of its database, by the mistake
            if index is None:
                raise
            why = " ".join(str(error).split())[:200]
            raise UsageError(worded("filter-file", "index", index=index, why=why)) from error
        if not Path(str(layout.root)).samefile(self.bids_dir):
            why = f"it is that of {layout.root}"
            raise UsageError(worded("filter-file", "index", index=index, why=why))
        return layout

    def _asked(self, query: Mapping[str, Any]) -> list[Path]:
        """What pybids finds."""
        asked = {
            key if key == "regex_search" else _long_name(key): _query_value(value)
            for key, value in query.items()
        }
        layout = self._layout
        try:
            paths = layout.get(return_type="filename", **asked)
        except Exception as error:  # pybids raises its own, ValueError or TypeError, by the mistake
            raise UsageError(f"--bids-filter-file: {' '.join(str(error).split())[:300]}") from error
        root = Path(str(layout.root))
        return [self.bids_dir / Path(path).relative_to(root) for path in paths]

    def _sorted_out(
        self, paths: Iterable[Path], suffix: str | None
    ) -> tuple[list[RawImage], list[UnusedImage]]:
        images, unused = [], []
        for path in sorted(paths):
            image = RawImage(path, parse_entities(path))
            if self.participants and image.entities.get("sub") not in self.participants:
                continue
            if reason := problem_of(path, self.bids_dir, suffix):
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
    is_nifti = entry.name.endswith(NIFTI) and not entry.name.startswith(".")
    return is_nifti and (entry.is_symlink() or not entry.is_dir())


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
    unusable = f"; {unused[0].path.name}: {unused[0].reason}" if unused else ""
    if len(unused) > 1:
        unusable += f"; nor are {len(unused) - 1} other images used"
    if not asked:
        where = "sub-<label>/[ses-<label>/]pet/*_pet.nii[.gz]"
        return f"{bids_dir}: contains no PET image ({where}) that can be used{unusable}"
    lost = lost_people(filters.participant, people_in(bids_dir), bids_dir)
    hint = "".join(f"; {sentence}" for sentence in lost.values())
    return f"{bids_dir}: no PET image matches {' and '.join(asked)}{hint}{unusable}"
