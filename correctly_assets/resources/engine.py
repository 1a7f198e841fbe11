"""vLLM as a Dagster resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import dagster as dg

from correctly_assets.settings import get_settings

if TYPE_CHECKING:
    from correctly_assets.serving.vllm import VllmClient


class EngineResource(dg.ConfigurableResource):
    """Where the engine listens: loopback or a private network."""

    url: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        """A client of the engine, closed at the end."""
        from correctly_assets.serving.merged import open_client

        async with open_client(get_settings(), self.url) as client:
            yield client
