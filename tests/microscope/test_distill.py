"""Distillation: Eq. 4 of arXiv 2605.06241 by hand and in float64, and students that learn."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from safetensors.torch import load_file

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.config import DistillationConfig, ModelConfig, ShapeConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.checkpoints import save_adapter, whole_checkpoints
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.packed import PackedArguments
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.microscope import opinions
from reasonmaxxer.microscope.distill import (
    DistillationCollator,
    DistillationTrainer,
    check_shapes,
    parameter_counts,
    student_rows,
    student_training,
    train_student,
)
from reasonmaxxer.microscope.opinions import (
    Opinions,
    distillation_loss,
    mean_kl,
    opinion_table,
    opinions_from_table,
    teacher_opinions,
)
from reasonmaxxer.models import load_model
from reasonmaxxer.models.score import over_positions
from reasonmaxxer.models.states import TokenSequence, token_count
from reasonmaxxer.recipe import parse_config
from tests.tiny import tiny_folder, tiny_model

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
TOP = 7


def identity(hidden):
    return hidden


def bucket_kl(teacher, logit_NV):
    """KL of each position over the teacher's K and the rest, written out in the type of the logits."""
    q_NV, ids_NK = logit_NV.softmax(-1), teacher.ids_NK.long()
    logp_NB, q_NB = teacher.logprob_NK, q_NV.gather(-1, ids_NK)
    if ids_NK.shape[1] < q_NV.shape[1]:
        others_NV = torch.ones_like(q_NV).scatter(-1, ids_NK, 0.0)
        q_NB = torch.cat([q_NB, (q_NV * others_NV).sum(-1, keepdim=True)], -1)
        logp_NB = torch.cat([logp_NB, teacher.rest_N[:, None]], -1)
    logp_NB = logp_NB.to(q_NV.dtype)
    return (logp_NB.exp() * (logp_NB - q_NB.log())).sum(-1)


def opinions_of(head, hidden_ND, top):
    """A teacher's opinions, from its final hidden states."""
    return Opinions(*over_positions(partial(opinions._opinions, top=top), [head], [hidden_ND]))


def test_loss_and_gradient_by_hand():
    # p = (1/2, 1/4 | 1/4), q = (1/4, 1/4 | 1/2): KL = ln(2)/2 + 0 - ln(2)/4 = ln(2)/4, weight 3.
    # Gradient: q - p of the top, q (1 - p_rest / q_rest) = 1/8 of the others.
    p = torch.tensor([[1 / 2, 1 / 4, 3 / 16, 1 / 16]])
    teacher = opinions_of(identity, p.log(), 2)
    assert teacher.ids_NK.tolist() == [[0, 1]]
    assert teacher.rest_N.tolist() == pytest.approx([math.log(1 / 4)])
    hidden = torch.zeros(1, 4, requires_grad=True)
    loss, kl = distillation_loss(identity, hidden, teacher, torch.tensor([3.0]))
    loss.backward()
    assert kl.item() == pytest.approx(math.log(2) / 4)
    assert loss.item() == pytest.approx(3 * math.log(2) / 4)
    assert hidden.grad[0].tolist() == pytest.approx([-3 / 4, 0, 3 / 8, 3 / 8], abs=1e-6)
    assert over_positions(opinions._kl, [identity], [hidden.detach()], *teacher)[0].item() == kl.item()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999),
    rows=st.integers(1, 12),
    top=st.sampled_from([1, 5, 30, 31, 64]),
    chunk=st.one_of(st.none(), st.integers(1, 13)),
    cap=st.sampled_from([None, 5.0]),
    scale=st.sampled_from([1.0, 6.0]),
)
def test_values_and_gradients_equal_float64_autograd(seed, rows, top, chunk, cap, scale):
    generator = torch.Generator().manual_seed(seed)
    size, vocab = 8, 31
    weight, hidden, taught = (torch.randn(n, size, generator=generator) for n in (vocab, rows, rows))
    share = torch.rand(rows, generator=generator)
    down, up = torch.randn(2, size, generator=generator), torch.randn(vocab, 2, generator=generator)

    def head_of(down, up):
        def head(state):
            logits = scale * (state @ weight.to(state.dtype).T + state @ down.T @ up.T)
            return logits if cap is None else cap * torch.tanh(logits / cap)

        return head

    teacher = opinions_of(head_of(down * 0, up), taught, top)
    ours = [part.clone().requires_grad_() for part in (hidden, down, up)]
    loss, kl = distillation_loss(head_of(*ours[1:]), ours[0], teacher, share, ours[1:], chunk)
    loss.backward()

    exact = [part.double().requires_grad_() for part in (hidden, down, up)]
    expected = bucket_kl(teacher, head_of(*exact[1:])(exact[0]))
    (expected * share).sum().backward()
    torch.testing.assert_close(kl.double(), expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.item(), (expected * share).sum().item(), rtol=1e-5, atol=1e-5)
    for mine, reference in zip(ours, exact, strict=True):
        limit = 1e-5 * max(1.0, reference.grad.abs().max().item())
        torch.testing.assert_close(mine.grad.double(), reference.grad, rtol=1e-4, atol=limit)


