"""Figures from derivatives: the images that each needs, and messages for those that are missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, priors, template, template_mask, vois
from bidsapp.data.display import ReadScale, display_of, read_scale
from bidsapp.data.reference_regions import references
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.io.nifti import load_displacements, load_volume, read_frames, read_shape
from bidsapp.record import ScanRecord, Status
from bidsapp.record.stored import StoredScan
from bidsapp.report import pictures
from bidsapp.report.deformation import deformation
from bidsapp.report.figure import FULL, Figure, Pixels, title_of
from bidsapp.report.image_frame import ImageFrame
from bidsapp.report.intensities import intensity_histogram
from bidsapp.report.mosaic import Layout, lay_out_around
from bidsapp.report.surface import cortex_from_outside
from bidsapp.report.viewer import (
    Block,
    label_block,
    measured_block,
    moved,
    picture_block,
    scattered_label_block,
    values_block,
)
from bidsapp.settings import ReferenceChoice

_LOG = logging.getLogger(__name__)

_Given = TypeVar("_Given")

# What the viewer shows around the brain, mm.
_MARGIN_MM = 10.0
_START = np.array([-8.0, -52.0, 26.0])  # precuneus, where amyloid comes early; template, mm
_MOST_VALUES = 100_000_000  # of a dynamic scan whose frames are shown: reading more takes seconds
_MOST_VOXELS = 7_500_000  # of a T1w in a page; a head of 1 mm has six million
VOI_BITS = ("ctx", "wc", "cg", "brainstem", "pons")


@dataclass(frozen=True)
class Problem:
    """A figure that could not be drawn.

    Attributes
    ----------
    title : of the figure
    sentence : the reason
    """

    title: str
    sentence: str


Item = Figure | Problem


@dataclass(frozen=True)
class ViewerData:
    """Data of the viewer of a scan; blocks that scans share have the same name.

    Attributes
    ----------
    spaces : in the order of the page, as the script reads them: ``name``; ``low``, ``high`` and
        ``start``, corners of what is shown and place of the cross-hair at first, mm along the axes
        of the frame; ``to_world``, rows of a 4 x 4 from these to the world, RAS mm; ``pet``,
        ``anatomy``, ``labels``, names of blocks; ``frames`` of a dynamic scan, each with ``pet``
        (name of a block), ``label`` and ``top``, kBq/ml
    blocks : voxels by name
    """

    spaces: tuple[dict[str, Any], ...]
    blocks: dict[str, Block] = field(hash=False)


@dataclass(frozen=True)
class Detail:
    """How much of each scan a page can hold, so that it stays below 6 MB.

    Attributes
    ----------
    frames : whether the viewer shows the frames of a dynamic scan
    native : whether it shows the participant's own space as well
    step_mm : voxels of PET in the viewer; None for no viewer
    pixels : of pictures; files in ``figures/`` have them all
    """

    frames: bool
    native: bool
    step_mm: float | None
    pixels: Pixels

    @classmethod
    def levels(cls, n: int) -> tuple[Detail, ...]:
        """Levels of detail that may be used, the richest first.

        Parameters
        ----------
        n : finished scans on the page

        Returns
        -------
        (Detail, ...)
        """
        small, tiny = Pixels(quality=60, scale=0.7), Pixels(quality=40, scale=0.5)
        levels = (
            cls(frames=True, native=True, step_mm=2.0, pixels=FULL),
            cls(frames=False, native=True, step_mm=2.0, pixels=FULL),
            cls(frames=False, native=False, step_mm=2.0, pixels=FULL),
            cls(frames=False, native=False, step_mm=4.0, pixels=small),
            cls(frames=False, native=False, step_mm=4.0, pixels=tiny),
            cls(frames=False, native=False, step_mm=None, pixels=tiny),
            cls(frames=False, native=False, step_mm=None, pixels=Pixels(quality=30, scale=0.3)),
        )
        return levels[min(n, 4) if n > 1 else 0 :]


@dataclass(frozen=True)
class _Anatomy:
    """Images of one T1w, and the cuts through its brain."""

    t1w: Volume
    brain: Volume
    white: Volume
    layout: Layout


class FigureMaker:
    """Draws the figures of the scans of a participant; the T1w that scans share is read once.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    """

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        # One T1w at a time: scans come sorted by session, and a T1w is some 200 MB of images. What
        # loads them does not know this object, or both would outlive their last use.
        self._heads, self._ratios = _shared(_load_anatomy), _shared(_load_ratio, 2)
        self._heads_mni = _shared(partial(load_volume, ndim=3))

    def of_scan(self, record: ScanRecord) -> list[Item]:
        """Figures of a finished scan in the order of the page, or the problem instead of one.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        list of Item
        """
        draw: dict[str, Callable[[ScanRecord], Figure]]
        if record.t1w_source is None:
            draw = {"vois": self._regions, "deformation": self._deformation}
        else:
            draw = {"alignment": self._alignment, "vois": self._regions, "coverage": self._coverage}
        draw["suvr"] = self._uptake
        return [self._drawn(name, partial(make, record)) for name, make in draw.items()]

    def of_t1w(self, record: ScanRecord) -> list[Item]:
        """Figures of the T1w of a scan; also of a failed scan, as far as it was processed.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        list
            Empty when the scan has no T1w, or its T1w never got to the template.
        """
        mni = self._stored(record).path("t1w_mni")
        if record.t1w_source is None or (record.status is not Status.OK and not mni.exists()):
            return []
        return [
            self._drawn("normalisation", partial(self._normalisation, record)),
            self._drawn("tissue", partial(self._tissue, record)),
            self._drawn("deformation", partial(self._deformation, record)),
            *(
                [self._drawn("intensities", partial(intensity_histogram, record.t1w_intensities))]
                if record.t1w_intensities
                else []
            ),
        ]

    def viewer(self, record: ScanRecord, detail: Detail) -> ViewerData | Problem | None:
        """Images for the viewer of a finished scan.

        Parameters
        ----------
        record : of a scan
        detail : level of detail of the page

        Returns
        -------
        ViewerData | Problem or None
            None when the page has no room for them.
        """
        if detail.step_mm is None:
            return None
        try:
            return self._viewer(record, detail, detail.step_mm)
        except CentipetError as error:
            return Problem("Viewer", self._relative(error))

    def glance(self, record: ScanRecord) -> Item:
        """A strip of few slices of the uptake of a finished scan, for the top of its page.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        Item
        """
        return self._drawn("glance", partial(self._uptake, record, glance=True))

    def pattern(self, record: ScanRecord) -> Item:
        """The uptake on the surface of the cortex of a finished scan.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        Item
        """
        suvr = partial(self._on_mni, record)
        return self._drawn("pattern", lambda: cortex_from_outside(suvr(), record.tracer))

    def read_scale(self, record: ScanRecord) -> ReadScale:
        """Colour scale with which readers of the tracer view a scan.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        ReadScale
        """

        def level(anchor: str) -> float | None:
            if anchor in record.voi:
                uptake, reference = record.uptake(anchor), record.uptake("wc")
                return uptake / reference if uptake and reference else None
            (deep,) = (ref for ref in references([ReferenceChoice(anchor)]) if ref.name == anchor)
            try:
                values = self._on_mni(record).data.reshape(-1)[deep.regions.voxels]
            except CentipetError:
                return None
            measured = values[values > 0]
            return float(measured.mean(dtype=np.float64)) if measured.size else None

        return read_scale(record.tracer, level)

    def _uptake(self, record: ScanRecord, glance: bool = False) -> Figure:
        if record.t1w_source is None:
            suvr, t1w, brain = self._on_mni(record), template(2), template_mask(2)
            layout = pictures.mni_brain_layout()
        else:
            on = self._anatomy(record)
            t1w, brain, layout = on.t1w, on.brain, on.layout
            suvr = self._on_t1w(record)
        if glance:
            layout = lay_out_around(brain, counts=(4, 1, 1), one_row=True)
        return pictures.suvr_over_anatomy(
            suvr, t1w, layout, record.tracer, self.read_scale(record),
            template=record.t1w_source is None, glance=glance,
        )  # fmt: skip

    def _regions(self, record: ScanRecord) -> Figure:
        anatomy = self._mni_anatomy(record)
        return pictures.vois_on_pet(self._on_mni(record), anatomy, _outlined_vois(), record.tracer)

    def _alignment(self, record: ScanRecord) -> Figure:
        on, suvr = self._anatomy(record), self._on_t1w(record)
        return pictures.tissue_on_pet(suvr, on.t1w, on.white, on.brain, on.layout, record.tracer)

    def _coverage(self, record: ScanRecord) -> Figure:
        on = self._anatomy(record)
        pet = load_volume(self._stored(record).path("pet_native"), ndim=3)
        to_t1w = np.linalg.inv(self._stored(record).t1w_to_pet()) @ pet.affine
        return pictures.field_of_view(on.t1w, on.brain, pet.data.shape, to_t1w)

    def _normalisation(self, record: ScanRecord) -> Figure:
        return pictures.template_on_t1w(self._mni_anatomy(record), template(2), priors())

    def _tissue(self, record: ScanRecord) -> Figure:
        on = self._anatomy(record)
        grey, fluid = (load_volume(self._stored(record).path(key), ndim=3) for key in ("gm", "csf"))
        return pictures.tissue_maps(on.t1w, (grey, on.white, fluid), on.layout)

    def _deformation(self, record: ScanRecord) -> Figure:
        warp = load_displacements(self._stored(record).warp)
        return deformation(warp, self._mni_anatomy(record), template_mask(2))

    def _viewer(self, record: ScanRecord, detail: Detail, step: float) -> ViewerData:
        display, blocks, spaces = display_of(record.tracer), {}, []
        # a little beyond the scale, so that the value at the cursor is right there as well
        top, scan = 1.5 * display.top, record.name
        anatomy = "-".join(label for _, label in record.t1w_entities) or "template"
        frame = _mni_frame()
        blocks[f"{scan}-mni"] = measured_block(self._on_mni(record), frame, step, top)
        blocks[f"{anatomy}-mni"] = picture_block(self._mni_anatomy(record), frame, 2.0)
        blocks["vois"] = _voi_labels()
        names = (f"{scan}-mni", f"{anatomy}-mni", "vois")
        spaces.append(_space("Template (MNI152NLin6Asym)", frame, _START, names))
        if detail.native and record.t1w_source is not None:
            on, suvr = self._anatomy(record), self._on_t1w(record)
            if suvr.data.shape != on.brain.data.shape:
                raise BadDataError(
                    f"{self._stored(record).path('pet_t1w')}: does not lie on the grid of the "
                    "T1w; run the participant level again"
                )
            frame = ImageFrame.around(on.brain, _MARGIN_MM)
            blocks[f"{scan}-t1w"] = measured_block(suvr, frame, step, top)
            fine = np.prod(frame.shape(1.0)) <= _MOST_VOXELS
            blocks[f"{anatomy}-t1w"] = picture_block(on.t1w, frame, 1.0 if fine else 1.6)
            warp = template_warp(self._stored(record).path("warp"))
            vois = [_moved_points(voi, warp) for voi in _outlined_vois().values()]
            blocks[f"{anatomy}-vois"] = scattered_label_block(vois, 0.001, frame, 2.0)
            own = (f"{scan}-t1w", f"{anatomy}-t1w", f"{anatomy}-vois")
            start = _START + _displacement(warp, _START)
            frames = self._frames(record, frame) if detail.frames else {}
            blocks |= {name: block for name, (block, _) in frames.items()}
            shown = tuple({"pet": name, **about} for name, (_, about) in frames.items())
            spaces.append(_space("T1w of the participant", frame, start, own, shown))
        return ViewerData(tuple(spaces), blocks)

    def _frames(
        self, record: ScanRecord, frame: ImageFrame
    ) -> dict[str, tuple[Block, dict[str, Any]]]:
        """Frames of a dynamic scan in the space of the T1w, coarse; none where they are too many.

        Returns
        -------
        dict
            Name -> its block, and its ``label`` and the ``top`` of the scale, kBq/ml.
        """
        path, motion = self._stored(record).path("pet_dynamic"), record.motion
        if motion is None or not path.is_file() or np.prod(read_shape(path)) > _MOST_VALUES:
            return {}
        to_pet = self._stored(record).t1w_to_pet()
        step = 4.0 if len(motion.frame_start_s) <= 12 else 6.0
        values = [moved(image, to_pet, frame, step) / 1000 for image in read_frames(path)]
        top = round(float(max(np.percentile(shown, 99.5) for shown in values)), 1) or 1.0
        if len(values) != len(motion.frame_start_s):
            return {}
        blocks = {}
        for number, shown in enumerate(values):
            begin = motion.frame_start_s[number] / 60
            label = f"{begin:.1f} to {begin + motion.frame_duration_s[number] / 60:.1f} min"
            block = values_block(shown, frame, step, 1.5 * top)
            blocks[f"{record.name}-frame{number}"] = block, {"label": label, "top": top}
        return blocks

    def _on_t1w(self, record: ScanRecord) -> Volume:
        return self._ratios(self._stored(record).path("pet_t1w"), mean_cerebellum(record))

    def _on_mni(self, record: ScanRecord) -> Volume:
        return self._ratios(self._stored(record).path("pet_mni"), mean_cerebellum(record))

    def _anatomy(self, record: ScanRecord) -> _Anatomy:
        return self._heads(*(self._stored(record).path(key) for key in ("t1w", "mask", "wm")))

    def _mni_anatomy(self, record: ScanRecord) -> Volume:
        """T1w in template space, or the template itself for a scan without T1w."""
        if record.t1w_source is None:
            return template(2)
        return self._heads_mni(self._stored(record).path("t1w_mni"))

    def _stored(self, record: ScanRecord) -> StoredScan:
        return StoredScan(self._output_dir, record)

    def _drawn(self, name: str, draw: Callable[[], Figure]) -> Item:
        """Draw a figure, or say why it is missing: one lost image must not cost the page."""
        try:
            return draw()
        except CentipetError as error:
            return Problem(title_of(name), self._relative(error))
        except Exception as error:  # a fault of ours in one picture must not cost the others
            _LOG.exception("%s could not be drawn", name)
            return Problem(
                title_of(name),
                f"the images could not be drawn ({type(error).__name__}: {error}); the numbers "
                "stand, please report this",
            )

    def _relative(self, error: CentipetError) -> str:
        """Show paths relative to the dataset: a page is the same wherever it was made."""
        return str(error).replace(f"{self._output_dir}/", "")


def _load_ratio(path: Path, mean: float) -> Volume:
    volume = load_volume(path, ndim=3)
    return Volume(np.divide(volume.data, mean, dtype=np.float32), volume.affine)


def _load_anatomy(*paths: Path) -> _Anatomy:
    t1w, brain, white = (load_volume(path, ndim=3) for path in paths)
    if not brain.data.any():
        raise BadDataError(
            f"{paths[1]}: the brain mask is empty; look at the T1w and run the "
            "participant level again"
        )
    return _Anatomy(t1w, brain, white, lay_out_around(brain))


def _shared(load: Callable[..., _Given], n_kept: int = 1) -> Callable[..., _Given]:
    """Keep what was loaded last; a thread that asks for what another one loads waits for it."""
    kept, loading = lru_cache(maxsize=n_kept)(load), Lock()

    def given(*key: Hashable) -> _Given:
        with loading:
            return kept(*key)

    return given


def mean_cerebellum(record: ScanRecord) -> float:
    """Mean uptake of the whole cerebellum, units of the PET, over which images are SUVRs.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    float

    Raises
    ------
    BadDataError
        The record has none.
    """
    if not (mean := record.uptake("wc")):
        raise BadDataError(
            f"{record.path}: has no mean uptake of the whole cerebellum (voi.wc.mean); run "
            "the participant level again"
        )
    return mean


def template_warp(path: Path) -> Volume:
    """Displacement field of a warp on the 2 mm template grid.

    Parameters
    ----------
    path : of the warp

    Returns
    -------
    Volume
        Shape (X, Y, Z, 3), mm, RAS.

    Raises
    ------
    NoInputError, BadDataError
        The file is missing or no such field.
    """
    field = load_displacements(path)
    if field.data.shape[:3] != mni_grid(2).shape:
        raise BadDataError(f"{path}: is not on the 2 mm template grid; run the participant again")
    return field


def _space(
    name: str,
    frame: ImageFrame,
    start: NDArray[np.float64],
    blocks: tuple[str, str, str],
    frames: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A space of the viewer (`ViewerData`); ``start`` is in its world, RAS mm."""
    low, high = (tuple(np.round(corner, 3).tolist()) for corner in (frame.low, frame.high))
    return {
        "name": name,
        "low": low,
        "high": high,
        "start": tuple(np.rint(transform(inverse(frame.to_world), start[None])[0]).tolist()),
        "to_world": np.round(frame.to_world, 6).tolist(),
        **dict(zip(("pet", "anatomy", "labels"), blocks, strict=True)),
        "frames": frames,
    }


