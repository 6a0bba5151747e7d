"""RL-trained counterparts of the embedded model, adapters that ship in the package.

Each is a PEFT folder with the `recipe.yaml` that made it and `teacher.json`: what it scored, by step, and
what it cost.
"""

from pathlib import Path

from reasonmaxxer.artifacts import read_json
from reasonmaxxer.errors import did_you_mean
from reasonmaxxer.models.embedded import EMBEDDED

FOLDER = Path(__file__).parent / "teachers"


def teachers() -> dict[str, Path]:
    """Folder of each teacher, by name."""
    return {path.parent.name: path.parent for path in sorted(FOLDER.glob("*/adapter_config.json"))}


def near_embedded(name: str, *others: str) -> str:
    """Suggest what a model's name that leads nowhere may stand for (`` Did you mean 'x'?``): an embedded model, a
    teacher, or one of others."""
    return did_you_mean(name, (*EMBEDDED, *teachers(), *others))


def describe_teacher(folder: Path) -> str:
    """One line for people."""
    record = read_json(folder / "teacher.json")
    gained = f"{record['base_accuracy']:.2f} to {record['accuracy']:.2f}"
    return (
        f"{record['base']} after {record['steps']} steps of {record['method'].upper()}: greedy accuracy "
        f"{gained} on {record['test_problems']} word problems"
    )
