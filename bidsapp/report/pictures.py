"""The pictures of a page: what is drawn over what, in which colours, with which words.

Every picture carries its own left and right, its colour scale with units and its legend, so that
it stays true when it is copied out of the page. matplotlib is used through its object interface
(no global state) and imported on first use, for it takes longer than all the rest.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.priors import TissuePriors
from bidsapp.data.tracers import tracers
from bidsapp.report.mosaic import Layout, lay_out, sample
from bidsapp.volume import Volume

P = ParamSpec("P")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100
_FOOTER_PX = 100
_TEXT, _MUTED = "#eef1f4", "#b6bfc9"
_QUALITY = 75  # of WebP: outlines stay crisp, a page of ten scans stays below 6 MB

UPTAKE = "Uptake over anatomy"
REGIONS = "Where it was measured"
ALIGNMENT = "PET to T1w"
NORMALISATION = "T1w to template"

SUVR_COLORS = "inferno"
SUVR_OPACITY = 0.75
# The colour scale ends at the uptake of this load, so that a colour means the same amyloid in
# every tracer, and every participant of a tracer has the same scale.
SCALE_TOP_CL = 200.0
_UNKNOWN_TRACER_TOP = 3.0

# Cuts of the template brain, MNI mm: cerebellum and pons low, cortical target high.
_MNI_CUTS = {
    "axial": (-44, -30, -16, -2, 14, 32, 52),
    "coronal": (-84, -66, -50, -32, -14, 10, 36),
    "sagittal": (-46, -24, -6, 6, 24, 46),
}
_MNI_BRAIN = ((-78.0, -112.0, -66.0), (78.0, 80.0, 86.0))
_MNI_HEAD = ((-88.0, -124.0, -70.0), (88.0, 90.0, 96.0))


@dataclass(frozen=True)
class Outline:
    """A line around a region: its colour and its name in the legend."""

    color: str
    name: str


VOI_OUTLINES = {
    "ctx": Outline("#ffd166", "cortical target (ctx)"),
    "wc": Outline("#4cc9f0", "whole cerebellum (wc)"),
    "brainstem": Outline("#ff7aa8", "brainstem (in wcb only)"),
    "pons": Outline("#80ed99", "pons"),
}
_BRAIN = Outline("#4cc9f0", "brain")
_BRAIN_AND_FLUID = Outline("#4cc9f0", "brain with its fluid")
_WHITE = Outline("#ffd166", "white matter")


@dataclass(frozen=True)
class Picture:
    """A finished picture.

    Attributes
    ----------
    title, caption : shown around it
    alt : says in words what it shows, for those who cannot see it
    image : WebP
    width, height : pixels
    """

    title: str
    caption: str
    alt: str
    image: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The image as a ``data:`` address."""
        return "data:image/webp;base64," + base64.b64encode(self.image).decode("ascii")


def suvr_top(tracer: str | None) -> float:
    """Upper end of the SUVR colour scale of a tracer, one decimal."""
    if tracer is None or tracer not in tracers():
        return _UNKNOWN_TRACER_TOP
    equation = tracers()[tracer].equation
    return round((SCALE_TOP_CL - equation.intercept) / equation.slope, 1)


