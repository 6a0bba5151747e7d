"""The recipes of the paper's models, held to arXiv 2605.06241, Section 5 and Table 3."""

import pytest

from reasonmaxxer.measure.published import published_costs
from reasonmaxxer.recipe import RECIPES, load_recipe

QWEN, MISTRAL, CHAT = "qwen_boxed", "llama_abel", "chat_template"
MODELS = {  # hub id, prompt style, MATH-500 before and after, name in Table 3
    "qwen2.5-1.5b": ("Qwen/Qwen2.5-1.5B", QWEN, "0.298", "0.502", "Qwen2.5-1.5B"),
    "qwen2.5-7b": ("Qwen/Qwen2.5-7B", QWEN, "0.586", "0.706", "Qwen2.5-7B"),
    "qwen2.5-math-7b": ("Qwen/Qwen2.5-Math-7B", QWEN, "0.374", "0.674", "Qwen2.5-Math-7B"),
    "qwen2.5-32b": ("Qwen/Qwen2.5-32B", QWEN, "0.548", "0.636", "Qwen2.5-32B"),
    "mistral-7b": ("mistralai/Mistral-7B-v0.1", MISTRAL, "0.199", "0.317", "Mistral-7B-v0.1"),
    "r1-distill-qwen-1.5b": (
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", CHAT, "0.436", "0.662", "R1-Distill-Qwen-1.5B",
    ),
    "qwen3-0.6b": ("Qwen/Qwen3-0.6B-Base", QWEN, "0.338", "0.470", "Qwen3-0.6B"),
    "qwen3-4b": ("Qwen/Qwen3-4B-Base", QWEN, "0.514", "0.660", "Qwen3-4B"),
}  # fmt: skip
PAPER = {
    "seed": 42,
    "model.dtype": "bfloat16",
    "problems.train.source": "math-train",
    "problems.train.where": {"level": (3, 4, 5)},
    "problems.train.limit": 150,
    "problems.validation.limit": 50,
    "problems.test.source": "math500",
    "problems.test.limit": None,
    "rollouts.rollouts_per_problem": 20,
    "rollouts.temperature": 0.6,
    "rollouts.top_p": 0.95,
    "rollouts.max_new_tokens": 8192,
    "evaluation.max_new_tokens": 8192,
    "signal.problems": 50,
    "signal.trim_longest": 0.2,
    "signal.advantage_clip": 2.5,
    "signal.gate.kind": "threshold",
    "signal.gate.sweep": (1.2, 1.4, 1.6, 1.8),
    "training.adapter.rank": 32,
    "training.adapter.alpha": 64,
    "training.adapter.dropout": 0,
    "training.adapter.target_modules": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "training.anchor_weight": 0.2,
    "training.anchor_positions": "all",
    "training.negative_floor": 0,
    "training.learning_rate": 1e-4,
    "training.max_grad_norm": 1,
    "training.epochs": 1,
    "training.batch_size": 8,
    "training.max_length": 8192,
}


def value(recipe, key):
    for part in key.split("."):
        recipe = getattr(recipe, part)
    return recipe


@pytest.mark.parametrize("name", ["paper", *MODELS])
def test_settings_are_the_papers(name):
    recipe = load_recipe(name)
    assert {key: value(recipe, key) for key in PAPER} == PAPER
    mistral = name == "mistral-7b"
    assert recipe.training.weight_decay == (0.01 if mistral else 0)
    assert recipe.training.warmup_steps == (30 if mistral else 50)


@pytest.mark.parametrize("name", MODELS)
def test_model_prompt_and_published_numbers(name):
    hub_id, style, before, after, published = MODELS[name]
    recipe = load_recipe(name)
    assert (recipe.model.name, recipe.problems.prompt_style) == (hub_id, style)
    header = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"MATH-500 {before} before, {after} after" in header
    assert f"reasonmaxxer run {name} " in header
    ours = [row for row in published_costs() if (row.model, row.method) == (published, "ReasonMaxxer")]
    assert f"and {ours[0].printed:.3f}; ${ours[0].usd:.0f} (" in header


def test_every_model_of_the_paper_has_a_recipe():
    assert {row.model for row in published_costs()} == {model[-1] for model in MODELS.values()}
    assert set(MODELS) == {path.stem for path in RECIPES.glob("*.yaml")} - {
        "default",
        "gsm8k",
        "mbpp",
        "paper",
        "rounds",
    }


def test_validation_problems_are_of_the_training_pool():
    problems = load_recipe("paper").problems
    assert problems.validation.source == problems.train.source
    assert problems.validation.where == problems.train.where
