"""Users are spoken to in the words of the field, and in plain English."""

from __future__ import annotations

import ast
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from syntax import nodes

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bidsapp"
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# "X is no Y" for "X is not a Y"; "is no longer" and "there is no" are English.
NO_ENGLISH = {
    "is no noun": r"(?<![Tt]here )\b(?:is|are) no (?!longer\b|more\b|less\b|such\b)\w",
    "look whether": r"\blook whether\b",
    "holds no": r"\bholds? no\b",
    "one of both": r"\bone of both\b",
    "nobody, somebody": r"\b(?:no|some|any|every)body\b",
    "turn of the head": r"\bturn of the\b|\bturned by\b",
    "grown, shrunk": r"\b(?:grown|shrunk)\b",
    "spoilt": r"\bspoil(?:t|s)\b",
    "told": r"\btold\b(?! apart)",
    "laid on": r"\blaid on(?:to)?\b",
    "for want of": r"\bfor want of\b",
    "one's own": r"\bone['’]s own\b",
    "covers the truth": r"\bholds? (?:the|its) truth\b",
    "subject": r"(?<!within-)(?<!per-)\bsubjects? (?:has|is|was|have|are)\b",
}


def sentences_of_code(path: Path) -> Iterator[tuple[int, str]]:
    """String literals of a file that are no docstrings; what f-strings fill in becomes ``{}``."""
    passed: set[int] = set()
    for node in nodes(path):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            passed.update(map(id, node.values))
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in passed
        ):
            yield node.lineno, node.value


def sentences_of_table(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from sentences_of_table(part)


def sentences() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in sentences_of_code(path):
            yield f"{path.relative_to(ROOT)}:{line}", text
    for path in sorted(PACKAGE.rglob("*.toml")):
        for text in sentences_of_table(tomllib.loads(path.read_text("utf-8"))):
            yield str(path.relative_to(ROOT)), text
    for path in sorted(PACKAGE.rglob("*.j2")):
        text = re.sub(
            r"\{%.*?%\}|\{#.*?#\}|<[^<>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL
        )
        for line in re.sub(r"\{\{.*?\}\}", "{}", text, flags=re.DOTALL).splitlines():
            yield str(path.relative_to(ROOT)), line.strip()


def explanations(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of a file, and its comments, those of successive lines as one text."""
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""
    comments: dict[int, str] = {}
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                line = token.start[0]
                comments[line] = f"{comments.pop(line - 1, '')} {token.string.lstrip('# ')}"
    yield from comments.items()


def unusual(text: str) -> list[str]:
    return [name for name, pattern in NO_ENGLISH.items() if re.search(pattern, text)]


def test_messages_are_plain_english():
    unplain = [f"{where}: {text!r}" for where, text in sentences() if " " in text and unusual(text)]
    assert unplain == []


def test_docstrings_and_comments_are_plain_english():
    unplain = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in explanations(path)
        if {*unusual(re.sub(r"\s+", " ", text))} - {"nobody, somebody"}  # of people they are right
    ]
    assert unplain == []


def paragraphs(page: Path) -> Iterator[str]:
    """Text of a page of the documentation without code."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for paragraph in re.sub(r"`[^`\n]*`", "``", text).split("\n\n"):
        yield re.sub(r"\s+", " ", paragraph)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documentation_is_plain_english(page):
    assert [text for text in paragraphs(page) if unusual(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.nii: is no file", True),
        ("these are no numbers", True),
        ("there is no file", False),
        ("it is no longer there", False),
        ("x.nii: is not a file", False),
        ("turn of the head", True),
        ("rotation of the head", False),
        ("what is not used is told", True),
        ("frames are told apart", False),
        ("everybody with this tracer", True),
        ("equations of one's own", True),
        ("the interval holds the truth", True),
        ("the interval covers the truth", False),
    ],
)
def test_what_is_unusual(text, expected):
    assert bool(unusual(text)) == expected


def test_every_word_of_the_glossary_is_used_in_the_docs():
    terms = re.findall(r"\*\*(.+?)\*\*", GLOSSARY.read_text("utf-8"))
    assert len(terms) > 40 and len(terms) == len(set(terms))
    text = " ".join(page.read_text("utf-8") for page in PAGES if page != GLOSSARY)
    text = re.sub(r"\s+", " ", text).lower()
    words = [word for term in terms for word in term.lower().split(", ")]
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}", text)] == []


def test_a_name_of_a_class_stands_once():
    names = [
        node.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, times in Counter(names).items() if times > 1] == []
