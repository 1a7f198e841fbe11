"""vLLM as a Dagster resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from correctly_assets.engine.client import VllmClient


class EngineResource(dg.ConfigurableResource):
    """Where the engine listens: loopback or a private network."""

    url: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        """A client of the engine, closed at the end."""
        from correctly_assets.engine.client import VllmClient

        async with VllmClient(self.url) as client:
            yield client
