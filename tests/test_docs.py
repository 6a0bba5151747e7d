"""The documentation names only what exists: commands, options, recipe keys, functions, files, pages."""

import ast
import pkgutil
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import typer
import yaml

from reasonmaxxer.cli import app, commands
from reasonmaxxer.config import GATE_KNOBS, AdvantageName, EngineConfig, GateKind, ObjectiveName, Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.gate import KINDS
from reasonmaxxer.microscope.policies import POLICIES
from reasonmaxxer.problems import load_splits
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.recipe import CONFIGS, keys_of, load_config, load_recipe
from reasonmaxxer.rollouts.engines import ENGINES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "examples" / "own_verifier"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

COMMANDS = typer.main.get_command(app).commands
KEYS = {command: set(keys_of(kind)) for command, kind in CONFIGS.items()}
ENTRIES = {"cost.stages", "cost.total"}  # of summary.json, called as a key might be
FILES = (".parquet", ".py", ".md", ".yaml", ".jsonl", ".json")

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?<![\w.-])reasonmaxxer +([a-z-]+)([^\n|;&)]*)")
KEY = re.compile(rf"(?<![\w./-])(?:{'|'.join(Recipe.model_fields)})(?:\.[a-z_]+)+(?![\w/(.])")

each_page = pytest.mark.parametrize(
    "text, page",
    [pytest.param(path.read_text(encoding="utf-8"), path, id=path.relative_to(ROOT).as_posix()) for path in PAGES],
)


def blocks(text, *languages):
    return [code for _, language, code in FENCE.findall(text) if language in languages]


def shell(text):
    """What a reader might type: blocks of shell, one command a line, and what stands in backticks."""
    typed = [re.sub(r"\\\n\s*", " ", code) for code in blocks(text, "bash", "")]
    return typed + [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]


def words_of(line):
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that holds what the pattern takes for the command's end
        return line.split()


def is_key(key, command="run"):
    """Whether a command's config has this key or section; the options of a task are the task's own."""
    return key in KEYS.get(command, ()) or key.rpartition(".")[0].endswith(".options")


def read(command, words):
    """What a command would do first: its options and its config are read, code that it names is not run."""
    context = COMMANDS[command].make_context(command, list(words))
    arguments = context.params.get("arguments") or []
    if command in commands.COMMANDS:
        commands.read_config(commands.COMMANDS[command], arguments, context.params["limit"], allow_code=True)
    elif command in CONFIGS:
        name, overrides, _ = commands.sort_arguments(arguments, recipes=command == "plan")
        load_config(CONFIGS[command], name, overrides)


def described(name):
    """The module, or what a module has by this name; None where there is nothing."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return None


@each_page
def test_commands_options_and_overrides_exist(text, page):
    unknown = []
    for name, rest in (found for code in shell(text) for found in COMMAND.findall(code)):
        if name not in COMMANDS:
            unknown.append(name)
            continue
        words = words_of(rest)
        known = {"--help", *(o for parameter in COMMANDS[name].params for o in parameter.opts)}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        keys = re.findall(r"^([a-z_.]+)=", "\n".join(words), re.MULTILINE)
        unknown += [f"{name} {option}" for option in options - known]
        unknown += [f"{name} {key}=" for key in keys if not is_key(key, name)]
    assert unknown == []


def typed(text, folder):
    """Commands of a page's blocks of shell as words, expanded by a shell in which nothing else can be run."""
    script = "\n".join(
        (
            "PATH=/nowhere",
            "reasonmaxxer() { printf '%s\\037' \"$@\"; printf '\\036'; }",
            "command_not_found_handle() {",
            '  while [ $# -gt 0 ] && [ "$1" != reasonmaxxer ]; do shift; done; [ $# -eq 0 ] || "$@"; }',
            *(code.replace(".venv/bin/", "") for code in blocks(text, "bash")),
        )
    )
    done = subprocess.run([shutil.which("bash"), "-c", script], cwd=folder, capture_output=True, text=True, timeout=20)
    commands = [line.split("\037")[:-1] for line in done.stdout.split("\036")[:-1]]
    return [["default" if word == "RECIPE" else word for word in command] for command in commands if command[0]]


