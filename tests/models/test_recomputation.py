"""Recomputing what is cheap changes no bit of outputs and gradients, keeps less, and leaves no trace."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from transformers.models.llama.modeling_llama import LlamaMLP

from reasonmaxxer.models.cpu.recomputation import selective_recomputation
from tests.tiny import tiny_model

IDS = torch.arange(5, 45)[None]
# norms and a feed-forward part of each of three layers
REPLACED = {"llama": 3, "qwen2": 3, "qwen3": 5, "mistral": 3, "gemma2": 5, "gemma3_text": 7}


def adapted(family="llama", dtype=torch.float32):
    modules = ["q_proj", "v_proj", "gate_proj", "down_proj"]
    model = tiny_model(family, scale=4.0).to(dtype)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=modules))
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
        elif "norm" in name:  # all ones would hide a factor that is left out
            weight.data = (1 + 0.3 * torch.randn(weight.shape)).to(dtype)
    return model


def pass_of(model):
    """Logits, the gradients of the adapter, and the bytes kept between the two passes."""
    kept, weights = {}, {w.data_ptr() for w in model.parameters()}

    def keep(tensor):
        if tensor.data_ptr() not in weights:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16, enabled=model.dtype == torch.bfloat16)
    with saved_tensors_hooks(keep, lambda tensor: tensor), mixed:
        logits = model(IDS, use_cache=False).logits
    trained = [w for w in model.parameters() if w.requires_grad]
    slope = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(logits, trained, slope.to(logits.dtype))
    return logits, gradients, sum(kept.values())


def replaced(model):
    return [module for module in model.modules() if "forward" in vars(module)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", REPLACED)
def test_same_bits_and_less_kept(family, dtype):
    model = adapted(family, dtype)
    logits, gradients, kept = pass_of(model)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    with selective_recomputation(model):
        assert len(replaced(model)) == 3 * REPLACED[family] + 1  # and the last norm
        own_logits, own_gradients, own_kept = pass_of(model)
    assert torch.equal(own_logits, logits)
    for own, expected in zip(own_gradients, gradients, strict=True):
        assert torch.equal(own, expected) or dtype == torch.float32  # whose sums are taken in another order
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())
    assert own_kept < 0.95 * kept
    assert not replaced(model)


def test_gradients_are_those_of_the_equation():
    """In float64, where autograd differentiates the equation itself."""
    model = adapted()
    norm = model.get_submodule("base_model.model.model.layers.0.input_layernorm")
    x = torch.randn(7, 32, requires_grad=True, generator=torch.Generator().manual_seed(0))
    slope = torch.randn(7, 32, generator=torch.Generator().manual_seed(1))
    with selective_recomputation(model):
        (found,) = torch.autograd.grad(norm(x), x, slope)
    exact = x.detach().double().requires_grad_()
    root = (exact.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
    (expected,) = torch.autograd.grad(norm.weight.double() * exact / root, exact, slope.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_trained_norms_and_other_layers_are_left_alone():
    class Other(LlamaMLP):
        def forward(self, x):
            return 2 * super().forward(x)

    model = adapted()
    layer = model.get_submodule("base_model.model.model.layers.1")
    layer.input_layernorm.weight.requires_grad_(True)
    layer.mlp = Other(model.config)
    with selective_recomputation(model):
        assert len(replaced(model)) == 8
        assert "forward" not in vars(layer.input_layernorm) | vars(layer.mlp)


def test_kernels_that_are_off_change_nothing(monkeypatch):
    monkeypatch.setenv("REASONMAXXER_CPU_KERNELS", "0")
    model = adapted()
    with selective_recomputation(model):
        assert not replaced(model)


def test_a_norm_of_wider_weights_computes_as_before():
    model = adapted(dtype=torch.bfloat16)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = weight.data.float()
    norm = model.get_submodule("base_model.model.model.norm")
    x = torch.randn(3, 32).bfloat16()
    expected = norm(x)
    with selective_recomputation(model):
        assert norm(x).dtype == torch.float32
        assert torch.equal(norm(x), expected)


def test_block_within_a_block():
    model = adapted()
    with selective_recomputation(model):
        with selective_recomputation(model):
            pass
        assert len(replaced(model)) == 10
    assert not replaced(model)
