"""The embedded teacher: train pairs from the examples alone, with no key and no network.

Belongs here: which example gets which pairs. Does not belong here: what is corrupted how (rules/, inject.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.ports import Annotator, Completions, Refusal, TeacherOutput, WrittenPair
from correctly_assets.core.text import split_of
from correctly_assets.core.types import Edit, Example, Origin, TrainPair
from correctly_assets.language.points import load_points
from correctly_assets.teachers.embedded.analysis_cache import AnalysisCache
from correctly_assets.teachers.embedded.injection import Injector, Mix
from correctly_assets.teachers.embedded.rules import slips_in
from correctly_assets.teachers.embedded.sentence import Parser, Slip, data_file
from correctly_assets.teachers.landed_edits import edits_between, explained
from correctly_assets.teachers.pair_checks import Ladder

VERSION = "1"
_PARSED_AT_ONCE = 512
"""Examples parsed together: enough for the parser to be fast, few beside what an annotator keeps."""
_SUBJUNCTIVE = re.compile(
    r"\b(?:if|as though|wish(?:es|ed)?)\s+(?:\w+\s+)?(?:I|he|she|it)\s+were\b"
    r"|\b(?:suggest|insist|recommend|demand|request|propose)(?:s|ed)?\s+that\s+(?:\w+\s+){1,2}(?:be|not)\b",
    re.IGNORECASE,
)
_INFORMAL = re.compile(
    r"\b(?:gonna|wanna|gotta|yeah|yep|nope|kinda|sorta|ain['’]t|y['’]all|cuz|lol|btw|hey|dude|guys)\b", re.IGNORECASE
)
_BRITISH = ("our", "ise", "isation", "tre", "ogue", "lled", "lling", "whilst", "yse")


class EmbeddedTeacher:
    """Writes pairs from examples: the example itself, its corrected text with typed errors put in, and bait.

    Attributes:
        name: ``embedded``.
    """

    name = "embedded"

    def __init__(
        self,
        *,
        prompts_dir: Path,
        reason_language: str = "en",
        first_languages: Sequence[str] = (),
        mix: Mix | None = None,
        annotator: Annotator | None = None,
        ladder: Ladder | None = None,
        progress: Callable[[int, int], None] | None = None,
        parser: Parser | None = None,
        analysis_cache: AnalysisCache | None = None,
    ) -> None:
        """
        Args:
            prompts_dir: where grammar/, the catalogue of points, stands.
            reason_language: one that the catalogue has.
            first_languages: packs to draw errors from; all when empty.
            annotator: gives landed pairs ERRANT's types; word alignment and ``OTHER`` without one.
            ladder: what every pair must pass; the default one when None.
            progress: called with (pairs written, pairs wanted).
            parser: reads the texts that errors are put into; one of its own when None.
            analysis_cache: keeps what parser and annotator found, so that only new texts reach them; nothing is kept when None.
        """
        self.mix = mix or Mix.default(first_languages)
        self.points = load_points(prompts_dir / "grammar")
        self.language = reason_language
        self.annotator = annotator
        self.ladder = ladder or Ladder()
        self._reasons_sha = sha256_of(
            {name: point.wording(reason_language).short for name, point in self.points.items()}
        )
        self._progress = progress
        self._parser = parser or Parser()
        self._slips: dict[str, list[Slip]] = {}
        self._analysis_cache = analysis_cache

    def identity(self) -> str:
        """A hash over version, rules, tables, mix and reasons; what was written changes only when it does."""
        directory = Path(__file__).parent
        sources = sorted([*directory.rglob("*.py"), *directory.parent.glob("*.py"), *data_file(".").glob("*.yaml")])
        return sha256_of(
            {
                "kind": self.name,
                "version": VERSION,
                "sources": {path.name: sha256_file(path) for path in sources},
                "reasons": self._reasons_sha,
                "language": self.language,
                "packs": [pack.name for pack in self.mix.packs],
                "kinds": dict(self.mix.kinds),
                "edits": {str(n): w for n, w in self.mix.edits.items()},
                "bait": self.mix.bait_percent,
            }
        )

    def write_pairs(self, examples: Sequence[Example], *, count: int, seed: int) -> TeacherOutput:
        """Up to ``count`` pairs, spread evenly over the examples; the same for the same examples, count and seed.

        Landed corrections come first (at most half of the pairs when there are many), then bait up to its share, then
        injected errors; a text that is asked for again gets other errors.
        """
        return self._write(examples, count, seed, inject=True)

    def write_landed(self, examples: Sequence[Example], *, count: int, seed: int) -> TeacherOutput:
        """The part of ``write_pairs`` that puts nothing in: landed corrections and bait, for a set of ``count`` pairs whose
        others another teacher writes."""
        return self._write(examples, count, seed, inject=False)

    def _write(self, examples: Sequence[Example], count: int, seed: int, *, inject: bool) -> TeacherOutput:
        # By hash, not shuffled: another example then moves none of the others.
        landed = sorted((e for e in examples if e.after is not None), key=lambda e: (sha256_of([seed, e.id]), e.id))
        pairs: list[WrittenPair] = []
        refused: list[Refusal] = []
        seen: set[tuple[str, str]] = set()

        def keep(pair: TrainPair) -> bool:
            if (pair.before, pair.after) in seen:
                return False
            refusal = self.ladder.check(pair)
            if refusal is not None:
                refused.append(refusal)
                return False
            seen.add((pair.before, pair.after))
            pairs.append(WrittenPair(pair))
            if self._progress is not None:
                self._progress(len(pairs), count)
            return True

        corrections = [e for e in landed if e.before != e.after]
        for verified, most in ((True, count), (False, min(count, max(1, count // 2)))):
            self._write_corrections([e for e in corrections if e.verified is verified], most, keep, lambda: len(pairs))
        left = max(0, count - len(pairs))
        bait = min(left, round(count * self.mix.bait_percent / 100))
        self._write_bait(landed, bait, keep)
        if inject:
            self._inject(landed, count, seed, keep, lambda: len(pairs))
        return TeacherOutput(tuple(pairs), tuple(refused))

    def complete_examples(self, examples: Sequence[Example]) -> Completions:
        """None: rules put errors in, they do not take them out."""
        return Completions({})

    def _write_corrections(
        self,
        corrections: Sequence[Example],
        most: int,
        keep: Callable[[TrainPair], bool],
        done: Callable[[], int],
    ) -> None:
        """Landed corrections as they are, until there are ``most`` pairs."""
        place = 0
        while place < len(corrections) and done() < most:
            # As many as may be wanted still and as the annotator surely keeps: two texts each.
            batch = corrections[place : place + min(_PARSED_AT_ONCE, most - done())]
            place += len(batch)
            aligned = self._align(batch)
            for e in batch:
                edits = explained(aligned[e.before, e.after or ""], e.reasons)
                keep(self._pair(e, "human" if e.verified else "example", e.before, e.after or "", edits))

    def _align(self, corrections: Sequence[Example]) -> dict[tuple[str, str], tuple[Edit, ...]]:
        """The edits of landed corrections, without reasons."""
        pairs = list(dict.fromkeys((e.before, e.after or "") for e in corrections))
        # Word alignment is as fast as looking it up.
        kept = self._analysis_cache if self.annotator is not None else None
        known = kept.find("edits", pairs) if kept is not None else {}
        new = [pair for pair in pairs if pair not in known]
        if self.annotator is not None and new:
            self.annotator.prepare(text for pair in new for text in pair)
        made = {pair: edits_between(*pair, self.annotator) for pair in new}
        if kept is not None and made:
            kept.keep("edits", {pair: [edit.to_json() for edit in edits] for pair, edits in made.items()})
        return made | {pair: tuple(Edit(**edit) for edit in known[pair]) for pair in pairs if pair in known}

    def _write_bait(self, examples: Sequence[Example], wanted: int, keep: Callable[[TrainPair], bool]) -> None:
        """Untouched pairs: examples that were already correct first, then the most tempting texts."""
        ranked = sorted(examples, key=lambda e: (e.before != e.after, -temptations(e.after or "")))
        # Every second place goes to the order of the draw, so that plain sentences are left alone as well.
        tempting, drawn = iter(ranked), iter(examples)
        written, turn = 0, 0
        used: set[str] = set()
        while written < wanted and len(used) < len(examples):
            source = tempting if turn % 2 == 0 else drawn
            turn += 1
            example = next((e for e in source if e.id not in used), None)
            if example is None:
                continue
            used.add(example.id)
            text = example.after or ""
            written += keep(self._pair(example, "bait", text, text, ()))

    def _inject(
        self,
        examples: Sequence[Example],
        count: int,
        seed: int,
        keep: Callable[[TrainPair], bool],
        done: Callable[[], int],
    ) -> None:
        injector = Injector(self.mix, self.points, self.language)
        turn = 0
        dry = 0
        while done() < count and dry < len(examples):
            round_, place = divmod(turn, len(examples))
            turn += 1
            example = examples[place]
            if (example.after or "") not in self._slips:
                # Only as far ahead as pairs are wanted: what is never reached need not be parsed.
                ahead = examples[place : place + min(_PARSED_AT_ONCE, count - done())]
                self._find_slips({e.after or "": None for e in ahead})
            rng = random.Random(f"{seed}:{example.id}:{round_}")
            written = injector.corrupt(example.after or "", self._slips[example.after or ""], rng)
            if written is not None:
                before, edits, pack = written
                pair = self._pair(example, "injected", before, example.after or "", edits, first_language=pack)
                written = written if keep(pair) else None
            dry = 0 if written is not None else dry + 1

    def _find_slips(self, texts: Iterable[str]) -> None:
        new = [text for text in texts if text not in self._slips]
        if self._analysis_cache is not None:
            for (text,), slips in self._analysis_cache.find("slips", ((text,) for text in new)).items():
                self._slips[text] = [Slip.from_json(slip) for slip in slips]
            new = [text for text in new if text not in self._slips]
        if not new:
            return
        made = {text: slips_in(sentence) for text, sentence in zip(new, self._parser.parse(new), strict=True)}
        self._slips |= made
        if self._analysis_cache is not None:
            self._analysis_cache.keep("slips", {(text,): [slip.to_json() for slip in made[text]] for text in new})

    def _pair(
        self, example: Example, origin: Origin, before: str, after: str, edits: tuple[Edit, ...], **attributes: str
    ) -> TrainPair:
        kept: dict[str, str | None] = {"form": example.form, "tone": example.tone, "topic": example.topic, **attributes}
        kept["reason_language"] = self.language if origin == "injected" else _language_of(edits)
        identity = sha256_of([example.id, origin, before, after])[:16]
        return TrainPair(
            id=identity,
            example_id=example.id,
            origin=origin,
            before=before,
            after=after,
            edits=edits,
            # All pairs of one example share a split, or its corrected text would be seen in training and held out.
            split=split_of(example.before),
            language=example.language,
            attributes={name: value for name, value in kept.items() if value},
        )


def _language_of(edits: Iterable[Edit]) -> str | None:
    """``ko`` when the landed reasons hold Hangul, ``en`` for other reasons, None for none."""
    words = "".join(edit.reason or "" for edit in edits)
    return None if not words else "ko" if any("가" <= c <= "힣" for c in words) else "en"


def temptations(text: str) -> int:
    """How many things in a correct text tempt a model to meddle: names, figures, quotations, British spelling, subjunctives
    and what is informal but right."""
    words = text.split()
    names = sum(word[:1].isupper() and before[-1] not in ".?!" for before, word in pairwise(words))
    figures = sum(any(c.isdigit() for c in word) for word in words)
    quotes = sum(text.count(mark) for mark in '"“”‘—;:()')
    british = sum(any(part in word.lower() for part in _BRITISH) for word in words)
    foreign = sum(not c.isascii() for c in text)
    unusual = len(_SUBJUNCTIVE.findall(text)) + len(_INFORMAL.findall(text))
    return 2 * names + 2 * figures + 2 * unusual + quotes + british + foreign
