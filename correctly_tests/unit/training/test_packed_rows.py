"""Several turns in a row: the same losses and gradients as one a row, and when it is done."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.training.config import TrainConfig, read_config
from correctly_assets.training.engines.hf_model import PlainEngine, turns_stay_apart
from correctly_assets.training.engines.packing import PACK_FROM, ROW_TOKENS, choose_rows, fill_rows, lay_rows, row_width
from correctly_assets.training.models.load_model import put_adapter_on
from correctly_assets.training.models.lora_model import Adapter
from correctly_assets.training.rendering import Turn
from correctly_tests.training_tiny import VOCABULARY, tiny_adapter, train_config

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "attn_implementation": "sdpa"}


def with_adapter(model: Any) -> Adapter:
    for parameter in model.parameters():
        parameter.data.normal_(std=0.2)
    adapter = put_adapter_on(model.float().eval(), train_config(Path("/nowhere")))
    for master in adapter.masters:
        master.data.normal_(std=0.1)
    adapter.push()
    return adapter


def adapter_on(kind: str) -> Adapter:
    """A tiny Gemma 3 whose window cuts turns or does not, or a tiny Llama."""
    if kind == "llama":
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(3)
        return with_adapter(LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS)))
    return tiny_adapter(sliding_window={"gemma": 512, "gemma with a short window": 9}[kind])


def convolving() -> Adapter:
    """A tiny LFM2, whose short convolutions run along a row whatever the positions say."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(3)
    settings = {**SIZES, **HEADS, "layer_types": ["conv", "full_attention"], "block_multiple_of": 8}
    return with_adapter(Lfm2ForCausalLM(Lfm2Config(**settings)))


def turn(number: int, prompt: int, answer: int) -> Turn:
    rng = random.Random(f"{number} {prompt} {answer}")
    ids = tuple(rng.randrange(3, VOCABULARY) for _ in range(prompt + answer))
    return Turn(f"p{number}", "example", ("correct", "explain")[number % 2], ids, prompt)


UNEVEN = [turn(n, *sizes) for n, sizes in enumerate([(3, 1), (190, 30), (1, 2), (60, 70), (5, 40), (150, 3), (30, 30)])]


def trained(adapter: Adapter, engine: PlainEngine, batch: list[Turn]) -> tuple[float, dict[str, torch.Tensor]]:
    loss = engine.train(batch)
    adapter.pull_gradients()
    found = {n: m.grad for n, m in zip(adapter.names, adapter.masters, strict=True) if m.grad is not None}
    for master in adapter.masters:
        master.grad = None
    return loss, found


