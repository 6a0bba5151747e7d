"""Modules an adapter is put on, by family."""

import warnings

import pytest

from reasonmaxxer.config import AdapterConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.train import add_adapter
from tests.families import tiny_family

DEFAULT = AdapterConfig().target_modules


def adapted(kind, **config):
    model = add_adapter(tiny_family(kind), AdapterConfig(rank=2, **config), 0)
    names = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name}
    return sorted(names)


def test_a_family_that_has_them_all_takes_the_default_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert adapted("llama") == sorted(DEFAULT)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("phi3", ["o_proj", "qkv_proj"]),  # fused; unknown to PEFT
        ("gpt2", ["c_attn"]),  # PEFT's
        ("bloom", ["query_key_value"]),
        ("xglm", ["k_proj", "q_proj", "v_proj"]),  # its o_proj has another name
    ],
)
def test_a_family_that_lacks_some_says_so_and_takes_its_own(kind, expected):
    with pytest.warns(UserWarning, match="has no .*o_proj|has no q_proj"):
        assert adapted(kind) == expected


@pytest.mark.parametrize(
    ("kind", "names", "missing"),
    [("llama", ("q_proj", "qkv_proj"), "qkv_proj"), ("mamba", DEFAULT, "q_proj, k_proj, v_proj, o_proj")],
)
def test_names_that_match_nothing_are_refused(kind, names, missing):
    with pytest.raises(UserError, match=f"has no {missing}. Its modules: "):
        adapted(kind, target_modules=names)
