"""The microscope's commands on a tiny pair: what they write, what they refuse, what survives."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.config import InterveneConfig, MicroscopeConfig, OverlapConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope import interventions, search
from reasonmaxxer.microscope.pair import open_pair
from reasonmaxxer.microscope.search import fewest_edits
from reasonmaxxer.problems import load_problems
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.report.intervene import words_of
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work import microscope
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.status import read_status
from tests.tiny import tiny_folder, tiny_problems

POLICIES = ("oracle", "oracle:first=1", "oracle:entropy=1", "random", "matched", "reverse-oracle")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base, and two adapters of it that change its mind here and there."""
    folder = tmp_path_factory.mktemp("models")
    base = tiny_folder(folder / "base")
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name:
                    parameter.normal_(0, 1.2)
        model.save_pretrained(folder / name)
        written = read_json(folder / name / "adapter_config.json")
        written["base_model_name_or_path"] = str(base)
        (folder / name / "adapter_config.json").write_text(json.dumps(written))
    tiny_problems(folder / "problems.jsonl", 12)
    return folder


def config(models, *tuned, **more):
    values = {
        "base": {"name": str(models / "base"), "device": "cpu"},
        "tuned": [str(models / name) for name in tuned],
        "problems": {"source": str(models / "problems.jsonl"), "limit": None},
        "verify": {"extraction": "last_number"},
        "max_new_tokens": 8,
        "batch_size": 5,
        "bootstrap": 200,
        **more,
    }
    kind = OverlapConfig if len(tuned) == 2 else InterveneConfig if "policies" in more else MicroscopeConfig
    return parse_config(kind, values, "test")


def test_diff_reads_the_bases_own_answers(models, tmp_path):
    out = tmp_path / "diff"
    found = microscope.diff(config(models, "a"), out, Display())
    assert found == read_json(out / "summary.json")
    assert found["schema"] == 1 and found["protocol"]["extraction"] == "last_number"
    answers = read_rollouts(out / "base-greedy")
    assert found["positions"] == sum(len(r.completion_ids) for r in answers)
    table = read_table(out / "positions" / "shard-00000.parquet")
    # the base's own greedy choice is what is there, at every position
    for ids, tops in zip(table["ids"].to_pylist(), table["base_top"].to_pylist(), strict=True):
        assert ids == [top[0] for top in tops]
    assert 0 < found["agreement"]["value"] < 1
    assert "diff.html" in {path.name for path in out.iterdir()}


def test_a_model_against_itself(models, tmp_path):
    found = microscope.diff(config(models, "base"), tmp_path / "diff", Display())
    assert found["agreement"]["value"] == 1
    assert found["mean_jsd"]["value"] == 0 and found["mean_kl_base_tuned"]["value"] == 0
    assert found["entropy_ratio"]["value"] is None


def test_diff_of_given_answers(models, tmp_path):
    given = tmp_path / "given.jsonl"
    given.write_text('{"problem_id": "p1", "completion": "so 1 2"}\n')
    found = microscope.diff(config(models, "a", text=str(given)), tmp_path / "diff", Display())
    assert (found["texts"], found["positions"]) == (1, 4)  # and the end of the sequence


def test_answers_that_are_no_file_are_refused_before_anything_is_made(models, tmp_path):
    with pytest.raises(UserError, match=r"text = 'nose' is no file of answers"):
        microscope.diff(config(models, "a", text="nose"), tmp_path / "diff", Display())
    assert not (tmp_path / "diff").exists()


