"""Files are whole or absent, and equal content is equal bytes."""

import hashlib
import math

import pyarrow as pa
import pytest

from reasonmaxxer.artifacts import (
    file_hash,
    files_hash,
    folder_files,
    read_json,
    read_table,
    write_json,
    write_table,
    write_text,
)
from reasonmaxxer.errors import UserError


def test_table_round_trip_and_equal_bytes(tmp_path):
    table = pa.table({"id": ["a", "b"], "ids": [[1, 2], []], "p": [0.25, None]})
    for name in ("one", "two"):
        write_table(table, tmp_path / name / "t.parquet")
    assert read_table(tmp_path / "one" / "t.parquet") == table
    assert file_hash(tmp_path / "one/t.parquet") == file_hash(tmp_path / "two/t.parquet")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json({"x": 1}, path)
    with pytest.raises(ValueError):
        write_json({"x": math.nan}, path)
    assert read_json(path) == {"x": 1}


def test_file_hash_is_sha256(tmp_path):
    content = b"x" * (1 << 20) + b"tail"
    (tmp_path / "f").write_bytes(content)
    assert file_hash(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_files_hash_sees_names_and_tables_but_not_records(tmp_path):
    def digest(name):
        return files_hash(folder_files(tmp_path / name))

    for name in ("a", "b"):
        write_table(pa.table({"x": [1]}), tmp_path / name / "x.parquet")
        write_json({"seconds": name}, tmp_path / name / "stage.json")
    assert digest("a") == digest("b")
    write_table(pa.table({"x": [2]}), tmp_path / "b" / "x.parquet")
    assert digest("a") != digest("b")
    (tmp_path / "a" / "x.parquet").rename(tmp_path / "a" / "y.parquet")
    write_table(pa.table({"x": [1]}), tmp_path / "b" / "x.parquet")
    assert digest("a") != digest("b")


def test_files_are_described_less_hidden_ones_and_those_left_out(tmp_path):
    for name in ("x.parquet", ".x.parquet.tmp", "sub/y.txt", "scratch/z.parquet"):
        write_text("abc", tmp_path / name)
    abc = {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    found = folder_files(tmp_path, without=("scratch",))
    assert found == {"sub/y.txt": abc, "x.parquet": abc}


@pytest.mark.parametrize("kept", [0, 3, 100])
def test_a_file_cut_short_is_refused_by_name(tmp_path, kept):
    write_table(pa.table({"x": list(range(500))}), tmp_path / "t.parquet")
    write_json({"x": "y" * 200}, tmp_path / "v.json")
    for name, read in (("t.parquet", read_table), ("v.json", read_json)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(UserError, match=rf"{name} is damaged \(.*Delete it"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    "out, says",
    [
        ("folder", "folder is a folder"),
        ("file/x.json", "file cannot be made"),
        ("file/in/x.json", "in cannot be made"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, out, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"{says}.*(Name|Choose)"):
        write_json({}, tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"
