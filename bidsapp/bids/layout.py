"""What a raw dataset holds: the only place for pybids.

pybids finds the files; sidecars are read here, one image at a time, so that a broken one costs one
scan (pybids gives up on the whole dataset) and so that a dataset of thousands is indexed quickly.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import RAW_ENTITIES, parse_entities
from bidsapp.bids.stated import Metadata, in_sidecar
from bidsapp.data.tracers import tracer_from_name
from bidsapp.errors import (
    BadDataError,
    CentipetError,
    InvalidBidsError,
    NoInputError,
    NoMatchError,
    UsageError,
)
from bidsapp.reading import parse_json, read_text
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

# Columns of participants.tsv that say where, in lower case, the likeliest first.
_SITE_COLUMNS = ("site", "site_id", "siteid", "center", "centre", "institution", "scanner_site")
# Fields of the sidecar that tell one way of measuring from another.
_SCANNER_FIELDS = ("Manufacturer", "ManufacturersModelName", "InstitutionName")
_RECONSTRUCTION_FIELDS = (
    *("ReconMethodName", "ReconMethodParameterLabels", "ReconMethodParameterValues"),
    *("ReconFilterType", "ReconFilterSize", "AttenuationCorrection"),
)
# Dates could identify a person: tables of results have intervals instead.
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(\D|$)|\d{1,2}[./]\d{1,2}[./]\d{2,4}$"
    r"|(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])$"
)
# Where a body weight may stand, kg; others are pounds or mistakes.
_WEIGHT_FIELDS = ("PatientWeight", "BodyWeight", "ParticipantWeight")
_WEIGHT_COLUMNS = ("weight", "weight_kg", "bodyweight", "body_weight")
_WEIGHT_KG = (2.0, 300.0)


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
    """The PET scans asked for and every T1w of their participants, sorted by path.

    ``every_pet`` are those of the same participants whatever was asked for: the template of a
    participant must not depend on it.  ``stated`` is what a user states of the images.
    """

    bids_dir: Path
    pets: tuple[RawImage, ...]
    t1ws: tuple[RawImage, ...]
    every_pet: tuple[RawImage, ...] = ()
    stated: Metadata = field(default_factory=Metadata)

    def sidecar(self, image: RawImage) -> dict[str, Any]:
        """Metadata of an image by the BIDS inheritance principle: nearer files win.

        Raises
        ------
        NoInputError, BadDataError
            A sidecar that applies cannot be read; is no JSON object.
        """
        return in_sidecar(
            _merged_sidecar(image, self.bids_dir),
            self.stated.merged("*", f"sub-{image.participant}", image.path.name.split(".")[0]),
        )

    def acquisition_time(self, image: RawImage) -> datetime | None:
        """``acq_time`` of an image in its ``scans.tsv``, or None when it is not known."""
        root = image.path.parent.parent
        prefix = "_".join(root.relative_to(self.bids_dir).parts)
        text = _scan_times(root / f"{prefix}_scans.tsv").get(
            image.path.relative_to(root).as_posix(), ""
        )
        try:
            return datetime.fromisoformat(text).replace(tzinfo=None)
        except ValueError:
            return None

    def acquired(self, image: RawImage) -> datetime | None:
        """When an image was made: ``acq_time`` of its ``scans.tsv``, else of its session."""
        found = self.acquisition_time(image)
        if found is not None or image.session is None:
            return found
        name = f"sub-{image.participant}"
        row = _row(self.bids_dir / name / f"{name}_sessions.tsv", f"ses-{image.session}")
        try:
            return datetime.fromisoformat(row.get("acq_time") or "").replace(tzinfo=None)
        except ValueError:
            return None

    def site(self, image: RawImage) -> str | None:
        """Where an image was made: the participant's site, else the institution of the sidecar."""
        row = _row(self.bids_dir / "participants.tsv", f"sub-{image.participant}")
        known = {k.lower(): v for k, v in row.items() if k and v not in (None, "", "n/a")}
        found = next((known[name] for name in _SITE_COLUMNS if name in known), None)
        if found is None:
            found = self.sidecar(image).get("InstitutionName")
        return None if found in (None, "", "n/a") else str(found)

    def about(self, image: RawImage) -> dict[str, dict[str, Any]]:
        """What the raw dataset tells of a scan besides its image, for the record.

        Returns
        -------
        dict
            ``participant`` and ``session``: columns of ``participants.tsv`` and ``sessions.tsv``
            as they stand there, None for ``n/a``, dates left out; ``acquisition``: fields of the
            sidecar about scanner and reconstruction, empty when it cannot be read.
        """
        name = f"sub-{image.participant}"
        sessions = self.bids_dir / name / f"{name}_sessions.tsv"
        try:
            sidecar = self.sidecar(image)
        except CentipetError:
            sidecar = {}
        told = (*_SCANNER_FIELDS, *_RECONSTRUCTION_FIELDS)
        return {
            "participant": _columns(self.bids_dir / "participants.tsv", name),
            "session": _columns(sessions, f"ses-{image.session}") if image.session else {},
            "acquisition": {key: sidecar[key] for key in told if key in sidecar},
        }

    def weight_kg(self, image: RawImage) -> float | None:
        """Body weight by the sidecar, else by the participant's or session's row."""
        sidecar = self.sidecar(image)
        name = f"sub-{image.participant}"
        tables = [(self.bids_dir / "participants.tsv", name)]
        if image.session is not None:
            sessions = self.bids_dir / name / f"{name}_sessions.tsv"
            tables.insert(0, (sessions, f"ses-{image.session}"))
        found = [sidecar[key] for key in _WEIGHT_FIELDS if key in sidecar]
        for table in tables:
            row = {name.lower(): value for name, value in _row(*table).items() if name}
            found += [row[column] for column in _WEIGHT_COLUMNS if column in row]
        for value in found:
            try:
                if _WEIGHT_KG[0] <= float(value) <= _WEIGHT_KG[1]:
                    return float(value)
            except (TypeError, ValueError, OverflowError):
                continue
        return None


