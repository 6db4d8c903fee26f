"""The participant page: a Centiloid with the evidence for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.entities import RAW_ENTITIES, join_entities
from bidsapp.core.parallel import each
from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.display import display_of, lookup
from bidsapp.data.literature import Band, Citation, scale
from bidsapp.errors import NoInputError
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.options.option_table import PROCESSING
from bidsapp.record import ScanRecord, Status, find_records
from bidsapp.record.about import age_of, dose_of, reconstruction_of, scanner_of, sex_of
from bidsapp.record.model import Entities
from bidsapp.record.stored import StoredScan
from bidsapp.record.tracers import tracer_title
from bidsapp.record.verdicts import by_weight, is_doubtful
from bidsapp.report import charts
from bidsapp.report.evidence import (
    VOI_BITS,
    Detail,
    FigureMaker,
    Item,
    Problem,
    ViewerData,
)
from bidsapp.report.figure import Figure, save_figures
from bidsapp.report.lights import Light, lights
from bidsapp.report.measures import (
    BothSides,
    corrected,
    decay_time_min,
    kinetics,
    regions_of_readers,
    time_and_regions,
)
from bidsapp.report.methods import describe_records
from bidsapp.report.pictures import VOI_OUTLINES
from bidsapp.report.render import base64_text, number, render_page
from bidsapp.report.viewer import Block
from bidsapp.settings import Interval

_LARGEST = 5_900_000  # characters of a page, nearly all of them one byte
_SCRIPTS = ("layers.js", "viewer.js", "ratings.js")
_STYLES = ("page.css", "chart.css", "rating.css", "print.css")


@dataclass(frozen=True)
class ScanView:
    """A scan as the page shows it.

    Attributes
    ----------
    glance, pattern : strip of few cuts for the top, cortex from outside
    figures : evidence from images
    charts : regions, activity over time, motion: what the derivatives have of them
    sides : regions that readers look at
    decay_min : what the uptake of the volumes is decay-corrected to, minutes after injection
    viewer : images for the viewer, or why there are none; None when the page has no room
    """

    record: ScanRecord
    glance: Item | None = None
    pattern: Item | None = None
    figures: tuple[Item, ...] = ()
    charts: tuple[Figure, ...] = ()
    sides: tuple[BothSides, ...] = ()
    decay_min: float | None = None
    viewer: ViewerData | Problem | None = None

    @property
    def tracer(self) -> str:
        """Name of the tracer for people."""
        return tracer_title(self.record) or "PET"

    @property
    def who(self) -> dict[str, str]:
        """Participant and scan, as far as known."""
        record, window = self.record, self.record.window_min
        age, dose = age_of(record), dose_of(record)
        person = (None if age is None else f"{age:g} years", sex_of(record))
        minutes = "" if window is None else f"{number(window[0], 0)} to {number(window[1], 0)} min"
        facts = {
            "Age, sex": ", ".join(filter(None, person)),
            "Scanner": scanner_of(record),
            "Reconstruction": reconstruction_of(record),
            "Tracer": ", ".join(filter(None, (self.tracer, dose))),
            "Window": minutes and f"{minutes} after injection",
            "Site": record.site,
        }
        return {name: words for name, words in facts.items() if words}

    @property
    def parameters(self) -> dict[str, str]:
        """Options of the run that were set, in words."""
        worded = {key: _worded(value) for key, value in self.record.provenance.parameters.items()}
        return {key: words for key, words in worded.items() if words}

    @property
    def is_ok(self) -> bool:
        """Whether there is a result."""
        return self.record.status is Status.OK

    @property
    def verdict(self) -> str:
        """Status; of a result with flags ``check``, or ``doubt`` if one doubts the number."""
        if self.is_ok and self.record.flags:
            return "doubt" if is_doubtful(self.record.flags) else "check"
        return self.record.status.value

    @property
    def flags(self) -> list[tuple[Flag, bool]]:
        """Flags, and whether each puts the number in doubt; those that do come first."""
        return [(flag, is_doubtful([flag])) for flag in by_weight(self.record.flags)]

    @property
    def band(self) -> Band | None:
        """Band of the Centiloid; None where a flag doubts the number."""
        code = self.record.band
        return next((band for band in scale().bands if code and band.name == code.name), None)

    @property
    def crossed(self) -> list[str]:
        """Edges of bands inside the interval, CL."""
        return [f"{edge:g}" for edge in self.record.band.crossed] if self.record.band else []

    @property
    def source(self) -> Citation:
        """Who published the bands."""
        return scale().source

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals by their meaning, CL."""
        names = PROCESSING["interval"].phrases
        ends = {
            Interval.RESCAN: self.record.rescan_interval,
            Interval.PIB: self.record.centiloid_interval,
        }
        return {names[kind]: interval for kind, interval in ends.items() if interval is not None}

    @property
    def deciding(self) -> str:
        """What the interval is of that band and cut-offs are read by."""
        return PROCESSING["interval"].phrases[self.record.interval or Interval.PIB]

    @cached_property
    def scale(self) -> Figure | None:
        """The Centiloid on the scale."""
        value = self.record.centiloid
        if value is None:
            return None
        words = None if self.band is None else self.band.label
        return charts.centiloid_scale(value, scale(), self.intervals, words)

    @cached_property
    def timeline(self) -> Figure | None:
        """Injection, frames, window."""
        return charts.timeline(self.record)

    @cached_property
    def kinetics(self) -> dict[str, dict[str, tuple[float | None, float | None]]]:
        """Kinetic models of the cortical target."""
        return kinetics(self.record)

    @cached_property
    def corrected(self) -> dict[str, dict[str, float | None]]:
        """SUVRs with correction for partial volume."""
        return corrected(self.record)

    @cached_property
    def lights(self) -> list[Light]:
        """Traffic lights."""
        return lights(self.record)

    @property
    def viewer_step(self) -> float:
        """SUVR between two steps of the viewer's images."""
        assert isinstance(self.viewer, ViewerData)
        return self.viewer.blocks[self.viewer.spaces[0]["pet"]].slope


