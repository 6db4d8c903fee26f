"""The charts of a study: distribution, agreement of reference regions, outliers, courses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles, stdev

from markupsafe import Markup

from bidsapp.data import read_table
from bidsapp.data.literature import Band, accumulation, scale
from bidsapp.data.tracers import tracers
from bidsapp.group.courses import Course
from bidsapp.group.outliers import FEWEST, LIMIT, Score
from bidsapp.group.scan_choice import label_order
from bidsapp.group.tables import Row
from bidsapp.grouping import grouped
from bidsapp.plain import count, natural, shortened
from bidsapp.report.axes import WIDTH, Axis, bands, bottom, chart, left, legend_entry
from bidsapp.report.charts import CURVES
from bidsapp.report.figure import Figure, Words
from bidsapp.report.render import number
from bidsapp.report.svg import polyline, stroke, tag

_DOT = 6.5  # distance of neighbouring dots, units of the drawing
_HALF_ROW = 28.0
_ROW = 82.0  # of dots with their name above
_MOST_GROUPS = 24
# Values that axes have, CL, so that next to nothing looks like it.
_SHOWN_CENTILOIDS, _SHOWN_DIFFERENCES = (0.0, 50.0), (-5.0, 5.0)
_MOST_DOTS = 2500  # scans; more are drawn without words and links


@dataclass(frozen=True)
class Group:
    """Centiloids of the scans that share a tracer, a site or a session.

    Attributes
    ----------
    name : for people
    indices : of the rows among all, by rising Centiloid
    centiloids : sorted
    bands : band -> number of scans
    """

    name: str
    indices: tuple[int, ...]
    centiloids: tuple[float, ...]
    bands: tuple[tuple[Band, int], ...]

    @property
    def median(self) -> float:
        """Median, CL."""
        return median(self.centiloids)

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """First and third quartile, CL; None for fewer than three scans."""
        if len(self.centiloids) < 3:
            return None
        first, _, third = quantiles(self.centiloids, n=4, method="inclusive")
        return first, third


def groups(rows: Sequence[Row], column: str) -> list[Group]:
    """Group the scans with a Centiloid by a column (``tracer``, ``site`` or ``session_id``).

    Tracers come in the order of the table of tracers, other groups by name; of very many groups
    the largest are kept and the others put together.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    column : to group by

    Returns
    -------
    list of Group
    """
    by_group: dict[str, list[int]] = {code: [] for code in tracers()} if column == "tracer" else {}
    for index, row in enumerate(rows):
        if row["centiloid"] is not None:
            by_group.setdefault(str(row[column] or "not stated"), []).append(index)
    named = {name: indices for name, indices in by_group.items() if indices}
    if column != "tracer":
        order = label_order if column == "session_id" else natural
        named = {name: named[name] for name in sorted(named, key=order)}
    if len(named) > _MOST_GROUPS:
        kept = set(sorted(named, key=lambda name: -len(named[name]))[: _MOST_GROUPS - 1])
        rest = [index for name, indices in named.items() if name not in kept for index in indices]
        count = len(named) - len(kept)
        named = {name: indices for name, indices in named.items() if name in kept}
        named[f"{count} others"] = rest
    return [_group(rows, _for_people(column, name), indices) for name, indices in named.items()]


def _group(rows: Sequence[Row], name: str, indices: Sequence[int]) -> Group:
    ordered = sorted(indices, key=lambda index: rows[index]["centiloid"])
    values = tuple(rows[index]["centiloid"] for index in ordered)
    named = [rows[index]["band"] for index in ordered]
    counts = tuple((band, named.count(band.name)) for band in scale().bands)
    return Group(name, tuple(ordered), values, counts)


def _for_people(column: str, name: str) -> str:
    if column == "tracer":
        return tracers()[name].name if name in tracers() else name
    return name.removeprefix("ses-") if column == "session_id" else name


def distribution(rows: Sequence[Row], column: str, by: str) -> Figure | None:
    """Show every Centiloid on the bands, a line of dots per group.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    column : to group by
    by : the column in words

    Returns
    -------
    Figure or None
        None without any.
    """
    shown = groups(rows, column)
    if not shown:
        return None
    axis = Axis(scale().low, scale().high)
    height = 34 + _ROW * len(shown)
    parts = [bands(axis, scale(), 24, height - 24, label_y=16, faint=True)]
    for line, group in enumerate(shown):
        y = 78 + _ROW * line
        parts += [
            stroke("rule", (axis.start, axis.end), (y, y)),
            tag("text", group.name, " ", tag("tspan", len(group.indices), class_="muted"),
                x=20, y=y - 36),
        ]  # fmt: skip
        if group.quartiles:
            at = axis.at(group.median)
            parts.append(stroke("median", (at, at), (y - 27, y + 27)))
        parts += _dots(rows, group, axis, y)
    parts.append(bottom(axis, height, "CL", 25))
    medians = "; ".join(
        f"{group.name}: {count(len(group.indices), 'scan')}, median {number(group.median)} CL"
        for group in shown
    )
    words = Words.of("distribution", f"-{by}", by=by, source=scale().source.short, medians=medians)
    return chart(words, height + 42, parts)


def _dots(rows: Sequence[Row], group: Group, axis: Axis, y: float) -> list[Markup]:
    """Put dots of like value beside each other, alternately above and below the line."""
    indices = zip(group.indices, group.centiloids, strict=True)
    columns = grouped((round(axis.at(value) / _DOT), index) for index, value in indices)
    step = min(_DOT, 2 * _HALF_ROW / max(map(len, columns.values())))
    return _dots_or_specks(
        rows,
        [
            (index, axis.at(rows[index]["centiloid"]), y + (-1) ** i * ((i + 1) // 2) * step, None)
            for column in columns.values()
            for i, index in enumerate(column)
        ],
    )


def _dots_or_specks(
    rows: Sequence[Row], marks: Sequence[tuple[int, float, float, str | None]], radius: float = 3.0
) -> list[Markup]:
    """Draw marks (row, x, y, words): dots with words and links, or specks when there are very many.

    Specks are two paths, with and without flags, so that the page of a large study stays small.
    """
    if len(rows) <= _MOST_DOTS:
        return [_dot(rows, index, x, y, words, radius) for index, x, y, words in marks]
    specks: dict[str, list[str]] = {"speck": [], "speck flagged": []}
    for index, x, y, _ in marks:
        kind = "speck flagged" if rows[index]["flags"] else "speck"
        specks[kind].append(f"M{x:.0f} {y:.1f}h0")
    return [tag("path", class_=kind, d="".join(ends)) for kind, ends in specks.items() if ends]


def _dot(
    rows: Sequence[Row], index: int, x: float, y: float, words: str | None = None,
    radius: float = 3.0,
) -> Markup:  # fmt: skip
    """A scan: filled without flags, open with; the script finds its row by ``data-row``."""
    row = rows[index]
    name = " ".join(filter(None, (row["participant_id"], row["session_id"])))
    return tag(
        "circle", tag("title", f"{name}: {words or number(row['centiloid']) + ' CL'}"),
        class_="dot flagged" if row["flags"] else "dot", cx=x, cy=y, r=radius,
        data_row=index,
    )  # fmt: skip


def agreement(rows: Sequence[Row]) -> Figure | None:
    """Compare Centiloids by other reference regions with those by the whole cerebellum.

    Differences over the Centiloid (Bland & Altman 1986), one panel per region, with mean and limits
    of agreement.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    Figure or None
        None when no scan has Centiloids by more than one region.
    """
    panels = []
    for region in ("cg", "wcb", "pons"):
        name = read_table("display")["volumes"][region]
        indices = [
            index for index, row in enumerate(rows)
            if None not in (row["centiloid_wc"], row[f"centiloid_{region}"])
        ]  # fmt: skip
        if indices:
            panels.append((region, name, indices))
    if not panels:
        return None
    axis = Axis(scale().low, scale().high, 58, WIDTH - 20)
    parts, sentences, height = [], [], 0.0
    for region, name, indices in panels:
        differences = [
            rows[index][f"centiloid_{region}"] - rows[index]["centiloid_wc"] for index in indices
        ]
        top = height + 36
        upright = Axis.around([*differences, *_SHOWN_DIFFERENCES], top + 130, top)
        parts.append(left(upright, 58, axis.end, f"{name} minus whole cerebellum, CL"))
        middle = mean(differences)
        words = f"{name[:1].upper()}{name[1:]}: mean {number(middle)} CL"
        edges = [middle]
        if len(differences) > 2:
            spread = 1.96 * stdev(differences)
            edges += [middle - spread, middle + spread]
            words += f", limits {number(middle - spread)} to {number(middle + spread)} CL"
        sentences.append(words)
        ends = axis.start, axis.end
        parts += [stroke("limit", ends, (upright.at(edge), upright.at(edge))) for edge in edges]
        parts += _dots_or_specks(rows, [
            (index, axis.at(rows[index]["centiloid_wc"]), upright.at(difference),
             f"{number(difference)} CL")
            for index, difference in zip(indices, differences, strict=True)
        ])  # fmt: skip
        height += 178
    parts.append(bottom(axis, height - 6, "Centiloid by the whole cerebellum", 25))
    return chart(Words.of("agreement", limits="; ".join(sentences)), height + 38, parts)


def outlier_strips(
    rows: Sequence[Row], scored: Sequence[Score], labels: Mapping[str, str]
) -> Figure | None:
    """Show the robust z-scores of every quality number.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    scored : of `bidsapp.group.outliers.scores`
    labels : measure -> words

    Returns
    -------
    Figure or None
        None without any.
    """
    measures = list(dict.fromkeys(score.measure for score in scored))
    if not measures:
        return None
    axis = Axis(-8, 8, 330, WIDTH - 20)
    height = 30 + 30.0 * len(measures)
    parts = [
        tag("rect", class_="band-low faint", x=axis.at(-LIMIT), y=14,
            width=axis.at(LIMIT) - axis.at(-LIMIT), height=height - 14),
    ]  # fmt: skip
    for line, measure in enumerate(measures):
        y = 34 + 30.0 * line
        parts += [
            stroke("rule", (axis.start, axis.end), (y, y)),
            tag("text", labels.get(measure, measure), class_="end", x=axis.start - 10, y=y + 4),
        ]
        parts += _dots_or_specks(rows, [
            (score.index, axis.at(score.z), y, f"{number(score.value, 2)}, z {number(score.z)}")
            for score in scored if score.measure == measure
        ])  # fmt: skip
    parts.append(bottom(axis, height, "robust z-score", 2))
    n = sum(abs(score.z) > LIMIT for score in scored)
    words = Words.of("outliers", limit=LIMIT, fewest=FEWEST, n=n, n_all=len(scored))
    return chart(words, height + 42, parts)


def _marks_over_time(axis: Axis, upright: Axis) -> list[Markup]:
    """Lines at the cut-offs that charts of change show."""
    parts = []
    for _, marks in scale().cutoffs:
        for mark in marks:
            if mark.over_time and upright.low < mark.at < upright.high:
                y = upright.at(mark.at)
                parts += [
                    stroke("rule", (axis.start, axis.end), (y, y), stroke_dasharray="4 3"),
                    tag("text", f"{mark.at:g} CL", class_="muted", x=axis.end + 4, y=y + 4),
                ]
    return parts


def _marks_in_words() -> str:
    return " ".join(
        f"Dashed: {mark.at:g} CL, {mark.meaning} ({source.short})."
        for source, marks in scale().cutoffs
        for mark in marks
        if mark.over_time
    )


def spaghetti(
    rows: Sequence[Row],
    courses: Sequence[Course],
    coloured: tuple[str, Sequence[str | None]] | None = None,
    *,
    treated: bool = False,
) -> Figure | None:
    """Show the Centiloid of every participant over time.

    Courses in years and courses by visit are not mixed: years when anybody has them.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    courses : of the participants
    coloured : name of a column and its value of every row; None colours by tracer
    treated : whether times count from the start of treatment

    Returns
    -------
    Figure or None
        None without a participant with two scans.
    """
    in_years = any(course.in_years for course in courses)
    shown = [course for course in courses if course.in_years == in_years]
    if not shown:
        return None
    longest = max(max(course.times) for course in shown)
    begin = min(0.0, *(min(course.times) for course in shown)) if treated else 0.0
    axis = Axis(begin, max(longest, begin + 1.0) if treated else longest or 1.0, 58, WIDTH - 150)
    values = [value for course in shown for value in course.values]
    upright = Axis.around([*values, *_SHOWN_CENTILOIDS], 280, 34)
    unit = "years since the first scan" if in_years else "visits after the first"
    unit = "years since treatment began" if treated else unit
    parts = [left(upright, 58, axis.end, "Centiloid, CL"), bottom(axis, 284, unit)]
    parts += _marks_over_time(axis, upright)
    if treated and axis.low < 0:
        parts.append(stroke("median", (axis.at(0.0), axis.at(0.0)), (34, 280)))

    def group(course: Course) -> str:
        if coloured is None:
            return course.tracer
        return str(coloured[1][course.indices[0]] or "not stated")

    names = list(dict.fromkeys(map(group, shown)))
    if coloured is not None:
        names.sort()
    marks: list[tuple[int, float, float, str | None]] = []
    many = len(shown) > 60  # thin lines and small dots keep a large study readable
    for course in shown:
        colour = CURVES[names.index(group(course)) % len(CURVES)]
        points = [
            (axis.at(time), upright.at(value))
            for time, value in zip(course.times, course.values, strict=True)
        ]
        parts.append(polyline(points, colour, stroke_opacity=0.4 if many else 0.8))
        marks += [(index, x, y, None) for index, (x, y) in zip(course.indices, points, strict=True)]
    parts += _dots_or_specks(rows, marks, 1.6 if many else 3.0)
    parts += [
        legend_entry(
            WIDTH - 140, line, CURVES[line % len(CURVES)],
            shortened(name, 18) if coloured else _for_people("tracer", name),
        )
        for line, name in enumerate(names)
    ]  # fmt: skip
    left_out = {course.participant for course in courses if course.in_years != in_years}
    summary, note = _change_in_words(shown, len(left_out))
    by = f" by {coloured[0]}" if coloured else " since treatment began" if treated else ""
    suffix = f"-{coloured[0]}" if coloured else "-treatment" if treated else ""
    words = Words.of(
        "longitudinal", suffix, by=by, summary=summary, note=note, marks=_marks_in_words()
    )
    return chart(words, 324, parts)


def _change_in_words(courses: Sequence[Course], n_left_out: int) -> tuple[str, str]:
    """How many change by how much, and who is not drawn or changes fast."""
    slopes = [(course.participant, course.slope) for course in courses if course.slope is not None]
    in_years = courses[0].in_years
    people = {course.participant for course in courses}
    summary = f"{count(len(people), 'participant')} with two sessions or more"
    if slopes:
        per = "year" if in_years else "visit"
        summary += f", median change {number(median(slope for _, slope in slopes))} CL per {per}"
    note = f" {n_left_out} without acquisition times are not drawn." if n_left_out else ""
    if in_years and slopes:
        above, source = accumulation()
        faster = {participant for participant, slope in slopes if slope > above}
        note += f" {len(faster)} rise faster than {above:.1f} CL a year ({source.short})."
    return summary, note
