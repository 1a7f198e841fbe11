"""One door to the teachers, by kind and plain values.

Belongs here: making a teacher, and taking a forgotten text out of what teachers keep. Does not belong here: writing pairs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.ports import Annotator, Teacher
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.types import TrainPair
from correctly_assets.llm_api.requests import ChatTransport, Recording
from correctly_assets.teachers.pair_checks import Ladder

if TYPE_CHECKING:
    from correctly_assets.teachers.embedded.analysis_cache import WorkedOut
    from correctly_assets.teachers.prompted.exemplars import Exemplars


def make_teacher(
    kind: str,
    *,
    prompts_dir: Path,
    reason_language: str = "en",
    first_languages: Sequence[str] = (),
    mix: Mapping[str, Any] | None = None,
    annotator: Annotator | None = None,
    evaluation: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
    model: str = "gpt-4o-mini",
    base_url: str = "https://api.openai.com/v1",
    api_key: str | None = None,
    journal_dir: Path | None = None,
    recordings_dir: Path | None = None,
    budget_usd: float | None = None,
    prices: Mapping[str, Any] | None = None,
    concurrency: int = 8,
    batch: int = 6,
    timeout_seconds: float = 120.0,
    attempts: int = 5,
    backoff_seconds: float = 1.0,
    prompt_token_limit: int = 6000,
    batch_at: int | None = None,
    batch_price_share: float = 1.0,
    batch_poll_seconds: float = 30.0,
    round_trip: bool = False,
    exemplars: Callable[[], Exemplars] | None = None,
    safety: Callable[[TrainPair], str | None] | None = None,
    listen: Callable[[ChatTransport], ChatTransport] | None = None,
    phrasings: Callable[[], Sequence[Phrasing]] | None = None,
    worked_out: WorkedOut | None = None,
) -> Teacher:
    """The teacher of a kind.

    Args:
        kind: ``embedded``, ``openai`` or ``recorded``.
        first_languages: embedded: packs to draw errors from (data/mix.yaml); all when empty.
        mix: embedded: a table of data/mix.yaml's shape instead of it.
        annotator: gives edits ERRANT's types; word alignment and ``OTHER`` without one.
        evaluation: every evaluation set's texts, sources and references, which no pair may show.
        progress: called with (done, wanted): pairs for embedded, requests for the others.
        model, base_url, api_key: openai: the endpoint; recorded: whose recording.
        journal_dir: openai: where requests and answers are journalled; needed.
        recordings_dir: recorded: where recordings stand; needed.
        budget_usd: openai: most that this teacher may spend, in all calls and with what a killed run of the same requests
            spent; None for no limit.
        round_trip: openai, recorded: keep only pairs that a second, blind pass corrects alike; asks once more a pair.
        batch_at: openai: from this many requests on a job goes through the endpoint's Batch API; None for never.
        batch_price_share: what a request in a batch costs, as a share of the direct price.
        prices: USD per million tokens by model, over the shipped table.
        exemplars: openai, recorded: makes an index of neighbours (curation/search.py), by which the one shot of a prompt is
            picked; by form and by chance when None.
        phrasings: openai, recorded: reads the taxonomy tables, whose words prompts take; plain names of forms and tones when None.
        safety: why a pair is not safe to train on, the ladder's last rung but one; not asked when None.
        listen: openai: put around what is asked, for a recording of it.
        worked_out: embedded: keeps what was found in a text, so that only new ones are read; nothing is kept when None.

    Raises:
        UsageError: no such kind, or a folder it needs was not named.
        PermanentError: a prompt file is missing, the model is not recorded, or has no price to keep a budget by.
    """
    ladder = Ladder(evaluation, safety=safety)
    if kind == "embedded":
        from correctly_assets.teachers.embedded.injection import Mix
        from correctly_assets.teachers.embedded.teacher import EmbeddedTeacher

        return EmbeddedTeacher(
            prompts_dir=prompts_dir,
            reason_language=reason_language,
            mix=Mix.from_table(mix, first_languages) if mix else None,
            first_languages=first_languages,
            annotator=annotator,
            ladder=ladder,
            progress=progress,
            worked_out=worked_out,
        )
    if kind not in {"openai", "recorded"}:
        raise UsageError(f"No teacher named {kind!r}: choose embedded, openai or recorded.")
    from correctly_assets.teachers.prompted.teacher import PromptedTeacher

    source = ""
    connect: Callable[[], ChatTransport]
    if kind == "recorded":
        from correctly_assets.llm_api.recordings import Replay, recording_path

        if recordings_dir is None:
            raise UsageError("The recorded teacher needs a folder of recordings.")
        recording = Recording.load(recording_path(recordings_dir, model), requested=model, kind="teacher")
        source = recording.sha256

        def replay() -> ChatTransport:
            return Replay(recording)

        connect = replay
    else:
        if journal_dir is None:
            raise UsageError("The openai teacher needs a folder for its journal.")
        from correctly_assets.llm_api.answer_journal import Journal
        from correctly_assets.llm_api.batches import Batched
        from correctly_assets.llm_api.budget import Budget, price_of
        from correctly_assets.llm_api.endpoint import Endpoint

        journal = Journal(journal_dir)
        price = price_of(model, base_url, prices)
        budget = Budget(budget_usd, price, model)  # an unknown price is said now, not at the first request

        def endpoint() -> ChatTransport:
            direct = Endpoint(
                base_url=base_url,
                model=model,
                api_key=api_key,
                journal=journal,
                budget=budget,
                timeout_seconds=timeout_seconds,
                attempts=attempts,
                backoff_seconds=backoff_seconds,
                prompt_token_limit=prompt_token_limit,
            )
            transport = Batched(
                direct,
                journal,
                budget,
                at=batch_at,
                price_share=batch_price_share,
                poll_seconds=batch_poll_seconds,
                attempts=attempts,
                backoff_seconds=backoff_seconds,
                progress=progress,
            )
            return listen(transport) if listen else transport

        connect = endpoint
    return PromptedTeacher(
        kind,
        connect,
        model=model,
        prompts_dir=prompts_dir,
        reason_language=reason_language,
        annotator=annotator,
        ladder=ladder,
        batch=batch,
        concurrency=concurrency,
        source=source,
        progress=progress,
        round_trip=round_trip,
        wave=4 * concurrency if kind == "openai" and batch_at is None else None,
        exemplars=exemplars,
        phrasings=phrasings,
    )


def erase_from_journal(journal_dir: Path, texts: Sequence[str]) -> int:
    """Remove the requests that show one of these texts, with their answers; returns how many.

    A request that is asked for again is paid for again: that is the price of forgetting.

    Args:
        journal_dir: the openai teacher's journal; nothing is done where there is none.
    """
    path = journal_dir / "journal.sqlite"
    if not path.is_file():
        return 0
    forms: set[str] = set()
    for text in texts:
        # A prompt shows a text plain or inside a JSON object, and the journal keeps the prompt as JSON.
        once = json.dumps(text, ensure_ascii=False)[1:-1]
        forms |= {once, json.dumps(once, ensure_ascii=False)[1:-1]}
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("PRAGMA secure_delete = ON")
        return sum(
            connection.execute(
                "DELETE FROM request WHERE instr(request, ?) > 0 OR instr(coalesce(answer, ''), ?) > 0", (form, form)
            ).rowcount
            for form in sorted(forms)
        )
