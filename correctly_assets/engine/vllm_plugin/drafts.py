"""Proposed tokens for vLLM's speculation: the answer goes on as the sentence does that it corrects.

Belongs here: finding the sentence in a prompt, and where in it an answer stands. Does not belong here: how the proposals are
checked (vLLM's rejection sampler: they change the speed of an answer, never its words), or when they are used (launch.py).

A correction copies most of its sentence. vLLM's n-gram lookup proposes the words that followed the last two tokens before; after
every edit it proposes nothing for two steps, and a step reads the whole model from memory. Which part of the prompt is the
sentence is known here, so that an answer is laid beside it and goes on behind the edit at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

PROMPT_HEAD, PROMPT_TAIL = "CORRECTLY_PROMPT_HEAD", "CORRECTLY_PROMPT_TAIL"
"""Environment: what stands before and behind the sentence in a rendered prompt, set by launch.py."""
LOOK_AHEAD = 4
"""Tokens of the sentence among which an answer's token is looked for, before it counts as new."""
UNSURE = 4
"""Tokens proposed right behind an edit, where the place to go on from is a guess."""
CROWDED = 4
"""Requests from which half as many tokens are proposed: one request's step waits for memory, those of many for arithmetic, which
rejected proposals take from the others."""
BROUGHT_IN = (
    "a an the to of in on at for with from by about as into is are am was were be been being do does did has have had "
    "will would can could that which who it there and but not"
)
"""Words that corrections put in; any other new word is taken to stand in another's place."""


class SentenceProposer:
    """vLLM's ``custom_class`` proposer."""

    def __init__(self, vllm_config: Any) -> None:
        from transformers import AutoTokenizer

        self.most = int(vllm_config.speculative_config.num_speculative_tokens)
        self.limit = int(vllm_config.model_config.max_model_len)
        tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)
        head, tail = os.environ.get(PROMPT_HEAD, ""), os.environ.get(PROMPT_TAIL, "")
        self.head: list[int] = tokenizer.encode(head, add_special_tokens=True)
        self.tail: list[int] = tokenizer.encode(tail, add_special_tokens=False)
        tokens: list[str] = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.begins = [bool(token) and not token[0].isalnum() for token in tokens]
        # Tokenizers mark the blank before a word in one of two ways.
        small = {blank + word for word in BROUGHT_IN.split() for blank in "▁Ġ"} | {",", "'"}
        self.small = [token in small for token in tokens]

    def load_model(self, *_: Any, **__: Any) -> None:
        """There is none to load."""

    def propose(
        self, sampled_token_ids: Sequence[Sequence[int]], num_tokens_no_spec: Any, token_ids_cpu: Any, **_: Any
    ) -> list[list[int]]:
        """Tokens that may come next, for each request; none where its prompt is not that of a correction.

        Args:
            sampled_token_ids: what this step added to each request; nothing while its prompt is still read.
            num_tokens_no_spec: how many tokens each request has.
            token_ids_cpu: (requests, longest), its tokens.
        """
        most = self.most if len(sampled_token_ids) < CROWDED else self.most // 2
        proposals: list[list[int]] = []
        for row, sampled in enumerate(sampled_token_ids):
            count = int(num_tokens_no_spec[row])
            room = min(most, self.limit - count - 1)
            proposals.append(self._next(token_ids_cpu[row, :count].tolist(), room) if sampled and room > 0 else [])
        return proposals

    def _next(self, tokens: list[int], most: int) -> list[int]:
        first = len(self.head)
        if not self.tail or tokens[:first] != self.head:
            return []
        behind = first_place(tokens, self.tail, first)
        if behind is None:
            return []
        source, answer = tokens[first:behind], tokens[behind + len(self.tail) :]
        place, sure = continuation(source, answer, self.begins.__getitem__, self.small.__getitem__)
        return source[place : place + (most if sure else min(most, UNSURE))]


def first_place(tokens: Sequence[int], part: Sequence[int], start: int) -> int | None:
    """Where ``part`` first stands in ``tokens`` from ``start`` on; None where it does not."""
    length = len(part)
    for place in range(start, len(tokens) - length + 1):
        if tokens[place] == part[0] and list(tokens[place : place + length]) == list(part):
            return place
    return None


def continuation(
    source: Sequence[int], answer: Sequence[int], begins: Callable[[int], bool], small: Callable[[int], bool]
) -> tuple[int, bool]:
    """Where in the sentence its correction goes on.

    Args:
        source: the sentence's tokens; answer: those of the correction, as far as it is written.
        begins: whether a token begins a word or is a mark.
        small: whether a token is a word that corrections put in.

    Returns:
        (a place in ``source``, its length where nothing is left of it; whether the answer is copying there, and not within
        an edit).
    """
    place = 0
    """What comes next if the last edit put words in."""
    beyond: int | None = None
    """What comes next if it put one word in the place of another; None where the answer is not within an edit."""
    for token in answer:
        starts = (place,) if beyond is None or beyond == place else (beyond, place)
        found = next((at for at in starts if at < len(source) and source[at] == token), None)
        if found is None:
            window = range(place + 1, min(len(source), max(starts) + LOOK_AHEAD))
            found = next((at for at in window if source[at] == token and (begins(token) or at in starts)), None)
        if found is not None:
            place, beyond = found + 1, None
        elif beyond is None:
            inserted = small(token) and not (place < len(source) and small(source[place]))
            beyond = place if inserted else _next_word(source, place, begins)
    return (place, True) if beyond is None else (beyond, False)


def _next_word(source: Sequence[int], place: int, begins: Callable[[int], bool]) -> int:
    after = place + 1
    while after < len(source) and not begins(source[after]):
        after += 1
    return min(after, len(source))
