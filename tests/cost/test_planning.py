"""Plans: shapes and published sizes, lengths and brute force, advice that is true, a real run."""

import json
from dataclasses import replace

import numpy as np
import plan as benchmark
import pytest
import torch
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from reasonmaxxer.config import AdapterConfig, ModelConfig
from reasonmaxxer.cost.planning.assumed import Assumptions, assumptions
from reasonmaxxer.cost.planning.devices import device_named, devices, this_cpu
from reasonmaxxer.cost.planning.fit import usable
from reasonmaxxer.cost.planning.plan import describe_plans, make_plan, place
from reasonmaxxer.cost.planning.shapes import assumed_completion, base_name, known_models, shape_of
from reasonmaxxer.cost.planning.stages import stage_work, with_shards
from reasonmaxxer.cost.planning.work import Sampling, Training, lengths, scale_of
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.embedded import EMBEDDED
from reasonmaxxer.recipe import RECIPES, load_recipe
from reasonmaxxer.report.plan import print_plan
from reasonmaxxer.work.main_job import run
from tests.tiny import tiny_recipe

ASSUMED = Assumptions(prompt_tokens=110, mean_tokens=600, decision_share=0.05)
CPU = this_cpu(torch.bfloat16, (4e11, 4e10))
PARAMETERS = {  # as the models' pages and weight files have them
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-Math-7B": 7_615_616_512,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "Qwen/Qwen3-0.6B-Base": 596_049_920,
    "Qwen/Qwen3-4B-Base": 4_022_468_096,
}


def shape(name="Qwen/Qwen2.5-1.5B"):
    return shape_of(ModelConfig(name=name), AdapterConfig(), 2)


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_have_the_published_sizes(name):
    assert shape(name).parameters == PARAMETERS[name]


def test_every_shipped_recipe_has_a_shape():
    named = [load_recipe(path.stem).model for path in RECIPES.glob("*.yaml")]
    embedded = {model.hub_id for model in EMBEDDED.values()}
    assert {base_name(model) for model in named} | embedded <= set(known_models())
    assert set(known_models()) == set(PARAMETERS)


def test_cache_and_adapter_by_hand():
    small = shape()
    assert small.key_value == 2 * 28 * 2 * 128 * 2  # keys and values, layers, groups, size, bytes
    # the paper's Table 4 has 8.7 M weights in QKVO at rank 32
    assert small.adapter == 28 * 32 * (2 * (1536 + 1536) + 2 * (1536 + 256)) == 8_716_288


def test_a_model_nobody_knows_is_refused(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"'Qwen/Qwen2\.5-1\.6B'.*Did you mean 'Qwen/Qwen2\.5-1\.5B'"):
        shape("Qwen/Qwen2.5-1.6B")


@given(st.integers(2, 400), st.floats(0.05, 0.95), st.integers(20, 4000))
@settings(max_examples=40, deadline=None)
def test_lengths_have_the_mean_and_respect_the_limit(count, share, limit):
    made = lengths(1000, scale_of(share * limit, limit), limit, seed=count)
    assert np.mean(made) == pytest.approx(share * limit, abs=1)
    assert min(made) >= 1 and max(made) <= limit


def brute_force(made, slots, prompt):
    """The engine's own order: a request takes the first slot that falls free."""
    waiting, active, steps = list(made), [], []
    while waiting or active:
        while waiting and len(active) < slots:
            active.append([0, waiting.pop(0)])
        steps.append((len(active), prompt + 1 + max(done for done, _ in active)))
        active = [[done + 1, of] for done, of in active if done + 1 < of]
    return steps


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_decoding_steps_are_those_of_the_engine(made, slots):
    sampling = Sampling(prompt=3, lengths=made, each=1, limit=9, slots=slots, shard=len(made))
    ((rows, span),) = sampling._steps()
    assert list(zip(rows.tolist(), span.tolist(), strict=True)) == brute_force(made, slots, 3)


def test_shards_are_whole_problems():
    sampling = Sampling(prompt=3, lengths=[2] * 12, each=4, limit=9, slots=12, shard=9)
    assert [rows.tolist() for rows, _ in sampling._steps()] == [[8, 8], [4, 4]]


