"""`evaluate` on a tiny model: what it writes, what it says of it, what it refuses, what survives."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.cli import app
from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR, SUITES
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.work.evaluate import evaluate
from reasonmaxxer.work.progress import Display
from tests.tiny import tiny_folder

PAPER = SUITES["paper"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model") / "Qwen2.5-1.5B")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with twelve problems of each benchmark, a third of each answer."""
    folder = tmp_path_factory.mktemp("data")
    for name in PAPER:
        rows = [
            {"id": f"{name}/{n}", "problem": f"{n} so {1 + n % 3}", "answer": str(1 + n % 3)}
            | ({"level": 1 + n // 8, "subject": "ab"[n % 2]} if name == "math500" else {})
            for n in range(12)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{CATALOGUE[name].file}.jsonl").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def data_folder(data, monkeypatch):
    monkeypatch.setenv(DATA_DIR, str(data))


def config(model, *sources, **more):
    values = {
        "model": {"name": str(model), "device": "cpu", "dtype": "float32"},
        "problems": [{"source": source} for source in sources],
        "temperature": 1.0,
        "max_new_tokens": 6,
        "verify": {"extraction": "last_number"},
        "batch_size": 16,
        "bootstrap": 300,
        **more,
    }
    return parse_config(SuiteConfig, values, "test")


@pytest.fixture(scope="module")
def measured(model, data, tmp_path_factory):
    """The whole suite, once."""
    out = tmp_path_factory.mktemp("measured") / "e"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_DIR, str(data))
        return out, evaluate(config(model, *PAPER), out, Display())


def test_every_number_is_that_of_the_completions(measured):
    out, found = measured
    assert found == read_json(out / "summary.json")
    assert [b["name"] for b in found["benchmarks"]] == list(PAPER)
    for benchmark in found["benchmarks"]:
        rollouts = read_rollouts(out / benchmark["name"] / "rollouts")
        samples = 8 if benchmark["name"] in ("aime24", "aime25", "amc23") else 1
        assert len(rollouts) == 12 * samples == sum(benchmark["outcomes"].values())
        right = [rollout.outcome == "correct" for rollout in rollouts]
        assert benchmark["accuracy"]["value"] == pytest.approx(np.mean(right))
        assert benchmark["accuracy"]["n"] == 12 == benchmark["problems"]
        assert benchmark["outcomes"].get("correct", 0) == sum(right)
        cut = np.mean([rollout.finish_reason == "length" for rollout in rollouts])
        assert benchmark["truncated_share"] == pytest.approx(cut)
        assert benchmark["protocol"]["metric"] == ("pass@1" if samples == 1 else "avg@8")
    assert any(0 < b["accuracy"]["value"] < 1 for b in found["benchmarks"])


def test_the_average_is_over_the_six_of_the_paper(measured):
    found = measured[1]
    six = [b["accuracy"]["value"] for b in found["benchmarks"] if b["name"] != "aime25"]
    assert found["average"]["value"] == pytest.approx(np.mean(six))
    assert found["average"]["low"] < found["average"]["value"] < found["average"]["high"]
    assert found["average"]["n"] == 72


def test_parts_are_means_of_their_problems(measured):
    out, found = measured
    benchmark = next(b for b in found["benchmarks"] if b["name"] == "math500")
    assert [b["name"] for b in found["benchmarks"] if b["by"]] == ["math500"]
    problems = read_table(out / "math500" / "problems.parquet").to_pylist()
    right = {r.problem_id: r.reward for r in read_rollouts(out / "math500" / "rollouts")}
    for key, parts in benchmark["by"].items():
        for part in parts:
            ids = [p["id"] for p in problems if str(json.loads(p["metadata"])[key]) == part["name"]]
            assert part["n"] == len(ids)
            assert part["value"] == pytest.approx(np.mean([right[id] for id in ids]))
    assert [part["n"] for part in benchmark["by"]["level"]] == [8, 4]


def test_published_rows_of_the_same_base_stand_beside(measured):
    out, found = measured
    assert [row["method"] for row in found["published"]] == [
        "base", "SimpleRL-Zoo (GRPO)", "Open-Reasoner-Zero (PPO)", "ReasonMaxxer", "base", "SimpleRL-Zoo (GRPO)"
    ]  # fmt: skip
    table = (out / "results.md").read_text()
    assert "published: base" in table and "Published: Qwen2.5-1.5B" in table and "0.298" in table
    page = (out / "report.html").read_text()
    assert "Hollow: published" in page and "Not whole benchmarks: GSM8K 12 of 1,319" in page


def test_the_protocol_says_how_it_was_measured(measured):
    protocol = {b["name"]: b["protocol"] for b in measured[1]["benchmarks"]}["aime24"]
    assert protocol["data"] == {"source": "aime24", "file": "aime24.jsonl"}
    same = {b["protocol"]["problems_hash"] for b in measured[1]["benchmarks"]}
    assert len(same) == 1  # texts and answers are the same here, ids are not
    assert protocol["engine"].startswith("transformers ") and protocol["dtype"] == "float32"
    expected = {"samples": 8, "temperature": 1.0, "top_p": 0.95, "max_new_tokens": 6, "seed": 0,
                "prompt_style": "chat_template", "extraction": "last_number"}  # fmt: skip
    assert expected.items() <= protocol.items()


def test_a_verifier_of_ones_own_grades_and_is_in_the_protocol(model, tmp_path):
    grader = tmp_path / "grading.py"
    grader.write_text("def even(completion, answer, metadata):\n    return int(answer) % 2 == 0\n")
    rows = [{"problem": f"{n} words", "answer": str(n)} for n in range(3)]
    file = tmp_path / "words.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["evaluate", str(model), f"problems={file}", f"verify.function={grader}:even"]
    command += ["model.device=cpu", "max_new_tokens=2", "--out", str(tmp_path / "e")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    [benchmark] = read_json(tmp_path / "e" / "summary.json")["benchmarks"]
    assert benchmark["outcomes"] == {"correct": 2, "wrong": 1}
    assert benchmark["protocol"]["extraction"] == f"{grader}:even"


def test_what_was_killed_goes_on_to_the_same_end(measured, model, tmp_path):
    whole, out = measured[0], tmp_path / "e"
    one = config(model, "math500", "aime24", rollouts_per_shard=24)
    found = evaluate(one, out, Display())
    timed = {".lock", "stage.json", "summary.json", "report.html"}
    bytes_of = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name not in timed}
    kept = (out / "aime24" / "rollouts" / "shard-00000.parquet").stat().st_mtime_ns
    for name in ("summary.json", "report.html"):
        (out / name).unlink()
    (out / "aime24").rename(out / ".aime24.partial")
    for name in ("stage.json", "rollouts/shard-00002.parquet"):  # as a kill would leave it
        (out / ".aime24.partial" / name).unlink()
    again = evaluate(one, out, Display())
    assert {**again, "cost": None} == {**found, "cost": None}
    assert {p: p.read_bytes() for p in bytes_of} == bytes_of
    assert (out / "aime24" / "rollouts" / "shard-00000.parquet").stat().st_mtime_ns == kept
    # how completions are cut into shards is nothing that a score depends on
    scores = {b["name"]: b["accuracy"] for b in read_json(whole / "summary.json")["benchmarks"]}
    assert [b["accuracy"] for b in found["benchmarks"]] == [scores["math500"], scores["aime24"]]


def test_an_engine_that_has_nothing_left_to_do_is_still_named(model, tmp_path, monkeypatch):
    class Late(TransformersEngine):
        """Knows its version once it has worked, as one in another process does."""

        def __init__(self, config, loaded, eos_ids, batch_size):
            super().__init__(loaded.model, eos_ids, batch_size)
            self.name, self.version = "late", ""

        def generate(self, *arguments):
            self.version = "2"
            return super().generate(*arguments)

    monkeypatch.setattr("reasonmaxxer.work.model.make_engine", Late)
    one, out = config(model, "aime25", samples=1), tmp_path / "e"
    found = evaluate(one, out, Display())
    (out / "summary.json").unlink()
    assert evaluate(one, out, Display()) == found
    assert found["benchmarks"][0]["protocol"]["engine"] == "late 2"


def test_a_finished_one_needs_no_model(model, tmp_path, monkeypatch):
    one = config(model, "aime25", samples=1)
    found = evaluate(one, tmp_path / "e", Display())
    (tmp_path / "e" / "report.html").unlink()
    monkeypatch.setattr("reasonmaxxer.work.evaluate.load_model", None)
    assert evaluate(one, tmp_path / "e", Display()) == found
    assert (tmp_path / "e" / "report.html").is_file()


def test_a_limit_keeps_the_shares_of_the_levels(model, tmp_path):
    found = evaluate(config(model, "math500", "aime24", limit=6), tmp_path / "e", Display())
    maths, aime = found["benchmarks"]
    assert [part["n"] for part in maths["by"]["level"]] == [4, 2]
    assert (maths["problems"], aime["problems"]) == (6, 6)
    assert found["average"] is None


def test_other_sources_and_pass_at_k(model, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"question": "1 so 1", "answer": "1"}\n{"question": "2 so 2", "answer": "2"}\n')
    sources = [{"source": str(mine)}, {"source": "word-problems", "split": "test"}]
    asked = config(model, problems=sources, limit=2, samples=4, ks=[1, 2, 4])
    found = evaluate(asked, tmp_path / "e", Display())
    assert [b["name"] for b in found["benchmarks"]] == ["mine", "word-problems"]
    for benchmark in found["benchmarks"]:
        one, _, four = benchmark["pass_at"]
        groups = {}
        for rollout in read_rollouts(tmp_path / "e" / benchmark["name"] / "rollouts"):
            groups.setdefault(rollout.problem_id, []).append(rollout.reward)
        assert one["value"] == pytest.approx(benchmark["accuracy"]["value"])
        assert four["value"] == np.mean([max(rewards) for rewards in groups.values()])
        assert [row["k"] for row in benchmark["maj_at"]] == [2, 4]
    assert found["benchmarks"][1]["protocol"]["data"] == {"source": "word-problems", "split": "test"}
    assert found["published"] == []  # of none of these problems


def test_power_sampling_is_measured_at_the_cost_of_all_its_proposals(model, tmp_path):
    asked = {"temperature": 0.25, "top_p": 1, "samples": 2, "limit": 4}
    power = {"cuts": "gate", "tau": 0.1, "blocks": 2, "steps": 3}
    cost = {}
    for name, more in (("power", {"power": power}), ("plain", {})):
        found = evaluate(config(model, "aime24", **asked, **more), tmp_path / name, Display())
        (benchmark,) = found["benchmarks"]
        assert benchmark["protocol"].get("power") == more.get("power")
        assert sum(benchmark["outcomes"].values()) == 8
        cost[name] = read_json(tmp_path / name / "aime24" / "stage.json")["cost"]
    made = read_rollouts(tmp_path / "power" / "aime24" / "rollouts")
    kept = sum(len(r.completion_ids) for r in made)
    assert cost["power"]["tokens"] > 2 * kept and cost["power"]["flops"] > cost["plain"]["flops"]
    assert all(json.loads(r.engine_settings)["power"] == power for r in made)
    assert "alpha = 4.0, cuts gate above 0.1 nats, 3 proposals" in (tmp_path / "power" / "results.md").read_text()
    with pytest.raises(UserError, match="power is"):
        evaluate(config(model, "aime24", **asked, against=str(tmp_path / "power")), tmp_path / "other", Display())


@pytest.mark.parametrize(
    "more", [{"temperature": 0}, {"temperature": 1}, {"top_p": 0.9}, {"stop": ["so"]}, {"engine": "vllm"}]
)
def test_power_sampling_refuses_what_it_cannot_be_exact_with(model, more):
    with pytest.raises(UserError, match=r"power\.cuts 'uniform' "):
        config(model, "aime24", **{"temperature": 0.25, "top_p": 1, "power": "uniform"} | more)


def test_greedy_is_one_sample(model, tmp_path):
    found = evaluate(config(model, "aime24", temperature=0), tmp_path / "e", Display())
    (benchmark,) = found["benchmarks"]
    assert benchmark["protocol"]["metric"] == "greedy pass@1"
    assert sum(benchmark["outcomes"].values()) == 12


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "tuned"
    torch.manual_seed(0)
    shape = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(model), shape)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 1.2)
    wrapped.save_pretrained(folder)
    return folder


