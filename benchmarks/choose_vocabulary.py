"""Choose the tokens that the embedded model keeps, and write them: `python -m benchmarks.choose_vocabulary MODEL TEXT...`.

MODEL is a directory of Gemma 3 270M with its whole vocabulary (CORRECTLY_TRIM_VOCABULARY=false `correctly prepare`), each
TEXT a UTF-8 file of English as it is to be corrected, or a directory of such files.

In this order, until 64,000 tokens are kept, each with the pieces that its own joining passes through:

1. Control tokens but the unused ones, bytes, runs of blanks and line breaks, tags, frequent punctuation; single letters of the Latin, Greek,
   Cyrillic and Korean scripts and kana, signs, emoji; all Korean pieces, for reasons may be written in Korean.
2. Every piece of the texts, of the starter, of the prompts and of the project's own documents.
3. What the model itself expects as the next piece, averaged over places of the texts and of the starter: that ranks pieces
   of English by how often they are to be met, which their rank in a vocabulary of 140 languages does not. Documents and
   code are left out here: with them, twice as many sentences of a held-out part lost a piece.
"""

from __future__ import annotations

import argparse
import json
import random
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.models.vocabulary import FILE

ROWS = 64_000
CONTEXT = 256
_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "HANGUL", "HIRAGANA", "KATAKANA", "COMBINING")
FREQUENT = 60_000
"""Ids below which pieces without letters (punctuation of prose, Markdown and code) are kept unseen."""


class Joins:
    """The joins of a byte-pair vocabulary, and which pieces a token is joined from."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.vocabulary: dict[str, int] = model["vocab"]
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}

    def pieces(self, token: str) -> list[str] | None:
        """Every piece that joining ``token`` passes through, itself included; None where no text is ever joined to it."""
        parts, passed = list(token), list(token)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, len(self._ranks)) for pair in pairwise(parts)]
            best = min(ranks)
            if best == len(self._ranks):
                return None
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            passed.append(parts[at])
        return passed


def needed(state: dict[str, Any]) -> Iterator[int]:
    """The ids that are kept whatever the texts are."""
    for token in state["added_tokens"]:
        if not token["content"].startswith("<unused"):
            yield token["id"]
    for token, number in state["model"]["vocab"].items():
        is_byte = len(token) == 6 and token.startswith("<0x")
        is_sign = number < FREQUENT and not any(unicodedata.category(c)[0] in "LM" for c in token)
        if is_byte or is_sign or any(_is_korean(c) for c in token) or (len(token) == 1 and _is_kept(token)):
            yield number


def _is_korean(character: str) -> bool:
    return unicodedata.name(character, "").startswith("HANGUL")


def _is_kept(character: str) -> bool:
    if unicodedata.category(character)[0] in "PSZNC":
        return unicodedata.category(character) not in ("Co", "Cn")
    return unicodedata.name(character, "").startswith(_SCRIPTS)


def expectation(directory: Path, texts: list[str], tokens: int) -> np.ndarray[Any, Any]:
    """The model's probability of each token as the next one, averaged over ``tokens`` places of the shuffled texts."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    chunks = [text[at : at + 400] for text in texts for at in range(0, len(text), 400)]
    random.Random(0).shuffle(chunks)
    ids = tokenizer.encode("\n".join(chunks), add_special_tokens=False).ids[:tokens]
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    total, places = torch.zeros(model.config.vocab_size, dtype=torch.float64), 0
    with torch.inference_mode():
        for at in range(0, len(ids), CONTEXT - 1):
            row = [model.config.bos_token_id, *ids[at : at + CONTEXT - 1]]
            logits = model(torch.tensor([row]), use_cache=False).logits[0].float()
            total += logits.softmax(-1).sum(0).double()
            places += len(row)
    return (total / places).numpy()


def choose(state: dict[str, Any], texts: Iterable[list[int]], expected: np.ndarray[Any, Any]) -> list[int]:
    """The ids of the tokens that are kept, ascending, exactly `ROWS`.

    Args:
        state: tokenizer.json. texts: the ids of each text. expected: `expectation`.
    """
    joins = Joins(state["model"])
    token_of = {number: token for token, number in joins.vocabulary.items()}
    kept = set(needed(state))
    for number in list(kept):
        kept |= {joins.vocabulary[piece] for piece in joins.pieces(token_of[number]) or ()}
    wanted = sorted({number for text in texts for number in text})
    for number in [*wanted, *np.argsort(-expected, kind="stable").tolist()]:
        passed = joins.pieces(token_of[number])
        if passed is None:
            continue
        more = {joins.vocabulary[piece] for piece in passed} - kept
        if len(kept) + len(more) <= ROWS:
            kept |= more
        if len(kept) == ROWS:
            break
    return sorted(kept)


def files(places: Iterable[Path]) -> list[Path]:
    return [file for place in places for file in (sorted(place.rglob("*.*")) if place.is_dir() else [place])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path, nargs="*")
    parser.add_argument("--tokens", type=int, default=20_000, help="places whose expectation is averaged")
    parser.add_argument("--expectation", type=Path, help="a .npy file: read where it exists, else written")
    asked = parser.parse_args()
    own = [PROJECT_ROOT / "correctly_assets" / "starter", PROJECT_ROOT / "prompts", PROJECT_ROOT / "docs"]
    own += sorted(PROJECT_ROOT.glob("*.md"))
    kinds = (".md", ".txt", ".yaml", ".jsonl")
    texts = {
        file: _plain(file.read_text(encoding="utf-8")) for file in files([*own, *asked.texts]) if file.suffix in kinds
    }
    prose = [texts[file] for file in files([own[0], *asked.texts]) if file in texts]
    if asked.expectation and asked.expectation.exists():
        expected = np.load(asked.expectation)
    else:
        expected = expectation(asked.model, prose, asked.tokens)
        if asked.expectation:
            np.save(asked.expectation, expected)
    file = asked.model / "tokenizer.json"
    lines = [line for text in texts.values() for line in text.splitlines()]
    ids = [made.ids for made in Tokenizer.from_file(str(file)).encode_batch(lines, add_special_tokens=False)]
    state = json.loads(file.read_text(encoding="utf-8"))
    kept = choose(state, ids, expected)
    bits = np.zeros(len(state["model"]["vocab"]), dtype=np.uint8)
    bits[kept] = 1
    FILE.write_bytes(zlib.compress(np.packbits(bits).tobytes(), 9))
    print(f"{len(kept)} tokens are kept; the texts use {len({n for text in ids for n in text})} of them.")


def _plain(text: str) -> str:
    """A file as the texts that it holds: strings of JSON rows, and sentence pairs one below the other."""
    lines: list[str] = []
    for line in text.splitlines():
        try:
            lines += _strings(json.loads(line)) if line.startswith("{") else line.split(" ||| ")
        except ValueError:
            lines.append(line)
    return "\n".join(lines)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in _strings(one)]


if __name__ == "__main__":
    main()
