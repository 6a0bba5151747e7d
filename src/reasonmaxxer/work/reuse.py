"""What a command need not do again because it, or another one, has done it in another workspace."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.config import Config
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.recipe import CONFIGS, parse_config
from reasonmaxxer.work.folder import RECORD, open_workspace
from reasonmaxxer.work.workspace import Workspace

Keys = Sequence[str]
"""Keys of a config; a section is all of its keys."""


def take_over(
    there: Path, workspace: Workspace, depends: Mapping[str, Keys], problems: Mapping[str, Sequence[Problem]]
) -> None:
    """Copy what another workspace holds that would come out the same, with what it cost.

    Args:
        there: the other workspace.
        workspace: this one; what is there already stays.
        depends: stages, and folders of completions within a stage (`evaluation/base-greedy`), with the keys
            of the config that each depends on; nearest the problems first.
        problems: of the sources, now, by the path of the table that holds them.

    Raises:
        UserError: the other folder is no workspace or of a command that does other things, nothing in it can be
            used, or a file that it read was edited since.
    """
    claim, ours = open_workspace(there), workspace.config
    kind = CONFIGS.get(claim.command)
    if not kind or not (isinstance(ours, kind) or issubclass(kind, type(ours))):
        raise UserError(
            f"{there} cannot be reused: it holds what `reasonmaxxer {claim.command}` did, and nothing that "
            f"`reasonmaxxer {workspace.command}` does."
        )
    theirs = parse_config(kind, dict(claim.config), str(there))
    usable = [name for name, keys in depends.items() if (there / name).is_dir() and not differing(theirs, ours, keys)]
    if not usable:
        unlike = ", ".join(differing(theirs, ours, next(iter(depends.values())))) or "results"
        raise UserError(f"Nothing of {there} can be reused: its {unlike} differ, or it has not come so far.")
    edited = [*workspace.edited_since(claim), *_other_problems(there, problems)]
    if edited:
        raise UserError(
            f"{there} cannot be reused: {', '.join(edited)} had other content when it was made. Leave out "
            "--reuse, or give back what it was made with."
        )
    for name in usable:
        if (there / name / RECORD).is_file():
            _copy(there / name, workspace.path / name)
        elif not workspace.is_done(stage := str(Path(name).parent)):  # shards that are there when it begins
            shutil.copytree(there / name, workspace.partial(stage) / Path(name).name, dirs_exist_ok=True)


def differing(theirs: Config, ours: Config, keys: Keys) -> list[str]:
    """Those of some keys that two configs differ in."""
    return [key for key in keys if theirs.value(key) != ours.value(key)]


def _other_problems(there: Path, problems: Mapping[str, Sequence[Problem]]) -> list[str]:
    """Tables that hold other problems than the same sources have now."""
    return [
        name
        for name, now in problems.items()
        if (there / name).is_file() and read_table(there / name) != problems_table(now)
    ]


def _copy(stage: Path, target: Path) -> None:
    """Copy a complete stage, so that it is whole or absent."""
    if not target.is_dir():
        partial = target.with_name(f".{target.name}.reused")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(stage, partial)
        partial.replace(target)
