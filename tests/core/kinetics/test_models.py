"""Every model against studies of known kinetics, without and with the noise of counts."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic_studies import (
    EARLY,
    FULL,
    STEP_MIN,
    convolve,
    decay_factor,
    feng,
    frame_means,
    schedule,
    tissues,
    two_tissue,
)

from bidsapp.core.kinetics.dynamic import DynamicRule, dynamic_refusal
from bidsapp.core.kinetics.linear import logan, mrtm, mrtm2
from bidsapp.core.kinetics.models import fit_models
from bidsapp.core.kinetics.srtm import global_k2_prime, srtm, srtm2
from bidsapp.core.kinetics.study import PARAMETERS, KineticStudy, lost_frames
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.errors import BadDataError
from bidsapp.settings import KineticModel

BPND = np.array([0.1, 0.2, 0.4, 0.6, 1.0, 1.5, 2.0])
R1 = np.array([0.8, 0.65, 0.9, 1.05, 1.05, 1.2, 0.9])
T_STAR = {KineticModel.LOGAN: 30.0}
RULE = DynamicRule(2.0, 5.0, 3, 60.0, 90.0)


def _study(made, target=None, reference=None, **options) -> KineticStudy:
    reference = made.reference if reference is None else reference
    target = made.target if target is None else target
    weights = frame_weights(made.start_s, made.end_s, reference, made.decay_factor)
    return KineticStudy.of(made.start_s, made.end_s, target, reference, weights, **options)


def _dvr(fits) -> np.ndarray:
    return np.array([fits.estimates[model].values["DVR"] for model in KineticModel])


@pytest.mark.parametrize("k2_prime", [0.06, 0.12, 0.2])
def test_without_noise_all_models_give_the_truth(k2_prime):
    made = tissues(R1, BPND, k2_prime=k2_prime)
    fits = fit_models(_study(made), tuple(KineticModel), t_star_min=T_STAR)
    assert not fits.problems
    assert fits.k2_prime == pytest.approx(k2_prime, rel=0.005)
    np.testing.assert_allclose(_dvr(fits), np.tile(made.DVR, (5, 1)), rtol=1e-3)
    for model in (KineticModel.SRTM, KineticModel.SRTM2, KineticModel.MRTM, KineticModel.MRTM2):
        found = fits.estimates[model]
        np.testing.assert_allclose(found.values["R1"], made.R1, rtol=0.005)
        np.testing.assert_allclose(found.values["k2"], made.R1 * k2_prime, rtol=0.005)
        np.testing.assert_allclose(found.values["k2_prime"], k2_prime, rtol=0.01)
        np.testing.assert_allclose(found.fitted[:, 8:], made.target[:, 8:], rtol=0.005)


@pytest.mark.parametrize(
    ("frames", "tolerance"),
    [
        (schedule((0.0, [60] * 5 + [300] * 17)), 2e-3),
        (schedule((0.0, [120] * 5 + [600] * 8)), 5e-3),
        (schedule((1.5, [30] * 3 + [60] * 7 + [300] * 16)), 2e-3),
        (schedule((0.0, EARLY), (90.0, [300] * 4)), 2e-3),
        (schedule((0.0, EARLY), (90.0, [1200])), 5e-3),
    ],
    ids=["minutes", "coarse", "late-start", "break", "break-one-late-frame"],
)
def test_frames_of_all_kinds(frames, tolerance):
    made = tissues(R1, BPND, frames=frames)
    t_star = {} if len(frames[0]) == 18 else T_STAR
    fits = fit_models(_study(made), tuple(KineticModel), t_star_min=t_star)
    np.testing.assert_allclose(_dvr(fits), np.tile(made.DVR, (5, 1)), rtol=tolerance)


def _repeated(made, level: float, rng, n_scans: int, n_rows: int) -> list[KineticStudy]:
    """Noisy studies; every region ``n_rows`` times in each, in blocks."""
    studies = []
    for _ in range(n_scans):
        noisy = [made.noisy(level, rng) for _ in range(n_rows)]
        studies.append(_study(made, np.vstack([target for target, _ in noisy]), noisy[0][1]))
    return studies


@pytest.mark.slow
def test_noise_of_a_region_biases_no_model():
    made = tissues(R1, BPND)
    studies = _repeated(made, 0.02, np.random.default_rng(7), 10, 20)
    found = np.concatenate([
        _dvr(fit_models(study, tuple(KineticModel), t_star_min=T_STAR)).reshape(5, 20, -1)
        for study in studies
    ], axis=1)  # fmt: skip
    bias = found.mean(axis=1) / made.DVR - 1
    assert np.abs(bias).max() < 0.005  # the bar is 3 %
    assert found.std(axis=1).max() < 0.03


@pytest.mark.parametrize(
    "frames",
    [schedule((0.0, FULL)), schedule((0.0, EARLY), (90.0, [300] * 4))],
    ids=["whole", "break"],
)
def test_standard_errors_are_those_of_repeated_scans(frames):
    made, rng = tissues(R1, BPND, frames=frames), np.random.default_rng(8)
    target = np.vstack([made.noisy(0.01, rng)[0] for _ in range(80)])
    # reference and k2' known: their noise is in no error
    fits = fit_models(_study(made, target), tuple(KineticModel), t_star_min=T_STAR, k2_prime=0.12)
    for model, found in fits.estimates.items():
        for name in PARAMETERS:
            errors = found.errors[name].reshape(80, -1)
            if np.isfinite(errors).all():
                ratio = np.sqrt((errors**2).mean(axis=0)) / found.values[name].reshape(80, -1).std(
                    axis=0
                )
                np.testing.assert_allclose(ratio, 1, atol=0.4, err_msg=f"{model} {name}")
                assert ratio.mean() == pytest.approx(1, abs=0.25), (model, name)
    assert np.isfinite(fits.estimates[KineticModel.LOGAN].errors["DVR"]).all()


def test_two_tissue_compartments_late_enough():
    """Bound tracer apart from free: Logan's line holds after t*, SRTM only nearly."""
    start, end = schedule((0.0, [30] * 10 + [300] * 17))
    t = np.arange(0, 92, STEP_MIN)
    plasma, k1, k2, k4 = feng(t), 0.2, 0.1, 0.05
    reference = frame_means(k1 * convolve(plasma, k2), start, end)
    bp = np.array([0.2, 0.6, 1.2])
    target = np.array([frame_means(two_tissue(plasma, k1, k2, b * k4, k4), start, end) for b in bp])
    weights = frame_weights(start, end, reference, decay_factor(start, end))
    study = KineticStudy.of(start, end, target, reference, weights)
    by_logan = logan(study, k2, 45.0).values["DVR"]
    np.testing.assert_allclose(by_logan, 1 + bp, rtol=0.03)
    np.testing.assert_allclose(srtm(study).values["DVR"], 1 + bp, rtol=0.06)


