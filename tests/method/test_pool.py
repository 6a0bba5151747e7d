"""Warnings about pools, with the numbers they must name."""

import pytest

from reasonmaxxer.method.pool import Pool, pool_warnings


def pool(**changes):
    values = {"problems": 80, "mixed": 16, "solved": 0, "pass_rate": 0.3, "truncated": 0.0}
    return Pool(**{**values, "unparsed": 0.0, **changes})


def test_a_good_pool_is_passed_in_silence():
    assert pool_warnings(pool(mixed=40), 80, 40, 120) == []


def test_too_few_mixed_problems_name_the_pool_that_would_do():
    (said,) = pool_warnings(pool(), 80, 40, 120)
    # 16 of 80 are mixed, so 40 need 200
    assert "Only 16 of 80" in said and "problems.train.limit=200" in said
    assert pool(problems=60, mixed=7).size_for(40) == 350  # 342.9, in tens


def test_the_first_shard_speaks_for_the_pool():
    assert pool_warnings(pool(problems=20, mixed=10), 80, 40, 120) == []
    (said,) = pool_warnings(pool(problems=20, mixed=5), 80, 40, 120)
    # 5 of 20 are mixed: 20 of 80, and 40 need 160
    assert "about 20 of all 80" in said and "problems.train.limit=160" in said
    (said,) = pool_warnings(pool(problems=20, mixed=0), 80, 40, 120)
    assert "more than 800" in said


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"pass_rate": 0.03}, "Easier problems"),
        ({"solved": 41, "pass_rate": 0.8}, "harder problems"),
        ({"pass_rate": 0.3}, "More rollouts each"),
    ],
)
def test_the_advice_points_to_the_edge_of_competence(changes, advice):
    (said,) = pool_warnings(pool(**changes), 80, 40, 120)
    assert advice in said


def test_cut_and_unread_rollouts_are_named():
    cut, unread = pool_warnings(pool(mixed=40, truncated=0.42, unparsed=0.2), 80, 40, 120)
    assert "42%" in cut and "rollouts.max_new_tokens = 120" in cut
    assert "20%" in unread and "verify.extraction" in unread
