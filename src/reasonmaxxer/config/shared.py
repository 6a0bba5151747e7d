"""What several commands have in common: models, problems, sampling, engines, grading, intervals, an optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reasonmaxxer.config.base import AboveZero, Code, Config, Count, NotNegative, Place, Positive, Several

Extraction = Literal["auto", "answer", "boxed", "last_number"]
Percent = Literal["dropped", "hundredths"]
Units = Literal["compared", "dropped"]
Order = Literal["any", "given"]
PromptStyle = Literal["chat_template", "chat_boxed", "qwen_boxed", "llama_abel", "chat_code", "code_completion"]


class ModelConfig(Config):
    """Which model, and how it is held in memory."""

    short_for = "name"
    name: Place = "smollm2"
    """Hub id, local folder, or an embedded model (`reasonmaxxer models`)."""
    revision: str | None = None
    """Hub revision; none takes the default branch."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weights' type. `auto`: bfloat16 where the device multiplies it natively (CUDA from compute capability 8, CPUs
    with AMX or AVX512-BF16), float16 on older CUDA, else float32; `diff`, `intervene` and `overlap` compute in float32
    on every CPU. Paper: bfloat16."""
    device: str = "auto"
    """`auto` (CUDA where there is one, else CPU) or a torch device."""
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    """Attention kernel; `auto` is sdpa wherever the model supports it."""
    quantization: Literal["none", "4bit"] = "none"
    """`4bit`: the base's weights as bitsandbytes NF4, about a quarter of the memory; CUDA alone. The adapter is not
    quantized."""


class SourceConfig(Config):
    """Where the problems of one split come from."""

    short_for = "source"
    source: Place = "word-problems"
    """`word-problems`, `reasoning-gym/TASK`, a benchmark or training pool by name (`math500`, `math-train`, ...;
    docs/evaluation.md), a .jsonl, .json, .csv or .parquet file, or a Hugging Face data set id."""
    split: str = "train"
    """Split of the source; files and most benchmarks have only one."""
    subset: str | None = None
    """Configuration name of a Hugging Face data set."""
    revision: str | None = None
    """Revision of a Hugging Face data set."""
    where: dict[str, Several[int | str]] = Field(default_factory=dict)
    """Values that a problem's metadata must have, such as `{level: [3, 4, 5]}`; rows without them are left out. Paper:
    MATH levels 3 to 5 for training."""
    limit: Positive | None = None
    """Problems drawn, by seed; none takes all. Paper: 150 for training."""
    seed: int | None = None
    """Seed of that draw; none is the config's. A fixed one fixes the split."""
    text_column: str | None = None
    """Column of the text; none tries usual names."""
    answer_column: str | None = None
    """Column of the answer, likewise."""
    id_column: str | None = None
    """Column of the id, likewise; else row numbers."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a reasoning-gym task."""


class SamplingConfig(Config):
    """How completions are sampled."""

    temperature: NotNegative = 0.6
    """0 is greedy. Paper: 0.6."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Nucleus mass. Paper: 0.95."""
    max_new_tokens: Positive = 120
    """Longest completion, tokens. Paper: 8192."""
    stop: Several[Annotated[str, Field(min_length=1)]] = ()
    """Strings that end a completion, which keeps the token that completes one; beside the model's own end-of-sequence
    tokens."""


class VllmConfig(Config):
    """How vLLM is run: always in a process of its own, which ends before anything is trained."""

    python: Place | None = None
    """Interpreter of the environment that vLLM is installed in; none is this one. Its pins need not agree with this
    package's."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of a GPU's memory that vLLM may take."""
    tensor_parallel_size: Positive = 1
    """GPUs that one model is spread over."""
    enforce_eager: bool = False
    """No compilation and no CUDA graphs: starts sooner, decodes slower."""

    def code(self) -> Iterator[tuple[str, Code]]:
        """The interpreter."""
        if self.python:
            yield "python", Code(self.python, self.python, "as a program")


class RayConfig(Config):
    """Whether Ray Data spreads shards of rollouts over several processes and machines."""

    workers: Count = 0
    """Processes, each with a model of its own; 0 samples here, without Ray."""
    address: str | None = None
    """Address of a running cluster (`auto`, `HOST:6379`); none starts one here."""
    cpus: Positive = 1
    """Cores of each worker; also its threads."""
    gpus: NotNegative = 0
    """GPUs of each worker."""

    def code(self) -> Iterator[tuple[str, Code]]:
        """The cluster: what it sends is unpickled here."""
        if self.address and self.address != "auto":
            yield "address", Code(self.address, None, "as a cluster that is trusted")


