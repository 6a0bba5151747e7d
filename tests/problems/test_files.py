import datetime
import gzip
import json
from decimal import Decimal

import numpy as np
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
@pytest.mark.parametrize("answer", ["answer", "target", "gold", "final_answer", "expected_answer", "Answer"])
def test_usual_columns(jsonl, text, answer):
    assert load(jsonl({text: "1+1?", answer: "2"})) == [Problem("data/0", "1+1?", "2", "data", "math", {})]


@pytest.mark.parametrize("column", ["id", "problem_id", "unique_id"])
def test_usual_id_columns(jsonl, column):
    path = jsonl({column: "aime/7", "text": "1+1?", "answer": 2}, {column: 8, "text": "?", "answer": 3})
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


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ('["34"]', "34"),
        (r'["\\frac{1}{2}"]', r"\frac{1}{2}"),
        (r'["\frac{1}{2}"]', r'["\frac{1}{2}"]'),  # in JSON a form feed and "rac"
        ('["3", "4"]', '["3", "4"]'),
        ("[34]", "[34]"),
        ('["3', '["3'),
        ('["a"], ["b"]', '["a"], ["b"]'),
    ],
)
def test_an_answer_may_be_a_json_list_of_one_written_as_text(jsonl, written, answer):
    assert load(jsonl({"problem": "p", "answer": written}))[0].answer == answer


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
    rows = [{"question": f"What is {n}+1?", "answer": n + 1, "level": n, "tags": ["x"]} for n in range(5)]
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
SYSTEM = {"role": "system", "content": "Think."}
USER = {"role": "user", "content": "1+1?"}


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
        ([GOOD, {"problem": "p", "answer": ["1", "2"]}], {}, r"row 1 .*'answer' but \['1', '2'\]"),
        ([GOOD, {"problem": "p", "answer": []}], {}, r"row 1 .*'answer' but \[\]"),
        ([GOOD, '{"problem": "p", "answer": 1e999}'], {}, r"row 1 .*'answer' but inf"),
        ([{**GOOD, "problem": [SYSTEM, USER]}], {}, r"row 0 .*'problem' but .*one user message"),
        ([{**GOOD, "problem": [SYSTEM]}], {}, r"row 0 .*'problem' but .*one user message"),
        ([GOOD, '{"problem": "p", "answer": ' + "1" * 5000 + "}"], {}, "line 2 .*numbers as text"),
        (['{"problem": "\\ud800", "answer": "1"}'], {}, "line 1 .*surrogates not allowed"),
        (["[" * 100_000], {}, "line 1 is not valid JSON: maximum recursion"),
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
    with pytest.raises(UserError, match=r"text\.parquet is not a parquet file"):
        load(tmp_path / "text.parquet")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "\xe9"}')
    with pytest.raises(UserError, match=r"latin\.jsonl, line 1 .*'utf-8'"):
        load(tmp_path / "latin.jsonl")
    (tmp_path / "short.jsonl.gz").write_bytes(gzip.compress(b'{"problem": "p"}' * 99)[:-9])
    with pytest.raises(UserError, match=r"short\.jsonl\.gz cannot be read: Truncated"):
        load(tmp_path / "short.jsonl.gz")
    for text, message in (
        ("problem,answer\np,1,2", "line 2 has more fields than the header"),
        ('problem,answer\np,"1', "unexpected end of data"),
        (b"problem,answer\n\xe9,1", "can't decode byte 0xe9"),
        ("problem;answer\np;1", "none of the usual columns .*'problem;answer'"),
    ):
        (tmp_path / "wrong.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UserError, match=message):
            load(tmp_path / "wrong.csv")


def test_other_endings_compressed_or_in_the_home_folder(jsonl, tmp_path, monkeypatch):
    rows = [{"problem": f"{n}+1?", "answer": str(n + 1)} for n in range(3)]
    lines = jsonl(*rows)
    text = lines.read_bytes()
    expected = [(p.text, p.answer) for p in load(lines)]
    for name, content in (
        ("data.ndjson", text),
        ("data.jsonl.gz", gzip.compress(text)),
        ("array.json.gz", gzip.compress(b"\xef\xbb\xbf [" + b",".join(text.splitlines()) + b"]")),
        ("data.csv", b"\xef\xbb\xbfproblem,answer\r\n" + b"".join(
            b'"%d+1?",%d\r\n' % (n, n + 1) for n in range(3)
        )),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        found = load(tmp_path / name)
        assert [(p.text, p.answer) for p in found] == expected, name
        assert found[1].id == f"{name.partition('.')[0]}/1"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/data.csv") == load(tmp_path / "data.csv")


def test_a_csv_files_answers_stay_as_they_are_written(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('problem,answer,level\n"a ""b""\nc",007,3\nd,1.50,\n')
    assert load(path) == [
        Problem("data/0", 'a "b"\nc', "007", "data", metadata={"level": "3"}),
        Problem("data/1", "d", "1.50", "data", metadata={"level": ""}),
    ]


def test_lists_of_one_messages_and_verls_nested_answers(jsonl):
    verl = {
        "data_source": "x",
        "prompt": [USER],
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": {"index": 7, "split": "train"},
    }
    metadata = {"data_source": "x", "reward_model.style": "rule", "extra_info.index": 7, "extra_info.split": "train"}
    assert load(jsonl(verl)) == [Problem("data/0", "1+1?", "2", "data", metadata=metadata)]
    assert load(jsonl({**verl, "answer": ["3"], "solution": "4"}))[0].answer == "3"
    assert load(jsonl({"problem": ["p"], "answer": [42]}))[0].answer == "42"
    [named] = load(jsonl(verl), answer_column="extra_info.index", id_column="data_source")
    assert (named.answer, named.id) == ("7", "x")


def test_decimals_and_dates_are_text_and_bytes_are_refused(tmp_path):
    path = tmp_path / "data.parquet"
    day, hour = datetime.date(2026, 2, 1), datetime.datetime(2026, 2, 1, 9)
    row = {"problem": "p", "answer": Decimal("1.50"), "at": hour, "wait": hour - hour}
    pq.write_table(pa.Table.from_pylist([{**row, "due": [day]}]), path)
    [made] = load(path)
    assert (made.answer, made.metadata) == ("1.50", {"at": "2026-02-01T09:00:00"})
    assert load(path, answer_column="due")[0].answer == "2026-02-01"
    pq.write_table(pa.Table.from_pylist([{**row, "answer": b"1"}]), path)
    with pytest.raises(UserError, match=r"row 0 .*'answer' but b'1'; write one there"):
        load(path)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_short_floats_are_as_they_were_written(tmp_path, kind):
    path = tmp_path / "data.parquet"
    numbers = pa.array(np.array([0.1, 2.5], kind.to_pandas_dtype()), kind)
    pq.write_table(pa.table({"problem": ["p", "q"], "answer": numbers}), path)
    assert [problem.answer for problem in load(path)] == ["0.1", "2.5"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", "problem,answer,answer\np,1,2\n"),
        ("data.jsonl", '{"problem": "p", "answer": "1", "answer": "2"}\n'),
    ],
)
def test_an_answer_that_is_there_twice_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="twice: answer"):
        load(tmp_path / name)


def test_a_file_of_another_ending_is_no_hub_id(tmp_path):
    (tmp_path / "data.tsv").write_text("problem\tanswer\np\t1\n")
    with pytest.raises(UserError, match="no file of problems by its ending"):
        load(tmp_path / "data.tsv")
    (tmp_path / "DATA.JSONL").write_text('{"problem": "p", "answer": "1"}\n')
    assert load(tmp_path / "DATA.JSONL")[0].answer == "1"
