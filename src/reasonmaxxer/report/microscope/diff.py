"""What `diff` found: figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.measure.published import published_pairs
from reasonmaxxer.microscope.diff import flat
from reasonmaxxer.microscope.joint import CLASSES, TOP, UNSHIFTED
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with, panel
from reasonmaxxer.report.microscope.diff_words import caveats, findings, lead, pair_name
from reasonmaxxer.report.numbers import UNKNOWN, counted, number, share
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import token_text

SHOWN_TOKENS = 15
SHOWN_TEXTS, SHOWN_POSITIONS = 100, 60_000
"""Most that the viewer in the page shows; `TokenViewer.of` shows all."""
Found = Mapping[str, Any]


def content(folder: Path, found: Found) -> Content:
    """The page of a folder of `diff`.

    Args:
        folder: with `positions`, `problems.parquet` and `vocabulary.parquet`.
        found: its `summary.json`.
    """
    table = read_positions(folder, ("kind", "base_entropy", "finish_reason"))
    return Content(
        command="diff",
        title=pair_name(found),
        lead=lead(found),
        findings=findings(found),
        caveats=caveats(found, np.mean([r == "length" for r in table["finish_reason"].to_pylist()])),
        sections=[
            Section("result", "How often they differ", _result_panels(found), [table_2(found)]),
            Section("where", "Where they differ", _where_panels(found, table), [_outcomes(found)]),
            _gate(found),
            Section("tokens", "Which tokens", tables=_tokens(found), beside=True, note=TOKEN_NOTE),
            _viewer(folder, found),
            Section("numbers", "All figures", tables=[_figures(found)]),
        ],
        facts=measured_with({arm: found[arm] for arm in ARMS}, found["protocol"]),
    )


def read_positions(folder: Path, columns: tuple[str, ...]) -> pa.Table:
    """Some columns of all shards of a comparison, in order."""
    shards = sorted((folder / "positions").glob("shard-*.parquet"))
    return pa.concat_tables([read_table(path, columns) for path in shards])


def _result_panels(found: Found) -> list[Panel]:
    ranks = found["ranks"]
    return [
        panel(
            "classes",
            "Same choice or another",
            figures.class_shares(found),
            f"Of {found['positions']:,} positions. Reranked: the tuned model's choice is another of the "
            f"base's top {TOP}; shifted: it is none of them (arXiv 2605.06241, Eq. 3). Lines: intervals.",
            columns=("class", "share of positions"),
            rows=[
                (name, share(found[key], 2))
                for name, key in zip(CLASSES, ("agreement", "reranked_share", "shifted_share"), strict=True)
            ],
        ),
        panel(
            "ranks",
            "How near the top it was",
            figures.choice_ranks(ranks),
            f"The {sum(ranks['forward'].values()):,} positions that differ. Dotted: the border between "
            "reranked and shifted.",
            columns=("rank", "tuned model's choice under the base", "base's choice under the tuned model"),
            rows=[(name, f"{count:,}", f"{ranks['backward'][name]:,}") for name, count in ranks["forward"].items()],
        ),
    ]


def table_2(found: Found) -> Table:
    """Table 2 of arXiv 2605.06241: this pair, and the published ones for reference."""
    measured = (
        pair_name(found),
        share(found["reranked_share"], 2),
        share(found["shifted_share"], 2),
        number(found["entropy_ratio"]),
        number(found["mean_rank"]),
        f"measured here, {counted(found['problems'], 'problem')} of {found['protocol']['source']}",
    )
    published = [
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
        ("pair", "reranked", "shifted", "entropy ratio", "mean rank", "whence"),
        [measured, *published],
        "Entropy ratio: the base's mean entropy at reranked over that at unshifted positions. Mean rank: "
        "of the tuned model's choice under the base, where the choices differ. Published rows: arXiv "
        "2605.06241, Table 2, without intervals there; none of them was measured by this package.",
    )


def _where_panels(found: Found, table: pa.Table) -> list[Panel]:
    entropy_N, changed_N = flat(table, "base_entropy"), flat(table, "kind") != UNSHIFTED
    same_N, other_N = entropy_N[~changed_N], entropy_N[changed_N]
    marks = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0)
    return [
        panel(
            "entropy",
            "Where the base hesitates",
            figures.entropy_by_class(same_N, other_N),
            f"Entropy of the base at the {len(same_N):,} positions with the same choice and the "
            f"{len(other_N):,} others, each as shares of its own. Dotted: means.",
            columns=("entropy above, nats", "same choice", "choices differ"),
            rows=[(f"{m:.1f}", _above(same_N, m), _above(other_N, m)) for m in marks],
        ),
        panel(
            "tenths",
            "Early or late in the answer",
            figures.divergence_by_tenth(found["jsd_by_tenth"]),
            "Share of all Jensen-Shannon divergence in each tenth of the answers' tokens. Dashed: spread "
            "evenly. Lines: intervals.",
            columns=("tenth", "share of divergence"),
            rows=[(str(n + 1), share(tenth)) for n, tenth in enumerate(found["jsd_by_tenth"])],
        ),
    ]


def _above(values_N: np.ndarray, mark: float) -> str:
    return f"{float((values_N > mark).mean()):.1%}" if len(values_N) else UNKNOWN


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


def _gate(found: Found) -> Section:
    gate = found["gate"]
    precision, auc = number(gate["average_precision"]), number(gate["auc"])
    drawn = [
        panel(
            "gate-threshold",
            "Against its threshold",
            figures.gate_threshold(gate),
            "A gate lets a position through where the base's entropy exceeds tau. Recall: share of the "
            "positions that differ among those let through; precision: share of those let through that "
            f"differ. Dotted: tau = {figures.PAPER_TAU}, the paper's.",
            columns=("tau", "let through", "precision", "recall"),
            rows=[
                (
                    f"{p['tau']:.2f}",
                    f"{p['share']:.1%}",
                    *(UNKNOWN if p[n] is None else f"{p[n]:.1%}" for n in ("precision", "recall")),
                )
                for p in gate["curve"]
            ],
        ),
        panel(
            "gate-curve",
            "Precision against recall",
            figures.gate_precision_recall(gate),
            f"Average precision {precision}; area under the ROC curve {auc}. Dashed: a gate that knows "
            f"nothing, {gate['base_rate']:.2f}.",
        ),
    ]
    return Section("gate", "Does entropy find them?", drawn)


TOKEN_NOTE = (
    "At positions where the choices differ: what the tuned model chooses (promoted), what the base chooses "
    "(demoted), and both together (swapped). · is a space, ⏎ a line end."
)


def _tokens(found: Found) -> list[Table]:
    tokens = found["tokens"]
    counts = {
        name: [(token_text(row["token"]), f"{row['count']:,}") for row in tokens[name][:SHOWN_TOKENS]]
        for name in ("promoted", "demoted")
    }
    swapped = [
        (token_text(row["from"]), token_text(row["to"]), f"{row['count']:,}")
        for row in tokens["swapped"][:SHOWN_TOKENS]
    ]
    return [
        Table("promoted", "Promoted", ("token", "times"), [*counts["promoted"]], "", (0,)),
        Table("demoted", "Demoted", ("token", "times"), [*counts["demoted"]], "", (0,)),
        Table("swapped", "Swapped", ("base", "tuned", "times"), swapped, "", (0, 1)),
    ]


def _viewer(folder: Path, found: Found) -> Section:
    data = viewer_data(folder, SHOWN_TEXTS, SHOWN_POSITIONS)
    note = "Every token with what both models thought of it; edits, where the choices differ, are outlined."
    if data["left_out"]:
        note += (
            f" The first {found['texts'] - data['left_out']:,} texts; {data['left_out']:,} are left out "
            "here: TokenViewer.of shows all."
        )
    return Section("texts", "Token by token", note=note, viewer=viewer_fragment(data))


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


def _figures(found: Found) -> Table:
    return Table(
        "figures-table",
        "All figures",
        ("figure", "mean over positions"),
        [(name, form(found[key])) for name, key, form in FIGURES],
        "Ranks are means over the positions that differ. Negative where probability came into the top "
        f"{TOP}. summary.json has every digit.",
    )
