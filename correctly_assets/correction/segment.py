"""Splitting a text into prose sentences and everything else, so that joining the segments gives the text back.

Belongs here: which stretches a corrector may touch, and where sentences end. Does not belong here: the model, markup
(markup.py), what a sentence looks like without its marks (view.py), or which language a stretch is in (language/identify.py).

Sentence ends come from sentencex (Wikimedia), which knows abbreviations and keeps every character; it is given one
paragraph of prose at a time, because list marks, code, headers and quoted mail are recognised here, line by line.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile

import sentencex

from correctly_assets.correction.alignment import Span
from correctly_assets.correction.markup import Mark, blocks, closed_tags, inline_marks
from correctly_assets.correction.view import View, view_of
from correctly_assets.language.identify import is_english, is_foreign

MAX_SENTENCE = 1200
"""Code points of the longest sentence a model is asked about."""
LONG_SENTENCE = 400
"""Code points from which a sentence is cut where clauses join."""
CLAUSES = 140
"""Code points from which the next joint cuts a long sentence."""

_HEADER = re.compile(
    r"^(From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Message-ID|In-Reply-To|Return-Path|MIME-Version|Content-Type|X-[\w-]+)\s?:",
    re.I,
)
# The headers that mail programs put above the mail that is answered, in some languages; the first says whose it is.
_FROM = re.compile(r"^\s*\*?(?:From|Von|De|Da|Van)\s?:", re.I)
_QUOTED_HEADER = re.compile(
    r"^\s*\*?(?:From|To|Cc|Date|Sent|Subject|Von|Gesendet|An|Betreff|Datum|De|Envoyé|À|Objet|Enviado(?: el)?|Para|Asunto|Fecha|Da"
    r"|Inviato|A|Oggetto|Van|Verzonden|Aan|Onderwerp)\s?:",
    re.I,
)
_TABLE = re.compile(r"^\s*\|.*\||^\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+$|\t.*\t")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)+\|?\s*$")
# Lines that only open or close a box, or carry attributes of one.
_BOX = re.compile(r"^\s*(?::{3,}.*|(?:!{3}|\?{3}\+?)\s+\w+(?:\s+\"[^\"]*\")?|\{:.*\}|\[TOC\]|\^[\w-]+)\s*$")
_CODE = re.compile(
    r"[;{}]\s*$|^\s*(>>>|\$ |\./)|=>|\w+\(\w*\)\s*[;{:]\s*$|^\s*[\w.]+\s*[-+*/|]?=\s*\S|^\s*[\w.]+\([^()]*\)\s*$"
    r"|^\s*(def|class|import|from|return|function|const|let|var|#include|SELECT|INSERT|git|sudo|pip|npm|curl|\$)\b"
    r".*[(){};=<>/\\-]"
)
_LONGEST_STATEMENT = 300
# Lines of programs that nobody has fenced off or set in: what no sentence looks like.
_STATEMENT = re.compile(
    r"\$ [a-z./~]|import\s+(?:[\w$*{},\s]+\s+from\s+)?['\"][^'\"\n]+['\"];?$|from\s+[\w.]+\s+import\s+[\w*, ()]+$"
    r"|export\s+(?:const|let|default|function|class)\b[^\n]*[={(;]|#include\s*[<\"]|(?:const|let|var)\s+\w+\s*="
    r"|(?:async\s+)?(?:def|func|function|fn)\s+\w+\(.*[:{]$|class\s+\w+(?:\([\w., ]*\))?:$|[\w.]+\(.*\);$"
)
_MARK = re.compile(
    r"^\s*(?:(?:[-*+•‣◦–—·→➜➔➤►▶▪▫■□●○✓✔✗✘☐☑☒★☆»›✅❌➖🔹🔸👉⁃◆◇▸▫]\ufe0f?|[-=]>|--|\d{1,3}(?:[.)]|\.\))|\(?[A-Za-z\d]{1,2}\)|#{1,6}|[ivx]{1,4}\.|[IVX]{1,5}\.(?=\s+[a-z])|[A-Za-z]\.(?=\s+[a-z])|\.\. [\w-]+::)"
    r"\s+(?:\[[ xX]\]\s+)?)?"
)
_SPEAKER = re.compile(r"^(?:[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*)?|[A-Z])\s?:\s+(?=\S)")
_ENDS = re.compile(r"[.!?…:;。！？][\"'”’)\]*_]*$")
# sentencex knows most abbreviations; these it takes for a sentence's end. A title never ends one.
_TITLE = re.compile(
    r"\b(?:Ms|Mrs|Mr|Mx|Dr|Prof|Rev|Hon|Gov|Sen|Rep|Gen|Col|Lt|Sgt|Capt|Mt|Messrs|[Vv]s|[Cc]f|[Vv]iz)\.\s+$"
)
# These may stand at a sentence's end too: what follows decides.
_ABBREVIATED = re.compile(
    r"\b(?:approx|est|dept|min|max|figs?|eqs?|secs?|chap|ch|incl|excl|tel|ext|vols?|nos?|pp|ca|resp|refs?|appt|hrs|misc|st|al|eds?"
    r"|trans|univ|assn|bros|attn|paras?|art|op|ibid|seq|wt|ht|fl|temp|avg|std|qty|amt|acct|govt|intl|natl|etc|ave|blvd|rd"
    r"|[ap]\.\s?m|pls|inc|ltd|co|corp|llc|plc|jr|sr|ft|in|yd|lbs?|oz|kg|mi|sq|u\.s|u\.k|u\.n|e\.u|ph\.d|m\.a|b\.a|m\.d|b\.sc|m\.sc"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thurs?|thu|fri|sat|sun)\.\s+$",
    re.I,
)
# Words that are abbreviations before a number only.
_NUMBERED = re.compile(
    r"\b(?:no|nos|art|fig|ch|in|max|min|sat|sun|mon|wed|mar|oct|dec|jan|al|ext|sec|ref|temp|mi)\.\s+$"
)
# Others before a number, or before a letter that counts ("App. B").
_COUNTING = re.compile(
    r"\b(?:App|Tabs?|Pts?|Eqns?|Def|Prop|Cor|Ex|Alg|Suppl|Ver|Lem|Thm|Rem|Cl|Bk|Par|tabs?|pts?|eqns?|ver|cl)\.\s+$"
)
_COUNTED = re.compile(r"\(?\d|(?:[A-HJ-Z]|[IVXL]{2,})(?![\w'’])")
_INITIAL = re.compile(r"(?<![\w.])(?:[A-Z]\.\s?)+\s+$")
_BEGINS = re.compile(
    r"[\"“‘'(\[]*(?:I|You|He|She|It|We|They|The|This|That|These|Those|There|My|Your|His|Her|Its|Our|Their|A|An|And|But|So|Or|If|When"
    r"|While|After|Before|Because|Then|What|Who|Why|How|Where|Which|Please|Thanks|Thank|Yes|No|Not|Now|Here|In|On|At|For|From|With"
    r"|Do|Does|Did|Is|Are|Was|Were|Can|Could|Will|Would|Shall|Should|Have|Has|Had|Let|All|Some|Many|Most|Each|Every|One|Someone"
    r"|Everyone|However|Therefore|Although|Though|Since|Also|As|By|To|Of|Our)\b(?!\.)"
)
_JOINT = re.compile(
    r"(?<=;)\s(?=\S)|(?<=,)\s(?=(?:and|but|so|or|because|which|while|although|where|when|who|yet)\b)"
    r"|\s(?=(?:and|but|so|because|then|and then|and so|but then|cause|cuz)\s(?:then\s|so\s)?(?:i|you|he|she|it|we|they|there|this|that|the|my|"
    r"our|his|her|their|your|nobody|everybody|everyone|someone|a|an|when|if|after|now|its|it's|i'm|im)\b)",
    re.I,
)
_ATTRIBUTION = re.compile(
    r"^\s*(?:(?:On|Am|Le|El|Il|Op|Em|W dniu)\b[^\n]{0,200}\d[^\n]{0,200}|[^\n]{0,80}<[^<>\s]+@[^<>\s]+>[^\n]{0,20})"
    r"\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napisał\(a\)|napisał)\b[^\n]{0,120}:\s*$"
)
# "2024-01-05 15:00 GMT+01:00 Ann <ann@x.org>:"
_DATED = re.compile(r"^\s*\d{4}[-./]\d{1,2}[-./]\d{1,2}[^\n]{0,120}<[^<>\s]+@[^<>\s]+>\s*:\s*$")
_ATTRIBUTION_BEGINS = re.compile(r"^\s*(?:On|Am|Le|El|Il|Op|Em)\b[^\n]*\d[^\n]")
_EMOTICON = re.compile(r"^[\W\d_]*$")
_DEFINITION = re.compile(r"^\s{0,3}\[[^\]^\n]+\]:\s+\S")
_QUOTE = re.compile(r"^\s*(?:>\s?)+(?:\[![A-Za-z]+\][+-]?\s*)?")
_CALLOUT = re.compile(r"^\s*>\s*\[![A-Za-z]+\]")
_CELL = re.compile(r"(?<!\\)\|")

FOREIGN = "another language"
ALONE = "a word by itself"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the text.

    Attributes:
        prose: whether it is an English sentence that a corrector may touch; it then has no blanks at its ends.
        fragment: whether it stands alone without a sentence's end (a heading, a list item, a signature).
        why: what it is where it is not prose and holds words; None for marks and blanks.
        marks: the marks inside a sentence, counted from its beginning.
        item: whether it is an item of a list or a cell, which keeps its small letter and its missing full stop.
        joins: whether the sentence goes on before it, and behind it.
    """

    text: str
    prose: bool
    fragment: bool = False
    why: str | None = None
    marks: tuple[Mark, ...] = ()
    item: bool = False
    joins: tuple[bool, bool] = (False, False)

    @property
    def view(self) -> View:
        """The sentence as the model is shown it."""
        return view_of(self.text, self.marks)

    @property
    def shown(self) -> str:
        """What the model is shown of it."""
        return self.view.shown


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the whole text says about its lines: whether speakers take turns, whether ``>`` is but a way to set a text off, whether
    all lines are items of a list without marks, which tags are closed."""

    dialogue: bool
    quotes_are_prose: bool
    items: bool
    closings: frozenset[str]


def segments(text: str) -> list[Segment]:
    """Split a text. Joining the segments' texts gives the text back, byte for byte."""
    return _merged(_words_alone(list(_segments(text))))


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Ranges inside a sentence that must come back unchanged: URLs, addresses, code, paths, mentions, placeholders, markup."""
    spans: list[tuple[int, int]] = []
    for mark in inline_marks(text):
        if spans and spans[-1][1] == mark.start:
            spans[-1] = (spans[-1][0], mark.end)
        else:
            spans.append((mark.start, mark.end))
    return spans


def english_share(text: str) -> float:
    """The share of Latin letters among the letters of a text; 0 where it has none."""
    letters = [character for character in text if character.isalpha()]
    return sum(character < "\u0250" for character in letters) / len(letters) if letters else 0.0


def _words_alone(parts: list[Segment]) -> list[Segment]:
    """A word by itself among sentences is a name, a label or a greeting; alone, or in a list of words, it is what the user asks
    about."""
    prose = [part for part in parts if part.prose]
    alone = [part for part in prose if part.fragment and " " not in part.shown]
    if len(prose) < 2 or 2 * len(alone) > len(prose):
        return parts
    # What begins with a small letter is no name.
    return [
        Segment(part.text, False, why=ALONE)
        if part.prose and part.fragment and " " not in part.shown and not part.shown[:1].islower()
        else part
        for part in parts
    ]


def _merged(parts: list[Segment]) -> list[Segment]:
    """Neighbours that are not prose and are not looked at for the same reason become one segment; empty ones go."""
    merged: list[Segment] = []
    for part in parts:
        if not part.text:
            continue
        if merged and not part.prose and not merged[-1].prose and _alike(merged[-1], part):
            merged[-1] = Segment(merged[-1].text + part.text, False, why=merged[-1].why or part.why)
        else:
            merged.append(part)
    return merged


def _alike(one: Segment, other: Segment) -> bool:
    return one.why == other.why or ((one.why is None or other.why is None) and not (one.text + other.text).strip())


def _segments(text: str) -> Iterator[Segment]:
    lines = text.splitlines()
    filled = [line for line in lines if line.strip()]
    layout = _Layout(
        # "Tom: hello" is a speaker's line where speakers take turns; "Examples: ..." by itself is a sentence.
        dialogue=sum(bool(_SPEAKER.match(line.lstrip())) for line in lines) > 1,
        quotes_are_prose=bool(filled) and all(line.lstrip().startswith(">") for line in filled),
        items=len(filled) > 1 and all(_is_bare_item(line) for line in filled),
        closings=frozenset(closed_tags(text)),
    )
    position, end = 0, _quoted_tail(text)
    for block in blocks(text[:end]):
        yield from _stretch(text[position : block.start], layout, first=position == 0)
        yield Segment(text[block.start : block.end], False, why=block.why)
        position = block.end
    yield from _stretch(text[position:end], layout, first=position == 0)
    yield Segment(text[end:], False, why="quoted mail")


def _quoted_tail(text: str) -> int:
    """Where the mail begins that a reply was written above: at its headers, three at least, under a text. The text's end where there
    is none."""
    position, above, headers = 0, False, list[int]()
    for line in text.splitlines(keepends=True):
        if _QUOTED_HEADER.match(line) if headers else _FROM.match(line):
            headers.append(position)
            if len(headers) == 3 and above:
                return headers[0]
        elif line.strip():
            headers = []
            # A mail that is pasted whole begins with headers of its own, which may be folded.
            is_header = bool(_HEADER.match(line)) or line[:1] in " \t"
            above = above or (not is_header and any(character.isalnum() for character in line))
        position += len(line)
    return len(text)


def _stretch(text: str, layout: _Layout, *, first: bool) -> Iterator[Segment]:
    """The lines between two blocks. Headers of a mail may stand at the beginning of the first."""
    lines = text.splitlines(keepends=True)
    number = 0
    headers_may_follow, callout = first, False
    rows = _rows(lines)
    while number < len(lines):
        line = lines[number]
        if headers_may_follow and _is_header(lines, number):
            end = number + 1
            # A folded header continues on lines that begin with a blank.
            while end < len(lines) and lines[end][:1] in " \t" and lines[end].strip():
                end += 1
            yield Segment("".join(lines[number:end]), False, why="mail header")
            number = end
            continue
        # Headers come first, or after a rule like "-----".
        headers_may_follow = line.lstrip().startswith("---") or (headers_may_follow and not line.strip())
        callout = line.lstrip().startswith(">") and (callout or bool(_CALLOUT.match(line)))
        quoting = layout.quotes_are_prose or callout
        if (attribution := _attribution_end(lines, number)) is not None:
            yield Segment("".join(lines[number:attribution]), False, why="quoted mail")
            number = attribution
            continue
        if number in rows or (_TABLE.search(line) and "|" in line and not quoting):
            yield from _row(line, layout)
            number += 1
            continue
        apart, why = _apart(line, quoting)
        if apart:
            yield Segment(line, False, why=why)
            number += 1
            continue
        end = number + 1
        while end < len(lines) and _wraps(lines[end - 1], lines[end]):
            end += 1
        yield from _paragraph("".join(lines[number:end]), layout, quoting)
        number = end


def _rows(lines: Sequence[str]) -> set[int]:
    """The lines of tables whose rows may have no bar at their ends: those around a line such as ``--- | ---``."""
    rows = set[int]()
    for number, line in enumerate(lines):
        if number and number not in rows and _TABLE_RULE.match(line) and "|" in lines[number - 1]:
            rows |= {number - 1, number}
            rows.update(takewhile(lambda row: "|" in lines[row], range(number + 1, len(lines))))
    return rows


def _is_header(lines: list[str], number: int) -> bool:
    """A header line counts where another stands beside it: one alone may be what the user wants corrected."""
    if not _HEADER.match(lines[number]):
        return False
    neighbours = lines[max(0, number - 1) : number] + lines[number + 1 : number + 2]
    return any(_HEADER.match(line) or (line[:1] in " \t" and line.strip()) for line in neighbours)


def _attribution_end(lines: list[str], number: int) -> int | None:
    """The end of a line such as "On Monday, Ann wrote:", which mail programs wrap; None where none begins here."""
    if _ATTRIBUTION.match(lines[number]) or _DATED.match(lines[number]):
        return number + 1
    goes_on = lines[number].rstrip("\r\n")[-1:] not in (".", "!", "?")
    if goes_on and number + 1 < len(lines) and _ATTRIBUTION_BEGINS.match(lines[number]):
        both = lines[number].rstrip() + " " + lines[number + 1].lstrip()
        return number + 2 if _ATTRIBUTION.match(both) else None
    return None


def _apart(line: str, quoting: bool) -> tuple[bool, str | None]:
    """Whether a line is not prose, and what it is then: blank, quoted mail, a table, code, another script, a bare link."""
    content = line.strip()
    if not content or _EMOTICON.match(content):
        return True, None
    if content.startswith(">") and not quoting:
        return True, "quoted mail"
    if _DEFINITION.match(line) or _BOX.match(line):
        return True, None
    if re.match(r"\|\s", content) and "|" not in content[1:]:
        return True, "quoted mail"
    if _TABLE.search(line):
        return True, "table"
    if (len(content) <= _LONGEST_STATEMENT and _STATEMENT.match(content)) or (
        line.startswith(("    ", "\t")) and _CODE.search(line)
    ):
        return True, "code"
    bare = _bare(content)
    if not any(character.isalpha() for character in bare):
        return True, None
    return (True, FOREIGN) if english_share(bare) < 0.5 else (False, None)


def _bare(text: str) -> str:
    """A line without what must come back unchanged."""
    return _without(text, protected_spans(text), 0, len(text))


def _row(line: str, layout: _Layout) -> Iterator[Segment]:
    """The cells of one row of a table. A cell of one word is a name or a label."""
    content = line.rstrip("\r\n")
    if re.fullmatch(r"[\s|:-]*", content):
        yield Segment(line, False)
        return
    position = 0
    for cut in [*(match.start() for match in _CELL.finditer(content)), len(content)]:
        cell = content[position:cut]
        if " " in cell.strip():
            yield from _body(cell, layout, item=True)
        else:
            yield Segment(cell, False, why=ALONE if any(c.isalpha() for c in _bare(cell)) else None)
        yield Segment(content[cut : cut + 1], False)
        position = cut + 1
    yield Segment(line[len(content) :], False)


def _wraps(line: str, follower: str) -> bool:
    """Whether a sentence runs on into the next line: a wrapped paragraph, not a list, verse or address."""
    content = line.strip()
    if _ENDS.search(content) or _apart(follower, False)[0]:
        return False
    rest = follower.strip()
    if _marked(follower):
        return False
    if _marked(line) and follower.startswith("  ") and rest[0].islower():
        # An item of a list that goes on in the next line, set in beneath it.
        return True
    if len(content) < 45:
        return False
    return rest[0].islower() or (len(content) >= 60 and rest[0].isalnum() and len(rest) > 3)


def _is_bare_item(line: str) -> bool:
    """Whether a line begins with a small letter and ends without a stop, as those of a list without marks do."""
    content = line.strip()
    mark = _MARK.match(content)
    return content[mark.end() if mark else 0 :][:1].islower() and not re.search(r"[.!?][\"'”’)]*$", content)


def _marked(line: str) -> bool:
    """Whether a line begins with the mark of an item or a heading."""
    mark = _MARK.match(line)
    return mark is not None and bool(mark.group().strip())


def _paragraph(paragraph: str, layout: _Layout, quoting: bool) -> Iterator[Segment]:
    """The sentences of one paragraph, with its mark, its speaker, its blanks and its line ends apart."""
    lead = ""
    if quoting and (quote := _QUOTE.match(paragraph)):
        lead = quote.group()
    mark = _MARK.match(paragraph[len(lead) :])
    marked = mark.group() if mark is not None else ""
    lead += marked
    body = paragraph[len(lead) :]
    if layout.dialogue and (speaker := _SPEAKER.match(body)):
        lead, body = lead + speaker.group(), body[speaker.end() :]
    yield Segment(lead, False)
    yield from _body(body, layout, item=bool(marked.strip()) or layout.items)


def _body(body: str, layout: _Layout, *, item: bool = False) -> Iterator[Segment]:
    """The sentences of a stretch that has no marks of a list before it."""
    marks = inline_marks(body, layout.closings)
    view = view_of(body, marks)
    foreign = is_foreign(view.shown)
    protected = view.protected
    cuts = _cuts(view, protected)
    shown = [0, *cuts, len(view.shown)]
    alone = len(cuts) == 0
    if foreign and alone:
        yield Segment(body, False, why=FOREIGN)
        return
    position = 0
    for start, end in pairwise(shown):
        last = end == len(view.shown)
        until = len(body) if last else view.starts[end]
        if foreign and not is_english(view.shown[start:end]):
            yield Segment(body[position:until], False, why=FOREIGN)
            position = until
            continue
        words = _overlapping(protected, start, end)
        yield from _sentence(body, marks, view, words, (start, end), (position, until), item, alone)
        position = until
    if position < len(body):
        yield Segment(body[position:], False)


def _cuts(view: View, protected: Sequence[Span]) -> list[int]:
    """Where the shown paragraph is cut: at sentence ends, but never inside a protected stretch."""
    shown, ends, position = view.shown, set[int](), 0
    # The compiled module carries no types.
    for sentence in sentencex.segment("en", shown):  # pyright: ignore[reportAttributeAccessIssue]
        position += len(sentence)
        # Where the blank is missing ("late.The bus"), both are asked about together, so that it can be put in.
        stuck = sentence[-1:] in ".!?" and shown[position : position + 1].isalpha()
        if not stuck and not _goes_on(sentence, shown[position:]):
            ends.add(position)
    if position != len(shown):
        # A splitter that lost characters would shift every later cut; then the paragraph stays whole.
        return []
    return [end for end in sorted(ends) if 0 < end < len(shown) and not _overlapping(protected, end, end)]


def _overlapping(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Those of the spans, which are in order and apart, that lie in a stretch, in part or whole."""
    first = bisect_left(spans, (start,))
    first -= first > 0 and spans[first - 1][1] > start
    return spans[first : bisect_left(spans, (end,))]


