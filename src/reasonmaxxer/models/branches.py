"""Attention within rows that hold a prompt and several completions of it.

Each completion attends to the prompt and to itself, in a product of its own: nothing is computed between
completions, where a mask over the whole row would compute it and throw it away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv

SHORT = 384
"""Longest branch, tokens, that a CPU attends by plain products."""

Layout = Sequence[int]
"""Tokens of the prompt, then of each completion."""


def branched(query: Tensor, key: Tensor, value: Tensor, scale: float, layout: Layout) -> Tensor:
    """Attention of a row [1, heads, T, head size] of one prompt and its completions.

    Args:
        query: of all heads.
        key: of the key-value heads.
        value: likewise.
        scale: of the scores.
        layout: says what may see what.

    Returns:
        [1, T, heads, head size].
    """
    if query.device.type == "cpu" and max(layout) <= SHORT:
        products: Tensor = _Products.apply(query, key, value, scale, layout)  # type: ignore[no-untyped-call]
        return products
    repeats, sizes = query.shape[1] // key.shape[1], list(layout)
    states = (query, repeat_kv(key, repeats), repeat_kv(value, repeats))
    (q0, *q), (k0, *k), (v0, *v) = (torch.split(state, sizes, 2) for state in states)
    parts = [scaled_dot_product_attention(q0, k0, v0, is_causal=True, scale=scale)]
    for own_q, own_k, own_v in zip(q, k, v, strict=True):
        length = own_q.shape[2]
        past = torch.ones(length, sizes[0] + length, dtype=torch.bool, device=query.device)
        attended = scaled_dot_product_attention(
            own_q,
            torch.cat([k0, own_k], 2),
            torch.cat([v0, own_v], 2),
            attn_mask=past.tril(sizes[0]),
            scale=scale,
        )
        parts.append(attended)
    return torch.cat(parts, 2).transpose(1, 2)


class _Products(torch.autograd.Function):
    """Attention of short branches by plain products, their probabilities kept for the backward pass.

    On a CPU the fused kernels, made for long sequences, take three times as long forward and backward.
    Scores and softmax are float32, as they are in those kernels.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, layout: Layout
    ) -> Tensor:
        out_THE = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
        kept = []
        scaled = query.float() * scale
        for own, _, query_GNE, key_GSE, value_GSE in _branches(scaled, key.float(), value, layout):
            score_GNS = torch.bmm(query_GNE, key_GSE.transpose(1, 2))
            rows = own.stop - own.start
            _hide_future(score_GNS, rows)
            probability_GNS = score_GNS.softmax(-1).to(value.dtype)
            attended_GNE = torch.bmm(probability_GNS, value_GSE)
            out_THE[own] = attended_GNE.view(-1, rows, value.shape[3]).transpose(0, 1)
            kept.append(probability_GNS)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale, ctx.layout = scale, layout
        return out_THE[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        d_query, d_key, d_value = (torch.zeros_like(state[0]) for state in (query, key, value))
        gradient_HTE = gradients[0][0].transpose(0, 1)
        branches = _branches(query, key, value, ctx.layout)
        for probability, (own, past, own_query, keys, values) in zip(kept, branches, strict=True):
            gradient = gradient_HTE[:, own].reshape(len(keys), -1, values.shape[2])
            slope = torch.bmm(gradient, values.transpose(1, 2))
            slope = torch._softmax_backward_data(slope, probability, -1, probability.dtype)
            slope.mul_(ctx.scale)
            d_query[:, own] = torch.bmm(slope, keys).view_as(d_query[:, own])
            for total, part in (
                (d_key, torch.bmm(slope.transpose(1, 2), own_query)),
                (d_value, torch.bmm(probability.transpose(1, 2), gradient)),
            ):
                total[:, own] += part[:, past:]
                total[:, :past] += part[:, :past]
        return d_query[None], d_key[None], d_value[None], None, None


def _branches(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout
) -> Iterator[tuple[slice, int, Tensor, Tensor, Tensor]]:
    """Prompt and completions in turn: where in the row, past tokens, and states by key-value head.

    Queries of the heads that share a key-value head follow one another: [G, heads / G x tokens, E].
    """
    query_HTE, key_GTE, value_GTE = query[0], key[0], value[0]
    past = start = 0
    for size in layout:
        own = slice(start, start + size)
        query_GNE = query_HTE[:, own].reshape(len(key_GTE), -1, query_HTE.shape[2])
        key_GSE, value_GSE = (
            torch.cat([state[:, :past], state[:, own]], 1) for state in (key_GTE, value_GTE)
        )
        yield own, past, query_GNE, key_GSE, value_GSE
        past, start = layout[0], own.stop


def _hide_future(score_GNS: Tensor, rows: int) -> None:
    """Minus infinity where the key is later than the query; queries are the last `rows` of S tokens."""
    groups, _, span = score_GNS.shape
    later = torch.ones(rows, rows, dtype=torch.bool, device=score_GNS.device).triu(1)
    score_GNS.view(groups, -1, rows, span)[..., -rows:].masked_fill_(later, -torch.inf)
