"""The stages of a run, one config each, and the recipe that they make up."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from reasonmaxxer.config.base import AboveZero, Config, Count, NotNegative, Place, Positive, Several, Share
from reasonmaxxer.config.shared import (
    EngineConfig,
    IntervalConfig,
    ModelConfig,
    OptimizerConfig,
    PromptStyle,
    SamplingConfig,
    SourceConfig,
    VerifyConfig,
)


class ProblemsConfig(Config):
    """The three splits, which must be disjoint, and how a problem becomes a prompt."""

    train: SourceConfig = SourceConfig(split="train", limit=60)
    """Problems to learn from."""
    validation: SourceConfig = SourceConfig(split="validation", limit=50, seed=0)
    """Problems that choose the gate and the checkpoint. Paper: 50."""
    test: SourceConfig = SourceConfig(split="test", limit=100, seed=0)
    """Problems that measure base and adapted model; nothing is chosen on them."""
    prompt_style: PromptStyle = "chat_template"
    """Prompt of base, teacher and adapted model alike. Paper: `qwen_boxed` for Qwen base models, `llama_abel` for
    Mistral, `chat_template` for chat models. `chat_boxed` asks a chat model for steps and a box. For programs:
    `chat_code` asks a chat model for the function in a code block, `code_completion` is the problem alone, for base
    models."""


class RolloutsConfig(SamplingConfig):
    """Rollouts of the base model on the training problems."""

    engine: EngineConfig = EngineConfig()
    """What samples."""
    problems: Positive | None = None
    """Training problems that a round asks, the next ones of an order that the seed shuffles; none is all of them."""
    rollouts_per_problem: Positive = 8
    """Completions a problem. Paper: 20."""
    batch_size: Positive = 256
    """Sequences decoded at once."""
    rollouts_per_shard: Positive | None = None
    """Rollouts a shard, whole problems: what is written at once, and what a killed run loses at most. None is what a
    CPU makes in about two minutes, 512 at most, and 512 on a GPU; the run's `recipe.yaml` fixes it when it begins."""
    imported: Place | None = None
    """JSON Lines file of rollouts made elsewhere, used instead of sampling: problem_id or prompt, and completion or
    completion_ids; TRL's formats are read."""

    @model_validator(mode="after")
    def _varied(self) -> RolloutsConfig:
        if self.temperature == 0 and not self.imported:
            raise ValueError(
                "at temperature 0 all rollouts of a problem are the same and teach nothing: set temperature above 0"
            )
        return self

    @model_validator(mode="after")
    def _asked(self) -> RolloutsConfig:
        if self.problems and self.imported:
            raise ValueError("problems are those to sample, and imported rollouts are there: leave one of them out")
        return self


GateKind = Literal["threshold", "share", "lowest", "random", "first", "last", "all"]
GATE_KNOBS: dict[GateKind, Literal["tau", "share"] | None] = {
    "threshold": "tau",
    "share": "share",
    **dict.fromkeys(("lowest", "random", "first", "last"), "share"),
    "all": None,
}
"""The key that a kind of gate reads, and that its sweep varies."""


class GateConfig(Config):
    """Which completion positions are decision points."""

    kind: GateKind = "threshold"
    """`threshold`: entropy above tau; `share`: the most entropic share of all completion positions; `all`: every one.
    Controls of the same size: the `lowest` share by entropy, a `random` one, a completion's `first` or `last`."""
    tau: NotNegative = 0.8
    """Threshold, nats. Paper: 1.2 to 1.8 by model family."""
    share: Share = 0.5
    """Share of positions, for every kind that asks for one. Paper: 0.02 to 0.09 results from tau."""
    sweep: Several[float] = ()
    """Values of tau (or share) to train one adapter each; the validation split chooses. Paper: 1.2, 1.4, 1.6, 1.8."""

    def candidates(self) -> tuple[GateConfig, ...]:
        """The gates to train: one a swept value, or this gate alone."""
        knob = GATE_KNOBS[self.kind]
        if not knob or not self.sweep:
            return (self,)
        return tuple(self.model_copy(update={knob: value, "sweep": ()}) for value in self.sweep)

    @model_validator(mode="after")
    def _sweepable(self) -> GateConfig:
        knob = GATE_KNOBS[self.kind]
        if self.sweep and not knob:
            raise ValueError(f"sweep has nothing to vary with kind '{self.kind}'")
        if knob == "share" and not all(0 <= v <= 1 for v in self.sweep):
            raise ValueError(f"sweep holds shares with kind '{self.kind}', between 0 and 1")
        return self


AdvantageName = Literal["group", "boltzmann", "shuffled", "random"]


