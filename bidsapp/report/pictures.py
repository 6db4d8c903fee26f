"""The image figures of a page: layers, colours, outlines and captions.

Every picture carries its own left and right, its colour scale with units and its legend, so that
it stays true when it is copied out of the page. Functions take volumes and give a `Figure`; none
reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.volume import Volume, mask_centre
from bidsapp.data.display import ReadScale, coloured, colours_in_words, display_of
from bidsapp.report.figure import NOTHING, Figure, Layer, Words
from bidsapp.report.image_frame import ImageFrame
from bidsapp.report.lines import (
    FOOTER_PX,
    Outline,
    colour_bar,
    legend,
    outline,
    places,
)
from bidsapp.report.mosaic import PLANES, Layout, inside, lay_out, sample
from bidsapp.report.svg import join, tag

# Over the T1w: as opaque as this from a fifth of the scale on, clear where there is no uptake;
# with more the anatomy is lost.
_OPACITY = 0.6

# Cuts of the template brain, MNI mm: cerebellum and pons low, cortical target high.
_MNI_CUTS = {
    "axial": (-44, -30, -16, -2, 14, 32, 52),
    "coronal": (-84, -66, -50, -32, -14, 10, 36),
    "sagittal": (-46, -24, -6, 6, 24, 46),
}
_MNI_BRAIN = ((-78.0, -112.0, -66.0), (78.0, 80.0, 86.0))
_MNI_HEAD = ((-88.0, -124.0, -70.0), (88.0, 90.0, 96.0))

VOI_OUTLINES = {
    "ctx": Outline("#ffd166", "cortical target (ctx)"),
    "wc": Outline("#4cc9f0", "whole cerebellum (wc)"),
    "brainstem": Outline("#ff7aa8", "brainstem (in wcb only)"),
    "pons": Outline("#80ed99", "pons"),
}
_BRAIN = Outline("#4cc9f0", "brain")
_BRAIN_AND_FLUID = Outline("#4cc9f0", "brain and CSF")
_WHITE = Outline("#ffd166", "white matter")
_EDGE = Outline("#ffd166", "edge of the field of view of the PET")
_OUTSIDE = Outline("#a8302a", "outside the field of view of the PET")
_TISSUES = (
    Outline("#e4572e", "grey matter"),
    Outline("#f3e9d2", "white matter"),
    Outline("#3a86c8", "cerebrospinal fluid"),
)


def mni_brain_layout() -> Layout:
    """Slices through the brain of the template, the same for all scans.

    Returns
    -------
    Layout
    """
    return lay_out(*_MNI_BRAIN, _MNI_CUTS)


def suvr_over_anatomy(
    suvr: Volume,
    t1w: Volume,
    layout: Layout,
    tracer: str | None,
    read: ReadScale | None = None,
    *,
    template: bool = False,
    glance: bool = False,
) -> Figure:
    """Uptake ratio in colour over the T1w in grey, and alone in the colours of its readers.

    Parameters
    ----------
    suvr : uptake ratio, whole cerebellum = 1
    t1w : in the same world
    layout : cuts to show
    tracer : code, for colours and scale
    read : scale of the PET alone; None for that of the PET over the T1w
    template : whether ``t1w`` is the template, where there is no T1w
    glance : whether it is the strip at the top of a page

    Returns
    -------
    Figure
    """
    display = display_of(tracer)
    read = read or ReadScale(display.top, "")
    uptake = sample(suvr, layout)
    share = np.clip(uptake / display.top, 0, 1)
    grey = grey_levels(sample(t1w, layout))
    opacity = np.float32(_OPACITY) * np.clip(share / 0.2, 0, 1)[..., None]
    over = (1 - opacity) * grey[..., None] + opacity * coloured(share, display.over_colours)
    alone = coloured(uptake / read.top, display.read_colours) * _on_a_cut(layout)[..., None]
    below = "T1w of the template, as the participant has none" if template else "bias-corrected T1w"
    where = "in template space" if template else "in the participant’s own space"
    layers = (
        as_layer("PET over T1w", over, colour_bar(layout, display.over_colours, display.top)),
        as_layer("PET as read", alone, colour_bar(layout, display.read_colours, read.top)),
        as_layer("T1w", grey),
    )
    words = Words.of(
        "glance" if glance else "suvr",
        below=below,
        where=where,
        colours=colours_in_words(display.over_colours),
        top=display.top,
        load="" if display.top_cl is None else f", the uptake of {display.top_cl:g} CL",
        readers=display.read_source,
        scale=read.words,
    )
    words = replace(words, caption=words.caption.rstrip())
    return framed(layout, words, layers=layers[:2] if glance else layers)


def vois_on_pet(
    suvr_mni: Volume, anatomy: Volume, vois: Mapping[str, Volume], tracer: str | None
) -> Figure:
    """Outline the volumes of interest on PET and T1w in template space, where they are measured.

    Parameters
    ----------
    suvr_mni : uptake ratio on the template grid
    anatomy : T1w in template space
    vois : region -> mask, for every region of `VOI_OUTLINES`
    tracer : code, for the scale

    Returns
    -------
    Figure
    """
    layout = mni_brain_layout()
    return framed(
        layout,
        Words.of("vois"),
        layers=(
            _pet_layer(suvr_mni, layout, tracer),
            as_layer("T1w", grey_levels(sample(anatomy, layout))),
        ),
        outlines=[(sample(vois[name], layout), style) for name, style in VOI_OUTLINES.items()],
    )


def tissue_on_pet(
    suvr: Volume, t1w: Volume, white: Volume, brain: Volume, layout: Layout, tracer: str | None
) -> Figure:
    """Edges of the T1w's tissue on the PET, to check the registration.

    Parameters
    ----------
    suvr : uptake ratio, own space
    t1w, white, brain : T1w, probability of white matter, mask; own space
    layout : cuts to show
    tracer : code, for the scale

    Returns
    -------
    Figure
    """
    return framed(
        layout,
        Words.of("alignment"),
        layers=(
            _pet_layer(suvr, layout, tracer),
            as_layer("T1w", grey_levels(sample(t1w, layout))),
        ),
        outlines=[(sample(brain, layout), _BRAIN), (sample(white, layout), _WHITE)],
    )


def template_on_t1w(t1w_mni: Volume, template: Volume, priors: TissuePriors) -> Figure:
    """Edges of the template's tissue on the normalised T1w, and the template to flicker with.

    Parameters
    ----------
    t1w_mni : T1w in template space
    template : on any grid of the template
    priors : tissue maps of the template

    Returns
    -------
    Figure
    """
    layout = lay_out(*_MNI_HEAD, _MNI_CUTS)
    brain = sample(Volume(priors.maps.sum(axis=0), priors.affine), layout)
    white = sample(Volume(priors.maps[1], priors.affine), layout)
    return framed(
        layout,
        Words.of("normalisation"),
        layers=(
            as_layer("T1w of the participant", grey_levels(sample(t1w_mni, layout))),
            as_layer("Template", grey_levels(sample(template, layout))),
        ),
        outlines=[(brain, _BRAIN_AND_FLUID), (white, _WHITE)],
    )


def tissue_maps(t1w: Volume, maps: Sequence[Volume], layout: Layout) -> Figure:
    """Probabilities of grey matter, white matter and fluid in colour over the T1w.

    Parameters
    ----------
    t1w : own space
    maps : grey matter, white matter, fluid, 0 to 1
    layout : cuts to show

    Returns
    -------
    Figure
    """
    grey = grey_levels(sample(t1w, layout))
    shares = np.stack([sample(tissue, layout) for tissue in maps], axis=-1)
    mixed = shares @ np.array([_rgb(tissue.colour) for tissue in _TISSUES], np.float32)
    total = 0.6 * np.clip(shares.sum(axis=-1), 0, 1)[..., None]
    # the mixture is weighted by the probabilities already
    over = (1 - total) * grey[..., None] + 0.6 * np.clip(mixed, 0, 255)
    return framed(
        layout,
        Words.of("tissue"),
        layers=(as_layer("Tissue over T1w", over, legend(layout, _TISSUES)), as_layer("T1w", grey)),
    )


def field_of_view(
    t1w: Volume, brain: Volume, pet_shape: Sequence[int], pet_affine: NDArray[np.float64]
) -> Figure:
    """Show the part of the head inside the field of view of the PET.

    Parameters
    ----------
    t1w, brain : own space; ``brain`` is a mask
    pet_shape : voxels of the native PET
    pet_affine : its voxel indices -> world of the T1w, RAS mm

    Returns
    -------
    Figure
    """
    frame = ImageFrame.of(t1w)
    centre = transform(inverse(frame.to_world) @ brain.affine, mask_centre(brain.data != 0))
    cuts = {name: (centre[axis],) for name, axis, _, _ in PLANES}
    layout = lay_out(frame.low, frame.high, cuts, one_row=True, to_world=frame.to_world)
    seen = inside(pet_shape, pet_affine, layout)
    grey = np.repeat(grey_levels(sample(t1w, layout))[..., None], 3, axis=2).astype(np.float32)
    missed = (~seen & _on_a_cut(layout))[..., None]
    shaded = np.where(missed, 0.5 * grey + 0.45 * _rgb(_OUTSIDE.colour), grey)
    return framed(
        layout,
        Words.of("coverage"),
        layers=(as_layer("T1w", shaded),),
        outlines=[
            (seen.astype(np.float32), _EDGE),
            (sample(Volume(brain.data, brain.affine), layout), _BRAIN),
        ],
        entries=(_EDGE, _BRAIN, _OUTSIDE),
    )


def framed(
    layout: Layout,
    words: Words,
    *,
    layers: tuple[Layer, ...],
    outlines: Sequence[tuple[NDArray[np.float32], Outline]] = (),
    entries: Sequence[Outline] | None = None,
) -> Figure:
    """Make a figure of layers on a layout, with outlines, places and a legend.

    Parameters
    ----------
    layout : of every layer
    words : about the figure
    layers : first one shown
    outlines : (canvas, style), drawn where the canvas crosses one half
    entries : of the legend; None for the outlines

    Returns
    -------
    Figure
    """
    rows, columns = layout.shape
    height = rows + FOOTER_PX
    footer = tag("rect", y=float(rows), width=columns, height=FOOTER_PX, fill="#000")
    styles = [style for _, style in outlines] if entries is None else list(entries)
    keyed = [Layer(layer.name, layer.pixels, join([footer, layer.key])) for layer in layers]
    return Figure(
        **asdict(words),
        width=columns,
        height=height,
        layers=tuple(keyed),
        drawing=join([
            *(outline(canvas, style) for canvas, style in outlines),
            places(layout),
            legend(layout, styles),
        ]),
        outlines=tuple(style.name for _, style in outlines),
    )  # fmt: skip


def as_layer(name: str, pixels: NDArray[np.number], key: Markup = NOTHING) -> Layer:
    """Make a layer of values from 0 to 255.

    Parameters
    ----------
    name : of the layer
    pixels : 0 to 255, clipped
    key : legend of the layer

    Returns
    -------
    Layer
    """
    return Layer(name, np.clip(np.rint(pixels), 0, 255).astype(np.uint8), key)


def _pet_layer(suvr: Volume, layout: Layout, tracer: str | None) -> Layer:
    top = display_of(tracer).top
    share = np.clip(sample(suvr, layout) / top, 0, 1)
    return as_layer("PET", 255 * share, colour_bar(layout, "gray", top))


def grey_levels(canvas: NDArray[np.float32]) -> NDArray[np.float32]:
    """T1w intensities to 0..255: white matter stays below white, vessels and fat are clipped.

    Parameters
    ----------
    canvas : T1w intensities, shape (rows, columns)

    Returns
    -------
    ndarray, float32
    """
    measured = canvas[canvas > 0]
    top = 1.2 * np.percentile(measured, 96) if measured.size else 1.0
    return np.clip(canvas * np.float32(255 / max(top, 1e-6)), 0, 255)


def _on_a_cut(layout: Layout) -> NDArray[np.bool_]:
    """Pixels that belong to a tile."""
    canvas = np.zeros(layout.shape, bool)
    for tile in layout.tiles:
        canvas[tile.place] = True
    return canvas


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8).astype(np.float32)
