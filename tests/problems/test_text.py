from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.problems.text import normalise, split_of, text_hash


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("How  MANY\n books?", "how many books"),
        ("She said: 'Two, please!' ", "she said two please"),
        ("Pay 1,000 or 1.5.", "pay 1,000 or 1.5"),
        ("x^{2} + 3*y = -4/5;", "x^{2} + 3*y = -4/5"),
        (r"Find \frac{1}{2}.", r"find \frac{1}{2}"),
        ("STRASSE Straße", "strasse strasse"),
        ("ﬁve\u00a0１２", "five 12"),  # ligature, no-break space, full-width digits
        ("one , two ...", "one two"),
        ("“Janet’s” ducks", "janet’s ducks"),
        (".5 is a half", ".5 is a half"),
    ],
)
def test_normalise(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("one", "other"), [("2 + 3", "2 - 3"), ("1.5", "15"), ("-4", "4"), ("{2}", "2"), ("a b", "ab")]
)
def test_what_tells_mathematics_apart_stays(one, other):
    assert normalise(one) != normalise(other)


@settings(deadline=None)
@given(st.text(), st.sampled_from([" ", "\n", "  "]))
def test_spacing_never_matters(text, space):
    assert normalise(space + text + space) == normalise(text) == " ".join(normalise(text).split())


def test_hash_is_sha256_of_the_normal_text():
    # sha256sum of "how many books", from coreutils.
    assert text_hash("How many books?") == "468458c1d412ba410e8b3c36b5e6330ad57c86d8ec5f36e26cf56f573cda015a"


def test_split_goes_by_normal_text_in_tenths():
    counts = Counter(split_of(f"What is {n} plus one?") for n in range(10_000))
    assert counts["train"] == pytest.approx(8_000, abs=160)
    assert counts["validation"] == pytest.approx(1_000, abs=120)
    assert counts["test"] == pytest.approx(1_000, abs=120)
    for n in range(50):
        assert split_of(f"What is {n} plus one?") == split_of(f" what IS {n}\tplus one")
