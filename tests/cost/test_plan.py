"""Plans: published sizes, numbers by hand, advice that is true, a real run, and rates measured on a tiny model."""

import json
from dataclasses import replace

import plan as benchmark
import pytest
from huggingface_hub import constants

from reasonmaxxer.cost.plan import (
    USABLE,
    Formulas,
    Lengths,
    assumed_lengths,
    assumed_rates,
    device_named,
    devices,
    make_plan,
)
from reasonmaxxer.cost.shape import known_models, rollouts_per_shard, shape_of
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.embedded import EMBEDDED
from reasonmaxxer.models.names import hub_name
from reasonmaxxer.recipe import RECIPES, load_recipe
from reasonmaxxer.report.plan import plan_table, plan_words
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.plan import plan
from tests.tiny import tiny_recipe

LENGTHS = Lengths(prompt=110, completion=600, decision_share=0.05)
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
    return shape_of(load_recipe("default", (f"model.name={name}",)), 2)


def planned(name, *overrides, device="h100", lengths=LENGTHS):
    recipe = load_recipe(name, overrides)
    where = device_named(device) if isinstance(device, str) else device
    sizes = shape_of(recipe, 2)
    return make_plan(recipe, sizes, where, lengths, assumed_rates(where, sizes))


def stage_work(*told):
    return Formulas(*told).stages()


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_have_the_published_sizes(name):
    assert shape(name).parameters == PARAMETERS[name]


def test_every_shipped_recipe_has_a_shape():
    named = [load_recipe(path.stem).model.name for path in RECIPES.glob("*.yaml")]
    embedded = {model.hub_id for model in EMBEDDED.values()}
    assert {*map(hub_name, named)} | embedded <= set(known_models())
    assert set(known_models()) == set(PARAMETERS)
    assert hub_name("smollm2-teacher") == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_cache_and_adapter_by_hand():
    small = shape()
    assert small.key_value == 2 * 28 * 2 * 128 * 2  # keys and values, layers, groups, size, bytes
    # the paper's Table 4 has 8.7 M weights in QKVO at rank 32
    assert small.adapter == 28 * 32 * (2 * (1536 + 1536) + 2 * (1536 + 256)) == 8_716_288


def test_a_model_nobody_knows_is_refused(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"'Qwen/Qwen2\.5-1\.6B'.*Did you mean 'Qwen/Qwen2\.5-1\.5B'"):
        shape("Qwen/Qwen2.5-1.6B")


def test_tokens_of_the_papers_recipe_by_hand():
    recipe = load_recipe("qwen2.5-1.5b")
    stages = {stage.stage: stage for stage in planned("qwen2.5-1.5b").stages}
    assert stages["rollouts"].tokens == 150 * 20 * 600
    assert stages["evaluation"].tokens == 2 * 500 * 600
    training = stage_work(recipe, shape(), device_named("h100"), LENGTHS)["training"]
    courses = [part for part in training if part.kind == "train"]
    assert [part.tokens for part in courses] == [800 * 710] * 4  # 50 x 20, less a fifth; four gates
    assert len(training) == 4 * (1 + 2)  # each gate's two checkpoints are tried
    # the base reads the sequences for the first gate: 200 prompts, each with four completions
    flops = shape().flops
    read = 200 * (flops.hidden(110) + 4 * (flops.hidden(710) - flops.hidden(110)))
    assert courses[0].flops - courses[1].flops == pytest.approx(read)
    assert len({part.flops for part in courses[1:]}) == 1


def test_rounds_ask_and_teach_what_they_are_told():
    """Three rounds of two problems, of six rollouts four teach: everything but the evaluation three times."""
    keys = ("rollouts.problems=2", "rollouts.rollouts_per_problem=6", "signal.rollouts=4")
    once, thrice = (
        stage_work(load_recipe("default", (f"rounds={rounds}", *keys)), shape(), device_named("h100"), LENGTHS)
        for rounds in (1, 3)
    )
    tokens = {name: [sum(w.tokens for w in stages[name]) for stages in (once, thrice)] for name in once}
    sampled = 2 * 6 * min(LENGTHS.completion, load_recipe("default").rollouts.max_new_tokens)
    assert tokens["rollouts"] == [sampled, sampled]
    learnt = sum(work.tokens for work in once["training"] if work.kind == "train")
    assert learnt == 2 * 4 * (LENGTHS.prompt + LENGTHS.completion)
    assert tokens["training"][1] == 3 * tokens["training"][0] + 2 * tokens["rollouts"][0]
    assert tokens["evaluation"][0] == tokens["evaluation"][1]


