"""How sure the model was of each edit: the probabilities of the tokens that made it.

Belongs here: from an answer's tokens to a probability per edit, and which edits are sure enough. Does not belong here:
edits dropped for other reasons (vetoes.py), or who asks for the tokens (path.py).

A greedy answer writes a doubtful edit as readily as a certain one. Its tokens' probabilities tell them apart, at no
further request: a small model that swaps one right word for another has usually weighed the writer's own word almost as
high. Quality estimation of this kind is old in machine translation (Fomicheva et al. 2020, doi:10.1162/tacl_a_00330).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from correctly_assets.core.ports import Completion
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit

_CONTENT = frozenset({"VERB", "NOUN", "ADJ", "ADV", "CONJ", "OTHER"})
_DROPPED = _CONTENT | {"PRON"}
_BROUGHT_IN = _DROPPED | {"VERB:TENSE"}


def is_word_choice(edit: Edit) -> bool:
    """Whether an edit decides on words of content, form and spelling apart: puts others in the place of the writer's,
    brings some in or drops some.

    That is where a small model is sure and wrong: it prefers "repaired" to "mended" as firmly as "goes" to "go", and
    makes whole sentences of notes ("Slides attached" gets an "are", hence tenses among what is brought in).
    """
    families = _CONTENT if edit.was.strip() and edit.now.strip() else _DROPPED if edit.was.strip() else _BROUGHT_IN
    return family(edit.type) in families


def sure_edits(
    answer: str, edits: Sequence[Edit], completion: Completion, least: Callable[[Edit], float]
) -> tuple[Edit, ...]:
    """The edits whose confidence reaches what ``least`` asks of each (`bounds.Bounds.least`)."""
    return tuple(
        edit
        for edit, confidence in zip(edits, edit_confidences(answer, edits, completion), strict=True)
        if confidence >= least(edit)
    )


def edit_confidences(answer: str, edits: Sequence[Edit], completion: Completion) -> list[float]:
    """For each edit the least probability among its tokens and the token after them, from 0 to 1.

    The token after the edit counts too: it is where a deletion shows, and where a word was ended early ("book" for
    "books").

    Args:
        answer: the sentence that the edits lead to; it may differ from the completion in white space and in its last
            characters.
        edits: in order, as extracted between the sentence and ``answer``.
        completion: with its tokens. Without them every edit is certain: nothing is known against it.
    """
    if not completion.tokens:
        return [1.0] * len(edits)
    places = _by_character(completion)
    found: list[float] = []
    shift = 0
    for edit in edits:
        start = edit.start + shift
        end = start + len(edit.now)
        shift += len(edit.now) - (edit.end - edit.start)
        # White space is laid out anew between the completion and the answer, so only other characters are counted.
        first, last = _length(answer[:start]), _length(answer[:end])
        logprobs = places[first : last + 1] or places[-1:]
        found.append(math.exp(min(logprobs)))
    return found


def _length(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _by_character(completion: Completion) -> list[float]:
    """The log-probability of the token that wrote each character other than white space, then that of the end."""
    text = completion.text
    places: list[float] = []
    position, end = 0, 0.0
    for token, logprob in completion.tokens:
        if position >= len(text):
            end = logprob  # the token that ended the answer, which the text does not show
            break
        # A character made of several byte tokens may be shown with the last of them only: the gap before a token that
        # is found a little further on is counted with that token.
        found = text.find(token, position, position + len(token) + 4) if token else -1
        if found < 0:
            continue
        stop = found + len(token)
        places += [logprob] * _length(text[position:stop])
        position = stop
    places += [0.0] * _length(text[position:])
    return [*places, end]
