"""Several rounds of rollouts and training on a tiny model: what each learns from, its cost, its end, its kills."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel, load_peft_weights
from transformers import AutoModelForCausalLM

from reasonmaxxer.artifacts import file_hash, read_json, read_table
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.arms import read_arms
from reasonmaxxer.method import gate, selection
from reasonmaxxer.method.pool import Group
from reasonmaxxer.problems import Problem
from reasonmaxxer.recipe import dump_config, parse_config
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work import model, training
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.rounds import round_problems
from tests.integration.test_engines import Silent
from tests.tiny import tiny_recipe


def in_rounds(folder, rounds, **sections):
    recipe = tiny_recipe(folder, **sections).model_dump(mode="json")
    recipe["rollouts"]["problems"] = 4
    return parse_config(Recipe, {**recipe, "rounds": rounds})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    made = {"checkpoints": 2, "learning_rate": 3e-3, "lr_scheduler_type": "constant_with_warmup"}
    return in_rounds(tmp_path_factory.mktemp("recipe"), 3, training=made)


@pytest.fixture(scope="module")
def patient():
    """Rounds that do not end early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "PATIENCE", 9)
        yield


@pytest.fixture(scope="module")
def done(recipe, patient, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "rounds"
    return out, run(recipe, out)


def test_steps_count_on_through_the_rounds(done):
    out, summary = done
    rounds = summary["training"]["rounds"]
    assert [r["round"] for r in rounds] == [1, 2, 3]
    history = read_table(out / "training" / "history.parquet").to_pylist()
    assert [row["step"] for row in history] == list(range(1, sum(r["steps"] for r in rounds) + 1))
    assert [row["round"] for row in history] == [r["round"] for r in rounds for _ in range(r["steps"])]
    assert summary["training"]["planned_steps"] == len(history)
    # constant after the one step of warm-up in the first round
    assert [row["learning_rate"] for row in history][1:] == [3e-3] * (len(history) - 1)
    tried = read_table(out / "training" / "validation.parquet").to_pylist()
    ends = np.cumsum([r["steps"] for r in rounds])
    assert {(row["round"], row["step"]) for row in tried} >= {(1, ends[0]), (2, ends[1]), (3, ends[2])}
    best = max(np.mean([t["correct"] for t in tried if t["step"] == step]) for step in {t["step"] for t in tried})
    assert summary["training"]["validation_accuracy"] == best
    assert max(r["validation_accuracy"] for r in rounds) == best


def test_a_round_samples_the_adapter_of_the_round_before(done, recipe):
    out, _ = done
    first, second = (read_rollouts(folder) for folder in (out / "rollouts", out / "training/round-2/rollouts"))
    assert len(first) == len(second) == 4 * 6  # four of the six problems, six rollouts each
    asked = [list(dict.fromkeys(r.problem_id for r in rollouts)) for rollouts in (first, second)]
    assert len({*asked[0], *asked[1]}) == 6  # the second round begins with the two that were left
    base = AutoModelForCausalLM.from_pretrained(recipe.model.name)
    model = PeftModel.from_pretrained(base, str(out / "training/round-1/adapter"))
    for rollout in second[:8]:
        ids = torch.tensor([rollout.prompt_ids + rollout.completion_ids])
        with torch.no_grad():
            logp_TV = model(ids).logits[0, len(rollout.prompt_ids) - 1 : -1].log_softmax(-1)
        logp_T = logp_TV.gather(-1, torch.tensor(rollout.completion_ids)[:, None])[:, 0]
        np.testing.assert_allclose(rollout.logprob, logp_T, rtol=1e-4, atol=1e-4)
    taught = read_table(out / "training/round-2/examples.parquet").to_pylist()
    assert {(e["problem_id"], e["rollout"]) for e in taught} <= {(r.problem_id, r.rollout) for r in second}


def test_problems_asked_twice_are_answered_anew(done):
    out, _ = done
    seeds = [
        {(r.problem_id, r.rollout): r.seed for r in read_rollouts(out / folder)}
        for folder in ("rollouts", "training/round-2/rollouts")
    ]
    both = seeds[0].keys() & seeds[1].keys()
    assert both and all(seeds[0][key] != seeds[1][key] for key in both)


def test_adapters_of_all_rounds_are_kept_and_the_best_is_chosen(done):
    out, summary = done
    adapters = [load_peft_weights(str(out / f"training/round-{number}/adapter")) for number in (1, 2, 3)]
    chosen = load_peft_weights(str(out / "training/adapter"))
    for one, other in ((0, 1), (1, 2)):
        assert any(not torch.equal(adapters[one][name], adapters[other][name]) for name in chosen)
    ends = np.cumsum([r["steps"] for r in summary["training"]["rounds"]])
    if summary["training"]["steps"] in ends:  # the chosen one is the last of its round
        number = int(np.searchsorted(ends, summary["training"]["steps"]))
        assert all(torch.equal(adapters[number][name], chosen[name]) for name in chosen)


def test_the_cost_of_a_checkpoint_is_that_of_rollouts_and_training(done, recipe):
    out, summary = done
    sampled = [sum(len(r.completion_ids) for r in read_rollouts(out / f"training/round-{n}/rollouts")) for n in (2, 3)]
    rounds = summary["training"]["rounds"]
    costs = {cost["step"]: cost for cost in summary["training"]["checkpoints"]}
    ends = [int(end) for end in np.cumsum([r["steps"] for r in rounds])]
    learnt = [r["tokens"] for r in rounds]
    assert [costs[end]["tokens"] for end in ends] == [
        learnt[0],
        learnt[0] + sampled[0] + learnt[1],
        sum(learnt) + sum(sampled),
    ]
    for one, other in itertools.pairwise(ends):
        assert 0 < costs[one]["flops"] < costs[other]["flops"] and costs[one]["seconds"] < costs[other]["seconds"]
    # what is left of the stage is the validation of all rounds
    stage = read_json(out / "training/stage.json")["cost"]
    spent = costs[ends[-1]]
    (arm,) = read_arms([out])[1:]
    assert arm.runs[0].validation.tokens == stage["tokens"] - spent["tokens"] > 0
    assert [point.step for point in arm.runs[0].curve] == sorted(costs)


def test_killed_in_its_rounds_it_ends_the_same(done, recipe, tmp_path):
    out, summary = done
    written, broken = tmp_path / "recipe.yaml", tmp_path / "broken"
    written.write_text(dump_config(recipe), encoding="utf-8")
    driver = Path(__file__).parent / "killed.py"
    for event, ending in (
        ("os.rename", "gate-0/validated.json"),
        ("os.rename", "round-2/rollouts/shard-00001.parquet"),
        ("open", "round-2/.examples.parquet.tmp"),
        ("os.rename", "round-2/checkpoint-2/cost.json"),
        ("os.rename", "round-2/history.json"),
        ("os.rename", "round-3/rollouts/shard-00000.parquet"),
        ("os.rename", "round-3/validated.json"),
    ):
        command = [sys.executable, str(driver), "run", str(written), str(broken), event, ending]
        killed = subprocess.run(command, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, (event, ending, killed.stderr)
    resumed = run(recipe, broken)
    assert tables(broken) == tables(out)
    for one, other in zip(resumed["training"]["checkpoints"], summary["training"]["checkpoints"], strict=True):
        assert (one["step"], one["tokens"]) == (other["step"], other["tokens"])
        assert one["flops"] == pytest.approx(other["flops"], rel=1e-12)


def tables(out):
    return {
        str(path.relative_to(out)): file_hash(path)
        for path in sorted(out.rglob("*"))
        if path.suffix in (".parquet", ".safetensors")
    }


def test_rounds_end_when_three_have_shown_nothing_better(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PATIENCE", 3)  # other tests here do not want to end
    # at this rate nothing changes
    recipe = in_rounds(tmp_path, 9, training={"learning_rate": 1e-12, "checkpoints": 1})
    summary = run(recipe, tmp_path / "out")
    rounds = summary["training"]["rounds"]
    accuracies = [r["validation_accuracy"] for r in rounds]
    assert len(set(accuracies)) == 1
    assert len(rounds) == 4


def test_rounds_end_when_no_problem_is_mixed_any_more(tmp_path, monkeypatch):
    plain = training.next_lesson

    def solved(*given):
        with monkeypatch.context() as patch:
            patch.setattr(Group, "mixed", property(lambda group: False))
            return plain(*given)

    monkeypatch.setattr(training, "next_lesson", solved)
    summary = run(in_rounds(tmp_path, 3, training={"checkpoints": 1}), tmp_path / "out")
    assert [r["round"] for r in summary["training"]["rounds"]] == [1]


def test_every_problem_is_asked_once_before_any_is_asked_again():
    problems = [Problem(id=str(n), domain="arithmetic", text=str(n), answer="1") for n in range(10)]
    rounds = [[p.id for p in round_problems(problems, 4, number, seed=3)] for number in (1, 2, 3, 4, 5)]
    assert all(len(set(asked)) == 4 for asked in rounds)
    asked = [name for names in rounds for name in names]
    assert sorted(asked) == sorted(2 * [p.id for p in problems])
    assert len(set(asked[:8])) == 8 and {p.id for p in problems} - set(asked[:8]) <= set(rounds[2])
    assert round_problems(problems, None, 2, 0) == round_problems(problems, 10, 2, 0) == problems
    assert round_problems(problems, 4, 1, 0) != round_problems(problems, 4, 1, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"method": "sft"}}, "'sft' has no rounds"),
        ({"rollouts": {"imported": "mine.jsonl", "temperature": 0}}, "set rollouts.temperature above 0"),
        ({"signal": {"gate": {"sweep": [0.5, 1.0]}}}, "choose a gate, or sweep with rounds at 1"),
    ],
)
def test_what_has_no_rounds_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        parse_config(Recipe, {"rounds": 2, **changes})


