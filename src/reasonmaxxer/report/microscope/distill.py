"""What `distill` found: words, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.measure.published import published_students
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with, panel
from reasonmaxxer.report.numbers import counted, number, signed

PUBLISHED = "published, other models, MATH-500"

Found = Mapping[str, Any]


def content(folder: Path, found: Found) -> Content:
    """The page of a folder of `distill`.

    Args:
        folder: with `students/NAME/history.parquet`.
        found: its `summary.json`.
    """
    return Content(
        command="distill",
        title=f"{found['base']['name']} → {found['teacher']['name']}",
        lead=lead(found),
        findings=findings(found),
        caveats=[
            "A student that keeps the teacher's accuracy shows that so few parameters can hold what was "
            "learnt here, not that training found nothing else."
        ],
        sections=[Section("result", "What the students kept", _panels(folder, found), [table_4(found)])],
        facts=measured_with({arm: found[arm] for arm in ("base", "teacher")}, {"seed": found["seed"]}),
    )


def lead(found: Found) -> str:
    """What was done, and with how much."""
    rollouts = found["rollouts"]
    return (
        f"{counted(len(found['rows']) - 2, 'student')}, LoRA adapters of the base, learnt the teacher's "
        f"distributions on its own {counted(rollouts['rollouts'], 'rollout')} of "
        f"{counted(rollouts['problems'], 'problem')} ({rollouts['tokens']:,} tokens), the "
        f"{found['top']} most likely tokens of each position and the rest as one (arXiv 2605.06241, "
        f"Eq. 4). Accuracy is greedy, on {found['test_problems']} other problems, with "
        f"{found['confidence']:.0%} bootstrap intervals."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    base, teacher, *students = found["rows"]
    if not students:
        return []
    gain = teacher["accuracy"]["value"] - base["accuracy"]["value"]
    said = [
        f"Base {base['accuracy']['value']:.2f}, teacher {teacher['accuracy']['value']:.2f}, best student "
        f"{max(s['accuracy']['value'] for s in students):.2f}."
    ]
    for student in students:
        kept = student["accuracy"]["value"] - base["accuracy"]["value"]
        part = f", {kept / gain:.0%} of the gain" if gain > 0 else ""
        said.append(
            f"{student['name']}: {student['parameters']:,} parameters "
            f"({student['parameter_share']:.2%} of the base) reach {student['accuracy']['value']:.2f}"
            f"{part}; {student['kl']:.3f} nats of KL from the teacher are left."
        )
    return said


def _panels(folder: Path, found: Found) -> list[Panel]:
    rows = found["rows"]
    drawn = [
        panel(
            "students",
            "Accuracy by student",
            figures.students_accuracy(rows),
            f"Greedy, n = {found['test_problems']}. Dotted: the base; dashed: the teacher. Bars: intervals.",
        )
    ]
    if len(rows) > 2:
        drawn += [
            panel(
                "parameters",
                "Accuracy against size",
                figures.accuracy_by_parameters(rows),
                "Trainable parameters, logarithmic. Dotted: the base; dashed: the teacher. Bars: intervals.",
            ),
            panel(
                "kl",
                "What is learnt",
                figures.students_kl(_histories(folder, [row["name"] for row in rows[2:]])),
                "Loss of each step: mean KL(teacher || student) over its rollouts, nats.",
            ),
        ]
    return drawn


def _histories(folder: Path, names: list[str]) -> dict[str, list[tuple[int, float]]]:
    tables = {name: folder / "students" / name / "history.parquet" for name in names}
    return {
        name: [(row["step"], row["loss"]) for row in read_table(path).to_pylist()] for name, path in tables.items()
    }


def table_4(found: Found) -> Table:
    """Table 4 of arXiv 2605.06241: these students, and the published ones for reference."""
    measured = [
        (
            row["name"],
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['parameter_share']:.2%}" if row["parameter_share"] else "",
            number(row["accuracy"], 3),
            signed(row["to_teacher"]) if row["to_teacher"] else "",
            "" if row["kl"] is None else f"{row['kl']:.4f}",
            "measured here",
        )
        for row in found["rows"]
    ]
    published = [
        (f"Qwen2.5-1.5B: {row.name}", row.parameters, "", f"{row.accuracy:.3f}", "", "", PUBLISHED)
        for row in published_students()
    ]
    return Table(
        "students-table",
        "Students",
        ("model", "parameters", "of the base", "accuracy", "minus teacher", "KL, nats", "whence"),
        [*measured, *published],
        "KL(teacher || model) per position, on the teacher's greedy answers to the test problems. "
        "Published rows: arXiv 2605.06241, Table 4; none was measured by this package.",
    )
