"""A folder belongs to one config, and nothing that took time is thrown away."""

import pytest

from reasonmaxxer.artifacts import read_json, write_table
from reasonmaxxer.config import SourceConfig, SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.work.against import read_evaluation
from reasonmaxxer.work.command_folder import claimed, refuse_other_problems


def config(batch_size=8):
    return SuiteConfig(problems=(SourceConfig(),), batch_size=batch_size)


def begin(folder, *files):
    with claimed(folder, "evaluate", config()):
        for name in files:
            begin_file(folder / name)


def begin_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("kept")


@pytest.mark.parametrize(
    "shard",
    [
        "problems/rollouts/shard-00000.parquet",  # of --problems problems.jsonl
        "problems-hard/rollouts/shard-00000.parquet",
        "gsm8k/rollouts/shard-00000.parquet",
    ],
)
def test_a_folder_with_answers_is_refused_to_another_config_and_stays(tmp_path, shard):
    folder = tmp_path / "out"
    begin(folder, "problems/problems.parquet", shard)
    with pytest.raises(UserError, match="holds other results"), claimed(folder, "evaluate", config(32)):
        pass
    assert (folder / shard).read_text() == "kept"
    with claimed(folder, "evaluate", config()):
        assert (folder / shard).read_text() == "kept"


@pytest.mark.parametrize("problems", ["problems.parquet", "problems/train.parquet", "gsm8k/problems.parquet"])
def test_one_with_nothing_but_problems_yields(tmp_path, problems):
    folder = tmp_path / "out"
    begin(folder, problems)
    with claimed(folder, "evaluate", config(32)):
        assert not (folder / problems).exists()
        assert "batch_size: 32" in (folder / "config.yaml").read_text()


def test_a_file_that_was_edited_is_another_config(tmp_path):
    folder, verifier = tmp_path / "out", tmp_path / "mine.py"
    for shard, text in ((None, "1"), ("gsm8k/rollouts/shard-00000.parquet", "2")):
        verifier.write_text(text)
        with claimed(folder, "evaluate", config(), str(verifier)):
            if shard:
                begin_file(folder / shard)
    with claimed(folder, "evaluate", config(), str(verifier), "none.jsonl", None):
        pass
    verifier.write_text("3")
    with (
        pytest.raises(UserError, match=rf"other results \(contents\.{verifier} is .* Choose another"),
        claimed(folder, "evaluate", config(), str(verifier)),
    ):
        pass


def test_other_problems_are_refused_once_there_are_answers(tmp_path):
    one, two = ([Problem("a", "1 + 1?", answer, "d")] for answer in "23")
    write_table(problems_table(one), tmp_path / "problems.parquet")
    refuse_other_problems(tmp_path, "problems.parquet", two)
    begin_file(tmp_path / "base-greedy" / "shard-00000.parquet")
    refuse_other_problems(tmp_path, "problems.parquet", one)
    with pytest.raises(UserError, match="begun with other problems"):
        refuse_other_problems(tmp_path, "problems.parquet", two)


def test_what_is_hidden_and_not_ours_stays(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("kept")
    with claimed(tmp_path, "evaluate", config()):
        assert (tmp_path / ".git" / "HEAD").read_text() == "kept"


def test_what_was_damaged_since_is_refused_by_name(tmp_path):
    folder = tmp_path / "out"
    name = "gsm8k/rollouts/shard-00000.parquet"
    begin(folder, name)
    begin(folder)  # nothing has changed
    (folder / name).write_text("keqt")
    with pytest.raises(UserError, match=f"{name} was changed .*Delete what holds it in {folder}"):
        begin(folder)
    with pytest.raises(UserError, match="was changed"):  # as one that is compared with
        read_evaluation(folder)
    for path in (name, "files.json"):
        (folder / path).unlink()
    begin(folder)


def test_what_a_killed_command_left_is_no_damage(tmp_path):
    folder, name = tmp_path / "out", "gsm8k/rollouts/shard-00000.parquet"
    begin(folder, name)
    with claimed(folder, "evaluate", config()):
        assert not (folder / "files.json").exists()  # as a kill leaves it, whatever is made again
    assert list(read_json(folder / "files.json")) == [name]


def test_a_config_that_was_damaged_is_no_traceback(tmp_path):
    begin(tmp_path / "out", "x.parquet")
    (tmp_path / "out" / "config.yaml").write_text("command: [")
    with pytest.raises(UserError, match=r"config.yaml is damaged .* Delete .*out and give"):
        begin(tmp_path / "out")
