"""Trackers that training reports to, such as TensorBoard; each is a callback of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.integrations import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
)

from reasonmaxxer.errors import UserError, did_you_mean


def check_trackers(names: tuple[str, ...]) -> None:
    """Refuse what training could not report to, before long work starts.

    Args:
        names: of `training.report_to`.

    Raises:
        UserError: a tracker is unknown, or not installed.
    """
    known = sorted(INTEGRATION_TO_CALLBACK)
    for name in names:
        if name not in known:
            raise UserError(
                f"training.report_to = '{name}' is no tracker.{did_you_mean(name, known)} "
                f"Trackers: {', '.join(known)}."
            )
        if name not in get_available_reporting_integrations():
            extra = " (pip install 'reasonmaxxer[tensorboard]')" if name == "tensorboard" else ""
            raise UserError(
                f"training.report_to = '{name}' is not installed. Install it{extra}, or take it off "
                "the recipe."
            )


def trackers(names: tuple[str, ...], events: Path) -> list[Any]:
    """Callbacks of the trackers.

    Args:
        names: of `training.report_to`.
        events: folder of TensorBoard's event files.
    """
    callbacks = [INTEGRATION_TO_CALLBACK[name]() for name in names]
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = str(events)
    return callbacks
