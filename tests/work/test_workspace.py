"""The workspace: stages whole or absent, a ledger over all attempts, one owner."""

import shutil

import pyarrow as pa
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from reasonmaxxer.artifacts import file_hash, read_json, read_table, write_json, write_table
from reasonmaxxer.config import MeasuredSource, OverlapConfig, Recipe, SuiteConfig
from reasonmaxxer.cost import Price
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.names import files_behind
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.recipe import CONFIGS, parse_config
from reasonmaxxer.work.against import read_evaluation
from reasonmaxxer.work.folder import open_run, read_claim
from reasonmaxxer.work.reuse import take_over
from reasonmaxxer.work.sampling import count_all
from reasonmaxxer.work.status import read_status
from reasonmaxxer.work.workspace import Workspace
from tests.tiny import tiny_folder

STAGES = ("problems", "rollouts", "signal")
PRICE = Price("hand", 3600.0)


def directory(path, recipe=None, **more):
    recipe = recipe or Recipe()
    files = (recipe.verify.file, *files_behind(recipe.model.name))
    return Workspace(path / "run", "run", recipe, stages=STAGES, files=files, price=PRICE, **more)


def test_a_stage_runs_once_and_is_recorded(tmp_path):
    calls = []

    def work(stage):
        calls.append(1)
        stage.counts = {"things": 3}
        stage.meter.add(tokens=7, flops=2.0)
        write_json({}, stage.folder / "x.json")

    run = directory(tmp_path)
    for _ in range(2):
        run.run_stage("problems", (), work)
    record = run.record("problems")
    assert len(calls) == 1 and run.is_done("problems")
    assert record["counts"] == {"things": 3}
    assert record["cost"]["tokens"] == 7 and record["cost"]["flops"] == 2.0
    assert record["config"] == Recipe().model_dump(mode="json")
    assert not (tmp_path / "run" / ".problems.partial").exists()