def test_the_whole_vocabulary_leaves_no_rest_and_gives_the_whole_kl():
    taught, hidden = torch.randn(2, 9, 31, generator=torch.Generator().manual_seed(1))
    teacher = opinions_of(identity, taught, 64)
    assert teacher.ids_NK.shape == (9, 31) and teacher.rest_N.isneginf().all()
    hidden = hidden.requires_grad_()
    loss, kl = distillation_loss(identity, hidden, teacher, torch.ones(9))
    loss.backward()
    logp, logq = (x.detach().double().log_softmax(-1) for x in (taught, hidden))
    torch.testing.assert_close(kl.double(), (logp.exp() * (logp - logq)).sum(-1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(hidden.grad.double(), logq.exp() - logp.exp(), rtol=1e-4, atol=1e-6)


def test_a_rest_of_a_billionth_keeps_its_digits():
    logits = torch.tensor([[20.0, 0.0, -0.5, -1.0, -3.0]])
    teacher = opinions_of(identity, logits, 1)
    exact = logits.double().log_softmax(-1)[0, 1:].logsumexp(0)
    assert exact < -18
    assert teacher.rest_N.item() == pytest.approx(exact.item(), abs=1e-5)
    assert 1 - teacher.logprob_NK.exp().sum() == 0  # what the obvious way would have left of it


def test_a_rest_that_the_student_rules_out_has_a_finite_gradient():
    teacher = opinions_of(identity, torch.tensor([[1.0, 0.0, 0.0]]), 1)
    hidden = torch.tensor([[150.0, 0.0, -1.0]], requires_grad=True)
    loss, _ = distillation_loss(identity, hidden, teacher, torch.ones(1))
    loss.backward()
    exact = hidden.detach().double().requires_grad_()
    logq = exact.log_softmax(-1)  # q_rest itself is no float32
    rest = teacher.rest_N.double()
    expected = teacher.logprob_NK.double().exp() * (teacher.logprob_NK.double() - logq[:, :1])
    expected = expected.sum() + (rest.exp() * (rest - logq[0, 1:].logsumexp(0))).sum()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(hidden.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    hidden = torch.randn(40, 200, generator=torch.Generator().manual_seed(2)).requires_grad_()
    teacher = opinions_of(identity, hidden.detach(), 64)
    loss, _ = distillation_loss(identity, hidden, teacher, torch.ones(40))
    loss.backward()
    assert abs(loss.item()) < 1e-4
    assert hidden.grad.abs().max() < 1e-6


# Opinions of a model.


def sequences(count=6, seed=0, vocab=97, group=3):
    """Completions in groups of one prompt each, as rollouts are."""
    g = torch.Generator().manual_seed(seed)

    def ids(low, high):
        length = torch.randint(low, high, (1,), generator=g).item()
        return torch.randint(3, vocab, (length,), generator=g).tolist()

    made = []
    for i in range(count):
        prompt = made[-1].prompt_ids if i % group else ids(3, 9)
        made.append(TokenSequence(prompt, ids(2, 15)))
    return made


def full_logits(model, sequence):
    """Logits that predict each token of the completion, the sequence alone."""
    ids = torch.tensor([[*sequence.prompt_ids, *sequence.completion_ids]])
    return model(input_ids=ids).logits[0, len(sequence.prompt_ids) - 1 : -1]


def retrained(model, seed=9, size=0.4):
    """A model that differs from its base in the attention, as a tuned one does."""
    tuned = copy.deepcopy(model)
    g = torch.Generator().manual_seed(seed)
    for name, weight in tuned.named_parameters():
        if "self_attn" in name and weight.dim() > 1:
            weight.data += size * weight.std() * torch.randn(weight.shape, generator=g)
    return tuned


def test_opinions_are_those_of_full_float64_logits(tmp_path):
    teacher = tiny_model("gemma2")
    seen = []
    found = teacher_opinions(sequences(), teacher, TOP, seen.append)
    write_table(opinion_table(found), tmp_path / "o.parquet")
    again = opinions_from_table(read_table(tmp_path / "o.parquet"))
    for sequence, opinion, read in zip(sequences(), found, again, strict=True):
        logp = full_logits(teacher, sequence).double().log_softmax(-1)
        top, ids = logp.topk(TOP)
        assert opinion.ids_NK.tolist() == ids.tolist()
        torch.testing.assert_close(opinion.logprob_NK.double(), top, rtol=1e-4, atol=1e-4)
        rest = logp.scatter(-1, ids, -torch.inf).logsumexp(-1)
        torch.testing.assert_close(opinion.rest_N.double(), rest, rtol=1e-4, atol=1e-4)
        for name in ("ids_NK", "logprob_NK", "rest_N"):
            assert torch.equal(getattr(opinion, name), getattr(read, name))
            assert getattr(opinion, name).dtype == getattr(read, name).dtype
    assert sorted(seen) == sorted(map(token_count, sequences()))
    assert found[0].ids_NK.dtype == torch.int32 and found[0].rest_N.dtype == torch.float32


def test_mean_kl_is_that_of_each_completion():
    base = tiny_model(scale=4.0)
    teacher = retrained(base)
    opinions = teacher_opinions(sequences(), teacher, TOP)
    expected = [
        bucket_kl(opinion, full_logits(base, sequence).double()).mean().item()
        for sequence, opinion in zip(sequences(), opinions, strict=True)
    ]
    np.testing.assert_allclose(mean_kl(sequences(), opinions, base), expected, rtol=1e-4)
    np.testing.assert_allclose(mean_kl(sequences(), opinions, teacher), 0, atol=1e-5)
    assert min(expected) > 0.001


# Training.


def rows_of(teacher, made):
    return student_rows(made, teacher_opinions(made, teacher, TOP))


def adapted(model, modules=QKVO, size=0.3, dropout=0.0):
    """A LoRA whose second matrix is not zero, so that base and student differ."""
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=list(modules), task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    g = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = size * torch.randn(weight.shape, generator=g)
    return model


def make_trainer(model, data, tmp_path, max_length=99):
    arguments = PackedArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no"
    )
    return DistillationTrainer(model, arguments, DistillationCollator(max_length), data)


def loss_and_gradients(trainer, data, batches=None):
    """Loss and gradients of one optimiser step over `data`, in the given micro-batches."""
    trainer.model.zero_grad()
    total = 0.0
    micro = [trainer.data_collator([data[i] for i in b]) for b in batches or [range(len(data))]]
    count = trainer._get_num_items_in_batch(micro, "cpu")
    for batch in micro:
        for row in batch["rows"]:
            loss = trainer.compute_loss(trainer.model, row, num_items_in_batch=count)
            loss.backward()
            total += loss.item()
    named = trainer.model.named_parameters()
    return total, {name: p.grad.clone() for name, p in named if p.requires_grad}


def test_targets_by_hand():
    opinions = [
        Opinions(
            torch.tensor([[n], [n + 1]], dtype=torch.int32),
            torch.tensor([[-0.1], [-0.2]]) - n,
            torch.tensor([-1.0, -2.0]) - n,
        )
        for n in (0, 10, 20)
    ]
    made = [([7, 8], [1, 2]), ([7, 8], [3, 4]), ([9, 9, 9], [5, 6])]
    data = student_rows([TokenSequence(*ids) for ids in made], opinions)
    (row,) = DistillationCollator(max_length=4)(data)["rows"]
    # Row: 7 8 | 1 2 | 3 4 || 9 9 9 | 5, the last token cut off.
    assert row["input_ids"].tolist() == [[7, 8, 1, 2, 3, 4, 9, 9, 9, 5]]
    assert row["layout"] == [[2, 2, 2], [3, 1]]
    assert row["index"].tolist() == [1, 2, 1, 4, 8]
    assert row["weight"].tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert row["top_ids"].tolist() == [[0], [1], [10], [11], [20]]
    assert row["rest_logprob"].tolist() == [-1, -2, -11, -12, -21]
    assert row["top_logprobs"][:2, 0].tolist() == pytest.approx([-0.1, -0.2])


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
@pytest.mark.parametrize("modules", [QKVO, ("lm_head",), ("o_proj", "lm_head")])
@pytest.mark.parametrize("tied", [False, True])
def test_loss_and_gradients_equal_the_float64_transcription(family, modules, tied, tmp_path):
    base = tiny_model(family, scale=4.0, tie_word_embeddings=tied)
    made = sequences()
    data = rows_of(retrained(base), made)
    model = adapted(copy.deepcopy(base), modules)
    exact = copy.deepcopy(model).double()
    loss, gradients = loss_and_gradients(make_trainer(model, data, tmp_path), data)
    expected = torch.stack(
        [
            bucket_kl(row["opinions"], full_logits(exact, sequence)).mean()
            for row, sequence in zip(data, made, strict=True)
        ]
    ).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    learnt = {name: p.grad for name, p in exact.named_parameters() if p.requires_grad}
    assert learnt.keys() == gradients.keys()
    for name, gradient in learnt.items():
        scale = gradient.abs().max().item()
        assert scale > 0
        torch.testing.assert_close(gradients[name].double(), gradient, rtol=1e-4, atol=1e-4 * max(scale, 1e-3))


@settings(max_examples=10, deadline=None)
@given(data=st.data(), seed=st.integers(0, 50))
def test_batching_padding_and_order_change_nothing(data, seed, tmp_path_factory):
    base = tiny_model(scale=4.0)
    examples = rows_of(retrained(base), sequences(6, seed))
    order = data.draw(st.permutations(range(6)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5))))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, 6], strict=True)]
    model = adapted(base, ("q_proj", "v_proj", "lm_head"))
    trainer = make_trainer(model, examples, tmp_path_factory.mktemp("t"))
    whole, whole_gradients = loss_and_gradients(trainer, examples)
    split, split_gradients = loss_and_gradients(trainer, examples, parts)
    assert split == pytest.approx(whole, rel=1e-5, abs=1e-6)
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(split_gradients[name], gradient, rtol=1e-4, atol=2e-5)


