"""What a challenger answered beside the champion.

Belongs here: the table ``shadow_answer``, joined with the journal by the request. Does not belong here: who won
(core/shadow_count.py); that such an answer goes with the one beside it (corrections.py, retention.py).
"""

from __future__ import annotations

from sqlalchemy import text

from correctly_assets.core.shadow_count import ShadowPair
from correctly_assets.core.types import Correction
from correctly_assets.store.subject import Subject


class Shadows(Subject):
    """Answers of challengers."""

    def journal_shadow(
        self, correction_id: str, correction: Correction, *, seconds: float | None = None, gain: float | None = None
    ) -> bool:
        """Keep a challenger's answer to a request whose champion's answer is journalled and still has its text.

        Personal data must have been replaced already.

        Args:
            correction_id: the champion's answer. correction: the challenger's.
            gain: how much likelier the base model finds it than the champion's, in nats.

        Returns:
            False when there is no such answer, for it was forgotten meanwhile, or it has a challenger's beside it already.
        """
        with self.database.write(exclusive=False) as connection:
            written = connection.execute(
                text(
                    "INSERT INTO shadow_answer (correction_id, at, adapter, after, fallback, seconds, gain) "
                    "SELECT id, :at, :adapter, :after, :fallback, :seconds, :gain FROM correction_journal "
                    "WHERE id = :id AND before <> '' ON CONFLICT (correction_id) DO NOTHING"
                ),
                {
                    "id": correction_id,
                    "at": self.database.now(),
                    "adapter": correction.adapter,
                    "after": correction.after,
                    "fallback": correction.fallback,
                    "seconds": seconds,
                    "gain": gain,
                },
            )
            return bool(written.rowcount)

    def shadow_pairs(self, *, adapter: str | None = None, limit: int = 5_000) -> list[ShadowPair]:
        """Answers of challengers beside the champion's, newest first, with the last reaction to the champion's.

        Args:
            adapter: one challenger's alone.
        """
        only = "WHERE s.adapter = :adapter" if adapter is not None else ""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT s.adapter AS adapter, c.after AS champion, s.after AS challenger, f.rating AS rating, "
                    "f.better AS better, s.gain AS gain FROM shadow_answer s "
                    "JOIN correction_journal c ON c.id = s.correction_id "
                    "LEFT JOIN feedback f ON f.id = (SELECT g.id FROM feedback g WHERE g.correction_id = s.correction_id "
                    f"ORDER BY g.at DESC, g.id DESC LIMIT 1) {only} ORDER BY s.at DESC, s.correction_id LIMIT :limit"
                ),
                {"limit": limit} | ({"adapter": adapter} if adapter is not None else {}),
            ).mappings()
            return [ShadowPair(**row) for row in rows]
