"""A folder belongs to one config, and nothing that took time is thrown away."""

import pytest

from reasonmaxxer.command_folder import claimed
from reasonmaxxer.config import SourceConfig, SuiteConfig
from reasonmaxxer.errors import UserError


def config(batch_size=8):
    return SuiteConfig(problems=(SourceConfig(),), batch_size=batch_size)


def begin(folder, *files):
    with claimed(folder, "evaluate", config()):
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("kept")


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
    with (
        pytest.raises(UserError, match="holds other results"),
        claimed(folder, "evaluate", config(32)),
    ):
        pass
    assert (folder / shard).read_text() == "kept"
    with claimed(folder, "evaluate", config()):
        assert (folder / shard).read_text() == "kept"


@pytest.mark.parametrize(
    "problems", ["problems.parquet", "problems/train.parquet", "gsm8k/problems.parquet"]
)
def test_one_with_nothing_but_problems_yields(tmp_path, problems):
    folder = tmp_path / "out"
    begin(folder, problems)
    with claimed(folder, "evaluate", config(32)):
        assert not (folder / problems).exists()
        assert "batch_size: 32" in (folder / "config.yaml").read_text()


def test_what_is_hidden_and_not_ours_stays(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("kept")
    with claimed(tmp_path, "evaluate", config()):
        assert (tmp_path / ".git" / "HEAD").read_text() == "kept"
