"""What a gradient echo shows, by its parameters: limits that hold whatever the numbers."""

from __future__ import annotations

import pytest

from bidsapp.core.anatomy.mr_contrast import inverted_contrast, spoiled_contrast, tissue_t1_s


@pytest.mark.parametrize("field", [0.5, 1.5, 3.0, 7.0])
def test_limits(field: float) -> None:
    """Long after the inversion, or with a tiny flip angle, only proton density is left."""
    density = 0.70 / 0.82
    assert inverted_contrast(60, 120, field) == pytest.approx(density, rel=1e-3)
    assert spoiled_contrast(0.01, 0.02, field) == pytest.approx(density, rel=1e-3)
    assert spoiled_contrast(20, 60, field) == pytest.approx(density, rel=1e-3)
    white, grey = tissue_t1_s(field)
    null = white * 0.6931471805599453
    assert white < grey and inverted_contrast(null, 1e4, field) < 1e-3
    assert spoiled_contrast(90, 1e-6, field) == pytest.approx(density * grey / white, rel=1e-3)


def test_contrast_grows_with_the_flip_angle() -> None:
    values = [spoiled_contrast(flip, 0.005, 3.0) for flip in range(1, 40)]
    assert values == sorted(values)
