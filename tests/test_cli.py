"""The command line as a user meets it: in a process of its own."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from reasonmaxxer.cli.commands import COMMANDS, read_config
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import EMBEDDED
from reasonmaxxer.recipe import dump_config, load_recipe
from reasonmaxxer.work.workspace import Workspace
from tests.tiny import tiny_recipe


def reasonmaxxer(*arguments, **options):
    command = [sys.executable, "-m", "reasonmaxxer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    path = folder / "tiny.yaml"
    path.write_text(dump_config(tiny_recipe(folder)), encoding="utf-8")
    return path


def test_a_home_folder_that_the_shell_left_is_found(tmp_path):
    done = reasonmaxxer("show", "~/none", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 2 and str(tmp_path / "none") in done.stderr.replace("\n", "")
    (tmp_path / "rows.jsonl").write_text('{"gold": "1", "prediction": "1"}\n')
    done = reasonmaxxer("grade", "~/rows.jsonl", "--out=~/graded.jsonl", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0 and (tmp_path / "graded.jsonl").is_file()


def test_help_imports_nothing_slow():
    code = (
        "import sys; sys.argv = ['reasonmaxxer', '--help']\n"
        "from reasonmaxxer.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "slow = {'torch', 'transformers', 'pyarrow', 'numpy', 'datasets', 'pydantic', 'peft',\n"
        "        'matplotlib', 'jinja2'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    for command in ("run", "plan", "show", "report", "models", "recipes"):
        assert command in done.stdout


def test_print_config_shows_everything_resolved():
    done = reasonmaxxer("run", "seed=3", "signal.gate.kind=share", "--print-config")
    shown = yaml.safe_load(done.stdout)
    expected = Recipe().model_dump(mode="json")
    expected["seed"] = 3
    expected["signal"]["gate"]["kind"] = "share"
    expected["training"] |= {"learning_rate": 1e-3, "negative_floor": 0.05}  # the shipped recipe's
    assert shown == expected


@pytest.mark.parametrize(
    "command, arguments, values, folder",
    [
        ("diff", ["a", "b"], {"base": "a", "tuned": ("b",)}, "diff-a-b"),
        ("intervene", ["a", "x/b", "policies=[oracle:first=2,random]"], {"tuned": ("x/b",)}, "intervene-a-b"),
        ("overlap", ["a", "b", "runs/tau=1/c"], {"base": "a", "tuned": ("b", "runs/tau=1/c")}, "overlap-a-b-c"),
        ("distill", ["a", "seed=1", "b"], {"base": "a", "teacher": "b", "seed": 1}, "distill-a-b"),
        ("evaluate", ["a", "adapter=x/b"], {"model": "a", "adapter": "x/b"}, "evaluate-a-b"),
        ("diff", ["mine.yaml"], {"base": "c", "tuned": ("d",), "seed": 3}, "diff-c-d"),
        ("diff", ["mine.yaml", "a"], {"base": "a", "tuned": ("d",), "seed": 3}, "diff-a-d"),
        ("evaluate", ["null"], {"model": "null"}, "evaluate-null"),
    ],
)
def test_arguments_are_told_apart(tmp_path, monkeypatch, command, arguments, values, folder):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("base: c\ntuned: d\nseed: 3\n", encoding="utf-8")
    config, out = read_config(COMMANDS[command], arguments)
    found = {key: getattr(config, key) for key in values}
    assert {key: getattr(value, "name", value) for key, value in found.items()} == values
    assert out == Path("runs") / folder


def test_the_folder_of_a_run_says_what_it_is_of():
    assert read_config(COMMANDS["run"], [])[1] == Path("runs/default")
    assert read_config(COMMANDS["baseline"], ["sft", "gsm8k"])[1] == Path("runs/gsm8k-sft")
    recipe, out = read_config(COMMANDS["run"], ["seed=1"])
    assert out == Path(f"runs/default-{recipe.hash()[:8]}")


@pytest.mark.parametrize(
    "command, keys",
    [
        ("run", ["problems.train.limit", "problems.validation.limit", "problems.test.limit"]),
        ("diff", ["problems.limit"]),
        ("evaluate", ["limit"]),
        ("distill", ["train.limit", "test.limit"]),
    ],
)
def test_limit_is_short_for_keys(command, keys):
    arguments = ["a", "b"][: len(COMMANDS[command].models)]
    values = read_config(COMMANDS[command], arguments, limit=3)[0].model_dump()
    assert [value_at(values, key) for key in keys] == [3] * len(keys)


def value_at(values, key):
    return functools.reduce(lambda section, part: section[part], key.split("."), values)


@pytest.mark.parametrize(
    "command, arguments, sentence",
    [
        ("diff", ["a", "b", "c"], "'c' is neither a model of `reasonmaxxer diff BASE TUNED`, nor a config"),
        ("diff", ["a"], "no tuned is named"),
        ("diff", ["a.yaml", "b.yml"], "'b.yml' is neither a second recipe nor a key"),
        ("diff", ["none.yaml"], "There is no file none.yaml"),
        ("run", ["none.yaml"], "There is no file none.yaml"),
        ("baseline", [], "Which method?"),
        ("baseline", ["gpro"], "Did you mean 'grpo'?"),
        ("baseline", ["none.yaml", "grpo"], "No baseline 'none.yaml'"),
    ],
)
def test_arguments_that_make_no_sense(command, arguments, sentence):
    with pytest.raises(UserError) as error:
        read_config(COMMANDS[command], arguments)
    assert sentence in str(error.value)


def test_plan_predicts_without_running_anything(tmp_path):
    written = tmp_path / "plan.json"
    arguments = ("qwen2.5-1.5b", "rollouts.batch_size=512", "--device", "h100", "--mean-tokens", 600)
    done = reasonmaxxer("plan", *arguments, "--json", written, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Does not fit: rollouts: set rollouts.batch_size=" in done.stdout
    figures = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert figures["total"]["tokens"] > 4_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_models_and_recipes_are_listed():
    listed = reasonmaxxer("models", env={**os.environ, "COLUMNS": "80"}).stdout
    for name, model in EMBEDDED.items():
        assert any(name in line and model.licence in line for line in listed.splitlines())
        assert model.hub_id in listed
    assert "default" in reasonmaxxer("recipes").stdout


def test_paths_and_names_are_not_cut_in_a_narrow_terminal(tmp_path):
    cache = tmp_path / "a-folder-of-some-length" / "[and] another" / ("x" * 60)
    made = cache / "models" / "smollm2"
    made.mkdir(parents=True)
    (made / "source.json").write_text('{"source": "hub x@y"}')
    narrow = {**os.environ, "COLUMNS": "60", "REASONMAXXER_CACHE": str(cache)}
    shown = reasonmaxxer("models", env=narrow).stdout
    assert {"  from hub x@y", f"  in {made}"} <= set(shown.splitlines())
    assert "…" not in shown


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["rollouts.temprature=1"], "Did you mean 'rollouts.temperature'?"),
        (["rollouts.temperature=hot"], "'rollouts.temperature' = 'hot'"),
        (["defualt"], "Did you mean 'default'?"),
        (["default", "other"], "'other' is neither a second recipe nor a key"),
        (["evaluation.samples=2", "evaluation.ks=[8]"], "pass@8 needs at least that many samples"),
        (["cost.price=h100", "--out", "{tmp}/a"], "Did you mean 'h100-sxm'?"),
        (["model.name=smolm2", "--out", "{tmp}/b"], "Did you mean 'smollm2'?"),
        (["model.device=cuda:77", "--out", "{tmp}/c"], "model.device = 'cuda:77' is not available"),
        (["problems.train.source=none.jsonl", "--out", "{tmp}/d"], "none.jsonl"),
    ],
)
def test_the_users_errors_are_one_sentence_and_status_2(tmp_path, arguments, sentence):
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = reasonmaxxer("run", *(a.format(tmp=tmp_path) for a in arguments), env=offline)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_unknown_option_is_status_2():
    done = reasonmaxxer("run", "--outt", "x")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_wrong_column_names(tmp_path, recipe_file):
    (tmp_path / "mine.jsonl").write_text('{"quastion": "1 + 1?", "answer": "2"}\n')
    done = reasonmaxxer("run", recipe_file, f"problems.train.source={tmp_path}/mine.jsonl", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "quastion" in done.stderr and "text_column" in done.stderr


def test_run_prints_figures_and_where_they_are(tmp_path, recipe_file):
    done = reasonmaxxer("run", recipe_file, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    for words in ("greedy pass@1", "gained", "training", "report.html", "summary.json", "Next:"):
        assert words in done.stdout
    assert (tmp_path / "out" / "training" / "adapter" / "adapter_config.json").is_file()
    page = tmp_path / "out" / "report.html"
    page.unlink()
    assert reasonmaxxer("report", tmp_path / "out").stdout.strip() == str(page)
    assert page.is_file()
    shown = reasonmaxxer("show", tmp_path / "out").stdout
    assert "finished" in shown and "greedy pass@1" in shown


@pytest.mark.parametrize("command", ["show", "report"])
def test_a_folder_that_is_no_run_is_one_sentence(tmp_path, command):
    done = reasonmaxxer(command, tmp_path)
    assert done.returncode == 2 and "not a run directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "full", [".problems.partial/.train.parquet.tmp", ".training.partial/scratch/gate-0/checkpoint-2/optimizer.pt"]
)
def test_full_disk_is_one_sentence(tmp_path, recipe_file, full):
    out = tmp_path / "out"
    Workspace(out, "run", load_recipe(str(recipe_file)))
    (out / full).parent.mkdir(parents=True)
    (out / full).symlink_to("/dev/full")
    done = reasonmaxxer("run", recipe_file, "--out", out)
    assert done.returncode == 1
    assert "The disk is full" in done.stderr and "Traceback" not in done.stderr


def test_interrupt_says_how_to_go_on(tmp_path, recipe_file):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "reasonmaxxer", "run", str(recipe_file), "--out", str(out)]
    # many rollouts, so that there is time to interrupt them
    process = subprocess.Popen(
        [*command, "rollouts.rollouts_per_problem=600"],
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (out / ".rollouts.partial").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Give the same command again" in stderr and "Traceback" not in stderr


def test_two_processes_do_not_share_a_folder(tmp_path, recipe_file):
    directory = Workspace(tmp_path / "out", "run", load_recipe(str(recipe_file)))
    with directory.lock():
        done = reasonmaxxer("run", recipe_file, "--out", tmp_path / "out")
    assert done.returncode == 2 and "in use by another process" in done.stderr


def test_a_launcher_of_several_processes_is_refused_where_one_does_the_work():
    done = reasonmaxxer("recipes", env={**os.environ, "WORLD_SIZE": "2"})
    assert done.returncode == 2 and "recipes works in one process, not 2" in done.stderr
