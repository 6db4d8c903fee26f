"""Rows of the group table of simulated cohorts with known truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from bidsapp.core.quantification.uncertainty import ScanError, propagate
from bidsapp.data.literature import scale
from bidsapp.data.tracers import repeatability, tracers


def row(
    who: str, session: str, centiloid: float | None, years: float | None = None, **changes: Any
):
    """Row of a scan with a result, with everything the cohort is compared by."""
    tracer = changes.get("tracer", "FBB")
    equation = tracers()[tracer].equation
    suvr = None if centiloid is None else (centiloid - equation.intercept) / equation.slope
    sds = {}
    if suvr is not None:
        parts = propagate(suvr, equation, ScanError(repeatability(), 1.3), 0.005)
        sds = {f"sd_{name}": value for name, value in parts.components.items()}
    return {
        "participant_id": f"sub-{who}", "session_id": session and f"ses-{session}",
        "tracer": tracer, "rec": None, "run": None, "status": "ok", "flags": "", "n_flags": 0,
        "centiloid": centiloid,
        "band": None if centiloid is None else scale().band_of(centiloid).name,
        "suvr_wc": suvr, "slope": equation.slope,
        "intercept": equation.intercept, "reference_region": "wc", "method": "t1w+model",
        "years": years, "age": None, "sex": None, "site": "A", "scanner": "S 1",
        "reconstruction": "OSEM", "window_start_min": 90.0, "window_end_min": 110.0,
        "pet_fwhm_mm": 5.5, "brain_ml": 1400.0, "t1w_source": f"t1w-{who}-{session}",
        "fingerprint": "abc", "version": "1", "pet_t1w_distance_mm": 0.8,
        "pet_t1w_unexplained": None, "least_coverage": 1.0, "reference_difference": None,
        "centiloid_sd": 5.0, "start_spread_mm": None, "gm_wm_contrast": None,
        **sds, **changes,
    }  # fmt: skip


def cohort(
    people: int, visits: int, seed: int, slope: float = 3.0, spread: float = 2.0, **more: Any
):
    """People scanned every two years: Centiloid 20 + 0.8 (age - 70) + own, error 3 CL."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(people):
        age = float(random.normal(70, 6))
        own, rate = random.normal(0, 25), random.normal(slope, spread)
        for visit in range(visits):
            years = 2.0 * visit + (random.uniform(-0.2, 0.2) if visit else 0.0)
            value = 20 + 0.8 * (age - 70) + own + rate * years + random.normal(0, 3)
            rows.append(row(f"{number:03}", f"{visit}", float(value), years, age=age + years,
                            sex="FM"[number % 2], **more))  # fmt: skip
    return rows
