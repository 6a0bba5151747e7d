"""One typed config a stage; together they are the recipe (`reasonmaxxer.recipe` reads one)."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Config(BaseModel):
    """Base of every stage config: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def hash(self) -> str:
        """SHA-256 of the canonical JSON of this config, as hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class ModelConfig(Config):
    """Which base model, and how it is held in memory."""

    name: str = Field(
        "smollm2", description="Hub id, local folder, or an embedded model (`reasonmaxxer models`)."
    )
    revision: str | None = Field(None, description="Hub revision; none takes the default branch.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Weights' type. `auto`: bfloat16 where the device multiplies it natively "
        "(CUDA, CPUs with AMX or AVX512-BF16), else float32. Paper: bfloat16.",
    )
    device: str = Field(
        "auto", description="`auto` (CUDA where there is one, else CPU) or a torch device."
    )
    attention: Literal["auto", "sdpa", "eager"] = Field(
        "auto", description="Attention kernel; `auto` is sdpa wherever the model supports it."
    )
    quantization: Literal["none", "4bit"] = Field(
        "none",
        description="`4bit`: the base's weights as bitsandbytes NF4, about a quarter of the memory; CUDA "
        "alone. The adapter is not quantized.",
    )


class SourceConfig(Config):
    """Where the problems of one split come from."""

    source: str = Field(
        "word-problems",
        description="`word-problems`, `reasoning-gym/TASK`, a benchmark or training pool by name "
        "(`math500`, `math-train`, ...; docs/evaluation.md), a .jsonl or .parquet file, or a Hugging "
        "Face data set id.",
    )
    split: str = Field(
        "train", description="Split of the source; files and benchmarks have only one."
    )
    subset: str | None = Field(None, description="Configuration name of a Hugging Face data set.")
    revision: str | None = Field(None, description="Revision of a Hugging Face data set.")
    where: dict[str, tuple[int | str, ...]] = Field(
        default_factory=dict,
        description="Values that a problem's metadata must have, such as `{level: [3, 4, 5]}`; rows "
        "without them are left out. Paper: MATH levels 3 to 5 for training.",
    )
    limit: Positive | None = Field(
        None, description="Problems drawn, by seed; none takes all. Paper: 150 for training."
    )
    seed: int | None = Field(
        None, description="Seed of that draw; none is the recipe's. A fixed one fixes the split."
    )
    text_column: str | None = Field(None, description="Column of the text; none tries usual names.")
    answer_column: str | None = Field(None, description="Column of the answer, likewise.")
    id_column: str | None = Field(None, description="Column of the id, likewise; else row numbers.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of a reasoning-gym task."
    )


PromptStyle = Literal["chat_template", "qwen_boxed", "llama_abel"]


class ProblemsConfig(Config):
    """The three splits, which must be disjoint, and how a problem becomes a prompt."""

    train: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="train", limit=60),
        description="Problems to learn from.",
    )
    validation: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="validation", limit=50, seed=0),
        description="Problems that choose the gate and the checkpoint. Paper: 50.",
    )
    test: SourceConfig = Field(
        default_factory=lambda: SourceConfig(split="test", limit=100, seed=0),
        description="Problems that measure base and adapted model; nothing is chosen on them.",
    )
    prompt_style: PromptStyle = Field(
        "chat_template",
        description="Prompt of base, teacher and adapted model alike. Paper: `qwen_boxed` for "
        "Qwen base models, `llama_abel` for Mistral, `chat_template` for chat models.",
    )


class SamplingConfig(Config):
    """How completions are sampled."""

    temperature: float = Field(0.6, ge=0, description="0 is greedy. Paper: 0.6.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus mass. Paper: 0.95.")
    max_new_tokens: Positive = Field(120, description="Longest completion, tokens. Paper: 8192.")


class VllmConfig(Config):
    """How vLLM is run: always in a process of its own, which ends before anything is trained."""

    python: str | None = Field(
        None,
        description="Interpreter of the environment that vLLM is installed in; none is this one. Its "
        "pins need not agree with this package's.",
    )
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of a GPU's memory that vLLM may take."
    )
    tensor_parallel_size: Positive = Field(1, description="GPUs that one model is spread over.")
    enforce_eager: bool = Field(
        False, description="No compilation and no CUDA graphs: starts sooner, decodes slower."
    )


class RayConfig(Config):
    """Whether Ray Data spreads shards of rollouts over several processes and machines."""

    workers: int = Field(
        0, ge=0, description="Processes, each with a model of its own; 0 samples here, without Ray."
    )
    address: str | None = Field(
        None,
        description="Of a running cluster (`auto`, `HOST:6379`); none starts one here.",
    )
    cpus: Positive = Field(1, description="Cores of each worker; also its threads.")
    gpus: float = Field(0, ge=0, description="GPUs of each worker.")


class EngineConfig(Config):
    """What samples the base and the adapted model, in every stage alike."""

    name: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="`transformers`, in this process, or `vllm`. Methods that sample while they train "
        "(`grpo`, `rloo`) use transformers for that.",
    )
    vllm: VllmConfig = Field(default_factory=VllmConfig, description="Of vLLM alone.")
    ray: RayConfig = Field(default_factory=RayConfig, description="Several machines.")


class RolloutsConfig(SamplingConfig):
    """Rollouts of the base model on the training problems."""

    engine: EngineConfig = Field(default_factory=EngineConfig, description="What samples.")
    rollouts_per_problem: Positive = Field(8, description="Completions a problem. Paper: 20.")
    batch_size: Positive = Field(256, description="Sequences decoded at once.")
    rollouts_per_shard: Positive = Field(
        512,
        description="Rollouts a shard, whole problems: what is written at once, and what a killed run "
        "loses at most.",
    )
    imported: str | None = Field(
        None,
        description="JSON Lines file of rollouts made elsewhere, used instead of sampling: "
        "problem_id or prompt, and completion or completion_ids; TRL's formats are read.",
    )


Extraction = Literal["auto", "boxed", "last_number", "stated_number", "stated_answer"]


class VerifyConfig(Config):
    """How a completion is graded."""

    extraction: Extraction = Field(
        "auto",
        description="Where the answer is read. `boxed`: last \\boxed{}; `last_number`: last "
        "number; `stated_number`: the number first stated as the answer; `stated_answer`: the last box, "
        "else that number. `auto`: by prompt style.",
    )
    function: str | None = Field(
        None,
        description="A verifier of your own, `FILE.py:FUNCTION`, called with completion, answer and "
        "metadata of the problem: True, False, or None where there is no answer. It grades every problem, "
        "and `extraction` is not used.",
    )
    timeout: float = Field(5.0, gt=0, description="Seconds before a grading worker is killed.")
    workers: Positive = Field(2, description="Grading processes.")


class GateConfig(Config):
    """Which completion positions are decision points."""

    kind: Literal["threshold", "share", "random", "all"] = Field(
        "threshold",
        description="`threshold`: entropy above tau; `share`: the most entropic share of all "
        "completion positions; `random`: that share at random (ablation); `all`: every one.",
    )
    tau: float = Field(0.8, ge=0, description="Threshold, nats. Paper: 1.2 to 1.8 by model family.")
    share: Share = Field(
        0.5, description="Share for `share` and `random`. Paper: 0.02 to 0.09 results from tau."
    )
    sweep: tuple[float, ...] = Field(
        (),
        description="Values of tau (or share) to train one adapter each; the validation split "
        "chooses. Paper: 1.2, 1.4, 1.6, 1.8.",
    )

    def candidates(self) -> tuple[GateConfig, ...]:
        """The gates to train: one a swept value, or this gate alone."""
        knob = "tau" if self.kind == "threshold" else "share"
        values = {"sweep": ()}
        return tuple(self.model_copy(update={knob: v, **values}) for v in self.sweep) or (self,)

    @model_validator(mode="after")
    def _sweepable(self) -> GateConfig:
        if self.sweep and self.kind == "all":
            raise ValueError("sweep has nothing to vary with kind 'all'")
        if self.sweep and self.kind != "threshold" and not all(0 <= v <= 1 for v in self.sweep):
            raise ValueError("swept shares lie between 0 and 1")
        return self


class SignalConfig(Config):
    """Which rollouts teach, how strongly, and at which positions."""

    problems: Positive = Field(
        40, description="Mixed problems kept, nearest pass rate one half. Paper: 50."
    )
    trim_longest: Share = Field(
        0.0, description="Longest share of kept rollouts to drop. Paper's scripts: 0.2."
    )
    advantage_clip: float = Field(2.5, gt=0, description="Bound of |advantage|. Paper: 2.5.")
    positive_only: bool = Field(
        False, description="Learn from correct rollouts alone (ablation). Paper: false."
    )
    gate: GateConfig = Field(default_factory=GateConfig, description="The decision points.")


class AdapterConfig(Config):
    """Shape of the LoRA adapter."""

    rank: Positive = Field(32, description="LoRA rank. Paper: 32.")
    alpha: float = Field(64, gt=0, description="LoRA alpha. Paper: 64.")
    dropout: Share = Field(0.0, description="LoRA dropout. Paper: 0.")
    target_modules: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj"), description="Adapted modules. Paper: these."
    )


Method = Literal["reasonmaxxer", "grpo", "rloo", "sft", "dpo", "kto"]
ONLINE: tuple[Method, ...] = ("grpo", "rloo")
"""Methods that sample while they train; the others learn from rollouts of the base."""


class BaselineConfig(Config):
    """What the baselines have of their own; names and meaning are TRL's."""

    steps: Positive = Field(40, description="Optimiser steps of `grpo` and `rloo`.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of `grpo` and `rloo`.")
    top_entropy_quantile: float = Field(
        1.0, gt=0, le=1, description="Most entropic share of tokens that `grpo` learns from."
    )
    beta: float = Field(
        0.0,
        ge=0,
        description="Strength of the KL to the base in `grpo` and `rloo`; of the implicit reward in "
        "`dpo` and `kto`, which need one above 0.",
    )


