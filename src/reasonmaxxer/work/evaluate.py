"""`reasonmaxxer evaluate`: one model on benchmarks, one stage each."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from reasonmaxxer.artifacts import write_json, write_table
from reasonmaxxer.config import MeasuredSource, SourceConfig, SuiteConfig
from reasonmaxxer.measure.metrics import bootstrap_average
from reasonmaxxer.measure.protocol import protocol_of, samples_of
from reasonmaxxer.measure.published import published_scores
from reasonmaxxer.measure.suite import TRUNCATED, measure, pass_rates, specimens
from reasonmaxxer.models import LoadedModel, load_model
from reasonmaxxer.models.load import check_adapter, with_adapter
from reasonmaxxer.models.names import Named, files_behind, resolve
from reasonmaxxer.problems import Problem, load_samples, problems_table, source_name
from reasonmaxxer.problems.catalogue import CATALOGUE, SUITES
from reasonmaxxer.report.page import write_report
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.engines import check_engine
from reasonmaxxer.rollouts.limits import check_prompts
from reasonmaxxer.rollouts.power import PowerEngine
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier, check_gradable
from reasonmaxxer.work.against import AGAINST, paired_differences, refuse_unlike
from reasonmaxxer.work.command import finish, opened
from reasonmaxxer.work.model import ModelInUse
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.records import EvaluationCounts
from reasonmaxxer.work.sampling import Examiner
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.workspace import Options, Workspace, trusts

DEFAULT_SUITE = "paper"
AVERAGED = SUITES[DEFAULT_SUITE][:6]
"""Benchmarks over which arXiv 2605.06241, Table 3, averages."""
PROBLEMS, ROLLOUTS = "problems.parquet", "rollouts"
ANSWERS = (
    *("seed", "model", "adapter", "limit", "samples", "prompt_style", "verify", "engine", "batch_size"),
    *("temperature", "top_p", "max_new_tokens", "stop", "power", "rollouts_per_shard"),
)
"""Keys that the answers to a benchmark depend on."""


def evaluate(
    config: SuiteConfig, out: Path, display: Display | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Measure one model on every source of problems, in order.

    Args:
        config: model, problems and protocol.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    display = display or Display()
    config = with_problems(config)
    problems = load_samples(config.problems, config.limit, config.seed)
    check_gradable([problem for listed in problems.values() for problem in listed], config.verify)
    if config.adapter:
        check_adapter(Path(config.adapter))
    check_engine(config)
    against = Path(config.against) if config.against else None
    if against:
        refuse_unlike(config, problems, against)
    workspace = opened(
        out,
        "evaluate",
        config,
        config.model,
        stages=tuple(problems),
        files=(config.verify.file, *files_behind(config.model.name, config.adapter)),
        problems={f"{name}/{PROBLEMS}": wanted for name, wanted in problems.items()},
        depends=dict.fromkeys(problems, ANSWERS),
        options=options,
    )
    with workspace as there:
        summary = there.summary or _measured(_Evaluation(config, display, trusts(options), problems), there)
        if against:
            write_json(paired_differences(config, problems, out, against), out / AGAINST)
        write_report(out)
        return summary


def with_problems(config: SuiteConfig) -> SuiteConfig:
    """The config with the benchmarks of its suite as its problems, where it names none."""
    if config.problems:
        return config
    sources = tuple(MeasuredSource(source=source) for source in SUITES[config.suite or DEFAULT_SUITE])
    return config.model_copy(update={"suite": None, "problems": sources})


@dataclass(frozen=True)
class _Evaluation:
    """What is measured, and on what."""

    config: SuiteConfig
    display: Display
    trust_remote_code: bool
    problems: Mapping[str, Sequence[Problem]]

    @cached_property
    def named(self) -> Named:
        """The base, and what was trained from it."""
        name = self.config.model.name
        if not self.config.adapter:
            return resolve(name)
        given = resolve(Path(self.config.adapter))
        return given if given.base == name else Named(name, given.adapter)

    @cached_property
    def model(self) -> ModelInUse:
        """The model, loaded when the first benchmark needs it."""
        return ModelInUse(self.load, self.config.engine, self.config.batch_size)

    def load(self) -> LoadedModel:
        """The model, an adapter beside its weights, where no rounding touches it; held against the problems."""
        named = self.named
        loaded = load_model(named.base_config(self.config.model), self.trust_remote_code)
        if named.adapter:
            loaded = replace(with_adapter(loaded, named.adapter), name=self.config.adapter or self.config.model.name)
        self.display.note(f"{loaded.name} ({loaded.source}), {loaded.model.dtype} on {loaded.model.device}")
        asked = list(chain(*self.problems.values()))
        check_prompts(asked, loaded, self.config, "prompt_style", "max_new_tokens", self.display.warn)
        return loaded

    def answer_benchmark(self, name: str, work: StageWork) -> None:
        """The stage of one benchmark: its problems, and the model's graded answers."""
        config, model, problems = self.config, self.model, self.problems[name]
        samples = samples_of(config, self.source(name))
        loaded = model.loaded  # first: nothing is written for a model that cannot be loaded
        write_table(problems_table(problems), work.folder / PROBLEMS)
        with (
            self.display.task(name, len(problems) * samples) as task,
            Verifier(config.verify, config.prompt_style) as verifier,
        ):
            examiner = Examiner(verifier, config.prompt_style, config.seed, config.rollouts_per_shard)
            asked = model.respondent(self.named.adapter)
            if config.power.cuts != "none":
                asked = replace(asked, engine=PowerEngine(asked.engine, config.power))
            examiner.ask(asked, problems, config, samples, work, work.folder / ROLLOUTS, task)
        work.counts = EvaluationCounts(model=loaded.identity)

    def source(self, name: str) -> SourceConfig:
        """The source of a benchmark's problems."""
        return next(source for source in self.config.problems if source_name(source) == name)

    def result(self, name: str, rollouts: Sequence[Rollout], dtype: str) -> dict[str, Any]:
        """Scores of one benchmark, as `docs/evaluation.md` explains them."""
        config, source, problems = self.config, self.source(name), self.problems[name]
        engine = ", ".join(sorted({f"{r.engine} {r.engine_version}" for r in rollouts}))
        benchmark = CATALOGUE.get(source.source)
        with Verifier(config.verify, config.prompt_style) as verifier:
            scores = measure(problems, rollouts, config, verifier.grade_answers)
        result = {
            "name": name,
            "title": benchmark.title if benchmark else name,
            "problems": len(problems),
            "of": benchmark.size(source.split) if benchmark else None,
            **scores,
            "specimens": specimens(problems, rollouts),
            "protocol": protocol_of(config, source, problems, engine=engine, dtype=dtype),
        }
        if result["truncated_share"] > TRUNCATED:
            self.display.warn(
                f"{name}: {result['truncated_share']:.0%} of the completions were cut at "
                f"{config.max_new_tokens} tokens and could not finish; raise max_new_tokens."
            )
        return result


def _measured(evaluation: _Evaluation, workspace: Workspace) -> dict[str, Any]:
    """Answer every benchmark, then put all scores together."""
    config, problems = evaluation.config, evaluation.problems
    with closing(evaluation.model):
        for name in problems:
            workspace.run_stage(name, (), partial(evaluation.answer_benchmark, name))
    counts: EvaluationCounts = workspace.counts(next(iter(problems)))
    rollouts = {name: read_rollouts(workspace.path / name / ROLLOUTS) for name in problems}
    averaged = None
    if set(AVERAGED) <= set(problems):
        rates = [pass_rates(problems[name], rollouts[name]) for name in AVERAGED]
        averaged = bootstrap_average(rates, *config.interval)
    found = {
        "model": counts["model"],
        "confidence": config.confidence,
        "benchmarks": [evaluation.result(name, rollouts[name], counts["model"]["dtype"]) for name in problems],
        "average": averaged,
        "published": [
            row.to_dict() for row in published_scores(evaluation.named.base) if problems.keys() & row.scores
        ],
    }
    return finish(workspace, found)
