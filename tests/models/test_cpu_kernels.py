"""Kernels of a CPU can be switched off, change nothing beyond rounding, and keep private operators to themselves."""

import re
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

import reasonmaxxer
from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models.cpu import branches, frozen
from reasonmaxxer.models.cpu.recomputation import selective_recomputation
from reasonmaxxer.models.score import entropy_and_logprob, score_sequences
from reasonmaxxer.models.states import TokenSequence
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.tiny import tiny_model

SEQUENCES = [TokenSequence([5, 9, 12], own) for own in ([3, 4, 5, 6], [3], [3, 4, 7, 7, 1])]


def adapted():
    model = get_peft_model(
        tiny_model(scale=4.0), LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    )
    return model.eval()


def gradients(model):
    """Gradients of a row's states by every weight of the adapter, norms and feed-forward layers recomputed."""
    with selective_recomputation(model):
        states = model(input_ids=torch.arange(5, 25)[None], output_hidden_states=True).hidden_states[-1]
    return torch.autograd.grad(states.pow(2).mean(), [w for w in model.parameters() if w.requires_grad])


def everything(model):
    """What reading, decoding and training make of it."""
    scores = [column for own in score_sequences(entropy_and_logprob, SEQUENCES, model) for column in own]
    engine = TransformersEngine(model, [2], 2)
    made = engine.generate([Request((5, 9, 12), seed) for seed in range(3)], SamplingConfig(max_new_tokens=6))
    return [*scores, *(torch.tensor(one.entropy) for one in made), *gradients(model)], [one.ids for one in made]


def test_results_are_the_same_with_kernels_off(monkeypatch):
    model = adapted()
    with_kernels, ids = everything(model)
    monkeypatch.setenv("REASONMAXXER_CPU_KERNELS", "0")
    monkeypatch.setattr(branches, "_Products", None)  # whoever calls it now fails
    monkeypatch.setattr(frozen, "ROWS", None)
    without, same_ids = everything(model)
    assert ids == same_ids
    for ours, plain in zip(with_kernels, without, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_private_operators_are_used_by_kernels_of_a_cpu_alone():
    paths = Path(reasonmaxxer.__file__).parent.rglob("*.py")
    private = {path.parent.name for path in paths if re.search(r"torch\.ops\.|torch\._[a-z]", path.read_text("utf-8"))}
    assert private == {"cpu"}