@pytest.mark.parametrize("kind", ["gemma", "gemma with a short window", "llama"])
def test_a_packed_batch_gives_the_loss_and_gradients_of_the_padded_one(kind: str) -> None:
    adapter = adapter_on(kind)
    padded, packed = (PlainEngine(adapter, CPU, pack=pack) for pack in (False, True))
    assert 1 < len(fill_rows([turn.length for turn in UNEVEN])) < len(UNEVEN)
    loss, gradients = trained(adapter, padded, UNEVEN)
    packed_loss, packed_gradients = trained(adapter, packed, UNEVEN)
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert set(packed_gradients) == set(gradients) == set(adapter.names)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=2e-3, atol=2e-5, msg=name)
    for ours, theirs in zip(packed.losses(UNEVEN), padded.losses(UNEVEN), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gemma", "gemma with a short window", "llama"])
def test_a_turns_loss_is_the_same_whatever_shares_its_row(kind: str) -> None:
    engine = PlainEngine(adapter_on(kind), CPU, pack=True)
    own = UNEVEN[4]
    (alone,) = engine.losses([own])
    for number, neighbours in enumerate([[(60, 8)], [(8, 60)], [(50, 50), (100, 1), (1, 1)]]):
        batch = [own, *(turn(100 + number, *sizes) for sizes in neighbours)]
        rows = lay_rows(batch, fill_rows([t.length for t in batch]))
        # Longer turns stand before it in the same row, where a causal mask alone would let it look.
        assert len(rows.ids) == 1
        assert int(rows.predicts[0]) > own.prompt_length - 1
        torch.testing.assert_close(engine.losses(batch)[0], alone, rtol=1e-4, atol=1e-5)


def test_rows_hold_every_turn_once_evenly_and_within_their_length() -> None:
    rng = random.Random(4)
    for _ in range(40):
        lengths = [rng.randint(1, rng.choice((40, 200, 700))) for _ in range(rng.randint(1, 90))]
        rows = fill_rows(lengths)
        assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
        assert all(rows)
        assert max(sum(lengths[i] for i in row) for row in rows) <= max(ROW_TOKENS, *lengths)
    lengths = [rng.randint(16, 96) for _ in range(16)]
    rows = fill_rows(lengths)
    assert len(rows) == -(-sum(lengths) // ROW_TOKENS)
    assert len(rows) * row_width(lengths, rows) < 1.05 * sum(lengths)
    assert row_width(lengths, rows) % 8 == 0


def test_only_what_is_worth_a_mask_is_packed_and_on_a_gpu_unless_set() -> None:
    even, uneven = [40] * 16, [500] + [20] * 15
    alone = [[index] for index in range(16)]
    assert choose_rows(uneven, "auto", "cuda") == fill_rows(uneven) != alone
    assert choose_rows(even, "auto", "cuda") == alone
    assert choose_rows(uneven, "auto", "cpu") == alone
    assert choose_rows(uneven, False, "cuda") == alone
    assert choose_rows(even, True, "cpu") == fill_rows(even) != alone
    # 64 turns of one row's eighth, of which so many are shorter that packing saves just under and just over the bound.
    for short, packed in ((12, False), (16, True)):
        lengths = [64] * (64 - short) + [8] * short
        rows = fill_rows(lengths)
        saved = 1 - len(rows) * row_width(lengths, rows) / (64 * 64)
        assert (saved >= PACK_FROM) == packed
        assert (len(choose_rows(lengths, "auto", "cuda")) < 64) == packed


def test_a_model_that_mixes_the_turns_of_a_row_is_noticed_and_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    mixing = convolving()
    assert not turns_stay_apart(mixing.model.get_base_model().model, CPU)
    for kind in ("gemma with a short window", "llama"):
        assert turns_stay_apart(adapter_on(kind).model.get_base_model().model, CPU)
    with pytest.raises(PermanentError, match="set pack to auto or false"):
        PlainEngine(mixing, CPU, pack=True).train(UNEVEN)

    # What a GPU would decide, there being none.
    monkeypatch.setattr(
        "correctly_assets.training.engines.hf_model.choose_rows", lambda n, pack, _: choose_rows(n, pack, "cuda")
    )
    said: list[str] = []
    engine = PlainEngine(mixing, CPU, pack="auto", say=said.append)
    padded = PlainEngine(mixing, CPU).train(UNEVEN)
    assert [engine.train(UNEVEN) for _ in range(2)] == [padded, padded]
    assert said == ["This base model mixes turns that share a row, so that batches are padded instead."]


@pytest.mark.parametrize("field", ["pack", "compile"])
def test_pack_and_compile_are_automatic_on_or_off_and_nothing_else(tmp_path: Path, field: str) -> None:
    def read(**changes: Any) -> TrainConfig:
        made = {**train_config(tmp_path).model_dump(mode="json", exclude={field}), **changes}
        (tmp_path / "config.json").write_text(json.dumps(made))
        return read_config(tmp_path / "config.json")

    found = [read(), *(read(**{field: value}) for value in (True, False))]
    assert [getattr(config, field) for config in found] == ["auto", True, False]
    # What a run is may hang on them in its last digits: a checkpoint is taken up by its like.
    assert len({config.fingerprint("d", prompts="p", base_revision="r") for config in found}) == 3
    with pytest.raises(UsageError, match=f"off at {field}"):
        read(**{field: "sometimes"})
