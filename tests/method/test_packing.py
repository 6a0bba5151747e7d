"""Rows that share a prompt, laid out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.method.data import Collator
from reasonmaxxer.method.order import RUN, group_order
from reasonmaxxer.models import sizes
from reasonmaxxer.models.layout import RowLayout
from reasonmaxxer.models.packing import pack


def test_neighbours_with_one_prompt_share_it():
    (row,) = pack([([7, 8], [1, 2, 3]), ([7, 8], [4]), ([9], [5])])
    assert row.ids().tolist() == [7, 8, 1, 2, 3, 4, 9, 5]
    assert row.layout == [[2, 3, 1], [1, 1]]
    assert row.positions().tolist() == [0, 1, 2, 3, 4, 2, 0, 1]
    assert [(number, start, places.tolist()) for number, start, places in row.members()] == [
        (0, 2, [0, 1, 2, 3, 4]),
        (1, 2, [0, 1, 5]),
        (2, 1, [6, 7]),
    ]


def test_a_row_stays_within_its_limit_unless_one_sequence_is_longer(monkeypatch):
    monkeypatch.setattr(sizes, "CPU", replace(sizes.CPU, row_tokens=6))
    sequences = [([1, 1], [2, 2]), ([1, 1], [3, 3]), ([1, 1], [4]), ([6], [7, 7])]
    rows = pack([*sequences, ([1, 1], [5] * 9), ([1, 1], [8])])
    members = [[stem.members for stem in row.stems] for row in rows]
    # 2 + 2 + 2 tokens; 2 + 1 and 1 + 2; 2 + 9 alone; 2 + 1
    assert members == [[[0, 1]], [[2], [3]], [[4]], [[5]]]


def test_tokens_see_their_prompt_and_their_own_past():
    layout = RowLayout([[1, 2, 1], [1, 1]], torch.device("cpu"))
    assert layout.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_runs_of_keys_are_a_prompt_and_what_follows_it():
    # Prompt 0 1; completions 2 3 4, none, 5. Prompt 6; completion 7.
    runs = RowLayout([[2, 3, 0, 1], [1, 1]], torch.device("cpu")).segments
    assert runs.query_ends.tolist() == [0, 2, 5, 6, 7, 8]
    assert runs.key_ends.tolist() == [0, 2, 7, 10, 11, 13]
    assert runs.key_S.tolist() == [0, 1, 0, 1, 2, 3, 4, 0, 1, 5, 6, 6, 7]
    assert (runs.longest_query, runs.longest_key) == (3, 5)


def sequence(prompt, completion, decision, advantage):
    return {"prompt_ids": prompt, "completion_ids": completion, "decision": decision, "advantage": advantage}


def test_targets_and_weights_by_hand():
    batch = Collator(max_length=99)(
        [sequence([7, 8], [1, 2, 3], [True, False, True], 1.5), sequence([7, 8], [4], [False], -0.5)]
    )
    (row,) = batch["rows"]
    # Row: 7 8 | 1 2 3 | 4. Token 1 is predicted at place 1, token 3 at place 3.
    assert row["input_ids"].tolist() == [[7, 8, 1, 2, 3, 4]]
    assert row["decision_index"].tolist() == [1, 3]
    assert row["decision_target"].tolist() == [1, 3]
    assert row["decision_weight"].tolist() == [0.5, 0.5]
    assert row["decision_advantage"].tolist() == [1.5, 1.5]
    # Anchors of the first sequence: tokens 8 and 2, at places 0 and 2, a half each.
    # Of the second: tokens 8 and 4, at places 0 and 1, a half each. Place 0 serves both.
    assert row["anchor_index"].tolist() == [0, 1, 2]
    assert row["anchor_weight"].tolist() == [1.0, 0.5, 0.5]
    assert row["layout"] == [[2, 3, 1]]


def test_targets_of_a_second_stem_lie_behind_the_first():
    (row,) = Collator(max_length=99)([sequence([7, 8], [1], [True], 1.0), sequence([9], [5, 6], [False, True], -1.0)])[
        "rows"
    ]
    # Row: 7 8 | 1 || 9 | 5 6. Token 6 is predicted at place 4; 8 at 0, 5 at 3 are anchors.
    assert row["input_ids"].tolist() == [[7, 8, 1, 9, 5, 6]]
    assert row["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2]]
    assert row["layout"] == [[2, 1], [1, 2]]
    assert row["decision_index"].tolist() == [1, 4]
    assert row["decision_target"].tolist() == [1, 6]
    assert row["anchor_index"].tolist() == [0, 3]
    assert row["anchor_weight"].tolist() == [1.0, 1.0]


def test_sequences_are_cut_on_the_right():
    batch = Collator(max_length=3)([sequence([7, 8], [1, 2], [True, True], 1.0)])
    (row,) = batch["rows"]
    assert row["input_ids"].tolist() == [[7, 8, 1]]
    assert row["decision_target"].tolist() == [1]
    assert row["layout"] == [[2, 1]]


@given(groups=st.lists(st.integers(1, 9), min_size=1, max_size=8), seed=st.integers(0, 99), shuffled=st.randoms())
def test_order_keeps_runs_together_and_loses_nothing(groups, seed, shuffled):
    prompts = [[number] for number, size in enumerate(groups) for _ in range(size)]
    shuffled.shuffle(prompts)
    order = group_order(prompts, [shuffled.choice([-1.0, 1.0]) for _ in prompts], seed)
    assert sorted(order) == list(range(len(prompts)))
    changes = np.count_nonzero(np.diff([prompts[i][0] for i in order]))
    assert changes < sum(-(-size // RUN) for size in groups)


def test_a_run_has_its_share_of_right_and_wrong():
    # Two of eight are right: advantages sqrt(3) and -1 / sqrt(3). One and three of them sum to zero.
    right = {1, 2}
    advantages = [3**0.5 if n in right else -(3**-0.5) for n in range(8)]
    order = group_order([[7]] * 8, advantages, 0)
    for run in (order[:4], order[4:]):
        assert sum(advantages[n] for n in run) == pytest.approx(0)
    # Six sequences are two runs of three, not four and two.
    advantages = [1.0, -1.0] * 3
    order = group_order([[7]] * 6, advantages, 0)
    assert sorted(sum(advantages[n] for n in run) for run in (order[:3], order[3:])) == [-1, 1]