def test_the_page_tells_of_all_rounds(done):
    out, summary = done
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "72 rollouts in 3 rounds, the first of the base" in " ".join(page.split())
    for r in summary["training"]["rounds"]:
        assert f"<td>{r['sequences']}</td>" in page or f">{r['sequences']}<" in page


def test_what_an_engine_does_not_tell_the_adapter_that_sampled_says(recipe, patient, done, tmp_path, monkeypatch):
    log = []
    monkeypatch.setattr(model, "make_engine", lambda config, *rest: Silent(*rest, log=log))
    out, (told, _) = tmp_path / "silent", done
    summary = run(recipe.model_copy(update={"rounds": 2}), out)
    assert all(r.entropy is None for r in read_rollouts(out / "training/round-2/rollouts"))
    ours, theirs = (read_table(o / "training/round-2/examples.parquet").to_pylist() for o in (out, told))
    assert [e["completion_ids"] for e in ours] == [e["completion_ids"] for e in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one["logprob"], other["logprob"], rtol=1e-4, atol=1e-4)
    first = summary["training"]["rounds"][0]["steps"]
    after = log.index(f"checkpoint-{first}") + 1  # validated, then sampled by the last checkpoint
    assert log[after : after + 4] == ["closed", f"checkpoint-{first}", f"checkpoint-{first}", "closed"]


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ({"gate": {"kind": "threshold", "tau": 0.0}}, "lets no position through"),
        ({}, "no rollout differs from the others"),
    ],
)
def test_rounds_end_when_nothing_is_left_to_learn_from(signal, said, tmp_path, monkeypatch):
    plain = training.next_lesson

    def sure(*given):
        with monkeypatch.context() as patch:
            if signal:
                patch.setattr(gate, "_share_above", lambda *given: 0.0)
            else:
                patch.setattr(selection, "advantages", lambda rewards, *given: np.zeros(len(rewards)))
            return plain(*given)

    monkeypatch.setattr(training, "next_lesson", sure)
    warned = []
    monkeypatch.setattr(Display, "warn", lambda display, text: warned.append(text))
    summary = run(in_rounds(tmp_path, 3, signal=signal, training={"checkpoints": 1}), tmp_path / "out")
    assert [r["round"] for r in summary["training"]["rounds"]] == [1]
    assert any("round 2" in text and said in text for text in warned)


