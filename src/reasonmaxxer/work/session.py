"""What the stages of a run share: its folder, its model, its sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.baselines.trl import check_trl
from reasonmaxxer.config import ONLINE, EngineConfig, Recipe, SamplingConfig
from reasonmaxxer.cost import ModelFlops, price_of
from reasonmaxxer.cost.planning.shapes import shape_of
from reasonmaxxer.cost.planning.stages import with_shards
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.method.processes import check_processes, is_sharded, process_count
from reasonmaxxer.method.selection import Example, examples_from_table
from reasonmaxxer.method.trackers import check_trackers
from reasonmaxxer.method.train import add_adapter, load_adapter_weights
from reasonmaxxer.models import LoadedModel, load_model, resolve_device
from reasonmaxxer.models import eos_ids as model_eos_ids
from reasonmaxxer.models.base import check_quantization, resolve_dtype
from reasonmaxxer.problems import Problem, Splits, load_splits, problems_from_table
from reasonmaxxer.recipe import parse_recipe
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.engines import check_engine, make_engine
from reasonmaxxer.rollouts.imported import check_imported
from reasonmaxxer.rollouts.limits import check_max_length, check_prompts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.progress import Display, Task
from reasonmaxxer.work.run_directory import RunDirectory, StageWork, written_recipe

SPLITS = ("train", "validation", "test")


class Session:
    """One run: its folder, and the model, loaded when the first stage needs it.

    Args:
        recipe: what to do.
        out: the run directory.
        display: where progress shows.
        trust_remote_code: let the model's repository run its own code.
        reuse: another run, whose stages will be taken over.

    Raises:
        UserError: bad input, seen before any long work starts.
    """

    def __init__(
        self, recipe: Recipe, out: Path, display: Display, trust_remote_code: bool, reuse: Path | None = None
    ) -> None:
        self.recipe, self.display = recipe, display
        self.trust_remote_code = trust_remote_code
        check_trackers(recipe.training.report_to)
        check_trl(recipe.training.method)
        check_engine(recipe.rollouts.engine)
        check_processes(recipe.training)
        device = resolve_device(recipe.model)
        check_quantization(recipe.model)
        self.verifier = Verifier(recipe.verify, recipe.problems.prompt_style)
        if not (out / "problems" / "stage.json").is_file():
            check_imported(recipe.rollouts.imported)
            _ = self.drawn  # problems that cannot be had leave the folder alone
        self.price = price_of(recipe.cost, device, _gpus_held(recipe.rollouts.engine))
        self.environment = describe_environment(device, recipe.seed)
        begun = (run for run in (out, reuse) if run and (run / "recipe.yaml").is_file())
        self.recipe = recipe = _with_shards(recipe, begun, device, trust_remote_code)
        self.directory = RunDirectory(out, recipe, device, self.price.usd_per_hour)
        self._engine: Engine | None = None

    @cached_property
    def loaded(self) -> LoadedModel:
        """The base, perhaps with an adapter on it; loaded at first use, and held against the problems."""
        loaded = load_model(self.recipe.model, trust_remote_code=self.trust_remote_code)
        model = loaded.model
        self.display.note(f"{loaded.name} ({loaded.source}), {model.dtype} on {model.device}")
        self._check_prompts(loaded)
        return loaded

    def _check_prompts(self, loaded: LoadedModel) -> None:
        recipe, splits = self.recipe, self.splits
        style, warn = recipe.problems.prompt_style, self.display.warn
        measured = [*splits.validation, *splits.test]
        check_prompts(measured, loaded, style, recipe.evaluation.max_new_tokens, warn)
        if recipe.rollouts.imported:
            return
        new = recipe.rollouts.max_new_tokens
        longest = check_prompts(splits.train, loaded, style, new, warn)
        if recipe.training.method not in ONLINE:
            check_max_length(longest, recipe.training.max_length)

    @cached_property
    def flops(self) -> ModelFlops:
        """FLOPs of the model, by formula."""
        return ModelFlops(self.loaded.model)

    @cached_property
    def drawn(self) -> Splits:
        """The problems, as their sources have them now."""
        return load_splits(self.recipe.problems, self.recipe.seed)

    @cached_property
    def splits(self) -> Splits:
        """The problems, as the first stage fixed them."""
        folder = self.directory.path / "problems"
        tables = (read_table(folder / f"{name}.parquet") for name in SPLITS)
        return Splits(*(problems_from_table(table) for table in tables))

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion."""
        return model_eos_ids(self.loaded.model, self.loaded.tokenizer)

    def examples(self) -> list[Example]:
        """The rollouts that teach."""
        return examples_from_table(read_table(self.directory.path / "signal" / "examples.parquet"))

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

    def put(self, model: Any) -> None:
        """Take this for the model: the base with an adapter on it, or taken off."""
        self.close_engine()
        self.loaded.model = model

    @property
    def trained(self) -> Path:
        """Folder of the chosen adapter."""
        return self.directory.path / "training" / "adapter"

    def training_done(self) -> None:
        """Take the adapter off; a base whose weights are spread over processes is loaded anew."""
        if is_sharded(self.loaded.model):
            del self.loaded
        else:
            self.put(self.loaded.model.unload())

    def load_trained(self) -> None:
        """Put the chosen adapter on the model, unless it is there."""
        if hasattr(self.loaded.model, "peft_config"):
            return
        model = add_adapter(self.loaded.model, self.recipe.training.adapter, self.recipe.seed)
        load_adapter_weights(model, self.trained)
        self.put(model)

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
        """Durable, graded, counted rollouts of the model as it stands; `adapter` is the folder of the
        adapter on it, for an engine elsewhere."""
        recipe = self.recipe
        per_shard = recipe.rollouts.rollouts_per_shard
        assert per_shard  # fixed when the session began
        tokens_at_work, finished = 0, 0

        def on_tokens(tokens: int, done: int) -> None:
            nonlocal tokens_at_work, finished
            tokens_at_work, finished = tokens_at_work + tokens, finished + done
            task.on_tokens(tokens, done)
            work.tell(folder, finished, tokens_at_work)

        def on_shard(rollouts: list[Rollout], path: Path | None) -> None:
            nonlocal tokens_at_work
            tokens_at_work = 0
            if on_rollouts:
                on_rollouts(rollouts)
            if path:
                tokens = sum(len(r.completion_ids) for r in rollouts)
                work.meter.add(tokens=tokens, flops=self.flops.rollouts(rollouts))
                work.save_cost(path)

        sampler = Sampler(
            self.engine,
            self.verifier,
            self.loaded.tokenizer,
            prompt_style=recipe.problems.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=recipe.seed,
            adapter=adapter,
        )
        return collect(problems, folder, per_shard, sampler, on_tokens=on_tokens, on_shard=on_shard)

    def scoring(self, work: StageWork, task: Task) -> Callable[[int], None]:
        """What to call with the tokens of each sequence that was scored."""

        def on_scored(tokens: int) -> None:
            flops = self.flops.hidden(tokens) + self.flops.logits(tokens)
            work.meter.add(tokens=tokens, flops=flops)
            task.advance(1, tokens)

        return on_scored


def _with_shards(recipe: Recipe, begun: Iterable[Path], device: str, trust_remote_code: bool) -> Recipe:
    """A recipe with its rollouts a shard as in a run of it that has begun, else as the device asks for."""
    if recipe.rollouts.rollouts_per_shard:
        return recipe
    for run in begun:
        there, mine = written_recipe(run), recipe.model_dump(mode="json")
        own = there.get("rollouts") or {}
        mine["rollouts"]["rollouts_per_shard"] = own.get("rollouts_per_shard")
        if all(there.get(section) == mine[section] for section in ("model", "rollouts")):
            return parse_recipe(mine)
    shape = None
    if device == "cpu":
        itemsize = resolve_dtype(recipe.model, device).itemsize
        shape = shape_of(recipe.model, recipe.training.adapter, itemsize, trust_remote_code)
    return with_shards(recipe, shape)


def _gpus_held(engine: EngineConfig) -> int:
    """GPUs of a run from its start to its end: those of its processes, or of what samples if more."""
    spread = engine.vllm.tensor_parallel_size if engine.name == "vllm" else 1
    return max(process_count(), spread, math.ceil(engine.ray.workers * engine.ray.gpus))
