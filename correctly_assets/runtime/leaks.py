"""No adapter is measured on sentences it was trained on.

Belongs here: holding an adapter's train set against evaluation sets. Does not belong here: what counts as a leak
(core/text.py), keeping leaks out of a train set in the first place (join.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.settings import Settings


def refuse_trained_on(
    settings: Settings,
    manifest: Mapping[str, Any],
    sets: Sequence[EvaluationSet],
    log: Callable[[str], object] = lambda _: None,
) -> None:
    """Refuse to measure an adapter on sentences it was trained on; where its train set is gone, say so.

    Raises:
        PermanentError: a pair of its train set shows a row of a set; the message names set and rows.
    """
    from correctly_assets.evaluation.score import refuse_leaks
    from correctly_assets.store.train_set import TRAIN_FILE, read_train_set

    directory = settings.snapshots_dir / str(manifest.get("train_set"))
    if not (directory / TRAIN_FILE).is_file():
        log(f"The train set of adapter {manifest['id']} is not here, so no set could be checked against it.")
        return
    texts = [text for pair in read_train_set(directory) for text in (pair.before, pair.after)]
    for one in sets:
        refuse_leaks(texts, one)
