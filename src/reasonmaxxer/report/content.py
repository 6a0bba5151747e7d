"""What a page of figures and tables holds, whatever drew it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reasonmaxxer.report.panels import Panel
from reasonmaxxer.report.tables import Table


@dataclass(frozen=True)
class Section:
    """Figures and tables under one heading.

    Attributes:
        name: its anchor.
        title: of the heading.
        panels: figures.
        tables: below the figures, those of `beside` next to each other.
        note: a paragraph before them; empty for none.
        viewer: HTML of a token viewer, trusted as it is; empty for none.
        beside: whether the tables are small enough to stand in a row.
    """

    name: str
    title: str
    panels: list[Panel] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    note: str = ""
    viewer: str = ""
    beside: bool = False


@dataclass(frozen=True)
class Content:
    """A page.

    Attributes:
        command: which made its numbers; names the files.
        title: the model or models.
        lead: what was measured, and of how much.
        findings: what came out, most important first.
        caveats: what to keep in mind when quoting it.
        sections: figures and tables.
        facts: name and value of what was measured with.
    """

    command: str
    title: str
    lead: str
    findings: list[str]
    caveats: list[str]
    sections: list[Section]
    facts: list[tuple[str, str]]

    @property
    def tables(self) -> list[Table]:
        """Tables of all sections, in order."""
        return [table for section in self.sections for table in section.tables]


def measured_with(models: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """`facts` of a page: what each model is, and the settings."""
    return [
        *((arm, f"{m['name']}, from {m['source']}, {m['dtype']}") for arm, m in models.items()),
        *((f"{arm}, fingerprint", m["fingerprint"]) for arm, m in models.items()),
        *((name.replace("_", " "), str(value)) for name, value in settings.items()),
    ]
