"""What the engine is proposed: the rest of the sentence, from where its correction stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from correctly_assets.engine.vllm_plugin.drafts import CROWDED, UNSURE, SentenceProposer, continuation, first_place

SMALL = {"the", "a", "to", "for", "since", "in"}
SENTENCE = [
    "I",
    "have",
    "been",
    "living",
    "here",
    "since",
    "five",
    "years",
    "and",
    "explained",
    "him",
    "the",
    "big",
    "problem",
    "of",
    "my",
    "work",
    "today",
]


def goes_on(source: list[str], answer: str) -> tuple[str, bool]:
    words = list(dict.fromkeys([*source, *answer.split()]))
    place, sure = continuation(
        [words.index(word) for word in source],
        [words.index(word) for word in answer.split()],
        lambda token: not words[token].startswith("+"),
        lambda token: words[token] in SMALL,
    )
    return " ".join(source[place : place + 3]), sure


@pytest.mark.parametrize(
    ("answer", "rest", "sure"),
    [
        ("", "I have been", True),
        ("I have been living", "here since five", True),
        # One word in another's place, at once and with what follows it.
        ("I have been living here for", "five years and", False),
        ("I have been living here for five", "years and explained", True),
        # A word left out.
        ("I have living", "here since five", True),
        # A small word put in before one that is not.
        ("I have been living here since five years and explained to", "him the big", False),
        ("I have been living here since five years and explained to him", "the big problem", True),
        # A new word that turns out to be put in, not to stand for another.
        ("I have really", "living here since", False),
        ("I have really been", "living here since", True),
    ],
)
def test_an_answer_goes_on_behind_its_edit(answer: str, rest: str, sure: bool) -> None:
    assert goes_on(SENTENCE, answer) == (rest, sure)


def test_a_replaced_word_of_several_tokens_is_left_whole() -> None:
    assert goes_on(["my", "accom", "+od", "+ation", "was", "fine"], "my accommodation") == ("was fine", False)


def test_nothing_is_left_behind_the_last_word() -> None:
    assert goes_on(["He", "goes"], "He goes") == ("", True)


def proposer() -> SentenceProposer:
    """One whose prompts begin with 1 2 and end with 3 4, and whose tokens are words."""
    made = SentenceProposer.__new__(SentenceProposer)
    made.most, made.limit, made.head, made.tail = 8, 64, [1, 2], [3, 4]
    made.begins, made.small = [True] * 99, [False] * 99
    return made


def rows(*requests: list[int]) -> dict[str, Any]:
    longest = np.zeros((len(requests), 64), dtype=np.int32)
    for row, tokens in enumerate(requests):
        longest[row, : len(tokens)] = tokens
    return {
        "sampled_token_ids": [[tokens[-1]] for tokens in requests],
        "num_tokens_no_spec": np.array([len(tokens) for tokens in requests]),
        "token_ids_cpu": longest,
    }


SENTENCE_TOKENS = list(range(10, 30))
PROMPT = [1, 2, *SENTENCE_TOKENS, 3, 4]


def test_the_rest_of_the_sentence_is_proposed() -> None:
    copying, edited = [*PROMPT, 10, 11], [*PROMPT, 10, 77]
    proposed = proposer().propose(**rows(copying, edited))
    assert proposed == [SENTENCE_TOKENS[2:10], SENTENCE_TOKENS[2 : 2 + UNSURE]]


def test_nothing_is_proposed_for_other_prompts() -> None:
    assert proposer().propose(**rows([9, *PROMPT[1:], 10], [*PROMPT[:-1], 10])) == [[], []]


def test_nothing_is_proposed_while_a_prompt_is_read() -> None:
    reading = rows([*PROMPT, 10]) | {"sampled_token_ids": [[]]}
    assert proposer().propose(**reading) == [[]]


def test_nothing_is_proposed_beyond_the_context() -> None:
    full = proposer()
    full.limit = len(PROMPT) + 3
    assert full.propose(**rows([*PROMPT, 10])) == [[11]]
    full.limit = len(PROMPT) + 2
    assert full.propose(**rows([*PROMPT, 10])) == [[]]


def test_many_requests_are_proposed_half_as_much_each() -> None:
    many = rows(*[[*PROMPT, 10, 11]] * CROWDED)
    assert {len(proposal) for proposal in proposer().propose(**many)} == {4}


def test_a_sequence_is_found_where_it_first_stands() -> None:
    assert first_place([3, 1, 3, 4, 3, 4], [3, 4], 0) == 2
    assert first_place([3, 1], [3, 4], 0) is None


def test_a_tokenizers_words_are_told_from_their_parts(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<unk>": 0, "\u2581the": 1, "\u2581usef": 2, "ull": 3, ",": 4}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>").save_pretrained(tmp_path)
    config = SimpleNamespace(
        speculative_config=SimpleNamespace(num_speculative_tokens=8),
        model_config=SimpleNamespace(max_model_len=64, tokenizer=str(tmp_path)),
    )
    made = SentenceProposer(config)
    assert [made.begins[token] for token in (1, 2, 3, 4)] == [True, True, False, True]
    assert [made.small[token] for token in (1, 2, 4)] == [True, False, True]
