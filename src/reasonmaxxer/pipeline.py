"""The main job: problems, rollouts, signal, training, evaluation, inspection, report.

Every stage is a plain function elsewhere; here they are put in order, given their configs, measured,
and made to survive a kill. `run` is the whole of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.config import Recipe, SamplingConfig
from reasonmaxxer.cost import ModelFlops, price_of
from reasonmaxxer.divergence.inspection import choose_specimens, inspect_tokens, write_inspection
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.evaluation.evaluate import outcomes_by_problem, rollout_summary
from reasonmaxxer.models import LoadedModel, eos_ids, load_model, resolve_device
from reasonmaxxer.problems import (
    Problem,
    Splits,
    load_splits,
    problems_from_table,
    problems_table,
)
from reasonmaxxer.report.page import REPORT, write_report
from reasonmaxxer.report.progress import Display, Task
from reasonmaxxer.report.summary import summarise
from reasonmaxxer.rollouts.collect import (
    collect,
    import_rollouts,
    read_rollouts,
    sample_rollouts,
)
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.run_directory import RunDirectory, StageWork
from reasonmaxxer.signal.gates import Gate, resolve_gate
from reasonmaxxer.signal.pool import Pool, pool_warnings
from reasonmaxxer.signal.scoring import score_rollouts
from reasonmaxxer.signal.select import (
    Example,
    example_table,
    examples_from_table,
    examples_of,
    group_rollouts,
    select_groups,
)
from reasonmaxxer.training.base_states import BaseStates
from reasonmaxxer.training.select import Candidate, best_candidate, candidate_table
from reasonmaxxer.training.trackers import check_trackers
from reasonmaxxer.training.train import (
    add_adapter,
    checkpoint_step,
    history_table,
    load_adapter_weights,
    planned_steps,
    save_adapter,
    train_adapter,
    training_layout,
    whole_checkpoints,
)
from reasonmaxxer.verify import Verifier

SPLITS = ("train", "validation", "test")


def run(
    recipe: Recipe,
    out: Path,
    *,
    display: Display | None = None,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Run a recipe in a folder, from wherever an earlier attempt stopped.

    Args:
        recipe: what to do.
        out: the run directory.
        display: where progress shows; none is silent.
        trust_remote_code: let the model's repository run its own code.

    Returns:
        What `out/summary.json` holds.

    Raises:
        UserError: bad input, or a pool of problems that nothing can be learnt from.
    """
    return _Run(recipe, out, display or Display(), trust_remote_code).run()


