"""All reference-tissue models of a study, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bidsapp.core.kinetics.linear import logan, mrtm, mrtm2
from bidsapp.core.kinetics.srtm import global_k2_prime, srtm, srtm2
from bidsapp.core.kinetics.study import Estimates, KineticStudy
from bidsapp.errors import BadDataError
from bidsapp.settings import KineticModel


@dataclass(frozen=True)
class Fits:
    """Estimates of all models for a study.

    Attributes
    ----------
    estimates : dict of Estimates
        By model, in the order asked for; models without result are missing.
    k2_prime : float
        The clearance of the reference tissue that SRTM2, MRTM2 and Logan were given, per minute;
        NaN when no region determines it.
    problems : dict of str
        Model -> one sentence why it has no result.
    """

    estimates: dict[KineticModel, Estimates]
    k2_prime: float
    problems: dict[KineticModel, str]


def fit_models(
    study: KineticStudy,
    models: Sequence[KineticModel],
    *,
    t_star_min: Mapping[KineticModel, float],
    k2_prime: float | None = None,
) -> Fits:
    """Fit models to every region of a study.

    Parameters
    ----------
    study : Study
    models : which, in the order of the results
    t_star_min : minutes after injection from which MRTM, MRTM2 and Logan use frames
    k2_prime : clearance of the reference tissue, per minute; None takes it from SRTM
        (`global_k2_prime`), the first step of the two-step models

    Returns
    -------
    Fits
    """
    first = srtm(study)
    given = global_k2_prime(first) if k2_prime is None else k2_prime
    estimates: dict[KineticModel, Estimates] = {}
    problems: dict[KineticModel, str] = {}
    for model in models:
        try:
            estimates[model] = _fit(study, model, first, given, t_star_min.get(model, 0.0))
        except BadDataError as error:
            problems[model] = str(error)
    return Fits(estimates, given, problems)


def _fit(
    study: KineticStudy, model: KineticModel, first: Estimates, k2_prime: float, t_star_min: float
) -> Estimates:
    if model is KineticModel.SRTM:
        return first
    if model is KineticModel.MRTM:
        return mrtm(study, t_star_min)
    if not np.isfinite(k2_prime):
        raise BadDataError(
            "no region determines k2' of the reference tissue; give it by --k2-prime"
        )
    if model is KineticModel.SRTM2:
        return srtm2(study, k2_prime)
    if model is KineticModel.MRTM2:
        return mrtm2(study, k2_prime, t_star_min)
    return logan(study, k2_prime, t_star_min)