def test_an_adapter_stands_beside_its_base(measured, model, adapter, tmp_path):
    with_it = config(model, "math500", adapter=str(adapter))
    found = evaluate(with_it, tmp_path / "a", Display())
    alone = evaluate(config(adapter, "math500"), tmp_path / "b", Display())
    assert found["model"] == alone["model"]
    assert found["model"]["name"] == str(adapter)
    assert found["model"]["source"].startswith(f"adapter on {model}")
    assert found["published"][0]["model"] == "Qwen2.5-1.5B" == alone["published"][0]["model"]
    texts = [[r.text for r in read_rollouts(tmp_path / x / "math500/rollouts")] for x in "ab"]
    base = [r.text for r in read_rollouts(measured[0] / "math500" / "rollouts")]
    assert texts[0] == texts[1] != base


def test_against_another_model(measured, model, adapter, tmp_path):
    there, out = measured[0], tmp_path / "a"
    both = config(model, "math500", "aime24", adapter=str(adapter))
    found = evaluate(both.model_copy(update={"against": str(there)}), out, Display())
    assert evaluate(both, out, Display()) == found  # against another model it is the same evaluation
    held = read_json(out / "against.json")
    assert [row["name"] for row in held["rows"]] == ["math500", "aime24"]
    before = {b["name"]: b["accuracy"]["value"] for b in measured[1]["benchmarks"]}
    for row, benchmark in zip(held["rows"], found["benchmarks"], strict=True):
        change = benchmark["accuracy"]["value"] - before[row["name"]]
        assert row["value"] == pytest.approx(change) and row["low"] <= row["value"] <= row["high"]
        rates = [
            np.reshape([r.reward for r in read_rollouts(at / row["name"] / "rollouts")], (12, -1)).mean(1)
            for at in (out, there)
        ]
        more, less = (rates[0] > rates[1]).sum(), (rates[0] < rates[1]).sum()
        assert (row["gained"], row["lost"]) == (more, less) and more + less > 0
    assert f"Minus {model}" in (out / "results.md").read_text()
    with pytest.raises(UserError, match=r"aime24 cannot be compared.*metric is avg@8 there and pass@1 here"):
        evaluate(config(model, "aime24", samples=1, against=str(there)), tmp_path / "b", Display())
    with pytest.raises(UserError, match="holds no finished evaluation"):
        evaluate(config(model, "aime24", against=str(tmp_path)), tmp_path / "b", Display())
    with pytest.raises(UserError, match="has none of word-problems; it has gsm8k, math500"):
        evaluate(config(model, "word-problems", limit=2, against=str(there)), tmp_path / "b", Display())
    assert not (tmp_path / "b").exists()  # all that before any work


