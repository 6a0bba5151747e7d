"""States of completions, however they are read together, against one plain forward each."""

from dataclasses import replace

import pytest
import torch

from reasonmaxxer.models import decoder, sizes
from reasonmaxxer.models.reading import reading
from reasonmaxxer.models.states import TokenSequence, completion_states, token_count
from tests.tiny import FAMILIES, tiny_model

CHOSEN = [
    TokenSequence([5, 9, 12], [3, 4, 5, 6]),
    TokenSequence([8, 2], [7]),  # a prompt of its own
    TokenSequence([5, 9, 12], [3]),
    TokenSequence([5, 9], [12, 3, 4]),  # another's beginning is not its prompt
    TokenSequence([5, 9, 12], [3, 4, 7, 7, 1]),
    TokenSequence([6], [6, 6]),
    TokenSequence([6], [1, 2, 3]),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("row_tokens", [1024, 10])
def test_completions_of_a_prompt_read_together_have_the_states_of_each_alone(family, row_tokens, monkeypatch):
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, row_tokens=row_tokens))
    model = tiny_model(family)
    reading(model)  # reads rows of its own
    read, forward = [], []
    decoder(model).register_forward_pre_hook(
        lambda _module, _args, asked: forward.append(asked["input_ids"].numel()), with_kwargs=True
    )
    found = completion_states(CHOSEN, model, read.append)
    used = sum(forward)
    assert sorted(read) == sorted(map(token_count, CHOSEN))
    with torch.inference_mode():
        for sequence, states_TD in zip(CHOSEN, found, strict=True):
            ids_1T = torch.tensor([[*sequence.prompt_ids, *sequence.completion_ids]])
            alone = decoder(model)(input_ids=ids_1T, use_cache=False).last_hidden_state[0]
            expected = alone[len(sequence.prompt_ids) - 1 : -1]
            torch.testing.assert_close(states_TD, expected, rtol=1e-4, atol=1e-5)
    if family == "llama" and row_tokens == 1024:
        # two prompts read once, 3 + 10 and 1 + 5 tokens; the others padded to the longer, 2 x 5
        assert used == 13 + 6 + 10
