"""Whole runs whose training is a baseline's, on a tiny model."""

import io

import embed_teacher
import pytest
import torch
from rich.console import Console

from reasonmaxxer.artifacts import file_hash, read_json, read_table
from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import load_model
from reasonmaxxer.models import teachers as teachers_module
from reasonmaxxer.models.teachers import describe_teacher
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.report.comparison import write_comparison
from reasonmaxxer.report.page import write_report
from reasonmaxxer.report.status import print_status, print_summary
from reasonmaxxer.work.evaluate import evaluate
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.status import read_status
from tests.tiny import tiny_recipe

pytest.importorskip("trl", reason="TRL needs Python 3.11")

ONLINE = ["problems", "training", "evaluation"]
OFFLINE = ["problems", "rollouts", "signal", "training", "evaluation"]


def as_baseline(recipe, method, **baseline):
    training = recipe.training.model_copy(
        update={
            "method": method, "batch_size": 12, "micro_batch_size": 6,
            "baseline": recipe.training.baseline.model_copy(update={"steps": 3, **baseline}),
        }
    )  # fmt: skip
    return recipe.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    recipe = tiny_recipe(tmp_path_factory.mktemp("recipe"))
    run(recipe, folder / "reasonmaxxer")
    run(as_baseline(recipe, "grpo"), folder / "grpo")
    run(as_baseline(recipe, "dpo", beta=0.1), folder / "dpo", reuse=folder / "reasonmaxxer")
    return recipe, folder


def stages(path):
    return [p.parent.name for p in sorted(path.glob("*/stage.json"))]


def test_only_the_stages_it_needs(runs):
    _, folder = runs
    assert stages(folder / "grpo") == sorted(ONLINE)
    assert stages(folder / "dpo") == sorted(OFFLINE)
    status = read_status(folder / "grpo")
    assert [s.stage for s in status.stages] == ONLINE
    summary = read_json(folder / "grpo" / "summary.json")
    assert summary["rollouts"] is summary["selection"] is summary["gate"] is None
    assert summary["training"]["method"] == "grpo"
    assert [s["stage"] for s in summary["cost"]["stages"]] == ONLINE
    assert not (folder / "grpo" / "report.html").exists()
    with pytest.raises(UserError, match="compare"):
        write_report(folder / "grpo")
    shown = io.StringIO()
    print_status(status, Console(file=shown, width=100))
    assert "reasonmaxxer compare" in shown.getvalue()


def test_its_cost_is_counted_step_by_step(runs):
    _, folder = runs
    counts = read_json(folder / "grpo" / "training" / "stage.json")["counts"]
    history = read_table(folder / "grpo" / "training" / "history.parquet").to_pylist()
    assert [c["step"] for c in counts["checkpoints"]] == [1, 2, 3]
    made = [round(12 * row["completion_length"]) for row in history]
    # sampled tokens once; those of mixed groups, six completions, with their prompts once more
    spent = [0, *(c["tokens"] for c in counts["checkpoints"])]
    for tokens, row, before, after in zip(made, history, spent, spent[1:], strict=False):
        mixed = 0 < row["reward"] < 1
        assert tokens + 6 * 5 * mixed <= after - before <= tokens + mixed * (tokens + 12 * 5)
    assert any(0 < row["reward"] < 1 for row in history)
    flops = [c["flops"] for c in counts["checkpoints"]]
    total = read_json(folder / "grpo" / "training" / "stage.json")["cost"]
    assert 0 < flops[0] < flops[1] < flops[2] < total["flops"]  # validation comes after


def test_what_is_reused_is_the_same_and_keeps_its_cost(runs):
    recipe, folder = runs
    one, other = folder / "reasonmaxxer", folder / "dpo"
    for table in ("problems/train", "rollouts/shard-00000", "signal/examples"):
        assert file_hash(one / f"{table}.parquet") == file_hash(other / f"{table}.parquet")
    for stage in ("rollouts", "signal"):
        assert read_json(one / stage / "stage.json") == read_json(other / stage / "stage.json")
    shard = "evaluation/base-sampled/shard-00000.parquet"
    assert file_hash(one / shard) == file_hash(other / shard)
    # done anew, it comes out the same
    run(as_baseline(recipe, "dpo", beta=0.1), folder / "alone")
    for path in other.rglob("*"):
        if path.suffix in (".parquet", ".safetensors"):
            assert file_hash(path) == file_hash(folder / "alone" / path.relative_to(other)), path


