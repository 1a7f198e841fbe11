"""`plan`, `export`, `adopt`, `learning-curve` and `bakeoff` over a tiny base model, with the real child processes."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from correctly_assets import cli
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.errors import UsageError
from correctly_assets.core.types import Edit, TrainPair
from correctly_assets.settings import EMBEDDED_BASE_MODEL, Settings, get_settings
from correctly_assets.workflows.compare_runs import CurvePoint, ModelRun, choose, curve_summary
from correctly_assets.workflows.train_adapter import newest_train_set
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import ADAPTER_LOGPROB, BASE_LOGPROB, fake_engine, free_port
from correctly_tests.training_tiny import PAIRS, write_base_model
from correctly_tests.unit.training.test_export import write_foreign

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base`` and ``foreign``, a PEFT adapter of it."""
    directory = tmp_path_factory.mktemp("made")
    write_base_model(directory)
    write_foreign(directory / "base", directory / "foreign")
    return directory


@pytest.fixture
def settings(made: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", str(made / "base"))
    # Whatever listens at the default port of this machine is none of the test's.
    monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(free_port()))
    monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", str(free_port()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return get_settings()


def write_pairs(settings: Settings, count: int = 60) -> str:
    pairs: list[TrainPair] = []
    for number in range(count):
        before, after, was, now = PAIRS[number % len(PAIRS)]
        before, after = f"{number}: {before}", f"{number}: {after}"
        start = before.index(was)
        edit = Edit(start, start + len(was), was, now, "R:OTHER", f"It is {now}.", "rule")
        pairs.append(TrainPair(f"p{number}", f"e{number}", "example", before, after, (edit,)))
    return write_train_set(
        pairs,
        settings.platform.snapshots_dir,
        TrainSetManifest(examples_snapshot="s", rows_digest="r"),
        sql_dir=settings.platform.sql_dir,
        held_out_percent=20,
    ).id


