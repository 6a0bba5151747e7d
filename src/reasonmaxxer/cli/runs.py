"""Commands that look: at a folder of results, at runs side by side, at what the package brings."""

from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer.cli.common import print_table

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]


def show(run: RunFolder) -> None:
    """Show the state of a run, finished, at work or stopped."""
    from rich.console import Console

    from reasonmaxxer.work import pages

    pages.show(run, Console())


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run or of another command.")],
) -> None:
    """Draw the page of a finished run or another command again, for example of one copied from a server."""
    from reasonmaxxer.work import pages

    typer.echo(pages.draw(folder))


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs of one model; costs are held to the first. And folders of evaluate, of its base.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/comparison"),
) -> None:
    """Compare runs: accuracy, pass@k and measured cost, as HTML, Markdown, LaTeX and JSON.

    Runs that differ only in their seed make one arm. Folders of evaluate show what the base scores without training.
    """
    from rich.console import Console

    from reasonmaxxer.work import pages

    pages.compare(runs, out, Console())


def models() -> None:
    """List the models that need no hub."""
    from reasonmaxxer.models.embedded import EMBEDDED, is_cached, resolve_embedded
    from reasonmaxxer.models.teachers import describe_teacher, teachers

    rows, lines = [], []
    for name, model in EMBEDDED.items():
        here = is_cached(name)
        where = "cached" if here else "fetched on first use"
        rows.append((name, f"{model.bytes / 1e6:,.0f}", model.licence, where))
        found = resolve_embedded(name) if here else None
        lines += [f"{name}: {model.hub_id}, {model.description}", f"  from {found.source if found else model.sources}"]
        lines += [f"  in {found.path}"] if found else []
    for name, path in teachers().items():
        size = sum(file.stat().st_size for file in path.iterdir())
        rows.append((name, f"{size / 1e6:,.0f}", "Apache-2.0", "in the package"))
        lines.append(f"{name}: {describe_teacher(path)}")
    print_table(("name", "MB", "licence", "where"), rows)
    typer.echo("\n".join(lines))  # outside the table, which breaks long words
    typer.echo("Any other causal language model: model.name=HUB_ID or model.name=FOLDER")


def recipes() -> None:
    """List the shipped recipes."""
    from reasonmaxxer.recipe import RECIPES

    rows = []
    for path in sorted(RECIPES.glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        rows.append((path.stem, first.removeprefix("# "), f"reasonmaxxer run {path.stem}"))
    print_table(("name", "what it does", "command"), rows)