def test_intervene_holds_what_it_says(models, tmp_path):
    out = tmp_path / "intervene"
    found = microscope.intervene(config(models, "a", policies=[*POLICIES, "fewest"]), out, Display())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["base", "tuned", *POLICIES]
    greedy = {arm: [r.completion_ids for r in read_rollouts(out / f"{arm}-greedy")] for arm in ("base", "tuned")}
    assert greedy["base"] != greedy["tuned"]
    for name, arm in (("oracle", "tuned"), ("reverse-oracle", "base")):
        made = [r.completion_ids for r in read_rollouts(out / "outputs" / name)]
        assert made == greedy[arm]
        assert rows[name]["identical_share"] == 1 and rows[name]["by_construction"]
        assert rows[name]["accuracy"]["value"] == rows[arm]["accuracy"]["value"]
    edits = read_table(out / "outputs" / "oracle" / "edits.parquet").to_pylist()
    assert len(edits) / 12 == pytest.approx(rows["oracle"]["edits_per_problem"])
    by_problem = {r.problem_id: r for r in read_rollouts(out / "outputs" / "oracle")}
    for edit in edits:
        made = by_problem[edit["problem_id"]].completion_ids
        assert made[edit["position"]] == edit["emitted_id"] != edit["host_id"]
    first = read_table(out / "outputs" / "oracle-first-1" / "edits.parquet")
    assert len(first) == len({edit["problem_id"] for edit in edits})
    words = words_of(found).texts("findings")
    assert any("identity" in sentence for sentence in words)
    searched = any("by search" in sentence for sentence in words)
    assert searched == (found["fewest"]["failed"] > 0)
    assert found["fewest"]["failed"] == sum(
        t.reward > b.reward for b, t in zip(*(read_rollouts(out / f"{a}-greedy") for a in greedy), strict=True)
    )


def test_what_was_edited_since_is_not_answered_by_what_is_kept(models, tmp_path):
    problems, answers = tiny_problems(tmp_path / "p.jsonl", 3), tmp_path / "given.jsonl"
    answers.write_text('{"problem_id": "p1", "completion": "so 1 2"}\n')
    source = {"source": str(problems), "limit": None}
    asked = config(models, "a", problems=source, text=str(answers))
    microscope.diff(asked, tmp_path / "diff", Display())
    answers.write_text('{"problem_id": "p1", "completion": "so 2 2"}\n')
    with pytest.raises(UserError, match=r"other results \(.*given\.jsonl was edited since"):
        microscope.diff(asked, tmp_path / "diff", Display())
    asked = config(models, "a", problems=source)
    asked_of = config(models, "a", "b", problems=source)
    microscope.overlap(asked_of, tmp_path / "o", Display())
    microscope.diff(asked, tmp_path / "base", Display())
    tiny_problems(problems, 3, 1)
    for work, of, out in ((microscope.diff, asked, "base"), (microscope.overlap, asked_of, "o")):
        with pytest.raises(UserError, match="begun with other problems"):
            work(of, tmp_path / out, Display())


def test_intervene_goes_on_with_more_policies(models, tmp_path, monkeypatch):
    monkeypatch.setattr(interventions, "PER_SHARD", 5)
    out = tmp_path / "intervene"
    microscope.intervene(config(models, "a", policies="oracle"), out, Display())
    kept = (out / "outputs" / "oracle" / "shard-00000.parquet").stat().st_mtime_ns
    (out / "summary.json").unlink()
    (out / "outputs").rename(out / ".outputs.partial")
    for name in ("stage.json", "oracle/shard-00001.parquet"):  # as a kill would leave it
        (out / ".outputs.partial" / name).unlink()
    microscope.intervene(config(models, "a", policies="oracle"), out, Display())
    found = microscope.intervene(config(models, "a", policies=["oracle", "second"]), out, Display())
    assert (out / "outputs" / "oracle" / "shard-00000.parquet").stat().st_mtime_ns == kept
    whole = tmp_path / "whole"
    again = microscope.intervene(config(models, "a", policies=["oracle", "second"]), whole, Display())
    costs = [
        {stage["stage"]: (stage["tokens"], f"{stage['flops']:.9e}") for stage in summary.pop("cost")["stages"]}
        for summary in (found, again)
    ]
    assert costs[0] == costs[1]  # what was there is counted once
    for row in (*found["rows"], *again["rows"]):
        row.pop("passes_per_token", None)  # it depends on what is decoded at the same time
    assert again == found