def test_tokens_of_the_papers_recipe_by_hand():
    recipe = load_recipe("qwen2.5-1.5b")
    plan = make_plan(recipe, shape(), device_named("h100"), ASSUMED)
    stages = {stage.stage: stage for stage in plan.stages}
    assert stages["rollouts"].tokens == pytest.approx(150 * 20 * 600, rel=0.01)
    assert stages["evaluation"].tokens == pytest.approx(2 * 500 * 600, rel=0.01)
    training = stage_work(recipe, ASSUMED)["training"]
    adapters = [part for part in training if isinstance(part, Training)]
    assert [adapter.fresh for adapter in adapters] == [True, False, False, False]
    assert {len(adapter.examples) for adapter in adapters} == {800}  # 50 x 20, less a fifth
    assert len(training) == 4 * (1 + 2)  # each gate's two checkpoints are tried


def test_gates_after_the_first_do_not_read_the_base():
    first, *_, later = [
        part for part in stage_work(load_recipe("qwen2.5-1.5b"), ASSUMED)["training"] if isinstance(part, Training)
    ]
    small = shape()
    read = sum(
        small.flops.hidden(prompt) + sum(small.flops.hidden(prompt + own) - small.flops.hidden(prompt) for own in rest)
        for row in first._rows["cpu"]
        for prompt, *rest in row
    )
    assert first.flops(small) - later.flops(small) == pytest.approx(read)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_shipped_recipes_fit_the_papers_device(name):
    recipe = load_recipe(name)
    where, its_shape, price = place(recipe, "h100")
    plan = make_plan(recipe, its_shape, where, ASSUMED, price.usd_per_hour)
    assert plan.advice == [] and plan.total.fits
    assert plan.total.usd == pytest.approx(plan.total.seconds / 3600 * 2.49)


def test_advice_on_the_batch_is_the_largest_that_fits():
    where, big, _ = place(load_recipe("qwen2.5-7b"), "h100")

    def plan(batch):
        recipe = load_recipe("qwen2.5-7b", (f"rollouts.batch_size={batch}",))
        return make_plan(recipe, big, where, ASSUMED)

    advised = plan(512).advice
    assert len(advised) == 2 and "set rollouts.batch_size=" in advised[0]
    batch = int(advised[0].rstrip(".").rpartition("=")[2])
    assert plan(batch).total.fits and not plan(batch + 1).total.fits
    assert usable(where) - plan(batch).total.peak_memory_bytes < 2 * 2**30


def test_advice_on_training_is_true():
    overrides = ("training.gradient_checkpointing=false", "rollouts.batch_size=8")
    recipe = load_recipe("qwen2.5-7b", overrides)
    where, big, _ = place(recipe, "a100-80g")
    small = replace(where, memory=45 * 2**30)
    (said,) = make_plan(recipe, big, small, ASSUMED).advice
    assert said.startswith("training peaks at") and "training.gradient_checkpointing=true" in said
    with_it = load_recipe("qwen2.5-7b", overrides[1:])
    assert make_plan(with_it, big, small, ASSUMED).total.fits


def test_weights_too_large_ask_for_another_device():
    recipe = load_recipe("qwen2.5-32b")
    where, big, _ = place(recipe, "rtx-4090")
    advised = make_plan(recipe, big, where, ASSUMED).advice
    assert advised and all("take a device of" in said and "such as h100" in said for said in advised)


def test_a_faster_device_and_shorter_completions_take_less():
    recipe, small = load_recipe("qwen2.5-1.5b"), shape()
    slow = make_plan(recipe, small, device_named("a100-80g"), ASSUMED).total
    fast = make_plan(recipe, small, device_named("h100-sxm"), ASSUMED).total
    short = make_plan(recipe, small, device_named("h100-sxm"), replace(ASSUMED, mean_tokens=300)).total
    assert slow.seconds > fast.seconds > short.seconds
    assert slow.flops == fast.flops > short.flops