def read_dataset(
    bids_dir: Path, filters: Filters, *, database_dir: Path | None = None
) -> RawDataset:
    """Find the PET images that the filters leave and the T1w images of the same people.

    Session, tracer, reconstruction and run choose PET images only: a T1w of another session may
    still be the one to use.

    Raises
    ------
    UsageError
        The filter file names an entity that does not exist.
    NoMatchError
        The filters leave no PET image.
    """
    layout = _index(bids_dir, filters.participant, database_dir)
    find = partial(_find, layout, bids_dir, filters)
    every_pet = find("pet", "pet")
    pets = [pet for pet in every_pet if _is_wanted(pet, filters, bids_dir)]
    if not pets:
        raise NoMatchError(_nothing_found(bids_dir, filters))
    people = {pet.participant for pet in pets}
    t1ws = [t1w for t1w in find("T1w", "anat") if t1w.participant in people]
    if "pet" in filters.bids_filters:
        every_pet = _find(layout, bids_dir, replace(filters, bids_filters={}), "pet", "pet")
    every_pet = [pet for pet in every_pet if pet.participant in people]
    return RawDataset(bids_dir, tuple(pets), tuple(t1ws), tuple(every_pet))


def raw_facts(bids_dir: Path) -> dict[str, Any]:
    """What the group level may know of the raw dataset, which it does not need to see.

    Returns
    -------
    dict
        ``participants``: everybody in ``participants.tsv`` or with a folder, sorted;
        ``participant`` and ``session``: ``participants.json`` and ``sessions.json``, empty when
        there is none that can be read.
    """
    told: dict[str, Any] = {}
    for what in ("participant", "session"):
        try:
            told[what] = _read_object(bids_dir / f"{what}s.json")
        except CentipetError:
            told[what] = {}
    table = bids_dir / "participants.tsv"
    listed = set(_rows(table, table.stat().st_mtime_ns if table.is_file() else 0))
    with os.scandir(bids_dir) as entries:  # asks no file of thousands, as Path.is_dir would
        folders = {entry.name for entry in entries if entry.is_dir()}
    people = {name for name in folders | listed if name.startswith("sub-")}
    return {"participants": sorted(people), **told}


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
        raise InvalidBidsError(
            f"{bids_dir}: has no readable dataset_description.json, so it is not BIDS; for DICOM "
            "use --dicom-dir, otherwise run bids-validator or add --skip-bids-validation"
        ) from error
    for key in ("Name", "BIDSVersion"):
        if not isinstance(content.get(key), str):
            raise InvalidBidsError(f"{description}: {key} is missing; BIDS requires it")
    if content.get("DatasetType") == "derivative":
        raise InvalidBidsError(
            f"{description}: DatasetType is derivative; give the raw dataset as bids_dir"
        )
    if not any(path.is_dir() for path in bids_dir.glob("sub-*")):
        raise InvalidBidsError(f"{bids_dir}: holds no folder sub-<label>; see bids.neuroimaging.io")


