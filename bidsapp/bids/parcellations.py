"""Which files are a participant's own parcellations: of the one T1w that places the PET."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bidsapp.bids.entities import bids_stem
from bidsapp.bids.plan import ScanPlan, T1wPlan
from bidsapp.data import read_table
from bidsapp.data.sentences import worded, worded_flag
from bidsapp.plain import some
from bidsapp.settings import AtlasFile, ParcellationChoice, Processing

_SHOWN = 3


def with_parcellations(scan: ScanPlan, processing: Processing) -> ScanPlan:
    """Find the parcellations that a run asks for, and flag those that are not there.

    Parameters
    ----------
    scan : with its T1w
    processing : ``atlases`` and ``derivatives``

    Returns
    -------
    ScanPlan
    """
    wanted = _wanted(processing)
    if not wanted:
        return scan
    parcellations: list[AtlasFile] = []
    missing: list[str] = []
    for choice in wanted:
        files = [] if scan.t1w is None or scan.t1w.t1w is None else _files(choice, scan.t1w)
        if len(files) == 1:
            about = (choice.table, choice.space, choice.program, choice.erode_mm)
            parcellations.append(AtlasFile(choice.name, files[0], *about))
        elif files or choice not in absent_everywhere(wanted):
            missing.append(_why(choice, scan, files))
    flag = worded_flag("parcellation-missing", missing="; ".join(missing))
    return replace(
        scan, parcellations=tuple(parcellations), flags=(*scan.flags, *((flag,) if missing else ()))
    )


def _wanted(processing: Processing) -> tuple[ParcellationChoice, ...]:
    every = (*processing.atlases, *processing.derivatives)
    return tuple(choice for choice in every if isinstance(choice, ParcellationChoice))


@lru_cache
def absent_everywhere(wanted: tuple[ParcellationChoice, ...]) -> frozenset[ParcellationChoice]:
    """Atlases that a program wrote for no participant, though it wrote another for some.

    Parameters
    ----------
    wanted : of a run

    Returns
    -------
    frozenset of ParcellationChoice
    """
    of_program = Counter(choice.program for choice in wanted)
    several = [choice for choice in wanted if choice.program and of_program[choice.program] > 1]
    written = {choice for choice in several if _is_anywhere(choice)}
    programs = {choice.program for choice in written}
    return frozenset(c for c in several if c.program in programs and c not in written)


def _is_anywhere(choice: ParcellationChoice) -> bool:
    assert choice.program is not None
    patterns = read_table("parcellations")[choice.program][choice.name]["files"]
    each = (re.sub(r"\{\w+\}", "*", pattern) for pattern in patterns)
    return any(next(choice.own.glob(pattern), None) is not None for pattern in each)


def absence_sentences(processing: Processing) -> list[str]:
    """Sentences about atlases of ``--derivatives`` that no participant has, once per run.

    Parameters
    ----------
    processing : ``atlases`` and ``derivatives``

    Returns
    -------
    list of str
    """
    wanted = _wanted(processing)
    return [
        worded("parcellations", "nobody", choice=choice)
        for choice in wanted
        if choice in absent_everywhere(wanted)
    ]


def _why(choice: ParcellationChoice, scan: ScanPlan, files: Sequence[Path]) -> str:
    if scan.t1w is None:
        return f"{choice.name} cannot be placed without a T1w"
    if scan.t1w.t1w is None:
        return f"{choice.name} cannot be placed on the within-subject template of --longitudinal"
    if files:
        names = some("/".join(path.parts[-2:]) for path in files)
        t1w = scan.t1w.t1w.name
        return f"{choice.name}: several files may be that of {t1w} ({names}), so none was used"
    wanted = ", ".join(dict.fromkeys(pattern for _, pattern in _patterns(choice, scan.t1w)))
    return f"{choice.name} is missing: there is no {wanted}"


def _files(choice: ParcellationChoice, t1w: T1wPlan) -> list[Path]:
    """Files that can be the parcellation of a T1w; the best, if one is better than others."""
    assert t1w.t1w is not None
    stem = bids_stem(t1w.t1w)
    for folder, pattern in _patterns(choice, t1w):
        paths = sorted(path for path in folder.glob(pattern) if _is_of(path, folder, t1w))
        of_session = [p for p in paths if f"ses-{t1w.session}" in _words(p, folder)]
        of_image = [p for p in paths if p.name.startswith((stem, stem.removesuffix("_T1w") + "_"))]
        for best in (of_image, of_session, paths):
            if best:
                return best
    return []


def _patterns(choice: ParcellationChoice, t1w: T1wPlan) -> Iterator[tuple[Path, str]]:
    """Folder and pattern in it, the most precise first."""
    label, session = t1w.participant, t1w.session
    if choice.program is None:
        filled = str(choice.own).replace("{participant}", _literal(label))
        path = Path(filled.replace("{session}", _literal(session or "")))
        plain = next((p for p in path.parents if not re.search(r"[*?\[]", str(p))), path.parent)
        yield plain, path.relative_to(plain).as_posix()
        return
    subjects = [f"sub-{label}", label]
    if session is not None:
        subjects = [f"sub-{label}_ses-{session}", *subjects, f"{label}_{session}"]
    for pattern in read_table("parcellations")[choice.program][choice.name]["files"]:
        named = pattern.replace("{participant}", f"sub-{label}")
        for subject in dict.fromkeys(subjects) if "{subject}" in named else subjects[:1]:
            yield choice.own, named.replace("{subject}", subject)


def _is_of(path: Path, folder: Path, t1w: T1wPlan) -> bool:
    """Whether a file is that of the participant and session, in the space of the T1w."""
    words = _words(path, folder)
    if any(word.startswith("space-") and word != "space-T1w" for word in words):
        return False
    mine = (("sub", t1w.participant), ("ses", t1w.session))
    labelled = ((_labels(words, key), label) for key, label in mine)
    return path.is_file() and all(not labels or labels == {label} for labels, label in labelled)


def _labels(words: Iterable[str], key: str) -> set[str | None]:
    return {word.removeprefix(f"{key}-") for word in words if word.startswith(f"{key}-")}


def _words(path: Path, folder: Path) -> list[str]:
    """Entities in the name of a file and of its folders."""
    return re.split(r"[/_.]", path.relative_to(folder).as_posix())


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
