"""Greedy decoding under an intervention, at little more than the price of decoding with one model.

One model, the drafter, proposes tokens; the other reads several of them in one pass, since the two
agree nearly always. A draft ends where an edit has become likely, judged by the drafter's entropy and by
how often edits were found at such entropies before. Where no edit can be, nothing is verified. What comes
out is what deciding token by token would give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.divergence.joint import CHUNK_BYTES, jensen_shannon, ordered_top, rank_of
from reasonmaxxer.divergence.pair import ARMS, Arm, Pair
from reasonmaxxer.divergence.policies import CANDIDATES, ENTROPY_BINS, Course, Policy, Position
from reasonmaxxer.divergence.reader import Reader
from reasonmaxxer.rollouts.sampling import draw, entropy_and_logprob

STANDS = 0.7
"""A draft goes on while all of it stands with at least this probability: about what a pass is worth in
tokens otherwise."""
LONGEST = 24
"""Tokens drafted before they are verified, at most."""
PRIOR = (1.0, 12.0)
"""Misses and positions counted in every bin of entropy before any is seen."""


@dataclass(frozen=True)
class Edit:
    """A token that an intervention decided.

    Attributes:
        position: in the completion.
        host_id: what the host would have emitted.
        emitted_id: what was emitted; perhaps the same.
        entropy: of the base there, nats.
    """

    position: int
    host_id: int
    emitted_id: int
    entropy: float


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
        """Of a miss at a position that may be edited."""
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

    problem_id: str
    course: Course
    made: Intervened
    prompt_D: Tensor  # the verifier's state behind the prompt
    drafts: list[_Draft] = field(default_factory=list)
    stands: float = 1.0

    @property
    def unsure(self) -> list[int]:
        """Places in the draft that may be edited."""
        return [d for d, draft in enumerate(self.drafts) if draft.state_D is not None]


def intervene(
    pair: Pair,
    policy: Policy,
    prompts: Sequence[tuple[str, Sequence[int]]],
    *,
    max_new_tokens: int,
    seed: int,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Intervened]:
    """Decode answers greedily under an intervention, side by side.

    Args:
        pair: the models, both on the device.
        policy: where tokens are replaced and by which.
        prompts: problem id and token ids of each.
        max_new_tokens: longest answer.
        seed: of the policy's draws.
        on_done: called with tokens made and answers finished since the last call.

    Returns:
        Answers in the order of the prompts.
    """
    if not prompts:
        return []
    return _Lockstep(pair, policy, prompts, max_new_tokens, seed).run(on_done)


class _Lockstep:
    """All answers at work, each in a slot of both models.

    The drafter has read all but the last token of settled and drafted ones; the verifier has read some of
    the settled ones, never the last.
    """

    def __init__(
        self,
        pair: Pair,
        policy: Policy,
        prompts: Sequence[tuple[str, Sequence[int]]],
        max_new_tokens: int,
        seed: int,
    ) -> None:
        self.pair, self.policy, self.limit = pair, policy, max_new_tokens
        self.eos_ids = frozenset(pair.eos_ids)
        self.misses = Misses()
        ids = [ids for _, ids in prompts]
        base, tuned = (
            Reader(pair.loaded(arm).model, ids, max_new_tokens + LONGEST) for arm in ARMS
        )
        self.base_drafts = policy.drafter == "base"
        self.host_drafts = policy.drafter == policy.host
        self.drafter, self.verifier = (base, tuned) if self.base_drafts else (tuned, base)
        self.other: Arm = "tuned" if self.base_drafts else "base"
        self.heads = (pair.head(policy.drafter), pair.head(self.other))
        with pair.using(self.other):
            prompt_BD = self.verifier.begin()
        with pair.using(policy.drafter):
            starts_BD = self.drafter.begin()
        self.rows = [
            _Row(id, policy.course(seed, id, max_new_tokens), Intervened(), prompt_D)
            for (id, _), prompt_D in zip(prompts, prompt_BD, strict=True)
        ]
        self._draft(self.rows, starts_BD)

    def run(self, on_done: Callable[[int, int], None] | None) -> list[Intervened]:
        active = list(range(len(self.rows)))
        while active:
            with self.pair.using(self.policy.drafter):
                self._go_on([i for i in active if self._drafting(self.rows[i])])
            before = self._made()
            self._settle(active)
            left = [i for i in active if not self._done(self.rows[i])]
            if on_done:
                on_done(self._made() - before, len(active) - len(left))
            active = left
        for i, row in enumerate(self.rows):
            row.made.passes = self.drafter.passes[i] + self.verifier.passes[i]
        return [row.made for row in self.rows]

    def _made(self) -> int:
        return sum(len(row.made.ids) for row in self.rows)

    def _done(self, row: _Row) -> bool:
        return row.made.stopped or len(row.made.ids) >= self.limit

    def _drafting(self, row: _Row) -> bool:
        """Whether a row's draft goes on."""
        if not row.drafts:
            return True
        full = len(row.made.ids) + len(row.drafts) >= self.limit or len(row.drafts) >= LONGEST
        return row.stands >= STANDS and not full and row.drafts[-1].token not in self.eos_ids

    def _go_on(self, slots: list[int]) -> None:
        """Draft until every row has reason to stop."""
        while slots:
            rows = [self.rows[i] for i in slots]
            last = [[row.drafts[-1].token if row.drafts else row.made.ids[-1]] for row in rows]
            self._draft(rows, torch.cat(self.drafter.read(slots, last)))
            slots = [i for i in slots if self._drafting(self.rows[i])]

    def _draft(self, rows: Sequence[_Row], states_BD: Tensor) -> None:
        """The drafter's choice behind each state joins the row's draft."""
        logits_BV = self.heads[0](states_BD)
        unused_B = torch.zeros(len(rows), dtype=torch.float64, device=logits_BV.device)
        drawn = draw(logits_BV, unused_B, temperature=0, top_p=1)
        for row, state_D, token, entropy in zip(
            rows, states_BD, drawn.token_B.tolist(), drawn.entropy_B.tolist(), strict=True
        ):
            t = len(row.made.ids) + len(row.drafts)
            known = entropy if self.base_drafts else None
            may = self.policy.may_edit(row.course, row.problem_id, t, known)
            row.drafts.append(_Draft(token, entropy, state_D if may else None))
            if may and not self.policy.whole:
                row.stands *= 1 - self.misses.chance(entropy)

    def _settle(self, slots: Sequence[int]) -> None:
        """Accept what stands of each draft and put in the first edit."""
        unsure = [i for i in slots if self.rows[i].unsure]
        opinions = self._second_opinions(unsure) if unsure else {}
        positions = self._positions(unsure, opinions)
        for i in slots:
            self._accept(i, positions.get(i, {}), verified=i in opinions)

    def _second_opinions(self, slots: Sequence[int]) -> dict[int, list[Tensor]]:
        """The verifier's states before all drafted tokens, for which it reads all but the last of them."""
        unread = {}
        for i in slots:
            row = self.rows[i]
            known = self.verifier.lengths[i] - len(self.verifier.prompts[i])
            unread[i] = [*row.made.ids[known:], *(draft.token for draft in row.drafts[:-1])]
        busy = [i for i in slots if unread[i]]
        with self.pair.using(self.other):
            read = self.verifier.read(busy, [unread[i] for i in busy]) if busy else []
        states = dict(zip(busy, read, strict=True))
        return {
            i: [self.rows[i].prompt_D, *states.get(i, ())][-len(self.rows[i].drafts) :]
            for i in slots
        }

    def _positions(
        self, slots: Sequence[int], opinions: dict[int, list[Tensor]]
    ) -> dict[int, dict[int, Position]]:
        """What both models think where an edit may be, by slot and place in the draft."""
        places = [(i, d) for i in slots for d in self.rows[i].unsure]
        found: dict[int, dict[int, Position]] = {i: {} for i in slots}
        if places:
            drafts = [self.rows[i].drafts[d] for i, d in places]
            own_ND = torch.stack([draft.state_D for draft in drafts if draft.state_D is not None])
            other_ND = torch.stack([opinions[i][d] for i, d in places])
            token_N = torch.tensor([draft.token for draft in drafts], device=own_ND.device)
            weight = self.heads[0].projection.weight
            rows = max(1, CHUNK_BYTES // (4 * len(weight)))  # float32, whatever the weights are
            parts = (torch.split(x, rows) for x in (own_ND, other_ND, token_N))
            described = (
                position for part in zip(*parts, strict=True) for position in self._describe(*part)
            )
            for (i, d), position in zip(places, described, strict=True):
                found[i][d] = position
        return found

    def _describe(self, own_ND: Tensor, other_ND: Tensor, token_N: Tensor) -> list[Position]:
        """Positions from the states of drafter and verifier and the drafter's choices."""
        own_NV, other_NV = (
            head(states).float()
            for head, states in zip(self.heads, (own_ND, other_ND), strict=True)
        )
        other_N = other_NV.argmax(-1)
        base_NV = own_NV if self.base_drafts else other_NV
        host_NV = own_NV if self.host_drafts else other_NV
        host_N, donor_N = (token_N, other_N) if self.host_drafts else (other_N, token_N)
        base_N = token_N if self.base_drafts else other_N
        entropy_N, _ = entropy_and_logprob(base_NV, base_N)
        jsd_N = torch.zeros_like(entropy_N)
        if self.policy.budget == "divergence":
            jsd_N = jensen_shannon(own_NV.softmax(-1), other_NV.softmax(-1))
        columns = (
            host_N, donor_N, ordered_top(base_NV, CANDIDATES), entropy_N, rank_of(host_NV, donor_N), jsd_N,
        )  # fmt: skip
        return [Position(*values) for values in zip(*(c.tolist() for c in columns), strict=True)]

    def _accept(self, slot: int, positions: dict[int, Position], verified: bool) -> None:
        """Settle a row's draft up to its first token that does not stand, and that token's substitute."""
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
        self.drafter.lengths[slot] = len(self.drafter.prompts[slot]) + before + kept
        if verified:
            self.verifier.lengths[slot] = len(self.verifier.prompts[slot]) + before + kept
        row.drafts, row.stands = [], 1.0

    def _emit(self, row: _Row, draft: _Draft, at: Position | None) -> int:
        """The token at the next position, and the record of an edit."""
        if at is None:
            return draft.token
        t = len(row.made.ids)
        edited = self.policy.edit(row.course, row.problem_id, t, at)
        emitted = at.host_id if edited is None else edited
        if edited is not None:
            row.course.edits += 1
            row.made.edits.append(Edit(t, at.host_id, edited, at.entropy))
        self.misses.count(draft.entropy, emitted != draft.token)
        return emitted
