"""Lines of code, not blank, comment or docstring: ``python .ci/code_lines.py [FOLDER]``."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_NO_CODE |= {tokenize.ENCODING, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    """Number of lines that hold code.

    >>> code_lines('# a comment\\n\\ndef one():\\n    "What it does."\\n    return (1 +\\n 1)\\n')
    3
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return len(lines)


def main() -> None:
    """Print the lines of every part of a package and of all."""
    package = Path(sys.argv[1] if len(sys.argv) > 1 else "bidsapp")
    parts: Counter[str] = Counter()
    for path in sorted(package.rglob("*.py")):
        parts[path.relative_to(package).parts[0]] += code_lines(path.read_text("utf-8"))
    for part, lines in parts.items():
        print(f"{lines:7} {part}")
    print(f"{parts.total():7} in {package}")


if __name__ == "__main__":
    main()
