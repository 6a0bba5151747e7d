"""What several commands have in common: models, problems, sampling, engines, grading."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from reasonmaxxer.config.base import Config, Place, Positive


class ModelConfig(Config):
    """Which base model, and how it is held in memory."""

    name: Place = Field("smollm2", description="Hub id, local folder, or an embedded model (`reasonmaxxer models`).")
    revision: str | None = Field(None, description="Hub revision; none takes the default branch.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Weights' type. `auto`: bfloat16 where the device multiplies it natively "
        "(CUDA from compute capability 8, CPUs with AMX or AVX512-BF16), float16 on older CUDA, else "
        "float32. Paper: bfloat16.",
    )
    device: str = Field("auto", description="`auto` (CUDA where there is one, else CPU) or a torch device.")
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

    source: Place = Field(
        "word-problems",
        description="`word-problems`, `reasoning-gym/TASK`, a benchmark or training pool by name "
        "(`math500`, `math-train`, ...; docs/evaluation.md), a .jsonl, .json, .csv or .parquet "
        "file, or a Hugging Face data set id.",
    )
    split: str = Field("train", description="Split of the source; files and benchmarks have only one.")
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
    seed: int | None = Field(None, description="Seed of that draw; none is the recipe's. A fixed one fixes the split.")
    text_column: str | None = Field(None, description="Column of the text; none tries usual names.")
    answer_column: str | None = Field(None, description="Column of the answer, likewise.")
    id_column: str | None = Field(None, description="Column of the id, likewise; else row numbers.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of a reasoning-gym task.")


PromptStyle = Literal["chat_template", "chat_boxed", "qwen_boxed", "llama_abel"]


StopString = Annotated[str, Field(min_length=1)]


def _several(value: Any) -> Any:
    """A string alone stands for a list of one."""
    return (value,) if isinstance(value, str) else value


class SamplingConfig(Config):
    """How completions are sampled."""

    temperature: float = Field(0.6, ge=0, description="0 is greedy. Paper: 0.6.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus mass. Paper: 0.95.")
    max_new_tokens: Positive = Field(120, description="Longest completion, tokens. Paper: 8192.")
    stop: Annotated[tuple[StopString, ...], BeforeValidator(_several)] = Field(
        (),
        description="Strings that end a completion, which keeps the token that completes one; beside the "
        "model's own end-of-sequence tokens.",
    )


class VllmConfig(Config):
    """How vLLM is run: always in a process of its own, which ends before anything is trained."""

    python: Place | None = Field(
        None,
        description="Interpreter of the environment that vLLM is installed in; none is this one. Its "
        "pins need not agree with this package's.",
    )
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="Share of a GPU's memory that vLLM may take.")
    tensor_parallel_size: Positive = Field(1, description="GPUs that one model is spread over.")
    enforce_eager: bool = Field(False, description="No compilation and no CUDA graphs: starts sooner, decodes slower.")


class RayConfig(Config):
    """Whether Ray Data spreads shards of rollouts over several processes and machines."""

    workers: int = Field(0, ge=0, description="Processes, each with a model of its own; 0 samples here, without Ray.")
    address: str | None = Field(None, description="Of a running cluster (`auto`, `HOST:6379`); none starts one here.")
    cpus: Positive = Field(1, description="Cores of each worker; also its threads.")
    gpus: float = Field(0, ge=0, description="GPUs of each worker.")


class EngineConfig(Config):
    """What samples the base and the adapted model, in every stage alike."""

    name: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="`transformers`, in this process, or `vllm`. Methods that sample while they train "
        "(`grpo`, `rloo`) use transformers for that.",
    )
    cuda_graphs: bool = Field(
        False, description="Of `transformers` alone: replay decoding steps on a GPU as CUDA graphs; not yet measured."
    )
    vllm: VllmConfig = Field(default_factory=VllmConfig, description="Of vLLM alone.")
    ray: RayConfig = Field(default_factory=RayConfig, description="Several machines.")

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


Extraction = Literal["auto", "answer", "boxed", "last_number"]
Percent = Literal["dropped", "hundredths"]
Units = Literal["compared", "dropped"]
Order = Literal["any", "given"]


class VerifyConfig(Config):
    """How a completion is graded."""

    extraction: Extraction = Field(
        "auto",
        description="Where the answer is read. `answer`: the last explicit answer or box, else the last "
        "conclusion, else the last expression; `boxed`: last \\boxed{}; `last_number`: last number or "
        "formula. `auto`: by prompt style.",
    )
    percent: Percent = Field("dropped", description="Whether 50% is 50 (`dropped`) or 0.5 (`hundredths`).")
    units: Units = Field(
        "compared",
        description="Whether 5 hours is other than 5 minutes where gold and extracted answer both name a "
        "unit (`compared`), or units count for nothing (`dropped`).",
    )
    order: Order = Field("any", description="Whether the members of a list count in `any` order, or as `given`.")
    function: Place | None = Field(
        None,
        description="A verifier of your own, `FILE.py:FUNCTION`, called with completion, answer and "
        "metadata of the problem: True, False, or None where there is no answer. It grades every problem, "
        "and `extraction` is not used.",
    )
    timeout: float = Field(5.0, gt=0, description="Seconds before a grading worker is killed.")
    workers: Positive = Field(2, description="Grading processes.")

    @property
    def file(self) -> str | None:
        """File that holds the verifier of your own."""
        return self.function and self.function.rpartition(":")[0]
