"""Money and tokens: prices, estimates, and the budget that stops a run before it is exceeded.

Belongs here: the price table and the arithmetic. Does not belong here: who is asked (endpoint.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from correctly_assets.core.errors import PermanentError
from correctly_assets.llm_api.requests import ChatRequest


class BudgetReachedError(PermanentError):
    """The next request could exceed the budget, so it was not sent."""

    code = "budget"


class PromptTooLongError(PermanentError):
    """The prompt is over the token limit, so it was not sent."""

    code = "prompt_too_long"


class RequestRefusedError(PermanentError):
    """The endpoint refuses this one request; others may go through."""

    code = "request_refused"


@lru_cache(maxsize=1)
def _shipped_prices() -> dict[str, dict[str, float]]:
    """The price table beside this module, read once."""
    table = yaml.safe_load(Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8"))
    return table["usd_per_million_tokens"]


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens, in and out."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1_000_000


def price_of(model: str, base_url: str, prices: Mapping[str, Mapping[str, float]] | None = None) -> Price | None:
    """The price of a model: from the table (a dated name takes its base name's), nothing on loopback, None if unknown.

    Args:
        prices: ``{model: {"prompt": USD, "completion": USD}}`` per million tokens; adds to data/prices.yaml.
    """
    table = {**_shipped_prices(), **(prices or {})}
    for name in sorted(table, key=len, reverse=True):
        if model == name or model.startswith(f"{name}-20"):
            return Price(float(table[name]["prompt"]), float(table[name]["completion"]))
    return Price(0.0, 0.0) if urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"} else None


def tokens_at_most(request: ChatRequest) -> int:
    """An estimate of a prompt's tokens that errs high: a token for three bytes, English has four to five.

    A model's own tokenizer would have to be downloaded, and the estimate only guards limits.
    """
    return sum(8 + math.ceil(len(content.encode()) / 3) for _, content in request.messages) + 8


class Budget:
    """What a run may still spend; each request is reserved at its most before it is sent.

    One for all that a teacher asks, in however many calls and connections.
    """

    def __init__(self, limit_usd: float | None, price: Price | None, model: str) -> None:
        """
        Raises:
            PermanentError: there is a limit, but nobody knows what the model costs.
        """
        if limit_usd is not None and price is None:
            raise PermanentError(f"No price is known for {model!r}, so the budget cannot be kept: set its price.")
        self.limit_usd = limit_usd
        self.price = price or Price(0.0, 0.0)
        self.spent_usd = 0.0
        self._reserved = 0.0
        self._counted: set[str] = set()

    def not_counted_before(self, keys: Iterable[str]) -> list[str]:
        """The keys of requests that this budget has not counted before: what they cost in earlier runs is not counted
        yet, and what they cost from now on is settled."""
        fresh = [key for key in dict.fromkeys(keys) if key not in self._counted]
        self._counted.update(fresh)
        return fresh

    def most(self, request: ChatRequest) -> float:
        """The most US dollars that a request can cost: every token of its prompt, and an answer of ``max_tokens``."""
        return self.price.cost(tokens_at_most(request), request.max_tokens)

    def reserve(self, request: ChatRequest, share: float = 1.0) -> float:
        """Set aside the most that a request may cost.

        Args:
            share: of the price that this way of sending costs.

        Raises:
            BudgetReachedError: that might exceed the budget.
        """
        most = share * self.most(request)
        if self.limit_usd is not None and self.spent_usd + self._reserved + most > self.limit_usd + 1e-12:
            raise BudgetReachedError(
                f"The budget of {self.limit_usd:.2f} USD is reached: {self.spent_usd:.4f} USD are spent and the next "
                f"request may cost {most:.4f} USD. Raise the budget to go on; what is paid for is kept."
            )
        self._reserved += most
        return most

    def settle(self, reserved: float, cost: float) -> None:
        """Replace a reservation by what the request did cost."""
        self._reserved = max(0.0, self._reserved - reserved)
        self.spent_usd += cost