def _displacement(warp: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a warp moves points of the template, RAS mm; of the nearest voxel."""
    index = np.rint(transform(inverse(warp.affine), np.atleast_2d(points))).astype(int)
    moves: NDArray[np.float64] = warp.data[tuple(index.T)].reshape(points.shape)
    return moves


def _moved_points(voi: Volume, warp: Volume) -> NDArray[np.float64]:
    """Points of a volume of interest of 1 mm each, 1/8 of a voxel, in the world of the T1w."""
    eighths = np.stack(np.meshgrid(*3 * [(-0.25, 0.25)]), axis=-1).reshape(-1, 1, 3)
    index = np.argwhere(voi.data)
    centres = transform(voi.affine, index.astype(np.float64))
    points = transform(voi.affine, (index + eighths).astype(np.float64))
    moved: NDArray[np.float64] = points + _displacement(warp, centres)
    return moved.reshape(-1, 3)


@cache
def _mni_frame() -> ImageFrame:
    return ImageFrame.around(template_mask(2), _MARGIN_MM)


@cache
def _outlined_vois() -> dict[str, Volume]:
    """Volumes of interest that are outlined: of wcb only what the cerebellum leaves of it."""
    masks = vois(2)
    shown = {**masks, "brainstem": masks["wcb"] & ~masks["wc"]}
    return {name: Volume(shown[name], mni_grid(2).affine) for name in VOI_BITS}


@cache
def _voi_labels() -> Block:
    """A bit per volume of interest, in the order of ``VOI_BITS``."""
    bits = sum(
        volume.data.astype(np.uint8) << place
        for place, volume in enumerate(_outlined_vois().values())
    )
    return label_block(Volume(np.asarray(bits), mni_grid(2).affine), _mni_frame())
