"""Benchmarks by name: from a data folder, from data sets laid out as those on the hub, and refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from reasonmaxxer.config import ProblemsConfig, SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import benchmarks, load_problems, load_splits
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR, SUITES, Benchmark

ON_THE_HUB = {
    "math500": {"problem": "p", "solution": r"\boxed{no}", "answer": r"\frac{1}{2}",
                "subject": "Algebra", "level": 5, "unique_id": "test/algebra/7.json"},
    "gsm8k": {"question": "p", "answer": "so 1,200\n#### 1,200"},
    "amc23": {"id": 3, "answer": "27", "url": "https://a", "question": "p"},
    "aime24": {"id": 60, "problem": "p", "solution": "long", "answer": "204", "url": "u", "year": "2024"},
    "aime25": {"problem": "p", "answer": "70", "id": "0"},
    "minerva": {"question": "p", "answer": "4.5e33"},
    "olympiadbench": {"id": 1606, "question": "p", "solution": ["s"], "final_answer": ["$2$"],
                      "context": None, "image_1": None, "is_multiple_answer": False, "unit": "km",
                      "answer_type": "Numerical", "error": "1e-1", "subfield": "Combinatorics",
                      "subject": "Math"},
    "math-train": {"problem": "p", "level": "Level 5", "type": "Geometry",
                   "solution": r"first \boxed{1}, then \boxed{\sqrt{2}}"},
    "gsm8k-train": {"question": "p", "answer": "#### 72"},
}  # fmt: skip
"""A row of each data set of the hub in its own columns."""

EXPECTED = {
    "math500": ("math500/test/algebra/7.json", r"\frac{1}{2}", {"level": 5, "subject": "Algebra"}),
    "gsm8k": ("gsm8k/0", "1200", {}),
    "amc23": ("amc23/3", "27", {"url": "https://a"}),
    "aime24": ("aime24/60", "204", {"year": "2024"}),
    "aime25": ("aime25/0", "70", {}),
    "minerva": ("minerva/0", "4.5e33", {}),
    "olympiadbench": (
        "olympiadbench/1606",
        "$2$",
        {"unit": "km", "error": "1e-1", "answer_type": "Numerical", "is_multiple_answer": False,
         "subject": "Combinatorics"},
    ),
    "math-train": ("math-train/0", r"\sqrt{2}", {"level": 5, "subject": "Geometry"}),
    "gsm8k-train": ("gsm8k-train/0", "72", {}),
}  # fmt: skip
"""Id, answer and some metadata of those rows."""


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch, tmp_path):
    import datasets

    monkeypatch.delenv(DATA_DIR, raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(name, **fields):
    return load_problems(SourceConfig(source=name, **fields), 0, "problems.train")


def provenance(name):
    return benchmarks.provenance(SourceConfig(source=name))


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def on_the_hub(monkeypatch, tmp_path):
    """Puts rows where a benchmark's data set is looked for, as a folder of that layout."""

    def put(name, *rows):
        benchmark = CATALOGUE[name]
        folder = tmp_path / "hub" / name
        subset, split = benchmark.subset or "default", benchmark.split
        files = f"- split: {split}\n    path: {subset}.jsonl"
        write(folder / f"{subset}.jsonl", *rows)
        write(folder / "other.jsonl", {"problem": "of another subset", "answer": "0"})
        (folder / "README.md").write_text(
            f"---\nconfigs:\n- config_name: {subset}\n  data_files:\n  {files}\n"
            "- config_name: other\n  data_files:\n  - split: other\n    path: other.jsonl\n---\n"
        )
        here = replace(benchmark, hub=str(folder))
        monkeypatch.setattr(benchmarks, "CATALOGUE", {**CATALOGUE, name: here})

    return put


@pytest.mark.parametrize("name", [name for name, benchmark in CATALOGUE.items() if benchmark.hub])
def test_rows_of_the_hub_become_problems(on_the_hub, name):
    on_the_hub(name, ON_THE_HUB[name])
    (problem,) = load(name)
    id, answer, some = EXPECTED[name]
    assert (problem.id, problem.text, problem.answer) == (id, "p", answer)
    assert problem.metadata["benchmark"] == name
    assert some.items() <= problem.metadata.items()
    assert problem.domain == some.get("subject", name)


def test_a_training_row_whose_box_is_empty_is_left_out(on_the_hub):
    row = ON_THE_HUB["math-train"]
    on_the_hub("math-train", {**row, "solution": r"\boxed{}"}, {**row, "level": "Level ?"}, row)
    assert [p.metadata.get("level") for p in load("math-train")] == [None, 5]


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_data_folder_comes_before_the_hub(on_the_hub, monkeypatch, tmp_path, name):
    if CATALOGUE[name].hub:
        on_the_hub(name, ON_THE_HUB[name])
    row = {"id": "x/1", "problem": "here", "answer": "2", "level": 3, "solution": r"\boxed{9}"}
    write(tmp_path / "data" / f"{CATALOGUE[name].file}.jsonl", row)
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "data"))
    (problem,) = load(name)
    assert (problem.id, problem.text, problem.answer) == ("x/1", "here", "2")
    assert problem.metadata["benchmark"] == name == problem.domain
    assert provenance(name) == {"source": name, "file": f"{CATALOGUE[name].file}.jsonl"}