def _index(bids_dir: Path, participants: tuple[str, ...], database_dir: Path | None) -> Any:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    ignore = list(_NEVER)
    if participants and database_dir is None:  # a database is for every later run, so it has all
        people = "|".join(map(re.escape, participants))
        ignore.append(re.compile(rf"^/sub-(?!(?:{people})(?:/|$))"))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    return BIDSLayout(
        bids_dir,
        validate=False,
        config=["bids"],
        indexer=indexer,
        database_path=None if database_dir is None else str(database_dir),
    )


def _find(
    layout: Any, bids_dir: Path, filters: Filters, suffix: str, datatype: str
) -> list[RawImage]:
    """Images of a suffix that the participant labels and the filter file leave, sorted."""
    query = {
        key: _query_value(v) for key, v in filters.bids_filters.get(suffix.lower(), {}).items()
    }
    query |= {"suffix": suffix, "datatype": datatype, "extension": [".nii", ".nii.gz"]}
    try:
        found = layout.get(return_type="filename", **query)
    except Exception as error:  # pybids raises its own, ValueError or TypeError, by the mistake
        raise UsageError(f"--bids-filter-file: {' '.join(str(error).split())[:300]}") from error
    root = Path(str(layout.root))
    paths = _once(bids_dir / Path(path).relative_to(root) for path in found)
    images = [RawImage(path, parse_entities(path)) for path in paths]
    return [
        image
        for image in images
        if _is_raw(image, RAW_ENTITIES[datatype])
        and (not filters.participant or image.participant in filters.participant)
    ]


def _once(paths: Iterable[Path]) -> list[Path]:
    """Sort paths, each file once: links between folders may lead to it by several ways.

    Links of files stay apart: two of git-annex that lead to the same content are two images.
    """
    shortest_last = sorted(paths, key=lambda path: (-len(path.parts), path))
    return sorted({(path.parent.resolve(), path.name): path for path in shortest_last}.values())


def _is_raw(image: RawImage, allowed: tuple[str, ...]) -> bool:
    """Whether a name is that of a raw image: ``desc-``, ``space-`` and the like are derivatives."""
    if image.entities.get("part", "mag") != "mag":
        return False
    if f"sub-{image.entities.get('sub')}" not in image.path.parts:
        _LOG.warning("%s: not used, it lies in the folder of another participant", image.path)
        return False
    foreign = image.entities.keys() - set(allowed)
    if foreign or "sub" not in image.entities:
        _LOG.warning(
            "%s: not used, its name is not that of a raw image%s",
            image.path,
            f" ({', '.join(sorted(foreign))})" if foreign else "",
        )
        return False
    return True


def _is_wanted(pet: RawImage, filters: Filters, bids_dir: Path) -> bool:
    """Whether session, reconstruction, run and tracer are among those asked for."""
    entities = pet.entities
    run = entities.get("run", "").lstrip("0")
    return (
        (not filters.session or entities.get("ses") in filters.session)
        and (not filters.rec or entities.get("rec") in filters.rec)
        and (not filters.run or run in {label.lstrip("0") for label in filters.run})
        and (not filters.tracer or _has_tracer(pet, filters.tracer, bids_dir))
    )