def test_other_problems_than_it_was_begun_with_are_refused(model, data, tmp_path, monkeypatch):
    one = config(model, "aime25", samples=1)
    evaluate(one, tmp_path / "e", Display())
    (tmp_path / "data").mkdir()
    rows = (data / "aime25.jsonl").read_text().replace('"answer": "2"', '"answer": "3"')
    (tmp_path / "data" / "aime25.jsonl").write_text(rows)
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "data"))
    with pytest.raises(UserError, match=r"begun with other problems .*aime25"):
        evaluate(one, tmp_path / "e", Display())


def test_a_template_that_was_edited_since_is_not_answered_by_what_is_kept(model, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(model, mine)
    asked = config(mine, "amc23", limit=2)
    evaluate(asked, tmp_path / "out", Display())
    (mine / "chat_template.jinja").write_text("{{ messages[0]['content'] }} so 2 so")
    with pytest.raises(UserError, match=r"other results \(.*chat_template\.jinja was edited since"):
        evaluate(asked, tmp_path / "out", Display())
    shutil.rmtree(mine)
    evaluate(asked, tmp_path / "out", Display())


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"ks": [8]}, "pass@8 needs samples of at least 8"),
        ({"samples": 4, "temperature": 0}, "at temperature 0 all samples are the same"),
        ({"suite": "paper"}, "suite and problems exclude each other"),
    ],
)
def test_what_makes_no_sense(model, more, sentence):
    with pytest.raises(UserError, match=sentence):
        config(model, "aime24", **more)


