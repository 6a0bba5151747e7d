"""How models are compared token by token, and one distilled into another."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from reasonmaxxer.config.base import AboveZero, Config, NotNegative, OneOrMore, Place, Positive, Several, Share
from reasonmaxxer.config.policies import SEARCH, read_policy
from reasonmaxxer.config.shared import MeasuringConfig, ModelConfig, OptimizerConfig, SamplingConfig, SourceConfig

ATTENTION = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
"""Attention's projections by letter."""
ModuleName = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]


def _understood(text: str) -> str:
    if text != SEARCH:
        read_policy(text)
    return text


PolicyText = Annotated[str, AfterValidator(_understood)]


class ShapeConfig(Config):
    """Where a student's adapter sits, and how wide it is; `MODULES:RANK` says the same.

    MODULES is letters of attention's projections, or names of linear layers joined by `+`: `qkvo:32`,
    `gate_proj+up_proj:4`.
    """

    modules: OneOrMore[ModuleName]
    """Adapted linear layers, by the last part of their names."""
    rank: Positive
    """LoRA rank."""

    @property
    def name(self) -> str:
        """Such as `qkvo-32`; also its folder's."""
        letters = {module: letter for letter, module in ATTENTION.items()}
        short = all(module in letters for module in self.modules)
        joined = "".join(letters[m] for m in self.modules) if short else "+".join(self.modules)
        return f"{joined}-{self.rank}"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: Any) -> Any:
        if not isinstance(values, str):
            return values
        modules, _, rank = values.partition(":")
        if not modules or not rank.isdecimal():
            raise ValueError(f"'{values}' is not of the form MODULES:RANK, such as qkvo:32 or lm_head:8")
        letters = set(modules) <= set(ATTENTION)
        return {"modules": [ATTENTION[m] for m in modules] if letters else modules.split("+"), "rank": int(rank)}

    @model_validator(mode="after")
    def _distinct(self) -> ShapeConfig:
        if len(set(self.modules)) < len(self.modules):
            raise ValueError(f"a module of {', '.join(self.modules)} is named twice")
        return self


def _paper_shapes() -> tuple[ShapeConfig, ...]:
    every = tuple(ATTENTION.values())
    qkvo = (ShapeConfig(modules=every, rank=rank) for rank in (32, 16, 8))
    return (*qkvo, ShapeConfig(modules=("o_proj",), rank=8))


class DistillationConfig(SamplingConfig, OptimizerConfig, MeasuringConfig):
    """Distilling a tuned model into adapters of its base, with nothing but its opinions."""

    base: ModelConfig = ModelConfig()
    """The model before."""
    teacher: ModelConfig = ModelConfig(name="smollm2-teacher")
    """The model after: hub id, local folder, PEFT folder or embedded teacher."""
    train: SourceConfig = SourceConfig(split="train", limit=100)
    """Problems to distil on. Paper: 100."""
    test: SourceConfig = SourceConfig(split="test", limit=100, seed=0)
    """Problems that measure base, teacher and students. Paper: MATH-500."""
    rollouts_per_problem: Positive = 4
    """The teacher's completions of each problem to distil on."""
    decoding_batch_size: Positive = 256
    """Sequences decoded at once."""
    rollouts_per_shard: Positive = 512
    """Rollouts written at once, and lost at most when a run is killed."""
    top: Positive = 64
    """The teacher's most likely tokens kept a position; all others count as one. Paper: 64."""
    shapes: OneOrMore[ShapeConfig] = Field(default_factory=_paper_shapes)
    """One student each, as `MODULES:RANK` (`qkvo:32`, `lm_head:8`, `gate_proj+up_proj:4`) or modules and rank. Paper:
    Q, K, V and O at ranks 32, 16 and 8, and O at 8."""
    alpha_per_rank: AboveZero = 2.0
    """LoRA alpha over rank. Paper: 2."""
    dropout: Share = 0.05
    """LoRA dropout. Paper: 0.05."""
    weight_decay: NotNegative = 0.01
    """AdamW decay. Paper: 0.01."""
    warmup_share: Share = 0.1
    """Steps of linear warm-up, of all; then linear decay. Paper: 0.1."""
    epochs: AboveZero = 3.0
    """Passes over the rollouts. Paper: 3."""
    batch_size: Positive = 16
    """Sequences an optimiser step. Paper: 16."""
    micro_batch_size: Positive = 16
    """Sequences packed together; memory is that of a packed row. Paper: 2."""

    @model_validator(mode="after")
    def _distinct(self) -> DistillationConfig:
        names = [shape.name for shape in self.shapes]
        if len(set(names)) < len(names):
            raise ValueError(f"a shape of {', '.join(names)} is named twice")
        return self


class MicroscopeConfig(MeasuringConfig):
    """How two models of one family are compared token by token.

    Attributes:
        compared: models that are compared with the base.
    """

    compared: ClassVar[int] = 1
    base: ModelConfig = ModelConfig()
    """The model before."""
    tuned: Several[Place] = ("smollm2-teacher",)
    """The models after, one, or two of `overlap`: hub ids, folders, PEFT folders."""
    problems: SourceConfig = SourceConfig(split="test", limit=100, seed=0)
    """Problems whose answers are compared."""
    text: Place = "base"
    """Whose greedy answers are read: `base`, `tuned`, or a .jsonl file of answers with problem_id."""
    max_new_tokens: Positive = 120
    """Longest answer, tokens."""
    batch_size: Positive = 64
    """Sequences decoded at once."""

    @property
    def greedy(self) -> SamplingConfig:
        """Decoding without chance."""
        return SamplingConfig(temperature=0, top_p=1, max_new_tokens=self.max_new_tokens)

    @model_validator(mode="after")
    def _as_many_as_compared(self) -> MicroscopeConfig:
        if len(self.tuned) != self.compared:
            raise ValueError(f"tuned must name {self.compared}, not {len(self.tuned)}: {', '.join(self.tuned)}")
        return self


class InterveneConfig(MicroscopeConfig):
    """Which tokens of one model are put into the other's answers."""

    outside_identity = frozenset({"policies"})
    text: Literal["base"] = "base"
    """Always `base`."""
    policies: Several[PolicyText] = ()
    """What is tried, each as NAME or NAME:BUDGET, such as `oracle:first=2`; docs/microscope.md lists names and
    budgets. `reverse-` before a name changes the models' places; `fewest` is the search. None is the paper's,
    controls, dose and response, the search."""


class OverlapConfig(MicroscopeConfig):
    """Two models tuned from one base, whose edits are compared."""

    compared = 2
    tuned: Several[Place] = ("smollm2-teacher-rloo", "smollm2-teacher")
    """The two models after: hub ids, folders, PEFT folders."""
    text: Literal["base"] = "base"
    """Always `base`."""