def test_a_process_that_keeps_what_it_freed_never_shrinks():
    peaks = [s.peak_memory_bytes for s in make_plan(load_recipe(), shape(), CPU, ASSUMED).stages]
    assert peaks == sorted(peaks)


def test_imported_rollouts_are_scored_and_not_sampled():
    recipe = load_recipe("default", ("rollouts.imported=mine.jsonl",))
    work = stage_work(recipe, ASSUMED)
    assert next(iter(work)) == "signal" and work["signal"][0].tokens == 320 * (110 + 120)


def test_prompts_are_counted_where_they_are_here(tmp_path):
    recipe = tiny_recipe(tmp_path)
    low, middling, high = assumptions(recipe)
    assert middling.prompt_tokens == 5  # <s>, three words of the problem, so
    assert low.mean_tokens < middling.mean_tokens == 3 < high.mean_tokens == 5
    assert middling.decision_share == 0.5
    assert len({each.mean_tokens for each in assumptions(recipe, mean_tokens=4)}) == 1


def test_completions_are_assumed_within_the_limit():
    assert assumed_completion(ModelConfig(name="Qwen/Qwen2.5-1.5B"), 500) == (400, 500, 500)
    assert assumed_completion(ModelConfig(), 120) == (36, 72, 120)


def test_unknown_device_and_method():
    with pytest.raises(UserError, match=r"'h10'.*Did you mean 'h100'"):
        device_named("h10")
    with pytest.raises(UserError, match=r"not training\.method 'sft'"):
        stage_work(load_recipe("default", (), "sft"), ASSUMED)


def test_estimates_are_marked_and_the_price_is_named(capsys):
    recipe = load_recipe("qwen2.5-1.5b")
    where, small, price = place(recipe, "h100")
    assumed = assumptions(recipe)
    plans = tuple(make_plan(recipe, small, where, each, price.usd_per_hour) for each in assumed)
    print_plan(plans, assumed, where, price, Console(width=200))
    shown = capsys.readouterr().out
    assert "estimated: no run was measured on such a device" in shown
    assert "hours, est." in shown and "USD, est." in shown
    assert "2.49 USD an hour: h100-80g, arXiv 2605.06241" in shown
    values = json.loads(json.dumps(describe_plans(plans, assumed, where, price), allow_nan=False))
    assert values["estimated"] is True
    assert values["low"]["total"]["seconds"] < values["high"]["total"]["seconds"]
    assert all(device.kind.estimated for device in devices().values()) and not CPU.kind.estimated


def test_a_plan_of_a_real_run_has_its_tokens_and_flops(tmp_path):
    recipe = tiny_recipe(tmp_path, signal={"problems": 2, "gate": {"kind": "share", "share": 0.5}})
    run(recipe, tmp_path / "run")
    rows = {row["stage"]: row for row in benchmark.compared(tmp_path / "run", CPU)}
    assert set(rows) == {"rollouts", "training", "evaluation", "inspection", "total"}
    assert rows["rollouts"]["tokens"] == pytest.approx(1, abs=0.05)
    for stage in ("rollouts", "training", "total"):
        assert rows[stage]["flops"] == pytest.approx(1, abs=0.25), stage


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])
def test_a_shard_takes_about_two_minutes_on_a_cpu(name):
    where = (f"model.name={name}", "rollouts.max_new_tokens=256")
    recipe = load_recipe("default", where)
    small = shape_of(recipe.model, recipe.training.adapter, 4)
    chosen = with_shards(recipe, small).rollouts.rollouts_per_shard
    # 0.6 of the limit, at 55 % of 90 GFLOP/s a thread; prompts, cache and launches come on top
    rate = 0.55 * 90e9 * torch.get_num_threads()
    decoding = chosen * 0.6 * 256 * 2 * small.parameters / rate
    assert decoding < 170 and (chosen == 512 or decoding > 170 / 4)
    assert with_shards(recipe, None).rollouts.rollouts_per_shard == 512
    told = load_recipe("default", (*where, "rollouts.rollouts_per_shard=3"))
    assert with_shards(told, small) == told