def _goes_on(sentence: str, rest: str) -> bool:
    """Whether what the splitter takes for a sentence's end is an abbreviation's full stop."""
    # Abbreviations are short: what stands far before the end says nothing of it.
    end = sentence[-80:]
    if _TITLE.search(end):
        return True
    if initial := _INITIAL.search(end):
        # "Plan B. Then we left." ends a sentence, "J. Smith left." does not.
        return not _BEGINS.match(rest) or not (len(sentence) > len(end) or end[: initial.start()].strip())
    if counting := _COUNTING.search(end):
        return rest[:1].isdigit() or (counting.group()[0].isupper() and bool(_COUNTED.match(rest)))
    if not _ABBREVIATED.search(end):
        return False
    if _NUMBERED.search(end):
        return rest[:1].isdigit() or rest[:1].islower()
    return not _BEGINS.match(rest)


def _sentence(
    body: str,
    marks: list[Mark],
    view: View,
    protected: Sequence[Span],
    place: Span,
    around: Span,
    item: bool,
    alone: bool,
) -> Iterator[Segment]:
    """One sentence with what stands around it.

    Args:
        marks: the paragraph's, in order. protected: what must come back unchanged of the sentence, in the shown paragraph.
        place: of the sentence in the shown paragraph. around: of the sentence in the paragraph.
    """
    start, end = place
    while start < end and view.shown[start].isspace():
        start += 1
    while end > start and view.shown[end - 1].isspace():
        end -= 1
    inner_mark = _MARK.match(view.shown[start:end])
    if inner_mark is not None and inner_mark.group().strip():
        start += inner_mark.end()
        item = True
    if start >= end:
        yield Segment(body[slice(*around)], False)
        return
    pieces = _clauses(view, protected, start, end)
    position = around[0]
    for number, (left, right) in enumerate(pieces):
        raw_start, raw_end = view.starts[left], view.ends[right - 1]
        first = bisect_left(marks, raw_start, key=lambda mark: mark.start)
        within = takewhile(lambda mark, end=raw_end: mark.start < end, islice(marks, first, None))
        inside = tuple(mark.moved(raw_start) for mark in within if mark.end <= raw_end)
        raw = body[raw_start:raw_end]
        yield Segment(body[position:raw_start], False)
        position = raw_end
        words = _without(view.shown, _overlapping(protected, left, right), left, right)
        if english_share(words) < 0.5 or is_foreign(words):
            yield Segment(raw, False, why=FOREIGN if any(c.isalpha() for c in words) else None)
            continue
        if right - left > MAX_SENTENCE:
            yield Segment(raw, False, why="a sentence that is too long")
            continue
        fragment = alone and not _ENDS.search(view.shown[left:right])
        joins = (number > 0, number + 1 < len(pieces))
        yield Segment(raw, True, fragment, None, inside, item, joins)
    yield Segment(body[position : around[1]], False)


def _without(text: str, spans: Sequence[Span], start: int, end: int) -> str:
    """A stretch of a text without the spans, which are in order."""
    kept: list[str] = []
    for left, right in spans:
        kept.append(text[start:left])
        start = max(start, right)
    return "".join([*kept, text[start:end]])


def _clauses(view: View, protected: Sequence[Span], start: int, end: int) -> list[Span]:
    """A long sentence cut where clauses join, in the shown paragraph; any other sentence as it is."""
    if end - start <= LONG_SENTENCE:
        return [(start, end)]
    pieces: list[Span] = []
    left = start
    for match in _JOINT.finditer(view.shown, start, end):
        if match.start() - left < CLAUSES or end - match.end() < CLAUSES // 3:
            continue
        if _overlapping(protected, match.start(), match.start() + 1):
            continue
        pieces.append((left, match.start()))
        left = match.end()
    return [*pieces, (left, end)]
