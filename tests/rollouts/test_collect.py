"""Shards that are made once."""

import json

import pytest
from transformers import AutoTokenizer

from reasonmaxxer.config import MicroscopeConfig, ModelConfig, Recipe, SamplingConfig, VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import load_model
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.collect import collect, read_rollouts
from reasonmaxxer.rollouts.engine import Completion, Engine, rollout_seed
from reasonmaxxer.rollouts.limits import check_prompts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout, rollout_table, rollouts_from_table
from reasonmaxxer.verify import Verifier
from tests.tiny import FAMILIES, tiny_folder, tiny_model

PROBLEMS = [Problem(f"p{n}", f"{n} so 1", str(n), "x") for n in range(5)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(tiny_folder(tmp_path_factory.mktemp("model")))


def checked(folder, problems=PROBLEMS, new=5, style="chat_template"):
    """The longest prompt, and what was said of it."""
    loaded = load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))
    said = []
    config = MicroscopeConfig(prompt_style=style, max_new_tokens=new)
    return check_prompts(problems, loaded, config, "prompt_style", "max_new_tokens", said.append), said


def test_prompts_that_fit_are_measured(tmp_path):
    folder = tiny_folder(tmp_path)
    longer = [*PROBLEMS, Problem("long", "1 " * 20, "1", "x")]
    assert checked(folder) == (5, [])  # <s> 0 so 1 so
    assert checked(folder, longer, 256 - 22) == (22, [])
    longest, [said] = checked(folder, longer, 256 - 21)
    assert longest == 22 and "up to 22 tokens and 235 new ones" in said and "256 positions" in said


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_completions_beyond_a_table_of_positions_are_refused(tmp_path, monkeypatch, family):
    monkeypatch.setitem(FAMILIES, family, {})
    folder = tiny_folder(tmp_path, family)
    assert checked(folder, new=251) == (5, [])
    with pytest.raises(UserError, match=r"256 positions .*lower max_new_tokens to 251 or less"):
        checked(folder, new=252)


def test_a_style_that_does_not_suit_is_named_by_its_key(tmp_path):
    folder = tiny_folder(tmp_path)
    (folder / "chat_template.jinja").unlink()
    loaded = load_model(ModelConfig(name=str(folder), device="cpu"))
    for config, key in ((MicroscopeConfig(), "prompt_style"), (Recipe(), "problems.prompt_style")):
        with pytest.raises(UserError, match=rf"^{key}: prompt style 'chat_template' .* no chat template; choose qwen"):
            check_prompts(PROBLEMS, loaded, config, key, "seed", print)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    folder = tiny_folder(tmp_path)
    tiny_model(vocab=7).save_pretrained(folder)  # without "so"
    with pytest.raises(UserError, match="knows 7 tokens and its tokenizer makes token 7"):
        checked(folder)


def rollout(problem, index=0, text="1"):
    return Rollout(
        problem.id, index, 7, [1, 4], [5, 2], text, "stop", [0.5, 0.25], [-1.0, -0.5], "wrong", "1",
        "transformers", "5",
    )  # fmt: skip


class OneByOne:
    """Stands for a sampler of one rollout a problem."""

    per_problem = 1

    def __init__(self):
        self.made = []

    def sample_shards(self, shards, on_tokens=None):
        for number, shard in enumerate(shards):
            self.made.append([p.id for p in shard])
            yield number, [rollout(p) for p in shard]


def test_shards_are_consecutive_and_made_once(tmp_path):
    sampler, seen, finished = OneByOne(), [], []

    def on_shard(rows, path):
        seen.append(path and not path.exists())

    def on_tokens(tokens, rollouts):
        finished.append((tokens, rollouts))

    first = collect(PROBLEMS, tmp_path, 2, sampler, on_tokens=on_tokens, on_shard=on_shard)
    (tmp_path / "shard-00001.parquet").unlink()
    again = collect(PROBLEMS, tmp_path, 2, sampler, on_tokens=on_tokens, on_shard=on_shard)
    assert finished == [(0, 2), (0, 1)]
    assert sampler.made == [["p0", "p1"], ["p2", "p3"], ["p4"], ["p2", "p3"]]
    assert seen == [True, True, True, None, None, True]  # those that are there come first
    assert again == first == read_rollouts(tmp_path) == [rollout(p) for p in PROBLEMS]


def test_a_shard_of_other_problems_is_refused(tmp_path):
    collect(PROBLEMS, tmp_path, 2, OneByOne())
    for problems, size in ((PROBLEMS, 3), (PROBLEMS[1:], 2)):
        with pytest.raises(UserError, match=r"shard-00000.parquet holds .*first is p0"):
            collect(problems, tmp_path, size, OneByOne())


class Backwards(Engine):
    """An engine whose last shard is done first, as on several machines."""

    name, version = "backwards", "3"

    @property
    def settings(self):
        return {"dtype": "float32"}

    def generate(self, requests, sampling, on_tokens=None):
        return [Completion([int(r.seed % 7), len(r.prompt_ids)], None, None, "stop") for r in requests]

    def generate_shards(self, shards, sampling, on_tokens=None):
        made = list(super().generate_shards(shards, sampling, on_tokens))
        self.folders = []
        for number, completions in reversed(made):
            yield number, completions
            self.folders.append(sorted(p.name for p in self.folder.glob("*.parquet")))


def test_shards_are_written_as_they_are_done_and_say_what_made_them(tmp_path, tokenizer):
    engine = Backwards()
    sampling = SamplingConfig(temperature=0.5, top_p=1, max_new_tokens=4)

    def sample(folder, verifier):
        engine.folder = folder
        sampler = Sampler(
            engine, verifier, tokenizer, prompt_style="chat_template", sampling=sampling, per_problem=2, seed=0
        )
        return collect(PROBLEMS, folder, 4, sampler)

    folder = tmp_path / "rollouts"
    with Verifier(VerifyConfig(workers=1), "chat_template") as verifier:
        rollouts = sample(folder, verifier)
        assert [len(names) for names in engine.folders] == [1, 2, 3]
        (folder / "shard-00001.parquet").unlink()
        assert sample(folder, verifier) == rollouts == read_rollouts(folder)
    places = [(problem.id, k) for problem in PROBLEMS for k in (0, 1)]
    assert [(r.problem_id, r.rollout) for r in rollouts] == places
    assert all(r.completion_ids == [r.seed % 7, len(r.prompt_ids)] for r in rollouts)
    settings = {
        "temperature": 0.5, "top_p": 1.0, "max_new_tokens": 4, "stop": [], "dtype": "float32"
    }  # fmt: skip
    assert {(r.engine, r.engine_version) for r in rollouts} == {("backwards", "3")}
    assert [json.loads(r.engine_settings) for r in rollouts] == [settings] * 10


def test_a_table_from_before_settings_were_kept_is_read():
    table = rollout_table([rollout(PROBLEMS[0])]).drop_columns(["engine_settings"])
    assert rollouts_from_table(table) == [rollout(PROBLEMS[0])]


def test_a_seed_a_rollout():
    seeds = [rollout_seed(s, p, k) for s in range(4) for p in ("a", "b", "a1") for k in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)  # the table holds int64
    assert rollout_seed(0, "a", 11) != rollout_seed(0, "a1", 1)
