"""The gateway's own knobs, with the defaults that fit one machine.

Belongs here: names, units and defaults. Does not belong here: reading the environment (settings/).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from correctly_assets.core.host_check import is_loopback
from correctly_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """Limits and intervals of one gateway process.

    Attributes:
        poll_seconds: how often the newest release is asked for; a flip takes at most this long to be seen.
        watch_seconds: how often the served release's signals are looked at; a rollback waits at most this long.
        alert_seconds: how often it is looked whether somebody must be told of something.
        metrics_seconds: how old the loop's metrics may be; the store is read at most this often for them.
        retry_after: seconds that a client is told to wait while the engine is away.
        answer_seconds: a single completion that takes longer counts as a hanging engine.
        max_characters: longest text of a request, in code points. max_texts: texts of one /v1/corrections.
        max_body_bytes: largest request body. max_total_characters: all texts of one /v1/corrections together.
        max_rows: rows of one /v1/examples. max_items: lists and objects of one body, which bounds what parsing it takes.
        max_file_bytes: largest upload to /v1/files. uploads: how many may arrive at once, of all clients.
        parallel_of_client, parallel: requests under way at once, of one client and of all.
        body_seconds: how long a body may take to arrive. request_seconds: how long one answer may take, to its last byte.
        wrong_keys_per_minute: requests with a wrong key, or none, that an address may send.
        rate_per_minute: requests per client and minute; 0 sets no limit.
        keys_file: JSON ``{NAME: {"sha256": HEX, "reason_language"?: "en"|"ko"}}``; keys are asked for when it exists.
        parallel_texts: texts of one /v1/corrections under way at once; more would only fill the engine's queue, before
            everyone else's.
        stack: what answers, as the models' list shows it: the model alone, or rules first.
        shadow_share: share of answers, from 0 to 1, to which a challenger answers too.
        shadow_at_once: how many of its answers may be under way. shadow_quiet: requests under way, the shared one included,
            beyond which none is shared. shadow_look_seconds: between two looks for another challenger.
        hold_back: code points of unchanged text that a stream holds back, in case nothing at all changes.
    """

    poll_seconds: float = 0.5
    watch_seconds: float = 5.0
    metrics_seconds: float = 15.0
    alert_seconds: float = 30.0
    retry_after: int = 5
    answer_seconds: float = 120.0
    max_characters: int = 60_000
    max_texts: int = 256
    max_body_bytes: int = 4_000_000
    max_total_characters: int = 240_000
    max_rows: int = 2_000
    max_items: int = 100_000
    max_file_bytes: int = 32_000_000
    uploads: int = 2
    parallel_of_client: int = 128
    parallel: int = 256
    body_seconds: float = 30.0
    request_seconds: float = 600.0
    wrong_keys_per_minute: int = 60
    rate_per_minute: int = 0
    keys_file: Path | None = None
    hold_back: int = 400
    parallel_texts: int = 12
    stack: str = "model"
    shadow_share: float = 0.0
    shadow_at_once: int = 2
    shadow_quiet: int = 4
    shadow_look_seconds: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> Options:
        """The options that follow from the settings: beyond loopback a rate limit stands by default."""
        return cls(
            rate_per_minute=0 if is_loopback(settings.platform.host) else 600,
            keys_file=settings.platform.keys_path,
            stack=settings.serving.stack,
            shadow_share=settings.serving.shadow_share,
            alert_seconds=settings.alerts.seconds,
        )
