"""No adapter is measured on what it was trained on, by whichever way it learnt it, and what nobody can know is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.artifacts.manifests import AdapterManifest, TrainSetManifest, read_manifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.types import TrainPair
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.build_train_set import train_config
from correctly_assets.workflows.check_leaks import refuse_trained_on, without_trained_on
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import invoke
from correctly_tests.serving_fakes import fake_engine
from correctly_tests.tiny_adapter import put_adapter

pytestmark = pytest.mark.slow


def trained_on(settings: Settings, before: str) -> str:
    """A train set of one pair; returns its ID."""
    pair = TrainPair("p1", "e1", "example", before, "This is another sentence.")
    made = write_train_set(
        [pair],
        settings.platform.snapshots_dir,
        TrainSetManifest(seed=1, examples_snapshot="x", rows_digest="r"),
        sql_dir=settings.platform.sql_dir,
        human_weight=8,
    )
    return made.id


def a_set(tmp_path: Path) -> Path:
    path = tmp_path / "ours.jsonl"
    path.write_text(json.dumps({"before": "He go to the pool.", "after": "He goes."}))
    return path


def manifest(settings: Settings, id: str, **more: object) -> AdapterManifest:
    directory = settings.platform.adapters_dir / id
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps({"id": id, **more}))
    return read_manifest(directory, AdapterManifest)


def test_an_adapter_started_from_another_is_held_against_that_ones_data(settings: Settings, tmp_path: Path) -> None:
    read = [read_evaluation_set(a_set(tmp_path))]
    clean, seen = trained_on(settings, "Those is mine."), trained_on(settings, "He go to the pool.")
    manifest(settings, "first", train_set=seen, warm_start=None)
    manifest(settings, "second", train_set=clean, warm_start="first")
    third = manifest(settings, "third", train_set=clean, warm_start="second")
    with pytest.raises(PermanentError, match=r"rows 1 of ours\.jsonl"):
        refuse_trained_on(settings.platform, third, read)
    manifest(settings, "second", train_set=clean, warm_start=None)
    assert refuse_trained_on(settings.platform, third, read) is None
    # One whose training changed nothing has its own ID for what it was started from.
    assert (
        refuse_trained_on(settings.platform, manifest(settings, "third", train_set=clean, warm_start="third"), read)
        is None
    )


def test_a_registered_set_is_measured_without_rows_that_were_trained_on(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ours.jsonl"
    near = "We met them on the first day of spring in town."
    rows = [("It is late.", "It is late."), ("He go to  the pool", "He goes."), (near, near), (near.upper(), near)]
    path.write_text("".join(json.dumps({"before": before, "after": after}) + "\n" for before, after in rows))
    data = read_evaluation_set(path)
    pairs = [
        TrainPair("p1", "e1", "example", "He go to the pool.", "He went to the pool."),
        TrainPair("p2", "e2", "example", "Yesterday we met them on the first day of spring.", "So it was."),
    ]
    made = write_train_set(
        pairs, settings.platform.snapshots_dir, TrainSetManifest(seed=1), sql_dir=settings.platform.sql_dir
    )
    one, said = manifest(settings, "one", train_set=made.id, warm_start=None), list[str]()
    kept, message = without_trained_on(settings.platform, one, data, said.append)
    assert [row.source for row in kept.rows] == ["It is late."] and kept.sha256 != data.sha256
    assert message == "ours.jsonl is measured without rows 2, 3, 4, which adapter one was trained on or near."
    assert said == [message]
    other = manifest(settings, "other", train_set=trained_on(settings, "Those is mine."), warm_start=None)
    assert without_trained_on(settings.platform, other, data) == (data, None)


def test_where_the_line_of_adapters_is_lost_it_is_said(settings: Settings, tmp_path: Path) -> None:
    read = [read_evaluation_set(a_set(tmp_path))]
    clean = trained_on(settings, "Those is mine.")
    lost = refuse_trained_on(settings.platform, manifest(settings, "third", train_set=clean, warm_start="nobody"), read)
    assert lost is not None and "adapter nobody, from which third was started, is gone" in lost
    older = manifest(settings, "third", train_set=clean, recipe={"training": {"start": "champion"}})
    untold = refuse_trained_on(settings.platform, older, read)
    assert untold is not None and "the manifest of adapter third does not name what it was started from" in untold
    from_base = manifest(settings, "third", train_set=clean, recipe={"training": {"start": "base"}})
    assert refuse_trained_on(settings.platform, from_base, read) is None


def test_a_manifest_names_the_champion_that_training_starts_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, train_set = put_adapter(settings, 1), trained_on(settings, "Those is mine.")
    with open_platform_store(settings.platform) as store:
        store.add_release(adapter=adapter, base_model="tiny", kind="promotion", why="a test")
    base = settings.changed(training={"start": "base"})
    assert train_config(base, train_set=train_set).extras.warm_start is None
    warm = settings.changed(training={"start": "champion"})
    assert train_config(warm, train_set=train_set).extras.warm_start == adapter


def test_evaluate_refuses_an_adapters_own_training_data_before_an_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fake_engine() as engine:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        settings = get_settings()

        adapter, data = put_adapter(settings, 1), a_set(tmp_path)
        path = settings.platform.adapters_dir / adapter / "manifest.json"
        untold = path.read_text()
        seen = trained_on(settings, "He go to the pool.")
        path.write_text(json.dumps({**json.loads(untold), "train_set": seen}))
        with open_platform_store(settings.platform) as store:
            store.add_release(adapter=adapter, base_model="tiny", kind="promotion", why="a test")
        for system in (f"adapter:{adapter}", "served"):
            with pytest.raises(PermanentError, match=r"rows 1 of ours\.jsonl"):
                invoke("evaluate", "--system", system, "--data", str(data))
        assert not engine.asked
        # Where its train set is gone, it is measured and the figures say what they are worth.
        path.write_text(untold)
        found = json.loads(invoke("evaluate", "--system", f"adapter:{adapter}", "--data", str(data), "--json"))
        assert f"the train set of adapter {adapter} is not here" in found["unchecked"]
        assert found["n"] == 1
