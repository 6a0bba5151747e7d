"""The fewest tokens of the tuned model that make a failed answer right, by search.

Each answer that is wrong under the base and right under the tuned model is tried with one of the tuned
model's choices put in, wherever the two differ, the base going on from there; then with a second one behind
the first; and so on. A level tries the most divergent candidates of each problem, so beyond the first
level, or with many candidates, what is found is an upper bound.

The best of many tries is right by luck now and then. A control tries as many, at the same places: the
base's most likely token that neither model chose.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.microscope.diff import compare_texts
from reasonmaxxer.microscope.joint import UNSHIFTED, JointScores
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.sampler import graded
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier

LEVELS = 3
"""Edits tried together, at most."""
CANDIDATES = 24
"""Answers tried for each problem and level, at most."""
AT_ONCE = 6
"""Answers tried of each problem before the next: one that is solved needs no more."""

Substitute = Literal["tuned", "neither"]
"""The tuned model's choice, or the control's: the base's most likely token that neither model chose."""


_ANSWER = ("completion_ids", "text", "outcome", "extracted")
"""What a trial's rollout has of its own; the rest is the base's."""


@dataclass(frozen=True)
class Trial:
    """An answer with some edits.

    Attributes:
        rollout: the answer.
        positions: of the edits in it.
        host_ids: what the base would have said there.
        emitted_ids: what was put in.
        divergence: sum of the Jensen-Shannon divergences there.
    """

    rollout: Rollout
    positions: Sequence[int] = ()
    host_ids: Sequence[int] = ()
    emitted_ids: Sequence[int] = ()
    divergence: float = 0.0


Tried = dict[str, list[Trial]]
"""Trials by problem id."""


