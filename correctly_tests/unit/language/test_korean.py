"""A Korean particle follows a quoted English word as Koreans read it."""

from __future__ import annotations

import pytest

from correctly_assets.language.korean import particle, with_particles


@pytest.mark.parametrize(
    ("word", "topic"),
    [
        *(
            (word, "은")
            for word in [
                "book",
                "at",
                "not",
                "good",
                "big",
                "deep",
                "shop",
                "up",
                "music",
                "cook",
                "calm",
                "group",
                "type",
                "people",
                "line",
                "the-one",
                "in",
                "L",
                "3",
                "한글",
            ]
        ),
        *(
            (word, "는")
            for word in [
                "English",
                "eat",
                "like",
                "help",
                "dog",
                "red",
                "hope",
                "bank",
                "pink",
                "fruit",
                "root",
                "bug",
                "check",
                "TV",
                "go",
                "see",
                "the",
                "be",
                "is",
                "of",
                "with",
                "school-bus",
                "student",
                "A",
                "2",
                "영어",
            ]
        ),
    ],
)
def test_the_topic_particle_follows_the_sound_of_the_word(word: str, topic: str) -> None:
    assert particle(f'"{word}"', "은") == topic


def test_a_closing_l_takes_the_short_form_of_ro() -> None:
    assert [particle(word, "으로") for word in ("people", "in", "for")] == ["로", "으로", "로"]


def test_markers_in_a_sentence_become_particles() -> None:
    assert with_particles('"a"{이} 아니라 "an"{을} 씁니다.') == '"a"가 아니라 "an"을 씁니다.'


def test_a_quoted_mark_is_read_by_its_name() -> None:
    assert with_particles('문장 부호 ","{이} 아니라 ";"{을} 씁니다.') == '문장 부호 ","가 아니라 ";"을 씁니다.'
