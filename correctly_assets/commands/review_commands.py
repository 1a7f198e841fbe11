"""`correctly review`: a reviewer walks through chats and rates the answers; `correctly votes`: what people said of answers.

Belongs here: showing an answer or a vote, asking for grades. Does not belong here: asking the gateway, keeping grades (workflows/).
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.core.errors import UsageError
from correctly_assets.core.review import GRADES
from correctly_assets.settings import get_settings

if TYPE_CHECKING:
    from correctly_assets.artifacts.reports import ReviewedSystem
    from correctly_assets.store.records import Reaction
    from correctly_assets.workflows.review_answers import Grades, Task


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (review, votes):
        app.command()(command)


def votes(
    down: Annotated[bool, typer.Option("--down", help="Thumbs down alone.")] = False,
    up: Annotated[bool, typer.Option("--up", help="Thumbs up alone.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """What people said of answers, newest first: their vote, what they ticked and wrote, and what became of it."""
    from correctly_assets.workflows.wiring import read_platform_store

    if up and down:
        raise UsageError("--up and --down do not go together: leave both out to see all.")
    with read_platform_store(get_settings().platform) as store:
        found = store.reactions(rating=1 if up else -1 if down else None, limit=limit)
    if as_json:
        print_json([_vote_json(one) for one in found])
        return

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for one in found:
        feedback = one.feedback
        thumb = {1: "👍", -1: "👎"}.get(feedback.rating, "✎")
        marks = [feedback.at[:16].replace("T", " "), one.release or "", ", ".join(feedback.ticked)]
        say(f"{thumb} {' · '.join(mark for mark in marks if mark)}")
        say(f"  {one.before}" if one.before is not None else "  (the answer is not in the journal any more)")
        if one.after and one.after != one.before:
            say(f"  → {one.after}")
        if feedback.better:
            say(f"  better: {feedback.better}")
        if feedback.comment:
            say(f"  comment: {feedback.comment}")
        if feedback.message:
            say(f"  {feedback.message}")
    if not found:
        say("Nobody has said anything of an answer yet.")


class VoteJson(TypedDict):
    """A vote in ``votes --json``; ``says`` is what became of it."""

    id: str
    at: str
    rating: int | None
    ticked: list[str]
    comment: str | None
    better: str | None
    before: str | None
    after: str | None
    release: str | None
    giver: str | None
    state: str
    says: str | None
    example: str | None


def _vote_json(one: Reaction) -> VoteJson:
    feedback = one.feedback
    return {
        "id": feedback.id,
        "at": feedback.at,
        "rating": feedback.rating,
        "ticked": list(feedback.ticked),
        "comment": feedback.comment,
        "better": feedback.better,
        "before": one.before,
        "after": one.after,
        "release": one.release,
        "giver": feedback.giver,
        "state": feedback.state,
        "says": feedback.message,
        "example": feedback.example_id,
    }


def review(
    system: Annotated[
        list[str] | None, typer.Option(help="A model that the gateway lists; repeat it; all when left out.")
    ] = None,
    reviewer: Annotated[
        str, typer.Option("--as", help="Who reviews; each person's grades are kept apart.")
    ] = "reviewer",
    results: Annotated[bool, typer.Option("--results", help="Show what reviews come to; ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Rate twenty chats, blind, from 1 to 5; Ctrl-C stops, the same command goes on."""
    from correctly_assets.gateway.gateway_client import ask_gateway
    from correctly_assets.workflows import review_answers, wiring

    settings = get_settings()
    if not results and not sys.stdin.isatty():
        raise UsageError(
            "`correctly review` asks a person: run it in a terminal, or read what there is with --results."
        )
    with wiring.open_platform_store(settings.platform) as store:
        rated, stopped = 0, False
        if not results:

            def rate(task: Task, index: int) -> Grades:
                nonlocal rated
                grades = _rate(task, index)
                rated += len(task.answers[index])
                return grades

            try:
                review_answers.review(
                    settings,
                    store,
                    systems=system or (),
                    reviewer=reviewer,
                    rate=rate,
                    ask=partial(ask_gateway, settings),
                )
            except (KeyboardInterrupt, EOFError):
                stopped = True
        systems = review_answers.reviews_so_far(settings.platform, store)
        left = review_answers.left_to_review(settings.platform, store, reviewer)
    if as_json:
        rows = [one.model_dump(mode="json", exclude_unset=True) for one in systems]
        print_json({"rated": rated, "stopped": stopped, "left": left, "systems": rows})
        return
    if stopped:
        console.print(f"\n{rated} answers rated and kept; `correctly review` goes on where you stopped.")
    elif not results:
        done = f"{rated} answers rated." if rated else "Everything there is was rated already."
        console.print(f"{done} The grades stand in the report: `correctly report --open`.")
    _table(systems)


def _rate(task: Task, index: int) -> Grades:
    """Show one answer, without its author, and ask."""
    from correctly_assets.workflows.review_answers import Grades

    answer = task.answers[index][0]
    if index == 0:
        stderr.rule(f"{task.number} of {task.of}: {task.scenario.title}")
        stderr.print("[bold]Before[/]")
        for message in task.scenario.messages:
            stderr.print(Padding(Text(message), (0, 2)))
        stderr.print(f"\n[dim]Look at:[/] {task.scenario.look_at}", highlight=False)
    if len(task.answers) > 1:
        stderr.print(f"\n[bold cyan]Answer {chr(ord('A') + index)} of {len(task.answers)}[/]")
    stderr.print("\n[bold]After[/]")
    stderr.print(Padding(Text(answer.text), (0, 2)))
    stderr.print("\n[bold]Why[/]")
    stderr.print(Markdown(answer.table) if answer.table else Padding("No change was named.", (0, 2)), highlight=False)
    naturalness = _grade("Naturalness: would a person write it so?")
    clarity = _grade("Clarity: do text and reasons say plainly what is meant?")
    note = stderr.input("A note, or Enter: ").strip()
    return Grades(naturalness, clarity, note or None)


def _grade(question: str) -> int:
    while True:
        answer = stderr.input(f"{question} [1-5] ", markup=False).strip()
        if answer.isascii() and answer.isdigit() and int(answer) in GRADES:
            return int(answer)
        stderr.print("A number from 1 to 5, 5 the best.", highlight=False)


def _table(systems: list[ReviewedSystem]) -> None:
    from correctly_assets.evaluation.report.review_section import grade_says

    if not systems:
        console.print("Nothing was reviewed yet.")
        return
    table = Table()
    for head in ("System", "Adapter"):
        table.add_column(head, overflow="fold")
    for head in ("naturalness", "clarity", "grades", "scenarios", "people"):
        table.add_column(head, justify="right")
    for one in systems:
        grades = grade_says(one.naturalness), grade_says(one.clarity)
        scenarios = f"{one.scenarios} of {one.total}"
        table.add_row(one.system, one.adapter or "–", *grades, str(one.n), scenarios, str(one.reviewers))
    console.print(table)