def config(**values):
    values = {
        "learning_rate": 1e-2, "epochs": 12, "batch_size": 8, "micro_batch_size": 4, **values,
    }  # fmt: skip
    return DistillationConfig(**values)


def trained(base, teacher, made, folder, modules, **values):
    """A student of rank 4 and the history of its training."""
    shape, chosen = ShapeConfig(modules=modules, rank=4), config(**values)
    training = student_training(chosen, shape, len(made))
    model = add_adapter(copy.deepcopy(base), training.adapter, 0)
    history = train_student(model, None, rows_of(teacher, made), training, FitArguments(folder, 0))
    return model, history


def test_a_student_comes_closer_to_its_teacher(tmp_path):
    base = tiny_model(scale=4.0)
    teacher = retrained(base)
    made, held_out = sequences(16, group=2), sequences(6, seed=7)
    model, history = trained(base, teacher, made, tmp_path, QKVO)
    assert [row["step"] for row in history] == list(range(1, 25))  # 12 epochs of 16 sequences, 8 a step
    opinions = teacher_opinions(made, teacher, TOP)
    before, after = (mean_kl(made, opinions, m).mean() for m in (base, model))
    assert after < before / 3
    assert history[-1]["loss"] == pytest.approx(after, rel=0.5)
    opinions = teacher_opinions(held_out, teacher, TOP)
    assert mean_kl(held_out, opinions, model).mean() < mean_kl(held_out, opinions, base).mean()


