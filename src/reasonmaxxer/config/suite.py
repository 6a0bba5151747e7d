"""How one model is measured on benchmarks."""

from __future__ import annotations

from pydantic import Field, model_validator

from reasonmaxxer.config.base import Place, Positive
from reasonmaxxer.config.shared import (
    EngineConfig,
    ModelConfig,
    PromptStyle,
    SamplingConfig,
    SourceConfig,
    VerifyConfig,
)


class SuiteConfig(SamplingConfig):
    """How one model is measured on benchmarks; the defaults are the paper's protocol."""

    seed: int = Field(0, ge=0, description="Fixes every draw.")
    model: ModelConfig = Field(default_factory=ModelConfig, description="The model.")
    adapter: Place | None = Field(
        None, description="PEFT folder of an adapter on it; none measures the model as it is."
    )
    problems: tuple[SourceConfig, ...] = Field(
        min_length=1, description="The benchmarks, or other sources of problems."
    )
    limit: Positive | None = Field(
        None, description="Problems of each, in proportion to its levels, or else its subjects; none takes all."
    )
    samples: Positive | None = Field(
        None, description="Completions a problem; none is the benchmark's own number, 8 or 1."
    )
    ks: tuple[Positive, ...] = Field((), description="k of pass@k; each at most `samples`.")
    max_new_tokens: Positive = Field(8192, description="Longest completion, tokens. Paper: 8192.")
    prompt_style: PromptStyle = Field("chat_template", description="Prompt of the model.")
    engine: EngineConfig = Field(default_factory=EngineConfig, description="What samples.")
    batch_size: Positive = Field(64, description="Sequences decoded at once.")
    rollouts_per_shard: Positive = Field(
        256, description="Completions written at once, and lost at most when it is killed."
    )
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    bootstrap: Positive = Field(10_000, description="Resamples over problems for an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")

    @model_validator(mode="after")
    def _one_model(self) -> SuiteConfig:
        self.engine.refuse_other_weights(self.model)
        return self

    @model_validator(mode="after")
    def _enough_samples(self) -> SuiteConfig:
        if self.ks and (self.samples or 1) < max(self.ks):
            raise ValueError(f"pass@{max(self.ks)} needs samples of at least {max(self.ks)}: change ks or samples")
        if self.temperature == 0 and (self.samples or 1) > 1:
            raise ValueError("at temperature 0 all samples are the same: leave samples at 1")
        return self
