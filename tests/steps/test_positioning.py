"""What a position says of the image itself."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation
from bidsapp.steps import positioning

GOOD = {
    "pet_only_unexplained": 0.02, "pet_only_fluid": 0.2, "pet_only_rival": 0.4,
    "pet_only_stretch_sds": 0.5, "pet_only_turn_deg": 8.0,
    "pet_only_jacobian_min": 0.8, "pet_only_jacobian_max": 1.3,
}  # fmt: skip


@pytest.mark.parametrize(("fwhm_mm", "codes"), [(9.9, []), (11.0, ["pet-smoothed"])])
def test_a_smoothed_pet_is_told_without_a_t1w(monkeypatch, fwhm_mm, codes):
    def normalise(pet: Volume, template: object) -> PetNormalisation:
        warp = Warp(np.zeros((3, 1, 1, 1)), np.zeros(3), np.ones(3), pet.affine, np.eye(4))
        quality = GOOD | {"pet_only_fwhm_mm": fwhm_mm}
        return PetNormalisation(warp, np.zeros((2, 2, 2, 3), np.float32), {}, quality)

    monkeypatch.setattr(positioning, "normalise_pet", normalise)
    monkeypatch.setattr(positioning, "amyloid_template", lambda: None)
    _, part = positioning.normalised_without_t1w(Volume(np.ones((4, 4, 4), np.float32), np.eye(4)))
    assert [flag.code for flag in part.flags] == codes
