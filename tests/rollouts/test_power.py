"""Power sampling against the power distribution: transition matrices by definition, and frequencies."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from reasonmaxxer.config import PowerConfig, SamplingConfig
from reasonmaxxer.rollouts.engine import Completion, Engine, Request
from reasonmaxxer.rollouts.power import PowerEngine, Trace, log_acceptance
from reasonmaxxer.rollouts.sampling import uniforms
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.rollouts.test_sampling import chi_squared_bound
from tests.tiny import tiny_model

EOS, ALPHA, LENGTH, TAU = 0, 2.5, 3, 0.9
KINDS = ("uniform", "jumps", "gate")
SAMPLING = SamplingConfig(temperature=1 / ALPHA, top_p=1, max_new_tokens=LENGTH)


@cache
def next_probabilities(prefix):
    """p(. | prefix) over three tokens, of which 0 ends; anything but alike from prefix to prefix."""
    generator = np.random.default_rng([46, len(prefix), *prefix])
    weights = generator.exponential(size=3) ** generator.uniform(0.3, 3)
    return weights / weights.sum()


@cache
def entropy_after(prefix):
    p = next_probabilities(prefix)
    return -(p * np.log(p)).sum()


def sequences(length):
    """All that end, or have so many tokens without having ended."""
    bodies = [body for n in range(length) for body in product((1, 2), repeat=n)]
    return [(*body, EOS) for body in bodies] + list(product((1, 2), repeat=length))


def proposal(prefix):
    tempered = next_probabilities(prefix) ** ALPHA
    return tempered / tempered.sum()


def target(every):
    weights = [np.prod([next_probabilities(x[:i])[x[i]] for i in range(len(x))]) ** ALPHA for x in every]
    return np.array(weights) / sum(weights)


def chances_of_cuts(x, kind):
    """c(t | x), by the definition of each kind."""
    entropies = [entropy_after(x[:i]) for i in range(len(x))]
    if kind == "uniform":
        return np.full(len(x), 1 / len(x))
    if kind == "gate":
        weights = [i == 0 or h > TAU for i, h in enumerate(entropies)]
    else:
        weights = [max(h - (entropies[i - 1] if i else 0), 0) for i, h in enumerate(entropies)]
    return np.array(weights) / np.sum(weights)


class Tables(Engine):
    """Draws from `next_probabilities` at the temperature; the first token of a prompt is the problem."""

    name, version = "tables", "1"

    def __init__(self):
        self.settings, self.asked = {"dtype": "float64"}, []

    def generate(self, requests, sampling, on_tokens=None):
        made = [self.draw(request, sampling) for request in requests]
        self.asked += list(zip(requests, made, strict=True))
        if on_tokens:
            on_tokens(sum(len(m.ids) for m in made), len(made))
        return made

    def draw(self, request, sampling):
        prefix, made = request.prompt_ids[1:], Completion([], [], [], "length", [])
        limit = request.limit or sampling.max_new_tokens
        for u in uniforms(request.seed, limit):
            p, q = next_probabilities(prefix), next_probabilities(prefix) ** (1 / sampling.temperature)
            q /= q.sum()
            token = int(np.searchsorted(q.cumsum(), u, "right"))
            made.ids.append(token)
            for column, value in ((made.entropy, entropy_after(prefix)), (made.logprob, np.log(p[token])),
                                  (made.tempered, np.log(q[token]))):  # fmt: skip
                column.append(float(value))
            prefix = (*prefix, token)
            if token == EOS:
                return Completion(made.ids, made.entropy, made.logprob, "stop", made.tempered)
        return made


def trace(x):
    """A sequence as the sampler holds it."""
    columns = [(entropy_after(x[:i]), np.log(next_probabilities(x[:i])[t]), np.log(proposal(x[:i])[t]))
               for i, t in enumerate(x)]  # fmt: skip
    entropy, logprob, tempered = map(list, zip(*columns, strict=True))
    empty = Trace(Completion([], [], [], "length"), [])
    return empty.then(0, Completion(list(x), entropy, logprob, "stop", tempered), ALPHA)


def transitions(every, kind, acceptance):
    """P [x, y]: every cut that both share, what it proposes, and whether that is accepted."""
    matrix = np.zeros((len(every), len(every)))
    for (i, x), (j, y) in product(enumerate(every), repeat=2):
        for cut, chance in enumerate(chances_of_cuts(x, kind)):
            if i != j and cut < len(y) and x[:cut] == y[:cut]:
                drawn = np.prod([proposal(y[:n])[y[n]] for n in range(cut, len(y))])
                matrix[i, j] += chance * drawn * min(1, np.exp(acceptance(x, y, cut)))
    np.fill_diagonal(matrix, 1 - matrix.sum(1))
    return matrix


@pytest.mark.parametrize("kind", KINDS)
def test_the_power_distribution_is_stationary_and_in_detailed_balance(kind):
    config, every = PowerConfig(cuts=kind, tau=TAU), sequences(LENGTH)
    pi = target(every)
    assert len({round(chances_of_cuts(x, kind)[0], 9) for x in every}) > 2, "cuts alike in all sequences test nothing"

    def accepted(x, y, cut):
        return log_acceptance(trace(x), trace(y), cut, config)

    exact = transitions(every, kind, accepted)
    flow = pi[:, None] * exact
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)
    np.testing.assert_allclose(pi @ exact, pi, atol=1e-14)
    assert (np.linalg.matrix_power(exact, 50) > 0.99 * pi).all(), "every sequence leads to every other"

    def without_the_choice_of_the_cut(x, y, cut):
        return sum(trace(y).log_normaliser[cut:]) - sum(trace(x).log_normaliser[cut:])

    biased = transitions(every, kind, without_the_choice_of_the_cut)
    assert abs(pi @ biased - pi).max() > 3e-3


@pytest.mark.parametrize("kind", KINDS)
def test_acceptance_is_the_ratio_of_targets_and_proposals(kind):
    config, every = PowerConfig(cuts=kind, tau=TAU), sequences(LENGTH)
    pi = dict(zip(every, target(every), strict=True))
    for x, y in product(every, repeat=2):
        for cut, there in enumerate(chances_of_cuts(x, kind)):
            if there and x[:cut] == y[:cut] and cut < len(y):
                back = chances_of_cuts(y, kind)[cut]
                forward, backward = (np.prod([proposal(z[:n])[z[n]] for n in range(cut, len(z))]) for z in (y, x))
                ratio = np.log(pi[y] * back * backward) - np.log(pi[x] * there * forward)
                assert log_acceptance(trace(x), trace(y), cut, config) == pytest.approx(ratio, abs=1e-9)


def chi_squared(observed, expected):
    """Statistic and bound, cells of fewer than five expected taken together."""
    rare = expected < 5
    observed, expected = (np.append(n[~rare], n[rare].sum()) for n in (observed, expected))
    kept = expected > 0
    return ((observed - expected)[kept] ** 2 / expected[kept]).sum(), chi_squared_bound(kept.sum())


def frequencies(engine, count, sampling, every, prompt=(9,)):
    made = engine.generate([Request(prompt, 1000 + n) for n in range(count)], sampling)
    observed = [tuple(completion.ids) for completion in made]
    assert set(observed) <= set(every)
    return np.array([observed.count(x) for x in every])


@pytest.mark.parametrize("kind", KINDS)
def test_long_chains_visit_sequences_as_often_as_the_power_distribution(kind):
    every, count = sequences(LENGTH), 800
    config = PowerConfig(cuts=kind, tau=TAU, blocks=1, steps=25)
    statistic, bound = chi_squared(frequencies(PowerEngine(Tables(), config), count, SAMPLING, every),
                                   count * target(every))  # fmt: skip
    assert statistic < bound
    low_temperature = frequencies(Tables(), count, SAMPLING, every)
    statistic, bound = chi_squared(low_temperature, count * target(every))
    assert statistic > 3 * bound, "low temperature alone is another distribution"


def test_a_real_model_is_sampled_by_its_power_distribution():
    model, prompt, eos, alpha = tiny_model("qwen2", vocab=8), (1, 3, 4), 2, 1.5
    others = [token for token in range(8) if token != eos]
    every = [(eos,), *product(others, range(8))]
    logits = {x: model(torch.tensor([[*prompt, *x]])).logits[0, -len(x) - 1 : -1].double() for x in every}
    chances = {x: own.softmax(-1)[range(len(x)), list(x)].prod().item() for x, own in logits.items()}
    assert sum(chances.values()) == pytest.approx(1)
    weights = np.array(list(chances.values())) ** alpha
    sampling = SamplingConfig(temperature=1 / alpha, top_p=1, max_new_tokens=2)
    engine = TransformersEngine(model, [eos], batch_size=512)
    for steps, exact in ((0, False), (16, True)):
        config = PowerConfig(cuts="jumps", blocks=1, steps=steps)
        observed = frequencies(PowerEngine(engine, config), 1000, sampling, every, prompt)
        statistic, bound = chi_squared(observed, 1000 * weights / weights.sum())
        assert (statistic < bound) == exact


def test_a_chain_depends_on_its_seed_alone_and_keeps_what_the_model_thought():
    requests = [Request((9,), seed) for seed in range(40)]
    config = PowerConfig(cuts="jumps", blocks=2, steps=2)
    together = PowerEngine(Tables(), config).generate(requests, SAMPLING)
    alone = [PowerEngine(Tables(), config).generate([request], SAMPLING)[0] for request in requests]
    assert together == alone and len({tuple(c.ids) for c in together}) > 3
    for completion in together:
        x = tuple(completion.ids)
        assert completion.finish_reason == ("stop" if x[-1] == EOS else "length")
        assert completion.entropy == pytest.approx([entropy_after(x[:n]) for n in range(len(x))])
        assert completion.logprob == pytest.approx([np.log(next_probabilities(x[:n])[t]) for n, t in enumerate(x)])


def test_every_token_of_every_proposal_is_counted_and_told():
    inner, told = Tables(), []
    engine = PowerEngine(inner, PowerConfig(cuts="uniform", blocks=2, steps=3))
    made = engine.generate([Request((9,), seed) for seed in range(6)], SAMPLING, lambda *of: told.append(of))
    drawn = [(len(request.prompt_ids), len(new.ids)) for request, new in inner.asked]
    assert engine.sampled() == drawn and engine.sampled() == []
    assert [sum(column) for column in zip(*told, strict=True)] == [sum(n for _, n in drawn), 6]
    assert sum(len(m.ids) for m in made) < sum(n for _, n in drawn)
    assert {r.limit + len(r.prompt_ids) - 1 for r, _ in inner.asked} == {2, 3}  # half of three, rounded up, and three
    assert not any(EOS in r.prompt_ids for r, _ in inner.asked), "what has ended is not continued"
    assert engine.settings == {"dtype": "float64", "power": {"cuts": "uniform", "tau": 0.8, "blocks": 2, "steps": 3}}


def test_more_blocks_than_tokens_are_as_many_as_tokens():
    inner = Tables()
    PowerEngine(inner, PowerConfig(cuts="uniform", blocks=16, steps=0)).generate([Request((9,), 3)], SAMPLING)
    assert all(request.limit == 1 for request, _ in inner.asked)
