"""The Centiloid of two positions of the PET, from voxels of known uptake."""

import numpy as np
import pytest

from bidsapp.core.frames.position_means import PositionMean
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import mni_grid, vois
from bidsapp.data.pipelines import Pipeline
from bidsapp.settings import Processing
from bidsapp.steps.quantifying import by_both_positions


@pytest.mark.parametrize("model_mm", [0.0, 4.0, 900.0])
def test_each_position_has_the_centiloid_of_the_voxels_it_points_at(model_mm):
    grid, masks = mni_grid(2), vois(2)
    pet = np.random.default_rng(2).gamma(20, 200, grid.shape).astype(np.float32)
    pet[masks["ctx"]] *= 1.8
    moved = np.eye(4)
    moved[2, 3] = model_mm
    scale = Pipeline(Processing(), "FBB").scale()
    part = by_both_positions(
        [PositionMean(Volume(pet, grid.affine), 1200.0, np.eye(4))],
        Volume(grid.world().astype(np.float32), grid.affine),
        {"nmi": np.eye(4).tolist(), "model": moved.tolist()},
        scale,
    )

    def expected(planes):
        at = np.roll(pet, -planes, axis=2).astype(float)
        return centiloid(at[masks["ctx"]].mean() / at[masks["wc"]].mean(), scale.equations["wc"])

    assert part.qc["centiloid_nmi"] == pytest.approx(expected(0), abs=1e-3)
    codes = [flag.code for flag in part.flags]
    if model_mm > 100:  # beside the head
        assert part.qc["centiloid_model"] is None and codes == []
    else:
        assert part.qc["centiloid_model"] == pytest.approx(expected(int(model_mm / 2)), abs=1e-3)
        assert codes == (["pet-t1w-centiloid"] if model_mm else [])
