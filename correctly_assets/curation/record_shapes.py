"""Records as fine-tuning files have them, taken as rows: OpenAI's and ShareGPT's chats, Alpaca, columns of other names.

Belongs here: one JSON object (or a row of a Parquet file) to the rows it means. Does not belong here: reading files
(readers.py, tables.py), names of columns (columns.py) or what a field must hold (rows.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from correctly_assets.core.json_shapes import Cell, Row
from correctly_assets.core.ports import Refusal
from correctly_assets.curation.columns import Columns, ColumnsUnclear
from correctly_assets.curation.rows import ROW_COLUMNS

CHATS = ("messages", "conversations", "conversation")
"""The fields under which a record holds a chat."""
_ANSWERS = ("assistant", "gpt", "model", "chatgpt", "bot", "chatbot", "bing", "bard")
_ROLES = {"user": "user", "human": "user", **dict.fromkeys(_ANSWERS, "assistant")}
_LEFT_OUT = frozenset(
    ("system", "developer", "tool", "function", "function_call", "tool_call", "tool_response", "observation")
)
"""Roles of what is neither a text nor its correction."""
_WANTED = 'a user\'s message with the text and an assistant\'s with its correction: {"role", "content"}'


def rows_of(record: Row, columns: Columns) -> Iterator[Row | Refusal]:
    """The rows that a record means: each pair of turns of a chat, each reference of a list, or the record itself.

    Fields that mean nothing to a row keep their names, so that whoever lands them can say that they were ignored.
    """
    for name in CHATS:
        turns = record.get(name)
        if isinstance(turns, Sequence) and not isinstance(turns, str) and not columns.named:
            yield from _chat(record, name, turns)
            return
    if not columns.named and record.keys() <= ROW_COLUMNS:
        yield from _each_reference(dict(record))
        return
    try:
        fields = columns.fields(tuple(str(name) for name in record))
    except ColumnsUnclear as error:
        yield Refusal("format", f"The row {error}", dict(record))
        return
    row = {fields.get(str(name), str(name)): value for name, value in record.items()}
    if _blank(row.get("before")) and not _blank(record.get("instruction")) and not columns.named:
        why = "The row's `input` is empty: put the text that is to be corrected there, and not into `instruction`."
        yield Refusal("format", why, dict(record))
        return
    yield from _each_reference(row)


def _each_reference(row: Row) -> Iterator[Row]:
    """The row; where its `after` is a list of texts, a row for each that differs."""
    after = row.get("after")
    if isinstance(after, list) and after and all(isinstance(text, str) for text in after):
        for text in dict.fromkeys(after):
            yield {**row, "after": text}
        return
    yield row


def _chat(record: Row, name: str, turns: Sequence[Cell]) -> Iterator[Row | Refusal]:
    """A row for each answer that follows a user's message; answers of weight 0 are no examples and are left out."""
    rest = {key: value for key, value in record.items() if key != name and key in ROW_COLUMNS}
    asked: Cell = None
    found = left_out = False
    for message in turns:
        if not isinstance(message, Mapping):
            yield Refusal("format", f"A message of `{name}` is no object; write {_WANTED}.", dict(record))
            return
        said = str(message.get("role") or message.get("from") or "").casefold()
        role = _ROLES.get(said)
        if role is None and said not in _LEFT_OUT:
            yield Refusal(
                "format",
                f"Who wrote a message of `{name}` is not known ({said[:40]!r}); write {_WANTED}.",
                dict(record),
            )
            return
        text = _message_text(message.get("content", message.get("value")))
        if role == "user":
            asked = text
        elif role == "assistant" and asked is not None and text is not None:  # None: it called a tool first
            if message.get("weight") == 0:
                left_out = True
            else:
                found = True
                yield {**rest, "before": asked, "after": text}
            asked = None
    if asked is not None:  # the last message waits for its answer, as a row without `after` does
        found = True
        yield {**rest, "before": asked}
    if not found:
        why = (
            "Every answer of the chat has weight 0, so that it is no example; leave `weight` out."
            if left_out
            else f"`{name}` holds no text of a user; write {_WANTED}."
        )
        yield Refusal("format", why, dict(record))


def _message_text(content: Cell) -> Cell:
    """A message's text; the text parts of a list are joined. Anything else is handed on, and refused with its kind."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        if len(parts) == len(content):
            return "\n".join(str(part.get("text", "")) for part in parts if part.get("type", "text") == "text")
    return content


def _blank(value: Cell) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
