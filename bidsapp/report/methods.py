"""The methods section, ready to paste: what was done, with which numbers, after whom."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bidsapp import __version__
from bidsapp.data.tracers import tracers
from bidsapp.report.literature import Reference, reference_of_doi, references
from bidsapp.report.records import ScanRecord, Status
from bidsapp.settings import PetToT1w

_MINUS = "\N{MINUS SIGN}"
_CITED = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TracerUse:
    """How one tracer was turned into Centiloids.

    Attributes
    ----------
    name : for people
    window_min : uptake window, minutes after injection
    slope, intercept : Centiloid = slope * SUVR + intercept
    source : who published the equation
    """

    name: str
    window_min: tuple[float, float]
    slope: float
    intercept: float
    source: Reference

    @classmethod
    def of_tracer(cls, code: str) -> TracerUse:
        """Return what the table of tracers prescribes."""
        tracer = tracers()[code]
        equation = tracer.equation
        source = reference_of_doi(equation.doi, equation.source)
        return cls(tracer.name, tracer.window_min, equation.slope, equation.intercept, source)

    @classmethod
    def of_record(cls, record: ScanRecord) -> TracerUse:
        """Return what a finished scan says of itself, whatever the table says today."""
        known = tracers().get(record.tracer or "")
        equation = record.equation
        return cls(
            name=known.name if known else str(record.tracer_name or record.tracer),
            window_min=record.tracer_window_min or record.window_min or (0.0, 0.0),
            slope=float(equation["slope"]),
            intercept=float(equation["intercept"]),
            source=reference_of_doi(str(equation.get("doi")), str(equation.get("source"))),
        )


@dataclass(frozen=True)
class Methods:
    """Paragraphs of plain text, and what they cite in the order of first mention."""

    paragraphs: tuple[str, ...]
    references: tuple[Reference, ...]

    def as_markdown(self) -> str:
        """Render for a file or the terminal."""
        entries = (f"* {item.full} doi:{item.doi}" for item in self.references)
        return "\n\n".join([*self.paragraphs, "### References", "\n".join(entries)]) + "\n"


def boilerplate(
    codes: Iterable[str] | None = None, pet_to_t1w: PetToT1w = PetToT1w.MODEL
) -> Methods:
    """Describe what this version would do, before or without any scan.

    Parameters
    ----------
    codes : tracers to describe; None for all
    pet_to_t1w : how the PET is aligned
    """
    uses = [TracerUse.of_tracer(code) for code in (tracers() if codes is None else codes)]
    return describe(uses, (pet_to_t1w,), (__version__,))


def describe_records(records: Iterable[ScanRecord]) -> Methods:
    """Describe what was done to the scans that have a result."""
    done = [record for record in records if record.status is Status.OK and record.equation]
    steps = (PetToT1w.NMI if (r.method or "").endswith("nmi") else PetToT1w.MODEL for r in done)
    versions = {record.version or "unknown" for record in done} or {__version__}
    return describe(map(TracerUse.of_record, done), steps, sorted(versions))


def describe(
    uses: Iterable[TracerUse], steps: Iterable[PetToT1w], versions: Iterable[str]
) -> Methods:
    """Write the methods section for some tracers, alignment steps and versions of the app."""
    uses, steps = list(dict.fromkeys(uses)), set(steps)
    paragraphs = [
        f"Amyloid PET was quantified with CentiPET {' and '.join(versions)}, a BIDS-App "
        "({gorgolewski2017}) for PET-BIDS data ({norgaard2022}), built on Nipype "
        "({gorgolewski2011}), NumPy ({harris2020}) and SciPy ({virtanen2020}).",
        "The T1-weighted image was corrected for intensity bias, segmented into grey matter, "
        "white matter and cerebrospinal fluid, and normalised to the MNI152NLin6Asym template "
        "({evans2012}) in one model, an implementation of unified segmentation "
        "({ashburner2005}) in NumPy and SciPy.",
        f"{_windows(uses)} {_alignment(steps)} The average was then resampled once, trilinearly, "
        "from its native grid to the 2 mm template grid; no smoothing was applied.",
        "Following the standard Centiloid method ({klunk2015}), the standardised uptake value "
        "ratio (SUVR) was the mean uptake of the Centiloid cortical target volume divided by that "
        "of the whole cerebellum; cerebellar grey matter, whole cerebellum with brainstem, and "
        f"pons served as further references. {_equations(uses)}",
    ]
    return _with_references(paragraphs, [use.source for use in uses])


def _windows(uses: list[TracerUse]) -> str:
    windows = ", ".join(
        f"{use.window_min[0]:g}\N{EN DASH}{use.window_min[1]:g} min for {use.name}" for use in uses
    )
    return (
        "PET frames were averaged over the uptake window after injection"
        f"{f' ({windows})' if windows else ''}, each weighted by its seconds inside the window."
    )


def _alignment(steps: set[PetToT1w]) -> str:
    nmi = (
        "The average was aligned rigidly with the T1-weighted image by normalised mutual "
        "information ({studholme1999})"
    )
    if PetToT1w.MODEL not in steps and steps:
        return f"{nmi}."
    refined = (
        "the alignment was refined by fitting the PET as a linear combination of the "
        "participant’s own blurred tissue maps, with levels that vary smoothly over the brain, "
        "and minimising the unexplained variance"
    )
    only_some = "in part of the scans " if PetToT1w.NMI in steps else ""
    return f"{nmi}, and {only_some}{refined}."


def _equations(uses: list[TracerUse]) -> str:
    if not uses:
        return ""
    formulas = "; ".join(
        f"{use.name}: CL = {use.slope:g} × SUVR {'+' if use.intercept >= 0 else _MINUS} "
        f"{abs(use.intercept):g} ({use.source.short})"
        for use in uses
    )
    return f"SUVRs were converted to Centiloids (CL) by published equations, {formulas}."


def _with_references(paragraphs: list[str], further: list[Reference]) -> Methods:
    """Put short forms in place of the keys in braces and list what was cited."""
    known = references()
    keys = [key for text in paragraphs for key in _CITED.findall(text) if key in known]
    texts = [
        _CITED.sub(lambda m: known[m[1]].short if m[1] in known else m[0], text)
        for text in paragraphs
    ]
    cited = dict.fromkeys([*(known[key] for key in keys), *further])
    return Methods(tuple(texts), tuple(cited))
