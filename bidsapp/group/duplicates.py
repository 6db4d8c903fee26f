"""Detection of the same image under two names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bidsapp.core.quality import Flag
from bidsapp.data import REFERENCES, read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.group.tables import Row
from bidsapp.plain import some
from bidsapp.record import ScanRecord, Status

_NAMED = 3  # other scans that a sentence names


@dataclass(frozen=True)
class Finding:
    """A flag of a scan found by comparison with other scans.

    Attributes
    ----------
    index : of the row among all
    flag : its code for the column flags; its message is a sentence without its full stop
    others : indices of the scans it is about
    """

    index: int
    flag: Flag
    others: tuple[int, ...]

    @property
    def order(self) -> tuple[int, str]:
        """By scan, then by code."""
        return self.index, self.flag.code


def duplicates(records: Sequence[ScanRecord], rows: Sequence[Row]) -> list[Finding]:
    """Scans that share their image with another one.

    ``duplicate-pet`` by the hash of the raw file or of its voxels, or by uptake ratios that agree
    to a millionth in every reference region (the same image saved again); ``duplicate-t1w`` when
    two participants have one T1w.

    Parameters
    ----------
    records : scans
    rows : of ``group_centiloid.tsv``, in the same order

    Returns
    -------
    list of Finding
    """
    groups = [
        (f"duplicate-{image}", kind, indices)
        for kind in ("inputs", "voxels")
        for image in ("pet", "t1w")
        for indices in _by_hash(records, kind, image)
    ]
    groups += [("duplicate-pet", "ratios", indices) for indices in _alike(records)]
    findings: dict[tuple[int, str], Finding] = {}
    for code, why, indices in groups:
        for index in indices:
            person = rows[index]["participant_id"]
            others = [
                other for other in indices
                if other != index
                and (code == "duplicate-pet" or rows[other]["participant_id"] != person)
            ]  # fmt: skip
            if others:
                names = some((scan_name(rows[other]) for other in others), _NAMED)
                flag = worded_flag(code, why, others=names)
                finding = Finding(index, flag, tuple(others[:_NAMED]))
                findings.setdefault((index, code), finding)
    return sorted(findings.values(), key=lambda finding: finding.order)


def scan_name(row: Row) -> str:
    """Short name of a scan for sentences: ``sub-01 ses-02 FBB``.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    str
    """
    parts = (row["participant_id"], row["session_id"], row["tracer"])
    more = [f"{key}-{row[key]}" for key in ("rec", "run") if row.get(key)]
    return " ".join(str(part) for part in (*parts, *more) if part)


def _by_hash(records: Sequence[ScanRecord], kind: str, image: str) -> list[list[int]]:
    """Places of scans whose raw images have one hash, of the file or of its voxels."""
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        value = getattr(record.provenance, kind).get(image)
        if value is not None:
            groups.setdefault(value, []).append(index)
    return [indices for indices in groups.values() if len(indices) > 1]


def _alike(records: Sequence[ScanRecord]) -> list[list[int]]:
    """Places of scans whose uptake ratios all agree: neighbours in the order of the ratios."""
    limit = read_table("cohort")["duplicates"]["relative"]
    known = {}
    for index, record in enumerate(records):
        ratios = [ratio for name in REFERENCES if (ratio := record.suvr.get(name))]
        if record.status is Status.OK and len(ratios) == len(REFERENCES):
            known[index] = ratios
    groups: list[list[int]] = []
    for before, after in pairwise(sorted(known, key=lambda index: (known[index], index))):
        pairs = zip(known[before], known[after], strict=True)
        if all(abs(a - b) <= limit * abs(a) for a, b in pairs):
            if groups and groups[-1][-1] == before:
                groups[-1].append(after)
            else:
                groups.append([before, after])
    return groups
