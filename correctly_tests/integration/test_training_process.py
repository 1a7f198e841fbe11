"""The trainer as a process: what it leaves behind, how it stops, how it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.training import EXIT_INTERRUPTED, EXIT_PERMANENT
from correctly_assets.core.types import TrainPair
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.checkpoint import NAME
from correctly_assets.training.output import _CANARIES
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_tests.asked import prompts_sent
from correctly_tests.fault_table import Row
from correctly_tests.training_tiny import run_config, start_training, write_base_model, write_train_set


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("training")
    write_base_model(directory)
    write_train_set(directory)
    return directory


def train(
    home: Path, place: Path, *, kill: signal.Signals | None = None, **changes: Any
) -> tuple[int, dict[str, Any], str]:
    """Run the process to its end, or send it a signal after some steps; (exit code, result, output)."""
    place.mkdir(exist_ok=True)
    result, progress = place / "result.json", place / "progress.json"
    config = run_config(home, place, result_path=result, progress_path=progress, checkpoint_seconds=0.01, **changes)
    config.stages[0].passes = 12
    process = start_training(config, place)
    deadline = time.monotonic() + 120
    while kill is not None and process.poll() is None and time.monotonic() < deadline:
        if (config.checkpoint_dir / NAME).exists() and json.loads(progress.read_text())["step"] > 5:
            os.kill(process.pid, kill)
            break
        time.sleep(0.01)
    output, _ = process.communicate(timeout=180)
    return process.returncode, json.loads(result.read_text()) if result.exists() else {}, output


@pytest.fixture(scope="module")
def undisturbed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    code, result, output = train(home, tmp_path_factory.mktemp("undisturbed"))
    assert code == 0, output
    return result


def test_a_finished_run_leaves_a_servable_adapter_with_provenance_alone(
    home: Path, undisturbed: dict[str, Any]
) -> None:
    directory = Path(undisturbed["path"])
    assert directory.name == undisturbed["adapter"]
    assert {path.name for path in directory.iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "manifest.json",
        "README.md",
        "loss.json",
    }
    manifest = check_adapter(directory, home / "base")
    assert (manifest.base_model.name, manifest.base_model.revision) == ("tiny", "r1")
    assert len(manifest.canary) == 4
    assert all(c.base_logprob != c.adapter_logprob and c.tokens > 1 for c in manifest.canary)
    assert len(json.loads((directory / "loss.json").read_text())["loss"]) == undisturbed["steps"]
    assert manifest.data_sha256 and manifest.data_sha256 in (directory / "README.md").read_text()
    assert undisturbed["held_out_loss"] < undisturbed["forgetting"]["all"]["before"]
    assert manifest.figures is not None and manifest.code_sha256 is not None
    plan = manifest.figures.plan
    assert plan == undisturbed["plan"]
    assert plan["promised"]["steps"] == plan["took"]["steps"] == undisturbed["steps"]
    assert plan["tokens_off_percent"] == 0
    assert plan["took"]["minutes"] * 60 > undisturbed["seconds"] > 0
    assert plan["took"]["gigabytes"] == pytest.approx(undisturbed["peak_rss_mb"] * 2**20 / 1e9, rel=0.05)
    assert isinstance(plan["kept"], bool)
    assert plan["basis"]["engine"] == undisturbed["engine"] == "fast"
    assert len(manifest.code_sha256) == 64
    assert {"all", "correct", "explain", "type:OTHER", "form:message"} <= set(undisturbed["forgetting"])
    assert not list(directory.parent.parent.glob(f"checkpoint/{NAME}"))
    assert not list(directory.parent.glob(".new-*"))


def test_training_serving_and_canary_render_a_prompt_to_the_same_tokens(
    home: Path, undisturbed: dict[str, Any]
) -> None:
    """vLLM's own tokens of these prompts: test_vllm_adapters.py."""
    prompts = load_prompts(PROJECT_ROOT / "prompts")
    annotator = ErrantAnnotator()
    words = load_tokenizer(str(home / "base"))
    renderer = Renderer(words, prompts)
    kept = json.loads((Path(undisturbed["path"]) / "manifest.json").read_text())["canary"]
    sentences = {after: before for before, after in _CANARIES}
    for canary in kept:
        before, after = sentences[canary["completion"]], canary["completion"]
        (asked, *why), edits = prompts_sent(prompts, before, after, annotator)
        explained = tuple(replace(edit, reason="So it is.") for edit in edits)
        pair = TrainPair("c", "c", "human", before, after, explained)
        turn = renderer.correct_turn(pair)
        assert words(canary["prompt"])["input_ids"] == list(renderer.prompt_ids(asked))
        assert list(turn.ids[: turn.prompt_length]) == list(renderer.prompt_ids(asked))
        learned = [turn.ids[: turn.prompt_length] for turn in renderer.explain_turns(pair, 9)]
        assert sorted(learned) == sorted(renderer.prompt_ids(prompt) for prompt in why)
        assert len(why) == len(edits)