def test_more_samples_of_a_finished_run(runs, tmp_path, monkeypatch):
    recipe, folder = runs
    more = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"samples": 5})})
    trained = []
    monkeypatch.setattr("reasonmaxxer.work.methods.train_adapter", trained.append)
    run(more, tmp_path / "more", reuse=folder / "reasonmaxxer")
    assert not trained
    before, after = folder / "reasonmaxxer", tmp_path / "more"
    for kept in (
        "training/adapter/adapter_model.safetensors",
        "evaluation/base-greedy/shard-00000.parquet",
        "evaluation/adapted-greedy/shard-00000.parquet",
    ):
        assert file_hash(before / kept) == file_hash(after / kept)
    costs = [read_json(path / "training" / "stage.json")["cost"] for path in (before, after)]
    assert costs[0] == costs[1]
    for arm in ("base", "adapted"):
        shards = f"evaluation/{arm}-sampled/*.parquet"
        made = [
            [row for shard in path.glob(shards) for row in read_table(shard).to_pylist()] for path in (before, after)
        ]
        tests = len({row["problem_id"] for row in made[0]})
        assert [len(rows) for rows in made] == [recipe.evaluation.samples * tests, 5 * tests]
        # the first draws are the same draws
        texts = [{(r["problem_id"], r["rollout"]): r["text"] for r in rows} for rows in made]
        assert texts[0].items() <= texts[1].items()


def test_another_learning_rate_is_trained_anew(runs, tmp_path):
    recipe, folder = runs
    training = recipe.training.model_copy(update={"learning_rate": 3e-3})
    run(recipe.model_copy(update={"training": training}), tmp_path / "fast", reuse=folder / "reasonmaxxer")
    for name, same in (
        ("signal/examples.parquet", True),
        ("evaluation/base-greedy/shard-00000.parquet", True),
        ("training/adapter/adapter_model.safetensors", False),
    ):
        hashes = {file_hash(path / name) for path in (folder / "reasonmaxxer", tmp_path / "fast")}
        assert (len(hashes) == 1) is same, name


def test_what_differs_is_not_reused(runs, tmp_path):
    recipe, folder = runs
    hotter = recipe.model_copy(update={"rollouts": recipe.rollouts.model_copy(update={"temperature": 0.9})})
    run(as_baseline(hotter, "sft"), tmp_path / "sft", reuse=folder / "reasonmaxxer")
    shards = "rollouts/shard-00000.parquet"
    assert file_hash(tmp_path / "sft" / shards) != file_hash(folder / "reasonmaxxer" / shards)
    greedy = "evaluation/base-greedy/shard-00000.parquet"
    assert file_hash(tmp_path / "sft" / greedy) == file_hash(folder / "reasonmaxxer" / greedy)
    other = as_baseline(recipe, "sft").model_copy(update={"seed": 5})
    with pytest.raises(UserError, match="seed differ"):
        run(other, tmp_path / "seed", reuse=folder / "reasonmaxxer")
    with pytest.raises(UserError, match="not a run directory"):
        run(as_baseline(recipe, "sft"), tmp_path / "none", reuse=tmp_path)


def test_runs_compare(runs, tmp_path):
    _, folder = runs
    paths = [folder / name for name in ("reasonmaxxer", "grpo", "dpo")]
    found = write_comparison(paths, tmp_path)
    assert [arm["name"] for arm in found["arms"]] == ["base", "ReasonMaxxer", "GRPO", "DPO"]
    for arm, path in zip(found["arms"][1:], paths, strict=True):
        summary = read_json(path / "summary.json")
        assert arm["greedy"]["value"] == summary["adapted"]["greedy"]["pass@1"]["value"]
        for row in arm["pass_at"]:
            sampled = summary["adapted"]["sampled"][f"pass@{row['k']}"]["value"]
            assert row["value"] == pytest.approx(sampled)
    print_summary(read_json(paths[1] / "summary.json"), paths[1], Console(file=io.StringIO()))


