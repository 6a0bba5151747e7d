"""Page, tables and words of `evaluate`, from figures made by hand."""

import pytest
from rich.console import Console

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.measure.published import published_scores
from reasonmaxxer.report import evaluate
from reasonmaxxer.report.figures.comparison import suite_scores
from reasonmaxxer.report.page import print_report, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def estimate(value, low=None, high=None, n=40):
    return {"value": value, "low": value if low is None else low, "high": high or value, "n": n}


def benchmark(name, title, accuracy, **more):
    protocol = {
        "metric": "pass@1", "samples": 1, "prompt_style": "qwen_boxed", "temperature": 0.6,
        "top_p": 0.95, "max_new_tokens": 1024, "stop": [], "extraction": "boxed", "seed": 0,
        "engine": "transformers 5.23", "dtype": "bfloat16",
        "data": {"source": name, "file": f"{name}.jsonl"}, "problems": 40,
        "problems_hash": "ab" * 32, "package_version": "0.1",
    }  # fmt: skip
    return {
        "name": name,
        "title": title,
        "problems": 40,
        "of": 40,
        "accuracy": accuracy,
        "pass_at": [],
        "by": {},
        "outcomes": {"correct": 10, "wrong": 30},
        "truncated_share": 0.0,
        "mean_tokens": 211.4,
        "specimens": [],
        "protocol": protocol,
        **more,
    }


@pytest.fixture
def found():
    specimen = {
        "problem_id": HOSTILE, "answer": "7", "extracted": HOSTILE, "outcome": "wrong",
        "truncated": True, "text": "x" * 500 + HOSTILE,
    }  # fmt: skip
    levels = [{"name": "1", **estimate(0.5, 0.4, 0.6, 12)}, {"name": "5", **estimate(0.1, n=28)}]
    return {
        "schema": 1,
        "command": "evaluate",
        "model": {"name": HOSTILE[:-1], "source": "hub", "dtype": "bfloat16", "fingerprint": "cd"},
        "confidence": 0.95,
        "benchmarks": [
            benchmark("math500", "MATH-500", estimate(0.31, 0.26, 0.36), of=500,
                      by={"level": levels, "answer_type": levels}, specimens=[specimen],
                      truncated_share=0.344),
            benchmark("aime24", "AIME 2024", estimate(0.0),
                      outcomes={"wrong": 30, "unparsed": 10}),
        ],
        "average": None,
        "published": [row.to_dict() for row in published_scores("Qwen/Qwen2.5-1.5B") if "Table 3" in row.source],
        "environment": {"hardware": {"device": "cpu"}, "versions": {"torch": "2.13"}},
    }  # fmt: skip


def test_what_a_score_must_not_be_quoted_without(found):
    cut, unread, part, flat, published = evaluate.words_of(found).texts("caveats")
    assert cut.startswith("Cut at the limit of 1,024 tokens, and so unfinished: MATH-500 34% of the")
    assert unread.startswith("No answer found: AIME 2024 25% of the completions")
    assert part == "Not whole benchmarks: MATH-500 40 of 500 problems."
    assert flat.startswith("An interval without width (AIME 2024)")
    assert "not measured here" in published
    sound = found | {"published": [], "benchmarks": [benchmark("a", "A", estimate(0.5, 0.4, 0.6))]}
    assert evaluate.words_of(sound).texts("caveats") == []


def test_scores_stand_beside_the_published_ones(found):
    table = evaluate.scores_table(evaluate.words_of(found))
    assert table.columns[4:] == (
        "published: base",
        "published: SimpleRL-Zoo (GRPO)",
        "published: Open-Reasoner-Zero (PPO)",
        "published: ReasonMaxxer",
    )
    assert table.rows[0] == (
        "MATH-500", "pass@1", "40", "0.310 [0.260, 0.360]", "0.298", "0.496", "0.436", "0.502"
    )  # fmt: skip
    averaged = found | {"average": estimate(0.2, 0.1, 0.3, 240)}
    last = evaluate.scores_table(evaluate.words_of(averaged)).rows[-1]
    assert last[3:5] == ("0.200 [0.100, 0.300]", "0.182") and last[-1] == "0.282"
    said = evaluate.words_of(averaged).texts("findings")
    assert said[0] == "Average over the six benchmarks of Table 3: 0.200 [0.100, 0.300]."
    # of the base's scores here 0.298 lies within, 0.004 does not
    assert "Qwen2.5-1.5B, base: average 0.182; 1 of 2 published scores lie within" in said[2]


def test_published_scores_are_of_the_paper_that_printed_them(found):
    assert "those of arXiv 2605.06241, Table 3: not measured" in evaluate.words_of(found).texts("caveats")[-1]
    for row in found["published"]:
        del row["source"]  # as in folders of version 0.2
    assert (
        "Published: Qwen2.5-1.5B, arXiv 2605.06241, Table 3; nothing"
        in evaluate.scores_table(evaluate.words_of(found)).note
    )
    code = {
        "benchmarks": [benchmark("humaneval", "HumanEval", estimate(0.5, 0.4, 0.6))],
        "published": [row.to_dict() for row in published_scores("qwen2.5-coder-0.5b")],
    }
    table = evaluate.scores_table(evaluate.words_of(found | code))
    assert table.columns[4:] == ("published: base",) and table.rows[0][4] == "0.616"
    assert "Published: Qwen2.5-Coder-0.5B-Instruct, arXiv 2409.12186, Table 16" in table.note
    assert "arXiv 2409.12186" in evaluate.words_of(found | code).texts("caveats")[-1]
    figure = suite_scores(code["benchmarks"], code["published"])
    labels = [
        text.get_text()
        for legend in (*figure.legends, figure.axes[0].get_legend())
        if legend
        for text in legend.get_texts()
    ]
    assert labels == ["measured here", "published: base"]


