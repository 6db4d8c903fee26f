"""What is shipped: the image's recipe and its pinned parts fit the package."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import bidsapp

ROOT = Path(__file__).parents[1]


def pins(lock: str) -> dict[str, Version]:
    """Pinned versions by canonical name."""
    found = re.findall(r"^([\w.-]+)==(\S+) \\$", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def test_image_holds_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins("requirements.lock")
    for requirement in map(Requirement, project["dependencies"]):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock: make it anew"
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_every_pinned_part_has_a_hash_and_no_host(lock):
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(lock)) > 5
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_label_of_the_image_is_the_version_of_the_package():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ARG VERSION={bidsapp.__version__}\n" in dockerfile


def test_context_of_the_image_has_every_copied_file():
    """.dockerignore names what is let in; each must be there and be needed."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert all((ROOT / name).exists() for name in allowed)
    assert {"bidsapp", "pyproject.toml", "README.md", "LICENSE", "requirements.lock"} <= allowed


def test_image_keeps_the_rules_of_bids_apps():
    """What can be read off the recipe; `.ci/container` tries the rest on the image itself."""
    *_, final = re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    final = final.replace("\\\n", " ")
    assert final.startswith("FROM debian:bookworm-slim\n")
    environment = dict(re.findall(r"([A-Z_]+)=(\S+)", re.search(r"^ENV (.*)$", final, re.M)[1]))
    assert environment["HOME"] == "/tmp"  # pybids dies without one
    switches = (
        "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "NO_ET", "NIPYPE_NO_ET",
    )  # fmt: skip
    assert {name: environment[name] for name in switches} == dict.fromkeys(switches, "1")
    assert re.search(r"^WORKDIR /tmp$", final, re.M)
    assert json.loads(re.search(r"^ENTRYPOINT (.*)$", final, re.M)[1])  # exec form
    assert "USER " not in final and "VOLUME " not in final  # any user, any mount
    labels = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", final))
    assert {"title", "description", "version", "licenses", "authors", "base.name"} <= labels
    for path in ("/version", "/sbom.json"):
        assert path in final


def test_no_pinned_or_allowed_version_has_a_flaw_we_know_of():
    """What `.ci/vulnerabilities` asks the index about, as far as it can be known offline."""
    advisories = tomllib.loads((ROOT / ".ci/advisories.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins("requirements.lock")
    least = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}
    assert set(advisories) <= set(locked)
    for name, known in advisories.items():
        fixed = Version(known["fixed"])
        assert known["ids"] and all(re.fullmatch(r"CVE-\d{4}-\d{4,}", one) for one in known["ids"])
        assert locked[name] >= fixed, f"{name} {locked[name]}: {known['ids']}"
        bounds = [Version(one.version) for one in least.get(name, ()) if one.operator == ">="]
        assert all(bound >= fixed for bound in bounds), f"pyproject.toml allows {name} < {fixed}"


def test_the_metadata_name_every_licence_of_what_is_shipped():
    """By the words of the tables that name them; each text lies beside the data."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    licences = set(project["license"].split(" AND "))
    provenance = json.loads((ROOT / "bidsapp/data/resources/provenance.json").read_text())
    atlases = tomllib.loads((ROOT / "bidsapp/data/atlases.toml").read_text())
    texts = [*re.findall(r'"licence": "([^"]+)"', json.dumps(provenance)),
             *(atlas["license"] for atlas in atlases.values())]  # fmt: skip
    words = {
        "MIT;": "MIT", "BSD-3-Clause": "BSD-3-Clause", "MPL-2.0": "MPL-2.0",
        "GNU General Public License": "GPL-3.0-only", "FreeSurfer": "LicenseRef-FreeSurfer",
    }  # fmt: skip
    found = [{name for word, name in words.items() if word in text} for text in texts]
    assert len(texts) > 8 and all(found)
    assert set().union(*found) | {"Apache-2.0"} == licences
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f'image.licenses="{project["license"]}"' in dockerfile
    assert "bidsapp/data/licenses/*" in project["license-files"]


def test_the_pictures_of_the_readme_are_there_and_small():
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert len(shown) >= 2
    for name in shown:
        assert 1000 < (ROOT / name).stat().st_size < 300_000, name
