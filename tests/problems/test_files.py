import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.problems.rows import extract_answer


def load(path, **fields):
    return load_problems(SourceConfig(source=str(path), **fields), 0, "problems.train")


@pytest.fixture
def jsonl(tmp_path):
    def write(*rows, name="data.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("text", ["problem", "question", "prompt", "text", "input", "Question"])
@pytest.mark.parametrize(
    "answer", ["answer", "target", "gold", "final_answer", "expected_answer", "Answer"]
)
def test_usual_columns(jsonl, text, answer):
    assert load(jsonl({text: "1+1?", answer: "2"})) == [
        Problem("data/0", "1+1?", "2", "data", "math", {})
    ]


@pytest.mark.parametrize("column", ["id", "problem_id", "unique_id"])
def test_usual_id_columns(jsonl, column):
    path = jsonl(
        {column: "aime/7", "text": "1+1?", "answer": 2}, {column: 8, "text": "?", "answer": 3}
    )
    assert [p.id for p in load(path)] == ["aime/7", "8"]


def test_explicit_columns_win(jsonl):
    path = jsonl({"question": "q", "problem": "p", "answer": "1", "key": "2", "id": "i", "no": 5})
    (usual,) = load(path)
    assert (usual.id, usual.text, usual.answer) == ("i", "p", "1")
    (chosen,) = load(path, text_column="question", answer_column="key", id_column="no")
    assert (chosen.id, chosen.text, chosen.answer) == ("5", "q", "2")
    assert chosen.metadata == {"problem": "p", "answer": "1", "id": "i"}


def test_scalars_become_metadata_and_the_subject_the_domain(jsonl):
    row = {"problem": "p", "answer": "1", "subject": "Algebra", "level": 5, "steps": [1], "x": None}
    first, second = load(jsonl({**row, "hard": True, "share": 0.5}, {**row, "subject": None}))
    assert first.domain == "Algebra"
    assert first.metadata == {"subject": "Algebra", "level": 5, "hard": True, "share": 0.5}
    assert second.domain == "data"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Half of 48 is <<48/2=24>>24.\n#### 24", "24"),
        ("so\n#### 1,234,567\n", "1234567"),
        ("#### -$1,000.50 or 70,000", "-$1000.50 or 70000"),
        ("#### (1,2)", "(1,2)"),
        ("#### (100,200)", "(100,200)"),
        ("#### 1,2,3", "1,2,3"),
        ("#### 1,200,30", "1,200,30"),
        ("#### 3 is not it\n#### -4", "-4"),
        (r"Thus \boxed{1} or rather \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\left\{ {a}, b \right\}} ends", r"\left\{ {a}, b \right\}"),
        (r"\boxed{3}, not \boxed{4", "3"),
        ("plain 7", None),
        ("### 7", None),
        (r"hence $\boxed 72$.", "72"),
        (r"\boxed{a\\}", "a\\\\"),  # a line break, then the closing brace
        (r"\boxedtext", None),
    ],
)
def test_extract_answer(text, answer):
    assert extract_answer(text) == answer


def test_solution_is_read_only_where_there_is_no_answer(jsonl):
    solution = r"We get $\boxed{\frac{3}{4}}$."
    (with_answer,) = load(jsonl({"problem": "p", "solution": solution, "answer": "0.75"}))
    assert with_answer.answer == "0.75"
    assert with_answer.metadata == {"solution": solution}
    (without,) = load(jsonl({"problem": "p", "solution": solution}))
    assert without.answer == r"\frac{3}{4}"


def test_solution_without_a_mark(jsonl):
    path = jsonl({"problem": "p", "solution": "It is 4."})
    with pytest.raises(UserError, match=r"problems\.train: row 0 .*answer_column"):
        load(path)
    assert load(path, answer_column="solution")[0].answer == "It is 4."


def test_numbers_become_text(jsonl):
    path = jsonl(*({"problem": "p", "answer": a} for a in (42, -1.5, 0)))
    assert [p.answer for p in load(path)] == ["42", "-1.5", "0"]


def test_json_array_and_lines(jsonl, tmp_path):
    rows = [{"problem": "p", "answer": "1"}, {"problem": "q", "answer": "2"}]
    array = tmp_path / "array.json"
    array.write_text(json.dumps(rows, indent=1))
    assert [p.id for p in load(array)] == ["array/0", "array/1"]
    assert [p.text for p in load(jsonl(*rows, name="lines.json"))] == ["p", "q"]


def test_text_with_unicode_line_separator_and_byte_order_mark(tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('\ufeff{"problem": "a\u2028b", "answer": "1"}\r\n\n', encoding="utf-8")
    assert [p.text for p in load(path)] == ["a\u2028b"]


def test_parquet_reads_as_json_lines_do(jsonl, tmp_path):
    rows = [
        {"question": f"What is {n}+1?", "answer": n + 1, "level": n, "tags": ["x"]}
        for n in range(5)
    ]
    path = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    made = load(path)
    assert made == load(jsonl(*rows))
    assert made[3] == Problem("data/3", "What is 3+1?", "4", "data", "math", {"level": 3})


def test_relative_path_is_of_the_working_directory(jsonl, monkeypatch):
    path = jsonl({"problem": "p", "answer": "1"})
    monkeypatch.chdir(path.parent)
    assert load("data.jsonl") == load(path)


GOOD = {"problem": "p", "answer": "1"}


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (['{"problem": "p",'], {}, r"data\.jsonl, line 1 is not valid JSON"),
        ([GOOD, "", "oops"], {}, r"data\.jsonl, line 3 is not valid JSON"),
        ([GOOD, "[1]"], {}, r"data\.jsonl, line 2 must be a JSON object, not a list"),
        ([""], {}, r"has no rows"),
        ([{"q": "p", "answer": "1"}], {}, r"text_column must be set: .*'q', 'answer'"),
        ([{"problem": "p", "key": "1"}], {}, r"answer_column must be set: .*'problem', 'key'"),
        ([GOOD], {"text_column": "problm"}, r"text_column 'problm' .*'answer'\. Did you mean 'pro"),
        ([GOOD], {"id_column": "nr"}, r"id_column 'nr' is not a column; there are 'problem'"),
        ([GOOD, {"problem": " ", "answer": "1"}], {}, r"row 1 .*'problem' but ' '"),
        ([GOOD, {"problem": "p"}], {}, r"row 1 .*'answer' but None"),
        ([GOOD, {"problem": "p", "answer": ["1"]}], {}, r"row 1 .*'answer' but \['1'\]"),
        ([GOOD, '{"problem": "p", "answer": NaN}'], {}, r"row 1 .*'answer' but nan"),
        ([{"problem": "p", "answer": "####"}], {}, r"row 0 .*empty answer"),
        ([GOOD], {"options": {"x": 1}}, r"problems\.train\.options are for reasoning-gym"),
    ],
)
def test_bad_input_is_named(jsonl, rows, fields, message):
    with pytest.raises(UserError, match=message):
        load(jsonl(*rows), **fields)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(UserError, match=r"problems\.train\.source: there is no file .*none\.jsonl"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(UserError, match=r"text\.parquet is not a Parquet file"):
        load(tmp_path / "text.parquet")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "\xe9"}')
    with pytest.raises(UserError, match=r"latin\.jsonl is not UTF-8"):
        load(tmp_path / "latin.jsonl")