def test_scores_of_several_sources_say_whose_they_are(found):
    rows = [row.to_dict() for row in published_scores("Qwen/Qwen2.5-1.5B")]
    table = evaluate.scores_table(evaluate.words_of(found | {"published": rows}))
    math500 = next(row for row in table.rows if row[0] == "MATH-500")
    scores = dict(zip(table.columns, math500, strict=True))
    assert scores["published: SimpleRL-Zoo (GRPO) [1]"] == "0.496"
    assert scores["published: SimpleRL-Zoo (GRPO) [2]"] == "0.590"
    assert "[1] arXiv 2605.06241, Table 3; [2] README of hkust-nlp/simpleRL-reason" in table.note


def test_published_averages_are_those_of_their_scores():
    for name in ("Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-7B", "Qwen2.5-Math-7B", "Qwen2.5-14B", "Qwen2.5-32B"):
        for row in published_scores(name):
            if "simpleRL" in row.source and row.printed:
                assert abs(row.average - row.printed) < 0.0011, name  # printed to 0.001


def test_parts_have_a_table_each(found):
    by_level, by_type = evaluate.part_tables(found["benchmarks"])
    assert by_level.title == "MATH-500 by level" and by_type.title == "MATH-500 by answer type"
    assert by_level.rows == [("1", "12", "0.500 [0.400, 0.600]"), ("5", "28", "0.100 [0.100, 0.100]")]


def test_the_page_escapes_what_a_model_wrote(found, tmp_path):
    write_json(found, tmp_path / "summary.json")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert HOSTILE not in page and "<img" not in page and "\u202e" not in page
    assert "x" * 150 in page and "x" * 250 not in page
    assert 'class="drawing"' in page and "Hollow: published" in page
    assert "<img" not in (tmp_path / "results.md").read_text().replace("\\<img", "")


def test_the_terminal_says_the_same(found, tmp_path):
    write_json(found, tmp_path / "summary.json")
    console = Console(record=True, width=160)
    print_report(tmp_path, console)
    text = console.export_text()
    for word in ("0.310 [0.260, 0.360]", "34.4%", "AIME 2024 25%", "0.298", "results.md", "Not whole benchmarks"):
        assert word in text


def test_pass_at_k_gets_columns_and_a_curve(found, tmp_path):
    rows = [{"k": k, **estimate(0.1 * k, 0.1, 0.9)} for k in (1, 4)]
    for one in found["benchmarks"]:
        one["pass_at"] = rows
    assert evaluate.scores_table(evaluate.words_of(found)).columns[3:6] == ("measured here", "pass@1", "pass@4")
    found["benchmarks"][1]["maj_at"] = [{"k": 4, **estimate(0.45, 0.4, 0.5)}]
    table = evaluate.scores_table(evaluate.words_of(found))
    assert table.columns[4:7] == ("pass@1", "pass@4", "maj@4")
    assert [row[6] for row in table.rows[:2]] == ["", "0.450 [0.400, 0.500]"]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    write_json(found, tmp_path / "summary.json")
    write_report(tmp_path)
    assert 'id="pass-at-k"' in (tmp_path / "report.html").read_text()


def programs(found):
    """The figures of a benchmark of code, with a hostile program of indented lines that is wrong."""
    specimen = {
        "problem_id": "MBPP/1", "problem": f"Double it.\n\nassert f(2) == 4{HOSTILE}",
        "answer": "def f(x):\n\treturn 2 * x",
        "code": True, "extracted": "def f(x): ...", "outcome": "wrong", "truncated": False,
        "detail": f"NameError: name 'y' {HOSTILE}",
        "text": f"```python\ndef f(x):\n    if x:\n\treturn y\n```{HOSTILE}",
    }  # fmt: skip
    mbpp = benchmark("mbpp", "MBPP", estimate(0.2, 0.1, 0.3), specimens=[specimen],
                     outcomes={"correct": 8, "wrong": 22, "unparsed": 8, "timeout": 2},
                     wrong_by_kind={"AssertionError": 15, "NameError": 6})  # fmt: skip
    return found | {"benchmarks": [mbpp], "published": []}


def test_programs_keep_their_lines_and_are_no_markup(found, tmp_path):
    write_json(programs(found), tmp_path / "summary.json")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<pre>```python\ndef f(x):\n    if x:\n\treturn y\n```&lt;/script&gt;" in page
    assert '<p class="problem program">Double it.\n\nassert f(2) == 4&lt;' in page
    assert "<pre>def f(x):\n\treturn 2 * x</pre>" in page and "why: <code>NameError: name &#39;y&#39; &lt;" in page
    assert "<img" not in page and "\u202e" not in page and "answer read" not in page


def test_of_programs_the_page_says_what_is_wrong(found):
    words = evaluate.words_of(programs(found))
    assert words.texts("caveats")[0].startswith("No program found: MBPP 20% of the completions")
    assert "pass" in evaluate._outcomes_table(words).note and "answer" not in evaluate._outcomes_table(words).note


def test_the_terminal_counts_wrong_programs(found, tmp_path):
    write_json(programs(found), tmp_path / "summary.json")
    write_report(tmp_path)
    console = Console(record=True, width=160)
    print_report(tmp_path, console)
    text = console.export_text()
    for shown in (text, (tmp_path / "results.md").read_text(), (tmp_path / "report.html").read_text()):
        assert "AssertionError" in shown and "Wrong programs by kind" in shown and "other" in shown
    assert "| AssertionError | 15 |\n| NameError | 6 |\n| other | 1 |" in (tmp_path / "results.md").read_text()
