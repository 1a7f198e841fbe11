"""Splitting a text into prose sentences and everything else, so that joining the segments gives the text back.

Belongs here: which stretches a corrector may touch, and where sentences end. Does not belong here: the model, or
whether a text is English at all (the gateway asks `is_english`-like questions of its own).

Sentence ends come from sentencex (Wikimedia), which knows abbreviations and keeps every character; it is given one
paragraph of prose at a time, because list marks, code, headers and quoted mail are recognised here, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sentencex

MAX_SENTENCE = 1200
"""Code points of the longest sentence a model is asked about."""

_FENCE = re.compile(r"^\s{0,3}(```+|~~~+)")
_HEADER = re.compile(
    r"^(From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Message-ID|In-Reply-To|Return-Path|MIME-Version|Content-Type|X-[\w-]+)\s?:",
    re.I,
)
_TABLE = re.compile(r"^\s*\|.*\||^\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+$|\t.*\t")
_MARKUP = re.compile(r"^\s*<[^>]+>.*<?/?[\w]*>?\s*$|^\s*(</?\w+[^>]*>\s*)+$")
_CODE = re.compile(
    r"[;{}]\s*$|^\s*(>>>|\$ |\./)|=>|\w+\(\w*\)\s*[;{:]\s*$"
    r"|^\s*(def|class|import|from|return|function|const|let|var|#include|SELECT|INSERT|git|sudo|pip|npm|curl|\$)\b"
    r".*[(){};=<>/\\-]"
)
_MARK = re.compile(r"^\s*(?:(?:[-*+•‣◦–—·]|\d{1,3}[.)]|\(?[A-Za-z\d]{1,2}\)|#{1,6}|[ivx]{1,4}\.)\s+(?:\[[ xX]\]\s+)?)?")
_SPEAKER = re.compile(r"^(?:[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*)?|[A-Z])\s?:\s+(?=\S)")
_PROTECTED = re.compile(
    r"```.*?```|`[^`\n]+`|(?:https?://|www\.|ftp://)[^\s<>()\"“”]+[^\s<>()\"“”.,;:!?'’]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w/])(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*\w)+|\b[A-Z]:\\[^\s]+|(?<!\w)[@#][A-Za-z_]\w+|\{\{.*?\}\}|<[^<>\s][^<>]*>|\$\w*\{[^}]*\}",
    re.S,
)
_ENDS = re.compile(r"[.!?…:;。！？][\"'”’)\]*_]*$")
# sentencex knows most abbreviations; these it takes for a sentence's end.
_ABBREVIATED = re.compile(
    r"\b(?:approx|est|dept|min|max|fig|incl|excl|tel|ext|vol|pp|ca|resp|ref|appt|hrs|misc)\.\s+$", re.I
)
_EMOTICON = re.compile(r"^[\W\d_]*$")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the text.

    Attributes:
        prose: whether it is an English sentence that a corrector may touch; it then has no blanks at its ends.
        fragment: whether it stands alone without a sentence's end (a heading, a list item, a signature).
    """

    text: str
    prose: bool
    fragment: bool = False


