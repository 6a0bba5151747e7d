"""The page of `distill`: how much of a teacher's accuracy small adapters of its base keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object, read_table
from reasonmaxxer.measure.published import published_students
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import counted, number, signed

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `distill`."""
    found = read_object(folder / "summary.json", ("schema",))
    return Content(
        command="distill",
        title=f"{found['base']['name']} → {found['teacher']['name']}",
        lead=lead(found),
        findings=findings(found),
        caveats=[
            "A student that keeps the teacher's accuracy shows that so few parameters can hold what was learnt here, "
            "not that training found nothing else."
        ],
        sections=[
            Section("result", "What the students kept", _panels(folder, found), [students_table(found), _published()])
        ],
        facts=measured_with({arm: found[arm] for arm in ("base", "teacher")}, {"seed": found["seed"]}),
    )


def lead(found: Found) -> str:
    """What was done, and with how much."""
    rollouts = found["rollouts"]
    return (
        f"{counted(len(found['rows']) - 2, 'student')}, LoRA adapters of the base, learnt the teacher's distributions "
        f"on its own {counted(rollouts['rollouts'], 'rollout')} of {counted(rollouts['problems'], 'problem')} "
        f"({rollouts['tokens']:,} tokens), the {found['top']} most likely tokens of each position and the rest as one "
        f"(arXiv 2605.06241, Eq. 4). Accuracy is greedy, on {found['test_problems']} other problems, with "
        f"{found['confidence']:.0%} bootstrap intervals."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    base, teacher, *students = (row["accuracy"]["value"] for row in found["rows"])
    if not students:
        return []
    said = [f"Base {base:.2f}, teacher {teacher:.2f}, best student {max(students):.2f}."]
    for row, reached in zip(found["rows"][2:], students, strict=True):
        part = f", {(reached - base) / (teacher - base):.0%} of the gain" if teacher > base else ""
        said.append(
            f"{row['name']}: {row['parameters']:,} parameters ({row['parameter_share']:.2%} of the base) reach "
            f"{reached:.2f}{part}; {row['kl']:.3f} nats of KL from the teacher are left."
        )
    return said


def _panels(folder: Path, found: Found) -> list[Panel]:
    rows = found["rows"]
    students = Panel(
        "students",
        "Accuracy by student",
        figures.students_accuracy(rows),
        f"Greedy, n = {found['test_problems']}. Dotted: the base; dashed: the teacher. Bars: intervals.",
    )
    if len(rows) == 2:
        return [students]
    histories = {row["name"]: folder / "students" / row["name"] / "history.parquet" for row in rows[2:]}
    losses = {
        name: [(step["step"], step["loss"]) for step in read_table(path).to_pylist()]
        for name, path in histories.items()
    }
    return [
        students,
        Panel(
            "parameters",
            "Accuracy against size",
            figures.accuracy_by_parameters(rows),
            "Trainable parameters, logarithmic. Dotted: the base; dashed: the teacher. Bars: intervals.",
        ),
        Panel(
            "kl",
            "What is learnt",
            figures.students_kl(losses),
            "Loss of each step: mean KL(teacher || student) over its rollouts, nats.",
        ),
    ]


def students_table(found: Found) -> Table:
    """Base, teacher and students."""
    return Table(
        "students-table",
        f"Greedy accuracy on {found['test_problems']} test problems",
        ("model", "parameters", "of the base", "accuracy", "minus teacher", "KL, nats"),
        [
            (
                row["name"],
                f"{row['parameters']:,}" if row["parameters"] else "",
                f"{row['parameter_share']:.2%}" if row["parameter_share"] else "",
                number(row["accuracy"], 3),
                signed(row["to_teacher"]) if row["to_teacher"] else "",
                "" if row["kl"] is None else f"{row['kl']:.4f}",
            )
            for row in found["rows"]
        ],
        "KL(teacher || model) per position, on the teacher's greedy answers to the test problems.",
        headline=True,
    )


def _published() -> Table:
    return Table(
        "published-table",
        "Published, other models: Qwen2.5-1.5B on MATH-500",
        ("model", "parameters", "accuracy"),
        [(row.name, row.parameters, f"{row.accuracy:.3f}") for row in published_students()],
        "arXiv 2605.06241, Table 4; none was measured by this package.",
    )
