"""The hand-written engine, the plain one and autograd agree; the loss is the textbook's."""

from __future__ import annotations

import pytest
import torch

from correctly_assets.training.engines.gemma_cpu import FastEngine
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.engines.loss import VocabularyLoss
from correctly_assets.training.engines.packing import pack, share_out
from correctly_assets.training.models.lora_model import Adapter
from correctly_tests.training_tiny import VOCABULARY, tiny_adapter, turns

pytestmark = pytest.mark.slow


def gradients(adapter: Adapter) -> dict[str, torch.Tensor]:
    """The adapter's gradients as the optimiser would see them, taken away."""
    adapter.pull_gradients()
    found = {n: m.grad.clone() for n, m in zip(adapter.names, adapter.masters, strict=True) if m.grad is not None}
    for master in adapter.masters:
        master.grad = None
    return found


@pytest.mark.parametrize(("key_heads", "window", "workers"), [(1, 512, 1), (2, 512, 2), (1, 7, 2), (1, 512, 3)])
def test_the_fast_engine_has_the_losses_and_gradients_of_transformers(
    key_heads: int, window: int, workers: int
) -> None:
    adapter = tiny_adapter(num_key_value_heads=key_heads, sliding_window=window)
    batch = turns()
    plain = PlainEngine(adapter, torch.device("cpu"))
    plain_loss = plain.train(batch)
    plain_gradients = gradients(adapter)
    plain_turn_losses = plain.losses(batch)

    fast = FastEngine(adapter, workers=workers)
    assert fast.train(batch) == pytest.approx(plain_loss, rel=1e-5)
    assert len(plain_gradients) == len(adapter.names)
    for name, gradient in gradients(adapter).items():
        torch.testing.assert_close(gradient, plain_gradients[name], rtol=2e-3, atol=2e-5, msg=name)
    for ours, theirs in zip(fast.losses(batch), plain_turn_losses, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_fast_engine_follows_the_masters_after_a_push() -> None:
    adapter = tiny_adapter()
    fast = FastEngine(adapter)
    before = fast.losses(turns())[0]
    for master in adapter.masters:
        master.data.mul_(0.5)
    adapter.push()
    after = fast.losses(turns())[0]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(
        after, PlainEngine(adapter, torch.device("cpu")).losses(turns())[0], rtol=1e-4, atol=1e-5
    )


def test_the_plain_engines_loss_is_transformers_own_on_completion_labels() -> None:
    adapter = tiny_adapter()
    batch = turns()[:1]
    ids = torch.tensor([batch[0].ids])
    expected = adapter.model(input_ids=ids, labels=torch.tensor([batch[0].labels()])).loss
    assert PlainEngine(adapter, torch.device("cpu")).train(batch) == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_computes_each_distinct_prefix_once_and_never_a_last_token() -> None:
    batch = pack(turns())
    prefixes = {turn.ids[: end + 1] for turn in turns() for end in range(turn.length - 1)}
    assert len(batch.ids) == len(prefixes)
    assert batch.targets.tolist() == [token for turn in turns() for token in turn.ids[turn.prompt_length :]]


@pytest.mark.parametrize("sure", [0.0, 40.0])
def test_the_vocabulary_loss_and_gradient_are_the_textbooks_throughout(sure: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(VOCABULARY, 8)
    hidden = torch.randn(37, 8, requires_grad=True)
    targets = torch.randint(0, VOCABULARY, (37,))
    if sure:
        weight[targets[0]] = hidden.detach()[0] * sure
    loss = VocabularyLoss(weight)
    loss.rows = 10
    losses, gradient = loss(hidden.detach(), targets, gradient=True)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.t(), targets, reduction="none")
    expected.sum().backward()
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, hidden.grad, rtol=1e-3, atol=1e-4)


def test_a_batch_is_shared_out_whole_and_evenly() -> None:
    batch = turns(11)
    parts = share_out(batch, 3)
    assert sorted(index for part in parts for index in part) == list(range(len(batch)))
    work = [sum(batch[i].length + 1.7 * batch[i].learned for i in part) for part in parts]
    assert max(work) < 1.25 * min(work)
    assert share_out(batch[:1], 3) == [[0]]
