"""The report in a browser: drawn whole, from disk, without a network, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="neither Chromium nor Chrome is on PATH")
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page with all its charts, and what went wrong or was asked of a network."""
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    wrong: list[str] = []
    shown.on("console", lambda message: wrong.append(message.text))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
    shown.goto(path.as_uri())
    shown.wait_for_function("document.documentElement.dataset.charts === 'drawn'", timeout=PATIENCE_MS)
    return shown, [line for line in wrong if not line.startswith("data:image/png;base64,")]


@pytest.fixture(scope="module")
def desk(browser: Browser, page: Path) -> Iterator[Page]:
    shown, wrong = opened(browser, page)
    assert wrong == []
    yield shown
    shown.close()


def test_every_chart_is_drawn_with_all_its_traces(desk: Page) -> None:
    figures = json.loads(desk.text_content("#figures") or "")
    expected = {"learning-curves", "saved", "importance", "parallel", "slice", "contour", "history", "timeline",
                "final-training", "classes", "calibration", "ood-confidence", "ood-classes"}  # fmt: skip
    assert set(figures) == expected
    for anchor, figure in figures.items():
        drawn = desk.evaluate(
            """anchor => {
                const place = document.getElementById(anchor);
                const svg = place.querySelector("svg.main-svg").getBoundingClientRect();
                const marks = ".scatterlayer path, .barlayer path, .heatmaplayer image, .contourlayer path";
                return [place._fullData.length, svg.width, svg.height, place.querySelectorAll(marks).length];
            }""",
            anchor,
        )
        traces, width, height, marks = drawn
        assert traces == len(figure["data"]) > 0, anchor
        assert width > 300, anchor
        assert height > 150, anchor
        assert marks > 0, anchor


def test_links_go_somewhere_and_the_page_is_named(desk: Page) -> None:
    broken = """[...document.querySelectorAll('a')].filter(
        link => !link.hash || !document.getElementById(link.hash.slice(1))).map(link => link.outerHTML)"""
    assert desk.evaluate(broken) == []
    assert desk.title() == "big"
    assert desk.get_attribute("html", "lang") == "en"
    desk.click("nav a[href='#final']")
    desk.wait_for_function("Math.abs(document.getElementById('final').getBoundingClientRect().top) < 150")


def test_headings_come_in_order_and_every_chart_and_image_has_words(desk: Page) -> None:
    levels = desk.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(heading => +heading.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    words = desk.evaluate("[...document.querySelectorAll('.plot')].map(place => place.getAttribute('aria-label'))")
    assert len(words) == 13
    assert all(len(text) > 60 for text in words)
    alternatives = desk.evaluate(
        "[...document.querySelectorAll('main img')].map(image => [image.alt, image.naturalWidth])"
    )
    assert len(alternatives) >= 20
    assert all(alt and width == 32 for alt, width in alternatives)


def test_a_tooltip_appears_under_the_pointer(desk: Page) -> None:
    for anchor, text in (("importance", "lr"), ("ood-confidence", "severity")):
        desk.locator(f"#{anchor}").scroll_into_view_if_needed()
        box = desk.locator(f"#{anchor} .plot .nsewdrag, #{anchor} .nsewdrag").first.bounding_box()
        assert box is not None
        desk.mouse.move(box["x"] + 12, box["y"] + 12)
        desk.mouse.move(box["x"] + 15, box["y"] + 14)
        desk.wait_for_selector(f"#{anchor} .hoverlayer .hovertext", timeout=PATIENCE_MS)
        assert text in (desk.text_content(f"#{anchor} .hoverlayer") or "")


def test_the_keyboard_reaches_the_content(desk: Page) -> None:
    desk.evaluate("document.body.tabIndex = -1; document.body.focus()")
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.className") == "skip"


def test_dark_is_another_page_with_charts_to_match(desk: Page) -> None:
    colours = """() => [getComputedStyle(document.body).backgroundColor,
        document.querySelector('#importance .xtick text').style.fill,
        document.querySelector('#importance .main-svg').style.background]"""
    light = desk.evaluate(colours)
    desk.emulate_media(color_scheme="dark")
    desk.wait_for_function(f"before => ({colours})().every((colour, n) => colour !== before[n])", arg=light)
    desk.emulate_media(color_scheme="light")
    desk.wait_for_function(f"before => ({colours})().every((colour, n) => colour === before[n])", arg=light)


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, page: Path) -> None:
    shown, wrong = opened(browser, page, width=390, scheme="dark")
    assert wrong == []
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    too_wide = """[...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll')
        && part.getBoundingClientRect().right > 391).map(part => part.outerHTML.slice(0, 200))"""
    assert shown.evaluate(too_wide) == []
    shown.close()


@pytest.mark.slow
def test_runs_side_by_side(browser: Browser, compared: Path) -> None:
    shown, wrong = opened(browser, compared)
    assert wrong == []
    assert shown.locator("#compare tbody tr").count() == 2
    assert shown.evaluate("document.getElementById('accuracy-cost')._fullData.length") == 2
    assert shown.evaluate("document.getElementById('run2-learning-curves')._fullData.length") > 2
    assert shown.evaluate("document.getElementById('run1-ood-classes')._fullData.length") == 1
    shown.close()


def test_it_paints_before_the_charts_are_drawn(desk: Page) -> None:
    painted = desk.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first contentful paint after {painted:.0f} ms")
    assert painted < desk.evaluate("performance.getEntriesByName('charts')[0].startTime"), (
        "the library itself waits for the first paint"
    )
