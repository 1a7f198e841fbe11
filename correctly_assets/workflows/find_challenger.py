"""Which adapter answers beside the champion, and what its answers came to.

Belongs here: finding it among what was judged, and its count as a sentence. Does not belong here: asking it
(gateway/shadow.py), who won (core/shadow_count.py).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from correctly_assets.artifacts.reports import find_report
from correctly_assets.core.shadow_count import count_shadows
from correctly_assets.settings import PlatformSettings

if TYPE_CHECKING:
    from correctly_assets.store import Store

_EVER = 1_000_000


def find_challenger(platform: PlatformSettings, store: Store, without: Collection[str] = ()) -> str | None:
    """The adapter that was judged last of those that never served: refused, or waiting to be promoted. None where there is none.

    One that was not measured whole (refused for what it did to the engine, or under evaluation) is no challenger: loaded beside the
    champion it would take the engine down with it.

    Args:
        without: adapters that were tried and could not be loaded.
    """
    served = {release.adapter for release in store.releases(_EVER)}
    reports = sorted(platform.adapters_dir.glob("[!.]*/report.json"), key=lambda path: -path.stat().st_mtime)
    for path in reports:
        adapter = path.parent.name
        if adapter in served or adapter in without:
            continue
        report = find_report(path.parent)
        if report is not None and report.measured is not None and not report.measured.corrupted:
            return adapter
    return None


def shadow_message(store: Store, adapter: str) -> str | None:
    """What an adapter's answers to real requests came to, in words; None where it gave none."""
    counts = count_shadows(store.shadow_pairs(adapter=adapter))
    return counts[0].message if counts else None
