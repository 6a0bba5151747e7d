"""Plan of a run: tokens, FLOPs, memory, hours and dollars of each stage, and what makes it fit.

Tokens, FLOPs and bytes follow from the recipe and the model's sizes by formula. Seconds are these over a rate: an
assumed share of the device's peak, or what `reasonmaxxer.cost.measure` measured; a plan says which.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import yaml

from reasonmaxxer.config import Recipe, SourceConfig
from reasonmaxxer.cost.meter import StageCost
from reasonmaxxer.cost.prices import Price, price_of
from reasonmaxxer.cost.shape import LARGEST_SHARD, Shape, known_models
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.method.fit import planned_steps
from reasonmaxxer.models.names import hub_name
from reasonmaxxer.models.sizes import sizes
from reasonmaxxer.problems import load_problems
from reasonmaxxer.problems.catalogue import CATALOGUE

Kind = Literal["decode", "train", "read"]
TABLE = Path(__file__).parent / "devices.yaml"
PROMPT_TOKENS = 110
"""Assumed length of a prompt, as of MATH in the paper's prompt styles."""
DECISION_SHARE = 0.05
"""Assumed share of completion positions above a threshold; the paper has 0.02 to 0.09."""
USABLE = 0.94
"""Share of a device's memory to plan with: the rest goes to fragments and other programs."""
LIBRARIES = 2**30
"""Bytes that a process on a CPU holds besides the model."""
FEWEST_TOKENS = 512
"""Sequences cut shorter than this are not worth training on."""


@dataclass(frozen=True)
class Device:
    """A device to plan for.

    Attributes:
        name: in the table of devices, or PyTorch's.
        type: of PyTorch's device, `cpu` or `cuda`.
        memory: bytes that a program can have.
        products: FLOP/s of a large matrix product in bfloat16.
        bandwidth: bytes/s of its memory.
        price: entry of the price book; None where it has none.
    """

    name: str
    type: str
    memory: float
    products: float
    bandwidth: float
    price: str | None


@dataclass(frozen=True)
class Lengths:
    """What only a run tells: mean tokens of a prompt and a completion, and the share of decision points."""

    prompt: int
    completion: float
    decision_share: float


@dataclass(frozen=True)
class Rates:
    """How fast a device works, and whether that was measured on it or is an assumed share of its peaks.

    Attributes:
        measured: whether it did such work.
        flops: FLOP/s, by kind of work, FLOPs counted as in `reasonmaxxer.cost.flops`.
        bandwidth: bytes/s; None where `flops` were measured, which holds the waiting for memory.
        memory: peak in bytes, by kind of work, where it was measured.
    """

    measured: bool
    flops: dict[Kind, float]
    bandwidth: float | None
    memory: dict[Kind, int]


@dataclass(frozen=True)
class Work:
    """A piece of a stage: its kind, tokens, FLOPs, bytes moved, and bytes of memory on top of the weights."""

    kind: Kind
    tokens: int
    flops: float
    moved: float
    memory: float


@dataclass(frozen=True)
class Plan:
    """What a recipe will take on a device.

    Attributes:
        device: where.
        price: of an hour of it.
        lengths: assumed, or measured as the rates are.
        rates: behind seconds and dollars.
        stages: in order; CPU seconds are not planned and 0.
        advice: a sentence for each stage that does not fit, with what makes it fit.
    """

    device: Device
    price: Price
    lengths: Lengths
    rates: Rates
    stages: list[StageCost]
    advice: list[str]

    @property
    def total(self) -> StageCost:
        """Sums, and the highest peak."""
        return StageCost("total", **{k: v for k, v in reduce(add, self.stages).to_dict().items() if k != "stage"})

    def fits(self, stage: StageCost) -> bool:
        """Whether a stage's peak is within the memory to plan with."""
        return stage.peak_memory_bytes <= USABLE * self.device.memory

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `rates.measured` says what seconds and dollars rest on."""
        return asdict(self) | {"total": self.total.to_dict()}


def devices() -> dict[str, Device]:
    """Devices of the table, by name; `cpu` is this machine's, whose peaks the table has a thread."""
    import torch

    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["devices"]
    found = {}
    for name, row in rows.items():
        many, kind = (torch.get_num_threads(), "cpu") if name == "cpu" else (1, "cuda")
        memory = row["memory"] * 2**30 if "memory" in row else _main_memory()
        peaks = many * row["products"] * 1e12, many * row["bandwidth"] * 1e9
        found[name] = Device(name, kind, memory, *peaks, row.get("price"))
    return found