def test_shown_rollouts_of_the_base_have_the_decision_points_they_taught_with(done):
    out, summary = done
    # whichever round was chosen: its gate is that of other rollouts
    record = read_json(out / "training/stage.json")
    (first,) = read_json(out / "signal/stage.json")["counts"]["gates"]
    assert summary["training"]["rounds"][0]["gate"] == first != record["counts"]["gate"]
    taught = {(e["problem_id"], e["rollout"]): e for e in read_table(out / "signal/examples.parquet").to_pylist()}
    shown = [row for row in read_table(out / "inspection/tokens.parquet").to_pylist() if row["split"] == "train"]
    assert shown
    for row in shown:
        entropies = taught[row["problem_id"], row["rollout"]]["entropy"]
        assert row["decision"] == [e > first["tau"] for e in entropies]
    assert viewer_data(out)["gate"] == {"kind": "share", "tau": first["tau"]}


def test_after_imported_rollouts_the_adapter_is_sampled(tmp_path):
    recipe = tiny_recipe(tmp_path, training={"checkpoints": 1}).model_dump(mode="json")
    lines = [
        {"problem_id": f"p{number}", "completion": f"so {1 + answer}"} for number in range(6) for answer in range(3)
    ]
    (tmp_path / "made.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe |= {"rounds": 2, "rollouts": {**recipe["rollouts"], "imported": str(tmp_path / "made.jsonl")}}
    rounds = run(parse_config(Recipe, recipe), tmp_path / "out")["training"]["rounds"]
    assert [r["rollouts"]["rollouts"] for r in rounds] == [6 * 3, 6 * 6]
    assert {r.engine for r in read_rollouts(tmp_path / "out/training/round-2/rollouts")} == {"transformers"}


def test_the_model_card_counts_the_rounds(done):
    out, _ = done
    assert (
        "\n| rounds | 3, each of rollouts of the adapter as it stood |\n| sequences |"
        in (out / "hub/README.md").read_text()
    )