def _has_tracer(pet: RawImage, wanted: tuple[str, ...], bids_dir: Path) -> bool:
    """Whether the tracer, under any of its names, is one of ``wanted``."""
    label = pet.entities.get("trc")
    if label is None:
        try:
            label = str(_merged_sidecar(pet, bids_dir).get("TracerName", ""))
        except CentipetError:
            return True  # planning tells what is wrong with the sidecar
    tracer = tracer_from_name(label)
    return label in wanted or (tracer is not None and tracer in map(tracer_from_name, wanted))


def _merged_sidecar(image: RawImage, bids_dir: Path) -> dict[str, Any]:
    suffix = _suffix(image.path)
    merged: dict[str, Any] = {}
    for part in reversed(image.path.relative_to(bids_dir).parents):
        applying = [
            path
            for path in _json_files(bids_dir / part)
            if _suffix(path) == suffix and parse_entities(path).items() <= image.entities.items()
        ]
        for path in sorted(applying, key=lambda path: len(parse_entities(path))):
            merged |= _read_object(path)
    return merged


def _suffix(path: Path) -> str:
    return path.name.split(".", 1)[0].rsplit("_", 1)[-1]


def _query_value(value: Any) -> Any:
    """A value of a filter file: null means absent, ``*`` present, a text or a list as it is."""
    from bids.layout import Query

    if value is None:
        return Query.NONE
    if isinstance(value, str) and (value == "*" or value.startswith("Query.")):
        return Query[value.removeprefix("Query.")] if value != "*" else Query.REQUIRED
    return value if isinstance(value, list) else [value]


def _nothing_found(bids_dir: Path, filters: Filters) -> str:
    asked = [
        f"{name} {', '.join(values)}"
        for name in ("participant", "session", "tracer", "rec", "run")
        if (values := getattr(filters, name))
    ]
    if "pet" in filters.bids_filters:
        asked.append("the filter file")
    if not asked:
        return f"{bids_dir}: holds no PET image (sub-<label>/[ses-<label>/]pet/*_pet.nii[.gz])"
    missing = [s for s in filters.participant if not (bids_dir / f"sub-{s}").is_dir()]
    hint = f"; there is no folder sub-{', sub-'.join(missing)}" if missing else ""
    return f"{bids_dir}: no PET image matches {' and '.join(asked)}{hint}"


def _json_files(folder: Path) -> tuple[Path, ...]:
    """JSON files of a folder; the listing is kept as long as the folder does not change."""
    return _listing(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _listing(folder: Path, _changed: int) -> tuple[Path, ...]:
    return tuple(folder.glob("*.json"))


def _scan_times(path: Path) -> dict[str, str]:
    """File name -> acq_time of a ``scans.tsv``; empty when there is none that can be read."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t"))
    except (OSError, ValueError, csv.Error):
        return {}
    return {str(row.get("filename")): row.get("acq_time") or "" for row in rows}


def _row(path: Path, key: str) -> dict[str, str]:
    """Row of a table whose first column holds ``key``; empty when there is none to be read."""
    return _rows(path, path.stat().st_mtime_ns if path.is_file() else 0).get(key, {})


def _columns(path: Path, key: str) -> dict[str, str | None]:
    """Row of a table without its first column and without dates; None for ``n/a``."""
    values = list(_row(path, key).items())[1:]
    told = {name: (value or "").strip() for name, value in values if name}
    return {
        name: None if value in ("", "n/a") else value
        for name, value in told.items()
        if name != "acq_time" and not _DATE.match(value)
    }


@lru_cache(maxsize=64)
def _rows(path: Path, _changed: int) -> dict[str, dict[str, str]]:
    """Rows of a table by their first column; kept as long as the file does not change."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t")
        first = (reader.fieldnames or [""])[0]
        return {row[first] or "": row for row in reader}
    except (OSError, ValueError, csv.Error):
        return {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path), object_pairs_hook=_unambiguous)
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{path}: is not UTF-8 text; save it again as UTF-8") from error
    except ValueError as error:
        raise BadDataError(f"{path}: is no JSON ({error}); correct it") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{path}: must hold one JSON object of names and values")
    return content


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object of a JSON text; a name that stands twice must say the same both times."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            raise ValueError(f"{name} stands there twice with different values")
        found[name] = value
    return found