def test_policies_that_a_killed_command_left_unfinished_are_not_taken_for_whole(models, tmp_path, monkeypatch):
    monkeypatch.setattr(interventions, "PER_SHARD", 5)
    out, both = tmp_path / "intervene", ["oracle", "second"]
    whole = microscope.intervene(config(models, "a", policies=both), out, Display())
    (out / "summary.json").unlink()
    (out / "outputs").rename(out / ".outputs.partial")
    shutil.rmtree(out / "vocabulary")
    for name in ("stage.json", "second/shard-00001.parquet", "second/shard-00002.parquet"):
        (out / ".outputs.partial" / name).unlink()
    microscope.intervene(config(models, "a", policies="oracle"), out, Display())
    again = microscope.intervene(config(models, "a", policies=both), out, Display())
    assert [(r["name"], r["accuracy"]) for r in again["rows"]] == [(r["name"], r["accuracy"]) for r in whole["rows"]]


def test_outputs_whose_record_is_there_go_on_with_more_policies(models, tmp_path):
    out = tmp_path / "intervene"
    microscope.intervene(config(models, "a", policies="oracle"), out, Display())
    shutil.rmtree(out / "vocabulary")
    (out / "outputs").rename(out / ".outputs.partial")  # killed just before it took its name
    found = microscope.intervene(config(models, "a", policies=["oracle", "second"]), out, Display())
    assert [row["name"] for row in found["rows"]][-2:] == ["oracle", "second"]


def test_a_stage_that_was_deleted_is_made_again_and_found_done_then(models, tmp_path, monkeypatch):
    out, asked = tmp_path / "diff", config(models, "a")
    whole = microscope.diff(asked, out, Display())
    shutil.rmtree(out / "positions")
    again = microscope.diff(asked, out, Display())
    assert (out / "positions" / "stage.json").is_file()
    assert {**again, "cost": 0} == {**whole, "cost": 0}
    monkeypatch.setattr(microscope, "open_pair", None)
    assert microscope.diff(asked, out, Display()) == again


def test_the_search_can_be_asked_for_alone_and_left_out(models, tmp_path):
    out = tmp_path / "intervene"
    found = microscope.intervene(config(models, "a", policies="fewest"), out, Display())
    assert [row["name"] for row in found["rows"]] == ["base", "tuned"] and found["fewest"]
    assert not (out / "outputs").exists() and (out / "intervene.html").exists()
    again = microscope.intervene(config(models, "a", policies="oracle"), out, Display())
    assert again["fewest"] is None and again["rows"][-1]["name"] == "oracle"
    assert [stage["stage"] for stage in again["cost"]["stages"]].count("search") == 1  # it was paid for
    written = (out / "summary.json").stat().st_mtime_ns
    assert microscope.intervene(config(models, "a", policies="oracle"), out, Display()) == again
    assert (out / "summary.json").stat().st_mtime_ns == written  # the same command again finds all done


def test_intervene_takes_over_what_diff_answered_and_shows_where_it_is(models, tmp_path):
    there, out = tmp_path / "diff", tmp_path / "intervene"
    microscope.diff(config(models, "a"), there, Display())
    asked = config(models, "a", policies="oracle")
    found = microscope.intervene(asked, out, Display(), reuse=there)
    for stage in ("problems", "base-greedy"):
        assert (out / stage / "stage.json").read_bytes() == (there / stage / "stage.json").read_bytes()
    costs = {stage["stage"]: stage["tokens"] for stage in found["cost"]["stages"]}
    assert costs["base-greedy"] == sum(len(r.completion_ids) for r in read_rollouts(there / "base-greedy"))
    status = read_status(out)
    assert (status.command, status.state, status.model) == (
        "intervene",
        "done",
        ", ".join(str(models / name) for name in ("base", "a")),
    )
    assert {stage.state for stage in status.stages} == {"done"} and [s.stage for s in status.stages] == list(costs)
    assert {answers.name: answers.total for answers in status.sampled} == dict.fromkeys(
        ("base-greedy", "tuned-greedy", "outputs/oracle"), 12
    )
    other = config(models, "a", problems={"source": str(models / "problems.jsonl"), "limit": 3}, policies="oracle")
    with pytest.raises(UserError, match="can be reused: its problems differ"):
        microscope.intervene(other, tmp_path / "other", Display(), reuse=there)


