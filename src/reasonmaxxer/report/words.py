"""What pages say: titles, captions, columns and sentences, from `templates/words/COMMAND.j2`.

Such a file has a Jinja block for each text of a page. A block is a little Markdown: perhaps a title (`# Accuracy`), a
paragraph or a list of them (`- `), and perhaps the columns of a table (`| model | accuracy |`). Lines that begin with
`%` are statements. Numbers come in through the filters below; a sentence may ask whether something holds, and
computes nothing. What a value holds is shown as it is, never read as a template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reasonmaxxer.report import numbers
from reasonmaxxer.report.content import Content, Panel, Section, Table, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / "templates" / "words"


class Block(NamedTuple):
    """A block as it reads: title and columns are empty where it has none."""

    title: str
    texts: list[str]
    columns: tuple[str, ...]


class Words:
    """The words of one page.

    Args:
        command: whose page it is.
        found: what its `summary.json` holds, `found` in the texts.
        values: what else they are about, by the names that they use.
    """

    def __init__(self, command: str, found: Mapping[str, Any], **values: Any) -> None:
        self.found, self._command, self._values = found, command, {"found": found, **values}
        self._template = _environment().get_template(f"{command}.j2")

    def block(self, name: str, **values: Any) -> Block:
        """A block of the file, which has `_` where the name has a hyphen; `values` are its own."""
        context = self._template.new_context({**self._values, **values})
        title, texts, columns = "", list[str](), tuple[str, ...]()
        for line in map(str.strip, "".join(self._template.blocks[name.replace("-", "_")](context)).split("\n")):
            if line.startswith("# "):
                title = line[2:]
            elif line.startswith("|"):
                columns += tuple(map(str.strip, line[1:].removesuffix("|").split("|")))
            elif line.startswith("- ") or (line and not texts):
                texts.append(line.removeprefix("- "))
            elif line:
                texts[-1] += f" {line}"
        return Block(title, texts, columns)

    def texts(self, name: str, **values: Any) -> list[str]:
        """The paragraphs of a block; none where nothing in it holds."""
        return self.block(name, **values).texts

    def text(self, name: str, **values: Any) -> str:
        """The one paragraph of a block; empty where nothing in it holds."""
        return " ".join(self.texts(name, **values))

    def content(
        self,
        title: str,
        sections: Sequence[Section],
        facts: Sequence[tuple[str, str]],
        command: str = "",
        verdict: Verdict | None = None,
    ) -> Content:
        """The page: lead, findings and caveats, as far as the file has blocks of these names, and sections."""
        lead, findings, caveats = (
            self.texts(name) if name in self._template.blocks else [] for name in ("lead", "findings", "caveats")
        )
        return Content(command or self._command, title, " ".join(lead), findings, caveats, sections, facts, verdict)

    def panel(self, name: str, figure: Figure, rows: Sequence[tuple[str, ...]] | Table = (), **values: Any) -> Panel:
        """A figure under its title, with its caption and the numbers behind it, where there are any."""
        title, texts, columns = self.block(name, **values)
        numbers = rows if isinstance(rows, Table) else Table(f"{name}-numbers", title, columns, rows)
        return Panel(name, title, figure, " ".join(texts), numbers if numbers.columns else None)

    def table(
        self, name: str, rows: Sequence[tuple[str, ...]], headline: bool | tuple[int, ...] = False, **values: Any
    ) -> Table:
        """A table under its title, with its note."""
        title, texts, columns = self.block(name, **values)
        return Table(name, title, columns, rows, " ".join(texts), headline=headline)


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        line_statement_prefix="%",
        finalize=lambda value: " ".join(value.split("\n")) if isinstance(value, str) else value,
    )
    environment.filters |= {
        "share": numbers.share,
        "number": numbers.number,
        "signed": numbers.signed,
        "counted": numbers.counted,
        "listed": numbers.listed,
        "fixed": lambda value, digits=2: f"{value:,.{digits}f}",
        "percent": lambda value, digits=0: f"{value:.{digits}%}",
    }
    return environment
