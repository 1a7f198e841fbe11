"""Promotion, rollback and their record: joins the store, serving and the gate for assets and command line.

Belongs here: the order of the steps around the flip. Does not belong here: the gate's rules (core/gate.py), the proof
(engine/load_adapter.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    ManifestMissing,
    Provenance,
    TrainSetManifest,
    has_manifest,
    read_manifest,
)
from correctly_assets.artifacts.reports import AdapterReport, ReleaseScores, ReportMissing, read_report
from correctly_assets.artifacts.snapshots import example_ids
from correctly_assets.core.errors import PermanentError, RefusedError, UnreachableError, UsageError
from correctly_assets.core.gate import EMBEDDED_GATE, GateSettings, decide_promotion
from correctly_assets.core.serving import AdapterCheck
from correctly_assets.engine.load_adapter import Proof, load_proven
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.models.base_model import base_model_revision, untrimmed
from correctly_assets.workflows.retrain_state import fingerprint_of

if TYPE_CHECKING:
    from correctly_assets.engine.vllm_client import VllmClient
    from correctly_assets.store import Store
    from correctly_assets.store.records import Release


class EngineLike(Protocol):
    """Who can hand out a client of the engine: the Dagster resource, or the command line's own."""

    def client(self) -> AbstractAsyncContextManager[VllmClient]:
        """A client of the engine for the block; it is closed at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of a promotion. ``gateway_serves`` is None where no gateway runs; ``from_base`` and ``from_training``
    (nats a token) are None where no engine could prove it, which the gateway then does before it serves."""

    release: str
    adapter: str
    previous: str | None
    why: str
    from_base: float | None
    from_training: float | None
    gateway_serves: bool | None


def gate_settings(settings: Settings) -> GateSettings:
    """The gate's thresholds: the embedded default is held to its own."""
    if settings.is_embedded_base:
        return replace(EMBEDDED_GATE, max_overcorrected=settings.serving.max_overcorrected)
    return GateSettings(max_overcorrected=min(10.0, settings.serving.max_overcorrected))


def champion_on_this_base(store: Store, settings: Settings) -> Release | None:
    """The champion, if its adapter belongs to the base model that is served now; a changed base model starts anew."""
    champion = store.champion()
    if champion is None:
        return None
    try:
        revision = read_manifest(settings.platform.adapters_dir / champion.adapter, AdapterManifest).base_model.revision
    except ManifestMissing:
        return None
    same = untrimmed(revision) == untrimmed(base_model_revision(settings.base_model_path))
    return champion if same else None


def hold_against(report: AdapterReport, champion: str | None, gate: GateSettings) -> tuple[str, ...]:
    """Decide again, from an adapter's own measured figures, whether it may serve now. Returns the reasons it may.

    Args:
        champion: the adapter that serves on the present base model; None where there is none (`champion_on_this_base`).

    Raises:
        RefusedError: the gate refuses, or the report was made against another champion than the one that serves.
    """
    adapter = report.adapter
    measured = report.measured
    if measured is None:
        raise RefusedError(f"The report of adapter {adapter} holds no measured figures: evaluate it again.")
    # What was judged while it served was held against nobody else.
    against = None if measured.champion == adapter else measured.champion
    if champion not in (against, adapter):
        raise RefusedError(
            f"Adapter {adapter} was held against {against or 'the base model alone'}, but {champion or 'no adapter of this base model'} serves: "
            "materialize eval_report again."
        )
    decision = decide_promotion(measured, gate)
    if not decision.promote:
        raise RefusedError(f"The gate refuses adapter {adapter}: {' '.join(decision.reasons)}")
    return decision.reasons


