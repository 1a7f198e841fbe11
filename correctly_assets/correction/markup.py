"""Markup in a text: which stretches are not prose, and which marks inside prose the model is not shown or may not change.

Belongs here: HTML and XML tags, Markdown, LaTeX, placeholders of templates, links and addresses. Does not belong here: lines of mail,
lists, and where sentences end (segment.py), or what a sentence looks like without its marks (view.py).

The Markdown libraries give places of blocks only and none inside a line, and people paste mixtures of all of these, so each kind
is found by its own pattern. Marks are searched for within windows, and what a block begins with is looked for apart from its end,
so that the cost grows with the length of the text and no faster.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from correctly_assets.core.bounded_search import LONGEST, bounded_matches, bounded_search


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch inside prose that comes back byte for byte.

    Attributes:
        shown: what the model is shown in its place; the stretch itself for a link or a placeholder, nothing for a tag.
    """

    start: int
    end: int
    shown: str

    def moved(self, by: int) -> Mark:
        """The same mark, counted from another beginning."""
        return replace(self, start=self.start - by, end=self.end - by)


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch that is no prose; ``why`` says what it is, and is None for marks that hold no words of their own."""

    start: int
    end: int
    why: str | None


_TAG = r"</?[A-Za-z][\w:.-]*(?:\s(?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*')*)?/?>"
_NAMED = re.compile(r"</?([A-Za-z][\w:.-]*)")
_CLOSING = re.compile(r"</([A-Za-z][\w:.-]*)\s*>")
_INLINE_TAGS = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "ins",
        "label",
        "mark",
        "q",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "wbr",
        "g",
        "x",
        "ph",
        "bpt",
        "ept",
        "it",
        "nobr",
    ]
)
_BLOCK_TAGS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "button",
        "caption",
        "center",
        "col",
        "colgroup",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "header",
        "hr",
        "html",
        "iframe",
        "input",
        "legend",
        "li",
        "link",
        "main",
        "menu",
        "meta",
        "nav",
        "ol",
        "optgroup",
        "option",
        "p",
        "param",
        "picture",
        "section",
        "select",
        "source",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "track",
        "ul",
        "video",
    ]
)
_OPEN_ENDED = frozenset(
    [
        "br",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "p",
        "li",
        "td",
        "th",
        "tr",
        "dd",
        "dt",
        "wbr",
        "col",
        "param",
        "source",
        "track",
        "option",
    ]
)

# What is one block by itself, and what only begins one: the end of that is looked for apart (`_end_of`).
_SINGLE = (
    r"(?P<markup><![A-Za-z][^<>]*>|\\(?:begin|end)\{[^{}]*\}(?:\[[^\]\n]{0,800}\])?|\\item\b(?:\[[^\]\n]{0,800}\])?"
    r"|\\(?:documentclass|usepackage|input|include|bibliography\w*|pagestyle|thispagestyle|maketitle|tableofcontents|newpage"
    r"|clearpage|label|centering|includegraphics|vspace|hspace|newcommand|renewcommand|setlength)\*?(?:\[[^\]\n]{0,800}\])*"
    r"(?:\{[^{}\n]*\})*)"
    rf"|(?P<tag>{_TAG})"
)
_SINGLE_BLOCK = re.compile(_SINGLE, re.M | re.S | re.I)
_BLOCK = re.compile(
    r"(?P<front>\A\ufeff?(?:---[ \t]*\n(?=[^\n]*:|#)(?:.*?\n)?(?:---|\.\.\.)|\+\+\+[ \t]*\n.*?\n\+\+\+)[ \t]*(?=\n|\Z))"
    r"|(?P<fence>^[ \t]*(?P<ticks>`{3,}+|~{3,}+)[^`\n]*\n(?:.*?^[ \t]*(?P=ticks)[`~]*[ \t]*(?=\n|\Z)|.*\Z))"
    r"|(?P<begins><(?P<raw>script|style|pre|svg|math|textarea|template)\b[^<>]*>|<!\[CDATA\[|<%|<\?|<!--|\{#|\{%|\$\$|\\\["
    r"|^[ \t]*\{(?P<jira>code|noformat)(?::[^{}\n]*)?\}(?=[ \t]*\n)|^[ \t]*#\+begin_(?P<org>src|example|export)\b"
    r"|\\begin\{(?:(?P<maths>(?:equation|align|gather|multline|eqnarray|displaymath|math)\*?)"
    r"|(?P<verb>verbatim|lstlisting|minted|tikzpicture|tabular|array|filecontents)\*?)\})"
    r"|(?P<original>^[ \t]*-{3,}[ \t]*(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine)[ \t]*-{3,}.*\Z)"
    rf"|{_SINGLE}",
    re.M | re.S | re.I,
)
_ENDS = {
    "<![cdata[": ("code", r"\]\]>"),
    "<%": ("code", "%>"),
    "<?": ("code", r"\?>"),
    "<!--": ("comment", "-->"),
    "{#": ("comment", r"#\}"),
    "{%": ("markup", r"%\}"),
    "$$": ("formula", r"\$\$"),
    "\\[": ("formula", r"\\\]"),
}
_WHY = {
    "front": "front matter",
    "fence": "code",
    "code": "code",
    "comment": "comment",
    "formula": "formula",
    "listing": "code",
    "original": "quoted mail",
}
_LATEX = re.compile(
    r"\\(?:begin|(?:sub)*section|documentclass|usepackage|chapter|item|noindent|cite[tp]?|ref|label|emph|textbf|textit|footnote)\b"
)
_INLINE_ASIDE = re.compile(r"<!--[^\n]{0,800}?-->|<%[^\n]{0,800}?%>|<\?(?!xml)[^\n]{0,800}?\?>|\{#[^\n]{0,800}?#\}")
_LATEX_COMMENT = re.compile(r"(?<![\\%\d])%[^\n]*")


def blocks(text: str) -> list[Block]:
    """The stretches of a text that are no prose, in order: code, front matter, formulas, tags that end a paragraph."""
    closings = closed_tags(text)
    # Lines that end as Windows writes them end in a blank, which the patterns know.
    text = text.replace("\r\n", " \n")
    found: list[Block] = []
    position, never = 0, set[str]()
    while match := _BLOCK.search(text, position):
        start, end, kind = match.start(), match.end(), match.lastgroup or ""
        if (inline := _INLINE_ASIDE.match(text, start)) and _stands_among_words(text, start, inline.end()):
            # A comment or an expression inside a sentence is a mark of it (`inline_marks`).
            position = inline.end()
            continue
        if match["begins"] is not None:
            kind, closing = _ending(match)
            # Between the marks of a formula stands something.
            inside = end + (match.group() in ("$$", "\\["))
            close = None if closing in never else re.compile(closing, re.I).search(text, inside)
            if close is not None:
                end = close.end()
            else:
                # What is not behind this place is behind no later one.
                never.add(closing)
                match = _SINGLE_BLOCK.match(text, start)
                if match is None:
                    position = start + 1
                    continue
                end, kind = match.end(), match.lastgroup or ""
        position = max(end, start + 1)
        if kind != "tag" or _tag_kind(match.group(), closings) == "block":
            found.append(Block(start, end, _WHY.get(kind)))
    if _LATEX.search(text):
        comments = [Block(m.start(), m.end(), "comment") for m in _LATEX_COMMENT.finditer(text)]
        apart = [one for one in comments if not _is_within(one.start, found)]
        found = sorted([b for b in found if not _is_within(b.start, apart)] + apart, key=lambda b: b.start)
    return found


def _stands_among_words(text: str, start: int, end: int) -> bool:
    """Whether words of a sentence stand beside a stretch, on its line and with nothing but blanks between."""
    before = re.search(r"[^\W_][^\S\n]*$", text[max(0, start - 40) : start])
    behind = re.match(r"[^\S\n]*[^\W_]", text[end : end + 40])
    return before is not None or (behind is not None and text.startswith(("<%=", "<?="), start))


def _ending(match: re.Match[str]) -> tuple[str, str]:
    """What kind of block a match begins, and the pattern of what ends it."""
    if match["raw"] is not None:
        return "code", rf"</{match['raw'].casefold()}\s*>"
    if match["maths"] is not None:
        return "formula", rf"\\end\{{{re.escape(match['maths'].casefold())}\}}"
    if match["jira"] is not None:
        return "code", rf"\{{{match['jira'].casefold()}\}}"
    if match["org"] is not None:
        return "code", rf"#\+end_{match['org'].casefold()}\b"
    if match["verb"] is not None:
        return "listing", rf"\\end\{{{match['verb'].casefold()}\*?\}}"
    return _ENDS[match.group().casefold()]


def _is_within(place: int, blocks: Sequence[Block]) -> bool:
    """Whether a place lies in one of the blocks, which are in order and apart."""
    before = bisect_right(blocks, place, key=lambda block: block.start) - 1
    return before >= 0 and place < blocks[before].end


def _tag_kind(tag: str, closings: AbstractSet[str]) -> str:
    """``block`` for a tag that ends a paragraph, ``inline`` for one inside a sentence, ``word`` for a placeholder such as
    ``<NAME>``, which is no tag although it looks like one."""
    named = _NAMED.match(tag)
    name = named.group(1).casefold() if named else ""
    closes = tag.startswith("</") or tag.endswith("/>")
    known = name in _INLINE_TAGS or name in _BLOCK_TAGS
    if not (closes or name in closings or name in _OPEN_ENDED or (known and "=" in tag)):
        return "word"
    return "inline" if name in _INLINE_TAGS or name in _CODE_TAGS else "block"


_CODE_TAGS = frozenset(("code", "kbd", "samp", "var"))

_SHOWN_COMMANDS = (
    "emph|textbf|textit|textsc|textsf|textrm|textsl|textup|underline|section|subsection|subsubsection|chapter|part|paragraph"
    "|subparagraph|title|caption|enquote|text|mbox|uline|sout|textmd|textnormal|author|date"
)
_ENDINGS = (
    "md|txt|rst|tex|pdf|docx?|xlsx?|pptx?|odt|rtf|csv|tsv|jsonl?|ya?ml|toml|ini|cfg|conf|xml|html?|css|scss|py|ipynb|jsx?|tsx?|java|cpp|hpp|cs|php"
    "|sql|sh|ps1|exe|dll|zip|tar|gz|png|jpe?g|gif|svg|webp|mp[34]|wav|log|mod|parquet|sqlite"
)
"""How names of files end; endings that are words of their own (go, so, bat) are left out."""
_ATOM = re.compile(
    r"(?P<ticks>(?<![\w`])(?P<t>`+)(?!`)(?:[^\n`]|(?!(?P=t)(?!`))`)+?(?P=t)(?![\w`]))"
    r"|(?P<texquote>``(?=[^\s`][^`\n]{0,400}''))"
    r"|(?P<element><(?P<el>code|kbd|samp|var)\b[^<>]*>[^\n]*?</(?P=el)\s*>)"
    r"|(?P<accent>(?<=[A-Za-z])\\[\"'`^~=.](?:\{\\?[A-Za-z]\}|[aeiouyncAEIOUYNC]))"
    # Between such brackets stands a formula, or prose whose brackets are escaped: two words side by side are prose.
    r"|(?P<math>\\\((?:(?![A-Za-z]{2,20} [A-Za-z]{2})[^\n])+?\\\)|(?<![\w$\\])\$(?![\s\d$][^$\n]*\s\$?)(?!\s)[^$\n]+?(?<![\s\\])\$(?![\d\w]))"
    r"|(?P<swift>\\\(\w+(?:\.\w+)*\))"
    r"|(?P<escape>\\[\\`*_{}\[\]()#+.!|$%&~^,;: -])"
    r"|(?P<embed>!\[\[[^\[\]\n]*\]\])"
    r"|(?P<wiki>\[\[(?:[^\[\]|\n]*\|)?(?P<wikitext>[^\[\]|\n]+)\]\])"
    r"|(?P<note>\[\^[^\]\s]+\](?::(?=\s))?)"
    r"|(?P<link>!?\[(?P<linktext>[^\[\]\n]*(?:\[[^\[\]\n]*\][^\[\]\n]*)*)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\[\]\n]*\])(?:\{[^{}\n]*\})?)"
    r"|(?P<cite>\[(?:@[\w:.-]+[^\[\]\n]*|\d+(?:\s*[,;–-]\s*\d+)*|sic|!\w+|[xX ])\])"
    r"|(?P<bbcode>\[/?(?:b|i|u|s|url|img|quote|code|size|color|font|center|left|right|list|spoiler|sub|sup|table|t[rhd])(?:=[^\[\]\n]{0,200})?\])"
    r"|(?P<slot>\[(?:%?[A-Za-z][\w.'’/%-]*|[A-Z][A-Z0-9 _-]*"
    r"|(?:[Yy]our|[Nn]ame|[Dd]ate|[Ii]nsert|[Cc]ompany|[Cc]lient|[Cc]ustomer|[Rr]ecipient|[Ff]irst|[Ll]ast)\b[^\[\]\n]{0,30}"
    r"|[A-Z][^\[\]\n]{0,30}\b(?:[Nn]ame|[Dd]ate|[Tt]itle|[Nn]umber|[Aa]ddress|[Pp]osition|[Ee]?-?[Mm]ail|[Tt]ime|[Cc]ity|[Cc]ompany|[Ll]ink|URL|ID))\])"
    rf"|(?P<command>\\(?:{_SHOWN_COMMANDS})\*?(?:\[[^\[\]\n]*\])?\{{|\\href\{{[^{{}}\n]*\}}\{{"
    r"|\{\\(?:em|bf|it|tt|sc|sl|sf|rm|itshape|bfseries|scshape|ttfamily|small|footnotesize|large|Large)\s+)"
    r"|(?P<latex>\\[A-Za-z]+\*?(?:\[[^\[\]\n]*\])*(?:\{[^{}\n]*(?:\{[^{}\n]*\}[^{}\n]*)*\})*)"
    r"|(?P<url>(?:(?:https?|ftp|file|ssh|git|s3|wss?|chrome)://|www\.|mailto:|doi:|tel:)[^\s<>\"“”]*[^\s<>\"“”.,;:!?'’()\]*_])"
    r"|(?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<path>(?<![\w/<])(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*\w)+|(?<![\w/<.])(?:~|\.{1,2})/[\w.-]*\w|\b[A-Z]:\\[^\s]+)"
    rf"|(?P<named>(?<![\w@/.-])(?:[\w-]+\.)+(?:(?:{_ENDINGS})(?![\w-])|(?:com|org|net|edu|gov|io|dev|co\.[a-z]{{2}})(?![\w-])(?::\d+)?(?:/[^\s<>\"“”]*[\w/])?))"
    r"|(?P<call>(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\(\)|(?<![\w.])[A-Za-z][A-Za-z0-9]+(?:[._][A-Za-z][A-Za-z0-9]+)+\([^()\n]{0,80}\))"
    r"|(?P<option>(?<![\w-])--[a-z]\w*(?:(?:-\w+)+(?:=\S+)?|=\S+))"
    r"|(?P<key>\"[\w.$-]+\"\s*:(?=\s*[\"\d\[{]))"
    r"|(?P<mention>(?<![\w&])(?:@|#{1,2})[A-Za-z_]\w+(?:#{1,2}(?!\w)|@[\w-]+(?:\.[\w-]+)+)?)"
    r"|(?P<merge>~[A-Z][A-Z0-9_]+~|\*\|[A-Z][A-Z0-9_:]*\|\*|@@\w+@@|<<[^<>\n]{1,60}>>|«[A-Z]\w*»|(?<!\w)_{3,}(?!\w)|(?<![^\s(]):[a-z_]{3,}\b(?!:)|\{#\w+#\})"
    r"|(?P<slip><%[^\n]*?%>|<\?[^\n]*?\?>)"
    r"|(?P<aside><!--[^\n]*?-->|\{#\s[^\n]*?#\}|%%[^%\n]+%%|(?<=\s)\^[\w-]+$)"
    r"|(?P<template>\{\{\{?[^\n]*?\}\}\}?|\{%[^\n]*?%\}|[$#%@]\{[^{}\n]*\}|\$\(\w[\w.]*\)|\{[^{}\s]+\}|\{[.#][\w-][^{}\n]*\}"
    r"|\{[A-Z][\w'’-]*(?: [A-Z][\w'’-]*){1,3}\}|\{\w+\s*,[^{}\n]*(?:\{[^{}\n]*\}[^{}\n]*)*\})"
    r"|(?P<format>%(?:\(\w+\))?(?:\d+\$)?[-+0#]*\d*(?:\.\d+)?(?:ll?|[hz])?[sdifgxXucn@](?!\w)|(?<![\w%])%(?:[A-Za-z_][\w.-]*%|[1-9])(?![\w%])|(?<![\w$])\$[A-Za-z_]\w+|__[A-Z][A-Z0-9_]*__)"
    r"|(?P<emoji>(?<!\w):[a-z0-9_+-]*[a-z0-9]+[a-z0-9_+-]*:(?!\w))"
    rf"|(?P<tag>{_TAG})"
    r"|(?P<escaped>&lt;/?[A-Za-z][^&<>\n]{0,200}&gt;)"
    r"|(?P<angle><[^<>\s][^<>\n]*>)"
    r"|(?P<entity>&(?:[A-Za-z][A-Za-z0-9]{1,24}|#\d{1,6}|#[xX][\dA-Fa-f]{1,5});)",
    re.M,
)
_EMPHASES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\w*])(\*{2,3})(?=[^\s*])([^\n]*?[^\s*])(\1)(?!\*)",
        r"(?<![\w'])('{3}|'{5})(?=[^\s'])([^\n]*?[^\s'])(\1)(?![\w'])",
        r"(?<![\w_])(_{2,3})(?=[^\s_])([^\n]*?[^\s_])(\1)(?![\w_])",
        r"(?<![\w~])(~~)(?=[^\s~])([^\n]*?[^\s~])(~~)(?![\w~])",
        r"(?<![\w=])(==)(?=[^\s=])([^\n]*?[^\s=])(==)(?![\w=])",
        r"(?<![\w*])(\*)(?=[^\s*])([^*\n]*?[^\s*])(\*)(?![\w*])",
        r"(?<![\w_])(_)(?=[^\s_])([^_\n]*?[^\s_])(_)(?![\w_])",
    )
)
_TAKEN = "\x00"
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307"}
_BRACE = re.compile("[{}]")


def inline_marks(text: str, closings: AbstractSet[str] | None = None) -> list[Mark]:
    """The marks inside a stretch of prose, in order and without overlap.

    Args:
        closings: names of the tags that are closed somewhere in the whole text (`closed_tags`); found in ``text`` where None.
    """
    closings = closed_tags(text) if closings is None else closings
    marks = [mark for mark in _atoms(text, 0, len(text), closings) if mark.start < mark.end]
    masked = list(text)
    for mark in marks:
        masked[mark.start : mark.end] = _TAKEN * (mark.end - mark.start)
    if any(sign in text for sign in ("*", "_", "~~", "==", "'''")):
        for pattern in _EMPHASES:
            for match in bounded_matches(pattern, "".join(masked)):
                for group in (1, 3):
                    start, end = match.span(group)
                    marks.append(Mark(start, end, ""))
                    masked[start:end] = _TAKEN * (end - start)
    return sorted(marks, key=lambda mark: mark.start)


def closed_tags(text: str) -> set[str]:
    """The names of the tags that are closed in a text, in lower case."""
    return {name.casefold() for name in _CLOSING.findall(text)} if "</" in text else set()


def _atoms(text: str, start: int, end: int, closings: AbstractSet[str]) -> Iterator[Mark]:
    """Marks but for emphasis, in order. Of a link or a LaTeX command, what stands around its words is marked."""
    position = start
    while match := bounded_search(_ATOM, text, position, end):
        first, last = match.span()
        inner = _inner(text, match)
        if inner is not None:
            yield Mark(first, inner[0], "")
            yield from _atoms(text, inner[0], inner[1], closings)
            yield Mark(inner[1], inner[2], "")
            position = inner[2]
            continue
        shown = _shown(match, closings)
        if shown is not None:
            yield Mark(first, last, shown)
        position = max(last, position + 1)


def _inner(text: str, match: re.Match[str]) -> tuple[int, int, int] | None:
    """Where the words inside a mark begin and end, and where the mark itself ends; None for a mark without words."""
    if match["link"] is not None:
        return (*match.span("linktext"), match.end())
    if match["wiki"] is not None and "|" in match.group():
        return (*match.span("wikitext"), match.end())
    if match["command"] is not None:
        closing = _closing_brace(text, match.end())
        return None if closing is None else (match.end(), closing, closing + 1)
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, start + LONGEST):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _shown(match: re.Match[str], closings: AbstractSet[str]) -> str | None:
    """What the model is shown in a mark's place; None where it is none after all."""
    whole = match.group()
    if match["tag"] is not None or match["escaped"] is not None:
        tag = html.unescape(whole) if match["tag"] is None else whole
        return tag if _tag_kind(tag, closings) == "word" else ""
    if match["note"] is not None or match["bbcode"] is not None:
        return ""
    if match["wiki"] is not None:
        return match["wikitext"]
    if match["aside"] is not None:
        return ""
    if match["accent"] is not None:
        return unicodedata.normalize("NFC", whole.strip("\\{}")[-1] + _ACCENTS[whole[1]])
    if match["escape"] is not None:
        return whole[1:].strip(",;:") or " "
    if match["entity"] is not None:
        character = html.unescape(whole)
        return " " if character.isspace() else character
    return whole
