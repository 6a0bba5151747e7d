"""The page of `evaluate` in a real browser: it fits, asks for nothing, and shows hostile text as text."""

import pytest

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.report.page import write_report
from tests.report.test_evaluation import HOSTILE, found

__all__ = ["found"]  # a fixture


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page(found, tmp_path, page_factory, width):
    write_json(found, tmp_path / "summary.json")
    write_report(tmp_path)
    page = page_factory(tmp_path / "report.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() == 2
    assert HOSTILE[:-1] in page.locator("h1").inner_text()
    assert HOSTILE[:-1] in page.locator("#specimens-table").inner_text()
    assert page.locator("img").count() == 0
    drawn = page.locator("#suite svg").text_content()
    for word in ("MATH-500", "0.310", "measured here", "published: base", "published: ReasonMaxxer"):
        assert word in drawn
