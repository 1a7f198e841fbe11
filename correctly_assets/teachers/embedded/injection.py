"""Choosing slips for a sentence and putting them in.

Belongs here: the mix (which kinds, how many edits) and the arithmetic of offsets. Does not belong here: what is wrong
about a place (rules/), or which sentence gets how many pairs (embedded.py).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.errors import UsageError
from correctly_assets.core.types import Edit
from correctly_assets.language.points import Point
from correctly_assets.teachers.embedded.sentence import Slip, load_data


@dataclass(frozen=True)
class Pack:
    """A first language: how much likelier its speakers make each kind of slip."""

    name: str
    share: float
    kinds: Mapping[str, float] = field(default_factory=dict)
    rules: Mapping[str, float] = field(default_factory=dict)


class PackTable(TypedDict):
    """A first language of data/mix.yaml."""

    share: float
    kinds: NotRequired[Mapping[str, float]]
    rules: NotRequired[Mapping[str, float]]


class MixTable(TypedDict):
    """data/mix.yaml."""

    kinds: Mapping[str, float]
    edits: Mapping[int, float]
    bait_percent: float
    packs: Mapping[str, PackTable]
    caps: NotRequired[Mapping[str, float]]


@dataclass(frozen=True)
class Mix:
    """The target: share of edits by kind, number of edits in a sentence, share of untouched pairs, first languages."""

    kinds: Mapping[str, float]
    edits: Mapping[int, float]
    bait_percent: float
    packs: tuple[Pack, ...]
    caps: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: MixTable, first_languages: Sequence[str] = ()) -> Mix:
        """Read the table of data/mix.yaml, or one of its shape.

        Its kinds are what all packs together aim at, each by its share. With some of them chosen, a kind is wanted as much
        more or less often as they ask for it beyond what all do; otherwise the draw would level their errors out again.

        Args:
            first_languages: names of the packs to draw from; all of them when empty.

        Raises:
            UsageError: a pack is named that the table does not hold.
        """
        packs = tuple(
            Pack(name, float(p["share"]), p.get("kinds", {}), p.get("rules", {})) for name, p in table["packs"].items()
        )
        if unknown := set(first_languages) - {pack.name for pack in packs}:
            known = ", ".join(pack.name for pack in packs)
            raise UsageError(f"No pack for the first language {sorted(unknown)[0]!r}: choose from {known}.")
        chosen = tuple(pack for pack in packs if not first_languages or pack.name in first_languages)
        kinds = table["kinds"]
        if len(chosen) < len(packs):
            kinds = {kind: share * _asked(kind, chosen) / _asked(kind, packs) for kind, share in kinds.items()}
        return cls(
            kinds,
            {int(n): w for n, w in table["edits"].items()},
            float(table["bait_percent"]),
            chosen,
            table.get("caps", {}),
        )

    @classmethod
    def default(cls, first_languages: Sequence[str] = ()) -> Mix:
        """The mix that ships (data/mix.yaml).

        Args:
            first_languages: packs to draw errors from; all when empty.
        """
        return cls.from_table(load_data("mix.yaml"), first_languages)


def _asked(kind: str, packs: Sequence[Pack]) -> float:
    """How much likelier than the mean these packs make a kind of slip, each by its share."""
    return sum(pack.share * pack.kinds.get(kind, 1.0) for pack in packs) / sum(pack.share for pack in packs)


def put_in(
    text: str, chosen: Sequence[tuple[Slip, str]], points: Mapping[str, Point], language: str
) -> tuple[str, tuple[Edit, ...]]:
    """Put slips into a correct text.

    Args:
        chosen: (slip, what stands there instead), in any order, none overlapping another.
        points: the catalogue by ID; a slip's rule is the ID of the point that explains it.
        language: of the reasons.

    Returns:
        (the text with the errors, the edits that correct it, each with its point; their offsets are code points into that
        text).
    """
    pieces: list[str] = []
    edits: list[Edit] = []
    position = length = 0
    for slip, wrong in sorted(chosen, key=lambda pair: (pair[0].start, pair[0].end)):
        right = text[slip.start : slip.end]
        pieces += [text[position : slip.start], wrong]
        start = length + slip.start - position
        length = start + len(wrong)
        position = slip.end
        words = {"was": wrong.strip(), "now": right.strip(), **dict(slip.values)}
        reason = points[slip.rule].reason(words, language)
        edits.append(Edit(start, length, wrong, right, f"{slip.op}:{slip.kind}", reason, "rule", slip.rule))
    return "".join(pieces) + text[position:], tuple(edits)


class Injector:
    """Draws slips so that the edits written so far keep to the mix, though sentences differ in what they allow."""

    def __init__(self, mix: Mix, points: Mapping[str, Point], language: str) -> None:
        self.mix = mix
        self.points = points
        self.language = language
        self.written: Counter[str] = Counter()
        self._total = sum(mix.kinds.values())
        self._rules: Counter[str] = Counter()

    def _want(self, kind: str, pack: Pack) -> float:
        """The weight of a kind now: its target, raised while fewer were written than it should have by now."""
        target = self.mix.kinds.get(kind, 0.5) / self._total
        due = target * sum(self.written.values()) + 2
        correction = min(6.0, max(0.1, (due / (self.written[kind] + 2)) ** 3))
        return target * correction * pack.kinds.get(kind, 1.0)

    def _capped(self, rule: str) -> bool:
        cap = self.mix.caps.get(rule)
        return cap is not None and self._rules[rule] >= cap / 100 * sum(self.written.values()) + 1

    def _how_many(self, rng: random.Random) -> int:
        counts = list(self.mix.edits)
        return rng.choices(counts, [self.mix.edits[n] for n in counts])[0]

    def corrupt(self, text: str, slips: Sequence[Slip], rng: random.Random) -> tuple[str, tuple[Edit, ...], str] | None:
        """One corrupted version of a correct text.

        Returns:
            (before, edits, name of the first-language pack); None when the text allows no slip.
        """
        pack = rng.choices(self.mix.packs, [p.share for p in self.mix.packs])[0]
        wanted = min(self._how_many(rng), max(1, int(0.4 * len(text.split()))))
        by_kind: dict[str, list[Slip]] = defaultdict(list)
        for slip in slips:
            if not self._capped(slip.rule):
                by_kind[slip.kind].append(slip)
        chosen: list[tuple[Slip, str]] = []
        while len(chosen) < wanted and by_kind:
            kinds = sorted(by_kind)
            kind = rng.choices(kinds, [self._want(k, pack) for k in kinds])[0]
            options = by_kind[kind]
            slip = rng.choices(options, [o.weight * pack.rules.get(o.rule, 1.0) for o in options])[0]
            chosen.append((slip, rng.choice(slip.wrongs)))
            self.written[kind] += 1
            self._rules[slip.rule] += 1
            for name in kinds:
                by_kind[name] = [o for o in by_kind[name] if o is not slip and not o.conflicts(slip)]
                if not by_kind[name]:
                    del by_kind[name]
        if not chosen:
            return None
        before, edits = put_in(text, chosen, self.points, self.language)
        if before == text or apply_edits(before, edits) != text:
            return None
        return before, edits, pack.name