def test_two_sources_of_one_name(model, tmp_path):
    sources = [{"source": str(tmp_path / n / "set.jsonl")} for n in "ab"]
    for source in sources:
        (tmp_path / source["source"][-11]).mkdir()
        (tmp_path / source["source"]).write_text('{"question": "1", "answer": "1"}\n')
    with pytest.raises(UserError, match="Two sources of problems are called 'set'"):
        evaluate(config(model, problems=sources), tmp_path / "e", Display())


def test_the_command_line(model, tmp_path):
    options = ["--limit", 3, "max_new_tokens=4", "samples=2", "ks=[1,2]"]
    line = [sys.executable, "-m", "reasonmaxxer", "evaluate", model, *options, "--out", tmp_path / "e"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "e" / "summary.json")
    assert [b["name"] for b in found["benchmarks"]] == list(PAPER)
    assert [row["k"] for row in found["benchmarks"][0]["pass_at"]] == [1, 2]
    words = " ".join(done.stdout.split())
    assert "Warning: gsm8k:" in words and "cut at 4 tokens" in words
    for name in ("report.html", "results.md", "summary.json", "AIME 2025", "avg@2"):
        assert name in words


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["suite=papr"], r"'suite' = 'papr': it must be 'paper', "),
        (["suite=paper", "problems=aime24"], "exclude each other"),
        (["ks=[1,x]"], r"'ks\.1' = 'x'"),
        (["problems=aime24", "adapter={tmp}"], r"has no adapter_config\.json"),
        (["problems=aime24", "--limit", "0"], "'limit' = 0"),
        (["problems=[aime24,{{source: gsm8k, splt: x}}]"], r"'problems\.1\.splt'\. Did you mean 'problems\.1\.split'"),
        (["against={tmp}", "problems=aime24"], "holds no finished evaluation"),
    ],
)
def test_the_users_errors(model, tmp_path, arguments, sentence):
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    out = ["--out", str(tmp_path / "e")]
    with pytest.raises(UserError, match=sentence):
        app(["evaluate", str(model), *given, *out], standalone_mode=False)
    assert not (tmp_path / "e").exists()