class TrainingConfig(Config):
    """Training of the adapter, by ReasonMaxxer or by a baseline."""

    method: Method = Field(
        "reasonmaxxer",
        description="`reasonmaxxer`, or a baseline through TRL: `grpo` and `rloo` sample while they "
        "train; `sft` (correct rollouts), `dpo` (correct against wrong) and `kto` (either, unpaired) "
        "learn from the base's rollouts. `reasonmaxxer baseline METHOD` sets it with the rest.",
    )
    baseline: BaselineConfig = Field(
        default_factory=BaselineConfig, description="Of the baselines alone."
    )
    adapter: AdapterConfig = Field(default_factory=AdapterConfig, description="The LoRA adapter.")
    anchor_weight: float = Field(0.2, ge=0, description="Lambda, weight of the anchor. Paper: 0.2.")
    anchor_positions: Literal["all", "completion"] = Field(
        "all", description="Where the anchor holds: prompt and completion, or completion only."
    )
    negative_floor: Share = Field(
        1e-4,
        description="A wrong rollout's token below this probability is pushed no further. "
        "Paper: 0 (none).",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Peak AdamW rate. Paper: 1e-4.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW decay. Paper: 0 (Mistral 0.01).")
    warmup_steps: int = Field(5, ge=0, description="Linear warm-up. Paper: 50 (Mistral 30).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clip. Paper: 1.0.")
    epochs: float = Field(1.0, gt=0, description="Passes over the sequences. Paper: 1.")
    batch_size: Positive = Field(8, description="Sequences an optimiser step. Paper: 8.")
    micro_batch_size: Positive = Field(8, description="Sequences a forward pass. Paper: 1.")
    max_length: Positive = Field(8192, description="Tokens kept, cut on the right. Paper: 8192.")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory.")
    checkpoints: Positive = Field(
        2, description="Checkpoints along the run; pass@1 on validation problems picks one."
    )
    report_to: tuple[str, ...] = Field(
        (),
        description="Trackers: `tensorboard`, `wandb`, `trackio` (all into the run directory), ...",
    )

    @model_validator(mode="after")
    def _divides(self) -> TrainingConfig:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of "
                f"micro_batch_size {self.micro_batch_size}"
            )
        if self.method in ("dpo", "kto") and not self.baseline.beta:
            raise ValueError(f"baseline.beta must be above 0 for {self.method}; TRL's own is 0.1")
        if self.method == "kto" and self.micro_batch_size == 1:
            raise ValueError(
                "kto compares sequences of a forward pass: micro_batch_size is 2 or more"
            )
        return self


