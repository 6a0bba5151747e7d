"""The model card of a run: what was trained, what it scored, and what it took, from `summary.json`."""

from pathlib import Path
from typing import Any

from reasonmaxxer.config import ONLINE, EvaluationConfig
from reasonmaxxer.problems.files import is_file_source
from reasonmaxxer.report.numbers import signed
from reasonmaxxer.report.render import escape_markdown, table_markdown
from reasonmaxxer.report.tables import accuracy_table, cost_table


def model_card(
    name: str, base: str, summary: dict[str, Any], recipe: dict[str, Any], merged: dict[str, Any] | None, on_hub: bool
) -> str:
    """A README.md for the hub: metadata in YAML, then Markdown; everything from outside is escaped.

    Args:
        name: of the model.
        base: hub id or folder of the base.
        summary: what `summary.json` holds.
        recipe: the resolved recipe.
        merged: what `merge.json` holds; none for an adapter.
        on_hub: whether the base is a repository of the hub; only then is it named as one.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from reasonmaxxer.report.run import words_of  # here, because it loads matplotlib

    def escaped(value: Any) -> Any:
        return value if isinstance(value, Markup) else escape_markdown(str(value))

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=escaped,
        keep_trailing_newline=True,
    )
    templates.filters |= {"name": lambda path: Path(path).name, "signed": signed}
    return templates.get_template("card.md.j2").render(
        metadata=_metadata(name, base, summary, recipe, merged, on_hub),
        name=name,
        shown=base if on_hub else Path(base).name,
        merged=merged,
        on_hub=on_hub,
        summary=summary,
        recipe=recipe,
        online=recipe["training"]["method"] in ONLINE,
        evaluation=EvaluationConfig(**recipe["evaluation"]),
        sources={split: _source(recipe["problems"][split]) for split in ("train", "validation", "test")},
        accuracy=table_markdown(accuracy_table(summary, "this model")),
        cost=table_markdown(cost_table(summary["cost"])),
        caveats=words_of(summary, recipe).texts("caveats"),
    )


def _metadata(
    name: str, base: str, summary: dict[str, Any], recipe: dict[str, Any], merged: dict[str, Any] | None, on_hub: bool
) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    test = recipe["problems"]["test"]
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
        for name, estimate in summary["adapted"][kind].items()
    ]
    data = ModelCardData(
        base_model=base if on_hub else None,
        base_model_relation=("finetune" if merged else "adapter") if on_hub else None,
        library_name="transformers" if merged else "peft",
        pipeline_tag="text-generation",
        tags=["reasonmaxxer", *([] if merged else ["lora"]), "arxiv:2605.06241"],
        model_name=name,
        eval_results=results,
    )
    return str(data.to_yaml())


def _source(split: dict[str, Any]) -> str:
    """A source as others may know it: of a file its name alone."""
    source: str = split["source"]
    return Path(source).name if is_file_source(source) else source
