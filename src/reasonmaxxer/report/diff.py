"""The page of `diff`: how often two models choose differently on the same text, where, and which tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import read_object, read_table
from reasonmaxxer.measure.published import published_pairs
from reasonmaxxer.microscope.diff import flat
from reasonmaxxer.microscope.joint import TOP, UNSHIFTED
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import UNKNOWN, counted, number, pair_name, share
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import token_text
from reasonmaxxer.report.words import Words

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
CLASSES = {"unshifted": "agreement", "reranked": "reranked_share", "shifted": "shifted_share"}
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

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `diff`."""
    found = read_object(folder / "summary.json", ("schema",))
    words = words_of(found)
    return words.content(
        title=pair_name(found),
        sections=[
            Section("result", "How often they differ", [_classes(words), _ranks(words)], [table_2(words)]),
            Section("where", "Where they differ", [_entropy(folder, words), _tenths(words)], [_outcomes(words)]),
            Section("gate", "Does entropy find them?", _gate(words)),
            Section("tokens", "Which tokens", tables=_tokens(found["tokens"]), beside=True, note=words.text("tokens")),
            _viewer(folder, words),
            Section("numbers", "All figures", tables=[_figures(words)]),
        ],
        facts=measured_with({arm: found[arm] for arm in ARMS}, found["protocol"]),
    )


def words_of(found: Found) -> Words:
    """Its words: findings, and caveats, first where the numbers are unlike the published ones."""
    agreement, shifted, ratio = (found[name] for name in ("agreement", "shifted_share", "entropy_ratio"))
    counts, pairs = found["ranks"]["forward"], published_pairs()
    changed = sum(counts.values())
    near = sum(count for rank, count in counts.items() if rank.isdigit() and int(rank) <= TOP)
    fewest, most = min(pair.changed for pair in pairs), max(pair.changed for pair in pairs)
    farthest, dullest = max(pair.shifted for pair in pairs), min(pair.entropy_ratio for pair in pairs)
    return Words(
        "diff",
        found,
        gate=found["gate"],
        texts=TEXTS,
        top=TOP,
        tau=figures.PAPER_TAU,
        few=FEW_PROBLEMS,
        much=MUCH,
        changed=changed,
        near=near / max(1, changed),
        # what the intervals leave no doubt of
        denser=1 - agreement["high"] > most,
        sparser=1 - agreement["low"] < fewest,
        farther=shifted["low"] > farthest,
        duller=ratio["value"] is not None and ratio["high"] < dullest,
        fewest=fewest,
        most=most,
        farthest=farthest,
        dullest=dullest,
    )


def _classes(words: Words) -> Panel:
    rows = [(name, share(words.found[key], 2)) for name, key in CLASSES.items()]
    return words.panel("classes", figures.class_shares(words.found), rows)


def _ranks(words: Words) -> Panel:
    ranks = words.found["ranks"]
    rows = [(rank, f"{count:,}", f"{ranks['backward'][rank]:,}") for rank, count in ranks["forward"].items()]
    return words.panel("ranks", figures.choice_ranks(ranks), rows)


def table_2(words: Words) -> Table:
    """Table 2 of arXiv 2605.06241: this pair, and the published ones for reference."""
    found = words.found
    where = f"measured here, {counted(found['problems'], 'problem')} of {found['protocol']['source']}"
    shares = (share(found[key], 2) for key in ("reranked_share", "shifted_share"))
    rows = [(pair_name(found), *shares, number(found["entropy_ratio"]), number(found["mean_rank"]), where)]
    for row in published_pairs():
        figures_there = (
            f"{row.reranked:.2%}",
            f"{row.shifted:.2%}",
            f"{row.entropy_ratio:.2f}",
            f"{row.mean_rank:.2f}",
        )
        rows.append((row.pair, *figures_there, "published, other models, MATH-500"))
    return words.table("divergence-table", rows)


def _entropy(folder: Path, words: Words) -> Panel:
    shards = sorted((folder / "positions").glob("shard-*.parquet"))
    table = pa.concat_tables([read_table(path, ("kind", "base_entropy")) for path in shards])
    entropy_N, changed_N = flat(table, "base_entropy"), flat(table, "kind") != UNSHIFTED
    same_N, other_N = entropy_N[~changed_N], entropy_N[changed_N]
    rows = [(f"{mark:.1f}", _above(same_N, mark), _above(other_N, mark)) for mark in MARKS]
    drawn = figures.entropy_by_class(same_N, other_N)
    return words.panel("entropy", drawn, rows, same=len(same_N), other=len(other_N))


def _above(values_N: np.ndarray, mark: float) -> str:
    return f"{float((values_N > mark).mean()):.1%}" if len(values_N) else UNKNOWN


def _tenths(words: Words) -> Panel:
    tenths = words.found["jsd_by_tenth"]
    rows = [(str(place), share(tenth)) for place, tenth in enumerate(tenths, start=1)]
    return words.panel("tenths", figures.divergence_by_tenth(tenths), rows)


def _outcomes(words: Words) -> Table:
    rows = [
        (name, f"{row['positions']:,}", share(row["agreement"]), number(row["mean_jsd"], 4))
        for name, row in words.found["by_outcome"].items()
    ]
    return words.table("outcome-table", rows)


def _gate(words: Words) -> list[Panel]:
    gate = words.found["gate"]
    rows = [
        (f"{p['tau']:.2f}", *(_percent(p[key]) for key in ("share", "precision", "recall"))) for p in gate["curve"]
    ]
    return [
        words.panel("gate-threshold", figures.gate_threshold(gate), rows),
        words.panel("gate-curve", figures.gate_precision_recall(gate)),
    ]


def _percent(part: float | None) -> str:
    return UNKNOWN if part is None else f"{part:.1%}"


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


def _viewer(folder: Path, words: Words) -> Section:
    data = viewer_data(folder, SHOWN_TEXTS, SHOWN_POSITIONS)
    note = words.text("viewer", left_out=data["left_out"])
    return Section("texts", "Token by token", note=note, viewer=viewer_fragment(data))


def _figures(words: Words) -> Table:
    rows = [(name, form(words.found[key])) for name, key, form in FIGURES]
    return words.table("figures-table", rows, headline=True)
