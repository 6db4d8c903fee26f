"""Files at the root of a derivative dataset.

Many processes may work on one output folder: every file is written whole (`bidsapp.io.nifti`) and
says the same whichever process writes it, so it does not matter who comes last.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.derivatives import outputs
from bidsapp.bids.folders import people_in
from bidsapp.bids.layout import raw_facts
from bidsapp.bids.seals import sealed
from bidsapp.data import package_text
from bidsapp.data.sentences import worded
from bidsapp.errors import CannotCreateError
from bidsapp.grouping import grouped
from bidsapp.io.atomic import remove_temporaries, write_text
from bidsapp.io.reading import known_object, parse_json, read_text
from bidsapp.plain import natural, some

# What the group level knows of the raw dataset (`bidsapp.bids.layout.raw_facts`).
RAW_FACTS = "group_raw.json"
BIDS_VERSION = "1.11.1"
APP_NAME = "CentiPET"

# Files without a suffix of their own that BIDS has no rule for. No trailing slashes: the validator
# does not understand them.
_BESIDE = ("README.md", ".bidsignore", "descriptions.tsv")  # written after the description
_IGNORED = ("group_*", "*.html", "figures", "log")


def write_root_files(output_dir: Path, bids_dir: Path) -> None:
    """Write the files that make ``output_dir`` a BIDS derivative dataset.

    Parameters
    ----------
    output_dir : root of the derivatives
    bids_dir : root of the raw dataset

    Raises
    ------
    CannotCreateError
        The folder already is a dataset of something else.
    """
    refuse_foreign(output_dir)
    for name, text in root_files(output_dir, bids_dir).items():
        write_text(output_dir / name, text)


def remove_leftovers(output_dir: Path, people: Collection[str]) -> int:
    """Remove partly written files of killed runs, in the top folder and of some participants.

    Parameters
    ----------
    output_dir : root of the derivatives
    people : labels without ``sub-``; another run may be at work on the others

    Returns
    -------
    int
        Number of files removed (see `bidsapp.io.atomic.remove_temporaries`).
    """
    names = {f"sub-{label}" for label in people}
    tops = [top for top in output_dir.glob("*/") if top.name in names or _is_shared(top.name)]
    folders = (folder for top in tops for folder in (top, *top.rglob("*/")))
    return remove_temporaries([output_dir, *folders])


def _is_shared(folder: str) -> bool:
    """Whether a folder at the root is ours and no participant's; the work folder may lie there."""
    return folder in ("figures", "logs") or folder.startswith("tpl-")


def root_files(output_dir: Path, bids_dir: Path) -> dict[str, str]:
    """Contents of the root files by name (see `write_root_files`).

    Parameters
    ----------
    output_dir : root of the derivatives
    bids_dir : root of the raw dataset

    Returns
    -------
    dict of str
    """
    description = {
        "Name": f"{APP_NAME} derivatives",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [_generator()],
        "HowToAcknowledge": "Paste the methods text of logs/CITATION.md, which lists what to cite.",
        **_source(output_dir, bids_dir),
    }
    return {
        "dataset_description.json": sealed(description),
        "README.md": package_text("dataset_readme.md"),
        ".bidsignore": "\n".join(bidsignore()) + "\n",
        "descriptions.tsv": _descriptions(),
        RAW_FACTS: sealed(raw_facts(bids_dir)),
    }


def bidsignore() -> list[str]:
    """Patterns of the files that BIDS has no rule for.

    Returns
    -------
    list of str
    """
    suffixes = sorted({row.suffix for row in outputs().values() if not row.standard})
    return [f"*_{suffix}.*" for suffix in suffixes] + list(_IGNORED)


