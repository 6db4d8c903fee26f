"""``centipet --bids-exec-spec``: the command line as a Boutiques descriptor, for platforms.

It is made from the parser, so that it cannot say anything else (https://boutiques.github.io,
schema 0.5).
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from bidsapp import __version__
from bidsapp.options.checks import absolute_path, finite, processes
from bidsapp.settings import Level

_NUMBERS = {int, float, finite, processes}


def descriptor(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Boutiques descriptor of a command line.

    Parameters
    ----------
    parser : the whole command line; options without help are left out

    Returns
    -------
    dict
    """
    actions = [action for action in parser._actions if _is_input(action)]
    keys = " ".join(_key(action) for action in actions)
    return {
        "name": "CentiPET",
        "description": parser.description,
        "tool-version": __version__,
        "schema-version": "0.5",
        "command-line": f"centipet {keys}",
        "tags": {"domain": ["neuroinformatics", "PET"], "bids-app": "true"},
        "inputs": [_input(action) for action in actions],
        "output-files": [
            {
                "id": "derivatives",
                "name": "Derivatives",
                "description": "BIDS derivatives, tables and pages",
                "path-template": "[OUTPUT_DIR]",
            }
        ],
        "error-codes": _error_codes(parser.epilog or ""),
    }


def _is_input(action: argparse.Action) -> bool:
    if isinstance(action, argparse._HelpAction | argparse._VersionAction):
        return False
    return action.help != argparse.SUPPRESS and action.dest not in (
        "demo",
        "bids_exec_spec",
        "print_completion",
    )


def _input(action: argparse.Action) -> dict[str, Any]:
    positional = not action.option_strings
    value: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " "),
        "description": action.help,
        "value-key": _key(action),
        "type": _type(action),
        "optional": not positional,
    }
    if not positional:
        value["command-line-flag"] = max(action.option_strings, key=len)
    if action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 0):
        value["list"] = True
    if isinstance(action.nargs, int) and action.nargs > 0:
        value |= {"min-list-entries": action.nargs, "max-list-entries": action.nargs}
    choices = [str(level) for level in Level] if action.dest == "level" else action.choices
    if choices:
        value["value-choices"] = list(choices)
    return value


def _type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.type in _NUMBERS:
        return "Number"
    is_path = action.type is absolute_path and action.dest != "output_dir"
    return "File" if is_path else "String"


def _key(action: argparse.Action) -> str:
    return f"[{action.dest.upper()}]"


def _error_codes(epilog: str) -> list[dict[str, Any]]:
    """Codes as the help lists them: ``1 some scans failed; 16 not BIDS; ...``."""
    listed = re.search(r"Exit codes:(.*?)\.(?:\s|$)", epilog, flags=re.DOTALL)
    codes = re.findall(r"(\d+)\s+([^;]+)", listed[1] if listed else "")
    return [{"code": int(code), "description": " ".join(text.split())} for code, text in codes]
