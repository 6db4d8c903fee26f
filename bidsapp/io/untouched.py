"""Libraries as they are: pybids and nipype read settings wherever they are imported.

A ``pybids_config.json`` or ``nipype.cfg`` in the current folder or at home, which
somebody made for other work or cannot be read, would stop a run or change what it does.

And no more of them than is used: nibabel imports pydicom with its decoders, a fifth of all that a
process imports, to look into the DICOM headers that a NIfTI file may hold.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

# Variables that name settings, too.
_POINTERS = ("PYBIDS_CONFIG",)


def load(name: str) -> ModuleType:
    """Import ``bids``, ``nipype`` or ``nibabel`` without the settings of whoever runs it."""
    if name not in sys.modules:
        with _nothing_to_find(name), _without_pydicom():
            importlib.import_module(name)
        if name == "nipype":  # remembers where it was imported
            sys.modules[name].config._cwd = None
    return sys.modules[name]


@contextmanager
def _nothing_to_find(name: str) -> Iterator[None]:
    """Be in an empty folder that is home as well."""
    variables = dict(os.environ)
    here = None
    with suppress(OSError):  # somebody removed it
        here = Path.cwd()
    with TemporaryDirectory() as empty:
        try:
            os.chdir(empty)
            os.environ |= {"HOME": empty, "NIPYPE_CONFIG_DIR": empty}
            for pointer in _POINTERS:
                os.environ.pop(pointer, None)
            yield
        finally:
            os.environ.clear()
            os.environ.update(variables)
            os.chdir(here or "/")


@contextmanager
def _without_pydicom() -> Iterator[None]:
    """Let nibabel find no pydicom, which it can do without; whoever needs it imports it later."""
    if "pydicom" in sys.modules:
        yield
        return
    sys.modules["pydicom"] = None  # type: ignore[assignment]  # the way to say: not installed
    try:
        yield
    finally:
        del sys.modules["pydicom"]
