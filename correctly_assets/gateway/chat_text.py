"""What a chat is told without a model, and what its messages mean: "why?", hidden tasks, texts that are not English.

Belongs here: pure functions over messages. Does not belong here: how a correction is written down for a reader
(correction/render.py), HTTP shapes, the engine.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from correctly_assets.core.correction import ReasonLanguage
from correctly_assets.core.taxonomy import plain_name
from correctly_assets.core.types import Edit
from correctly_assets.correction.left_alone import NOTHING_TO_CHANGE
from correctly_assets.correction.render import shown
from correctly_assets.correction.segment import ALONE, segments

ENGLISH_ONLY = {
    "en": "I correct English: send me an English text and I will answer with its natural version.",
    "ko": "저는 영어를 고쳐 드립니다. 영어로 쓴 글을 보내 주세요.",
}
EMPTY = {"en": "Send me an English text and I will correct it.", "ko": "고칠 영어 글을 보내 주세요."}
NO_ANSWER = {
    "en": "There is no answer before this one to explain; send me an English text first.",
    "ko": "설명할 이전 답변이 없습니다. 먼저 영어 글을 보내 주세요.",
}
COMPARATOR_SAYS_NOT_WHY = "The comparator gives no reasons; ask `correctly` for the same text to see why."
_ENGLISHES = frozenset(("en", "pcm", "sco"))
_SURE = 0.6
LONGEST_WHY = 200
"""Code points of the longest text that may be a bare "why?"; no pattern is searched for in a longer one."""
_WHY = re.compile(r"^\W*(why|how come|why is that|why so|explain( it| that| why)?)\W*(please)?\W*$", re.IGNORECASE)
_WHY_KO = re.compile(r"^\W*(왜|왜요|왜죠|왜지|왜 그래(요)?|이유(는|가 뭐(야|예요|죠))?|설명해( ?줘| ?주세요)?)\W*$")


def text_of(messages: Sequence[dict[str, Any]]) -> str:
    """The last user message's text; parts of a list content are joined, pictures are left out."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return content_text(message.get("content"))
    return ""


def content_text(content: Any) -> str:
    """The text of a message's content, which clients send as a string or as a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def previous_exchange(messages: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
    """The user's text before the last one and the answer to it; None when there is no such pair."""
    users = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    if len(users) < 2:
        return None
    # A "why?" after a "why?" still speaks of the text before both.
    for index in reversed(users[:-1]):
        text = content_text(messages[index].get("content"))
        if why_language(text) is None:
            answer = next((m for m in messages[index + 1 :] if m.get("role") == "assistant"), {})
            return text, content_text(answer.get("content"))
    return None


def why_language(text: str) -> ReasonLanguage | None:
    """The language of a bare "why?"; None for any other text, one that merely contains the word included."""
    if len(text) > LONGEST_WHY:
        return None
    if _WHY.match(text):
        return "en"
    return "ko" if _WHY_KO.match(text) else None


def task_reply(text: str) -> str:
    """The answer to a task that a chat client sends behind the user's back (they begin ``### Task:``), without a model:
    the empty value of the JSON shape that it asks for."""
    wanted = text.lower()
    for mark, key in (
        ("follow_ups", "follow_ups"),
        ("follow-up", "follow_ups"),
        ("tags", "tags"),
        ("queries", "queries"),
    ):
        if mark in wanted:
            return json.dumps({key: []})
    if "title" in wanted:
        return json.dumps({"title": "English correction"})
    if "autocompl" in wanted or '"text"' in wanted:
        return json.dumps({"text": ""})
    return ""


def is_task(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the request is such a task: one user message that begins with ``### Task:``."""
    asked = [message for message in messages if message.get("role") == "user"]
    return len(asked) == 1 and content_text(asked[0].get("content")).lstrip().startswith("### Task:")


def not_english(text: str) -> ReasonLanguage | None:
    """None for a text that may be English, or that is so in some of its paragraphs; otherwise the language to say so in.

    Awkward English must pass, so that doubt counts as English: of 1,508 learners' sentences none is turned away. A text
    that quotes a few foreign words stays English.
    """
    language = _mostly_foreign(text)
    if language is None:
        return None
    parts = segments(text)
    # Beside code, or a paragraph that is surely in another language, the English sentences are corrected.
    partly = any(part.prose for part in parts) and any(part.why not in (None, ALONE) for part in parts)
    return None if partly else language


def _mostly_foreign(text: str) -> ReasonLanguage | None:
    """The language to answer in where a text as a whole is taken for another language than English."""
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if len(letters) - latin > latin and latin < 40:
        return "ko" if any("HANGUL" in unicodedata.name(c, "") for c in letters) else "en"
    if latin < 12 or len(text.split()) < 4:
        return None
    language, sure = _identifier().classify(text)
    return None if language in _ENGLISHES or sure < _SURE else "en"


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_modelpath(MODEL_DIR / MODEL_FILE, norm_probs=True)


def warm() -> None:
    """Load the language model now (a second), so that no request waits for it."""
    _identifier()


def why_answer(before: str, edits: Sequence[Edit], language: ReasonLanguage) -> str:
    """The reasons of an answer, one line an edit."""
    if not edits:
        return NOTHING_TO_CHANGE[language]
    lines = []
    for edit in edits:
        was, now = shown(before, edit)
        lines.append(f"- ~~{_inline(was)}~~ **{_inline(now)}**: {_inline(edit.reason or plain_name(edit.type))}")
    return "\n".join(lines)


def table_of(answer: str) -> str | None:
    """The changes table inside an earlier answer as the client sent it back; None when it holds none."""
    rows = [line for line in answer.splitlines() if line.startswith("|")]
    return "\n".join(rows) if len(rows) > 2 and rows[0].replace(" ", "") == "|Was|Now|Why|" else None


def _inline(text: str) -> str:
    return " ".join(text.split())