@each_page
def test_commands_are_read(text, page, tmp_path, monkeypatch):
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    commands, wrong = typed(text, tmp_path), []
    for command in commands:
        for file in (Path(word) for word in command if word.endswith(".yaml") and not Path(word).exists()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}")
        try:
            read(command[0], command[1:])
        except Exception as error:
            wrong.append(f"{' '.join(command)}: {error}")
    assert wrong == []
    assert len(commands) >= len([line for code in blocks(text, "bash") for line in COMMAND.findall(code)])


@each_page
def test_recipe_keys_exist(text, page):
    named = {key for code in shell(text) for key in KEY.findall(code)} - ENTRIES
    assert [key for key in named if not key.endswith(FILES) and not is_key(key)] == []


@each_page
def test_recipes_in_blocks_are_valid(text, page, tmp_path):
    wrong = []
    for code in blocks(text, "yaml"):
        if yaml.safe_load(code).keys() & Recipe.model_fields.keys():
            recipe = tmp_path / f"{page.stem}.yaml"
            recipe.write_text(code, encoding="utf-8")
            try:
                load_recipe(str(recipe), allow_code=True)
            except UserError as error:
                wrong.append(str(error))
    assert wrong == []


@each_page
def test_python_blocks_import_what_exists(text, page):
    imported = [
        f"{node.module}.{name.name}"
        for code in blocks(text, "python")
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("reasonmaxxer")
        for name in node.names
    ]
    assert [name for name in imported if described(name) is None] == []


@each_page
def test_what_the_reference_describes_exists(text, page):
    for name, options in re.findall(r"^::: (\S+)\n((?:    .*\n)*)", text, re.MULTILINE):
        found = described(name)
        assert found is not None, name
        members = (yaml.safe_load(options) or {}).get("options", {}).get("members", [])
        assert [member for member in members if not hasattr(found, member)] == []


@pytest.mark.parametrize(
    "page, names",
    [
        ("gate.md", KINDS),
        ("objectives.md", get_args(ObjectiveName) + get_args(AdvantageName)),
        ("evaluation.md", CATALOGUE),
        ("microscope.md", POLICIES),
    ],
)
def test_what_is_chosen_by_name_has_a_row(page, names):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [name for name in names if not re.search(rf"^\| `{re.escape(name)}[`:]", text, re.MULTILINE)] == []


def test_every_name_of_a_config_has_its_row_in_the_code():
    assert set(KINDS) == set(GATE_KNOBS) == set(get_args(GateKind))
    assert set(ENGINES) == set(get_args(EngineConfig.model_fields["name"].annotation))


@each_page
def test_relative_links_and_images_resolve(text, page):
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", FENCE.sub("", text))
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


def test_every_page_of_the_site_is_in_its_navigation_once():
    def leaves(entries):
        for value in (value for entry in entries for value in entry.values()):
            yield from [value] if isinstance(value, str) else leaves(value)

    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(leaves(nav)) == sorted(there)


def test_example_of_a_verifier_is_its_file_and_grades_as_the_page_says():
    page = (DOCS / "own_problems.md").read_text(encoding="utf-8")
    code = (EXAMPLE / "grading.py").read_text(encoding="utf-8")
    assert code in blocks(page, "python")
    names = {}
    exec(code, names)
    same_day, answer, metadata = names["same_day"], "2023-02-22", {"year": 2023}
    right = ("February 22nd", "22 February 2023", "2023-02-22", "delivered on the 22nd of February.")
    wrong = ("February 22, or rather February 23", "22 February 2022", "30 February", "2023-02-2")
    assert [same_day(text, answer, metadata) for text in right] == [True] * len(right)
    assert [same_day(text, answer, metadata) for text in wrong] == [False] * len(wrong)
    assert same_day("in 22 days", answer, metadata) is None


def test_example_recipe_is_valid_and_its_draws_share_no_problem(monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(str(EXAMPLE / "recipe.yaml"))
    splits = load_splits(recipe.problems, recipe.seed)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [40, 20, 40]
