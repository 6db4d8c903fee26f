"""The chart of cut-offs: distribution of Centiloids, and the border between two groups."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bidsapp.data.literature import scale
from bidsapp.group.cutoffs import CutOffs
from bidsapp.report.axes import WIDTH, Axis, bands, bottom, chart, left
from bidsapp.report.charts import CURVES
from bidsapp.report.figure import Figure, Words
from bidsapp.report.render import number
from bidsapp.report.svg import polyline, stroke, tag

_BIN = 5.0  # CL
_FEWEST = 8  # people: fewer are seen one by one in the distribution
_TOP, _BASE = 46.0, 260.0


def cutoff_histogram(cutoffs: CutOffs) -> Figure | None:
    """Histogram of the first Centiloid of every participant on the bands.

    Parameters
    ----------
    cutoffs : of the cohort, with these values

    Returns
    -------
    Figure or None
        None for too few participants.
    """
    if len(cutoffs.values) < _FEWEST:
        return None
    axis = Axis(scale().low, scale().high, 58, WIDTH - 20)
    edges = np.arange(axis.low, axis.high + _BIN / 2, _BIN)
    counts, _ = np.histogram(np.clip(cutoffs.values, axis.low, axis.high - 1e-9), edges)
    x = np.linspace(axis.low, axis.high, 201)
    curves = []
    if cutoffs.groups:
        mixture, size = cutoffs.groups.mixture, len(cutoffs.values) * _BIN
        curves = [
            size * weight * stats.norm.pdf(x, mean, sd)
            for weight, mean, sd in zip(mixture.weights, mixture.means, mixture.sds, strict=True)
        ]
    most = max(float(counts.max()), *(float(curve.max()) for curve in curves), 1.0)
    upright = Axis(0.0, most * 1.05, _BASE, _TOP)
    parts = [
        bands(axis, scale(), 24, _BASE - 24, label_y=16, faint=True),
        left(upright, axis.start, axis.end, "participants"),
    ]
    parts += [
        tag("rect", class_="frame", x=axis.at(edge), y=upright.at(count),
            width=axis.at(edge + _BIN) - axis.at(edge), height=_BASE - upright.at(count))
        for edge, count in zip(edges[:-1].tolist(), counts.tolist(), strict=True) if count
    ]  # fmt: skip
    for curve, colour in zip(curves, CURVES, strict=False):
        points = zip(map(axis.at, x), map(upright.at, curve.tolist()), strict=True)
        parts.append(polyline(points, colour))
    described = [f"{len(cutoffs.values)} participants by their first scan"]
    estimated = [
        row for row in cutoffs.rows if row["cutoff"] is not None and row["cutoff_low"] is not None
    ]
    right = max((axis.at(row["cutoff_high"]) for row in estimated), default=0.0) + 8
    for line, row in enumerate(estimated):
        at, y = axis.at(row["cutoff"]), _TOP + 14 + 20.0 * line
        low, high = axis.at(row["cutoff_low"]), axis.at(row["cutoff_high"])
        parts += [
            stroke("median", (at, at), (_TOP, _BASE)),
            tag("path", class_="span", d=f"M{low} {y - 4:g}v8m0 -4H{high}m0 -4v8"),
            tag("text", f"{WORDS[row['method']]} {number(row['cutoff'])} CL", x=right, y=y + 4),
        ]
        described.append(
            f"{WORDS[row['method']]} {number(row['cutoff'])} CL ({number(row['cutoff_low'])} to "
            f"{number(row['cutoff_high'])})"
        )
    parts.append(bottom(axis, _BASE, "CL", 25))
    about = "Curves: two normal distributions fitted to them. " if curves else ""
    words = Words.of(
        "cutoffs",
        bin=_BIN,
        curves=about,
        source=scale().source.short,
        described="; ".join(described),
    )
    return chart(words, _BASE + 42, parts)


WORDS = {
    "mixture-crossing": "both groups as likely:",
    "mixture-mean-2sd": "lower group + 2 SD:",
    "controls-mean-2sd": "controls + 2 SD:",
    "published": "published:",
}
