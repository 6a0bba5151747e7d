"""Trackers that training reports to, through transformers: TensorBoard, W&B, Trackio.

Whatever these three keep on this machine lies in the run directory, in a folder named after the tracker.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.method.processes import is_first

EXTRAS = ("tensorboard", "trackio", "wandb")
"""Trackers that are an extra of this package; others are installed by hand."""
PROJECT = "reasonmaxxer"
OFFLINE = ("offline", "disabled", "dryrun")
"""Values of WANDB_MODE for which no account is needed."""


def check_trackers(names: tuple[str, ...]) -> None:
    """Refuse what training could not report to, before long work starts.

    Args:
        names: of `training.report_to`.

    Raises:
        UserError: a tracker is unknown or not installed, or W&B would ask for a login.
    """
    known = sorted(INTEGRATION_TO_CALLBACK)
    for name in names:
        if name not in known:
            raise UserError(
                f"training.report_to = '{name}' is no tracker.{did_you_mean(name, known)} "
                f"Trackers: {', '.join(known)}."
            )
        if name not in get_available_reporting_integrations():
            extra = f" (pip install 'reasonmaxxer[{name}]')" if name in EXTRAS else ""
            raise UserError(
                f"training.report_to = '{name}' is not installed. Install it{extra}, or take it off the recipe."
            )
    if "wandb" in names:
        _check_wandb()


def _check_wandb() -> None:
    import wandb

    if os.environ.get("WANDB_MODE") not in OFFLINE and not wandb.api.api_key:
        raise UserError(
            "training.report_to = 'wandb' would ask for a login in the middle of the run. Log in first "
            "(`wandb login`, or set WANDB_API_KEY), or set WANDB_MODE=offline and `wandb sync` it later."
        )


def tracker_arguments(names: tuple[str, ...], events: Path) -> dict[str, Any]:
    """Keywords of `TrainingArguments` that report one gate's training; files go where the environment says.

    Args:
        names: of `training.report_to`.
        events: folder of TensorBoard's event files, `RUN/tensorboard/GATE`; the others use `RUN/wandb` and
            `RUN/trackio`, and call themselves `RUN-GATE`.
    """
    if not names:
        return {"report_to": "none"}
    run = events.parent.parent.resolve()
    title = f"{run.name}-{events.name}"
    os.environ |= {"TENSORBOARD_LOGGING_DIR": str(events), "TRACKIO_DIR": str(run / "trackio")}
    if "wandb" in names and is_first():
        import wandb

        wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=title,
            dir=run,
            settings=wandb.Settings(console="off", quiet=True),  # the terminal shows progress
        )
    return {"report_to": list(names), "run_name": title, "project": PROJECT}


def end_trackers(names: Sequence[str]) -> None:
    """End W&B's run: transformers would put the next gate's training into it, too."""
    if "wandb" in names:
        import wandb

        wandb.finish()