def test_where_a_benchmark_comes_from(monkeypatch):
    assert provenance("aime24") == {
        "source": "aime24",
        "hub": "HuggingFaceH4/aime_2024",
        "revision": "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
    }
    mine = SourceConfig(source="me/mine", split="test", revision="abc")
    assert benchmarks.provenance(mine) == {"source": "me/mine", "split": "test", "revision": "abc"}


def test_a_benchmark_without_a_hub_is_read_from_a_data_folder_alone(monkeypatch, tmp_path):
    local = Benchmark("amc23", "My sums", "sums", 1)
    monkeypatch.setattr(benchmarks, "CATALOGUE", {**CATALOGUE, "amc23": local})
    with pytest.raises(UserError, match=rf"My sums is read from a data folder alone\. Put sums\.jsonl .*{DATA_DIR}"):
        load("amc23")
    assert provenance("amc23") == {"source": "amc23"}
    write(tmp_path / "sums.jsonl", {"problem": "1 + 1?", "answer": "2"})
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    assert [(p.text, p.answer) for p in load("amc23")] == [("1 + 1?", "2")]


def test_the_papers_suite_is_in_the_order_of_its_table():
    assert SUITES == {"paper": ("gsm8k", "math500", "minerva", "olympiadbench", "aime24", "amc23", "aime25")}


def test_every_revision_is_a_whole_commit():
    for benchmark in (one for one in CATALOGUE.values() if one.hub):
        assert len(benchmark.revision) == 40 and int(benchmark.revision, 16)


def test_only_the_wanted_levels_are_drawn(monkeypatch, tmp_path):
    levels = [1, 2, 3, 4, 5, None, 5]
    rows = [{"problem": f"{n}?", "answer": "1", "level": level} for n, level in enumerate(levels)]
    write(tmp_path / "math_train.jsonl", *rows)
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    kept = load("math-train", where={"level": [3, 4, 5]})
    assert [p.id for p in kept] == [f"math_train/{n}" for n in (2, 3, 4, 6)]
    assert len(load("math-train", where={"level": [5]}, limit=2)) == 2
    with pytest.raises(UserError, match=r"limit asks for 3 problems but the source has 2"):
        load("math-train", where={"level": [5]}, limit=3)
    with pytest.raises(UserError, match=r"where\.levle: no problem has 'levle'\. Did you mean 'level'"):
        load("math-train", where={"levle": [5]})
    with pytest.raises(UserError, match=r"where\.level: no problem has 'Level 5'; there are 1, 2, 3"):
        load("math-train", where={"level": ["Level 5"]})
    with pytest.raises(UserError, match=r"problems\.train\.where is for benchmarks, files"):
        load("word-problems", where={"operation": ["add"]})


def test_a_training_pool_beside_a_benchmark(monkeypatch, tmp_path):
    write(tmp_path / "math_train.jsonl", {"problem": "1+1?", "answer": "2"})
    write(tmp_path / "gsm8k_train.jsonl", {"problem": "1+2?", "answer": "3"})
    write(tmp_path / "math500.jsonl", {"problem": "1 + 1", "answer": "2"})
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    names = {"train": "math-train", "validation": "gsm8k-train", "test": "math500"}
    config = ProblemsConfig(**{split: SourceConfig(source=name) for split, name in names.items()})
    assert [p.metadata["benchmark"] for p in load_splits(config, 0).test] == ["math500"]
    write(tmp_path / "math500.jsonl", {"problem": "1+1 ?", "answer": "2"}, {"problem": "1+1?", "answer": "2"})
    with pytest.raises(UserError, match=r"problems\.train and problems\.test share 1 problems by text"):
        load_splits(config, 0)


def test_what_a_name_settles_cannot_be_set(monkeypatch):
    with pytest.raises(UserError, match=r"problems\.train\.revision is settled by the name 'amc23'"):
        load("amc23", revision="main")


def test_a_data_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "none"))
    with pytest.raises(UserError, match=rf"none does not exist; correct {DATA_DIR}"):
        load("amc23")


def test_neither_folder_nor_hub_names_both_remedies(tmp_path):
    code = (
        "from reasonmaxxer.config import SourceConfig\n"
        "from reasonmaxxer.errors import UserError\n"
        "from reasonmaxxer.problems import load_problems\n"
        "for source in ('amc23', 'math50'):\n"
        "    try: load_problems(SourceConfig(source=source), 0, 'problems')\n"
        "    except UserError as error: print(error)"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), DATA_DIR: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline)
    said, misspelt = done.stdout.splitlines()
    assert said.startswith("problems.source: AMC 2023 can be read neither from a data folder nor")
    assert "Put amc23.jsonl into a folder and name it with REASONMAXXER_DATA" in said
    assert "or make math-ai/amc23 reachable. (" in said and "(None)" not in said
    assert misspelt.endswith("Did you mean 'math500'?")
