"""What stands in for CUDA's flash attention of variable lengths on a CPU: the same operators, written out.

A run's queries are the last of its keys: https://github.com/Dao-AILab/flash-attention#changes-in-v21.
"""

from itertools import pairwise

import torch


def runs(query, key, value, query_ends, key_ends, scale):
    """Places of each run, [heads, N, E] queries, keys and values, and probabilities."""
    assert query_ends.dtype == key_ends.dtype == torch.int32
    repeats = query.shape[1] // key.shape[1]
    for own, past in zip(pairwise(query_ends.tolist()), pairwise(key_ends.tolist()), strict=True):
        own, past = slice(*own), slice(*past)
        q = query[own].transpose(0, 1)
        k, v = (x[past].repeat_interleave(repeats, 1).transpose(0, 1) for x in (key, value))
        seen = torch.ones(q.shape[1], k.shape[1]).bool().tril(k.shape[1] - q.shape[1])
        p = (scale * q @ k.mT).masked_fill(~seen, -torch.inf).softmax(-1)
        yield own, past, q, k, v, p


def forward(query, key, value, query_ends, key_ends, max_q, max_k, dropout, causal, debug, *, scale, **others):
    assert causal and dropout == 0
    assert max_q == query_ends.diff().max() and max_k == key_ends.diff().max()
    out = torch.empty_like(query)
    for own, _, _, _, v, p in runs(query, key, value, query_ends, key_ends, scale):
        out[own] = (p @ v).transpose(0, 1)
    empty = query.new_empty(0)
    return out, query.new_empty(query.shape[1], len(query)), empty, empty, empty


def backward(
    gradient, query, key, value, out, normaliser, query_ends, key_ends, max_q, max_k, dropout, causal,
    state, unused, *, scale, **others,
):  # fmt: skip
    assert causal and dropout == 0
    totals = [torch.zeros_like(x) for x in (query, key, value)]
    for own, past, q, k, v, p in runs(query, key, value, query_ends, key_ends, scale):
        g = gradient[own].transpose(0, 1)
        slope = p * (g @ v.mT)
        slope = scale * (slope - p * slope.sum(-1, keepdim=True))
        totals[0][own] = (slope @ k).transpose(0, 1)
        for total, part in zip(totals[1:], (slope.mT @ q, p.mT @ g), strict=True):
            groups = part.unflatten(0, (key.shape[1], -1)).sum(1)  # heads that share a key-value head
            total[past] = groups.transpose(0, 1)
    return tuple(totals)


def idle_forward(query, key, *others, **more):
    """What costs as many operators for any number of runs."""
    return query.clone(), query.new_empty(1), *[query.new_empty(0)] * 3


def idle_backward(gradient, query, key, value, *others, **more):
    return query.clone(), key.clone(), value.clone()


def install(forward=forward, backward=backward):
    """The operators on a CPU, until what is returned is destroyed (`_destroy`)."""
    library = torch.library.Library("aten", "IMPL", "CPU")
    library.impl("_flash_attention_forward", forward)
    library.impl("_flash_attention_backward", backward)
    return library
