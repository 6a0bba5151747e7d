"""A whole run whose engine keeps to itself what the model thought, and samples elsewhere."""

from functools import partial

import numpy as np
import pytest

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.selection import examples_from_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.engine import Completion, Engine
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.work import job, model, stages
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.reuse import differing
from reasonmaxxer.work.run import ANSWERS, DEPENDS, reuse_run, run_stage
from tests.tiny import tiny_problems, tiny_recipe


class Silent(Engine):
    """The model as it stands, without entropies; notes what it was asked for and when it ended."""

    name, version = "silent", "1"

    @property
    def settings(self):
        return {}

    def __init__(self, loaded, eos_ids, batch_size, log):
        self.loaded, self.arguments, self.log = loaded, (eos_ids, batch_size), log

    def generate(self, requests, sampling, on_tokens=None):
        [adapter] = {request.adapter for request in requests}
        wrapped = hasattr(self.loaded.model, "peft_config")
        assert wrapped == (adapter is not None)
        self.log.append(adapter and adapter.rpartition("/")[2])
        made = TransformersEngine(self.loaded.model, *self.arguments).generate(requests, sampling)
        return [Completion(c.ids, None, None, c.finish_reason) for c in made]

    def close(self):
        self.log.append("closed")


def test_what_an_engine_does_not_tell_is_scored_and_it_ends_before_anything_else(tmp_path, monkeypatch):
    recipe = tiny_recipe(tmp_path)
    run(recipe, tmp_path / "telling")
    log = []
    monkeypatch.setattr(model, "make_engine", lambda config, *rest: Silent(*rest, log=log))
    run(recipe, tmp_path / "silent")
    rollouts = read_rollouts(tmp_path / "silent" / "rollouts")
    assert all(r.entropy is None and r.engine == "silent" for r in rollouts)
    told, scored = (
        examples_from_table(read_table(tmp_path / name / "signal" / "examples.parquet"))
        for name in ("telling", "silent")
    )
    assert [e.completion_ids for e in told] == [e.completion_ids for e in scored]
    for a, b in zip(told, scored, strict=True):
        np.testing.assert_allclose(a.entropy, b.entropy, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(a.logprob, b.logprob, rtol=1e-4, atol=1e-5)
    sampled = [None, None, "closed"]  # two shards of training problems
    checkpoints = [f"checkpoint-{n}" for n in (2, 4, 6)]
    arms = [name for arm in (None, "adapter") for name in (arm, arm, "closed")]  # greedy, sampled
    assert log == [*sampled, *checkpoints, "closed", *arms]


def test_an_engine_that_is_not_there_is_refused_before_the_folder_is_touched(tmp_path):
    nowhere = {"name": "vllm", "vllm": {"python": str(tmp_path / "python")}}
    recipe = tiny_recipe(tmp_path, rollouts={"engine": nowhere})
    with pytest.raises(UserError, match=r"rollouts\.engine\.vllm\.python"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_answers_of_another_engine_are_not_reused(tmp_path):
    recipe = tiny_recipe(tmp_path)
    other = tiny_recipe(tmp_path, rollouts={"engine": {"vllm": {"enforce_eager": True}}})
    assert not differing(recipe, tiny_recipe(tmp_path), ANSWERS)
    assert differing(recipe, other, ANSWERS) == ["rollouts.engine"]


@pytest.mark.parametrize("key", ["batch_size", "rollouts_per_shard"])
def test_answers_of_another_batch_or_another_slicing_are_not_reused(tmp_path, key):
    recipe = tiny_recipe(tmp_path)
    rollouts = recipe.rollouts.model_copy(update={key: getattr(recipe.rollouts, key) + 1})
    other = recipe.model_copy(update={"rollouts": rollouts})
    assert differing(recipe, other, DEPENDS["evaluation/base-greedy"]) == [f"rollouts.{key}"]


def test_answers_with_another_stop_are_not_reused(tmp_path):
    recipe, other = (tiny_recipe(tmp_path, evaluation={"stop": stop}) for stop in ((), ("\n\n",)))
    for name in ("training", "evaluation/base-greedy"):
        assert differing(recipe, other, DEPENDS[name]) == ["evaluation.stop"]


def test_problems_of_another_recipe_yield_and_are_drawn_again(tmp_path):
    recipe = tiny_recipe(tmp_path)
    opened = partial(job.open_job, out=tmp_path / "run", display=Display(), stages=("problems",))
    run_stage(opened(recipe), "problems", (), stages.problems)
    other = opened(recipe.model_copy(update={"seed": recipe.seed + 1}))
    run_stage(other, "problems", (), stages.problems)
    assert other.workspace.record("problems")["seed"] == recipe.seed + 1


def test_problems_that_were_edited_since_are_not_reused(tmp_path):
    recipe = tiny_recipe(tmp_path, verify={"function": f"{tmp_path / 'mine.py'}:grade"})
    grade = "def grade(completion, answer, metadata):\n    return completion.endswith({})\n"
    (tmp_path / "mine.py").write_text(grade.format("answer"))
    opened = partial(job.open_job, recipe, display=Display(), stages=("problems",))
    run_stage(opened(out=tmp_path / "first"), "problems", (), stages.problems)
    reuse_run(tmp_path / "first", opened(out=tmp_path / "second"))
    assert (tmp_path / "second" / "problems" / "stage.json").is_file()
    (tmp_path / "mine.py").write_text(grade.format("'1'"))
    tiny_problems(tmp_path / "train.jsonl", 6, 50)
    with pytest.raises(UserError, match=r"mine\.py, problems/train\.parquet had other content.*--reuse"):
        reuse_run(tmp_path / "first", opened(out=tmp_path / "third"))
