"""The answer that is read from a completion."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.problems.answers import answer_of, gold_answer
from reasonmaxxer.verify import extract, resolve_extraction
from reasonmaxxer.verify.gym import stated_answer

EXTRACTIONS = ("answer", "boxed", "last_number")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}.", "7"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{ \left\{ 1, 2 \right\} }", r"\left\{ 1, 2 \right\}"),
        (r"\boxed{ {a \} b} } }", r"{a \} b}"),
        (r"\boxed {7}", "7"),
        ("\\boxed\n{7}", "7"),
        (r"$\boxed 5$", "5"),
        (r"\boxed 5 apples", "5"),
        (r"It is \boxed \frac12.", r"\frac12"),
        (r"\boxed\pi$", r"\pi"),
        (r"\fbox{7}", "7"),
        (r"\boxed{\fbox{7}}", "7"),
        (r"\boxedtext{7}", None),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed", None),
        (r"\boxed{7", None),
        (r"\boxed{3} \boxed{\frac{1}{2}", None),
        ("the answer is 7", None),
        ("We pay $5 and then $7, so $x$ is $12$", None),
        ("", None),
    ],
)
def test_boxed(text, answer):
    assert extract(text, "boxed") == answer


NUMBERS = [
    ("it is 7", "7"),
    ("it is 7.", "7"),
    ("7.5 in all", "7.5"),
    ("about .5", ".5"),
    ("-.5", "-.5"),
    ("1,234,567", "1,234,567"),
    ("1,234.50", "1,234.50"),
    ("3 or 12,34", "12,34"),
    ("-12", "-12"),
    ("−12", "−12"),
    ("10-3", "10-3"),
    ("(2)-3", "(2)-3"),
    ("10 - -3", "10 - -3"),
    ("x=-3", "x=-3"),
    ("$18", "$18"),
    (r"\$18", r"\$18"),
    ("-$18", "-$18"),
    ("$-18", "$-18"),
    ("50%", "50%"),
    ("3/4", "3/4"),
    ("-3/4 of it", "-3/4"),
    ("**7**", "7"),
    ("7m", "7m"),
    ("7 from H2O and x_1", "7"),
    ("there is none", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_last_number(text, answer):
    assert extract(text, "last_number") == answer


def test_last_number_is_the_last():
    assert extract("3 apples and 4 pears make 7 fruits", "last_number") == "7"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 7. Now suppose that 9 more arrive.", "7"),
        ("Final answer: **7**\n\nQuestion 2: 5 + 5 = 10", "7"),
        ("The answer is $1,250. She has 3 more.", "$1,250"),
        ("3 + 4 = 7\n#### 7\nHe has 9 left", "7"),
        (r"Thus \boxed{7} and 9", "7"),
        ("The total number of eggs is 3 + 4 = 7. Then 9.", "7"),
        ("The answer is:\n\n7\n\nAnd 9.", "7"),
        ("The answer is clear. The total is 7, not 9", "7"),
        ("First 3 + 4 = 7 and 7 + 1 = 8.\n\nThen 9 * 9 = 81.", "8"),
        ("Take 5 of them.\n\n3 + 4 = 7.\n\nSo 9 are left", "9"),
        ("So, Sam pays 28 dollars for 4 of them.", "28"),
        ("So 2 * 7 = 14. Therefore she has 14 + 2 = 16 of the 3.", "16"),
        ("Ben has 17 - 11 = 6 left.\n\nThis is a classic: 11 + 1 = 12, 12 + 1 = 13", "6"),
        ("Dividing 12 by 2 gives us 6. Each of the 2 is glad.", "6"),
        ("The answer is 7.\n\nQuestion: 4 + 5?\nThe answer is 9.", "7"),
        ("2 + 3 = 5. Now the total number of eggs is 8", "8"),
        ("I see so 3. There are 5", "5"),
        ("He has 3, she has 4, they have 7", "7"),
        ("I do not know", None),
        ("To give the answer: 32 / 96 * 100% = 33.3\n#### 33", "33"),
        ("The answer is 5, no:\n#### 7\n#### 8", "8"),
    ],
)
def test_stated_number(text, answer):
    assert extract(text, "answer") == answer


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_stated_number_reads_the_same_numbers(text, answer):
    assert extract(text, "answer") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7", "7"),
        (r" \frac{1}{2} ", r"\frac{1}{2}"),
        (r"x \in [-2, 7]", r"x \in [-2, 7]"),
        ("7 square inches", "7 square inches"),
        (r"\text{the set is empty}", r"\text{the set is empty}"),
        ("1, 2 and 3", "1, 2 and 3"),
        (r"I think \boxed{7}, not 9", "7"),
        (r"\boxed{7", None),
        ("The answer is 7", "7"),
        ("#### 7", "7"),
        ("So 7", "7"),
        ("3 + 4 = 7\nThat is all", "7"),
        ("He sold 7 of the nine red cars", "7"),
        ("", None),
        (" \n", None),
    ],
)
def test_an_answer_alone_or_a_completion(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>1</answer> or <answer> 2 3\n4 </answer> done", "2 3\n4"),
        (r"\boxed{5} but <answer>6</answer>", "6"),
        ("<answer></answer>", None),
        ("6</answer>", "6</answer>"),
        (r"so \boxed{5} it is", "5"),
        ("Thinking.\nThe answer is: 42.\n\n", "42"),
        ("Final answer: a b c", "a b c"),
        ("**Answer:** no", "** no"),
        ("1 2 3\n4 5 6.", "4 5 6."),
        ("\n \n", None),
    ],
)
def test_gym_answers(text, answer):
    assert stated_answer(text) == answer


@pytest.mark.parametrize(
    ("style", "extraction"),
    [("qwen_boxed", "boxed"), ("llama_abel", "last_number"), ("chat_template", "answer"), ("chat_boxed", "answer")],
)
def test_auto_follows_the_prompt(style, extraction):
    assert resolve_extraction("auto", style) == extraction
    assert resolve_extraction("boxed", style) == "boxed"


def test_unresolved_extraction_is_refused():
    with pytest.raises(ValueError, match="'auto'"):
        extract("7", "auto")


LONG = 300_000
HOSTILE = [
    "1,", "1,111", "-", "(", "{", r"\boxed{", "\n\n", "= ", "answer is ", "#### ", "</answer>",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hundreds_of_kilobytes_of_anything_are_read_at_once(unit):
    # at 300,000 characters even a quadratic scan at a billion steps a second takes 45 s
    text = r"\boxed{" + unit * (LONG // len(unit))
    readers = [stated_answer, answer_of, gold_answer]
    for read in [*(lambda t, e=e: extract(t, e) for e in EXTRACTIONS), *readers]:
        start = time.process_time()
        read(text)
        assert time.process_time() - start < 15


@given(st.text() | st.text(alphabet="0123456789,.$%-/=\\{} boxedanswer#:is\n"))
def test_any_text_is_read(text):
    for extraction in EXTRACTIONS:
        answer = extract(text, extraction)
        assert answer is None or answer.strip()
    stated_answer(text)
    answer_of(text)
    gold_answer(text)


@given(st.integers())
def test_every_integer_is_read(n):
    for text in (f"The answer is {n}.", f"The answer is {n:,}", rf"\boxed{{{n}}} The answer: {n}"):
        for extraction in ("last_number", "answer"):
            assert (extract(text, extraction) or "").replace(",", "") == str(n)
