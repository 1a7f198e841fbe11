"""What only a GPU can show: recorded passes give the numbers of those that were not recorded. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from correctly_assets.training.engines.choose_engine import make_engine
from correctly_assets.training.engines.cuda_graphs import Recordings
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.rendering import Turn
from correctly_assets.training.run_ends import Interrupted
from correctly_assets.training.trainer import Trainer
from correctly_tests.training_tiny import (
    run_config,
    tiny_adapter,
    train_config,
    trainer_for,
    turns,
    write_base_model,
    write_train_set,
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]


def on_gpu(**changes: Any) -> Any:
    adapter = tiny_adapter(**changes)
    adapter.model.to("cuda")
    adapter.masters = [torch.nn.Parameter(master.detach().cuda()) for master in adapter.masters]
    return adapter


def trained(engine: Any, adapter: Any, batches: list[list[Turn]]) -> tuple[list[float], list[torch.Tensor]]:
    optimiser = torch.optim.SGD(adapter.masters, lr=0.1)
    losses: list[float] = []
    for batch in batches:
        losses.append(engine.train(batch))
        adapter.pull_gradients()
        optimiser.step()
        adapter.push()
    return losses, [master.detach().clone() for master in adapter.masters]


BATCHES = [turns(4), turns(5), turns(4, longest=30), turns(4)[::-1], turns(5), turns(4, longest=30), turns(4)]


@pytest.mark.parametrize("window", [512, 20], ids=["whole", "cut by a window"])
def test_recorded_steps_train_as_unrecorded_ones_in_any_order_of_shapes(window: int) -> None:
    plain, recorded = on_gpu(sliding_window=window), on_gpu(sliding_window=window)
    device = torch.device("cuda")
    engine = PlainEngine(recorded, device, joined=True, graphs=True, say=pytest.fail)
    expected = trained(PlainEngine(plain, device), plain, BATCHES)
    found = trained(engine, recorded, BATCHES)
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert isinstance(engine._recordings, Recordings)
    assert len(engine._recordings._made) == (3 if window == 512 else 0)


def test_held_out_losses_after_recorded_steps_see_the_new_weights() -> None:
    adapter, other = on_gpu(), on_gpu()
    engine = make_engine(adapter, train_config(Path("/nowhere"), graphs=True, compile=False), torch.device("cuda"))
    trained(engine, adapter, BATCHES)
    other.load(adapter.tensors())
    found = torch.cat(engine.losses(turns(4)))
    torch.testing.assert_close(
        found, torch.cat(PlainEngine(other, torch.device("cuda")).losses(turns(4))), rtol=1e-3, atol=1e-4
    )


def test_a_pass_that_cannot_be_recorded_is_said_once_and_training_goes_on() -> None:
    adapter, plain = on_gpu(), on_gpu()
    said: list[str] = []
    engine = PlainEngine(adapter, torch.device("cuda"), graphs=True, say=said.append)
    norm = adapter.model.get_base_model().model.norm
    norm.register_forward_hook(lambda module, inputs, output: output * float(output.abs().max() > -1))
    found, expected = (
        trained(engine, adapter, BATCHES),
        trained(PlainEngine(plain, torch.device("cuda")), plain, BATCHES),
    )
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    assert len(said) == 1
    assert said[0].startswith("Recording a step failed (")


@pytest.mark.parametrize("graphs", [True, False], ids=["recorded", "unrecorded"])
def test_a_run_stopped_on_a_gpu_goes_on_to_the_same_losses(tmp_path: Path, graphs: bool) -> None:
    write_base_model(tmp_path)
    write_train_set(tmp_path)

    def made(name: str) -> Trainer:
        return trainer_for(run_config(tmp_path, tmp_path / name, graphs=graphs, compile=False), device="cuda")

    whole = made("whole")
    whole.run()
    assert whole.curve_ends()[1] < whole.curve_ends()[0]
    first = made("parts")
    first._stop = lambda: first.progress.step >= 7
    with pytest.raises(Interrupted):
        first.run()
    second = made("parts")
    assert second.resume()
    second.run()
    # In bf16, and shapes are recorded at other steps than in the whole run.
    assert second.progress.losses == pytest.approx(whole.progress.losses, rel=0.02)
    assert second.held_out()["all"]["loss"] == pytest.approx(whole.held_out()["all"]["loss"], rel=0.01)


def test_memory_of_recordings_is_given_up_before_a_step_fails_for_it() -> None:
    adapter = on_gpu()
    said: list[str] = []
    engine = PlainEngine(adapter, torch.device("cuda"), graphs=True, say=said.append)
    for _ in range(3):
        engine.train(turns(4))
    recordings = engine._recordings
    assert recordings is not None and len(recordings._made) == 1
    failed: list[int] = []

    def once(module: Any, inputs: Any) -> None:
        if not failed:
            failed.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    adapter.model.get_base_model().model.norm.register_forward_pre_hook(once)
    assert engine.train(turns(5)) > 0
    assert failed and not recordings._made
    assert said == ["Memory ran short, so that steps are recorded no more; training goes on without, more slowly."]
