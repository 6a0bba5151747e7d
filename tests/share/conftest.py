"""One finished run of a tiny model for all tests of sharing."""

import pytest

from reasonmaxxer.work.main_job import run
from tests.tiny import tiny_recipe


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Its folder and its recipe."""
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe(folder, training={"learning_rate": 0.1})
    run(recipe, folder / "out")
    return folder / "out", recipe