def test_sampling_by_hand():
    overrides = ("rollouts.batch_size=100", "problems.train.limit=50", "rollouts.max_new_tokens=1000")
    small = shape()
    (part,) = stage_work(load_recipe("qwen2.5-1.5b", overrides), small, device_named("h100"), LENGTHS)["rollouts"]
    # 1,000 rollouts of 600 tokens, a hundred at once, in two shards, at whose end some go on to the limit
    steps = 1000 * 600 / 100 + 2 * (1000 - 600)
    cache = 1000 * 600 * (110 + 300) * small.key_value  # positions read by a token on average
    assert part.moved == steps * 2 * small.parameters + cache
    logits = (2 * 2 + 16) * 151936
    assert part.memory == 100 * ((110 + 1000) * small.key_value + logits)


def test_seconds_are_the_slower_of_products_and_memory():
    recipe, small, where = load_recipe("qwen2.5-1.5b"), shape(), device_named("h100")
    made = make_plan(recipe, small, where, LENGTHS, assumed_rates(where, small))
    (part,) = stage_work(recipe, small, where, LENGTHS)["rollouts"]
    assert made.rates.flops == {"decode": 0.3 * 756e12, "train": 0.3 * 756e12, "read": 0.4 * 756e12}
    assert made.stages[0].seconds == max(part.flops / (0.3 * 756e12), part.moved / (0.3 * 2000e9))
    assert made.stages[0].usd == pytest.approx(2.49 * made.stages[0].seconds / 3600)
    # float32 halves the rate of products
    assert assumed_rates(where, replace(small, itemsize=4)).flops["train"] == 0.3 * 756e12 / 2


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_shipped_recipes_fit_the_papers_device(name):
    made = planned(name)
    assert made.advice == [] and made.fits(made.total)
    assert made.total.usd == pytest.approx(made.total.seconds / 3600 * 2.49)


def test_advice_on_the_batch_is_the_largest_that_fits():
    said = planned("qwen2.5-7b", "rollouts.batch_size=512").advice
    assert len(said) == 2 and said[0].startswith("rollouts: set rollouts.batch_size=")
    batch = int(said[0].rstrip(".").rpartition("=")[2])
    fits, not_any_more = (planned("qwen2.5-7b", f"rollouts.batch_size={n}") for n in (batch, batch + 1))
    assert fits.advice == [] and not_any_more.advice != []
    assert USABLE * device_named("h100").memory - fits.total.peak_memory_bytes < 2 * 2**30


def test_advice_on_training_is_true():
    overrides = ("training.gradient_checkpointing=false", "rollouts.batch_size=8")
    small = replace(device_named("a100-80g"), memory=45 * 2**30)
    assert planned("qwen2.5-7b", *overrides, device=small).advice == [
        "training: set training.gradient_checkpointing=true."
    ]
    with_it = planned("qwen2.5-7b", *overrides[1:], device=small)
    assert with_it.fits(with_it.total)
    long = ("rollouts.max_new_tokens=8000", "rollouts.batch_size=1")
    tight = replace(small, memory=21 * 2**30)
    (said,) = planned("qwen2.5-7b", *long, device=tight).advice
    assert said.startswith("training: set training.max_length=")
    shorter = planned("qwen2.5-7b", *long, said.rstrip(".").removeprefix("training: set "), device=tight)
    assert shorter.advice == []


def test_weights_too_large_ask_for_another_device():
    said = planned("qwen2.5-32b", device="rtx-4090").advice
    assert said and all("take a device of" in sentence and "such as h100" in sentence for sentence in said)


def test_a_faster_device_and_shorter_completions_take_less():
    slow, fast, short = (
        planned("qwen2.5-1.5b", device=device, lengths=replace(LENGTHS, completion=completion)).total
        for device, completion in (("a100-80g", 600), ("h100-sxm", 600), ("h100-sxm", 300))
    )
    assert slow.seconds > fast.seconds > short.seconds
    assert slow.flops == fast.flops > short.flops


def test_imported_rollouts_are_scored_and_not_sampled():
    recipe = load_recipe("default", ("rollouts.imported=mine.jsonl",))
    work = stage_work(recipe, shape(), device_named("h100"), replace(LENGTHS, completion=120))
    assert next(iter(work)) == "signal" and work["signal"][0].tokens == 320 * (110 + 120)


