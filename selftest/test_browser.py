"""The pages do in a browser what they promise: clicks, filters, copying, both colour schemes."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.loading import Source
from reports.site import pages, write_site
from selftest.records import SCRIPT, claims, entry, finding, record

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

# A change is not to pass because its browser is missing; a developer's machine may lack one.
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI"),
    reason="no Chromium with chromedriver here (apt-get install chromium chromium-driver)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of two records: one of each outcome, and one that is incomplete."""
    every = record(
        entry("held_state", "LSTM", mode="eager"),
        entry("held_state", "LSTM", "new", findings=[finding()]),
        entry(
            "held_state",
            "GRU",
            "deviates",
            deviations={"known-one": 2},
            findings=[finding(deviation="known-one", message="a needle in it")],
        ),
        entry("truth", "LSTM", "fixed", fixed=["gone-one"]),
        entry("truth", "GRU", "blocked", reason="it cannot be built"),
        entry("length", "LSTM", "broken", reason="<b>out</b> of memory"),
        entry("length", "GRU", "crashed", reason="the process died"),
    )
    cut = record(entry(), keras="2.15.0", not_run=["x::test_cell[LSTM-truth-cpu:0-graph]"])
    sources = [Source(Path("every.json"), every), Source(Path("cut.json"), cut)]
    folder = tmp_path_factory.mktemp("site")
    notes = ["the record bad.json is empty"]
    write_site(folder, pages(sources, ledger={}, claims=claims(), notes=notes))
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window, which cannot reach any network."""
    from selenium import webdriver  # noqa: PLC0415 (only the selftest's environment has it)
    from selenium.webdriver.chrome.options import Options  # noqa: PLC0415
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415

    assert CHROMIUM, "CI is set, and there is no Chromium"
    assert DRIVER, "CI is set, and there is no chromedriver"
    options = Options()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",  # as root, as in containers, the sandbox does not start
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--proxy-server=127.0.0.1:9",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        chromium.set_window_size(1200, 900)
        yield chromium
    finally:
        chromium.quit()


@pytest.fixture
def browser(driver: Any, site: Path) -> Iterator[Any]:
    """The browser at the page of the first record; whatever it complains of fails the test."""
    driver.get("about:blank")
    driver.get((site / "record-1.html").as_uri())
    yield driver
    assert driver.get_log("browser") == []


def found(browser: Any, selector: str) -> list[Any]:
    """The elements of a selector that can be seen."""
    return [one for one in browser.find_elements("css selector", selector) if one.is_displayed()]


def opened(browser: Any, selector: str) -> list[Any]:
    """The same, once there are any: what a click opens is laid out after it."""
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415

    visible: list[Any] = WebDriverWait(browser, 10).until(lambda page: found(page, selector))
    return visible


def choose(browser: Any, name: str, value: str) -> None:
    """Set a filter as a user does."""
    from selenium.webdriver.support.ui import Select  # noqa: PLC0415

    Select(browser.find_element("name", name)).select_by_visible_text(value)


def shown(browser: Any) -> list[str]:
    """The marks in the matrix that can be seen, as text."""
    return [chip.text for chip in found(browser, "table.matrix a.chip")]


def test_the_first_page_leads_to_each_record_and_back(browser: Any, site: Path) -> None:
    """Links work from file://, and what was left out can be read."""
    browser.get((site / "index.html").as_uri())
    assert "bad.json is empty" in found(browser, ".left-out")[0].text
    found(browser, ".card h3 a")[1].click()
    assert browser.title.startswith("keras 2.15.0")
    found(browser, ".crumb a")[0].click()
    assert browser.title == "Masking conformance"
    found(browser, "table.causes a.chip")[0].click()
    assert browser.find_element("css selector", ".exhibit:target").is_displayed()


def test_statements_of_the_articles_open_their_examples(browser: Any, site: Path) -> None:
    """The first page leads to them; what changes between versions stands above, and is named."""
    browser.get((site / "index.html").as_uri())
    browser.find_element("link text", "what two articles say of masks").click()
    assert browser.title == "What two articles say of masks"
    (finding,) = found(browser, ".exhibit")
    assert "A mask tells." in finding.text
    marked = found(browser, ".claim a.tag")
    assert [one.text for one in marked] == ["changes between versions"]
    assert found(browser, ".claim pre") == []
    found(browser, ".claim summary")[0].click()
    assert [one.text for one in found(browser, ".claim pre")] == ["tf.ones(<B>)"]
    found(browser, ".crumb a")[0].click()
    assert browser.title == "Masking conformance"


