"""Commands that take a run's results elsewhere: merged weights, data for TRL."""

from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer.cli.common import TrustRemoteCode, print_table, quiet_libraries

Adapter = Annotated[str, typer.Argument(metavar="RUN|ADAPTER", help="Run directory, PEFT folder or embedded teacher.")]


def merge(
    source: Adapter,
    out: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    dtype: Annotated[
        str,
        typer.Option(
            metavar="auto|float32|bfloat16|float16",
            help="Type of the saved weights; auto is that of the base's files.",
        ),
    ] = "auto",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Merge an adapter into its base, as one folder that any engine loads, and check what that kept.

    Prints how far the merged model is from the adapter, and from the base; one that learnt nothing, or
    lost what it learnt, is an error.
    """
    from rich.console import Console

    from reasonmaxxer.config import ModelConfig
    from reasonmaxxer.recipe import parse_config
    from reasonmaxxer.share.merge import merge as merge_folder
    from reasonmaxxer.share.source import find_source
    from reasonmaxxer.work.progress import Display

    parse_config(ModelConfig, {"dtype": dtype}, "merge")
    quiet_libraries()
    found = merge_folder(find_source(source), out, dtype, Display(Console()), trust_remote_code)
    pairs = {
        "adapter, then merged": "adapter_to_merged",
        "base, then merged": "base_to_merged",
        "base, then adapter": "base_to_adapter",
    }
    rows = [
        (
            label,
            f"{found[key]['max_delta_logprob']:.3g}",
            f"{found[key]['mean_delta_logprob']:.3g}",
            f"{found[key]['greedy_agreement']:.2%}",
        )
        for label, key in pairs.items()
    ]
    print_table(("models", "max |Δ log p|", "mean |Δ log p|", "greedy agreement"), rows)
    typer.echo(
        f"On the {found['tokens']:,} tokens of {found['sequences']} completions, nats; saved in "
        f"{found['dtype']}: {out}"
    )


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.", show_default=False)],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="prompt-completion|unpaired-preference|preference",
            help="TRL's name: correct rollouts, labelled ones, or pairs of both kinds.",
        ),
    ] = "unpaired-preference",
) -> None:
    """Write a run's rollouts as a data set in a format of TRL, token ids beside the text.

    `rollouts.imported=FILE` reads the first two formats, made here or elsewhere.
    """
    from reasonmaxxer.share.formats import export as write_rows

    typer.echo(f"{write_rows(run, form, out):,} rows: {out}")
