"""What a chat is told without a model, and what its messages mean: "why?", hidden tasks, texts that are not English.

Belongs here: pure functions over messages. Does not belong here: how a correction is written down for a reader
(correction/render.py), HTTP shapes, the engine.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from correctly_assets.core.correction import REASON_LANGUAGES, ReasonLanguage
from correctly_assets.core.types import Edit
from correctly_assets.correction.left_alone import NOTHING_TO_CHANGE
from correctly_assets.correction.reason_rows import AS_IN, as_in, point_of, same_error
from correctly_assets.correction.reasons import load_rule_reasons
from correctly_assets.correction.render import shown
from correctly_assets.correction.segment import ALONE, segments
from correctly_assets.gateway.http_errors import UnsupportedField
from correctly_assets.gateway.shapes import Message
from correctly_assets.language.points import point_told

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
NO_SUCH_ROW = {
    "en": "There is no row {row} in the answer before this one; it has {count}.",
    "ko": "이전 답변에는 {row}번이 없습니다. 모두 {count}개입니다.",
}
WRONG, RIGHT = {"en": "Wrong", "ko": "틀린 문장"}, {"en": "Right", "ko": "맞는 문장"}
_ROLES = ("user", "assistant", "system", "developer", "tool", "function")
_TEXT_PARTS = frozenset(("text", "input_text", "output_text"))
_TASK = "### Task:"
_TASK_MARKS = ("<chat_history>", "### Chat History:", "### **Output Rules**")
LONGEST_WHY = 200
"""Code points of the longest text that may be a bare "why?"; no pattern is searched for in a longer one."""
_ROWS = r"(?:(?:\s|,|&|\band\b)*(?:\b(?:no\.?|number|row|line|point|change|edit)\s*)?#?(?<!\d)\d{1,3}(?!\d)){1,9}"
_WHY = re.compile(
    rf"\W*(?:(?:why|how come|explain)(?:\??\s{_ROWS})?|why(?:\sis|\swas)\s?{_ROWS}(?:\swrong|\schanged)?"
    r"|why is that|why so|explain (?:it|that|why))\W*(?:please)?\W*",
    re.IGNORECASE,
)
_ROWS_KO = r"(?:\d{1,3}(?!\d)(?:번|행|줄)?(?:째)?(?:과|와|이랑|하고|은|는|이|가|을|를|의|도)?[\s,]*){1,9}"
_LONGEST_REASON = 400
"""Code points of a table's cell in which a grammar point is looked for."""
_UNTYPED = "UNK"
"""The type of an edit that is read from a table, which does not say it."""
_CHANGED_KO = r"(?:\s?(?:그래|그런|틀렸|틀린|바꿨|바뀌었|고쳤)[가-힣]{0,4})?"
_WHY_KO = re.compile(
    rf"\W*(?:{_ROWS_KO})?(?:왜(?:요|죠|지|일까요?)?{_CHANGED_KO}"
    r"|이유(?:는|가 뭐(?:야|예요|죠)|를? 알려 ?(?:줘|주세요))?|(?:(?:좀|더|자세히)\s)*설명(?:해)?(?: ?(?:줘|주세요|주실래요|부탁해요))?)"
    rf"\W*(?:{_ROWS_KO}{_CHANGED_KO})?\W*"
)


@dataclass(frozen=True, slots=True)
class WhyAsked:
    """A message that asks why, and brings no text.

    Attributes:
        language: of the question: ``ko`` where it is written in Hangul.
        rows: numbers of the table's rows that it asks about, from 1; none where it asks about all.
    """

    language: ReasonLanguage
    rows: tuple[int, ...] = ()


def text_of(messages: Sequence[Message]) -> str:
    """The last user message's text; parts of a list content are joined, pictures are left out."""
    text = _last(messages)
    return _own_words(text) if _holds_files(text) else text


def has_files(messages: Sequence[Message]) -> bool:
    """Whether a chat client has put the text of attached files before the last user message."""
    return _holds_files(_last(messages))