def segments(text: str) -> list[Segment]:
    """Split a text. Joining the segments' texts gives the text back, byte for byte."""
    parts = list(_segments(text))
    sentences = sum(part.prose for part in parts)
    if sentences > 1:
        # A word by itself among sentences is a name, a label or a greeting; alone, it is what the user asks about.
        parts = [Segment(p.text, p.prose and (" " in p.text or not p.fragment), p.fragment) for p in parts]
    return _merged(parts)


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Ranges inside a sentence that must come back unchanged: URLs, addresses, code, paths, mentions, placeholders."""
    return [match.span() for match in _PROTECTED.finditer(text)]


def english_share(text: str) -> float:
    """The share of Latin letters among the letters of a text; 0 where it has none."""
    letters = [character for character in text if character.isalpha()]
    return sum(character < "\u0250" for character in letters) / len(letters) if letters else 0.0


def _merged(parts: list[Segment]) -> list[Segment]:
    """Neighbours that are not prose become one segment; empty ones go."""
    merged: list[Segment] = []
    for part in parts:
        if not part.text:
            continue
        if merged and not part.prose and not merged[-1].prose:
            merged[-1] = Segment(merged[-1].text + part.text, False)
        else:
            merged.append(part)
    return merged


def _segments(text: str) -> Iterator[Segment]:
    lines = text.splitlines(keepends=True)
    # "Tom: hello" is a speaker's line where speakers take turns; "Examples: ..." by itself is a sentence.
    dialogue = sum(bool(_SPEAKER.match(line.lstrip())) for line in lines) > 1
    number = 0
    headers_may_follow = True
    while number < len(lines):
        line = lines[number]
        if fence := _FENCE.match(line):
            end = _fence_end(lines, number, fence.group(1))
            yield Segment("".join(lines[number:end]), False)
            number = end
            continue
        if headers_may_follow and _is_header(lines, number):
            yield Segment(line, False)
            number += 1
            # A folded header continues on lines that begin with a blank.
            while number < len(lines) and lines[number][:1] in " \t" and lines[number].strip():
                yield Segment(lines[number], False)
                number += 1
            continue
        # Headers come first, or after a rule like "-----Original Message-----".
        headers_may_follow = line.lstrip().startswith("---") or (headers_may_follow and not line.strip())
        if _is_apart(line):
            yield Segment(line, False)
            number += 1
            continue
        end = number + 1
        while end < len(lines) and _wraps(lines[end - 1], lines[end]):
            end += 1
        yield from _paragraph("".join(lines[number:end]), dialogue)
        number = end


def _fence_end(lines: list[str], start: int, fence: str) -> int:
    for number in range(start + 1, len(lines)):
        if re.match(rf"^\s{{0,3}}{re.escape(fence)}", lines[number]):
            return number + 1
    return len(lines)


def _is_header(lines: list[str], number: int) -> bool:
    """A header line counts where another stands beside it: one alone may be what the user wants corrected."""
    if not _HEADER.match(lines[number]):
        return False
    beside = lines[max(0, number - 1) : number] + lines[number + 1 : number + 2]
    return any(_HEADER.match(line) or (line[:1] in " \t" and line.strip()) for line in beside)


def _is_apart(line: str) -> bool:
    """Lines that are not prose: blank, quoted mail, tables, rules, markup, indented code, other scripts, bare URLs."""
    content = line.strip()
    if not content or content.startswith(">") or _EMOTICON.match(content):
        return True
    if _TABLE.search(line) or _MARKUP.match(line):
        return True
    if line.startswith(("    ", "\t")) and _CODE.search(line):
        return True
    bare = _PROTECTED.sub("", content)
    return not any(character.isalpha() for character in bare) or english_share(bare) < 0.5


def _wraps(line: str, follower: str) -> bool:
    """Whether a sentence runs on into the next line: a wrapped paragraph, not a list, verse or address."""
    content = line.strip()
    if len(content) < 45 or _ENDS.search(content) or _is_apart(follower) or _FENCE.match(follower):
        return False
    rest = follower.strip()
    mark = _MARK.match(follower)
    if mark is not None and mark.group().strip():
        return False
    return rest[0].islower() or (len(content) >= 60 and rest[0].isalnum() and len(rest) > 3)


def _paragraph(paragraph: str, dialogue: bool) -> Iterator[Segment]:
    """The sentences of one paragraph, with its mark, its speaker, its blanks and its line ends apart."""
    mark = _MARK.match(paragraph)
    lead = mark.group() if mark is not None else ""
    body = paragraph[len(lead) :]
    if dialogue and (speaker := _SPEAKER.match(body)):
        lead, body = lead + speaker.group(), body[speaker.end() :]
    yield Segment(lead, False)
    position = 0
    # Line ends are blanks to the splitter: same length, so its cuts hold for the text as it is.
    flat = re.sub(r"\s", " ", body)
    for cut in [*_cuts(flat), len(body)]:
        yield from _sentence(body[position:cut])
        position = cut


def _cuts(flat: str) -> list[int]:
    """Where the paragraph is cut: at sentence ends, but never inside a protected stretch."""
    ends: set[int] = set()
    position = 0
    # The compiled module carries no types.
    for sentence in sentencex.segment("en", flat):  # pyright: ignore[reportAttributeAccessIssue]
        position += len(sentence)
        if not _ABBREVIATED.search(sentence):
            ends.add(position)
    apart = protected_spans(flat)
    kept = [end for end in sorted(ends) if 0 < end < len(flat) and not any(a < end < b for a, b in apart)]
    # A splitter that lost characters would shift every later cut; then the paragraph stays whole.
    return kept if position == len(flat) else []


def _sentence(raw: str) -> Iterator[Segment]:
    inner = raw.strip()
    start = len(raw) - len(raw.lstrip())
    mark = _MARK.match(inner)
    if mark is not None and mark.group().strip():
        start += mark.end()
        inner = inner[mark.end() :]
    if not inner:
        yield Segment(raw, False)
        return
    bare = _PROTECTED.sub("", inner)
    prose = english_share(bare) >= 0.5
    yield Segment(raw[:start], False)
    yield Segment(inner, prose, fragment=not _ENDS.search(inner))
    yield Segment(raw[start + len(inner) :], False)
