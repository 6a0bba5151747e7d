"""The report in a real browser: nothing leaves it, nothing breaks, nothing overflows."""

import pytest

from reasonmaxxer.report.page import write_report
from tests.report.made import HOSTILE, make_run


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
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.locator("#accuracy svg text").first.evaluate("e => getComputedStyle(e).fill")
    dark_ink = sum(int(part) for part in ink[4:-1].split(",")) > 3 * 128
    assert dark_ink == (scheme == "dark")  # labels follow the theme