def test_overlap_of_a_model_with_itself_and_with_another(models, tmp_path):
    same = microscope.overlap(config(models, "a", "a"), tmp_path / "same", Display())
    assert same["jaccard"]["value"] == 1 and same["same_token_share"]["value"] == 1
    assert same["jsd"]["a_b"]["value"] == 0
    found = microscope.overlap(config(models, "a", "b"), tmp_path / "other", Display())
    edits = found["edits"]
    assert 0 < edits["both"] < edits["a"] + edits["b"]
    either = edits["a"] + edits["b"] - edits["both"]
    assert found["jaccard"]["value"] == pytest.approx(edits["both"] / either)


def test_a_folder_belongs_to_one_comparison(models, tmp_path):
    out = tmp_path / "diff"
    microscope.diff(config(models, "a"), out, Display())
    with pytest.raises(UserError, match="max_new_tokens is 8 there and 9 here"):
        microscope.diff(config(models, "a", max_new_tokens=9), out, Display())
    with pytest.raises(UserError, match="those of `reasonmaxxer diff`"):
        microscope.overlap(config(models, "a", "b"), out, Display())
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="was not made by"):
        microscope.diff(config(models, "a"), tmp_path / "else", Display())


def test_other_tokenizers_and_vocabularies_are_refused_by_name(models, tmp_path):
    other = tiny_folder(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {
        {"so": "then"}.get(word, word): id for word, id in tokenizer["model"]["vocab"].items()
    }
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"different tokenizers.*'so' is 7 in one and None"):
        open_pair(config(models, "a").base, str(other))


def test_a_tuned_model_may_have_a_token_more_to_pad_with(models, tmp_path):
    shutil.copytree(models / "a", tmp_path / "a")
    tokenizer = AutoTokenizer.from_pretrained(models / "base")
    tokenizer.add_special_tokens({"pad_token": "<more>"})
    tokenizer.save_pretrained(tmp_path / "a")
    pair = open_pair(config(models, "a").base, str(tmp_path / "a"))
    assert pair.tuned.tokenizer.get_vocab()["<more>"] == 8
    assert pair.tuned.tokenizer.pad_token == "</s>"  # the model has eight tokens


def test_the_command_line(models, tmp_path):
    command = [
        sys.executable, "-m", "reasonmaxxer", "diff", models / "base", models / "a",
        f"problems={models / 'problems.jsonl'}", "--limit", "5", "max_new_tokens=6", "--out", tmp_path / "d",
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = read_json(tmp_path / "d" / "summary.json")
    assert summary["problems"] == 5 and summary["protocol"]["max_new_tokens"] == 6
    assert "diff.html" in done.stdout
    wrong = [*command[:4], "no/such/model", *command[5:]]
    refused = subprocess.run(list(map(str, wrong)), capture_output=True, text=True)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr


def greedy_answers(pair, model, asked, problems):
    """One model's greedy answers, graded."""
    engine = TransformersEngine(model, pair.eos_ids, asked.batch_size)
    style, seed = asked.prompt_style, asked.seed
    with Verifier(asked.verify, style) as verifier:
        sampler = Sampler(
            engine, verifier, pair.base.tokenizer, prompt_style=style, sampling=asked.greedy, per_problem=1, seed=seed
        )
        return sampler.sample(problems)


def greedy_end(model, prompt, begun, limit):
    """The base's own way on from some tokens, one whole forward a token."""
    made = list(begun)
    while len(made) < limit and made[-1:] != [2]:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt, *made]])).logits[0, -1]
        made.append(int(logits.argmax()))
    return made


