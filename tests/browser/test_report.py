"""The report in a real browser: nothing leaves it, nothing breaks, nothing overflows."""

import shutil

import pytest

from reasonmaxxer.report.page import write_report
from tests.report.made import HOSTILE, make_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page_factory(browser):
    """Opens a file off the network; it may print no fault and ask for nothing but itself."""
    pages, faults = [], []

    def open_page(path, width, scheme):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.context.set_offline(True)
        address = path.as_uri()
        page.on("request", lambda r: r.url != address and faults.append(f"asked for {r.url}"))
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.goto(address)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = tmp_path_factory.mktemp("made") / "run"
    make_run(run, texts={"e0": HOSTILE, "e1": "x" * 3000, "e3": "\n".join(["words " * 40] * 40)})
    return write_report(run)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_opens_quietly_and_fits(page_factory, report, width, scheme):
    page = page_factory(report, width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink = page.locator("#accuracy svg text").first.evaluate("e => getComputedStyle(e).fill")
    dark_ink = sum(int(part) for part in ink[4:-1].split(",")) > 3 * 128
    assert dark_ink == (scheme == "dark")  # labels follow the theme