def test_a_broken_stage_keeps_its_work_and_what_it_spent(tmp_path):
    def breaks(stage):
        stage.meter.add(tokens=5)
        stage.save_cost(stage.folder / "shard")
        (stage.folder / "shard").write_text("done")
        stage.meter.add(tokens=100)
        stage.save_cost(stage.folder / "next")  # killed before it took its name: not counted
        raise KeyboardInterrupt

    def finishes(stage):
        assert (stage.folder / "shard").read_text() == "done"
        stage.meter.add(tokens=2)

    run = directory(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run_stage("problems", (), breaks)
    assert not run.is_done("problems")
    before = read_json(tmp_path / "run" / ".problems.partial" / "cost.json")["before"]["seconds"]
    run.run_stage("problems", (), finishes)
    ledger = run.ledger()
    [cost] = ledger["stages"]
    assert cost["tokens"] == 7
    assert cost["seconds"] > before
    assert cost["usd"] == pytest.approx(cost["seconds"])  # 3600 USD an hour
    assert ledger["total"] == {**cost, "stage": "total"} and ledger["price"]["usd_per_hour"] == 3600.0
    assert not (tmp_path / "run" / "problems" / "cost.json").exists()


def test_what_only_an_unfinished_stage_needs_goes_when_its_work_is_on_record(tmp_path, monkeypatch):
    calls = []

    def work(stage):
        calls.append(1)
        for folder in (stage.folder, stage.scratch):
            folder.mkdir(exist_ok=True)
            (folder / "x.parquet").write_text("kept" if folder == stage.folder else "gone")

    def killed(path):
        (path / "x.parquet").unlink()
        raise KeyboardInterrupt

    run = directory(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", killed)
        run.run_stage("problems", (), work)
    assert not run.is_done("problems") and run.is_recorded("problems")
    run.run_stage("problems", (), work)
    folder = tmp_path / "run" / "problems"
    assert len(calls) == 1 and sorted(p.name for p in folder.iterdir()) == ["stage.json", "x.parquet"]
    kept = {"bytes": 4, "sha256": file_hash(folder / "x.parquet")}
    assert run.record("problems")["files"] == {"x.parquet": kept}


def test_inputs_are_the_hashes_of_the_stages_read(tmp_path):
    run = directory(tmp_path)
    run.run_stage("problems", (), lambda stage: None)
    run.run_stage("rollouts", ("problems",), lambda stage: None)
    assert run.record("rollouts")["inputs"] == {"problems": run.record("problems")["artifacts"]}


def writes(rows):
    return lambda stage: write_table(pa.table({"x": rows}), stage.folder / "a" / "x.parquet")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = [
    ("a/x.parquet", lambda path: path.unlink(), "is missing", True),
    ("a/x.parquet", lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes, not the", True),
    ("a/x.parquet", flip, "was changed since", False),
    ("a/y.parquet", lambda path: path.write_text("x"), "was not written by", True),
    ("stage.json", lambda path: path.write_text(path.read_text()[:99]), "is damaged", True),
    ("stage.json", lambda path: path.write_text("{}"), "is damaged", True),
    ("stage.json", lambda path: path.write_text("[1]"), "is damaged", True),
    ("stage.json", lambda path: path.write_text("null"), "is damaged", True),
    ("stage.json", lambda path: path.unlink(), "is missing", True),
]


@pytest.mark.parametrize(("name", "damage", "fault", "by_size"), DAMAGE)
def test_a_complete_stage_that_was_damaged_is_refused_by_name(tmp_path, name, damage, fault, by_size):
    run = directory(tmp_path)
    run.run_stage("rollouts", (), writes([1, 2]))
    open_run(run.path)
    folder = run.path / "rollouts"
    damage(folder / name)
    with pytest.raises(UserError, match=f"{name} .*{fault}.* Delete {folder} and give the same"):
        open_run(run.path)
    if by_size:  # which every later reader sees too
        with pytest.raises(UserError, match=fault):
            run.record("rollouts")


def test_a_stage_that_was_deleted_is_made_again_and_must_be_the_one_others_read(tmp_path):
    run = directory(tmp_path)
    run.run_stage("rollouts", (), writes([1]))
    run.run_stage("signal", ("rollouts",), writes([2]))
    for name in ("summary.json", "report.html"):
        (run.path / name).write_text("of the stages that were there")
    shutil.rmtree(run.path / "rollouts")
    run.run_stage("rollouts", (), writes([1]))
    assert not (run.path / "summary.json").exists() and not (run.path / "report.html").exists()
    run.run_stage("signal", ("rollouts",), writes([7]))
    assert read_table(run.path / "signal" / "a" / "x.parquet")["x"].to_pylist() == [2]
    shutil.rmtree(run.path / "rollouts")
    run.run_stage("rollouts", (), writes([3]))
    with pytest.raises(UserError, match=r"signal was made from other rollouts.*Delete .*signal"):
        run.run_stage("signal", ("rollouts",), writes([2]))


@pytest.mark.parametrize("left", ["seed: [", ""])
def test_a_recipe_that_was_damaged_is_no_traceback(tmp_path, left):
    written = directory(tmp_path).path / "recipe.yaml"
    written.write_text(left)
    with pytest.raises(UserError, match=r"recipe.yaml is damaged.*--print-config"):
        directory(tmp_path)


def sample(path):
    """As a run leaves its folder that was killed while it sampled."""
    (path / "run" / ".rollouts.partial").mkdir()
    (path / "run" / ".rollouts.partial" / "shard-00000.parquet").write_text("x")


def test_a_run_that_has_not_come_beyond_its_problems_yields(tmp_path):
    run = directory(tmp_path)
    run.run_stage("problems", (), lambda stage: write_json({}, stage.folder / "train.parquet"))
    (tmp_path / "run" / ".rollouts.partial").mkdir()  # the model could not be loaded
    other = parse_config(Recipe, {"model": {"name": "smollm2-teacher"}})
    with run.lock(), pytest.raises(UserError, match=r"model\.name"):
        directory(tmp_path, other)
    yielded = directory(tmp_path, other)
    assert not yielded.is_done("problems") and open_run(yielded.path) == other.model_dump(mode="json")
    sample(tmp_path)
    with pytest.raises(UserError, match=r"model\.name"):
        directory(tmp_path)


def test_another_recipe_is_refused_and_the_difference_named(tmp_path):
    directory(tmp_path)
    sample(tmp_path)
    other = parse_config(Recipe, {"seed": 1, "signal": {"gate": {"tau": 1.2}}})
    with pytest.raises(UserError, match=r"seed is 0 there and 1 here.*signal\.gate\.tau") as error:
        directory(tmp_path, other)
    assert "--out" in str(error.value)
    directory(tmp_path)  # the same recipe is welcome


def test_a_verifier_that_was_edited_since_is_refused(tmp_path):
    verifier = tmp_path / "mine.py"
    verifier.write_text("def grade(completion, answer, metadata): return True\n")
    recipe = parse_config(Recipe, {"verify": {"function": f"{verifier}:grade"}})
    directory(tmp_path, recipe)
    directory(tmp_path, recipe)
    sample(tmp_path)
    verifier.write_text("def grade(completion, answer, metadata): return False\n")
    with pytest.raises(UserError, match=r"mine\.py was edited since.*--out"):
        directory(tmp_path, recipe)


@pytest.mark.parametrize("edited", ["model/chat_template.jinja", "adapter/adapter_config.json"])
def test_a_model_that_was_edited_since_is_refused(tmp_path, edited):
    model, adapter = tiny_folder(tmp_path / "model"), tmp_path / "adapter"
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), lora).save_pretrained(adapter)
    recipe = parse_config(Recipe, {"model": {"name": str(adapter)}})
    directory(tmp_path, recipe)
    sample(tmp_path)
    directory(tmp_path, recipe)
    (tmp_path / edited).write_text((tmp_path / edited).read_text() + " ")
    with pytest.raises(UserError, match=rf"{edited} was edited since.*--out"):
        directory(tmp_path, recipe)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="was not made by `reasonmaxxer run`"):
        directory(tmp_path)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize("values", ["{}", "seed: 0\n", "signal: {gate: {tau: 1}}\n"])
