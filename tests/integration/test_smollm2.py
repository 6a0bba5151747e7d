"""The main job on the real, pre-trained embedded model: small enough for CI, large enough to learn."""

import numpy as np
import pytest

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.config import Recipe
from reasonmaxxer.models import eos_ids, load_model
from reasonmaxxer.models.teachers import teachers
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe, parse_config
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.main_job import run

EPOCHS = 2
SMALL = (
    "problems.train.limit=8",
    "problems.validation.limit=4",
    "problems.test.limit=8",
    "rollouts.max_new_tokens=80",
    "training.checkpoints=1",
    f"training.epochs={EPOCHS}",
    "evaluation.max_new_tokens=64",
    "evaluation.samples=0",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("smollm2") / "run"
    return out, run(load_recipe("default", SMALL), out)


def test_the_base_solves_some_problems_and_not_others(finished):
    _, summary = finished
    assert 0.05 < summary["rollouts"]["mean_pass_rate"] < 0.95
    assert summary["rollouts"]["mixed_share"] >= 0.25
    assert summary["model"]["name"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_entropies_are_those_of_a_language_model(finished):
    out, _ = finished
    entropy = np.concatenate([r.entropy for r in read_rollouts(out / "rollouts")])
    # most tokens are near certain, a few are forks: the premise of the method
    assert np.quantile(entropy, 0.25) < 0.3 < 1.5 < np.quantile(entropy, 0.95)


def test_training_starts_at_the_base_and_lowers_the_loss(finished):
    out, summary = finished
    history = read_table(out / "training" / "history.parquet").to_pylist()
    assert len(history) == summary["training"]["planned_steps"]
    assert history[0]["kl"] == 0.0 < history[-1]["kl"]
    # whole epochs see the same sequences, so their mean losses compare
    epoch = len(history) // EPOCHS
    assert epoch >= 2
    first, last = (np.mean([r["loss"] for r in rows]) for rows in (history[:epoch], history[-epoch:]))
    assert last < first


def test_the_adapted_model_answers_differently(finished):
    out, _ = finished
    base, adapted = (
        [r.completion_ids for r in read_rollouts(out / "evaluation" / f"{arm}-greedy")] for arm in ("base", "adapted")
    )
    changed = sum(b != a for b, a in zip(base, adapted, strict=True))
    assert changed > 0


@pytest.mark.parametrize("name", sorted(teachers()))
def test_a_teacher_is_right_where_its_base_is_not(finished, name):
    _, summary = finished
    folder = teachers()[name]
    record = read_json(folder / "teacher.json")
    recipe = load_recipe(str(folder / "recipe.yaml"), (), None)
    assert record["method"] == recipe.training.method and record["seed"] == recipe.seed
    assert record["base_source"] == summary["model"]["source"]
    loaded = load_model(parse_config(Recipe, {"model": {"name": name}}).model)
    problems = word_problems("test", 20, 0)
    evaluation = recipe.evaluation.model_copy(update={"temperature": 0.0})
    with Verifier(recipe.verify, recipe.problems.prompt_style) as verifier:
        engine = TransformersEngine(loaded.model, eos_ids(loaded.model, loaded.tokenizer), 20)
        sampler = Sampler(
            engine, verifier, loaded.tokenizer,
            prompt_style=recipe.problems.prompt_style, sampling=evaluation, per_problem=1, seed=0,
        )  # fmt: skip
        answers = sampler.sample(problems)
    # the base solves 6 of these
    assert sum(answer.outcome == "correct" for answer in answers) >= 12
