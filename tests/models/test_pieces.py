"""Bytes of tokens: the three alphabets, special tokens, ids without a token."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast

from reasonmaxxer.models.pieces import token_pieces


def fast(vocabulary, model=None, **parts):
    tokenizer = Tokenizer(model or BPE(vocab=vocabulary, merges=[]))
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


@pytest.fixture(scope="module")
def byte_level():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = fast(
        {letter: n for n, letter in enumerate(letters)},
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    return tokenizer


def test_byte_level_pieces_join_to_the_text(byte_level):
    for text in ("two €uros\n\tfor 日本語 🙂", "\x00\x7f\xa0\xad"):
        ids = byte_level.encode(text, add_special_tokens=False)
        assert b"".join(p.piece for p in token_pieces(byte_level, ids)) == text.encode()


def test_every_byte_has_its_own_letter(byte_level):
    pieces = token_pieces(byte_level, range(256))
    assert sorted(p.piece for p in pieces) == [bytes([b]) for b in range(256)]
    for piece in pieces:  # the library's own decoder agrees wherever a byte is a character
        if piece.piece < b"\x80":
            assert byte_level.decode([piece.id]).encode() == piece.piece


def test_sentencepiece_spaces_and_bytes():
    tokenizer = fast({"▁so": 0, "<0xE2>": 1, "<0x0A>": 2, "a▁▁b": 3, "é": 4, "<0xE2>x": 5, "Ġ": 6})
    pieces = [p.piece for p in token_pieces(tokenizer, range(7))]
    assert pieces == [b" so", b"\xe2", b"\n", b"a  b", "é".encode(), b"<0xE2>x", "Ġ".encode()]


def test_words_have_a_space_between():
    words = {"so": 0, "12": 1, "<unk>": 2}
    tokenizer = fast(words, WordLevel(words, "<unk>"))
    assert [p.piece for p in token_pieces(tokenizer, [0, 1])] == [b" so", b" 12"]


def test_special_tokens_by_name_and_added_text_as_it_is(byte_level):
    eos, think = byte_level.convert_tokens_to_ids(["</s>", "<think>"])
    found = token_pieces(byte_level, [eos, think, 5000])
    assert [(p.piece, p.special) for p in found] == [(b"</s>", True), (b"<think>", False), (b"<no token 5000>", True)]


def test_a_special_token_does_not_decide_the_alphabet(byte_level):
    # DeepSeek's byte-level vocabulary has special tokens with SentencePiece's space in their names.
    byte_level.add_special_tokens({"bos_token": "<begin▁of▁sentence>"})
    space = byte_level.convert_tokens_to_ids("Ġ")
    assert token_pieces(byte_level, [space])[0].piece == b" "
