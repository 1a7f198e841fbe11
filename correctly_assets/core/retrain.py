"""The retrain policy: whether a run starts now, as a pure decision over what is known.

Belongs here: the fingerprint of what should be trained and the decision the sensor enacts. Does not belong here: reading
the store or the run storage (defs/automation.py), or a clock (times are passed in).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from correctly_assets.core.hashing import sha256_of

WANT_TAG = "correctly/want"
WHY_TAG = "correctly/why"
ATTEMPT_TAG = "correctly/attempt"


def rows_digest(row_hashes: Iterable[str]) -> str:
    """One hash for a set of accepted rows, whatever order they were committed in."""
    return sha256_of(sorted(row_hashes))


def fingerprint(rows: str, recipe: Mapping[str, Any]) -> str:
    """What should be trained: sha256 of (accepted rows, recipe). Code is not part of it (CONTRACTS)."""
    return sha256_of({"rows": rows, "recipe": dict(recipe)})


@dataclass(frozen=True, slots=True)
class RetrainState:
    """Everything the decision looks at, read afresh at every tick; nothing is remembered between ticks.

    Attributes:
        want: fingerprint of what has landed; ``decided`` that of the last decision (promoted, refused or failed).
        new_examples: accepted examples since the last decision.
        seconds_since_landing: silence since the last row landed; None when none ever landed.
        landing: the file that is on its way into the store, None if there is none.
        in_flight: ids of unfinished runs of the retrain job, whoever started them.
        attempts: runs tagged with ``want`` that have ended without a decision.
        recipe_changed: what should be trained changed by more than rows.
        canceled: the newest of these runs, where a person asked for its end; None where it ended by itself.
    """

    want: str
    decided: str | None
    accepted: int
    new_examples: int
    seconds_since_landing: float | None
    in_flight: tuple[str, ...]
    attempts: int
    recipe_changed: bool = False
    removed_examples: int = 0
    canceled: str | None = None
    landing: str | None = None


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    min_examples: int = 1
    quiet_seconds: float = 10.0
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """``run`` starts one run under ``run_key``; ``give_up`` records a failed decision; ``skip`` does nothing. ``says`` is
    the one sentence that people read."""

    action: Literal["run", "skip", "give_up"]
    says: str
    run_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def decide_retrain(state: RetrainState, policy: RetrainPolicy) -> RetrainDecision:
    """Decide whether a retraining run starts now."""
    short = state.want[:12]
    if state.accepted == 0:
        return RetrainDecision("skip", "No examples have landed yet: run `correctly add FILE`.")
    if state.want == state.decided:
        return RetrainDecision("skip", f"Nothing new: {short} is already decided.")
    if state.in_flight:
        return RetrainDecision(
            "skip", f"Run {state.in_flight[0][:8]} is in flight; what has landed since waits for it."
        )
    if state.canceled is not None:
        return RetrainDecision(
            "skip",
            f"Run {state.canceled[:8]} was canceled by a person, so {short} waits: launch the job `retrain` in Dagster, or "
            "land something new.",
        )
    if state.attempts >= policy.max_attempts:
        return RetrainDecision(
            "give_up", f"Gave up on {short} after {state.attempts} failed runs; land something new or fix the cause."
        )
    if state.decided is None:
        cause = f"first run over {state.accepted} accepted examples"
    elif state.new_examples and state.recipe_changed:
        cause = f"{state.new_examples} new examples and a changed recipe"
    elif state.new_examples:
        cause = (
            f"{state.new_examples} new {'example' if state.new_examples == 1 else 'examples'} since the last decision"
        )
    elif state.removed_examples:
        cause = f"{state.removed_examples} examples removed since the last decision"
    else:
        cause = "the recipe changed (base model, prompts or training settings)"
    only_rows = state.decided is not None and not state.recipe_changed and not state.removed_examples
    if only_rows and state.new_examples < policy.min_examples:
        return RetrainDecision(
            "skip", f"{state.new_examples} of {policy.min_examples} new examples that make a retrain worth while."
        )
    if state.landing is not None:
        return RetrainDecision("skip", f"{state.landing} is still landing; a run waits for the whole of it ({cause}).")
    if state.seconds_since_landing is not None and state.seconds_since_landing < policy.quiet_seconds:
        return RetrainDecision(
            "skip", f"Examples are still landing; waiting for {policy.quiet_seconds:g} quiet seconds ({cause})."
        )
    attempt = state.attempts + 1
    says = f"Retraining: {cause}" + (f"; attempt {attempt} of {policy.max_attempts}." if attempt > 1 else ".")
    # A failed run's key is burnt for ever, so the attempt is part of it.
    tags = ((WANT_TAG, state.want), (WHY_TAG, says), (ATTEMPT_TAG, str(attempt)))
    return RetrainDecision("run", says, run_key=f"{state.want}:{attempt}", tags=tags)


def renewed_tags(tags: Mapping[str, str], fingerprint: str) -> dict[str, str]:
    """The tags of a run whose train set came to another fingerprint than the sensor saw; none where it came to the same, or
    where a person started the run.

    Rows were held as straddling, or landed after the sensor looked: were the run killed now, the next one would want what this
    one works on, and attempts are counted by the tag.
    """
    return {WANT_TAG: fingerprint} if tags.get(WANT_TAG, fingerprint) != fingerprint else {}
