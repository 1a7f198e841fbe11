"""Commands over the examples that are there: `examples`, `quarantine`, `forget`, `rejected`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer
from rich.markup import escape

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.core.errors import UsageError
from correctly_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from correctly_assets.artifacts.rejected_pairs import Rung
    from correctly_assets.core.json_shapes import Row
    from correctly_assets.store.records import Quarantined, StoredExample

_STATUSES = ("accepted", "waiting", "quarantined", "forgotten")
_LENGTHS = ("short", "medium", "long")
quarantine = typer.Typer(no_args_is_help=True, help="Rows kept out of training: list them, let them back, drop them.")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (examples, forget, rejected):
        app.command()(command)
    app.add_typer(quarantine, name="quarantine")


def examples(
    form: Annotated[str | None, typer.Option(help="email, essay, review …")] = None,
    tone: Annotated[str | None, typer.Option(help="polite, neutral, annoyed …")] = None,
    topic: Annotated[str | None, typer.Option(help="A part of the topic.")] = None,
    language: Annotated[str | None, typer.Option(help="en, ko …")] = None,
    level: Annotated[str | None, typer.Option(help="CEFR level: A2, B1 …")] = None,
    length: Annotated[str | None, typer.Option(help="short (up to 10 words), medium (up to 25), long.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it came from: starter, a file's name …")] = None,
    status: Annotated[str | None, typer.Option(help=" | ".join(_STATUSES))] = None,
    text: Annotated[str | None, typer.Option(help="Words that all stand in the text or its correction.")] = None,
    like: Annotated[str | None, typer.Option(help="Show examples like this text, most alike first.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Look through the examples, by what they are and by what they are like."""
    from correctly_assets.store.search import ExampleFilter
    from correctly_assets.workflows import make_embedding, wiring

    if status is not None and status not in _STATUSES:
        raise UsageError(f"--status is one of {', '.join(_STATUSES)}, not {status!r}.")
    if length is not None and length not in _LENGTHS:
        raise UsageError(f"--length is one of {', '.join(_LENGTHS)}, not {length!r}.")
    wanted = ExampleFilter(form, tone, topic, language, level, source, status, (text or "").split(), length)  # pyright: ignore[reportArgumentType]
    settings = get_settings()
    with wiring.read_platform_store(settings.platform) as store:
        if like is None:
            found: list[tuple[StoredExample, float | None]] = [(row, None) for row in store.find(wanted, limit=limit)]
        else:
            from correctly_assets.curation.vector_search import nearest

            hits = nearest(
                like, ((row.example.id, f"{row.example.before} {row.example.after or ''}") for row in store.find(wanted)),
                limit, embedding=make_embedding.make_embedding(settings),
            )  # fmt: skip
            found = [(store.get(hit.id), hit.likeness) for hit in hits]
        origins = store.sources_of([row.example.id for row, _ in found])
    if as_json:
        print_json([_as_json(row, likeness, origins.get(row.example.id)) for row, likeness in found])
        return
    for row, likeness in found:
        example = row.example
        marks = [example.form, example.tone, example.topic, example.cefr, example.source]
        marks += [row.status] if row.status != "accepted" else []
        marks += [f"from {origins[example.id].source_id}"] if example.id in origins else []
        marks += [f"{likeness:.2f} alike"] if likeness is not None else []
        console.print(
            f"[dim]{example.id}[/]  {escape(' · '.join(mark for mark in marks if mark))}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"  {example.before}", highlight=False, markup=False, soft_wrap=True)
        if example.after and example.after != example.before:
            console.print(f"  → {example.after}", highlight=False, markup=False, soft_wrap=True)
    if not found:
        console.print("No example is like that.", highlight=False, soft_wrap=True)
    elif len(found) == limit:
        console.print(f"[dim]The first {limit}; --limit shows more.[/]", highlight=False, soft_wrap=True)


def _as_json(row: StoredExample, likeness: float | None, origin: Any) -> dict[str, Any]:
    from correctly_assets.curation.guards import row_of

    shown = {"id": row.example.id, "status": row.status, **row_of(row.example), "landed_at": row.landed_at}
    shown |= {"file": row.source_file, "line": row.source_line, "length": row.length}
    if row.edits is not None:
        shown["edits"] = [edit.to_json() for edit in row.edits]
    if origin is not None:
        shown["derived_from"] = origin.source_id
    if likeness is not None:
        shown["likeness"] = round(likeness, 4)
    return shown


def forget(
    example: Annotated[str | None, typer.Argument(help="The example's id, or its beginning.")] = None,
    client: Annotated[
        str | None, typer.Option(help="Instead: all answers to this client (a key's name, or an address).")
    ] = None,
    chat: Annotated[str | None, typer.Option(help="Instead: all answers in this chat (the chat page's id).")] = None,
    as_json: Json = False,
) -> None:
    """Remove an example everywhere, and name the adapters that saw it; or the answers and chats of a person. It cannot be
    undone."""
    from correctly_assets.workflows.forget_example import forget_example
    from correctly_assets.workflows.wiring import open_platform_store

    if sum(given is not None for given in (example, client, chat)) != 1:
        raise UsageError("Say what is to be forgotten: an example's id, --client NAME, or --chat ID.")
    settings = get_settings()
    if example is None:
        _forget_person(settings, client, chat, as_json)
        return
    with open_platform_store(settings.platform) as store:
        gone = forget_example(settings, store, example)
    if as_json:
        print_json(asdict(gone))
        return
    parts = [f"{len(gone.snapshots)} snapshots", f"{gone.answers} answers", f"{gone.requests} teacher's requests"]
    console.print(f"{gone.example_id} is forgotten, in {', '.join(parts)} too.", highlight=False, soft_wrap=True)
    if gone.derived:
        console.print(
            f"Forgotten with it, for it was written from it: {', '.join(gone.derived)}.",
            highlight=False,
            soft_wrap=True,
        )
    if gone.adapters:
        console.print(
            f"These adapters were trained on it: {', '.join(gone.adapters)}.", highlight=False, soft_wrap=True
        )
    if gone.retrain:
        console.print("The retrain sensor wants a new run without it.", highlight=False, soft_wrap=True)
    for sentence in gone.left:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _forget_person(settings: Settings, client: str | None, chat: str | None, as_json: bool) -> None:
    from correctly_assets.gateway.access import known_as
    from correctly_assets.workflows.forget_person import forget_person
    from correctly_assets.workflows.wiring import open_platform_store

    name = client and known_as(client, settings.platform)
    with open_platform_store(settings.platform) as store:
        gone = forget_person(settings, store, client=name, chat_id=chat)
    if as_json:
        print_json(asdict(gone))
        return
    console.print(
        f"Forgotten: {gone.answers} answers, {gone.chats} chats and {len(gone.examples)} examples that had become of them.",
        highlight=False,
        soft_wrap=True,
    )
    if gone.retrain:
        console.print("The retrain sensor wants a new run without them.", highlight=False, soft_wrap=True)
    for sentence in gone.left:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def rejected(
    train_set: Annotated[str | None, typer.Option("--train-set", help="The last one made, when left out.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Reasons shown a rung.")] = 5,
    as_json: Json = False,
) -> None:
    """What the ladder and the guards refused, by rung, with their words."""
    from correctly_assets.artifacts.rejected_pairs import latest_rejected, read_rejected, sum_up
    from correctly_assets.workflows.wiring import read_platform_store

    settings = get_settings()
    directory = (
        settings.platform.snapshots_dir / train_set if train_set else latest_rejected(settings.platform.snapshots_dir)
    )
    rungs = sum_up(read_rejected(directory)) if directory else []
    # What the teacher's last new examples lost on the way lies with the teacher.
    newest = settings.platform.home / "teacher"
    written = sum_up(read_rejected(newest)) if (newest / "rejected.jsonl").is_file() and not train_set else []
    with read_platform_store(settings.platform) as store:
        held = store.quarantine_reasons()
        unread = sum(landing.refused for landing in store.landings(limit=1000))
    if as_json:
        print_json(
            {
                "train_set": directory.name if directory else None,
                "pairs": [_rung_json(rung, limit) for rung in rungs],
                "new_examples": [_rung_json(rung, limit) for rung in written],
                "held_by_guards": held,
                "refused_at_landing": unread,
            }
        )
        return
    if directory is None:
        console.print(
            "No train set has kept what was refused yet: `correctly up --once` makes one.",
            highlight=False,
            soft_wrap=True,
        )
    _print_rungs(f"Train set {directory.name if directory else ''}", rungs, limit)
    _print_rungs("New examples", written, limit)
    for reason, count in held.items():
        console.print(
            f"Held by the guards: {count} × {escape(reason)} See `correctly quarantine list`.",
            highlight=False,
            soft_wrap=True,
        )
    if unread:
        console.print(f"Refused at landing: {unread}, each in its FILE.refused.jsonl.", highlight=False, soft_wrap=True)


class ReasonJson(TypedDict):
    """A reason, how often it was given, and a row that it was given for."""

    reason: str
    count: int
    row: Row


class RungJson(TypedDict):
    """A check and what it refused, in ``rejected --json``."""

    rung: str
    count: int
    reasons: list[ReasonJson]


def _rung_json(rung: Rung, limit: int) -> RungJson:
    """A check and what it refused, with ``limit`` of its reasons."""
    reasons: list[ReasonJson] = [
        {"reason": reason, "count": count, "row": dict(refusal.row)} for reason, count, refusal in rung.reasons[:limit]
    ]
    return {"rung": rung.name, "count": rung.count, "reasons": reasons}


def _print_rungs(title: str, rungs: list[Rung], limit: int) -> None:
    """Print what each check refused, with ``limit`` of its reasons and a row for each."""
    if rungs:
        console.print(f"{title}: {sum(rung.count for rung in rungs)} refused.", highlight=False, soft_wrap=True)
    for rung in rungs:
        console.print(f"  [bold]{rung.name}[/]  {rung.count}", highlight=False, soft_wrap=True)
        for reason, count, refusal in rung.reasons[:limit]:
            console.print(f"    {count} × {reason}", highlight=False, markup=False, soft_wrap=True)
            if refusal.row.get("before"):
                console.print(f"        {refusal.row['before']}", highlight=False, markup=False, soft_wrap=True)


# ------------------------------------------------------------------ quarantine


@quarantine.command("list")
def list_quarantine(
    state: Annotated[str, typer.Option(help="open | released | dropped")] = "open",
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """What is kept out of training, and why."""
    from correctly_assets.workflows.wiring import read_platform_store

    if state not in ("open", "released", "dropped"):
        raise UsageError(f"--state is open, released or dropped, not {state!r}.")
    with read_platform_store(get_settings().platform) as store:
        items = store.quarantined(state, limit)
    if as_json:
        print_json([_held(item) for item in items])
        return
    for item in items:
        console.print(f"[dim]{item.id}[/]  {item.rung}: {escape(item.reason)}", highlight=False, soft_wrap=True)
        if item.row.get("before"):
            console.print(f"  {item.row['before']}", highlight=False, markup=False, soft_wrap=True)
    if not items:
        console.print(f"Nothing is {'in quarantine' if state == 'open' else state}.", highlight=False, soft_wrap=True)


@quarantine.command("release")
def release_quarantine(
    row: Annotated[str, typer.Argument(help="The id in quarantine or the example's, or its beginning.")],
    as_json: Json = False,
) -> None:
    """Let a row back: it is accepted, or waits when it has no correction."""
    from correctly_assets.workflows.wiring import open_platform_store

    with open_platform_store(get_settings().platform) as store:
        item = store.release_quarantined(row)
        status = store.get(item.example_id).status if item.example_id else None
    if as_json:
        print_json({**_held(item), "state": "released", "status": status})
        return
    became = f"example {item.example_id} is {status} now" if item.example_id else "it was no example of its own"
    console.print(f"{item.id} is released: {became}.", highlight=False, soft_wrap=True)


@quarantine.command("drop")
def drop_quarantine(
    row: Annotated[str, typer.Argument(help="The id in quarantine or the example's, or its beginning.")],
    as_json: Json = False,
) -> None:
    """Give a row up for good: its text is removed, and the same row is not taken again."""
    from correctly_assets.workflows.wiring import open_platform_store

    with open_platform_store(get_settings().platform) as store:
        item = store.drop_quarantined(row)
    if as_json:
        print_json({**_held(item), "row": {}, "state": "dropped"})
        return
    console.print(f"{item.id} is dropped; its text is removed.", highlight=False, soft_wrap=True)


class HeldJson(TypedDict):
    """A row that is kept out of training, in ``quarantine … --json``."""

    id: str
    example_id: str | None
    rung: str
    reason: str
    at: str
    state: str
    row: Row


def _held(item: Quarantined) -> HeldJson:
    return {
        "id": item.id,
        "example_id": item.example_id,
        "rung": item.rung,
        "reason": item.reason,
        "at": item.at,
        "state": item.state,
        "row": dict(item.row),
    }
