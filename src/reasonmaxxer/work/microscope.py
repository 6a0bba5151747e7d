"""The microscope's commands: each reads a base and what was tuned from it, and fills a workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from typing_extensions import Unpack

from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.config import InterveneConfig, MicroscopeConfig, OverlapConfig
from reasonmaxxer.config.policies import SEARCH
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope.diff import compare_durably, mentioned_ids
from reasonmaxxer.microscope.effects import Effects
from reasonmaxxer.microscope.interventions import (
    DEFAULT,
    Outputs,
    intervene_durably,
    policies_of,
    read_outputs,
    reference_of,
)
from reasonmaxxer.microscope.overlap import read_trio, summarise_overlap
from reasonmaxxer.microscope.pair import ARMS, Arm, Pair, open_pair
from reasonmaxxer.microscope.policies import Policy, folder_name
from reasonmaxxer.microscope.search import LEVELS, fewest_edits, read_trials
from reasonmaxxer.microscope.summary import summarise
from reasonmaxxer.microscope.vocabulary import pieces_table, texts_of
from reasonmaxxer.models.names import files_behind
from reasonmaxxer.problems import Problem, load_problems, problems_table
from reasonmaxxer.report.page import write_report
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.limits import check_prompts
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier, check_gradable, graded_by
from reasonmaxxer.work.command import finish, opened
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.sampling import Examiner, Respondent, count_all, tokens_and_flops_read
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.workspace import Options, Workspace, trusts

PER_SHARD = 64
"""Problems whose answers are written at once."""
PROBLEMS = "problems/problems.parquet"
_ASKED = ("seed", "base", "tuned", "problems", "prompt_style", "max_new_tokens", "batch_size", "verify")
DEPENDS = {
    "problems": ("seed", "problems"),
    **dict.fromkeys(("base-greedy", "tuned-greedy", "base-positions", "tuned-positions", "outputs"), _ASKED),
    **dict.fromkeys(("given", "positions"), (*_ASKED, "text")),
    "search": _ASKED,
}
"""Keys that a stage depends on; the answers of one model too depend on both, whose end tokens end them."""


def diff(
    config: MicroscopeConfig, out: Path, display: Display | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Compare a base with one tuned model token by token.

    Args:
        config: models, problems and whose answers are read.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    if config.text not in ARMS and not Path(config.text).is_file():
        raise UserError(f"text = '{config.text}' is no file of answers: give base, tuned or a .jsonl file.")
    text = f"{config.text}-greedy" if config.text in ARMS else "given"
    stages = ("problems", text, "positions", "vocabulary")

    def measured(work: _Comparison) -> dict[str, Any]:
        work.read_text(text)
        table = work.compared("positions", text, "reading both models")
        vocabulary = work.vocabulary(("positions",), mentioned_ids(table))
        return work.finish(summarise(table, texts_of(vocabulary), config), work.pair)

    return _done("diff", config, out, display, stages, measured, options)


def intervene(
    config: InterveneConfig, out: Path, display: Display | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Put tokens of one model into the other's text while it decodes, and grade what becomes of it.

    Args:
        config: models, problems and policies.
        out: folder to fill; the same config again goes on where it stopped, also with other policies.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    asked = config.policies or DEFAULT
    policies = policies_of([text for text in asked if text != SEARCH])
    donors = list(dict.fromkeys(policy.donor for policy in policies if policy.needs_reference))
    texts = [*(f"{arm}-greedy" for arm in ARMS), *(["outputs"] if policies else [])]
    references, search = [f"{donor}-positions" for donor in donors], ["search"] if SEARCH in asked else []
    stages = ("problems", *texts[:2], *references, *texts[2:], *search, "vocabulary")

    def measured(work: _Comparison) -> dict[str, Any]:
        answers = {arm: work.read_text(f"{arm}-greedy") for arm in ARMS}
        known = {
            donor: reference_of(work.compared(f"{donor}-positions", f"{donor}-greedy", f"edits of {donor}"))
            for donor in donors
        }
        outputs = work.outputs([replace(p, reference=known[p.donor]) if p.needs_reference else p for p in policies])
        found = Effects(answers["base"], answers["tuned"], config).summary(outputs)
        fewest = work.fewest(answers) if search else None
        work.vocabulary(texts, _ids_in([*answers.values(), *(o.rollouts for o in outputs)], outputs))
        return work.finish({"problems": len(work.problems), **found, "fewest": fewest}, work.pair)

    return _done("intervene", config, out, display, stages, measured, options)


def overlap(
    config: OverlapConfig, out: Path, display: Display | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Hold the edits of two tuned models of one base against each other.

    Args:
        config: models, two of them tuned, and problems.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    stages = ("problems", "base-greedy", "overlap")

    def measured(work: _Comparison) -> dict[str, Any]:
        rollouts = work.read_text("base-greedy")
        pairs = (work.pair, work.pair.beside(config.tuned[1], config.base, work.trust_remote_code))

        def read(stage: StageWork) -> None:
            with pairs[1].at_work(), work.reading("reading three models", stage, 3 * len(rollouts)) as on_read:
                trio = read_trio(pairs, rollouts, work.pair.base.tokenizer, on_read)
            count_all(stage, *tokens_and_flops_read(work.flops, rollouts, 3))
            stage.counts = summarise_overlap(trio, config)

        work.workspace.run_stage("overlap", ("base-greedy",), read)
        return work.finish(work.workspace.counts("overlap"), *pairs)

    return _done("overlap", config, out, display, stages, measured, options)


@dataclass(frozen=True)
class _Comparison:
    """One command at work: its workspace, its problems and its models."""

    config: MicroscopeConfig
    workspace: Workspace
    display: Display
    problems: Sequence[Problem]
    stack: ExitStack
    trust_remote_code: bool

    @cached_property
    def pair(self) -> Pair:
        """Both models, loaded when a stage needs them."""
        config = self.config
        pair = open_pair(config.base, config.tuned[0], self.trust_remote_code)
        turns = ", one at a time" if pair.in_turn else ""
        names = f"{pair.base.name} and {pair.tuned.name}"
        self.display.note(f"{names}, {pair.base.model.dtype} on {pair.device}{turns}")
        check_prompts(self.problems, pair.base, config, "prompt_style", "max_new_tokens", self.display.warn)
        self.stack.enter_context(pair.at_work())
        return pair

    @cached_property
    def flops(self) -> ModelFlops:
        """FLOPs of either model, by formula."""
        return ModelFlops(self.pair.base.model)

    def read_text(self, stage: str) -> list[Rollout]:
        """The greedy answers of one model, or answers that were given."""
        work = self._given if stage == "given" else self._answered
        self.workspace.run_stage(stage, ("problems",), work)
        return read_rollouts(self.workspace.path / stage)

    def _answered(self, stage: StageWork) -> None:
        arm: Arm = "base" if "base" in stage.folder.name else "tuned"
        with (
            self.pair.using(arm) as model,
            Verifier(self.config.verify, self.config.prompt_style) as verifier,
            self.display.task(f"greedy, {arm}", len(self.problems)) as task,
        ):
            config, pair = self.config, self.pair
            examiner = Examiner(verifier, config.prompt_style, config.seed, PER_SHARD)
            engine = TransformersEngine(model, pair.eos_ids, config.batch_size)
            asked = Respondent(engine, self.flops, pair.base.tokenizer)
            examiner.ask(asked, self.problems, config.greedy, 1, stage, stage.folder, task)

    def _given(self, stage: StageWork) -> None:
        config, pair = self.config, self.pair
        with Verifier(config.verify, config.prompt_style) as verifier:
            rollouts = import_rollouts(
                Path(config.text),
                self.problems,
                verifier,
                pair.base.tokenizer,
                prompt_style=config.prompt_style,
                eos_ids=pair.eos_ids,
            )
        write_table(rollout_table(rollouts), stage.folder / "shard-00000.parquet")

    def compared(self, stage: str, text: str, label: str) -> pa.Table:
        """Texts under both models."""

        def read(work: StageWork) -> None:
            rollouts = read_rollouts(self.workspace.path / text)
            with self.reading(label, work, 2 * len(rollouts)) as on_read:
                compare_durably(self.pair, rollouts, work.folder, on_read)
            count_all(work, *tokens_and_flops_read(self.flops, rollouts, 2))

        self.workspace.run_stage(stage, (text,), read)
        shards = sorted((self.workspace.path / stage).glob("shard-*.parquet"))
        return pa.concat_tables([read_table(shard) for shard in shards])

    @contextmanager
    def reading(self, label: str, work: StageWork, count: int) -> Iterator[Any]:
        """A progress bar of texts that are read; yields what is called with the tokens of each."""
        with self.display.task(label, count) as task:

            def on_read(tokens: int) -> None:
                task.advance(1, tokens)
                work.keep_time()

            yield on_read

    def outputs(self, policies: Sequence[Policy]) -> list[Outputs]:
        """Answers under all policies, which are decoded side by side."""
        if not policies:
            return []
        names = [policy.spelling for policy in policies]

        def decode(work: StageWork) -> None:
            def on_done(tokens: int, done: int) -> None:
                task.on_tokens(tokens, done)
                work.keep_time()

            with self.display.task("interventions", len(policies) * len(self.problems)) as task:
                intervene_durably(self.pair, policies, self.problems, self.config, work.folder, on_done)
            there = sorted({row.parent for row in work.folder.glob("*/shard-*.parquet")})
            rollouts = [rollout for folder in there for rollout in read_rollouts(folder)]
            # each model reads each token once; drafts that were thrown away are not counted
            count_all(work, sum(len(r.completion_ids) for r in rollouts), 2 * self.flops.rollouts(rollouts))
            answered = Counter(rollout.engine for rollout in rollouts)
            # of a command that was killed and asked for more, a policy may have answered some problems only
            work.counts = {"policies": sorted(name for name, n in answered.items() if n == len(self.problems))}

        inputs = ("base-greedy", "tuned-greedy")
        self.workspace.run_stage("outputs", inputs, decode)
        if not set(names) <= set(self.workspace.counts("outputs")["policies"]):  # those of an earlier command
            self.workspace.reopen("outputs", "vocabulary")
            self.workspace.run_stage("outputs", inputs, decode)
        folders = [self.workspace.path / "outputs" / folder_name(name) for name in names]
        return [read_outputs(policy, folder) for policy, folder in zip(policies, folders, strict=True)]

    def fewest(self, answers: Mapping[Arm, Sequence[Rollout]]) -> dict[str, Any]:
        """The search for the fewest edits."""

        def search(work: StageWork) -> None:
            def on_level() -> None:
                task.advance(1)
                work.keep_time()

            with self.display.task("fewest edits", 2 * LEVELS) as task:
                found = fewest_edits(
                    self.pair, self.problems, answers["base"], answers["tuned"], self.config, work.folder, on_level
                )
            levels = [read_trials(path, answers["base"]) for path in sorted(work.folder.glob("*-[0-9].json"))]
            rollouts = [trial.rollout for tried in levels for trials in tried.values() for trial in trials]
            count_all(work, sum(len(r.completion_ids) for r in rollouts), self.flops.rollouts(rollouts))
            write_json(self._spelled(found), work.folder / "fewest.json")

        self.workspace.run_stage("search", ("base-greedy", "tuned-greedy"), search)
        fewest: dict[str, Any] = read_json(self.workspace.path / "search" / "fewest.json")
        return fewest

    def _spelled(self, fewest: dict[str, Any]) -> dict[str, Any]:
        """A search whose tokens are there as text, too."""
        rows, ends = fewest["problems"], ("from", "to")
        ids = {id for row in rows for end in ends for id in row[f"{end}_ids"]}
        text = texts_of(pieces_table(ids, self.pair.base.tokenizer))
        spelled = [{**row, **{end: [text[id] for id in row[f"{end}_ids"]] for end in ends}} for row in rows]
        return {**fewest, "problems": spelled}

    def vocabulary(self, texts: Sequence[str], ids: Iterable[int]) -> pa.Table:
        """The bytes of every token in some stages' texts, for the page."""

        def write(work: StageWork) -> None:
            write_table(pieces_table(ids, self.pair.base.tokenizer), work.folder / "vocabulary.parquet")

        self.workspace.run_stage("vocabulary", texts, write)
        return read_table(self.workspace.path / "vocabulary" / "vocabulary.parquet")

    def finish(self, found: Mapping[str, Any], *pairs: Pair) -> dict[str, Any]:
        """Put the figures together, with what was compared and how."""
        tuned, config = [pair.tuned.identity for pair in pairs], self.config
        protocol = {
            "prompt_style": config.prompt_style,
            "extraction": graded_by(config.verify, config.prompt_style, self.problems),
            "text": config.text,
            "max_new_tokens": config.max_new_tokens,
            "source": config.problems.source,
            "split": config.problems.split,
            "seed": config.seed,
            "confidence": config.confidence,
        }
        models = {"base": self.pair.base.identity, "tuned": tuned[0] if len(tuned) == 1 else tuned}
        return finish(self.workspace, {**models, "protocol": protocol, **found})


