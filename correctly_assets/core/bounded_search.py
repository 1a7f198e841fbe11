"""Searching a user's text for a pattern at a cost that grows with the text's length, whatever stands in it.

Belongs here: how far a search may look at one time. Does not belong here: a pattern.

A pattern such as ``<!--.*?-->`` is tried again at each place where it may begin, and each try may read to the end of the text:
60,000 characters that only ever begin it take minutes, in which Python lets no other thread run. Within a window of fixed width the
same text takes a fraction of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WINDOW = 800
"""Code points that one search reads. What is longer is found where its first part is a match already, as that of an address is."""
LONGEST = 4 * WINDOW
"""Code points of the longest match."""


def bounded_search(pattern: re.Pattern[str], text: str, start: int, end: int) -> re.Match[str] | None:
    """The first match in ``text[start:end]`` that is no longer than a window, or `LONGEST` where it goes on behind one."""
    while start < end:
        until = min(start + WINDOW, end)
        match = pattern.search(text, start, until)
        if match is not None and match.end() == until < end:
            # The window ended it: what follows decides how long it is, and whether it is one.
            start = match.start()
            match = pattern.match(text, start, min(start + LONGEST, end))
            if match is None:
                start += 1
                continue
        if match is not None:
            return match
        # What begins in the second half of a window may end behind it.
        start = until if until == end else until - WINDOW // 2
    return None


def bounded_matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Every match in a text, as `re.Pattern.finditer` yields them, with the bounds of `bounded_search`."""
    position = 0
    while (match := bounded_search(pattern, text, position, len(text))) is not None:
        yield match
        position = max(match.end(), match.start() + 1)
