"""Resources in the package: templates, tissue priors, VOIs, tables. Everything is read-only.

``tools/build.py`` makes ``resources/`` from pinned packages; ``resources/provenance.json`` says
from which, under which licence, and with which hashes.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import load_volume
from bidsapp.settings import TEMPLATE_SPACE

FOLDER = Path(__file__).parent
RESOURCES = FOLDER / "resources"

# The grid of the GAAIN VOIs; the x axis runs from right to left.
_GRID_SHAPE = {1: (181, 217, 181), 2: (91, 109, 91)}

TARGET = "ctx"
REFERENCES = ("wc", "cg", "wcb", "pons")
VOI_NAMES = (TARGET, *REFERENCES)


def package_text(name: str) -> str:
    """Text of a file beside the tables.

    Parameters
    ----------
    name : of the file

    Returns
    -------
    str
    """
    return (FOLDER / name).read_text("utf-8")


def mni_grid(res: int) -> Grid:
    """Grid of the GAAIN VOIs in MNI152NLin6Asym at 1 or 2 mm.

    Parameters
    ----------
    res : 1 or 2, mm

    Returns
    -------
    Grid
        Affine voxel -> world, RAS mm.
    """
    affine = np.array([[-res, 0, 0, 90], [0, res, 0, -126], [0, 0, res, -72], [0, 0, 0, 1.0]])
    return Grid(_GRID_SHAPE[res], affine)


@lru_cache
def template(res: int) -> Volume:
    """T1w head of MNI152NLin6Asym on `mni_grid`, float32, 0-255.

    Parameters
    ----------
    res : 1 or 2, mm

    Returns
    -------
    Volume
    """
    return _frozen(load_volume(resource_path("T1w", res)))


@lru_cache
def template_mask(res: int) -> Volume:
    """Brain mask of MNI152NLin6Asym on `mni_grid`, bool.

    Parameters
    ----------
    res : 1 or 2, mm

    Returns
    -------
    Volume
    """
    return _frozen(load_volume(resource_path("desc-brain_mask", res), dtype=bool))


@lru_cache
def priors() -> TissuePriors:
    """Tissue priors on ``mni_grid(2)``.

    Returns
    -------
    TissuePriors
    """
    return _tissue_priors("priors")


@lru_cache
def stripped_priors() -> TissuePriors:
    """Tissue priors on ``mni_grid(2)`` for a T1w without skull (``tools/build_population.py``).

    Returns
    -------
    TissuePriors
    """
    return _tissue_priors("strippedpriors")


def _tissue_priors(name: str) -> TissuePriors:
    volume = load_volume(resource_path(f"desc-{name}_probseg", 2), ndim=4)
    maps = np.ascontiguousarray(np.moveaxis(volume.data, -1, 0), dtype=np.float32)
    maps.setflags(write=False)
    return TissuePriors(maps, volume.affine)


@lru_cache
def vois(res: int) -> dict[str, NDArray[np.bool_]]:
    """GAAIN Centiloid VOIs on `mni_grid`, by the names of `VOI_NAMES`.

    Parameters
    ----------
    res : 1 or 2, mm

    Returns
    -------
    dict of ndarray, bool
        Shape of ``mni_grid(res)``.
    """
    loaded = {
        name: load_volume(resource_path(f"label-{name}_mask", res), dtype=bool).data
        for name in VOI_NAMES
    }
    for mask in loaded.values():
        mask.setflags(write=False)
    return loaded


@lru_cache
def provenance() -> dict[str, Any]:
    """Where the resources come from, their licences and hashes.

    Returns
    -------
    dict
    """
    record: dict[str, Any] = json.loads((RESOURCES / "provenance.json").read_text())
    return record


@lru_cache
def resource_hashes() -> dict[str, str]:
    """SHA-256 of every image in ``resources/``, taken from the files themselves.

    Returns
    -------
    dict of str
        By name of the file.
    """
    return {path.name: file_hash(path) for path in sorted(RESOURCES.glob("*.nii.gz"))}


@lru_cache
def read_table(name: str) -> dict[str, Any]:
    """The table ``<name>.toml`` of this folder.

    Parameters
    ----------
    name : of the file, without ``.toml``

    Returns
    -------
    dict
    """
    with (FOLDER / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


def tupled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Row of a table with its lists, and those in them, as the tuples of frozen dataclasses.

    Parameters
    ----------
    row : of a table

    Returns
    -------
    dict
    """

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    return {key: frozen(value) for key, value in row.items()}


def resource_path(what: str, res: int) -> Path:
    """Path of a resource image, for example ``resource_path("T1w", 2)``.

    Parameters
    ----------
    what : end of its name: suffix, and entities before it
    res : 1 or 2, mm

    Returns
    -------
    Path
    """
    return RESOURCES / f"tpl-{TEMPLATE_SPACE}_res-{res}_{what}.nii.gz"


def _frozen(volume: Volume) -> Volume:
    volume.data.setflags(write=False)
    return volume
