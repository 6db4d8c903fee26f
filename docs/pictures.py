"""Pictures of the README, from the phantom: nobody's data.

    centipet demo DEMO && python docs/pictures.py DEMO

``docs/pictures/uptake.png`` is the example of docs/pages.md, ``page.png`` the first screen of the
phantom's page. Needs playwright and Debian's chromium, as the tests of the pages do.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from bidsapp import data
from bidsapp.io.nifti import load_volume
from bidsapp.report.pictures import mni_brain_layout, suvr_over_anatomy

PICTURES = Path(__file__).parent / "pictures"
_WIDEST = 1100  # pixels; with a palette the files stay below 300 kB
_IMAGE = "*_space-MNI152NLin6Asym_res-2_desc-suvrwc_pet.nii.gz"


def uptake(derivatives: Path, browser: Browser) -> Path:
    """Draw the uptake over the template."""
    (image,) = derivatives.glob(f"sub-*/ses-*/pet/{_IMAGE}")
    suvr = load_volume(image)
    figure = suvr_over_anatomy(suvr, data.template(2), mni_brain_layout(), "FBB", template=True)
    size = {"width": round(figure.width), "height": round(figure.height)}
    with tempfile.TemporaryDirectory() as folder:
        drawing = figure.save(Path(folder) / "uptake.svg")
        return _picture(browser, drawing, size, "uptake")


def page(derivatives: Path, browser: Browser) -> Path:
    """Take a screenshot of the first screen of the page."""
    return _picture(
        browser, derivatives / "sub-phantom.html", {"width": 1200, "height": 900}, "page"
    )


def _picture(browser: Browser, source: Path, size: dict[str, int], name: str) -> Path:
    tab = browser.new_page(viewport=size, color_scheme="light")
    tab.goto(source.absolute().as_uri())
    tab.wait_for_timeout(1000)
    shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    shot.thumbnail((_WIDEST, _WIDEST))
    path = PICTURES / f"{name}.png"
    # the median cut would give the narrow band of the scale the colour of its neighbour
    shot.quantize(method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for make in (uptake, page):
            made = make(Path(sys.argv[1]) / "derivatives", chromium)
            print(f"{made} ({made.stat().st_size / 1000:.0f} kB)")
