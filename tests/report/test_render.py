"""One content on a page, in Markdown and LaTeX, and on a terminal."""

import io

from rich.console import Console

from reasonmaxxer.report.content import Content, Panel, Section, Table
from reasonmaxxer.report.figures import changes
from reasonmaxxer.report.render import print_content, to_html, to_latex, to_markdown, write_content

COST = Table(
    "cost", "Cost [x]", ("stage", "tokens", "note"), [("a", "5", "one"), ("total", "1,005", "two")],
    "By formula.", headline=(0, 1), total=True,
)  # fmt: skip
HIDDEN = Table("hidden", "Hidden", ("a",), [("<b>",)], tokens=(0,))
NUMBERS = Table("numbers", "Numbers", ("k", "v"), [("x", "7")], headline=True)
CONTENT = Content(
    command="show",
    title="<model>",
    lead="Set `seed=1` or `<b>`.",
    findings=["It [bold]gained[/]."],
    caveats=["One seed."],
    sections=[
        Section("one", "One", [Panel("drawn", "Drawn", changes({"gained": 1}), "A caption.", NUMBERS)], [COST]),
        Section("two", "Two", parts=[Section("part", "Part", tables=[HIDDEN], code="a < b", folded=True)]),
    ],
    facts=[("model", "<model>")],
)


def printed(content, **more):
    text = io.StringIO()
    print_content(content, Console(file=text, width=80), {"Page": "runs/[red]x[/]/report.html"}, **more)
    return text.getvalue()


def test_a_terminal_shows_headlines_findings_caveats_and_files_in_this_order():
    text = printed(CONTENT, after=["", "Next"])
    places = [text.index(part) for part in ("Numbers", "It [bold]gained[/].", "Cost [x]", "1,005", "One seed.")]
    places += [text.index("Page      runs/[red]x[/]/report.html"), text.index("Next")]
    assert places == sorted(places)
    assert "Hidden" not in text and "note" not in text and "two" not in text
    assert "│ a     │      5 │" in text  # numbers are aligned at the right


def test_a_page_escapes_and_keeps_every_part():
    page = to_html(CONTENT)
    assert "<code>seed=1</code> or <code>&lt;b&gt;</code>" in page
    assert "<model>" not in page and "<b>&lt;" not in page
    assert '<code class="token-text">&lt;b&gt;</code>' in page and "a &lt; b" in page
    assert page.index("<details><summary>Part</summary>") < page.index("Hidden")
    assert '<tr class="total"><td>total</td>' in page
    assert "One seed." in page and page.count("<svg") == 1
    assert "script-src" not in page  # nothing in it needs a script


def test_a_viewer_brings_its_script_and_nothing_else_may_run():
    page = to_html(Content("c", "t", "l", [], [], [Section("v", "V", viewer="<i>v</i>")]))
    assert "script-src 'unsafe-inline'" in page and "default-src 'none'" in page and "<i>v</i>" in page


def test_files_are_of_the_kind_that_their_ending_says(tmp_path):
    paths = [tmp_path / f"x.{kind}" for kind in ("html", "md", "tex")]
    write_content(CONTENT, *paths)
    texts = [path.read_text(encoding="utf-8") for path in paths]
    assert texts == [to_html(CONTENT), to_markdown(CONTENT), to_latex(CONTENT)]
    assert "| total | 1,005 | two |" in texts[1] and r"total & 1,005 & two \\" in texts[2]
    assert r"\<model>" in texts[1] and "Hidden" in texts[2]
