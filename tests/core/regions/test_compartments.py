"""Atlas regions made of tissues: cut, corrected, put together again."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.regions.compartments import Tissues, compartments, partition
from bidsapp.core.regions.corrected import COLUMNS, correct
from bidsapp.core.regions.pvc import blur
from bidsapp.core.regions.regions import Regions
from bidsapp.settings import PvcMethod

SHAPE = (40, 36, 30)
FWHM = (2.5, 3.0, 2.8)


def _mask(*slices) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[slices] = True
    return mask


CORTEX = _mask(slice(6, 34), slice(18, 32), slice(14, 26))
CORE = _mask(slice(9, 31), slice(21, 29), slice(17, 23))
CEREBELLUM = _mask(slice(10, 30), slice(4, 14), slice(4, 14))
CEREBELLAR_WHITE = _mask(slice(14, 26), slice(7, 11), slice(7, 11))
STEM = _mask(slice(16, 24), slice(15, 18), slice(4, 14))
# activity of cortex, white matter, cerebellar grey and white, brainstem
CTX, WHITE, CG, CW, PONS = 3.0, 1.8, 1.0, 2.0, 1.9


@pytest.fixture
def tissues() -> Tissues:
    grey = (CORTEX & ~CORE) | (CEREBELLUM & ~CEREBELLAR_WHITE)
    rng = np.random.default_rng(0)
    mixed = rng.random(SHAPE) * STEM  # a T1w's guess at the grey matter of a brainstem
    white = CORE | CEREBELLAR_WHITE
    return Tissues(
        grey=(grey + mixed).astype(np.float32),
        white=(white + np.where(STEM, 1 - mixed, 0)).astype(np.float32),
        fluid=np.zeros(SHAPE, np.float32),
        cerebellum=CEREBELLUM,
        brainstem=STEM,
    )


def _regions() -> Regions:
    """Like the volumes of the Centiloid project: cortex, then three that lie in each other."""
    half = CORTEX & _mask(slice(0, 20))
    return Regions.from_masks([half, CEREBELLUM, CEREBELLUM & ~CEREBELLAR_WHITE, STEM])


def _pet() -> np.ndarray:
    image = np.zeros(SHAPE, np.float32)
    for mask, value in (
        (CORTEX, CTX), (CORE, WHITE), (CEREBELLUM, CG), (CEREBELLAR_WHITE, CW), (STEM, PONS),
    ):  # fmt: skip
        image[mask] = value
    return blur(image, FWHM)


def test_overlapping_regions_become_parts_that_do_not():
    labels, number = partition(_regions())
    assert number == 4
    for mask in (CORTEX & _mask(slice(0, 20)), CEREBELLAR_WHITE, STEM):
        inside = np.unique(labels[mask])
        assert inside.size == 1 and inside[0] > 0
        assert (labels == inside[0]).sum() == mask.sum()
    assert (labels == 0).sum() == (~(CORTEX & _mask(slice(0, 20))) & ~CEREBELLUM & ~STEM).sum()


def test_every_method_finds_what_the_tissues_hold(tissues):
    head = compartments(_regions(), _regions(), tissues)
    found = correct(_pet(), head, FWHM, tuple(PvcMethod))
    grey, white = (CEREBELLUM & ~CEREBELLAR_WHITE).sum(), CEREBELLAR_WHITE.sum()
    half = _mask(slice(0, 20))
    ribbon, core = (CORTEX & ~CORE & half).sum(), (CORE & half).sum()
    whole = (CG * grey + CW * white) / (grey + white)
    cortex = (CTX * ribbon + WHITE * core) / (ribbon + core)
    for method, bar in (("gtm", 0.01), ("rbv", 0.01), ("iy", 0.02)):
        np.testing.assert_allclose(found.columns[method], [cortex, whole, CG, PONS], rtol=bar)
        np.testing.assert_allclose(found.columns[f"{method}_gm"][:3], [CTX, CG, CG], rtol=bar)
        assert np.isnan(found.columns[f"{method}_gm"][3])  # no grey matter in a brainstem
    assert found.columns["uncorrected_gm"][0] < 0.85 * CTX
    assert found.columns["mg_gm"][0] == pytest.approx(CTX, rel=0.1)  # one white level for all
    assert set(found.images) == {PvcMethod.RBV, PvcMethod.IY, PvcMethod.MG}
    assert found.condition > 1 and found.white_matter == pytest.approx(WHITE, rel=0.15)


def test_plain_means_are_those_of_the_image(tissues):
    pet = _pet()
    pet[:, :, :8] = np.nan
    found = correct(pet, compartments(_regions(), _regions(), tissues), FWHM, ())
    assert found.columns["uncorrected"][2] == pytest.approx(
        np.nanmean(pet[CEREBELLUM & ~CEREBELLAR_WHITE]), rel=1e-6
    )
    assert tuple(found.columns) == COLUMNS and not found.images
    assert all(np.isnan(found.columns[c]).all() for c in COLUMNS if "uncorrected" not in c)


def test_regions_that_were_hardly_measured_have_no_value(tissues):
    pet = _pet()
    pet[:, :14] = np.nan  # most of the cerebellum
    found = correct(pet, compartments(_regions(), _regions(), tissues), FWHM, tuple(PvcMethod))
    assert all(np.isnan(found.columns[column][1:3]).all() for column in ("uncorrected", "gtm_gm"))
    assert found.columns["gtm_gm"][0] == pytest.approx(CTX, rel=0.01)


def test_white_matter_does_not_stand_for_a_region_whose_grey_matter_is_not_known(tissues):
    mostly_white = _mask(slice(8, 20), slice(20, 30), slice(16, 24))
    regions = Regions.from_masks([mostly_white, STEM])
    head = compartments(regions, regions, tissues)
    assert head.grey_share[0].sum() < 0.5 * head.tissue_share[0].sum()
    grey, tissue = head.of_values(np.where(head.grey_share[0] > 0, np.nan, 1.0))
    assert np.isnan([grey[0], tissue[0]]).all() and tissue[1] == 1.0  # a brainstem has no grey


def test_a_region_of_a_few_voxels_has_no_corrected_value(tissues):
    few = _mask(slice(15, 17), slice(18, 19), slice(20, 21))
    some = _mask(slice(10, 15), slice(29, 32), slice(17, 23))
    regions = Regions.from_masks([few, some, CORTEX & ~few & ~some])
    noise = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    pet = _pet() + blur(noise, FWHM)  # 5 % in a voxel
    found = correct(pet, compartments(regions, regions, tissues), FWHM, tuple(PvcMethod))
    for column in ("gtm", "gtm_gm", "rbv", "rbv_gm"):
        assert np.isnan(found.columns[column][0])
        assert np.isfinite(found.columns[column][1:]).all()
    np.testing.assert_allclose(found.columns["gtm_gm"][1:], CTX, rtol=0.05)
    assert np.isfinite(found.columns["uncorrected"]).all()


def test_unions_of_regions(tissues):
    union = _regions().combined([(0,), (1, 3)])
    found = correct(_pet(), compartments(_regions(), union, tissues), FWHM, (PvcMethod.GTM,))
    n = (CEREBELLUM & ~CEREBELLAR_WHITE).sum(), CEREBELLAR_WHITE.sum(), STEM.sum()
    assert found.columns["gtm"][1] == pytest.approx(
        (CG * n[0] + CW * n[1] + PONS * n[2]) / sum(n), rel=0.01
    )
