"""What is installed here, as CycloneDX JSON: ``python .ci/sbom.py > sbom.json``.

The image of the container carries the answer as ``/sbom.json``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from bidsapp import __version__

_LICENSE = "License :: "


def bill_of_materials() -> dict[str, Any]:
    """Python packages of this environment and, on Debian, the system's, with versions and licences.

    Returns
    -------
    dict
        CycloneDX 1.5; no serial number and no time, so that the same installation gives the same.
    """
    packages = {_name(package): package for package in distributions()}
    components = [_python(packages[name]) for name in sorted(packages)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "centipet", "version": __version__}
        },
        "components": [*components, *_debian()],
    }


def _python(package: Distribution) -> dict[str, Any]:
    name = _name(package)
    return {
        "type": "library",
        "name": name,
        "version": package.version,
        "purl": f"pkg:pypi/{name}@{package.version}",
        "licenses": [{"license": {"name": _license(package)}}],
    }


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def _license(package: Distribution) -> str:
    """Licence expression, else the classifiers, else the first line of the licence field."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = metadata.get_all("Classifier") or []
    named = [text.rsplit(" :: ", 1)[-1] for text in classifiers if text.startswith(_LICENSE)]
    first = (metadata.get("License") or "").strip().splitlines()[:1]
    return "; ".join(named or first) or "not stated"


def _debian() -> list[dict[str, Any]]:
    """Packages of the system, where dpkg knows them."""
    if shutil.which("dpkg-query") is None:
        return []
    command = ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\n"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}",
            "licenses": [{"license": {"name": debian_license(name)}}],
        }
        for name, version, architecture in sorted(line.split("\t") for line in lines)
    ]


def debian_license(package: str, docs: Path = Path("/usr/share/doc")) -> str:
    """Short names of the licences in a package's copyright file, else where that file lies."""
    path = docs / package / "copyright"
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return f"see {path}"
    if not text.startswith("Format:"):  # free text, of older packages
        return f"see {path}"
    named = re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, flags=re.MULTILINE)
    return "; ".join(dict.fromkeys(named)) or f"see {path}"


if __name__ == "__main__":
    json.dump(bill_of_materials(), sys.stdout, indent=1)
    sys.stdout.write("\n")
