"""`python -m correctly_tests.faults.engine PORT`: an engine in a process of its own, which misbehaves when it is told to.

Belongs here: its answers, which are the frozen set's, and the route by which a test changes it. Does not belong here: the
routes of vLLM (serving_fakes.py), or a test.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from correctly_assets.settings import get_settings
from correctly_tests.serving_fakes import FakeEngine


class Corrections(dict[str, dict[str, str]]):
    """Every adapter corrects the frozen set as its references do."""

    def __init__(self, path: Path) -> None:
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        self._known = {row["source"]: row["references"][0] for row in rows}

    def get(self, adapter: str, default: Any = None) -> dict[str, str]:
        return self._known


class Engine(FakeEngine):
    """Agrees with the canary of every adapter that it loads, and takes new values of its attributes over HTTP.

    Attributes:
        slow_proof: seconds that it takes over each question by which an adapter is proved.
    """

    def __init__(self, port: int, key: str | None) -> None:
        super().__init__(key)
        self.port = port
        self.fixes = Corrections(get_settings().platform.evaluation_path)
        self.reasons = "This is how it is said."
        self.canaries: dict[str, list[dict[str, Any]]] = {}
        self.slow_proof = 0.0

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        manifest = Path(body["lora_path"]) / "manifest.json"
        if manifest.is_file():
            self.canaries[body["lora_name"]] = json.loads(manifest.read_text())["canary"]
        return await super()._load(request)

    async def _models(self, request: Request) -> Response:
        # GET asks as vLLM is asked; what a test wants stands in the query.
        for name, value in request.query_params.items():
            now = json.loads(value)
            setattr(self, name, set(now) if isinstance(now, list) else now)
        return await super()._models(request)

    async def _completions(self, request: Request) -> Response:
        if isinstance((await request.json())["prompt"][0], int):
            await asyncio.sleep(self.slow_proof)
        return await super()._completions(request)

    def _logprobs(self, body: dict[str, Any], model: str) -> Response:
        prompt = body["prompt"]
        if isinstance(prompt[0], int):
            text = "".join(map(chr, prompt))  # its tokens are characters
            for known in self.canaries.get(model) or [one for each in self.canaries.values() for one in each]:
                if text == known["prompt"] + known["completion"]:
                    total = known["base_logprob" if model == "base" else "adapter_logprob"]
                    value = total / len(known["completion"])
                    places = [None, *({str(token): {"logprob": value, "rank": 1}} for token in prompt[1:])]
                    return JSONResponse(
                        {"id": "cmpl", "choices": [{"index": 0, "prompt_logprobs": places}], "usage": {}}
                    )
        return super()._logprobs(body, model)


if __name__ == "__main__":
    engine = Engine(int(sys.argv[1]), os.environ.get("VLLM_API_KEY"))
    engine.start()
    signal.pause()
