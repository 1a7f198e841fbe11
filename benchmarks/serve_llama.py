"""Our engine beside llama.cpp's server, single stream: the same model, prompts and output lengths, no adapter on either side.

Belongs here: starting llama.cpp's server and asking both engines one after the other. Does not belong here: what else serving
costs (bench_serve.py). llama-cpp-python[server] stands in an environment of its own, whose Python is given: it is compiled
for minutes, and nothing else of Correctly needs it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from correctly_assets.core.prompts import load_prompts
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.settings import Settings
from correctly_assets.training.models.vocabulary import packaged_vocabulary

TOKENS = 48
"""Of every answer, on both sides: about as many as a corrected sentence and a reason have."""
_ENDS = ("<eos>", "<end_of_turn>")


def llama_command(python: Path, model: Path, port: int, threads: int) -> list[str]:
    """llama.cpp's server as its package starts it, told how many cores there are."""
    argv = [str(python), "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    return [*argv, "--n_threads", str(threads), "--n_threads_batch", str(threads), "--n_ctx", "2048"]


def packaged_model(folder: Path) -> Path:
    """The package's Q4_K_M file, put together in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return packaged_vocabulary(folder)


def prompts_of(settings: Settings, texts: list[str]) -> list[str]:
    """The texts as both engines are asked."""
    prompts = load_prompts(settings.platform.prompts_dir, "gemma3")
    return [prompts.correct_prompt(text) for text in texts]


async def rates(client: httpx.AsyncClient, engine: str, prompts: list[str], **asked: Any) -> list[float]:
    """One prompt after the other; the first three warm up.

    Returns:
        Tokens a second of each prompt, the prompt's own work included.

    Raises:
        SystemExit: an answer has not the asked length, and the two sides could not be compared.
    """
    found: list[float] = []
    for number, prompt in enumerate([*prompts[:3], *prompts]):
        began = time.perf_counter()
        answer = await client.post(
            f"{engine}/v1/completions", json={"prompt": prompt, "max_tokens": TOKENS, "temperature": 0.0, **asked}
        )
        answer.raise_for_status()
        took = time.perf_counter() - began
        made = answer.json()["usage"]["completion_tokens"]
        if made != TOKENS:
            raise SystemExit(f"{engine} answered {made} tokens where {TOKENS} were asked for.")
        if number >= 3:
            found.append(made / took)
    return found


async def ours(client: httpx.AsyncClient, engine: str, prompts: list[str]) -> list[float]:
    """vLLM, on the base model."""
    return await rates(client, engine, prompts, model=BASE_NAME, ignore_eos=True, min_tokens=TOKENS)


async def llama(client: httpx.AsyncClient, engine: str, prompts: list[str], ends: list[int]) -> list[float]:
    """llama.cpp's server; it has no switch to go on after the end, so the tokens that end an answer are forbidden."""
    return await rates(client, engine, prompts, logit_bias={str(token): -100.0 for token in ends})


def end_tokens(model: Path) -> list[int]:
    """The ids of the tokens that end an answer, the same in both files' vocabularies."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    return [int(tokenizer.convert_tokens_to_ids(token)) for token in _ENDS]
