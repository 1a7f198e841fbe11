"""vLLM as a Dagster resource.

Belongs here: the engine's address as configuration, and a client for it. Does not belong here: what is asked of the engine (engine/).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from correctly_assets.engine.key import engine_key
from correctly_assets.engine.vllm_client import VllmClient

if TYPE_CHECKING:
    from correctly_assets.engine.vllm_client import VllmClient


class EngineResource(dg.ConfigurableResource):
    """Where the engine listens: loopback or a private network. Its key is read from HOME, for Dagster shows what stands here."""

    url: str
    home: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        """A client of the engine, closed at the end."""
        async with VllmClient(self.url, key=engine_key(Path(self.home))) as client:
            yield client
