"""Whether two folders of results hold the same files, bit for bit: python same_outputs.py A B.

Left out are work folders and logs (times, machines), and of `dataset_description.json` the entry
that says whether a container made it, with the seal that covers it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

_OWN = {"logs", "work"}


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, by its path, but for what each run has of its own."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        name.as_posix(): hashlib.sha256(_said(folder / name)).hexdigest()
        for name in names
        if not _OWN & set(name.parts)
    }


def _said(path: Path) -> bytes:
    if path.name != "dataset_description.json":
        return path.read_bytes()
    description = json.loads(path.read_text("utf-8"))
    description.pop("sha256", None)
    for maker in description.get("GeneratedBy", []):
        maker.pop("Container", None)
    return json.dumps(description).encode()


def differences(one: Path, other: Path) -> list[str]:
    """Paths of the files that differ, or that only one of two folders has."""
    found = contents(one), contents(other)
    names = sorted(found[0].keys() | found[1].keys())
    return [name for name in names if found[0].get(name) != found[1].get(name)]


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    n_files = len(contents(folders[0]))
    differing = differences(*folders)
    for name in differing:
        print(f"differs: {name}", file=sys.stderr)
    print(f"{folders[1]}: {n_files} files, {len(differing)} differ")
    sys.exit(bool(differing) or not n_files)