def refuse_foreign(output_dir: Path) -> None:
    """Refuse a folder with another dataset, by its description or by files in the way of ours.

    A description that is gone, or was left empty by a power failure, does not matter where
    other files are ours: it is written anew.

    Parameters
    ----------
    output_dir : root of the derivatives, which need not exist
    """
    path = output_dir / "dataset_description.json"
    is_known = (output_dir / RAW_FACTS).is_file()
    try:
        is_ours = parse_json(read_text(path))["GeneratedBy"][0]["Name"] == APP_NAME
    except (FileNotFoundError, NotADirectoryError):
        beside = next((output_dir / name for name in _BESIDE if (output_dir / name).exists()), None)
        if beside is None or is_known:
            return
        if path.exists():  # another run has begun meanwhile: it writes the description first
            refuse_foreign(output_dir)
            return
        # a project of somebody, or a folder of data
        raise CannotCreateError(worded("dataset", "in-place", path=beside)) from None
    except ValueError:
        is_ours = is_known
    except (OSError, LookupError, TypeError):
        is_ours = False
    if not is_ours:
        raise CannotCreateError(worded("dataset", "foreign", output_dir=output_dir))


def replaced_results(output_dir: Path, bids_dir: Path, people: Collection[str]) -> list[str]:
    """Sentence about results of another raw dataset that a run is going to replace; none without.

    A dataset that was moved, or is mounted elsewhere, is the same one.

    Parameters
    ----------
    output_dir, bids_dir : roots of the derivatives and of the raw dataset
    people : labels without ``sub-`` of the run

    Returns
    -------
    list of str
    """
    links = known_object(output_dir / "dataset_description.json").get("DatasetLinks")
    raw = links.get("raw") if isinstance(links, dict) else None
    common = sorted({*people} & {*people_in(output_dir)}, key=natural)
    if not isinstance(raw, str) or not common:
        return []
    earlier = output_dir / raw
    try:
        is_other = earlier.is_dir() and not earlier.samefile(bids_dir)
    except OSError:  # it lies where this user may not look
        is_other = False
    if not is_other:
        return []
    labels = some(f"sub-{label}" for label in common)
    where = {"output_dir": output_dir, "earlier": earlier.resolve()}
    return [worded("dataset", "replaced", labels=labels, **where)]


def _source(output_dir: Path, bids_dir: Path) -> dict[str, Any]:
    """Where the raw data are: relative, so that a folder moved with its raw data stays right.

    Of the folders behind symbolic links: what follows ``..`` is looked for beside those.
    """
    raw = known_object(bids_dir / "dataset_description.json")
    relative = Path(os.path.relpath(bids_dir.resolve(), output_dir.resolve())).as_posix()
    link = {"DatasetLinks": {"raw": relative}, "SourceDatasets": [{"URL": relative}]}
    if isinstance(doi := raw.get("DatasetDOI"), str):
        link["SourceDatasets"] = [{"DOI": doi}]
    if isinstance(licence := raw.get("License"), str):
        link["License"] = licence
    authors = raw.get("Authors")
    if isinstance(authors, list) and authors and all(isinstance(author, str) for author in authors):
        link["Authors"] = authors
    return link


def _generator() -> dict[str, Any]:
    made_by: dict[str, Any] = {"Name": APP_NAME, "Version": __version__}
    if url := _code_url():
        made_by["CodeURL"] = url
    if _in_own_container():
        made_by["Container"] = {"Type": "docker", "Tag": f"centipet:{__version__}"}
    return made_by


def _in_own_container() -> bool:
    """Whether this is the image of the Dockerfile, which leaves its version at the root."""
    try:
        return Path("/version").read_text("utf-8").strip() == __version__
    except (OSError, UnicodeDecodeError):
        return False


def _code_url() -> str | None:
    """Address of the source code, as ``pyproject.toml`` gives it."""
    try:
        entries = metadata("centipet").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls.get("Source") or urls.get("Homepage")


def _descriptions() -> str:
    """One row per ``desc-`` label: two columns, as BIDS 1.11 wants them."""
    rows = grouped(
        (label, row.description)
        for row in outputs().values()
        if (label := row.entities.get("desc"))
    )
    lines = [f"desc-{label}\t{'; '.join(texts)}" for label, texts in sorted(rows.items())]
    return "\n".join(["desc_id\tdescription", *lines]) + "\n"
