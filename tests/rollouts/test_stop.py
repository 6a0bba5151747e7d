"""Stop strings: by hand on bytes, and against transformers' own criterion."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, StopStringCriteria

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.rollouts.stop import StopStrings

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGED = ["``", "```", "ĊĊ", "Qu", "Question", "Question:", ":ĠA", "a`"]


def byte_level():
    """A token a byte, some of several, and one special token."""
    vocabulary = {piece: n for n, piece in enumerate([*LETTERS, *MERGED])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


TOKENIZER = byte_level()


def ids_of(*pieces):
    return TOKENIZER.convert_tokens_to_ids(list(pieces))


@pytest.mark.parametrize(
    ("strings", "pieces", "kept"),
    [
        (("Question:",), ("a", "ĊĊ", "Question:", "a"), 3),
        (("Question:",), ("Question", ":ĠA", "a"), 2),  # ends within a token, which is kept whole
        (("\n\nQuestion",), ("Ċ", "Ċ", "Qu", "e", "s", "t", "i", "o", "n"), 9),
        (("```\n",), ("```", "a", "``", "`", "Ċ", "a"), 5),  # the fence that opens is no end
        (("``",), ("a`", "`"), 2),
        (("x", "a"), ("b", "a", "x"), 2),  # the first of several
        (("<end>",), ("a", "<end>", "a"), 2),  # a special token stands for its name
        (("€",), ("â", "Ĥ", "¬", "a"), 3),  # three bytes, three tokens
        (("aaa",), ("a", "a", "b", "a", "a"), None),
        ((), ("a", "b"), None),
    ],
)
def test_by_hand(strings, pieces, kept):
    assert StopStrings(strings, TOKENIZER).cut(ids_of(*pieces)) == kept


def test_an_id_without_a_token_spells_nothing():
    assert StopStrings(["ab"], TOKENIZER).cut([*ids_of("a"), 100_000, *ids_of("b")]) == 3


@given(
    ids=st.lists(st.sampled_from(ids_of("a", "`", "``", "```", "Ċ", "ĊĊ", "a`")), max_size=12),
    strings=st.lists(st.text("a`\n", min_size=1, max_size=5), min_size=1, max_size=3),
)
def test_as_transformers_finds_them(ids, strings):
    criterion = StopStringCriteria(TOKENIZER, strings)
    ended = (n for n in range(1, len(ids) + 1) if criterion(torch.tensor([ids[:n]]), None).item())
    assert StopStrings(strings, TOKENIZER).cut(ids) == next(ended, None)


def test_a_string_alone_is_a_list_of_one_and_an_empty_one_is_refused():
    assert SamplingConfig(stop="Question:").stop == ("Question:",)
    with pytest.raises(ValidationError, match="at least 1 character"):
        SamplingConfig(stop=["a", ""])
