"""The sums of a week: what was lost, which release answered, which alerts came, and what the disk was filled with.

Belongs here: holding what was sent and seen against what the store, Dagster and the disk say. Does not belong here: what happened
on which day (week_days.py), or the file of results (bench_week.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.week_place import Told, WeekPlace, folder_bytes, seconds_of
from benchmarks.week_steps import Week
from benchmarks.week_traffic import Answer
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, read_manifest
from correctly_assets.store.records import Decision, Release

# ---------------------------------------------------------------- what was lost


@dataclass(frozen=True)
class Lost:
    """What was acknowledged and is not in the store. ``says``: each, in words."""

    answers: int
    reactions: int
    rows: int
    says: tuple[str, ...]


def lost(week: Week) -> Lost:
    """Answers that are not in the journal, accepted reactions that are not in the store, and rows that are in none of its states.

    What was forgotten because somebody asked for it is not looked for.
    """
    kept = [answer for answer in week.traffic.answers if answer.person not in week.forgotten]
    journal = week.place.column("SELECT id FROM correction_journal")
    reacted = week.traffic.reactions & {answer.id for answer in kept}
    answers = {answer.id for answer in kept} - journal
    reactions = reacted - week.place.column("SELECT correction_id FROM feedback")
    missing = {sent.how: week.landed(sent.rows)["missing"] - sent.refused for sent in week.sent}
    says = [f"answer {id}" for id in sorted(answers)] + [f"reaction to {id}" for id in sorted(reactions)]
    says += [f"{count} rows of {how}" for how, count in missing.items() if count]
    return Lost(len(answers), len(reactions), sum(map(abs, missing.values())), tuple(says))


# ---------------------------------------------------------------- which release answered


@dataclass(frozen=True)
class Served:
    """Answers that no release may have given as it was, and how long a release answered on after the next was written.

    Attributes:
        wrong: each in words.
        late_seconds: the longest time between the writing of a release and the sending of a question that the one before answered.
    """

    wrong: tuple[str, ...]
    late_seconds: float


def served(answers: Iterable[Answer], releases: Sequence[Release]) -> Served:
    """Hold each answer's release against the releases of the store, oldest first.

    An answer is wrong if the store has no such release, or names another adapter for it; if it came before the release was written;
    or if it was asked for after somebody had been answered by a later release.
    """
    order = {release.id: number for number, release in enumerate(releases)}
    began = [seconds_of(release.at) for release in releases]
    wrong, late, newest, newest_got = list[str](), 0.0, -1, 0.0
    for answer in sorted(answers, key=lambda one: one.got):
        number = order.get(answer.release or "")
        if number is None or releases[number].adapter != answer.adapter:
            wrong.append(f"{answer.id} was answered by {answer.release} with adapter {answer.adapter}")
            continue
        # The store writes milliseconds, rounded down.
        if answer.got < began[number] - 0.001:
            wrong.append(f"{answer.id} was answered by {answer.release} before that was written")
        if number < newest and answer.sent > newest_got:
            wrong.append(f"{answer.id} was answered by {answer.release} after {releases[newest].id} had answered")
        if number + 1 < len(releases):
            late = max(late, answer.sent - began[number + 1])
        if number > newest:
            newest, newest_got = number, answer.got
    return Served(tuple(wrong), late)


# ---------------------------------------------------------------- which alerts came


@dataclass(frozen=True)
class Alerts:
    """How the webhook's messages compare with what there was to tell.

    Attributes:
        expected, raised: events, as often as they were to be told and were. missing, false: those told too seldom or too often.
        open: events that were over and of which nobody was told so. told_too_early: the other way round.
    """

    expected: Counter[str]
    raised: Counter[str]
    missing: Counter[str]
    false: Counter[str]
    open: tuple[str, ...]
    told_too_early: tuple[str, ...]


def alerts(
    told: Sequence[Told],
    decisions: Sequence[Decision],
    releases: Sequence[Release],
    brought_about: Iterable[tuple[str, str]],
) -> Alerts:
    """Compare.

    Args:
        decisions, releases: oldest first: a refusal, a failed training and a rollback are each told, and are over with the next
            decision or release.
        brought_about: kind and event of what was done to raise an alert and to end it again.
    """
    following = {"refused": "refused_gate", "failed": "failed_run"}
    facts = [(f"{following[one.verdict]}:{one.id}", one is decisions[-1], following.get(after.verdict) if after else None)
             for one, after in zip(decisions, [*decisions[1:], None], strict=True) if one.verdict in following]  # fmt: skip
    facts += [(f"rollback:{one.id}", one is releases[-1], after and after.kind)
              for one, after in zip(releases, [*releases[1:], None], strict=True) if one.kind == "rollback"]  # fmt: skip
    # An event whose place a newer one of its kind takes ends without a word.
    lasting = {event for event, is_last, next_kind in facts if is_last or next_kind == event.partition(":")[0]}
    expected = Counter([event for event, _, _ in facts] + [event for _, event in brought_about])
    raised = Counter(one.event for one in told if one.state == "raised")
    resolved = Counter(one.event for one in told if one.state == "resolved")
    over = {event: count for event, count in raised.items() if event not in lasting}
    return Alerts(
        expected,
        raised,
        expected - raised,
        raised - expected,
        tuple(event for event, count in over.items() if resolved[event] < count),
        tuple(event for event in lasting if resolved[event] >= raised[event] > 0),
    )


# ---------------------------------------------------------------- what the disk was filled with


def sizes(place: WeekPlace) -> dict[str, int]:
    """Bytes of HOME by its folders and files, and of the backups, which lie beside it. Links to elsewhere are not followed."""
    found: dict[str, int] = {}
    for entry in sorted(place.home.iterdir()):
        if not entry.is_symlink():
            found[entry.name] = folder_bytes(_files(entry))
    found["backups"] = folder_bytes(_files(place.settings.platform.backup_place))
    return found


def _files(entry: Path) -> Iterable[Path]:
    return (path for path in entry.rglob("*") if path.is_file() or path.is_symlink()) if entry.is_dir() else (entry,)


@dataclass(frozen=True)
class Owned:
    """Bytes of a folder by what they belong to; ``None`` names what nothing accounts for, and ``strangers`` its paths."""

    by: dict[str, tuple[int, int]]
    unexplained: int
    strangers: tuple[str, ...]


def owners(week: Week) -> Owned:
    """What every file of HOME and of the backups belongs to: how many such things there are, and their bytes.

    An adapter is accounted for by a decision or release, a snapshot by an adapter or decision, a run's records by the run, a backup by
    its manifest; logs, databases and caches by their place.
    """
    place, platform = week.place, week.place.settings.platform
    known = _known_names(week)
    grouped, names, strangers = defaultdict[str, list[Path]](list), defaultdict[str, set[str]](set), list[str]()
    for root in (place.home, platform.backup_place):
        for path in _files(root):
            if any(parent.is_symlink() for parent in path.parents if parent != root and root in parent.parents):
                continue
            parts = (*(("backups",) if root != place.home else ()), *path.relative_to(root).parts)
            owner, name = _owner(parts, known)
            if owner is None:
                strangers.append("/".join(parts))
            grouped[owner or "nothing"].append(path)
            names[owner or "nothing"].add(name)
    by = {owner: (len(names[owner]), folder_bytes(paths)) for owner, paths in sorted(grouped.items())}
    return Owned(by, by.get("nothing", (0, 0))[1], tuple(strangers))


def _known_names(week: Week) -> dict[str, set[str]]:
    """Names of adapters, snapshots, runs and backups that somebody accounts for."""
    platform = week.place.settings.platform
    decisions, releases = week.decisions(), week.place.store.releases(limit=1000)
    adapters = {one.adapter for one in (*decisions, *releases) if one.adapter}
    snapshots = {one.train_set for one in (*decisions, *releases) if one.train_set}
    for directory in [*(platform.adapters_dir / name for name in adapters), *platform.snapshots_dir.glob("[!.]*")]:
        try:
            made_from = read_manifest(directory, AdapterManifest)
        except ManifestError:
            continue
        if directory.name in adapters | snapshots:
            snapshots |= {name for name in (made_from.train_set, made_from.examples_snapshot) if name}
    runs = {run.run_id for run in week.place.instance.get_runs()}
    return {"adapters": adapters, "snapshots": snapshots, "runs": runs, "backups": set(week.backups())}


_PLACES = {
    "store.sqlite": "the store",
    "logs": "logs",
    "models": "the base model",
    "near": "the index of near-duplicates",
    "answers": "kept answers to the frozen set",
    "mlflow": "MLflow",
    "webui": "the chat page",
    "teacher": "the teacher's kept work",
    "vectors.sqlite": "kept vectors",
    "inbox": "files that were read",
    "checkpoints": "checkpoints",
    "run": "records of what runs",
    "examples": "examples",
}
"""What lies where, by the first name of its path."""


def _owner(parts: tuple[str, ...], known: dict[str, set[str]]) -> tuple[str | None, str]:
    """What a file belongs to, and which of those things; None for what nothing accounts for."""
    first = parts[0]
    if first in ("adapters", "snapshots", "backups") and len(parts) > 2:
        singular = first.removesuffix("s")
        return (f"{singular}s", parts[1]) if parts[1] in known[first] else (None, parts[1])
    if first in ("adapters", "snapshots", "backups"):
        return f"records beside the {first}", "/".join(parts)
    if first == "dagster":
        run = next((name for part in parts if (name := part.partition(".")[0]) in known["runs"]), None)
        return ("runs of Dagster's", run) if run else ("Dagster's own databases and ticks", "/".join(parts[:3]))
    name = first.removesuffix("-wal").removesuffix("-shm")
    if any(part.startswith((".new-", ".stage-", ".restoring-")) for part in parts):
        return None, "/".join(parts)
    return _PLACES.get(name, "other records" if len(parts) == 1 else None), parts[1] if len(parts) > 1 else first
