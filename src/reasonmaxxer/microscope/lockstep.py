"""Greedy decoding under an intervention, at little more than the price of decoding with one model.

One model, the drafter, proposes tokens; the other reads several of them in one pass, since the two
agree nearly always. A draft ends where an edit has become likely, judged by the drafter's entropy and by
how often edits were found at such entropies before. Where no edit can be, nothing is verified. What comes
out is what deciding token by token would give.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.microscope.joint import jensen_shannon
from reasonmaxxer.microscope.pair import ARMS, Arm, Pair
from reasonmaxxer.microscope.policies import CANDIDATES, ENTROPY_BINS, Policy, Position, Progress
from reasonmaxxer.models.reader import Reader
from reasonmaxxer.models.score import entropy_and_logprob, ordered_top, over_positions, rank_of
from reasonmaxxer.rollouts.sampling import draw

STANDS = 0.75
"""A draft goes on while all of it stands with at least this probability: about what a pass is worth in
tokens otherwise."""
LONGEST = 24
"""Tokens drafted before they are verified, at most."""
PRIOR = (1.0, 12.0)
"""Misses and positions counted in every bin of entropy before any is seen."""
WAITING = 0.5
"""Share of the answers at work that wait for the verifier before it reads: few at a time, a pass costs
nearly what one of many does; and while most wait, so does a drafting pass."""


@dataclass(frozen=True)
class Job:
    """An answer to make.

    Attributes:
        policy: where its tokens are replaced and by which.
        problem_id: what it answers; fixes the policy's draws together with a seed.
        prompt: token ids.
    """

    policy: Policy
    problem_id: str
    prompt: Sequence[int]


@dataclass(frozen=True)
class Edit:
    """A token that an intervention decided.

    Attributes:
        position: in the completion.
        host_id: what the host would have emitted.
        emitted_id: what was emitted; perhaps the same.
        base_entropy: of the base there, nats.
    """

    position: int
    host_id: int
    emitted_id: int
    base_entropy: float

    @property
    def changed(self) -> bool:
        """Whether it is another than the host's."""
        return self.emitted_id != self.host_id


@dataclass
class Intervened:
    """One answer under an intervention.

    Attributes:
        ids: its tokens, the end-of-sequence token included.
        edits: what the intervention decided.
        passes: forward passes of both models on it together.
        stopped: whether it came to its end.
    """

    ids: list[int] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    passes: int = 0
    stopped: bool = False


class Misses:
    """How often a drafted token did not stand, by entropy of the drafter."""

    def __init__(self) -> None:
        self.missed, self.seen = (np.full(len(ENTROPY_BINS) + 1, count) for count in PRIOR)

    def chance(self, entropy: float) -> float:
        """Probability of a miss at a position that may be edited."""
        i = np.searchsorted(ENTROPY_BINS, entropy)
        return float(self.missed[i] / self.seen[i])

    def count(self, entropy: float, missed: bool) -> None:
        """One more position that was verified."""
        i = np.searchsorted(ENTROPY_BINS, entropy)
        self.seen[i] += 1
        self.missed[i] += missed


@dataclass(frozen=True)
class _Draft:
    """A proposed token; the drafter's state before it is kept where it may be edited."""

    token: int
    entropy: float
    state_D: Tensor | None


@dataclass
class _Row:
    """One answer at work: what is settled, and what is drafted behind it."""

    number: int
    job: Job
    progress: Progress
    misses: Misses
    prompt_D: Tensor  # the verifier's state behind the prompt
    made: Intervened = field(default_factory=Intervened)
    drafts: list[_Draft] = field(default_factory=list)
    stands: float = 1.0

    @property
    def policy(self) -> Policy:
        return self.job.policy

    @property
    def unsure(self) -> list[int]:
        """Places in the draft that may be edited."""
        return [d for d, draft in enumerate(self.drafts) if draft.state_D is not None]


def intervene(
    pair: Pair,
    jobs: Sequence[Job],
    *,
    max_new_tokens: int,
    seed: int,
    batch_size: int = 64,
    on_done: Callable[[int, dict[int, Intervened]], None] | None = None,
) -> list[Intervened]:
    """Decode answers greedily under interventions, side by side.

    Args:
        pair: the models, both on the device.
        jobs: what to make, those of one drafter in this order; neighbours of one prompt share its reading.
        max_new_tokens: longest answer.
        seed: of the policies' draws.
        batch_size: answers at work at once.
        on_done: called with the number of tokens made since the last call, and the answers finished since
            then by the numbers of their jobs.

    Returns:
        Answers in the order of the jobs.
    """
    made: dict[int, Intervened] = {}
    for drafter in ARMS:
        own = {number: job for number, job in enumerate(jobs) if job.policy.drafter == drafter}
        if own:
            made |= _Lockstep(pair, drafter, own, max_new_tokens, seed, batch_size).run(on_done)
    return [made[number] for number in range(len(jobs))]