def test_the_papers_settings_become_a_trainer_s():
    training = student_training(DistillationConfig(), ShapeConfig(modules=QKVO, rank=16), sequences=400)
    # 25 steps an epoch, 75 in all, a tenth of them rounded up to warm up.
    assert training.warmup_steps == 8
    assert (training.epochs, training.batch_size, training.weight_decay) == (3, 16, 0.01)
    adapter = training.adapter
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (16, 32, 0.05)
    assert [shape.name for shape in DistillationConfig().shapes] == ["qkvo-32", "qkvo-16", "qkvo-8", "o-8"]


def test_the_learning_rate_warms_up_and_decays(tmp_path):
    base = tiny_model()
    _, history = trained(base, base, sequences(8), tmp_path, ("o_proj",), epochs=10, warmup_share=0.3)
    rates = [row["learning_rate"] / 1e-2 for row in history]
    rising, falling = [0, 1 / 3, 2 / 3], [1 - n / 7 for n in range(7)]
    assert rates == pytest.approx(rising + falling)


# An adapter on the output head.


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_on_the_head_leaves_the_embedding_and_comes_back_from_its_folder(tied, tmp_path):
    folder = tiny_folder(tmp_path / "base")
    base = tiny_model(vocab=8, tie_word_embeddings=tied)
    base.save_pretrained(folder)
    teacher = tiny_model(vocab=8, seed=3, tie_word_embeddings=tied)
    made = sequences(8, vocab=8)
    model, _ = trained(base, teacher, made, tmp_path / "run", ("lm_head",))
    checkpoint = whole_checkpoints(tmp_path / "run")[-1]
    named = load_model(ModelConfig(name=str(folder), device="cpu"))
    save_adapter(checkpoint, tmp_path / "student", named)

    names = list(load_file(tmp_path / "student" / "adapter_model.safetensors"))
    assert sorted(name.rpartition("lm_head.")[2] for name in names) == ["lora_A.weight", "lora_B.weight"]
    ids = torch.arange(8)
    inner = model.get_base_model()
    assert torch.equal(inner.get_input_embeddings()(ids), base.get_input_embeddings()(ids))
    assert torch.equal(inner.lm_head.base_layer.weight, base.lm_head.weight)
    assert (inner.lm_head.base_layer.weight is inner.get_input_embeddings().weight) is tied

    opinions = teacher_opinions(made, teacher, TOP)
    assert mean_kl(made, opinions, model).mean() < 0.9 * mean_kl(made, opinions, base).mean()
    loaded = load_model(ModelConfig(name=str(tmp_path / "student"), device="cpu", dtype="float32")).model
    model.eval()
    assert (full_logits(model, made[0]) - full_logits(base, made[0])).abs().max() > 0.01
    torch.testing.assert_close(full_logits(loaded, made[0]), full_logits(model, made[0]), rtol=1e-4, atol=1e-4)


