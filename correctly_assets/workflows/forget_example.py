"""Forgetting one example wherever the platform has put it.

Belongs here: joining the store, the snapshots, the index of near-duplicates, the teacher's journal and the DVC remote for
`correctly forget`, and saying what stays. Does not belong here: erasing rows (store/forget.py), or the retraining, which the sensor starts by itself
because the accepted rows have changed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from correctly_assets.artifacts.backups import backups_in, note_forgotten
from correctly_assets.artifacts.rejected_pairs import remove_from_rejected
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.text import clean_line
from correctly_assets.curation.near import NearIndex
from correctly_assets.llm_api.answer_journal import erase_from_journal
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.workflows.back_up import backup_places
from correctly_assets.workflows.openwebui_chats import chats_holding, is_here
from correctly_assets.workflows.version_data import forget_versions

if TYPE_CHECKING:
    from correctly_assets.store import Store

_CHUNK = 1 << 20
_LONG_ENOUGH = 15
"""Characters from which on a text is looked for within longer ones."""


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was removed, who had seen it, and what is left, as ``forget --json`` prints it.

    Attributes:
        derived: examples a teacher had written from it; they went with it.
        answers: journalled corrections whose text was removed: those of its sentence, and of texts in which that stands.
        snapshots: snapshots and train sets that were rewritten without it.
        adapters: adapters trained on it; they serve until the retrain has made another.
        requests: teacher's requests that showed it and were removed from the journal.
        retrain: whether what should be trained differs now from the last decision, which is what the sensor looks at.
        left: what the platform does not change, a sentence each.
    """

    example_id: str
    derived: tuple[str, ...]
    answers: int
    snapshots: tuple[str, ...]
    adapters: tuple[str, ...]
    requests: int
    retrain: bool
    left: tuple[str, ...]


def forget_example(settings: Settings, store: Store, prefix: str) -> ForgetReport:
    """Remove an example, and what was derived from it, from the store, snapshots, train sets, stopped comparisons, journals
    and the DVC remote; and the text of answers in which its sentence stands. What is not removed is named.

    Args:
        prefix: the beginning of the example's id.

    Raises:
        UsageError: no example, or more than one, has such an id.
        RetryableError: the store is busy or away; call again, what is done stays done.
    """
    stored = store.get(prefix)
    rows = [stored, *(store.get(id) for id in store.derived_from(stored.example.id))]
    texts = sorted({text for row in rows for text in (row.example.before, row.example.after) if text})
    # Before anything is erased: a restore after a call that was killed in between must not bring the text back.
    in_backups = note_in_backups(settings.platform, [row.example.id for row in rows])
    # The journal before the store: afterwards nobody knows the text any more.
    requests = erase_from_journal(settings.platform.home / "teacher" / "journal", texts)
    # A short text stands in many answers that have nothing to do with it; those that are it go with the example.
    holding = store.erase_answers_holding(text for text in texts if len(text) >= _LONG_ENOUGH)
    left = _left_behind(settings.platform, texts, [(row.source_file, row.source_line) for row in rows])
    near = settings.platform.home / "near"
    if near.is_dir():
        NearIndex(near).remove(row.example.id for row in rows)
    gone = store.forget(
        stored.example.id, snapshots_dir=settings.platform.snapshots_dir, adapters_dir=settings.platform.adapters_dir
    )
    for id in (*gone.derived, gone.example_id):
        remove_from_rejected(settings.platform.home, id)
    # Kept by the hash of whatever text they were made of: all of them go, and are made again when needed.
    settings.platform.vectors_path.unlink(missing_ok=True)
    settings.platform.worked_out_path.unlink(missing_ok=True)
    # A comparison that was stopped keeps its part of a train set and what it learned: it begins anew.
    for kind in ("learning-curve", "bakeoff"):
        for place in settings.platform.checkpoints_dir.glob(f"{kind}-*"):
            shutil.rmtree(place)
    remote = forget_versions(settings, gone.snapshots)
    last = store.last_decision()
    return ForgetReport(
        gone.example_id,
        gone.derived,
        holding + gone.answers,
        gone.snapshots,
        gone.adapters,
        requests,
        retrain=last is not None and last.rows_digest != store.accepted_digest(),
        left=(*left, *in_backups, *([remote] if remote else [])),
    )


