"""`reasonmaxxer evaluate`: what a model scores on benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonmaxxer.cli.common import (
    Device,
    Extraction,
    NativeDtype,
    Out,
    PromptStyle,
    Seed,
    TrustRemoteCode,
    Verifier,
    chosen,
    folder_of,
    given,
    hush,
    verify_values,
)
from reasonmaxxer.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from reasonmaxxer.config import SuiteConfig


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Hub id, folder, PEFT folder or embedded model.")],
    adapter: Annotated[str | None, typer.Option(metavar="DIR", help="PEFT folder of an adapter on the model.")] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="paper",
            help="GSM8K, MATH-500, Minerva Math, OlympiadBench, AIME 2024, AMC 2023 and AIME 2025.",
            show_default="paper",
        ),
    ] = None,
    problems: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Instead of a suite: a benchmark by name, word-problems, reasoning-gym/TASK, a file or a "
            "data set's hub id. May be given several times.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of those that have several.")] = "test",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the benchmarks as JSON Lines.",
            show_default="REASONMAXXER_DATA, else the hub",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Problems of each, by level or subject in proportion.", show_default="all")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Completions a problem.", show_default="8 on AIME and AMC, else 1")
    ] = None,
    ks: Annotated[
        str | None, typer.Option(metavar="K,...", help="k of pass@k; each at most --samples.", show_default="none")
    ] = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
    verifier: Verifier = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.", show_default="0.6")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest completion, tokens.", show_default="8192")
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="String that ends a completion. May be given several times.", show_default="none"
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="transformers|vllm[:PYTHON]",
            help="What samples; PYTHON is the interpreter of the environment that vLLM is installed in.",
            show_default="transformers",
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences decoded at once.", show_default="64")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Finished evaluation of another model, for paired differences.")
    ] = None,
    seed: Seed = None,
    dtype: NativeDtype = None,
    device: Device = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Measure a model on benchmarks: accuracy with intervals, by level and subject, beside published ones.

    Writes every completion, summary.json, results.md and report.html. The same command again goes on where
    it stopped.
    """
    options = locals()
    config = _config(options)  # first: what is wrong with the options is said at once
    from rich.console import Console

    from reasonmaxxer.report.evaluation.terminal import print_evaluation
    from reasonmaxxer.work.evaluate import evaluate as run_evaluation
    from reasonmaxxer.work.progress import Display

    folder = out or folder_of("evaluate", *([model, adapter] if adapter else [model]))
    hush()
    console = Console()
    found = run_evaluation(config, folder, Display(console), trust_remote_code, against)
    print_evaluation(found, folder, console)


def _config(options: dict[str, Any]) -> SuiteConfig:
    from reasonmaxxer.config import SuiteConfig
    from reasonmaxxer.problems.catalogue import DATA_DIR
    from reasonmaxxer.recipe import parse_config

    if options["data_dir"]:
        os.environ[DATA_DIR] = str(options["data_dir"])
    ks = options["ks"]
    values = {
        "model": {"name": options["model"], **chosen(options, "dtype", "device")},
        "problems": [
            {"source": source, "split": options["split"]} for source in _sources(options["suite"], options["problems"])
        ],
        "verify": verify_values(options),
        "engine": _engine(options["engine"]),
        **given(ks=None if ks is None else _numbers(ks)),
        **chosen(options, "adapter", "limit", "samples", "temperature", "batch_size"),
        **chosen(options, "prompt_style", "max_new_tokens", "stop", "seed"),
    }
    return parse_config(SuiteConfig, values, "evaluate")


def _engine(text: str | None) -> dict[str, Any]:
    name, _, python = (text or "").partition(":")
    return given(name=name or None, vllm={"python": python} if python else None)


def _sources(suite: str | None, problems: list[str] | None) -> tuple[str, ...]:
    from reasonmaxxer.problems.catalogue import SUITES

    if suite and problems:
        raise UserError("--suite and --problems exclude each other; leave one of them out.")
    if problems:
        return tuple(problems)
    name = suite or "paper"
    if name not in SUITES:
        raise UserError(
            f"--suite {name}: there is only {', '.join(SUITES)}.{did_you_mean(name, SUITES)} Single "
            "benchmarks are given with --problems."
        )
    return SUITES[name]


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--ks {text}: give whole numbers, as in 1,4,8.")
    return [int(part) for part in parts]


def register(app: typer.Typer) -> None:
    """Put the command on the command line."""
    app.command()(evaluate)
