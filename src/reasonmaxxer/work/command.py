"""What every command but the run does with its workspace: open it, and put its figures together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import Config, CostConfig, ModelConfig
from reasonmaxxer.cost import price_of
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.models import resolve_device
from reasonmaxxer.models.base import check_models
from reasonmaxxer.problems import Problem
from reasonmaxxer.work.folder import SUMMARY
from reasonmaxxer.work.reuse import Keys, take_over
from reasonmaxxer.work.workspace import Options, Workspace

SCHEMA = 1


@contextmanager
def opened(
    out: Path,
    command: str,
    config: Config,
    model: ModelConfig,
    *,
    stages: Sequence[str],
    files: Sequence[str | None],
    problems: Mapping[str, Sequence[Problem]],
    depends: Mapping[str, Keys],
    options: Options,
) -> Iterator[Workspace]:
    """A command's workspace, to itself while the block runs.

    Args:
        out: its folder.
        command: its name.
        config: what it does.
        model: that decides on the device.
        stages: as of `Workspace`.
        files: as of `Workspace`.
        problems: of its sources, now, by the path of the table that holds them.
        depends: keys of the config that stages depend on, as of `take_over`.
        options: of which `reuse` is looked at.

    Raises:
        UserError: as by `Workspace` and `take_over`, or its problems are others now.
    """
    check_models(config)
    device = resolve_device(model)
    workspace = Workspace(
        out, command, config, stages=stages, files=files, device=device, price=price_of(CostConfig(), device)
    )
    with workspace.lock():
        for table, wanted in problems.items():
            workspace.refuse_other_problems(table, wanted)
        if (there := options.get("reuse")) and not workspace.summary:
            take_over(there, workspace, depends, problems)
        yield workspace


def finish(workspace: Workspace, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write `summary.json`: what a command found, what it cost and where it was done."""
    summary = {
        "schema": SCHEMA,
        "command": workspace.command,
        **found,
        "cost": workspace.ledger(),
        "environment": describe_environment(workspace.device, workspace.config.model_dump()["seed"]),
    }
    write_json(summary, workspace.path / SUMMARY)
    return summary
