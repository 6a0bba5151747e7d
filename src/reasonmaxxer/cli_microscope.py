"""Commands of the microscope: what a base and the models tuned from it do with the same tokens."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reasonmaxxer.config import DistillationConfig

Base = Annotated[
    str, typer.Argument(metavar="BASE", help="Hub id, folder, PEFT folder or embedded model.")
]
Tuned = Annotated[str, typer.Argument(metavar="TUNED", help="The same, trained from it.")]
Problems = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="word-problems, reasoning-gym/TASK, a .jsonl or .parquet file, or a data set's hub id.",
        show_default="word-problems",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split of the source.", show_default="test")]
Limit = Annotated[int | None, typer.Option(help="Problems taken.", show_default="100")]
PromptStyle = Annotated[
    str | None,
    typer.Option(
        metavar="chat_template|qwen_boxed|llama_abel",
        help="Prompt of all models.",
        show_default="chat_template",
    ),
]
Extraction = Annotated[
    str | None,
    typer.Option(
        metavar="auto|boxed|last_number|stated_number",
        help="Where the answer is read.",
        show_default="auto",
    ),
]
MaxNewTokens = Annotated[
    int | None, typer.Option(help="Longest answer, tokens.", show_default="120")
]
Seed = Annotated[int | None, typer.Option(help="Of every draw.", show_default="0")]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="auto|float32|bfloat16|float16",
        help="Weights' type.",
        show_default="auto: float32 on a CPU",
    ),
]
Device = Annotated[
    str | None, typer.Option(help="torch device.", show_default="CUDA where there is one")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the results.", show_default=False)]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the models' repositories run their code.")
]


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
    from reasonmaxxer.pipeline import microscope
    from reasonmaxxer.report.microscope.terminal import print_diff

    _run("diff", microscope.diff, print_diff, [tuned], options)


def intervene(
    base: Base,
    tuned: Tuned,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:BUDGET]",
            help="oracle, random, second, gated or matched; budgets first=K, share=P, entropy=K, "
            "divergence=K, reranked, of gated tau=H; 'reverse-' before a name changes the models' places. "
            "May be given several times.",
            show_default="the paper's, controls, dose and response",
        ),
    ] = None,
    problems: Problems = None,
    split: Split = None,
    limit: Limit = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
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
    from reasonmaxxer.pipeline import microscope
    from reasonmaxxer.report.microscope.terminal import print_intervene

    _run(
        "intervene", microscope.intervene, print_intervene, [tuned], options, policies=policy or ()
    )


def overlap(
    base: Base,
    tuned_a: Annotated[str, typer.Argument(metavar="TUNED_A", help="Trained from the base.")],
    tuned_b: Annotated[str, typer.Argument(metavar="TUNED_B", help="Likewise, in another way.")],
    problems: Problems = None,
    split: Split = None,
    limit: Limit = None,
    prompt_style: PromptStyle = None,
    extraction: Extraction = None,
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
    from reasonmaxxer.pipeline import microscope
    from reasonmaxxer.report.microscope.terminal import print_overlap

    _run("overlap", microscope.overlap, print_overlap, [tuned_a, tuned_b], options)


def distill(
    base: Base,
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help="The same, trained from it.")],
    problems: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Problems, of its splits train and test.",
            show_default="word-problems",
        ),
    ] = None,
    test_problems: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Problems that measure, where the source has but one split.",
            show_default="those of --problems",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Problems of each split.", show_default="100")
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            metavar="MODULES:RANK,...",
            help="One student each, such as lm_head:8 or gate_proj+up_proj:4.",
            show_default="qkvo:32,qkvo:16,qkvo:8,o:8",
        ),
    ] = None,
    prompt_style: PromptStyle = None,
    rollouts: Annotated[
        int | None, typer.Option(help="The teacher's rollouts a problem.", show_default="4")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over them.", show_default="3")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate of AdamW.", show_default="1e-4")
    ] = None,
    max_new_tokens: MaxNewTokens = None,
    seed: Seed = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="auto|float32|bfloat16|float16", help="Weights' type.", show_default="auto"
        ),
    ] = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Distil what a model learnt into small adapters of its base, and measure how little is enough.

    Writes the adapters, summary.json and a page. The same command again goes on where it stopped.
    """
    options = locals()
    from rich.console import Console

    from reasonmaxxer.pipeline import microscope
    from reasonmaxxer.report.microscope.terminal import print_distill
    from reasonmaxxer.report.progress import Display

    config, folder = _distillation(options), out or _folder("distill", base, teacher)
    hush()
    console = Console()
    summary = microscope.distill(config, folder, Display(console), trust_remote_code)
    print_distill(summary, folder, console)


def _distillation(options: dict[str, Any]) -> DistillationConfig:
    """The config of `distill`."""
    from reasonmaxxer.config import DistillationConfig
    from reasonmaxxer.divergence.distillation.shapes import parse_shapes
    from reasonmaxxer.recipe import parse_config

    option = options.get
    drawn, dtype = _given(limit=option("limit")), _given(dtype=option("dtype"))
    source, measured = option("problems"), option("test_problems") or option("problems")
    shapes = option("shapes")
    values = {
        "base": {"name": option("base"), **dtype},
        "teacher": {"name": option("teacher"), **dtype},
        "train": {"split": "train", "limit": 100, **_given(source=source), **drawn},
        "test": {"split": "test", "limit": 100, "seed": 0, **_given(source=measured), **drawn},
        **_given(
            shapes=None if shapes is None else parse_shapes(shapes),
            rollouts_per_problem=option("rollouts"),
        ),
        **_chosen(options, "prompt_style", "epochs", "learning_rate", "max_new_tokens", "seed"),
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
    from reasonmaxxer.report.progress import Display

    option = options.get
    values = {
        "base": _given(name=option("base"), dtype=option("dtype"), device=option("device")),
        "tuned": tuned,
        "problems": {
            "split": "test",
            "limit": 100,
            "seed": 0,
            **_given(source=option("problems"), split=option("split"), limit=option("limit")),
        },
        "verify": _given(extraction=option("extraction")),
        **_chosen(options, "text", "prompt_style", "max_new_tokens", "seed"),
    }
    config = parse_config(MicroscopeConfig, values, command)
    out = options["out"] or _folder(command, options["base"], *tuned)
    hush()
    console = Console()
    found = work(
        config, out, Display(console), trust_remote_code=options["trust_remote_code"], **more
    )
    show(found, out, console)


def _given(**values: Any) -> dict[str, Any]:
    """Options that were set; the rest take the config's defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _chosen(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Options that are called as their keys are, of those that were set."""
    return _given(**{name: options.get(name) for name in names})


def _folder(command: str, *models: str) -> Path:
    """Where results go that were not given a folder."""
    return Path("runs") / "-".join((command, *(Path(name).name for name in models)))


def hush() -> None:
    """Keep what transformers says about its own future off the terminal."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    for command in (diff, intervene, overlap, distill):
        app.command()(command)
