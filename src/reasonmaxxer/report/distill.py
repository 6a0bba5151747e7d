"""The page of `distill`: how much of a teacher's accuracy small adapters of its base keep."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object, read_table
from reasonmaxxer.measure.published import published_students
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import number, signed
from reasonmaxxer.report.words import Words


def content(folder: Path) -> Content:
    """The page of a finished folder of `distill`."""
    found = read_object(folder / "summary.json", ("schema",))
    words = words_of(found)
    published = words.table(
        "published-table", [(row.name, row.parameters, f"{row.accuracy:.3f}") for row in published_students()]
    )
    return words.content(
        title=f"{found['base']['name']} → {found['teacher']['name']}",
        sections=[
            Section("result", "What the students kept", _panels(folder, words), [students_table(words), published])
        ],
        facts=measured_with({arm: found[arm] for arm in ("base", "teacher")}, {"seed": found["seed"]}),
    )


def words_of(found: Mapping[str, Any]) -> Words:
    """Its words."""
    base, teacher = (row["accuracy"]["value"] for row in found["rows"][:2])
    return Words("distill", found, base=base, teacher=teacher, students=found["rows"][2:])


def _panels(folder: Path, words: Words) -> list[Panel]:
    rows = words.found["rows"]
    students = words.panel("students", figures.students_accuracy(rows))
    if len(rows) == 2:
        return [students]
    histories = {row["name"]: folder / "students" / row["name"] / "history.parquet" for row in rows[2:]}
    losses = {
        name: [(step["step"], step["loss"]) for step in read_table(path).to_pylist()]
        for name, path in histories.items()
    }
    return [
        students,
        words.panel("parameters", figures.accuracy_by_parameters(rows)),
        words.panel("kl", figures.students_kl(losses)),
    ]


def students_table(words: Words) -> Table:
    """Base, teacher and students."""
    rows = [
        (
            row["name"],
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['parameter_share']:.2%}" if row["parameter_share"] else "",
            number(row["accuracy"], 3),
            signed(row["to_teacher"]) if row["to_teacher"] else "",
            "" if row["kl"] is None else f"{row['kl']:.4f}",
        )
        for row in words.found["rows"]
    ]
    return words.table("students-table", rows, headline=True)
