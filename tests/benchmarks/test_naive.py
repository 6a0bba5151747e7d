"""The naive loop of the benchmark is the method: the paper's equations, and the trainer's own losses."""

import naive
import pytest
import torch
import training
from teaching import steps_of, synthetic_examples

from reasonmaxxer.config import AdapterConfig, TrainingConfig
from reasonmaxxer.method.data import training_rows
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.train import add_adapter, train_adapter
from tests.method.reference import sequence_loss
from tests.method.test_trainer import adapted, rows
from tests.tiny import tiny_model

ADAPTER = AdapterConfig(rank=4, alpha=8)


class Tokenizer:
    pad_token_id = 0

    def save_pretrained(self, folder):
        """A checkpoint keeps the tokenizer; there is none."""


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_a_sequence_has_the_loss_of_the_equations(floor):
    config = TrainingConfig(negative_floor=floor, anchor_weight=0.3)
    model = adapted(tiny_model())
    for n, row in enumerate(rows(6, seed=3)):
        row["advantage"] = (-1.0, 1.5)[n % 2]
        with torch.no_grad():
            ours = naive.sequence_loss(model, row, config).item()
            expected = sequence_loss(model, tiny_model(), row, 0.3, floor).item()
        assert ours == pytest.approx(expected, abs=2e-5)


def test_a_sequence_without_decision_points_is_all_anchor():
    row = {**rows(1)[0], "advantage": 5.0}
    row["decision"] = [False] * len(row["completion_ids"])
    model = add_adapter(tiny_model(), ADAPTER, 0)  # still equal to its base
    assert naive.sequence_loss(model, row, TrainingConfig()).item() == pytest.approx(0, abs=1e-6)


def test_naive_loop_and_trainer_agree_step_by_step(tmp_path):
    examples = synthetic_examples(97, 12, each=4)
    gate = Gate("threshold", 0.8, 0.25)
    config = TrainingConfig(
        adapter=ADAPTER,
        batch_size=4,
        micro_batch_size=4,
        warmup_steps=0,
        learning_rate=1e-2,
        max_grad_norm=0.05,  # below the norm of every step
        checkpoints=1,
    )
    model = add_adapter(tiny_model(scale=4.0), ADAPTER, 0)
    with training.recorded_rows() as taken:
        history = train_adapter(model, Tokenizer(), examples, gate, config, FitArguments(tmp_path, 0))
    data = {training.content(row): row for row in training_rows(examples, gate)}
    order = [data[training.content(row)] for row in taken]
    fresh = add_adapter(tiny_model(scale=4.0), ADAPTER, 0)
    steps = [[order[n] for n in batch] for batch in steps_of(range(len(order)), 4)]
    losses = naive.train(fresh, steps, config)
    assert len(losses) == 3
    assert losses == pytest.approx([row["loss"] for row in history], abs=1e-4)
    assert abs(losses[1] - losses[0]) > 1e-3  # the adapter has moved