async def promote_candidate(
    settings: Settings,
    store: Store,
    engine: EngineLike,
    *,
    adapter: str,
    run_id: str | None,
    log: Callable[[str], object],
    despite: str | None = None,
) -> Promotion:
    """Gate, prove, flip, record.

    Args:
        despite: a person's reason to promote although the gate refuses, not blank; recorded as an override.

    Returns:
        The promotion; an adapter that serves already is recorded as decided and not flipped again.

    Raises:
        UsageError: the person gave no reason.
        RefusedError: the gate or the proof refuses; the champion keeps serving.
        UnreachableError: the engine is away.
    """
    if despite is not None and not despite.strip():
        raise UsageError('Say why it is promoted although the gate refuses: --despite "reason".')
    directory = settings.platform.adapters_dir / adapter
    if not directory.is_dir():
        raise PermanentError(f"There is no adapter {adapter} in {settings.platform.adapters_dir}.")
    champion = store.champion()
    rival = champion_on_this_base(store, settings)
    report = _report_of(directory, needed=despite is None)
    if despite is None:
        reasons = hold_against(report, rival.adapter if rival else None, gate_settings(settings))
    else:
        reasons = (f"Promoted by a person despite the gate: {despite}",)
    async with engine.client() as client:
        proof = await load_proven(client, directory, lambda d: check_adapter(d, Path(settings.base_model_path)))
    manifest = read_manifest(directory, AdapterManifest)
    if champion is not None and champion.adapter == adapter:
        release, why = champion, "It serves already."
    else:
        than = f" and no worse than the champion {rival.adapter}" if rival is not None else ""
        why = reasons[0] if despite is not None else f"Better than the base model{than}: {reasons[0]}"
        release = await asyncio.to_thread(
            store.add_release,
            adapter=adapter,
            base_model=manifest.base_model.name,
            train_set=manifest.train_set,
            scores=ReleaseScores(systems=report.systems).model_dump(mode="json", exclude_unset=True),
            kind="override" if despite is not None else "promotion",
            why=why,
            # Proving took seconds: what was decided against one champion must not replace another.
            instead_of=champion.id if champion is not None else None,
        )
    record(settings.platform, store, manifest, adapter=adapter, verdict="promoted", reasons=reasons, run_id=run_id)
    log(f"{release.id} is adapter {adapter}.")
    serves = await _gateway_serves(settings.platform.gateway_url, release.id)
    return Promotion(
        release.id, adapter, release.previous, why, round(proof.from_base, 4), round(proof.from_training, 4), serves
    )


def _report_of(directory: Path, *, needed: bool) -> AdapterReport:
    """An adapter's report; an empty one where it has none and none is needed.

    Raises:
        RefusedError: it is missing and needed, or cannot be read.
    """
    try:
        return read_report(directory)
    except ReportMissing:
        if needed:
            raise
        return AdapterReport(adapter=directory.name)


def record(
    platform: PlatformSettings,
    store: Store,
    made_from: Provenance,
    *,
    adapter: str | None,
    verdict: Any,
    reasons: tuple[str, ...],
    run_id: str | None,
) -> None:
    """Write the decision on an adapter down, with the fingerprint of what it was really trained on.

    Args:
        made_from: the adapter's manifest, or, of a training that made none, the provenance that it would have held.
        adapter: None for a training that made none.
    """
    rows, recipe = made_from.rows_digest, made_from.recipe_digest
    if not rows or not recipe:  # adopted from elsewhere: no landed rows stand behind it, so nothing is decided by it
        return

    snapshot = platform.snapshots_dir / str(made_from.examples_snapshot)
    train_set = platform.snapshots_dir / str(made_from.train_set)
    # Rows that the train set held back as straddling are in the snapshot and were not trained on.
    held = set(read_manifest(train_set, TrainSetManifest).straddling) if has_manifest(train_set) else set()
    ids = [id for id in example_ids(snapshot) if id not in held] if snapshot.is_dir() else []
    store.record_decision(
        fingerprint=fingerprint_of(rows, made_from.recipe),
        adapter=adapter,
        verdict=verdict,
        reasons=reasons,
        run_id=run_id,
        rows_digest=rows,
        recipe_digest=recipe,
        accepted=len(ids),
        train_set=made_from.train_set,
        example_ids=ids,
    )


async def _gateway_serves(url: str, release: str, seconds: float = 15.0) -> bool | None:
    """Whether the gateway flipped to the release; None where none answers."""
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
        while True:
            try:
                answer = await client.get(f"{url}/readyz")
                if answer.json().get("release") == release:
                    return True
            except httpx.ConnectError:
                return None
            except (httpx.HTTPError, ValueError):
                pass  # starting or swapping: asked again until the deadline
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)


