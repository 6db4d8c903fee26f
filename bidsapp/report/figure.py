"""A figure: pixel layers, vector outlines and text, one SVG for page, file and notebook.

Pixels contain neither words nor lines, so text stays text (it can be read aloud, searched and
printed sharply) and outlines can be switched off. A page carries the pixels as WebP, a file as
JPEG, which every program that opens SVG can show.
"""

from __future__ import annotations

import base64
import io
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bidsapp.errors import StorageError
from bidsapp.io.atomic import write_lines, write_text
from bidsapp.io.tsv import line
from bidsapp.report.render import asset
from bidsapp.report.svg import join, tag

_JPEG: dict[str, Any] = {"format": "jpeg", "quality": 88, "subsampling": 0}
CAPTIONS = "captions.tsv"  # table of the descriptions of figures in a folder
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True)
class Pixels:
    """How the pixels of a figure are kept in a page.

    Attributes
    ----------
    quality : of WebP, 0 to 100
    scale : size, 1 for all pixels
    """

    quality: int = 64
    scale: float = 1.0


FULL = Pixels()
NOTHING = Markup()


@dataclass(frozen=True)
class Layer:
    """Pixels of a figure; a reader sees one layer at a time.

    Attributes
    ----------
    name : for the button that shows it
    pixels : shape (rows, columns) or (rows, columns, 3), uint8
    key : colour scale and legend that belong to it
    """

    name: str
    pixels: NDArray[np.uint8]
    key: Markup = NOTHING

    def uri(self, pixels: Pixels | None) -> str:
        """Pixels as a ``data:`` URI.

        Parameters
        ----------
        pixels : WebP of this quality and scale; None for JPEG, in files

        Returns
        -------
        str
        """
        return _encoded(self.pixels.tobytes(), self.pixels.shape, pixels)


@lru_cache(maxsize=8)  # figures share the T1w below
def _encoded(content: bytes, shape: tuple[int, ...], pixels: Pixels | None) -> str:
    from PIL import Image

    image = Image.fromarray(np.frombuffer(content, np.uint8).reshape(shape))
    file, options = io.BytesIO(), _JPEG
    if pixels is not None:
        options = {"format": "webp", "method": 0, "quality": pixels.quality}
        if pixels.scale < 1:
            image = image.resize([round(size * pixels.scale) for size in image.size])
    image.save(file, **options)
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{options['format']};base64,{code}"


@dataclass(frozen=True)
class Words:
    """Texts of a figure, see `Figure`.

    Attributes
    ----------
    name : of the figure
    title : of the figure
    alt : description for those who cannot see it
    caption : below it
    """

    name: str
    title: str
    caption: str
    alt: str = ""

    @classmethod
    def of(cls, row: str, suffix: str = "", **values: Any) -> Words:
        """Words of a row of ``figures.toml``.

        Parameters
        ----------
        row : of the table, also the name
        suffix : of the name, where there may be several of a kind
        **values : in place of the words in braces

        Returns
        -------
        Words
        """
        texts = {key: text.format(**values) for key, text in _texts()[row].items()}
        return cls(row + suffix, **texts)


def title_of(row: str) -> str:
    """Title of a figure by its row of ``figures.toml``.

    Parameters
    ----------
    row : of ``figures.toml``

    Returns
    -------
    str
    """
    return _texts()[row]["title"]


@cache
def _texts() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).parent / "figures.toml").read_text("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Figure(Words):
    """A finished figure.

    Attributes
    ----------
    width, height : of the view box
    drawing : SVG elements over the layers
    layers : first one shown
    outlines : names of the groups of lines that can be switched off (class ``outline``)
    """

    width: float
    height: float
    drawing: Markup
    layers: tuple[Layer, ...] = ()
    outlines: tuple[str, ...] = ()

    def svg(self, ident: str, pixels: Pixels | None = FULL) -> Markup:
        """Element for a page, whose style sheet it follows, or for a file.

        Parameters
        ----------
        ident : unique in the page
        pixels : how they are kept in a page; None for a file, which brings its own style

        Returns
        -------
        Markup
        """
        for_page = pixels is not None
        described = self.alt if for_page else f"{self.alt} {self.caption}"
        return tag(
            "svg",
            tag("title", self.title, id=f"{ident}-t"),
            tag("desc", described, id=f"{ident}-d"),
            NOTHING if for_page else tag("style", Markup(asset("figure.css") + asset("chart.css"))),
            join(_layer(number, layer, pixels) for number, layer in enumerate(self.layers)),
            self.drawing,
            xmlns=None if for_page else "http://www.w3.org/2000/svg",
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            width=None if for_page else self.width,
            height=None if for_page else self.height,
            class_="picture" if self.layers else "chart",
            role="img",
            aria_labelledby=f"{ident}-t {ident}-d",
        )

    def standalone(self) -> str:
        """Text of an SVG file that brings its own style; the caption is its description.

        Returns
        -------
        str
        """
        return f"{_XML}{self.svg(self.name, None)}\n"

    def save(self, path: str | Path) -> Path:
        """Write the figure as an SVG file.

        Parameters
        ----------
        path : of the file

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        return write_text(path, self.standalone())

    def _repr_svg_(self) -> str:
        """Show the figure in a notebook."""
        return str(self.svg(self.name, None))


def _layer(number: int, layer: Layer, pixels: Pixels | None) -> Markup:
    rows, columns = layer.pixels.shape[:2]
    image = tag("image", href=layer.uri(pixels), width=columns, height=rows)
    kind = {0: "layer", 1: "layer other second"}.get(number, "layer other")
    return tag("g", image, layer.key, class_=kind)


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures as SVG files; those of an earlier run are removed.

    Parameters
    ----------
    folder : where; nothing else belongs into it
    figures : file name without ``.svg`` -> figure

    Returns
    -------
    list of Path
        The files, the table of captions last; empty without figures.

    Raises
    ------
    StorageError
        A file cannot be written or removed.
    """
    _remove_others(folder, figures)
    if not figures:
        return []
    written = [figure.save(folder / f"{name}.svg") for name, figure in figures.items()]
    rows = [("file", "title", "caption")]
    rows += [(f"{name}.svg", figure.title, figure.caption) for name, figure in figures.items()]
    return [*written, write_lines(folder / CAPTIONS, map(line, rows))]


def _remove_others(folder: Path, kept: Mapping[str, Figure]) -> None:
    """A figure of a scan that failed since must not look like a result."""
    try:
        for path in folder.glob("*.svg"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)
        if not kept:
            (folder / CAPTIONS).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be cleared ({error.strerror})") from error
