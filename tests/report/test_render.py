"""One content on a page, in Markdown and LaTeX, and on a terminal."""

import io

import pytest
from rich.console import Console

from reasonmaxxer.report.content import Content, Panel, Section, Table
from reasonmaxxer.report.figures import changes
from reasonmaxxer.report.render import print_content, to_html, to_latex, to_markdown, to_terminal, write_content

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


WIDE = Table(
    "wide", "Wide", ("a policy", "accuracy", "minus base", "verdict", "changed an answer"),
    [("gated:tau=1.2:first=10", "0.250 [0.000, 0.750]", "+0.500 [-0.100, +1.000]", "open", "1,234.50")],
    "Said once.", headline=True,
)  # fmt: skip


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_no_width_of_a_terminal_cuts_a_number_or_a_name(width):
    text = io.StringIO()
    Console(file=text, width=width).print(to_terminal(WIDE))
    lines = text.getvalue().splitlines()
    cells = {cell.strip() for line in lines if "│" in line for cell in line.strip("│").split("│")}
    for whole in WIDE.rows[0]:
        assert whole in cells or set(whole.replace(" [", "|[").split("|")) <= cells
    assert all(len(line) <= width for line in lines)
    assert text.getvalue().count("Said once.") == text.getvalue().count("Wide") == 1
    assert "…" not in text.getvalue()


def test_terminals_tables_and_prose_spell_out_control_characters():
    hostile = "\x1b[2J\u202e"
    table = Table("t", hostile, ("a",), [(hostile,)], hostile, headline=True)
    content = Content("c", hostile, hostile, [hostile], [hostile], [Section("s", "S", tables=[table])])
    for text in (printed(content), to_html(content), to_markdown(content), to_latex(content)):
        assert not {"\x1b", "\u202e"} & set(text) and "U+202E" in text


def test_a_row_of_latex_may_begin_with_what_a_line_end_would_take():
    text = to_latex(Content("c", "t", "l", [], [], [Section("s", "S", tables=[
        Table("t", "T", ("token", "times"), [("[", "2"), ("*", "1"), ("a[1]", "1")]),
    ])]))  # fmt: skip
    assert r"{[} & 2 \\" in text and r"{*} & 1 \\" in text and r"a[1] & 1 \\" in text


def test_a_heading_of_markdown_is_escaped():
    content = Content("c", "t", "l", [], [], [Section("s", "S", tables=[Table("t", "a*b <i>", ("x",), [("1",)])])])
    assert r"## a\*b \<i>" in to_markdown(content)


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
