"""Recipes: defaults, overrides, and errors that name the key."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from reference import reference

from reasonmaxxer.config import (
    DistillationConfig,
    GateConfig,
    InterveneConfig,
    MicroscopeConfig,
    OverlapConfig,
    Recipe,
    ShapeConfig,
    SourceConfig,
    SuiteConfig,
    VerifyConfig,
)
from reasonmaxxer.errors import UserError
from reasonmaxxer.recipe import CONFIGS, dump_config, load_config, load_recipe, parse_config


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_shipped_default_changes_two_keys():
    changed = {"learning_rate": 1e-3, "negative_floor": 0.05}
    training = Recipe().training.model_copy(update=changed)
    assert load_recipe() == Recipe().model_copy(update={"training": training})


def test_partial_section_keeps_the_rest(tmp_path):
    recipe = load_recipe(write(tmp_path, "problems:\n  test:\n    limit: 7\n"))
    defaults = Recipe().problems
    assert recipe.problems.test == defaults.test.model_copy(update={"limit": 7})
    assert (recipe.problems.test.split, recipe.problems.test.seed) == ("test", 0)
    assert recipe.problems.train == defaults.train


def test_a_recipe_that_extends_another_says_what_differs(tmp_path):
    above = write(tmp_path, "seed: 4\nrollouts: {temperature: 0.5, top_p: 0.8}\n")
    own = tmp_path / "own.yaml"
    own.write_text(f"extends: {above}\nrollouts: {{temperature: 0.9}}\n", encoding="utf-8")
    recipe = load_recipe(str(own), ("seed=5",))
    assert (recipe.seed, recipe.rollouts.temperature, recipe.rollouts.top_p) == (5, 0.9, 0.8)
    assert load_recipe(write(tmp_path, "extends: default\n")) == load_recipe("default")


def test_a_recipe_that_extends_itself_or_nothing_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {path}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml' extends itself"):
        load_recipe(str(path))
    with pytest.raises(UserError, match=r"No recipe 'papre'.*Did you mean 'paper'"):
        load_recipe(write(tmp_path, "extends: papre\n"))


def test_overrides_win_over_the_file_and_the_last_one_wins(tmp_path):
    path = write(tmp_path, "seed: 4\nrollouts: {temperature: 0.5}\n")
    recipe = load_recipe(path, ("rollouts.temperature=0.7", "seed=5", "seed=6"))
    assert (recipe.seed, recipe.rollouts.temperature) == (6, 0.7)


@pytest.mark.parametrize(
    "override, value", [("signal.gate.sweep=[0.4, 0.8]", (0.4, 0.8)), ("signal.gate.sweep=[]", ())]
)
def test_override_values_are_yaml(override, value):
    assert load_recipe("default", (override,)).signal.gate.sweep == value


def test_null_override_takes_the_limit_away():
    assert load_recipe("default", ("problems.train.limit=null",)).problems.train.limit is None


def test_dumped_recipe_reads_back_equal(tmp_path):
    recipe = load_recipe("default", ("seed=9", "signal.gate.sweep=[0.4, 0.8]", "cost.price=local"))
    assert load_recipe(write(tmp_path, dump_config(recipe))) == recipe


@pytest.mark.parametrize(
    "values, words",
    [
        ({"rollout": {}}, ["unknown key 'rollout'", "Did you mean 'rollouts'?"]),
        ({"signal": {"gate": {"tua": 1}}}, ["'signal.gate.tua'", "Did you mean 'signal.gate.tau'?"]),
        ({"temperature": 1}, ["'temperature'", "Did you mean 'rollouts.temperature'?"]),
        ({"seed": "zero"}, ["'seed' = 'zero'", "valid integer"]),
        ({"seed": -1}, ["'seed' = -1"]),
        ({"rollouts": {"top_p": 0}}, ["'rollouts.top_p' = 0", "greater than 0"]),
        ({"signal": {"trim_longest": 1}}, ["'signal.trim_longest' = 1", "less than 1"]),
        ({"signal": {"gate": {"share": 1.5}}}, ["'signal.gate.share' = 1.5"]),
        ({"signal": {"gate": {"kind": "topk"}}}, ["'signal.gate.kind' = 'topk'", "'threshold'"]),
        ({"signal": {"gate": {"kind": "treshold"}}}, ["Did you mean 'threshold'?"]),
        ({"signal": {"gate": {"kind": "all", "sweep": [1]}}}, ["sweep has nothing to vary"]),
        ({"signal": {"gate": {"kind": "share", "sweep": [2]}}}, ["between 0 and 1"]),
        ({"training": {"batch_size": 6, "micro_batch_size": 4}}, ["6 is not a multiple of", "4"]),
        ({"evaluation": {"samples": 3}}, ["pass@4 needs at least that many samples, not 3"]),
        ({"evaluation": {"temperature": 0, "samples": 8}}, ["at temperature 0 all 8 samples", "set samples to 0"]),
        ({"rollouts": {"temperature": 0}}, ["all rollouts of a problem are the same", "above 0"]),
        ({"training": {"adapter": {"rank": 10**7}}}, ["adapter.rank' = 10000000", "to 16384"]),
        ({"model": {"name": ""}}, ["'model.name' = ''", "at least 1 character"]),
        ({"rollouts": None}, ["'rollouts' = None: it is a section"]),
        ({"rollouts": 5}, ["'rollouts' = 5: it is a section", "{temperature: VALUE, ...}", "top_p"]),
        ({"problems": {"train": [1]}}, ["'problems.train' = [1]: it is a section", "{source: VALUE, ...}"]),
        ({"problems": {"train": {"where": 5}}}, ["'problems.train.where' = 5: it must be {KEY: VALUE, ...}"]),
    ],
)
def test_faults_name_the_key_the_value_and_the_remedy(values, words):
    with pytest.raises(UserError) as error:
        parse_config(Recipe, values, where="mine.yaml")
    message = str(error.value)
    assert message.startswith("mine.yaml: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("ray", [{}, {"workers": 2}])
def test_vllm_samples_no_weights_of_four_bits(ray):
    model, engine = {"quantization": "4bit"}, {"name": "vllm", "ray": ray}
    for parse in (
        lambda: parse_config(Recipe, {"model": model, "rollouts": {"engine": engine}}),
        lambda: parse_config(SuiteConfig, {"model": model, "engine": engine, "problems": [{}]}, "e"),
    ):
        with pytest.raises(UserError, match=r"^\w+: model\.quantization '4bit' .*to transformers"):
            parse()
    parse_config(Recipe, {"model": model, "rollouts": {"engine": {"ray": ray}}})


def test_samples_without_any_k_are_averaged_alone():
    assert load_recipe("default", ("evaluation.samples=3", "evaluation.ks=[]")).evaluation.ks == ()


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"training": {"batch_size": 6, "micro_batch_size": 4}},
            "mine.yaml: training: batch_size 6 is not a multiple of micro_batch_size 4.",
        ),
        (
            {"training": {"method": "grpo"}, "rollouts": {"rollouts_per_problem": 3}},
            "mine.yaml: training.batch_size 8 with training.method 'grpo' must hold whole groups: it is no "
            "multiple of rollouts.rollouts_per_problem 3, which is 2 or more.",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_named_without_the_rest_of_their_section(values, message):
    with pytest.raises(UserError) as error:
        parse_config(Recipe, values, where="mine.yaml")
    assert str(error.value) == message


def test_all_faults_come_at_once():
    with pytest.raises(UserError) as error:
        parse_config(Recipe, {"seed": "x", "training": {"epochs": 0}, "modle": {}})
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "text, words",
    [
        ("seed: [1", "not valid YAML"),
        ("seed: 1\nseed: 2", "not valid YAML.*'seed' twice"),
        ("- seed\n", "must be a mapping of sections, not a list"),
        (f"seed: {'1' * 5000}", "not valid YAML.*Exceeds the limit"),
        ("seed: 2026-13-45", "not valid YAML.*month must be"),
        ("seed: " + "[" * 5000, "not valid YAML.*maximum recursion"),
        ("model: &a {name: *a}", "more than 100,000 values"),
        ("a: [&a [1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], " + "[*b,*b,*b]," * 9999 + "]", "more than"),
        ('model: {name: "\\ud800"}', "surrogates not allowed"),
        (b"# caf\xe9\nseed: 1", "not valid YAML, in UTF-8: .*#x00e9"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    "override, words",
    [
        ("=3", "not of the form"),
        ("seed.x=1", "'seed' is a value, not a section"),
        ("seed=[1", "not valid YAML"),
        ("seed=" + "1" * 5000, "not valid YAML"),
    ],
)
def test_overrides_that_make_no_sense(tmp_path, override, words):
    with pytest.raises(UserError, match=words):
        load_recipe(write(tmp_path, "seed: 1\n"), (override,))


ELSEWHERE = [
    ("verify", {"function": "elsewhere/grading.py:grade"}, "verify.function"),
    ("rollouts", {"engine": {"vllm": {"python": "elsewhere/python"}}}, "rollouts.engine.vllm.python"),
    ("rollouts", {"engine": {"ray": {"address": "host:6379"}}}, "rollouts.engine.ray.address"),
]


@pytest.mark.parametrize("section, values, key", ELSEWHERE)
def test_a_recipe_runs_nothing_of_elsewhere_unless_that_is_allowed(tmp_path, monkeypatch, section, values, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for name in ("grading.py", "python"):
        (tmp_path / "elsewhere" / name).touch()
    text = yaml.safe_dump({section: values})
    with pytest.raises(UserError, match=rf"^mine.yaml: {key} = '.*' would run, .*--allow-code"):
        load_recipe(Path(write(tmp_path, text)).name, ("seed=1",))
    load_recipe("mine.yaml", allow_code=True)
    load_recipe("mine.yaml", (f"{section}={json.dumps(values)}",))
    load_recipe("mine.yaml", (f"{key}=typed-here",))


def test_a_baseline_of_a_recipe_without_a_section_of_training_is_refused(tmp_path):
    with pytest.raises(UserError, match="'training' = 3"):
        load_recipe(write(tmp_path, "training: 3\n"), baseline="sft")


def test_a_list_of_refused_members_is_not_called_empty():
    with pytest.raises(UserError) as error:
        parse_config(DistillationConfig, {"shapes": ["qkvo", "o:8"]})
    assert (
        str(error.value) == "config: shapes.0: 'qkvo' is not of the form MODULES:RANK, such as qkvo:32 or lm_head:8."
    )
    with pytest.raises(UserError, match=r"'shapes' = \[\]"):
        parse_config(DistillationConfig, {"shapes": []})


def test_the_name_of_an_engine_allows_none_of_its_other_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "rollouts: {engine: {vllm: {python: elsewhere/python}}}")
    with pytest.raises(UserError, match=r"rollouts.engine.vllm.python = 'elsewhere/python' would run"):
        load_recipe("mine.yaml", ("rollouts.engine=vllm",))


def test_code_in_a_recipes_folder_may_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "grading.py").touch()
    write(tmp_path, "verify: {function: 'below/../grading.py:grade'}")
    assert load_recipe("mine.yaml").verify.function
    (tmp_path / "below" / "other.yaml").write_text("extends: mine.yaml")
    with pytest.raises(UserError, match="would run"):  # not beside the recipe that is run
        load_recipe("below/other.yaml")
    (tmp_path / "link").symlink_to("/usr/lib")
    write(tmp_path, "verify: {function: 'link/../grading.py:grade'}")  # of another folder
    with pytest.raises(UserError, match="would run"):
        load_recipe("mine.yaml")


def test_configs_are_immutable_and_hash_by_value():
    recipe = Recipe()
    with pytest.raises(ValueError):
        recipe.seed = 1
    assert recipe.hash() == parse_config(Recipe, {}).hash()
    assert recipe.hash() != parse_config(Recipe, {"seed": 1}).hash()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_a_sweep_is_one_gate_a_value(values):
    gates = GateConfig(kind="share", sweep=tuple(values)).candidates()
    assert [g.share for g in gates] == values
    assert all(g.sweep == () and g.kind == "share" for g in gates)


def test_no_sweep_is_the_gate_itself():
    gate = GateConfig(tau=1.3)
    assert gate.candidates() == (gate,)
    assert [g.tau for g in GateConfig(sweep=(1.2, 1.4)).candidates()] == [1.2, 1.4]


def test_reference_in_the_docs_is_current():
    docs = Path(__file__).parents[1] / "docs" / "recipe.md"
    current = docs.read_text(encoding="utf-8") == reference()
    assert current, "write it again: python docs/reference.py > docs/recipe.md"


def test_reference_documents_every_leaf():
    leaves = []

    def walk(value, prefix=""):
        for key, below in value.items():
            path = prefix + key
            if isinstance(below, dict) and below:
                walk(below, path + ".")
            else:
                leaves.append(path)

    walk(yaml.safe_load(dump_config(Recipe())))
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows][: len(leaves)] == leaves
    assert all(row.rstrip(" |").rpartition("|")[2].strip() not in ("", "None") for row in rows)


def test_a_string_stands_for_a_section_wherever_it_comes_from(tmp_path):
    above = write(tmp_path, "base: {name: a, device: cpu}\nproblems: {source: gsm8k, limit: 9}\n")
    own = tmp_path / "own.yaml"
    own.write_text(f"extends: {above}\nbase: b\ntuned: c\n", encoding="utf-8")
    config = load_config(MicroscopeConfig, str(own), ("problems=math500", "problems.seed=3"))
    assert (config.base.name, config.base.device, config.tuned) == ("b", "cpu", ("c",))
    assert config.problems == SourceConfig(source="math500", split="test", limit=9, seed=3)
    assert load_recipe("default", ("rollouts.engine=vllm",)).rollouts.engine.name == "vllm"
    with pytest.raises(UserError, match="'verify' = 'boxed'"):  # it is short for nothing
        load_config(MicroscopeConfig, None, ("verify=boxed",))


def test_an_override_of_a_string_keeps_the_rest_in_either_order():
    for overrides in (("problems=gsm8k", "problems.limit=7"), ("problems.limit=7", "problems=gsm8k")):
        problems = load_config(MicroscopeConfig, None, overrides).problems
        assert (problems.source, problems.split, problems.limit, problems.seed) == ("gsm8k", "test", 7, 0)


def test_a_single_value_stands_for_a_list_of_one():
    overrides = ("ks=1", 'stop="\\n"', "problems=[gsm8k, {source: mine.jsonl, split: dev, where: {level: 3}}]")
    config = load_config(SuiteConfig, None, overrides)
    assert (config.ks, config.stop) == ((1,), ("\n",))
    assert [(source.source, source.split) for source in config.problems] == [("gsm8k", "test"), ("mine.jsonl", "dev")]
    assert config.problems[1].where == {"level": (3,)}
    assert [s.source for s in load_config(SuiteConfig, None, ("problems=gsm8k",)).problems] == ["gsm8k"]
    shapes = load_config(DistillationConfig, None, ("shapes=o:8",)).shapes
    assert shapes == (ShapeConfig(modules=("o_proj",), rank=8),)


@pytest.mark.parametrize("kind", list(dict.fromkeys(CONFIGS.values())))
def test_every_config_reads_back_equal(tmp_path, kind):
    config = kind()
    assert load_config(kind, write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize(
    "kind, overrides, words",
    [
        (SuiteConfig, ["problems=[{source: a, splt: b}]"], "'problems.0.splt'. Did you mean 'problems.0.split'"),
        (SuiteConfig, ["suite=paper", "problems=a"], "suite and problems exclude each other"),
        (SuiteConfig, ["suite=nosuch"], "'suite' = 'nosuch': it must be 'paper'"),
        (SuiteConfig, ["problems=5"], "'problems.0' = 5: it is a section"),
        (SuiteConfig, ["engine=vlm"], "'engine.name' = 'vlm'"),
        (MicroscopeConfig, ["tuned=[a, b]"], "tuned must name 1, not 2: a, b"),
        (OverlapConfig, ["tuned=a"], "tuned must name 2, not 1: a"),
        (InterveneConfig, ["text=tuned"], "'text' = 'tuned'"),
        (MicroscopeConfig, ["policies=oracle"], "unknown key 'policies'"),
        (InterveneConfig, ["policies=orakel"], "policies.0: there is no policy 'orakel' ('orakel'). Did you mean"),
        (InterveneConfig, ["policies=[fewest, 'oracle:frist=2']"], "policies.1: 'oracle' has no budget 'frist'"),
        (InterveneConfig, ["policies=oracle:first=x"], "a whole number from 0"),
        (InterveneConfig, ["policies=oracle:first=1.5"], "a whole number from 0"),
        (InterveneConfig, ["policies=reverse-oracle:share=2"], "a number from 0 to 1"),
        (InterveneConfig, ["policies=gated:tau=nan"], "a number from 0"),
        (InterveneConfig, ["policies=gated:first=1"], "Budgets of it: tau"),
        (InterveneConfig, ["policies=oracle:reranked=3"], "'reranked' takes no value"),
        (DistillationConfig, ["batch_size=6", "micro_batch_size=4"], "6 is not a multiple of micro_batch_size 4"),
    ],
)
def test_faults_of_the_other_commands(kind, overrides, words):
    with pytest.raises(UserError) as error:
        load_config(kind, None, overrides, where="c")
    assert str(error.value).startswith("c: ") and words in str(error.value)


def test_models_that_nobody_named_are_asked_for(tmp_path):
    with pytest.raises(UserError, match="diff: no tuned is named"):
        load_config(MicroscopeConfig, None, ("base=a",), required=("base", "tuned"), where="diff")
    load_config(MicroscopeConfig, write(tmp_path, "base: a\ntuned: b\n"), (), required=("base", "tuned"))


def test_other_commands_run_nothing_of_elsewhere_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "grading.py").touch()
    write(tmp_path, "verify: {function: 'elsewhere/grading.py:grade'}")
    for kind in (SuiteConfig, InterveneConfig, DistillationConfig):
        with pytest.raises(UserError, match=r"^mine.yaml: verify.function = '.*' would run, .*--allow-code"):
            load_config(kind, "mine.yaml")
        load_config(kind, "mine.yaml", allow_code=True)
    write(tmp_path, "engine: {vllm: {python: elsewhere/grading.py}}")
    with pytest.raises(UserError, match=r"engine.vllm.python = "):
        load_config(SuiteConfig, "mine.yaml")


def test_a_folder_is_not_of_the_fields_that_may_change():
    one, two = (InterveneConfig(policies=policies, seed=1) for policies in ("oracle", "random"))
    assert one.identity() == two.identity() != InterveneConfig(seed=2).identity()
    assert "policies" not in one.identity() and one.identity()["verify"] == VerifyConfig().model_dump(mode="json")
    assert SuiteConfig(against="a").identity() == SuiteConfig().identity()
