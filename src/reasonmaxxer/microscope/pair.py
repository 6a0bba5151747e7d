"""A base and a model tuned from it, held so that token ids mean the same in both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import LoadedModel, OutputHead, eos_ids, load_model, resolve_device
from reasonmaxxer.models.cpu.frozen import frozen

Arm = Literal["base", "tuned"]
ARMS: tuple[Arm, Arm] = ("base", "tuned")
HEADROOM = 1.5
"""Memory that a model at work takes, in multiples of its weights."""


@dataclass
class Pair:
    """Two causal language models of one vocabulary, frozen.

    Attributes:
        base: the model before.
        tuned: the model after.
        device: where they work.
        in_turn: whether the device holds one of them at a time; the other waits in main memory.
    """

    base: LoadedModel
    tuned: LoadedModel
    device: str = "cpu"
    in_turn: bool = False
    _heads: dict[Arm, OutputHead] = field(default_factory=dict, repr=False)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion of either, so that both end alike."""
        arms = (self.base, self.tuned)
        return tuple(sorted({i for arm in arms for i in eos_ids(arm.model, arm.tokenizer)}))

    def loaded(self, arm: Arm) -> LoadedModel:
        """One of the two by name."""
        return self.base if arm == "base" else self.tuned

    def beside(self, tuned: str, config: ModelConfig, trust_remote_code: bool = False) -> Pair:
        """The same base with another tuned model.

        Args:
            tuned: the other model.
            config: of the base, as the pair was opened with.
            trust_remote_code: let the model's repository run its own code.

        Raises:
            UserError: it cannot be loaded, or does not belong to the base.
        """
        return _with_tuned(self.base, tuned, config, self.device, self.in_turn, trust_remote_code)

    @contextmanager
    def using(self, arm: Arm) -> Iterator[Any]:
        """The model of one arm, on the device while the block runs."""
        model = self.loaded(arm).model
        if not self.in_turn:
            yield model
            return
        model.to(self.device)
        try:
            yield model
        finally:
            model.to("cpu")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Both models prepared for many products, as long as the block runs."""
        with ExitStack() as stack:
            for arm in ARMS if self.device == "cpu" else ():
                stack.enter_context(frozen(self.loaded(arm).model))
            yield

    def head(self, arm: Arm) -> OutputHead:
        """What makes logits of an arm's states; on the device even while its model waits."""
        if arm not in self._heads:
            head = OutputHead(self.loaded(arm).model)
            if self.in_turn:
                head.projection = deepcopy(head.projection).to(self.device)
            self._heads[arm] = head
        return self._heads[arm]


@dataclass(frozen=True)
class AdapterPair:
    """The two models of one PEFT model: base with its adapter off, tuned with it on.

    Attributes:
        model: the PEFT model; no adapter of it changes the output head.
    """

    model: Any

    @contextmanager
    def using(self, arm: Arm) -> Iterator[Any]:
        """The model with its adapter on or off, prepared for many products, while the block runs."""
        with self.model.disable_adapter() if arm == "base" else nullcontext(), frozen(self.model):
            yield self.model

    def head(self, arm: Arm) -> OutputHead:
        """What makes logits of an arm's states: the same of both."""
        return OutputHead(self.model)


def open_pair(base: ModelConfig, tuned: str, trust_remote_code: bool = False) -> Pair:
    """Load both models of a pair.

    A CPU gets float32 unless told otherwise: there the most likely token does not depend on how
    sequences are batched, as in bfloat16 it does.

    Args:
        base: the model before, with what both share: device, type and attention.
        tuned: the model after: hub id, local folder, PEFT folder or embedded teacher.
        trust_remote_code: let the models' repositories run their own code.

    Raises:
        UserError: one of them cannot be loaded, or they do not belong together.
    """
    device = resolve_device(base)
    if base.dtype == "auto" and device == "cpu":
        base = base.model_copy(update={"dtype": "float32"})
    before = load_model(base, trust_remote_code)
    in_turn = False
    if device.startswith("cuda"):
        size = sum(weight.numel() * weight.element_size() for weight in before.model.parameters())
        in_turn = size * HEADROOM > torch.cuda.mem_get_info(device)[0]
    if in_turn:
        before.model.to("cpu")
    return _with_tuned(before, tuned, base, device, in_turn, trust_remote_code)


def _with_tuned(
    before: LoadedModel, tuned: str, config: ModelConfig, device: str, in_turn: bool, trust_remote_code: bool
) -> Pair:
    dtype = str(before.model.dtype).removeprefix("torch.")
    values = {"name": tuned, "revision": None, "dtype": dtype}
    after = load_model(config.model_copy(update=values), trust_remote_code)
    check_pair(before, after)
    if in_turn:
        after.model.to("cpu")
    return Pair(before, after, device, in_turn)


def check_pair(base: LoadedModel, tuned: LoadedModel) -> None:
    """Refuse models whose token ids do not mean the same; one may have more of them, to pad with.

    Raises:
        UserError: different tokens or sizes of vocabulary.
    """
    ours, theirs = base.tokenizer.get_vocab(), tuned.tokenizer.get_vocab()
    taken = {id: token for token, id in theirs.items()}
    differing = [token for token, id in ours.items() if taken.get(id, token) != token]
    if differing:
        raise UserError(
            f"{base.name} and {tuned.name} have different tokenizers ({len(ours):,} and {len(theirs):,} "
            f"tokens; {differing[0]!r} is {ours.get(differing[0])} in one and {theirs.get(differing[0])} "
            "in the other): token by token only models of one vocabulary compare. Give a model and what "
            "was trained from it."
        )
    sizes = [len(OutputHead(arm.model).projection.weight) for arm in (base, tuned)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{base.name} predicts {sizes[0]:,} tokens and {tuned.name} {sizes[1]:,}: token by token only "
            "models of one vocabulary compare. Give a model and what was trained from it."
        )
