"""The ledger: FLOPs against PyTorch's own counter, meters, prices."""

import mmap
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from reasonmaxxer.config import CostConfig
from reasonmaxxer.cost import Meter, ModelFlops, StageCost, price_of
from reasonmaxxer.errors import UserError
from reasonmaxxer.rollouts.table import Rollout
from tests.tiny import tiny_model

ATTENTION = 3 * 4 * 8  # layers x heads x head size of the tiny llama


def counted(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def eager(model):
    """The counter of PyTorch does not see the CPU's fused attention kernel."""
    model.set_attn_implementation("eager")
    return model


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
def test_forward_equals_the_counter_of_pytorch(family):
    model = eager(tiny_model(family))
    flops = ModelFlops(model)
    length = 11
    ids = torch.arange(length)[None] + 3
    # PyTorch counts masked scores too: length squared where a causal model needs half of them.
    masked = 4 * flops.attention * (length * (length - 1) // 2)
    with torch.inference_mode():
        assert counted(lambda: model(ids)) == flops.hidden(length) + flops.logits(length) + masked


def test_attention_and_weights_by_hand():
    flops = ModelFlops(tiny_model("llama"))
    # q 32x32, k and v 32x16, o 32x32, three of 32x64 in the MLP, three layers; the head is 97x32
    assert flops.linear == 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    assert flops.head == 97 * 32
    assert flops.attention == ATTENTION


def test_sampling_charges_the_prompt_once_and_no_token_twice():
    flops = ModelFlops(tiny_model("llama"))
    per_token = 2 * flops.linear
    # Prompt of 5; rollouts of 3 and 1 tokens: 2 and 0 tokens are read back, attending to 6 and 7.
    expected = (5 * per_token + 4 * ATTENTION * 15 + 2 * flops.head) + (
        2 * per_token + 4 * ATTENTION * (6 + 7) + 2 * 2 * flops.head
    )
    assert flops.sampling([5], [(5, 3), (5, 1)]) == expected


def test_what_is_drawn_after_a_cut_is_charged_from_the_token_before_it():
    flops = ModelFlops(tiny_model("llama"))
    kept = Rollout("p", 0, 0, [1] * 5, [1] * 4, "", "stop")
    # Prompt of 5; 2 tokens drawn behind 7: the seventh and one of them are read, attending to 7 and 8.
    expected = flops.hidden(5) + flops.logits(1) + 2 * 2 * flops.linear + 4 * ATTENTION * (7 + 8) + 2 * 2 * flops.head
    assert flops.rollouts([kept], [(7, 2)]) == expected
    assert flops.rollouts([kept]) == flops.sampling([5], [(5, 4)])


def test_training_is_what_the_counter_sees_of_a_plain_loss():
    model = eager(tiny_model("llama"))
    length = 10
    flops = ModelFlops(model)
    model = get_peft_model(model, LoraConfig(r=1, target_modules=["q_proj", "k_proj", "v_proj"]))
    assert vars(ModelFlops(model)) == vars(flops)  # whenever in a run they are made
    ids = torch.arange(length)[None] + 3

    def base():
        with torch.no_grad(), model.disable_adapter():
            model(ids)

    counts = counted(base) + counted(lambda: model(ids).logits.logsumexp(-1).sum().backward())
    # The plain loss has the last position too, and eager attention its masked scores, of which there
    # are two forward passes and a backward pass that is twice one.
    extra = 3 * flops.logits(1) + 4 * 4 * flops.attention * (length * (length - 1) // 2)
    # 3 %: the adapter's own products, and the gradient that stops at the lowest adapter
    layout = [[4, length - 4]]
    assert flops.training(layout, 0, anchored=True, base=True) + extra == pytest.approx(counts, rel=0.03)


def test_training_reads_a_prompt_once_for_all_its_completions():
    flops = ModelFlops(tiny_model("llama"))
    # Prompt of 4; completions of 6 and 2 tokens, which attend to 5..10 and to 5, 6 positions.
    pairs = (1 + 2 + 3 + 4) + (5 + 6 + 7 + 8 + 9 + 10) + (5 + 6)
    hidden = 12 * 2 * flops.linear + 4 * ATTENTION * pairs
    attention = 4 * ATTENTION * pairs
    layout, decisions = [[4, 6, 2]], 2 * 2 * flops.head * 3
    alone = 2 * hidden + attention + decisions
    assert flops.training(layout, 3, anchored=False, base=False) == alone
    # 11 predicted positions, 3 of them decisions; the base makes logits at the others
    anchors = 3 * 2 * flops.head * 8
    assert flops.training(layout, 3, anchored=True, base=False) == alone + anchors
    assert flops.training(layout, 3, anchored=True, base=True) == alone + anchors + hidden


def test_meter_measures_its_block():
    started = time.perf_counter()
    with Meter("rollouts", "cpu", usd_per_hour=3600.0) as meter:
        block = np.ones(64 * 2**20, dtype=np.uint8)
        meter.add(tokens=3, flops=5.0)
        meter.add(tokens=4)
        cost = meter.snapshot()
        longest = time.perf_counter() - started
    assert (cost.stage, cost.tokens, cost.flops) == ("rollouts", 7, 5.0)
    assert 0 < cost.seconds <= longest
    assert cost.usd == pytest.approx(cost.seconds)  # a dollar a second
    assert cost.peak_memory_bytes > len(block)


def test_peak_memory_is_the_blocks_own():
    block = mmap.mmap(-1, 300 * 2**20)  # goes back to the system when it is closed
    np.frombuffer(block, dtype=np.uint8)[:] = 1
    with Meter("first", "cpu", None) as meter:
        first = meter.snapshot()
    block.close()
    with Meter("second", "cpu", None) as meter:
        second = meter.snapshot()
    assert second.peak_memory_bytes < first.peak_memory_bytes - 200 * 2**20
    assert second.usd is None


def test_attempts_add_up():
    first = StageCost("training", 1, 2.0, 3.0, 4.0, 50, 0.5)
    second = StageCost("training", 10, 20.0, 30.0, 40.0, 5, 0.25)
    assert first + second == StageCost("training", 11, 22.0, 33.0, 44.0, 50, 0.75)
    assert StageCost(**asdict(first)) == first
    unpriced = StageCost("training", 0, 0.0, 0.0, 0.0, 0, None)
    assert (first + unpriced).usd is None


def test_prices():
    assert price_of(CostConfig(usd_per_hour=7.5), "cpu").usd_per_hour == 7.5
    h100 = price_of(CostConfig(price="h100-80g"), "cpu")
    assert (h100.usd_per_hour, h100.date, h100.estimated) == (2.49, "2026-04-28", False)
    cpu = price_of(CostConfig(), "cpu")
    assert cpu.estimated and cpu.usd_per_hour == pytest.approx(0.05 * price_cores())
    assert price_of(CostConfig(), "mps").usd_per_hour is None
    with pytest.raises(UserError, match="Did you mean 'h100-80g'"):
        price_of(CostConfig(price="h100-80"), "cpu")


def price_cores():
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    "name, entry",
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-80g"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("NVIDIA A100-SXM4-80GB", None),
    ],
)
def test_gpus_are_known_by_name(monkeypatch, name, entry):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert price_of(CostConfig(), "cuda:0").name == entry