class _Run:
    """One run: its folder, and the model, loaded when the first stage needs it."""

    def __init__(
        self, recipe: Recipe, out: Path, display: Display, trust_remote_code: bool
    ) -> None:
        self.recipe, self.display = recipe, display
        self.trust_remote_code = trust_remote_code
        check_trackers(recipe.training.report_to)
        device = resolve_device(recipe.model)
        self.price = price_of(recipe.cost, device)
        self.environment = describe_environment(device, recipe.seed)
        self.directory = RunDirectory(out, recipe, device, self.price.usd_per_hour)
        self.verifier = Verifier(recipe.verify, recipe.problems.prompt_style)

    def run(self) -> dict[str, Any]:
        path = self.directory.path
        with self.directory.lock(), self.verifier:
            if not (path / "summary.json").exists():
                self._stages()
                write_json(
                    summarise(self.directory, self.environment, self.price), path / "summary.json"
                )
            if not (path / REPORT).exists():
                write_report(path)
            summary: dict[str, Any] = read_json(path / "summary.json")
            return summary

    def _stages(self) -> None:
        stage = self.directory.run_stage
        stage("problems", (), self.problems)
        stage("rollouts", ("problems",), self.rollouts)
        stage("signal", ("rollouts",), self.signal)
        stage("training", ("problems", "signal"), self.training)
        stage("evaluation", ("problems", "training"), self.evaluation)
        stage("inspection", ("rollouts", "signal", "training", "evaluation"), self.inspection)

    @cached_property
    def loaded(self) -> LoadedModel:
        loaded = load_model(self.recipe.model, trust_remote_code=self.trust_remote_code)
        model = loaded.model
        self.display.note(f"{loaded.name} ({loaded.source}), {model.dtype} on {model.device}")
        return loaded

    @cached_property
    def flops(self) -> ModelFlops:
        return ModelFlops(self.loaded.model)

    @cached_property
    def splits(self) -> Splits:
        folder = self.directory.path / "problems"
        tables = (read_table(folder / f"{name}.parquet") for name in SPLITS)
        return Splits(*(problems_from_table(table) for table in tables))

    def problems(self, work: StageWork) -> None:
        """Load the three splits, refuse overlaps, and fix them as tables."""
        splits = load_splits(self.recipe.problems, self.recipe.seed)
        for name in SPLITS:
            problems = getattr(splits, name)
            write_table(problems_table(problems), work.folder / f"{name}.parquet")
            work.counts[name] = len(problems)

    def rollouts(self, work: StageWork) -> None:
        """Sample the base on the training problems, or read rollouts made elsewhere."""
        recipe, config = self.recipe, self.recipe.rollouts
        problems = self.splits.train
        shards: list[list[Rollout]] = []

        def on_rollouts(shard: list[Rollout]) -> None:
            if not shards:
                self._warn(shard)
            shards.append(shard)

        if config.imported:
            rollouts = import_rollouts(
                Path(config.imported),
                problems,
                self.verifier,
                self.loaded.tokenizer,
                prompt_style=recipe.problems.prompt_style,
                eos_ids=self._eos_ids,
            )
            write_table(rollout_table(rollouts), work.folder / "shard-00000.parquet")
        else:
            count = len(problems) * config.rollouts_per_problem
            with self.display.task("Rollouts", count) as task:
                rollouts = self._sample(
                    work,
                    problems,
                    work.folder,
                    config,
                    config.rollouts_per_problem,
                    task,
                    on_rollouts,
                )
        work.counts |= {"model": self.loaded.identity, **rollout_summary(rollouts)}
        if len(shards) != 1:
            self._warn(rollouts)

    def signal(self, work: StageWork) -> None:
        """Choose what teaches: problems, rollouts, advantages, gates."""
        config = self.recipe.signal
        groups = select_groups(
            group_rollouts(read_rollouts(self.directory.path / "rollouts")), config.problems
        )
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        if any(r.entropy is None or r.logprob is None for r in rollouts):
            with self.display.task("Scoring rollouts", len(rollouts)) as task:
                rollouts = score_rollouts(rollouts, self.loaded.model, self._scoring(work, task))
        examples = examples_of(group_rollouts(rollouts), config)
        entropies = [example.entropy for example in examples]
        gates = [
            resolve_gate(gate, entropies, self.recipe.seed) for gate in config.gate.candidates()
        ]
        write_table(example_table(examples), work.folder / "examples.parquet")
        work.counts = {
            "problems": len(groups),
            "sequences": len(examples),
            "tokens": sum(len(e) for e in entropies),
            "gates": [gate.to_dict() for gate in gates],
        }

    def training(self, work: StageWork) -> None:
        """Train one adapter a gate; the validation split picks gate and checkpoint."""
        examples = self._examples()
        gates = [Gate(**gate) for gate in self.directory.record("signal")["counts"]["gates"]]
        candidates: list[Candidate] = []
        histories = []
        base_states = BaseStates() if len(gates) > 1 else None
        for index, gate in enumerate(gates):
            label = f" {index + 1}/{len(gates)}" if len(gates) > 1 else ""
            folder = work.folder / f"gate-{index}"
            histories += self._train(work, examples, gate, index, folder, label, base_states)
            candidates += self._validate(work, gate, index, folder, label)
            self.loaded.model = self.loaded.model.unload()
        best = best_candidate(candidates)
        save_adapter(best.adapter, work.folder / "adapter", self.loaded.name)
        write_table(history_table(histories), work.folder / "history.parquet")
        write_table(candidate_table(candidates), work.folder / "validation.parquet")
        for index in range(len(gates)):
            shutil.rmtree(work.folder / f"gate-{index}")
        config = self.recipe.training
        work.counts = {
            "gate": best.gate.to_dict(),
            "steps": best.step,
            "planned_steps": planned_steps(len(examples), config),
            "sequences": len(examples),
            "tokens": sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples),
            "checkpoint": f"step {best.step}",
            "validation_accuracy": best.accuracy,
            "validation_problems": len(best.correct),
        }

    def evaluation(self, work: StageWork) -> None:
        """Measure base and adapted model on the test problems, the same draws for both."""
        config = self.recipe.evaluation
        count = 2 * len(self.splits.test) * (1 + config.samples)
        with self.display.task("Evaluation", count) as task:
            for arm in ("base", "adapted"):
                if arm == "adapted":
                    self._load_trained()
                self._evaluate_arm(work, arm, task)

    def inspection(self, work: StageWork) -> None:
        """Score a few completions under both models, token by token, for the viewer."""
        chosen = choose_specimens(self.directory.path, self._examples(), self.recipe.inspection)
        gate = Gate(**self.directory.record("training")["counts"]["gate"])
        self._load_trained()
        with self.display.task("Inspection", 2 * len(chosen)) as task:
            tokens = inspect_tokens(chosen, gate, self.loaded.model, self._scoring(work, task))
        work.counts = write_inspection(tokens, self.loaded.tokenizer, work.folder)

    def _evaluate_arm(self, work: StageWork, arm: str, task: Task) -> None:
        config, test = self.recipe.evaluation, self.splits.test
        greedy = config.model_copy(update={"temperature": 0.0})
        self._sample(work, test, work.folder / f"{arm}-greedy", greedy, 1, task)
        if config.samples:
            folder = work.folder / f"{arm}-sampled"
            self._sample(work, test, folder, config, config.samples, task)

    # What the stages share.

    def _examples(self) -> list[Example]:
        return examples_from_table(read_table(self.directory.path / "signal" / "examples.parquet"))

    def _train(
        self,
        work: StageWork,
        examples: list[Example],
        gate: Gate,
        index: int,
        folder: Path,
        label: str,
        base_states: BaseStates | None,
    ) -> list[dict[str, Any]]:
        """Train the adapter of one gate; its history, one row a step."""
        config, seed = self.recipe.training, self.recipe.seed
        finished = folder / "history.json"
        self.loaded.model = add_adapter(self.loaded.model, config.adapter, seed)
        if finished.exists():
            history: list[dict[str, Any]] = read_json(finished)
            return history
        steps = planned_steps(len(examples), config)
        flops_until = self._training_flops(examples, gate, index, steps)
        tokens_each = sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples) / steps
        with self.display.task(f"Training{label}", steps) as task:

            def on_step(step: int) -> None:
                done = step - task.done
                tokens = round(done * config.epochs * tokens_each)
                work.meter.add(tokens=tokens, flops=flops_until(step) - flops_until(task.done))
                task.advance(done, tokens)

            already = whole_checkpoints(folder)
            task.advance(checkpoint_step(already[-1]) if already else 0)
            history = train_adapter(
                self.loaded.model,
                self.loaded.tokenizer,
                examples,
                gate,
                config,
                seed=seed,
                folder=folder,
                base_states=base_states,
                events=self.directory.path / "tensorboard" / f"gate-{index}",
                on_step=on_step,
                on_checkpoint=work.save_cost,
            )
        history = [{"gate": index, **row} for row in history]
        write_json(history, finished)
        return history

    def _training_flops(
        self, examples: list[Example], gate: Gate, index: int, steps: int
    ) -> Callable[[int], float]:
        """FLOPs of the first steps of a gate's training; the base reads each sequence once a run."""
        config = self.recipe.training
        rows = training_layout(examples, config, self.recipe.seed)
        decisions = sum(int(gate.decisions(e.entropy, e.key).sum()) for e in examples)
        anchored = config.anchor_weight > 0
        fresh = anchored and index == 0
        first = self.flops.training(rows, decisions, anchored=anchored, base=fresh)
        later = self.flops.training(rows, decisions, anchored=anchored, base=False)

        def until(step: int) -> float:
            epochs = step / steps * config.epochs
            return min(epochs, 1.0) * first + max(epochs - 1.0, 0.0) * later

        return until

    def _validate(
        self, work: StageWork, gate: Gate, index: int, folder: Path, label: str
    ) -> list[Candidate]:
        """Try every checkpoint of one gate on the validation problems, greedily."""
        problems = self.splits.validation
        greedy = self.recipe.evaluation.model_copy(update={"temperature": 0.0})
        checkpoints = whole_checkpoints(folder)
        candidates = []
        count = len(checkpoints) * len(problems)
        with self.display.task(f"Validation{label}", count) as task:
            for checkpoint in checkpoints:
                load_adapter_weights(self.loaded.model, checkpoint)
                step = checkpoint_step(checkpoint)
                tried = folder / f"validation-{step}"
                rollouts = self._sample(work, problems, tried, greedy, 1, task)
                candidates.append(
                    Candidate(index, gate, step, checkpoint, outcomes_by_problem(rollouts))
                )
        return candidates

    def _load_trained(self) -> None:
        """Put the chosen adapter on the model, unless it is there."""
        if hasattr(self.loaded.model, "peft_config"):
            return
        adapter = self.directory.path / "training" / "adapter"
        model = add_adapter(self.loaded.model, self.recipe.training.adapter, self.recipe.seed)
        load_adapter_weights(model, adapter)
        self.loaded.model = model

    def _sample(
        self,
        work: StageWork,
        problems: Sequence[Problem],
        folder: Path,
        sampling: SamplingConfig,
        per_problem: int,
        task: Task,
        on_rollouts: Callable[[list[Rollout]], None] | None = None,
    ) -> list[Rollout]:
        """Durable, graded, counted rollouts of the model as it stands."""
        recipe = self.recipe
        engine = TransformersEngine(self.loaded.model, self._eos_ids, recipe.rollouts.batch_size)

        def make(shard: Sequence[Problem]) -> list[Rollout]:
            return sample_rollouts(
                shard,
                engine,
                self.verifier,
                self.loaded.tokenizer,
                prompt_style=recipe.problems.prompt_style,
                sampling=sampling,
                per_problem=per_problem,
                seed=recipe.seed,
                on_tokens=task.on_tokens,
            )

        def on_shard(rollouts: list[Rollout], fresh: bool) -> None:
            if on_rollouts:
                on_rollouts(rollouts)
            if fresh:
                tokens = sum(len(r.completion_ids) for r in rollouts)
                work.meter.add(tokens=tokens, flops=self.flops.rollouts(rollouts))
                work.save_cost()
            else:
                task.advance(len(rollouts))

        per_shard = max(1, recipe.rollouts.rollouts_per_shard // per_problem)
        return collect(problems, folder, per_shard, make, on_shard)

    def _scoring(self, work: StageWork, task: Task) -> Callable[[int], None]:
        def on_scored(tokens: int) -> None:
            flops = self.flops.hidden(tokens) + self.flops.logits(tokens)
            work.meter.add(tokens=tokens, flops=flops)
            task.advance(1, tokens)

        return on_scored

    @property
    def _eos_ids(self) -> tuple[int, ...]:
        return eos_ids(self.loaded.model, self.loaded.tokenizer)

    def _warn(self, rollouts: Sequence[Rollout]) -> None:
        """Say loudly, as soon as it can be seen, what makes rollouts a poor teacher."""
        said = pool_warnings(
            Pool.of(group_rollouts(rollouts)),
            len(self.splits.train),
            self.recipe.signal.problems,
            self.recipe.rollouts.max_new_tokens,
        )
        for text in said:
            self.display.warn(text)
