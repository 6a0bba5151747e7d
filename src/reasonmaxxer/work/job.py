"""What the stages of a run are given: its recipe, its workspace, and the one model."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.baselines.trl import check_trl
from reasonmaxxer.config import ONLINE, Method, Recipe
from reasonmaxxer.cost import price_of
from reasonmaxxer.cost.shape import rollouts_per_shard, shape_of
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.method.processes import check_processes, process_count
from reasonmaxxer.method.selection import Example, examples_from_table
from reasonmaxxer.method.trackers import check_trackers
from reasonmaxxer.models import LoadedModel, load_model, resolve_device
from reasonmaxxer.models.base import check_models
from reasonmaxxer.models.names import files_behind
from reasonmaxxer.problems import Splits, load_splits, problems_from_table
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.rollouts.engines import check_engine
from reasonmaxxer.rollouts.imported import check_imported
from reasonmaxxer.rollouts.limits import check_max_length, check_prompts
from reasonmaxxer.verify import Verifier, check_gradable
from reasonmaxxer.work.folder import RECORD, is_workspace, read_claim
from reasonmaxxer.work.model import ModelInUse
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.sampling import Examiner
from reasonmaxxer.work.workspace import Options, Workspace, trusts

SPLITS = ("train", "validation", "test")


def ring_stages(method: Method) -> tuple[str, ...]:
    """Stages of a run by the method that trains: one that samples for itself needs no rollouts."""
    taught_by_rollouts = () if method in ONLINE else ("rollouts", "signal")
    return ("problems", *taught_by_rollouts, "training", "evaluation")


@dataclass(frozen=True)
class Job:
    """One run at work.

    Attributes:
        recipe: what to do; its rollouts a shard are fixed.
        workspace: the run directory.
        display: where progress shows.
        verifier: what grades.
        examiner: how problems are asked.
        environment: of `describe_environment`.
        trust_remote_code: let the model's repository run its own code.
        drawn: the problems, as their sources have them now; None once the first stage has fixed them.
    """

    recipe: Recipe
    workspace: Workspace
    display: Display
    verifier: Verifier
    examiner: Examiner
    environment: dict[str, Any]
    trust_remote_code: bool
    drawn: Splits | None

    @cached_property
    def model(self) -> ModelInUse:
        """The model, loaded when the first stage needs it."""
        config = self.recipe.rollouts
        return ModelInUse(self._load, config.engine, config.batch_size)

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

    def load_trained(self) -> None:
        """Put the chosen adapter on the base, unless it is there."""
        self.model.load_adapter(self.trained, self.recipe.training.adapter, self.recipe.seed)

    @contextmanager
    def carrying(self, adapter: Path) -> Iterator[None]:
        """Within the block, the base carries an adapter of the recipe's shape."""
        self.model.load_adapter(adapter, self.recipe.training.adapter, self.recipe.seed)
        try:
            yield
        finally:
            self.model.remove_adapter()

    def examples(self) -> list[Example]:
        """The rollouts that teach."""
        return examples_from_table(read_table(self.workspace.path / "signal" / "examples.parquet"))

    def _load(self) -> LoadedModel:
        """The base, held against the problems."""
        recipe, splits = self.recipe, self.splits
        loaded = load_model(recipe.model, trust_remote_code=self.trust_remote_code)
        self.display.note(f"{loaded.name} ({loaded.source}), {loaded.model.dtype} on {loaded.model.device}")
        style, warn = "problems.prompt_style", self.display.warn
        measured = [*splits.validation, *splits.test]
        check_prompts(measured, loaded, recipe, style, "evaluation.max_new_tokens", warn)
        if recipe.rollouts.imported and recipe.rounds == 1:
            return loaded  # nothing is sampled on training problems
        longest = check_prompts(splits.train, loaded, recipe, style, "rollouts.max_new_tokens", warn)
        if recipe.training.method not in ONLINE:
            check_max_length(longest, recipe, "training.max_length")
        return loaded


def open_job(recipe: Recipe, out: Path, display: Display, stages: Sequence[str], **options: Unpack[Options]) -> Job:
    """Look into everything that a run needs before any long work starts, then claim its folder.

    Args:
        recipe: what to do.
        out: the run directory.
        display: where progress shows.
        stages: that it will have.
        **options: as of every command.

    Raises:
        UserError: bad input; the folder is left alone then.
    """
    check_trackers(recipe.training.report_to)
    check_trl(recipe.training.method)
    check_engine(recipe)
    check_processes(recipe.training, recipe.rounds)
    check_models(recipe)
    device = resolve_device(recipe.model)
    verifier = Verifier(recipe.verify, recipe.problems.prompt_style)
    fixed = (out / "problems" / RECORD).is_file()
    drawn = None if fixed else _draw(recipe)
    price = price_of(recipe.cost, device, max(process_count(), recipe.rollouts.engine.gpus))
    environment = describe_environment(device, recipe.seed)
    begun = (run for run in (out, options.get("reuse")) if run and is_workspace(run))
    recipe = _with_shards(recipe, begun, device, trusts(options))
    workspace = Workspace(
        out,
        "run",
        recipe,
        stages=stages,
        files=(recipe.verify.file, recipe.rollouts.imported, *files_behind(recipe.model.name)),
        device=device,
        price=price,
    )
    if fixed and not workspace.is_done("problems"):  # those of another recipe have yielded
        drawn = _draw(recipe)
    per_shard = recipe.rollouts.rollouts_per_shard
    assert per_shard  # fixed above
    examiner = Examiner(verifier, recipe.problems.prompt_style, recipe.seed, per_shard)
    return Job(recipe, workspace, display, verifier, examiner, environment, trusts(options), drawn)


def _draw(recipe: Recipe) -> Splits:
    """The problems, as their sources have them now, once rollouts that were made elsewhere are found."""
    check_imported(recipe.rollouts.imported)
    splits = load_splits(recipe.problems, recipe.seed)
    check_gradable([*splits.train, *splits.validation, *splits.test], recipe.verify)
    return splits


def _with_shards(recipe: Recipe, begun: Iterable[Path], device: str, trust_remote_code: bool) -> Recipe:
    """A recipe with its rollouts a shard as in a run of it that has begun, else as the device asks for."""
    if recipe.rollouts.rollouts_per_shard:
        return recipe
    for run in begun:
        there, mine = read_claim(run).config, recipe.model_dump(mode="json")
        fixed = there.get("rollouts") or {}
        mine["rollouts"]["rollouts_per_shard"] = fixed.get("rollouts_per_shard")
        if all(there.get(section) == mine[section] for section in ("model", "rollouts")):
            return parse_config(Recipe, mine, "recipe")
    weights = shape_of(recipe, 4, trust_remote_code).parameters if device == "cpu" else None
    rollouts = recipe.rollouts.model_copy(update={"rollouts_per_shard": rollouts_per_shard(recipe, weights)})
    return recipe.model_copy(update={"rollouts": rollouts})
