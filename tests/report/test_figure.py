"""A figure is one SVG wherever it is shown, safe and complete."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from bidsapp.report.figure import CAPTIONS, Figure, Layer, save_figures
from bidsapp.report.svg import tag

HOSTILE = "</svg><script>alert(1)</script>\x00\"'&"
PIXELS = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)


def figure(title: str = "Title", layers: int = 2) -> Figure:
    return Figure(
        name="test", title=title, caption=f"Caption {title}", alt=title, width=30, height=40,
        drawing=tag("text", title), layers=tuple(Layer(f"l{i}", PIXELS) for i in range(layers)),
    )  # fmt: skip


def test_a_file_is_valid_xml_with_its_pixels_and_caption():
    text = figure().standalone()
    root = ElementTree.fromstring(text.encode())
    assert root.get("viewBox") == "0 0 30 40" and "Caption Title" in "".join(root.itertext())
    codes = re.findall(r'href="data:image/jpeg;base64,([^"]+)"', text)
    assert len(codes) == 2
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(codes[0]))))
    assert image.shape == PIXELS.shape and np.abs(image.astype(int) - PIXELS).mean() < 4


def test_hostile_words_stay_words_even_where_xml_could_not_hold_them():
    text = figure(HOSTILE).standalone()
    root = ElementTree.fromstring(text.encode())
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert "<script>" not in text and "\x00" not in text


def test_only_the_first_layer_is_shown_at_first():
    kinds = re.findall(r'<g class="(layer[^"]*)"', figure(layers=3).svg("x"))
    assert kinds == ["layer", "layer other second", "layer other"]


def test_a_notebook_gets_the_same_drawing():
    assert figure()._repr_svg_() in figure().standalone()


def test_files_have_a_table_of_captions_and_old_ones_go(tmp_path):
    save_figures(tmp_path, {"sub-01_desc-a_pet": figure(), "sub-01_desc-b_pet": figure()})
    save_figures(tmp_path, {"sub-01_desc-a_pet": figure("A\tB\nC")})
    assert sorted(p.name for p in tmp_path.iterdir()) == [CAPTIONS, "sub-01_desc-a_pet.svg"]
    rows = (tmp_path / CAPTIONS).read_text("utf-8").splitlines()
    assert rows[1].split("\t") == ["sub-01_desc-a_pet.svg", "A B C", "Caption A B C"]
    save_figures(tmp_path, {})
    assert not list(tmp_path.iterdir())
