"""How one model is measured on benchmarks."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from reasonmaxxer.config.base import Config, Count, NotNegative, Place, Positive, Several
from reasonmaxxer.config.shared import EngineConfig, MeasuringConfig, ModelConfig, SamplingConfig, SourceConfig


class MeasuredSource(SourceConfig):
    """Problems that measure a model."""

    split: str = "test"
    """Split of the source; files and most benchmarks have only one."""


class PowerConfig(Config):
    """Power sampling: completions drawn from p^(1/temperature) over whole sequences, by Metropolis-Hastings."""

    short_for = "cuts"
    cuts: Literal["none", "uniform", "jumps", "gate"] = "none"
    """Where a completion is cut and drawn anew: `uniform`, anywhere (arXiv 2510.14901); `jumps`, where the entropy
    rises, in proportion (arXiv 2605.30327); `gate`, where it exceeds tau. `none`: ordinary sampling."""
    tau: NotNegative = 0.8
    """Threshold of `gate`, nats."""
    blocks: Positive = 16
    """Parts of max_new_tokens by which a completion grows. arXiv 2510.14901: 16."""
    steps: Count = 10
    """Proposals after each block. arXiv 2510.14901: 10."""


class SuiteConfig(SamplingConfig, MeasuringConfig):
    """How one model is measured on benchmarks; the defaults are the paper's protocol."""

    outside_identity = frozenset({"suite", "against"})
    model: ModelConfig = ModelConfig()
    """The model."""
    adapter: Place | None = None
    """PEFT folder of an adapter on it; none measures the model as it is."""
    suite: Literal["paper", "code", "code-plus"] | None = None
    """`paper`: GSM8K, MATH-500, Minerva Math, OlympiadBench, AIME 2024, AMC 2023 and AIME 2025; the default where no
    `problems` are given. `code`: HumanEval and MBPP; `code-plus`: the same with EvalPlus's additional tests."""
    problems: Several[MeasuredSource] = ()
    """Instead of a suite: benchmarks by name, word-problems, reasoning-gym/TASK, files or data sets' hub ids, each
    alone or with the keys of a source. Benchmarks are files of the folder that REASONMAXXER_DATA names, else from the
    hub."""
    limit: Positive | None = None
    """Problems of each, unless its own limit is smaller, in proportion to its levels, or else its subjects; none takes
    all."""
    samples: Positive | None = None
    """Completions a problem; none is the benchmark's own number, 8 on AIME and AMC, or 1."""
    ks: Several[Positive] = ()
    """k of pass@k; each at most `samples`."""
    max_new_tokens: Positive = 8192
    """Longest completion, tokens. Paper: 8192."""
    engine: EngineConfig = EngineConfig()
    """What samples."""
    power: PowerConfig = PowerConfig()
    """Power sampling."""
    batch_size: Positive = 64
    """Sequences decoded at once."""
    rollouts_per_shard: Positive = 256
    """Completions written at once, and lost at most when it is killed."""
    against: Place | None = None
    """Folder of a finished evaluation of another model, for paired differences."""

    @model_validator(mode="after")
    def _one_choice(self) -> SuiteConfig:
        if self.suite and self.problems:
            raise ValueError("suite and problems exclude each other; leave one of them out")
        return self

    @model_validator(mode="after")
    def _one_model(self) -> SuiteConfig:
        self.engine.refuse_other_weights(self.model)
        return self

    @model_validator(mode="after")
    def _powered(self) -> SuiteConfig:
        if self.power.cuts == "none":
            return self
        if not 0 < self.temperature < 1 or self.top_p < 1 or self.stop:
            raise ValueError(
                f"power.cuts '{self.power.cuts}' samples p^(1/temperature) over whole sequences: set temperature "
                "between 0 and 1 (0.25 in arXiv 2510.14901), top_p to 1, and no stop strings"
            )
        if self.engine.name != "transformers" or self.engine.ray.workers:
            raise ValueError(f"power.cuts '{self.power.cuts}' needs the engine transformers, without Ray")
        return self

    @model_validator(mode="after")
    def _enough_samples(self) -> SuiteConfig:
        if self.ks and (self.samples or 1) < max(self.ks):
            raise ValueError(f"pass@{max(self.ks)} needs samples of at least {max(self.ks)}: change ks or samples")
        if self.temperature == 0 and (self.samples or 1) > 1:
            raise ValueError("at temperature 0 all samples are the same: leave samples at 1")
        return self
