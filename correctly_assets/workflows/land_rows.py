"""Landing files: one that a person names, those in the inbox, and the examples that ship.

Belongs here: which files land into which store, past which guards. Does not belong here: reading files and checking rows
(curation/).
"""

from __future__ import annotations

from pathlib import Path

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.landing import ExampleGuard, LandOutcome
from correctly_assets.curation.columns import Columns
from correctly_assets.curation.guards import Guards
from correctly_assets.curation.inbox import InboxFile, ready_files, scan_inbox
from correctly_assets.curation.land_file import land_file
from correctly_assets.curation.pii import PersonalData
from correctly_assets.curation.preview import Preview, preview_file
from correctly_assets.settings import PrivacySettings, Settings
from correctly_assets.store import open_store, open_store_to_read
from correctly_assets.workflows.wiring import open_platform_store

STARTER = "The starter"
"""What the landing of the shipped examples is called: its files land as one."""


def make_guards(privacy: PrivacySettings) -> ExampleGuard:
    """The guards every row passes before it lands."""
    return Guards(pii=privacy.pii, personal_data=PersonalData(names=privacy.pii_names))


def land(settings: Settings, path: Path, *, verified: bool = False, columns: Columns | None = None) -> LandOutcome:
    """Land a file.

    Args:
        verified: whether a person vouches for its corrections, which are then trained on HUMAN_WEIGHT times.
        columns: how columns are found; by their names when None.

    Raises:
        UsageError: it cannot be read at all.
    """
    with open_platform_store(settings.platform) as store:
        return land_file(path, store, make_guards(settings.privacy), verified=verified, columns=columns)


def preview(settings: Settings, path: Path, *, columns: Columns | None = None) -> Preview:
    """What would land of a file; nothing is written. In a HOME without a store nothing counts as landed already.

    Raises:
        UsageError: it cannot be read at all.
        UnreachableError: the store is of an earlier release, or away.
    """
    url = settings.platform.store_url
    new = url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file()
    sql = settings.platform.sql_dir
    with open_store("sqlite://", sql) if new else open_store_to_read(url, sql) as store:
        guards = make_guards(settings.privacy)
        return preview_file(path, guards, languages=store.languages(), known=store.known_contents, columns=columns)


def land_inbox(settings: Settings) -> list[InboxFile]:
    """Land what lies in the inbox; files move to ``done`` or ``refused``.

    Raises:
        PermanentError: the inbox cannot be made, read or written; RetryableError: the store is busy or away.
    """
    try:
        settings.platform.inbox_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = settings.platform.inbox_dir
        raise PermanentError(
            f"The inbox {where} cannot be made ({error.strerror}); make the folder, or set CORRECTLY_HOME."
        ) from error
    # One directory listing a second; the store and the guards are opened only for a file that is ready.
    if not ready_files(settings.platform.inbox_dir):
        return []
    with open_platform_store(settings.platform) as store:
        return scan_inbox(settings.platform.inbox_dir, store, make_guards(settings.privacy))


def land_starter(settings: Settings, *, beside_others: bool = False) -> int:
    """Land the starter examples into an empty store, or the rest of them where that was cut short. Returns how many landed.

    Args:
        beside_others: also into a store that holds other rows.
    """
    with open_platform_store(settings.platform) as store:
        if not beside_others and store.counts().landed and not store.landing_unfinished(STARTER):
            return 0
        guards = make_guards(settings.privacy)
        with store.landing(STARTER) as seen:
            return sum(
                land_file(path, store, guards, progress=lambda _: seen()).landed
                for path in settings.platform.starter_paths
            )