class SignalConfig(Config):
    """Which rollouts teach, how strongly, and at which positions."""

    problems: Positive = 40
    """Mixed problems kept, nearest pass rate one half. Paper: 50."""
    rollouts: int | None = Field(None, ge=2)
    """Rollouts of a problem that teach: half of them its best and half its worst, with the advantages that they have
    among all. None is all. Paper: all."""
    trim_longest: float = Field(0.0, ge=0, lt=1)
    """Longest share of kept rollouts to drop. Paper's scripts: 0.2."""
    advantage_clip: AboveZero = 2.5
    """Bound of |advantage|. Paper: 2.5."""
    advantage: AdvantageName = "group"
    """`group`: (r - mean) / std of the problem's rollouts; `boltzmann`: exp(r / temperature) over its mean, so that
    wrong rollouts teach a little in place of being pushed away; `shuffled` among the problem's rollouts and `random`
    rewards are controls. Paper: `group`."""
    boltzmann_temperature: AboveZero = 0.5
    """Of `boltzmann`."""
    negative_weight: NotNegative = 1.0
    """Weight of rollouts that were worse than their group; 0 learns from the others alone (ablation). Paper: 1."""
    gate: GateConfig = GateConfig()
    """The decision points."""

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_2(cls, values: Any) -> Any:
        """Recipes and runs of version 0.2 have `positive_only`, which is a weight of 0."""
        if not isinstance(values, dict) or not isinstance(values.get("positive_only"), bool):
            return values
        others = {key: value for key, value in values.items() if key != "positive_only"}
        return {**others, "negative_weight": 0.0} if values["positive_only"] else others


class AdapterConfig(Config):
    """Shape of the LoRA adapter."""

    rank: int = Field(32, gt=0, le=16_384)
    """LoRA rank. Paper: 32."""
    alpha: AboveZero = 64
    """LoRA alpha. Paper: 64."""
    dropout: Share = 0.0
    """LoRA dropout. Paper: 0."""
    target_modules: Several[str] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Adapted modules. Paper: these. A family that lacks some of the default's takes PEFT's, or its fused
    projections."""


Method = Literal["reasonmaxxer", "grpo", "rloo", "sft", "dpo", "kto"]
ONLINE: tuple[Method, ...] = ("grpo", "rloo")
"""Methods that sample while they train; the others learn from rollouts of the base."""


class BaselineConfig(Config):
    """Settings that only the baselines have; names and meaning are TRL's."""

    steps: Positive = 40
    """Optimiser steps of `grpo` and `rloo`."""
    temperature: AboveZero = 1.0
    """Sampling temperature of `grpo` and `rloo`."""
    top_entropy_quantile: float = Field(1.0, gt=0, le=1)
    """Most entropic share of tokens that `grpo` learns from."""
    beta: NotNegative = 0.0
    """Strength of the KL to the base in `grpo` and `rloo`; of the implicit reward in `dpo` and `kto`, which need one
    above 0."""


ObjectiveName = Literal["paper", "topr", "ppo"]


class TrainingConfig(OptimizerConfig):
    """Training of the adapter, by ReasonMaxxer or by a baseline."""

    method: Method = "reasonmaxxer"
    """`reasonmaxxer`, or a baseline through TRL: `grpo` and `rloo` sample while they train; `sft` (correct rollouts),
    `dpo` (correct against wrong) and `kto` (either, unpaired) learn from the base's rollouts. `reasonmaxxer baseline
    METHOD` sets it with the rest."""
    baseline: BaselineConfig = BaselineConfig()
    """Settings that only the baselines read."""
    adapter: AdapterConfig = AdapterConfig()
    """The LoRA adapter."""
    anchor_weight: NotNegative = 0.2
    """Lambda, weight of the anchor. Paper: 0.2."""
    anchor_positions: Literal["all", "completion"] = "all"
    """Where the anchor holds: prompt and completion, or completion only."""
    objective: ObjectiveName = "paper"
    """What decision points teach (`docs/objectives.md`). `paper`: -A log p; `topr`: where A < 0 the push fades as the
    token does; `ppo`: the clipped surrogate."""
    negative_floor: Share = 1e-4
    """Of `paper`: a wrong rollout's token below this probability is pushed no further. Paper: 0 (none)."""
    clip_epsilon: AboveZero = 0.2
    """Of `ppo`: how far the ratio of probabilities may go from 1."""
    lr_scheduler_type: Literal["linear", "constant_with_warmup"] = "linear"
    """The rate after warm-up: `linear` decay to zero at the end of each round, or constant. Paper: `linear`."""
    warmup_steps: Count = 5
    """Linear warm-up, of the first round. Paper: 50 (Mistral 30)."""
    checkpoints: Positive = 2
    """Checkpoints along the run; pass@1 on validation problems picks one."""
    report_to: Several[str] = ()
    """Trackers: `tensorboard`, `wandb`, `trackio` (all into the run directory), ..."""

    @model_validator(mode="after")
    def _fits_the_method(self) -> TrainingConfig:
        if self.method in ("dpo", "kto") and not self.baseline.beta:
            raise ValueError(f"baseline.beta must be above 0 for method '{self.method}'; TRL's own is 0.1")
        if self.method == "kto" and self.micro_batch_size == 1:
            raise ValueError("method 'kto' compares sequences of a forward pass: micro_batch_size is 2 or more")
        return self


