"""The engine against `generate()`, against float64 statistics, and against itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models.reading import reading
from reasonmaxxer.rollouts import sampling as sampling_module
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import Pace, TransformersEngine
from tests.tiny import FAMILIES, tiny_model

EOS = 2


def prompts(count, seed=0, low=3, high=14):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(low, high, (count,), generator=generator).tolist()
    return [tuple(torch.randint(3, 97, (n,), generator=generator).tolist()) for n in lengths]


def requests_of(prompt_list, copies=1):
    return [Request(prompt, 1000 * i + j) for i, prompt in enumerate(prompt_list) for j in range(copies)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate(family, attention):
    if (family, attention) == ("gemma2", "sdpa"):
        attention = "eager"  # soft-capped scores: transformers has no other kernel for them
    model = tiny_model(family)
    model.set_attn_implementation(attention)
    batch = prompts(7)
    engine = TransformersEngine(model, [EOS], batch_size=3)
    made = engine.generate(requests_of(batch), SamplingConfig(temperature=0, top_p=1, max_new_tokens=20))
    reference = [
        model.generate(torch.tensor([p]), max_new_tokens=20, do_sample=False)[0, len(p) :].tolist() for p in batch
    ]
    assert [c.ids for c in made] == reference
    assert len({tuple(ids) for ids in reference}) > 3, "a model that repeats itself tests nothing"
    assert [c.finish_reason == "stop" for c in made] == [ids[-1] == EOS for ids in reference]


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text"])
def test_statistics_equal_a_float64_forward(family):
    model = tiny_model(family)
    batch = requests_of(prompts(3), copies=4)
    made = TransformersEngine(model, [EOS], batch_size=5).generate(
        batch, SamplingConfig(temperature=0.9, top_p=0.9, max_new_tokens=25)
    )
    model = model.double()
    for request, completion in zip(batch, made, strict=True):
        ids = torch.tensor([[*request.prompt_ids, *completion.ids]])
        logits = model(ids).logits[0, len(request.prompt_ids) - 1 : -1].double()
        logprobs = logits - torch.logsumexp(logits, -1, keepdim=True)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        taken = logprobs.gather(-1, ids[0, len(request.prompt_ids) :, None])[:, 0]
        torch.testing.assert_close(torch.tensor(completion.entropy).double(), entropy, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.tensor(completion.logprob).double(), taken, rtol=1e-4, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(batch_size=st.integers(1, 9), copies=st.integers(1, 4), seed=st.integers(0, 99))
def test_completions_do_not_depend_on_the_batch(batch_size, copies, seed):
    model = tiny_model("llama")
    batch = requests_of(prompts(3, seed), copies)
    sampling = SamplingConfig(temperature=0.8, top_p=0.9, max_new_tokens=12)
    alone = [TransformersEngine(model, [EOS], 1).generate([r], sampling)[0].ids for r in batch]
    together = TransformersEngine(model, [EOS], batch_size).generate(batch, sampling)
    assert [c.ids for c in together] == alone


def test_same_requests_same_bytes():
    model = tiny_model("qwen3")
    batch = requests_of(prompts(4), copies=3)
    sampling = SamplingConfig(temperature=1.0, top_p=0.95, max_new_tokens=16)
    engine = TransformersEngine(model, [EOS], 4)
    assert engine.generate(batch, sampling) == engine.generate(batch, sampling)


def test_every_row_of_every_step_is_kept_and_prompts_are_read_once():
    model = tiny_model("llama")
    reading(model)  # reads rows of its own
    rows = []
    model.model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    batch = requests_of(prompts(3), copies=5)
    made = TransformersEngine(model, [EOS], 4).generate(
        batch, SamplingConfig(temperature=1.5, top_p=1, max_new_tokens=30)
    )
    decoded = sum(shape[0] for shape in rows if shape[1] == 1)
    assert sum(shape[0] for shape in rows if shape[1] > 1) == 3
    assert decoded == sum(len(c.ids) for c in made) - len(made), "first tokens come from prefill"


def test_progress_adds_up():
    seen = []
    made = TransformersEngine(tiny_model(), [EOS], 2).generate(
        requests_of(prompts(5)), SamplingConfig(max_new_tokens=9), lambda tokens, done: seen.append((tokens, done))
    )
    assert sum(t for t, _ in seen) == sum(len(c.ids) for c in made)
    assert sum(d for _, d in seen) == 5


def at_pace(engine, draws, rows, span):
    engine.pace = Pace(draws, rows, span)
    return engine


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_at_a_gpus_pace_equals_generate(family):
    model = tiny_model(family)
    model.set_attn_implementation("eager" if family == "gemma2" else "sdpa")
    batch = prompts(7)
    engine = at_pace(TransformersEngine(model, [EOS], batch_size=3), draws=4, rows=8, span=16)
    made = engine.generate(requests_of(batch), SamplingConfig(temperature=0, top_p=1, max_new_tokens=20))
    assert [c.ids for c in made] == [
        model.generate(torch.tensor([p]), max_new_tokens=20, do_sample=False)[0, len(p) :].tolist() for p in batch
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_on_cuda_greedy_equals_generate(family, graphs):
    model = tiny_model(family).cuda()
    batch = prompts(7)
    made = TransformersEngine(model, [EOS], batch_size=3, cuda_graphs=graphs).generate(
        requests_of(batch), SamplingConfig(temperature=0, top_p=1, max_new_tokens=20)
    )
    reference = [
        model.generate(torch.tensor([p]).cuda(), max_new_tokens=20, do_sample=False)[0, len(p) :] for p in batch
    ]
    assert [c.ids for c in made] == [ids.tolist() for ids in reference]


@settings(max_examples=8, deadline=None)
@given(draws=st.integers(1, 9), rows=st.integers(1, 5), span=st.integers(1, 40))
def test_what_is_sampled_does_not_depend_on_the_pace(draws, rows, span):
    # Nuclei of two tokens are found at once, wider ones only in the step that searches.
    model = tiny_model("llama")
    batch = requests_of(prompts(4), copies=3)
    sampling = SamplingConfig(temperature=0.8, top_p=0.9, max_new_tokens=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling_module, "TOP", 2)
        expected = TransformersEngine(model, [EOS], 5).generate(batch, sampling)
        engine = at_pace(TransformersEngine(model, [EOS], 5), draws, rows, span)
        found = engine.generate(batch, sampling)
    assert [c.ids for c in found] == [c.ids for c in expected]
    assert [c.finish_reason for c in found] == [c.finish_reason for c in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.entropy == pytest.approx(other.entropy, abs=1e-4)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_a_gpus_shapes_repeat_and_nothing_is_asked_of_it_between_looks():
    model = tiny_model("llama")
    reading(model)  # reads rows of its own
    engine = at_pace(TransformersEngine(model, [EOS], 8), draws=4, rows=4, span=16)
    shapes, looks = set(), []
    model.model.register_forward_pre_hook(
        lambda _, __, kwargs: (
            shapes.add((*kwargs["input_ids"].shape, kwargs["attention_mask"].shape[-1]))
            if kwargs["input_ids"].shape[1] == 1
            else None
        ),
        with_kwargs=True,
    )
    with torch.profiler.profile() as profile:
        engine.generate(
            requests_of(prompts(4), copies=4),
            SamplingConfig(temperature=1.0, top_p=0.9, max_new_tokens=40),
            lambda made, finished: looks.append(made),
        )
    assert shapes <= {(rows, 1, span) for rows in (4, 8) for span in (16, 32, 48, 64)}
    count = {event.key: event.count for event in profile.key_averages()}
    steps = count["aten::topk"]
    # Of a round of four draws, those that search may ask: the first step and the first tokens.
    assert steps > 3 * len(looks)
    assert count.get("aten::nonzero", 0) <= 2 * len(looks)
    assert count.get("aten::_local_scalar_dense", 0) <= 4 * len(looks)


@pytest.mark.parametrize("pace", [(1, 1, 1), (4, 4, 16)])
def test_a_stop_string_ends_a_completion_with_the_token_that_completes_it(pace):
    # Words are joined by spaces: ids 11 and 12 spell " w11 w12", and the string begins within the first.
    vocabulary = {f"w{id}": id for id in range(97)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocabulary, "w0")), unk_token="w0")
    model = tiny_model("llama")
    batch = requests_of(prompts(6), copies=2)
    free = SamplingConfig(temperature=1.2, top_p=1, max_new_tokens=30)
    whole = TransformersEngine(model, [EOS], 5).generate(batch, free)
    pairs = [pair for c in whole for pair in zip(c.ids, c.ids[1:], strict=False)]
    first, second = max(pairs, key=pairs.count)
    stop = (f"{first} w{second}", "never")
    engine = at_pace(TransformersEngine(model, [EOS], 5, tokenizer), *pace)
    found = engine.generate(batch, free.model_copy(update={"stop": stop}))
    stopped = 0
    for one, other in zip(found, whole, strict=True):
        places = [
            n + 2
            for n, (a, b) in enumerate(zip(other.ids, other.ids[1:], strict=False))
            # " wX" ends in the digits of `first`, and " wY" begins with those of `second`
            if str(a).endswith(str(first)) and f"w{b}".startswith(f"w{second}")
        ]
        assert one.ids == other.ids[: min(places, default=None)]
        assert one.finish_reason == ("stop" if places else other.finish_reason)
        stopped += bool(places)
    assert stopped
