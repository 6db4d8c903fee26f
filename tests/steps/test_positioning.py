"""What a position says of the image itself."""

from __future__ import annotations

import numpy as np
import pytest
from stand_in_head import rigid_warp

from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation
from bidsapp.core.registration.rigid import BOUND_MM, RigidFit
from bidsapp.settings import PetToT1w
from bidsapp.steps import positioning

GOOD = {
    "pet_only_unexplained": 0.02, "pet_only_fluid": 0.2, "pet_only_rival": 0.4,
    "pet_only_stretch_sds": 0.5, "pet_only_turn_deg": 8.0,
    "pet_only_jacobian_min": 0.8, "pet_only_jacobian_max": 1.3,
}  # fmt: skip


@pytest.mark.parametrize(("fwhm_mm", "codes"), [(9.9, []), (11.0, ["pet-smoothed"])])
def test_a_smoothed_pet_is_told_without_a_t1w(monkeypatch, fwhm_mm, codes):
    def normalise(pet: Volume, template: object) -> PetNormalisation:
        quality = GOOD | {"pet_only_fwhm_mm": fwhm_mm}
        return PetNormalisation(rigid_warp(pet.grid), np.zeros((2, 2, 2, 3), "f4"), {}, quality)

    monkeypatch.setattr(positioning, "normalise_pet", normalise)
    monkeypatch.setattr(positioning, "amyloid_template", lambda: None)
    _, part = positioning.normalised_without_t1w(Volume(np.ones((4, 4, 4), np.float32), np.eye(4)))
    assert [flag.code for flag in part.flags] == codes


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "pet-t1w-model-rejected",
            f"by mutual information by 7.3 mm (at most {BOUND_MM:g}",
        ),
        ("pet-t1w-nmi-rejected", "by mutual information by 7.3 mm"),
        ("pet-t1w-mirrored", "leave 20.0% of it unexplained instead of 40.0%"),
        ("pet-t1w-fallback", "another starting position was used"),
    ],
)
def test_a_doubtful_position_is_told_with_its_numbers(code, words):
    fit = RigidFit(
        matrix=np.eye(4), method=PetToT1w.MODEL, nmi=np.eye(4), model=np.eye(4), distance_mm=7.26,
        score=1.1, unexplained=0.4, mirrored=0.2, fwhm_mm=6.0, strain=np.zeros((3, 3)),
        own_anatomy=0.5, doubts=(code,),
    )  # fmt: skip
    doubt, anatomy = positioning.position_findings(fit)
    assert doubt.code == code and words in doubt.message
    assert anatomy.code == "pet-t1w-other-anatomy"
