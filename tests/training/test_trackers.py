"""Trackers: refused early, and TensorBoard's numbers those of the history."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.pipeline import run
from reasonmaxxer.training.trackers import check_trackers
from tests.tiny import tiny_recipe

METRICS = (
    "loss", "grad_norm", "learning_rate", "kl", "delta_logprob_positive", "delta_logprob_negative",
)  # fmt: skip


def test_tensorboard_shows_the_history_of_every_gate(tmp_path):
    recipe = tiny_recipe(
        tmp_path,
        training={"batch_size": 4, "micro_batch_size": 4, "checkpoints": 2, "warmup_steps": 1,
                  "adapter": {"rank": 4, "alpha": 8}, "report_to": ["tensorboard"]},
        signal={"problems": 4, "gate": {"kind": "share", "sweep": [0.5, 1.0]}},
    )  # fmt: skip
    out = tmp_path / "out"
    run(recipe, out)
    rows = read_table(out / "training" / "history.parquet").to_pylist()
    for gate in (0, 1):
        events = EventAccumulator(str(out / "tensorboard" / f"gate-{gate}"))
        events.Reload()
        history = [row for row in rows if row["gate"] == gate]
        assert len(history) > 1
        for name in METRICS:
            expected = [(r["step"], r[name]) for r in history if r[name] is not None]
            written = events.Scalars(f"train/{name}")
            assert [(e.step, e.value) for e in written] == [
                (step, pytest.approx(value, rel=1e-6)) for step, value in expected
            ]


def test_an_unknown_tracker_is_refused_before_the_run_begins(tmp_path):
    recipe = tiny_recipe(tmp_path, training={"report_to": ["tensorbord"]})
    with pytest.raises(UserError, match=r"'tensorbord' is no tracker.*tensorboard"):
        run(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch):
    check_trackers(("tensorboard",))
    with pytest.raises(UserError, match="'swanlab' is not installed"):
        check_trackers(("swanlab",))
    names = "reasonmaxxer.training.trackers.get_available_reporting_integrations"
    monkeypatch.setattr(names, list)
    with pytest.raises(UserError, match=r"pip install 'reasonmaxxer\[tensorboard\]'"):
        check_trackers(("tensorboard",))