def test_a_recipe_of_the_users_own_is_no_workspace_and_stays(tmp_path, values):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(values)
    with pytest.raises(UserError, match="was not made by `reasonmaxxer run`"):
        directory(tmp_path)
    with pytest.raises(UserError, match=r"no workspace\.json.*`reasonmaxxer run .*recipe\.yaml`"):
        read_status(tmp_path / "run")
    assert (tmp_path / "run" / "recipe.yaml").read_text() == values


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be made"):
        directory(tmp_path / "file" / "in")


def test_a_command_that_is_refused_before_it_began_leaves_no_folder(tmp_path):
    for begun in (False, True):
        run = directory(tmp_path)
        with pytest.raises(UserError, match="no"), run.lock():
            if begun:
                run.run_stage("problems", (), lambda stage: None)
            raise UserError("no")
        assert run.path.exists() is begun
    run = directory(tmp_path)  # which an earlier command made
    with pytest.raises(UserError), run.lock():
        raise UserError("no")
    assert run.is_done("problems")


@pytest.mark.parametrize("command", ["run", "distill", "gone"])
def test_what_another_command_did_is_not_taken_for_the_same(tmp_path, command):
    """Both have a stage `problems`, and the keys that it depends on here are the defaults there."""
    there = Workspace(tmp_path / "there", command, CONFIGS.get(command, OverlapConfig)(), stages=("problems",))
    there.run_stage("problems", (), writes([1]))
    with pytest.raises(
        UserError, match=rf"there cannot be reused: .*`reasonmaxxer {command}`.*`reasonmaxxer evaluate`"
    ):
        take_over(there.path, evaluation(tmp_path / "out"), {"problems": ("seed",)}, {})


# The same of another command, one stage a benchmark, which holds its problems too.


def suite(**changes):
    return SuiteConfig(problems=(MeasuredSource(),), **changes)


def evaluation(path, config=None, files=(), stages=("problems", "gsm8k")):
    return Workspace(path, "evaluate", config or suite(), stages=stages, files=files)


def begin(workspace, *files):
    """Leave files as a killed command would."""
    for name in files:
        stage, _, rest = name.partition("/")
        path = workspace.partial(stage) / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")


@pytest.mark.parametrize("stage", ["problems", "gsm8k"])  # the first of `--problems problems.jsonl`
def test_a_folder_with_answers_is_refused_to_another_config_and_stays(tmp_path, stage):
    workspace = evaluation(tmp_path / "out")
    begin(workspace, f"{stage}/problems.parquet", f"{stage}/rollouts/shard-00000.parquet")
    with pytest.raises(UserError, match=r"holds other results \(batch_size is 64 there and 32 here"):
        evaluation(tmp_path / "out", suite(batch_size=32))
    with pytest.raises(UserError, match=r"holds other results \(those of `reasonmaxxer evaluate`\)"):
        Workspace(tmp_path / "out", "diff", suite())
    evaluation(tmp_path / "out")
    assert (workspace.partial(stage) / "rollouts" / "shard-00000.parquet").read_text() == "kept"


def test_one_with_nothing_but_problems_yields(tmp_path):
    workspace = evaluation(tmp_path / "out")
    begin(workspace, "gsm8k/problems.parquet")
    evaluation(tmp_path / "out", suite(batch_size=32))
    assert not workspace.partial("gsm8k").exists()
    assert "batch_size: 32" in (tmp_path / "out" / "recipe.yaml").read_text()


