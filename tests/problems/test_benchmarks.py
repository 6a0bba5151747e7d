"""Benchmarks by name: from a data folder, from data sets laid out as those on the hub, and refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Literal

import pytest

from reasonmaxxer.config import MeasuredSource, ProblemsConfig, SourceConfig, SuiteConfig
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
STUB = 'def helper(a):\n    return a\n\n\ndef f(a):\n    """ Twice a. """\n'
CHECK = "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n"
PROGRAMS_ON_THE_HUB = {
    "humaneval": {"task_id": "HumanEval/7", "prompt": STUB, "canonical_solution": "    return 2 * helper(a)\n",
                  "test": CHECK, "entry_point": "f"},
    "humaneval-plus": {"task_id": "HumanEval/7", "prompt": STUB, "canonical_solution": "\n    return 2 * helper(a)\n",
                       "test": f"import math\n{CHECK}\ncheck(f)", "entry_point": "f"},
    "mbpp": {"task_id": 11, "text": "Double a. ", "code": "def g(a):\r\n  return a\r\ndef f(a):\r\n  return g(2 * a)",
             "test_list": ["assert f(1) == 2", "assert f(g(2)) == 4 "], "test_setup_code": "one = 1\r\ntwo = 2",
             "challenge_test_list": ["assert f(0) == 0"]},
    "mbpp-sanitized": {"source_file": "a.json", "task_id": 11, "prompt": "Double a.", "code": "def f(a): return 2 * a",
                       "test_imports": ["import math"], "test_list": ["assert f(1) == 2", "assert f(2) == 4"]},
    "mbpp-plus": {"source_file": "a.json", "task_id": 11, "prompt": "Double a.", "code": "def f(a): return 2 * a",
                  "test_imports": [], "test_list": ["assert f(1) == 2", "assert f(2) == 4"],
                  "test": "for n in range(9):\n    assert f(n) == 2 * n\n"},
}  # fmt: skip
"""A row of each data set of programs in its own columns."""
ASSERTS = "assert f(1) == 2\nassert f(2) == 4"
SHOWN = f"Double a.\n\nYour code should pass these tests:\n\n{ASSERTS}"
PROGRAMS = {
    "humaneval": ("HumanEval/7", STUB, f"{STUB}    return 2 * helper(a)\n", f"{CHECK}\ncheck(f)\n", None),
    "humaneval-plus": ("HumanEval/7", STUB, f"{STUB}\n    return 2 * helper(a)\n",
                       f"import math\n{CHECK}\ncheck(f)\n", None),
    "mbpp": ("MBPP/11", SHOWN.replace("f(2)", "f(g(2))"), "def g(a):\n  return a\ndef f(a):\n  return g(2 * a)\n",
             "one = 1\ntwo = 2\nassert f(1) == 2\nassert f(g(2)) == 4\n", "assert f(0) == 0\n"),
    "mbpp-sanitized": ("MBPP/11", SHOWN, "def f(a): return 2 * a\n", f"import math\n{ASSERTS}\n", None),
    "mbpp-plus": ("MBPP/11", SHOWN, "def f(a): return 2 * a\n", f"{ASSERTS}\n",
                  "for n in range(9):\n    assert f(n) == 2 * n\n"),
}  # fmt: skip
"""Id, text, reference, tests and hidden tests of those rows."""
MATHS = [name for name in CATALOGUE if name not in PROGRAMS]


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
        subset, split = benchmark.subset or "default", "test" if benchmark.splits else benchmark.split
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


@pytest.mark.parametrize("name", [name for name in MATHS if CATALOGUE[name].hub])
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


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_of_programs_on_the_hub_become_problems(on_the_hub, name):
    on_the_hub(name, PROGRAMS_ON_THE_HUB[name])
    (problem,) = load(name, split="test")
    tests, hidden = problem.metadata["tests"], problem.metadata.get("hidden_tests")
    assert (problem.id, problem.text, problem.answer, tests, hidden) == PROGRAMS[name]
    assert (problem.verifier, problem.domain, problem.metadata["benchmark"]) == ("code", "code", name)
    assert problem.metadata["entry_point"] == "f"
    continued = {"prompt": STUB, "preamble": STUB.partition("def f")[0]} if name.startswith("human") else {}
    assert {key: problem.metadata.get(key) for key in ("prompt", "preamble")} == {
        "prompt": None, "preamble": None, **continued,
    }  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_of_programs_in_a_data_folder_are_the_same_problems(on_the_hub, monkeypatch, tmp_path, name):
    id, text, reference, tests, hidden = PROGRAMS[name]
    stub = text if text == STUB else ""
    row = {"id": id, "prompt": stub or "Double a.", "tests": tests, "entry_point": "f", "kind": "any",
           "canonical_solution": reference.removeprefix(stub), "hidden_tests": hidden}  # fmt: skip
    write(tmp_path / "data" / f"{CATALOGUE[name].file}.jsonl", row)
    on_the_hub(name, PROGRAMS_ON_THE_HUB[name])
    (there,) = load(name, split="test")
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "data"))
    (here,) = load(name, split="test")
    assert (here.id, here.text, here.answer, here.domain) == (there.id, there.text, there.answer, there.domain)
    assert {**here.metadata, "source_file": "a.json"} == {**there.metadata, "kind": "any", "source_file": "a.json"}


@pytest.fixture
def mbpp(monkeypatch, tmp_path):
    """A data folder with MBPP problems of all splits."""
    row = {"tests": "assert f(1)", "entry_point": "f", "canonical_solution": "def f(a): return a"}
    rows = [{"id": f"MBPP/{n}", "prompt": f"Write {n}.", **row} for n in (1, 10, 11, 12, 510, 511, 600, 601, 602, 974)]
    write(tmp_path / "code" / "mbpp.jsonl", *rows)
    monkeypatch.setenv(DATA_DIR, str(tmp_path))


def test_splits_of_a_benchmark_go_by_the_numbers_of_its_problems(mbpp):
    numbers = {split: [int(p.id[5:]) for p in load("mbpp", split=split)] for split in CATALOGUE["mbpp"].splits}
    assert numbers == {"prompt": [1, 10], "test": [11, 12, 510], "validation": [511, 600], "train": [601, 602, 974]}
    for name in ("mbpp", "mbpp-sanitized"):
        assert sum(CATALOGUE[name].size(split) for split in numbers) == CATALOGUE[name].problems
    assert [MeasuredSource(source="mbpp").split, CATALOGUE["mbpp"].size("test")] == ["test", 500]
    assert CATALOGUE["gsm8k"].size("train") == 1319
    split = benchmarks.provenance(SourceConfig(source="mbpp", split="train"))
    assert split == {"source": "mbpp", "file": "mbpp.jsonl", "split": "train"}


def test_an_unknown_split_of_a_benchmark_is_refused(mbpp, tmp_path):
    with pytest.raises(
        UserError, match=r"problems\.train\.split 'trian' is unknown: MBPP has .* Did you mean 'train'"
    ):
        load("mbpp", split="trian")
    row = {"prompt": "?", "tests": "assert f(1)", "entry_point": "f"}
    write(tmp_path / "code" / "mbpp.jsonl", row)
    with pytest.raises(
        UserError, match=r"no problem of code/mbpp\.jsonl has an id of MBPP's split train, which end in"
    ):
        load("mbpp", split="train")


def test_splits_of_a_benchmark_are_drawn_apart(mbpp):
    config = ProblemsConfig(
        train=SourceConfig(source="mbpp", split="train", limit=3),
        validation=SourceConfig(source="mbpp", split="validation", limit=2),
        test=SourceConfig(source="mbpp", split="test"),
    )
    splits = load_splits(config, 0)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [3, 2, 3]
    same = config.model_copy(update={"validation": SourceConfig(source="mbpp", split="train", limit=1)})
    with pytest.raises(UserError, match=r"problems\.train\.limit asks for 3 problems but the source has 2"):
        load_splits(same, 0)


@pytest.mark.parametrize("name", MATHS)
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


def test_the_suites_are_in_order():
    assert SUITES == {
        "paper": ("gsm8k", "math500", "minerva", "olympiadbench", "aime24", "amc23", "aime25"),
        "code": ("humaneval", "mbpp"),
        "code-plus": ("humaneval-plus", "mbpp-plus"),
    }


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


def test_every_suite_can_be_asked_for():
    assert SuiteConfig.model_fields["suite"].annotation == Literal[tuple(SUITES)] | None
