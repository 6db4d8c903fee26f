"""Which equations a pipeline may use: never a Centiloid without the flag."""

from dataclasses import replace

import pytest

from bidsapp.core.quantification.scale import Fingerprint, to_centiloids
from bidsapp.data import REFERENCES
from bidsapp.data.pipelines import Pipeline, standard_fingerprint
from bidsapp.data.tracers import tracers
from bidsapp.settings import Interval, Processing
from bidsapp.steps.quantifying import scale_findings

SUVR = {"wc": 1.5, "cg": 1.7, "wcb": 1.42, "pons": 1.1}
NO_NOISE = dict.fromkeys(REFERENCES, 0.005)


def scale_codes(scale, tracer="FBB"):
    return [finding.code for finding in scale_findings(scale, tracer)]


@pytest.mark.parametrize("code", list(tracers()))
def test_the_standard_pipeline_has_every_equation_of_its_tracer(code):
    scale = Pipeline(Processing(), code).scale()
    assert scale.calibrated and scale.calibration == "published" and not scale_codes(scale)
    found = to_centiloids(SUVR, scale, NO_NOISE)
    for name, value in found.centiloids.items():
        assert (value is not None) == (name == "wc" or code == "PIB")
    assert found.centiloid == found.centiloids["wc"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"smooth_fwhm_mm": 4.5}, "smoothing"),
        ({"target_resolution_mm": 8.0}, "target resolution"),
        ({"smooth_fwhm_mm": 4.5, "pet_only": True}, "smoothing"),
    ],
)
@pytest.mark.parametrize("code", list(tracers()))
def test_another_resolution_has_no_centiloid_and_says_so(code, options, word):
    scale = Pipeline(Processing(**options), code).scale()
    found = to_centiloids(SUVR, scale, NO_NOISE)
    assert found.centiloid is None and found.interval(Interval.PIB) is None
    assert not any(found.centiloids.values()) and found.probability_above(20, Interval.PIB) is None
    (finding,) = scale_findings(scale, code)
    assert finding.code == "not-calibrated"
    assert "NOT CALIBRATED" in finding.message and word in finding.message
    assert "--calibration" in finding.message


def test_options_that_estimate_the_same_position_change_no_fingerprint():
    tracer = tracers()["FBB"]
    standard = standard_fingerprint(tracer, "wc")
    for options in ({}, {"motion_correction": False}, {"cutoff": (12.0,)}, {"kinetics": ()}):
        own = Pipeline(Processing(**options), tracer.code).fingerprint("wc")
        assert own == standard and own.digest == standard.digest


def test_every_part_of_a_fingerprint_counts():
    own = standard_fingerprint(tracers()["FBB"], "wc")
    changes = {
        "template": "MNI152NLin2009cAsym",
        "normalisation": "pet",
        "vois": {**own.vois, "wc": "other"},
        "voi_mm": 1.0,
        "smooth_fwhm_mm": 4.5,
        "target_resolution_mm": 6.0,
        "window_min": (80.0, 100.0),
    }
    assert set(changes) == set(Fingerprint.__dataclass_fields__)
    for name, value in changes.items():
        other = replace(own, **{name: value})
        assert list(own.differences(other)) == [name] and own.digest != other.digest
    assert not own.differences(replace(own, window_min=(90.4, 110.0)))  # rounding of a schedule


def test_normalisation_by_the_pet_alone_is_an_approximation_that_is_flagged():
    usual, approximate = (
        Pipeline(Processing(), "FBB", normalisation=n).scale() for n in ("t1w", "pet")
    )
    assert scale_codes(approximate) == ["method-pet-only"] and not approximate.calibrated
    one, other = (to_centiloids(SUVR, scale, NO_NOISE) for scale in (usual, approximate))
    assert one.centiloid == other.centiloid
    assert other.sd(Interval.PIB) > one.sd(Interval.PIB) + 0.3
    assert other.sd(Interval.RESCAN) == one.sd(Interval.RESCAN)


def test_a_reference_region_that_was_not_measured_leaves_no_centiloid():
    scale = Pipeline(Processing(), "PIB").scale()
    found = to_centiloids({**SUVR, "wc": None, "pons": None}, scale, NO_NOISE)
    assert found.centiloid is None and found.centiloids["cg"] is not None
    assert found.disagreement is None


def test_a_tracer_without_equation_is_never_given_one():
    found = to_centiloids(
        SUVR, Pipeline(Processing(window_min=(80.0, 100.0)), "FTP").scale(), NO_NOISE
    )
    assert found.centiloid is None
    assert scale_codes(Pipeline(Processing(window_min=(80.0, 100.0)), "FTP").scale(), "FTP") == [
        "not-calibrated"
    ]
