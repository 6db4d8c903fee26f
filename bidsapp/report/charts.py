"""The charts of a scan: scale, time line, regions, activity over time, motion.

They follow the colours of the page (light, dark, print) by classes of its style sheet, and their
words stay text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup

from bidsapp.data.literature import PublishedScale
from bidsapp.plain import shortened
from bidsapp.record import ScanRecord
from bidsapp.report.axes import WIDTH, Axis, bands, bottom, chart, left, legend_entry
from bidsapp.report.figure import Figure, Words
from bidsapp.report.render import number
from bidsapp.report.svg import stroke, tag

# Told apart on white, on black, in print and by most people who see colours differently
# (Okabe & Ito); each curve has a name at its end besides.
# Values that the axis of a unit has, so that next to nothing looks like it.
_SHOWN = {"degrees": (-1.0, 1.0)}
CURVES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

_MAX_BARS = 120
_SCALE_WIDTH = 640.0  # its words can be read beside the result, and on a phone


def centiloid_scale(
    value: float,
    scale: PublishedScale,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    band: str | None = None,
) -> Figure:
    """Place a Centiloid on the scale of published bands.

    Parameters
    ----------
    value : CL
    scale : bands, anchors and cut-offs with their sources
    intervals : ends of 95 % intervals by what they are of, the innermost first, CL
    band : the band of the value in words; None where none is to be read, and all are faint

    Returns
    -------
    Figure
    """
    axis = Axis(scale.low, scale.high, 16, _SCALE_WIDTH - 16)
    top = 38.0
    parts = [bands(axis, scale, top, 26, label_y=top + 18, faint=band is None)]
    for tick in axis.ticks(25):
        at = axis.at(tick)
        parts += [
            stroke("tick", (at, at), (top + 26, top + 32)),
            tag("text", number(tick, 0), class_="mid muted", x=at, y=top + 46),
        ]
    parts += [
        tag("text", anchor.meaning, class_="mid muted", x=axis.at(anchor.at), y=top + 63)
        for anchor in scale.anchors
    ]
    for row, (reference, marks) in enumerate(scale.cutoffs):
        y = top + 86 + 22 * row
        parts.append(stroke("rule", (axis.start, axis.end), (y, y)))
        parts += [
            tag("path", class_="diamond", d=f"M{axis.at(mark.at)} {y - 5:g}l5 5l-5 5l-5 -5z")
            for mark in marks
        ]
        words = f"{' and '.join(f'{mark.at:g}' for mark in marks)} CL, {reference.short}"
        parts.append(_over_a_line(axis.at(marks[-1].at) + 14, y + 4.5, words))
    intervals = intervals or {}
    parts.append(_pin(axis, value, list(intervals.values()), top))
    height = top + 86 + 22 * len(scale.cutoffs)
    listed = "; ".join(f"{part.label} CL, {part.meaning}" for part in scale.bands)
    between = "".join(
        f"Its 95 % interval of {name} is {number(low)} to {number(high)} CL. "
        for name, (low, high) in intervals.items()
    )
    bars = ("Bar", "dashed")
    spans = "; ".join(
        f"{bar}: 95 % interval of {name}" for bar, name in zip(bars, intervals, strict=False)
    )
    placed = "" if band is None else f"The value lies in the band {band}. "
    texts = Words.of(
        "scale",
        value=number(value),
        source=scale.source.short,
        spans=f" {spans}." if spans else "",
        placed=placed,
        between=between,
        bands=listed,
    )
    return chart(texts, height, parts, _SCALE_WIDTH)


def _pin(axis: Axis, value: float, intervals: Sequence[tuple[float, float]], top: float) -> Markup:
    """Point at the value; an arrow shows that it lies off the axis."""
    at, beyond = axis.at(value), (value > axis.high) - (value < axis.low)
    if beyond:
        pin = tag("path", class_="pin", d=f"M{at + 12 * beyond} {top - 10:g}l{-12 * beyond} -7v14z")
    else:
        pin = tag("path", class_="pin", d=f"M{at} {top:g}l-8 -13h16z")
        pin += stroke("pin", (at, at), (top + 26, top + 33), stroke_width=2.5)
    for height, interval in zip((5, 3), intervals, strict=False):
        low, high = map(axis.at, interval)
        y = top - 6
        form = f"M{low} {y - height:g}v{2 * height}m0 -{height}H{high}m0 -{height}v{2 * height}"
        pin = tag("path", class_="span" if height == 5 else "span outer", d=form) + pin
    place = "end" if at > axis.end - 54 else "mid" if at > 60 else ""
    return pin + tag("text", f"{number(value)} CL", class_=f"strong {place}".strip(), x=at, y=16)


def timeline(record: ScanRecord) -> Figure | None:
    """Show injection, frames and window, minutes after injection.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    Figure or None
        None without frames.
    """
    if not record.frames:
        return None
    starts = [frame.start_s / 60 for frame in record.frames]
    ends = [(frame.start_s + frame.duration_s) / 60 for frame in record.frames]
    window = record.tracer_window_min
    axis = Axis(
        min(0.0, math.floor(min(starts))),
        5 * math.ceil(max([*ends, *(window or ())]) / 5 + 0.2),
    )
    shares = [
        min(frame.weight_s / frame.duration_s, 1.0) if frame.duration_s > 0 else 0.0
        for frame in record.frames
    ]
    span = axis.high - axis.low
    step = next((step for step in (5, 10, 20, 30, 60) if span / step <= 14), 60)
    parts = [
        bottom(axis, 64, "minutes after injection", step),
        tag("path", class_="pin", d=f"M{axis.at(0)} 62l-5 -9h10z"),
        tag("text", "injection", class_="muted", x=axis.at(0) - 6, y=46),
    ]
    for start, end, share in zip(starts, ends, shares, strict=True):
        x, width = axis.at(start), max(axis.at(end) - axis.at(start), 0.4)
        parts.append(tag("rect", class_="frame", x=x, y=36, width=width, height=24))
        if share > 0:
            parts.append(tag("rect", class_="used", x=x + 1, y=37 + 22 * (1 - share),
                             width=max(width - 2, 0.5), height=22 * share))  # fmt: skip
    if window is not None:
        begin, end = map(axis.at, window)
        words = f"window of the tracer, {number(window[0], 0)}–{number(window[1], 0)} min"
        at_end = (begin + end) / 2 > 560
        parts += [
            tag("path", class_="window", d=f"M{begin} 30v-8H{end}v8"),
            tag("text", words, class_="end" if at_end else "mid",
                x=end if at_end else (begin + end) / 2, y=15),
        ]  # fmt: skip
    used = sum(share > 0 for share in shares)
    began, ended = record.window_min or (starts[0], ends[-1])
    averaged = (
        f"{used} of {len(shares)} {'frame' if len(shares) == 1 else 'frames'} averaged, "
        f"{number(began)} to {number(ended)} min after injection"
    )
    return chart(Words.of("timeline", averaged=averaged), 104, parts)


@dataclass(frozen=True)
class RegionValue:
    """A region of an atlas.

    Attributes
    ----------
    name : of the region
    suvr : to the reference region of the page
    z : z-score, None without norms
    """

    name: str
    suvr: float
    z: float | None = None


def regional_bars(regions: Sequence[RegionValue], atlas: str, top: float) -> Figure | None:
    """Bars of the SUVR of every region, with z-scores when there are any.

    Parameters
    ----------
    regions : in the order of the atlas
    atlas : its name
    top : end of the axis, SUVR: the same for everybody with the tracer

    Returns
    -------
    Figure or None
        None without regions.
    """
    if not regions:
        return None
    shown = list(regions)
    if len(shown) > _MAX_BARS:  # the page stays readable; the table of the atlas has them all
        kept = sorted(shown, key=lambda region: -region.suvr)[:_MAX_BARS]
        shown = [region for region in shown if region in kept]
    scored = any(region.z is not None for region in shown)
    longest = max(len(region.name) for region in shown)
    columns = 1 if len(shown) <= 24 else 2 if len(shown) <= 60 or longest > 20 else 3
    per_column = math.ceil(len(shown) / columns)
    width = WIDTH / columns
    room = int(0.44 * width / 5.8)  # letters of a name
    parts = []
    for place, region in enumerate(shown):
        x, y = (place // per_column) * width, 14.0 * (place % per_column) + 26
        axis = Axis(0, top, x + 0.44 * width, x + width - (52 if scored else 34))
        end = axis.at(region.suvr)
        words = number(region.suvr, 2) + ("" if region.z is None else f" z {number(region.z, 1)}")
        parts += [
            tag("text", shortened(region.name, room), class_="end small", x=axis.start - 5,
                y=y + 9),
            tag("rect", class_="used", x=axis.start, y=y, width=max(end - axis.start, 0.5),
                height=10.5),
            tag("text", words, class_="small muted", x=end + 4, y=y + 9),
        ]  # fmt: skip
    z_words = ", z-scores against the norms" if scored else ""
    rest = len(regions) - len(shown)
    left_out = f" The {rest} regions with the lowest uptake are only in the table." if rest else ""
    ranked = sorted(shown, key=lambda region: -region.suvr)[:3]
    highest = ", ".join(f"{region.name} {number(region.suvr, 2)}" for region in ranked)
    parts.insert(
        0, tag("text", f"SUVR (whole cerebellum = 1), 0 to {top:g}", class_="muted", x=4, y=14)
    )
    texts = Words.of(
        "regions",
        atlas,
        atlas=atlas,
        scored=z_words,
        top=top,
        left_out=left_out,
        n=len(shown),
        highest=highest,
    )
    return chart(texts, 14.0 * per_column + 34, parts)


def curves(
    words: Words,
    x: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    *,
    x_title: str,
    y_title: str,
    shaded: tuple[float, float] | None = None,
    limit: float | None = None,
) -> Figure:
    """Draw curves over time.

    Parameters
    ----------
    words : about the figure; what it shows, for those who cannot see it, is written here
    x : of every point
    lines : name -> values, None where not measured
    x_title, y_title : with units
    shaded : stretch of x to mark
    limit : value to mark

    Returns
    -------
    Figure
    """
    values = [v for line in lines.values() for v in line if v is not None]
    breaks = _breaks(x)
    start = 0.0 if min(x) < 0.5 * max(x) else math.floor(min([*x, *(shaded or ())]))
    horizontal = Axis.around([start, *x, *(shaded or ())], 58, WIDTH - 130, 0)
    upright = Axis.around(
        [0.0, *values, *_SHOWN.get(y_title, ()), *([] if limit is None else [limit])], 210, 34
    )
    parts = [left(upright, 58, horizontal.end, y_title), bottom(horizontal, 214, x_title)]
    if shaded is not None:
        begin, end = map(horizontal.at, shaded)
        parts.insert(0, tag("rect", class_="band-intermediate faint", x=begin, y=34,
                            width=end - begin, height=180))  # fmt: skip
    if limit is not None:
        y = upright.at(limit)
        parts.append(stroke("limit", (58, horizontal.end), (y, y)))
    for place, (label, line) in enumerate(lines.items()):
        colour = CURVES[place % len(CURVES)]
        path = ""
        for a, b, begins in zip(x, line, breaks, strict=True):
            if b is not None:
                pen = "M" if begins or not path else "L"
                path += f"{pen}{horizontal.at(a)} {upright.at(b)}"
        if not path:
            continue
        parts += [
            tag("path", class_="line", d=path, stroke=colour),
            legend_entry(WIDTH - 122, place, colour, label),
        ]
    ends = "; ".join(
        f"{label} from {number(line[0], 2)} to {number(line[-1], 2)}"
        for label, line in lines.items()
    )
    alt = f"Curves of {y_title} over {x_title}: {ends}."
    return chart(replace(words, alt=alt), 254, parts)


def _breaks(x: Sequence[float]) -> list[bool]:
    """Mark before which points nothing was measured for long: the break between two parts."""
    steps = [later - earlier for earlier, later in pairwise(x)]
    breaks = [False]
    for i, step in enumerate(steps):
        beside = [*steps[max(i - 1, 0) : i], *steps[i + 1 : i + 2]]
        breaks.append(bool(beside) and step > 4 * max(beside))
    return breaks


def _over_a_line(x: float, y: float, words: str) -> Markup:
    """Words on a line that they interrupt."""
    return tag("text", words, class_="muted", x=x, y=y, paint_order="stroke",
               stroke="var(--card)", stroke_width=5)  # fmt: skip