class EvaluationConfig(SamplingConfig):
    """How base and adapted model are compared on the test problems."""

    samples: int = Field(
        0, ge=0, description="Sampled completions a problem; 0 is greedy alone. Paper: 8 or 1."
    )
    sampled_problems: Positive | None = Field(
        None, description="Test problems that are sampled, the first so many; none is all."
    )
    ks: tuple[Positive, ...] = Field((1, 4), description="k of pass@k; each at most `samples`.")
    bootstrap: Positive = Field(10_000, description="Resamples over problems for an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")

    @model_validator(mode="after")
    def _enough_samples(self) -> EvaluationConfig:
        if self.samples and max(self.ks) > self.samples:
            raise ValueError(
                f"pass@{max(self.ks)} needs at least that many samples, not {self.samples}"
            )
        return self


class SuiteConfig(SamplingConfig):
    """How one model is measured on benchmarks; the defaults are the paper's protocol."""

    seed: int = Field(0, ge=0, description="Fixes every draw.")
    model: ModelConfig = Field(default_factory=ModelConfig, description="The model.")
    adapter: str | None = Field(
        None, description="PEFT folder of an adapter on it; none measures the model as it is."
    )
    problems: tuple[SourceConfig, ...] = Field(
        min_length=1, description="The benchmarks, or other sources of problems."
    )
    limit: Positive | None = Field(
        None,
        description="Problems of each, in proportion to its levels, or else its subjects; none takes all.",
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
    def _enough_samples(self) -> SuiteConfig:
        if self.ks and (self.samples or 1) < max(self.ks):
            raise ValueError(f"pass@{max(self.ks)} needs samples of at least {max(self.ks)}")
        if self.temperature == 0 and (self.samples or 1) > 1:
            raise ValueError("at temperature 0 all samples are the same: leave samples at 1")
        return self


class InspectionConfig(Config):
    """How much is kept token by token, under both models, for the viewer."""

    train_problems: int = Field(
        8, ge=0, description="Kept problems whose rollouts are shown, nearest pass rate one half."
    )
    test_problems: int = Field(
        16,
        ge=0,
        description="Test problems shown with both greedy completions, changed ones first.",
    )


class CostConfig(Config):
    """What a device-hour costs."""

    price: str | None = Field(
        None, description="Entry of the price book; none picks the one of the device in use."
    )
    usd_per_hour: float | None = Field(
        None, ge=0, description="Your own price of the whole machine; wins over the price book."
    )


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
    prompt_style: PromptStyle = Field(
        "chat_template", description="Prompt of all models, by the base's tokenizer."
    )
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    rollouts_per_problem: Positive = Field(
        4, description="The teacher's completions of each problem to distil on."
    )
    decoding_batch_size: Positive = Field(256, description="Sequences decoded at once.")
    rollouts_per_shard: Positive = Field(
        512, description="Rollouts written at once, and lost at most when a run is killed."
    )
    top: Positive = Field(
        64,
        description="The teacher's most likely tokens kept a position; all others count as one. "
        "Paper: 64.",
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
    warmup_share: Share = Field(
        0.1, description="Steps of linear warm-up, of all; then linear decay. Paper: 0.1."
    )
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
                f"batch_size {self.batch_size} is not a multiple of "
                f"micro_batch_size {self.micro_batch_size}"
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
        "base",
        description="Whose greedy answers are read: `base`, `tuned`, or a .jsonl file of answers.",
    )
    max_new_tokens: Positive = Field(120, description="Longest answer, tokens.")
    batch_size: Positive = Field(64, description="Sequences decoded at once.")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    bootstrap: Positive = Field(10_000, description="Resamples over problems for an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")


class Recipe(Config):
    """A whole run: one config a stage, and the seed that fixes it."""

    seed: int = Field(0, ge=0, description="Fixes every draw of the run. Paper: 42.")
    model: ModelConfig = Field(default_factory=ModelConfig, description="The base model.")
    problems: ProblemsConfig = Field(default_factory=ProblemsConfig, description="The splits.")
    rollouts: RolloutsConfig = Field(default_factory=RolloutsConfig, description="Rollouts.")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="Grading.")
    signal: SignalConfig = Field(default_factory=SignalConfig, description="Learning signal.")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="Training.")
    evaluation: EvaluationConfig = Field(
        default_factory=EvaluationConfig, description="Evaluation."
    )
    inspection: InspectionConfig = Field(
        default_factory=InspectionConfig, description="The token viewer."
    )
    cost: CostConfig = Field(default_factory=CostConfig, description="Prices.")

    @model_validator(mode="after")
    def _whole_groups(self) -> Recipe:
        batch, group = self.training.batch_size, self.rollouts.rollouts_per_problem
        if self.training.method in ONLINE and (batch % group or group == 1):
            raise ValueError(
                f"training.batch_size {batch} of {self.training.method} must hold whole groups: it is "
                f"no multiple of rollouts.rollouts_per_problem {group}, which is 2 or more"
            )
        return self
