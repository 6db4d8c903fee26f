"""Confidence in a normalisation: the template as somebody's T1w, put right and put wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bidsapp import data
from bidsapp.core.anatomy.confidence import normalisation_quality
from bidsapp.core.grid.alignment import rigid_matrix, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import flagged
from bidsapp.errors import BadDataError
from bidsapp.steps.anatomy import head_template

GRID = data.mni_grid(2)


@pytest.fixture(scope="module")
def template():
    return head_template()


@pytest.fixture(scope="module")
def t1w(template):
    """What the priors expect a T1w to look like, with some noise."""
    levels = np.array([60.0, 90.0, 25.0, 40.0])
    noise = np.random.default_rng(0).normal(0, 4, GRID.shape)
    return Volume((template.classes @ levels + noise).astype(np.float32), GRID.affine)


def quality(template, t1w, motion=None, image=None):
    """Numbers of a normalisation that puts every voxel ``motion`` away from where it belongs."""
    field = transform(np.eye(4) if motion is None else motion, GRID.world())
    return normalisation_quality(
        t1w if image is None else image, data.priors().maps, template.mask, field, template
    )


def limit_codes(numbers):
    found = flagged(numbers, data.read_table("limits"), look="look")
    return {finding.code for finding in found}


def test_the_template_lies_where_it_lies(template, t1w):
    found = quality(template, t1w)
    assert found["template_shift_mm"] < 0.3
    assert found["brain_overlap"] == pytest.approx(1)
    assert found["t1w_coverage"] == pytest.approx(1)
    assert found["voi_contrast"] > 1
    assert limit_codes(found) == set()


@pytest.mark.parametrize("motion", [[0, 6, 0, 0, 0, 0], [5, 0, -4, 0, 0, 0], [0, 0, 0, 0.12, 0, 0]])
def test_a_displaced_one_tells_by_how_much(template, t1w, motion):
    matrix = rigid_matrix(motion, [0, -20, 10])
    moved = transform(matrix, GRID.world()) - GRID.world()
    farthest = max(np.linalg.norm(moved[part], axis=-1).mean() for part in template.parts.values())
    found = quality(template, t1w, matrix)
    assert found["template_shift_mm"] == pytest.approx(farthest, rel=0.25)
    assert "normalisation-shift" in limit_codes(found)


def test_a_cut_t1w_is_told_and_asked_where_it_was_measured(template, t1w):
    low = 34  # half of the cerebellum is cut
    affine = GRID.affine.copy()
    affine[:3, 3] = transform(GRID.affine, np.array([0.0, 0.0, low]))
    part = Volume(t1w.data[:, :, low:], affine)
    found = normalisation_quality(
        part, data.priors().maps[..., low:], template.mask[..., low:], GRID.world(), template
    )
    assert 0.5 < found["t1w_coverage"] < 0.98
    assert found["template_shift_mm"] < 0.5
    assert "t1w-coverage" in limit_codes(found)


@pytest.mark.parametrize("stripped, coverage", [(False, 0.947), (True, 1.0)])
def test_zeros_are_a_cut_in_a_whole_head_alone(template, t1w, stripped, coverage):
    filled = t1w.data.copy()
    filled[:, :, 60:] = 0  # the vertex, a twentieth of the volumes
    found = normalisation_quality(
        Volume(filled, t1w.affine), data.priors().maps, template.mask, GRID.world(),
        replace(template, has_skull=not stripped),
    )  # fmt: skip
    assert found["t1w_coverage"] == pytest.approx(coverage, abs=0.001)
    assert ("t1w-coverage" in limit_codes(found)) is not stripped


def test_an_image_that_is_no_t1w_is_told(template, t1w):
    dark_white = Volume(150 - t1w.data, t1w.affine)
    found = quality(template, t1w, image=dark_white)
    assert found["voi_contrast"] < 0
    assert "normalisation-contrast" in limit_codes(found)


def test_a_field_beside_the_image_is_an_error(template, t1w):
    with pytest.raises(BadDataError, match="contains no head"):
        quality(template, t1w, rigid_matrix([500, 0, 0, 0, 0, 0]))


def squeezed(centre, amount=0.9, radius_mm=14.0):
    """Template points whose surroundings of one place come from a smaller part of the T1w."""
    away = GRID.world() - centre
    near = np.exp(-(((away**2).sum(axis=-1, keepdims=True) / (2 * radius_mm**2)) ** 2))
    return GRID.world() - amount * near * away


def test_a_warp_is_judged_where_it_is_measured(template, t1w):
    def numbers(field):
        found = normalisation_quality(t1w, data.priors().maps, template.mask, field, template)
        return found["jacobian_min"], found["jacobian_max"]

    straight = numbers(GRID.world())
    assert straight == pytest.approx((1, 1), abs=1e-3)
    ventricles = numbers(squeezed([0, -5, 18]))
    assert ventricles == pytest.approx((1, 1), abs=0.35)
    assert numbers(squeezed([20, -62, -38]))[1] > 3  # the cerebellum
