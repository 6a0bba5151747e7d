"""Attention within rows of several stems on a CPU, each stem a prompt and completions of it.

Each completion attends to its prompt and to itself, in products of its own. Saves what a mask over the whole row would
compute between completions and throw away, and the overhead of fused kernels, which are made for long sequences.
`REASONMAXXER_CPU_KERNELS=0` switches it off.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models.accelerated import masked
from reasonmaxxer.models.layout import RowLayout

SHORT = 384
"""Longest branch, tokens, that is attended by plain products; rows of longer ones are read with a mask."""


def branched(query: Tensor, key: Tensor, value: Tensor, scale: float, layout: RowLayout) -> Tensor:
    """Attention of a row as by `accelerated.in_one_call`, branch by branch."""
    if max(map(max, layout.stems)) > SHORT:
        return masked(query, key, value, scale, layout)
    return _Products.apply(query, key, value, scale, layout)  # type: ignore[no-any-return, no-untyped-call]


class _Products(torch.autograd.Function):
    """Attention of short branches by plain products, their probabilities kept for the backward pass.

    Scores and softmax are float32, as they are in those kernels.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, layout: RowLayout) -> Tensor:
        out_THE = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
        kept = []
        query_HTE, key_GTE = query[0].float() * scale, key[0].float()
        for own, prompt in layout.branches():
            score_GNS = torch.bmm(_by_group(query_HTE[:, own], key_GTE), _joined(key_GTE, prompt, own).transpose(1, 2))
            rows = own.stop - own.start
            _hide_future(score_GNS, rows)
            probability_GNS = score_GNS.softmax(-1).to(value.dtype)
            attended_GNE = torch.bmm(probability_GNS, _joined(value[0], prompt, own))
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
        for probability, (own, prompt) in zip(kept, ctx.layout.branches(), strict=True):
            keys, values = (_joined(state[0], prompt, own) for state in (key, value))
            gradient = _by_group(gradient_HTE[:, own], keys)
            slope = torch.bmm(gradient, values.transpose(1, 2))
            slope = torch._softmax_backward_data(slope, probability, -1, probability.dtype)
            slope.mul_(ctx.scale)
            d_query[:, own] = torch.bmm(slope, keys).view_as(d_query[:, own])
            past = prompt.stop - prompt.start
            for total, part in (
                (d_key, torch.bmm(slope.transpose(1, 2), _by_group(query[0][:, own], keys))),
                (d_value, torch.bmm(probability.transpose(1, 2), gradient)),
            ):
                total[:, own] += part[:, past:]
                total[:, prompt] += part[:, :past]
        return d_query[None], d_key[None], d_value[None], None, None


def _by_group(state_HNE: Tensor, key_GSE: Tensor) -> Tensor:
    """Heads that share a key-value head one after the other, [G, heads / G x N, E]."""
    return state_HNE.reshape(len(key_GSE), -1, state_HNE.shape[2])


def _joined(state_GTE: Tensor, prompt: slice, own: slice) -> Tensor:
    """States of a prompt and of what follows it."""
    return torch.cat([state_GTE[:, prompt], state_GTE[:, own]], 1)


def _hide_future(score_GNS: Tensor, rows: int) -> None:
    """Minus infinity where the key is later than the query; queries are the last `rows` of S tokens."""
    groups, _, span = score_GNS.shape
    later = _later()[:rows, :rows]
    score_GNS.view(groups, -1, rows, span)[..., -rows:].masked_fill_(later, -torch.inf)


@cache
def _later() -> Tensor:
    """Bool [N, N] of the longest branch: whether the second of two tokens comes later."""
    return torch.ones(SHORT, SHORT, dtype=torch.bool).triu(1)
