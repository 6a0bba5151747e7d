"""The page of `evaluate`: scores on benchmarks beside published ones, and what they must not be quoted without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.measure.suite import TRUNCATED
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Answer, Content, Example, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import number, signed
from reasonmaxxer.report.tables import kinds_tables
from reasonmaxxer.report.visible import visible_text
from reasonmaxxer.report.words import Words

SHOWN = 240
"""Characters at the end of a completion that are shown."""
OF_EACH = ("data", "problems", "problems_hash", "samples", "metric")
"""What of the protocol may differ from benchmark to benchmark; the rest is the same of all."""

Found = Mapping[str, Any]
"""What `summary.json` holds, or one of its benchmarks."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `evaluate`, compared with another where it has an `against.json`."""
    found, path = read_object(folder / "summary.json", ("schema",)), folder / "against.json"
    words, benchmarks, environment = words_of(found), found["benchmarks"], found["environment"]
    shared = {name: value for name, value in benchmarks[0]["protocol"].items() if name not in OF_EACH}
    graded = words.panel("graded", figures.outcomes({b["title"]: b["outcomes"] for b in benchmarks}))
    answers, programs = _specimens(benchmarks)
    graded_tables = [_outcomes_table(words), *kinds_tables({b["title"]: b for b in benchmarks})]
    sections = [
        Section("scores", "Scores", list(_scores(words)), [scores_table(words)]),
        Section("against", "Paired", tables=[_against(words, read_object(path))] if path.is_file() else []),
        Section("parts", "By part", tables=part_tables(benchmarks), beside=True),
        Section("outcomes", "How completions were graded", [graded], graded_tables),
        Section(
            "read",
            "Read some",
            tables=[replace(words.table("specimens-table", answers), tokens=(2, 3, 4))] if answers else [],
            note=words.text("specimens_note") if programs else "",
            examples=programs,
        ),
        Section("protocol", "Protocol", tables=[_protocol(words)]),
    ]
    return words.content(
        title=found["model"]["name"],
        sections=[section for section in sections if section.panels or section.tables or section.examples],
        facts=measured_with(
            {"model": found["model"]}, {**shared, **environment["hardware"], **environment["versions"]}
        ),
    )


def words_of(found: Found) -> Words:
    """Its words; of the caveats, the gravest first."""
    benchmarks = found["benchmarks"]
    protocol, sources = benchmarks[0]["protocol"], _sources(found)
    return Words(
        "evaluate",
        found,
        source="; ".join(f"[{n}] {text}" if sources[1:] else text for n, text in enumerate(sources, 1)),
        methods=_methods(found),
        benchmarks=benchmarks,
        protocol=protocol,
        stop=[repr(text) for text in protocol["stop"]],
        scores=[f"{b['title']} {b['accuracy']['value']:.3f}" for b in benchmarks],
        beside=list(_beside_published(found)),
        cut=_large(benchmarks, [b["truncated_share"] for b in benchmarks]),
        unread=_large(
            benchmarks, [b["outcomes"].get("unparsed", 0) / sum(b["outcomes"].values()) for b in benchmarks]
        ),
        part=[
            f"{b['title']} {b['problems']:,} of {b['of']:,}"
            for b in benchmarks
            if b["of"] not in (None, b["problems"])
        ],
        code=all(one.get("code") for b in benchmarks for one in b["specimens"]),
        flat=[b["title"] for b in benchmarks if b["accuracy"]["low"] == b["accuracy"]["high"]],
        ks=sorted({row["k"] for b in benchmarks for row in b["pass_at"]}),
        voting=voting(benchmarks),
        outcomes=list(figures.OUTCOME_COLOURS),
    )


def voting(benchmarks: Sequence[Found]) -> list[int]:
    """Every k of maj@k; problems of code and folders of version 0.2 and before have none."""
    return sorted({row["k"] for b in benchmarks for row in b.get("maj_at", ())})


def _beside_published(found: Found) -> Iterator[tuple[Found, int, int]]:
    """Published rows of this base and its ReasonMaxxer: how many scores are here too, and in the intervals here."""
    for row in (row for row in found["published"] if row["method"] in ("base", "ReasonMaxxer")):
        there = [b for b in found["benchmarks"] if b["name"] in row["scores"]]
        within = [b for b in there if b["accuracy"]["low"] <= row["scores"][b["name"]] <= b["accuracy"]["high"]]
        yield row, len(there), len(within)


def _large(benchmarks: Sequence[Found], shares: Sequence[float]) -> list[str]:
    """Benchmarks whose share must not go unsaid, with it."""
    return [f"{b['title']} {share:.0%}" for b, share in zip(benchmarks, shares, strict=True) if share > TRUNCATED]


