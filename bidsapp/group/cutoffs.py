"""Cut-offs of this cohort and the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bidsapp.core.statistics.two_groups import CutOff, TwoGroups, control_cutoff, two_groups
from bidsapp.data import read_table
from bidsapp.data.literature import scale
from bidsapp.errors import BadDataError
from bidsapp.group.scan_choice import first_scans
from bidsapp.group.tables import Row
from bidsapp.io.tsv import finite_number

_KASS = "Kass & Raftery 1995 and Ashman et al. 1994 for what counts as two groups"


@dataclass(frozen=True)
class CutOffs:
    """Cut-offs of a cohort.

    Attributes
    ----------
    values : Centiloids that the mixture rests on, one per person
    groups : None when there are no two groups
    rows : of ``group_cutoffs.tsv``
    """

    values: tuple[float, ...]
    groups: TwoGroups | None
    rows: tuple[dict[str, Any], ...]


def cutoffs(rows: Sequence[Row], controls: tuple[str, str] | None = None) -> CutOffs:
    """Cut-offs of the cohort, from the first Centiloid of every person, and the published ones.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    controls : (column, value) of the young controls; None takes people below the age of
        ``data/cohort.toml``

    Returns
    -------
    CutOffs
    """
    people = [rows[index] for index in first_scans(rows)]
    values = tuple(float(row["centiloid"]) for row in people)
    table = read_table("cohort")["mixture"]
    groups, refused = None, None
    try:
        groups = two_groups(values, **table)
    except BadDataError as error:
        refused = f"{error}."
    cutoff_rows = [
        _row("mixture-crossing", groups.crossing if groups else None, values, len(values), refused,
             "Two normal distributions: where both groups are equally likely"),
        _row("mixture-mean-2sd", groups.two_sds if groups else None, values, len(values), refused,
             "Two normal distributions: mean and two standard deviations of the lower group"),
    ]  # fmt: skip
    if groups:
        share = f"the two groups are found in {groups.support:.0%} of the bootstrap samples"
        for row in cutoff_rows:
            row["notes"] = (
                f"BIC gain {groups.bic_gain:.0f}, Ashman's D "
                f"{groups.mixture.separation:.1f}; {share}; {_KASS}."
            )
    cutoff_rows.append(_of_controls(people, values, controls))
    return CutOffs(values, groups, (*cutoff_rows, *_published(values)))


def _of_controls(
    people: Sequence[Row], values: Sequence[float], controls: tuple[str, str] | None
) -> dict[str, Any]:
    limits = read_table("cohort")["controls"]
    if controls is None:
        definition = f"younger than {limits['younger_than']:g} years"
        chosen = [
            row for row in people
            if isinstance(row.get("age"), int | float) and row["age"] < limits["younger_than"]
        ]  # fmt: skip
    else:
        column, value = controls
        definition = f"{column}={value}"
        wanted = finite_number(value)
        chosen = [
            row
            for row in people
            if (stated := row.get(column)) is not None
            and (str(stated) == value or (wanted is not None and finite_number(stated) == wanted))
        ]
    cut, refused = None, None
    try:
        cut = control_cutoff([row["centiloid"] for row in chosen], limits["fewest"])
    except BadDataError as error:
        refused = f"{error}; name them with --controls COLUMN=VALUE of participants.tsv."
        if controls and not any(controls[0] in row for row in people):
            refused = f"--controls: participants.tsv has no column {controls[0]}."
    meaning = f"Mean and two standard deviations of controls ({definition})"
    return _row("controls-mean-2sd", cut, values, len(chosen), refused, meaning)


def _published(values: Sequence[float]) -> list[dict[str, Any]]:
    bands = scale()
    marks = [
        (below.upper, f"Edge of the bands {below.label} and {above.label} CL", bands.source)
        for below, above in pairwise(bands.bands) if below.upper is not None
    ]  # fmt: skip
    marks += [(mark.at, mark.meaning, source) for source, all_ in bands.cutoffs for mark in all_]
    published = []
    for at, meaning, source in marks:
        row = _row("published", CutOff(float(at), 0.0, 0.0), values, None, None, meaning)
        published.append(row | {
            "cutoff_low": None, "cutoff_high": None, "source": source.short, "doi": source.doi,
        })  # fmt: skip
    return published


def _row(
    method: str, cut: CutOff | None, values: Sequence[float], n: int | None, refused: str | None,
    meaning: str,
) -> dict[str, Any]:  # fmt: skip
    above = None
    if cut is not None and values:
        above = sum(value > cut.value for value in values)
    return {
        "method": method,
        "cutoff": cut.value if cut else None,
        "cutoff_low": cut.low if cut else None,
        "cutoff_high": cut.high if cut else None,
        "n": n,
        "n_above": above,
        "n_people": len(values),
        "meaning": meaning,
        "source": "this cohort",
        "doi": None,
        "notes": refused and f"{refused[:1].upper()}{refused[1:]}",
    }
