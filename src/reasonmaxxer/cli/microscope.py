"""Commands of the microscope: what a base and the models tuned from it do with the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonmaxxer.cli.common import (
    Base,
    Device,
    Dtype,
    Extraction,
    Limit,
    MaxNewTokens,
    NativeDtype,
    Out,
    Problems,
    PromptStyle,
    Seed,
    Split,
    TrustRemoteCode,
    Tuned,
    Verifier,
    chosen,
    folder_of,
    given,
    hush,
    verify_values,
)

if TYPE_CHECKING:
    from reasonmaxxer.config import DistillationConfig


def diff(
    base: Base,
    tuned: Tuned,
    problems: Problems = None,
    split: Split = None,
    limit: Limit = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="base|tuned|FILE.jsonl",
            help="Whose greedy answers are read; or a file of answers with problem_id.",
            show_default="base",
        ),
    ] = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
    verifier: Verifier = None,
    max_new_tokens: MaxNewTokens = None,
    seed: Seed = None,
    dtype: Dtype = None,
    device: Device = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Compare a base with a tuned model token by token: where they differ, how far, and how likely it was.

    Writes a table by position, summary.json and a page. The same command again goes on where it stopped.
    """
    options = locals()
    from reasonmaxxer.report.microscope.terminal import print_diff
    from reasonmaxxer.work import microscope

    _run("diff", microscope.diff, print_diff, [tuned], options)


def intervene(
    base: Base,
    tuned: Tuned,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:BUDGET]",
            help="oracle, random, second, gated, matched, or fewest, the search; budgets first=K, "
            "share=P, entropy=K, divergence=K, reranked, of gated tau=H; 'reverse-' before a name changes "
            "the models' places. May be given several times.",
            show_default="the paper's, controls, dose and response, the search",
        ),
    ] = None,
    problems: Problems = None,
    split: Split = None,
    limit: Limit = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
    verifier: Verifier = None,
    max_new_tokens: MaxNewTokens = None,
    seed: Seed = None,
    dtype: Dtype = None,
    device: Device = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Put a tuned model's tokens into its base's answers as they are made, and see what becomes of them.

    Writes every answer and edit, summary.json and a page. The same command again goes on where it stopped.
    """
    options = locals()
    from reasonmaxxer.report.microscope.terminal import print_intervene
    from reasonmaxxer.work import microscope

    _run("intervene", microscope.intervene, print_intervene, [tuned], options, policies=policy or ())


def overlap(
    base: Base,
    tuned_a: Annotated[str, typer.Argument(metavar="TUNED_A", help="Trained from the base.")],
    tuned_b: Annotated[str, typer.Argument(metavar="TUNED_B", help="Likewise, in another way.")],
    problems: Problems = None,
    split: Split = None,
    limit: Limit = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
    verifier: Verifier = None,
    max_new_tokens: MaxNewTokens = None,
    seed: Seed = None,
    dtype: Dtype = None,
    device: Device = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Hold the token edits of two models tuned from one base against each other, and against chance.

    Writes summary.json and a page. The same command again goes on where it stopped.
    """
    options = locals()
    from reasonmaxxer.report.microscope.terminal import print_overlap
    from reasonmaxxer.work import microscope

    _run("overlap", microscope.overlap, print_overlap, [tuned_a, tuned_b], options)


def distill(
    base: Base,
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help="The same, trained from it.")],
    problems: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Problems, of its splits train and test.", show_default="word-problems"),
    ] = None,
    test_problems: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Problems that measure, where the source has but one split.",
            show_default="those of --problems",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Problems of each split.", show_default="100")] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            metavar="MODULES:RANK,...",
            help="One student each, such as lm_head:8 or gate_proj+up_proj:4.",
            show_default="qkvo:32,qkvo:16,qkvo:8,o:8",
        ),
    ] = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
    verifier: Verifier = None,
    rollouts: Annotated[int | None, typer.Option(help="The teacher's rollouts a problem.", show_default="4")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over them.", show_default="3")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate of AdamW.", show_default="1e-4")] = None,
    max_new_tokens: MaxNewTokens = None,
    seed: Seed = None,
    dtype: NativeDtype = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Distil what a model learnt into small adapters of its base, and measure how little is enough.

    Writes the adapters, summary.json and a page. The same command again goes on where it stopped.
    """
    options = locals()
    from rich.console import Console

    from reasonmaxxer.report.microscope.terminal import print_distill
    from reasonmaxxer.work import microscope
    from reasonmaxxer.work.progress import Display

    config, folder = _distillation(options), out or folder_of("distill", base, teacher)
    hush()
    console = Console()
    summary = microscope.distill(config, folder, Display(console), trust_remote_code)
    print_distill(summary, folder, console)


def _distillation(options: dict[str, Any]) -> DistillationConfig:
    """The config of `distill`."""
    from reasonmaxxer.config import DistillationConfig
    from reasonmaxxer.microscope.distill import parse_shapes
    from reasonmaxxer.recipe import parse_config

    option = options.get
    drawn, dtype = given(limit=option("limit")), given(dtype=option("dtype"))
    source, measured = option("problems"), option("test_problems") or option("problems")
    shapes = option("shapes")
    values = {
        "base": {"name": option("base"), **dtype},
        "teacher": {"name": option("teacher"), **dtype},
        "train": {"split": "train", "limit": 100, **given(source=source), **drawn},
        "test": {"split": "test", "limit": 100, "seed": 0, **given(source=measured), **drawn},
        "verify": verify_values(options),
        **given(shapes=None if shapes is None else parse_shapes(shapes), rollouts_per_problem=option("rollouts")),
        **chosen(options, "prompt_style", "epochs", "learning_rate", "max_new_tokens", "seed"),
    }
    return parse_config(DistillationConfig, values, "distill")


def _run(
    command: str,
    work: Callable[..., dict[str, Any]],
    show: Callable[..., None],
    tuned: list[str],
    options: dict[str, Any],
    **more: Any,
) -> None:
    """Make the config, do the work, print what it found."""
    from rich.console import Console

    from reasonmaxxer.config import MicroscopeConfig
    from reasonmaxxer.recipe import parse_config
    from reasonmaxxer.work.progress import Display

    option = options.get
    values = {
        "base": given(name=option("base"), dtype=option("dtype"), device=option("device")),
        "tuned": tuned,
        "problems": {
            "split": "test",
            "limit": 100,
            "seed": 0,
            **given(source=option("problems"), split=option("split"), limit=option("limit")),
        },
        "verify": verify_values(options),
        **chosen(options, "text", "prompt_style", "max_new_tokens", "seed"),
    }
    config = parse_config(MicroscopeConfig, values, command)
    out = options["out"] or folder_of(command, options["base"], *tuned)
    hush()
    console = Console()
    found = work(config, out, Display(console), trust_remote_code=options["trust_remote_code"], **more)
    show(found, out, console)


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    for command in (diff, intervene, overlap, distill):
        app.command()(command)
