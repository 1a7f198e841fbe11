"""The plain engine's compiled layers: when they are, what they compute, and what happens where they cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.exc import InductorError

from correctly_assets.training.engines.choose_engine import make_engine, wants_compile
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.engines.torch_errors import is_out_of_memory
from correctly_tests.training_tiny import tiny_adapter, train_config, turns

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
ONE = {"num_hidden_layers": 1, "layer_types": ["full_attention"]}
TWO = {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2}


@pytest.fixture(autouse=True)
def _anew() -> None:
    torch.compiler.reset()


def test_compiling_is_as_set_and_else_on_a_gpu_that_has_what_it_needs() -> None:
    assert wants_compile("auto", "cuda", toolchain=True)
    assert not wants_compile("auto", "cuda", toolchain=False)
    assert not wants_compile("auto", "cpu", toolchain=True)
    assert wants_compile(True, "cpu", toolchain=False)
    assert not wants_compile(False, "cuda", toolchain=True)


def test_a_cpu_run_compiles_nothing_unless_it_is_told_to(tmp_path: Any) -> None:
    for setting, compiled in (("auto", False), (True, True)):
        adapter = tiny_adapter()
        make_engine(adapter, train_config(tmp_path, engine="plain", compile=setting), CPU)
        (layer, *_) = adapter.model.get_base_model().model.layers
        assert (layer._compiled_call_impl is not None) == compiled


def refuses(graph: torch.fx.GraphModule, inputs: Any) -> Any:
    raise RuntimeError("no C compiler here\nand more of it")


def refuses_one_backward() -> Any:
    """A backend for which the last layer's backward is compiled, leaves its gradients, and the first layer's is not."""
    seen: list[int] = []

    def backward(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        seen.append(1)
        # The first layer's is tried at its forward and, that having failed, once more when it is needed.
        if len(seen) != 2:
            raise InductorError(RuntimeError("no C compiler here\nand more of it"), None)  # pyright: ignore[reportArgumentType]
        return graph.forward

    return aot_autograd(fw_compiler=lambda graph, _: graph.forward, bw_compiler=backward)


@pytest.mark.parametrize("backend", [refuses, refuses_one_backward()], ids=["forward", "backward"])
def test_a_compile_that_fails_is_said_once_and_training_goes_on_without(backend: Any) -> None:
    expected, adapter = tiny_adapter(**TWO), tiny_adapter(**TWO)
    said: list[str] = []
    plain = PlainEngine(expected, CPU)
    engine = PlainEngine(adapter, CPU, compiled=True, backend=backend, say=said.append)
    for batch in (turns(4), turns(2)):
        assert engine.train(batch) == plain.train(batch)
        for copy, other in zip(adapter.copies, expected.copies, strict=True):
            torch.testing.assert_close(copy.grad, other.grad, rtol=0, atol=0)
            copy.grad = other.grad = None
    assert said == [
        "Compiling failed (RuntimeError: no C compiler here), so that training goes on without it, more slowly; "
        "set compile to false to leave out the attempt."
    ]


def test_memory_that_runs_out_while_compiling_stays_what_it_is() -> None:
    def too_big(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    said: list[str] = []
    engine = PlainEngine(tiny_adapter(**ONE), CPU, compiled=True, backend=too_big, say=said.append)
    with pytest.raises(RuntimeError) as caught:
        engine.train(turns(4))
    assert is_out_of_memory(caught.value)
    assert not said


def test_an_error_of_the_model_is_not_taken_for_one_of_compiling() -> None:
    said: list[str] = []
    engine = PlainEngine(
        tiny_adapter(**ONE), CPU, compiled=True, backend=lambda graph, _: graph.forward, say=said.append
    )
    broken = turns(2)[0]
    with pytest.raises(IndexError):
        engine.train([type(broken)("p", "example", "correct", (2, 10**6, 1), 2)])
    assert not said


def test_compiled_layers_mask_packed_rows_only_and_share_few_graphs() -> None:
    masked: list[bool] = []

    def watched(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        for node in graph.graph.nodes:
            if "scaled_dot_product_attention" in str(node.target):
                assert (node.kwargs["attn_mask"] is None) == node.kwargs["is_causal"]
                masked.append(node.kwargs["attn_mask"] is not None)
        return graph.forward

    adapter = tiny_adapter(num_hidden_layers=6, layer_types=["sliding_attention", "full_attention"] * 3)
    plain = tiny_adapter(num_hidden_layers=6, layer_types=["sliding_attention", "full_attention"] * 3)
    for pack, kinds in ((False, {False}), (True, {False, True})):
        engine = PlainEngine(adapter, CPU, compiled=True, pack=pack, backend=watched)
        for batch in (turns(4), turns(9, longest=30)):
            assert engine.train(batch) == pytest.approx(PlainEngine(plain, CPU).train(batch), rel=1e-5)
        assert set(masked) == kinds
        # The first layer, whose input takes no gradient, and all others, of either kind and at any length.
        assert len(masked) == 2 * len(kinds)