def test_evaluations_of_the_base_stand_beside_the_runs(runs, tmp_path):
    recipe, folder = runs
    test = {"source": recipe.problems.test.source}

    def measured(name, **more):
        values = {"model": recipe.model.model_dump(), "verify": {"extraction": "last_number"}, "max_new_tokens": 5}
        config = parse_config(SuiteConfig, values | {"problems": [test], "temperature": 1.0, "top_p": 1.0} | more)
        evaluate(config, tmp_path / name)
        return tmp_path / name

    greedy = measured("greedy", temperature=0)
    voted = measured("voted", temperature=0.5, samples=4, ks=[1, 4])
    power = measured("power", temperature=0.25, power={"cuts": "uniform", "blocks": 2, "steps": 2})
    paths = [folder / "reasonmaxxer", greedy, folder / "grpo", voted, power]
    found = write_comparison(paths, tmp_path / "out")
    rows = {row["name"]: row for row in found["without_training"]}
    assert list(rows) == [
        "base, greedy", "greedy", "temperature 0.5, top-p 1, avg@4", "temperature 0.5, top-p 1, maj@4",
        "power sampling, uniform cuts, alpha 4", "ReasonMaxxer, greedy", "GRPO, greedy",
    ]  # fmt: skip
    again, first = rows["greedy"], rows["base, greedy"]
    assert again["accuracy"] == first["accuracy"] == {k: found["arms"][0]["greedy"][k] for k in first["accuracy"]}
    assert again["minus_base"]["value"] == again["minus_base"]["high"] == 0
    assert again["tokens"] == first["tokens"] and again["flops"] == pytest.approx(first["flops"], rel=0.1)
    drawn, won = rows["temperature 0.5, top-p 1, avg@4"], rows["temperature 0.5, top-p 1, maj@4"]
    (benchmark,) = read_json(voted / "summary.json")["benchmarks"]
    assert drawn["accuracy"]["value"] == benchmark["accuracy"]["value"]
    assert won["accuracy"]["value"] == benchmark["maj_at"][0]["value"]
    assert won["tokens"] == 4 * drawn["tokens"] == benchmark["mean_tokens"] * 4 and won["flops"] == 4 * drawn["flops"]
    ours = rows["ReasonMaxxer, greedy"]
    assert drawn["first_minus"]["value"] == pytest.approx(ours["accuracy"]["value"] - drawn["accuracy"]["value"])
    assert rows["power sampling, uniform cuts, alpha 4"]["tokens"] > 2 * first["tokens"]
    assert ours["folder"] is None and drawn["folder"] == str(voted)
    assert "temperature 0.5, top-p 1, maj@4" in (tmp_path / "out" / "comparison.html").read_text()
    assert "without_training" not in write_comparison(paths[:1], tmp_path / "alone")

    for name, more, said in (
        ("few", {"limit": 3}, "lacks some of the 5 test problems"),
        ("long", {"max_new_tokens": 6}, r"differ in max_new_tokens \(6 and 5\)"),
        ("adapted", {"adapter": str(folder / "grpo" / "training" / "adapter")}, "differ in model fingerprint"),
    ):
        with pytest.raises(UserError, match=said):
            write_comparison([folder / "reasonmaxxer", measured(name, **more)], tmp_path / "no")
    with pytest.raises(UserError, match="at least one run"):
        write_comparison([greedy], tmp_path / "no")


def test_a_run_becomes_a_teacher(runs, tmp_path, monkeypatch, capsys):
    recipe, folder = runs
    for module in (embed_teacher, teachers_module):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["embed", str(folder / "grpo"), "tiny-teacher"])
    embed_teacher.main()
    summary = read_json(folder / "grpo" / "summary.json")
    record = read_json(tmp_path / "tiny-teacher" / "teacher.json")
    assert record["accuracy"] == summary["adapted"]["greedy"]["pass@1"]["value"]
    assert [point["step"] for point in record["curve"]] == [1, 2, 3]
    assert (
        record["curve"][summary["training"]["steps"] - 1]["validation_accuracy"]
        == (summary["training"]["validation_accuracy"])
    )
    config = recipe.model.model_copy(update={"name": "tiny-teacher"})
    taught = load_model(config).model.state_dict()
    base = load_model(recipe.model).model.state_dict()
    own = recipe.model.model_copy(update={"name": str(folder / "grpo" / "training" / "adapter")})
    for name, weight in load_model(own).model.state_dict().items():
        change, rounded = weight - base[name], taught[name] - base[name]
        assert torch.allclose(rounded, change, atol=0.02 * float(change.abs().max() + 1e-9))
    assert any(not torch.equal(taught[name], base[name]) for name in base)
    assert describe_teacher(tmp_path / "tiny-teacher").endswith("on 5 word problems")
    unknown = config.model_copy(update={"name": "tiny-teacherr"})
    with pytest.raises(UserError, match="tiny-teacher"):
        load_model(unknown)