def test_lengths_are_given_or_of_the_table_or_of_the_limit():
    recipe = load_recipe("qwen2.5-1.5b")
    assert assumed_lengths(recipe) == Lengths(110, 600, 0.05)
    assert assumed_lengths(load_recipe("qwen2.5-1.5b", ("rollouts.max_new_tokens=500",))).completion == 500
    assert assumed_lengths(recipe, mean_tokens=70, prompt_tokens=40) == Lengths(40, 70, 0.05)
    share = ("signal.gate.kind=share", "signal.gate.share=0.3")
    assert assumed_lengths(load_recipe("default", share)) == Lengths(110, 72, 0.3)  # six tenths of 120


def test_unknown_device_and_method():
    recipe = load_recipe("default")
    with pytest.raises(UserError, match=r"'h10'.*Did you mean 'h100'"):
        plan(recipe, "h10")
    with pytest.raises(UserError, match="on the device at hand, not on 'h100'"):
        plan(recipe, "h100", measured=True)
    with pytest.raises(UserError, match=r"not training\.method 'sft'"):
        plan(load_recipe("default", (), "sft"), "h100")


def test_what_is_assumed_is_marked_and_the_price_is_named():
    made = plan(load_recipe("qwen2.5-1.5b"), "h100")
    assert plan_table(made).columns[4:6] == ("hours, ASSUMED rate", "USD, ASSUMED rate")
    words = " ".join(plan_words(made))
    assert words.count("Assumed, not measured") == 2 and "Measured" not in words
    assert "227 TFLOP/s (30% of 756 TFLOP/s) to train" in words
    assert "2.49 USD an hour: h100-80g, arXiv 2605.06241" in words
    values = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert values["rates"]["measured"] is False
    assert "No price is known for h200" in " ".join(plan_words(plan(load_recipe("qwen2.5-1.5b"), "h200")))
    assert set(devices()) == {"h100", "h100-sxm", "h200", "a100-80g", "rtx-pro-6000", "rtx-4090", "l4", "cpu"}


def test_rates_measured_on_the_device_at_hand(tmp_path):
    recipe = tiny_recipe(tmp_path, rollouts={"batch_size": 24, "rollouts_per_problem": 6, "max_new_tokens": 5})
    made = plan(recipe, measured=True)
    rates = made.rates
    assert rates.measured and rates.bandwidth is None and made.device.name == "cpu"
    assert min(rates.flops.values()) > 0 and set(rates.flops) == set(rates.memory) == {"decode", "read", "train"}
    assert made.lengths.prompt == 5  # <s>, three words of the problem, so
    assert 1 <= made.lengths.completion <= 5 and made.lengths.decision_share == pytest.approx(0.5, abs=0.1)
    rollouts = made.stages[0]
    assert rollouts.seconds == pytest.approx(rollouts.flops / rates.flops["decode"])
    assert rollouts.peak_memory_bytes == rates.memory["decode"]
    assert "hours, measured rate" in plan_table(made).columns
    words = " ".join(plan_words(made))
    assert words.count("Measured here") == 2 and "ssumed, not" not in words
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["rates"]["measured"] is True


def test_a_plan_of_a_real_run_has_its_tokens_and_flops(tmp_path):
    recipe = tiny_recipe(tmp_path, signal={"problems": 2, "gate": {"kind": "share", "share": 0.5}})
    run(recipe, tmp_path / "run")
    rows = {row["stage"]: row for row in benchmark.compared(tmp_path / "run")}
    assert set(rows) == {"rollouts", "training", "evaluation", "inspection", "total"}
    assert rows["rollouts"]["tokens"] == pytest.approx(1, abs=0.05)
    for stage in ("rollouts", "training", "total"):
        assert rows[stage]["flops"] == pytest.approx(1, abs=0.25), stage


@pytest.mark.parametrize(
    "name, limit, expected",
    [  # 2 x parameters x limit x rollouts: at most 2e13 FLOPs
        ("smollm2", 120, 512),
        ("smollm2", 256, 256),
        ("qwen2.5-coder-0.5b", 256, 64),
        ("qwen2.5-coder-1.5b", 256, 16),
        ("qwen2.5-7b", 4096, 1),
    ],
)
def test_a_shard_is_what_a_kill_may_lose(name, limit, expected):
    recipe = load_recipe("default", (f"rollouts.max_new_tokens={limit}",))
    parameters = shape(name if name in EMBEDDED else "Qwen/Qwen2.5-7B").parameters
    assert rollouts_per_shard(recipe, parameters) == expected
    assert rollouts_per_shard(recipe, None) == 512
