"""Scores of every token against a plain float64 softmax of the model's own logits."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from reasonmaxxer.models import sizes, states
from reasonmaxxer.models.score import entropy_and_logprob, ordered_top, rank_of, score_sequences
from reasonmaxxer.models.states import TokenSequence, token_count
from tests.tiny import FAMILIES, tiny_model


def scores_of(logits_NV, ids_N):
    """Entropy, log-probability, rank, and the five most likely tokens with theirs."""
    top_NK = ordered_top(logits_NV, 5)
    top_logprob_NK = logits_NV.log_softmax(-1).gather(-1, top_NK)
    return *entropy_and_logprob(logits_NV, ids_N), rank_of(logits_NV, ids_N), top_NK, top_logprob_NK


def score(chosen, model, on_scored=None):
    return score_sequences(scores_of, chosen, model, on_scored)


def sequences(count=7, vocab=97):
    draw = random.Random(3)
    return [
        TokenSequence(
            [draw.randrange(3, vocab) for _ in range(draw.randint(1, 9))],
            [draw.randrange(3, vocab) for _ in range(draw.randint(1, 15))],
        )
        for _ in range(count)
    ]


@torch.inference_mode()
def reference(sequence, model):
    """One sequence alone, its full logits, float64, position by position."""
    ids = [*sequence.prompt_ids, *sequence.completion_ids]
    logits_TV = model(input_ids=torch.tensor([ids])).logits[0].double()
    rows = []
    for t, token in enumerate(sequence.completion_ids, start=len(sequence.prompt_ids)):
        logprob_V = logits_TV[t - 1].log_softmax(-1).numpy()
        order = np.argsort(-logprob_V, kind="stable")
        entropy = -(np.exp(logprob_V) * logprob_V).sum()
        rank = 1 + list(order).index(token)
        rows.append((entropy, logprob_V[token], rank, order[:5], logprob_V[order[:5]]))
    return [np.array(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_full_float64_logits(family):
    model = tiny_model(family)
    for sequence, scores in zip(sequences(), score(sequences(), model), strict=True):
        entropy, logprob, rank, top_ids, top_logprob = reference(sequence, model)
        np.testing.assert_allclose(scores[0], entropy, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scores[1], logprob, rtol=1e-4, atol=1e-4)
        assert scores[2].tolist() == rank.tolist()
        assert scores[3].tolist() == top_ids.tolist()
        np.testing.assert_allclose(scores[4], top_logprob, rtol=1e-4, atol=1e-4)
        assert [column.dtype for column in scores[:3]] == [torch.float32, torch.float32, torch.int32]


def test_batches_and_chunks_change_nothing(monkeypatch):
    model = tiny_model()
    together = score(sequences(), model)
    # one sequence a batch, three positions a chunk
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, row_tokens=1, logit_bytes=4 * 97 * 3))
    alone = [score([sequence], model)[0] for sequence in sequences()]
    for one, other in zip(together, alone, strict=True):
        for column, same in zip(one, other, strict=True):
            np.testing.assert_allclose(column, same, atol=1e-4)


def test_batches_hold_every_sequence_once_and_keep_to_their_size():
    lengths = [3, 9, 30, 10, 1, 10, 4]
    batches = list(states._batches(lengths, 20))
    assert batches == [[2], [3, 5], [1, 6], [0, 4]]  # 30 | 2 x 10 | 2 x 9 | 2 x 3


def test_progress_counts_every_token_once():
    seen = []
    score(sequences(), tiny_model(), seen.append)
    assert sorted(seen) == sorted(map(token_count, sequences()))


def test_tied_tokens_rank_by_their_ids():
    logits_NV = torch.tensor([[1.0, 2.0, 2.0, 0.0, 1.0, 1.0]])
    ranks = [rank_of(logits_NV, torch.tensor([token])).item() for token in range(6)]
    assert ranks == [3, 1, 2, 6, 4, 5]
    assert ordered_top(logits_NV, 5).tolist() == [[1, 2, 0, 4, 5]]


def test_a_vocabulary_smaller_than_the_top():
    scores = score([TokenSequence([1], [2, 3])], tiny_model(vocab=4))[0]
    assert scores[3].shape == (2, 4)
    np.testing.assert_allclose(np.exp(scores[4]).sum(-1), 1, rtol=1e-5)


def test_an_adapter_counts_only_while_it_is_on():
    base = score(sequences(), tiny_model())
    model = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.train()  # dropout or not, scores are of the model in eval mode
    adapted = score(sequences(), model)
    with model.disable_adapter():
        off = score(sequences(), model)
    for one, other in zip(base, off, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    assert max(abs(a[1] - b[1]).max() for a, b in zip(adapted, base, strict=True)) > 0.1
    assert not model.training
