"""The comparator as a chat asks it: live, one text at a time, and nothing of it kept.

Belongs here: its words to the configured endpoint and its answer as a `Correction`. Does not belong here: recording and
scoring it (comparator.py), sending (teachers/), what the gateway makes of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import uuid4

from correctly_assets.core.errors import CorrectlyError, PermanentError, RetryableError, UsageError
from correctly_assets.core.ports import Annotator
from correctly_assets.core.types import Correction
from correctly_assets.evaluation.systems import comparator_request
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.budget import Budget, PromptTooLongError, price_of
from correctly_assets.llm_api.endpoint import Endpoint
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest
from correctly_assets.settings import Settings
from correctly_assets.workflows.ask_judge import read_prompt


class _NothingKept(Journal):
    """What people write in a chat is not kept, nor answered from what somebody else was told."""

    def __init__(self) -> None:
        """No file is opened."""

    def answer(self, request: ChatRequest) -> ChatAnswer | None:
        return None

    def sending(self, request: ChatRequest, most_usd: float) -> None: ...
    def refused(self, request: ChatRequest, most_usd: float) -> None: ...
    def answered(self, request: ChatRequest, answer: ChatAnswer, most_usd: float) -> None: ...

    def spent(self, keys: Iterable[str]) -> float:
        return 0.0


class LiveComparator:
    """The configured comparator behind ``correctly-comparator``.

    Args:
        timeout_seconds: one request; a person waits, so there are two attempts.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        prompt: str,
        annotator: Annotator,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.model, self._prompt, self._annotator = model, prompt, annotator
        self._endpoint = Endpoint(
            base_url=endpoint,
            model=model,
            api_key=api_key,
            journal=_NothingKept(),
            budget=Budget(None, price_of(model, endpoint), model),
            timeout_seconds=timeout_seconds,
            attempts=2,
            longest_wait_seconds=5.0,
        )

    async def correct(self, text: str) -> Correction:
        """
        Raises:
            UsageError: the text is too long for it (code ``text_too_long``).
            RetryableError: it is away or busy. PermanentError: it refuses us (code ``comparator_refused``).
        """
        try:
            answer = await self._endpoint.send(comparator_request(self._prompt, self.model, text))
        except PromptTooLongError as error:
            raise UsageError(
                "The text is too long for the comparator; send a shorter one.", code="text_too_long"
            ) from error
        except CorrectlyError as error:
            # The endpoint serves teachers too and names their settings.
            words = str(error).replace("CORRECTLY_TEACHER_", "CORRECTLY_COMPARATOR_").replace("\n", " ")
            if isinstance(error, PermanentError):
                raise PermanentError(f"The comparator: {words}", code="comparator_refused") from error
            raise RetryableError(f"The comparator: {words}", code="comparator_away") from error
        after = answer.text.strip()
        if not after:
            return Correction(f"c_{uuid4().hex}", text, text, (), fallback="empty")
        edits = await asyncio.to_thread(self._annotator.edits, text, after)
        return Correction(f"c_{uuid4().hex}", text, after, edits)

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self._endpoint.close()


def live_comparator(settings: Settings, annotator: Annotator) -> LiveComparator | None:
    """The comparator that the settings name; None without a model and an address: it is listed only where it can answer.

    Raises:
        PermanentError: the prompt file is missing.
    """
    if settings.comparator.model is None or settings.comparator.base_url is None:
        return None
    key = settings.comparator.api_key
    return LiveComparator(
        settings.comparator.base_url,
        settings.comparator.model,
        read_prompt(settings.platform, "comparator.txt"),
        annotator,
        api_key=key.get_secret_value() if key else None,
    )
