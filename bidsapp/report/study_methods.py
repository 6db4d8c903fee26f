"""The methods section of a study, ready to paste: participants, processing, quality control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from bidsapp.plain import count
from bidsapp.record import ScanRecord, Status
from bidsapp.record.about import scanner_of
from bidsapp.record.tracers import tracer_title
from bidsapp.report.methods import Methods, describe_records

_MOST_LISTED = 12


def cohort_methods(
    records: Sequence[ScanRecord],
    warnings: Iterable[str] = (),
    read: str = "",
    status: str = "",
    flags: Sequence[Sequence[str]] | None = None,
) -> Methods:
    """Describe a study: its scans, their processing with what to cite, and quality control.

    Parameters
    ----------
    records : every scan of the group table
    warnings : why its scans cannot be compared with each other, if so; they come first, so that
        nobody pastes the text without having read them
    read : of `reading`
    status : how participants were called A+ and T+
    flags : codes of every scan; None for those of its record, without what other scans show

    Returns
    -------
    Methods
    """
    done = [record for record in records if record.status is Status.OK]
    described = describe_records(records)
    before = [f"BEFORE YOU PASTE THIS: {sentence}." for sentence in warnings]
    if flags is None:
        flags = [[flag.code for flag in record.flags] for record in records]
    quality = " ".join(filter(None, (_quality(records, flags), read)))
    paragraphs = (*before, _scans(records, done), *described.paragraphs, status, quality)
    return Methods(tuple(filter(None, paragraphs)), described.references)


def reading(ratings: Iterable[str | None], n_raters: int, *, left_out: bool) -> str:
    """Ratings of readers and the use of rejected scans, in words; empty without any.

    Parameters
    ----------
    ratings : of every scan
    n_raters : readers
    left_out : whether rejected scans are in no statistics

    Returns
    -------
    str

    >>> reading(["accept", None, "doubt"], 1, left_out=True)
    '1 reader rated 2 scans: 1 accepted, 1 doubted.'
    """
    counts = Counter(filter(None, ratings))
    if not counts:
        return ""
    words = {"accept": "accepted", "doubt": "doubted", "reject": "rejected"}
    listed = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    sentence = f"{count(n_raters, 'reader')} rated {count(counts.total(), 'scan')}: {listed}."
    if counts["reject"]:
        sentence += f" Rejected scans were {'' if left_out else 'not '}left out of all statistics."
    return sentence


def _scans(records: Sequence[ScanRecord], done: Sequence[ScanRecord]) -> str:
    """How many scans of whom, with what, on what."""
    people = Counter(record.entities["sub"] for record in records)
    visits: dict[str, set[str]] = {}
    for record in records:
        visits.setdefault(record.entities["sub"], set()).add(record.entities.get("ses", ""))
    several = sum(len(sessions) > 1 for sessions in visits.values())
    sentences = [
        f"{count(len(records), 'PET scan')} of {count(len(people), 'participant')} "
        f"{'was' if len(records) == 1 else 'were'} processed"
        + (f", {several} of them scanned at more than one session." if several else ".")
    ]
    for what, of in (
        ("Tracers", tracer_title),
        ("Scanners", scanner_of),
        ("Sites", attrgetter("site")),
    ):
        if listed := _counted(records, of):
            sentences.append(f"{what}: {listed}.")
    with_t1w = sum(record.method != "pet-only" for record in done)
    if done and with_t1w < len(done):
        sentences.append(f"{count(len(done) - with_t1w, 'scan')} had no usable T1-weighted image.")
    return " ".join(sentences)


def _quality(records: Sequence[ScanRecord], flags: Sequence[Sequence[str]]) -> str:
    """What became of the scans, and what quality control found."""
    done = [record for record in records if record.status is Status.OK]
    own = [
        set(codes)
        for record, codes in zip(records, flags, strict=True)
        if record.status is Status.OK
    ]
    lost: Counter[Status] = Counter(
        record.status for record in records if record.status is not Status.OK
    )
    words = {
        Status.FAILED: "could not be quantified",
        Status.INCOMPLETE: "were not finished",
        Status.SKIPPED: "were left out on purpose",
    }
    sentences = [f"{len(done)} of {count(len(records), 'scan')} gave a result"]
    sentences += [f"{lost[status]} {text}" for status, text in words.items() if lost[status]]
    sentence = "; ".join(sentences) + "."
    counts = Counter(code for codes in own for code in sorted(codes))
    flagged = sum(map(bool, own))
    if flagged:
        listed = ", ".join(f"{code} ({number})" for code, number in counts.most_common())
        sentence += f" Automatic quality control flagged {count(flagged, 'result')}: {listed}."
    elif done:
        sentence += " Automatic quality control flagged none of the results."
    doubtful = sum(scan.n_doubts > 0 for scan in done)
    if doubtful:
        sentence += (
            f" In {count(doubtful, 'scan')} a quality number lay outside its limit; see the "
            "participants’ pages."
        )
    return sentence


def _counted(records: Sequence[ScanRecord], of: Callable[[ScanRecord], str | None]) -> str:
    """Kinds with their numbers, the commonest first; nothing when none is known."""
    counts = Counter(of(record) for record in records)
    unknown = counts.pop(None, 0)
    if not counts:
        return ""
    order = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    listed = [f"{name} ({number})" for name, number in order[:_MOST_LISTED]]
    if rest := sum(number for _, number in order[_MOST_LISTED:]):
        listed.append(f"{len(order) - _MOST_LISTED} others ({rest})")
    if unknown:
        listed.append(f"not known ({unknown})")
    return ", ".join(listed)
