"""Fine structure of the T1w in an image on its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.alignment import inverse, rigid_matrix
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.registration.detail import fine_detail
from bidsapp.core.registration.head import Head

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture(scope="module")
def head():
    """Structure of all sizes in a ball of 70 mm."""
    rng = np.random.default_rng(3)
    noise = [rng.standard_normal((44, 44, 44)) for _ in range(2)]
    t1w = 5 + 2 * gaussian_filter(noise[0], 0.8) + 20 * gaussian_filter(noise[1], 2.5)
    apart = np.linalg.norm(np.indices(t1w.shape).T - 21.5, axis=-1) * 2 - 35
    image = Volume(t1w.astype(np.float32), AFFINE)
    classes = np.zeros((*t1w.shape, 4), np.float32)
    return Head(image, classes, None, None, np.maximum(apart, 0), np.full(3, 43.0))


def like(head, data):
    return Volume(np.asarray(data, np.float32), head.t1w.affine)


@pytest.mark.parametrize("contrast", [1.0, -3.0, 0.01])
def test_the_t1w_itself_shows_all_whatever_the_contrast(head, contrast):
    image = like(head, contrast * head.t1w.data + 100)
    assert fine_detail(image, head, np.eye(4)) == pytest.approx(1, abs=1e-3)


def test_a_blurred_image_shows_less_the_more_it_is_blurred(head):
    shown = [
        fine_detail(like(head, gaussian_filter(head.t1w.data, mm / 2.3548 / 2)), head, np.eye(4))
        for mm in (2, 4, 6)
    ]
    assert 1 > shown[0] > 1.5 * shown[1] > 2 * shown[2] > 0


def test_noise_shows_nothing(head):
    smooth = gaussian_filter(head.t1w.data, 2.0)
    noise = np.random.default_rng(4).standard_normal(smooth.shape)
    clean, noisy = (
        fine_detail(like(head, smooth + part * noise), head, np.eye(4)) for part in (0.0, 0.5)
    )
    assert noisy == pytest.approx(clean, abs=0.05)


def test_an_image_is_read_on_its_place(head):
    motion = rigid_matrix([6.0, -4.0, 8.0, 0.1, 0.2, -0.1])
    grid = Grid((140, 140, 140), np.eye(4))
    grid.affine[:3, 3] = -30
    image = resample(head.t1w, grid, inverse(motion))
    assert fine_detail(image, head, motion) > 0.6 > 0.2 > fine_detail(image, head, np.eye(4))


def test_nothing_is_said_of_too_little(head):
    far = rigid_matrix([500.0, 0, 0, 0, 0, 0])
    assert fine_detail(head.t1w, head, far) is None
    assert fine_detail(like(head, np.ones(head.t1w.data.shape)), head, np.eye(4)) is None
    part = head.t1w.data.copy()
    part[22:] = np.nan
    assert fine_detail(like(head, part), head, np.eye(4)) == pytest.approx(1, abs=0.05)
    small = replace(head, outside_mm=head.outside_mm + 1)
    small.outside_mm[20:24, 20:24, 20:24] = 0
    assert fine_detail(head.t1w, small, np.eye(4)) is None
