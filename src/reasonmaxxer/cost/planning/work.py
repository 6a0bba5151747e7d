"""The work of a stage in pieces: each knows its tokens, FLOPs, seconds and memory.

Tokens and FLOPs come from the formulas of the meter on made-up lengths. Seconds come from a roofline:
products at a share of the device's rate, weights and cache at a share of its bandwidth, and what a layer
takes besides. Memory is what comes on top of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.cost.planning.devices import Device
from reasonmaxxer.cost.planning.shapes import Shape
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.train import packed_rows
from reasonmaxxer.models.sizes import sizes

LOGIT_BYTES = 40
"""Bytes moved a logit of a decoding step: the statistics pass over float32 logits about ten times."""
MLP, NORM = 4, 16
"""Bytes kept for the backward pass a token and layer, by the MLP's width and by the hidden state's.

An MLP keeps two bfloat16 vectors; the rest is what two norms and the adapter read, and queries, keys and
values with what attention makes of them.
"""


def lengths(count: int, scale: float, limit: int, seed: int) -> list[int]:
    """Completion lengths: exponential, cut at the limit, shuffled.

    Args:
        count: of completions.
        scale: mean length if there were no limit, tokens.
        limit: longest completion.
        seed: of the shuffle.
    """
    order = np.random.default_rng(seed).permutation(count)
    return [round(length) for length in _quantiles(count, scale, limit)[order]]


def scale_of(mean: float, limit: int) -> float:
    """The scale whose lengths, cut at the limit, have a given mean; that of a mean at the limit is vast."""
    low, high = 0.0, 1e3 * limit
    for _ in range(100):
        middle = (low + high) / 2
        short = _quantiles(1000, middle, limit).mean() < mean
        low, high = (middle, high) if short else (low, middle)
    return high


def _quantiles(count: int, scale: float, limit: int) -> np.ndarray:
    share = (np.arange(count) + 0.5) / count
    return np.clip(-scale * np.log1p(-share), 1, limit)


@dataclass(frozen=True)
class Sampling:
    """Completions of some problems, decoded shard by shard.

    Attributes:
        prompt: tokens of every prompt.
        lengths: tokens of every completion, a problem's together.
        each: completions a problem.
        limit: longest completion allowed.
        slots: sequences decoded at once.
        shard: completions decoded before the next ones start.
    """

    prompt: int
    lengths: list[int]
    each: int
    limit: int
    slots: int
    shard: int

    @property
    def tokens(self) -> int:
        """Completions alone, as the meter counts."""
        return sum(self.lengths)

    def flops(self, shape: Shape) -> float:
        """Each prompt read once, each completion decoded."""
        prompts = [self.prompt] * (len(self.lengths) // self.each)
        return shape.flops.sampling(prompts, [(self.prompt, length) for length in self.lengths])

    def seconds(self, shape: Shape, device: Device) -> float:
        """Prompts at the rate of reading; every decoding step bound by products or by the weights."""
        kind = device.kind
        bandwidth = device.bandwidth * kind.bandwidth
        prompts = len(self.lengths) // self.each
        reading = prompts * shape.flops.hidden(self.prompt) / (device.products * kind.read)
        token = shape.flops.hidden(1) + shape.flops.logits(1)
        total = reading
        for rows, span in self._steps():
            products = rows * token / (device.products * kind.decode)
            weights = shape.weights / bandwidth
            cache = rows * span * shape.key_value + rows * shape.vocabulary * LOGIT_BYTES
            step = np.maximum(products, weights) + cache / bandwidth
            total += float((step + shape.layers * kind.launch).sum())
        return total

    def memory(self, shape: Shape, device: Device) -> float:
        """Cache of all slots, of the prompts read at once, and a step's logits."""
        slots = min(self.slots, self.shard, len(self.lengths))
        prompts = sizes(device.name).prompt_tokens * shape.key_value
        return slots * self.slot(shape, device) + prompts

    def slot(self, shape: Shape, device: Device) -> float:
        """Bytes of one more sequence decoded at once; a GPU draws from the logits of all at once."""
        positions = self.prompt + self.limit
        float32 = 0 if device.name == "cpu" else 4 * 4  # logits, shifted, their exponentials, scaled
        logits = (2 * shape.itemsize + float32) * shape.vocabulary
        return positions * shape.key_value + logits

    def _steps(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Sequences decoded at every step of each shard, and tokens of the longest of them."""
        size = max(1, self.shard // self.each) * self.each
        for start in range(0, len(self.lengths), size):
            made = np.array(self.lengths[start : start + size])
            begun, ended = _turns(made, self.slots)
            at = np.arange(ended.max())
            rows = np.searchsorted(np.sort(begun), at, "right") - np.searchsorted(np.sort(ended), at, "right")
            oldest = np.searchsorted(np.maximum.accumulate(ended), at, "right")
            yield rows, self.prompt + at - begun[oldest] + 1


def _turns(made: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which each sequence starts, in order as slots fall free, and has ended."""
    begun = np.zeros(len(made), dtype=np.int64)
    free = np.sort(made[:slots])
    for index in range(slots, len(made)):
        begun[index] = free[0]
        free[0] += made[index]
        free = np.sort(free)
    return begun, begun + made


@dataclass(frozen=True)
class Training:
    """One adapter trained on made-up examples.

    Attributes:
        examples: what teaches.
        decision_share: of completion positions.
        config: of the recipe.
        seed: of the order.
        fresh: whether the base reads the sequences; of a sweep, only for the first adapter.
        longest: tokens of the longest sequence there may be.
        kept_states: whether the base's hidden states are kept in main memory.
    """

    examples: list[Example]
    decision_share: float
    config: TrainingConfig
    seed: int
    fresh: bool
    longest: int
    kept_states: bool

    @cached_property
    def _rows(self) -> dict[str, list[list[list[int]]]]:
        """Sizes of the stems of every row, by type of device."""
        rows = {device: packed_rows(self.examples, self.config, self.seed, device) for device in ("cpu", "cuda")}
        return {device: [[s.sizes for s in row] for row in own] for device, own in rows.items()}

    @property
    def tokens(self) -> int:
        """Sequences with their prompts, as the meter counts."""
        read = sum(len(e.prompt_ids) + len(e.completion_ids) for e in self.examples)
        return round(read * self.config.epochs)

    def flops(self, shape: Shape) -> float:
        """Forward, backward, and the base where it is not known."""
        layout = [sizes for row in self._rows["cpu"] for sizes in row]
        made = sum(len(example.completion_ids) for example in self.examples)
        return shape.flops.course(
            layout,
            round(self.decision_share * made),
            self.config.epochs,
            anchored=self.config.anchor_weight > 0,
            fresh=self.fresh,
        )

    def seconds(self, shape: Shape, device: Device) -> float:
        """FLOPs at the rate of training, and what layers take besides in three passes a row."""
        kind = device.kind
        rate = device.products * kind.train
        recomputed = 4 / 3 if self.config.gradient_checkpointing else 1.0
        products = recomputed * self.flops(shape) / rate
        rows = len(self._rows[device.type])
        launches = 3 * shape.layers * kind.launch * rows * self.config.epochs
        return products + launches

    def memory(self, shape: Shape, device: Device) -> float:
        """Activations of the longest row, adapter with its optimiser, logits of a chunk of positions."""
        packed = max(sum(map(sum, row)) for row in self._rows[device.type])
        tokens = max(packed, self.longest) if self.longest > sizes(device.type).row_tokens else packed
        kept = self.activations(tokens, shape)
        states = 6 * tokens * shape.hidden * shape.itemsize
        optimiser = 16 * shape.adapter  # float32: weight, gradient, two moments
        total = kept + states + optimiser + 6 * sizes(device.type).logit_bytes
        if self.kept_states and device.type == "cpu":
            total += self.tokens * shape.hidden * shape.itemsize
        return total

    def activations(self, tokens: int, shape: Shape) -> float:
        """Bytes kept of a row for the backward pass."""
        layer = tokens * (MLP * shape.intermediate + NORM * shape.hidden) * shape.itemsize / 2
        if not self.config.gradient_checkpointing:
            return shape.layers * layer
        return shape.layers * tokens * shape.hidden * shape.itemsize + layer


@dataclass(frozen=True)
class Scoring:
    """Sequences read once by teacher forcing, logits at every position.

    Attributes:
        sequences: tokens of each, prompt included.
    """

    sequences: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(self.sequences)

    def flops(self, shape: Shape) -> float:
        """One forward and all logits, as the meter counts."""
        return sum(shape.flops.hidden(n) + shape.flops.logits(n) for n in self.sequences)

    def seconds(self, shape: Shape, device: Device) -> float:
        """FLOPs at the rate of reading."""
        launches = len(self.sequences) * shape.layers * device.kind.launch
        return self.flops(shape) / (device.products * device.kind.read) + launches

    def memory(self, shape: Shape, device: Device) -> float:
        """Hidden states of the longest sequence within a layer, logits of a chunk of positions."""
        layer = max(self.sequences, default=0) * (MLP * shape.intermediate + NORM * shape.hidden)
        return layer * shape.itemsize / 2 + 256 * shape.vocabulary * 12


Work = Sampling | Training | Scoring
