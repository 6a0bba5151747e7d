"""Interventions, decoded side by side, against deciding every token from whole float64 forwards."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.microscope import lockstep
from reasonmaxxer.microscope.lockstep import Job
from reasonmaxxer.microscope.lockstep import intervene as decode
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.microscope.policies import ENTROPY_BINS, Position, Reference, parse_policy
from reasonmaxxer.models import sizes
from reasonmaxxer.models.reading import reading
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.rollouts.test_transformers_engine import prompts
from tests.tiny import tiny_model

EOS = 2
LONG = 20
REFERENCE = Reference(
    {f"p{i}": [2.5, 1.6, 0.9] for i in range(9)},
    {f"p{i}": [0.1, 0.003, 0.001] for i in range(9)},
    [0.5] * (len(ENTROPY_BINS) + 1),
)
POLICIES = (
    "oracle", "oracle:first=0", "oracle:first=2", "oracle:share=0.5", "oracle:entropy=3",
    "oracle:divergence=2", "oracle:reranked", "random", "random:first=1", "second",
    "gated:tau=1.2", "matched",
)  # fmt: skip


def make_pair(family="llama", near=0.9):
    base, tuned = tiny_model(family), tiny_model(family, seed=5)
    for own, other in zip(base.parameters(), tuned.parameters(), strict=True):
        other.data.lerp_(own, near)
    tokenizer = SimpleNamespace(eos_token_id=EOS)
    return Pair(*(SimpleNamespace(model=model, tokenizer=tokenizer) for model in (base, tuned)))


def policy_of(text):
    return replace(parse_policy(text), reference=REFERENCE)


def intervene(pair, policy, asked, max_new_tokens=LONG, batch_size=64):
    jobs = [Job(policy, *one) for one in asked]
    return decode(pair, jobs, max_new_tokens=max_new_tokens, seed=0, batch_size=batch_size)


def opinion(model, ids):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
    logprob = logits.log_softmax(-1).numpy()
    return logprob, np.argsort(-logprob, kind="stable").tolist()


def token_by_token(pair, policy, problem, prompt):
    """The definition: both models read everything anew for every token."""
    progress, made, edits = policy.begin(0, problem, LONG), [], []
    while len(made) < LONG and made[-1:] != [EOS]:
        p, base = opinion(pair.base.model, [*prompt, *made])
        q, tuned = opinion(pair.tuned.model, [*prompt, *made])
        host, donor = (tuned, base) if policy.reverse else (base, tuned)
        m = np.logaddexp(p, q) - np.log(2)
        at = Position(
            host_id=host[0],
            donor_id=donor[0],
            base_ids=base[:20],
            entropy=float(-(np.exp(p) * p).sum()),
            rank=1 + host.index(donor[0]),
            jsd=float((np.exp(p) * (p - m)).sum() + (np.exp(q) * (q - m)).sum()) / 2,
        )
        edited = policy.edit(progress, problem, len(made), at)
        if edited is not None:
            progress.edits += 1
            edits.append((len(made), at.host_id, edited))
        made.append(at.host_id if edited is None else edited)
    return made, edits


def requests(count=6, seed=0):
    return [(f"p{i}", prompt) for i, prompt in enumerate(prompts(count, seed))]


def check(pair, text, asked):
    policy = policy_of(text)
    found = intervene(pair, policy, asked)
    for (problem, prompt), one in zip(asked, found, strict=True):
        made, edits = token_by_token(pair, policy, problem, prompt)
        assert one.ids == made
        assert [(e.position, e.host_id, e.emitted_id) for e in one.edits] == edits
        assert one.stopped == (made[-1] == EOS)
    return found


@pytest.mark.parametrize("direction", ["", "reverse-"])
@pytest.mark.parametrize("text", POLICIES)
def test_what_comes_out_is_what_token_by_token_decides(text, direction):
    found = check(make_pair(), direction + text, requests())
    if text != "oracle:first=0":
        assert sum(len(one.edits) for one in found) > 3, "nothing was put to the test"


@pytest.mark.parametrize("family", ["mistral", "gemma3_text", "qwen3"])
def test_every_family_decodes_alike(family):
    pair = make_pair(family)
    for text in ("oracle:share=0.5", "reverse-oracle", "second"):
        check(pair, text, requests(4))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10), st.integers(1, 5), st.sampled_from([1, 3, 24]), st.floats(0, 1), st.floats(0, 1))
def test_neither_batch_nor_length_of_drafts_counts(seed, count, longest, stands, waiting):
    pair, policy = make_pair(), policy_of("oracle:share=0.5")
    asked = requests(count, seed)
    together = intervene(pair, policy, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "LONGEST", longest)
        patch.setattr(lockstep, "STANDS", stands)
        patch.setattr(lockstep, "WAITING", waiting)
        patch.setattr(sizes, "CPU", replace(sizes.CPU, logit_bytes=4 * 97 * longest))
        alone = [intervene(pair, policy, [one])[0] for one in asked]
    for one, other in zip(together, alone, strict=True):
        assert one.ids == other.ids
        for own, its in zip(one.edits, other.edits, strict=True):
            assert (own.position, own.emitted_id) == (its.position, its.emitted_id)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10), st.integers(1, 7), st.permutations(POLICIES))
def test_policies_decoded_side_by_side_do_as_each_alone(seed, batch_size, texts):
    pair, asked = make_pair(), requests(3, seed)
    policies = [policy_of(text) for text in (*texts[:4], "reverse-oracle:first=2", "reverse-gated")]
    jobs = [Job(policy, *one) for one in asked for policy in policies]
    together = decode(pair, jobs, max_new_tokens=LONG, seed=0, batch_size=batch_size)
    for number, policy in enumerate(policies):
        alone = intervene(pair, policy, asked)
        for one, other in zip(together[number :: len(policies)], alone, strict=True):
            assert (one.ids, one.stopped) == (other.ids, other.stopped)
            for own, its in zip(one.edits, other.edits, strict=True):
                assert (own.position, own.emitted_id) == (its.position, its.emitted_id)


def test_a_prompt_is_read_once_for_its_neighbours():
    pair, read = make_pair(), []
    for arm in (pair.base, pair.tuned):
        reading(arm.model)  # reads rows of its own
        arm.model.model.register_forward_pre_hook(
            lambda _m, _a, kw: read.append(tuple(kw["input_ids"].shape)), with_kwargs=True
        )
    policies = [policy_of(text) for text in ("oracle:first=1", "random", "second")]
    asked = requests(4)
    jobs = [Job(policy, *one) for one in asked for policy in policies]
    decode(pair, jobs, max_new_tokens=LONG, seed=0, batch_size=5)
    width = max(len(prompt) for _, prompt in asked)
    assert read[:2] == [(4, width)] * 2  # all prompts, by each of the two models
    assert not [shape for shape in read[2:] if shape[1] == width]


def test_all_edits_make_the_donors_own_answer_and_none_the_hosts():
    pair = make_pair()
    answers = {
        arm: TransformersEngine(pair.loaded(arm).model, [EOS]).generate(
            [Request(prompt, 0) for _, prompt in requests()],
            SamplingConfig(temperature=0, top_p=1, max_new_tokens=LONG),
        )
        for arm in ("base", "tuned")
    }
    assert [a.ids for a in answers["base"]] != [a.ids for a in answers["tuned"]]
    for text, arm in {
        "oracle": "tuned", "reverse-oracle": "base",
        "oracle:first=0": "base", "reverse-oracle:first=0": "tuned",
        "oracle:share=1": "tuned", "gated:tau=0": "tuned", "oracle:share=0": "base",
    }.items():  # fmt: skip
        found = intervene(pair, policy_of(text), requests())
        assert [one.ids for one in found] == [a.ids for a in answers[arm]], text


def test_a_model_against_itself_is_never_edited():
    pair = make_pair(near=1.0)
    for text in ("oracle", "random", "second", "reverse-oracle"):
        found = intervene(pair, policy_of(text), requests())
        assert [one.edits for one in found] == [[]] * len(found)


def test_it_costs_little_more_than_one_model():
    pair = make_pair(near=0.98)
    for text in ("oracle", "oracle:first=1", "reverse-oracle:first=1"):
        found = intervene(pair, policy_of(text), requests(9), max_new_tokens=60)
        assert any(one.edits for one in found)
        tokens = sum(len(one.ids) for one in found)
        assert sum(one.passes for one in found) / tokens < 1.3, text


def test_random_draws_from_the_top_twenty_without_the_choice():
    at = Position(7, 9, [7, 3, 9, 4], 1.0, 3, 0.1)
    policy = parse_policy("random")
    drawn = set()
    for seed in range(200):
        drawn.add(policy.edit(policy.begin(seed, "p", 3), "p", 1, at))
    assert drawn == {3, 9, 4}
    assert parse_policy("second").edit(policy.begin(0, "p", 3), "p", 1, at) == 3


def test_reranked_stops_at_the_top_five_of_the_host():
    policy = parse_policy("oracle:reranked")
    for rank, emitted in ((2, 9), (5, 9), (6, None)):
        at = Position(7, 9, [7, 3, 9, 4], 1.0, rank, 0.1)
        assert policy.edit(policy.begin(0, "p", 3), "p", 1, at) == emitted


@pytest.mark.parametrize("text", [*POLICIES, *("reverse-" + p for p in POLICIES)])
def test_a_policy_is_spelled_as_it_is_read(text):
    assert parse_policy(text).spelling == text


def test_models_that_take_turns_on_the_device_decode_alike():
    pair = make_pair()
    for text in ("oracle:share=0.5", "second", "oracle"):
        together = intervene(pair, policy_of(text), requests())
        turns = intervene(replace(pair, in_turn=True), policy_of(text), requests(), batch_size=4)
        assert [one.ids for one in together] == [one.ids for one in turns]


@pytest.mark.parametrize("kind", ["entropy", "divergence"])
def test_an_edit_of_the_donors_answer_counts_however_its_last_digits_fall(kind):
    policy = policy_of(f"oracle:{kind}=2")
    edge = {"entropy": 1.6, "divergence": 0.003}[kind]
    for value, edited in ((edge - 1e-6, 9), (edge + 1e-6, 9), (edge - 2e-4, None)):
        numbers = {"entropy": 3.0, "jsd": 0.5} | {kind.replace("divergence", "jsd"): value}
        at = Position(7, 9, [7, 3, 9, 4], rank=3, **numbers)
        assert policy.edit(policy.begin(0, "p0", 3), "p0", 1, at) == edited
