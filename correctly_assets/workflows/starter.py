"""What ships with the platform: the starter's adapter as release r0000, and the examples that it was made from.

Belongs here: putting both into an empty platform, so that it answers before anything was trained, and the small batch over
which the first loop closes. Does not belong here: training the adapter (train_starter.py), or the order of a start
(platform/up.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from correctly_assets.artifacts.manifests import AdapterManifest, has_manifest, read_manifest
from correctly_assets.core.hashing import sha256_of
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.store import Store
from correctly_assets.store.records import Release
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.land_rows import STARTER, land, land_starter
from correctly_assets.workflows.retrain_state import fingerprint_of, recipe, recipe_digest
from correctly_assets.workflows.wiring import open_platform_store

WHY = "The adapter that ships with Correctly."


def ships_an_adapter(settings: Settings) -> bool:
    """Whether this installation begins with the shipped adapter: it is wanted, it is there, and it fits the base model."""
    wanted = settings.training.starter == "shipped" and settings.is_embedded_base
    return wanted and has_manifest(settings.platform.starter_adapter_dir)


def install_starter(settings: Settings) -> Release | None:
    """Make the shipped adapter release ``r0000`` of a platform that has none.

    The starter's examples land as what the adapter was made from and count as decided, so that nothing is trained again for
    them; examples that a person landed earlier stay undecided. An installation that was cut short is completed.

    Returns:
        The release where it was written now; None otherwise.

    Raises:
        AdapterRefused: the shipped files are damaged.
        RetryableError: the database is away.
    """
    if not ships_an_adapter(settings):
        return None
    with open_platform_store(settings.platform) as store:
        last = store.last_decision()
        adapter = shipped_id(settings)
        if store.champion() is not None or (last is not None and last.adapter != adapter):
            return None
        copy_adapter(settings.platform, adapter)
        # What was there before the starter is somebody's own; a starter that was cut short is not.
        own = set() if store.landing_unfinished(STARTER) else set(store.undecided_ids())
        land_starter(settings, beside_others=True)
        return _release(settings, store, adapter, own)


def land_what_ships(settings: Settings) -> int:
    """Put what ships into an empty platform, for one that nobody runs `up` on: the adapter that serves, its examples, and the
    small batch over which the first loop closes. Does nothing the second time.

    Returns:
        How many examples landed for the loop to close over.
    """
    install_starter(settings)
    return land_starter(settings) + land_first_batch(settings)


def land_first_batch(settings: Settings) -> int:
    """Land the small batch that was kept out of the shipped adapter, over which the first loop closes.

    Returns:
        How many examples landed; none where another release than the shipped adapter serves, or where they stand here.
    """
    with open_platform_store(settings.platform) as store:
        champion = store.champion()
    if champion is None or champion.id != "r0000":
        return 0
    return land(settings, settings.platform.first_batch_path).landed


def shipped_id(settings: Settings) -> str:
    """The ID of the adapter that ships.

    Raises:
        AdapterRefused: the shipped files are damaged, or it does not fit the base model.
    """
    return check_adapter(settings.platform.starter_adapter_dir, Path(settings.base_model_path)).id


def copy_adapter(platform: PlatformSettings, adapter: str) -> None:
    """Copy the shipped adapter under its ID; it appears by a rename."""
    target = platform.adapters_dir / adapter
    if target.exists():
        return
    platform.adapters_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=platform.adapters_dir))
    try:
        shutil.copytree(platform.starter_adapter_dir, work, dirs_exist_ok=True)
        work.chmod(0o755)
        os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _release(settings: Settings, store: Store, adapter: str, own: set[str]) -> Release:
    """Record the decision on the starter's rows, then the release."""
    manifest = read_manifest(settings.platform.adapters_dir / adapter, AdapterManifest)
    rows = store.accepted_digest()
    of_the_starter = [id for id in store.undecided_ids() if id not in own]
    store.record_decision(
        # Beside a person's own rows the set that stands here is not what was decided.
        fingerprint=sha256_of([WHY, rows]) if own else fingerprint_of(rows, recipe(settings)),
        verdict="promoted",
        reasons=(WHY,),
        adapter=adapter,
        rows_digest=rows,
        recipe_digest=recipe_digest(settings),
        accepted=len(of_the_starter),
        example_ids=of_the_starter,
    )
    return store.add_starter_release(
        adapter=adapter,
        base_model=manifest.base_model.name,
        why=WHY,
        scores={"systems": manifest.scores},
    )