def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """`correctly WORDS --json`: exit code, the value printed, what went to standard error."""
    capfd.readouterr()
    monkeypatch.setattr(sys, "argv", ["correctly", *words, "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capfd.readouterr()
    code = ended.value.code
    return int(code or 0), json.loads(shown.out), shown.err


def test_a_plan_counts_the_newest_train_set_or_says_how_to_get_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, value, _ = run(monkeypatch, capfd, "plan")
    assert code == 2
    assert "correctly up" in value["error"]["message"]
    old = write_pairs(settings, 12)
    new = write_pairs(settings, 60)
    # The clock's grain may give both one time.
    manifest = settings.platform.snapshots_dir / old / "manifest.json"
    os.utime(manifest, (1, 1))
    code, value, _ = run(monkeypatch, capfd, "plan")
    assert code == 0
    assert value["train_set"] == new == newest_train_set(settings.platform)
    assert value["pairs"] == 60
    for figure in ("tokens", "steps", "minutes", "gigabytes"):
        assert value[figure] > 0


def test_the_curriculum_is_a_table_in_the_settings_and_part_of_the_recipe(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from correctly_assets.workflows.build_train_set import train_config
    from correctly_assets.workflows.retrain_state import recipe_digest

    train_set = write_pairs(settings)
    shipped, digest = train_config(settings, train_set=train_set).stages, recipe_digest(settings)
    assert [(stage.name, stage.mix, stage.learning_rate) for stage in shipped] == [("all", {"bait": 2.0}, 4e-4)]
    table = [
        {"name": "typed errors", "mix": {"injected": 1, "*": 0}},
        {"name": "verified", "mix": {"human": 2, "example": 1, "*": 0}, "passes": 2},
        {"name": "half untouched", "mix": {"bait": 3, "*": 0.5}, "passes": 0.2, "learning_rate": 1e-4},
    ]
    monkeypatch.setenv("CORRECTLY_TRAIN_STAGES", json.dumps(table))
    stages = train_config(get_settings(), train_set=train_set).stages
    assert [(s.name, s.passes, s.learning_rate) for s in stages] == [
        ("typed errors", 1, 4e-4),
        ("verified", 2, 4e-4),
        ("half untouched", 0.2, 1e-4),
    ]
    assert stages[0].mix == {"injected": 1, "*": 0}
    assert recipe_digest(get_settings()) != digest


def test_a_resumed_comparison_takes_no_result_of_other_prompts_or_base(
    settings: Settings, made: Path, tmp_path: Path
) -> None:
    from correctly_assets.workflows.compare_runs import _base_config

    train_set = write_pairs(settings)
    prompts, base = tmp_path / "prompts", tmp_path / "base"
    shutil.copytree(settings.platform.prompts_dir, prompts)
    shutil.copytree(made / "base", base)
    settings = settings.changed(platform={"prompts_dir": prompts}, training={"base_model": str(base)})
    before = _base_config(settings, train_set, tmp_path)
    assert _base_config(settings, train_set, tmp_path) == before
    (prompts / "correct.txt").write_text((prompts / "correct.txt").read_text().replace("English", "prose"))
    other_prompts = _base_config(settings, train_set, tmp_path)
    assert other_prompts != before
    (base / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r2"}))
    assert _base_config(settings, train_set, tmp_path) != other_prompts


def test_a_run_from_the_champion_replays_what_it_was_trained_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from correctly_assets.workflows.build_train_set import train_config

    train_set = write_pairs(settings)
    monkeypatch.setenv("CORRECTLY_TRAIN_START", "champion")
    settings = get_settings()
    assert train_config(settings, train_set=train_set).warm_start is None
    directory = settings.platform.adapters_dir / "abc"
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"train_set": train_set}))
    with open_platform_store(settings.platform) as store:
        store.add_release(adapter="abc", base_model="b", kind="promotion", why="A test.")
    config = train_config(settings, train_set=train_set)
    assert config.warm_start == directory
    assert config.replay is not None
    assert config.replay.seen.is_file()
    assert config.replay.share == settings.training.replay


def test_a_missing_base_model_is_named_before_anything_is_planned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_pairs(settings)
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", str(tmp_path / "nowhere"))
    code, value, _ = run(monkeypatch, capfd, "plan")
    assert code == 2
    assert "CORRECTLY_BASE_MODEL" in value["error"]["message"]


def test_an_adopted_adapter_waits_for_the_platform_and_can_be_exported(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, value, _ = run(monkeypatch, capfd, "adopt", str(made / "foreign"))
    assert code == 0
    assert value["verdict"] == "waiting"
    identity = value["adapter"]
    assert f"--judge {identity}" in value["says"]
    assert run(monkeypatch, capfd, "adopt", "--judge", identity)[0] == 4
    with open_platform_store(settings.platform) as store:
        assert store.last_decision() is None

    code, value, _ = run(monkeypatch, capfd, "export", identity[:5], "--format", "peft")
    assert code == 0
    peft = Path(value["path"])
    assert peft == settings.platform.home / "exports" / f"{identity}-peft"
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md", "manifest.json"} <= {
        path.name for path in peft.iterdir()
    }
    # What was exported is what another platform would adopt, under the same name.
    assert run(monkeypatch, capfd, "adopt", str(peft))[1]["adapter"] == identity

    code, value, _ = run(monkeypatch, capfd, "export", identity, "--format", "merged", "--to", str(tmp_path / "m"))
    assert code == 0
    assert value["check"]["from_training"] < 0.15
    assert {"model.safetensors", "chat_template.jinja", "tokenizer.json", "README.md"} <= {
        path.name for path in (tmp_path / "m").iterdir()
    }
    code, value, _ = run(monkeypatch, capfd, "export", identity, "--format", "merged", "--to", str(tmp_path / "m"))
    assert code == 2
    assert "stands at" in value["error"]["message"]


def test_a_gguf_file_without_a_vocabulary_is_refused_and_leaves_nothing(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    identity = run(monkeypatch, capfd, "adopt", str(made / "foreign"))[1]["adapter"]
    place = tmp_path / "out"
    place.mkdir()
    code, value, _ = run(monkeypatch, capfd, "export", identity, "--format", "gguf", "--to", str(place / "g"))
    assert code == 1
    assert "export with --format merged" in value["error"]["message"]
    assert list(place.iterdir()) == []
    assert run(monkeypatch, capfd, "export", identity, "--format", "onnx")[0] == 2


def test_a_bad_adapter_is_refused_with_the_rules_name(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(made / "foreign", bad)
    config = json.loads((bad / "adapter_config.json").read_text())
    (bad / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    code, value, _ = run(monkeypatch, capfd, "adopt", str(bad))
    assert code == 5
    assert value["error"]["message"].startswith("no_dora: ")
    assert not settings.platform.adapters_dir.exists()


def test_an_adopted_adapter_passes_judge_and_gate_or_is_refused(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # As the embedded model, whose gate asks for no share of model-written reasons: this engine writes none.
    shutil.copytree(made / "base", settings.platform.models_dir / EMBEDDED_BASE_MODEL)
    monkeypatch.delenv("CORRECTLY_BASE_MODEL")
    identity = run(monkeypatch, capfd, "adopt", str(made / "foreign"))[1]["adapter"]
    with fake_engine() as engine:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        monkeypatch.setenv("CORRECTLY_EVALUATION_LIMIT", "60")
        rows = [json.loads(line) for line in settings.platform.evaluation_path.read_text().splitlines()]
        engine.default = {row["source"].strip(): row["references"][0].strip() for row in rows}
        # Its canary was measured on the tiny model, whose answers this engine does not give: the proof refuses.
        code, value, _ = run(monkeypatch, capfd, "adopt", "--judge", identity)
        assert code == 5
        assert "The gate refuses" in value["error"]["message"]
        manifest = settings.platform.adapters_dir / identity / "manifest.json"
        record = json.loads(manifest.read_text())
        for canary in record["canary"]:
            canary["tokens"] = len(canary["completion"])
            canary["base_logprob"] = BASE_LOGPROB * canary["tokens"]
            canary["adapter_logprob"] = ADAPTER_LOGPROB * canary["tokens"]
        manifest.write_text(json.dumps(record))
        code, value, _ = run(monkeypatch, capfd, "adopt", "--judge", identity)
        assert code == 0, value
        assert value["verdict"] == "promoted"
    with open_platform_store(settings.platform) as store:
        champion = store.champion()
        assert champion is not None
        assert champion.adapter == identity
        # No landed rows stand behind it, so that it answers no question of the retrain sensor.
        assert store.last_decision() is None
    assert "passed the gate" in (settings.platform.adapters_dir / identity / "README.md").read_text()


def test_a_learning_curve_trains_nested_parts_and_leaves_no_text_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train_set = write_pairs(settings)
    code, value, _ = run(monkeypatch, capfd, "learning-curve", "--parts", "100,40")
    assert code == 0
    small, whole = value["points"]
    assert (small["percent"], whole["percent"]) == (40, 100)
    assert small["examples"] < whole["examples"]
    assert small["steps"] < whole["steps"]
    assert small["held_out_before"] == whole["held_out_before"] > whole["held_out_loss"] > 0
    assert value["train_set"] == train_set
    assert value["measured_on"] == "held-out loss"
    assert json.loads((settings.platform.home / "learning_curve.json").read_text()) == value
    assert (settings.platform.home / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert not list(settings.platform.checkpoints_dir.rglob("*.parquet"))
    # None of them is a candidate.
    assert not settings.platform.adapters_dir.exists()


def test_parts_that_are_no_percentages_are_refused_before_training(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_pairs(settings)
    for parts in ("a,b", "100", "0,100", "50,101"):
        assert run(monkeypatch, capfd, "learning-curve", "--parts", parts)[0] == 2


def test_a_bakeoff_without_an_engine_compares_held_out_loss_a_character(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_pairs(settings)
    other = tmp_path / "other"
    shutil.copytree(made / "base", other)
    # Weights that answer worse: the same model with its last norm drowned in noise.
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    rng = random.Random(1)
    weights["model.norm.weight"].apply_(lambda _: rng.uniform(-9, 9))
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    models = f"{made / 'base'},{other}"
    code, value, _ = run(monkeypatch, capfd, "bakeoff", "--models", models, "--no-engine")
    assert code == 0
    good, bad = value["models"]
    assert good["held_out_nats_a_character"] < bad["held_out_nats_a_character"]
    assert good["held_out_bits_a_byte"] < good["held_out_bits_a_byte_before"]
    # The test's sentences are ASCII: a character is a byte.
    assert good["held_out_bits_a_byte"] == pytest.approx(good["held_out_nats_a_character"] / math.log(2))
    assert value["best"] == str(made / "base")
    assert value["compared_by"] == "held_out_nats_a_character"
    assert json.loads((settings.platform.home / "bakeoff.json").read_text()) == value


def test_a_bakeoff_of_other_tokenizers_measures_the_same_answers_greedily(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from correctly_assets.core.prompts import load_prompts
    from correctly_assets.training.models.convert_model import convert_gguf
    from correctly_tests.unit.training.test_base_models import write_llama_gguf

    write_pairs(settings, 120)
    monkeypatch.setenv("CORRECTLY_EVALUATION_LIMIT", "12")
    write_llama_gguf(tmp_path / "tiny.gguf")
    other = convert_gguf(
        tmp_path / "tiny.gguf",
        tmp_path / "tiny-chatml",
        load_prompts(settings.platform.prompts_dir, "chatml"),
        "chatml",
    )
    models = f"{made / 'base'},{other}"
    code, value, _ = run(monkeypatch, capfd, "bakeoff", "--models", models, "--greedy", "--steps", "4")
    assert code == 0
    gemma, llama = value["models"]
    assert (gemma["steps"], llama["steps"]) == (4, 4)
    assert (gemma["engine"], llama["engine"]) == ("fast", "plain")
    assert (gemma["chat_family"], llama["chat_family"]) == ("gemma3", "chatml")
    assert gemma["held_out_bytes"] == llama["held_out_bytes"] > 0
    assert value["asked"] == "greedily, without guards"
    assert value["compared_by"] == "errant_f05"
    assert gemma["n"] == llama["n"] == 12


def test_a_bakeoff_names_a_missing_model_before_the_first_is_trained(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_pairs(settings)
    code, value, _ = run(monkeypatch, capfd, "bakeoff", "--models", f"{made / 'base'},{tmp_path / 'none'}")
    assert code == 2
    assert str(tmp_path / "none") in value["error"]["message"]
    assert not settings.platform.checkpoints_dir.exists()
    assert run(monkeypatch, capfd, "bakeoff", "--models", str(made / "base"))[0] == 2


def test_the_better_model_corrects_better_where_all_were_asked() -> None:
    first = cast("ModelRun", {"model": "a", "held_out_nats_a_character": 0.1, "errant_f05": 30.0})
    second = cast("ModelRun", {"model": "b", "held_out_nats_a_character": 0.2})
    assert choose([first, {**second, "errant_f05": 40.0}])["best"] == "b"
    assert choose([first, second])["best"] == "a"


def test_a_falling_curve_asks_for_examples_and_a_flat_one_does_not() -> None:
    def points(last: float) -> list[CurvePoint]:
        return [
            cast("CurvePoint", {"examples": 10, "held_out_loss": 2.0, "pairs": 15, "tokens": 300}),
            cast("CurvePoint", {"examples": 20, "held_out_loss": last, "pairs": 30, "tokens": 600}),
        ]

    assert curve_summary(points(1.8)).startswith("More examples would likely help: from 10 to 20 examples")
    assert "fell by 10.0 %" in curve_summary(points(1.8))
    assert "hardly help" in curve_summary(points(1.99))
    assert "rose by 5.0 %" in curve_summary(points(2.1))


def test_a_curve_whose_minutes_ran_out_does_not_judge_more_examples() -> None:
    earlier = cast("CurvePoint", {"examples": 955, "held_out_loss": 1.298, "pairs": 1476, "tokens": 41_754})
    last = cast("CurvePoint", {"examples": 1836, "held_out_loss": 1.322, "pairs": 2841, "tokens": 30_485})
    said = curve_summary([earlier, last])
    assert said.startswith("The minutes ran out before 1836 examples were learnt as thoroughly as 955")
    assert said.endswith("raise CORRECTLY_TRAIN_MINUTES.") and "hardly help" not in said
    assert "hardly help" in curve_summary([earlier, {**last, "tokens": 80_000}])


def test_no_train_set_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no train set yet"):
        newest_train_set(settings.platform)


def test_the_commands_are_part_of_the_program() -> None:
    names = {command.name or command.callback.__name__.replace("_", "-") for command in cli.app.registered_commands if command.callback}  # fmt: skip
    assert {"plan", "export", "adopt", "learning-curve", "bakeoff"} <= names
