"""The trainer on the real base model: its tokens, its engines' agreement in bf16, a few real steps."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from correctly_assets.core.prompts import load_prompts
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.config import Stage
from correctly_assets.training.data import build_data, read_pairs
from correctly_assets.training.engines.gemma_cpu import FastEngine
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.models.convert_model import convert_embedded_model
from correctly_assets.training.models.load_model import load_base, put_adapter_on
from correctly_assets.training.output import measure_canaries
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_assets.training.trainer import Trainer
from correctly_tests.training_tiny import train_config, write_train_set

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    ready = PROJECT_ROOT / ".correctly" / "models" / "gemma-3-270m"
    if (ready / "model.safetensors").exists():
        return str(ready)
    return str(convert_embedded_model(tmp_path_factory.mktemp("models") / "gemma-3-270m"))


def test_a_turn_of_the_real_tokenizer_has_one_bos_and_ends_on_eos(base_model: str) -> None:
    renderer = Renderer(load_tokenizer(base_model), load_prompts(PROJECT_ROOT / "prompts"))
    for text in ("He goes to school.", "  Two  blanks, “quotes” — 학교.", "naïve №5 ½", "<b>x</b>"):
        prompt = renderer.prompts.correct_prompt(text)
        turn = renderer.turn(prompt, text, pair_id="p", origin="example", task="correct")
        assert list(turn.ids) == renderer.tokenizer(prompt + text + "<eos>")["input_ids"]
        assert (turn.ids[0], turn.ids[-1], turn.ids.count(2), turn.ids.count(1)) == (2, 1, 1, 1)
        assert renderer.tokenizer.decode([i for i in turn.labels() if i != -100]) == text + "<eos>"


def test_both_engines_agree_in_bf16_and_a_few_steps_teach_the_real_model(base_model: str, tmp_path: Path) -> None:
    write_train_set(tmp_path, 48)
    stages = [Stage(name="all", passes=4, learning_rate=4e-4)]
    config = train_config(tmp_path, base_model=base_model, batch_size=8, max_steps=8, warmup_steps=2, stages=stages)
    renderer = Renderer(load_tokenizer(base_model), load_prompts(PROJECT_ROOT / "prompts"))
    data = build_data(read_pairs(config.train_set), renderer, config)
    adapter = put_adapter_on(load_base(base_model, torch.device("cpu")), config)
    fast = FastEngine(adapter)
    batch = [data.turns[i] for i in data.plan[0].turns]
    one, other = (torch.cat(e.losses(batch)) for e in (fast, PlainEngine(adapter, torch.device("cpu"))))
    # Single tokens differ by bf16's noise; a whole batch agrees to a per cent.
    assert float(one.mean()) == pytest.approx(float(other.mean()), rel=0.02)

    trainer = Trainer(config, data, adapter, fast, started=time.monotonic())
    trainer.run()
    before, after = trainer.progress.before["correct"]["loss"], trainer.held_out()["correct"]["loss"]
    assert after < 0.6 * before
    canaries = measure_canaries(adapter, fast, renderer)
    assert len(canaries) == 4
    assert all(c.adapter_logprob - c.base_logprob > 1 for c in canaries)
