"""The model card of a run: what was trained, what it scored, and what it took, from `summary.json`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonmaxxer.config import ONLINE, EvaluationConfig
from reasonmaxxer.problems.files import is_file_source
from reasonmaxxer.report.content import Table
from reasonmaxxer.report.numbers import signed
from reasonmaxxer.report.render import markdown
from reasonmaxxer.report.tables import accuracy_table, cost_table
from reasonmaxxer.report.words import caveats

PAPER = "https://arxiv.org/abs/2605.06241"
SPLITS = ("train", "validation", "test")


def model_card(
    repo_id: str,
    base: str,
    summary: dict[str, Any],
    recipe: dict[str, Any],
    merged: dict[str, Any] | None,
    on_hub: bool,
) -> str:
    """A README.md for the hub: metadata in YAML, then Markdown; everything from outside is escaped.

    Args:
        repo_id: where it goes.
        base: hub id or folder of the base.
        summary: what `summary.json` holds.
        recipe: the resolved recipe.
        merged: what `merge.json` holds; none for an adapter.
        on_hub: whether the base is a repository of the hub; only then is it named as one.
    """
    shown = base if on_hub else Path(base).name
    method = _method(recipe)
    what = "with a LoRA adapter merged into its weights," if merged else "with a LoRA adapter,"
    said = [
        f"{shown} {what} trained by {method} on {_rollouts(recipe)}, with the reasonmaxxer package.",
        f"The method: {PAPER}" if method == "ReasonMaxxer" else "",
        _merge_note(merged) if merged else "",
        _protocol(recipe),
    ]
    tables = [
        _accuracy(summary, recipe["evaluation"]["confidence"]),
        _training(summary, recipe),
        cost_table(summary["cost"]),
    ]
    body = markdown(repo_id, [line for line in said if line], tables)
    kept = "\n".join(f"- {line}" for line in caveats(summary, recipe))
    metadata = _metadata(repo_id, base, summary, recipe, merged, on_hub)
    rank = recipe["training"]["adapter"]["rank"]
    use = _use(repo_id, shown, rank, merged is not None)
    return (
        f"---\n{metadata}\n---\n\n{body}\n## Keep in mind\n\n{kept}\n\n## Use\n\n{use}\n"
        "## Again\n\n```bash\nreasonmaxxer run recipe.yaml\n```\n"
    )


def _metadata(
    repo_id: str,
    base: str,
    summary: dict[str, Any],
    recipe: dict[str, Any],
    merged: dict[str, Any] | None,
    on_hub: bool,
) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    test = recipe["problems"]["test"]
    scored = summary["adapted"]
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=_source(test),
            dataset_name=_source(test),
            dataset_config=test["subset"],
            dataset_split=None if is_file_source(test["source"]) else test["split"],
            metric_type="accuracy",
            metric_name=f"{kind} {name}",
            metric_value=estimate["value"],
        )
        for kind in ("greedy", "sampled")
        for name, estimate in scored[kind].items()
    ]
    data = ModelCardData(
        base_model=base if on_hub else None,
        base_model_relation=("finetune" if merged else "adapter") if on_hub else None,
        library_name="transformers" if merged else "peft",
        pipeline_tag="text-generation",
        tags=["reasonmaxxer", *([] if merged else ["lora"]), "arxiv:2605.06241"],
        model_name=repo_id,
        eval_results=results,
    )
    return str(data.to_yaml())


def _method(recipe: dict[str, Any]) -> str:
    name = recipe["training"]["method"]
    return "ReasonMaxxer" if name == "reasonmaxxer" else f"{name.upper()} through TRL"


def _rollouts(recipe: dict[str, Any]) -> str:
    """Whose rollouts it learnt from."""
    imported = recipe["rollouts"]["imported"]
    if imported is None or recipe["training"]["method"] in ONLINE:
        return "rollouts of its own"
    return f"rollouts made elsewhere ({Path(imported).name})"


def _merge_note(merged: dict[str, Any]) -> str:
    gap = merged["adapter_to_merged"]
    return (
        f"Merged in float32 and saved in {merged['dtype']}: on {merged['tokens']:,} tokens the "
        "log-probability differs from that of the adapter beside the weights by "
        f"{gap['max_delta_logprob']:.2g} nats at most, and both would choose the same token at "
        f"{gap['greedy_agreement']:.2%} of them."
    )


def _source(split: dict[str, Any]) -> str:
    """A source as others may know it: of a file its name alone."""
    source: str = split["source"]
    return Path(source).name if is_file_source(source) else source


def _protocol(recipe: dict[str, Any]) -> str:
    config = EvaluationConfig(**recipe["evaluation"])
    test = _source(recipe["problems"]["test"])
    sampled = (
        f"; sampled {config.samples} times at temperature {config.temperature}, top-p {config.top_p}"
        if config.samples
        else ""
    )
    verify = recipe["verify"]
    graded = f"graded by '{verify['function']}'" if verify["function"] else f"answers read as '{verify['extraction']}'"
    return (
        f"Measured on test problems of {test}, decoded greedily{sampled}; at most "
        f"{config.max_new_tokens} new tokens, prompt style {recipe['problems']['prompt_style']}, "
        f"{graded}. Train, validation and test problems are disjoint."
    )


def _accuracy(summary: dict[str, Any], confidence: float) -> Table:
    difference = summary["difference"]["greedy"]
    note = (
        f"{confidence:.0%} bootstrap intervals over problems. Greedy difference {signed(difference)}: "
        f"{difference['gained']} problems gained, {difference['lost']} lost, exact McNemar p = "
        f"{difference['p_value']:.2g}."
    )
    return replace(accuracy_table(summary, "this model"), note=note)


def _training(summary: dict[str, Any], recipe: dict[str, Any]) -> Table:
    config, made, gate = recipe["training"], summary["training"], summary["gate"]
    sources = (f"{_source(recipe['problems'][s])} ({s})" for s in SPLITS)
    rows = [
        ("problems", ", ".join(sources)),
        ("adapter", f"rank {config['adapter']['rank']}, alpha {config['adapter']['alpha']:g}, "
                    f"{', '.join(config['adapter']['target_modules'])}"),
        ("sequences", f"{made['sequences']:,}"),
        ("steps", f"{made['steps']} of {made['planned_steps']}, {config['batch_size']} sequences each"),
        ("peak learning rate", f"{config['learning_rate']:g}"),
        ("seed", str(recipe["seed"])),
    ]  # fmt: skip
    if gate:
        tau = "" if gate["tau"] is None else f", above {gate['tau']:.3g} nats"
        rows.insert(3, ("decision points", f"{gate['decision_share']:.1%} of tokens{tau}"))
    return Table("training", "Training", ("what", "value"), rows, "")


def _use(repo_id: str, base: str, rank: int, merged: bool) -> str:
    if merged:
        return (
            "```python\nfrom transformers import pipeline\n\n"
            f'pipe = pipeline("text-generation", "{repo_id}")\n```\n\n'
            f"```bash\nvllm serve {repo_id}\n```\n"
        )
    return (
        "```python\nfrom peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer\n\n"
        f'model = AutoPeftModelForCausalLM.from_pretrained("{repo_id}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{base}")\n```\n\n'
        f"```bash\nvllm serve {base} --enable-lora --max-lora-rank {rank} "
        f"--lora-modules adapted={repo_id}\n```\n"
    )
