"""Votes and reactions on their way back into the examples: joined to their answers, guarded, on the ladder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from correctly_assets.core.retrain import rows_digest
from correctly_assets.core.types import Correction, Edit
from correctly_assets.curation.pii import PersonalData
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.workflows.collect_feedback import ask_for_feedback, collect_feedback, settle_feedback
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import (
    corrected_part,
    is_version_of,
    parse_vote,
    read_votes,
    take_votes,
)
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.loopback import Loopback, answer

pytestmark = pytest.mark.slow

BEFORE, AFTER = "She go to the office every days.", "She goes to the office every days."
EDIT = Edit(4, 6, "go", "goes", "R:VERB:SVA", "The subject is she.", "model")
ANSWER = f"{AFTER}\n\n| Was | Now | Why |\n| --- | --- | --- |\n| go | goes | The subject is she. |"


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as opened:
        yield opened


def journal(store: Store, *, before: str = BEFORE, after: str = AFTER, chat: str = "chat-1", id: str = "c_1") -> None:
    edits = (EDIT,) if before == BEFORE else ()
    store.journal_correction(Correction(id, before, after, edits, "r0001", "abc"), client="webui", chat_id=chat)


def row(rating: int, *, comment: str = "", asked: str = BEFORE, answered: str = ANSWER, id: str = "v1", at: int = 1000):
    """A row of Open WebUI's export, with its chat as a snapshot."""
    messages = {
        "m1": {"id": "m1", "parentId": None, "role": "user", "content": asked},
        "m2": {"id": "m2", "parentId": "m1", "role": "assistant", "content": answered},
    }
    return {
        "id": id,
        "user_id": "u",
        "version": 0,
        "type": "rating",
        "data": {"rating": rating, "model_id": "correctly", "comment": comment},
        "meta": {"chat_id": "chat-1", "message_id": "m2"},
        "snapshot": {"chat": {"id": "chat-1", "chat": {"history": {"messages": messages, "currentId": "m2"}}}},
        "created_at": at,
        "updated_at": at,
    }


