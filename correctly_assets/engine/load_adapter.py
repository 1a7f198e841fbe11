"""Rolling out: the one way an adapter is loaded and proved, and how what is older is retired.

Belongs here: `load_proven`, through which every load goes, for evaluation too. Does not belong here: the files' checks (training/, passed in), whether a candidate may serve
(the gate), writing the release (workflows/promote.py), flipping the public name (the gateway follows the newest release).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, read_manifest
from correctly_assets.core.errors import AdapterRefused, CorrectlyError, RefusedError
from correctly_assets.core.serving import AdapterCheck, EngineCorruptedError
from correctly_assets.core.training import Canary
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.vllm_client import VllmClient

log = logging.getLogger(__name__)

# Nats per completion token, averaged over the canary. Measured on a CPU in bf16: a trained adapter agrees with training to
# 0.01, the base model to 0.08, a random adapter on text that the base model finds absurd to 0.13; another adapter trained
# for the same task is 0.4 away.
AGREES_WITHIN = 0.15
AGREES_WITHIN_SHARE = 0.05
BASE_WITHIN = 0.6
DIFFERS_BY = 0.01


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured when an adapter was proved; distances are nats per completion token, averaged.

    Attributes:
        from_base: adapter against base, both in this engine. from_training: adapter here against adapter in training.
        base_from_training: the base model here against the base model in training.
    """

    adapter: str
    canaries: int
    from_base: float
    from_training: float
    base_from_training: float
    seconds: float


async def load_proven(client: VllmClient, adapter_dir: Path, check: AdapterCheck | None) -> Proof:
    """Check an adapter's files, load it under its ID, and prove that the engine serves it and not the base model.

    An adapter whose keys match no module loads with 200 and answers with the base model's text; one with NaN weights
    loads with 200 and poisons every later answer of the engine. Hence the order: files, load, canary, corruption
    counter.

    Args:
        adapter_dir: immutable and content-addressed; its name is the adapter's ID and its name in the engine.
        check: the files' static checks; None only in tests of what stands behind them.

    Returns:
        What was measured.

    Raises:
        AdapterRefused: with the rule's name: the check's own, or ``canary_missing``, ``loads``, ``differs_from_base``,
            ``agrees_with_training``, ``base_model``. The adapter is unloaded.
        EngineCorruptedError: loading it made the engine compute NaN; the caller must have the engine restarted.
        UnreachableError: the engine is away; nothing is decided about the adapter.
    """
    started = time.perf_counter()
    adapter_dir = adapter_dir.resolve()
    name = adapter_dir.name
    if check is not None:
        # Reading some megabytes of weights must not hold up answers in flight on this event loop.
        await asyncio.to_thread(check, adapter_dir)
    canary = _read_canary(adapter_dir)
    before = await client.corrupted_requests(name)
    if before:
        raise EngineCorruptedError(
            f"The engine has computed NaN for {before} answers; restart it before loading {name}."
        )
    known = name in await client.models()
    if not known:
        try:
            await client.load_adapter(name, adapter_dir)
        except RefusedError as error:
            raise AdapterRefused("loads", str(error)) from error
    try:
        proof = await _prove(client, name, canary, started)
        if await client.corrupted_requests(name) > before:
            raise EngineCorruptedError(f"The adapter {name} made the engine compute NaN; restart the engine.")
    except BaseException as error:
        # Also when cancelled: nothing unproved stays registered. One that was registered before may be the champion,
        # which a lost connection must not take away.
        if not known or isinstance(error, (AdapterRefused, EngineCorruptedError)):
            await asyncio.shield(_unload_quietly(client, name))
        raise
    log.info("adapter proved", extra={"adapter": name, "proof": asdict(proof)})
    return proof


async def _prove(client: VllmClient, name: str, canary: Sequence[Canary], started: float) -> Proof:
    async def ask(model: str, item: Canary) -> float:
        return await client.prompt_logprob(model, item.prompt, item.completion)

    # The base model is asked first: after a NaN adapter its figures would be poisoned and the refusal would name the
    # wrong cause.
    base = await asyncio.gather(*(ask(BASE_NAME, item) for item in canary))
    tokens = sum(item.tokens for item in canary)
    trained_base = [item.base_logprob for item in canary]
    trained = [item.adapter_logprob for item in canary]

    def apart(left: Sequence[float], right: Sequence[float]) -> float:
        return sum(abs(a - b) for a, b in zip(left, right, strict=True)) / max(tokens, 1)

    base_gap = apart(base, trained_base)
    if base_gap > BASE_WITHIN:
        raise AdapterRefused(
            "base_model",
            f"The engine's base model is not the one {name} was trained on: the canary differs by {base_gap:.2f} nats "
            f"a token (at most {BASE_WITHIN:g}). Start the engine with the adapter's base model, or train again.",
        )
    served = await asyncio.gather(*(ask(name, item) for item in canary))
    moved, meant = apart(served, base), apart(trained, trained_base)
    if moved < max(DIFFERS_BY, 0.2 * meant):
        raise AdapterRefused(
            "differs_from_base",
            f"The engine answers under {name} as the base model does ({moved:.3f} nats a token apart; training moved "
            f"it by {meant:.3f}): its weights match no module of the base model, or change nothing.",
        )
    gap, allowed = apart(served, trained), AGREES_WITHIN + AGREES_WITHIN_SHARE * meant
    if gap > allowed:
        raise AdapterRefused(
            "agrees_with_training",
            f"The engine's answers under {name} are not the trained adapter's: the canary differs by {gap:.2f} nats "
            f"a token (at most {allowed:.2f}).",
        )
    return Proof(name, len(canary), moved, gap, base_gap, time.perf_counter() - started)


async def _unload_quietly(client: VllmClient, name: str) -> None:
    try:
        await client.unload_adapter(name)
    except CorrectlyError as error:
        # The refusal under way matters more; an engine that is away has forgotten the adapter anyway.
        log.warning("refused adapter not unloaded", extra={"adapter": name, "error": str(error)})


def _read_canary(adapter_dir: Path) -> list[Canary]:
    name = adapter_dir.name
    try:
        canary = read_manifest(adapter_dir, AdapterManifest).canary
    except ManifestError as error:
        raise AdapterRefused("canary_missing", f"{name} has no readable canary: {error}") from error
    if not canary:
        raise AdapterRefused("canary_missing", f"{name} has an empty canary; train it again.")
    return canary


async def retire(client: VllmClient, served: Sequence[str], in_flight: Collection[str], *, keep: int = 2) -> list[str]:
    """Unload adapters that were released once and are older than the previous release.

    Args:
        served: adapters in the order of their releases, newest first; the first ``keep`` distinct ones stay loaded.
        in_flight: adapters that answers under way still use; they stay until they are done.

    Returns:
        What was unloaded. Names that were never released (candidates under evaluation) are not touched.

    Raises:
        UnreachableError: the engine is away, and has forgotten them anyway.
    """
    order = list(dict.fromkeys(served))
    old = [name for name in order[keep:] if name not in in_flight]
    if not old:
        return []
    known = await client.models()
    gone = [name for name in old if name in known]
    for name in gone:
        await client.unload_adapter(name)
    return gone
