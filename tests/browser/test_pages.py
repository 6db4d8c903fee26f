"""What a reader sees and does: nothing broken, nothing asked of any host, everything moves."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_derivatives import fake_pet

HOST_FREE = ("file:", "data:", "blob:")
PAGES = ("sub-01.html", "sub-02.html", "sub-03.html", "group_centiloid.html")


def hash_of(page, plane: str) -> str:
    return page.eval_on_selector(f"canvas[data-plane={plane}]", "canvas => canvas.toDataURL()")


def with_viewer(visit, study):
    found = visit(study / "sub-01.html")
    found.page.locator(".viewer").scroll_into_view_if_needed()
    found.page.wait_for_selector(".viewer[data-ready='0']")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_no_error_no_request_every_image_loads(visit, study, screenshots, name):
    found = visit(study / name)
    page = found.page
    if page.locator(".viewer").count():
        page.locator(".viewer").scroll_into_view_if_needed()
        page.wait_for_selector(".viewer[data-ready]")
    broken = page.evaluate(
        """async () => {
          const addresses = [...document.querySelectorAll("img, svg image")]
            .map((image) => image.getAttribute("href") ?? image.src);
          const failed = await Promise.all(addresses.map(async (address) => {
            const image = new Image();
            image.src = address;
            try { await image.decode(); return image.naturalWidth === 0; } catch { return true; }
          }));
          return failed.filter(Boolean).length;
        }"""
    )
    assert broken == 0
    assert found.messages == []
    assert [url for url in found.requests if not url.startswith(HOST_FREE)] == []
    assert "owned" not in page.title()
    # nothing is wider than the window, on a desk or in the hand
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1200, "height": 900})
    page.screenshot(path=screenshots / f"{name.removesuffix('.html')}.png", full_page=True)


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390)], ids=str
)
@pytest.mark.parametrize("name", ["sub-01.html", "sub-02.html", "group_centiloid.html"])
def test_axe_finds_nothing_serious(visit, study, screenshots, name, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    window = {"width": width, "height": 900}
    page = visit(study / name, color_scheme=scheme, viewport=window).page
    if page.locator(".viewer").count():
        page.locator(".viewer").scroll_into_view_if_needed()
        page.wait_for_selector(".viewer[data-ready]")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = {
        rule["id"]: [node["target"] for node in rule["nodes"]]
        for rule in found
        if rule["impact"] in ("serious", "critical")
    }
    assert serious == {}
    page.screenshot(path=screenshots / f"{name.removesuffix('.html')}-{scheme}-{width}.png")


def test_the_cross_hair_moves_all_planes_and_tells_values(visit, study):
    page = with_viewer(visit, study).page
    planes = ("axial", "coronal", "sagittal")
    before, told = [hash_of(page, plane) for plane in planes], page.inner_text(".viewer output")
    assert "SUVR" in told and "mm" in told
    box = page.locator("canvas[data-plane=axial]").bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    assert all(old != hash_of(page, plane) for old, plane in zip(before, planes, strict=True))
    assert page.inner_text(".viewer output") != told


def test_the_value_at_the_cursor_is_that_of_the_image(visit, study):
    """In steps of 0.014: 256 of them up to one and a half times the end of the scale."""
    page = with_viewer(visit, study).page
    for place, region in (((-8, -52, 26), "ctx"), ((20, -64, -40), "wc")):
        for name, mm in zip("xyz", place, strict=True):
            page.locator(f"[data-input={name}]").fill(str(mm))
        words = page.inner_text(".viewer output")
        assert region in words
        voxel = tuple((np.array((90 - place[0], place[1] + 126, place[2] + 72)) // 2).tolist())
        suvr = fake_pet()[voxel] / 5000
        assert float(words.split("SUVR ")[1].split(" ")[0]) == pytest.approx(suvr, abs=0.013)


def test_left_is_left_in_the_viewer(visit, study):
    """A click on the left half of the axial plane lands at negative x."""
    page = with_viewer(visit, study).page
    box = page.locator("canvas[data-plane=axial]").bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    assert int(page.input_value("[data-input=x]")) < -30
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
    assert int(page.input_value("[data-input=y]")) > 40  # the front is on top


@pytest.mark.parametrize(
    ("knob", "value"),
    [("x", "30"), ("opacity", "20"), ("top", "1.0"), ("colours", "viridis"), ("space", "1")],
)
def test_every_knob_changes_the_picture(visit, study, knob, value):
    page = with_viewer(visit, study).page
    before = hash_of(page, "sagittal")
    control = page.locator(f"[data-input={knob}]")
    control.select_option(value) if knob in ("colours", "space") else control.fill(value)
    if knob == "space":
        page.wait_for_selector(".viewer[data-ready='1']")
    assert hash_of(page, "sagittal") != before
    page.locator("[data-reset]").click()
    if knob in ("x", "space"):  # a reset goes back to the middle of the space that is shown
        return
    assert hash_of(page, "sagittal") == before


def test_keys_and_outlines_work_in_the_viewer(visit, study):
    page = with_viewer(visit, study).page
    before, z = hash_of(page, "axial"), page.input_value("[data-input=z]")
    page.locator("canvas[data-plane=axial]").focus()
    page.keyboard.press("PageUp")
    assert page.input_value("[data-input=z]") == str(int(z) + 2)
    moved = hash_of(page, "axial")
    page.locator("[data-input=outlines]").check()
    assert len({before, moved, hash_of(page, "axial")}) == 3


def test_layers_flicker_and_outlines_go(visit, study):
    page = visit(study / "sub-01.html").page
    figure = page.locator("figure.alignment")
    pet, t1w = figure.locator("svg .layer").all()
    assert pet.is_visible() and not t1w.is_visible()
    figure.get_by_role("button", name="T1w").click()
    assert t1w.is_visible() and not pet.is_visible()
    figure.get_by_role("button", name="Flicker").click()
    t1w.wait_for(state="hidden")
    t1w.wait_for(state="visible")
    figure.get_by_role("button", name="Flicker").click()
    assert pet.is_visible()
    lines = figure.locator(".outline").first
    assert lines.is_visible()
    figure.get_by_role("button", name="Outlines").click()
    assert not lines.is_visible()


def column(page, number: int) -> list[str]:
    return page.locator(f"#scans tbody tr td:nth-child({number})").all_inner_texts()


def test_the_table_sorts_by_number(visit, study):
    page = visit(study / "group_centiloid.html").page
    heads = page.locator("#scans thead th").all_inner_texts()
    place = [head.strip("↕↑↓ ") for head in heads].index("CL") + 1
    before = column(page, place)
    button = page.locator("#scans thead").get_by_role("button", name="CL", exact=True)
    button.click()
    rising = [float(text.replace("\u2212", "-")) for text in column(page, place) if text]
    assert rising == sorted(rising) and column(page, place) != before
    button.click()
    falling = [float(text.replace("\u2212", "-")) for text in column(page, place) if text]
    assert falling == sorted(falling, reverse=True) and falling[0] > rising[-1]
    assert page.locator("#scans th[aria-sort=descending]").count() == 1


def test_a_smaller_table_sorts_by_number_with_what_is_absent_last(visit, study):
    page = visit(study / "group_centiloid.html").page
    table = page.locator("#cutoffs table")
    button = table.get_by_role("button", name="Cut-off, CL")
    for state, reverse in (("ascending", False), ("descending", True)):
        button.click()
        cells = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        values = [float(text) for text in cells if text]
        assert values == sorted(values, reverse=reverse) and len(values) >= 6
        assert "".join(cells[len(values) :]) == ""
        assert table.locator(f"th[aria-sort={state}]").count() == 1


def test_the_table_makes_only_the_rows_that_are_looked_at(visit, study):
    page = visit(study / "group_centiloid.html").page
    assert page.locator("#scans tbody tr").count() < 180
    for _ in range(8):
        page.locator(".tall").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        page.wait_for_timeout(60)
    assert page.locator("#scans tbody tr").count() == 203


def test_filters_leave_what_they_say_and_fade_the_rest(visit, study):
    page = visit(study / "group_centiloid.html").page
    page.select_option("#status", "failed")
    assert "1 of 203" in page.inner_text("#shown")
    assert "sub-02" in page.inner_text("#scans tbody")
    page.select_option("#status", "")
    page.fill("#search", "centiloid>100 site")
    kept = page.locator("#scans tbody tr").count()
    assert 0 < kept < 100
    for chart in ("#distribution", "#explore"):
        faded = page.locator(f"{chart} .dot.dim").count()
        assert 0 < faded < page.locator(f"{chart} .dot").count()


def test_the_download_is_the_table(visit, study):
    page = visit(study / "group_centiloid.html").page
    with page.expect_download() as waiting:
        page.locator("#download").click()
    assert waiting.value.path().read_bytes() == (study / "group_centiloid.tsv").read_bytes()


@pytest.mark.parametrize("chart", ["#distribution", "#explore"])
def test_a_dot_leads_to_its_page(visit, study, chart):
    page = visit(study / "group_centiloid.html").page
    page.locator(f"{chart} .dot.flagged").first.dispatch_event("click")
    page.wait_for_url("**/sub-0*.html")


def test_a_printed_scan_fits_on_two_sheets(visit, study, screenshots):
    page = visit(study / "sub-01.html").page
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    (screenshots / "sub-01.pdf").write_bytes(pdf)
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 2
