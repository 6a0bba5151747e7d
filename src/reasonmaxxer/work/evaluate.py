"""`reasonmaxxer evaluate`: one model on benchmarks, one folder each, every piece durable."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.config import MeasuredSource, SuiteConfig
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.measure.protocol import protocol_of, samples_of
from reasonmaxxer.measure.published import published_scores
from reasonmaxxer.measure.suite import TRUNCATED, average, measure, pass_rates, specimens
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.models.files import files_behind
from reasonmaxxer.models.load import adapter_of, base_config, base_of, check_adapter, with_adapter
from reasonmaxxer.problems import Problem, load_samples, problems_table, source_name
from reasonmaxxer.problems.catalogue import CATALOGUE, SUITES
from reasonmaxxer.report.page import write_report
from reasonmaxxer.rollouts.collect import collect, read_rollouts
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.engines import check_engine, make_engine
from reasonmaxxer.rollouts.limits import check_prompts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.against import AGAINST, SUMMARY, differences, read_evaluation, refuse_unlike
from reasonmaxxer.work.command_folder import PROBLEMS, claimed, refuse_other_problems
from reasonmaxxer.work.progress import Display

SCHEMA = 1
RESULT = "result.json"
DEFAULT_SUITE = "paper"
AVERAGED = SUITES[DEFAULT_SUITE][:6]
"""Benchmarks over which arXiv 2605.06241, Table 3, averages."""


def evaluate(config: SuiteConfig, out: Path, display: Display, trust_remote_code: bool = False) -> dict[str, Any]:
    """Measure one model on every source of problems, in order.

    Args:
        config: model, problems and protocol, and what the result is held against.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows.
        trust_remote_code: let the model's repository run its own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    config = with_problems(config)
    problems = load_samples(config.problems, config.limit, config.seed)
    if config.adapter:
        check_adapter(Path(config.adapter))
    check_engine(config.engine)
    against = Path(config.against) if config.against else None
    if against:
        refuse_unlike(config, problems, against)
    read = files_behind(config.model.name, config.adapter)
    with claimed(out, "evaluate", config, config.verify.file, *read):
        for name, wanted in problems.items():
            refuse_other_problems(out / name, PROBLEMS, wanted)
        if not (out / SUMMARY).exists():
            work = _Work(config, out, display, trust_remote_code, problems)
            with closing(work):
                results = [work.result(name) for name in problems]
            write_json(work.summary(results), out / SUMMARY)
        summary = read_evaluation(out)
        if against:
            write_json(differences(config, problems, out, against), out / AGAINST)
        write_report(out)
        return summary


def with_problems(config: SuiteConfig) -> SuiteConfig:
    """The config with the benchmarks of its suite as its problems, where it names none.

    Raises:
        UserError: there is no such suite.
    """
    if config.problems:
        return config
    name = config.suite or DEFAULT_SUITE
    if name not in SUITES:
        raise UserError(
            f"suite '{name}': there is only {', '.join(SUITES)}.{did_you_mean(name, SUITES)} Single benchmarks are "
            "given as problems."
        )
    sources = tuple(MeasuredSource(source=source) for source in SUITES[name])
    return config.model_copy(update={"suite": None, "problems": sources})


@dataclass(frozen=True)
class _Work:
    """One evaluation at work: its folder, and its model, loaded when it is first needed."""

    config: SuiteConfig
    out: Path
    display: Display
    trust_remote_code: bool
    problems: dict[str, list[Problem]]

    @property
    def base_and_adapter(self) -> tuple[str, Path | None]:
        """Name of the base, and the folder of what was trained from it."""
        name = self.config.model.name
        if self.config.adapter:
            return name, Path(self.config.adapter)
        folder = adapter_of(name)
        return (base_of(folder), folder) if folder else (name, None)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, an adapter beside its weights, where no rounding touches it."""
        base, adapter = self.base_and_adapter
        config = self.config.model
        if adapter and base == base_of(adapter):
            config = base_config(config, adapter)
        loaded = load_model(config, self.trust_remote_code)
        if adapter:
            name = self.config.adapter or self.config.model.name
            loaded = replace(with_adapter(loaded, adapter), name=name)
        model = loaded.model
        self.display.note(f"{loaded.name} ({loaded.source}), {model.dtype} on {model.device}")
        asked = list(chain(*self.problems.values()))
        style, limit = self.config.prompt_style, self.config.max_new_tokens
        check_prompts(asked, loaded, style, limit, self.display.warn)
        return loaded

    @cached_property
    def engine(self) -> Engine:
        """What samples."""
        ends = eos_ids(self.loaded.model, self.loaded.tokenizer)
        return make_engine(self.config.engine, self.loaded, ends, self.config.batch_size)

    def close(self) -> None:
        """End what samples, where something was sampled."""
        if "engine" in vars(self):
            self.engine.close()

    def result(self, name: str) -> dict[str, Any]:
        """Scores of one source, measured unless they are there."""
        path = self.out / name / RESULT
        if not path.exists():
            write_json(self._measured(name), path)
        result: dict[str, Any] = read_json(path)
        if result["truncated_share"] > TRUNCATED:
            self.display.warn(
                f"{name}: {result['truncated_share']:.0%} of the completions were cut at "
                f"{self.config.max_new_tokens} tokens and could not finish; raise max_new_tokens."
            )
        return result

    def _measured(self, name: str) -> dict[str, Any]:
        problems = self.problems[name]
        source = next(s for s in self.config.problems if source_name(s) == name)
        samples = samples_of(self.config, source)
        engine = self.engine  # first: nothing is written for a model that cannot be loaded
        write_table(problems_table(problems), self.out / name / PROBLEMS)
        rollouts = self._rollouts(engine, name, problems, samples)
        protocol = protocol_of(
            self.config,
            source,
            problems,
            engine=", ".join(sorted({f"{r.engine} {r.engine_version}" for r in rollouts})),
            dtype=self.loaded.identity["dtype"],
        )
        benchmark = CATALOGUE.get(source.source)
        return {
            "name": name,
            "title": benchmark.title if benchmark else name,
            "problems": len(problems),
            "of": benchmark.problems if benchmark else None,
            **measure(problems, rollouts, self.config),
            "specimens": specimens(problems, rollouts),
            "protocol": protocol.to_dict(),
        }

    def _rollouts(self, engine: Engine, name: str, problems: list[Problem], samples: int) -> list[Rollout]:
        config = self.config
        with (
            self.display.task(name, len(problems) * samples) as task,
            Verifier(config.verify, config.prompt_style) as verifier,
        ):
            sampler = Sampler(
                engine,
                verifier,
                self.loaded.tokenizer,
                prompt_style=config.prompt_style,
                sampling=config,
                per_problem=samples,
                seed=config.seed,
                adapter=self.base_and_adapter[1],
            )
            folder = self.out / name / "rollouts"
            return collect(problems, folder, config.rollouts_per_shard, sampler, on_tokens=task.on_tokens)

    def summary(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Everything `summary.json` holds."""
        averaged = None
        if set(AVERAGED) <= set(self.problems):
            rates = [pass_rates(self.problems[name], read_rollouts(self.out / name / "rollouts")) for name in AVERAGED]
            averaged = average(rates, self.config)
        return {
            "schema": SCHEMA,
            "command": "evaluate",
            "model": self.loaded.identity,
            "confidence": self.config.confidence,
            "benchmarks": results,
            "average": averaged,
            "published": [row.to_dict() for row in published_scores(self.base_and_adapter[0])],
            "environment": describe_environment(str(self.loaded.model.device), self.config.seed),
        }