def _scores(words: Words) -> Iterator[Panel]:
    benchmarks = words.found["benchmarks"]
    yield words.panel("suite", figures.suite_scores(benchmarks, words.found["published"]))
    if any(b["pass_at"] for b in benchmarks):
        arms = [{"name": b["title"], "pass_at": b["pass_at"]} for b in benchmarks]
        yield words.panel("pass-at-k", figures.pass_at_k(arms))


def scores_table(words: Words) -> Table:
    """Every score, with the published ones of the same base, of which a terminal shows the first: the base's own."""
    found, ks = words.found, voting(words.found["benchmarks"])
    rows = [
        (
            b["title"],
            b["protocol"]["metric"],
            f"{b['problems']:,}",
            number(b["accuracy"], 3),
            *(number(row, 3) for row in b["pass_at"]),
            *(number(row, 3) for row in b.get("maj_at", ())),
            *[""] * (len(ks) - len(b.get("maj_at", ()))),
            *(_published(row["scores"].get(b["name"])) for row in found["published"]),
        )
        for b in found["benchmarks"]
    ]
    measured = 4 + len({row["k"] for b in found["benchmarks"] for row in b["pass_at"]}) + len(ks)
    if found["average"]:
        mean = ("average of six", "mean", f"{found['average']['n']:,}", number(found["average"], 3))
        averages = (_published(row["average"]) for row in found["published"])
        rows.append((*mean, *[""] * (measured - len(mean)), *averages))
    return words.table("scores-table", rows, headline=tuple(range(measured + bool(found["published"]))))


def _sources(found: Found) -> list[str]:
    """Where the published scores stand, each once; folders of version 0.2 and before do not say."""
    return list(dict.fromkeys(map(_source, found["published"])))


def _source(row: Found) -> str:
    return str(row.get("source", "arXiv 2605.06241, Table 3"))


def _methods(found: Found) -> list[str]:
    """What the columns of the published scores are called: by method, and by source where there are several."""
    sources = _sources(found)
    marks = {source: f" [{n}]" if len(sources) > 1 else "" for n, source in enumerate(sources, 1)}
    return [f"{row['method']}{marks[_source(row)]}" for row in found["published"]]


def _published(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _against(words: Words, against: Found) -> Table:
    rows = [
        (row["title"], signed(row), f"{row['gained']:,}", f"{row['lost']:,}", f"{row['p_value']:.2g}")
        for row in against["rows"]
    ]
    return words.table("against-table", rows, against=against)


def part_tables(benchmarks: Sequence[Found]) -> list[Table]:
    """Scores by level, subject and type of answer, a table each."""
    return [
        Table(
            f"{b['name']}-by-{name}",
            f"{b['title']} by {name.replace('_', ' ')}",
            (name.replace("_", " "), "problems", b["protocol"]["metric"]),
            [(part["name"], f"{part['n']:,}", number(part, 3)) for part in parts],
        )
        for b in benchmarks
        for name, parts in b["by"].items()
    ]


def _outcomes_table(words: Words) -> Table:
    """Grades of all completions, how many were cut, and how long they are."""
    rows = [
        (
            b["title"],
            f"{sum(b['outcomes'].values()):,}",
            *(f"{b['outcomes'].get(name, 0):,}" for name in figures.OUTCOME_COLOURS),
            f"{b['truncated_share']:.1%}",
            f"{b['mean_tokens']:,.0f}",
        )
        for b in words.found["benchmarks"]
    ]
    return words.table("outcomes-table", rows, headline=True)


def _specimens(benchmarks: Sequence[Found]) -> tuple[list[tuple[str, ...]], list[Example]]:
    """What to read: a row each, and of programs, which no cell can hold, the whole with its problem."""
    every = [(b["title"], one) for b in benchmarks for one in b["specimens"]]
    rows: list[tuple[str, ...]] = [
        (
            f"{title}, {visible_text(one['problem_id'])}",
            one["outcome"] + (", cut" if one["truncated"] else ""),
            visible_text(one["answer"]),
            "none" if one["extracted"] is None else visible_text(one["extracted"]),
            ("… " if len(one["text"]) > SHOWN else "") + visible_text(one["text"][-SHOWN:]),
        )
        for title, one in every
        if not one.get("code")
    ]
    programs = [_program(title, one) for title, one in every if one.get("code")]
    return rows, programs


def _program(title: str, one: Found) -> Example:
    answer = Answer(title, one["text"], one["outcome"], one["extracted"], one["truncated"], one["detail"])
    return Example(one["outcome"], one["problem_id"], one["problem"], one["answer"], (answer,), code=True)


def _protocol(words: Words) -> Table:
    rows = [
        (
            b["name"],
            ", ".join(b["protocol"]["data"].values()),
            f"{b['protocol']['problems']:,}",
            b["protocol"]["problems_hash"][:12],
            str(b["protocol"]["samples"]),
            b["protocol"]["metric"],
        )
        for b in words.found["benchmarks"]
    ]
    return words.table("protocol-table", rows)
