"""Fit reference-tissue models to curves of known kinetics.

A reference tissue and two regions are simulated with the simplified reference tissue model and
averaged over frames as by a scanner; SRTM and Logan then recover the binding.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bidsapp.core.kinetics.models import fit_models
from bidsapp.core.kinetics.study import KineticStudy
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.report.charts import curves
from bidsapp.report.figure import Words
from bidsapp.settings import KineticModel

HALF_LIFE_S = 6586.2
BINDING = {"cortex": 0.8, "white matter": 0.25}
R1, K2 = 0.95, 0.12  # relative delivery; clearance of the region without binding, per minute


def main(out: Path) -> Path:
    """Simulate, fit and draw."""
    start, end = frames()
    minutes = np.arange(0, end[-1] / 60, 0.05)
    reference = 30 * minutes * np.exp(-minutes / 9) / 9 + 6 * (1 - np.exp(-minutes / 4))
    tissue = np.array([bound(minutes, reference, value) for value in BINDING.values()])
    curve = means(minutes, reference, start, end)
    measured = np.array([means(minutes, row, start, end) for row in tissue])
    decay = np.exp(np.log(2) * (start + end) / 2 / HALF_LIFE_S)
    study = KineticStudy.of(start, end, measured, curve, frame_weights(start, end, curve, decay))
    models = (KineticModel.SRTM, KineticModel.LOGAN)
    fits = fit_models(study, models, t_star_min={KineticModel.LOGAN: 30.0})
    for model in models:
        told = np.round(fits.estimates[model].values["DVR"], 3)
        print(f"{model}: DVR {told}, truth {[1 + value for value in BINDING.values()]}")
    lines = dict(zip(BINDING, measured.tolist(), strict=True)) | {"reference": curve.tolist()}
    figure = curves(
        Words(
            "kinetics", "Activity over time", "Simulated, with binding potentials of 0.8 and 0.25."
        ),
        ((start + end) / 120).tolist(),
        lines,
        x_title="minutes after injection",
        y_title="activity, kBq/mL",
    )
    return figure.save(out / "kinetics.svg")


def frames() -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the frames of a scan of 90 minutes, s."""
    durations = np.array([30] * 6 + [60] * 7 + [300] * 16, float)
    end = np.cumsum(durations)
    return end - durations, end


def bound(minutes: np.ndarray, reference: np.ndarray, bpnd: float) -> np.ndarray:
    """Curve of a region by the simplified reference tissue model."""
    rate = K2 / (1 + bpnd)
    step = minutes[1] - minutes[0]
    decay = np.exp(-rate * minutes)
    folded = np.convolve(reference, decay)[: minutes.size] * step
    folded -= step * (reference * decay[0] + reference[0] * decay) / 2  # trapezes
    return R1 * reference + (K2 - R1 * rate) * folded


def means(minutes: np.ndarray, curve: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of a curve over each frame."""
    step = minutes[1] - minutes[0]
    area = np.concatenate([[0], np.cumsum((curve[1:] + curve[:-1]) / 2) * step])
    low, high = np.interp(start / 60, minutes, area), np.interp(end / 60, minutes, area)
    return (high - low) / ((end - start) / 60)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if sys.argv[1:] else ".")))
