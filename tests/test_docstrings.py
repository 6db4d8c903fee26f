"""Examples in docstrings are true, and public functions say what they take and give."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import validate

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bidsapp"

PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

# Parameters not documented, unknown ones documented, no Returns, no Yields.
RULES = {"PR01", "PR02", "RT01", "YD01"}


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
                # `bidsapp.interfaces.define.interface` makes a class of a function
                if (not own.startswith("_") or own == "_function") and (
                    type(member) in kinds
                    or (inspect.isfunction(member) and member.__name__ != "<lambda>")
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


def wrong(name: str) -> list[str]:
    return [
        f"{function}: {text}"
        for function in public(name)
        for code, text in validate(function)["errors"]
        if code in RULES
    ]


@pytest.mark.parametrize("folder", [*PACKAGES, ""])
def test_public_functions_say_what_they_take_and_give(folder):
    inner = (PACKAGE / folder).rglob("*.py") if folder else PACKAGE.glob("[a-z]*.py")
    names = [module_name(path) for path in sorted(inner)]
    assert len(names) > 2
    assert [text for name in names for text in wrong(name)] == []


def names_of(text: str) -> list[str]:
    """Full names of the package that a docstring or comment has in backticks."""
    return re.findall(r"(?<!`)`(bidsapp(?:\.\w+)+)`(?!`)", text)


def is_there(name: str) -> bool:
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:n])
        module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module.is_file():
            text = module.read_text("utf-8")
            # a package may hand out names of its modules
            defined = r'"{}"' if path.is_dir() else r"(?m)^\s*(?:def |class )?{}\b"
            return all(re.search(defined.format(part), text) for part in parts[n:])
    return False


def test_names_in_docstrings_and_comments_are_there():
    texts = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    names = [(path.name, name) for path, text in texts.items() for name in names_of(text)]
    assert len(names) > 50
    assert [pair for pair in names if not is_there(pair[1])] == []
    assert not is_there("bidsapp.core.grid.volume.Gone") and not is_there("bidsapp.core.gone")
