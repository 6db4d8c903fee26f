"""A BIDS dataset of pairs of a PET and a T1w: links to the images, so that none is changed."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bidsapp import __version__
from bidsapp.bids.derivative_root import APP_NAME, BIDS_VERSION, refuse_foreign
from bidsapp.bids.derivatives import sidecar_path
from bidsapp.bids.image_pairs import ImagePair, PairRow
from bidsapp.bids.stated import with_flag
from bidsapp.data import package_text
from bidsapp.data.sentences import worded, worded_flag
from bidsapp.errors import CannotCreateError, CentipetError, cannot_write
from bidsapp.io.atomic import write_json, write_text
from bidsapp.io.image_names import NIFTI, json_beside, nifti_ending
from bidsapp.io.locks import holding
from bidsapp.io.tsv import line, read_rows


def write_pairs(
    pairs: Sequence[ImagePair], root: Path
) -> tuple[list[ImagePair], list[CentipetError]]:
    """Make a raw dataset of pairs, or add them to one that was made so.

    Parameters
    ----------
    pairs : of `judge_pairs`
    root : of the dataset

    Returns
    -------
    list of ImagePair, list of CentipetError
        Those in the dataset; one sentence for each whose place holds another image.

    Raises
    ------
    CannotCreateError, StorageError
        Nothing can be written there.
    """
    refuse_foreign(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, root, "choose another output folder") from error
    description = {
        "Name": "Images given to centipet quantify",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": APP_NAME, "Version": __version__}],
    }
    write_json(root / "dataset_description.json", description)
    readme = write_text(root / "README.md", package_text("given_readme.md"))
    written: list[ImagePair] = []
    errors: list[CentipetError] = []
    for pair in _with_contradictions(pairs):
        try:
            _write(pair, root)
        except CannotCreateError as error:
            errors.append(error)
        else:
            written.append(pair)
    # tables are read, changed and written; the README is there and stays as it is
    with holding(readme, flags=0, when_busy=lambda: None):
        _write_about(written, root)
    return written, errors


def _write_about(pairs: Sequence[ImagePair], root: Path) -> None:
    """Write what rows say besides the images: of participants, and of sessions where these differ.

    Rows of earlier runs stay; a value that is said anew takes the place of the old one.
    """
    differing = set(_contradicted(pairs, lambda pair: pair.participant))
    for path in root.glob("sub-*/sub-*_sessions.tsv"):  # of earlier runs
        differing |= {column for row in read_rows(path) for column in row if column}
    people: dict[str, dict[str, str]] = {path.name: {} for path in sorted(root.glob("sub-*/"))}
    visits: dict[str, dict[str, dict[str, str]]] = {}
    for pair in pairs:
        values = pair.more.items()
        people[f"sub-{pair.participant}"] |= {k: text for k, text in values if k not in differing}
        if pair.session is not None and differing:
            of_person = visits.setdefault(pair.participant, {})
            of_session = {k: text for k, text in values if k in differing - pair.contradicted}
            of_person.setdefault(f"ses-{pair.session}", {}).update(of_session)
    _write_rows(root / "participants.tsv", "participant_id", people)
    for label, rows in visits.items():
        path = root / f"sub-{label}" / f"sub-{label}_sessions.tsv"
        _write_rows(path, "session_id", rows)


def _contradicted(
    pairs: Sequence[ImagePair], whose: Callable[[ImagePair], object]
) -> frozenset[str]:
    """Columns that differ between rows of one participant, or of one session."""
    first_values: dict[tuple[object, str], str] = {}
    differing = set()
    for pair in pairs:
        for column, text in pair.more.items():
            if first_values.setdefault((whose(pair), column), text) != text:
                differing.add(column)
    return frozenset(differing)


def _with_contradictions(pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """Flag pairs whose session has another row that says something else of the person."""
    flagged = []
    for pair in pairs:
        alike = [other for other in pairs if other.entities == pair.entities]
        if columns := _contradicted(alike, lambda sibling: sibling.visit):
            listed = ", ".join(sorted(columns))
            flag = worded_flag("covariates", "contradicted-pairs", who=pair.visit, columns=listed)
            sidecar = with_flag(pair.sidecar, flag)
            flagged.append(replace(pair, sidecar=sidecar, contradicted=columns))
        else:
            flagged.append(pair)
    return flagged


def _write_rows(path: Path, key: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write rows by their key into a table that may be there already."""
    merged: dict[str, dict[str, str]] = {}
    if path.is_file():
        for row in read_rows(path):
            merged[row[key]] = {name: text for name, text in row.items() if name and name != key}
    for name, values in rows.items():
        merged[name] = {**merged.get(name, {}), **values}
    columns = dict.fromkeys(column for row in merged.values() for column in row)
    table = [(name, *map(stated.get, columns)) for name, stated in merged.items()]
    write_text(path, "".join(map(line, [(key, *columns), *sorted(table)])))


def _write(pair: ImagePair, root: Path) -> None:
    folder = root.joinpath(*(f"{key}-{label}" for key, label in pair.entities.items()))
    stem = folder / "pet" / f"{pair.name}_pet"
    _place(pair.row, "pet", pair.pet, stem)
    if pair.t1w is not None:
        stem_t1w = folder / "anat" / f"{pair.visit}_T1w"
        _place(pair.row, "t1w", pair.t1w, stem_t1w)
        if (beside := json_beside(pair.t1w)).is_file():
            _link(beside, sidecar_path(stem_t1w))
    write_text(sidecar_path(stem), json.dumps(pair.sidecar, indent=2) + "\n")


def _place(row: PairRow, column: str, image: Path, stem: Path) -> None:
    """Put an image into the dataset under its BIDS name."""
    target = stem.with_name(f"{stem.name}{nifti_ending(image)}")
    for path in (stem.with_name(stem.name + ending) for ending in NIFTI):
        if not os.path.lexists(path):
            continue
        if not path.exists():  # a link to what has been moved since
            path.unlink()
        elif not (path == target and _is_same(path, image)):
            raise CannotCreateError(worded("pairs", "earlier-run", where=row.at(column), path=path))
    _link(image, target)


def _is_same(first: Path, other: Path) -> bool:
    return first.samefile(other) or filecmp.cmp(first, other, shallow=False)


def _link(source: Path, target: Path) -> None:
    """Link to a file, or copy it where the file system has no links."""
    if target.exists() and _is_same(target, source):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            target.symlink_to(os.path.abspath(source))  # noqa: PTH100 - resolve() follows links
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise cannot_write(error, target, "choose another output folder") from error
