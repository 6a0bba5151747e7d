"""How a model may read several sequences at once, found by letting it read a few made-up ones.

A family keeps sequences of a row apart only if its layers pass on what they are told: a mask, positions, a
cache of fixed slots. Which do is not written in their configs, so each is asked to read some rows together,
and its states are compared with those of the rows read alone, by its own attention.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig

from reasonmaxxer.errors import UserError
from reasonmaxxer.models.attention import NAME, can_attend, row_arguments
from reasonmaxxer.models.cache import SlotCache
from reasonmaxxer.models.head import decoder, unlike_head, unwrapped
from reasonmaxxer.models.layout import Layout, RowLayout
from reasonmaxxer.models.masks import attention_masks
from reasonmaxxer.models.prefill import read_on, read_together

Reading = Literal["layout", "mask", "alone"]
"""Rows of several sequences by `attention`; such rows by masks; or one sequence after another, with the
model's own attention and cache."""

OTHER_SPANS = ("window_size", "attention_chunk_size", "index_topk")
"""Ends of the names of settings that bound what a token sees, which no mask of ours follows and short rows
do not show."""

Forward = Callable[..., Tensor]


def reading(model: Any) -> Reading:
    """How a model may read; found out at the first call and remembered.

    Where it is `layout`, the model's layers attend by `attention` from then on. A warning says `alone`.

    Args:
        model: a causal LM, PEFT-wrapped or not.

    Raises:
        UserError: its logits are not those of `OutputHead`, it does not read from left to right, or what
            `generate()` makes is not what it reads.
    """
    inner = unwrapped(model)
    config = inner.config.get_text_config()
    known: tuple[str, Reading] | None = getattr(inner, "_reading", None)
    if known is None or known[0] != config._attn_implementation:
        way = _found(inner)
        known = inner._reading = (config._attn_implementation, way)
    return known[1]


def row_states(
    way: Reading, model: Any, forward: Forward, ids_1T: Tensor, position_1T: Tensor, layout: Layout
) -> Tensor:
    """Final hidden states [T, D] of a row of several sequences, each as if it were alone.

    Args:
        way: how the model may read.
        model: a causal LM, PEFT-wrapped or not.
        forward: final hidden states [1, T, D] of keywords that the model's forward takes.
        ids_1T: tokens.
        position_1T: of each within its sequence.
        layout: of the row.
    """
    if way == "alone":
        return _one_by_one(forward, ids_1T, layout)
    told: dict[str, Any]
    if way == "layout":
        told = row_arguments(layout, ids_1T)
    elif [len(stem) for stem in layout] == [2]:  # a sequence alone: plain causal attention
        told = {"attention_mask": torch.ones_like(ids_1T)}
    else:
        allowed_1TT = RowLayout(layout, position_1T.device).mask[0]
        distance_1TT = position_1T[:, :, None] - position_1T[:, None, :]
        told = {"attention_mask": attention_masks(model, allowed_1TT, distance_1TT)}
    return forward(input_ids=ids_1T, position_ids=position_1T, use_cache=False, **told)[0]


def _one_by_one(forward: Forward, ids_1T: Tensor, layout: Layout) -> Tensor:
    """A prompt is read once for each of its completions, its states taken from the first."""
    parts = []
    for stem_1T, sizes in zip(torch.split(ids_1T, [sum(stem) for stem in layout], 1), layout, strict=True):
        prompt_1T, *completions = torch.split(stem_1T, list(sizes), 1)
        for number, own_1T in enumerate(completions):
            states_TD = forward(input_ids=torch.cat([prompt_1T, own_1T], 1), use_cache=False)[0]
            parts.append(states_TD[prompt_1T.shape[1] if number else 0 :])
    return torch.cat(parts)


@torch.no_grad()
def _found(model: Any) -> Reading:
    config = model.config.get_text_config()
    own = "sdpa" if config._attn_implementation == NAME else config._attn_implementation
    was_training = model.training
    model.eval()
    try:
        config._attn_implementation = own
        _refuse(model, _tried(partial(unlike_head, model)))
        way, reason = _together(model, config, own)
        if way:
            return way
        _refuse(model, _tried(_MadeUpRows(model).decode_alone))
    finally:
        model.train(was_training)
    warnings.warn(
        f"{type(model).__name__} reads one sequence at a time and decodes as generate() does, which is "
        f"slower: {reason}.",
        stacklevel=3,
    )
    return "alone"


def _together(model: Any, config: Any, own: str) -> tuple[Reading | None, str | None]:
    """The way to read several sequences at once, or why there is none."""
    reason = _other_span(config)
    ways: list[Reading] = ["layout", "mask"] if can_attend(config) else ["mask"]
    with _first_layers(model, config):
        rows = _MadeUpRows(model)
        _refuse(model, _tried(rows.read_alone))
        for way in () if reason else ways:
            config._attn_implementation = NAME if way == "layout" else own
            reason = _tried(partial(rows.read_together, way))
            if not reason:
                return way, None
    config._attn_implementation = own
    return None, reason


@contextmanager
def _first_layers(model: Any, config: Any) -> Iterator[None]:
    """Let a model be its first layers, four or more with one of each kind: they read as the others do."""
    layers, count = getattr(decoder(model), "layers", None), config.num_hidden_layers
    kinds = list(getattr(config, "layer_types", None) or [])
    needed = max([4, *(kinds.index(kind) + 1 for kind in set(kinds))])
    if not isinstance(layers, torch.nn.ModuleList) or not needed < len(layers) == count:
        yield
        return
    try:
        config.num_hidden_layers, decoder(model).layers = needed, layers[:needed]
        yield
    finally:
        config.num_hidden_layers, decoder(model).layers = count, layers