def write_page(output_dir: Path, participant: str) -> Path:
    """Write ``sub-<participant>.html`` over every PET scan of a participant, and its figures.

    Parameters
    ----------
    output_dir : root of the derivative dataset, the only input
    participant : label, with or without ``sub-``

    Returns
    -------
    Path
        The page: self-contained, no request to any host. The figures are files of their own in
        ``sub-<participant>/figures/``, with a table of their captions.

    Raises
    ------
    NoInputError
        There is no record of this participant.
    StorageError
        The page or a figure cannot be written.
    """
    label = participant.removeprefix("sub-")
    records = find_records(output_dir, label)
    if not records:
        raise NoInputError(
            f"{output_dir / f'sub-{label}'}: contains no *_centiloid.json to report on; run the "
            "participant level first"
        )
    evidence = FigureMaker(output_dir)
    levels = Detail.levels(sum(record.status is Status.OK for record in records))
    scans: list[ScanView] = []
    anatomy: dict[Entities, tuple[str, list[Item]]] = {}
    for record in records:
        t1w, stored = record.t1w_entities, StoredScan(output_dir, record)
        scan, items = _view(stored, evidence, levels[0], with_t1w=t1w not in anatomy)
        if items:
            anatomy[t1w] = (Path(record.t1w_source or "").name, items)
        scans.append(scan)
    context = {
        "label": label,
        "anatomy": list(anatomy.values()),
        "methods": describe_records(records),
        "hashes": {record.name: file_hash(output_dir / record.path) for record in records},
        "regions": read_table("display")["volumes"],
        "colours": read_table("display")["colours"],
        "version": __version__,
    }
    figures = output_dir / f"sub-{label}" / "figures"
    page, _ = _all_of(
        partial(_page, scans, levels[0], context),
        partial(save_figures, figures, _by_name(scans, anatomy)),
    )
    for detail in levels[1:]:
        if len(page) < _LARGEST:
            break
        scans = [
            replace(scan, viewer=evidence.viewer(scan.record, detail) if scan.is_ok else None)
            for scan in scans
        ]
        page = _page(scans, detail, context)
    return write_text(output_dir / f"sub-{label}.html", page)


