"""What the stages of a run are given: its recipe, its workspace, and the one model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.baselines.trl import check_trl
from reasonmaxxer.config import ONLINE, EngineConfig, Method, Recipe, SamplingConfig
from reasonmaxxer.cost import ModelFlops, Price, price_of
from reasonmaxxer.cost.shape import rollouts_per_shard, shape_of
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.method.checkpoints import load_adapter_weights
from reasonmaxxer.method.processes import check_processes, is_sharded, process_count
from reasonmaxxer.method.selection import Example, examples_from_table
from reasonmaxxer.method.trackers import check_trackers
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import LoadedModel, load_model, resolve_device
from reasonmaxxer.models import eos_ids as model_eos_ids
from reasonmaxxer.models.base import check_quantization
from reasonmaxxer.models.files import files_behind
from reasonmaxxer.problems import Problem, Splits, load_splits, problems_from_table
from reasonmaxxer.recipe import parse_recipe
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.engines import check_engine, make_engine
from reasonmaxxer.rollouts.imported import check_imported
from reasonmaxxer.rollouts.limits import check_max_length, check_prompts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.progress import Display, Task
from reasonmaxxer.work.sampling import answer
from reasonmaxxer.work.workspace import RECIPE, RECORD, StageWork, Workspace, read_claim

SPLITS = ("train", "validation", "test")


def ring_stages(method: Method) -> tuple[str, ...]:
    """Stages of a run by the method that trains: one that samples for itself needs no rollouts."""
    taught_by_rollouts = () if method in ONLINE else ("rollouts", "signal")
    return ("problems", *taught_by_rollouts, "training", "evaluation")


class ModelInUse:
    """The one model of a run: the base, loaded at first use, and from time to time an adapter on it.

    Args:
        recipe: of the run.
        check: called with the base once it is loaded.
        trust_remote_code: let the model's repository run its own code.
    """

    def __init__(self, recipe: Recipe, check: Callable[[LoadedModel], None], trust_remote_code: bool) -> None:
        self.recipe, self.check, self.trust_remote_code = recipe, check, trust_remote_code
        self._engine: Engine | None = None

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model as it stands."""
        loaded = load_model(self.recipe.model, trust_remote_code=self.trust_remote_code)
        self.check(loaded)
        return loaded

    @property
    def model(self) -> Any:
        """The network alone."""
        return self.loaded.model

    @cached_property
    def flops(self) -> ModelFlops:
        """FLOPs of the model, by formula."""
        return ModelFlops(self.model)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion."""
        return model_eos_ids(self.model, self.loaded.tokenizer)

    @property
    def engine(self) -> Engine:
        """What samples the model as it stands, until another takes its place or the stage ends."""
        if self._engine is None:
            config = self.recipe.rollouts
            self._engine = make_engine(config.engine, self.loaded, self.eos_ids, config.batch_size)
        return self._engine

    def close_engine(self) -> None:
        """End what samples; its memory is free then."""
        if self._engine:
            self._engine.close()
            self._engine = None

    def replace(self, model: Any) -> None:
        """Replace the model: by the base with an adapter on it, or with it taken off."""
        self.close_engine()
        self.loaded.model = model

    def add_fresh_adapter(self) -> None:
        """Put a new adapter on the base, as the recipe wants it."""
        self.replace(add_adapter(self.model, self.recipe.training.adapter, self.recipe.seed))

    def load_adapter(self, folder: Path) -> None:
        """Put a trained adapter on the base, unless one is on it."""
        if not hasattr(self.model, "peft_config"):
            model = add_adapter(self.model, self.recipe.training.adapter, self.recipe.seed)
            load_adapter_weights(model, folder)
            self.replace(model)

    def remove_adapter(self) -> None:
        """Take the adapter off; a base whose weights are spread over processes is loaded anew."""
        if is_sharded(self.model):
            del self.loaded
        else:
            self.replace(self.model.unload())


@dataclass(frozen=True)
class Job:
    """One run at work.

    Attributes:
        recipe: what to do; its rollouts a shard are fixed.
        workspace: the run directory.
        display: where progress shows.
        verifier: what grades.
        price: of the machine.
        environment: of `describe_environment`.
        trust_remote_code: let the model's repository run its own code.
        drawn: the problems, as their sources have them now; None once the first stage has fixed them.
    """

    recipe: Recipe
    workspace: Workspace
    display: Display
    verifier: Verifier
    price: Price
    environment: dict[str, Any]
    trust_remote_code: bool
    drawn: Splits | None

    @cached_property
    def model(self) -> ModelInUse:
        """The model, loaded when the first stage needs it."""
        return ModelInUse(self.recipe, self._check_model, self.trust_remote_code)

    @cached_property
    def splits(self) -> Splits:
        """The problems, as the first stage fixed them."""
        folder = self.workspace.path / "problems"
        tables = (read_table(folder / f"{name}.parquet") for name in SPLITS)
        return Splits(*(problems_from_table(table) for table in tables))

    @property
    def trained(self) -> Path:
        """Folder of the chosen adapter."""
        return self.workspace.path / "training" / "adapter"

    def examples(self) -> list[Example]:
        """The rollouts that teach."""
        return examples_from_table(read_table(self.workspace.path / "signal" / "examples.parquet"))

    def sample(
        self,
        work: StageWork,
        problems: Sequence[Problem],
        folder: Path,
        sampling: SamplingConfig,
        per_problem: int,
        task: Task,
        *,
        adapter: Path | None = None,
        on_rollouts: Callable[[list[Rollout]], None] | None = None,
    ) -> list[Rollout]:
        """Durable, graded, counted rollouts of the model as it stands.

        Args:
            work: the stage.
            problems: what to answer.
            folder: receives the shards.
            sampling: temperature, top-p and length.
            per_problem: rollouts of each.
            task: the progress bar.
            adapter: folder of the adapter on the model, for an engine elsewhere.
            on_rollouts: called with the rollouts of each shard.
        """
        recipe, model = self.recipe, self.model
        sampler = Sampler(
            model.engine,
            self.verifier,
            model.loaded.tokenizer,
            prompt_style=recipe.problems.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=recipe.seed,
            adapter=adapter,
        )
        per_shard = recipe.rollouts.rollouts_per_shard
        assert per_shard  # fixed when the run began
        return answer(work, problems, folder, per_shard, sampler, model.flops, task, on_rollouts)

    def _check_model(self, loaded: LoadedModel) -> None:
        """Say what was loaded, and hold it against the problems."""
        self.display.note(f"{loaded.name} ({loaded.source}), {loaded.model.dtype} on {loaded.model.device}")
        recipe, splits = self.recipe, self.splits
        style, warn = recipe.problems.prompt_style, self.display.warn
        measured = [*splits.validation, *splits.test]
        check_prompts(measured, loaded, style, recipe.evaluation.max_new_tokens, warn)
        if recipe.rollouts.imported:
            return
        longest = check_prompts(splits.train, loaded, style, recipe.rollouts.max_new_tokens, warn)
        if recipe.training.method not in ONLINE:
            check_max_length(longest, recipe.training.max_length)


def open_job(
    recipe: Recipe,
    out: Path,
    display: Display,
    *,
    stages: Sequence[str],
    reuse: Path | None = None,
    trust_remote_code: bool = False,
) -> Job:
    """Look into everything that a run needs before any long work starts, then claim its folder.

    Args:
        recipe: what to do.
        out: the run directory.
        display: where progress shows.
        stages: that it will have.
        reuse: another run, whose stages will be taken over.
        trust_remote_code: let the model's repository run its own code.

    Raises:
        UserError: bad input; the folder is left alone then.
    """
    check_trackers(recipe.training.report_to)
    check_trl(recipe.training.method)
    check_engine(recipe.rollouts.engine)
    check_processes(recipe.training)
    check_quantization(recipe.model)
    device = resolve_device(recipe.model)
    verifier = Verifier(recipe.verify, recipe.problems.prompt_style)
    drawn = None
    if not (out / "problems" / RECORD).is_file():
        check_imported(recipe.rollouts.imported)
        drawn = load_splits(recipe.problems, recipe.seed)
    price = price_of(recipe.cost, device, _gpus_held(recipe.rollouts.engine))
    environment = describe_environment(device, recipe.seed)
    begun = (run for run in (out, reuse) if run and (run / RECIPE).is_file())
    recipe = _with_shards(recipe, begun, device, trust_remote_code)
    workspace = Workspace(
        out,
        "run",
        recipe,
        stages=stages,
        files=(recipe.verify.file, recipe.rollouts.imported, *files_behind(recipe.model.name)),
        device=device,
        usd_per_hour=price.usd_per_hour,
    )
    return Job(recipe, workspace, display, verifier, price, environment, trust_remote_code, drawn)


def _with_shards(recipe: Recipe, begun: Iterable[Path], device: str, trust_remote_code: bool) -> Recipe:
    """A recipe with its rollouts a shard as in a run of it that has begun, else as the device asks for."""
    if recipe.rollouts.rollouts_per_shard:
        return recipe
    for run in begun:
        there, mine = read_claim(run).config, recipe.model_dump(mode="json")
        fixed = there.get("rollouts") or {}
        mine["rollouts"]["rollouts_per_shard"] = fixed.get("rollouts_per_shard")
        if all(there.get(section) == mine[section] for section in ("model", "rollouts")):
            return parse_recipe(mine)
    weights = shape_of(recipe, 4, trust_remote_code).parameters if device == "cpu" else None
    rollouts = recipe.rollouts.model_copy(update={"rollouts_per_shard": rollouts_per_shard(recipe, weights)})
    return recipe.model_copy(update={"rollouts": rollouts})


def _gpus_held(engine: EngineConfig) -> int:
    """GPUs of a run from its start to its end: those of its processes, or of what samples if more."""
    spread = engine.vllm.tensor_parallel_size if engine.name == "vllm" else 1
    return max(process_count(), spread, math.ceil(engine.ray.workers * engine.ray.gpus))
