"""An engine for the length of a command: the running platform's, or one that is started and stopped for it.

Belongs here: finding or starting it. Does not belong here: what is asked of it (workflows/).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console

from correctly_assets.platform.processes import BY_NAME
from correctly_assets.platform.supervisor import Supervisor, check_ports
from correctly_assets.platform.up import prepare, waiting
from correctly_assets.settings import Settings
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.promote import EngineLike


@asynccontextmanager
async def running_engine(settings: Settings, console: Console) -> AsyncIterator[EngineLike]:
    """The running platform's engine, or one that is started for the length of the block.

    Raises:
        UnreachableError: none runs and none could be started.
    """
    engine = DirectEngine.of(settings)
    async with engine.client() as client:
        ready = await client.is_ready()
    if ready:
        yield engine
        return
    await asyncio.to_thread(prepare, settings, console)
    check_ports(settings, [BY_NAME["vllm"]])
    supervisor = Supervisor(settings)
    try:
        supervisor.start(BY_NAME["vllm"])
        with waiting(console, "Starting vLLM", expected=90):
            await asyncio.to_thread(supervisor.wait_ready, BY_NAME["vllm"])
        yield engine
    finally:
        await asyncio.to_thread(supervisor.stop)