def _page(scans: Sequence[ScanView], detail: Detail, context: Mapping[str, Any]) -> str:
    viewers = {
        number: (scan.record, scan.viewer)
        for number, scan in enumerate(scans, start=1)
        if isinstance(scan.viewer, ViewerData)
    }
    blocks: dict[str, Block] = {}
    for _, viewer in viewers.values():
        blocks |= viewer.blocks
    return render_page(
        "participant.html",
        _SCRIPTS,
        _STYLES,
        scans=scans,
        pixels=detail.pixels,
        blocks=blocks,
        viewer_data=_viewer_data(viewers, blocks) if viewers else None,
        **context,
    )


def _all_of(*works: Callable[[], Any]) -> list[Any]:
    """Results of several works, in threads; the largest come first."""
    return each(lambda work: work(), works)


def _view(
    scan: StoredScan, evidence: FigureMaker, detail: Detail, *, with_t1w: bool
) -> tuple[ScanView, list[Item]]:
    """What is to be seen of a scan, and the figures of its T1w."""
    record = scan.record
    of_t1w = partial(evidence.of_t1w, record) if with_t1w else list
    if record.status is not Status.OK:
        return ScanView(record), of_t1w()
    items, figures, viewer, glance, pattern = _all_of(
        of_t1w,
        partial(evidence.of_scan, record),
        partial(evidence.viewer, record, detail),
        partial(evidence.glance, record),
        partial(evidence.pattern, record),
    )
    view = ScanView(
        record,
        figures=tuple(figures),
        viewer=viewer,
        glance=glance,
        pattern=pattern,
        charts=tuple(time_and_regions(scan)),
        sides=tuple(regions_of_readers(scan)),
        decay_min=decay_time_min(scan),
    )
    return view, items


def _worded(value: object) -> str:
    """An option's value for people; empty when it was not set."""
    if isinstance(value, Mapping):
        parts = ((key, _worded(item)) for key, item in value.items())
        return ", ".join(f"{key} {words}" for key, words in parts if words)
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(_worded, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _by_name(
    scans: Iterable[ScanView], anatomy: Mapping[Entities, tuple[str, list[Item]]]
) -> dict[str, Figure]:
    """Figures of finished scans and of their T1w by the names of their files."""
    named: dict[str, Figure] = {}
    for scan in scans:
        if scan.is_ok:
            shown = (scan.scale, scan.glance, scan.pattern, *scan.figures, *scan.charts)
            for item in (*shown, scan.timeline):
                if isinstance(item, Figure):
                    named[f"{scan.record.name}_desc-{item.name}_pet"] = item
    for entities, (_, items) in anatomy.items():
        for item in items:
            if isinstance(item, Figure):
                known = {key: value for key, value in entities if key in RAW_ENTITIES["anat"]}
                named[f"{join_entities(known)}_desc-{item.name}_T1w"] = item
    return named


def _viewer_data(
    viewers: Mapping[int, tuple[ScanRecord, ViewerData]], blocks: Mapping[str, Block]
) -> dict[str, Any]:
    """What ``assets/viewer.js`` has to know; ``element`` is the id the template gives."""
    return {
        "blocks": {name: block.about for name, block in blocks.items()},
        "colours": {
            name: base64_text(lookup(name).tobytes()) for name in read_table("display")["colours"]
        },
        "viewers": [
            {
                "element": f"scan-{number}-viewer",
                "top": display_of(record.tracer).top,
                "colours": display_of(record.tracer).over_colours,
                "spaces": viewer.spaces,
            }
            for number, (record, viewer) in viewers.items()
        ],
        "regions": [_region(name, place) for place, name in enumerate(VOI_BITS)],
    }


def _region(name: str, place: int) -> dict[str, Any]:
    """A region of the viewer: its bit, its name, and its colour when it is outlined."""
    outline = VOI_OUTLINES.get(name)
    rgb = list(bytes.fromhex(outline.colour.removeprefix("#"))) if outline else None
    words = outline.name if outline else f"{read_table('display')['volumes'][name]} ({name})"
    return {"bit": 1 << place, "name": words, "rgb": rgb}
