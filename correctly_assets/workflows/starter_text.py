"""Text for the shipped adapter beyond what ships: correct sentences that installed packages carry, and which injected errors count.

Belongs here: reading such text and sieving it, at preparation time and never into the repository; dropping injected errors that
are none. Does not belong here: the train set (train_starter.py), or the rules that inject.

The package chitchat-dataset (MIT) holds conversations; it is used where it is installed (`make starter-adapter` installs it).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from correctly_assets.core.text import leaks
from correctly_assets.curation.pii import PersonalData
from correctly_assets.curation.profanity import Profanity
from correctly_assets.language.harper import apply_lints, load_linter
from correctly_assets.settings import Settings
from correctly_assets.training.tasks import ScoreRequest
from correctly_assets.workflows.train_adapter import run_task

PACKAGE = "chitchat_dataset"
_SHAPE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'’-]*[A-Za-z0-9][.!?]")
_WORDS = range(7, 29)
_LIKELY = (0.05, 0.62)
"""Of the sentences in order, the likeliest first: before which share they are left out as stock phrases, and from which share on as
odd ones. Both were chosen by eye and not measured."""


def package_sentences(settings: Settings, count: int, *, held: Sequence[str], seed: int) -> list[str]:
    """Up to ``count`` correct sentences of the installed package, none where it is not installed.

    Left out are sentences that Harper would mend, with profane words or personal data, that the base model finds likeliest or too
    unlikely, and that show one of ``held``.
    """
    if find_spec(PACKAGE) is None:
        return []
    from chitchat_dataset import ConversationDataset  # pyright: ignore[reportMissingImports]

    texts = [message for conversation in ConversationDataset() for message in conversation]
    # As many again as the cut by likelihood and the leaks leave out.
    kept = clean_sentences(texts, round(1.9 * count), seed=seed)
    kept = likely(kept, [nats / tokens for nats, tokens in scores(settings, kept)])
    shown = leaks(kept, held)
    return [text for text in kept if text not in shown][:count]


def clean_sentences(texts: Iterable[str], count: int, *, seed: int) -> list[str]:
    """Up to ``count`` sentences of these texts that look whole and that no check objects to, in an order drawn by the seed."""
    found = {part.strip() for text in texts for part in re.split(r"(?<=[.!?])\s+", text)}
    whole = sorted(text for text in found if _SHAPE.fullmatch(text) and len(text.split()) in _WORDS)
    random.Random(seed).shuffle(whole)
    linter, profanity, personal = load_linter(), Profanity(), PersonalData()
    kept: list[str] = []
    for text in whole:
        if len(kept) >= count:
            break
        if apply_lints(linter, text) == text and not profanity.words(text) and not personal.find(text):
            kept.append(text)
    return kept


def likely(texts: Sequence[str], nats_a_token: Sequence[float]) -> list[str]:
    """The texts without the likeliest and the least likely, in their order."""
    order = sorted(range(len(texts)), key=lambda i: nats_a_token[i])
    first, last = (round(share * len(order)) for share in _LIKELY)
    return [texts[i] for i in sorted(order[first:last])]


def real_errors(settings: Settings, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose correct text the base model finds likelier than the text with errors: what reads better with the "error" in
    it would teach that what is right is wrong."""
    nats = [found for found, _ in scores(settings, [text for pair in pairs for text in pair])]
    return [pair for pair, wrong, right in zip(pairs, nats[::2], nats[1::2], strict=True) if right < wrong]


def scores(settings: Settings, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Each text's nats under the base model, and its tokens."""
    request = ScoreRequest(base_model=settings.base_model_path, texts=list(texts))
    return run_task(settings.platform, "score", request, list[tuple[float, int]])
