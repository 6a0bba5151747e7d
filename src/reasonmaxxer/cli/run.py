"""Commands of the main job: run a recipe or a baseline, watch it, draw it, compare it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer.cli.common import Arguments, TrustRemoteCode, hush, print_table, split_arguments

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]
Out = Annotated[Path | None, typer.Option(help="Run directory.", show_default="runs/RECIPE")]
Reuse = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="A run whose results are taken over where the same would be done again."),
]
PrintRecipe = Annotated[bool, typer.Option("--print-recipe", help="Show the resolved recipe and stop.")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Let the recipe run code outside its folder.")]


def run(
    arguments: Arguments = None,
    out: Out = None,
    reuse: Reuse = None,
    print_recipe: PrintRecipe = False,
    allow_code: AllowCode = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train a language model on its own rollouts and measure what it gained.

    A run that was interrupted goes on where it was when the same command is given again.
    """
    _run(arguments or [], None, out, reuse, print_recipe, allow_code, trust_remote_code)


def baseline(
    method: Annotated[str, typer.Argument(metavar="grpo|rloo|sft|dpo|kto", help="What trains.")],
    arguments: Arguments = None,
    out: Out = None,
    reuse: Reuse = None,
    print_recipe: PrintRecipe = False,
    allow_code: AllowCode = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Run a recipe with another method in the place of ReasonMaxxer's training.

    Problems, prompts, verifier, adapter, evaluation and meter stay the recipe's. An interrupted run goes
    on where it was when the same command is given again.
    """
    _run(arguments or [], method, out, reuse, print_recipe, allow_code, trust_remote_code)


def _run(
    arguments: list[str],
    method: str | None,
    out: Path | None,
    reuse: Path | None,
    print_recipe: bool,
    allow_code: bool,
    trust_remote_code: bool,
) -> None:
    from reasonmaxxer.recipe import dump_recipe, load_recipe

    name, overrides = split_arguments(arguments)
    recipe = load_recipe(name, overrides, method, allow_code=allow_code or print_recipe)
    if print_recipe:
        typer.echo(dump_recipe(recipe), nl=False)
        return
    suffix = f"-{recipe.hash()[:8]}" if overrides else ""
    stem = Path(name).stem if method is None else f"{Path(name).stem}-{method}"
    out = out or Path("runs") / f"{stem}{suffix}"

    from rich.console import Console

    from reasonmaxxer.method.processes import is_first
    from reasonmaxxer.report.status import print_summary
    from reasonmaxxer.work.join import join
    from reasonmaxxer.work.main_job import run as run_pipeline
    from reasonmaxxer.work.progress import Display

    hush()
    if not is_first():
        join(recipe, out, trust_remote_code=trust_remote_code)
        return
    console = Console()
    summary = run_pipeline(recipe, out, display=Display(console), reuse=reuse, trust_remote_code=trust_remote_code)
    print_summary(summary, out, console)


def show(run: RunFolder) -> None:
    """Show the state of a run, finished, at work or stopped."""
    from rich.console import Console

    from reasonmaxxer.report.status import print_status
    from reasonmaxxer.work.status import read_status

    print_status(read_status(run), Console())


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run or of another command.")],
) -> None:
    """Draw the page of a finished run or another command again, for example of one copied from a server."""
    from reasonmaxxer.report.page import write_report

    typer.echo(write_report(folder))


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished runs of one model; costs are held to the first.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/comparison"),
) -> None:
    """Compare runs: accuracy, pass@k and measured cost, as HTML, Markdown, LaTeX and JSON.

    Runs that differ only in their seed make one arm.
    """
    from rich.console import Console

    from reasonmaxxer.report.comparison import content, write_comparison
    from reasonmaxxer.report.render import print_content

    found = write_comparison(runs, out)
    names = {"Page": "html", "Tables": "md", "LaTeX": "tex", "Figures": "json"}
    print_content(content(found), Console(), {label: out / f"comparison.{ending}" for label, ending in names.items()})


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
        lines += [f"{name}: {model.description}", f"  from {found.source if found else model.sources}"]
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


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    for command in (run, baseline, show, report, compare, models, recipes):
        app.command()(command)