def _undisturbed(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Draw by matplotlib's own defaults: a person's settings may turn images upside down."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Picture:
        from matplotlib import rc_context, rcdefaults

        with rc_context():
            rcdefaults()
            return draw(*args, **kwargs)

    return drawn


@_undisturbed
def suvr_over_t1w(suvr: Volume, t1w: Volume, layout: Layout, tracer: str | None) -> Picture:
    """Uptake ratio in colour over the T1w in grey, both in the participant's own space."""
    top = suvr_top(tracer)
    share = np.clip(sample(suvr, layout) / top, 0, 1)
    opacity = SUVR_OPACITY * np.clip(share / 0.2, 0, 1)[..., None]
    colour = _colormap(SUVR_COLORS)(share)[..., :3]
    grey = _grey(sample(t1w, layout))[..., None]
    figure, _ = _canvas(layout, (1 - opacity) * grey + opacity * colour)
    _colour_bar(figure, SUVR_COLORS, top)
    return _finish(
        figure,
        title=UPTAKE,
        caption="Uptake ratio (SUVR, whole cerebellum = 1) over the bias-corrected T1w, in the "
        f"participant’s own space. The colours run from 0 to {top:.1f} for every participant with "
        f"this tracer, three quarters opaque; {top:.1f} is the uptake of {SCALE_TOP_CL:.0f} CL.",
        alt="Axial, coronal and sagittal cuts: SUVR from PET in colour over the T1w in grey.",
    )


@_undisturbed
def tissue_on_pet(
    suvr: Volume, white: Volume, brain: Volume, layout: Layout, tracer: str | None
) -> Picture:
    """Edges of the T1w's tissue on the PET: does each lie where the other says?"""
    top = suvr_top(tracer)
    figure, axes = _canvas(layout, _grey_of_suvr(suvr, layout, top))
    _outline(axes, sample(brain, layout), _BRAIN)
    _outline(axes, sample(white, layout), _WHITE)
    _colour_bar(figure, "gray", top)
    _legend(figure, (_BRAIN, _WHITE))
    return _finish(
        figure,
        title=ALIGNMENT,
        caption="PET in grey with the outlines of the brain and of the white matter from the "
        "T1w. Uptake must end at the brain’s edge on every side; a gap on one side and a spill "
        "on the other mean that the two are not aligned.",
        alt="PET cuts in grey with outlines of brain and white matter taken from the T1w.",
    )


@_undisturbed
def vois_on_pet(suvr_mni: Volume, vois: Mapping[str, Volume], tracer: str | None) -> Picture:
    """Draw the volumes of interest on the PET in template space, where they are measured.

    Parameters
    ----------
    suvr_mni : uptake ratio on the template grid
    vois : region -> mask, for every region of `VOI_OUTLINES`
    tracer : code, for the scale
    """
    top = suvr_top(tracer)
    layout = lay_out(*_MNI_BRAIN, _MNI_CUTS)
    figure, axes = _canvas(layout, _grey_of_suvr(suvr_mni, layout, top))
    for region, outline in VOI_OUTLINES.items():
        _outline(axes, sample(vois[region], layout), outline)
    _colour_bar(figure, "gray", top)
    _legend(figure, tuple(VOI_OUTLINES.values()))
    return _finish(
        figure,
        title=REGIONS,
        caption="PET in template space (MNI152NLin6Asym, 2 mm) with the outlines of the Centiloid "
        "volumes of interest. The target must cover cortex and striatum, the cerebellar outline "
        "must not reach into the occipital cortex above it or outside the brain.",
        alt="PET cuts in template space with outlines of the cortical target, the whole "
        "cerebellum, the brainstem and the pons.",
    )


@_undisturbed
def template_on_t1w(t1w_mni: Volume, priors: TissuePriors) -> Picture:
    """Edges of the template's tissue on the normalised T1w."""
    layout = lay_out(*_MNI_HEAD, _MNI_CUTS)
    brain = sample(Volume(priors.maps.sum(axis=0), priors.affine), layout)
    white = sample(Volume(priors.maps[1], priors.affine), layout)
    figure, axes = _canvas(layout, _grey(sample(t1w_mni, layout)))
    _outline(axes, brain, _BRAIN_AND_FLUID)
    _outline(axes, white, _WHITE)
    _legend(figure, (_BRAIN_AND_FLUID, _WHITE))
    return _finish(
        figure,
        title=NORMALISATION,
        caption="The participant’s T1w, warped to the template, with the outlines of the "
        "template’s brain and white matter (tissue maps at one half). Ventricles, cerebellum and "
        "the outer edge must agree within a few millimetres; folds of the cortex need not, the "
        "warp is smooth on purpose.",
        alt="Cuts of the normalised T1w in grey with outlines of brain and white matter of the "
        "template.",
    )


def _colormap(name: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name]


def _grey(canvas: NDArray[np.float32]) -> NDArray[np.float32]:
    """T1w intensities to 0..1: white matter stays below white, vessels and fat are clipped."""
    inside = canvas[canvas > 0]
    top = 1.25 * np.percentile(inside, 98) if inside.size else 1.0
    return np.clip(canvas / np.float32(max(top, 1e-6)), 0, 1)


def _grey_of_suvr(suvr: Volume, layout: Layout, top: float) -> NDArray[np.float32]:
    return np.clip(sample(suvr, layout) / top, 0, 1)


def _canvas(layout: Layout, image: NDArray[np.floating]) -> tuple[Figure, Axes]:
    """Start a black figure with the cuts, one pixel per pixel, and where each was made."""
    from matplotlib.figure import Figure

    rows, columns = layout.shape
    height = rows + _FOOTER_PX
    figure = Figure(figsize=(columns / _DPI, height / _DPI), dpi=_DPI, facecolor="black")
    axes = figure.add_axes((0, _FOOTER_PX / height, 1, rows / height))
    axes.set_axis_off()
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    axes.imshow(image, interpolation="none", aspect="auto")
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    for tile in layout.tiles:
        _write(axes, tile.left + 7, tile.top + tile.height - 8, tile.label, "left", "baseline")
    for row in dict.fromkeys(tile.top for tile in layout.tiles):
        tiles = [tile for tile in layout.tiles if tile.top == row]
        first, last = tiles[0], tiles[-1]
        _write(axes, first.left + 7, row + 7, first.ends[0], "left", "top", size=18)
        _write(axes, last.left + last.width - 7, row + 7, last.ends[1], "right", "top", size=18)
    figure.text(
        7 / columns, 13 / height, "L, R: left and right of the participant; P, A: back and front",
        color=_MUTED, size=12,
    )  # fmt: skip
    return figure, axes


def _write(axes: Axes, x: float, y: float, text: str, ha: str, va: str, size: float = 11.5) -> None:
    """Write on the picture, with a dark rim so that it reads over bright tissue."""
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=3, foreground="black", alpha=0.75)]
    weight = "bold" if size > 12 else "normal"
    axes.text(
        x, y, text, color=_TEXT, size=size, weight=weight, ha=ha, va=va, path_effects=rim
    )  # fmt: skip