def device_named(name: str) -> Device:
    """A device of the table.

    Raises:
        UserError: it is not there.
    """
    known = devices()
    if name not in known:
        raise UserError(f"--device '{name}' is unknown.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    return known[name]


def assumed_rates(device: Device, shape: Shape) -> Rates:
    """The table's shares of a device's peaks; float32 is taken to be half as fast as bfloat16."""
    shares = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["assumed_share"]
    bandwidth = shares.pop("bandwidth") * device.bandwidth
    return Rates(False, {kind: s * device.products * 2 / shape.itemsize for kind, s in shares.items()}, bandwidth, {})


def assumed_lengths(recipe: Recipe, mean_tokens: float | None = None, prompt_tokens: int | None = None) -> Lengths:
    """Lengths where nothing was measured.

    A mean completion that is not given is that of the table of models, else six tenths of the limit, at most 700.
    """
    gate, limit = recipe.signal.gate, recipe.rollouts.max_new_tokens
    known = known_models().get(hub_name(recipe.model.name), {})
    mean = mean_tokens or known.get("completion", min(0.6 * limit, 700.0))
    share = {"threshold": DECISION_SHARE, "all": 1.0}.get(gate.kind, gate.share)
    return Lengths(prompt_tokens or PROMPT_TOKENS, min(mean, limit), share)


def make_plan(recipe: Recipe, shape: Shape, device: Device, lengths: Lengths, rates: Rates) -> Plan:
    """Plan of every stage of a ReasonMaxxer run that computes anything.

    Raises:
        UserError: another method, or a source of problems whose size is not known.
    """
    price = price_of(recipe.cost.model_copy(update={"price": recipe.cost.price or device.price}), device.name)
    held = _held(shape, device)
    work = stage_work(recipe, shape, device, lengths)
    stages, advice = [], []
    for name, parts in work.items():
        bandwidth = rates.bandwidth or math.inf
        seconds = sum(max(part.flops / rates.flops[part.kind], part.moved / bandwidth) for part in parts)
        peaks = {part.kind: rates.memory.get(part.kind, round(held + part.memory)) for part in parts}
        usd = None if price.usd_per_hour is None else price.usd_per_hour * seconds / 3600
        tokens, flops = sum(part.tokens for part in parts), sum(part.flops for part in parts)
        stages.append(StageCost(name, tokens, flops, seconds, 0.0, max(peaks.values()), usd))
        over = [kind for kind, peak in peaks.items() if peak > USABLE * device.memory]
        advice += [f"{name}: {_remedy(recipe, shape, device, kind)}." for kind in over]
    return Plan(device, price, lengths, rates, stages, advice)


def stage_work(recipe: Recipe, shape: Shape, device: Device, lengths: Lengths) -> dict[str, list[Work]]:
    """The work of each stage, by its name.

    Raises:
        UserError: a method other than ReasonMaxxer, or a source of problems whose size is not known.
    """
    if recipe.training.method != "reasonmaxxer":
        raise UserError(f"A plan is made for ReasonMaxxer, not training.method '{recipe.training.method}'.")
    config, signal, inspection = recipe.evaluation, recipe.signal, recipe.inspection
    each, limit = recipe.rollouts.rollouts_per_problem, config.max_new_tokens
    train, validation, test = (
        _count(getattr(recipe.problems, name), f"problems.{name}", recipe.seed)
        for name in ("train", "validation", "test")
    )

    def sample(problems: int, each: int, limit: int) -> Work:
        return _sampling(recipe, shape, device, lengths, problems, each, limit)

    kept = min(signal.problems, train)
    sequences = math.ceil(kept * each * (1 - signal.trim_longest) / (2 if signal.positive_only else 1))
    steps = planned_steps(sequences, recipe.training)
    tried = math.ceil(steps / math.ceil(steps / recipe.training.checkpoints))  # checkpoints, on validation problems
    courses = [  # the base reads the sequences for the first gate alone
        _training(recipe, shape, device, lengths, sequences, fresh=gate == 0)
        for gate in range(len(signal.gate.candidates()))
    ]
    arm = [sample(test, 1, limit)]
    if config.samples:
        arm.append(sample(min(test, config.sampled_problems or test), config.samples, limit))
    shown = min(inspection.train_problems, kept) * each + 2 * min(inspection.test_problems, test)
    first = {"rollouts": [sample(train, each, recipe.rollouts.max_new_tokens)]}
    if recipe.rollouts.imported:
        first = {"signal": [_reading(shape, lengths, sequences)]}
    return {
        **first,
        "training": courses + [sample(validation, 1, limit)] * len(courses) * tried,
        "evaluation": 2 * arm,
        "inspection": [_reading(shape, lengths, 2 * shown)],
    }


def _sampling(
    recipe: Recipe, shape: Shape, device: Device, lengths: Lengths, problems: int, each: int, limit: int
) -> Work:
    """Prompts read once a problem; a decoding step reads all weights, and the keys and values of its rows."""
    count, mean = problems * each, min(lengths.completion, limit)
    shard = recipe.rollouts.rollouts_per_shard or LARGEST_SHARD
    slots = min(recipe.rollouts.batch_size, shard, count)
    # full while sequences wait; at the end of a shard fewer and fewer go on to the limit
    steps = count * mean / slots + math.ceil(count / shard) * (limit - mean)
    cache = count * mean * (lengths.prompt + mean / 2) * shape.key_value
    flops = shape.flops.sampling([lengths.prompt] * problems, [(lengths.prompt, round(mean))] * count)
    memory = slots * _slot(shape, device, lengths.prompt + limit)
    return Work("decode", round(count * mean), flops, steps * shape.weights + cache, memory)


def _training(recipe: Recipe, shape: Shape, device: Device, lengths: Lengths, sequences: int, *, fresh: bool) -> Work:
    """One adapter; sequences lie four by four behind their prompt, as they are packed."""
    config = recipe.training
    mean = round(min(lengths.completion, config.max_length - lengths.prompt))
    layout = [[lengths.prompt] + [mean] * min(4, sequences - start) for start in range(0, sequences, 4)]
    decisions = round(lengths.decision_share * sequences * mean)
    flops = shape.flops.course(layout, decisions, config.epochs, anchored=config.anchor_weight > 0, fresh=fresh)
    tokens = round(sequences * (lengths.prompt + mean) * config.epochs)
    moved = 3.0 * planned_steps(sequences, config) * shape.weights
    return Work("train", tokens, flops, moved, _training_memory(recipe, shape, device))


def _reading(shape: Shape, lengths: Lengths, sequences: int) -> Work:
    """Sequences read once, with logits at every position."""
    each = lengths.prompt + round(lengths.completion)
    flops = sequences * (shape.flops.hidden(each) + shape.flops.logits(each))
    memory = each * 16 * shape.config.hidden_size * shape.itemsize + 256 * shape.config.vocab_size * 12
    return Work("read", sequences * each, flops, float(sequences * shape.weights), memory)


def _held(shape: Shape, device: Device) -> float:
    """Bytes held throughout: the weights; on a CPU a second copy in the layout of its products, and libraries."""
    return float(shape.weights if device.type == "cuda" else 2 * shape.weights + LIBRARIES)


def _slot(shape: Shape, device: Device, positions: int) -> float:
    """Bytes of a sequence that is decoded: its cache, its logits, and float32 copies of them where a GPU draws."""
    logits = (2 * shape.itemsize + (0 if device.type == "cpu" else 16)) * shape.config.vocab_size
    return float(positions * shape.key_value + logits)


def _training_memory(recipe: Recipe, shape: Shape, device: Device) -> float:
    """Bytes of the longest row's activations, of the adapter with its optimiser in float32, of chunks of logits."""
    config, model = recipe.training, shape.config
    longest = min(config.max_length, PROMPT_TOKENS + recipe.rollouts.max_new_tokens)
    tokens = max(sizes(device.type).row_tokens, longest)
    layer = tokens * (4 * model.intermediate_size + 16 * model.hidden_size) * shape.itemsize / 2
    states = tokens * model.hidden_size * shape.itemsize
    layers = model.num_hidden_layers
    kept = layers * states + layer if config.gradient_checkpointing else layers * layer
    return float(kept + 6 * states + 16 * shape.adapter + 6 * sizes(device.type).logit_bytes)


def _remedy(recipe: Recipe, shape: Shape, device: Device, kind: Kind) -> str:
    """What makes a kind of work fit, by formula: the mildest change of a key, or a larger device."""
    room = USABLE * device.memory - _held(shape, device)
    least = 0.0
    if kind == "decode":
        limit = max(recipe.rollouts.max_new_tokens, recipe.evaluation.max_new_tokens)
        least = _slot(shape, device, PROMPT_TOKENS + limit)
        if room >= least:
            return f"set rollouts.batch_size={int(room / least)}"
    if kind == "train":
        for said, lighter in _lighter(recipe):
            least = _training_memory(lighter, shape, device)
            if least <= room:
                return f"set {said}"
    wanted = device.memory + (least - room) / USABLE
    enough = [d.name for d in devices().values() if d.type == "cuda" and d.memory >= wanted]
    named = f"such as {', '.join(enough)}" if enough else "which none that is known has"
    return f"take a device of {wanted / 2**30:.1f} GiB or more, {named}"


def _lighter(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Recipes whose training needs less and less memory, and what to set for each."""
    keys = "" if recipe.training.gradient_checkpointing else "training.gradient_checkpointing=true"
    config = recipe.training.model_copy(update={"gradient_checkpointing": True})
    yield keys, recipe.model_copy(update={"training": config})
    longest = min(config.max_length, PROMPT_TOKENS + recipe.rollouts.max_new_tokens)
    for tokens in range(longest // 256 * 256, FEWEST_TOKENS - 1, -256):
        shorter = config.model_copy(update={"max_length": tokens})
        both = [key for key in (keys, f"training.max_length={tokens}") if key]
        yield " and ".join(both), recipe.model_copy(update={"training": shorter})


def _count(source: SourceConfig, where: str, seed: int) -> int:
    """Problems of a split; only a generated or local one is looked at."""
    if source.limit is not None:
        return source.limit
    if source.source in CATALOGUE and not source.where:
        return CATALOGUE[source.source].problems
    return len(load_problems(source, seed, where))


def _main_memory() -> float:
    if not hasattr(os, "sysconf"):  # Windows: nothing is said to be too large
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
