"""No adapter is measured on sentences it was trained on.

Belongs here: holding what an adapter was trained on against evaluation sets. Does not belong here: what counts as a leak
(core/text.py), keeping leaks out of a train set in the first place (train_sets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, read_manifest
from correctly_assets.artifacts.train_set import TRAIN_FILE, read_train_set
from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.evaluation.metrics.score import leaked_rows, named_rows, refuse_leaks
from correctly_assets.settings import PlatformSettings


def refuse_trained_on(
    platform: PlatformSettings,
    manifest: AdapterManifest,
    sets: Sequence[EvaluationSet],
    log: Callable[[str], object] = lambda _: None,
) -> str | None:
    """Refuse to measure an adapter on sentences it was trained on: by its own train set, and by those of the adapters
    that it was started from (CORRECTLY_TRAIN_START=champion), as far as manifests tell.

    Returns:
        A sentence on what could not be checked, which belongs into the report; None where everything was.

    Raises:
        PermanentError: a pair of a train set shows a row of a set; the message names set and rows.
    """
    texts, unknown = _trained_on(platform, manifest)
    for one in sets:
        refuse_leaks(texts, one)
    return _unchecked(unknown, log)


def without_trained_on(
    platform: PlatformSettings,
    manifest: AdapterManifest,
    data: EvaluationSet,
    log: Callable[[str], object] = lambda _: None,
) -> tuple[EvaluationSet, str | None]:
    """A registered set without the rows that the adapter was trained on, by the same records as `refuse_trained_on`.

    A person's own set may stand near what people land, and one such row says nothing against the others. The frozen set is kept
    out of every train set; a row of it that was trained on is a fault, and is refused.

    Returns:
        The set, and a sentence on what was left out or could not be checked; None where neither is so.

    Raises:
        PermanentError: every row was trained on; the message names them.
    """
    texts, unknown = _trained_on(platform, manifest)
    _, rows = leaked_rows(texts, data)
    if len(rows) == len(data.rows):
        refuse_leaks(texts, data)
    messages: list[str] = []
    if rows:
        messages.append(
            f"{data.name} is measured without {'row' if len(rows) == 1 else 'rows'} {named_rows(rows)}, "
            f"which adapter {manifest.id} was trained on or near."
        )
        log(messages[0])
        data = data.without(rows)
    if unchecked := _unchecked(unknown, log):
        messages.append(unchecked)
    return data, " ".join(messages) or None


def _unchecked(unknown: Sequence[str], log: Callable[[str], object]) -> str | None:
    if not unknown:
        return None
    message = f"Whether it was trained on these sentences could not be checked in full: {'; '.join(unknown)}."
    log(message)
    return message


def _trained_on(platform: PlatformSettings, manifest: AdapterManifest) -> tuple[list[str], list[str]]:
    """(every text that an adapter and those it was started from were trained on, what of that is not here)."""
    manifests, unknown = _lineage(platform, manifest)
    texts: dict[str, None] = {}
    for one in manifests:
        directory = platform.snapshots_dir / str(one.train_set)
        if (directory / TRAIN_FILE).is_file():
            pairs = read_train_set(directory)
            texts |= dict.fromkeys(text for pair in pairs for text in (pair.before, pair.after))
        else:
            unknown.append(f"the train set of adapter {one.id} is not here")
    return list(texts), unknown


def _lineage(platform: PlatformSettings, manifest: AdapterManifest) -> tuple[list[AdapterManifest], list[str]]:
    """An adapter's manifest and those of the adapters that it was started from, and where the line is lost."""
    found: dict[str, AdapterManifest] = {}
    one = manifest
    while one.id not in found:
        identity = one.id
        found[identity] = one
        if not one.names_its_start:
            if one.recipe_start == "champion":
                return list(found.values()), [
                    f"the manifest of adapter {identity} does not name what it was started from"
                ]
            break
        if one.warm_start is None:
            break
        try:
            one = read_manifest(platform.adapters_dir / one.warm_start, AdapterManifest)
        except ManifestError:
            gone = f"adapter {one.warm_start}, from which {identity} was started, is gone"
            return list(found.values()), [gone]
    return list(found.values()), []
