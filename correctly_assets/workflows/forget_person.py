"""Forgetting a person: the answers of one client or one chat, and what became of them.

Belongs here: joining the store, the examples and the chat page for `correctly forget --client|--chat`, and saying what
stays. Does not belong here: forgetting one example (forget_example.py) or rows (store/retention.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from correctly_assets.artifacts.backups import ANSWER
from correctly_assets.core.errors import CorrectlyError, UsageError
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.workflows.forget_example import forget_example, note_in_backups
from correctly_assets.workflows.openwebui_chats import is_here, remove_chats

if TYPE_CHECKING:
    from correctly_assets.store import Store


@dataclass(frozen=True, slots=True)
class ForgottenPerson:
    """What was removed of a client or a chat, as ``forget --client`` and ``forget --chat`` print it with ``--json``.

    Attributes:
        answers: journalled answers whose text, client and chat were removed.
        examples: examples that had become of reactions, and were forgotten.
        chats: chats of the chat page that were removed.
        retrain: whether an example that was trained on went, so that the sensor wants a new run.
        left: what the platform does not change, a sentence each.
    """

    answers: int
    examples: tuple[str, ...]
    chats: int
    retrain: bool
    left: tuple[str, ...]


def forget_person(
    settings: Settings, store: Store, *, client: str | None = None, chat_id: str | None = None
) -> ForgottenPerson:
    """Remove the answers of a client or of a chat, the examples that became of reactions to them, and the chats themselves.

    Args:
        client: the name of a key, or what the journal calls a client without one.
        chat_id: the chat page's id of a chat.

    Raises:
        UsageError: nothing is kept of such a client or chat.
        RetryableError: the store is busy or away; call again, what is done stays done.
    """
    found = store.answers_of(client=client, chat_id=chat_id)
    chats = tuple(dict.fromkeys((*found.chats, chat_id) if chat_id else found.chats))
    removed, left = _remove_chats(settings.platform, chats)
    if not (found.answers or found.examples or removed):
        who = f"a client named {client}" if client is not None else f"the chat {chat_id}"
        raise UsageError(f"Nothing is kept of {who}.{' ' + ' '.join(left) if left else ''}")
    # Before anything is erased: a restore after a call that was killed in between must not bring the texts back.
    left += note_in_backups(settings.platform, [f"{ANSWER}{id}" for id in found.answers])
    retrain = False
    for id in found.examples:
        if store.get(id).status == "forgotten":
            continue
        gone = forget_example(settings, store, id)
        retrain |= gone.retrain
        left += gone.left
    answers = store.erase_person(client=client, chat_id=chat_id)
    left.append("A running gateway has its last answers in memory until it is started again.")
    if client is not None:
        left.append(
            "Examples that were sent to /v1/examples or landed from files name no client: forget them by their ids."
        )
    return ForgottenPerson(answers, found.examples, removed, retrain, tuple(dict.fromkeys(left)))


def _remove_chats(platform: PlatformSettings, ids: tuple[str, ...]) -> tuple[int, list[str]]:
    """How many chats went from the chat page, and what is to be said of those that could not."""
    if not ids or not is_here(platform):
        return 0, []
    try:
        return remove_chats(platform, ids), []
    except CorrectlyError as error:
        return 0, [
            f"These chats are still on the chat page: {', '.join(ids)}. Delete them there, or forget again. {error}"
        ]
