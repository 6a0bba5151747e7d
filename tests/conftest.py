"""Settings of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; torch reads it when it is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow; that is no fault of the code under test.
settings.register_profile("any-machine", deadline=None, print_blob=True)
settings.load_profile("any-machine")

SLOW = {
    "baselines", "browser", "integration", "test_adapters.py", "test_answers.py", "test_cli.py", "test_devices.py",
    "test_distill.py", "test_embedded.py", "test_file.py", "test_formats.py", "test_gym.py", "test_load.py",
    "test_lockstep.py", "test_maths.py", "test_memory.py", "test_own.py", "test_prompts.py", "test_quick.py",
    "test_ray_engine.py", "test_reading.py", "test_trainer.py", "test_transformers_engine.py", "test_trial.py",
    "test_verifier.py", "test_vllm_engine.py", "test_worker.py",
}  # fmt: skip
"""Folders and files whose tests run whole models, start programs or read megabytes; all others are `fast`."""


def pytest_collection_modifyitems(items):
    """Mark what an editor's loop can wait for: `pytest -m fast`."""
    for item in items:
        if not SLOW & set(Path(item.path).parts):
            item.add_marker(pytest.mark.fast)
