"""Manifests: what is read of older ones, what is written again, and what a damaged one says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    ManifestError,
    ManifestMissing,
    Provenance,
    Recipe,
    SnapshotManifest,
    artefacts_in,
    read_manifest,
    renew_manifest,
    write_manifest,
)
from correctly_assets.core.hashing import sha256_of
from correctly_assets.settings import Settings
from correctly_assets.training.child import training_key
from correctly_assets.training.config import Lora, Stage, TrainSpec

SHIPPED = Settings().platform.starter_adapter_dir


def put(directory: Path, value: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return directory


def stands(directory: Path) -> dict[str, object]:
    return json.loads((directory / "manifest.json").read_text())


def test_what_was_read_is_written_again_field_by_field(tmp_path: Path) -> None:
    before = stands(SHIPPED)
    write_manifest(tmp_path, read_manifest(SHIPPED, AdapterManifest))
    assert stands(tmp_path) == before


def test_fields_of_other_versions_are_kept_and_missing_ones_default(tmp_path: Path) -> None:
    older = put(tmp_path / "a", {"id": "a", "rows": 3, "colour": {"hue": 1}, "files": {"f": "x"}})
    manifest = read_manifest(older, SnapshotManifest)
    assert (manifest.rows, manifest.forgotten, manifest.format) == (3, [], 0)
    manifest.forgotten = ["e1"]
    write_manifest(older, manifest)
    assert stands(older) == {"id": "a", "rows": 3, "colour": {"hue": 1}, "files": {"f": "x"}, "forgotten": ["e1"]}


def test_newer_provenance_replaces_only_what_it_names(tmp_path: Path) -> None:
    adapter = put(tmp_path / "a", {"id": "a", "train_set": "old", "seed": 20, "unknown": [1, 2.5]})
    renew_manifest(adapter, Provenance(train_set="new"))
    assert stands(adapter) == {"id": "a", "train_set": "new", "seed": 20, "unknown": [1, 2.5]}


def test_a_train_set_that_is_named_as_an_object_is_read_by_its_id(tmp_path: Path) -> None:
    adapter = put(tmp_path / "a", {"id": "a", "train_set": {"id": "t1"}})
    assert read_manifest(adapter, AdapterManifest).train_set == "t1"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"canary": 7}', '{"canary": [{"prompt": "x"}]}'])
def test_a_damaged_manifest_names_the_file_and_the_remedy(tmp_path: Path, damage: str) -> None:
    adapter = put(tmp_path / "a", damage)
    with pytest.raises(ManifestError, match=r"a/manifest\.json cannot be read.*restore it from a backup"):
        read_manifest(adapter, AdapterManifest)


def test_a_missing_manifest_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="correctly adopt"):
        read_manifest(tmp_path / "gone", AdapterManifest)


def test_directories_that_are_being_written_are_not_listed(tmp_path: Path) -> None:
    for name in ("b", "a", ".new-1"):
        put(tmp_path / name, {"id": name})
    (tmp_path / "no-manifest").mkdir()
    assert [path.name for path in artefacts_in(tmp_path)] == ["a", "b"]


def test_a_training_keeps_the_key_that_earlier_versions_gave_it() -> None:
    spec = TrainSpec(
        train_set=Path("/s/t/train.parquet"),
        base_model="/m/base",
        adapters_dir=Path("/a"),
        prompts_dir=Path("/p"),
        stages=[Stage(name="all", mix={"bait": 2.0}, passes=1.0, learning_rate=4e-4)],
        lora=Lora(rank=16, alpha=32),
        max_minutes=10.0,
        warm_start=None,
        extras=Provenance(train_set="t", prompts="p", recipe=Recipe(base_model="r"), rows_digest="any"),
    )
    as_json_then = {
        "train_set": "/s/t/train.parquet",
        "base_model": "/m/base",
        "adapters_dir": "/a",
        "prompts_dir": "/p",
        "stages": [{"name": "all", "mix": {"bait": 2.0}, "passes": 1.0, "learning_rate": 4e-4}],
        "lora": {"rank": 16, "alpha": 32},
        "max_minutes": 10.0,
        "warm_start": None,
        "extras": {"train_set": "t", "prompts": "p", "base": "r"},
    }
    assert training_key(spec) == sha256_of(as_json_then)