def test_a_free_key_may_change_and_unfinishes(tmp_path):
    workspace = evaluation(tmp_path)
    workspace.run_stage("gsm8k", (), writes([1]))
    write_json({"schema": 1}, tmp_path / "summary.json")
    assert workspace.summary == evaluation(tmp_path).summary == {"schema": 1}
    other = evaluation(tmp_path, suite(against="there"), stages=("aime24",))
    assert other.summary is None and other.is_done("gsm8k")
    assert list(other.stages) == ["aime24", "gsm8k"]  # what is there was paid for
    assert [stage["stage"] for stage in other.ledger()["stages"]] == ["gsm8k"]


def test_other_problems_are_refused_once_there_are_answers(tmp_path):
    one, two = ([Problem("a", "1 + 1?", answer, "d")] for answer in "23")
    workspace, table = evaluation(tmp_path), "gsm8k/problems.parquet"
    write_table(problems_table(one), workspace.partial("gsm8k") / "problems.parquet")
    workspace.refuse_other_problems(table, two)
    assert not workspace.partial("gsm8k").exists()  # it yields
    write_table(problems_table(one), workspace.partial("gsm8k") / "problems.parquet")
    begin(workspace, "gsm8k/rollouts/shard-00000.parquet")
    workspace.refuse_other_problems(table, one)
    with pytest.raises(UserError, match="begun with other problems"):
        workspace.refuse_other_problems(table, two)


def test_what_is_hidden_and_not_ours_stays(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("kept")
    evaluation(tmp_path)
    assert (tmp_path / ".git" / "HEAD").read_text() == "kept"


def test_a_reader_meets_damage_first(tmp_path):
    workspace = evaluation(tmp_path)
    workspace.run_stage("gsm8k", (), writes([1]))
    write_json({"schema": 1}, tmp_path / "summary.json")
    assert read_evaluation(tmp_path) == {"schema": 1}
    flip(tmp_path / "gsm8k" / "a" / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet was changed"):
        read_evaluation(tmp_path)
    with pytest.raises(UserError, match="was changed"), workspace.lock():
        pass


def test_a_run_is_not_read_out_of_another_commands_folder(tmp_path):
    evaluation(tmp_path)
    with pytest.raises(UserError, match="not a run directory: `reasonmaxxer evaluate` filled it"):
        open_run(tmp_path)


def test_a_stage_goes_on_and_is_paid_for_once(tmp_path):
    run = directory(tmp_path)

    def count(tokens):
        def work(stage):
            count_all(stage, tokens, 2.0 * tokens)
            write_table(pa.table({"x": [tokens]}), stage.folder / f"{tokens}.parquet")

        return work

    run.run_stage("rollouts", (), count(5))
    run.run_stage("signal", ("rollouts",), writes([1]))
    run.reopen("rollouts", "signal")
    assert not run.is_done("rollouts") and not run.is_done("signal")
    run.run_stage("rollouts", (), count(12))
    assert (run.record("rollouts")["cost"]["tokens"], run.record("rollouts")["cost"]["flops"]) == (12, 24.0)
    assert sorted(run.record("rollouts")["files"]) == ["12.parquet", "5.parquet"]


def test_a_stage_that_reads_other_stages_now_is_made_again(tmp_path):
    run = directory(tmp_path)
    run.run_stage("problems", (), writes([1]))
    run.run_stage("signal", (), writes([1]))
    run.run_stage("signal", ("problems",), writes([2]))
    assert read_table(run.path / "signal" / "a" / "x.parquet")["x"].to_pylist() == [2]


@pytest.mark.parametrize("write", ["write_json", "write_text"])
def test_a_claim_that_was_killed_half_way_yields(tmp_path, monkeypatch, write):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"reasonmaxxer.work.workspace.{write}", killed)
        evaluation(tmp_path)
    assert list(evaluation(tmp_path).stages) == ["problems", "gsm8k"]


def test_a_workspace_at_work_is_not_claimed_with_another_free_key(tmp_path):
    first = evaluation(tmp_path)
    with first.lock(), pytest.raises(UserError, match="in use by another process"):
        evaluation(tmp_path, suite(against="there"))
    assert read_claim(tmp_path).config["against"] is None


def test_one_process_at_a_time(tmp_path):
    first, second = directory(tmp_path), directory(tmp_path)
    with first.lock(), pytest.raises(UserError, match="in use by another process"), second.lock():
        pass
    with second.lock():
        pass
