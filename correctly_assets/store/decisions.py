"""Decisions and releases: what became of each fingerprint, and who is champion.

Belongs here: the tables ``decision`` and ``release``. Does not belong here: the decisions themselves (core/gate.py,
core/retrain.py) or serving what was released.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, RowMapping, text

from correctly_assets.core.errors import RetryableError
from correctly_assets.core.json_shapes import Json
from correctly_assets.store.records import Decision, Release, ReleaseKind, Verdict, to_json
from correctly_assets.store.seen import mark_decided
from correctly_assets.store.subject import Subject

_DECISION = (
    "id, fingerprint, adapter, verdict, reasons, run_id, attempt, rows_digest, recipe_digest, accepted, train_set, at"
)
_RELEASE = "id, adapter, base_model, train_set, scores, kind, why, previous, at"


class Decisions(Subject):
    """What became of each fingerprint."""

    def record_decision(
        self,
        *,
        fingerprint: str,
        verdict: Verdict,
        reasons: Sequence[str],
        adapter: str | None = None,
        run_id: str | None = None,
        attempt: int = 1,
        rows_digest: str = "",
        recipe_digest: str = "",
        accepted: int = 0,
        train_set: str | None = None,
        example_ids: Iterable[str] | None = (),
    ) -> Decision:
        """Write a decision down and, in the same transaction, mark the examples that it has seen.

        Args:
            reasons: sentences, as people read them.
            accepted: accepted rows at that time; ``rows_digest`` and ``recipe_digest`` are the two halves of the
                fingerprint, so that the next decision can tell which of them changed.
            example_ids: rows of the decision's snapshot. None: everything accepted now (a decision taken without a
                snapshot, such as giving up). Empty: mark nothing.
        """
        with self.database.write() as connection:
            seq = _next(connection, "decision")
            at = self.database.now()
            decision = Decision(
                f"d{seq:04}", fingerprint, adapter, verdict, tuple(reasons), run_id, attempt, rows_digest,
                recipe_digest, accepted, train_set, at,
            )  # fmt: skip
            connection.execute(
                text(
                    f"INSERT INTO decision (seq, {_DECISION}) VALUES (:seq, :id, :fingerprint, :adapter, :verdict, "
                    ":reasons, :run_id, :attempt, :rows_digest, :recipe_digest, :accepted, :train_set, :at)"
                ),
                {
                    "seq": seq,
                    "id": decision.id,
                    "fingerprint": fingerprint,
                    "adapter": adapter,
                    "verdict": verdict,
                    "reasons": to_json(list(reasons)),
                    "run_id": run_id,
                    "attempt": attempt,
                    "rows_digest": rows_digest,
                    "recipe_digest": recipe_digest,
                    "accepted": accepted,
                    "train_set": train_set,
                    "at": at,
                },
            )
            if example_ids is None:
                mark_decided(connection, fingerprint, None)
            else:
                ids = list(example_ids)
                if ids:
                    mark_decided(connection, fingerprint, ids)
            return decision

    def last_decision(self) -> Decision | None:
        """The decision taken last, whatever its verdict."""
        found = self.decisions(limit=1)
        return found[0] if found else None

    def decisions(self, limit: int = 50) -> list[Decision]:
        """Decisions, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_DECISION} FROM decision ORDER BY seq DESC LIMIT :limit"), {"limit": limit}
            ).mappings()
            return [_decision(row) for row in rows]

    # -- releases ------------------------------------------------------------------------------------------------

    def add_release(
        self,
        *,
        adapter: str,
        base_model: str,
        kind: ReleaseKind,
        why: str,
        train_set: str | None = None,
        scores: Mapping[str, Json] | None = None,
        instead_of: str | None = None,
    ) -> Release:
        """Make an adapter the champion. The one INSERT is the whole switch; releases are numbered r0001, r0002, …

        Args:
            instead_of: write only while this release is still the newest.

        Raises:
            RetryableError: another release was written meanwhile.
        """
        with self.database.write() as connection:
            seq = _next(connection, "release")
            previous = connection.execute(text("SELECT id FROM release ORDER BY seq DESC LIMIT 1")).scalar()
            if instead_of is not None and previous != instead_of:
                raise RetryableError(f"{previous} was released meanwhile, so {instead_of} was not replaced.")
            release = Release(
                f"r{seq:04}",
                adapter,
                base_model,
                train_set,
                dict(scores or {}),
                kind,
                why,
                previous,
                self.database.now(),
            )
            _insert_release(connection, seq, release)
            return release

    def add_starter_release(
        self, *, adapter: str, base_model: str, why: str, scores: Mapping[str, Json] | None = None
    ) -> Release:
        """Make the adapter that ships release ``r0000``, before any other.

        Raises:
            RetryableError: there is a release already.
        """
        with self.database.write() as connection:
            if connection.execute(text("SELECT count(*) FROM release")).scalar_one():
                raise RetryableError("Another release was written meanwhile; the adapter that ships is not needed.")
            now = self.database.now()
            release = Release("r0000", adapter, base_model, None, dict(scores or {}), "promotion", why, None, now)
            _insert_release(connection, 0, release)
            return release

    def champion(self) -> Release | None:
        """The newest release; None before the first promotion."""
        found = self.releases(limit=1)
        return found[0] if found else None

    def previous_release(self) -> Release | None:
        """The newest release of the adapter that was served before the champion's; None when there was no other."""
        with self.database.read() as connection:
            row = (
                connection.execute(
                    text(
                        f"SELECT {_RELEASE} FROM release WHERE adapter <> "
                        "(SELECT adapter FROM release ORDER BY seq DESC LIMIT 1) ORDER BY seq DESC LIMIT 1"
                    )
                )
                .mappings()
                .first()
            )
            return _release(row) if row else None

    def releases(self, limit: int = 50) -> list[Release]:
        """Releases, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_RELEASE} FROM release ORDER BY seq DESC LIMIT :limit"), {"limit": limit}
            ).mappings()
            return [_release(row) for row in rows]

    def release_named(self, id: str) -> Release | None:
        """The release with this id, such as ``r0003``."""
        with self.database.read() as connection:
            row = (
                connection.execute(text(f"SELECT {_RELEASE} FROM release WHERE id = :id"), {"id": id})
                .mappings()
                .first()
            )
            return _release(row) if row else None


def _insert_release(connection: Connection, seq: int, release: Release) -> None:
    connection.execute(
        text(
            f"INSERT INTO release (seq, {_RELEASE}) VALUES "
            "(:seq, :id, :adapter, :base_model, :train_set, :scores, :kind, :why, :previous, :at)"
        ),
        {
            "seq": seq,
            "id": release.id,
            "adapter": release.adapter,
            "base_model": release.base_model,
            "train_set": release.train_set,
            "scores": to_json(release.scores),
            "kind": release.kind,
            "why": release.why,
            "previous": release.previous,
            "at": release.at,
        },
    )


def _next(connection: Connection, table: str) -> int:
    # Safe because exclusive writers wait for each other; the column is unique all the same.
    return connection.execute(text(f"SELECT coalesce(max(seq), 0) + 1 FROM {table}")).scalar_one()


def _decision(row: RowMapping) -> Decision:
    return Decision(**{**row, "reasons": tuple(json.loads(row["reasons"]))})


def _release(row: RowMapping) -> Release:
    return Release(**{**row, "scores": json.loads(row["scores"])})