def content_text(content: Any) -> str:
    """The text of a message's content, which clients send as a string or as a list of strings and parts.

    Raises:
        UnsupportedField: it is neither, or a part is a file that holds no text, or sound.
    """
    if isinstance(content, list):
        parts = [_part_text(part) for part in content]
        return "\n".join(part for part in parts if part is not None)
    if not isinstance(content, str | None):
        raise UnsupportedField("messages", "The `content` of a message is a text or a list of parts.")
    return content or ""


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return None
    if kind in _TEXT_PARTS:
        return part["text"] if isinstance(part.get("text"), str) else None
    if kind in ("file", "input_file"):
        file = part.get("file")
        return _file_text((file if isinstance(file, dict) else part).get("file_data"))
    if kind == "input_audio":
        raise UnsupportedField("messages", "Sound (`input_audio`) is not listened to here: send the text.")
    return None  # a picture, which clients leave in the chat; or a part of no meaning here


def _file_text(sent: Any) -> str:
    """The text of a file that was sent within a message, of its ``file_data``.

    Raises:
        UnsupportedField: it is none that holds text.
    """
    kind, comma, coded = str(sent or "").partition(",")
    try:
        if kind.startswith("data:text/") and kind.endswith(";base64") and comma:
            return base64.b64decode(coded, validate=True).decode("utf-8-sig")
    except ValueError:
        pass  # said below
    raise UnsupportedField(
        "messages", "A file in a message is read where its `file_data` is UTF-8 text: `data:text/plain;base64,…`."
    )


