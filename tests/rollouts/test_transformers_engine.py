"""The engine against `generate()`, against float64 statistics, and against itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.tiny import FAMILIES, tiny_model

EOS = 2


def prompts(count, seed=0, low=3, high=14):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(low, high, (count,), generator=generator).tolist()
    return [tuple(torch.randint(3, 97, (n,), generator=generator).tolist()) for n in lengths]


def requests_of(prompt_list, copies=1):
    return [
        Request(prompt, 1000 * i + j) for i, prompt in enumerate(prompt_list) for j in range(copies)
    ]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate(family, attention):
    if (family, attention) == ("gemma2", "sdpa"):
        attention = "eager"  # soft-capped scores: transformers has no other kernel for them
    model = tiny_model(family)
    model.set_attn_implementation(attention)
    batch = prompts(7)
    engine = TransformersEngine(model, [EOS], batch_size=3)
    made = engine.generate(
        requests_of(batch), SamplingConfig(temperature=0, top_p=1, max_new_tokens=20)
    )
    reference = [
        model.generate(torch.tensor([p]), max_new_tokens=20, do_sample=False)[0, len(p) :].tolist()
        for p in batch
    ]
    assert [c.ids for c in made] == reference
    assert len({tuple(ids) for ids in reference}) > 3, "a model that repeats itself tests nothing"
    assert [c.finish_reason == "stop" for c in made] == [ids[-1] == EOS for ids in reference]


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text"])
def test_statistics_equal_a_float64_forward(family):
    model = tiny_model(family)
    batch = requests_of(prompts(3), copies=4)
    made = TransformersEngine(model, [EOS], batch_size=5).generate(
        batch, SamplingConfig(temperature=0.9, top_p=0.9, max_new_tokens=25)
    )
    model = model.double()
    for request, completion in zip(batch, made, strict=True):
        ids = torch.tensor([[*request.prompt_ids, *completion.ids]])
        logits = model(ids).logits[0, len(request.prompt_ids) - 1 : -1].double()
        logprobs = logits - torch.logsumexp(logits, -1, keepdim=True)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        taken = logprobs.gather(-1, ids[0, len(request.prompt_ids) :, None])[:, 0]
        torch.testing.assert_close(
            torch.tensor(completion.entropy).double(), entropy, rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(
            torch.tensor(completion.logprob).double(), taken, rtol=1e-4, atol=1e-4
        )


@settings(max_examples=8, deadline=None)
@given(batch_size=st.integers(1, 9), copies=st.integers(1, 4), seed=st.integers(0, 99))
def test_completions_do_not_depend_on_the_batch(batch_size, copies, seed):
    model = tiny_model("llama")
    batch = requests_of(prompts(3, seed), copies)
    sampling = SamplingConfig(temperature=0.8, top_p=0.9, max_new_tokens=12)
    alone = [TransformersEngine(model, [EOS], 1).generate([r], sampling)[0].ids for r in batch]
    together = TransformersEngine(model, [EOS], batch_size).generate(batch, sampling)
    assert [c.ids for c in together] == alone


def test_same_requests_same_bytes():
    model = tiny_model("qwen3")
    batch = requests_of(prompts(4), copies=3)
    sampling = SamplingConfig(temperature=1.0, top_p=0.95, max_new_tokens=16)
    engine = TransformersEngine(model, [EOS], 4)
    assert engine.generate(batch, sampling) == engine.generate(batch, sampling)


def test_every_row_of_every_step_is_kept_and_prompts_are_read_once():
    model = tiny_model("llama")
    rows = []
    model.model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    batch = requests_of(prompts(3), copies=5)
    made = TransformersEngine(model, [EOS], 4).generate(
        batch, SamplingConfig(temperature=1.5, top_p=1, max_new_tokens=30)
    )
    decoded = sum(shape[0] for shape in rows if shape[1] == 1)
    assert sum(shape[0] for shape in rows if shape[1] > 1) == 3
    assert decoded == sum(len(c.ids) for c in made) - len(made), "first tokens come from prefill"


def test_progress_adds_up():
    seen = []
    made = TransformersEngine(tiny_model(), [EOS], 2).generate(
        requests_of(prompts(5)),
        SamplingConfig(max_new_tokens=9),
        lambda tokens, done: seen.append((tokens, done)),
    )
    assert sum(t for t, _ in seen) == sum(len(c.ids) for c in made)
    assert sum(d for _, d in seen) == 5
