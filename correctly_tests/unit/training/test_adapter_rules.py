"""A bad adapter is refused before vLLM sees it, with the name of the rule it breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from correctly_assets.artifacts.files import hash_files
from correctly_assets.core.errors import AdapterRefused
from correctly_assets.core.hashing import content_id
from correctly_assets.training.adapter import CONTENT, check_adapter

RANK = 8
MODULES = {"model.layers.0.self_attn.q_proj": (12, 6), "model.layers.0.mlp.down_proj": (6, 20)}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    directory = tmp_path / "base"
    directory.mkdir()
    weights = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in MODULES.items()}
    weights["model.embed_tokens.weight"] = np.zeros((9, 6), np.float32)
    save_file(weights, directory / "model.safetensors")
    (directory / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r1"}))
    return directory


def tensors() -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for name, (out, width) in MODULES.items():
        made[f"base_model.model.{name}.lora_A.weight"] = np.ones((RANK, width), np.float32)
        made[f"base_model.model.{name}.lora_B.weight"] = np.full((out, RANK), 0.1, np.float32)
    return made


def write(directory: Path, weights: dict[str, np.ndarray], config: dict[str, Any], **manifest: Any) -> Path:
    """An adapter whose manifest agrees with its files, whatever they hold."""
    directory.mkdir(exist_ok=True)
    save_file(weights, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps(config))
    hashes = hash_files(directory, CONTENT)
    record = {"base_model": {"name": "tiny", "revision": "r1"}, "files": hashes, "id": content_id(hashes), **manifest}
    (directory / "manifest.json").write_text(json.dumps(record))
    return directory


CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": RANK,
    "lora_alpha": 16,
    "bias": "none",
    "base_model_name_or_path": "tiny",
}


def test_a_good_adapter_passes_and_its_manifest_is_returned(tmp_path: Path, base: Path) -> None:
    made = write(tmp_path / "a", tensors(), CONFIG)
    assert check_adapter(made, base).base_model.revision == "r1"


def _nan(weights: dict[str, np.ndarray]) -> None:
    next(iter(weights.values()))[0, 0] = np.nan


def _infinite(weights: dict[str, np.ndarray]) -> None:
    list(weights.values())[-1][-1, -1] = np.inf


def _zero(weights: dict[str, np.ndarray]) -> None:
    for name in weights:
        if "lora_B" in name:
            weights[name][:] = 0


def _stranger(weights: dict[str, np.ndarray]) -> None:
    weights["base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"] = np.ones((RANK, 6), np.float32)


def _embedding(weights: dict[str, np.ndarray]) -> None:
    weights["base_model.model.model.embed_tokens.lora_A.weight"] = np.ones((RANK, 6), np.float32)


def _short_name(weights: dict[str, np.ndarray]) -> None:
    name = next(iter(weights))
    weights[name.removeprefix("base_model.model.")] = weights.pop(name)


def _shape(weights: dict[str, np.ndarray]) -> None:
    name = next(iter(weights))
    weights[name] = np.ones((RANK, 99), np.float32)


def _half(weights: dict[str, np.ndarray]) -> None:
    del weights[next(name for name in weights if "lora_A" in name)]


def _nothing(weights: dict[str, np.ndarray]) -> None:
    weights.clear()


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("finite", _nan),
        ("finite", _infinite),
        ("nonzero", _zero),
        ("keys", _stranger),
        ("keys", _embedding),
        ("keys", _short_name),
        ("shapes", _shape),
        ("pairs", _half),
        ("keys", _nothing),
    ],
)
def test_bad_tensors_are_refused_by_rule(
    tmp_path: Path, base: Path, rule: str, spoil: Callable[[dict[str, np.ndarray]], None]
) -> None:
    weights = tensors()
    spoil(weights)
    with pytest.raises(AdapterRefused) as caught:
        check_adapter(write(tmp_path / "a", weights, CONFIG), base)
    assert caught.value.rule == rule
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("rank", {"r": 12}),
        ("rank", {"rank_pattern": {"q_proj": 8}}),
        ("no_dora", {"use_dora": True}),
        ("no_bias", {"bias": "all"}),
        ("no_bias", {"lora_bias": True}),
        ("no_rslora", {"use_rslora": True}),
        ("no_modules_to_save", {"modules_to_save": ["lm_head"]}),
        ("config", {"peft_type": "IA3"}),
        ("config", {"lora_alpha": 0}),
        ("base", {"base_model_name_or_path": None}),
    ],
)
def test_bad_configs_are_refused_by_rule(tmp_path: Path, base: Path, rule: str, change: dict[str, Any]) -> None:
    with pytest.raises(AdapterRefused) as caught:
        check_adapter(write(tmp_path / "a", tensors(), {**CONFIG, **change}), base)
    assert caught.value.rule == rule


def test_an_adapter_of_another_base_revision_is_refused(tmp_path: Path, base: Path) -> None:
    made = write(tmp_path / "a", tensors(), CONFIG, base_model={"name": "tiny", "revision": "r2"})
    with pytest.raises(AdapterRefused, match="another revision") as caught:
        check_adapter(made, base)
    assert caught.value.rule == "base"


@pytest.mark.parametrize(
    ("trained_on", "served_by"), [("r1", "r1+0123456789ab"), ("r1+0123456789ab", "r1"), ("r1+ab", "r1+cd")]
)
def test_an_adapter_stays_valid_when_the_vocabulary_is_trimmed(
    tmp_path: Path, base: Path, trained_on: str, served_by: str
) -> None:
    (base / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": served_by}))
    made = write(tmp_path / "a", tensors(), CONFIG, base_model={"name": "tiny", "revision": trained_on})
    assert check_adapter(made, base).base_model.revision == trained_on


@pytest.mark.parametrize(
    ("rule", "name"),
    [("no_tokenizer", "tokenizer.json"), ("safetensors_only", "adapter_model.bin")],
)
def test_files_that_do_not_belong_are_refused(tmp_path: Path, base: Path, rule: str, name: str) -> None:
    made = write(tmp_path / "a", tensors(), CONFIG)
    (made / name).write_text("x")
    with pytest.raises(AdapterRefused) as caught:
        check_adapter(made, base)
    assert caught.value.rule == rule


def test_missing_damaged_and_changed_files_are_refused(tmp_path: Path, base: Path) -> None:
    def rule_of(directory: Path) -> str:
        with pytest.raises(AdapterRefused) as caught:
            check_adapter(directory, base)
        return caught.value.rule

    made = write(tmp_path / "a", tensors(), CONFIG)
    (made / "adapter_config.json").write_text(json.dumps({**CONFIG, "lora_alpha": 32}))
    assert rule_of(made) == "hashes"
    (made / "adapter_config.json").write_text("{")
    assert rule_of(made) == "config"
    (made / "adapter_config.json").unlink()
    assert rule_of(made) == "files"
    made = write(tmp_path / "b", tensors(), CONFIG)
    (made / "manifest.json").unlink()
    assert rule_of(made) == "manifest"
    made = write(tmp_path / "c", tensors(), CONFIG)
    file = made / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    hashes = hash_files(made, CONTENT)
    record = {"base_model": {"name": "tiny", "revision": "r1"}, "files": hashes, "id": content_id(hashes)}
    (made / "manifest.json").write_text(json.dumps(record))
    assert rule_of(made) == "files"


def test_the_rules_are_checked_without_loading_torch() -> None:
    code = "import sys; import correctly_assets.training.adapter; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
