"""The same studies by an independent implementation: NiftyPAD (PyPI ``niftypad``, King's College).

It interpolates mid-frame values linearly, so the frames here are short: what is compared is the
models. It is no dependency of the project: ``pip install niftypad`` in an environment of its own,
and run this file there.
"""

from __future__ import annotations

import numpy as np
import pytest
from dynamic_studies import schedule, tissues

from bidsapp.core.kinetics.linear import logan, mrtm, mrtm2
from bidsapp.core.kinetics.srtm import srtm, srtm2
from bidsapp.core.kinetics.study import KineticStudy

models = pytest.importorskip(
    "niftypad.models", reason="NIFTYPAD IS NOT INSTALLED: nothing independent to compare with"
)
kt = pytest.importorskip("niftypad.kt")

K2_PRIME = 0.12
T_STAR_MIN = 30.0
BASIS = {"beta_lim": [0.004 / 60, 0.6 / 60], "n_beta": 150}


def _made(level: float):
    frames = schedule((0.0, [10] * 30 + [30] * 170))
    made = tissues(
        [0.8, 0.65, 0.9, 1.05, 1.2], [0.1, 0.4, 0.6, 1.0, 1.5], k2_prime=K2_PRIME, frames=frames
    )
    if not level:
        return made, made.target, made.reference
    target, reference = made.noisy(level, np.random.default_rng(1))
    return made, target, reference


def _theirs(name: str, tac, frames, reference, **options) -> dict[str, float]:
    seconds = kt.interpt1(kt.dt2mft(frames), reference, frames)
    model = getattr(models, name)
    if name.startswith("srtm"):
        return model(tac.copy(), frames, seconds, w=None, **options)
    return model(tac.copy(), frames, seconds, w=None, fig=False, linear_phase_end=None, **options)


@pytest.mark.parametrize(("level", "tolerance"), [(0.0, 0.005), (0.03, 0.005)])
def test_both_find_the_same(level, tolerance):
    made, target, reference = _made(level)
    frames = np.rint(np.array([made.start_s, made.end_s])).astype(int)
    study = KineticStudy.of(made.start_s, made.end_s, target, reference, np.ones(len(made.start_s)))
    per_s, t_star_s = K2_PRIME / 60, 60 * T_STAR_MIN
    pairs = {
        "srtmb": (srtm(study), BASIS),
        "srtmb_k2p": (srtm2(study, K2_PRIME), {"k2p": per_s, **BASIS}),
        "mrtm": (mrtm(study, T_STAR_MIN), {"linear_phase_start": t_star_s}),
        "mrtm_k2p": (
            mrtm2(study, K2_PRIME, T_STAR_MIN), {"k2p": per_s, "linear_phase_start": t_star_s}
        ),
        "logan_ref_k2p": (
            logan(study, K2_PRIME, T_STAR_MIN), {"k2p": per_s, "linear_phase_start": t_star_s}
        ),
    }  # fmt: skip
    for name, (ours, options) in pairs.items():
        theirs = [_theirs(name, tac, frames, reference, **options) for tac in target]
        dvr = np.array([found["bp"] + 1 for found in theirs])
        apart = np.abs(ours.values["DVR"] / dvr - 1).max()
        print(f"noise {level:.0%} {name:14s} DVR apart at most {apart:.2%}")
        assert apart < tolerance, name
        if name in ("srtmb", "srtmb_k2p"):
            r1 = np.array([found["r1"] for found in theirs])
            np.testing.assert_allclose(ours.values["R1"], r1, rtol=0.01 if not level else 0.03)
