"""JSON Schema of a record, from its dataclasses and their docstrings.

``python -m bidsapp.record.schema > docs/record.schema.json`` writes it.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any

from bidsapp.record.codec import hints, without_none, written_fields
from bidsapp.record.model import SCHEMA_VERSION, ScanRecord

_KINDS = {float: "number", int: "integer", bool: "boolean", str: "string"}
_ENTRY = re.compile(r"^(\w[\w, ]*) : (.*(?:\n    .*)*)", re.MULTILINE)


def record_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``*_centiloid.json``: every key is there, and no other.

    Quality numbers are named by ``data/qc.toml``, so that a new one changes no schema.

    Returns
    -------
    dict
    """
    schema = _object(ScanRecord)
    properties = schema["properties"]
    properties["schema_version"]["const"] = SCHEMA_VERSION
    properties["sha256"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "hash of the text of the record with zeros in its place",
    }
    schema["required"].append("sha256")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Record of a PET scan (*_centiloid.json)",
        **schema,
    }


def _object(kind: Any) -> dict[str, Any]:
    """Schema of a dataclass: every field there, and no others."""
    about = _descriptions(kind)
    properties = {}
    for part in written_fields(kind):
        described = {"description": about[part.name]} if part.name in about else {}
        properties[part.name] = _of(hints(kind)[part.name]) | described
    return {
        "type": "object",
        "description": (inspect.getdoc(kind) or "").split("\n")[0],
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _of(hint: Any) -> dict[str, Any]:
    hint, optional = without_none(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is object:
        return {}
    if is_dataclass(hint):
        schema = _object(hint)
    elif origin is tuple and arguments[-1] is Ellipsis:
        schema = {"type": "array", "items": _of(arguments[0])}
    elif origin is tuple:
        n = len(arguments)
        schema = {"type": "array", "items": _of(arguments[0]), "minItems": n, "maxItems": n}
    elif origin is not None:
        schema = {"type": "object", "additionalProperties": _of(arguments[1])}
    elif issubclass(hint, StrEnum):
        schema = {"type": "string", "enum": [member.value for member in hint]}
    else:
        schema = {"type": _KINDS[hint]}
    if optional:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _descriptions(kind: Any) -> dict[str, str]:
    """What the ``Attributes`` of a class and of those it inherits say, by name."""
    described: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        _, _, section = (inspect.cleandoc(parent.__doc__ or "")).partition(
            "\nAttributes\n----------\n"
        )
        for names, text in _ENTRY.findall(section):
            described |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return described


if __name__ == "__main__":
    print(json.dumps(record_schema(), indent=2, ensure_ascii=False))
