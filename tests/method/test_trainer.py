"""The trainer against the float64 transcription of Eq. 5-7, and its invariances."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, load_peft_weights

from reasonmaxxer.config import AdapterConfig, TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.base_states import BaseStates, as_base, row_key
from reasonmaxxer.method.checkpoints import whole_checkpoints
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.train import add_adapter, train_adapter
from reasonmaxxer.method.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from reasonmaxxer.models import attention
from reasonmaxxer.models.accelerated import flash, masked
from tests.families import CONFIG_MAPPING, tiny_family
from tests.method.reference import sequence_loss
from tests.models.flash_stand_in import install
from tests.tiny import FAMILIES, tiny_model

LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"], "task_type": "CAUSAL_LM"}


def rows(count=5, seed=0, vocab=97, group=3):
    """Sequences in groups of one prompt each, as rollouts are."""
    g = torch.Generator().manual_seed(seed)

    def ids(low, high):
        length = torch.randint(low, high, (1,), generator=g).item()
        return torch.randint(3, vocab, (length,), generator=g).tolist()

    made = []
    for i in range(count):
        prompt = made[-1]["prompt_ids"] if i % group else ids(3, 9)
        completion = ids(2, 15)
        decision = (torch.rand(len(completion), generator=g) < 0.4).tolist()
        made.append(
            {
                "prompt_ids": prompt,
                "completion_ids": completion,
                "decision": decision,
                "advantage": float(torch.randn(1, generator=g)) or 0.5 + i,
            }
        )
    return made


def adapted(model, seed=1, size=0.3):
    """A LoRA whose second matrix is not zero, so that base and adapted differ."""
    model = get_peft_model(model, LoraConfig(**LORA))
    g = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = size * torch.randn(weight.shape, generator=g)
    return model


def make_trainer(model, data, tmp_path, **args):
    config = ReasonMaxxerConfig(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", **args
    )
    return ReasonMaxxerTrainer(model=model, args=config, train_dataset=data)


def loss_and_gradients(trainer, data, batches=None):
    """Loss and gradients of one optimiser step over `data`, in the given micro-batches."""
    model = trainer.model
    model.zero_grad()
    total = 0.0
    micro = [trainer.data_collator([data[i] for i in b]) for b in batches or [range(len(data))]]
    count = trainer._get_num_items_in_batch(micro, "cpu")
    for batch in micro:
        for row in batch["rows"]:
            loss = trainer.compute_loss(model, row, num_items_in_batch=count)
            loss.backward()
            total += loss.item()
    return total, {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("floor", [0.0, 1e-2])
def test_loss_and_gradients_equal_the_float64_transcription(family, floor, tmp_path):
    data = rows()
    base = tiny_model(family, scale=4.0)
    model = adapted(copy.deepcopy(base))
    exact = copy.deepcopy(model).double()
    trainer = make_trainer(model, data, tmp_path, negative_floor=floor)
    loss, gradients = loss_and_gradients(trainer, data)
    expected = torch.stack([sequence_loss(exact, base.double(), row, floor=floor) for row in data]).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in exact.named_parameters():
        if parameter.requires_grad:
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(
                gradients[name].double(), parameter.grad, rtol=1e-4, atol=1e-5 * max(scale, 1e-3)
            )


@pytest.mark.parametrize("read", [masked, flash])
def test_rows_read_as_on_an_accelerator_teach_the_same(read, tmp_path, monkeypatch):
    data = rows(9, seed=3)
    trainer = make_trainer(adapted(tiny_model("qwen2")), data, tmp_path)
    loss, gradients = loss_and_gradients(trainer, data)
    library = install()
    monkeypatch.setattr(attention, "branched", read)
    same, others = loss_and_gradients(trainer, data)
    library._destroy()
    assert same == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("objective", ["topr", "ppo"])
def test_objectives_weigh_by_the_ratio_to_what_sampled(objective, tmp_path):
    base = tiny_model(scale=4.0)
    data = [{**row, "base_logprob": base_logprobs(base, row)} for row in rows()]
    model = adapted(copy.deepcopy(base))
    loss, gradients = loss_and_gradients(make_trainer(model, data, tmp_path, objective=objective), data)
    exact = copy.deepcopy(model).double()
    expected = torch.stack([sequence_loss(exact, base.double(), row, objective=objective) for row in data]).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    for name, parameter in exact.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(gradients[name].double(), parameter.grad, rtol=1e-3, atol=1e-6)


def base_logprobs(base, row):
    """Log-probability of each completion token."""
    ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
    with torch.no_grad():
        logp = base(ids).logits[0].log_softmax(-1)
    return [logp[t - 1, ids[0, t]].item() for t in range(len(row["prompt_ids"]), ids.shape[1])]


def test_an_objective_of_ratios_needs_what_they_are_of(tmp_path):
    with pytest.raises(UserError, match="base_logprob"):
        make_trainer(adapted(tiny_model()), rows(), tmp_path, objective="topr")


def test_anchor_over_the_completion_only(tmp_path):
    data = rows(3, seed=4)
    base = tiny_model()
    model = adapted(copy.deepcopy(base))
    trainer = make_trainer(model, data, tmp_path, anchor_positions="completion", anchor_weight=0.7)
    loss, _ = loss_and_gradients(trainer, data)
    expected = [sequence_loss(model, base, r, 0.7, floor=1e-4, anchors="completion").item() for r in data]
    everywhere = [sequence_loss(model, base, r, 0.7, floor=1e-4).item() for r in data]
    assert loss == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert loss != pytest.approx(sum(everywhere) / 3, rel=1e-4)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 50))
def test_batching_padding_and_order_change_nothing(data, seed, tmp_path_factory):
    examples = rows(6, seed)
    order = data.draw(st.permutations(range(6)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5))))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, 6], strict=True)]
    trainer = make_trainer(adapted(tiny_model()), examples, tmp_path_factory.mktemp("t"))
    whole, whole_gradients = loss_and_gradients(trainer, examples)
    split, split_gradients = loss_and_gradients(trainer, examples, parts)
    assert split == pytest.approx(whole, rel=1e-5, abs=1e-6)
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(split_gradients[name], gradient, rtol=1e-4, atol=2e-5)


def test_at_step_zero_the_anchor_is_exactly_zero(tmp_path):
    data = [{**row, "decision": [False] * len(row["completion_ids"])} for row in rows()]
    model = get_peft_model(tiny_model(), LoraConfig(**LORA))
    trainer = make_trainer(model, data, tmp_path)
    loss, gradients = loss_and_gradients(trainer, data)
    assert loss == 0.0
    assert all(g.abs().max() == 0 for g in gradients.values())


@pytest.mark.parametrize(("kind", "modules"), [("gpt2", ["c_attn"]), ("opt", ["q_proj", "v_proj"])])
def test_a_base_with_dropout_is_its_own_anchor(kind, modules, tmp_path):
    """GPT-2 and OPT are pre-trained with dropout; in training the base must be what it is elsewhere."""
    rates = {name: 0.5 for name in CONFIG_MAPPING[kind].__dataclass_fields__ if "drop" in name}
    lora = LoraConfig(**{**LORA, "target_modules": modules}, lora_dropout=0.5, init_lora_weights=False)
    data = rows(4)
    for row in data:
        row["decision"] = [False] * len(row["decision"])  # the anchor alone
    trainer = make_trainer(get_peft_model(tiny_family(kind, **rates), lora), data, tmp_path)
    trainer.model.train()
    batch = trainer.data_collator(data)["rows"][0]
    with trainer.model.disable_adapter():
        assert torch.equal(trainer.hidden(trainer.model, batch), trainer._base_hidden(batch))
    dropped = [m.p for name, m in trainer.model.named_modules() if "lora_dropout.default" in name]
    assert set(dropped) == {0.5}, "the adapter keeps its own"


@pytest.mark.parametrize(
    ("kind", "modules"),
    [("bloom", ["query_key_value"]), ("gpt_neo", ["q_proj"]), ("mamba", ["in_proj"]), ("mpt", ["Wqkv"])],
)
def test_a_family_that_reads_one_sequence_at_a_time_trains_alike(kind, modules, tmp_path):
    """However its sequences are put into rows, loss and gradients are those of each alone."""
    data = rows(6)
    lora = LoraConfig(**{**LORA, "target_modules": modules}, init_lora_weights=False)
    with pytest.warns(UserWarning, match="one sequence at a time"):
        trainer = make_trainer(get_peft_model(tiny_family(kind), lora), data, tmp_path)
    together, gradients = loss_and_gradients(trainer, data)
    apart, wanted = loss_and_gradients(trainer, data, [[i] for i in range(len(data))])
    assert together == pytest.approx(apart, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_reference_is_the_base_with_the_adapter_off(tmp_path):
    base = tiny_model()
    trainer = make_trainer(adapted(copy.deepcopy(base)), rows(), tmp_path)
    (row,) = trainer.data_collator(rows(1))["rows"]
    ids = row["input_ids"]
    torch.testing.assert_close(trainer._base_hidden(row), base.model(ids)[0][0])
    change = trainer.model(ids).logits - base(ids).logits
    assert change.abs().max() > 0.1, "the adapter must do something for this to test"


def test_as_base_leaves_the_model_as_it_was():
    model = adapted(tiny_model()).train()
    states = [(m.training, getattr(m, "disable_adapters", None)) for m in model.modules()]
    learning = [p.requires_grad for p in model.parameters()]
    ids = torch.arange(5, 12)[None]
    with pytest.raises(ZeroDivisionError), as_base(model):
        assert not any(m.training for m in model.modules())
        assert torch.equal(model(ids).logits, tiny_model()(ids).logits)
        _ = 1 / 0
    assert states == [(m.training, getattr(m, "disable_adapters", None)) for m in model.modules()]
    assert learning == [p.requires_grad for p in model.parameters()]
    assert not torch.equal(model(ids).logits, tiny_model()(ids).logits)


def test_the_base_is_read_once_for_all_epochs_and_gates(tmp_path):
    reads = []
    states = BaseStates()
    weights = []
    for kept in (states, states, None):
        torch.manual_seed(0)
        model = get_peft_model(tiny_model(), LoraConfig(**LORA))
        config = ReasonMaxxerConfig(
            output_dir=str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True,
            save_strategy="no", learning_rate=1e-2, warmup_steps=0, num_train_epochs=2,
            per_device_train_batch_size=4, gradient_accumulation_steps=1,
        )  # fmt: skip
        trainer = ReasonMaxxerTrainer(model, config, rows(12, group=4), base_states=kept)
        if kept is None:
            trainer.base_states = None  # read anew every time
        model.get_base_model().model.register_forward_hook(lambda module, _, __: reads[-1].append(module.training))
        reads.append([])
        trainer.train()
        weights.append({n: p.detach().clone() for n, p in model.named_parameters()})
    # three rows, two epochs: six training passes each; the base reads in eval mode
    assert [seen.count(True) for seen in reads] == [6, 6, 6]
    assert [seen.count(False) for seen in reads] == [3, 0, 6]
    for name, expected in weights[2].items():
        assert torch.equal(weights[0][name], expected) and torch.equal(weights[1][name], expected)


def test_base_states_keep_no_more_than_their_limit():
    batch, other = (
        {"input_ids": torch.arange(6)[None], "key": row_key(np.arange(6), layout)}
        for layout in ([[2, 4]], [[2, 2, 2]])
    )
    states = BaseStates(limit_bytes=6 * 8 * 4)
    states.keep(batch, torch.ones(6, 8))
    states.keep(other, torch.zeros(6, 8))
    assert torch.equal(states.get(batch), torch.ones(6, 8))
    assert states.get(other) is None


def trained_weights(tmp_path, **args):
    torch.manual_seed(0)
    model = get_peft_model(tiny_model(), LoraConfig(**LORA))
    trainer = make_trainer(model, rows(10), tmp_path, warmup_steps=0, learning_rate=1e-2, data_seed=3, **args)
    trainer.train()
    weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    return weights, trainer


@pytest.mark.parametrize(("micro", "accumulate"), [(1, 4), (2, 2)])
def test_accumulation_gives_the_same_adapter(tmp_path, micro, accumulate):
    # Ten rows in steps of four: the last step has two, where a mean of means would go wrong.
    whole, _ = trained_weights(
        tmp_path / "a", per_device_train_batch_size=4, gradient_accumulation_steps=1, max_grad_norm=9
    )
    split, trainer = trained_weights(
        tmp_path / "b", per_device_train_batch_size=micro, gradient_accumulation_steps=accumulate, max_grad_norm=9
    )
    assert trainer.state.global_step == 3
    for name in whole:
        torch.testing.assert_close(split[name], whole[name], rtol=1e-3, atol=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients(tmp_path):
    data = rows()
    model = adapted(tiny_model())
    plain = loss_and_gradients(make_trainer(model, data, tmp_path), data)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    checkpointed = loss_and_gradients(make_trainer(model, data, tmp_path), data)
    assert checkpointed[0] == pytest.approx(plain[0], rel=1e-6)
    for name, gradient in plain[1].items():
        torch.testing.assert_close(checkpointed[1][name], gradient, rtol=1e-5, atol=1e-6)


def test_training_moves_log_probability_the_right_way(tmp_path):
    """On a few rows the tokens of positive rollouts rise and those of negative ones fall."""
    model = get_peft_model(tiny_model(scale=4.0), LoraConfig(**LORA))
    data = rows(6, seed=2)

    def taken(row):
        ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
        logp = model(ids).logits[0, :-1].log_softmax(-1)
        picked = logp.gather(-1, ids[0, 1:, None])[len(row["prompt_ids"]) - 1 :, 0]
        mask = torch.tensor(row["decision"])
        return picked[mask].mean().item() if mask.any() else 0.0

    before = [taken(row) for row in data]
    trainer = make_trainer(model, data, tmp_path, num_train_epochs=8, warmup_steps=0, learning_rate=5e-3)
    trainer.train()
    for row, start in zip(data, before, strict=True):
        if any(row["decision"]):
            assert (taken(row) - start) * row["advantage"] > 0


def test_zero_advantages_cost_no_step(tmp_path):
    data = rows(8) + [{**row, "advantage": 0.0} for row in rows(40, seed=9)]
    trainer = make_trainer(
        get_peft_model(tiny_model(), LoraConfig(**LORA)),
        data,
        tmp_path,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
    )
    trainer.train()
    assert trainer.state.global_step == 1


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="empty"):
        make_trainer(tiny_model(), [], tmp_path)
    with pytest.raises(UserError, match="zero"):
        make_trainer(tiny_model(), [{**rows(1)[0], "advantage": 0.0}], tmp_path)
    with pytest.raises(UserError, match="peft_config"):
        make_trainer(tiny_model(), rows(), tmp_path)
    with pytest.raises(UserError, match="decision"):
        make_trainer(tiny_model(), [{"prompt_ids": [1]}], tmp_path)
    head = get_peft_model(tiny_model(), LoraConfig(**{**LORA, "target_modules": ["lm_head"]}))
    with pytest.raises(UserError, match="lm_head"):
        make_trainer(head, rows(), tmp_path)


@pytest.mark.parametrize("anchor", [0.0, 0.2])
def test_a_training_that_goes_on_ends_as_one_of_twice_the_epochs(anchor, tmp_path):
    made = [dict(row, advantage=(-1.0) ** i * row["advantage"]) for i, row in enumerate(rows(8))]
    examples = [
        Example(
            problem_id=str(number // 3),
            rollout=number % 3,
            prompt_ids=row["prompt_ids"],
            completion_ids=row["completion_ids"],
            entropy=[1.0 + d for d in row["decision"]],
            logprob=[-1.0] * len(row["decision"]),
            advantage=row["advantage"],
        )
        for number, row in enumerate(made)
    ]
    settings = TrainingConfig(
        adapter=AdapterConfig(rank=4, alpha=8),
        learning_rate=3e-3,
        weight_decay=0.1,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=0,
        batch_size=3,
        micro_batch_size=3,
        checkpoints=1,
        anchor_weight=anchor,
    )

    def trained(name, epochs, start=None):
        config = settings.model_copy(update={"epochs": epochs})
        model = add_adapter(tiny_model(), config.adapter, 0)
        fitting = FitArguments(tmp_path / name, 0, start)
        history = train_adapter(model, None, examples, Gate("threshold", 1.5, 0.4), config, fitting)
        return whole_checkpoints(tmp_path / name)[-1], history

    at_once, history = trained("at once", 2)
    first, before = trained("first", 1)
    second, after = trained("second", 1, first)
    one, other = (load_peft_weights(str(path)) for path in (at_once, second))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [row["loss"] for row in history] == [row["loss"] for row in [*before, *after]]
    assert any(not torch.equal(one[name], start) for name, start in load_peft_weights(str(first)).items())
