"""How models are compared token by token, and one distilled into another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from reasonmaxxer.config.base import Config, Positive, Share
from reasonmaxxer.config.shared import ModelConfig, PromptStyle, SamplingConfig, SourceConfig, VerifyConfig

ATTENTION = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
"""Attention's projections by letter."""
ModuleName = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]


class ShapeConfig(Config):
    """Where a student's adapter sits, and how wide it is."""

    modules: tuple[ModuleName, ...] = Field(
        min_length=1, description="Adapted linear layers, by the last part of their names."
    )
    rank: Positive = Field(description="LoRA rank.")

    @property
    def name(self) -> str:
        """Such as `qkvo-32`; also its folder's."""
        letters = {module: letter for letter, module in ATTENTION.items()}
        short = all(module in letters for module in self.modules)
        joined = "".join(letters[m] for m in self.modules) if short else "+".join(self.modules)
        return f"{joined}-{self.rank}"

    @model_validator(mode="after")
    def _distinct(self) -> ShapeConfig:
        if len(set(self.modules)) < len(self.modules):
            raise ValueError(f"a module of {', '.join(self.modules)} is named twice")
        return self


def _paper_shapes() -> tuple[ShapeConfig, ...]:
    every = tuple(ATTENTION.values())
    qkvo = (ShapeConfig(modules=every, rank=rank) for rank in (32, 16, 8))
    return (*qkvo, ShapeConfig(modules=("o_proj",), rank=8))


class DistillationConfig(SamplingConfig):
    """Distilling a tuned model into adapters of its base, with nothing but its opinions."""

    seed: int = Field(0, ge=0, description="Fixes every draw.")
    base: ModelConfig = Field(default_factory=ModelConfig, description="The model before.")
    teacher: ModelConfig = Field(
        default_factory=lambda: ModelConfig(name="smollm2-teacher"),
        description="The model after: hub id, local folder, PEFT folder or embedded teacher.",
    )
    train: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="train", limit=100),
        description="Problems to distil on. Paper: 100.",
    )
    test: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="test", limit=100, seed=0),
        description="Problems that measure base, teacher and students. Paper: MATH-500.",
    )
    prompt_style: PromptStyle = Field("chat_template", description="Prompt of all models, by the base's tokenizer.")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    rollouts_per_problem: Positive = Field(4, description="The teacher's completions of each problem to distil on.")
    decoding_batch_size: Positive = Field(256, description="Sequences decoded at once.")
    rollouts_per_shard: Positive = Field(
        512, description="Rollouts written at once, and lost at most when a run is killed."
    )
    top: Positive = Field(
        64, description="The teacher's most likely tokens kept a position; all others count as one. Paper: 64."
    )
    shapes: tuple[ShapeConfig, ...] = Field(
        default_factory=_paper_shapes,
        min_length=1,
        description="One student each. Paper: Q, K, V and O at ranks 32, 16 and 8, and O at 8.",
    )
    alpha_per_rank: float = Field(2.0, gt=0, description="LoRA alpha over rank. Paper: 2.")
    dropout: Share = Field(0.05, description="LoRA dropout. Paper: 0.05.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak AdamW rate. Paper: 1e-4.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW decay. Paper: 0.01.")
    warmup_share: Share = Field(0.1, description="Steps of linear warm-up, of all; then linear decay. Paper: 0.1.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clip.")
    epochs: float = Field(3.0, gt=0, description="Passes over the rollouts. Paper: 3.")
    batch_size: Positive = Field(16, description="Sequences an optimiser step. Paper: 16.")
    micro_batch_size: Positive = Field(
        16, description="Sequences packed together; memory is that of a packed row. Paper: 2."
    )
    max_length: Positive = Field(8192, description="Tokens kept, cut on the right.")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory.")
    bootstrap: Positive = Field(10_000, description="Resamples over problems for an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")

    @model_validator(mode="after")
    def _consistent(self) -> DistillationConfig:
        names = [shape.name for shape in self.shapes]
        if len(set(names)) < len(names):
            raise ValueError(f"a shape of {', '.join(names)} is named twice")
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self


class MicroscopeConfig(Config):
    """How two models of one family are compared token by token."""

    seed: int = Field(0, ge=0, description="Fixes every draw.")
    base: ModelConfig = Field(default_factory=ModelConfig, description="The model before.")
    tuned: tuple[str, ...] = Field(
        ("smollm2-teacher",), description="The models after: hub ids, folders, PEFT folders."
    )
    problems: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="test", limit=100, seed=0),
        description="Problems whose answers are compared.",
    )
    prompt_style: PromptStyle = Field("chat_template", description="Prompt of all models.")
    text: str = Field(
        "base", description="Whose greedy answers are read: `base`, `tuned`, or a .jsonl file of answers."
    )
    max_new_tokens: Positive = Field(120, description="Longest answer, tokens.")
    batch_size: Positive = Field(64, description="Sequences decoded at once.")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    bootstrap: Positive = Field(10_000, description="Resamples over problems for an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")