def _outline(axes: Axes, canvas: NDArray[np.float32], outline: Outline) -> None:
    """Draw where ``canvas`` crosses one half, with a dark rim that keeps it apart from uptake."""
    from matplotlib.patheffects import withStroke

    if canvas.max() <= 0.5:  # nothing of the region in any cut
        return
    lines = axes.contour(canvas, levels=[0.5], colors=[outline.color], linewidths=1.5)
    lines.set_path_effects([withStroke(linewidth=3.2, foreground="black", alpha=0.55)])


def _legend(figure: Figure, outlines: Sequence[Outline]) -> None:
    """Name the outlines at the bottom left, each after a stroke of its colour."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches() * _DPI
    figure.legend(
        [Line2D([], [], color=outline.color, linewidth=3.5) for outline in outlines],
        [outline.name for outline in outlines],
        loc="lower left", bbox_to_anchor=(7 / width, 46 / height),
        ncols=len(outlines), frameon=False, labelcolor=_TEXT, fontsize=13,
        handlelength=1.3, columnspacing=1.6, borderaxespad=0, borderpad=0,
    )  # fmt: skip


def _colour_bar(figure: Figure, colors: str, top: float) -> None:
    """Scale of the colours, with units, at the bottom right."""
    height = figure.get_figheight() * _DPI
    axes = figure.add_axes((0.735, 52 / height, 0.245, 18 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=colors, aspect="auto", extent=(0, top, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([*np.arange(0, top - 0.2, 0.5), top])
    axes.tick_params(colors=_TEXT, labelsize=12, length=4, pad=3)
    for spine in axes.spines.values():
        spine.set_color(_MUTED)
    figure.text(
        0.722, 61 / height, "SUVR (cerebellum = 1)", color=_TEXT, size=12.5, ha="right",
        va="center",
    )  # fmt: skip


def _finish(figure: Figure, *, title: str, caption: str, alt: str) -> Picture:
    width, height = (round(inches * _DPI) for inches in figure.get_size_inches())
    file = io.BytesIO()
    figure.savefig(
        file, format="webp", dpi=_DPI, facecolor="black",
        pil_kwargs={"quality": _QUALITY, "method": 2},
    )  # fmt: skip
    return Picture(title, caption, alt, file.getvalue(), width, height)
