"""Import of pybids and nipype without settings from the current folder or home.

A ``pybids_config.json`` or ``nipype.cfg`` there, made for other work or unreadable, would stop a
run or change its results.

Unused parts are not imported: nibabel would import pydicom with its decoders, a fifth of all
imports of a process, to read the DICOM headers that a NIfTI file may hold.
"""

from __future__ import annotations

import importlib
import locale
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY)  # of Linux: a folder need not be readable


def load(name: str) -> ModuleType:
    """Import ``bids``, ``nipype`` or ``nibabel`` without the settings of the user who runs it.

    Parameters
    ----------
    name : of the package

    Returns
    -------
    ModuleType
    """
    if name not in sys.modules:
        with _nothing_to_find(name), _without_pydicom():
            importlib.import_module(name)
        if name == "nipype":  # remembers where it was imported
            sys.modules[name].config._cwd = None
            _write_utf8()
    return sys.modules[name]


def _write_utf8() -> None:
    """Let nipype, which writes text in the encoding of the locale, write any character."""
    for name in ("C.UTF-8", "UTF-8", "en_US.UTF-8"):
        if locale.getencoding().lower() != "utf-8":
            with suppress(locale.Error):  # it is not installed
                locale.setlocale(locale.LC_CTYPE, name)


@contextmanager
def _nothing_to_find(name: str) -> Iterator[None]:
    """Be in a folder without settings, that of this module, which is home as well."""
    variables = dict(os.environ)
    folder_before = None
    with suppress(OSError):  # nothing can be found in a folder that cannot be entered
        folder_before = os.open(".", _FOLDER)
    here = str(Path(__file__).parent)
    try:
        if folder_before is not None:
            os.chdir(here)
        os.environ |= {"HOME": here, "NIPYPE_CONFIG_DIR": here}
        os.environ.pop("PYBIDS_CONFIG", None)  # which names settings, too
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        if folder_before is not None:
            os.fchdir(folder_before)  # unlike its name, leads back to a folder that was removed
            os.close(folder_before)


@contextmanager
def _without_pydicom() -> Iterator[None]:
    """Let nibabel find no pydicom, which it can do without; what needs it imports it later."""
    if "pydicom" in sys.modules:
        yield
        return
    sys.modules["pydicom"] = None  # type: ignore[assignment]  # the way to say: not installed
    try:
        yield
    finally:
        del sys.modules["pydicom"]
