"""Removing texts that have been kept for long enough, and those of one person.

Belongs here: which rows go by their age, by a client or by a chat. Does not belong here: how long is long enough
(settings), files and other programs' records (workflows/clean_up.py), or forgetting an example (forget.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text

from correctly_assets.store.corrections import Corrections, blank_answers
from correctly_assets.store.quarantine import Quarantine
from correctly_assets.store.subject import Subject, like_prefix


@dataclass(frozen=True, slots=True)
class RemovedTexts:
    """What went by its age: journalled answers, reactions to them, confirmed answers, and rows held in quarantine."""

    answers: int
    reactions: int
    confirmed: int
    held: int


@dataclass(frozen=True, slots=True)
class PersonsAnswers:
    """What the store holds of a client or a chat.

    Attributes:
        answers: IDs of journalled answers.
        chats: the chats they were given in.
        examples: IDs of the examples that became of reactions to them, or of the client's own reactions.
    """

    answers: tuple[str, ...]
    chats: tuple[str, ...]
    examples: tuple[str, ...]


class Retention(Subject):
    """The part of the store that removes by age and by person."""

    def remove_before(self, before: str) -> RemovedTexts:
        """Remove answers, settled reactions and held rows that are older than a time; landed examples stay.

        A reaction that nobody has settled stays, with the answer it speaks of, until it is.

        Args:
            before: ISO 8601, UTC.
        """
        answers = Corrections(self.database).prune_journal(before)
        with self.database.write() as connection:
            reactions = connection.execute(
                text("DELETE FROM feedback WHERE at < :before AND state <> 'pending'"), {"before": before}
            ).rowcount
            confirmed = connection.execute(text("DELETE FROM thumb WHERE at < :before"), {"before": before}).rowcount
            old = text("SELECT id FROM quarantine WHERE state = 'open' AND at < :before ORDER BY id")
            held = list(connection.execute(old, {"before": before}).scalars())
            connection.execute(
                text("UPDATE quarantine SET row_json = '{}' WHERE state <> 'open' AND at < :before"), {"before": before}
            )
        quarantine = Quarantine(self.database)
        for id in held:
            quarantine.drop_quarantined(id)
        self.database.empty_log()
        return RemovedTexts(answers, reactions, confirmed, len(held))

    def answers_of(self, *, client: str | None = None, chat_id: str | None = None) -> PersonsAnswers:
        """What is kept of a client, or of a chat."""
        column, value = ("client", client) if client is not None else ("chat_id", chat_id)
        of = {"value": value}
        with self.database.read() as connection:
            journal = f"FROM correction_journal WHERE {column} = :value"
            answers = list(connection.execute(text(f"SELECT id {journal} ORDER BY id"), of).scalars())
            chats = connection.execute(
                text(f"SELECT DISTINCT chat_id {journal} AND chat_id IS NOT NULL ORDER BY chat_id"), of
            ).scalars()
            became = text(
                f"SELECT DISTINCT example_id FROM feedback WHERE example_id IS NOT NULL AND (correction_id IN "
                f"(SELECT id {journal}) OR source_key LIKE :own ESCAPE '!') ORDER BY example_id"
            )
            examples = connection.execute(became, {**of, "own": _own_reactions(client)}).scalars()
            return PersonsAnswers(tuple(answers), tuple(chats), tuple(examples))

    def erase_person(self, *, client: str | None = None, chat_id: str | None = None) -> int:
        """Blank the answers of a client or a chat and what was said of them, and take the name out of them.

        Rows without text stay, so that what was counted stays counted. Returns how many answers there were.
        """
        found = self.answers_of(client=client, chat_id=chat_id)
        with self.database.write() as connection:
            blank_answers(connection, found.answers)
            for id in found.answers:
                connection.execute(
                    text("UPDATE correction_journal SET client = NULL, chat_id = NULL WHERE id = :id"), {"id": id}
                )
            if client is not None:
                # The client's reactions, to other people's answers too. Each keeps a key of its own, for it must count once; all of
                # them keep one giver of whom nothing is known, for a hundred votes of one person are not those of a hundred.
                connection.execute(
                    text(
                        "UPDATE feedback SET source_key = 'erased:' || id, better = NULL, comment = NULL, edits = '[]', "
                        "giver = :giver, state = CASE state WHEN 'pending' THEN 'ignored' ELSE state END "
                        "WHERE source_key LIKE :own ESCAPE '!'"
                    ),
                    {"own": _own_reactions(client), "giver": f"erased:{secrets.token_hex(8)}"},
                )
        self.database.empty_log()
        return len(found.answers)

    def erase_answers(self, ids: Iterable[str]) -> int:
        """Blank the answers of these ids that still have a text; returns how many there were."""
        with self.database.write() as connection:
            wanted = text("SELECT id FROM correction_journal WHERE id = :id AND before <> ''")
            there = [id for id in sorted(ids) if connection.execute(wanted, {"id": id}).first()]
            blank_answers(connection, there)
        self.database.empty_log()
        return len(there)

    def erase_answers_holding(self, texts: Iterable[str]) -> int:
        """Blank every journalled answer and reaction, and drop every reviewer's note, in which one of the texts stands.

        Returns how many answers there were.
        """
        count = 0
        with self.database.write() as connection:
            for wanted in texts:
                like = {"like": "%" + like_prefix(wanted)}
                found = connection.execute(
                    text(
                        "SELECT id FROM correction_journal WHERE before LIKE :like ESCAPE '!' OR after LIKE :like ESCAPE '!' "
                        "UNION SELECT correction_id FROM feedback WHERE better LIKE :like ESCAPE '!' "
                        "OR comment LIKE :like ESCAPE '!' "
                        "UNION SELECT correction_id FROM shadow_answer WHERE after LIKE :like ESCAPE '!'"
                    ),
                    like,
                ).scalars()
                count += blank_answers(connection, sorted(found))
                connection.execute(text("UPDATE review SET note = NULL WHERE note LIKE :like ESCAPE '!'"), like)
        self.database.empty_log()
        return count


def _own_reactions(client: str | None) -> str:
    """The pattern of `source_key` of what a client said by the API; one that nothing has where no client is meant."""
    return like_prefix(f"api:{client}:") if client is not None else ""
