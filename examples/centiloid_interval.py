"""From SUVR to Centiloid and its uncertainty.

The published equation of a tracer converts the SUVR of the cortical target over the whole
cerebellum to Centiloids. Its standard deviation has components: the groups that define 0 and 100,
the line between the tracer and PiB, what the tracer shows in one person and PiB does not, image
noise, scan-to-scan repeatability and the pipeline.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.quantification.uncertainty import COMPONENTS, propagate
from bidsapp.data.pipelines import Pipeline
from bidsapp.report.charts import curves
from bidsapp.report.figure import Words
from bidsapp.settings import Interval, Processing


def main(out: Path) -> Path:
    """Draw the standard deviation of florbetaben's Centiloid by component."""
    scale = Pipeline(Processing(), "FBB").scale()
    equation = scale.equations["wc"]
    suvrs = [1.0 + 0.05 * step for step in range(22)]
    values = [centiloid(suvr, equation) for suvr in suvrs]
    errors = [propagate(suvr, equation, scale.error, noise=0.006) for suvr in suvrs]
    parts = {name: [error.components[name] for error in errors] for name in COMPONENTS}
    figure = curves(
        Words(
            "centiloid_interval",
            "Standard deviation of a Centiloid",
            "Florbetaben, whole cerebellum, noise of the image 0.6 % of the SUVR.",
        ),
        values,
        {"all together": [error.sd(Interval.PIB) for error in errors], **parts},
        x_title="Centiloid",
        y_title="standard deviation, CL",
    )
    for tracer in ("PIB", "FBB"):
        scale = Pipeline(Processing(), tracer).scale()
        equation = scale.equations["wc"]
        suvr = (60 - equation.intercept) / equation.slope
        error = propagate(suvr, equation, scale.error, noise=0.006)
        for words, kind in (("scanned again", Interval.RESCAN), ("with PiB", Interval.PIB)):
            low, high = error.interval(kind)
            print(f"{tracer}: an SUVR of {suvr:.2f} is 60 CL, {words} {low:.1f} to {high:.1f}")
    return figure.save(out / "centiloid_interval.svg")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if sys.argv[1:] else ".")))
