"""Examples in docstrings are true, and public functions say what they take and give."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import validate

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bidsapp"

# Parameters not documented, unknown ones documented, no Returns, no Yields.
RULES = {"PR01", "PR02", "RT01", "YD01"}

# Modules of which every public function keeps these rules; a new module of core belongs here.
COMPLETE = ("bidsapp.core.kinetics.weights",)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def public(name: str) -> Iterator[str]:
    """Full names of the functions and methods that a module shows."""
    module = import_module(name)
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value):
            yield f"{name}.{key}"
        elif inspect.isclass(value):
            for own, member in vars(value).items():
                kinds = (classmethod, staticmethod)
                if not own.startswith("_") and (
                    inspect.isfunction(member) or type(member) in kinds
                ):
                    yield f"{name}.{key}.{own}"


def test_examples_are_true():
    tried = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>>" in path.read_text("utf-8"):
            failed, attempted = doctest.testmod(import_module(module_name(path)))
            assert failed == 0, path
            tried += attempted
    assert tried > 10


@pytest.mark.parametrize("name", COMPLETE)
def test_public_functions_say_what_they_take_and_give(name):
    names = list(public(name))
    assert names
    wrong = [
        f"{one}: {text}" for one in names for code, text in validate(one)["errors"] if code in RULES
    ]
    assert wrong == []
