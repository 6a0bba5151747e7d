"""Entropies of rollouts that came without them, against a float64 softmax of each rollout's own forward."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reasonmaxxer.method.scoring import score_rollouts
from reasonmaxxer.models import sizes
from reasonmaxxer.rollouts.table import Rollout
from tests.tiny import FAMILIES, tiny_model

IDS = [([5, 9, 12], [3, 4, 5, 6]), ([8, 2], [7]), ([5, 9, 12], []), ([5, 9, 12], [3]), ([6], [6, 6])]


def rollout(prompt, completion, **values):
    return Rollout(
        **{
            "problem_id": "p", "rollout": 0, "seed": 0, "prompt_ids": prompt, "completion_ids": completion, "text": "",
            "finish_reason": "stop", "entropy": None, "logprob": None, "outcome": "correct", "extracted": None,
            "engine": "", "engine_version": "", **values,
        }
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("row_tokens", [1024, 4])
def test_scores_are_those_of_each_rollout_alone(family, row_tokens, monkeypatch):
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, row_tokens=row_tokens))
    model, seen = tiny_model(family), []
    scored = score_rollouts([rollout(*ids) for ids in IDS], model, seen.append)
    assert sorted(seen) == [3, 3, 3, 4, 7]
    for (prompt, completion), own in zip(IDS, scored, strict=True):
        assert (own.prompt_ids, own.completion_ids) == (prompt, completion)
        logp_TV = model(torch.tensor([prompt + completion])).logits[0].double().log_softmax(-1)[len(prompt) - 1 : -1]
        taken = [logp_TV[t, token].item() for t, token in enumerate(completion)]
        np.testing.assert_allclose(own.logprob, taken, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(own.entropy, -(logp_TV.exp() * logp_TV).sum(-1), rtol=1e-4, atol=1e-4)


def test_rollouts_that_have_both_are_left_as_they_are():
    known = rollout([5], [3, 4], entropy=[0.1, 0.2], logprob=[-1.0, -2.0])
    half = rollout([5], [3, 4], entropy=[0.1, 0.2])
    first, second = score_rollouts([known, half], tiny_model())
    assert first is known
    assert second.entropy != half.entropy and len(second.logprob) == 2
    assert score_rollouts([known], tiny_model()) == [known]
