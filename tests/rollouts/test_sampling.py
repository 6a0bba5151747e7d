"""Sampling against exact distributions written from their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.models.score import entropy_and_logprob
from reasonmaxxer.rollouts import sampling
from reasonmaxxer.rollouts.sampling import draw, uniforms


def nucleus(logits, temperature, top_p):
    """Exact sampling distribution in float64, straight from the definition of top-p."""
    weights = np.exp((logits - logits.max()) / temperature)
    probability = weights / weights.sum()
    order = np.argsort(-probability, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(probability[order])[:-1]])
    kept = np.where(before < top_p, probability[order], 0.0)
    exact = np.zeros_like(probability)
    exact[order] = kept / kept.sum()
    return exact


def chi_squared_bound(cells):
    """Value a chi-squared of cells - 1 degrees passes once in about 10,000 (Wilson-Hilferty)."""
    degrees = max(cells - 1, 1)
    return degrees * (1 - 2 / (9 * degrees) + 3.72 * np.sqrt(2 / (9 * degrees))) ** 3


@pytest.mark.parametrize("top", [2, 64])  # 2 forces the full sort of wide rows
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.95), (1.7, 0.8), (1.0, 0.3)])
def test_frequencies_match_the_exact_distribution(monkeypatch, top, temperature, top_p):
    monkeypatch.setattr(sampling, "TOP", top)
    logits = np.array([1.2, -0.3, 0.7, 2.0, -1.0, 0.1, 0.65])
    draws = 40_000
    rows = torch.tensor(logits, dtype=torch.float32).expand(draws, -1)
    tokens = draw(rows, torch.from_numpy(uniforms(7, draws)), temperature, top_p).token_B
    exact = nucleus(logits, temperature, top_p)
    observed = np.bincount(tokens.numpy(), minlength=len(logits))
    assert observed[exact == 0].sum() == 0
    expected = exact[exact > 0] * draws
    statistic = ((observed[exact > 0] - expected) ** 2 / expected).sum()
    assert statistic < chi_squared_bound((exact > 0).sum())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), top_p=st.floats(0.05, 0.999), temperature=st.floats(0.3, 2))
def test_the_narrow_search_draws_what_a_full_sort_draws(seed, top_p, temperature):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, 300, generator=generator) * 2
    uniform = torch.from_numpy(uniforms(seed, 16))
    narrow = draw(logits, uniform, temperature, top_p).token_B
    for row, token, u in zip(logits.double().numpy(), narrow.tolist(), uniform, strict=True):
        exact = nucleus(row, temperature, top_p)
        order = np.argsort(-exact, kind="stable")
        cumulative = np.cumsum(exact[order])
        index = int(np.where(order == token)[0][0])
        low = cumulative[index] - exact[token]
        assert exact[token] > 0
        assert low - 1e-5 <= float(u) <= cumulative[index] + 1e-5


@pytest.mark.parametrize(("temperature", "top_p"), [(0.25, 1.0), (0.6, 0.95), (1.7, 0.2)])
@pytest.mark.parametrize("vocabulary", [7, 300])
def test_the_tempered_log_probability_is_that_of_the_whole_row(vocabulary, temperature, top_p):
    logits = torch.randn(50, vocabulary, generator=torch.Generator().manual_seed(3)) * 2
    drawn = draw(logits, torch.from_numpy(uniforms(5, 50)), temperature, top_p)
    exact = (logits.double() / temperature).log_softmax(-1).gather(-1, drawn.token_B[:, None])[:, 0]
    torch.testing.assert_close(drawn.tempered_B.double(), exact, rtol=1e-5, atol=1e-5)
    assert len(drawn.token_B.unique()) > 3


def test_zero_temperature_is_argmax():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    assert draw(logits, torch.zeros(2).double(), 0, 0.5).token_B.tolist() == [1, 0]


def test_entropy_and_logprob_by_hand():
    # One fair coin over two tokens: ln 2. Probabilities 1/2, 1/4, 1/4: 1.5 ln 2.
    logits = torch.tensor([[0.0, 0.0, -torch.inf], np.log([0.5, 0.25, 0.25]).tolist()])
    entropy, logprob = entropy_and_logprob(logits, torch.tensor([1, 2]))
    np.testing.assert_allclose(entropy, [np.log(2), 1.5 * np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(logprob, [-np.log(2), -2 * np.log(2)], rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), scale=st.floats(0.01, 30), shift=st.floats(-500, 500))
def test_entropy_and_logprob_equal_float64(seed, scale, shift):
    logits = torch.randn(5, 200, generator=torch.Generator().manual_seed(seed)) * scale + shift
    ids = torch.randint(0, 200, (5,), generator=torch.Generator().manual_seed(seed))
    wide = logits.double().numpy()
    logprobs = wide - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True))
    logprobs -= wide.max(1, keepdims=True)
    entropy, logprob = entropy_and_logprob(logits, ids)
    expected = -(np.exp(logprobs) * logprobs).sum(1)
    np.testing.assert_allclose(entropy.numpy(), expected, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(logprob.numpy(), logprobs[np.arange(5), ids], rtol=1e-5, atol=2e-4)


def test_uniforms_are_a_function_of_the_seed():
    assert (uniforms(3, 50)[:20] == uniforms(3, 20)).all()
    assert not np.array_equal(uniforms(3, 20), uniforms(4, 20))
    assert (uniforms(5, 1000) < 1).all() and (uniforms(5, 1000) >= 0).all()