def _done(
    command: str,
    config: MicroscopeConfig,
    out: Path,
    display: Display | None,
    stages: Sequence[str],
    measured: Callable[[_Comparison], dict[str, Any]],
    options: Options,
) -> dict[str, Any]:
    """Read the problems, take the folder, measure unless that is done, draw the page."""
    problems = load_problems(config.problems, config.seed, "problems")
    check_gradable(problems, config.verify)
    workspace = opened(
        out,
        command,
        config,
        config.base,
        stages=stages,
        files=(config.verify.file, config.text, *files_behind(config.base.name, *config.tuned)),
        problems={PROBLEMS: problems},
        depends={name: keys for name, keys in DEPENDS.items() if name in stages},
        options=options,
    )

    def fix_problems(work: StageWork) -> None:
        write_table(problems_table(problems), work.folder / Path(PROBLEMS).name)

    with workspace as there, ExitStack() as stack:
        there.run_stage("problems", (), fix_problems)
        comparison = _Comparison(config, there, display or Display(), problems, stack, trusts(options))
        summary = there.summary or measured(comparison)
        write_report(out)
        return summary


def _ids_in(answers: Iterable[Sequence[Rollout]], outputs: Sequence[Outputs]) -> Iterator[int]:
    """Tokens of all answers, and those that edits took the place of."""
    for rollouts in answers:
        for rollout in rollouts:
            yield from rollout.completion_ids
    for output in outputs:
        yield from output.edits["host_id"].to_pylist()
