"""The page as a browser shows it: offline, without an error, every figure drawn, its controls at work."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_stores import known_store
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from hsl.results.report.contents import make_report
from hsl.results.report.page import page
from hsl.results.report.structs import Report
from hsl.sparsity.methods import METHODS

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,900",
)  # fmt: skip

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(known_store(tmp_path_factory.mktemp("known") / "store").uri, None, tuple(METHODS))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Any]:
    """A browser without a network that shows the report."""
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(page(report), encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.get(file.as_uri())
        wait_until(lambda: driver.execute_script("return document.documentElement.dataset.drawn"))
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def ask(browser: Any) -> Ask:
    return lambda script, *given: browser.execute_script(f"return {script}", *given)


def wait_until(holds: Callable[[], object], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_no_message_and_no_request(browser: Any) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        entry["params"]["request"]["url"]
        for entry in messages
        if entry["method"] == "Network.requestWillBeSent"
    ]
    outside = [url for url in asked if not url.startswith(("chrome", "data:"))]
    assert [Path(url).name for url in outside] == ["report.html"]
    assert browser.get_log("browser") == []


def test_every_panel_has_its_marks(ask: Ask, report: Report) -> None:
    marks = "svg .mark-symbol path, svg .mark-rect path"
    drawn = dict(
        ask(
            "[...document.querySelectorAll('.chart')].map(chart => "
            "[chart.dataset.figure + chart.dataset.panel, chart.querySelectorAll(arguments[0]).length])",
            marks,
        )
    )
    least = {"difference": len, "importance": len, "cost": len, "layers": len, "stopping": len, "slices": len,
             "deciles": len, "sparsity": len, "pareto": len,
             "curves": lambda rows: sum(row["kind"] in {"stopped", "ended"} for row in rows)}  # fmt: skip
    for figure in report.figures:
        for index, panel in enumerate(figure.panels):
            assert drawn[f"{figure.name}{index}"] >= least[figure.name](panel.rows), (
                figure.name,
                panel.title,
            )


def test_theme_is_switched_without_drawing_again(ask: Ask) -> None:
    paint = "getComputedStyle(document.body).backgroundColor"
    before = ask(paint)
    ask("document.getElementById('theme').click()")
    assert ask(paint) != before
    assert ask("document.getElementById('theme').textContent") in {"Light theme", "Dark theme"}
    ask("document.getElementById('theme').click()")
    assert ask(paint) == before


def test_tables_are_sorted_and_filtered_by_keyboard(browser: Any, ask: Ask) -> None:
    table = "document.querySelector('#winners > .table table')"
    heads = ask(f"[...{table}.tHead.rows[0].cells].map(cell => cell.textContent)")
    column = heads.index("difference [95 % CI]")
    values = f"[...{table}.tBodies[0].rows].map(row => row.cells[{column}].dataset.key).filter(Boolean).map(Number)"
    browser.execute_script(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert ask(values) == sorted(ask(values))
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert ask(values) == sorted(ask(values), reverse=True)
    assert ask(f"{table}.tHead.rows[0].cells[{column}].ariaSort") == "descending"
    browser.execute_script("document.querySelector('#winners > .filter input').focus()")
    browser.switch_to.active_element.send_keys("better hard")
    assert ask(f"[...{table}.tBodies[0].rows].filter(row => !row.hidden).length") == 2


def test_the_first_stop_of_the_keyboard_skips_to_the_results(ask: Ask) -> None:
    first = "document.querySelector('a[href], button, input, [tabindex]')"
    assert ask(f"{first}.hash") == "#main"
    ask(f"{first}.focus()")
    assert ask(f"{first}.getBoundingClientRect().left") >= 0


def test_everything_drawn_has_a_name(ask: Ask) -> None:
    unnamed = "[...document.querySelectorAll('[role=img],[role=region],nav,section,figure')].filter("
    assert ask(unnamed + "part => !(part.ariaLabel || part.getAttribute('aria-labelledby'))).length") == 0
    dangling = "[...document.querySelectorAll('[aria-labelledby]')].filter("
    assert (
        ask(dangling + "part => !document.getElementById(part.getAttribute('aria-labelledby'))).length") == 0
    )


def test_a_phone_needs_no_sideways_scrolling(browser: Any, ask: Ask) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wait_until(
        lambda: ask(
            "Math.max(...[...document.querySelectorAll('.chart svg')].map(s => s.clientWidth)) <= 390"
        )
    )
    assert ask("document.documentElement.scrollWidth") <= 390
