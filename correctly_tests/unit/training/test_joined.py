"""LoRA's products inside the base's: the same numbers as peft's, forward and backward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from correctly_assets.training.engines.fused_lora import JoinedLinear, join_products
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.models.load_model import put_adapter_on
from correctly_assets.training.models.lora_model import Adapter
from correctly_tests.training_tiny import VOCABULARY, tiny_adapter, train_config, turns

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")


def tiny_llama(*, bias: bool = False, **lora: Any) -> Adapter:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "attn_implementation": "sdpa"}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, mlp_bias=bias)).float().eval()
    adapter = put_adapter_on(model, train_config(Path("/nowhere"), lora={"rank": 8, "alpha": 24, **lora}))
    for master in adapter.masters:
        master.data.normal_(std=0.1)
    adapter.push()
    return adapter


def stepped(adapter: Adapter, *, joined: bool) -> tuple[list[float], list[torch.Tensor], list[torch.Tensor]]:
    """Losses of three steps of descent, the last step's gradients and the weights after it."""
    engine = PlainEngine(adapter, CPU, joined=joined)
    assert joined == any(isinstance(module, JoinedLinear) for module in adapter.model.modules())
    losses: list[float] = []
    gradients: list[torch.Tensor] = []
    for _ in range(3):
        losses.append(engine.train(turns(4)))
        adapter.pull_gradients()
        gradients = [master.grad.clone() for master in adapter.masters if master.grad is not None]
        with torch.no_grad():
            for master in adapter.masters:
                assert master.grad is not None
                master -= 0.1 * master.grad
        adapter.push()
    losses.append(float(torch.cat(engine.losses(turns(4))).mean()))
    return losses, gradients, [master.detach() for master in adapter.masters]


@pytest.mark.parametrize("make", [tiny_adapter, tiny_llama])
def test_losses_gradients_and_weights_of_steps_are_those_of_pefts_layers(make: Any) -> None:
    expected, found = stepped(make(), joined=False), stepped(make(), joined=True)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert len(found[1]) == len(make().masters)
    for one, other in zip(found[1] + found[2], expected[1] + expected[2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_every_linear_layer_is_joined_on_its_wider_side_keeping_one_weight() -> None:
    adapter = tiny_llama()
    before = {
        name: module.weight.clone()
        for name, module in adapter.model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert join_products(adapter.model) == 14
    layers = {name: m for name, m in adapter.model.named_modules() if isinstance(m, JoinedLinear)}
    assert {name.rsplit(".", 1)[1]: layer.beside for name, layer in layers.items()} == {
        "q_proj": True, "k_proj": False, "v_proj": False, "o_proj": True,
        "gate_proj": True, "up_proj": True, "down_proj": False,
    }  # fmt: skip
    for name, layer in layers.items():
        weight = before[f"{name}.base_layer"]
        height, width = weight.shape
        torch.testing.assert_close(layer.joined[:height, :width], weight, rtol=0, atol=0)
        wider = layer.b if layer.beside else layer.a
        assert wider.untyped_storage().data_ptr() == layer.joined.untyped_storage().data_ptr()


def test_layers_whose_arithmetic_would_be_another_are_left_to_peft() -> None:
    assert join_products(tiny_llama(rank=4).model) == 0
    assert join_products(tiny_llama(dropout=0.1).model) == 0
    assert join_products(tiny_llama(bias=True).model) == 8, "the three of each layer that have a bias stay"
