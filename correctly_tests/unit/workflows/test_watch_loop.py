"""Alerts told to real receivers on loopback: a webhook over HTTP and a mail server that speaks SMTP."""

from __future__ import annotations

import email
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from email import policy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.types import Correction, Example
from correctly_assets.settings import InvalidSettingError, Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.watch_loop import alerts_path, watch_loop
from correctly_tests.loopback import Loopback, answer

NO_BACKUPS = {"backup_hours": 0, "disk_free_gb": 0}


class Webhook(Loopback):
    def __init__(self) -> None:
        self.got: list[Any] = []
        self.status = 200
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.status == 200:
            self.got.append(json.loads(body))
        answer(handler, self.status, {})


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as it takes to receive a mail without encryption."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.refuses = False
        super().__init__(("127.0.0.1", 0), Conversation)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Conversation(socketserver.StreamRequestHandler):
    server: MailServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"MAIL" and self.server.refuses:
                self.say("451 later")
            elif word == b"DATA":
                self.say("354 go on")
                lines: list[bytes] = []
                while (more := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(more)
                self.server.letters.append(email.message_from_bytes(b"".join(lines), policy=policy.default))
                self.say("250 taken")
            elif word == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 yes")


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.close()


@pytest.fixture
def mails() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def settings(tmp_path: Path, webhook: Webhook, mails: MailServer) -> Settings:
    return Settings().changed(
        platform={"home": tmp_path},
        alerts={
            "webhook_url": f"{webhook.url}/hook",
            "smtp_host": "127.0.0.1",
            "smtp_port": mails.server_address[1],
            "smtp_security": "none",
            "mail_to": "ops@example.org, team@example.org",
            **NO_BACKUPS,
        },
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


def refused(store: Store, reason: str = "F0.5 fell from 60 to 40.") -> str:
    return store.record_decision(fingerprint="f", verdict="refused", reasons=[reason]).id


def promoted(store: Store) -> None:
    store.record_decision(fingerprint="g", verdict="promoted", reasons=["Better."])


def test_a_refused_gate_is_told_once_to_each_and_resolved_when_over(
    store: Store, settings: Settings, webhook: Webhook, mails: MailServer
) -> None:
    watch_loop(store, settings)
    assert webhook.got == [] and mails.letters == []
    id = refused(store)
    for _ in range(3):
        watch_loop(store, settings)
    (posted,) = webhook.got
    assert (posted["state"], posted["kind"], posted["event"]) == ("raised", "refused_gate", f"refused_gate:{id}")
    assert "F0.5 fell" in posted["says"] and posted["platform"] == settings.platform.gateway_url
    (letter,) = mails.letters
    assert letter["Subject"] == "[Correctly] The gate refused an adapter" and "team@example.org" in letter["To"]
    assert "F0.5 fell" in letter.get_content() and "/dashboard" in letter.get_content()
    promoted(store)
    for _ in range(3):
        watch_loop(store, settings)
    assert [one["state"] for one in webhook.got] == ["raised", "resolved"]
    assert [one["Subject"] for one in mails.letters][1] == "[Correctly] The gate refused an adapter: resolved"
    assert len(mails.letters) == 2 and json.loads(alerts_path(settings).read_text()) == {}


def test_failed_runs_rollbacks_lag_disk_and_backups_are_told(
    store: Store, settings: Settings, webhook: Webhook
) -> None:
    store.add_release(adapter="a", base_model="b", kind="promotion", why="better")
    store.add_release(adapter="z", base_model="b", kind="rollback", why="Rolled back from r0001: automatically: votes")
    store.record_decision(fingerprint="f", verdict="failed", reasons=["The trainer ended."], example_ids=None)
    store.land([Example(id="e1", before="He go.", after="He goes.")])
    strict = settings.changed(alerts={"disk_free_gb": 1e9, "backup_hours": 48})
    watch_loop(store, strict, time.time() + 3 * 86_400)
    assert {one["kind"] for one in webhook.got} == {"failed_run", "rollback", "lag", "disk", "backup"}
    assert all(one["title"] and one["remedy"] and one["says"] for one in webhook.got)


def test_people_who_vote_on_the_release_in_service_are_told_of(
    store: Store, settings: Settings, webhook: Webhook
) -> None:
    for adapter in ("a", "b"):
        release = store.add_release(adapter=adapter, base_model="base", kind="promotion", why="better").id
        for number in range(10):
            id = f"{release}-{number}"
            store.journal_correction(
                Correction(
                    id=id, before="He go.", after="He goes.", edits=(), release="r0002", adapter="b", fallback=None
                )
            )
            store.add_feedback(source_key=id, correction_id=id, rating=-1, giver=str(number))
        if adapter == "a":
            watch_loop(store, settings)
            assert webhook.got == []
    watch_loop(store, settings)
    (posted,) = webhook.got
    assert posted["event"] == "votes:r0002" and posted["says"] == "Of 10 people who voted on r0002 10 gave thumbs down."


def test_one_person_who_votes_often_raises_no_alert(store: Store, settings: Settings, webhook: Webhook) -> None:
    release = store.add_release(adapter="a", base_model="base", kind="promotion", why="better").id
    for number in range(30):
        id = f"c{number}"
        store.journal_correction(Correction(id, "He go.", "He goes.", (), release=release, adapter="a", fallback=None))
        store.add_feedback(source_key=id, correction_id=id, rating=-1, giver="one")
    watch_loop(store, settings)
    assert webhook.got == []


def test_a_receiver_that_was_away_is_told_later_and_the_other_not_twice(
    store: Store, settings: Settings, webhook: Webhook, mails: MailServer
) -> None:
    webhook.status = 500
    refused(store)
    watch_loop(store, settings)
    assert webhook.got == [] and len(mails.letters) == 1
    webhook.status = 200
    watch_loop(store, settings)
    assert len(webhook.got) == 1 and len(mails.letters) == 1


def test_a_mail_server_that_refuses_does_not_stop_the_webhook(
    store: Store, settings: Settings, webhook: Webhook, mails: MailServer
) -> None:
    mails.refuses = True
    refused(store)
    watch_loop(store, settings)
    assert len(webhook.got) == 1 and mails.letters == []


def test_slack_is_sent_its_own_shape_and_nothing_becomes_a_link(
    store: Store, settings: Settings, webhook: Webhook
) -> None:
    refused(store, "It writes <!channel> & more.")
    watch_loop(store, settings.changed(alerts={"webhook_kind": "slack", "smtp_host": None}))
    (posted,) = webhook.got
    assert set(posted) == {"text"} and posted["text"].startswith("*The gate refused an adapter*")
    assert "&lt;!channel&gt; &amp; more" in posted["text"]


def test_without_receivers_alerts_are_known_and_nothing_fails(store: Store, tmp_path: Path) -> None:
    alone = Settings().changed(platform={"home": tmp_path}, alerts=NO_BACKUPS)
    refused(store)
    (alert,) = watch_loop(store, alone)
    assert alert.kind == "refused_gate" and len(json.loads(alerts_path(alone).read_text())) == 1


def test_a_damaged_record_is_told_once_more_and_stops_nothing(
    store: Store, settings: Settings, webhook: Webhook
) -> None:
    refused(store)
    alerts_path(settings).parent.mkdir(exist_ok=True)
    alerts_path(settings).write_text("{")
    watch_loop(store, settings)
    watch_loop(store, settings)
    assert len(webhook.got) == 1


def test_a_webhook_that_is_no_address_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidSettingError, match="CORRECTLY_ALERT_WEBHOOK_URL is wrong"):
        Settings().changed(alerts={"webhook_url": "hooks.example.org"})