def test_regions_below_the_reference_and_the_reference_itself():
    made = tissues([0.35, 0.3, 1.0, 1.05], [0.2, -0.3, 0.0, 0.6])
    found = srtm(_study(made))
    np.testing.assert_allclose(found.values["DVR"], made.DVR, atol=0.01)
    assert global_k2_prime(found) == pytest.approx(0.12, rel=0.01)


def test_tissue_that_only_gathers_tracer_has_no_answer():
    made = tissues([1.0], [0.5])
    trapped = np.cumsum(made.reference * (made.end_s - made.start_s)) / 100
    found = srtm(_study(made, trapped[None]))
    assert np.isnan(found.values["BPND"]).all() and np.isnan(found.errors["DVR"]).all()
    assert np.isfinite(found.fitted).all()


def test_empty_and_broken_curves_spoil_no_other():
    made = tissues(R1, BPND)
    cut = made.target[0].copy()
    cut[3] = np.nan  # the region left the field of view in one frame
    target = np.vstack(
        [made.target, np.zeros(len(made.start_s)), np.full(len(made.start_s), np.nan), cut]
    )
    fits = fit_models(_study(made, target), tuple(KineticModel), t_star_min=T_STAR)
    dvr = _dvr(fits)
    np.testing.assert_allclose(dvr[:, :7], np.tile(made.DVR, (5, 1)), rtol=1e-3)
    assert np.isnan(dvr[:, 7:]).all()


@pytest.mark.parametrize("lost", [[12], [12, 13], [28, 29]])
def test_lost_frames_are_found_and_the_others_give_the_truth(lost):
    made = tissues(R1, BPND)
    kept = np.ones(len(made.start_s), bool)
    kept[lost] = False
    assert np.array_equal(lost_frames(made.reference * kept), ~kept)
    study = KineticStudy.of(
        made.start_s[kept], made.end_s[kept], made.target[:, kept], made.reference[kept],
        np.ones(kept.sum()),
    )  # fmt: skip
    fits = fit_models(study, tuple(KineticModel), t_star_min=T_STAR)
    np.testing.assert_allclose(_dvr(fits), np.tile(made.DVR, (5, 1)), rtol=2e-3)


def test_noise_before_the_tracer_arrives_is_no_lost_frame():
    frames = schedule((0.0, [5] * 24 + [20] * 9 + [60] * 10 + [300] * 9))
    made, rng = tissues(R1, BPND, frames=frames, delay=0.8), np.random.default_rng(4)
    noise = 0.01 * made.reference.max() * rng.standard_normal(9)
    assert (noise < 0).any()
    reference = made.reference.copy()
    reference[:9] += noise
    kept = np.ones(len(reference), bool)
    kept[[30, 45]] = False
    assert np.array_equal(lost_frames(reference * kept), ~kept)


