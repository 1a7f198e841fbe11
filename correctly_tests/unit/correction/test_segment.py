"""Splitting keeps every character and lets a corrector touch English prose only."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from correctly_assets.correction.segment import protected_spans, segments

LETTER = """From: Ann <ann@x.org>
Subject: meeting tomorow
  and more of it

Dear Dr. Smith,

I look at the 3.5 percent rise, e.g. in the U.S. market. J. K. Rowling said "it is good." She left.\tThen
came Mr. Brown vs. Mrs. Green at 5 p.m. today, with a long explanation of the things that he have seen
yesterday evening.

- first item is good
2) It have two sentence. Yes it do.
> quoted reply, are not corrected

```python
x = 1  # this are code. And more.
```
See https://example.com/a.b?c=d. It is good site.
| a | b |
|---|---|
| it is | bad |
안녕하세요. 오늘 날씨가 좋네요.
😀😀
    for (i=0; i<3; i++) {
Best regards,
Tom
"""


def prose(text: str) -> list[str]:
    return [part.text for part in segments(text) if part.prose]


ODD = ["\r\n", "\u2028", "e\u0301 ", "```", "~~~\n", " \t", "\n\n", "Hi. ", "日本語。", "?!"]
pieces = st.lists(st.sampled_from([*LETTER.splitlines(keepends=True), *ODD]), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(pieces, st.text(max_size=60)))
@example(LETTER)
@example("")
@example("\n \n")
def test_joining_the_segments_gives_the_text_back(text):
    parts = segments(text)
    assert "".join(part.text for part in parts) == text
    assert all(part.text for part in parts)
    assert all(part.text == part.text.strip() for part in parts if part.prose)


def test_a_letter_gives_its_sentences_and_nothing_that_is_not_prose():
    assert prose(LETTER) == [
        "Dear Dr. Smith,",
        "I look at the 3.5 percent rise, e.g. in the U.S. market.",
        'J. K. Rowling said "it is good."',
        "She left.",
        "Then\ncame Mr. Brown vs. Mrs. Green at 5 p.m. today, with a long explanation of the things that he have seen\n"
        "yesterday evening.",
        "first item is good",
        "It have two sentence.",
        "Yes it do.",
        "See https://example.com/a.b?c=d.",
        "It is good site.",
        "it is",
        "Best regards,",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Smith and Prof. Lee met at St. Mary's at 3.30 p.m. on Jan. 5.",
        "It costs approx. $3.50, i.e. less than No. 5 does.",
        'She asked, "Is it late?" and left.',
        "Please visit www.example.com/a.html, then write to me.",
        "Because the bus was late I have missed the begin of it",
    ],
)
def test_one_sentence_stays_one(sentence):
    assert prose(sentence) == [sentence]


def test_a_word_alone_is_asked_about_but_not_among_sentences():
    assert prose("recieve") == ["recieve"]
    assert prose("I have recieved it.\nTom\n") == ["I have recieved it."]


def test_speakers_stay_out_of_what_they_say():
    assert prose("Tom: I has go.\nAnn: He do not.\n") == ["I has go.", "He do not."]
    assert prose("Examples: they helps me.") == ["Examples: they helps me."]


def test_another_script_is_left_alone_beside_english():
    assert prose("I likes it very much! 나는 정말 좋아해요.") == ["I likes it very much!"]


def test_an_unclosed_fence_reaches_the_end():
    assert prose("He go.\n```\ncode is here. It are.\n") == ["He go."]


def test_what_must_come_back_unchanged_is_found():
    text = "Ask @tom or a.b@c.org about `foo bar` at https://x.org/p?q=1, in /usr/local/lib."
    assert [text[a:b] for a, b in protected_spans(text)] == [
        "@tom",
        "a.b@c.org",
        "`foo bar`",
        "https://x.org/p?q=1",
        "/usr/local/lib",
    ]
