"""Check every file of a dataset against the hashes in records and manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bidsapp.bids.derivative_root import RAW_FACTS
from bidsapp.bids.derivatives import is_inside
from bidsapp.bids.seals import is_intact
from bidsapp.io.hashes import file_hash
from bidsapp.verify.differences import Difference, How, shown


@dataclass
class Findings:
    """What was found in some files.

    Attributes
    ----------
    differences : what is not as it was computed
    files : how each file was checked, by name relative to the dataset
    notes : what could not be checked, and why; sentences
    """

    differences: list[Difference] = field(default_factory=list)
    files: dict[str, How] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def differ(self, path: str, where: str, stored: Any, expected: Any, why: str) -> None:
        """Add a difference of one number or text.

        Parameters
        ----------
        path : of the file, relative to the dataset
        where : column, field or voxel
        stored, expected : values
        why : by what it should be so
        """
        stated, found = shown(stored), shown(expected)
        sentence = f"{path}: {where} is {stated}, but {found} {why}; {remedy(path)}"
        self.differences.append(Difference(path, where, stated, found, sentence))

    def compare(self, path: str, apart: Iterable[tuple[str, Any, Any]], why: str) -> None:
        """Add the differences of a file, as `unlike` and `unlike_cells` give them.

        Parameters
        ----------
        path : of the file, relative to the dataset
        apart : where, stored, expected
        why : by what it should be so
        """
        for where, stored, expected in apart:
            self.differ(path, where, stored, expected, why)

    def broken(
        self, path: str, what: str, stated: str = "n/a", found: str = "n/a", cure: str = ""
    ) -> None:
        """Add a difference of a whole file; ``cure`` is the remedy where it is a special one.

        Parameters
        ----------
        path : of the file, relative to the dataset
        what : is wrong
        stated, found : what the file says, and what it should say
        cure : remedy, empty for the usual one
        """
        sentence = f"{path}: {what}; {cure or remedy(path)}"
        self.differences.append(Difference(path, "n/a", stated, found, sentence))

    def add(self, other: Findings) -> None:
        """Take what was found elsewhere as well.

        Parameters
        ----------
        other : findings
        """
        self.differences += other.differences
        self.notes += [note for note in other.notes if note not in self.notes]
        for name, how in other.files.items():
            if self.files.get(name) is not How.NUMBERS:
                self.files[name] = how


def remedy(path: str) -> str:
    """What a user can do about a file.

    Parameters
    ----------
    path : relative to the dataset

    Returns
    -------
    str
    """
    if path.startswith(("group_", "figures/")) and path != RAW_FACTS:
        return "run the group level again"
    if path.endswith(("/manifest.json", ".html", ".svg", "captions.tsv")):
        return "run with --reports-only for this participant"
    if path.startswith("sub-"):
        return "run the participant level again for this participant"
    return "run the participant level again; delete the file before, if it is there"


def read_sealed(output_dir: Path, name: str, findings: Findings) -> dict[str, Any]:
    """Content of a JSON with its own hash; empty, and reported, if it cannot be read.

    Parameters
    ----------
    output_dir : root of the dataset
    name : of the file, relative to it
    findings : takes what is wrong

    Returns
    -------
    dict
    """
    try:
        text = (output_dir / name).read_bytes()
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
    except FileNotFoundError:
        findings.broken(name, "is missing")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        findings.files[name] = How.HASH
        findings.broken(name, f"cannot be read ({' '.join(str(error).split())[:80]})")
        return {}
    findings.files[name] = How.HASH
    if "sha256" not in content:
        findings.broken(name, "has no hash of its own (sha256); it was made by an older version")
    elif not is_intact(text):
        findings.broken(name, "was changed after it was written (sha256 does not fit)")
    return content


def check_hashes(output_dir: Path, hashes: Any, source: str, findings: Findings) -> None:
    """Compare files with the hashes that a record or a manifest names.

    Parameters
    ----------
    output_dir : root of the dataset
    hashes : name relative to the dataset -> ``sha256:<hex>``
    source : file that holds them
    findings : differences are added to them
    """
    if not isinstance(hashes, Mapping):
        findings.broken(source, "names no hashes of outputs; it was made by an older version")
        return
    for name, stated in hashes.items():
        if not is_inside(name):
            findings.broken(source, f"names a file outside the dataset ({shown(name)})")
            continue
        try:
            actual = file_hash(output_dir / name)
        except FileNotFoundError:
            findings.broken(name, f"is missing, {source} names it")
            continue
        except OSError as error:
            findings.broken(name, f"cannot be read ({error.strerror})")
            continue
        findings.files[name] = How.HASH
        if actual != stated:
            what = f"was changed after it was written: {source} has {shown(stated)[:23]}, the file"
            findings.broken(name, f"{what} {actual[:23]}", str(stated), actual)


def foreign(output_dir: Path, known: Iterable[str]) -> tuple[list[str], list[str]]:
    """Unlisted files, and folders beside the results that are not checked.

    Parameters
    ----------
    output_dir : root of the dataset
    known : names that records and manifests account for

    Returns
    -------
    (list of str, list of str)
        Files, folders.
    """
    accounted, files, folders = set(known), [], []
    for entry in sorted(output_dir.iterdir()):
        if entry.name.startswith("."):
            continue
        if (
            entry.is_dir()
            and not entry.name.startswith(("sub-", "tpl-"))
            and entry.name != "figures"
        ):
            if entry.name != "logs":
                folders.append(f"{entry.name}/")
            continue
        below = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        names = (path.relative_to(output_dir).as_posix() for path in below if not path.is_dir())
        files += [name for name in names if name not in accounted]
    return [name for name in files if name not in _OF_THE_USER], folders


# Files that BIDS gives a meaning of their own and that this program never writes.
_OF_THE_USER = ("participants.tsv", "participants.json", "CHANGES", "LICENSE", "CITATION.cff")