class _Lockstep:
    """Answers of one drafter, those at work each in a slot of both models.

    The drafter has read all but the last token of settled and drafted ones; the verifier has read some of
    the settled ones, never the last.
    """

    def __init__(
        self, pair: Pair, drafter: Arm, jobs: dict[int, Job], max_new_tokens: int, seed: int, batch_size: int
    ) -> None:
        self.pair, self.limit, self.seed = pair, max_new_tokens, seed
        self.own: Arm = drafter
        self.other: Arm = "tuned" if drafter == "base" else "base"
        self.eos_ids = frozenset(pair.eos_ids)
        self.misses = {job.policy.spelling: Misses() for job in jobs.values()}
        self.slots = min(batch_size, len(jobs))
        prompts = [job.prompt for job in jobs.values()]
        self.drafter, self.verifier = (
            Reader(pair.loaded(arm).model, prompts, self.slots, max_new_tokens + LONGEST)
            for arm in (self.own, self.other)
        )
        self.heads = (pair.head(self.own), pair.head(self.other))
        self.waiting = deque(jobs.items())
        self.rows: dict[int, _Row] = {}  # by slot

    def run(self, on_done: Callable[[int, dict[int, Intervened]], None] | None) -> dict[int, Intervened]:
        """The answers by number of their jobs."""
        done: dict[int, Intervened] = {}
        while self.waiting or self.rows:
            if not (self.pair.in_turn and self.rows):
                self._admit()
            before = self._made()
            self._go_on()
            self._settle([slot for slot, row in self.rows.items() if self._ready(row)])
            made = self._made() - before
            ended = [slot for slot, row in self.rows.items() if self._done(row)]
            finished = dict(map(self._retire, ended))
            if on_done:
                on_done(made, finished)
            done |= finished
        return done

    def _admit(self) -> None:
        """Give the free slots to waiting jobs."""
        free = [slot for slot in range(self.slots) if slot not in self.rows]
        slots = free[: len(self.waiting)]
        if not slots:
            return
        with self.pair.using(self.other):
            prompt_BD = self.verifier.admit(slots)
        with self.pair.using(self.own):
            starts_BD = self.drafter.admit(slots)
        for slot, prompt_D in zip(slots, prompt_BD, strict=True):
            number, job = self.waiting.popleft()
            progress = job.policy.begin(self.seed, job.problem_id, self.limit)
            misses = self.misses[job.policy.spelling]
            self.rows[slot] = _Row(number, job, progress, misses, prompt_D)
        self._draft([self.rows[slot] for slot in slots], starts_BD)

    def _retire(self, slot: int) -> tuple[int, Intervened]:
        """Free a slot; the number of its job, and its answer."""
        row = self.rows.pop(slot)
        row.made.passes = self.drafter.passes[slot] + self.verifier.passes[slot]
        return row.number, row.made

    def _made(self) -> int:
        return sum(len(row.made.ids) for row in self.rows.values())

    def _done(self, row: _Row) -> bool:
        return row.made.stopped or len(row.made.ids) >= self.limit

    def _ready(self, row: _Row) -> bool:
        """Whether a row's draft is at its end, and not settled yet."""
        return bool(row.drafts) and not self._drafting(row)

    def _drafting(self, row: _Row) -> bool:
        """Whether a row's draft goes on."""
        if not row.drafts:
            return not self._done(row)
        full = len(row.made.ids) + len(row.drafts) >= self.limit or len(row.drafts) >= LONGEST
        return row.stands >= STANDS and not full and row.drafts[-1].token not in self.eos_ids

    def _go_on(self) -> None:
        """Draft until enough rows wait for the verifier, or have left their slots to others."""
        enough = max(1, len(self.rows) * (1 if self.pair.in_turn else WAITING))
        with self.pair.using(self.own):
            while True:
                self._settle([s for s, r in self.rows.items() if self._ready(r) and not r.unsure])
                slots = [slot for slot, row in self.rows.items() if self._drafting(row)]
                if not slots or len(self.rows) - len(slots) >= enough:
                    return
                rows = [self.rows[slot] for slot in slots]
                last = [[row.drafts[-1].token if row.drafts else row.made.ids[-1]] for row in rows]
                self._draft(rows, torch.cat(self.drafter.read(slots, last)))

    def _draft(self, rows: Sequence[_Row], states_BD: Tensor) -> None:
        """The drafter's choice behind each state joins the row's draft."""
        logits_BV = self.heads[0](states_BD)
        unused_B = torch.zeros(len(rows), dtype=torch.float64, device=logits_BV.device)
        drawn = draw(logits_BV, unused_B, temperature=0, top_p=1)
        for row, state_D, token, entropy in zip(
            rows, states_BD, drawn.token_B.tolist(), drawn.entropy_B.tolist(), strict=True
        ):
            t = len(row.made.ids) + len(row.drafts)
            known = entropy if self.own == "base" else None
            may = row.policy.may_edit(row.progress, row.job.problem_id, t, known)
            row.drafts.append(_Draft(token, entropy, state_D if may else None))
            if may and not row.policy.whole:
                row.stands *= 1 - row.misses.chance(entropy)

    def _settle(self, slots: Sequence[int]) -> None:
        """Accept what stands of each draft and put in the first edit."""
        unsure = [slot for slot in slots if self.rows[slot].unsure]
        positions = self._positions(unsure) if unsure else {}
        for slot in slots:
            self._accept(slot, positions.get(slot, {}))

    def _second_opinions(self, slots: Sequence[int]) -> dict[int, list[Tensor]]:
        """The verifier's states before all drafted tokens, for which it reads all but the last of them."""
        unread = {}
        for slot in slots:
            row = self.rows[slot]
            known = self.verifier.lengths[slot] - len(row.job.prompt)
            unread[slot] = [*row.made.ids[known:], *(draft.token for draft in row.drafts[:-1])]
        busy = [slot for slot in slots if unread[slot]]
        with self.pair.using(self.other):
            read = self.verifier.read(busy, [unread[slot] for slot in busy]) if busy else []
        states = dict(zip(busy, read, strict=True))
        return {
            slot: [self.rows[slot].prompt_D, *states.get(slot, ())][-len(self.rows[slot].drafts) :] for slot in slots
        }

    def _positions(self, slots: Sequence[int]) -> dict[int, dict[int, Position]]:
        """What both models think where an edit may be, by slot and place in the draft."""
        opinions = self._second_opinions(slots)
        places = [(slot, d) for slot in slots for d in self.rows[slot].unsure]
        drafts = [self.rows[slot].drafts[d] for slot, d in places]
        policies = [self.rows[slot].policy for slot, _ in places]
        own_ND = torch.stack([draft.state_D for draft in drafts if draft.state_D is not None])
        other_ND = torch.stack([opinions[slot][d] for slot, d in places])
        columns = over_positions(
            self._describe,
            self.heads,
            (own_ND, other_ND),
            torch.tensor([draft.token for draft in drafts], device=own_ND.device),
            torch.tensor([p.host == self.own for p in policies], device=own_ND.device),
            torch.tensor([p.budget == "divergence" for p in policies], device=own_ND.device),
        )
        found: dict[int, dict[int, Position]] = {slot: {} for slot in slots}
        for (slot, d), *values in zip(places, *(column.tolist() for column in columns), strict=True):
            found[slot][d] = Position(*values)
        return found

    def _describe(
        self, own_NV: Tensor, other_NV: Tensor, token_N: Tensor, hosted_N: Tensor, far_N: Tensor
    ) -> tuple[Tensor, ...]:
        """Fields of `Position`, in order, from the logits of drafter and verifier and the drafter's choices.

        Args:
            own_NV: of the drafter.
            other_NV: of the verifier.
            token_N: the drafter's choices.
            hosted_N: where the drafter is the host.
            far_N: where the divergence is asked for.
        """
        other_N = other_NV.argmax(-1)
        base_NV, base_N = (own_NV, token_N) if self.own == "base" else (other_NV, other_N)
        host_N, donor_N = (torch.where(hosted_N, *pair) for pair in ((token_N, other_N), (other_N, token_N)))
        entropy_N, _ = entropy_and_logprob(base_NV, base_N)
        jsd_N = torch.zeros_like(entropy_N)
        jsd_N[far_N] = jensen_shannon(own_NV[far_N].softmax(-1), other_NV[far_N].softmax(-1))
        rank_N = torch.where(hosted_N, rank_of(own_NV, donor_N), rank_of(other_NV, donor_N))
        return host_N, donor_N, ordered_top(base_NV, CANDIDATES), entropy_N, rank_N, jsd_N

    def _accept(self, slot: int, positions: dict[int, Position]) -> None:
        """Settle a row's draft up to its first token that does not stand, and that token's substitute.

        Args:
            slot: of the row.
            positions: where the draft may be edited; none of a draft that the verifier has not read.
        """
        row = self.rows[slot]
        before, drafts = len(row.made.ids), row.drafts
        stood = 0
        for d, draft in enumerate(drafts):
            emitted = self._emit(row, draft, positions.get(d))
            row.made.ids.append(emitted)
            row.made.stopped = emitted in self.eos_ids
            if emitted != draft.token or row.made.stopped:
                break
            stood += 1
        kept = min(stood, len(drafts) - 1)  # drafted tokens that were read and stay
        for reader in (self.drafter, self.verifier) if positions else (self.drafter,):
            reader.lengths[slot] = len(row.job.prompt) + before + kept
        row.drafts, row.stands = [], 1.0

    def _emit(self, row: _Row, draft: _Draft, at: Position | None) -> int:
        """The token at the next position, and the record of an edit."""
        if at is None:
            return draft.token
        t = len(row.made.ids)
        edited = row.policy.edit(row.progress, row.job.problem_id, t, at)
        emitted = at.host_id if edited is None else edited
        if edited is not None:
            row.progress.edits += 1
            row.made.edits.append(Edit(t, at.host_id, edited, at.entropy))
        row.misses.count(draft.entropy, emitted != draft.token)
        return emitted
