"""Bundles for a machine without a network: filled to the brim, checked, joined there."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pack import SPARE_BYTES, Bundles

UNPACK = Path(__file__).parents[2] / "benchmarks" / "unpack.sh"
ROOM = 1000


@pytest.fixture
def packed(tmp_path):
    """300 bytes of data and a model of 2,500 in bundles of 1,000: their folders, and the model's bytes."""
    data, model = tmp_path / "rows.jsonl", tmp_path / "small.gguf"
    data.write_text("{}\n" * 100)
    model.write_bytes(random.Random(0).randbytes(2500))
    bundles = Bundles(tmp_path / "bundles", SPARE_BYTES + ROOM)
    bundles.add("data", {"code/rows.jsonl": data})
    bundles.cut(model)
    return bundles.seal(), model.read_bytes()


def unpack(bundle, store):
    command = ["bash", str(UNPACK), str(bundle)]
    environment = {**os.environ, "STORE": str(store), "PYTHON": sys.executable}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_bundles_are_full_and_hold_everything_once(packed):
    folders, model = packed
    sizes = [
        {path.name: path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()} for folder in folders
    ]
    for files in sizes:
        del files["SHA256SUMS"], files["small.gguf.sha256"]
    assert sizes == [  # 300 bytes of data and 700 of the model; 1,000; 800
        {"rows.jsonl": 300, "small.gguf.01-of-03": 700},
        {"small.gguf.02-of-03": 1000},
        {"small.gguf.03-of-03": 800},
    ]
    assert (folders[0] / "pieces" / "small.gguf.sha256").read_text().strip() == (hashlib.sha256(model).hexdigest())


def test_pieces_are_joined_in_any_order_and_again(packed, tmp_path):
    folders, model = packed
    store = tmp_path / "store"
    said = [unpack(folder, store) for folder in (folders[2], folders[0], folders[0], folders[1])]
    assert [done.returncode for done in said] == [0, 0, 0, 0]
    lines = [done.stdout.strip() for done in said]
    assert lines == [f"small.gguf: {n} of 3 pieces" for n in (1, 2, 2)] + ["small.gguf: whole"]
    assert (store / "models" / "small.gguf").read_bytes() == model
    assert (store / "data" / "code" / "rows.jsonl").read_text() == "{}\n" * 100
    again = unpack(folders[1], store)
    assert (again.returncode, again.stdout) == (0, "")
    assert (store / "models" / "small.gguf").read_bytes() == model


@pytest.mark.parametrize("broken", ["changed", "cut short", "missing", "no hashes"])
def test_a_broken_bundle_is_refused_and_leaves_no_trace(packed, tmp_path, broken):
    bundle = packed[0][1]
    piece = bundle / "pieces" / "small.gguf.02-of-03"
    if broken == "changed":
        piece.write_bytes(bytes([piece.read_bytes()[0] ^ 1]) + piece.read_bytes()[1:])
    elif broken == "cut short":
        piece.write_bytes(piece.read_bytes()[:-1])
    else:
        (piece if broken == "missing" else bundle / "SHA256SUMS").unlink()
    done = unpack(bundle, tmp_path / "store")
    assert done.returncode == 2
    assert "Carry this bundle again" in done.stderr
    assert not (tmp_path / "store").exists()


def test_pieces_of_two_packings_are_not_joined(packed, tmp_path):
    folders, _ = packed
    store = tmp_path / "store"
    other = Bundles(tmp_path / "others", SPARE_BYTES + ROOM)
    (tmp_path / "small.gguf").write_bytes(bytes(2500))
    other.cut(tmp_path / "small.gguf")
    said = [unpack(folder, store) for folder in (other.seal()[0], *folders[1:])]
    assert [done.returncode for done in said] == [0, 0, 2]
    assert "not the whole" in said[-1].stderr
    assert not (store / "models" / "small.gguf").exists()