async def roll_back(settings: Settings, store: Store, engine: EngineLike, why: str) -> Promotion:
    """Return to the release before the champion's: prove, flip, record, and wait until the gateway has seen it.

    Without an engine, or with a corrupted one, it is written down unproved: see `return_to_previous`.

    Raises:
        PermanentError: there is no earlier release, or its adapter's files are gone.
        CorrectlyError: as `load_proven`; the champion keeps serving.
    """
    async with engine.client() as client:
        release, proof = await return_to_previous(
            store,
            client,
            settings.platform.adapters_dir,
            lambda d: check_adapter(d, Path(settings.base_model_path)),
            why,
        )
    serves = await _gateway_serves(settings.platform.gateway_url, release.id)
    from_base, from_training = (proof.from_base, proof.from_training) if proof else (None, None)
    return Promotion(release.id, release.adapter, release.previous, release.why, from_base, from_training, serves)


async def return_to_previous(
    store: Store,
    client: VllmClient,
    adapters_dir: Path,
    check: AdapterCheck | None,
    why: str,
    *,
    instead_of: str | None = None,
) -> tuple[Release, Proof | None]:
    """Prove the release before the champion's and write it down as the new one, which is the flip.

    The way back does not wait for the engine: where none answers, or only one that computed NaN, the release is written
    unproved, and says so. The gateway proves every adapter before it serves it.

    Args:
        instead_of: the release that is to give way; None takes whichever serves.

    Raises:
        PermanentError: there is no earlier release, or its adapter's files are gone.
        RetryableError: another release was written meanwhile; it stays.
        CorrectlyError: as `load_proven`; the champion keeps serving.
    """
    champion = await asyncio.to_thread(store.champion)
    previous = await asyncio.to_thread(store.previous_release)
    if champion is None or previous is None:
        raise PermanentError("There is no earlier release to return to.")
    directory = adapters_dir / previous.adapter
    if not directory.is_dir():
        raise PermanentError(f"The files of adapter {previous.adapter} are gone; train again or restore {directory}.")
    unproved = await _why_not_proved(client, previous.adapter)
    proof: Proof | None = None
    if unproved is None:
        proof = await load_proven(client, directory, check)
    elif check is not None:
        await asyncio.to_thread(check, directory)
    release = await asyncio.to_thread(
        store.add_release,
        adapter=previous.adapter,
        base_model=previous.base_model,
        train_set=previous.train_set,
        scores=previous.scores,
        kind="rollback",
        why=f"Rolled back from {champion.id}: {why}{unproved or ''}",
        instead_of=instead_of or champion.id,
    )
    return release, proof


async def _why_not_proved(client: VllmClient, adapter: str) -> str | None:
    """Why no proof of an adapter can be had now, to be said after a release's reason; None where one can."""
    try:
        corrupted = await client.corrupted_requests(adapter)
    except UnreachableError:
        return " (not proved yet, for the engine is away: the gateway does before it serves it)"
    if corrupted:
        return " (not proved yet, for the engine computed NaN: the gateway does, once that is restarted, before it serves it)"
    return None


def unrecorded_release(champion: Release | None, recorded: str | None) -> Release | None:
    """The release that the record of `served_model` does not hold yet, or None.

    A promotion in a run is recorded by its asset and would only be written twice; an override or a rollback is made elsewhere.

    Args:
        recorded: the release that the record names last.
    """
    if champion is None or champion.kind == "promotion" or champion.id == recorded:
        return None
    return champion


def serving_summary(store: Store, platform: PlatformSettings) -> str:
    """One sentence or two on whether the gateway serves the newest release, and on what its watch over it says."""
    champion = store.champion()
    if champion is None:
        return "No adapter has been promoted yet."
    try:
        answer = httpx.get(f"{platform.gateway_url}/readyz", timeout=3, trust_env=False).json()
        served, watch = answer.get("release"), answer.get("rollback")
    except (httpx.HTTPError, ValueError):
        return f"The gateway does not answer; {champion.id} is served when it does."
    if served == champion.id:
        message = f"The gateway serves {champion.id} (adapter {champion.adapter})."
    else:
        message = f"The gateway serves {served or 'nothing'}, not {champion.id}: it is loading, or see `correctly logs gateway`."
    return f"{message} {watch}" if watch else message
