"""What a page says, whatever command it is of and whatever it is shown on.

A command's page is a function from its folder to a `Content`; `reasonmaxxer.report.render` shows one as HTML,
Markdown, LaTeX and on a terminal. Content is plain values and text: nothing in it is markup, except a viewer's HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        name: its anchor and label.
        title: what it shows.
        columns: header.
        rows: cells.
        note: of how many, in which units.
        tokens: places of the columns whose cells are tokens' text.
        headline: whether a terminal shows it, or the places of the columns that it shows.
        total: whether the last row sums up the others.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    tokens: tuple[int, ...] = ()
    headline: bool | tuple[int, ...] = False
    total: bool = False

    def brief(self) -> Table:
        """The table with its headline columns alone."""
        if isinstance(self.headline, bool):
            return self
        return self.only(self.headline)

    def only(self, kept: Sequence[int]) -> Table:
        """The table with some of its columns, by place."""
        rows = [tuple(row[place] for place in kept) for row in self.rows]
        tokens = tuple(kept.index(place) for place in self.tokens if place in kept)
        return replace(self, columns=tuple(self.columns[place] for place in kept), rows=rows, tokens=tokens)


@dataclass(frozen=True)
class Panel:
    """A figure as a page shows it.

    Attributes:
        name: its anchor.
        title: what it is.
        figure: the drawing.
        caption: what it shows, of how many, in which units.
        numbers: the table behind it, which a page folds.
    """

    name: str
    title: str
    figure: Figure
    caption: str
    numbers: Table | None = None


def panel(
    name: str,
    title: str,
    figure: Figure,
    caption: str,
    columns: tuple[str, ...] = (),
    rows: Sequence[tuple[str, ...]] = (),
) -> Panel:
    """A figure with the columns and rows of the numbers behind it, where there are any."""
    return Panel(name, title, figure, caption, Table(f"{name}-numbers", title, columns, rows) if columns else None)


@dataclass(frozen=True)
class Answer:
    """A graded completion of one model: its text, outcome and why, the answer read, and whether the limit cut it."""

    arm: str
    text: str
    outcome: str
    extracted: str | None
    truncated: bool
    detail: str | None = None


@dataclass(frozen=True)
class Example:
    """A problem with the answers of one or several models side by side.

    Attributes:
        kind: what became of it: `gained`, `lost`, `both` or `neither`; of one model, the outcome.
        problem_id: its id.
        text: the problem.
        gold: the answer that is right.
        answers: of each model.
        code: whether the answers are programs, which keep their lines.
    """

    kind: str
    problem_id: str
    text: str
    gold: str
    answers: tuple[Answer, ...]
    code: bool = False


@dataclass(frozen=True)
class Section:
    """Figures, tables and text under one heading.

    Attributes:
        name: its anchor; empty for none.
        title: of the heading.
        panels: figures.
        tables: below the figures, those of `beside` next to each other.
        note: a paragraph before them; empty for none.
        viewer: HTML of a token viewer, trusted as it is; empty for none.
        beside: whether the tables are small enough to stand in a row.
        code: a command or a file, kept as it is.
        examples: problems with their answers.
        parts: sections inside this one.
        folded: of a part, whether it is closed until someone opens it.
    """

    name: str
    title: str
    panels: Sequence[Panel] = ()
    tables: Sequence[Table] = ()
    note: str = ""
    viewer: str = ""
    beside: bool = False
    code: str = ""
    examples: Sequence[Example] = ()
    parts: Sequence[Section] = ()
    folded: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether something was gained.

    Attributes:
        kind: `gain`, `loss`, or `open` where the interval of the difference holds zero.
        sentence: the same in words.
        before: the figure before, as the page's largest text; empty for none.
        after: the same figure after.
        of: what the two are figures of.
    """

    kind: Literal["gain", "loss", "open"]
    sentence: str
    before: str = ""
    after: str = ""
    of: str = ""


@dataclass(frozen=True)
class Content:
    """A page.

    Attributes:
        command: which made its numbers.
        title: the model or models.
        lead: what was measured, and of how much.
        findings: what came out, most important first.
        caveats: what to keep in mind when quoting it.
        sections: figures and tables.
        facts: name and value of what was measured with.
        verdict: of a command that compares before and after.
    """

    command: str
    title: str
    lead: str
    findings: Sequence[str]
    caveats: Sequence[str]
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = field(default=())
    verdict: Verdict | None = None

    @property
    def tables(self) -> list[Table]:
        """Tables of all sections, in order; without the numbers behind figures."""
        return [table for section in self._all_sections() for table in section.tables]

    @property
    def headlines(self) -> list[Table]:
        """Tables that a terminal shows, in order, with the columns that it shows."""
        every = (
            table
            for section in self._all_sections()
            for table in (*(p.numbers for p in section.panels if p.numbers), *section.tables)
        )
        return [table.brief() for table in every if table.headline and table.rows]

    @property
    def scripted(self) -> bool:
        """Whether it holds a viewer, which needs its script."""
        return any(section.viewer for section in self._all_sections())

    def _all_sections(self, sections: Sequence[Section] | None = None) -> Iterator[Section]:
        for section in self.sections if sections is None else sections:
            yield section
            yield from self._all_sections(section.parts)


def measured_with(models: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """`facts` of a page: what each model is, and the settings."""
    return [
        *((arm, f"{m['name']}, from {m['source']}, {m['dtype']}") for arm, m in models.items()),
        *((f"{arm}, fingerprint", m["fingerprint"]) for arm, m in models.items()),
        *((name.replace("_", " "), str(value)) for name, value in settings.items()),
    ]
