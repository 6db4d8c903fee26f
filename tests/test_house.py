"""What a newcomer is told about the house is so."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import bad_inputs
import broken_images
import pytest
import yaml
from packaging.version import Version
from syntax import nodes

import bidsapp

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]


def braces(path: str) -> list[str]:
    """Write out ``a/{b,c}.py``."""
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", path)
    return [f"{found[1]}{one}{found[3]}" for one in found[2].split(",")] if found else [path]


def test_hooks_are_the_linters_of_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]  # no network
    loop = re.search(r"for check in (.*); do", (ROOT / ".ci" / "run").read_text())[1]
    programs = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', loop)]
    assert [hook["entry"] for hook in hooks[0]["hooks"]] == programs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_that_a_page_names_are_there(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    scripts = re.findall(r"tests/[\w/]+\.py", text)
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_code_that_a_page_writes_are_there(page):
    rooms = "|".join(sorted(path.name for path in (ROOT / "bidsapp").iterdir() if path.is_dir()))
    quoted = " ".join(re.findall(r"`([^`\n]+)`", page.read_text()))
    dotted = rf"(?<![\w./*-])(?:bidsapp\.)?((?:{rooms})(?:\.[A-Za-z]\w+)+)(?![\w/])"
    for name in re.findall(dotted, quoted):
        if not re.search(r"\.(lock|log|toml|json|tsv|py)$", name):  # a file
            pkgutil.resolve_name(f"bidsapp.{name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_code_that_a_page_names_are_there(page):
    of_house = page.name in ("CONTRIBUTING.md", "architecture.md")
    spelled = r"`([\w{},./-]+/[\w{},./*-]*|[\w{},/]+\.py)`"
    if not of_house:  # other pages name files of users, too
        spelled = r"`((?:bidsapp|tests|docs|examples)/[\w{},./*-]+)`"
    quoted = re.findall(spelled, page.read_text())
    places = (ROOT, ROOT / "bidsapp")
    paths = [path for text in quoted for path in braces(text) if "NAME" not in path]
    assert len(paths) > 10 or not of_house
    gone = [p for p in paths if p != "../shared" and not any(list(at.glob(p)) for at in places)]
    assert gone == []


def test_numbers_of_damaged_inputs_on_the_page_are_those_of_the_tests():
    page = (ROOT / "docs" / "faults.md").read_text()
    numbers = (len(bad_inputs.PARTICIPANTS), len(bad_inputs.DATASETS), len(broken_images.BROKEN))
    stated = re.findall(r"(\d+) (?:damaged (?:participants|datasets)|broken images)", page)
    assert tuple(map(int, stated)) == numbers


PRINT_HELP = """
import runpy, sys
root, *scripts = sys.argv[1:]
paths = [path for path in sys.path if path != root]
for script in scripts:
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith((f"{root}/tests", f"{root}/tools")):
            del sys.modules[name]
    sys.path[:] = [script.rpartition("/")[0], *paths]
    sys.argv[:] = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
        sys.exit(f"{script} does not print its help")
    except SystemExit as end:
        if end.code:
            raise
    except ImportError as error:
        sys.exit(f"{script}: {error}")
"""


@pytest.mark.slow
def test_benchmarks_find_all_that_they_import_and_print_their_help(tmp_path):
    """As in an environment that has the package alone, nothing else of the checkout."""
    modules = sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
    scripts = [str(path) for path in modules if "__main__" in path.read_text()]
    assert len(scripts) > 20
    (tmp_path / "bidsapp").symlink_to(ROOT / "bidsapp")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", PRINT_HELP, str(ROOT), *scripts]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_every_layer_of_the_linter_stands_on_the_page():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = re.findall(r"bidsapp\.(\w+)", " ".join(contracts["contracts"][0]["layers"]))
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Layers")[1]
    assert {layer for layer in layers if f"`{layer}`" not in table.split("## Where")[0]} == set()


def test_citation_is_that_of_this_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(citation["version"]) == last_release()
    assert citation["license"] == project["license"].split(" AND ")[0]  # then those of the data
    assert citation["authors"][0]["name"] == project["authors"][0]["name"]
    assert citation["keywords"] == project["keywords"]


def last_release():
    heads = re.findall(r"^## \[(.*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    return heads[1]


def test_the_version_is_that_of_the_last_release_or_leads_to_the_next():
    version = Version(bidsapp.__version__)
    assert version == Version(last_release()) or (
        version.is_devrelease and version > Version(last_release())
    )


def functions(folder):
    """Every function below a folder with the name of its place."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_parameter_lists_are_short_but_those_of_nodes_which_are_tables_of_inputs():
    long = []
    for place, node in functions("bidsapp"):
        given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        if len([name for name in given if name not in ("self", "cls")]) > 7 and not any(
            "interface(" in ast.unparse(made_by) for made_by in node.decorator_list
        ):
            long.append(place)
    assert long == []


@pytest.mark.parametrize("folder", ["bidsapp", "tests"])
def test_a_long_function_says_what_it_does(folder):
    long = [
        (place, node) for place, node in functions(folder) if node.end_lineno - node.lineno > 59
    ]
    assert [place for place, node in long if not ast.get_docstring(node)] == []


def test_a_module_shares_its_name_with_two_others_at_most_its_subject_in_other_layers():
    modules = [path for path in (ROOT / "bidsapp").rglob("*.py") if path.name[:2] != "__"]
    assert [stem for stem, n in Counter(path.stem for path in modules).items() if n > 3] == []
    assert len({(path.parent.name, path.stem) for path in modules}) == len(modules)
