"""Loading and proving adapters on the real engine, with the real base model on a CPU.

The test run's one engine serves every test here; the last ones poison it, as a NaN adapter does, so their order matters
and this file comes last: the platform then restarts its engine, which is looked at too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import AdapterManifest, read_manifest
from correctly_assets.core.errors import AdapterRefused
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.serving import EngineCorruptedError, UnknownModelError
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.engine.key import engine_key
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.adapter import CONTENT, check_adapter
from correctly_assets.training.models.base_model import base_model_revision
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_tests.asked import prompts_sent
from correctly_tests.integration.conftest import Platform

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

PAIRS = (
    ("I am look forward to meet you.", "I look forward to meeting you."),
    ("She go to school every days.", "She goes to school every day."),
    ("There is many people here.", "There are many people here."),
)


@pytest.fixture(scope="module")
def base_model() -> Path:
    ready = PROJECT_ROOT / ".correctly" / "models" / "gemma-3-270m"
    assert (ready / "model.safetensors").exists(), "`make install` converts the embedded base model."
    return ready


Asking = Callable[[], VllmClient]


@pytest.fixture(scope="module")
def engine(platform: Platform) -> Asking:
    """A client of the engine of the test run's one platform, behind its gateway's back."""
    return partial(VllmClient, platform.url("VLLM"), key=engine_key(platform.home))


@pytest.fixture(scope="module")
def good(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real adapter: peft's on every linear layer, its B matrices small and random, with its canary."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    prompts = load_prompts(PROJECT_ROOT / "prompts")
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    model = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.bfloat16)

    def measure(network: Any) -> list[tuple[float, int]]:
        figures = []
        for before, after in PAIRS:
            head = tokenizer(prompts.correct_prompt(before))["input_ids"]
            tail = tokenizer(after, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logits = network(torch.tensor([head + tail])).logits[0].float().log_softmax(-1)
            figures.append((sum(logits[len(head) - 1 + i, t].item() for i, t in enumerate(tail)), len(tail)))
        return figures

    base = measure(model)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    config.base_model_name_or_path = str(base_model)
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    canary = [
        {
            "prompt": prompts.correct_prompt(before),
            "completion": after,
            "base_logprob": before_figure[0],
            "adapter_logprob": after_figure[0],
            "tokens": before_figure[1],
        }
        for (before, after), before_figure, after_figure in zip(PAIRS, base, measure(adapted), strict=True)
    ]
    saved = tmp_path_factory.mktemp("saved")
    adapted.save_pretrained(str(saved))

    def fill(directory: Path) -> None:
        for name in CONTENT:
            shutil.copy(saved / name, directory / name)

    named = {"name": "gemma-3-270m", "revision": base_model_revision(str(base_model))}
    manifest = AdapterManifest.model_validate({"canary": canary, "base_model": named})
    _, path = write_artefact(tmp_path_factory.mktemp("adapters"), fill, content=CONTENT, manifest=manifest)
    return path


def changed(good: Path, parent: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """A copy of the adapter with other tensors, under the ID of its own content."""
    from safetensors.numpy import load_file, save_file

    def fill(directory: Path) -> None:
        shutil.copy(good / "adapter_config.json", directory / "adapter_config.json")
        tensors = change(load_file(good / "adapter_model.safetensors"))
        save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})

    manifest = read_manifest(good, AdapterManifest)
    return write_artefact(parent, fill, content=CONTENT, manifest=manifest)[1]


def with_nan(tensors: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][0, 0] = float("nan")
    return tensors


def misnamed(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("model.model.layers", "model.transformer.layers"): value for name, value in tensors.items()}


def without_effect(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 0 if "lora_B" in name else value for name, value in tensors.items()}


def refused_before(adapter: Path, base_model: Path) -> str:
    with pytest.raises(AdapterRefused) as refused:
        check_adapter(adapter, base_model)
    return refused.value.rule


def test_a_real_adapter_is_proved_differs_from_the_base_and_is_unloaded(
    engine: Asking, good: Path, base_model: Path
) -> None:
    async def main() -> None:
        async with engine() as client:
            proof = await load_proven(client, good, lambda directory: check_adapter(directory, base_model))
            # Some 0.3 nats a token; how a step is rounded moves it by a hundredth.
            assert proof.from_base > 0.2
            assert proof.from_training < proof.from_base / 2
            prompt = load_prompts(PROJECT_ROOT / "prompts").correct_prompt("She go to school.")
            base = await client.complete(prompt, model="base", max_tokens=12)
            adapted = await client.complete(prompt, model=good.name, max_tokens=12)
            assert base.text != adapted.text
            await client.unload_adapter(good.name)
            with pytest.raises(UnknownModelError):
                await client.complete(prompt, model=good.name, max_tokens=1)
            again = await load_proven(client, good, None)  # an unloaded adapter can come back
            assert abs(again.from_base - proof.from_base) < 0.05
            assert await client.corrupted_requests() == 0

    asyncio.run(main())


def test_training_serving_canary_and_vllm_have_the_same_tokens_of_a_prompt(
    engine: Asking, good: Path, base_model: Path
) -> None:
    prompts, annotator = load_prompts(PROJECT_ROOT / "prompts"), ErrantAnnotator()
    renderer = Renderer(load_tokenizer(str(base_model)), prompts)
    canary = [item["prompt"] for item in json.loads((good / "manifest.json").read_text())["canary"]]
    sent = [prompts_sent(prompts, before, after, annotator)[0] for before, after in PAIRS]
    assert [asked[0] for asked in sent] == canary

    async def main() -> None:
        async with engine() as client:
            for prompt in (prompt for asked in sent for prompt in asked):
                ids = list(renderer.prompt_ids(prompt))
                assert await client.tokenize("base", prompt, special=True) == ids
                # What a completion's text becomes is counted alike, its beginning included.
                assert (await client.complete(prompt, model="base", max_tokens=1)).prompt_tokens == len(ids)

    asyncio.run(main())
    assert sum(map(len, sent)) > len(PAIRS), "no reason was asked for"


@pytest.mark.parametrize("change", [misnamed, without_effect])
def test_an_adapter_that_matches_or_changes_nothing_is_refused_twice(
    engine: Asking, good: Path, base_model: Path, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    adapter = changed(good, tmp_path, change)
    assert refused_before(adapter, base_model) in ("keys", "nonzero")

    async def main() -> None:
        async with engine() as client:
            with pytest.raises(AdapterRefused) as refused:
                await load_proven(client, adapter, None)
            assert refused.value.rule == "differs_from_base"
            assert adapter.name not in await client.models()

    asyncio.run(main())


def test_the_wrong_adapters_weights_under_a_name_are_refused(engine: Asking, good: Path, tmp_path: Path) -> None:
    other = changed(good, tmp_path, lambda tensors: {n: -v if "lora_B" in n else v for n, v in tensors.items()})

    async def main() -> None:
        async with engine() as client:
            with pytest.raises(AdapterRefused) as refused:
                await load_proven(client, other, None)
            assert refused.value.rule == "agrees_with_training"

    asyncio.run(main())


@pytest.fixture
def unattended(platform: Platform) -> Iterator[None]:
    """The supervisor looks away, or it would restart the poisoned engine while it is looked at."""
    platform.process.send_signal(signal.SIGSTOP)
    yield
    platform.process.send_signal(signal.SIGCONT)


@pytest.mark.usefixtures("unattended")
def test_a_nan_adapter_is_refused_before_loading_and_poisons_if_loaded(
    engine: Asking, good: Path, base_model: Path, tmp_path: Path
) -> None:
    adapter = changed(good, tmp_path, with_nan)
    assert refused_before(adapter, base_model) == "finite"

    async def main() -> None:
        async with engine() as client:
            with pytest.raises(EngineCorruptedError, match="restart"):
                await load_proven(client, adapter, None)
            assert adapter.name not in await client.models()
            assert await client.corrupted_requests() > 0
            # Unloading does not cure it: the base model and its neighbours now answer NaN too.
            with pytest.raises(EngineCorruptedError):
                await client.prompt_logprob("base", "The capital of France is", " Paris.")
            with pytest.raises(EngineCorruptedError):
                await load_proven(client, good, None)

    asyncio.run(main())


def test_the_platform_restarts_a_poisoned_engine_and_serves_its_champion(platform: Platform, engine: Asking) -> None:
    deadline = time.monotonic() + 300
    while True:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            said = httpx.get(f"{platform.url('GATEWAY')}/readyz", timeout=5).json()
            if said["ready"] and asyncio.run(corrupted(engine)) == 0:
                break
        assert time.monotonic() < deadline, platform.said()[-2000:]
        time.sleep(1)
    answer = httpx.post(f"{platform.url('GATEWAY')}/v1/corrections", json={"text": "She go to school."}, timeout=120)
    (item,) = answer.json()["corrections"]
    assert item["release"] == said["release"] and item["after"]


async def corrupted(engine: Asking) -> int:
    async with engine() as client:
        return await client.corrupted_requests()
