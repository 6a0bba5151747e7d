import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.problems import Problem, problems_from_table, problems_table
from reasonmaxxer.problems.table import SCHEMA

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
problems = st.builds(
    Problem,
    id=st.text(),
    text=st.text(),
    answer=st.text(),
    domain=st.text(),
    verifier=st.sampled_from(["math", "reasoning_gym"]),
    metadata=st.dictionaries(st.text(max_size=8), json_values, max_size=3),
)


@settings(deadline=None)
@given(st.lists(problems, max_size=4))
def test_round_trip(made):
    table = problems_table(made)
    assert table.schema == SCHEMA
    assert problems_from_table(table) == made


def test_columns_are_as_documented():
    problem = Problem("a/1", "Wie heißt 1+1?", "2", "sums", metadata={"z": 1, "a": "ß"})
    table = problems_table([problem])
    assert table.to_pylist() == [
        {
            "id": "a/1",
            "text": "Wie heißt 1+1?",
            "answer": "2",
            "domain": "sums",
            "verifier": "math",
            "metadata": '{"a": "ß", "z": 1}',
        }
    ]
    assert all(field.type == pa.string() and not field.nullable for field in table.schema)


def test_a_table_with_more_columns_reads_the_same():
    made = [Problem("1", "t", "a", "d")]
    table = problems_table(made).append_column("note", pa.array(["x"]))
    assert problems_from_table(table) == made


def test_nan_in_metadata_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        problems_table([Problem("1", "t", "a", "d", metadata={"x": float("nan")})])
