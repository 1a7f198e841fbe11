"""What the tests of judging are made of: adapters, reports and models from outside that are not real.

Belongs here: builders. Does not belong here: assertions.
"""

from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from correctly_assets.artifacts.files import hash_files
from correctly_assets.core.hashing import content_id
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store.records import Verdict
from correctly_assets.training.adapter import CONTENT
from correctly_assets.workflows.judge_candidate import judge_candidate
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import FakeEngine, canary
from correctly_tests.teaching_fakes import answer, completion

RANK, ROWS = 8, 12
MODULES = {"model.layers.0.self_attn.q_proj": (12, 6), "model.layers.0.mlp.down_proj": (6, 20)}
PAIRS = [
    {"source": "He go home.", "first": "He goes home.", "second": "He go home!", "label": "first"},
    {"source": "He go out.", "first": "He go out!", "second": "He goes out.", "label": "second"},
    {"source": "He go in.", "first": "He goes in.", "second": "He go in!", "label": "tie"},
    {"source": "It is.", "first": "It is!", "second": "It's.", "label": "tie"},
]


def under(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Settings:
    for name, value in changes.items():
        monkeypatch.setenv(f"CORRECTLY_{name.upper()}", str(value))
    return get_settings()


def write_base(directory: Path) -> Path:
    directory.mkdir()
    weights = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in MODULES.items()}
    save_file(weights, directory / "model.safetensors")
    (directory / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r1"}))
    return directory


def write_adapter(adapters: Path, strength: float = 0.1) -> str:
    """An adapter that keeps every rule of serving, named by its content. Returns its ID."""
    weights: dict[str, np.ndarray] = {}
    for name, (out, width) in MODULES.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = np.ones((RANK, width), np.float32)
        weights[f"base_model.model.{name}.lora_B.weight"] = np.full((out, RANK), strength, np.float32)
    work = adapters / "work"
    work.mkdir(parents=True)
    save_file(weights, work / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "bias": "none", "base_model_name_or_path": "tiny"}
    (work / "adapter_config.json").write_text(json.dumps(config))
    hashes = hash_files(work, CONTENT)
    manifest = {
        "id": content_id(hashes),
        "files": hashes,
        "base_model": {"name": "tiny", "revision": "r1"},
        "train_set": "t1",
        "canary": [canary()],
    }
    (work / "manifest.json").write_text(json.dumps(manifest))
    work.rename(adapters / manifest["id"])
    return manifest["id"]


def decide(settings: Settings, adapter: str, verdict: Verdict, reason: str) -> None:
    with open_platform_store(settings.platform) as store:
        store.record_decision(
            fingerprint=f"f-{adapter}",
            adapter=adapter,
            verdict=verdict,
            reasons=(reason,),
            run_id=None,
            rows_digest="d",
            recipe_digest="r",
            accepted=1,
            train_set=None,
            example_ids=None,
        )


def put_report(settings: Settings, adapter: str, f05: float, *, verdict: str = "promote", sha: str = "e" * 64) -> Path:
    directory = settings.platform.adapters_dir / adapter
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"id": adapter}))
    scores = {"gleu": 61.25, "errant_f05": f05, "overcorrected": 8.0}
    systems = {"candidate": scores, "base": {"errant_f05": 9.5}}
    page = {"adapter": adapter, "verdict": verdict, "reasons": ["F0.5 against the base model: +9.0."]}
    page |= {"systems": systems, "data": {"n": 400, "sha256": sha}}
    (directory / "report.json").write_text(json.dumps(page))
    (directory / "report.html").write_text("<!doctype html>")
    return directory


def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """A comparator that writes "goes" for "go"; and a judge that takes the text which says "goes", else calls it even."""
    said = body["messages"][-1]["content"]
    if "Which correction is better" in said:
        a, b = (line[3:] for line in said.splitlines() if line.startswith(("A: ", "B: ")))
        text = "T" if ("goes" in a) == ("goes" in b) else "A" if "goes" in a else "B"
    elif "yes or no" in said:
        text = "Yes"
    else:
        text = said.rsplit("\n\n", 1)[1].replace(" go ", " goes ")
    answer(handler, 200, completion(text, model=f"{body['model']}-2026-01-01"))


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepare(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **more: object) -> Settings:
    """A base model, an engine whose adapters know the frozen set's answers, and a small part of that set."""
    settings = under(
        monkeypatch,
        vllm_port=engine.port,
        base_model=write_base(tmp_path / "base"),
        evaluation_limit=ROWS,
        **more,
    )
    rows = read_evaluation_set(settings.platform.evaluation_path).rows
    engine.default = {row.source: row.references[0] for row in rows}
    engine.default["He go to the pool."] = "He goes to the pool."
    engine.reasons = "This is how it is said."
    return settings


def judge(settings: Settings, adapter: str) -> Any:
    with open_platform_store(settings.platform) as store:
        return asyncio.run(
            judge_candidate(
                settings,
                store,
                DirectEngine(settings.serving.vllm_url),
                adapter=adapter,
                run_id=None,
                log=lambda _: None,
            )
        )
