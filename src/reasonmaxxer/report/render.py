"""A `Content` as HTML, Markdown, LaTeX and on a terminal; nothing here knows what command it is of.

Whatever a model wrote is escaped, characters that hide or reorder text are spelled out, and a page's content policy
forbids every request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from rich import markup
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as TerminalTable
from rich.text import Text

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
NAMES = 20
"""Characters that a narrow terminal leaves at least to a column of longer text."""


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
    return Markup(
        re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(visible_text(text)))).replace(" = ", "\u00a0=\u00a0")
    )


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
    return f"## {escape_markdown(table.title)}\n\n" + "\n".join(rows) + note + "\n"


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is."""
    return _MARKS.sub(r"\\\g<0>", visible_text(text).replace("\n", " "))


def to_latex(content: Content) -> str:
    """Every table in LaTeX, for the `booktabs` package."""
    return "\n".join(latex(table) for table in content.tables)


def latex(table: Table) -> str:
    """One table in LaTeX, for the `booktabs` package."""
    # braces: a row that starts with [ or * would be read as an argument of the line end before it
    rows = [re.sub(r"^[\[*]", r"{\g<0>}", " & ".join(map(_tex, row))) + r" \\" for row in table.rows]
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
    return "".join(_TEX.get(character, character) for character in visible_text(text))


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
        console.print(_plain(sentence), highlight=False, soft_wrap=True)
    for table in tables[1:]:
        console.print()
        console.print(table)
    for sentence in content.caveats:
        console.print(f"[yellow]{_plain(sentence)}[/]", highlight=False)
    for label, path in files.items():
        console.print(f"{label:<9} {markup.escape(str(path))}", highlight=False, soft_wrap=True)
    for line in after:
        console.print(markup.escape(line), highlight=False, soft_wrap=True)


def to_terminal(table: Table) -> InParts:
    """A table as rich draws it; columns of numbers are aligned at the right, and nothing is cut at any width."""
    return InParts(table)


@dataclass(frozen=True)
class InParts:
    """A table on a terminal: columns that do not fit beside the others follow below, after the first one again.

    Attributes:
        table: the whole of it.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in _parts(self.table, options.max_width):
            yield _drawn(part, options.max_width)
        if self.table.note:
            yield Text(visible_text(self.table.note), style="table.caption")


def _parts(table: Table, width: int) -> Iterator[Table]:
    """Tables of neighbouring columns, each as many as fit; the first has the title."""
    needed = [_needed(table, place) + 3 for place in range(len(table.columns))]  # with its frame
    groups = [[0]]
    for place in range(1, len(table.columns)):
        if 1 + sum(needed[other] for other in (*groups[-1], place)) > width and len(groups[-1]) > 1:
            groups.append([0])
        groups[-1].append(place)
    for group in groups:
        yield replace(table.only(group), title=table.title if group is groups[0] else "")


def _needed(table: Table, place: int) -> int:
    """Characters that a column needs so that no number and no word is broken."""
    header, cells = table.columns[place], [row[place] for row in table.rows]
    words = max(map(cell_len, " ".join([header, *([] if _numeric(table, place) else cells)]).split()), default=0)
    if _numeric(table, place):
        lines = max((cell_len(line) for cell in cells for line in _stacked(cell).split("\n")), default=0)
        return max(words, lines)
    return max(words, min(max(map(cell_len, (header, *cells))), NAMES))


def _numeric(table: Table, place: int) -> bool:
    return place > 0 and all(_NUMERIC.fullmatch(row[place]) for row in table.rows)


def _stacked(cell: str) -> str:
    """An estimate with its interval below it."""
    return cell.replace(" [", "\n[")


def _drawn(table: Table, width: int) -> TerminalTable:
    drawn = TerminalTable(title=_plain(table.title) or None, title_justify="left")
    places = range(len(table.columns))
    widest = [max(map(cell_len, (table.columns[place], *(row[place] for row in table.rows)))) for place in places]
    narrow = 1 + sum(each + 3 for each in widest) > width
    for place, column in enumerate(table.columns):
        numeric = _numeric(table, place)
        fixed = _needed(table, place) if numeric and narrow else None
        drawn.add_column(_plain(column), justify="right" if numeric else "left", width=fixed, overflow="fold")
    for number, row in enumerate(table.rows, start=1):
        if table.total and number == len(table.rows):
            drawn.add_section()
        drawn.add_row(
            *(_plain(_stacked(cell) if narrow and _numeric(table, i) else cell) for i, cell in enumerate(row))
        )
    return drawn


def _plain(text: str) -> str:
    """Text without markup or control characters of a terminal."""
    return markup.escape(visible_text(text))
