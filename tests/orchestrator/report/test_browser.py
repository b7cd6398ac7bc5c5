"""The report in headless Chromium: no error, tables sort and filter, surfaces turn."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.run import make
from orchestrator.report.page import write_report
from tests.builders.small_scores import write_rois
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
DESKTOP, PHONE = 1440, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("report")
    write_rois(home / "data", home / "runs")
    inputs = Inputs(RunDirectory(home / "runs"), DataDirectory(home / "data"))
    made = [one.name for one in ANALYSES if make(one, inputs).state == "made"]
    assert made == ["improvement", "rois", "layers", "surface"]
    return write_report(inputs, home / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *SOFTWARE_WEBGL]
        )
        yield browser
        browser.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """Open the report without a network; fail when it complained."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: complaints.append(asked.url) if "//" in asked.url[:8] else 0)
    page.context.set_offline(True)
    page.goto(report.as_uri())
    complaints.remove(report.as_uri())
    yield page
    page.close()
    assert complaints == []


def column(page: Page, name: str) -> list[str]:
    """Read a column of the improvement table as shown."""
    return page.locator("#improvement table").first.evaluate(
        """(table, name) => {
            const heads = [...table.tHead.rows[0].cells];
            const place = heads.findIndex((head) => head.querySelector(`[data-sort="${name}"]`));
            return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent);
        }""",
        name,
    )


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def test_tables_sort_filter_and_download(page: Page) -> None:
    button = page.locator('#improvement [data-sort="difference"]')
    button.click()
    falling = numbers(column(page, "difference"))
    button.click()
    rising = numbers(column(page, "difference"))
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert falling != rising
    head = button.locator("xpath=ancestor::th")
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator('#improvement select[data-filter="subject"]').select_option("subj02")
    assert set(column(page, "subject")) == {"subj02"}
    with page.expect_download() as download:
        page.locator("#improvement").get_by_role("button", name="CSV").click()
    header, *rows = download.value.path().read_text().strip().split("\n")
    assert header.startswith("protocol,level,method")
    assert rows
    assert all("subj02" in row for row in rows)


def test_nothing_is_wider_than_the_window_and_every_figure_is_described(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    figures = page.locator("figure")
    described = page.locator("figure [role=img][aria-label], figure img[alt], figure iframe[title]")
    assert figures.count() == described.count() >= 6


def test_figures_are_saved_as_svg_or_png(page: Page) -> None:
    for kind, beginning in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        button = page.locator("figure").get_by_role("button", name=kind).first
        with page.expect_download() as download:
            button.click()
        assert download.value.path().read_bytes().startswith(beginning)
        assert re.fullmatch(rf"[a-z_]+-[0-9]+\.{kind.lower()}", download.value.suggested_filename)


def test_a_drawing_is_saved_as_pixels_on_white(page: Page) -> None:
    drawing = page.locator("figure:has(svg)").first
    size = drawing.locator("svg").evaluate("one => one.viewBox.baseVal.width")
    with page.expect_download() as download:
        drawing.get_by_role("button", name="PNG").click()
    found = download.value.path().read_bytes()
    assert pixels(found).shape[1] == pytest.approx(3 * size, abs=1)
    assert (pixels(found)[0] == 255).all()
    assert n_colours(found) > 20


def test_tables_fit_a_wide_screen(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.closest('section').id)"
    )
    assert cut == []


def test_text_can_be_read_in_the_dark(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    colours = page.evaluate(
        "['body', 'td', '.caption', 'a'].map(one => getComputedStyle(document.querySelector(one)))"
        ".map(style => style.color).concat(getComputedStyle(document.body).backgroundColor)"
    )
    page.emulate_media(color_scheme="light")
    *inks, paper = [sum(map(int, re.findall(r"\d+", one)[:3])) / 3 for one in colours]
    assert paper < 60
    assert min(inks) > 130


def test_the_surface_draws_and_turns(page: Page) -> None:
    frame = page.locator("figure iframe").first
    frame.scroll_into_view_if_needed()
    surface = page.frame_locator("figure iframe").first.locator("canvas").first
    surface.wait_for(timeout=60_000)
    page.wait_for_timeout(1_000)
    box = frame.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = frame.screenshot()
    assert n_colours(before) > 500  # shaded folding, not an empty frame
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 20, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1_000)
    turned = frame.screenshot()
    assert share_changed(before, turned) > 0.05


def test_the_policy_blocks_scripts_that_are_not_the_pages_own(
    browser: Browser, report: Path
) -> None:
    injected = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"
    changed = report.with_name("changed.html")
    text = report.read_text(encoding="utf-8")
    changed.write_text(text.replace("<main>", f"<main>{injected}"), encoding="utf-8")
    page = browser.new_page()
    page.goto(changed.as_uri())
    assert page.evaluate("window.evil === undefined")
    changed.write_text(
        changed.read_text(encoding="utf-8").replace("Content-Security-Policy", "none"),
        encoding="utf-8",
    )
    page.goto(changed.as_uri())
    assert page.evaluate("window.evil === 1")  # it would run without the policy
    page.close()


def n_colours(png: bytes) -> int:
    """Count the colours: as one number each, which sort many times faster than rows do."""
    red, green, blue = np.moveaxis(pixels(png).astype(np.int32), 2, 0)
    return len(np.unique((red << 16) + (green << 8) + blue))


def share_changed(before: bytes, after: bytes) -> float:
    return float((pixels(before) != pixels(after)).any(axis=2).mean())


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("page", [DESKTOP], indirect=True)
def test_a_text_like_a_formula_gets_an_apostrophe_in_csv(page: Page) -> None:
    texts = ["=1+1", "+1", "-1", "@sum", "\t=1", "a=1"]
    shown = page.evaluate(
        """(texts) => {
            const table = window.tables[0];
            table.rows = texts.map((text) => table.names.map((_, k) => (k ? -1 : text)));
            return table.csv();
        }""",
        texts,
    )
    cells = [line.split(",")[:2] for line in shown.splitlines()[1:]]
    assert cells == [[f"'{text}", "-1"] for text in texts[:-1]] + [["a=1", "-1"]]
