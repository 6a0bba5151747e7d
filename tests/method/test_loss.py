"""The fused losses against hand-derived values and plain float64 autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.method.loss import Anchors, Decisions, anchor_loss, decision_loss
from reasonmaxxer.method.objectives import objective_of
from tests.method.reference import token_loss


def identity(hidden):
    return hidden


def paper(floor):
    return objective_of("paper", floor, 0.2)


def decisions(logits, targets, advantages, weights, base_logprobs=None):
    return Decisions(
        torch.tensor(logits).requires_grad_(),
        torch.tensor(targets),
        torch.tensor(advantages),
        torch.tensor(base_logprobs or [math.nan] * len(targets)),
        torch.tensor(weights),
    )


def test_decision_loss_by_hand():
    # p = (1/2, 1/4, 1/4). Token 1 with A = 2, weight 1/2: -2 ln(1/4) / 2 = ln 4.
    # Gradient: A w (p - onehot) = (1/2, -3/4, 1/4).
    d = decisions([[math.log(2), 0.0, 0.0]], [1], [2.0], [0.5])
    loss, logprob = decision_loss(identity, d, paper(0.0))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert logprob.tolist() == pytest.approx([-math.log(4)])
    assert d.hidden_ND.grad[0].tolist() == pytest.approx([0.5, -0.75, 0.25])


@pytest.mark.parametrize(("advantage", "pushed"), [(-1.0, False), (1.0, True)])
def test_the_floor_stops_negative_pushes_only(advantage, pushed):
    # p of token 1 is 1 / (1 + e^5) = 0.0067, below a floor of 0.01.
    d = decisions([[5.0, 0.0]], [1], [advantage], [1.0])
    loss, _ = decision_loss(identity, d, paper(0.01))
    loss.backward()
    assert (d.hidden_ND.grad.abs().max() > 0.1).item() is pushed
    bound = math.log(0.01) if not pushed else -math.log1p(math.exp(5))
    assert loss.item() == pytest.approx(-advantage * bound)


def test_above_the_floor_negatives_are_pushed():
    d = decisions([[1.0, 0.0]], [1], [-1.0], [1.0])
    decision_loss(identity, d, paper(0.01))[0].backward()
    p = 1 / (1 + math.e)  # A (p - onehot) = -(p - 1)
    assert d.hidden_ND.grad[0].tolist() == pytest.approx([-(1 - p), 1 - p])


def test_anchor_loss_by_hand():
    # base (1/2, 1/2), adapted (1/4, 3/4): KL = ln(2)/2 + ln(2/3)/2 = ln(4/3)/2; weight 3.
    base = torch.zeros(1, 2)
    hidden = torch.tensor([[0.0, math.log(3)]], requires_grad=True)
    loss, kl = anchor_loss(identity, Anchors(hidden, base, torch.tensor([3.0])))
    loss.backward()
    assert kl.item() == pytest.approx(math.log(4 / 3) / 2)
    assert loss.item() == pytest.approx(1.5 * math.log(4 / 3))
    assert hidden.grad[0].tolist() == pytest.approx([-0.75, 0.75])


def test_anchor_of_equal_states_is_exactly_zero_with_zero_gradient():
    hidden = torch.randn(50, 16, requires_grad=True)
    weight = torch.randn(211, 16)
    loss, kl = anchor_loss(lambda h: h @ weight.T, Anchors(hidden, hidden.detach().clone(), torch.ones(50)), 7)
    loss.backward()
    assert loss.item() == 0.0
    assert kl.abs().max() == 0.0
    assert hidden.grad.abs().max() == 0.0


LN2, LN4 = math.log(2), math.log(4)


@pytest.mark.parametrize(
    ("name", "advantage", "base_logprob", "loss", "slope"),
    [
        # the token has p = 1/4; slope is that of the loss by log p
        ("topr", 2.0, -LN2, 2 * LN4, -2.0),  # better than its group: log p, whatever the ratio
        ("topr", -2.0, -LN2, 1.0, 1.0),  # p / p_0 = 1/2: 2 x 1/2, and the push is halved
        ("topr", -2.0, -3 * LN2, 2 * (1 + LN2), 2.0),  # p / p_0 = 2: 2 (1 + log 2), the whole push
        ("ppo", 2.0, -LN2, -1.0, -1.0),  # ratio 1/2, below 1: -2 x 1/2
        ("ppo", 2.0, -3 * LN2, -2.4, 0.0),  # ratio 2: held at 1.2, no push
        ("ppo", -2.0, -LN2, 1.6, 0.0),  # ratio 1/2: held at 0.8, no push
        ("ppo", -2.0, -3 * LN2, 4.0, 4.0),  # ratio 2: 2 x 2
    ],
)
def test_objectives_by_hand(name, advantage, base_logprob, loss, slope):
    # p = (1/2, 1/4, 1/4); the gradient by the logits is slope x (onehot - p)
    d = decisions([[LN2, 0.0, 0.0]], [1], [advantage], [1.0], [base_logprob])
    found, logprob = decision_loss(identity, d, objective_of(name, 0.0, 0.2))
    found.backward()
    assert logprob.item() == pytest.approx(-LN4)
    assert found.item() == pytest.approx(loss)
    assert d.hidden_ND.grad[0].tolist() == pytest.approx([-slope / 2, 3 * slope / 4, -slope / 4])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    rows=st.integers(1, 12),
    chunk=st.one_of(st.none(), st.integers(1, 13)),
    name=st.sampled_from(["paper", "topr", "ppo"]),
    floor=st.sampled_from([0.0, 1e-4, 0.05]),
    cap=st.sampled_from([None, 5.0]),
)
def test_values_and_gradients_equal_float64_autograd(seed, rows, chunk, name, floor, cap):
    generator = torch.Generator().manual_seed(seed)
    size, vocab = 8, 31
    weight = torch.randn(vocab, size, generator=generator)
    hidden, base = (torch.randn(rows, size, generator=generator) for _ in range(2))
    target = torch.randint(0, vocab, (rows,), generator=generator)
    advantage = torch.randn(rows, generator=generator)
    share = torch.rand(rows, generator=generator)

    def head(state):
        logits = state @ weight.to(state.dtype).T
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def taken(logprob):
        return logprob.gather(-1, target[:, None])[:, 0]

    base_logp = head(base.double()).log_softmax(-1)
    ours = hidden.clone().requires_grad_()
    d = Decisions(ours, target, advantage, taken(base_logp).float(), share)
    dec, _ = decision_loss(head, d, objective_of(name, floor, 0.2), chunk)
    anc, _ = anchor_loss(head, Anchors(ours, base, share), chunk)
    (dec + anc).backward()

    exact = hidden.double().requires_grad_()
    logp = head(exact).log_softmax(-1)
    expected = (token_loss(name, advantage.double(), taken(logp), taken(base_logp), floor) * share).sum()
    expected = expected + ((base_logp.exp() * (base_logp - logp)).sum(-1) * share).sum()
    expected.backward()
    torch.testing.assert_close((dec + anc).double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-4, atol=1e-5)


def test_no_position_gives_zero():
    empty = torch.empty(0, 4, requires_grad=True)
    none = torch.empty(0)
    d = Decisions(empty, torch.empty(0, dtype=torch.long), none, none, none)
    loss = decision_loss(identity, d, paper(1e-4))[0] + anchor_loss(identity, Anchors(empty, empty, none))[0]
    loss.backward()
    assert loss.item() == 0.0