def test_an_incomplete_run_cannot_be_overlooked(browser: Any, site: Path) -> None:
    """The banner is in view when the page opens, and so is the missing cell."""
    browser.get((site / "record-2.html").as_uri())
    (banner,) = found(browser, ".banner.incomplete")
    assert "INCOMPLETE" in banner.text
    assert banner.rect["y"] < 300
    assert "? not run" in shown(browser)


def test_a_click_on_a_mark_opens_its_cell(browser: Any) -> None:
    """What the cell reached, its configurations and traits, is there when it is clicked."""
    assert not found(browser, "details.cell[open]")
    found(browser, "table.matrix a.chip.o-blocked")[0].click()
    (cell,) = opened(browser, "details.cell[open]")
    for text in ("truth", "GRU", "44 of 64 configurations", "gaps 24", "it cannot be built"):
        assert text in cell.text
    # Below the filters, which stay at the top.
    assert cell.rect["y"] - browser.execute_script("return scrollY") >= 0


def test_filters_narrow_matrix_deviations_and_cells(browser: Any) -> None:
    """Each filter leaves what fits it, the number of cells is told, and Reset brings all back."""
    everything = shown(browser)
    assert len(everything) == 7
    choose(browser, "state", "new")
    assert shown(browser) == ["\N{BALLOT X} new graph"]
    assert len(found(browser, ".exhibit")) == 1
    assert len(found(browser, "details.cell")) == 1
    assert found(browser, "#shown")[0].text == "1 of 7 cells"
    choose(browser, "state", "all")
    choose(browser, "layer", "GRU")
    assert [one.text for one in found(browser, "table.matrix thead th")] == ["property", "GRU"]
    choose(browser, "property", "truth")
    assert shown(browser) == ["\N{CIRCLED DIVISION SLASH} blocked"]
    found(browser, "button[type=reset]")[0].click()
    browser.find_element("name", "text").send_keys("A NEEDLE")
    assert shown(browser) == ["\N{ALMOST EQUAL TO} deviates"]
    found(browser, "button[type=reset]")[0].click()
    assert browser.execute_script("return new Promise((done) => setTimeout(() => done(true), 50))")
    assert shown(browser) == everything


def test_a_script_is_copied_whole(browser: Any) -> None:
    """The button puts the script into the clipboard, and says so."""
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    button = found(browser, ".exhibit button.copy")[0]
    button.click()
    text = browser.execute_async_script(
        "const done = arguments[0];"
        "setTimeout(() => navigator.clipboard.readText().then(done, done), 100)"
    )
    assert text == SCRIPT
    assert button.text == "Copied"


def test_a_script_is_copied_where_pages_have_no_clipboard(browser: Any) -> None:
    """Where the browser refuses, the old way of copying a selection is taken."""
    browser.execute_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
        "document.execCommand = (what) => {"
        "  window.taken = [what, document.activeElement.value]; return true; };"
    )
    found(browser, ".exhibit button.copy")[0].click()
    assert browser.execute_script("return window.taken") == ["copy", SCRIPT]


def test_text_is_never_markup(browser: Any) -> None:
    """A tag in a reason is read as text."""
    found(browser, "table.matrix a.chip.o-broken")[0].click()
    (reason,) = opened(browser, "details.cell[open] .reason")
    assert reason.text == "<b>out</b> of memory"


CONTRAST = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
    .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (color !== "rgba(0, 0, 0, 0)") return color;
  }
};
return [...document.querySelectorAll(arguments[0])].map((one) => {
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort();
  return [one.textContent.trim().slice(0, 40), (b + 0.05) / (a + 0.05)];
});
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser: Any, scheme: str) -> None:
    """Marks, notes, texts and links have at least the contrast of 4.5 that WCAG asks for."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    first = int(paper.split("(")[1].split(",")[0])
    assert (first < 128) == (scheme == "dark")
    seen = browser.execute_script(CONTRAST, ".chip, .badge, .note, p, dd, dt, a, .tag, pre, button")
    assert len(seen) > 50
    assert [one for one in seen if one[1] < 4.5] == []


@pytest.mark.parametrize("width", [480, 1200])
def test_no_page_is_wider_than_its_window(browser: Any, site: Path, width: int) -> None:
    """Wide tables and scripts scroll in themselves, on a telephone too."""
    browser.set_window_size(width, 900)
    try:
        for path in sorted(site.glob("*.html")):
            browser.get(path.as_uri())
            wide = browser.execute_script(
                "document.querySelectorAll('details').forEach((one) => { one.open = true; });"
                "return [document.documentElement.scrollWidth, innerWidth]"
            )
            assert wide[0] <= wide[1], path.name
    finally:
        browser.set_window_size(1200, 900)
