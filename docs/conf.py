"""Sphinx, because the docstrings are numpydoc and the pages Markdown: both are read as they are.

sphinx-build -W -b html docs build/docs

Nothing is fetched. Pictures of the examples are taken from ``build/examples`` when somebody has run
them (``python examples/NAME.py build/examples``).
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.highlighting import lexers

import bidsapp

ROOT = Path(__file__).resolve().parents[1]
MADE = "made"  # pages that are made here, beside the written ones

project = "CentiPET"
author = "The CentiPET developers"
copyright = author
version = release = bidsapp.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"CentiPET {version}"
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
suppress_warnings = [
    "myst.xref_missing",  # links to files of the repository, which the site does not have
    "docutils",  # a bare * or | in a docstring
    "ref.ref",
]
lexers["mermaid"] = lexers["tsv"] = TextLexer()

# What is written for people who import the package: its functions, steps, maths, and pictures.
API = ("api", "steps", "core", "report/pictures.py", "report/charts.py")


def modules() -> list[str]:
    """Names of the modules whose functions are shown, in the order of `API`."""
    package = ROOT / "bidsapp"
    found = []
    for part in API:
        path = package / part
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [file for file in files if not file.stem.startswith("_")]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in found]


def make_pages(_: Sphinx) -> None:
    """Write the pages that come from the package, the examples and the files of the root."""
    made = ROOT / "docs" / MADE
    shutil.rmtree(made, ignore_errors=True)
    (made / "api").mkdir(parents=True)
    (made / "examples").mkdir()
    for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY"):
        text = (ROOT / f"{name}.md").read_text("utf-8")
        (made / f"{name.lower()}.md").write_text(re.sub(r"\]\(docs/", "](../", text), "utf-8")
    for name in modules():
        directive = f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        (made / "api" / f"{name}.md").write_text(f"# {name}\n\n{directive}", "utf-8")
    write_index(made / "api.md", "From Python", "api", modules())
    scripts = sorted((ROOT / "examples").glob("*.py"))
    for script in scripts:
        (made / "examples" / f"{script.stem}.md").write_text(example(script), "utf-8")
    write_index(made / "examples.md", "Examples", "examples", [one.stem for one in scripts])


def write_index(path: Path, title: str, folder: str, names: list[str]) -> None:
    """Write a page that leads to others."""
    entries = "\n".join(f"{folder}/{name}" for name in names)
    path.write_text(f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n", "utf-8")


def example(script: Path) -> str:
    """Page of an example: what it says, its picture if there is one, its code."""
    source = script.read_text("utf-8")
    title, _, text = (ast.get_docstring(ast.parse(source)) or script.stem).partition("\n")
    picture = ROOT / "build" / "examples" / f"{script.stem}.svg"
    shown = ""
    if picture.is_file():
        shutil.copy(picture, ROOT / "docs" / MADE / "examples")
        shown = f"![{title}]({picture.name})\n\n"
    return f"# {title}\n{text}\n\n{shown}```python\n{source}```\n"


def setup(app: Sphinx) -> None:
    """Hook into the build."""
    app.connect("builder-inited", make_pages)
