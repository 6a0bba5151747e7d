"""What screening would have saved, counted by hand."""

from screening import screened

RIGHT, WRONG = True, False


def group(*rights):
    return [(right, 10 + i) for i, right in enumerate(rights)]


def test_what_a_mixed_problem_would_have_taken():
    groups = [
        group(RIGHT, WRONG, WRONG, WRONG),  # goes on after two
        group(WRONG, WRONG, RIGHT, WRONG),  # mixed, but not in its first two
        group(RIGHT, RIGHT, RIGHT, RIGHT),
        group(WRONG, WRONG, WRONG, WRONG),
    ]
    # four rollouts of the first and two of each other: 10 for one; tokens 46 and 3 x 21
    assert screened(groups, 2) == (0.25, 10.0, 46 + 63, 0.25)
    assert screened(groups, 3) == (0.5, (8 + 6) / 2, (2 * 46 + 2 * 33) / 2, 0.25)
    assert screened(groups, 4) == (0.5, 8.0, 92.0, 0.25)  # everything is sampled
