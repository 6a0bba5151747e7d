"""Attention of rows and of single tokens against plain attention and a float64 softmax."""

from collections import Counter

import pytest
import torch
from torch.profiler import profile

from reasonmaxxer.models import attention as module
from reasonmaxxer.models.accelerated import flash, in_one_call, masked
from reasonmaxxer.models.attention import attention, row_arguments
from reasonmaxxer.models.cpu import branches
from reasonmaxxer.models.cpu.branches import branched
from reasonmaxxer.models.layout import RowLayout
from reasonmaxxer.models.reading import reading
from tests.models.flash_stand_in import idle_backward, idle_forward, install
from tests.tiny import FAMILIES, tiny_model

CPU = torch.device("cpu")
READERS = {"cpu": branched, "mask": masked, "flash": flash}

PROMPT = [5, 6, 7, 8]
COMPLETIONS = ([11, 12, 13], [14], [15, 16])


@pytest.fixture(params=READERS)
def reader(request, monkeypatch):
    """Each way to read rows, on a CPU: the kernel that only CUDA has is written out."""
    library = install()
    monkeypatch.setattr(module, "branched", READERS[request.param])
    yield READERS[request.param]
    library._destroy()


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_each_sequence_is_what_it_is_alone(family, reader):
    model = tiny_model(family)
    assert reading(model) == "layout"
    stems = [(PROMPT, COMPLETIONS), ([9, 10], ([17, 18], [19]))]
    ids, positions = [], []
    for prompt, completions in stems:
        ids += prompt + [token for completion in completions for token in completion]
        positions += range(len(prompt))
        positions += [len(prompt) + i for completion in completions for i in range(len(completion))]
    ids_1T = torch.tensor([ids])
    layout = [[len(prompt), *map(len, completions)] for prompt, completions in stems]
    hidden = model.model(
        input_ids=ids_1T, position_ids=torch.tensor([positions]), use_cache=False, **row_arguments(layout, ids_1T)
    )[0][0]
    start = 0
    for prompt, completions in stems:
        first, start = start, start + len(prompt)
        for completion in completions:
            alone = model.model(input_ids=torch.tensor([prompt + completion]))[0][0]
            torch.testing.assert_close(hidden[first : first + len(prompt)], alone[: len(prompt)])
            own = hidden[start : start + len(completion)]
            torch.testing.assert_close(own, alone[len(prompt) :])
            start += len(completion)
    assert start == len(hidden)


def test_without_a_layout_it_is_sdpa():
    model, same = tiny_model(), tiny_model()
    assert reading(model) == "layout"
    ids = torch.arange(5, 15).view(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    ours, plain = (m(ids, attention_mask=mask).logits for m in (model, same))
    assert torch.equal(ours[mask.bool()], plain[mask.bool()])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"llama", "qwen2", "qwen3"}))
def test_sliding_windows_keep_their_masks(family):
    model = tiny_model(family)
    before = model.config._attn_implementation
    assert reading(model) == "mask"
    assert model.config._attn_implementation == before


def drawn(heads, groups, size, tokens=15):
    draw = torch.Generator().manual_seed(0)
    states = [torch.randn(1, h, tokens, size, generator=draw, requires_grad=True) for h in (heads, groups, groups)]
    return states, torch.randn(1, tokens, heads, size, generator=draw)


@pytest.mark.parametrize("short", [0, 384])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_values_and_gradients_are_those_of_a_mask(short, heads, groups, reader, monkeypatch):
    """However a row is read: one softmax a query over what it may see, in float64."""
    monkeypatch.setattr(branches, "SHORT", short)
    layout = RowLayout([[3, 4, 1, 2, 0], [2, 3]], CPU)  # one completion is empty
    # 0 to 3 are the first stem's prompt and completions, 4 and 5 the second's
    part = torch.tensor([0] * 3 + [1] * 4 + [2] + [3] * 2 + [4] * 2 + [5] * 3)
    above = {0: {0}, 1: {0, 1}, 2: {0, 2}, 3: {0, 3}, 4: {4}, 5: {4, 5}}
    seen = torch.tensor([[k <= q and int(part[k]) in above[int(part[q])] for k in range(15)] for q in range(15)])
    states, target = drawn(heads, groups, 5)
    ours, _ = attention(None, *states, None, scaling=0.3, layout=layout)
    gradients = torch.autograd.grad((ours * target).sum(), states)

    exact = [state.detach().double().requires_grad_() for state in states]
    q, k, v = exact[0][0], *(x[0].repeat_interleave(heads // groups, 0) for x in exact[1:])
    scores = (0.3 * q @ k.mT).masked_fill(~seen, -torch.inf)
    expected = (scores.softmax(-1) @ v).transpose(0, 1)[None]
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    reference = torch.autograd.grad((expected * target).sum(), exact)
    for gradient, wanted in zip(gradients, reference, strict=True):
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-6)


def operators(read, stems):
    """Operators of one layer's attention of a row, forward and backward, the row's own included."""
    states, target = drawn(4, 2, 8, sum(map(sum, stems)))
    with profile() as found:
        (read(*states, 0.3, RowLayout(stems, CPU)) * target).sum().backward()
    return Counter(e.name for e in found.events() if e.name.startswith("aten::"))


@pytest.mark.parametrize("read", [masked, flash])
def test_one_call_is_one_call_for_any_number_of_branches(read):
    library = install(idle_forward, idle_backward)  # operators within the kernel do not count
    few, many = (operators(read, [[5, *[3] * 4]] * stems) for stems in (2, 32))
    assert few == many
    one = {masked: "aten::scaled_dot_product_attention", flash: "aten::_flash_attention_forward"}
    assert few[one[read]] == 1
    assert operators(branched, [[5, *[3] * 4]] * 8).total() > 4 * few.total()
    library._destroy()


def test_a_row_prepares_its_layout_once_for_all_layers():
    layout = RowLayout([[2, 3]], CPU)
    assert layout.mask is layout.mask
    assert layout.segments is layout.segments


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_cuda_a_row_is_read_as_on_a_cpu(dtype):
    stems = [[30, 40, 10, 200], [20, 3]]
    states, target = drawn(14, 2, 64, sum(map(sum, stems)))
    results = []
    for device, kind in (("cpu", torch.float64), ("cuda", dtype)):
        leaves = [state.detach().to(device, kind).requires_grad_() for state in states]
        read = masked if device == "cpu" else in_one_call
        out = read(*leaves, 0.1, RowLayout(stems, torch.device(device)))
        gradients = torch.autograd.grad((out * target.to(device, kind)).sum(), leaves)
        results.append([part.detach().double().cpu() for part in (out, *gradients)])
    limit = 0.02 if dtype == torch.bfloat16 else 1e-4
    for exact, ours in zip(*results, strict=True):
        assert (ours - exact).norm() < limit * exact.norm()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_one_token_attends_as_a_float64_softmax_says(heads, groups, masked):
    """Keys lie in a longer cache, as they do while decoding."""
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, 1, 8, generator=draw)
    key, value = (torch.randn(2, groups, 12, 8, generator=draw)[:, :, :7] for _ in range(2))
    mask = torch.arange(7) < torch.tensor([[[[4]]], [[[7]]]]) if masked else None
    ours, _ = attention(None, query, key, value, mask, scaling=0.3)

    q, k, v = (query.double(), *(x.double().repeat_interleave(heads // groups, 1) for x in (key, value)))
    scores = 0.3 * q @ k.mT
    if masked:
        scores = scores.masked_fill(~mask, -torch.inf)
    expected = (scores.softmax(-1) @ v).transpose(1, 2)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
