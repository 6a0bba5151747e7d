"""What is read back from a run directory."""

import numpy as np
import pytest

from reasonmaxxer.report.results import PoolProblem, read_results
from tests.report.made import GATES, HOSTILE, make_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "run"
    make_run(path, texts={"e0": HOSTILE})
    return read_results(path)


def test_the_pool_knows_what_was_kept(results):
    assert results.pool == [
        PoolProblem("t0", 0, 4, False), PoolProblem("t1", 2, 4, True), PoolProblem("t2", 1, 4, True),
        PoolProblem("t3", 4, 4, False),
    ]  # fmt: skip


def test_the_gate_that_validation_chose(results):
    assert results.gates == GATES and results.chosen_gate == 1
    tried = {checkpoint: (e["value"], e["n"]) for checkpoint, e in results.validation.items()}
    assert tried == {(0, 2): (0.5, 2), (0, 4): (0.5, 2), (1, 2): (0.5, 2), (1, 4): (1.0, 2)}


def test_entropy_of_every_token_that_teaches(results):
    np.testing.assert_allclose(results.entropy, [0.1, 0.5, 2.0] * 8, rtol=1e-6)


def test_both_answers_to_each_test_problem(results):
    changes = {c.problem_id: c.kind for c in results.examples}
    assert changes == {"e0": "gained", "e1": "lost", "e2": "both", "e3": "neither", "e4": "gained"}
    first = results.examples[0]
    assert (first.text, first.gold, first.answers[0].text) == ("What is e0?", "7", "so 7")
    assert first.answers[1].text == HOSTILE and first.answers[1].extracted == "7"
    assert not first.answers[1].truncated
