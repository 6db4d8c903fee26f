"""What a model leaves of a curve."""

from types import SimpleNamespace

import numpy as np
import pytest

from bidsapp.steps.modelling import _residual_percent


def test_residuals_are_weighted_and_over_the_mean_activity_of_the_frames_that_were_fitted():
    curves = np.array([[10.0, 20, 30, 40], [5, 5, 5, 5]])
    study = SimpleNamespace(target=curves, weights=np.array([1.0, 2, 1, 4]))
    model = np.array([[9.0, 22, np.nan, 36], [4, 4, np.nan, 4]])
    apart = _residual_percent(study, model)
    assert apart == pytest.approx([100 * np.sqrt(73 / 7) / 30, 20])
