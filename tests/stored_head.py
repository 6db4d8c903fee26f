"""Fields of a `PlacedHead` as the nodes of a run keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stand_in_head import rigid_warp, template_field

from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.data import mni_grid
from bidsapp.interfaces.store import keep, keep_volume

TISSUES = ("gm", "wm", "csf", "mask")


def stored_head(
    folder: Path,
    grid: Grid,
    tissues: dict[str, NDArray[Any]] | None = None,
    t1w_to_pet: Any = np.eye(4),  # noqa: B008
    field: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """Inputs of a node: a head on the template, its T1w on ``grid``; tissues left out are empty."""
    place = template_field() if field is None else field.astype(np.float32)
    kept = {
        "field": keep_volume(folder / "field.npz", Volume(place, mni_grid(2).affine)),
        "warp": keep(folder / "warp.npz", rigid_warp(grid).to_arrays()),
        "t1w_to_pet": np.asarray(t1w_to_pet).tolist(),
    }
    for name in () if tissues is None else TISSUES:
        data = tissues.get(name, np.zeros(grid.shape, np.float32))
        kept[name] = keep_volume(folder / f"{name}.npz", Volume(data, grid.affine))
    return kept