def _tried(check: Callable[[], str | None]) -> str | None:
    """What a check says; a family whose forward does not take what it is told fails in any way it likes."""
    try:
        return check()
    except UserError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        return f"{type(error).__name__}: {first}"


def _refuse(model: Any, reason: str | None) -> None:
    if reason:
        raise UserError(
            f"{type(model).__name__} (model_type {model.config.model_type}) is no causal language model "
            f"that can be sampled and trained here: {reason}. Take another model."
        )


def _other_span(config: Any) -> str | None:
    spans = [f"{name} = {value}" for name, value in config.to_dict().items() if name.endswith(OTHER_SPANS) and value]
    return f"no mask here follows {', '.join(spans)}" if spans else None


class _MadeUpRows:
    """A prompt with two completions and another with one, three rows of as many tokens."""

    SAME, PROMPTS, TOKENS = 4, (7, 6), 12

    def __init__(self, model: Any) -> None:
        self.model = model
        vocabulary = model.get_input_embeddings().num_embeddings
        ids_3T = torch.arange(5, 5 + 21 * self.TOKENS, 7, device=model.device).view(3, -1)
        ids_3T[1, : self.PROMPTS[0]] = ids_3T[0, : self.PROMPTS[0]]
        ids_3T[2, : self.SAME] = ids_3T[0, : self.SAME]
        self.ids_3T = ids_3T % vocabulary
        self.alone_3TD = torch.empty(0, dtype=model.dtype)

    def read_alone(self) -> str | None:
        """Read all as a plain batch; the states of a prompt must not depend on what follows."""
        self.alone_3TD = self._states(input_ids=self.ids_3T, use_cache=False)
        prompt = slice(self.PROMPTS[0])
        other = _error(self.alone_3TD[1, prompt], self.alone_3TD[0, prompt])
        return self._judged(other, "tokens are read with those that follow")

    def read_together(self, way: Reading) -> str | None:
        """Read all as one row, then from a cache of slots."""
        first, second = self.PROMPTS
        starts, sizes = (0, first, 0), [self.TOKENS, self.TOKENS - first, self.TOKENS]
        place_3T = torch.arange(self.TOKENS, device=self.ids_3T.device).expand(3, -1)
        ids_1N, place_1N = (
            torch.cat([own_T[start:] for own_T, start in zip(all_3T, starts, strict=True)])[None]
            for all_3T in (self.ids_3T, place_3T)
        )
        layout = [[first, sizes[1], sizes[1]], [second, self.TOKENS - second]]
        read_ND = row_states(way, self.model, self._states, ids_1N, place_1N, layout)
        parts = zip(torch.split(read_ND, sizes), self.alone_3TD, starts, strict=True)
        other = max(_error(own_TD, alone_TD[start:]) for own_TD, alone_TD, start in parts)
        return self._judged(other, "several to a row, sequences are read as others") or self._judged(
            self._decoded(), "in a cache of slots, sequences are decoded as others"
        )

    def _decoded(self) -> float:
        """Prompts behind what both begin with, two more tokens in another order, and one more."""
        ids_2T, alone_2TD = self.ids_3T[::2], self.alone_3TD[::2]

        def behind(states: Tensor, order: Sequence[int], start: int, count: int) -> Tensor:
            return torch.stack([states[i, self.PROMPTS[i] + start :][:count] for i in order])

        cache = SlotCache(self.model.config.get_text_config().num_hidden_layers, 2, self.TOKENS)
        first, second = (ids_T[:n].tolist() for ids_T, n in zip(ids_2T, self.PROMPTS, strict=True))
        read_together(self.model, cache, [first[: self.SAME]])
        cache.keep_prefix()
        last_2D = read_together(self.model, cache, [first[self.SAME :], second[self.SAME :]])
        errors = [_error(last_2D[:, None], behind(alone_2TD, (0, 1), -1, 1))]
        for slot, length in enumerate(self.PROMPTS):
            cache.admit(slot, slot, length)
        for order, start, count in (((1, 0), 0, 2), ((0, 1), 2, 1)):
            starts_2 = torch.tensor([self.PROMPTS[i] + start for i in order], device=ids_2T.device)
            slots_2 = torch.tensor(order, device=ids_2T.device) if order[0] else None
            span = int(starts_2.max()) + count
            own_2N = behind(ids_2T, order, start, count)
            read = read_on(decoder(self.model), cache, own_2N, starts_2, span, slots_2)
            errors.append(_error(read[0], behind(alone_2TD, order, start, count)))
        return max(errors)

    def decode_alone(self) -> str | None:
        """Continue all by the model's own cache, and read what came out."""
        made = self.model.generate(
            self.ids_3T,
            attention_mask=torch.ones_like(self.ids_3T),
            generation_config=GenerationConfig(max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=[]),
            output_logits=True,
            return_dict_in_generate=True,
        )
        read_3TV = self.model(input_ids=made.sequences, use_cache=False).logits[:, -4:-1]
        other = _error(torch.stack(made.logits, 1), read_3TV)
        return self._judged(other, "generate() decodes other than what is read")

    def _states(self, **told: Any) -> Tensor:
        states: Tensor = decoder(self.model)(**told)[0]
        return states

    def _judged(self, error: float, what: str) -> str | None:
        """Half precision is off by a percent or two; what reads others' tokens, by tens."""
        limit = 0.1 if self.alone_3TD.dtype.itemsize < 4 else 1e-3
        return None if error <= limit else f"{what} (states off by {error:.1%})"


def _error(states: Tensor, exact: Tensor) -> float:
    """Mean distance of states [..., T, D] from a sequence's exact ones, in parts of those; the largest."""
    off = (states.float() - exact.float()).norm(dim=-1) / exact.float().norm(dim=-1)
    return float(off.mean(-1).max())
