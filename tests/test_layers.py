"""Data flows one way: a module imports only from those before it."""

import ast
from pathlib import Path

import reasonmaxxer

RING = [
    "errors", "config", "recipe", "artifacts", "child", "trial", "sandbox", "problems", "verify", "models", "rollouts",
    "method", "baselines", "cost", "environment", "work.folder",
    "work.stage_work", "work.workspace", "work.progress", "work.records", "measure",
    "work.reuse", "work.sampling", "work.model", "work.job", "work.rounds", "work.stages", "work.methods",
    "work.training", "work.summary", "work.run", "work.join",
]  # fmt: skip
"""What a newcomer reads to know the method. Neither it nor the command line knows the microscope or the report."""
ORDER = [*RING, "microscope", "work.status", "report", "share", "work", "cli"]
"""`work.NAME` is one module of `work`, `work` all others of it."""
ROOT = Path(reasonmaxxer.__file__).parent


def layer(parts):
    two = ".".join(parts[:2])
    return two if two in ORDER else parts[0]


def own_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reasonmaxxer."):
            yield layer(node.module.split(".")[1:])


def all_imports():
    """Every module's layer and path, with the layers that it imports from, inside functions too."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not parts[0].startswith("__"):
            yield layer(parts), path.relative_to(ROOT), list(own_imports(path))


def test_no_module_reaches_back():
    backward = [
        f"{path} imports {name}"
        for module, path, names in all_imports()
        for name in names
        if ORDER.index(name) > ORDER.index(module)
    ]
    assert backward == []
    assert {module for module, *_ in all_imports()} == set(ORDER)


def test_the_ring_knows_neither_microscope_nor_report():
    reaching = [
        f"{path} imports {name}"
        for module, path, names in all_imports()
        for name in names
        if module in (*RING, "cli") and name in ("microscope", "report")
    ]
    assert reaching == []
