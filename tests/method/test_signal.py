"""Advantages, gates and the edge of competence, by hand and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.config import GateConfig, SignalConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.advantages import advantages
from reasonmaxxer.method.gate import Gate, gate_warnings, resolve_gate
from reasonmaxxer.method.pool import group_rollouts
from reasonmaxxer.method.selection import example_table, examples_from_table, examples_of, select_groups
from reasonmaxxer.rollouts.table import Rollout


def rollout(problem, index, correct, length=4, truncated=False, outcome=None):
    return Rollout(
        problem_id=problem,
        rollout=index,
        seed=0,
        prompt_ids=[1, 2],
        completion_ids=list(range(length)),
        text="",
        finish_reason="length" if truncated else "stop",
        entropy=[0.5 * t for t in range(length)],
        logprob=[-0.1] * length,
        outcome=outcome or ("correct" if correct else "wrong"),
        extracted=None,
        engine="t",
        engine_version="0",
    )


def group(problem, pattern, **extra):
    return [rollout(problem, i, mark == "1", **extra) for i, mark in enumerate(pattern)]


def advantages_of(rewards, seed=0, **config):
    return advantages(rewards, SignalConfig(**config), np.random.default_rng(seed))


def test_advantages_by_hand():
    # rewards 1,0,0,0: mean 1/4, population std sqrt(3)/4; A = sqrt(3) and -1/sqrt(3).
    np.testing.assert_allclose(advantages_of([1, 0, 0, 0]), [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)], rtol=1e-5)


def test_advantages_are_clipped_and_zero_without_contrast():
    # one in ten: (1 - 0.1) / 0.3 = 3, clipped to 2.5
    assert advantages_of([1] + [0] * 9)[0] == 2.5
    assert (advantages_of([1, 1, 1]) == 0).all()


@given(st.lists(st.booleans(), min_size=2, max_size=20))
def test_advantages_sum_to_zero_and_permute_with_rewards(rewards):
    a = advantages_of(rewards, advantage_clip=100)
    assert abs(a.sum()) < 1e-6
    np.testing.assert_allclose(advantages_of(rewards[::-1], advantage_clip=100), a[::-1], atol=1e-12)


def test_selection_takes_mixed_problems_nearest_one_half():
    rollouts = [
        *group("all-right", "1111"),
        *group("quarter", "1000"),
        *group("half-long", "1100", length=9),
        *group("half-cut", "1100", truncated=True, length=3),
        *group("half", "1010"),
        *group("none", "0000"),
    ]
    chosen = select_groups(group_rollouts(rollouts), 10)
    assert [g.problem_id for g in chosen] == ["half", "half-long", "half-cut", "quarter"]
    assert [g.problem_id for g in select_groups(group_rollouts(rollouts), 2)] == ["half", "half-long"]


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_selection_does_not_depend_on_order(random):
    rollouts = [r for i, p in enumerate(["10", "01", "11", "10"]) for r in group(f"p{i}", p)]
    expected = [g.problem_id for g in select_groups(group_rollouts(rollouts), 3)]
    random.shuffle(rollouts)
    assert [g.problem_id for g in select_groups(group_rollouts(rollouts), 3)] == expected


@pytest.mark.parametrize(
    ("rollouts", "remedy"),
    [
        (group("a", "00", truncated=True), "max_new_tokens"),
        (group("a", "00", outcome="unparsed"), "extraction"),
        (group("a", "11"), "harder"),
        (group("a", "00"), "easier"),
    ],
)
def test_no_mixed_problem_says_what_to_change(rollouts, remedy):
    with pytest.raises(UserError, match=remedy):
        select_groups(group_rollouts(rollouts), 5)


def test_advantages_come_from_the_whole_group_before_trimming():
    rollouts = [rollout("a", i, i == 0, length=3 + i) for i in range(4)]
    whole = advantages_of([1, 0, 0, 0])
    examples = examples_of(group_rollouts(rollouts), SignalConfig(trim_longest=0.5), 0)
    assert [e.rollout for e in examples] == [0, 1]  # the two longest are gone
    np.testing.assert_allclose([e.advantage for e in examples], whole[:2])


def test_boltzmann_weights_by_hand():
    # exp(r / (1 / ln 3)) = 3 for the right one and 1 for the others; over their mean 3/2: 2 and 2/3
    weights = advantages_of([1, 0, 0, 0], advantage="boltzmann", boltzmann_temperature=1 / np.log(3))
    np.testing.assert_allclose(weights, [2, 2 / 3, 2 / 3, 2 / 3])
    assert (
        advantages_of([1, 1], advantage="boltzmann", boltzmann_temperature=1e-3) == 1
    ).all()  # exp(1000) is not met


def test_negative_advantages_carry_their_weight():
    np.testing.assert_allclose(advantages_of([1, 0, 0, 0], negative_weight=3), [3**0.5, *[-(3**0.5)] * 3], rtol=1e-5)


def test_shuffled_advantages_are_the_same_ones_elsewhere():
    shuffled = [advantages_of([1, 0, 0, 0], seed, advantage="shuffled") for seed in range(40)]
    assert all(sorted(a) == sorted(advantages_of([1, 0, 0, 0])) for a in shuffled)
    assert {int(a.argmax()) for a in shuffled} == {0, 1, 2, 3}


def test_random_rewards_do_not_see_the_rewards():
    for seed in range(5):
        right = advantages_of([1, 1, 1, 0], seed, advantage="random")
        assert (right == advantages_of([0, 0, 0, 1], seed, advantage="random")).all()
    drawn = np.stack([advantages_of([1] * 8, seed, advantage="random") for seed in range(200)])
    assert 0.45 < (drawn > 0).mean() < 0.55


def test_controls_draw_by_seed_and_problem():
    config = SignalConfig(advantage="shuffled")
    alone = examples_of(group_rollouts(group("a", "11000000")), config, 0)
    beside = examples_of(group_rollouts([*group("b", "1000"), *group("a", "11000000")]), config, 0)
    assert [e.advantage for e in beside if e.problem_id == "a"] == [e.advantage for e in alone]
    others = [examples_of(group_rollouts(group("a", "11000000")), config, seed) for seed in range(1, 5)]
    assert any([e.advantage for e in other] != [e.advantage for e in alone] for other in others)


@pytest.mark.parametrize(
    ("marks", "wanted", "kept"),
    [
        ("00101100", 4, [2, 4, 6, 7]),  # the first two right ones, the last two wrong ones
        ("00010000", 4, [0, 3, 6, 7]),  # one right: its half is filled up
        ("11101111", 4, [0, 1, 3, 7]),
        ("00101100", 5, [2, 4, 5, 6, 7]),
        ("0101", 4, [0, 1, 2, 3]),
    ],
)
def test_few_rollouts_of_a_problem_are_its_best_and_its_worst(marks, wanted, kept):
    groups = group_rollouts(group("a", marks))
    examples = examples_of(groups, SignalConfig(rollouts=wanted), 0)
    assert [e.rollout for e in examples] == kept
    whole = {e.rollout: e.advantage for e in examples_of(groups, SignalConfig(), 0)}
    assert all(e.advantage == whole[e.rollout] for e in examples)


def test_a_negative_weight_of_zero_keeps_correct_rollouts():
    groups = group_rollouts(group("a", "1100"))
    examples = examples_of(groups, SignalConfig(negative_weight=0), 0)
    assert [e.rollout for e in examples] == [0, 1]


def test_zero_advantages_are_left_out():
    assert examples_of(group_rollouts(group("a", "11")), SignalConfig(), 0) == []


def test_example_table_round_trip():
    examples = examples_of(group_rollouts(group("a", "10")), SignalConfig(), 0)
    back = examples_from_table(example_table(examples))
    assert [e.key for e in back] == ["a#0", "a#1"]
    assert [e.advantage for e in back] == [e.advantage for e in examples]


ENTROPIES = [[0.1, 0.9, 1.5], [2.0, 0.8], [0.3, 3.0, 0.2, 1.0, 0.8]]


def test_gates_of_the_same_size_elsewhere():
    def decided(kind, share):
        gate = resolve_gate(GateConfig(kind=kind, share=share), ENTROPIES, 0)
        return [gate.decisions(e, "k").tolist() for e in ENTROPIES], gate.decision_share

    lowest, share = decided("lowest", 0.3)  # 0.1, 0.2 and 0.3 of ten
    assert lowest == [[True, False, False], [False, False], [True, False, True, False, False]]
    assert share == 0.3
    # 0.4 of three, two and five positions: one, one and two
    first, share = decided("first", 0.4)
    assert first == [[True, False, False], [True, False], [True, True, False, False, False]]
    assert share == 0.4
    assert decided("last", 0.4)[0] == [positions[::-1] for positions in first]


def test_threshold_gate():
    gate = resolve_gate(GateConfig(kind="threshold", tau=0.8), ENTROPIES, 0)
    assert gate.decisions(ENTROPIES[1], "k").tolist() == [True, False]  # strictly above
    assert gate.decision_share == 0.5  # 0.9 1.5 2.0 3.0 1.0 of ten


def test_gates_that_let_nothing_through_are_named_with_the_highest_entropy():
    sweep = GateConfig(kind="threshold", sweep=(2.5, 3.0, 7.25)).candidates()
    gates = [resolve_gate(config, ENTROPIES, 0) for config in sweep]  # above 3.0 there is nothing
    assert gate_warnings(gates[:1], ENTROPIES) == []
    first, second = gate_warnings(gates, ENTROPIES)
    assert "tau = 3 lets no position" in first and "tau = 7.25 lets no position" in second
    assert "highest entropy of the rollouts that teach is 3 nats. Lower it" in second
    with pytest.raises(UserError, match=r"(?s)tau = 3 .*tau = 7\.25 .*--reuse"):
        gate_warnings(gates[1:], ENTROPIES)
    none = resolve_gate(GateConfig(kind="random", share=0), ENTROPIES, 0)
    with pytest.raises(UserError, match=r"signal\.gate\.share of kind 'random' .*Raise it"):
        gate_warnings([none], ENTROPIES)


def test_share_gate_takes_the_most_entropic_share():
    gate = resolve_gate(GateConfig(kind="share", share=0.3), ENTROPIES, 0)
    marks = [gate.decisions(e, "").tolist() for e in ENTROPIES]
    assert marks == [[False, False, True], [True, False], [False, True, False, False, False]]
    assert gate.decision_share == pytest.approx(0.3)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 10)])
def test_share_gate_at_its_ends(share, expected):
    gate = resolve_gate(GateConfig(kind="share", share=share), ENTROPIES, 0)
    assert sum(int(gate.decisions(e, "").sum()) for e in ENTROPIES) == expected


def test_all_gate():
    gate = resolve_gate(GateConfig(kind="all"), ENTROPIES, 0)
    assert gate.decisions(ENTROPIES[0], "").all() and gate.decision_share == 1


def test_random_gate_has_its_share_and_ignores_entropy():
    gate = resolve_gate(GateConfig(kind="random", share=0.2), ENTROPIES, 5)
    entropy = np.linspace(0, 3, 20_000)
    marks = gate.decisions(entropy, "a")
    assert abs(marks.mean() - 0.2) < 0.01  # five standard deviations: 0.014
    assert abs(np.corrcoef(marks, entropy)[0, 1]) < 0.04
    assert (marks == gate.decisions(entropy[::-1], "a")).all()
    assert (marks != gate.decisions(entropy, "b")).any()
    assert (marks != Gate("random", None, 0.2, 6).decisions(entropy, "a")).any()


@given(st.lists(st.floats(0, 5, width=32), min_size=1, max_size=60, unique=True), st.floats(0, 1))
def test_share_gate_marks_the_rounded_share(entropies, share):
    gate = resolve_gate(GateConfig(kind="share", share=share), [entropies], 0)
    assert gate.decisions(entropies, "").sum() == round(share * len(entropies))


def test_gate_round_trips_through_json():
    gate = resolve_gate(GateConfig(kind="share", share=0.3), ENTROPIES, 0)
    assert Gate(**gate.to_dict()) == gate


def test_sweep_gives_one_gate_a_value():
    config = GateConfig(kind="threshold", sweep=(1.2, 1.4))
    assert [c.tau for c in config.candidates()] == [1.2, 1.4]
    assert all(not c.sweep for c in config.candidates())
    assert GateConfig().candidates() == (GateConfig(),)