def note_in_backups(platform: PlatformSettings, ids: Sequence[str]) -> list[str]:
    """Note beside the backups what a restore must not bring back; what is to be said of them, a sentence a place."""
    notes: list[str] = []
    for place in backup_places(platform):
        if not place.is_dir():
            if place != platform.backup_place:
                notes.append(f"The backups in {place} are away and were not told of it; back up there again.")
            continue
        try:
            note_forgotten(place, ids)
        except OSError as error:
            notes.append(
                f"The backups in {place} cannot be told of it ({error.strerror or error}); back up there again."
            )
            continue
        if count := len(backups_in(place)):
            word = "backup" if count == 1 else "backups"
            notes.append(f"{count} {word} in {place} may still hold it until they age out; a restore leaves it out.")
    return notes


def _left_behind(
    platform: PlatformSettings, texts: Sequence[str], origins: Sequence[tuple[str | None, int | None]]
) -> tuple[str, ...]:
    notes: list[str] = []
    kept_files: set[Path] = set()
    for file, line in origins:
        if file:
            kept = platform.inbox_dir / "done" / file
            kept_files.add(kept)
            where = f" in {kept.parent}" if kept.exists() else ""
            notes.append(
                f"The file {file}{where}, which it came from{f' (line {line})' if line else ''}, is not changed: "
                "remove the row there yourself."
            )
    histories = sorted(platform.dagster_home.rglob("*.db")) if platform.dagster_home.is_dir() else []
    if any(_holds(path, texts) for path in histories):
        notes.append(
            "Dagster's run history shows it among a run's samples: delete that run on the Runs page to remove it there."
        )
    elif platform.database_url:
        notes.append("Dagster's run history in PostgreSQL is not searched: the samples of earlier runs may show it.")
    recordings = platform.home / "teacher" / "recordings"
    notes += [
        f"The recording {path} shows it; its hash would break, so record it anew and remove the file."
        for path in sorted(recordings.glob("*.jsonl"))
        if _holds(path, texts)
    ]
    notes += [
        f"The file {path} shows it: remove it there yourself."
        for path in _files_of_texts(platform)
        if path not in kept_files and _holds(path, texts)
    ]
    notes += _in_chats(platform, texts)
    return tuple(dict.fromkeys(notes))


def _files_of_texts(platform: PlatformSettings) -> Iterator[Path]:
    """Files of HOME that may show a text and are changed by nobody: what was read, what was refused, logs, exports."""
    places = (platform.inbox_dir, platform.logs_dir, platform.dagster_home / "logs", platform.home / "exports")
    for place in places:
        yield from sorted(path for path in place.rglob("*") if path.is_file() and path.suffix != ".safetensors")


def _in_chats(platform: PlatformSettings, texts: Sequence[str]) -> list[str]:
    if not is_here(platform):
        return []
    try:
        chats = chats_holding(platform, texts)
    except CorrectlyError as error:
        if _holds(platform.home / "webui" / "webui.db", texts):
            return [
                "The chat page's database shows it: start the platform, and forget it again to be told in which chats."
            ]
        return [f"The chats could not be searched. {error}"] if platform.webui_host else []
    return [f"The chat {id} shows it: `correctly forget --chat {id}` removes that chat." for id in chats]


def _holds(path: Path, texts: Sequence[str]) -> bool:
    """Whether a file holds one of the texts, plain or as JSON writes it, read in blocks."""
    forms: set[bytes] = set()
    for text in map(clean_line, texts):
        for ascii_only in (True, False):
            once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            forms |= {text.encode(), once.encode(), json.dumps(once, ensure_ascii=ascii_only)[1:-1].encode()}
    overlap = max((len(form) for form in forms), default=1) - 1
    tail = b""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while block := file.read(_CHUNK):
            window = tail + block
            if any(form in window for form in forms):
                return True
            tail = window[-overlap:] if overlap else b""
    return False
