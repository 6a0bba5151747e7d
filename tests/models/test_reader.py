"""Slots read at positions of their own, against one plain forward each."""

import pytest
import torch

from reasonmaxxer.models import decoder
from reasonmaxxer.models.reader import Reader
from tests.families import tiny_family
from tests.tiny import FAMILIES, tiny_model


@pytest.mark.parametrize("family", [*FAMILIES, "gpt_neo", "mamba"])
def test_a_slot_near_its_end_is_read_beside_one_that_has_much_to_catch_up_with(family):
    model = tiny_model(family) if family in FAMILIES else tiny_family(family)  # those read alone
    prompts = [[5, 9, 12], [8, 2], [4]]
    texts = [[3, 7, 1, 6, 2, 9, 4, 8], [2, 2, 3, 1, 5, 7], [6, 1, 4, 4, 8, 9, 3]]
    reader = Reader(model, prompts, slots=3, room=8)  # 11 positions a slot
    first = reader.admit([0, 1, 2])
    # the first slot has one token left at place 10, the second none yet: padded like the second's six, the
    # first would reach place 15
    begun = reader.read([0, 2], [texts[0][:7], texts[2][:2]])
    rest = reader.read([0, 1, 2], [texts[0][7:], texts[1], texts[2][2:]])
    found = [[begun[0], rest[0]], [rest[1]], [begun[1], rest[2]]]
    assert reader.lengths == [11, 8, 8]
    assert reader.passes == [3, 2, 3]
    for slot, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        with torch.inference_mode():
            alone = decoder(model)(input_ids=torch.tensor([[*prompt, *text]]), use_cache=False)[0][0]
        states = torch.cat([first[slot][None], *found[slot]])
        torch.testing.assert_close(states, alone[len(prompt) - 1 :], rtol=1e-4, atol=1e-5)


def test_a_slot_is_taken_by_the_next_text_and_read_as_if_it_were_new():
    model = tiny_model()
    prompts = [[5, 9, 12], [5, 9, 12], [8, 2]]
    reader = Reader(model, prompts, slots=2, room=8)
    first = reader.admit([1])
    reader.read([1], [[3, 7, 1, 6]])
    second = reader.admit([0])
    assert torch.equal(first, second)  # one prompt
    third = reader.admit([1])
    (read,) = reader.read([1], [[4, 6]])
    assert reader.lengths == [3, 4] and reader.passes == [1, 2]
    with torch.inference_mode():
        alone = decoder(model)(input_ids=torch.tensor([[8, 2, 4, 6]]), use_cache=False)[0][0]
    torch.testing.assert_close(torch.cat([third, read]), alone[1:], rtol=1e-4, atol=1e-5)


def test_what_has_little_to_read_is_not_padded_to_what_has_much():
    model, shapes = tiny_model(), []
    reader = Reader(model, [[5, 9, 12]] * 4, slots=4, room=30)
    reader.admit([0, 1, 2, 3])
    model.model.register_forward_pre_hook(
        lambda _m, _a, kw: shapes.append(tuple(kw["input_ids"].shape)), with_kwargs=True
    )
    reader.read([0, 1, 2, 3], [[1] * 20, [1] * 3, [1] * 11, [1] * 2])
    assert shapes == [(2, 20), (2, 3)]
