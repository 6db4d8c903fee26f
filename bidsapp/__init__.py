"""CentiPET: from amyloid-PET DICOM to Centiloid."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"

if sys.platform == "win32":  # no file locks, no signals as runs need them
    raise ImportError("CentiPET runs on Linux and macOS; on Windows use WSL or its container")


def __getattr__(name: str) -> Any:
    """Import parts of the package only when they are requested."""
    homes = {"quantify": "api.quantify", "apply": "cli.apply"}
    homes |= dict.fromkeys(("segment", "register", "to_template"), "api.images")
    if name in homes:  # by their names: every layer imports this file
        return getattr(import_module(f"bidsapp.{homes[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
