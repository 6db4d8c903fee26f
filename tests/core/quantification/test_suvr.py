"""Uptake ratios: known answers, and no ratio where there is no mean."""

import numpy as np
import pytest

from bidsapp.core.quantification.suvr import ratio_image, uptake_ratios
from bidsapp.core.regions.voi import VoiStatistics
from bidsapp.errors import BadDataError

REFERENCES = ("wc", "cg", "wcb", "pons")


def table(**means):
    return {name: VoiStatistics(mean, 0.0, 1, 1.0, 1.0) for name, mean in means.items()}


def test_target_over_each_reference():
    ratios = uptake_ratios(
        table(ctx=6.0, wc=4.0, cg=3.0, wcb=5.0, pons=8.0), target="ctx", references=REFERENCES
    )
    assert ratios == {"wc": 1.5, "cg": 2.0, "wcb": 1.2, "pons": 0.75}


def test_a_reference_that_was_not_measured_has_no_ratio_and_spoils_no_other():
    ratios = uptake_ratios(
        table(ctx=6.0, wc=4.0, cg=3.0, wcb=5.0, pons=None), target="ctx", references=REFERENCES
    )
    assert ratios["pons"] is None and ratios["wc"] == 1.5


def test_without_the_target_there_is_no_ratio():
    means = dict.fromkeys(("ctx", *REFERENCES), 1.0) | {"ctx": None}
    ratios = uptake_ratios(table(**means), target="ctx", references=REFERENCES)
    assert list(ratios.values()) == [None] * 4


@pytest.mark.parametrize("uptake", [0.0, -2.0])
def test_an_empty_reference_is_an_error_that_names_it(uptake):
    means = dict.fromkeys(("ctx", *REFERENCES), 1.0) | {"cg": uptake}
    with pytest.raises(BadDataError, match="reference region cg"):
        uptake_ratios(table(**means), target="ctx", references=REFERENCES)


def test_ratio_image_has_mean_one_in_its_reference_and_keeps_the_unknown():
    image = np.array([2.0, 4.0, np.nan], np.float32)
    ratio = ratio_image(image, 3.0)
    assert ratio.dtype == np.float32
    np.testing.assert_allclose(ratio, [2 / 3, 4 / 3, np.nan], rtol=1e-6)
