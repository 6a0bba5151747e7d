"""Slots read at positions of their own, against one plain forward each."""

import pytest
import torch

from reasonmaxxer.divergence.reader import Reader
from reasonmaxxer.models import decoder
from tests.tiny import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_slot_near_its_end_is_read_beside_one_that_has_much_to_catch_up_with(family):
    model = tiny_model(family)
    prompts = [[5, 9, 12], [8, 2], [4]]
    texts = [[3, 7, 1, 6, 2, 9, 4, 8], [2, 2, 3, 1, 5, 7], [6, 1, 4, 4, 8, 9, 3]]
    reader = Reader(model, prompts, room=8)  # 11 positions a slot
    first = reader.begin()
    # the first slot has one token left at place 10, the second none yet: padded like the second's six, the
    # first would reach place 15
    begun = reader.read([0, 2], [texts[0][:7], texts[2][:2]])
    rest = reader.read([0, 1, 2], [texts[0][7:], texts[1], texts[2][2:]])
    found = [[begun[0], rest[0]], [rest[1]], [begun[1], rest[2]]]
    assert reader.lengths == [11, 8, 8]
    assert reader.passes == [3, 2, 3]
    for slot, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        with torch.inference_mode():
            alone = decoder(model)(input_ids=torch.tensor([[*prompt, *text]]), use_cache=False)[0][
                0
            ]
        states = torch.cat([first[slot][None], *found[slot]])
        torch.testing.assert_close(states, alone[len(prompt) - 1 :], rtol=1e-4, atol=1e-5)
