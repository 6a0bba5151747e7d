"""A `Content` as HTML, Markdown, LaTeX and on a terminal; nothing here knows what command it is of.

Whatever a model wrote is escaped, characters that hide or reorder text are spelled out, and a page's content policy
forbids every request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from rich import markup
from rich.console import Console
from rich.table import Table as TerminalTable

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import write_text
from reasonmaxxer.report.content import Content, Panel, Table
from reasonmaxxer.report.visible import visible_text

FOLDER = Path(__file__).parent / "templates"
FOLD, CUT = 420, 20_000
"""Characters of a completion that are shown at once, and that the page holds at most."""

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "·": r"\textperiodcentered{}",
    "→": r"$\rightarrow$", "⏎": r"$\hookleftarrow$", "⟨": r"$\langle$", "⟩": r"$\rangle$",
    "−": r"$-$", "⇥": r"$\mapsto$", "↔": r"$\leftrightarrow$",
    **{character: f"\\{character}" for character in "#$%&_{}"},
}  # fmt: skip
_MARKS = re.compile(r"[\\`*<|~]|\](?=\()")
"""What Markdown would read in a cell."""
_NUMERIC = re.compile(r"[-+]?\d.*|never.*|not (defined|priced)|\?|", re.DOTALL)
"""Cells of a column that a terminal aligns at the right."""


def to_html(content: Content) -> str:
    """The page as text; the same content gives the same text."""
    loader = FileSystemLoader(FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"visible": visible_text, "unbroken": _unbroken, "prose": _prose, "drawing": _drawing}
    css = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    page = environment.get_template("page.html.j2")
    return page.render(content=content, css=css, version=__version__, fold=FOLD, cut=CUT)


def _unbroken(cell: str) -> str:
    """A cell whose intervals, as in `0.50 [0.40, 0.60]`, stay on one line."""
    return re.sub(r"\[[^\[\]]*\]", lambda interval: interval[0].replace(" ", "\u00a0"), cell)


def _prose(text: str) -> Markup:
    """A paragraph in which names between backticks are code, and `p = 0.01` stays on one line."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))).replace(" = ", "\u00a0=\u00a0"))


def _drawing(panel: Panel) -> Markup:
    """The figure as an `<svg>` element."""
    from reasonmaxxer.report.figures.style import svg

    return Markup(svg(panel.figure, panel.name))


def to_markdown(content: Content) -> str:
    """Title, findings, caveats and tables in Markdown."""
    return markdown(content.title, [content.lead, *content.findings, *content.caveats], content.tables)


def markdown(title: str, said: Sequence[str], tables: Sequence[Table]) -> str:
    """A heading, paragraphs and tables in Markdown."""
    heading = [f"# {escape_markdown(title)}", *map(escape_markdown, said)]
    return "\n\n".join([*heading, *(table_markdown(table).rstrip() for table in tables)]) + "\n"


def table_markdown(table: Table) -> str:
    """A heading, a table, and its note."""
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    rows = (f"| {' | '.join(map(escape_markdown, line))} |" for line in lines)
    note = f"\n\n{escape_markdown(table.note)}" if table.note else ""
    return f"## {table.title}\n\n" + "\n".join(rows) + note + "\n"


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is."""
    return _MARKS.sub(r"\\\g<0>", text.replace("\n", " "))


def to_latex(content: Content) -> str:
    """Every table in LaTeX, for the `booktabs` package."""
    return "\n".join(latex(table) for table in content.tables)


def latex(table: Table) -> str:
    """One table in LaTeX, for the `booktabs` package."""
    rows = [" & ".join(map(_tex, row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(f'{table.title}. {table.note}'.rstrip())}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            r"\toprule",
            " & ".join(map(_tex, table.columns)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


WRITERS = {".html": to_html, ".md": to_markdown, ".tex": to_latex}
"""Renderers by the ending of the file that they write."""


def write_content(content: Content, *paths: Path) -> None:
    """Write a page into files, each whole or not at all, in the form that its ending says."""
    for path in paths:
        write_text(WRITERS[path.suffix](content), path)


def print_content(
    content: Content, console: Console, files: Mapping[str, str | Path], after: Sequence[str] = ()
) -> None:
    """Print headline tables, findings and caveats, then where the files are.

    Args:
        content: what to print.
        console: of the terminal.
        files: where what is, by a word for it, such as `Page`.
        after: lines at the end, such as what to do next.
    """
    tables = [to_terminal(table) for table in content.headlines]
    for table in tables[:1]:
        console.print(table)
    for sentence in content.findings:
        console.print(markup.escape(sentence), highlight=False, soft_wrap=True)
    for table in tables[1:]:
        console.print()
        console.print(table)
    for sentence in content.caveats:
        console.print(f"[yellow]{markup.escape(sentence)}[/]", highlight=False)
    for label, path in files.items():
        console.print(f"{label:<9} {markup.escape(str(path))}", highlight=False, soft_wrap=True)
    for line in after:
        console.print(markup.escape(line), highlight=False, soft_wrap=True)


def to_terminal(table: Table) -> TerminalTable:
    """A table as rich draws it; columns of numbers are aligned at the right."""
    note = markup.escape(table.note) or None
    title = markup.escape(table.title) or None
    drawn = TerminalTable(title=title, title_justify="left", caption=note, caption_justify="left")
    for place, column in enumerate(table.columns):
        numeric = place > 0 and all(_NUMERIC.fullmatch(row[place]) for row in table.rows)
        drawn.add_column(markup.escape(column), justify="right" if numeric else "left")
    for number, row in enumerate(table.rows, start=1):
        if table.total and number == len(table.rows):
            drawn.add_section()
        drawn.add_row(*map(markup.escape, row))
    return drawn
