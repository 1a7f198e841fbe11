"""The engine's command line."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from correctly_assets.core.prompts import load_prompts
from correctly_assets.engine.launch import Speculation, vllm_command
from correctly_assets.engine.vllm_plugin.drafts import PROMPT_HEAD, PROMPT_TAIL

TEMPLATE = Path("prompts/chat/gemma3.jinja")


def value_of(argv: list[str], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_a_cpu_engine_listens_on_loopback_and_covers_every_adapter() -> None:
    argv, environment = vllm_command("some/model", port=8001, chat_template=TEMPLATE, device="cpu")
    assert value_of(argv, "--host") == "127.0.0.1"
    assert int(value_of(argv, "--max-loras")) >= 2
    assert int(value_of(argv, "--max-cpu-loras")) >= int(value_of(argv, "--max-loras"))
    assert value_of(argv, "--block-size") == "32"
    assert int(value_of(argv, "--shutdown-timeout")) > 0
    assert value_of(argv, "--scheduling-policy") == "priority"
    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert environment["VLLM_COMPUTE_NANS_IN_LOGITS"] == "1"
    assert value_of(argv, "--kv-cache-memory-bytes") == str(2**28)


def test_telemetry_is_off_and_no_plugin_can_resolve_adapters_by_name() -> None:
    _, environment = vllm_command("some/model", port=1, chat_template=TEMPLATE, device="cpu")
    assert environment["VLLM_NO_USAGE_STATS"] == environment["DO_NOT_TRACK"] == "1"
    assert environment["VLLM_PLUGINS"] == "correctly_cpu"
    _, on_gpu = vllm_command("some/model", port=1, chat_template=TEMPLATE, device="gpu")
    assert on_gpu["VLLM_PLUGINS"] == ""


def test_few_cores_have_scheduler_and_worker_in_one_process() -> None:
    _, few = vllm_command("m", port=1, chat_template=TEMPLATE, device="cpu", cores=2)
    _, many = vllm_command("m", port=1, chat_template=TEMPLATE, device="cpu", cores=16)
    assert few["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert few["OMP_NUM_THREADS"] == "2"
    assert not {"VLLM_ENABLE_V1_MULTIPROCESSING", "OMP_NUM_THREADS"} & many.keys()


def test_a_directory_is_served_offline_and_a_hub_name_is_not(tmp_path: Path) -> None:
    _, local = vllm_command(str(tmp_path), port=1, chat_template=TEMPLATE, device="cpu")
    _, hub = vllm_command("org/model", port=1, chat_template=TEMPLATE, device="cpu")
    assert local["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in hub


def test_a_gpu_engine_gets_no_cpu_flags() -> None:
    argv, environment = vllm_command("m", port=1, chat_template=TEMPLATE, device="gpu")
    assert "--block-size" not in argv
    assert "--kv-cache-memory-bytes" not in argv
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment
    assert float(value_of(argv, "--gpu-memory-utilization")) == pytest.approx(0.9)


def test_speculation_is_n_gram_lookup_and_can_be_left_out() -> None:
    argv, environment = vllm_command(
        "m", port=1, chat_template=TEMPLATE, device="cpu", speculation=Speculation(tokens=5)
    )
    config = json.loads(value_of(argv, "--speculative-config"))
    assert (config["method"], config["num_speculative_tokens"]) == ("ngram", 5)
    assert PROMPT_HEAD not in environment
    without, _ = vllm_command("m", port=1, chat_template=TEMPLATE, device="cpu", speculation=None)
    assert "--speculative-config" not in without


def test_a_proposer_of_sentences_is_told_what_stands_around_them() -> None:
    around = load_prompts(TEMPLATE.parent.parent).around_sentence()
    argv, environment = vllm_command(
        "m", port=1, chat_template=TEMPLATE, device="cpu", speculation=Speculation(prompt=around)
    )
    module, name = json.loads(value_of(argv, "--speculative-config"))["model"].rsplit(".", 1)
    assert hasattr(importlib.import_module(module), name)
    assert around == (environment[PROMPT_HEAD], environment[PROMPT_TAIL])
    assert "I go.".join(around) == load_prompts(TEMPLATE.parent.parent).correct_prompt("I go.")
