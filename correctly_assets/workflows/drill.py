"""A drill: an adapter is broken on purpose, and it is timed how soon that is noticed and the champion answers as before.

Belongs here: breaking a copy, having it loaded and proved as every adapter is, and the times. Does not belong here: the proof
(engine/load_adapter.py). No release is written, so that nobody is answered by the copy.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import load_file, save_file

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import AdapterManifest, read_manifest
from correctly_assets.core.errors import AdapterRefused, PermanentError
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.settings import Settings
from correctly_assets.training.adapter import CONTENT, check_adapter
from correctly_assets.workflows.promote import EngineLike

if TYPE_CHECKING:
    from correctly_assets.store import Store


class Drill(BaseModel):
    """What a drill showed, as ``drill --json`` prints it.

    Attributes:
        adapter: the champion's. rule: the rule by which the broken copy was refused; ``message`` is its sentence.
        detected_seconds: from the beginning of the load to the refusal, the copy unloaded again.
        recovered_seconds: from then until the champion has proved itself in the same engine.
    """

    model_config = ConfigDict(frozen=True)

    adapter: str
    rule: str
    message: str = Field(serialization_alias="says")
    detected_seconds: float
    recovered_seconds: float


async def run_drill(settings: Settings, store: Store, engine: EngineLike) -> Drill:
    """Load a broken copy of the champion's adapter into the running engine, and see it refused.

    Raises:
        PermanentError: nothing was ever promoted, or the broken copy was taken for a good one.
        AdapterRefused: the champion does not prove itself; the gateway heals it.
        UnreachableError: the engine is away.
    """
    champion = store.champion()
    if champion is None:
        raise PermanentError("No adapter has been promoted yet, so there is none to break a copy of.")
    directory = settings.platform.adapters_dir / champion.adapter

    def check(adapter: Path) -> object:
        return check_adapter(adapter, Path(settings.base_model_path))

    async with engine.client() as client:
        with broken_copy(directory, settings.platform.home / "run" / "drill") as broken:
            started = time.perf_counter()
            try:
                await load_proven(client, broken, check)
            except AdapterRefused as refused:
                detected = time.perf_counter()
                await load_proven(client, directory, check)
                recovered = time.perf_counter()
                return Drill(
                    adapter=champion.adapter,
                    rule=refused.rule,
                    message=str(refused),
                    detected_seconds=detected - started,
                    recovered_seconds=recovered - detected,
                )
            await client.unload_adapter(broken.name)
    raise PermanentError("The broken adapter was taken for a good one: train the champion's canary anew.")


@contextmanager
def broken_copy(directory: Path, parent: Path) -> Iterator[Path]:
    """A copy of an adapter whose weights pull the other way; its files keep every rule. It is removed at the end."""

    def fill(work: Path) -> None:
        tensors = load_file(directory / "adapter_model.safetensors")
        turned = {name: -values if ".lora_B." in name else values for name, values in tensors.items()}
        save_file(turned, work / "adapter_model.safetensors")
        shutil.copyfile(directory / "adapter_config.json", work / "adapter_config.json")

    manifest = read_manifest(directory, AdapterManifest)
    try:
        yield write_artefact(parent, fill, content=CONTENT, manifest=manifest)[1]
    finally:
        shutil.rmtree(parent, ignore_errors=True)
