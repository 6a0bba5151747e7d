"""Branched attention against plain attention of each sequence alone."""

import pytest
import torch

from reasonmaxxer.training.branched_attention import use_branches
from tests.tiny import FAMILIES, tiny_model

PROMPT = [5, 6, 7, 8]
COMPLETIONS = ([11, 12, 13], [14], [15, 16])


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_each_sequence_is_what_it_is_alone(family):
    model = tiny_model(family)
    assert use_branches(model)
    start = len(PROMPT)
    own = [start + i for completion in COMPLETIONS for i in range(len(completion))]
    hidden = model.model(
        input_ids=torch.tensor([PROMPT + [token for c in COMPLETIONS for token in c]]),
        position_ids=torch.tensor([[*range(start), *own]]),
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool),
        layout=[start, *map(len, COMPLETIONS)],
        use_cache=False,
    )[0][0]
    for completion in COMPLETIONS:
        alone = model.model(input_ids=torch.tensor([PROMPT + completion]))[0][0]
        torch.testing.assert_close(hidden[: len(PROMPT)], alone[: len(PROMPT)])
        torch.testing.assert_close(hidden[start : start + len(completion)], alone[len(PROMPT) :])
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
