"""Records that a run wrote, held against their schema."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from bidsapp.data import read_table
from bidsapp.record.schema import record_schema


@cache
def validator() -> Draft202012Validator:
    """Of the schema of the code, and of the table of quality numbers."""
    schema = record_schema()
    numbers = list(read_table("qc"))
    schema["properties"]["qc"]["propertyNames"] = {"enum": numbers}
    names = ["window", "coverage", "plausible", *numbers]
    schema["properties"]["verdicts"]["propertyNames"] = {"enum": names}
    return Draft202012Validator(schema)


def read_valid(path: Path) -> dict[str, Any]:
    """A record as JSON; one that holds a key that the schema does not have is an error."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    validator().validate(content)
    return content
