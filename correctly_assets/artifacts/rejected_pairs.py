"""What the ladder and the teacher refused while a train set was made, kept beside it.

Belongs here: the file ``rejected.jsonl`` of a train set's directory: writing, reading and summing it up. Does not belong
here: refusing (teachers/pair_checks.py), or rows held before they land (quarantine.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.ports import Refusal

REJECTED_FILE = "rejected.jsonl"


@dataclass(frozen=True, slots=True)
class Rung:
    """What fell from one rung.

    Attributes:
        reasons: (words, how often, one row that it was said of), most frequent first.
    """

    name: str
    count: int
    reasons: tuple[tuple[str, int, Refusal], ...]


def write_rejected(directory: Path, refused: Iterable[Refusal]) -> int:
    """Write refusals as ``directory/rejected.jsonl``, one ``{"rung", "reason", "row"}`` a line; returns how many.

    The file is no part of the train set's content: the same pairs keep their ID whatever fell on the way.

    Args:
        directory: the train set's snapshot.
    """
    lines = [
        json.dumps({"rung": r.rung, "reason": r.reason, "row": dict(r.row)}, ensure_ascii=False, default=str)
        for r in refused
    ]
    write_text_atomically(directory / REJECTED_FILE, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_rejected(directory: Path) -> Iterator[Refusal]:
    """The refusals of a train set, in the order they fell.

    Raises:
        PermanentError: the directory keeps none, or they cannot be read.
    """
    path = directory / REJECTED_FILE
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                yield Refusal(record["rung"], record["reason"], record["row"])
    except FileNotFoundError:
        raise PermanentError(
            f"The train set {directory.name} keeps no refusals; make it again with `correctly up --once`."
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise PermanentError(f"{path} cannot be read ({error}); remove it and make the train set again.") from error


def latest_rejected(snapshots_dir: Path) -> Path | None:
    """The train set whose refusals were written last; None when none keeps any."""
    files = [path for path in snapshots_dir.glob(f"*/{REJECTED_FILE}") if not path.parent.name.startswith(".")]
    return max(files, key=lambda path: (path.stat().st_mtime_ns, path)).parent if files else None


def sum_up(refused: Iterable[Refusal]) -> list[Rung]:
    """Refusals by rung, fullest first, each with its words."""
    by_rung: dict[str, dict[str, list[Refusal]]] = {}
    for refusal in refused:
        by_rung.setdefault(refusal.rung, {}).setdefault(refusal.reason, []).append(refusal)
    rungs = [
        Rung(
            name,
            sum(len(rows) for rows in reasons.values()),
            tuple(
                (reason, len(rows), rows[0])
                for reason, rows in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
            ),
        )
        for name, reasons in by_rung.items()
    ]
    return sorted(rungs, key=lambda rung: (-rung.count, rung.name))


def remove_from_rejected(snapshots_dir: Path, example_id: str) -> int:
    """Take what was refused of one example out of every train set's file; returns how many lines went."""
    removed = 0
    for path in sorted(snapshots_dir.glob(f"*/{REJECTED_FILE}")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not _speaks_of(line, example_id)]
        if len(kept) < len(lines):
            write_text_atomically(path, "".join(kept))
            removed += len(lines) - len(kept)
    return removed


def _speaks_of(line: str, example_id: str) -> bool:
    row = json.loads(line)["row"]
    return example_id in (row.get("example_id"), row.get("id"))
