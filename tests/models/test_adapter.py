"""A merged adapter is the adapter, and leaves no trace."""

import torch
from peft import LoraConfig, get_peft_model

from reasonmaxxer.models.adapter import merged_adapter
from tests.tiny import tiny_model


def adapted(dtype=torch.float32):
    model = get_peft_model(
        tiny_model(scale=4.0).to(dtype),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
    )
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)
    return model.eval()


IDS = torch.arange(5, 25)[None]


def test_merged_logits_are_the_adapted_ones_without_adapter_products():
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
        with merged_adapter(model):
            merged = model(IDS).logits
        assert len(calls) == 12
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-4)
    assert (apart - base).abs().max() > 0.5, "the adapter must do something for this to test"


def test_weights_come_back_bit_by_bit_and_the_adapter_is_on_again():
    model = adapted(torch.bfloat16)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        apart = model(IDS).logits
        try:
            with merged_adapter(model):
                changed = sum(not torch.equal(p, before[n]) for n, p in model.named_parameters())
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert changed == 12
        assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
        assert torch.equal(model(IDS).logits, apart)


def test_an_adapter_that_is_off_stays_off():
    model = adapted()
    with torch.no_grad(), model.disable_adapter():
        base = model(IDS).logits
        with merged_adapter(model):
            assert torch.equal(model(IDS).logits, base)
        assert torch.equal(model(IDS).logits, base)
    plain = tiny_model()
    with merged_adapter(plain), torch.no_grad():
        assert plain(IDS).logits.shape == (1, 20, 97)