def test_parameters_are_counted_once():
    model = tiny_model(tie_word_embeddings=True)
    base = sum(p.numel() for p in model.parameters())
    # Of a layer, q and o: 32 -> 32, k and v: 32 -> 16, so 64 + 64 + 48 + 48 a rank; three layers.
    assert parameter_counts(adapted(model)) == (2688, 2688 / base)
    head = tiny_model(tie_word_embeddings=True)
    assert parameter_counts(adapted(head, ("lm_head",))) == (4 * (32 + 97), 4 * (32 + 97) / base)


# Shapes.


def test_shapes_are_read_and_named():
    shapes = DistillationConfig(shapes=["qkvo:32", "o:8", "lm_head:4", "up_proj+gate_proj:2"]).shapes
    assert [shape.name for shape in shapes] == ["qkvo-32", "o-8", "lm_head-4", "up_proj+gate_proj-2"]
    assert shapes[0].modules == QKVO


@pytest.mark.parametrize("text", ["qkvo", "qkvo:", ":8", "qkvo:x", "qkvo:8,", "o:-1"])
def test_shapes_that_are_none(text):
    with pytest.raises(UserError, match=r"^distill: shapes\.0: '.*' is not of the form MODULES:RANK, such as"):
        parse_config(DistillationConfig, {"shapes": text}, "distill")


def test_shapes_that_cannot_be(tmp_path):
    model = tiny_model()
    with pytest.raises(UserError, match="Did you mean 'o_proj'"):
        check_shapes(model, [ShapeConfig(modules=("q_proj", "out_proj"), rank=1)])
    with pytest.raises(UserError, match="no linear layer 'embed_tokens'"):
        check_shapes(model, [ShapeConfig(modules=("embed_tokens",), rank=1)])
    check_shapes(model, [ShapeConfig(modules=("self_attn.q_proj", "lm_head"), rank=1)])
    for shapes in (["q:8", "q:8"], "qq:8", "a/b:8", "o:0", []):
        with pytest.raises(ValidationError):
            DistillationConfig(shapes=shapes)
