import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, load_problems

ROWS = [{"question": f"What is {n}+1?", "answer": f"so\n#### {n + 1}", "n": n} for n in range(4)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(folder, **fields):
    return load_problems(SourceConfig(source=str(folder), **fields), 0, "problems.test")


@pytest.fixture
def parquet_folder(tmp_path):
    folder = tmp_path / "sums"
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "data" / "train-00000-of-00001.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[:1]), folder / "data" / "test-00000-of-00001.parquet")
    return folder


def test_parquet_folder_has_its_splits(parquet_folder):
    train = load(parquet_folder, split="train")
    assert [p.answer for p in train] == ["1", "2", "3", "4"]
    assert train[2] == Problem("sums/train/2", "What is 2+1?", "3", "sums", "math", {"n": 2})
    assert [p.id for p in load(parquet_folder, split="test")] == ["sums/test/0"]


def test_json_lines_folder(tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert [p.text for p in load(folder, split="train[1:3]")] == ["What is 1+1?", "What is 2+1?"]


def test_subset(tmp_path):
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("easy", "hard"):
        row = {"problem": f"{name}?", "answer": "1"}
        (folder / f"{name}.jsonl").write_text(json.dumps(row))
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}.jsonl\n" for name in ("easy", "hard")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    (problem,) = load(folder, split="test", subset="hard")
    assert (problem.id, problem.text) == ("two/hard/test/0", "hard?")
    with pytest.raises(UserError, match=r"problems\.test\.source .*subset esay.*cannot be loaded"):
        load(folder, split="test", subset="esay")


def test_unknown_split_and_folder(parquet_folder, tmp_path):
    with pytest.raises(UserError, match=r"problems\.test\.source .*split valid\).*Unknown split"):
        load(parquet_folder, split="valid")
    with pytest.raises(UserError, match=r"problems\.test\.source '.*/none' .*cannot be loaded"):
        load(tmp_path / "none")


def test_a_missing_column_is_named(parquet_folder):
    with pytest.raises(UserError, match=r"problems\.test\.answer_column 'answr' .*'question'"):
        load(parquet_folder, split="train", answer_column="answr")