def stopped(number: signal.Signals) -> Any:
    row = {"fault": f"{number.name} to the trainer", "stage": "training"}
    return pytest.param(
        number,
        marks=pytest.mark.fault(**row, expected="training goes on from its checkpoint, to the same weights"),
        id=number.name,
    )


@pytest.mark.parametrize("number", [stopped(signal.SIGINT), stopped(signal.SIGTERM), stopped(signal.SIGKILL)])
def test_a_stopped_or_killed_run_resumes_to_the_undisturbed_adapter(
    home: Path, tmp_path: Path, undisturbed: dict[str, Any], number: signal.Signals, observed: Row
) -> None:
    code, outcome, _ = train(home, tmp_path, kill=number)
    assert not list(tmp_path.glob("adapters/*"))
    if number == signal.SIGKILL:
        assert code == -9
    else:
        assert code == EXIT_INTERRUPTED
        assert outcome["error"]["code"] == "interrupted"
    since = time.monotonic()
    code, outcome, output = train(home, tmp_path)
    assert code == 0, output
    same = outcome["adapter"] == undisturbed["adapter"]
    observed(
        f"resumed: {outcome['resumed']}; the adapter is {'the same' if same else 'another'}",
        seconds=time.monotonic() - since,
    )
    assert outcome["resumed"] is True
    assert outcome["adapter"] == undisturbed["adapter"]
    assert outcome["loss_last"] == undisturbed["loss_last"]


def test_a_process_stopped_before_its_first_step_loads_nothing_more(home: Path, tmp_path: Path) -> None:
    progress, result = tmp_path / "progress.json", tmp_path / "result.json"
    config = run_config(home, tmp_path, progress_path=progress, result_path=result)
    process = start_training(config, tmp_path)
    deadline = time.monotonic() + 120
    # Written once signals are taken, before the libraries are imported, which takes seconds.
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == EXIT_INTERRUPTED, output
    assert json.loads(result.read_text())["error"]["code"] == "interrupted"
    assert "turns to train on" not in output
    assert not config.checkpoint_dir.exists()


@pytest.mark.parametrize("looks", [1, 2, 3, 4])
def test_every_stage_before_the_first_step_looks_at_the_stop(
    home: Path, tmp_path: Path, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from correctly_assets.training.run import Reporter, StopFlag, run
    from correctly_assets.training.run_ends import Interrupted

    class Late(StopFlag):
        """Set at the given look."""

        seen = 0

        def __call__(self) -> bool:
            self.seen += 1
            return self.seen >= looks

    class Said(Reporter):
        def say(self, text: str) -> None:
            lines.append(text)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines: list[str] = []
    config = run_config(home, tmp_path, mlflow={"tracking_uri": f"sqlite:///{tmp_path / 'mlflow.sqlite'}"})
    with pytest.raises(Interrupted):
        run(config, Late(), Said(config, None))
    expected = [[], [], ["turns to train on"], ["turns to train on", "Promised"]][looks - 1]
    assert len(lines) == len(expected) and all(words in line for words, line in zip(expected, lines, strict=True))
    assert not (tmp_path / "mlflow.sqlite").exists() and not config.checkpoint_dir.exists()


@pytest.mark.fault(
    fault="weights that are no numbers in the base model",
    stage="training",
    expected="training ends for good, without an adapter",
    remedy="Run `correctly prepare` to make the base model anew, or set CORRECTLY_BASE_MODEL to another.",
)
def test_a_base_model_with_nan_weights_ends_permanently_without_an_adapter(
    home: Path, tmp_path: Path, observed: Row
) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(home / "base", broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    code, outcome, output = train(home, tmp_path, base_model=str(broken))
    assert code == EXIT_PERMANENT, output
    made = list(tmp_path.glob("adapters/*"))
    observed(f"it ended with code {code} ({outcome['error']['code']}) and {len(made)} adapters")
    assert outcome["error"]["code"] == "loss_not_finite"
    assert not made


def test_an_absent_base_model_is_one_sentence_with_the_setting_to_change(home: Path, tmp_path: Path) -> None:
    code, outcome, output = train(home, tmp_path, base_model=str(tmp_path / "absent"))
    assert code == EXIT_PERMANENT
    assert "CORRECTLY_BASE_MODEL" in outcome["error"]["message"]
    assert "Traceback" not in output
