"""One raw row to one example, or to a sentence that says why not.

Belongs here: the shape of a row (CONTRACTS: Row), its types and its limits. Does not belong here: file formats
(readers.py) or what the text is about (guards.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from correctly_assets.core.landing import identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import clean_line
from correctly_assets.core.types import Example, Reason

MAX_TEXT = 2000
"""Characters of ``before`` and of ``after``: some 400 words, several times what one correction is asked for."""
MAX_REASON = 500
MAX_ATTRIBUTE = 200
MAX_REASONS = 64
MAX_EXPRESSIONS = 20

ROW_COLUMNS = frozenset(
    ("before", "after", "reasons", "reason", "form", "tone", "topic", "language", "style", "key_expressions", "speaker",
     "source", "cefr", "licence")
)  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FORMULA = re.compile(
    r"""=\s*[-+]?(?:\$?[A-Za-z]{1,3}\$?\d|[A-Za-z_.]{1,40}\(|["'{(]\S|\d[\d.,]*\s*(?:[-+*/^%&<>=]|$))"""
    r"|[+@-][A-Z][A-Z0-9.]{1,30}\("
    r"|[-=+@][^|]{0,200}\|\s?'[^']{0,200}'!",
)
"""What a spreadsheet would work out: a call, a cell, a sum, a quoted text after ``=``; a call in capitals after ``+``, ``-`` or
``@``; a command of another program (``+cmd|' /C calc'!A0``). A text that only begins with such a sign is text."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LETTER = re.compile(r"[^\W\d_]")


class _RowError(ValueError):
    pass


def parse_row(
    raw: Any, *, languages: Collection[str] | None = None, source: str = "file", verified: bool = False
) -> Example | Refusal:
    """One row of a file, of ``/v1/examples`` or of the inbox as an example under its own id.

    Texts are stored with ``clean_line`` applied. Columns that are not part of a row are ignored.

    Args:
        raw: the row; ``reasons`` and ``key_expressions`` may be JSON text, as they are in CSV.
        languages: codes that the store knows; any well-formed code when None.
        source: where the row is from, unless it says so itself.
        verified: whether a person vouches for the row's correction.

    Returns:
        The example, or a refusal whose reason is one sentence.
    """
    if not isinstance(raw, Mapping):
        return Refusal(
            "schema", f'A row must be an object such as {{"before": …, "after": …}}, not {_kind(raw)}.', {"value": raw}
        )
    try:
        return identified(_example(raw, languages, source, verified))
    except _RowError as error:
        return Refusal("schema", str(error), raw)


def _example(raw: Mapping[Any, Any], languages: Collection[str] | None, source: str, verified: bool) -> Example:
    if raw.get("before") is None:
        raise _RowError("`before` is missing; put the text that is to be corrected there.")
    before = _text(raw, "before", MAX_TEXT)
    if before is None:
        raise _RowError("`before` is empty; put the text that is to be corrected there.")
    if not _LETTER.search(before):
        raise _RowError("`before` holds no word; leave the row out.")
    after = _text(raw, "after", MAX_TEXT)
    reasons = _reasons(raw.get("reasons"), before, after)
    language = _text(raw, "language", MAX_ATTRIBUTE) or "en"
    if not _LANGUAGE.fullmatch(language):
        raise _RowError(f"`language` must be a code such as en or ko, not {language[:40]!r}.")
    if languages is not None and language not in languages:
        raise _RowError(f"The language {language!r} is not known here; write one of {', '.join(sorted(languages))}.")
    return Example(
        id="",
        before=before,
        after=after,
        reasons=reasons,
        reason=_text(raw, "reason", MAX_REASON),
        form=_label(raw, "form"),
        tone=_label(raw, "tone"),
        topic=_text(raw, "topic", MAX_ATTRIBUTE),
        language=language,
        style=_text(raw, "style", MAX_ATTRIBUTE),
        key_expressions=_expressions(raw.get("key_expressions")),
        speaker=_text(raw, "speaker", MAX_ATTRIBUTE),
        source=_text(raw, "source", MAX_ATTRIBUTE) or source,
        cefr=_text(raw, "cefr", MAX_ATTRIBUTE),
        licence=_text(raw, "licence", MAX_ATTRIBUTE),
        # A row without `after` is corrected by a teacher, for whom nobody vouches.
        verified=verified and after is not None,
    )


def _text(raw: Mapping[Any, Any], name: str, limit: int) -> str | None:
    value = raw.get(name)
    return None if value is None else _checked(value, f"`{name}`", limit)


def _checked(value: Any, name: str, limit: int) -> str | None:
    """A cell as clean text; None when it is empty."""
    if not isinstance(value, str):
        raise _RowError(
            f"{name} must be text, not {_kind(value)}; write it in quotation marks, or as text in its cell."
        )
    if len(value) > limit + 1000:  # before the searches below: a cell may be megabytes long
        raise _RowError(f"{name} has {len(value):,} characters; at most {limit:,} are taken: split it.")
    if not value.isprintable() and _CONTROL.search(value):
        what = "a NUL character" if "\x00" in value else "a control character"
        raise _RowError(f"{name} holds {what}; remove it and add the row again.")
    if "\ufffd" in value or (not value.isprintable() and _SURROGATE.search(value)):
        raise _RowError(f"{name} is not valid UTF-8; save the file as UTF-8 and add it again.")
    text = clean_line(value)
    if len(text) > limit:
        raise _RowError(f"{name} has {len(text):,} characters; at most {limit:,} are taken: split it.")
    if _FORMULA.match(text):
        raise _RowError(f"{name} is a spreadsheet formula; put its value there instead.")
    return text or None


def _label(raw: Mapping[Any, Any], name: str) -> str | None:
    value = _text(raw, name, MAX_ATTRIBUTE)
    return value.lower() if value else None


def _json_list(value: Any, name: str) -> list[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        if len(value) > 100_000:
            raise _RowError(f"`{name}` has {len(value):,} characters; at most 100,000 are taken: leave some out.")
        try:
            value = _loaded(value)
        except (ValueError, RecursionError) as error:
            raise _RowError(f'`{name}` is not valid JSON; write [{{"was": …, "now": …, "reason": …}}].') from error
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise _RowError(f"`{name}` must be a list, not {_kind(value)}; put it in [ and ].")
    return list(value)


def _loaded(text: str) -> Any:
    """JSON, also where a word processor has curled its quotation marks."""
    try:
        return json.loads(text)
    except ValueError:
        if "“" not in text and "”" not in text:
            raise
        return json.loads(text.replace("“", '"').replace("”", '"'))


def _reasons(value: Any, before: str, after: str | None) -> tuple[Reason, ...]:
    items = _json_list(value, "reasons")
    if len(items) > MAX_REASONS:
        raise _RowError(f"`reasons` has {len(items)} entries; at most {MAX_REASONS} are taken: leave some out.")
    if items and after is None:
        raise _RowError("`reasons` explain an `after`, which is missing; add it, or leave `reasons` out.")
    found: list[Reason] = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, Mapping):
            raise _RowError(f'Reason {number} must be an object with "was", "now" and "reason".')
        parts: dict[str, str] = {}
        for name, limit in (("was", MAX_TEXT), ("now", MAX_TEXT), ("reason", MAX_REASON)):
            parts[name] = _checked(item.get(name) or "", f"`{name}` of reason {number}", limit) or ""
        if not parts["reason"]:
            raise _RowError(f"Reason {number} says nothing: its `reason` is empty; fill it, or leave the entry out.")
        if not parts["was"] and not parts["now"]:
            raise _RowError(f"Reason {number} names no words: fill its `was` or its `now`.")
        if parts["was"].casefold() not in before.casefold():
            raise _RowError(
                f"Reason {number} speaks of {_shown(parts['was'])}, which `before` does not have; write the words as they stand there."
            )
        if parts["now"].casefold() not in (after or "").casefold():
            raise _RowError(
                f"Reason {number} speaks of {_shown(parts['now'])}, which `after` does not have; write the words as they stand there."
            )
        found.append(Reason(**parts))
    return tuple(found)


def _expressions(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        items: list[Any] = value.split(";")
    else:
        items = _json_list(value, "key_expressions")
    if len(items) > MAX_EXPRESSIONS:
        raise _RowError(
            f"`key_expressions` has {len(items)} entries; at most {MAX_EXPRESSIONS} are taken: leave some out."
        )
    texts = [_checked(item, "`key_expressions`", MAX_ATTRIBUTE) for item in items]
    return tuple(text for text in texts if text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")
