"""Data flows one way: a module imports only from those before it."""

import ast
from pathlib import Path

import reasonmaxxer

ORDER = [
    "errors", "config", "recipe", "artifacts", "child", "trial", "problems", "verify", "models", "rollouts",
    "method", "baselines", "cost", "environment", "work.run_directory", "work.command_folder", "work.progress",
    "measure", "microscope", "work.status", "work.summary", "report", "work", "share", "cli",
]  # fmt: skip
"""`work.NAME` is one module of `work`, `work` all others of it."""
ROOT = Path(reasonmaxxer.__file__).parent


def layer(parts):
    two = ".".join(parts[:2])
    return two if two in ORDER else parts[0]


def own_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reasonmaxxer."):
            yield layer(node.module.split(".")[1:])


def test_no_module_reaches_back():
    backward, seen = [], set()
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0].startswith("__"):
            continue
        module = layer(parts)
        seen.add(module)
        backward += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in own_imports(path)
            if ORDER.index(name) > ORDER.index(module)
        ]
    assert backward == []
    assert seen == set(ORDER)
