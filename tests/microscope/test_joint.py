"""Two models side by side, against float64 transcriptions of the definitions and logits by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reasonmaxxer.microscope.joint import JointScores, score_chunk, score_joint
from reasonmaxxer.models import OutputHead, sizes
from reasonmaxxer.models.states import TokenSequence, completion_states
from tests.models.test_score import sequences
from tests.tiny import FAMILIES, tiny_model


def jensen_shannon(p, q):
    """Mean of both divergences to the mean, terms of probability zero left out."""
    m = (p + q) / 2
    return sum((x[x > 0] * np.log(x[x > 0] / m[x > 0])).sum() for x in (p, q)) / 2


def by_hand(base_V, tuned_V, token):
    """One position straight from the equations, float64; ranks by a stable sort."""
    base, tuned = (np.asarray(x, dtype=np.float64) for x in (base_V, tuned_V))
    lp, lq = (x - x.max() - np.log(np.exp(x - x.max()).sum()) for x in (base, tuned))
    p, q = np.exp(lp), np.exp(lq)
    orders = [list(np.argsort(-x, kind="stable")) for x in (base, tuned)]
    top = orders[0][:5]
    choice, other = orders[0][0], orders[1][0]
    place = orders[0].index(other)
    mass = sum(p[i] for i in top) - sum(q[i] for i in top)
    return {
        "kind_N": 0 if other == choice else 1 if other in top else 2,
        "base_entropy_N": -(p * lp).sum(),
        "tuned_entropy_N": -(q * lq).sum(),
        "base_logprob_N": lp[token],
        "tuned_logprob_N": lq[token],
        "base_rank_N": 1 + orders[0].index(token),
        "tuned_rank_N": 1 + orders[1].index(token),
        "base_top_NK": top,
        "tuned_top_NK": orders[1][:5],
        "base_top_logprob_NK": lp[top],
        "tuned_top_logprob_NK": lq[orders[1][:5]],
        "forward_rank_N": 1 + place,
        "backward_rank_N": 1 + orders[1].index(choice),
        "jsd_N": jensen_shannon(p, q),
        "kl_base_N": (p * (lp - lq)).sum(),
        "kl_tuned_N": (q * (lq - lp)).sum(),
        "overlap_N": np.minimum(p, q).sum(),
        "moved_within_N": (sum(abs(p[i] - q[i]) for i in top) - abs(mass)) / 2,
        "moved_out_N": mass,
    }


def check(scores, row, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(scores, name)[row], value, rtol=2e-4, atol=2e-5, err_msg=name)


def joined(base, tuned, chosen):
    states = [completion_states(chosen, model) for model in (base, tuned)]
    ids = torch.tensor([i for s in chosen for i in s.completion_ids])
    heads = (OutputHead(base), OutputHead(tuned))
    return score_joint(torch.cat(states[0]), torch.cat(states[1]), heads, ids)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("logit_bytes", [4 * 97 * 7, 32 * 97 * 3])  # chunks of 7 positions; of 24, in parts of 3
def test_every_field_is_that_of_full_float64_logits(family, logit_bytes, monkeypatch):
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, logit_bytes=logit_bytes))
    base, tuned = tiny_model(family), tiny_model(family, seed=5)
    for own, other in zip(base.parameters(), tuned.parameters(), strict=True):
        other.data.lerp_(own, 0.8)  # near enough to agree here and there
    chosen = sequences()
    scores, row = joined(base, tuned, chosen), 0
    for sequence in chosen:
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.completion_ids]])
        logits = [model(input_ids=ids).logits[0] for model in (base, tuned)]
        for t, token in enumerate(sequence.completion_ids, start=len(sequence.prompt_ids)):
            check(scores, row, by_hand(logits[0][t - 1], logits[1][t - 1], token))
            row += 1
    assert row == len(scores)
    assert set(scores.kind_N) == {0, 1, 2}


def test_classes_by_hand_with_ties():
    base = [3.0, 5.0, 5.0, 1.0, 4.0, 2.0, 2.0, 0.0]  # order 1 2 4 0 5 6 3 7
    cases = {
        1: (0, 1),  # the lower of two equal ids is the base's choice
        2: (1, 2),
        4: (1, 3),
        5: (1, 5),  # the lower id of a tie across the fifth place is within
        6: (2, 6),
        7: (2, 8),
    }
    for choice, (kind, rank) in cases.items():
        tuned = [0.0] * 8
        tuned[choice] = 9.0
        scores = JointScores(*score_chunk(torch.tensor([base]), torch.tensor([tuned]), torch.tensor([3])))
        assert (int(scores.kind_N[0]), int(scores.forward_rank_N[0])) == (kind, rank), choice
        assert scores.base_top_NK[0].tolist() == [1, 2, 4, 0, 5]
        check(scores, 0, by_hand(base, tuned, 3))


def test_a_token_that_cannot_be_costs_no_nan():
    base = torch.tensor([[0.0, 1.0, -torch.inf, 2.0, 0.0, 0.0]])
    tuned = torch.tensor([[0.0, 1.0, 2.0, -torch.inf, 0.0, 0.0]])
    scores = JointScores(*score_chunk(base, tuned, torch.tensor([2])))
    for name in ("jsd_N", "overlap_N", "base_entropy_N", "tuned_entropy_N"):
        assert np.isfinite(getattr(scores, name)).all(), name
    p, q = (x.double().softmax(-1)[0].numpy() for x in (base, tuned))
    np.testing.assert_allclose(scores.jsd_N[0], jensen_shannon(p, q), rtol=1e-5)


def test_disjoint_distributions_are_log_two_apart():
    far = 400 * torch.eye(6)[:2]
    scores = JointScores(*score_chunk(far[:1], far[1:], torch.tensor([0])))
    np.testing.assert_allclose(scores.jsd_N, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(scores.overlap_N, 0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_against_itself_is_zero_everywhere(family):
    model = tiny_model(family)
    scores = joined(model, model, sequences())
    for name in ("kind_N", "jsd_N", "kl_base_N", "kl_tuned_N", "moved_within_N", "moved_out_N"):
        assert (getattr(scores, name) == 0).all(), name
    assert (scores.forward_rank_N == 1).all() and (scores.backward_rank_N == 1).all()
    np.testing.assert_allclose(scores.overlap_N, 1, rtol=1e-5)


def test_models_of_different_width_compare():
    narrow = tiny_model()
    wide = tiny_model(hidden_size=64, seed=2)
    scores = joined(narrow, wide, [TokenSequence([5, 6], [7, 8, 9])])
    logits = [m(input_ids=torch.tensor([[5, 6, 7, 8, 9]])).logits[0] for m in (narrow, wide)]
    for row, token in enumerate((7, 8, 9)):
        check(scores, row, by_hand(logits[0][row + 1], logits[1][row + 1], token))
