"""The methods section, ready to paste: processing, parameters, references."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from bidsapp import __version__
from bidsapp.data import read_table
from bidsapp.data.literature import Citation, reference_of_doi, references
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracers import (
    STANDARD_REFERENCE,
    own_tracers,
    repeatability,
    tau_tracers,
    tracers,
)
from bidsapp.options.option_table import PROCESSING
from bidsapp.plain import plain
from bidsapp.record import ScanRecord, Status
from bidsapp.record.model import EquationUsed
from bidsapp.record.tracers import tracer_title
from bidsapp.settings import Interval, Processing

_MINUS = "\N{MINUS SIGN}"
_CITED = re.compile(r"\{(\w+)\}")
_DEFAULT = Processing()


@dataclass(frozen=True)
class TracerUse:
    """How one tracer was turned into Centiloids.

    Attributes
    ----------
    name : for people
    window_min : uptake window, minutes after injection
    is_own : whether a file of the user describes it
    equation : SUVR to Centiloid; None where SUVRs are given alone
    """

    name: str
    window_min: tuple[float, float]
    is_own: bool
    equation: EquationUsed | None

    @property
    def source(self) -> Citation | None:
        """Who published the equation, or where it is from."""
        if self.equation is None:
            return None
        return reference_of_doi(self.equation.doi or "", str(self.equation.source))

    @classmethod
    def of_tracer(cls, code: str, processing: Processing) -> TracerUse:
        """Use of a tracer as prescribed by the tables and the user's files.

        Parameters
        ----------
        code : of the tracer table
        processing : options of the run

        Returns
        -------
        TracerUse
        """
        tracer = tracers()[code]
        line = tracer.equations.get(STANDARD_REFERENCE)
        if processing.calibration is not None:
            scale = Pipeline(processing, code).for_centiloid().scale()
            line = scale.equations.get(scale.main)
        equation = None
        if line is not None:
            equation = EquationUsed(line.slope, line.intercept, line.source, line.doi)
        return cls(tracer.name, tracer.window_min, tracer in own_tracers(), equation)

    @classmethod
    def of_record(cls, record: ScanRecord) -> TracerUse:
        """Use of the tracer in a finished scan, as recorded then.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        TracerUse
        """
        return cls(
            name=str(tracer_title(record)),
            window_min=record.tracer_window_min or record.window_min or (0.0, 0.0),
            is_own=record.tracer_definition is not None,
            equation=record.equation,
        )


@dataclass(frozen=True)
class Methods:
    """A methods section.

    Attributes
    ----------
    paragraphs : plain text
    references : cited, in the order of first mention
    """

    paragraphs: tuple[str, ...]
    references: tuple[Citation, ...]

    def as_markdown(self) -> str:
        """Render for a file or the terminal.

        Returns
        -------
        str
        """
        entries = (f"* {item.full} doi:{item.doi}" for item in self.references)
        texts = (plain(text).replace("<", "&lt;") for text in self.paragraphs)
        return "\n\n".join([*texts, "### References", "\n".join(entries)]) + "\n"


@dataclass(frozen=True)
class Recipe:
    """How some scans were processed, from their options and records.

    Attributes
    ----------
    parameters : options, as the provenance of a record has them
    methods : ``t1w+model``, ``t1w+nmi``, the same with ``template``, ``pet-only``: each way that a
        scan was placed
    is_dynamic : whether any has several frames
    has_kinetics : whether kinetic models were fitted to any
    has_interval : whether any has an interval
    tau : tracers of tau with their uptake windows, minutes after injection
    """

    parameters: Mapping[str, Any]
    methods: frozenset[str]
    is_dynamic: bool
    has_kinetics: bool
    has_interval: bool
    tau: frozenset[tuple[str, tuple[float, float]]] = frozenset()

    @classmethod
    def of_processing(cls, processing: Processing) -> Recipe:
        """Processing by these options, of every kind of scan.

        Parameters
        ----------
        processing : options of the run

        Returns
        -------
        Recipe
        """
        method = "pet-only" if processing.pet_only else f"t1w+{processing.pet_to_t1w.value}"
        methods = {method}
        if processing.longitudinal:
            methods.add(f"template+{processing.pet_to_t1w.value}")
        return cls(asdict(processing), frozenset(methods), True, bool(processing.kinetics), True)

    @classmethod
    def of_records(cls, records: Sequence[ScanRecord]) -> Recipe:
        """Processing of finished scans; options are those of the first of them.

        Parameters
        ----------
        records : scans

        Returns
        -------
        Recipe
        """
        return cls(
            records[0].provenance.parameters if records else {},
            frozenset(record.method or "t1w+model" for record in records),
            any(record.motion is not None and record.motion.corrected for record in records),
            any(record.kinetics is not None and record.kinetics.done for record in records),
            any(record.centiloid_interval for record in records),
            frozenset(
                (tau_tracers()[record.tracer].name, record.tracer_window_min or (0.0, 0.0))
                for record in records
                if record.scales and record.tracer in tau_tracers()
            ),
        )

    def names(self, option: str) -> list[str]:
        """Names that an option lists.

        Parameters
        ----------
        option : name of the option

        Returns
        -------
        list of str
        """
        chosen = self.parameters.get(option)
        entries = chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else ()
        return [
            str(entry.get("name") if isinstance(entry, Mapping) else entry) for entry in entries
        ]

    def margin(self, atlas: str) -> str:
        """Erosion of the regions of an atlas, in words.

        Parameters
        ----------
        atlas : name of the atlas

        Returns
        -------
        str
            Empty without any.
        """
        chosen = [self.parameters.get(option) for option in ("atlases", "derivatives")]
        entries = [entry for given in chosen if isinstance(given, list | tuple) for entry in given]
        for entry in entries:
            if isinstance(entry, Mapping) and entry.get("name") == atlas and entry.get("erode_mm"):
                return f", {entry['erode_mm']:g} mm inside the border of every region"
        return ""

    def phrases(self, option: str) -> list[str]:
        """Phrases of the option table for the values that an option lists.

        Parameters
        ----------
        option : name of the option

        Returns
        -------
        list of str
        """
        known = PROCESSING[option].phrases
        return [known[name] for name in self.names(option) if name in known]

    def number(self, option: str) -> float | None:
        """Value of an option that is a number.

        Parameters
        ----------
        option : name of the option

        Returns
        -------
        float or None
        """
        value = self.parameters.get(option)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value)


def boilerplate(processing: Processing = _DEFAULT) -> Methods:
    """Describe the processing by this version, without any scan.

    Parameters
    ----------
    processing : options of the run

    Returns
    -------
    Methods
    """
    uses = [TracerUse.of_tracer(code, processing) for code in tracers()]
    return describe(uses, Recipe.of_processing(processing), (__version__,))


def describe_records(records: Iterable[ScanRecord]) -> Methods:
    """Describe the processing of the scans that have a result.

    Parameters
    ----------
    records : scans

    Returns
    -------
    Methods
    """
    done = [record for record in records if record.status is Status.OK]
    versions = {record.version or "unknown" for record in done} or {__version__}
    uses = [TracerUse.of_record(record) for record in done if not record.scales]
    return describe(uses, Recipe.of_records(done), sorted(versions))


def describe(uses: Iterable[TracerUse], recipe: Recipe, versions: Iterable[str]) -> Methods:
    """Write the methods section for tracers, processing and versions.

    Parameters
    ----------
    uses : tracers with windows and equations
    recipe : processing of the scans
    versions : of CentiPET

    Returns
    -------
    Methods
    """
    uses = list(dict.fromkeys(uses))
    targets = ["amyloid"] if uses or not recipe.tau else []
    targets += ["tau"] if recipe.tau else []
    paragraphs = [
        _said("software", targets=_listed(targets).capitalize(), versions=" and ".join(versions)),
        _normalisation(recipe),
        f"{_motion(recipe)}{_windows(uses, recipe)} {_alignment(recipe)}"
        + _said("resampled", smoothing=_smoothing(recipe)),
        _joined([_said("suvr"), *_equations(uses), _intervals(recipe)]),
        _tau(recipe),
        _joined(_further(recipe)),
    ]
    cited = [use.source for use in uses if use.source and use.source.doi]
    return _with_references([text for text in paragraphs if text], cited)


def _said(row: str, **values: str) -> str:
    """Sentence of a row of ``methods.toml``."""
    return Template(_sentences()[row]).substitute(values)


@cache
def _sentences() -> dict[str, str]:
    return tomllib.loads((Path(__file__).parent / "methods.toml").read_text("utf-8"))


def _joined(sentences: Iterable[str]) -> str:
    return " ".join(filter(None, sentences))


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def _normalisation(recipe: Recipe) -> str:
    with_t1w, alone = _said("normalised"), _said("pet_only")
    if any(method.startswith("template") for method in recipe.methods):
        with_t1w += _said("template")
    if "pet-only" not in recipe.methods:
        return with_t1w
    if recipe.methods == {"pet-only"}:
        return alone[0].upper() + alone[1:]
    return _said("mixed", with_t1w=with_t1w, alone=alone)


def _motion(recipe: Recipe) -> str:
    aligned = recipe.is_dynamic and recipe.parameters.get("motion_correction") is not False
    return _said("motion") if aligned else ""


def _windows(uses: list[TracerUse], recipe: Recipe) -> str:
    by_tracer = [
        (f"{use.name}{', as stated by the user' if use.is_own else ''}", use.window_min)
        for use in uses
    ]
    windows = ", ".join(
        f"{start:g}\N{EN DASH}{end:g} min for {name}"
        for name, (start, end) in dict.fromkeys([*by_tracer, *sorted(recipe.tau)])
    )
    return _said("averaged", windows=f" ({windows})" if windows else "")


def _alignment(recipe: Recipe) -> str:
    placed = {method for method in recipe.methods if method != "pet-only"}
    if recipe.methods and not placed:
        return ""
    by_information = [method.endswith("nmi") for method in placed]
    if placed and all(by_information):
        return f"{_said('aligned')}. "
    only_some = "in some scans " if any(by_information) else ""
    return f"{_said('aligned')}, and {only_some}{_said('refined')}. "


def _smoothing(recipe: Recipe) -> str:
    for option in ("smooth_fwhm_mm", "target_resolution_mm"):
        if (width_mm := recipe.number(option)) is not None:
            return PROCESSING[option].phrase.format(width_mm)
    return _said("not_smoothed")


def _equations(uses: list[TracerUse]) -> Iterator[str]:
    lines, used, published = [], set(), True
    for use in uses:
        if use.equation is not None and (source := use.source) is not None:
            line, sign = use.equation, "+" if use.equation.intercept >= 0 else _MINUS
            used.add(use.name)
            published &= bool(source.doi)
            lines.append(
                f"{use.name}: CL = {line.slope:g} × SUVR {sign} {abs(line.intercept):g} "
                f"({source.short})"
            )
    if lines:
        by = "published equations" if published else "the equations"
        yield _said("equations", by=by, lines="; ".join(lines))
    if bare := list(dict.fromkeys(use.name for use in uses if use.name not in used)):
        yield _said("no_equation", names=_listed(bare))


def _intervals(recipe: Recipe) -> str:
    if not recipe.has_interval:
        return ""
    names = PROCESSING["interval"].phrases
    chosen = str(recipe.parameters.get("interval", Interval.PIB))
    deciding = names.get(chosen, names[Interval.PIB])
    return _said("intervals", percent=f"{100 * repeatability():g}", deciding=deciding)


def _tau(recipe: Recipe) -> str:
    if not recipe.tau:
        return ""
    own = _said("own_tau_lines") if recipe.parameters.get("tau_calibration") else ""
    return _said("tau", own=own)


def _further(recipe: Recipe) -> Iterator[str]:
    """Regions, kinetics and partial volume: measurements besides the Centiloid."""
    if recipe.parameters.get("initial_transform"):
        yield PROCESSING["initial_transform"].phrase
    if atlases := _atlases(recipe):
        yield _said("atlases", names=_listed(atlases))
    if references := _references(recipe):
        yield _said("references", names="; ".join(references))
    if recipe.has_kinetics and (models := recipe.phrases("kinetics")):
        yield _said("kinetics", names=_listed(models))
    if methods := recipe.phrases("pvc"):
        yield _said("pvc", names=_listed(methods))


def _atlases(recipe: Recipe) -> list[str]:
    known = read_table("atlases")
    programs = {n: definition["title"] for made in read_table("parcellations").values()
                for n, definition in made.items()}  # fmt: skip
    named = [
        f"{name} ({programs[name]}{recipe.margin(name)})" for name in recipe.names("derivatives")
    ]
    for name in recipe.names("atlases"):
        if name in known and name != "Centiloid":
            named.append(f"{name} ({{{known[name]['reference']}}})")
        elif name != "Centiloid":
            named.append(f"{name} (of the user{recipe.margin(name)})")
    return named


def _references(recipe: Recipe) -> list[str]:
    """Reference regions besides the four of the Centiloid project."""
    known = read_table("reference_regions")
    return [
        known[name]["description"][:1].lower() + known[name]["description"][1:]
        if name in known
        else f"{name} (of the user)"
        for name in recipe.names("reference_regions")
    ]


def _with_references(paragraphs: list[str], further: list[Citation]) -> Methods:
    """Put short forms in place of the keys in braces and list what was cited."""
    known = references()
    keys = [key for text in paragraphs for key in _CITED.findall(text) if key in known]
    texts = [
        _CITED.sub(lambda m: known[m[1]].short if m[1] in known else m[0], text)
        for text in paragraphs
    ]
    cited = dict.fromkeys([*(known[key] for key in keys), *further])
    return Methods(tuple(texts), tuple(cited))
