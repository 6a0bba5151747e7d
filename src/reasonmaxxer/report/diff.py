"""The page of `diff`: how often two models choose differently on the same text, where, and which tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import read_object, read_table
from reasonmaxxer.measure.published import PublishedPair, published_pairs
from reasonmaxxer.microscope.diff import flat
from reasonmaxxer.microscope.joint import TOP, UNSHIFTED
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with, panel
from reasonmaxxer.report.numbers import UNKNOWN, counted, number, pair_name, share
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import token_text

TEXTS = {"base": "the base's own greedy answers", "tuned": "the tuned model's own greedy answers"}
FEW_PROBLEMS = 30
"""Problems below which the page says that an interval is itself rough."""
MUCH = 0.1
"""Share of texts cut at the length limit from which the page says so."""
SHOWN_TOKENS = 15
SHOWN_TEXTS, SHOWN_POSITIONS = 100, 60_000
"""Most that the viewer in the page shows; `TokenViewer.of` shows all."""
MARKS = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Entropies, nats, above which positions are counted."""
FIGURES = (
    ("same choice, share of positions", "agreement", share),
    ("reranked, share of positions", "reranked_share", share),
    ("shifted, share of positions", "shifted_share", share),
    ("base's entropy at reranked positions, nats", "reranked_entropy", number),
    ("base's entropy at unshifted positions, nats", "unshifted_entropy", number),
    ("ratio of the two", "entropy_ratio", number),
    ("rank of the tuned model's choice under the base", "mean_rank", number),
    ("rank of the base's choice under the tuned model", "mean_backward_rank", number),
    ("Jensen-Shannon divergence, nats", "mean_jsd", number),
    ("share of it where the choices differ", "changed_jsd_share", share),
    ("KL(base || tuned), nats", "mean_kl_base_tuned", number),
    ("KL(tuned || base), nats", "mean_kl_tuned_base", number),
    ("most that samples can agree", "sampled_agreement", share),
    (f"probability moved within the base's top {TOP}", "moved_within_top", share),
    (f"probability that left the base's top {TOP}", "moved_out_of_top", share),
)
"""Means over positions: what each is called, its key in `summary.json`, and how it is written."""
TOKEN_NOTE = (
    "At positions where the choices differ: what the tuned model chooses (promoted), what the base chooses "
    "(demoted), and both together (swapped). · is a space, ⏎ a line end."
)

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `diff`."""
    found = read_object(folder / "summary.json", ("schema",))
    shards = sorted((folder / "positions").glob("shard-*.parquet"))
    table = pa.concat_tables([read_table(path, ("kind", "base_entropy")) for path in shards])
    return Content(
        command="diff",
        title=pair_name(found),
        lead=lead(found),
        findings=findings(found),
        caveats=caveats(found),
        sections=[
            Section("result", "How often they differ", [_classes(found), _ranks(found)], [table_2(found)]),
            Section("where", "Where they differ", [_entropy(table), _tenths(found)], [_outcomes(found)]),
            Section("gate", "Does entropy find them?", _gate(found["gate"])),
            Section("tokens", "Which tokens", tables=_tokens(found["tokens"]), beside=True, note=TOKEN_NOTE),
            _viewer(folder, found),
            Section("numbers", "All figures", tables=[_figures(found)]),
        ],
        facts=measured_with({arm: found[arm] for arm in ARMS}, found["protocol"]),
    )


def lead(found: Found) -> str:
    """What was compared, and of how much."""
    protocol = found["protocol"]
    text = TEXTS.get(protocol["text"], f"the answers in {protocol['text']}")
    return (
        f"Both models read {text} to {counted(found['problems'], 'problem')} of {protocol['source']} "
        f"({protocol['split']}): {counted(found['texts'], 'text')}, {found['positions']:,} positions, at most "
        f"{protocol['max_new_tokens']} tokens each. Intervals are {protocol['confidence']:.0%} bootstrap over "
        "problems."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    said = [_agreement(found)]
    if found["mean_rank"]["value"] is not None:
        said.append(
            f"Where they differ, the tuned model's choice has mean rank {number(found['mean_rank'])} under the base, "
            f"and the base's choice {number(found['mean_backward_rank'])} under the tuned model."
        )
    if found["entropy_ratio"]["value"] is not None:
        said.append(
            f"Where the choices differ within the base's top {TOP}, the base hesitates "
            f"{number(found['entropy_ratio'])} times as much as where they are the same: a mean entropy of "
            f"{found['reranked_entropy']['value']:.2f} nats against {found['unshifted_entropy']['value']:.2f}."
        )
    if found["changed_jsd_share"]["value"] is not None:
        said.append(
            f"The {1 - found['agreement']['value']:.1%} of positions that differ hold "
            f"{share(found['changed_jsd_share'])} of all Jensen-Shannon divergence; the rest lies where both choose "
            "the same token with another certainty."
        )
    if found["gate"]["auc"]["value"] is not None:
        said.append(_gate_words(found["gate"]))
    agreed = share(found["sampled_agreement"])
    return [*said, f"Drawn to agree as often as can be, samples of the two would agree at {agreed} of positions."]


def _agreement(found: Found) -> str:
    same = f"They choose the same token at {share(found['agreement'])} of positions"
    counts = found["ranks"]["forward"]
    changed = sum(counts.values())
    if not changed:
        return f"{same}: at every one."
    near = sum(count for rank, count in counts.items() if rank.isdigit() and int(rank) <= TOP)
    return (
        f"{same}; of the other {changed:,}, {near / changed:.1%} are among the base's top {TOP} (reranked), "
        f"{1 - near / changed:.1%} are not (shifted)."
    )


def _gate_words(gate: Found) -> str:
    said = (
        "The base's entropy alone tells positions that differ from others with an area under the ROC curve of "
        f"{number(gate['auc'])}, average precision {number(gate['average_precision'])} where chance has "
        f"{gate['base_rate']:.2f}."
    )
    at = next((point for point in gate["curve"] if point["tau"] == figures.PAPER_TAU), None)
    if at is None or at["precision"] is None:
        return said
    return (
        f"{said} At tau = {figures.PAPER_TAU} it lets {at['share']:.1%} of positions through and finds "
        f"{at['recall']:.1%} of those that differ; {at['precision']:.1%} of what it lets through differs."
    )


def caveats(found: Found) -> list[str]:
    """What to keep in mind, first where the numbers are unlike the published ones."""
    said = _contrasts(found, published_pairs())
    if said:
        said[-1] += " The published pairs are other models, on MATH-500."
    if found["protocol"]["text"] in TEXTS:
        said.append(
            "Both read the same prefix. What a model would have gone on to write after a choice of its own is not "
            "seen here; reasonmaxxer intervene follows it."
        )
    if found["problems"] < FEW_PROBLEMS:
        said.append(f"Only {counted(found['problems'], 'problem')}: an interval over so few is itself rough.")
    if found["truncated_share"] > MUCH:
        cut = f"{found['truncated_share']:.0%} of the texts were cut at the length limit"
        said.append(f"{cut}; how they end is not known.")
    return said


def _contrasts(found: Found, rows: list[PublishedPair]) -> list[str]:
    """How the pair differs from every published one, by what its intervals leave no doubt of."""
    said = []
    agreement, shifted, ratio = found["agreement"], found["shifted_share"], found["entropy_ratio"]
    fewest, most = min(row.changed for row in rows), max(row.changed for row in rows)
    denser, sparser = 1 - agreement["high"] > most, 1 - agreement["low"] < fewest
    if denser or sparser:
        said.append(
            f"{'Not as sparse as' if denser else 'Sparser than'} published: the choices differ at "
            f"{1 - agreement['value']:.1%} of positions here, at {fewest:.1%} to {most:.1%} in the four published "
            "pairs."
        )
    highest = max(row.shifted for row in rows)
    if shifted["low"] > highest:
        said.append(
            f"Choices from outside the base's top {TOP} are commoner than in any published pair: "
            f"{shifted['value']:.2%} of positions, there at most {highest:.2%}."
        )
    least = min(row.entropy_ratio for row in rows)
    if ratio["value"] is not None and ratio["high"] < least:
        said.append(
            f"The base's hesitation marks the places less sharply than published: a ratio of {ratio['value']:.1f}, "
            f"there {least:.1f} or more."
        )
    return said


def _classes(found: Found) -> Panel:
    keys = {"unshifted": "agreement", "reranked": "reranked_share", "shifted": "shifted_share"}
    return panel(
        "classes",
        "Same choice or another",
        figures.class_shares(found),
        f"Of {found['positions']:,} positions. Reranked: the tuned model's choice is another of the base's top {TOP}; "
        "shifted: it is none of them (arXiv 2605.06241, Eq. 3). Lines: intervals.",
        columns=("class", "share of positions"),
        rows=[(name, share(found[key], 2)) for name, key in keys.items()],
    )


def _ranks(found: Found) -> Panel:
    forward, backward = found["ranks"]["forward"], found["ranks"]["backward"]
    return panel(
        "ranks",
        "How near the top it was",
        figures.choice_ranks(found["ranks"]),
        f"The {sum(forward.values()):,} positions that differ. Dotted: the border between reranked and shifted.",
        columns=("rank", "tuned model's choice under the base", "base's choice under the tuned model"),
        rows=[(rank, f"{count:,}", f"{backward[rank]:,}") for rank, count in forward.items()],
    )


def table_2(found: Found) -> Table:
    """Table 2 of arXiv 2605.06241: this pair, and the published ones for reference."""
    where = f"measured here, {counted(found['problems'], 'problem')} of {found['protocol']['source']}"
    shares = (share(found[key], 2) for key in ("reranked_share", "shifted_share"))
    rows = [(pair_name(found), *shares, number(found["entropy_ratio"]), number(found["mean_rank"]), where)]
    rows += [
        (
            row.pair,
            f"{row.reranked:.2%}",
            f"{row.shifted:.2%}",
            f"{row.entropy_ratio:.2f}",
            f"{row.mean_rank:.2f}",
            "published, other models, MATH-500",
        )
        for row in published_pairs()
    ]
    return Table(
        "divergence-table",
        "Token divergence",
        ("pair", "reranked", "shifted", "entropy ratio", "mean rank", "from"),
        rows,
        "Entropy ratio: the base's mean entropy at reranked over that at unshifted positions. Mean rank: of the tuned "
        "model's choice under the base, where the choices differ. Published rows: arXiv 2605.06241, Table 2, without "
        "intervals there; none of them was measured by this package.",
    )


def _entropy(table: pa.Table) -> Panel:
    entropy_N, changed_N = flat(table, "base_entropy"), flat(table, "kind") != UNSHIFTED
    same_N, other_N = entropy_N[~changed_N], entropy_N[changed_N]
    return panel(
        "entropy",
        "Where the base hesitates",
        figures.entropy_by_class(same_N, other_N),
        f"Entropy of the base at the {len(same_N):,} positions with the same choice and the {len(other_N):,} others, "
        "each as shares of its own. Dotted: means.",
        columns=("entropy above, nats", "same choice", "choices differ"),
        rows=[(f"{mark:.1f}", _above(same_N, mark), _above(other_N, mark)) for mark in MARKS],
    )


def _above(values_N: np.ndarray, mark: float) -> str:
    return f"{float((values_N > mark).mean()):.1%}" if len(values_N) else UNKNOWN


def _tenths(found: Found) -> Panel:
    return panel(
        "tenths",
        "Early or late in the answer",
        figures.divergence_by_tenth(found["jsd_by_tenth"]),
        "Share of all Jensen-Shannon divergence in each tenth of the answers' tokens. Dashed: spread evenly. Lines: "
        "intervals.",
        columns=("tenth", "share of divergence"),
        rows=[(str(place), share(tenth)) for place, tenth in enumerate(found["jsd_by_tenth"], start=1)],
    )


def _outcomes(found: Found) -> Table:
    return Table(
        "outcome-table",
        "Right and wrong answers",
        ("answer", "positions", "same choice", "mean JSD, nats"),
        [
            (name, f"{row['positions']:,}", share(row["agreement"]), number(row["mean_jsd"], 4))
            for name, row in found["by_outcome"].items()
        ],
        "By whether the text that was read is graded correct.",
    )


def _gate(gate: Found) -> list[Panel]:
    rows = [
        (
            f"{point['tau']:.2f}",
            *(UNKNOWN if point[key] is None else f"{point[key]:.1%}" for key in ("share", "precision", "recall")),
        )
        for point in gate["curve"]
    ]
    return [
        panel(
            "gate-threshold",
            "Against its threshold",
            figures.gate_threshold(gate),
            "A gate lets a position through where the base's entropy exceeds tau. Recall: share of the positions that "
            "differ among those let through; precision: share of those let through that differ. Dotted: tau = "
            f"{figures.PAPER_TAU}, the paper's.",
            columns=("tau", "let through", "precision", "recall"),
            rows=rows,
        ),
        Panel(
            "gate-curve",
            "Precision against recall",
            figures.gate_precision_recall(gate),
            f"Average precision {number(gate['average_precision'])}; area under the ROC curve {number(gate['auc'])}. "
            f"Dashed: a gate that knows nothing, {gate['base_rate']:.2f}.",
        ),
    ]


def _tokens(tokens: Found) -> list[Table]:
    def table(name: str, columns: dict[str, str]) -> Table:
        rows = [
            (*(token_text(row[key]) for key in columns.values()), f"{row['count']:,}")
            for row in tokens[name][:SHOWN_TOKENS]
        ]
        places = tuple(range(len(columns)))
        return Table(name, name.capitalize(), (*columns, "times"), rows, tokens=places)

    swapped = table("swapped", {"base": "from", "tuned": "to"})
    return [table("promoted", {"token": "token"}), table("demoted", {"token": "token"}), swapped]


def _viewer(folder: Path, found: Found) -> Section:
    data = viewer_data(folder, SHOWN_TEXTS, SHOWN_POSITIONS)
    note = "Every token with what both models thought of it; edits, where the choices differ, are outlined."
    if data["left_out"]:
        note += (
            f" The first {found['texts'] - data['left_out']:,} texts; {data['left_out']:,} are left out here: "
            "TokenViewer.of shows all."
        )
    return Section("texts", "Token by token", note=note, viewer=viewer_fragment(data))


def _figures(found: Found) -> Table:
    return Table(
        "figures-table",
        "All figures",
        ("figure", "mean over positions"),
        [(name, form(found[key])) for name, key, form in FIGURES],
        f"Of {found['positions']:,} positions of {counted(found['problems'], 'problem')}. Ranks are means over the "
        f"positions that differ. Negative where probability came into the top {TOP}. "
        "summary.json has every digit.",
        headline=True,
    )
