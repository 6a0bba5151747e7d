"""Scores of every token against a plain float64 softmax of the model's own logits."""

import random

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from reasonmaxxer.microscope import positions, states
from reasonmaxxer.microscope.positions import score_positions
from reasonmaxxer.microscope.states import TokenSequence
from reasonmaxxer.models import packing
from tests.tiny import FAMILIES, tiny_model

FIELDS = ("entropy_T", "logprob_T", "rank_T", "top_ids_TK", "top_logprob_TK")


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
    for sequence, scores in zip(sequences(), score_positions(sequences(), model), strict=True):
        entropy, logprob, rank, top_ids, top_logprob = reference(sequence, model)
        np.testing.assert_allclose(scores.entropy_T, entropy, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scores.logprob_T, logprob, rtol=1e-4, atol=1e-4)
        assert scores.rank_T.tolist() == rank.tolist()
        assert scores.top_ids_TK.tolist() == top_ids.tolist()
        np.testing.assert_allclose(scores.top_logprob_TK, top_logprob, rtol=1e-4, atol=1e-4)
        assert [a.dtype.name for a in vars(scores).values()] == [
            "float32", "float32", "int32", "int32", "float32",
        ]  # fmt: skip


def test_batches_and_chunks_change_nothing(monkeypatch):
    model = tiny_model()
    together = score_positions(sequences(), model)
    monkeypatch.setattr(packing, "ROW_TOKENS", 1)  # one sequence a batch
    monkeypatch.setattr(positions, "CHUNK_BYTES", 4 * 97 * 3)  # three positions a chunk
    alone = [score_positions([sequence], model)[0] for sequence in sequences()]
    for one, other in zip(together, alone, strict=True):
        for name in FIELDS:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)


def test_batches_hold_every_sequence_once_and_keep_to_their_size():
    lengths = [3, 9, 30, 10, 1, 10, 4]
    batches = list(states._batches(lengths, 20))
    assert batches == [[2], [3, 5], [1, 6], [0, 4]]  # 30 | 2 x 10 | 2 x 9 | 2 x 3


def test_progress_counts_every_token_once():
    seen = []
    score_positions(sequences(), tiny_model(), seen.append)
    assert sorted(seen) == sorted(len(s) for s in sequences())


def test_tied_tokens_share_the_better_rank():
    logits_NV = torch.tensor([[1.0, 2.0, 2.0, 0.0, 1.0, 1.0]])
    ranks = [positions._score_chunk(logits_NV, torch.tensor([token]))[2].item() for token in range(6)]
    assert ranks == [3, 1, 1, 6, 3, 3]


def test_a_vocabulary_smaller_than_the_top():
    scores = score_positions([TokenSequence([1], [2, 3])], tiny_model(vocab=4))[0]
    assert scores.top_ids_TK.shape == (2, 4)
    np.testing.assert_allclose(np.exp(scores.top_logprob_TK).sum(-1), 1, rtol=1e-5)


def test_an_adapter_counts_only_while_it_is_on():
    base = score_positions(sequences(), tiny_model())
    model = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.train()  # dropout or not, scores are of the model in eval mode
    adapted = score_positions(sequences(), model)
    with model.disable_adapter():
        off = score_positions(sequences(), model)
    for one, other in zip(base, off, strict=True):
        np.testing.assert_array_equal(one.logprob_T, other.logprob_T)
    assert max(abs(a.logprob_T - b.logprob_T).max() for a, b in zip(adapted, base, strict=True)) > 0.1
    assert not model.training
