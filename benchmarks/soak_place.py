"""A gateway and an engine of a benchmark's own, on free ports, over a home of their own.

Belongs here: starting and ending them, releases, waiting until they answer. Does not belong here: load or figures.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.serve_gateway import ME
from benchmarks.serve_parts import champion_adapter, running, until
from correctly_assets.settings import Settings, get_settings
from correctly_assets.training.adapter import AdapterRefused, check_adapter

if TYPE_CHECKING:
    from correctly_assets.store import Store


@dataclass
class Place:
    """A gateway and an engine on free ports, with a store of their own.

    Attributes:
        settings, environment: what this process and its children run under.
        fake: whether the engine is one that answers at once; its adapters have no weights to check.
    """

    settings: Settings
    environment: dict[str, str]
    store: Store
    client: httpx.AsyncClient
    fake: bool
    engine_pid: int = 0
    gateway_pid: int = 0

    @property
    def gateway(self) -> str:
        return self.settings.platform.gateway_url

    def bring(self, adapter: Path, name: str | None = None) -> str:
        """Copy an adapter into the home, under its own name or another, as an immutable directory; returns the name."""
        target = self.settings.platform.adapters_dir / (name or adapter.name)
        if not target.exists():
            shutil.copytree(adapter, target)
        return target.name

    def release(self, adapter: str, why: str = "bench") -> str:
        """The flip: one atomic write."""
        return self.store.add_release(adapter=adapter, base_model="base", kind="promotion", why=why).id

    async def serves(self, release: str | None = None, seconds: float = 400) -> float:
        """Wait until the gateway is ready (with a release); the seconds it took."""

        async def asked() -> bool:
            said = await self.client.get(f"{self.gateway}/readyz")
            return said.status_code == 200 and release in (None, said.json()["release"])

        return await until(asked, seconds)

    async def prove(self, adapter: str) -> float:
        """Load and prove an adapter beside the one that serves, as a promotion does; the seconds it took."""
        from correctly_assets.engine.load_adapter import load_proven
        from correctly_assets.engine.vllm_client import VllmClient
        from correctly_assets.training.adapter import check_adapter

        def check(directory: Path) -> object:
            return check_adapter(directory, Path(self.settings.base_model_path))

        started = time.perf_counter()
        async with VllmClient.of(self.settings) as engine:
            await load_proven(engine, self.settings.platform.adapters_dir / adapter, None if self.fake else check)
        return time.perf_counter() - started

    async def correct(self, text: str) -> tuple[int, dict[str, Any]]:
        """A sentence's status and correction."""
        body = {"text": text, "reasons": False}
        answer = await self.client.post(f"{self.gateway}/v1/corrections", json=body)
        return answer.status_code, answer.json()["corrections"][0] if answer.status_code == 200 else {}

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Any]:
        """The engine's process, real or fake."""
        if self.fake:
            command = [*ME, "upstream", str(self.settings.serving.vllm_port)]
            extra: dict[str, str] = {}
        else:
            from correctly_assets.engine.launch import vllm_command

            command, extra = vllm_command(
                self.settings.base_model_path,
                port=self.settings.serving.vllm_port,
                chat_template=self.settings.platform.prompts_dir / "chat" / "gemma3.jinja",
                max_model_len=self.settings.serving.vllm_max_model_len,
                kvcache_gb=self.settings.serving.vllm_kvcache_gb,
                max_lora_rank=self.settings.training.lora_rank,
            )
        with running(command, extra) as child:
            self.engine_pid = child.pid
            yield child

    @asynccontextmanager
    async def gateway_process(self) -> AsyncIterator[Any]:
        """The gateway's process; over adapters without weights where the engine is fake."""
        command = [sys.executable, "-m", "correctly_assets.gateway"]
        if self.fake:
            where = (
                str(self.settings.platform.home),
                str(self.settings.serving.vllm_port),
                str(self.settings.platform.gateway_port),
            )
            command = [*ME, "gateway", *where]
        with running(command, self.environment) as child:
            self.gateway_pid = child.pid
            yield child


@asynccontextmanager
async def place(home: Path, *, fake: bool) -> AsyncIterator[Place]:
    """A home of its own with free ports; nothing runs yet."""
    from correctly_assets.store import open_store
    from correctly_tests.serving_fakes import free_port

    given = get_settings()
    settings = given.changed(
        platform={"home": home, "host": "127.0.0.1", "gateway_port": free_port()},
        training={"base_model": given.base_model_path},
        serving={"vllm_port": free_port()},
    )
    settings.platform.adapters_dir.mkdir(parents=True)
    environment = {
        "CORRECTLY_HOME": str(home),
        "CORRECTLY_BASE_MODEL": given.base_model_path,
        "CORRECTLY_HOST": "127.0.0.1",
        "CORRECTLY_VLLM_PORT": str(settings.serving.vllm_port),
        "CORRECTLY_GATEWAY_PORT": str(settings.platform.gateway_port),
    }
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        async with httpx.AsyncClient(trust_env=False, timeout=300, limits=limits) as client:
            yield Place(settings, environment, store, client, fake)


def adapters(chosen: argparse.Namespace, home: Path, count: int) -> list[Path]:
    """The adapters a part needs: those named, else the champion's; with the fake engine, made ones."""
    if chosen.fake:
        from correctly_tests.serving_fakes import write_adapter

        return [write_adapter(home.parent / "made", f"made{n}") for n in range(count)]
    found = chosen.adapter or ([champion_adapter()] if count == 1 else [])
    if len(found) < count:
        raise SystemExit(f"This part needs {count} adapters: give --adapter DIR {count} times.")
    if any(not (path / "manifest.json").is_file() for path in found):
        raise SystemExit("An --adapter is no adapter's directory: it holds no manifest.json.")
    taken = [path.resolve() for path in found[:count]]
    for path in taken:
        try:
            check_adapter(path, Path(get_settings().base_model_path))
        except AdapterRefused as error:
            raise SystemExit(f"The gateway would refuse {path}: {error}") from error
    return taken
