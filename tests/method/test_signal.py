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


def test_advantages_by_hand():
    # rewards 1,0,0,0: mean 1/4, population std sqrt(3)/4; A = sqrt(3) and -1/sqrt(3).
    np.testing.assert_allclose(advantages([1, 0, 0, 0], 2.5), [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)], rtol=1e-5)


def test_advantages_are_clipped_and_zero_without_contrast():
    # one in ten: (1 - 0.1) / 0.3 = 3, clipped to 2.5
    assert advantages([1] + [0] * 9, 2.5)[0] == 2.5
    assert (advantages([1, 1, 1], 2.5) == 0).all()


@given(st.lists(st.booleans(), min_size=2, max_size=20))
def test_advantages_sum_to_zero_and_permute_with_rewards(rewards):
    a = advantages(rewards, 100)
    assert abs(a.sum()) < 1e-6
    np.testing.assert_allclose(advantages(rewards[::-1], 100), a[::-1], atol=1e-12)


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
    whole = advantages([1, 0, 0, 0], 2.5)
    examples = examples_of(group_rollouts(rollouts), SignalConfig(trim_longest=0.5))
    assert [e.rollout for e in examples] == [0, 1]  # the two longest are gone
    np.testing.assert_allclose([e.advantage for e in examples], whole[:2])


def test_positive_only_keeps_correct_rollouts():
    groups = group_rollouts(group("a", "1100"))
    examples = examples_of(groups, SignalConfig(positive_only=True))
    assert [e.rollout for e in examples] == [0, 1]


def test_zero_advantages_are_left_out():
    assert examples_of(group_rollouts(group("a", "11")), SignalConfig()) == []


def test_example_table_round_trip():
    examples = examples_of(group_rollouts(group("a", "10")), SignalConfig())
    back = examples_from_table(example_table(examples))
    assert [e.key for e in back] == ["a#0", "a#1"]
    assert [e.advantage for e in back] == [e.advantage for e in examples]


ENTROPIES = [[0.1, 0.9, 1.5], [2.0, 0.8], [0.3, 3.0, 0.2, 1.0, 0.8]]


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
