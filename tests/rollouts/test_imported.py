"""Rollouts brought from elsewhere: our own keys, and the formats of TRL."""

import json

import pytest
from transformers import AutoTokenizer

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.verify import Verifier
from tests.tiny import tiny_folder

PROBLEMS = [Problem(f"p{n}", f"{n} so 1", str(n), "x") for n in range(5)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(tiny_folder(tmp_path_factory.mktemp("model")))


def imported(tmp_path, tokenizer, *rows, problems=PROBLEMS):
    path = tmp_path / "made.jsonl"
    lines = (json.dumps(r) if isinstance(r, dict) else r for r in rows)
    path.write_bytes(b"".join(x if isinstance(x, bytes) else f"{x}\n".encode() for x in lines))
    with Verifier(VerifyConfig(extraction="last_number", workers=1), "chat_template") as verifier:
        return import_rollouts(path, problems, verifier, tokenizer, prompt_style="chat_template", eos_ids=[2])


def test_text_is_tokenised_once_and_ended(tmp_path, tokenizer):
    whole, cut = imported(
        tmp_path,
        tokenizer,
        {"problem_id": "p3", "completion": "so 3"},
        {"problem_id": "p3", "completion": "so 2", "finish_reason": "length"},
    )
    assert (whole.completion_ids, whole.finish_reason, whole.outcome) == ([7, 6, 2], "stop", "correct")
    assert (cut.completion_ids, cut.finish_reason, cut.outcome) == ([7, 5], "length", "wrong")
    assert (whole.rollout, cut.rollout) == (0, 1)
    assert whole.entropy is None and whole.engine == "imported"
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "3 so 1"}], add_generation_prompt=True, return_dict=False
    )
    assert whole.prompt_ids == expected


def test_ids_are_kept_and_tell_how_they_ended(tmp_path, tokenizer):
    stopped, cut = imported(
        tmp_path,
        tokenizer,
        {"problem_id": "p1", "completion_ids": [4, 2], "engine": "vllm", "engine_version": "0.11"},
        {"problem_id": "p2", "completion_ids": [4, 4], "prompt_ids": [1, 5]},
    )
    assert (stopped.completion_ids, stopped.finish_reason) == ([4, 2], "stop")
    assert (stopped.engine, stopped.engine_version) == ("vllm", "0.11")
    assert (cut.completion_ids, cut.finish_reason, cut.prompt_ids) == ([4, 4], "length", [1, 5])


CHAT = "<s> 3 so 1 so"


@pytest.mark.parametrize(
    "prompt", ["3 so 1", " 3  so 1. ", CHAT, [{"role": "user", "content": "3 so 1"}],
               [{"role": "system", "content": "x"}, {"role": "user", "content": "3 so 1"}]],
)  # fmt: skip
@pytest.mark.parametrize("completion", ["so 3", [{"role": "assistant", "content": "so 3"}]])
def test_rows_in_the_formats_of_trl_find_their_problem_and_are_graded_anew(tmp_path, tokenizer, prompt, completion):
    right, wrong = imported(
        tmp_path,
        tokenizer,
        {"prompt": prompt, "completion": completion, "label": False},
        {"prompt": prompt, "completion": "so 2 </s>", "label": True},
    )
    assert (right.problem_id, right.outcome, right.completion_ids) == ("p3", "correct", [7, 6, 2])
    # an end of sequence that the text spells out is not doubled
    assert (wrong.problem_id, wrong.outcome, wrong.completion_ids) == ("p3", "wrong", [7, 5, 2])
    assert right.prompt_ids == wrong.prompt_ids == tokenizer.convert_tokens_to_ids(CHAT.split())


def test_a_prompt_in_a_text_style_finds_its_problem(tmp_path, tokenizer):
    path = tmp_path / "made.jsonl"
    path.write_text(
        json.dumps({"prompt": "Question:\n3 so 1\nAnswer:\nLet's think step by step.\n",
                    "completion": "3"})
    )  # fmt: skip
    with Verifier(VerifyConfig(extraction="last_number", workers=1), "llama_abel") as verifier:
        (made,) = import_rollouts(path, PROBLEMS, verifier, tokenizer, prompt_style="llama_abel", eos_ids=[2])
    assert (made.problem_id, made.outcome) == ("p3", "correct")


@pytest.mark.parametrize(
    "row, words",
    [
        ("{not json", "line 1 is not valid JSON"),
        ({"id": "p1", "completion": "1"}, "line 1 needs an object with 'problem_id' or 'prompt'"),
        ({"problem_id": "p1", "text": "1"}, "line 1 needs 'completion'"),
        ({"problem_id": "p9", "completion": "1"}, "problem 'p9' is not among the 5"),
        ({"problem_id": "p1", "completion_ids": [4, 99]}, "line 1: token id 99 .* vocabulary of 8"),
        ({"problem_id": "p1", "completion_ids": [4], "prompt_ids": [-1]}, "line 1: token id -1 is not"),
        ({"prompt": "9 so 9", "completion": "1"}, "the problem of prompt '9 so 9' is not among"),
        ({"prompt": [{"role": "assistant", "content": "1 so 1"}]}, "prompt None is not among"),
        ({"prompt": "1 so 1", "completion": [{"role": "user", "content": "1"}]}, "needs 'completion'"),
        ({"prompt": "1 so 1", "chosen": "1", "rejected": "2"}, "a pair of the preference format"),
        ("", "is empty"),
        (b'{"problem_id": "p1", "completion": "\xe9"}', "line 1 is not valid JSON.*UTF-8"),
        ({"problem_id": ["p1"], "completion": "1"}, r"line 1: problem '\['p1'\]' is not among"),
        ({"problem_id": "p1", "completion_ids": "4 2"}, "line 1: 'completion_ids' must be a list"),
        ({"problem_id": "p1", "completion_ids": [4.5]}, r"line 1: 'completion_ids' .*not \[4.5\]"),
        (
            {"problem_id": "p1", "completion_ids": [4], "prompt_ids": 1},
            "line 1: 'prompt_ids' must be a list of token ids, not 1",
        ),
        ({"problem_id": "p1", "completion": "1", "finish_reason": ["stop"]}, "line 1: 'finish_reason' must be text"),
        (
            {"problem_id": "p1", "completion": "", "finish_reason": "length"},
            "line 1: a completion cut at the length limit cannot be empty",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path, tokenizer, row, words):
    with pytest.raises(UserError, match=words):
        imported(tmp_path, tokenizer, row)


def test_ids_of_problems_may_be_numbers(tmp_path, tokenizer):
    row, problems = {"problem_id": 8, "completion": ""}, [Problem("8", "8 so 1", "8", "x")]
    (made,) = imported(tmp_path, tokenizer, row, problems=problems)
    assert (made.problem_id, made.completion_ids) == ("8", [2])  # it ended at once


def test_missing_file_is_named(tokenizer, tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        import_rollouts(tmp_path / "no.jsonl", PROBLEMS, None, tokenizer, prompt_style="chat_template", eos_ids=[2])
