"""Intervention policies: at which positions of one model's text another token is put, and which.

A policy is said as NAME or NAME:BUDGET; with `reverse-` before it, the models change places.

| name | where | which token |
|---|---|---|
| `oracle` | where the choices differ | the donor's choice |
| `random` | the same places | a random one of the base's top 20, not its choice |
| `second` | the same places | the base's second choice |
| `gated:tau=1.2` | where the base's entropy exceeds tau | the donor's choice |
| `matched` | random places, as entropic as those where the choices differ | the donor's choice |

| budget | of the places where the choices differ |
|---|---|
| `first=K` | the first K of each answer |
| `share=P` | each with probability P |
| `entropy=K` | up to K, at least as entropic as the K-th most entropic edit of the donor's own answer |
| `divergence=K` | likewise by Jensen-Shannon divergence |
| `reranked` | those whose token is in the host's top 5 |

arXiv 2605.06241, Section 3; budgets in both directions as in arXiv 2603.22446.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reasonmaxxer.config.policies import REVERSE, BudgetKind, read_policy
from reasonmaxxer.microscope.joint import TOP
from reasonmaxxer.microscope.pair import Arm
from reasonmaxxer.rollouts.sampling import uniforms

CANDIDATES = 20
"""Most likely tokens of the base that a random intervention draws from."""
ENTROPY_BINS = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
"""Edges in nats, within which positions count as equally entropic."""


SLACK = 1e-4
"""Nats by which a position may fall short of its own edit in the donor's answer: the same place read twice,
among other sequences, differs in its last digits."""


@dataclass(frozen=True)
class Position:
    """What is known of one position before its token is emitted.

    Attributes:
        host_id: choice of the model whose text it is.
        donor_id: choice of the other.
        base_ids: most likely tokens of the base, likeliest first.
        entropy: of the base, nats.
        rank: place of the donor's choice under the host, from 1.
        jsd: Jensen-Shannon divergence, nats.
    """

    host_id: int
    donor_id: int
    base_ids: Sequence[int]
    entropy: float
    rank: int
    jsd: float


def _random_candidate(at: Position, draw: float) -> int:
    others = at.base_ids[1:CANDIDATES]
    return others[int(draw * len(others))]


@dataclass(frozen=True)
class Kind:
    """What the policies of one name put in, and how pages present them.

    Attributes:
        token: emitted at a position, given a uniform number in [0, 1).
        everywhere: whether it decides also where the choices agree and its token changes nothing.
        control: what a sentence calls it where it is a control, which figures mark; empty for none.
    """

    token: Callable[[Position, float], int]
    everywhere: bool = False
    control: str = ""


POLICIES = {
    "oracle": Kind(lambda at, _: at.donor_id),
    "random": Kind(_random_candidate, control="Random tokens of the base's top 20 at the same places"),
    "second": Kind(lambda at, _: at.base_ids[1], control="The base's second choice at the same places"),
    "gated": Kind(lambda at, _: at.donor_id, everywhere=True),
    "matched": Kind(
        lambda at, _: at.donor_id,
        everywhere=True,
        control="The tuned model's choice at random places of the same entropy",
    ),
}
"""The policies of `BUDGETS` by name. One that is added is decoded, tabled and drawn; a control has its sentence."""
HIGHLIGHTED = ("oracle:first=1", "oracle:first=4", "oracle:reranked", "oracle:share=0.5", "gated:tau=1.2")
"""Policies that sentences and the viewer single out, beside the controls."""


@dataclass
class Progress:
    """One answer as far as it has been decoded, as its policy sees it.

    Attributes:
        draws: uniform numbers in [0, 1), two a position, fixed by seed and problem.
        edits: made so far.
    """

    draws: np.ndarray
    edits: int = 0


@dataclass(frozen=True)
class Reference:
    """What budgets and controls take from the donors' own answers.

    Attributes:
        entropies: by problem, base entropies at the edits of the donor's answer, falling.
        divergences: by problem, Jensen-Shannon divergences there, falling.
        edited_by_bin: share of positions that are edits in each of the bins of `ENTROPY_BINS`.
    """

    entropies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    divergences: Mapping[str, Sequence[float]] = field(default_factory=dict)
    edited_by_bin: Sequence[float] = ()


@dataclass(frozen=True)
class Policy:
    """One intervention.

    Attributes:
        name: which tokens are put where.
        budget: which of its places count.
        value: of the budget; 0 where it has none.
        reverse: whether base tokens go into the tuned model's text.
        reference: what some budgets need.
    """

    name: str
    budget: BudgetKind = "all"
    value: float = 0.0
    reverse: bool = False
    reference: Reference = Reference()

    @property
    def spelling(self) -> str:
        """As `parse_policy` reads it."""
        budget = {"all": "", "reranked": ":reranked"}.get(self.budget, f":{self.budget}={self.value:g}")
        return f"{REVERSE if self.reverse else ''}{self.name}{budget}"

    @property
    def host(self) -> Arm:
        """Whose text is changed."""
        return "tuned" if self.reverse else "base"

    @property
    def donor(self) -> Arm:
        """Whose choices decide."""
        return "base" if self.reverse else "tuned"

    @property
    def needs_reference(self) -> bool:
        """Whether the donor's own answer must be known first."""
        return self.budget in ("entropy", "divergence") or self.name == "matched"

    @property
    def drafter(self) -> Arm:
        """Who proposes tokens: the model whose choices are emitted nearly always."""
        mostly = self.name == "gated" or (self.budget == "reranked" and self.name == "oracle")
        return self.donor if self.whole or mostly else self.host

    @property
    def whole(self) -> bool:
        """Whether every token is the donor's choice, so that the text is its own."""
        every = self.budget == "all" or (self.budget, self.value) == ("share", 1)
        return self.name == "oracle" and every

    def begin(self, seed: int, problem_id: str, length: int) -> Progress:
        """The beginning of an answer of up to `length` tokens."""
        text = f"{seed}/{self.spelling}/{problem_id}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return Progress(uniforms(int.from_bytes(digest, "big"), 2 * length).reshape(length, 2))

    def may_edit(self, progress: Progress, problem_id: str, t: int, entropy: float | None) -> bool:
        """Whether position t can be edited at all, before the donor is asked.

        Args:
            progress: of the answer.
            problem_id: whose answer it is.
            t: position in the completion.
            entropy: of the base there, nats; None where it is not known yet.
        """
        if self.budget in ("first", "entropy", "divergence") and progress.edits >= self.value:
            return False
        if self.budget == "share":
            return bool(progress.draws[t, 0] < self.value)
        if entropy is None:
            return True
        if self.budget == "tau":
            return entropy > self.value
        if self.budget == "entropy":
            return entropy >= self._least(self.reference.entropies, problem_id)
        if self.name == "matched":
            place = int(np.searchsorted(ENTROPY_BINS, entropy))
            return bool(progress.draws[t, 0] < self.reference.edited_by_bin[place])
        return True

    def edit(self, progress: Progress, problem_id: str, t: int, at: Position) -> int | None:
        """The token that the intervention emits at position t; None leaves the host's choice."""
        if not self.may_edit(progress, problem_id, t, at.entropy):
            return None
        kind = POLICIES[self.name]
        if at.donor_id == at.host_id and not kind.everywhere:
            return None
        if self.budget == "reranked" and at.rank > TOP:
            return None
        least = self._least(self.reference.divergences, problem_id)
        if self.budget == "divergence" and at.jsd < least:
            return None
        return kind.token(at, progress.draws[t, 1])

    def _least(self, values: Mapping[str, Sequence[float]], problem_id: str) -> float:
        """The smallest that counts: of the K largest, or of all where there are fewer; less `SLACK`."""
        own = values.get(problem_id, ())[: int(self.value)]
        return own[-1] - SLACK if own else 0.0


def folder_name(spelling: str) -> str:
    """Name of the folder with a policy's outputs."""
    return spelling.replace(":", "-").replace("=", "-")


def parse_policy(text: str) -> Policy:
    """A policy as it is written on the command line.

    Raises:
        ValueError: an unknown name or budget, or a value that is out of range; a config has none.
    """
    return Policy(*read_policy(text))