def _last(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return content_text(message.content)
    if any(message.role not in _ROLES for message in messages):
        raise UnsupportedField("messages", f"No message is the user's: the `role` of one is {', '.join(_ROLES)}.")
    return ""


def _holds_files(text: str) -> bool:
    """Whether a text is Open WebUI's template over attached files: it begins as its tasks do and asks no task."""
    head = text[:600].lstrip()
    return head.startswith(_TASK) and "user query" in head and "<context>" in text and "</context>" in text


def _own_words(text: str) -> str:
    """What the user wrote: behind the files' text, or, in older versions, between marks of its own."""
    own = text.rpartition("</context>")[2]
    if "<user_query>" in own:
        own = own.partition("<user_query>")[2].rpartition("</user_query>")[0]
    return own.strip("\n")


def previous_exchange(messages: Sequence[Message]) -> tuple[str, str] | None:
    """The user's text before the last one and the answer to it; None when there is no such pair."""
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    if len(users) < 2:
        return None
    # A "why?" after a "why?" still speaks of the text before both.
    for index in reversed(users[:-1]):
        text = content_text(messages[index].content)
        if why_asked(text) is None:
            answer = next((m.content for m in messages[index + 1 :] if m.role == "assistant"), None)
            return text, content_text(answer)
    return None


def why_asked(text: str) -> WhyAsked | None:
    """What a bare "why?", "explain 2" or "2번은 왜요?" asks; None for any other text, one that merely begins so included."""
    if len(text) > LONGEST_WHY:
        return None
    korean = _WHY_KO.fullmatch(text) is not None
    if not korean and _WHY.fullmatch(text) is None:
        return None
    rows = dict.fromkeys(int(number) for number in re.findall(r"\d+", text))
    return WhyAsked("ko" if korean else "en", tuple(rows))


def task_reply(text: str) -> str:
    """The answer to a task that a chat client sends behind the user's back, without a model: the empty value of the JSON shape
    that it asks for."""
    wanted = text.lower().partition("### chat history")[0]
    if "autocompl" in wanted:
        return json.dumps({"text": ""})
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
    return json.dumps({"prompt": ""}) if "image" in wanted else ""


def is_task(messages: Sequence[Message]) -> bool:
    """Whether the request is such a task: one user message that begins with ``### Task:`` and goes on with the chat so far, or with
    how its JSON must look. A text that only begins so is a person's, and is read like any other."""
    asked = [message for message in messages if message.role == "user"]
    if len(asked) != 1:
        return False
    text = content_text(asked[0].content)
    return text.lstrip().startswith(_TASK) and any(mark in text for mark in _TASK_MARKS)


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


def why_answer(before: str, edits: Sequence[Edit], asked: WhyAsked, language: ReasonLanguage) -> str:
    """The longer explanation of an answer's edits, or of those asked about: the reason, then the grammar point's longer text
    with its pair of examples. The same error is explained once."""
    if not edits:
        return NOTHING_TO_CHANGE[language]
    if beyond := [row for row in asked.rows if not 1 <= row <= len(edits)]:
        return NO_SUCH_ROW[language].format(row=beyond[0], count=len(edits))
    rows = asked.rows or range(1, len(edits) + 1)
    first = same_error(edits)
    shown_at: dict[int, int] = {}
    lines: list[str] = []
    for row in rows:
        edit = edits[row - 1]
        was, now = shown(before, edit)
        error = row - 1 if (earlier := first[row - 1]) is None else earlier
        again = shown_at.setdefault(error, row)
        reason = _reason_text(edit, language) if again == row else as_in(again, language)
        number = f"**{row}** " if len(edits) > 1 else ""
        lines.append(f"- {number}~~{_inline(was)}~~ **{_inline(now)}**{f': {_inline(reason)}' if reason else ''}")
        lines += _longer(edit, language) if again == row else ()
    return "\n".join(lines)


def _reason_text(edit: Edit, language: ReasonLanguage) -> str:
    """An edit's reason, in the language asked for where it can be told so; empty where the point's longer text alone can."""
    reason = edit.reason
    if reason is not None and bool(re.search("[가-힣]", reason)) == (language == "ko"):
        return reason
    point = point_of(edit)
    if point is None:
        rules = load_rule_reasons()
        # A reason of the house style or of a model is nobody's to translate.
        own = reason and reason not in (rules.reason(edit, known) for known in REASON_LANGUAGES)
        return reason if reason and own else rules.reason(edit, language)
    return point.translated(reason or "", language) or ""


def _longer(edit: Edit, language: ReasonLanguage) -> list[str]:
    """The longer text of an edit's grammar point and its examples, as a list within the list; nothing without a point."""
    point = point_of(edit)
    if point is None:
        return []
    name = point.title(language)
    return [
        f"  - {f'{name} ({point.level}): ' if name else ''}{_inline(point.wording(language).long)}",
        f"  - {WRONG[language]}: *{_inline(point.example.wrong)}*",
        f"  - {RIGHT[language]}: *{_inline(point.example.right)}*",
    ]


def edits_of_table(answer: str) -> tuple[Edit, ...]:
    """The rows of the changes table in an earlier answer as the client sent it back, with their reasons and grammar points as
    far as these are known by their words; empty where it holds no table. The offsets mean nothing."""
    rows = [line for line in answer.splitlines() if line.startswith("|")]
    if len(rows) < 3 or rows[0].replace(" ", "") != "|Was|Now|Why|":
        return ()
    edits: list[Edit] = []
    for row in rows[2:]:
        cells = [_unescaped(cell) for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        if len(cells) != 3:
            continue
        was, now, why = cells
        why = re.sub(r"^\d+\. ", "", why)
        if (earlier := _referred(why)) is not None and 1 <= earlier <= len(edits):
            edits.append(replace(edits[earlier - 1], was=was, now=now))
            continue
        # A client may send anything back as our answer; a reason of ours is a sentence.
        point = point_told(why) if len(why) <= _LONGEST_REASON else None
        edits.append(Edit(0, 0, was, now, _UNTYPED, why or None, "rule", None if point is None else point.id))
    return tuple(edits)


def _referred(why: str) -> int | None:
    """The row that stands in place of a reason; None for a reason."""
    for wording in AS_IN.values():
        begins, ends = wording.split("{row}")
        if (row := re.fullmatch(rf"{re.escape(begins)}(\d{{1,3}}){re.escape(ends)}", why)) is not None:
            return int(row.group(1))
    return None


def _unescaped(cell: str) -> str:
    return re.sub(r"\\(.)", r"\1", cell.strip()).replace("&lt;", "<").replace("&gt;", ">")


def _inline(text: str) -> str:
    return " ".join(text.split())