def test_the_fewest_edits_are_those_that_trying_all_finds(models, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "AT_ONCE", 1)
    asked = config(models, "a")
    problems = load_problems(asked.problems, asked.seed, "problems")
    pair = open_pair(asked.base, str(models / "a"))
    answers = {arm: greedy_answers(pair, pair.loaded(arm).model, asked, problems) for arm in ("base", "tuned")}
    # whichever problems differ count as gained, so that there is something to search
    changed = [
        (problem, base, replace(tuned, outcome="correct"))
        for problem, base, tuned in zip(problems, *answers.values(), strict=True)
        if base.outcome != "correct"
    ]
    columns, folder = [list(column) for column in zip(*changed, strict=True)], tmp_path / "search"
    found = fewest_edits(pair, *columns, asked, folder)
    tried = {path: path.read_bytes() for path in folder.iterdir()}
    for name in ("tuned-3", "neither-2", "neither-3"):  # as a kill would leave it
        (folder / f"{name}.json").unlink()
    for trials in read_json(folder / "tuned-1.json").values():  # none behind the first right one
        assert all(trial["rollout"]["outcome"] != "correct" for trial in trials[:-1])
    kept = (folder / "tuned-2.json").stat().st_mtime_ns
    assert fewest_edits(pair, *columns, asked, folder) == found
    assert {path: path.read_bytes() for path in folder.iterdir()} == tried
    assert (folder / "tuned-2.json").stat().st_mtime_ns == kept
    assert found["failed"] == len(changed) > 2
    assert found["histogram"]["1"] > 0
    assert sum(found["histogram"].values()) == len(changed)
    base, tuned = pair.base.model, pair.tuned.model
    verifier = Verifier(asked.verify, asked.prompt_style)

    def right(problem, ids):
        text = pair.base.tokenizer.decode(ids, skip_special_tokens=True)
        return verifier.grade([(problem, text)])[0].outcome == "correct"

    def choice(model, prompt, begun):
        with torch.inference_mode():
            return int(model(input_ids=torch.tensor([[*prompt, *begun]])).logits[0, -1].argmax())

    def neither(prompt, begun, both):
        with torch.inference_mode():
            logits = base(input_ids=torch.tensor([[*prompt, *begun]])).logits[0, -1]
        return next(id for id in logits.argsort(descending=True).tolist() if id not in both)

    def single(problem, rollout, control=False):
        prompt, ids = rollout.prompt_ids, rollout.completion_ids
        for t in range(len(ids)):
            both = [choice(model, prompt, ids[:t]) for model in (base, tuned)]
            if both[0] != both[1]:
                token = neither(prompt, ids[:t], both) if control else both[1]
                yield right(problem, greedy_end(base, prompt, [*ids[:t], token], 8))

    by_luck = [any(single(problem, rollout, control=True)) for problem, rollout, _ in changed]
    assert 0 < sum(by_luck) == found["control"]["1"]
    assert sum(found["control"].values()) == len(changed)

    assert found["failed"] == len(changed)

    for row, (problem, rollout, _) in zip(found["problems"], changed, strict=True):
        assert (row["edits"] == 1) == any(single(problem, rollout))
        if row["edits"]:
            made = []
            for t, token in zip(row["positions"], row["to_ids"], strict=True):
                made = [*greedy_end(base, rollout.prompt_ids, made, t)[:t], token]
                assert choice(tuned, rollout.prompt_ids, made[:-1]) == token
            assert right(problem, greedy_end(base, rollout.prompt_ids, made, 8))
