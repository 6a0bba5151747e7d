"""An adapter merged into its base's weights, and the proof that the merge kept what it learnt.

Everything is computed in float32, whatever type the weights are saved in, so that the difference between
adapter and merged folder is what the merge itself rounded away, and nothing else.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.artifacts import make_folder, whole_folder, write_json
from reasonmaxxer.config import ModelConfig, PromptStyle, SamplingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.models.load import load_adapter, merge_adapter
from reasonmaxxer.models.names import resolve
from reasonmaxxer.models.score import entropy_and_logprob, ordered_top, score_sequences
from reasonmaxxer.models.states import Tokens, TokenSequence
from reasonmaxxer.problems.prompts import render_prompt
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.share.hub import add_card
from reasonmaxxer.share.source import Source, without_paths
from reasonmaxxer.work.progress import Display, Task

CHECKED = 32
"""Completions on which the merged model is held against the adapter."""
RECORD = "merge.json"


def merge(
    source: Source, out: Path, dtype: str = "auto", display: Display | None = None, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Write base and adapter as one folder of plain weights, and check it as others will load it.

    Args:
        source: the adapter; of a run, its own answers to the test problems are what is checked on,
            else greedy answers to word problems.
        out: the folder to make.
        dtype: of the saved weights; `auto` is that of the base's files.
        display: where progress shows; none is silent.
        trust_remote_code: let the base's repository run its own code.

    Returns:
        What `out/merge.json` holds: `base`, its `revision`, `adapter`, `dtype`, `sequences`, `tokens`, and
        of each pair of models `max_delta_logprob` and `mean_delta_logprob` (nats, over the tokens taken)
        and `greedy_agreement` (share of positions at which both would choose the same token). Of a run,
        `summary.json`, `recipe.yaml` and the model card are put beside it.

    Raises:
        UserError: the folder is not empty, the adapter cannot be loaded, or the merge lost it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Choose another folder with --out, or delete it.")
    make_folder(out.parent)
    display = display or Display()
    base = resolve(source.adapter)
    config = ModelConfig(name=str(source.adapter), dtype="float32")
    adapted = load_adapter(config, source.adapter, trust_remote_code)
    display.note(f"{adapted.source}, float32 on {adapted.model.device}")
    sequences = _sequences(source, adapted, display)
    shutil.rmtree(out.with_name(f".{out.name}.partial"), ignore_errors=True)
    with whole_folder(out) as folder, display.task("Checking", 3 * len(sequences)) as task:
        with adapted.model.disable_adapter():
            before = _score(sequences, adapted, task)
        with_adapter = _score(sequences, adapted, task)
        saved = _save(adapted, folder, dtype, trust_remote_code)
        del adapted
        config = ModelConfig(name=str(folder), dtype="float32")
        after = _score(sequences, load_model(config, trust_remote_code), task)
        record: dict[str, Any] = {
            "base": base.hub_id,
            "revision": base.revision,
            "adapter": str(source.adapter),
            "dtype": saved,
            "sequences": len(sequences),
            "tokens": sum(len(s.completion_ids) for s in sequences),
            "adapter_to_merged": gap(with_adapter, after),
            "base_to_merged": gap(before, after),
            "base_to_adapter": gap(before, with_adapter),
        }
        try:
            _refuse_lost(record)
        except UserError:
            shutil.rmtree(folder)
            raise
        record = without_paths(record)
        write_json(record, folder / RECORD)
        if source.run:
            add_card(source.run, folder, out.name, base.hub_id, record)
    return record


Opinions = Sequence[tuple[Tensor, ...]]
"""Log-probability of every token of each completion, and the most likely one there, [T] each."""


def gap(one: Opinions, other: Opinions) -> dict[str, float]:
    """Largest and mean difference of two models on the same completions, and how often their choices agree.

    Returns:
        `max_delta_logprob` and `mean_delta_logprob`, absolute, nats; `greedy_agreement`, 0 to 1.
    """
    logprobs, choices = zip(*(map(torch.cat, zip(*own, strict=True)) for own in (one, other)), strict=True)
    delta_N, same_N = (logprobs[0] - logprobs[1]).abs(), choices[0] == choices[1]
    return {
        "max_delta_logprob": float(delta_N.max()),
        "mean_delta_logprob": float(delta_N.double().mean()),
        "greedy_agreement": float(same_N.double().mean()),
    }


def _refuse_lost(record: dict[str, Any]) -> None:
    """Refuse a merged model that is no nearer to the adapter than the base is."""
    learnt = record["base_to_adapter"]["mean_delta_logprob"]
    lost = record["adapter_to_merged"]["mean_delta_logprob"]
    if learnt == 0:
        raise UserError(
            f"The adapter in {record['adapter']} changes nothing: base and adapted model agree on all "
            f"{record['tokens']:,} tokens to the last bit. It was never trained, or not saved."
        )
    if lost >= learnt:
        raise UserError(
            f"The merge lost the adapter: in {record['dtype']} the merged model is {lost:.2g} nats a token "
            f"from it, and the base itself only {learnt:.2g}. Merge with --dtype float32, or keep the "
            "adapter beside the weights."
        )


def _score(sequences: Sequence[Tokens], loaded: LoadedModel, task: Task) -> Opinions:
    def numbers(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        return entropy_and_logprob(logits_NV, ids_N)[1], ordered_top(logits_NV, 1)[:, 0]

    return score_sequences(numbers, sequences, loaded.model, lambda tokens: task.advance(1, tokens))


def _save(adapted: LoadedModel, folder: Path, dtype: str, trust_remote_code: bool) -> str:
    """Merge in float32, save in another type; the name of that type."""
    from transformers import AutoConfig

    name = dtype
    if name == "auto":
        base = adapted.model.get_base_model().name_or_path
        stored = AutoConfig.from_pretrained(
            base, revision=adapted.config.revision, trust_remote_code=trust_remote_code
        ).dtype
        name = str(stored or torch.float32).removeprefix("torch.")
    merge_adapter(adapted).model.to(getattr(torch, name)).save_pretrained(folder)
    adapted.tokenizer.save_pretrained(folder)
    return name


def _sequences(source: Source, adapted: LoadedModel, display: Display) -> Sequence[Tokens]:
    """Completions of the adapted model: a run's own, else greedy ones made here."""
    if source.run:
        return read_rollouts(source.run / "evaluation" / "adapted-greedy")[:CHECKED]
    model, tokenizer = adapted.model, adapted.tokenizer
    style: PromptStyle = "chat_template" if tokenizer.chat_template else "llama_abel"
    problems = word_problems("test", CHECKED, 0)
    prompts = [tuple(render_prompt(style, p.text, tokenizer)) for p in problems]
    sampling = SamplingConfig(temperature=0, max_new_tokens=64)
    engine = TransformersEngine(model, eos_ids(model, tokenizer), CHECKED)
    with display.task("Answering", CHECKED) as task:
        made_here = engine.generate([Request(p, 0) for p in prompts], sampling, task.on_tokens)
    return [TokenSequence(p, c.ids) for p, c in zip(prompts, made_here, strict=True)]