class EngineConfig(Config):
    """What samples the base and the adapted model, in every stage alike."""

    short_for = "name"
    name: Literal["transformers", "vllm"] = "transformers"
    """`transformers`, in this process, or `vllm`. Methods that sample while they train (`grpo`, `rloo`) use
    transformers for that."""
    cuda_graphs: bool = False
    """`transformers` only: replay decoding steps on a GPU as CUDA graphs; not yet measured."""
    vllm: VllmConfig = VllmConfig()
    """Settings that only vLLM reads."""
    ray: RayConfig = RayConfig()
    """Several machines."""

    @property
    def gpus(self) -> int:
        """GPUs that are sampled on, on all machines together."""
        spread = self.vllm.tensor_parallel_size if self.name == "vllm" else 1
        return max(spread, math.ceil(self.ray.workers * self.ray.gpus))

    def refuse_other_weights(self, model: ModelConfig) -> None:
        """Refuse to sample other weights than those in memory: vLLM reads the whole ones from disk.

        Raises:
            ValueError: the base is quantized.
        """
        if self.name == "vllm" and model.quantization != "none":
            raise ValueError(
                f"model.quantization '{model.quantization}' is not for the engine vllm, which would sample "
                "the base in full precision, another model than the one in memory: set the engine's name "
                "to transformers, or model.quantization to none"
            )


class VerifyConfig(Config):
    """How a completion is graded."""

    extraction: Extraction = "auto"
    """Where the answer is read. `answer`: the last explicit answer or box, else the last conclusion, else the last
    expression; `boxed`: last \\boxed{}; `last_number`: last number or formula. `auto`: by prompt style."""
    percent: Percent = "dropped"
    """Whether 50% is 50 (`dropped`) or 0.5 (`hundredths`)."""
    units: Units = "compared"
    """Whether 5 hours is other than 5 minutes where gold and extracted answer both name a unit (`compared`), or units
    count for nothing (`dropped`)."""
    order: Order = "any"
    """Whether the members of a list count in `any` order, or as `given`."""
    function: Place | None = None
    """A verifier of your own, `FILE.py:FUNCTION`, called with completion, answer and metadata of the problem: True,
    False, or None where there is no answer. It grades every problem, and `extraction` is not used."""
    timeout: AboveZero = 5.0
    """Seconds before a grading worker is killed."""
    workers: Positive = 2
    """Grading processes."""

    @property
    def file(self) -> str | None:
        """File that holds the user's verifier."""
        return self.function and self.function.rpartition(":")[0]

    def code(self) -> Iterator[tuple[str, Code]]:
        """The user's verifier."""
        if self.function:
            yield "function", Code(self.function, self.file, "in the grading processes")


class IntervalConfig(Config):
    """How intervals are estimated."""

    bootstrap: Positive = 10_000
    """Resamples over problems for an interval."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of every interval."""


class MeasuringConfig(IntervalConfig):
    """What the commands that measure models have in common."""

    seed: Count = 0
    """Fixes every draw."""
    prompt_style: PromptStyle = "chat_template"
    """Prompt of all models, by the base's tokenizer."""
    verify: VerifyConfig = VerifyConfig()
    """Grading."""

    @property
    def interval(self) -> tuple[int, float, int]:
        """How every interval is drawn: resamples, level and seed, as `measure.metrics` takes them."""
        return self.bootstrap, self.confidence, self.seed


class OptimizerConfig(Config):
    """How an adapter's weights are updated."""

    learning_rate: AboveZero = 1e-4
    """Peak AdamW rate. Paper: 1e-4."""
    weight_decay: NotNegative = 0.0
    """AdamW decay. Paper: 0 (Mistral 0.01)."""
    max_grad_norm: AboveZero = 1.0
    """Gradient clip. Paper: 1.0."""
    epochs: AboveZero = 1.0
    """Passes over the sequences. Paper: 1."""
    batch_size: Positive = 8
    """Sequences an optimiser step. Paper: 8."""
    micro_batch_size: Positive = 8
    """Sequences packed together; memory is that of a packed row. Of baselines, sequences a forward pass. Paper: 1."""
    max_length: Positive = 8192
    """Tokens kept, cut on the right. Paper: 8192."""
    gradient_checkpointing: bool = False
    """Recompute activations: less memory."""

    @model_validator(mode="after")
    def _divides(self) -> OptimizerConfig:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self