class EvaluationConfig(SamplingConfig, IntervalConfig):
    """How base and adapted model are compared on the test problems."""

    samples: Count = 0
    """Sampled completions a problem; 0 is greedy alone. Paper: 8 or 1."""
    sampled_problems: Positive | None = None
    """Test problems that are sampled, the first so many; none is all."""
    ks: Several[Positive] = (1, 4)
    """k of pass@k; each at most `samples`."""

    @model_validator(mode="after")
    def _enough_samples(self) -> EvaluationConfig:
        if self.samples and max(self.ks, default=1) > self.samples:
            raise ValueError(
                f"pass@{max(self.ks)} needs at least that many samples, not {self.samples}: change ks or samples"
            )
        if self.samples and self.temperature == 0:
            raise ValueError(
                f"at temperature 0 all {self.samples} samples are the greedy completion: set samples to 0, "
                "or temperature above 0"
            )
        return self


class InspectionConfig(Config):
    """How much is kept token by token, under both models, for the viewer."""

    train_problems: Count = 8
    """Kept problems whose rollouts are shown, nearest pass rate one half."""
    test_problems: Count = 16
    """Test problems shown with both greedy completions, changed ones first."""


class CostConfig(Config):
    """What a device-hour costs."""

    price: str | None = None
    """Entry of the price book; none picks the one of the device in use."""
    usd_per_hour: NotNegative | None = None
    """Your own price of the whole machine; wins over the price book."""


class Recipe(Config):
    """A whole run: one config a stage, and the seed that fixes it."""

    seed: Count = 0
    """Fixes every draw of the run. Paper: 42."""
    rounds: Positive = 1
    """Rounds of rollouts and training. Each samples the adapter as the last left it and trains it on; they end early
    once three have shown nothing better on the validation problems, or nothing is left to learn from. Paper: 1."""
    model: ModelConfig = ModelConfig()
    """The base model."""
    problems: ProblemsConfig = ProblemsConfig()
    """The splits."""
    rollouts: RolloutsConfig = RolloutsConfig()
    """Rollouts."""
    verify: VerifyConfig = VerifyConfig()
    """Grading."""
    signal: SignalConfig = SignalConfig()
    """Learning signal."""
    training: TrainingConfig = TrainingConfig()
    """Training."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Evaluation."""
    inspection: InspectionConfig = InspectionConfig()
    """The token viewer."""
    cost: CostConfig = CostConfig()
    """Prices."""

    @model_validator(mode="after")
    def _one_model(self) -> Recipe:
        self.rollouts.engine.refuse_other_weights(self.model)
        return self

    @model_validator(mode="after")
    def _rounds_of_one_gate(self) -> Recipe:
        if self.rounds > 1 and self.training.method != "reasonmaxxer":
            raise ValueError(f"training.method '{self.training.method}' has no rounds: leave rounds at 1")
        if self.rounds > 1 and self.rollouts.temperature == 0:
            raise ValueError(
                "rounds after the first sample what they learn from, where imported rollouts end: set "
                "rollouts.temperature above 0"
            )
        if self.rounds > 1 and len(self.signal.gate.candidates()) > 1:
            raise ValueError("several rounds train one adapter: choose a gate, or sweep with rounds at 1")
        return self

    @model_validator(mode="after")
    def _right_and_wrong(self) -> Recipe:
        if self.training.method in ("sft", "dpo", "kto") and self.signal.advantage == "boltzmann":
            raise ValueError(
                f"training.method '{self.training.method}' tells right rollouts from wrong ones by the sign of their "
                "advantages, and all of signal.advantage 'boltzmann' are positive: leave that at 'group'"
            )
        return self

    @model_validator(mode="after")
    def _whole_groups(self) -> Recipe:
        batch, group = self.training.batch_size, self.rollouts.rollouts_per_problem
        if self.training.method in ONLINE and (batch % group or group == 1):
            raise ValueError(
                f"training.batch_size {batch} with training.method '{self.training.method}' must hold "
                f"whole groups: it is no multiple of rollouts.rollouts_per_problem {group}, which is 2 or "
                "more"
            )
        return self
