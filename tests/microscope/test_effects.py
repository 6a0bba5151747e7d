"""What interventions show, on outputs made by hand."""

import pyarrow as pa
import pytest

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.config.policies import SEARCH
from reasonmaxxer.microscope.diff import positions_table
from reasonmaxxer.microscope.effects import Effects
from reasonmaxxer.microscope.interventions import DEFAULT, EDITS, Outputs, policies_of, reference_of
from reasonmaxxer.microscope.policies import parse_policy
from tests.microscope.test_summary import rollout, scores

CONFIG = MicroscopeConfig(bootstrap=200)


def answers(*outcomes, ids=(4, 5, 6, 7)):
    return [rollout(f"p{i}", ids, "correct" if right else "wrong") for i, right in enumerate(outcomes)]


BASE = answers(0, 0, 1, 0)
TUNED = answers(1, 1, 1, 0, ids=(4, 5, 8))


def outputs(text, rollouts, edits, passes=None):
    rows = [
        {
            "problem_id": problem, "position": t, "host_id": 5, "emitted_id": token,
            "base_entropy": 1.0, "changed": token != 5,
        }
        for problem, t, token in edits
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=EDITS)
    return Outputs(parse_policy(text), rollouts, table, passes or [5] * len(rollouts))


def test_a_row_by_hand():
    made = outputs(
        "gated:tau=1.2",
        [*TUNED[:1], *answers(0, 1, 1)[0:1], *answers(0, 0, 0, 1)[2:]],
        [("p0", 1, 9), ("p0", 2, 5), ("p3", 0, 9)],
    )
    made.rollouts[1] = BASE[1]
    row = Effects(BASE, TUNED, CONFIG).policy_row(made)
    assert row["accuracy"]["value"] == 2 / 4  # p0 and p3
    assert (row["minus_base"]["gained"], row["minus_base"]["lost"]) == (2, 1)
    assert (row["minus_tuned"]["gained"], row["minus_tuned"]["lost"]) == (1, 2)
    tokens = 3 + 4 + 4 + 4
    assert row["touched_share"]["value"] == pytest.approx(3 / tokens)
    assert row["changed_share"]["value"] == pytest.approx(2 / tokens)
    assert row["edits_per_problem"] == 2 / 4
    assert row["identical_share"] == 1 / 4
    assert row["passes_per_token"] == 20 / tokens
    assert (row["budget"], row["direction"], row["by_construction"]) == (
        "tau=1.2", "forward", False,
    )  # fmt: skip


def test_dose_runs_from_nothing_to_everything():
    found = Effects(BASE, TUNED, CONFIG).summary(
        [
            outputs("oracle:first=2", answers(1, 0, 1, 0), [("p0", 1, 9), ("p0", 2, 9)]),
            outputs("oracle", TUNED, [("p0", 1, 9)] * 8),
            outputs("oracle:first=1", answers(0, 0, 1, 1), [("p3", 1, 9)]),
            outputs("reverse-oracle:share=0.5", answers(0, 1, 0, 0), []),
        ]
    )
    forward, reverse = found["dose"]
    assert (forward["kind"], forward["direction"]) == ("first", "forward")
    assert [p["budget"] for p in forward["points"]] == [0.0, 1.0, 2.0, "all"]
    assert [p["accuracy"]["value"] for p in forward["points"]] == [0.25, 0.5, 0.5, 0.75]
    assert [p["edits_per_problem"] for p in forward["points"]] == [0, 0.25, 0.5, 2]
    assert [p["accuracy"]["value"] for p in reverse["points"]] == [0.75, 0.25]
    assert [row["name"] for row in found["rows"][:2]] == ["base", "tuned"]


def test_reference_of_a_donors_answers():
    text = scores(kind_N=[0, 1, 1, 2], base_entropy_N=[0.9, 0.5, 2.2, 0.9], jsd_N=[0.0, 0.3, 0.1, 0.2])
    quiet = scores(kind_N=[0, 0], base_entropy_N=[0.45, 0.9], jsd_N=[0, 0])
    found = reference_of(positions_table([rollout("a", [4] * 4), rollout("b", [4] * 2)], [text, quiet]))
    assert found.entropies["a"] == pytest.approx([2.2, 0.9, 0.5])
    assert found.divergences["a"] == pytest.approx([0.3, 0.2, 0.1])
    assert found.entropies["b"] == []
    by_bin = {i: share for i, share in enumerate(found.edited_by_bin) if share}
    # bins (0.4, 0.6], (0.8, 1.0] and (2.0, 2.5]: one of two, one of three, all
    assert by_bin == pytest.approx({4: 1 / 2, 6: 1 / 3, 11: 1.0})


def test_the_default_policies_are_understood_and_each_asked_once():
    *default, search = DEFAULT
    policies = policies_of(default)
    assert search == SEARCH
    assert len({policy.spelling for policy in policies}) == len(policies) > 20
    assert [p.spelling for p in policies_of(["second", "random", "second"])] == [
        "second", "random",
    ]  # fmt: skip
