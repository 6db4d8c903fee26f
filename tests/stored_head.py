"""Fields of a `PlacedHead` as the nodes of a run keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
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
    warp = Warp(np.zeros((3, 1, 1, 1)), np.zeros(3), np.array(grid.shape, float), grid.affine,
                np.eye(4))  # fmt: skip
    place = mni_grid(2).world() if field is None else field
    kept = {
        "field": keep_volume(
            folder / "field.npz", Volume(place.astype(np.float32), mni_grid(2).affine)
        ),
        "warp": keep(folder / "warp.npz", warp.to_arrays()),
        "t1w_to_pet": np.asarray(t1w_to_pet).tolist(),
    }
    for name in () if tissues is None else TISSUES:
        data = tissues.get(name, np.zeros(grid.shape, np.float32))
        kept[name] = keep_volume(folder / f"{name}.npz", Volume(data, grid.affine))
    return kept
