"""Pages of `overlap` and `distill`, drawn from figures made by hand."""

import json

import pyarrow as pa
import pytest
from rich.console import Console

from reasonmaxxer.artifacts import write_json, write_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.report import distill, overlap
from reasonmaxxer.report.page import Report, print_report, write_report

HOSTILE = "</script><script>alert(1)</script>"


def estimate(value, low=None, high=None, **more):
    low, high = value if low is None else low, value if high is None else high
    return {"value": value, "low": low, "high": high, **more}


def model(name):
    return {"name": name, "source": "folder", "dtype": "float32", "fingerprint": "ab"}


@pytest.fixture
def found():
    def measures(jaccard, same):
        return {"jaccard": estimate(*jaccard), "same_token_share": estimate(*same)}

    return {
        "schema": 1,
        "command": "overlap",
        "base": model("base"),
        "tuned": [model("ours"), model(HOSTILE)],
        "protocol": {"source": "word-problems", "split": "test", "confidence": 0.95},
        "problems": 3,
        "positions": 120,
        "edits": {"a": 20, "b": 30, "both": 12, "same_token": 9},
        **measures((12 / 38, 0.25, 0.4), (0.3, 0.2, 0.4)),
        "chance": {
            "random": measures((0.1, 0.05, 0.15), (0.05, 0.02, 0.1)),
            "entropy": measures((0.2, 0.12, 0.24), (0.2, 0.15, 0.25)),
        },
        "jsd": {
            "tau": 0.8,
            "decision_points": 40,
            "base_a": estimate(0.11),
            "base_b": estimate(0.22),
            "a_b": estimate(0.33),
            "everywhere": {n: estimate(0.01) for n in ("base_a", "base_b", "a_b")},
        },
        "by_class": {"number": {"positions": 30, **measures((0.5,), (0.6,))}},
        "by_outcome": {"wrong": {"positions": 90, **measures((0.4,), (None,))}},
    }


def test_overlap_is_held_against_chance_at_like_entropy(found):
    beyond, within = overlap.words_of(found).texts("findings")[:2]
    assert "31.6% [25.0%, 40.0%]" in beyond and "20.0% [12.0%, 24.0%]" in beyond
    assert "That is more than chance gives at like entropy" in beyond
    assert "That is no more than chance may give at like entropy" in within  # 0.20 under 0.25
    assert "0.330 [0.330, 0.330] nats" in overlap.words_of(found).texts("findings")[2]


def test_overlaps_page_escapes_and_says_where_its_files_are(found, tmp_path):
    write_json(found, tmp_path / "summary.json")
    page = write_report(tmp_path).read_text()
    assert HOSTILE not in page and "&lt;/script&gt;" in page
    assert "not defined" in page  # of the wrong answers' edits
    assert "31.6\\% [25.0\\%, 40.0\\%]" in (tmp_path / "overlap.tex").read_text()
    console = Console(record=True, width=160)
    print_report(tmp_path, console)
    assert "overlap.html" in console.export_text()
    assert "<iframe" in Report.of(tmp_path)._repr_html_()


def test_an_unfinished_command_says_so(tmp_path):
    (tmp_path / "recipe.yaml").write_text("limit: 6\n")
    write_json({"command": "overlap", "stages": [], "contents": {}}, tmp_path / "workspace.json")
    with pytest.raises(UserError, match=r"The overlap in .* is not finished"):
        write_report(tmp_path)


def row(name, accuracy, kl, parameters=None, change=None):
    return {
        "name": name,
        "modules": None,
        "rank": None,
        "parameters": parameters,
        "parameter_share": None if parameters is None else 0.005,
        "steps": 3,
        "accuracy": estimate(*accuracy, n=50),
        "to_teacher": None if change is None else estimate(*change),
        "kl": kl,
        "truncated_share": 0.0,
    }


def test_distills_page_shows_what_each_student_kept(tmp_path):
    found = {
        "schema": 1,
        "command": "distill",
        "base": model("base"),
        "teacher": model(HOSTILE),
        "seed": 0,
        "top": 8,
        "confidence": 0.9,
        "test_problems": 50,
        "rollouts": {"rollouts": 40, "problems": 10, "tokens": 900},
        "rows": [
            row("base", (0.2, 0.1, 0.3), 0.5, change=(-0.4, -0.5, -0.3)),
            row("teacher", (0.6, 0.5, 0.7), None, 1000),
            row("qkvo-8", (0.5, 0.4, 0.6), 0.1, 8000, (-0.1, -0.2, 0.0)),
        ],
    }
    write_json(found, tmp_path / "summary.json")
    history = pa.table({"step": [1, 2, 3], "loss": [0.5, 0.3, 0.1]})
    write_table(history, tmp_path / "students" / "qkvo-8" / "history.parquet")
    said = distill.words_of(found).texts("findings")
    assert said[0] == "Base 0.20, teacher 0.60, best student 0.50."
    assert "8,000 parameters (0.50% of the base) reach 0.50, 75% of the gain; 0.100 nats" in said[1]
    page = write_report(tmp_path).read_text()
    assert HOSTILE not in page and "Published, other models" in page and "0.495" in page
    assert "the 8 most likely tokens" in page and "with 90% bootstrap intervals" in page
    measured = distill.students_table(distill.words_of(found)).rows[2]
    assert measured[3:6] == ("0.500 [0.400, 0.600]", "-0.100 [-0.200, +0.000]", "0.1000")
    assert json.loads((tmp_path / "summary.json").read_text()) == found


def test_the_students_fit_a_terminal(tmp_path):
    folder = tmp_path / "[x]"
    rows = [
        row("base", (0.2, 0.1, 0.3), 0.5, change=(-0.3, -0.4, -0.2)),
        row("teacher", (0.5, 0.45, 0.55), None, 1_543_714_304),
        row("qkvo-32", (0.495, 0.452, 0.539), 0.01234, 8_716_288, (-0.003, -0.01, 0.01)),
    ]
    found = {
        "schema": 1, "command": "distill", "base": model("base"), "teacher": model("teacher"), "seed": 0, "top": 8,
        "confidence": 0.9, "test_problems": 500, "rollouts": {"rollouts": 40, "problems": 10, "tokens": 900},
        "rows": rows,
    }  # fmt: skip
    write_json(found, folder / "summary.json")
    write_table(pa.table({"step": [1], "loss": [0.5]}), folder / "students" / "qkvo-32" / "history.parquet")
    console = Console(record=True, width=80)
    print_report(folder, console)
    text = console.export_text()
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines if "│" in line)
    [shown] = [line for line in lines if line.startswith("│ qkvo-32")]
    cells = [cell.strip() for cell in shown.strip("│ ").split("│")]
    assert cells == ["qkvo-32", "8,716,288", "0.50%", "0.495", "-0.003", "0.0123"]
    below = lines[lines.index(shown) + 1]  # their intervals
    assert below.split("│")[4].strip() == "[0.452, 0.539]" and below.split("│")[5].strip() == "[-0.010, +0.010]"
    assert "[x]/summary.json" in text.replace("\n", "")
