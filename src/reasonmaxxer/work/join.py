"""What every process but the first does under `accelerate launch`: it helps to train, and leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost import Meter
from reasonmaxxer.work.courses import courses_of
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.run_directory import StageWork
from reasonmaxxer.work.session import Session
from reasonmaxxer.work.training import train_courses

SECONDS = 1.0
"""Between two looks for what the first process has finished."""


def join(recipe: Recipe, out: Path, *, trust_remote_code: bool = False) -> None:
    """Wait until the first process begins to train, then train with it.

    It waits for files, not in a collective operation, which would time out. Nothing is printed, and nothing
    written but this process's random states beside a checkpoint.

    Args:
        recipe: what the first process runs.
        out: its run directory, which all processes see.
        trust_remote_code: let the model's repository run its own code.
    """
    while not any((out / name).is_dir() for name in ("training", ".training.partial")):
        time.sleep(SECONDS)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    session = Session(recipe, out, Display(), trust_remote_code)
    directory = session.directory
    if not directory.is_recorded("training"):
        meter = Meter("training", directory.device, None)
        work = StageWork(directory.partial("training"), meter, None)
        train_courses(session, work, courses_of(session, work))
