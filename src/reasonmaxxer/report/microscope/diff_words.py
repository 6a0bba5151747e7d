"""What `diff` found, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reasonmaxxer.measure.published import published_pairs
from reasonmaxxer.microscope.joint import TOP
from reasonmaxxer.report import figures
from reasonmaxxer.report.numbers import counted, number, share

TEXTS = {"base": "the base's own greedy answers", "tuned": "the tuned model's own greedy answers"}
FEW_PROBLEMS = 30
MUCH = 0.1
"""Share of texts cut at the length limit from which the page says so."""

Found = Mapping[str, Any]


def pair_name(found: Found) -> str:
    """The two models."""
    return f"{found['base']['name']} → {found['tuned']['name']}"


def lead(found: Found) -> str:
    """What was compared, and of how much."""
    protocol = found["protocol"]
    text = TEXTS.get(protocol["text"], f"the answers in {protocol['text']}")
    return (
        f"Both models read {text} to {counted(found['problems'], 'problem')} of {protocol['source']} "
        f"({protocol['split']}): {counted(found['texts'], 'text')}, {found['positions']:,} positions, at "
        f"most {protocol['max_new_tokens']} tokens each. Intervals are {protocol['confidence']:.0%} "
        "bootstrap over problems."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    said = [_agreement(found)]
    if found["mean_rank"]["value"] is not None:
        said.append(
            f"Where they differ, the tuned model's choice has mean rank {number(found['mean_rank'])} under "
            f"the base, and the base's choice {number(found['mean_backward_rank'])} under the tuned model."
        )
    if found["entropy_ratio"]["value"] is not None:
        said.append(
            f"Where the choices differ within the base's top {TOP}, the base hesitates "
            f"{number(found['entropy_ratio'])} times as much as where they are the same: a mean entropy "
            f"of {found['reranked_entropy']['value']:.2f} nats against "
            f"{found['unshifted_entropy']['value']:.2f}."
        )
    if found["changed_jsd_share"]["value"] is not None:
        differ = 1 - found["agreement"]["value"]
        said.append(
            f"The {differ:.1%} of positions that differ hold {share(found['changed_jsd_share'])} of all "
            "Jensen-Shannon divergence; the rest lies where both choose the same token with another "
            "certainty."
        )
    if found["gate"]["auc"]["value"] is not None:
        said.append(_gate_words(found["gate"]))
    said.append(
        f"Drawn to agree as often as can be, samples of the two would agree at "
        f"{share(found['sampled_agreement'])} of positions."
    )
    return said


def _agreement(found: Found) -> str:
    same = f"They choose the same token at {share(found['agreement'])} of positions"
    counts = found["ranks"]["forward"]
    changed = sum(counts.values())
    if not changed:
        return f"{same}: at every one."
    near = sum(count for rank, count in counts.items() if rank.isdigit() and int(rank) <= TOP)
    return (
        f"{same}; of the other {changed:,}, {near / changed:.1%} are among the base's top {TOP} "
        f"(reranked), {1 - near / changed:.1%} are not (shifted)."
    )


def _gate_words(gate: Found) -> str:
    said = (
        f"The base's entropy alone tells positions that differ from others with an area under the ROC "
        f"curve of {number(gate['auc'])}, average precision {number(gate['average_precision'])} where "
        f"chance has {gate['base_rate']:.2f}."
    )
    at = at_tau(gate, figures.PAPER_TAU)
    if at is None or at["precision"] is None:
        return said
    return (
        f"{said} At tau = {figures.PAPER_TAU} it lets {at['share']:.1%} of positions through and finds "
        f"{at['recall']:.1%} of those that differ; {at['precision']:.1%} of what it lets through differs."
    )


def at_tau(gate: Found, tau: float) -> Found | None:
    """The point of a gate's curve at a threshold, if it is listed."""
    return next((point for point in gate["curve"] if point["tau"] == tau), None)


def caveats(found: Found, cut: float) -> list[str]:
    """What to keep in mind, first where the numbers are unlike the published ones.

    Args:
        found: `summary.json`.
        cut: share of texts that the length limit ended.
    """
    said = _contrasts(found)
    if found["protocol"]["text"] in TEXTS:
        said.append(
            "Both read the same prefix. What a model would have gone on to write after a choice of its own "
            "is not seen here; reasonmaxxer intervene follows it."
        )
    if found["problems"] < FEW_PROBLEMS:
        said.append(f"Only {counted(found['problems'], 'problem')}: an interval over so few is itself rough.")
    if cut > MUCH:
        said.append(f"{cut:.0%} of the texts were cut at the length limit; how they end is not known.")
    return said


def _contrasts(found: Found) -> list[str]:
    """How the pair differs from every published one, by what its intervals leave no doubt of."""
    rows = published_pairs()
    said = []
    fewest, most = (pick(row.changed for row in rows) for pick in (min, max))
    agreement = found["agreement"]
    denser, sparser = 1 - agreement["high"] > most, 1 - agreement["low"] < fewest
    if denser or sparser:
        said.append(
            f"{'Not as sparse as' if denser else 'Sparser than'} published: the choices differ at "
            f"{1 - agreement['value']:.1%} of positions here, at {fewest:.1%} to {most:.1%} in the four "
            "published pairs."
        )
    shifted = max(row.shifted for row in rows)
    if found["shifted_share"]["low"] > shifted:
        said.append(
            f"Choices from outside the base's top {TOP} are commoner than in any published pair: "
            f"{found['shifted_share']['value']:.2%} of positions, there at most {shifted:.2%}."
        )
    ratio = found["entropy_ratio"]
    least = min(row.entropy_ratio for row in rows)
    if ratio["value"] is not None and ratio["high"] < least:
        said.append(
            f"The base's hesitation marks the places less sharply than published: a ratio of "
            f"{ratio['value']:.1f}, there {least:.1f} or more."
        )
    if said:
        said[-1] += " The published pairs are other models, on MATH-500."
    return said
