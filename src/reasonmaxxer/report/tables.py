"""Tables as cells of text, and from them Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "·": r"\textperiodcentered{}",
    "→": r"$\rightarrow$", "⏎": r"$\hookleftarrow$", "⟨": r"$\langle$", "⟩": r"$\rangle$",
    "−": r"$-$", "⇥": r"$\mapsto$", "↔": r"$\leftrightarrow$",
}  # fmt: skip
_MARKS = re.compile(r"[\\`*<|~]|\](?=\()")
"""What Markdown would read in a cell."""


@dataclass(frozen=True)
class Table:
    """Cells as text; `note` says what they are.

    Attributes:
        name: its anchor and label.
        title: what it shows.
        columns: header.
        rows: cells.
        note: of how many, in which units.
        tokens: places of the columns whose cells are tokens' text.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str
    tokens: tuple[int, ...] = ()


def markdown(title: str, said: Sequence[str], tables: Sequence[Table]) -> str:
    """A heading, paragraphs and tables in Markdown."""
    parts = [f"# {_marked(title)}", *map(_marked, said)]
    for table in tables:
        lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
        rows = (f"| {' | '.join(map(_marked, line))} |" for line in lines)
        parts.append(f"## {table.title}\n\n" + "\n".join(rows))
        if table.note:
            parts.append(_marked(table.note))
    return "\n\n".join(parts) + "\n"


def _marked(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text.replace("\n", " "))


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
    special = r"[\\~^#$%&_{}<>|·→⏎⇥⟨⟩−↔]"
    return re.sub(special, lambda found: _TEX.get(found[0], "\\" + found[0]), text)
