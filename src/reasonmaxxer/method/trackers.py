"""Trackers that training reports to: TensorBoard, W&B, Trackio; each is a callback of transformers.

Whatever they keep on this machine lies in the run directory, in a folder named after the tracker.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

from transformers.integrations import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    TrackioCallback,
    WandbCallback,
    get_available_reporting_integrations,
)

from reasonmaxxer.errors import UserError, did_you_mean

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


def trackers(names: tuple[str, ...], events: Path) -> list[Any]:
    """Callbacks of the trackers.

    Args:
        names: of `training.report_to`.
        events: folder of TensorBoard's event files, `RUN/tensorboard/GATE`; the others use `RUN/wandb` and
            `RUN/trackio`, and call themselves `RUN-GATE`.
    """
    made: dict[str, Callable[[Path], Any]] = {"tensorboard": _tensorboard, "trackio": _Trackio, "wandb": _Wandb}
    return [made[name](events) if name in made else INTEGRATION_TO_CALLBACK[name]() for name in names]


def _tensorboard(events: Path) -> Any:
    callback = TensorBoardCallback()
    callback.logging_dir = str(events)
    return callback


def _title(events: Path) -> str:
    return f"{events.parent.parent.resolve().name}-{events.name}"


class _Wandb(WandbCallback):  # type: ignore[misc]
    """One W&B run a gate; transformers would put all of them into the first."""

    def __init__(self, events: Path) -> None:
        super().__init__()
        self.events = events

    def setup(self, args: Any, state: Any, model: Any, **kwargs: Any) -> None:
        self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=_title(self.events),
            dir=self.events.parent.parent,
            settings=self._wandb.Settings(console="off", quiet=True),  # the terminal shows progress
        )
        super().setup(args, state, model, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_end(args, state, control, **kwargs)
        self._wandb.finish()


class _Trackio(TrackioCallback):  # type: ignore[misc]
    """One Trackio run a gate, in a data base of the run directory."""

    def __init__(self, events: Path) -> None:
        # read once, when trackio is imported
        os.environ.setdefault("TRACKIO_DIR", str(events.parent.parent.resolve() / "trackio"))
        super().__init__()
        self.events = events

    def setup(self, args: Any, state: Any, model: Any, **kwargs: Any) -> None:
        named = copy(args)
        named.project, named.run_name = PROJECT, _title(self.events)
        super().setup(named, state, model, **kwargs)
