"""What is trained on, and in which order: reading pairs, and the deterministic plan of batches.

Belongs here: the train set's columns, the curriculum's expansion into turns, batches and their order. Does not belong
here: tokenising one turn (rendering.py), tensors.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as parquet
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from correctly_assets.core.errors import UsageError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.types import Edit, Origin, TrainPair
from correctly_assets.training.config import Stage, TrainConfig
from correctly_assets.training.rendering import Renderer, Turn

_COLUMNS = ("id", "before", "after")
_BUCKET_BATCHES = 32


def read_pairs(path: Path) -> list[TrainPair]:
    """Read a train set (a directory with ``pairs.parquet``, or the file), in the file's order.

    Raises:
        UsageError: there is no such file, a column is missing, or a row cannot be read.
    """
    file = path / "pairs.parquet" if path.is_dir() else path
    try:
        rows = parquet.read_table(file).to_pylist()
    except (OSError, ValueError) as error:
        raise UsageError(f"The train set {file} cannot be read: {error}.") from error
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing:
        raise UsageError(f"The train set {file} lacks the column {missing[0]!r}.")
    try:
        return [PairRow.model_validate(row).pair() for row in rows]
    except (ValidationError, TypeError) as error:
        raise UsageError(f"A pair of the train set {file} cannot be read: {error}. Make it again.") from error


class PairRow(BaseModel):
    """A row of a train set; what is missing or null takes its default."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    before: str
    after: str
    example_id: str | None = None
    origin: str | None = None
    edits: tuple[Edit, ...] = ()
    weight: float | None = None
    split: str | None = None
    language: str | None = None
    form: str | None = None
    tone: str | None = None

    @field_validator("edits", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> object:
        """Edits may stand there as JSON text, and need not say their type."""
        found = json.loads(value) if isinstance(value, str) else value or []
        return [{"type": "OTHER", **edit} for edit in found]

    def pair(self) -> TrainPair:
        """The row as it is trained on."""
        return TrainPair(
            id=self.id,
            example_id=self.example_id or self.id,
            origin=cast("Origin", self.origin or "example"),
            before=self.before,
            after=self.after,
            edits=self.edits,
            weight=max(1, int(self.weight or 1)),
            split="held_out" if self.split == "held_out" else "train",
            language=self.language or "en",
            attributes={name: value for name, value in (("form", self.form), ("tone", self.tone)) if value},
        )


def completions(pair: TrainPair, config: TrainConfig) -> list[str]:
    """The texts of a pair's answers in the order of its turns: the corrected sentence, then the reasons."""
    return [pair.after, *[edit.reason for edit in pair.edits if edit.reason][: config.max_explain_per_pair]]


def pairs_sha(pairs: Sequence[TrainPair]) -> str:
    """sha256 over what of the pairs reaches the weights, in order."""
    return sha256_of(
        [
            [p.id, p.origin, p.before, p.after, [e.to_json() for e in p.edits], p.weight, p.split, p.language]
            for p in pairs
        ]
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Turns of one optimiser step, by index into the data's turns, and the stage they belong to."""

    turns: tuple[int, ...]
    stage: int


@dataclass(frozen=True, slots=True)
class TrainData:
    """Everything a run will see.

    Attributes:
        turns: training turns; ``plan`` indexes them.
        held_out: turns of held-out pairs, both tasks.
        too_long: pairs that had a turn longer than ``max_length`` tokens; the turn was left out.
        sha256: over the pairs.
        prompts: hash of the prompt files that the turns were rendered with.
    """

    turns: tuple[Turn, ...]
    held_out: tuple[Turn, ...]
    plan: tuple[Batch, ...]
    pairs: int
    too_long: int
    sha256: str
    prompts: str


def build_data(pairs: Sequence[TrainPair], renderer: Renderer, config: TrainConfig) -> TrainData:
    """Tokenise the pairs and lay out every batch of every stage, deterministically under ``config.seed``.

    Raises:
        UsageError: no pair is left to train on.
    """
    turns: list[Turn] = []
    weights: list[tuple[str, int]] = []
    held_out: list[Turn] = []
    too_long = 0
    training = with_replay([pair for pair in pairs if pair.split == "train"], config)
    explained = _choose_explained(training, renderer, config)
    for pair in training:
        for turn in (renderer.correct_turn(pair), *explained.get(pair.id, ())):
            if turn.length > config.max_length:
                too_long += 1
                continue
            turns.append(turn)
            weights.append((pair.origin, pair.weight if turn.task == "correct" else 1))
    kept = {pair.id for pair in training}
    chosen = [pair for pair in pairs if pair.split == "held_out" or pair.id in kept]
    for pair in (pair for pair in chosen if pair.split == "held_out"):
        new = (renderer.correct_turn(pair), *renderer.explain_turns(pair, config.max_explain_per_pair))
        held_out += [turn for turn in new if turn.length <= config.max_length]
    if not turns:
        raise UsageError(f"The train set {config.train_set} holds no pair to train on (of {len(pairs)}).")
    plan: list[Batch] = []
    for index, stage in enumerate(config.stages):
        plan += _stage_batches(index, stage, turns, weights, config)
    if config.max_steps is not None:
        plan = plan[: config.max_steps]
    if not plan:
        raise UsageError("The stages' mixes leave nothing to train on; give some origin a multiplier above 0.")
    return TrainData(
        tuple(turns), tuple(held_out[: config.held_out_limit]), tuple(plan), len(chosen), too_long, pairs_sha(chosen),
        renderer.prompts.sha256,
    )  # fmt: skip


def with_replay(pairs: Sequence[TrainPair], config: TrainConfig) -> list[TrainPair]:
    """The pairs to train on: new ones all, and of those that the adapter to start from has seen the share to replay.

    A pair is the same where its texts are: another train set may have named it otherwise.

    Raises:
        UsageError: the train set of what was seen cannot be read.
    """
    if config.warm_start is None or config.replay is None:
        return list(pairs)
    old = {(pair.before, pair.after) for pair in read_pairs(config.replay.seen) if pair.split == "train"}
    share = config.replay.share
    chosen = [
        pair
        for pair in pairs
        if (pair.before, pair.after) not in old or _share(config.seed, "replay", pair.before, pair.after) < share
    ]
    # Nothing new (a changed setting, say): all of it is the work then, not a repetition.
    return chosen if any((pair.before, pair.after) not in old for pair in chosen) else list(pairs)


def _choose_explained(pairs: Sequence[TrainPair], renderer: Renderer, config: TrainConfig) -> dict[str, list[Turn]]:
    """Explain turns per pair: at most ``explain_share`` of the number of pairs, chosen by hash, human pairs first."""
    room = round(config.explain_share * len(pairs))
    rank = {"human": 0, "example": 1}
    order = sorted(pairs, key=lambda pair: (rank.get(pair.origin, 2), _share(config.seed, "explain", pair.id)))
    chosen: dict[str, list[Turn]] = {}
    for pair in order:
        if room <= 0:
            break
        new = renderer.explain_turns(pair, min(room, config.max_explain_per_pair))
        if new:
            chosen[pair.id] = new
            room -= len(new)
    return chosen


def _share(*parts: Any) -> float:
    """A number in [0, 1) fixed by its parts."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _stage_batches(
    index: int, stage: Stage, turns: Sequence[Turn], weights: Sequence[tuple[str, int]], config: TrainConfig
) -> list[Batch]:
    once: list[int] = []
    for number, (origin, weight) in enumerate(weights):
        amount = weight * stage.mix.get(origin, stage.mix.get("*", 1.0))
        whole = int(amount)
        extra = _share(config.seed, stage.name, turns[number].pair_id, turns[number].task) < amount - whole
        once += [number] * (whole + extra)
    batches: list[Batch] = []
    passes = stage.passes
    count = 0
    while passes > 0 and once:
        order = list(once)
        rng = random.Random(f"{config.seed}:{index}:{count}")
        rng.shuffle(order)
        order = order[: max(1, round(len(order) * min(1.0, passes)))]
        batches += [Batch(tuple(group), index) for group in _group(order, turns, config, rng)]
        passes -= 1
        count += 1
    return batches


def _group(order: Sequence[int], turns: Sequence[Turn], config: TrainConfig, rng: random.Random) -> list[list[int]]:
    """Batches of similar length: sorted within windows of many batches, then shuffled, so that order stays random."""
    window = config.batch_size * _BUCKET_BATCHES
    if config.token_budget is not None:
        mean = sum(turns[i].length for i in order) / len(order)
        window = max(1, round(_BUCKET_BATCHES * config.token_budget / mean))
    groups: list[list[int]] = []
    for start in range(0, len(order), window):
        ordered = sorted(order[start : start + window], key=lambda i: (turns[i].length, turns[i].learned))
        current: list[int] = []
        tokens = 0
        for item in ordered:
            full = (
                len(current) >= config.batch_size
                if config.token_budget is None
                else tokens + turns[item].length > config.token_budget
            )
            if current and full:
                groups.append(current)
                current, tokens = [], 0
            current.append(item)
            tokens += turns[item].length
        if current:
            groups.append(current)
    rng.shuffle(groups)
    return groups


def cut_plan(plan: Sequence[Batch], keep: int) -> list[Batch]:
    """``keep`` batches of the plan, evenly thinned, so that every stage keeps its share and its place."""
    if keep >= len(plan):
        return list(plan)
    return [plan[(i * len(plan)) // keep] for i in range(keep)]
