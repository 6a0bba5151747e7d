"""Attention of rows and of single tokens against plain attention and a float64 softmax."""

import pytest
import torch

from reasonmaxxer.models import branches
from reasonmaxxer.models.attention import attention, use_attention
from tests.tiny import FAMILIES, tiny_model

PROMPT = [5, 6, 7, 8]
COMPLETIONS = ([11, 12, 13], [14], [15, 16])


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_each_sequence_is_what_it_is_alone(family):
    model = tiny_model(family)
    assert use_attention(model)
    stems = [(PROMPT, COMPLETIONS), ([9, 10], ([17, 18], [19]))]
    ids, positions = [], []
    for prompt, completions in stems:
        ids += prompt + [token for completion in completions for token in completion]
        positions += range(len(prompt))
        positions += [len(prompt) + i for completion in completions for i in range(len(completion))]
    hidden = model.model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool),
        layout=[[len(prompt), *map(len, completions)] for prompt, completions in stems],
        use_cache=False,
    )[0][0]
    start = 0
    for prompt, completions in stems:
        first, start = start, start + len(prompt)
        for completion in completions:
            alone = model.model(input_ids=torch.tensor([prompt + completion]))[0][0]
            torch.testing.assert_close(hidden[first : first + len(prompt)], alone[: len(prompt)])
            own = hidden[start : start + len(completion)]
            torch.testing.assert_close(own, alone[len(prompt) :])
            start += len(completion)
    assert start == len(hidden)


def test_without_a_layout_it_is_sdpa():
    model, same = tiny_model(), tiny_model()
    assert use_attention(model)
    ids = torch.arange(5, 15).view(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    ours, plain = (m(ids, attention_mask=mask).logits for m in (model, same))
    assert torch.equal(ours[mask.bool()], plain[mask.bool()])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"llama", "qwen2", "qwen3"}))
def test_sliding_windows_keep_their_masks(family):
    model = tiny_model(family)
    before = model.config._attn_implementation
    assert not use_attention(model)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("short", [0, 384])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_values_and_gradients_are_those_of_a_mask(short, heads, groups, monkeypatch):
    """By products and by fused kernels alike: one softmax a query over what it may see, in float64."""
    monkeypatch.setattr(branches, "SHORT", short)
    layout, size = [[3, 4, 1, 2], [2, 3]], 5
    # 0 to 3 are the first stem's prompt and completions, 4 and 5 the second's
    part = torch.tensor([0] * 3 + [1] * 4 + [2] + [3] * 2 + [4] * 2 + [5] * 3)
    above = {0: {0}, 1: {0, 1}, 2: {0, 2}, 3: {0, 3}, 4: {4}, 5: {4, 5}}
    seen = torch.tensor(
        [[k <= q and int(part[k]) in above[int(part[q])] for k in range(15)] for q in range(15)]
    )
    draw = torch.Generator().manual_seed(0)
    states = [
        torch.randn(1, h, 15, size, generator=draw, requires_grad=True)
        for h in (heads, groups, groups)
    ]
    target = torch.randn(1, 15, heads, size, generator=draw)
    ours, _ = attention(None, *states, None, scaling=0.3, layout=layout)
    gradients = torch.autograd.grad((ours * target).sum(), states)

    exact = [state.detach().double().requires_grad_() for state in states]
    q, k, v = exact[0][0], *(x[0].repeat_interleave(heads // groups, 0) for x in exact[1:])
    scores = (0.3 * q @ k.mT).masked_fill(~seen, -torch.inf)
    expected = (scores.softmax(-1) @ v).transpose(0, 1)[None]
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    reference = torch.autograd.grad((expected * target).sum(), exact)
    for gradient, wanted in zip(gradients, reference, strict=True):
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_one_token_attends_as_a_float64_softmax_says(heads, groups, masked):
    """Keys lie in a longer cache, as they do while decoding."""
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, 1, 8, generator=draw)
    key, value = (torch.randn(2, groups, 12, 8, generator=draw)[:, :, :7] for _ in range(2))
    mask = torch.arange(7) < torch.tensor([[[[4]]], [[[7]]]]) if masked else None
    ours, _ = attention(None, query, key, value, mask, scaling=0.3)

    q, k, v = (
        query.double(),
        *(x.double().repeat_interleave(heads // groups, 1) for x in (key, value)),
    )
    scores = 0.3 * q @ k.mT
    if masked:
        scores = scores.masked_fill(~mask, -torch.inf)
    expected = (scores.softmax(-1) @ v).transpose(1, 2)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