def test_a_scan_that_starts_before_the_injection():
    made = tissues(R1, BPND, frames=schedule((-2.0, [60, 60, *FULL])))
    fits = fit_models(_study(made), tuple(KineticModel), t_star_min=T_STAR)
    np.testing.assert_allclose(_dvr(fits), np.tile(made.DVR, (5, 1)), rtol=1e-3)
    weights = np.ones(len(made.start_s))
    late = made.start_s - 300, made.end_s - 300  # as if the injection were 5 min later
    with pytest.raises(BadDataError, match="before the injection contain activity"):
        KineticStudy.of(*late, made.target, made.reference, weights)


@pytest.mark.parametrize("delay", [0.15, 0.8, 1.33, 2.1])
def test_break_after_a_late_injection(delay):
    for frames in (
        schedule((0.0, EARLY), (90.0, [300] * 4)),
        schedule((0.0, [10] * 6 + [60] * 9), (50.0, [300] * 4)),
    ):
        made = tissues(R1, BPND, frames=frames, delay=delay)
        fits = fit_models(_study(made), tuple(KineticModel), t_star_min=T_STAR)
        np.testing.assert_allclose(_dvr(fits), np.tile(made.DVR, (5, 1)), rtol=8e-3)


def test_a_frame_that_is_far_too_large_loses_no_other():
    reference = tissues(R1, BPND).reference
    reference[12] *= 30
    assert not lost_frames(reference).any()


@pytest.mark.parametrize("k2_prime", [0.06, 0.2])
def test_no_frame_of_a_whole_study_is_lost(k2_prime):
    for frames in (None, schedule((0.0, EARLY), (90.0, [1200])), schedule((1.5, [600] * 9))):
        assert not lost_frames(tissues(R1, BPND, k2_prime=k2_prime, frames=frames).reference).any()


def test_given_clearance_and_time_limit():
    made = tissues(R1, BPND)
    fits = fit_models(
        _study(made, t_end_min=60.0), (KineticModel.SRTM2,), t_star_min={}, k2_prime=0.12
    )
    found = fits.estimates[KineticModel.SRTM2]
    assert found.fitted.shape == (7, 23)
    np.testing.assert_allclose(found.values["DVR"], made.DVR, rtol=1e-3)
    assert np.isnan(found.errors["k2_prime"]).all() and fits.k2_prime == 0.12


def test_too_few_late_frames_are_told():
    made = tissues(R1, BPND)
    fits = fit_models(_study(made), tuple(KineticModel), t_star_min={KineticModel.LOGAN: 90.0})
    assert list(fits.problems) == [KineticModel.LOGAN]
    assert "--t-star" in fits.problems[KineticModel.LOGAN]
    with pytest.raises(BadDataError, match="too few for 3"):
        mrtm(_study(made), 85.0)


def test_no_region_tells_the_clearance():
    made = tissues([1.0], [0.0])
    fits = fit_models(
        _study(made, np.zeros_like(made.target)), (KineticModel.SRTM2, KineticModel.MRTM2),
        t_star_min={},
    )  # fmt: skip
    assert not fits.estimates and np.isnan(fits.k2_prime)
    assert all("--k2-prime" in text for text in fits.problems.values())


def test_no_activity_in_the_reference():
    made = tissues([1.0], [0.5])
    with pytest.raises(BadDataError, match="reference region"):
        _study(made, reference=np.full(len(made.start_s), np.nan))
    with pytest.raises(BadDataError, match=r"0\.1 min"):
        _study(made, t_end_min=0.1)


def test_scaling_and_order_change_nothing():
    made = tissues(R1, BPND)
    one = srtm2(_study(made), 0.12)
    other = srtm2(_study(made, 1e4 * made.target[::-1], 1e4 * made.reference), 0.12)
    np.testing.assert_allclose(one.values["DVR"], other.values["DVR"][::-1], rtol=1e-6)
    two = mrtm2(_study(made), 0.12, 0.0)
    np.testing.assert_allclose(two.values["DVR"], one.values["DVR"], rtol=1e-3)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([(0.0, EARLY + [300] * 6)], None),
        ([(0.0, EARLY), (90.0, [300] * 4)], None),
        ([(90.0, [300] * 4)], "first frame starts 90.0 min"),
        ([(3.0, [60] * 60)], "first frame starts 3.0 min"),
        ([(0.0, [600] * 9)], "0 frames end within 5 min"),
        ([(-1.0, [10] * 6 + [600] * 9)], "0 frames end within 5 min"),
        ([(-5.0, [60] * 5), (20.0, [60] * 60)], "first frame starts 20.0 min"),
        ([(-1.0, [10] * 6), (0.0, EARLY + [300] * 6)], None),
        ([(-5.0, [60] * 5)], "last frame ends 0.0 min"),
        ([(0.0, EARLY)], "last frame ends 30.0 min"),
        ([(0.0, EARLY), (125.0, [600])], "a break of 95 min"),
    ],
)
def test_which_scans_are_dynamic(parts, reason):
    found = dynamic_refusal(*schedule(*parts), RULE)
    assert found is None if reason is None else reason in found