class Chat(Loopback):
    """A server on loopback with the routes of Open WebUI by which votes are read."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.credentials: list[dict[str, str]] = []
        self.asked: list[str] = []
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "POST":
            self.credentials.append(json.loads(body))
            answer(handler, 200, {"token": "t"})
        elif handler.headers.get("Authorization") != "Bearer t":
            answer(handler, 401, {"detail": "no"})
        elif handler.path == "/api/v1/auths/":
            answer(handler, 200, {"token": "t"})
        else:
            self.asked.append(what := handler.path.removeprefix("/api/v1/evaluations/"))
            whole = {f"feedback/{row['id']}": row for row in self.rows}
            brief = [{name: row[name] for name in ("id", "user_id", "created_at", "updated_at")} for row in self.rows]
            known = {"feedbacks/all/ids": brief, "feedbacks/all/export": self.rows, **whole}
            answer(handler, 200 if what in known else 404, known.get(what, {"detail": "not found"}))


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    made = Chat()
    monkeypatch.setenv("CORRECTLY_WEBUI_PORT", str(made.port))
    yield made
    made.close()


def test_a_thumb_down_with_a_better_sentence_lands_as_verified(chat: Chat, store: Store):
    journal(store)
    chat.rows = [row(-1, comment="She goes to the office every day.")]
    message, since = collect_feedback(store, get_settings())
    assert "1 corrections landed" in message and since == 1000
    [example] = list(store.accepted())
    assert (example.before, example.after) == (BEFORE, "She goes to the office every day.")
    assert example.verified and example.source == "feedback"
    assert (store.new_since_decision(), store.new_reactions()) == (1, 1)
    # The same vote again changes nothing; turned round, it counts anew.
    assert collect_feedback(store, get_settings())[0].startswith("No reaction is waiting")
    assert len(list(store.accepted())) == 1


def test_an_answer_that_was_edited_in_the_chat_is_a_better_version(chat: Chat, store: Store):
    journal(store)
    chat.rows = [row(1, answered=ANSWER.replace("every days", "every single day", 1))]
    collect_feedback(store, get_settings())
    assert [example.after for example in store.accepted()] == ["She goes to the office every single day."]


def test_a_remark_is_a_note_and_a_thumb_up_confirms_the_answer(chat: Chat, store: Store):
    journal(store)
    chat.rows = [row(-1, comment="I do not like this at all"), row(1, id="v2")]
    message, _ = collect_feedback(store, get_settings())
    assert "1 confirmations, 1 votes only" in message
    # Nothing new is to be trained: a thumb costs no training.
    assert not list(store.accepted()) and store.new_since_decision() == 0
    assert store.accepted_digest() == rows_digest([])
    assert [(thumb.before, thumb.after) for thumb in store.thumbs()] == [(BEFORE, AFTER)]
    [ignored] = store.feedback("ignored")
    assert ignored.comment == "I do not like this at all"


def test_leave_it_as_it_was_is_a_correction_too(chat: Chat, store: Store):
    journal(store, before="Whilst it rained, we read.", after="While it rained, we read.", id="c_2")
    chat.rows = [row(-1, asked="Whilst it rained, we read.", answered="While it rained, we read.", comment="Whilst it rained, we read.")]  # fmt: skip
    collect_feedback(store, get_settings())
    assert [(e.before, e.after) for e in store.accepted()] == [("Whilst it rained, we read.",) * 2]


def test_a_correction_that_changes_a_figure_is_held_with_its_failed_check(chat: Chat, store: Store):
    journal(store, before="I has 3 cats at home.", after="I have 3 cats at home.", id="c_3")
    chat.rows = [
        row(-1, asked="I has 3 cats at home.", answered="I have 3 cats at home.", comment="I have 4 cats at home.")
    ]
    message, _ = collect_feedback(store, get_settings())
    assert "0 corrections landed, 1 held in quarantine" in message
    assert not list(store.accepted())
    assert store.feedback("quarantined")[0].message == "The figure '3' is not on both sides."


def test_personal_data_is_replaced_before_a_vote_is_kept(chat: Chat, store: Store):
    text, mail = "Write to ann@example.org when it are ready.", PersonalData()
    journal(store, before=mail.scrub(text), after=mail.scrub("Write to ann@example.org when it is ready."), id="c_4")
    chat.rows = [row(-1, asked=text, answered="", comment="Write to ann@example.org as soon as it is ready.")]
    collect_feedback(store, get_settings())
    kept = store.feedback("landed") + store.feedback("quarantined")
    assert kept and "ann@" not in (kept[0].better or "")


def test_a_chat_that_is_away_holds_up_nothing_that_came_another_way(settings: Settings, store: Store, monkeypatch):
    monkeypatch.setenv("CORRECTLY_WEBUI_PORT", "9")
    journal(store)
    store.add_feedback(source_key="api:1", correction_id="c_1", rating=-1, better="She goes to the office every day.")
    message, since = collect_feedback(store, get_settings())
    assert "1 corrections landed" in message and "Open WebUI does not answer" in message and since == 0


def test_votes_are_read_where_the_chat_is_reached_with_its_preset_admin(chat: Chat, monkeypatch):
    monkeypatch.setenv("CORRECTLY_HOST", "192.0.2.1")  # listens where nobody answers
    monkeypatch.setenv("CORRECTLY_WEBUI_HOST", "127.0.0.1")
    monkeypatch.setenv("CORRECTLY_WEBUI_ADMIN_PASSWORD", "as in .env")
    chat.rows = [row(1)]
    assert [vote.rating for vote in read_votes(get_settings()).votes] == [1]
    assert chat.credentials == [{"email": "admin@localhost", "password": "as in .env"}]


def test_a_chat_without_an_address_is_where_the_platform_listens(settings: Settings):
    def url(host: str) -> str:
        return settings.changed(platform={"host": host, "webui_port": 8380}).platform.webui_url

    assert url("192.0.2.1") == "http://192.0.2.1:8380"
    assert url("0.0.0.0") == "http://127.0.0.1:8380"


def test_edits_accepted_and_rejected_one_by_one_make_the_better_version(settings: Settings, store: Store):
    journal(store)
    store.add_feedback(source_key="api:1", correction_id="c_1", rating=0, edits=[{"index": 0, "accepted": False}])
    settle_feedback(store, settings)
    assert [(e.before, e.after) for e in store.accepted()] == [(BEFORE, BEFORE)]


def test_what_is_no_thumb_on_an_answer_is_no_vote():
    assert parse_vote(VoteRow.model_validate({"id": "x", "data": {"rating": "good"}, "meta": {"chat_id": "c"}})) is None
    assert parse_vote(VoteRow.model_validate({"id": "x", "data": {"rating": 1}, "meta": {}})) is None
    assert parse_vote(VoteRow.model_validate({"id": "x", "data": None, "meta": None})) is None
    vote = parse_vote(VoteRow.model_validate(row(1)))
    assert vote is not None and (vote.asked, corrected_part(vote.answered or "")) == (BEFORE, AFTER)


def test_a_comment_is_a_version_when_at_most_half_of_its_words_differ():
    assert is_version_of("She goes to the office every day.", BEFORE)
    assert not is_version_of("wrong", BEFORE)
    assert not is_version_of("Please say that she commutes daily instead of this.", BEFORE)


def voted(store: Store, given: dict[str, Any]) -> list[tuple[str, int]]:
    """(answer, rating) of every reaction kept, after one row was taken."""
    vote = parse_vote(VoteRow.model_validate(given))
    if vote is not None:
        take_votes(store, [vote], str)
    return [(one.correction_id, one.rating) for one in store.pending_feedback()]


@pytest.mark.parametrize(
    ("data", "meta"),
    [
        ({"model_id": "corr.correctly"}, {}),
        ({"model_id": "my.prefix.correctly-fluent"}, {}),
        ({"model_id": "correctly-text"}, {}),
        ({"model_id": "house-corrector"}, {"base_models": {"house-corrector": "corr.correctly"}}),
        ({"model_id": "arena-model"}, {"arena": True, "model_id": "arena-model"}),
    ],
)
def test_a_vote_counts_under_prefixes_workspace_models_and_arenas(
    store: Store, data: dict[str, Any], meta: dict[str, Any]
):
    journal(store)
    given = row(-1)
    given["data"] |= data
    given["meta"] |= meta
    assert voted(store, given) == [("c_1", -1)]


def test_an_arena_that_names_the_model_it_chose_is_believed(store: Store):
    journal(store)
    store.journal_correction(Correction("c_base", BEFORE, BEFORE, (), None, None), chat_id="chat-1")
    given = row(1, answered=BEFORE)
    given["data"]["model_id"], given["meta"]["arena"] = "arena-model", True
    given["snapshot"]["chat"]["chat"]["history"]["messages"]["m2"]["selectedModelId"] = "corr.correctly-base"
    assert voted(store, given) == [("c_base", 1)]


def test_a_workspace_model_made_of_another_is_none_of_ours():
    given = row(1)
    given["data"]["model_id"], given["meta"]["base_models"] = "helper", {"helper": "gpt-x"}
    assert parse_vote(VoteRow.model_validate(given)) is None


def test_only_new_votes_are_fetched_with_their_chats(chat: Chat, store: Store):
    journal(store)
    chat.rows = [row(1, id="v1", at=10000), row(1, id="v2", at=20000)]
    _, since = collect_feedback(store, get_settings())
    assert since == 20000 and {"feedback/v1", "feedback/v2"} <= set(chat.asked)
    chat.asked.clear()
    chat.rows.append(row(-1, id="v3", at=30000))
    assert collect_feedback(store, get_settings(), since=30000)[1] == 30000
    assert chat.asked == ["feedbacks/all/ids", "feedback/v3"]
    assert ask_for_feedback(store, get_settings(), "0:0").votes == "30000:3"
    chat.asked.clear()
    chat.rows = [row(1, id=f"v{number}", at=40000) for number in range(150)]
    assert len(read_votes(get_settings(), since=40000).votes) == 150
    assert chat.asked == ["feedbacks/all/ids", "feedbacks/all/export"]


def test_a_vote_that_is_turned_round_or_taken_back_follows(chat: Chat, store: Store):
    journal(store)
    chat.rows = [row(1, id="v1", at=10000), row(1, id="v2", at=10000)]
    collect_feedback(store, get_settings())
    assert store.signals("r0001").ups == 1 and len(list(store.thumbs())) == 2
    chat.rows = [row(-1, id="v1", at=20000)]
    message, since = collect_feedback(store, get_settings(), since=20000)
    assert "1 votes were taken back" in message and since == 20000
    assert (store.signals("r0001").ups, store.signals("r0001").downs) == (0, 1) and not list(store.thumbs())
    chat.rows = [row(0, id="v1", at=30000)]
    assert "1 votes were taken back" in collect_feedback(store, get_settings(), since=30000)[0]
    assert store.signals("r0001").downs == 0


def test_ticks_and_comments_are_kept_for_a_reviewer_and_name_nobody(chat: Chat, store: Store):
    journal(store)
    given = row(-1, comment="Far too stiff for me, thanks")
    given["data"] |= {"reason": "dont_like_the_style", "details": {"rating": 3}}
    given["user_id"] = "6f1c-account"
    chat.rows = [given]
    collect_feedback(store, get_settings())
    [one] = store.reactions()
    assert one.feedback.ticked == ("dont like the style", "3 of 10")
    assert (one.feedback.comment, one.after) == ("Far too stiff for me, thanks", AFTER)
    assert one.feedback.giver is not None and "6f1c" not in one.feedback.giver


def test_a_person_alone_teaches_only_so_much_a_day(settings: Settings, store: Store):
    settings = settings.changed(curation={"feedback_per_day": 2})
    for number in range(4):
        before, better = f"She go to shop number {number} by the sea.", f"She goes to shop number {number} by the sea."
        store.journal_correction(Correction(f"c{number}", before, before, (), "r0001", "abc"))
        who = "api:pupil" if number < 3 else "api:teacher"
        store.add_feedback(source_key=f"k{number}", correction_id=f"c{number}", rating=-1, better=better, giver=who)
    assert "3 corrections landed, 1 held in quarantine" in settle_feedback(store, settings)
    [held] = store.quarantined()
    assert held.rung == "giver" and "a reviewer lets the others in" in held.reason
