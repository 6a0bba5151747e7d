"""What every process but the first does under `accelerate launch`: it helps to train, and leaves."""

import os
import time
from pathlib import Path

import torch

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost import Meter
from reasonmaxxer.work.folder import partial_folder, read_claim
from reasonmaxxer.work.job import open_job
from reasonmaxxer.work.methods import methods_of
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.training import Round, train_all

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
    training = out / "training"
    while not training.is_dir() and not partial_folder(training).is_dir():
        time.sleep(SECONDS)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    stages = read_claim(out).stages
    job = open_job(recipe, out, Display(), stages=stages, trust_remote_code=trust_remote_code)
    if not job.workspace.is_recorded("training"):
        meter = Meter("training", job.workspace.device, None)
        work = StageWork(job.workspace.partial("training"), meter, None)
        train_all(job, work, Round(1, methods_of(job)))
