"""What differs between two scans of a participant that should be the same in both."""

from __future__ import annotations

from dataclasses import dataclass

from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.group.tables import Row
from bidsapp.report.render import number


@dataclass(frozen=True)
class Match:
    """How two scans compare.

    Attributes
    ----------
    flags : what differs
    unknown : what could not be compared because a scan does not state it
    """

    flags: tuple[Flag, ...]
    unknown: tuple[str, ...]

    def has(self, code: str) -> bool:
        """Whether there is a flag of this code.

        Parameters
        ----------
        code : of a flag

        Returns
        -------
        bool
        """
        return any(flag.code == code for flag in self.flags)


def match(first: Row, last: Row) -> Match:
    """Compare what should be the same in two scans of a person.

    Parameters
    ----------
    first, last : rows of ``group_centiloid.tsv``

    Returns
    -------
    Match
    """
    flags: dict[str, Flag] = {}
    unknown = []
    for row in read_table("cohort")["same"]:
        column, code = row["column"], row["code"]
        before, after = first.get(column), last.get(column)
        if (before is None or after is None) and not row.get("may_lack"):
            unknown.append(column)
        elif before != after:
            sentence = (
                f"{row['words']} {after or 'none'}, previously {before or 'none'}: {row['advice']}"
            )
            flags.setdefault(code, Flag(code, sentence))
    limits = read_table("cohort")["change"]
    for what, columns, limit, digits in (
        ("window", ("window_start_min", "window_end_min"), limits["window_min"], 0),
        ("resolution", ("pet_fwhm_mm",), limits["resolution_mm"], 1),
    ):
        numbers = [[scan.get(column) for column in columns] for scan in (first, last)]
        if what == "window" and first["tracer"] != last["tracer"]:
            continue
        if any(None in of_scan for of_scan in numbers):
            unknown.append(what)
        elif max(abs(b - a) for a, b in zip(*numbers, strict=True)) > limit:
            before, after = ("-".join(number(x, digits) for x in of_scan) for of_scan in numbers)
            code = f"other-{what}"
            flags[code] = worded_flag(code, before=before, after=after)
    return Match(tuple(flags.values()), tuple(unknown))
