"""One typed config a stage; together they are the recipe.

A recipe is a YAML file of these fields. Whatever it leaves out takes the default below, unknown or
ill-typed keys are refused by name, and `reasonmaxxer run RECIPE --print-recipe` shows the result.
`python -m reasonmaxxer.config` prints the reference of every field (`docs/recipe.md`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reasonmaxxer.errors import UserError, did_you_mean

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


class SourceConfig(Config):
    """Where the problems of one split come from."""

    source: str = Field(
        "word-problems",
        description="`word-problems`, `reasoning-gym/TASK`, a .jsonl or .parquet file, or a "
        "Hugging Face data set id.",
    )
    split: str = Field("train", description="Split of the source; files have only one.")
    subset: str | None = Field(None, description="Configuration name of a Hugging Face data set.")
    revision: str | None = Field(None, description="Revision of a Hugging Face data set.")
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


class RolloutsConfig(SamplingConfig):
    """Rollouts of the base model on the training problems."""

    rollouts_per_problem: Positive = Field(8, description="Completions a problem. Paper: 20.")
    batch_size: Positive = Field(128, description="Sequences decoded at once.")
    rollouts_per_shard: Positive = Field(
        240,
        description="Rollouts a shard, whole problems: what is written at once, and what a killed run "
        "loses at most.",
    )
    imported: str | None = Field(
        None,
        description="JSON Lines file of rollouts made elsewhere, used instead of sampling: "
        "problem_id, and completion (text) or completion_ids.",
    )


Extraction = Literal["auto", "boxed", "last_number", "stated_number"]


class VerifyConfig(Config):
    """How a completion is graded."""

    extraction: Extraction = Field(
        "auto",
        description="Where the answer is read. `boxed`: last \\boxed{}; `last_number`: last "
        "number; `stated_number`: the number first stated as the answer. `auto`: by prompt style.",
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


class TrainingConfig(Config):
    """ReasonMaxxer training."""

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
        4, description="Checkpoints along the run; pass@1 on validation problems picks one."
    )
    report_to: tuple[str, ...] = Field((), description="Trackers: `tensorboard`, `wandb`, ...")

    @model_validator(mode="after")
    def _divides(self) -> TrainingConfig:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of "
                f"micro_batch_size {self.micro_batch_size}"
            )
        return self


class EvaluationConfig(SamplingConfig):
    """How base and adapted model are compared on the test problems."""

    samples: int = Field(
        4, ge=0, description="Sampled completions a problem, 0 for greedy alone. Paper: 8 or 1."
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


class CostConfig(Config):
    """What a device-hour costs."""

    price: str | None = Field(
        None, description="Entry of the price book; none picks the one of the device in use."
    )
    usd_per_hour: float | None = Field(
        None, ge=0, description="Your own price of the whole machine; wins over the price book."
    )


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
    cost: CostConfig = Field(default_factory=CostConfig, description="Prices.")


RECIPES = Path(__file__).parent / "recipes"


def load_recipe(name: str = "default", overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by shipped name or path and apply ``section.key=value`` overrides.

    Raises:
        UserError: no such recipe, unreadable YAML, an unknown key or an ill-typed value.
    """
    path = Path(name) if Path(name).suffix in {".yaml", ".yml"} else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        raise UserError(
            f"No recipe '{name}'.{did_you_mean(name, known)} Shipped recipes: {', '.join(known)}; "
            "a file of your own ends in .yaml."
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping of sections, not a {type(values).__name__}.")
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values, where=str(path))


def parse_recipe(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Validate a recipe's values; every fault is reported at once, by name."""
    merged = _merge(Recipe().model_dump(mode="json"), values)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise UserError(
            "\n".join(f"{where}: {_explain(fault)}" for fault in error.errors())
        ) from error


def dump_recipe(recipe: Recipe) -> str:
    """The whole resolved recipe as YAML that `load_recipe` reads back."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return str(text)


def _merge(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Lay values over defaults, section by section, so that a partial section keeps the rest."""
    merged = dict(defaults)
    for key, value in values.items():
        below = defaults.get(key)
        sections = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merge(below, value) if sections and below else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"'{override}' is not of the form section.key=value.")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"'{override}': '{section}' is a value, not a section.")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"'{override}': the value is not valid YAML: {error}") from error


def _explain(fault: Any) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        known = _keys(Recipe)
        siblings = [k for k in known if k.rpartition(".")[0] == ".".join(path[:-1])]
        near = did_you_mean(key, siblings) or did_you_mean(key, known)
        return f"unknown key '{key}'.{near} Keys here: {', '.join(siblings) or 'none'}."
    return f"'{key or 'recipe'}' = {fault['input']!r}: {fault['msg']}."


def _keys(config: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in config.model_fields.items():
        keys.append(prefix + name)
        if _is_config(field.annotation):
            keys += _keys(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
    return keys


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Config)


def reference() -> str:
    """Markdown reference of every key, its type, default and the paper's value."""
    lines = [
        "# Recipe reference",
        "",
        "Generated by `python -m reasonmaxxer.config`. Any key can be set in a recipe file or on the",
        "command line: `reasonmaxxer run default rollouts.temperature=0.7`.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    defaults = Recipe()
    for key in _keys(Recipe):
        owner: Any = Recipe
        value: Any = defaults
        for part in key.split("."):
            field = owner.model_fields[part]
            owner, value = field.annotation, getattr(value, part)
        if not _is_config(field.annotation):
            shown = json.dumps(value if not isinstance(value, tuple) else list(value))
            text = str(field.description).replace("|", "\\|")
            lines.append(f"| `{key}` | {_type_name(field.annotation)} | `{shown}` | {text} |")
    return "\n".join(lines) + "\n"


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is not None:
        return " or ".join(_type_name(a) for a in arguments)
    return "none" if annotation is type(None) else str(annotation.__name__)


if __name__ == "__main__":
    print(reference(), end="")
