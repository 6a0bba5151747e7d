"""Plan of a run: tokens, FLOPs, memory, hours and dollars of each stage, and what makes it fit.

Tokens, FLOPs and bytes follow from the recipe and the model's sizes by formula. Seconds are these over a rate: an
assumed share of the device's peak, or what `reasonmaxxer.cost.measure` measured; a plan says which.
"""

import math
import os
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import yaml

from reasonmaxxer.config import Recipe
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
class Work:
    """A piece of a stage: its kind, tokens, FLOPs, bytes moved, and bytes of memory on top of the weights."""

    kind: Kind
    tokens: int
    flops: float
    moved: float
    memory: float


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

    def seconds(self, work: Work) -> float:
        """Time of a piece of work: that of its products or of its memory, whichever is longer."""
        return max(work.flops / self.flops[work.kind], work.moved / (self.bandwidth or math.inf))


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
        return replace(reduce(add, self.stages), stage="total")

    def fits(self, stage: StageCost) -> bool:
        """Whether a stage's peak is within the memory to plan with."""
        return stage.peak_memory_bytes <= USABLE * self.device.memory

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `rates.measured` says what seconds and dollars rest on."""
        return asdict(self) | {"total": asdict(self.total)}


def devices() -> dict[str, Device]:
    """Devices of the table, by name; `cpu` is this machine's, whose peaks the table has a thread."""
    import torch

    def device(name: str, memory: float, products: float, bandwidth: float, price: str | None = None) -> Device:
        many, kind = (torch.get_num_threads(), "cpu") if name == "cpu" else (1, "cuda")
        return Device(name, kind, memory * 2**30, many * products * 1e12, many * bandwidth * 1e9, price)

    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["devices"]
    # Windows does not say how much it has: nothing is too large there
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    rows["cpu"]["memory"] = pages / 2**30
    return {name: device(name, **row) for name, row in rows.items()}


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
    """Lengths where nothing was measured; a prompt's is one assumption for all problems, no text is tokenized.

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
    formulas = Formulas(recipe, shape, device, lengths)
    stages, advice = [], []
    for name, parts in formulas.stages().items():
        seconds = sum(map(rates.seconds, parts))
        peaks = {part.kind: rates.memory.get(part.kind, round(formulas.held + part.memory)) for part in parts}
        usd = None if price.usd_per_hour is None else price.usd_per_hour * seconds / 3600
        tokens, flops = sum(part.tokens for part in parts), sum(part.flops for part in parts)
        stages.append(StageCost(name, tokens, flops, seconds, 0.0, max(peaks.values()), usd))
        over = [kind for kind, peak in peaks.items() if peak > USABLE * device.memory]
        advice += [f"{name}: {formulas.remedy(kind)}." for kind in over]
    return Plan(device, price, lengths, rates, stages, advice)


@dataclass(frozen=True)
class Formulas:
    """What a run of ReasonMaxxer computes, moves and holds.

    Attributes:
        recipe: what would be run.
        shape: sizes of its model.
        device: where.
        lengths: of its prompts and completions.
    """

    recipe: Recipe
    shape: Shape
    device: Device
    lengths: Lengths

    def stages(self) -> dict[str, list[Work]]:
        """The work of each stage, by its name.

        Raises:
            UserError: a method other than ReasonMaxxer, or a source of problems whose size is not known.
        """
        recipe, config, signal = self.recipe, self.recipe.evaluation, self.recipe.signal
        if recipe.training.method != "reasonmaxxer":
            raise UserError(f"A plan is made for ReasonMaxxer, not training.method '{recipe.training.method}'.")
        each, limit = recipe.rollouts.rollouts_per_problem, config.max_new_tokens
        train, validation, test = map(self._problems, ("train", "validation", "test"))
        rounds, asked = recipe.rounds, min(train, recipe.rollouts.problems or train)
        kept, teaching = min(signal.problems, asked), min(each, signal.rollouts or each)
        sequences = math.ceil(kept * teaching * (1 - signal.trim_longest) / (1 if signal.negative_weight else 2))
        steps, gates = planned_steps(sequences, recipe.training), len(signal.gate.candidates())
        checkpoints = math.ceil(steps / math.ceil(steps / recipe.training.checkpoints))
        arm = [self._sampling(test, 1, limit)]
        if config.samples:
            arm.append(self._sampling(min(test, config.sampled_problems or test), config.samples, limit))
        inspection = recipe.inspection
        shown = min(inspection.train_problems, kept) * each + 2 * min(inspection.test_problems, test)
        sampling = self._sampling(asked, each, recipe.rollouts.max_new_tokens)
        first = {"rollouts": [sampling]}
        if recipe.rollouts.imported:
            first = {"signal": [self._reading(sequences)]}
        return {
            **first,
            # the base reads the sequences for the first gate alone; every checkpoint answers the validation problems
            "training": [self._training(sequences, fresh=gate == 0) for gate in range(gates)] * rounds
            + [self._sampling(validation, 1, limit)] * gates * checkpoints * rounds
            + [sampling] * (rounds - 1),
            "evaluation": 2 * arm,
            "inspection": [self._reading(2 * shown)],
        }

    @property
    def held(self) -> float:
        """Bytes held throughout: the weights; on a CPU a second copy in the layout of its products, and libraries."""
        return float(self.shape.weights if self.device.type == "cuda" else 2 * self.shape.weights + LIBRARIES)

    def remedy(self, kind: Kind) -> str:
        """What makes a kind of work fit, by formula: the mildest change of a key, or a larger device."""
        config, room = self.recipe.training, USABLE * self.device.memory - self.held
        limit = max(self.recipe.rollouts.max_new_tokens, self.recipe.evaluation.max_new_tokens)
        shortest = sizes(self.device.type).row_tokens  # no row is planned shorter, whatever a sequence may have
        least = {"decode": self._slot(limit), "train": self._row(shortest, checkpointing=True), "read": 0.0}[kind]
        if kind == "decode" and room >= least:
            return f"set rollouts.batch_size={int(room / least)}"
        if kind == "train" and room >= least:
            keys = [] if config.gradient_checkpointing else ["training.gradient_checkpointing=true"]
            if self._row(self._longest, checkpointing=True) > room:
                a_token = self._row(shortest + 1, checkpointing=True) - least
                tokens = shortest + int((room - least) / a_token)
                keys.append(f"training.max_length={tokens // 256 * 256}")
            return f"set {' and '.join(keys)}"
        wanted = self.device.memory + (least - room) / USABLE
        enough = [d.name for d in devices().values() if d.type == "cuda" and d.memory >= wanted]
        named = f"such as {', '.join(enough)}" if enough else "which none that is known has"
        return f"take a device of {wanted / 2**30:.1f} GiB or more, {named}"

    def _sampling(self, problems: int, each: int, limit: int) -> Work:
        """Prompts read once a problem; a decoding step reads all weights, and the keys and values of its rows."""
        config, prompt = self.recipe.rollouts, self.lengths.prompt
        count, mean = problems * each, min(self.lengths.completion, limit)
        shard = config.rollouts_per_shard or LARGEST_SHARD
        slots = min(config.batch_size, shard, count)
        # full while sequences wait; at the end of a shard fewer and fewer go on to the limit
        steps = count * mean / slots + math.ceil(count / shard) * (limit - mean)
        cache = count * mean * (prompt + mean / 2) * self.shape.key_value
        flops = self.shape.flops.sampling([prompt] * problems, [(prompt, round(mean))] * count)
        return Work(
            "decode", round(count * mean), flops, steps * self.shape.weights + cache, slots * self._slot(limit)
        )

    def _training(self, sequences: int, *, fresh: bool) -> Work:
        """One adapter; sequences lie four by four behind their prompt, as they are packed."""
        config, prompt = self.recipe.training, self.lengths.prompt
        mean = round(min(self.lengths.completion, config.max_length - prompt))
        layout = [[prompt] + [mean] * min(4, sequences - start) for start in range(0, sequences, 4)]
        decisions = round(self.lengths.decision_share * sequences * mean)
        anchored = config.anchor_weight > 0
        flops = self.shape.flops.course(layout, decisions, config.epochs, anchored=anchored, fresh=fresh)
        moved = 3.0 * planned_steps(sequences, config) * self.shape.weights
        memory = self._row(self._longest, checkpointing=config.gradient_checkpointing)
        return Work("train", round(sequences * (prompt + mean) * config.epochs), flops, moved, memory)

    def _reading(self, sequences: int) -> Work:
        """Sequences read once, with logits at every position."""
        shape, each = self.shape, self.lengths.prompt + round(self.lengths.completion)
        flops = sequences * (shape.flops.hidden(each) + shape.flops.logits(each))
        memory = each * 16 * shape.config.hidden_size * shape.itemsize + 256 * shape.config.vocab_size * 12
        return Work("read", sequences * each, flops, float(sequences * shape.weights), memory)

    def _slot(self, limit: int) -> float:
        """Bytes of a sequence that is decoded: its cache, its logits, and float32 copies of them where a GPU draws."""
        logits = (2 * self.shape.itemsize + (0 if self.device.type == "cpu" else 16)) * self.shape.config.vocab_size
        return float((self.lengths.prompt + limit) * self.shape.key_value + logits)

    @property
    def _longest(self) -> int:
        """Tokens of the longest row: several sequences, or one that is longer."""
        longest = min(self.recipe.training.max_length, self.lengths.prompt + self.recipe.rollouts.max_new_tokens)
        return max(sizes(self.device.type).row_tokens, longest)

    def _row(self, tokens: int, *, checkpointing: bool) -> float:
        """Bytes of a row's activations, of the adapter with its optimiser in float32, and of chunks of logits."""
        model, layers = self.shape.config, self.shape.config.num_hidden_layers
        layer = tokens * (4 * model.intermediate_size + 16 * model.hidden_size) * self.shape.itemsize / 2
        states = tokens * model.hidden_size * self.shape.itemsize
        kept = layers * states + layer if checkpointing else layers * layer
        return float(kept + 6 * states + 16 * self.shape.adapter + 6 * sizes(self.device.type).logit_bytes)

    def _problems(self, split: str) -> int:
        """Problems of a split; only a generated or local one is looked at."""
        source = getattr(self.recipe.problems, split)
        if source.limit is not None:
            return int(source.limit)
        if source.source in CATALOGUE and not source.where:
            return CATALOGUE[source.source].size(source.split)
        return len(load_problems(source, self.recipe.seed, f"problems.{split}"))
