"""`reasonmaxxer evaluate`: one model on benchmarks, one folder each, every piece durable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.config import SourceConfig, SuiteConfig
from reasonmaxxer.divergence.folder import claimed
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.errors import UserError
from reasonmaxxer.evaluation.published import published_scores
from reasonmaxxer.evaluation.suite import (
    TRUNCATED,
    Protocol,
    average,
    measure,
    metric_name,
    pass_rates,
    problems_hash,
    specimens,
)
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.models.load import adapter_weights, base_of, is_adapter, with_adapter
from reasonmaxxer.problems import (
    Problem,
    load_problems,
    problems_from_table,
    problems_table,
)
from reasonmaxxer.problems.benchmarks import provenance
from reasonmaxxer.problems.catalogue import CATALOGUE, SUITES
from reasonmaxxer.problems.draw import sample_of
from reasonmaxxer.problems.load import is_made
from reasonmaxxer.report.evaluation import write_evaluation
from reasonmaxxer.report.progress import Display
from reasonmaxxer.rollouts.collect import collect_samples, read_rollouts
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier
from reasonmaxxer.verify.extract import resolve_extraction

SUMMARY = "summary.json"
RESULT = "result.json"
AVERAGED = SUITES["paper"][:6]
"""Benchmarks over which arXiv 2605.06241, Table 3, averages."""


def evaluate(
    config: SuiteConfig, out: Path, display: Display, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Measure one model on every source of problems, in order.

    Args:
        config: model, problems and protocol.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows.
        trust_remote_code: let the model's repository run its own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    problems = _problems(config)
    if config.adapter:
        adapter_weights(Path(config.adapter))
    with claimed(out, "evaluate", config):
        _refuse_other_problems(out, problems)
        if not (out / SUMMARY).exists():
            work = _Work(config, out, display, trust_remote_code)
            results = [work.result(*named) for named in problems.items()]
            write_json(work.summary(problems, results), out / SUMMARY)
        write_evaluation(out)
        summary: dict[str, Any] = read_json(out / SUMMARY)
        return summary


@dataclass(frozen=True)
class _Work:
    """One evaluation at work: its folder, and its model, loaded when it is first needed."""

    config: SuiteConfig
    out: Path
    display: Display
    trust_remote_code: bool

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, its adapter beside its weights."""
        config, folder = self.config.model, self.config.adapter
        if folder is None and is_adapter(Path(config.name)):
            config, folder = (
                config.model_copy(update={"name": base_of(Path(config.name))}),
                config.name,
            )
        loaded = load_model(config, self.trust_remote_code)
        if folder:
            loaded = with_adapter(loaded, Path(folder))
        model = loaded.model
        self.display.note(f"{loaded.name} ({loaded.source}), {model.dtype} on {model.device}")
        return loaded

    @cached_property
    def engine(self) -> Engine:
        """What samples."""
        ends = eos_ids(self.loaded.model, self.loaded.tokenizer)
        return TransformersEngine(self.loaded.model, ends, self.config.batch_size)

    def samples(self, source: str) -> int:
        """Completions a problem."""
        if self.config.temperature == 0:
            return 1
        benchmark = CATALOGUE.get(source)
        return self.config.samples or (benchmark and benchmark.samples) or 1

    def result(self, name: str, problems: list[Problem]) -> dict[str, Any]:
        """Scores of one source, measured unless they are there."""
        path = self.out / name / RESULT
        if not path.exists():
            write_json(self._measured(name, problems), path)
        result: dict[str, Any] = read_json(path)
        if result["truncated_share"] > TRUNCATED:
            self.display.warn(
                f"{name}: {result['truncated_share']:.0%} of the completions were cut at "
                f"{self.config.max_new_tokens} tokens and could not finish; raise --max-new-tokens."
            )
        return result

    def _measured(self, name: str, problems: list[Problem]) -> dict[str, Any]:
        source = self._source(name)
        samples = self.samples(source.source)
        engine = self.engine  # first: nothing is written for a model that cannot be loaded
        write_table(problems_table(problems), self.out / name / "problems.parquet")
        rollouts = self._rollouts(engine, name, problems, samples)
        benchmark = CATALOGUE.get(source.source)
        return {
            "name": name,
            "title": benchmark.title if benchmark else name,
            "problems": len(problems),
            "of": benchmark.problems if benchmark else None,
            **measure(problems, rollouts, self.config),
            "specimens": specimens(problems, rollouts),
            "protocol": self._protocol(source, problems, samples).to_dict(),
        }

    def _rollouts(
        self, engine: Engine, name: str, problems: list[Problem], samples: int
    ) -> list[Rollout]:
        config = self.config
        with (
            self.display.task(name, len(problems) * samples) as task,
            Verifier(config.verify, config.prompt_style) as verifier,
        ):
            return collect_samples(
                problems,
                self.out / name / "rollouts",
                config.rollouts_per_shard,
                engine,
                verifier,
                self.loaded.tokenizer,
                prompt_style=config.prompt_style,
                sampling=config,
                per_problem=samples,
                seed=config.seed,
                on_tokens=task.on_tokens,
            )

    def _protocol(self, source: SourceConfig, problems: list[Problem], samples: int) -> Protocol:
        config = self.config
        return Protocol(
            metric=metric_name(samples, config.temperature),
            samples=samples,
            prompt_style=config.prompt_style,
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            extraction=resolve_extraction(config.verify.extraction, config.prompt_style),
            seed=config.seed,
            engine=f"{self.engine.name} {self.engine.version}",
            dtype=self.loaded.identity["dtype"],
            data=provenance(source),
            problems=len(problems),
            problems_hash=problems_hash(problems),
            package_version=__version__,
        )

    def _source(self, name: str) -> SourceConfig:
        return next(s for s in self.config.problems if source_name(s.source) == name)

    def summary(
        self, problems: dict[str, list[Problem]], results: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Everything `summary.json` holds."""
        base = self.config.model.name
        if self.config.adapter is None and is_adapter(Path(base)):
            base = base_of(Path(base))
        averaged = None
        if set(AVERAGED) <= set(problems):
            rates = [
                pass_rates(problems[name], read_rollouts(self.out / name / "rollouts"))
                for name in AVERAGED
            ]
            averaged = average(rates, self.config)
        return {
            "command": "evaluate",
            "model": self.loaded.identity,
            "confidence": self.config.confidence,
            "benchmarks": results,
            "average": averaged,
            "published": [row.to_dict() for row in published_scores(base)],
            "environment": describe_environment(str(self.loaded.model.device), self.config.seed),
        }


def source_name(source: str) -> str:
    """What the folder and the row of a source are called."""
    return (
        Path(source).stem if source.endswith((".jsonl", ".json", ".parquet")) else Path(source).name
    )


def _problems(config: SuiteConfig) -> dict[str, list[Problem]]:
    """The problems of every source, by its name."""
    found: dict[str, list[Problem]] = {}
    for source in config.problems:
        name = source_name(source.source)
        if name in found:
            raise UserError(f"Two sources of problems are called '{name}'; rename one of them.")
        drawn = (
            source.model_copy(update={"limit": config.limit}) if is_made(source.source) else source
        )
        problems = load_problems(drawn, config.seed, "problems")
        found[name] = (
            problems if config.limit is None else sample_of(problems, config.limit, config.seed)
        )
    return found


def _refuse_other_problems(out: Path, problems: dict[str, list[Problem]]) -> None:
    """Refuse a folder whose problems are no longer those of its sources."""
    for name, wanted in problems.items():
        path = out / name / "problems.parquet"
        if path.exists():
            there = problems_from_table(read_table(path))
            if problems_hash(there) != problems_hash(wanted):
                raise UserError(
                    f"{out} was begun with other problems of {name} than its source has now. Choose "
                    "another folder with --out, or give back the data it was begun with."
                )
