"""Branched attention against plain attention of each sequence alone."""

import pytest
import torch

from reasonmaxxer.training.branched_attention import use_branches
from tests.tiny import FAMILIES, tiny_model

PROMPTS = ([5, 6, 7, 8], [9, 10])
COMPLETIONS = (([11, 12, 13], [14], [15, 16]), ([17, 18],))


def packed():
    """Two rows, the second with padding: ids, positions and layout."""
    rows, positions, layout = [], [], []
    for prompt, completions in zip(PROMPTS, COMPLETIONS, strict=True):
        rows.append(prompt + [token for c in completions for token in c])
        own = [len(prompt) + i for c in completions for i in range(len(c))]
        positions.append([*range(len(prompt)), *own])
        layout.append([len(prompt), *map(len, completions)])
    width = max(map(len, rows))
    pad = [[0] * (width - len(row)) for row in rows]
    ids = torch.tensor([row + p for row, p in zip(rows, pad, strict=True)])
    return ids, torch.tensor([row + p for row, p in zip(positions, pad, strict=True)]), layout


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_each_sequence_is_what_it_is_alone(family):
    model = tiny_model(family)
    assert use_branches(model)
    ids, positions, layout = packed()
    hidden = model.model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool),
        layout=layout,
        use_cache=False,
    )[0]
    for b, (prompt, completions) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        start = len(prompt)
        for completion in completions:
            alone = model.model(input_ids=torch.tensor([prompt + list(completion)]))[0][0]
            place = slice(start, start + len(completion))
            torch.testing.assert_close(hidden[b, : len(prompt)], alone[: len(prompt)])
            torch.testing.assert_close(hidden[b, place], alone[len(prompt) :])
            start += len(completion)


def test_without_a_layout_it_is_sdpa():
    model, same = tiny_model(), tiny_model()
    assert use_branches(model)
    ids = torch.arange(5, 15).view(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    ours, plain = (m(ids, attention_mask=mask).logits for m in (model, same))
    assert torch.equal(ours[mask.bool()], plain[mask.bool()])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"llama", "qwen2", "qwen3"}))
def test_sliding_windows_keep_their_masks(family):
    model = tiny_model(family)
    before = model.config._attn_implementation
    assert not use_branches(model)
    assert model.config._attn_implementation == before
