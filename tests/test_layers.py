"""Data flows one way: a module imports only from those before it."""

import ast
from pathlib import Path

import reasonmaxxer

ORDER = [
    "errors", "config", "recipe", "artifacts", "child", "trial", "problems", "verify", "models", "rollouts",
    "signal", "training", "baselines", "evaluation", "divergence", "cost", "environment",
    "run_directory", "command_folder", "report", "pipeline", "share", "cli",
]  # fmt: skip
ROOT = Path(reasonmaxxer.__file__).parent


def own_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reasonmaxxer."):
            yield node.module.split(".")[1]


def test_no_module_reaches_back():
    backward, seen = [], set()
    for path in ROOT.rglob("*.py"):
        module = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if module.startswith("__"):
            continue
        seen.add(module)
        backward += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in own_imports(path)
            if ORDER.index(name) > ORDER.index(module)
        ]
    assert backward == []
    assert seen == set(ORDER)
