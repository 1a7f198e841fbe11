"""How a judge is asked over HTTP, whatever the question.

Belongs here: one request to an OpenAI-compatible endpoint, with its patience. Does not belong here: what is asked or how
the words are read (judge.py, questions.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.json_shapes import Json


class JudgeEndpoint:
    """A model that answers one message at a time.

    Args:
        base_url: up to and including ``/v1``.
        timeout: seconds for one request.
        attempts: how often a busy endpoint is asked; ``patience``: seconds before the second time, doubled each time.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 4,
        patience: float = 1.0,
    ) -> None:
        self.name = model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout, self._attempts, self._patience = timeout, attempts, patience

    async def say(self, content: str) -> str:
        """What the model answers to one message, at temperature 0 and in a few words.

        Raises:
            RetryableError: the endpoint stays away or busy.
            PermanentError: it refuses the request, or its answer is none of the chat API.
        """
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": 8,
        }
        async with httpx.AsyncClient(timeout=self._timeout, headers=self._headers) as client:
            answer = await self._post(client, body)
        try:
            return str(answer["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as error:
            raise PermanentError(f"The judge {self.name} answered in no shape of the chat API.") from error

    async def _post(self, client: httpx.AsyncClient, body: Mapping[str, Json]) -> Any:
        trouble = ""
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._patience * 2 ** (attempt - 1))
            try:
                response = await client.post(self._url, json=body)
            except httpx.HTTPError as error:
                trouble = type(error).__name__
                continue
            if response.status_code == 429 or response.status_code >= 500:
                trouble = f"status {response.status_code}"
                continue
            if response.status_code >= 400:
                raise PermanentError(
                    f"The judge {self.name} refused the request (status {response.status_code}); check CORRECTLY_JUDGE_*."
                )
            try:
                return response.json()
            except ValueError as error:
                raise PermanentError(
                    f"The judge {self.name} answered with something that is no JSON; check CORRECTLY_JUDGE_BASE_URL."
                ) from error
        raise RetryableError(f"The judge {self.name} is not reachable ({trouble}); try again later.")