def fewest_edits(
    pair: Pair,
    problems: Sequence[Problem],
    base: Sequence[Rollout],
    tuned: Sequence[Rollout],
    config: MicroscopeConfig,
    folder: Path,
    on_level: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Search the answers that the tuned model gains; a search that was stopped goes on.

    Args:
        pair: the models.
        problems: that were answered.
        base: greedy answers of the base, in their order.
        tuned: greedy answers of the tuned model, in the same order.
        config: length, grading and batch.
        folder: receives what each level of the search tried, `tuned-1.json` and so on.
        on_level: called after each of `LEVELS` numbers of edits, of the search and then of its control.

    Returns:
        `failed`: problems that only the tuned model solves; `histogram` of the edits that were enough,
        those that were not found as `more`; `control`: the control's histogram; `problems` with positions
        and token ids of the edits.
    """
    gained = {
        problem.id: problem
        for problem, before, after in zip(problems, base, tuned, strict=True)
        if after.reward > before.reward
    }
    answers = [rollout for rollout in base if rollout.problem_id in gained]
    with Verifier(config.verify, config.prompt_style) as verifier:
        search = _Search(pair, gained, answers, verifier, config, folder)
        solved, by_luck = (search.run(substitute, on_level) for substitute in get_args(Substitute))
    return {
        "failed": len(gained),
        "histogram": _histogram(solved, len(gained)),
        "control": _histogram(by_luck, len(gained)),
        "problems": [_row(id, solved.get(id)) for id in gained],
    }


@dataclass(frozen=True)
class _Search:
    """What the search and its control share: problems that only the tuned model solves, and the base's answers."""

    pair: Pair
    problems: dict[str, Problem]
    answers: Sequence[Rollout]
    verifier: Verifier
    config: MicroscopeConfig
    folder: Path

    def run(self, substitute: Substitute, on_level: Callable[[], None] | None) -> dict[str, Trial]:
        """The trial with the fewest edits that solves each problem, of those that one solves."""
        open_trials = {rollout.problem_id: [Trial(rollout)] for rollout in self.answers}
        solved: dict[str, Trial] = {}
        for level in range(1, LEVELS + 1):
            path = self.folder / f"{substitute}-{level}.json"
            if not path.exists():
                longer = _next_trials(self.pair, substitute, open_trials)
                write_json(_as_json(self._tried(longer)), path)
            tried = read_trials(path, self.answers)
            for id, trials in tried.items():
                right = [trial for trial in trials if trial.rollout.reward]
                if right:
                    solved[id] = max(right, key=lambda trial: trial.divergence)
            open_trials = {id: tried[id] for id in open_trials if tried.get(id) and id not in solved}
            if on_level:
                on_level()
        return solved

    def _tried(self, trials: Tried) -> Tried:
        """The trials of each problem, a few at a time, up to those with the first right answer."""
        left = {id: group for id, group in trials.items() if group}
        tried: Tried = {id: [] for id in left}
        while left:
            finished = self._finished([trial for group in left.values() for trial in group[:AT_ONCE]])
            for trial in finished:
                tried[trial.rollout.problem_id].append(trial)
            solved = {trial.rollout.problem_id for trial in finished if trial.rollout.reward}
            left = {id: rest for id, group in left.items() if id not in solved and (rest := group[AT_ONCE:])}
        return tried

    def _finished(self, trials: Sequence[Trial]) -> list[Trial]:
        """Trials with their answers brought to an end by the base, and graded."""
        pair, limit = self.pair, self.config.max_new_tokens
        going = [
            trial
            for trial in trials
            if (ids := trial.rollout.completion_ids)[-1] not in pair.eos_ids and len(ids) < limit
        ]
        requests = [Request((*t.rollout.prompt_ids, *t.rollout.completion_ids), 0) for t in going]
        with pair.using("base") as model:
            engine = TransformersEngine(model, pair.eos_ids, self.config.batch_size)
            completions = engine.generate(requests, self.config.greedy)
        rest = {id(trial): one.ids for trial, one in zip(going, completions, strict=True)}
        answers = []
        for trial in trials:
            ids = [*trial.rollout.completion_ids, *rest.get(id(trial), ())][:limit]
            text = pair.base.tokenizer.decode(ids, skip_special_tokens=True)
            answers.append(replace(trial.rollout, completion_ids=ids, text=text))
        marked = graded(answers, self.problems, self.verifier)
        return [replace(trial, rollout=rollout) for trial, rollout in zip(trials, marked, strict=True)]


def _as_json(tried: Tried) -> dict[str, list[dict[str, Any]]]:
    return {
        id: [{**vars(trial), "rollout": {name: getattr(trial.rollout, name) for name in _ANSWER}} for trial in trials]
        for id, trials in tried.items()
    }


def read_trials(path: Path, answers: Sequence[Rollout]) -> Tried:
    """What one level of a search tried.

    Args:
        path: a file that `fewest_edits` wrote.
        answers: the base's, of all problems that were searched.
    """
    base = {rollout.problem_id: rollout for rollout in answers}
    return {
        id: [Trial(**{**row, "rollout": replace(base[id], **row["rollout"])}) for row in rows]
        for id, rows in read_json(path).items()
    }


def _next_trials(pair: Pair, substitute: Substitute, trials: Tried) -> Tried:
    """Every trial with one more edit behind its last; their answers end with the edit."""
    flat = [trial for group in trials.values() for trial in group]
    scores = compare_texts(pair, [trial.rollout for trial in flat])
    longer: Tried = {id: [] for id in trials}
    for trial, score in zip(flat, scores, strict=True):
        after = trial.positions[-1] if trial.positions else -1
        for t in np.flatnonzero(score.kind_N != UNSHIFTED).tolist():
            if t > after:
                longer[trial.rollout.problem_id].append(_edited(trial, t, score, substitute))
    return {id: sorted(group, key=lambda trial: -trial.divergence)[:CANDIDATES] for id, group in longer.items()}


def _edited(trial: Trial, t: int, score: JointScores, substitute: Substitute) -> Trial:
    base_top_K, choice = score.base_top_NK[t].tolist(), int(score.tuned_top_NK[t, 0])
    token = choice
    if substitute == "neither":
        token = next(id for id in base_top_K[1:] if id != choice)
    ids = [*trial.rollout.completion_ids[:t], token]
    return Trial(
        replace(trial.rollout, completion_ids=ids),
        (*trial.positions, t),
        (*trial.host_ids, base_top_K[0]),
        (*trial.emitted_ids, token),
        trial.divergence + float(score.jsd_N[t]),
    )


def _histogram(solved: dict[str, Trial], searched: int) -> dict[str, int]:
    counts = Counter(len(trial.positions) for trial in solved.values())
    levels = {str(level): counts[level] for level in range(1, LEVELS + 1)}
    return {**levels, "more": searched - len(solved)}


def _row(id: str, trial: Trial | None) -> dict[str, Any]:
    return {
        "problem_id": id,
        "edits": len(trial.positions) if trial else None,
        "positions": list(trial.positions) if trial else [],
        "from_ids": list(trial.host_ids) if trial else [],
        "to_ids": list(trial.emitted_ids) if trial else [],
        "text": trial.rollout.text if trial else None,
    }
