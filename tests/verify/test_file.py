"""`reasonmaxxer grade`: a file of answers graded, and what it says of bad ones."""

import json
import subprocess
import sys

import pytest

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.verify.file import grade_file, read_rows

ROWS = [
    {"gold": "\\frac12", "prediction": "0.5", "note": "kept"},
    {"gold": 72, "prediction": "The answer is 72. Then 9 more."},
    {"gold": "She has 48 + 24.\n#### 72", "prediction": "72 clips", "benchmark": "gsm8k"},
    {"gold": "2.5", "prediction": "So \\boxed{2.51}.", "benchmark": "minerva"},
    {"gold": "2.5", "prediction": "So \\boxed{2.6}.", "benchmark": "minerva"},
    {"gold": "2x", "prediction": "\\boxed{x+x}"},
    {"gold": "(1,2)", "prediction": "12"},
    {"gold": "7", "prediction": ""},
    {"gold": "((", "prediction": "\\sqrt{x}"},
    {"gold": "2x", "prediction": "9^{9^{9^{9}}}"},
]
OUTCOMES = [*["correct"] * 4, "wrong", "correct", "wrong", "unparsed", "error", "timeout"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grade") / "rows.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    path.write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n", encoding="utf-8")
    return path


def test_rows_keep_what_they_hold_and_gain_an_outcome(file, tmp_path):
    seen = []
    config = VerifyConfig(timeout=2, workers=1)
    graded = grade_file(read_rows(file), tmp_path / "out.jsonl", config, seen.append)
    written = [json.loads(line) for line in graded.out.read_text(encoding="utf-8").splitlines()]
    assert [row["outcome"] for row in written] == OUTCOMES
    assert [{k: row[k] for k in before} for row, before in zip(written, ROWS, strict=True)] == ROWS
    assert [written[i]["extracted"] for i in (0, 1, 2, 3, 7)] == ["0.5", "72", "72 clips", "2.51", None]
    assert "does not parse" in written[8]["detail"] and "detail" not in written[0]
    assert graded.outcomes["minerva"] == {"correct": 1, "wrong": 1}
    assert graded.outcomes["gsm8k"] == {"correct": 1}
    assert (graded.rows, sum(seen)) == (10, 10)
    assert [problem.id for problem, _ in graded.failed] == [f"{file}, line 10"]


def test_hostile_rows_come_back(tmp_path):
    rows = [("\ud800", "\ud800\x1b[2J"), ("9" * 5000, "9" * 10**5), ("5", "{" * 10**6), ("\0", "π")]
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"gold": gold, "prediction": text}) for gold, text in rows]
    path.write_text("\n".join(lines))
    graded = grade_file(read_rows(path), tmp_path / "out.jsonl", VerifyConfig(timeout=10, workers=1))
    written = [json.loads(line) for line in graded.out.read_text(encoding="utf-8").splitlines()]
    assert [(row["gold"], row["prediction"]) for row in written] == rows
    assert "correct" not in {row["outcome"] for row in written}


def test_extraction_can_be_set(file, tmp_path):
    config = VerifyConfig(extraction="boxed", workers=1)
    graded = grade_file(read_rows(file)[:2], tmp_path / "out.jsonl", config)
    assert graded.outcomes == {"": {"unparsed": 2}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[" * 10**5, "line 2 is not valid JSON"),
        ('{"gold": 1' + "0" * 5000 + "}", "line 2 is not valid JSON"),
        ("[]", "line 2 must be a JSON object, not a list"),
        ('{"gold": "1"}', "line 2: 'prediction' is missing (there are gold); give it as text"),
        ('{"gold": null, "prediction": ""}', "line 2: 'gold' is 'None'; give it as text"),
        ('{"gold": NaN, "prediction": NaN}', "line 2: 'gold' is 'nan'; give it as text"),
        ('{"gold": " ", "prediction": ""}', "line 2: 'gold' is empty; fill it or drop the row"),
        ('{"gold": "1", "prediction": true}', "line 2: 'prediction' is 'True'"),
        ('{"gold": "1", "prediction": "", "benchmark": "minevra"}', "Did you mean 'minerva'?"),
        ('{"gold": "1", "prediction": "", "benchmark": []}', "line 2: 'benchmark' [] has no conventions"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, message):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"gold": "1", "prediction": "1"}\n' + line)
    with pytest.raises(UserError) as error:
        read_rows(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_bad_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no file"):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has no rows"):
        read_rows(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"gold": "\xe9"}')
    with pytest.raises(UserError, match="line 1 is not valid JSON: 'utf-8' codec can't decode"):
        read_rows(tmp_path / "latin.jsonl")


def grade(*arguments):
    command = [sys.executable, "-m", "reasonmaxxer", "grade", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command(file):
    done = grade(file, "timeout=2", "workers=1")
    assert done.returncode == 0, done.stderr
    for words in ("minerva", "unparsed", "a second", "could not be graded"):
        assert words in done.stdout
    out = file.with_name("rows.graded.jsonl")
    assert str(out) in done.stdout.replace("\n", "")
    assert len(out.read_text().splitlines()) == len(ROWS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "{file}"], "is the file that is read"),
        (["extraction=last"], "'extraction' = 'last'"),
        (["function=a.py:f"], "leave function out"),
    ],
)
def test_command_refuses(file, options, message):
    done = grade(file, *(option.format(file=file) for option in options))
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
