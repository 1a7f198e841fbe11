"""Runs over a tiny base model: stopped ones go on to the same weights, bad ones leave no adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from correctly_assets.core.errors import PermanentError
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.checkpoint import NAME
from correctly_assets.training.models.lora_model import read_adapter, read_start
from correctly_assets.training.rendering import Turn
from correctly_assets.training.run_ends import Interrupted
from correctly_assets.training.trainer import Trainer
from correctly_tests.training_tiny import run_config, trainer_for, write_base_model, write_train_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("training")
    write_base_model(directory)
    write_train_set(directory)
    return directory


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.adapter.tensors().items()}


@pytest.mark.parametrize(("engine", "pack"), [("fast", False), ("plain", False), ("plain", True)])
def test_a_run_stopped_at_any_step_goes_on_to_the_same_weights_and_losses(
    home: Path, tmp_path: Path, engine: str, pack: bool
) -> None:
    whole = trainer_for(run_config(home, tmp_path / "whole", engine=engine, pack=pack))
    whole.run()
    assert whole.curve_ends()[1] < whole.curve_ends()[0]
    for stop_at in (1, 7, len(whole.progress.plan) - 1):
        config = run_config(home, tmp_path / f"at{stop_at}", engine=engine, pack=pack)
        first = trainer_for(config, stop=lambda: False)
        first._stop = lambda first=first, stop_at=stop_at: first.progress.step >= stop_at
        with pytest.raises(Interrupted):
            first.run()
        second = trainer_for(config)
        assert second.resume()
        assert second.progress.step == stop_at
        second.run()
        assert second.progress.losses == whole.progress.losses
        for name, tensor in weights(whole).items():
            torch.testing.assert_close(second.adapter.tensors()[name], tensor, rtol=0, atol=0)


def test_a_packed_run_makes_the_steps_and_losses_of_a_padded_one(home: Path, tmp_path: Path) -> None:
    padded, packed = (
        trainer_for(run_config(home, tmp_path / str(pack), engine="plain", pack=pack)) for pack in (False, True)
    )
    assert packed.data.plan == padded.data.plan
    for trainer in (padded, packed):
        trainer.run()
    assert packed.progress.tokens == padded.progress.tokens
    # The base model is bf16, and differences grow with the steps.
    assert packed.progress.losses == pytest.approx(padded.progress.losses, rel=0.01)
    assert packed.progress.losses[0] == pytest.approx(padded.progress.losses[0], rel=1e-3)
    assert packed.held_out()["all"]["loss"] == pytest.approx(padded.held_out()["all"]["loss"], rel=0.01)


def test_a_run_stopped_while_it_measures_keeps_every_step_it_made(home: Path, tmp_path: Path) -> None:
    config = run_config(home, tmp_path)
    first = trainer_for(config)
    first.run()
    first._stop = lambda: True
    with pytest.raises(Interrupted):
        first.held_out()
    second = trainer_for(config)
    assert second.resume()
    assert second.progress.step == len(second.progress.plan)
    second.run()
    assert second.progress.losses == first.progress.losses


def test_a_checkpoint_of_another_config_or_a_broken_one_is_not_taken_up(home: Path, tmp_path: Path) -> None:
    config = run_config(home, tmp_path)
    first = trainer_for(config)
    first._stop = lambda: first.progress.step >= 2
    with pytest.raises(Interrupted):
        first.run()
    assert not trainer_for(run_config(home, tmp_path, seed=99)).resume()
    file = config.checkpoint_dir / NAME
    file.write_bytes(file.read_bytes()[:-100])
    assert not trainer_for(config).resume()


class _Poisoned:
    """An engine that answers with a given loss from some step on."""

    name = "poisoned"

    def __init__(self, inner: Any, after: int, loss: float | Exception) -> None:
        self.inner, self.after, self.loss, self.calls = inner, after, loss, 0

    def train(self, turns: Sequence[Turn]) -> float:
        self.calls += 1
        value = self.inner.train(turns)
        if self.calls <= self.after:
            return value
        if isinstance(self.loss, Exception):
            raise self.loss
        return self.loss

    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        return self.inner.losses(turns)


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (float("nan"), "loss_not_finite"),
        (float("inf"), "loss_not_finite"),
        (50.0, "loss_exploded"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_a_bad_loss_or_lack_of_memory_ends_the_run_naming_the_setting(
    home: Path, tmp_path: Path, loss: float | Exception, code: str
) -> None:
    trainer = trainer_for(run_config(home, tmp_path))
    trainer.engine = _Poisoned(trainer.engine, 11, loss)
    with pytest.raises(PermanentError, match="CORRECTLY_TRAIN_") as caught:
        trainer.run()
    assert caught.value.code == code
    assert not (tmp_path / "adapters").exists()


def test_a_tight_budget_thins_the_plan_and_the_schedule_reaches_its_end(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    trainer = trainer_for(run_config(home, tmp_path, max_minutes=10.0, warmup_steps=4, batch_size=2), say=said.append)
    planned = len(trainer.progress.plan)
    # As if the first eight steps had taken so long that half of the others fit into ten minutes.
    trainer.progress.seconds = 2 * 560 * 8 / (planned - 8)
    trainer.run()
    assert 8 + 0.3 * (planned - 8) < trainer.progress.step < 8 + 0.7 * (planned - 8)
    schedule = trainer.progress.schedule
    assert schedule is not None
    assert schedule.factor(trainer.progress.step - 1) < 0.1
    assert {trainer.data.plan[index].stage for index in trainer.progress.plan[8:]} == {0, 1}
    assert any("budget" in line for line in said)


def test_a_checkpoint_of_other_prompts_or_base_is_not_taken_up(home: Path, tmp_path: Path) -> None:
    prompts, base = tmp_path / "prompts", tmp_path / "base"
    shutil.copytree(PROJECT_ROOT / "prompts", prompts)
    shutil.copytree(home / "base", base)
    config = run_config(home, tmp_path, prompts_dir=prompts, base_model=str(base))
    trainer_for(config).checkpoint()
    assert trainer_for(config).resume()
    explain, revision = prompts / "explain.txt", base / "correctly_base.json"
    for file, changed in ((explain, explain.read_text() + " "), (revision, '{"name": "tiny", "revision": "r2"}')):
        was = file.read_text()
        file.write_text(changed)
        assert not trainer_for(config).resume()
        file.write_text(was)
    assert trainer_for(config).resume()


def test_a_warm_start_begins_where_the_other_ended_at_equal_rank_only(home: Path, tmp_path: Path) -> None:
    first = trainer_for(run_config(home, tmp_path))
    first.run()
    again = trainer_for(run_config(home, tmp_path / "again"))
    again.adapter.load(first.adapter.tensors())
    assert again.held_out() == first.held_out()
    other = trainer_for(run_config(home, tmp_path / "other", lora={"rank": 16}))
    with pytest.raises(PermanentError, match="does not fit"):
        other.adapter.load(first.adapter.tensors())


def test_an_adapter_with_another_alpha_starts_at_the_strength_that_it_has(home: Path, tmp_path: Path) -> None:
    first = trainer_for(run_config(home, tmp_path))  # alpha 16
    first.run()
    start = write_start(tmp_path / "start", first)
    half = run_config(home, tmp_path / "again", lora={"rank": 8, "alpha": 8})
    again = trainer_for(half)
    again.adapter.load(read_start(start, half))
    assert again.held_out()["all"]["loss"] == pytest.approx(first.held_out()["all"]["loss"], rel=1e-3)
    again.adapter.load(read_adapter(start))
    assert again.held_out()["all"]["loss"] != pytest.approx(first.held_out()["all"]["loss"], rel=1e-3)


def test_an_adapter_of_another_revision_of_the_base_is_not_started_from(home: Path, tmp_path: Path) -> None:
    config = run_config(home, tmp_path)
    start = write_start(tmp_path / "start", trainer_for(config))
    assert read_start(start, config)
    (start / "manifest.json").write_text(json.dumps({"base_model": {"name": "tiny", "revision": "r0"}}))
    with pytest.raises(PermanentError, match="another revision"):
        read_start(start, config)
    (start / "manifest.json").unlink()
    with pytest.raises(PermanentError, match="correctly adopt"):
        read_start(start, config)


def write_start(directory: Path, trainer: Trainer) -> Path:
    """What of an adapter's directory a warm start reads."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True)
    save_file(trainer.adapter.tensors(), directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"lora_alpha": trainer.config.lora.alpha}))
    (directory / "manifest.json").write_text(json.dumps({"base_model": {"name": "tiny", "revision": "r1"}}))
    return directory
