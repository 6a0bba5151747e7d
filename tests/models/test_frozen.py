"""A frozen model is the model, its adapter however small, and the block leaves no trace."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from reasonmaxxer.models.cpu import frozen as frozen_module
from reasonmaxxer.models.cpu.frozen import frozen
from tests.tiny import tiny_model


def adapted(dtype=torch.float32, size=0.3):
    model = get_peft_model(
        tiny_model(scale=4.0).to(dtype),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
    )
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = size * torch.randn(weight.shape, generator=generator)
    return model.eval()


IDS = torch.arange(5, 25)[None]


def test_logits_are_the_adapted_ones_without_pefts_layers():
    model = adapted()
    calls = []
    for name, module in model.named_modules():
        if name.endswith("lora_A.default"):
            module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        apart = model(IDS).logits
        assert len(calls) == 12  # four modules in three layers
        with model.disable_adapter():
            base = model(IDS).logits
        with frozen(model):
            light = model(IDS).logits
        assert len(calls) == 12
    torch.testing.assert_close(light, apart, rtol=1e-4, atol=1e-4)
    assert (apart - base).abs().max() > 0.5, "the adapter must do something for this to test"


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"target_modules": ["q_proj", "v_proj"], "use_dora": True}),
        ("llama", {"target_modules": ["q_proj", "v_proj"], "lora_bias": True}),
        ("llama", {"target_modules": ["q_proj", "embed_tokens"]}),
        ("gpt2", {"target_modules": ["c_proj"], "fan_in_fan_out": True}),  # Conv1D
    ],
    ids=["dora", "bias", "embedding", "conv1d"],
)
def test_what_is_not_two_products_is_left_to_peft(family, options):
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)
    small = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    plain = GPT2LMHeadModel(small) if family == "gpt2" else tiny_model(family)
    model = get_peft_model(plain, config).eval()
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():
        apart = model(IDS).logits
        with model.disable_adapter():
            base = model(IDS).logits
        with frozen(model):
            light = model(IDS).logits
    torch.testing.assert_close(light, apart, rtol=1e-4, atol=1e-4)
    assert (apart - base).abs().max() > 0.01, "the adapter must do something for this to test"


def test_two_adapters_at_once():
    model = adapted()
    model.add_adapter("other", LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"]))
    model.base_model.set_adapter(["default", "other"])
    for name, weight in model.named_parameters():
        if "lora_B.other" in name:
            torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():
        apart = model(IDS).logits
        with frozen(model):
            torch.testing.assert_close(model(IDS).logits, apart, rtol=1e-4, atol=1e-4)


def test_an_adapter_far_below_the_rounding_of_its_weights_still_acts():
    model = adapted(torch.bfloat16, size=2e-4)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    weight = layer.get_base_layer().weight
    down, up = (getattr(layer, part)["default"].weight.double() for part in ("lora_A", "lora_B"))
    added = (weight.double() + 2 * up @ down).to(torch.bfloat16)
    assert (added == weight).double().mean() > 0.5  # what adding it to the weights would lose
    x = torch.randn(4096, 32, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.no_grad():
        base = layer.get_base_layer()(x).double()
        with frozen(model):
            change = layer(x).double() - base
    expected = (x.double() @ (2 * up @ down).T).detach()
    share = float((change * expected).sum() / (expected**2).sum())
    assert abs(share - 1) < 0.1


def test_nothing_of_it_remains():
    model = adapted(torch.bfloat16)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        apart = model(IDS).logits
        try:
            with frozen(model):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert all("forward" not in vars(module) for module in model.modules())
        assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
        assert torch.equal(model(IDS).logits, apart)


def test_an_adapter_that_is_off_stays_off():
    model = adapted()
    with torch.no_grad(), model.disable_adapter():
        base = model(IDS).logits
        with frozen(model):
            assert torch.equal(model(IDS).logits, base)
        assert torch.equal(model(IDS).logits, base)
    plain = tiny_model()
    with frozen(plain), torch.no_grad():
        assert plain(IDS).logits.shape == (1, 20, 97)


LAID_OUT = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # else bfloat16 layers stay as they are


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2"])  # qwen2 has biases
def test_bfloat16_products_are_the_same_to_the_bit(family):
    model = tiny_model(family).to(torch.bfloat16).eval()
    layer = next(m for m in model.modules() if type(m) is torch.nn.Linear)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for rows in (1, 3, 16, 100, 700):
            x = torch.randn(rows, layer.in_features, generator=generator).to(torch.bfloat16)
            plain = layer(x)
            with frozen(model):
                assert ("forward" in vars(layer)) == LAID_OUT
                assert torch.equal(layer(x), plain)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_float32_products_err_no_more_than_plain_ones(family):
    model = tiny_model(family).eval()
    for layer in (m for m in model.modules() if type(m) is torch.nn.Linear):
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias)
        x = torch.randn(2, 50, layer.in_features, generator=torch.Generator().manual_seed(1))
        exact = x.double() @ layer.weight.double().T
        if layer.bias is not None:
            exact += layer.bias.double()
        with torch.no_grad():
            plain = (layer(x) - exact).abs().max()
            with frozen(model):
                assert "forward" in vars(layer)
                found = layer(x)
        assert found.shape == exact.shape and found.is_contiguous()
        assert (found - exact).abs().max() <= 2 * plain


def test_a_block_within_a_block_does_nothing_and_ends_nothing():
    model = adapted()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    with frozen(model):
        outer = [vars(layer).get("forward") for layer in layers]
        assert any(outer)
        with frozen(model):
            assert [vars(layer).get("forward") for layer in layers] == outer
        assert [vars(layer).get("forward") for layer in layers] == outer


def test_a_forward_that_another_put_there_stays():
    model = tiny_model().eval()
    model.lm_head.forward = lambda x: x  # as accelerate's hooks do
    own = model.lm_head.forward
    with frozen(model):
        assert model.lm_head.forward is own
    assert model.lm_head.forward is own


def test_a_model_beyond_the_limit_takes_no_more_memory(monkeypatch):
    monkeypatch.setattr(frozen_module, "LIMIT_BYTES", 1000)
    model = adapted()
    with torch.no_grad():
        apart = model(IDS).logits
        with frozen(model):
            plain = model.base_model.model.lm_head
            assert "forward" not in vars(plain)
            torch.testing.assert_close(model(IDS).logits, apart, rtol=1e-4, atol=1e-4)


def test_trained_weights_are_read_anew():
    model = tiny_model().eval()
    with torch.no_grad():
        with frozen(model):
            before = model(IDS).logits
        model.lm_head.weight *= 2
        with frozen(model):
            torch.testing.assert_close(model(IDS).logits, 2 * before)
