"""The tables at the end of a run, as a terminal of 80 columns shows them."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from reasonmaxxer.report.status import print_summary
from reasonmaxxer.work.progress import Display


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 100}


def arm(greedy, sampled, truncated, outcomes):
    return {
        "greedy": {"pass@1": greedy},
        "sampled": {"avg@4": sampled, "pass@1": sampled, "pass@4": estimate(0.9, 0.8, 1.0)},
        "truncated_share": truncated,
        "outcomes": outcomes,
    }


def stage(name, tokens, usd):
    return {
        "stage": name, "tokens": tokens, "flops": 2.5e12, "seconds": 61.4, "cpu_seconds": 100.0,
        "peak_memory_bytes": 3 * 2**30, "usd": usd,
    }  # fmt: skip


@pytest.fixture
def summary():
    return {
        "base": arm(estimate(0.28, 0.19, 0.37), estimate(0.2, 0.1, 0.3), 0.22,
                    {"correct": 140, "unparsed": 25, "wrong": 335}),
        "adapted": arm(estimate(0.54, 0.44, 0.64), estimate(0.43, 0.36, 0.5), 0.02,
                       {"correct": 300, "wrong": 200}),
        "difference": {"greedy": {
            "value": 0.26, "low": 0.15, "high": 0.37, "gained": 33, "lost": 7, "p_value": 4.2e-5,
        }},
        "training": {"method": "reasonmaxxer"},
        "cost": {
            "stages": [stage("rollouts", 34779, 0.0028)],
            "total": stage("total", 34779, 0.0028),
            "price": {"name": "cpu-core", "usd_per_hour": 0.1, "estimated": True},
        },
    }  # fmt: skip


def shown(summary, out=Path("runs/x")):
    text = io.StringIO()
    print_summary(summary, out, Console(file=text, width=80))
    return text.getvalue()


def row(text, name):
    [line] = [line for line in text.splitlines() if name in line]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_every_figure_is_where_its_name_is(summary):
    text = shown(summary)
    assert row(text, "greedy pass@1")[1:] == ["0.280 [0.190, 0.370]", "0.540 [0.440, 0.640]"]
    assert row(text, "sampled pass@1")[1:] == ["0.200 [0.100, 0.300]", "0.430 [0.360, 0.500]"]
    assert row(text, "cut at the length limit")[1:] == ["22%", "2%"]
    assert row(text, "no answer found")[1:] == ["5%", "0%"]
    assert row(text, "rollouts")[1:] == ["34,779", "2.5", "61", "0.0028", "3.0"]
    assert "+0.260 [+0.150, +0.370]: 33 problems gained, 7 lost" in text
    assert "p = 4.2e-05" in text
    assert "assumed 0.10 USD an hour" in text


def test_the_same_number_is_not_shown_twice(summary):
    assert "avg@4" not in shown(summary)
    for name in ("base", "adapted"):
        del summary[name]["sampled"]["pass@1"]
    assert "avg@4" in shown(summary)


def test_tables_fit_80_columns_and_unknown_prices_say_so(summary):
    summary["cost"]["price"] = {"name": None, "usd_per_hour": None, "estimated": False}
    summary["cost"]["stages"][0]["usd"] = None
    text = shown(summary)
    assert "no price for this machine: set cost.usd_per_hour" in text
    assert row(text, "rollouts")[-2] == "?"
    assert all(len(line) <= 80 for line in text.splitlines() if "│" in line)


def test_a_path_is_not_markup(summary):
    assert "runs/[red]x[/]/summary.json" in shown(summary, Path("runs/[red]x[/]"))


def test_a_silent_display_prints_nothing_and_a_loud_one_counts():
    text = io.StringIO()
    for display in (Display(), Display(Console(file=text, width=100))):
        with display.task("Rollouts", 4) as task:
            task.on_tokens(120, 3)
            task.advance(1, 40)
        display.warn("look [bold]here[/]")
        assert (task.done, task.tokens) == (4, 160)
    assert "4/4" in text.getvalue() and "160 tokens, " in text.getvalue()
    assert "Warning: look [bold]here[/]" in text.getvalue()


def test_in_a_file_a_minute_is_a_line():
    text = io.StringIO()
    with Display(Console(file=text, width=100)).task("Scoring rollouts", 384) as task:
        for _ in range(3):
            task.on_tokens(40_000, 90)
        assert text.getvalue() == ""
        task.printed -= 60  # a minute later
        for _ in range(3):
            task.on_tokens(4, 1)
        [line] = text.getvalue().splitlines()
        assert line.startswith("Scoring rollouts") and "271/384 0:00:0" in line
        assert "120,004 tokens, " in line and line.rstrip().endswith("/s")
    assert "273/384" in text.getvalue().splitlines()[-1]
