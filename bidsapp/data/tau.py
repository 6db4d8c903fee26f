"""Scales of tau, CenTauRz and CenTauR (``tau.toml``); the volumes are the user's.

The second kind of scale that SUVRs are put on: the same
`bidsapp.core.quantification.centiloid.Equation`, other tracers, other volumes, other units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.data import mni_grid, read_table, template_mask
from bidsapp.data.sentences import refused, worded
from bidsapp.errors import NoInputError
from bidsapp.io.nifti import load_volume

REFERENCE = "reference"
# A mask of tau volumes with less of it inside the brain of the template is in another space.
_LEAST_INSIDE = 0.7


@lru_cache
def tau_equations(code: str) -> dict[str, dict[str, Equation]]:
    """Equations of a tau tracer by scale and region.

    Parameters
    ----------
    code : of the tracer

    Returns
    -------
    dict of dict of Equation
    """
    table = read_table("tau")
    row, by_scale = table["tracers"][code], {}
    for scale, about in table["scales"].items():
        by_scale[scale] = {
            region: Equation(
                *_line(values),
                reference_region=REFERENCE,
                source=about["source"],
                doi=about["doi"],
                n=0,
            )
            for region, values in row.get(scale, {}).items()
        }
    return by_scale


def tau_regions() -> tuple[str, ...]:
    """Names of the target regions, in the order of the table.

    Returns
    -------
    tuple of str
    """
    return tuple(name for name in read_table("tau")["files"] if name != REFERENCE)


def tau_voi_files(folder: Path) -> dict[str, Path]:
    """Path of every tau volume in a folder, by region.

    Parameters
    ----------
    folder : with the volumes, at any depth

    Returns
    -------
    dict of Path

    Raises
    ------
    NoInputError
        A volume is missing.
    BadDataError
        There are several of a name, which differ.
    """
    files = {}
    for region, name in read_table("tau")["files"].items():
        choices = sorted(folder.rglob(name)) + sorted(folder.rglob(f"{name}.gz"))
        if not choices:
            raise NoInputError(worded("tau-vois", "missing", folder=folder, name=name))
        for path in choices[1:]:
            first, other = load_volume(choices[0]), load_volume(path)
            if not (other.grid.is_same(first.grid) and np.array_equal(other.data, first.data)):
                names = ", ".join(str(path.relative_to(folder)) for path in choices)
                raise refused("tau-vois", "several", folder=folder, names=names)
        files[region] = choices[0]
    return files


def tau_masks(files: Mapping[str, Path]) -> dict[str, NDArray[np.bool_]]:
    """Masks of the tau volumes on the 2 mm grid, by region; the nearest voxel where grids differ.

    Parameters
    ----------
    files : path by region

    Returns
    -------
    dict of ndarray, shape (91, 109, 91), bool

    Raises
    ------
    BadDataError
        A mask is empty or not in the space of the template.
    """
    world, brain = mni_grid(2).world(), template_mask(2).data
    masks = {}
    for region, path in files.items():
        volume = load_volume(path)
        masks[region] = mask = nearest(volume, world) > 0.5
        if not mask.any() or mask[brain].sum() < _LEAST_INSIDE * mask.sum():
            raise refused("tau-vois", "place", path=path)
    return masks


def _line(values: Mapping[str, float] | Sequence[float]) -> tuple[float, float]:
    """Slope and intercept, given as such or by the SUVRs at 0 and 100."""
    if isinstance(values, Mapping):
        slope = 100 / (values["hundred"] - values["zero"])
        return slope, -slope * values["zero"]
    slope, intercept = values
    return float(slope), float(intercept)
