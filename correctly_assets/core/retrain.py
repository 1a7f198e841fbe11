"""The retrain policy: whether a run starts now, as a pure decision over what is known.

Belongs here: the fingerprint of what should be trained and the decision the sensor enacts. Does not belong here: reading
the store or the run storage (defs/automation.py), or a clock (times are passed in).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.json_shapes import Json

WANT_TAG = "correctly/want"
WHY_TAG = "correctly/why"
ATTEMPT_TAG = "correctly/attempt"
FAILURE_TAG = "correctly/failure"
"""Set on a run that failed without using up an attempt; its value is `PASSES` or `INTERRUPTED`."""

PASSES = "passes"
"""Something that may be back soon failed: an engine, a database, the disk's free space."""

INTERRUPTED = "interrupted"
"""The run's worker ended with the platform or the machine."""

LAG_HOURS = 24.0
"""What has landed and is in no decision for longer is worth a warning."""


def rows_digest(row_hashes: Iterable[str]) -> str:
    """One hash for a set of accepted rows, whatever order they were committed in."""
    return sha256_of(sorted(row_hashes))


def fingerprint(rows: str, recipe: Mapping[str, Json]) -> str:
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
        attempts: runs tagged with ``want`` that have ended without a decision, and not by something that passes.
        spared: runs tagged with ``want`` that used up no attempt.
        setbacks: how many of these ended last, one after the other.
        interrupted: the newest of them ended with the platform.
        seconds_since_end: since the newest run for ``want`` ended; None where none has.
        gave_up: ``decided`` is the decision to give up ``want``.
        seconds_since_decision: since the last decision; None before the first.
        undecided_seconds: age of the oldest accepted example that no decision has seen; None where there is none.
        new_reactions: how many of the new examples are reactions to answers.
        minutes_today, usd_today: what retraining runs took, and the teacher cost, in the last 24 hours.
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
    spared: int = 0
    setbacks: int = 0
    interrupted: bool = False
    seconds_since_end: float | None = None
    gave_up: bool = False
    seconds_since_decision: float | None = None
    undecided_seconds: float | None = None
    new_reactions: int = 0
    minutes_today: float = 0.0
    usd_today: float = 0.0


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """How patient the decision is.

    Attributes:
        max_age_seconds: an example without a decision that is older lets a run wait for neither more of them nor quiet.
        cool_down_seconds: reactions to answers wait so long after a decision, unless something else has landed as well.
        daily_minutes, daily_usd: no run starts while those of the last 24 hours took, or the teacher cost, as much or more;
            None where there is no limit. What was taken away is trained without all the same.
        back_off: seconds to wait after the first, the second, … setback in a row; the last one for all that follow.
        give_up_seconds: how long giving up lasts; then one more run is tried.
    """

    min_examples: int = 1
    quiet_seconds: float = 10.0
    max_attempts: int = 3
    back_off: tuple[float, ...] = (60.0, 300.0, 1500.0)
    give_up_seconds: float = 86_400.0
    max_age_seconds: float = 3600.0
    cool_down_seconds: float = 180.0
    daily_minutes: float | None = 240.0
    daily_usd: float | None = None


def count_ended(kinds: Sequence[str | None]) -> tuple[int, int, int]:
    """(attempts, spared, setbacks) of the runs for one fingerprint that have ended.

    Args:
        kinds: the value of each run's `FAILURE_TAG`, None where it has none, the newest run first.
    """
    attempts = sum(kind is None for kind in kinds)
    setbacks = next((number for number, kind in enumerate(kinds) if kind is None), len(kinds))
    return attempts, len(kinds) - attempts, setbacks


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """``run`` starts one run under ``run_key``; ``give_up`` records a failed decision; ``skip`` does nothing. ``says`` is
    the one sentence that people read."""

    action: Literal["run", "skip", "give_up"]
    message: str
    run_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def decide_retrain(state: RetrainState, policy: RetrainPolicy) -> RetrainDecision:
    """Decide whether a retraining run starts now."""
    short = state.want[:12]
    if state.accepted == 0:
        return RetrainDecision("skip", "No examples have landed yet: run `correctly add FILE`.")
    lifted = state.seconds_since_end is not None and state.seconds_since_end >= policy.give_up_seconds
    if state.want == state.decided and not state.gave_up:
        return RetrainDecision("skip", f"Nothing new: {short} is already decided.")
    if state.want == state.decided and not lifted:
        return RetrainDecision("skip", _gave_up(state, policy))
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
    if state.attempts >= policy.max_attempts and not lifted:
        return RetrainDecision("give_up", _gave_up(state, policy))
    wait = _seconds_to_wait(state, policy)
    if wait > 0:
        return RetrainDecision(
            "skip",
            f"The last run for {short} failed on something that may be back soon; the next one starts in {_span(wait)}.",
        )
    cause = _cause(state)
    held = _held_back(state, policy, cause)
    if held is not None:
        return RetrainDecision("skip", held)
    attempt = state.attempts + 1
    counted = f"; attempt {attempt} of {policy.max_attempts}." if 1 < attempt <= policy.max_attempts else "."
    message = f"Retraining: {cause}{counted}"
    tags = ((WANT_TAG, state.want), (WHY_TAG, message), (ATTEMPT_TAG, str(attempt)))
    # A failed run's key is burnt for ever, so the run's number is part of it, whether or not it used up an attempt.
    return RetrainDecision("run", message, run_key=f"{state.want}:{attempt + state.spared}", tags=tags)


def _cause(state: RetrainState) -> str:
    """Why a run is wanted, in a few words."""
    if state.want == state.decided:
        return f"one more try of {state.want[:12]}, which was given up {_span(state.seconds_since_end or 0)} ago"
    if state.decided is None:
        return f"first run over {state.accepted} accepted examples"
    if state.new_examples and state.recipe_changed:
        return f"{state.new_examples} new examples and a changed recipe"
    if state.new_examples:
        return (
            f"{state.new_examples} new {'example' if state.new_examples == 1 else 'examples'} since the last decision"
        )
    if state.removed_examples:
        return f"{state.removed_examples} examples removed since the last decision"
    return "the recipe changed (base model, prompts or training settings)"


def _held_back(state: RetrainState, policy: RetrainPolicy, cause: str) -> str | None:
    """Which rule of the policy holds a run back now, in a sentence; None where none does."""
    overdue = state.undecided_seconds is not None and state.undecided_seconds >= policy.max_age_seconds
    only_rows = state.decided not in (None, state.want) and not state.recipe_changed and not state.removed_examples
    if only_rows and state.new_examples < policy.min_examples and not overdue:
        return f"{state.new_examples} of {policy.min_examples} new examples that make a retrain worth while."
    if state.landing is not None:
        return f"{state.landing} is still landing; a run waits for the whole of it ({cause})."
    silence = state.seconds_since_landing
    if silence is not None and silence < policy.quiet_seconds and not overdue:
        return f"Examples are still landing; waiting for {policy.quiet_seconds:g} quiet seconds ({cause})."
    only_reactions = only_rows and 0 < state.new_examples == state.new_reactions
    cool = policy.cool_down_seconds - (state.seconds_since_decision or 0)
    if only_reactions and state.seconds_since_decision is not None and cool > 0 and not overdue:
        return f"Reactions are trained together: the next run may start in {_span(cool)} ({cause})."
    if state.removed_examples:
        return None
    if policy.daily_minutes is not None and state.minutes_today >= policy.daily_minutes:
        return (
            f"Runs took {state.minutes_today:.0f} minutes in the last 24 hours, and CORRECTLY_RETRAIN_DAILY_MINUTES allows "
            f"{policy.daily_minutes:g}: the next one waits until it is less ({cause})."
        )
    if policy.daily_usd is not None and state.usd_today >= policy.daily_usd:
        return (
            f"The teacher cost {state.usd_today:.2f} US dollars in the last 24 hours, and CORRECTLY_RETRAIN_DAILY_USD allows "
            f"{policy.daily_usd:.2f}: the next run waits until it is less ({cause})."
        )
    return None


def rules_of(state: RetrainState, policy: RetrainPolicy) -> tuple[tuple[str, str], ...]:
    """How each rule of the policy stands: its name and a sentence."""
    silence, age, since = state.seconds_since_landing, state.undecided_seconds, state.seconds_since_decision
    landed = "Nothing has landed yet" if silence is None else f"The last example landed {_span(silence)} ago"
    oldest = "No example waits for a decision" if age is None else f"The oldest example has waited {_span(age)}"
    decided = "Nothing was decided yet" if since is None else f"The last decision was {_span(since)} ago"
    took, cost = f"Runs took {state.minutes_today:.0f} minutes", f"The teacher cost {state.usd_today:.2f} US dollars"
    minutes, usd = policy.daily_minutes, policy.daily_usd
    return (
        ("minimum", f"New examples since the last decision: {state.new_examples}; a run wants {policy.min_examples}."),
        ("quiet_period", f"{landed}; a run wants {policy.quiet_seconds:g} quiet seconds."),
        ("maximum_age", f"{oldest}; after {_span(policy.max_age_seconds)} a run wants neither a minimum nor quiet."),
        ("cool_down", f"{decided}; reactions alone wait for {_span(policy.cool_down_seconds)} after one."),
        (
            "daily_minutes",
            f"{took} in the last 24 hours; {'no limit is set' if minutes is None else f'{minutes:g} are allowed'}.",
        ),
        (
            "daily_money",
            f"{cost} in the last 24 hours; {'no limit is set' if usd is None else f'{usd:.2f} are allowed'}.",
        ),
    )


def _gave_up(state: RetrainState, policy: RetrainPolicy) -> str:
    left = policy.give_up_seconds - (state.seconds_since_end or 0)
    return (
        f"Gave up on {state.want[:12]} after {state.attempts} failed runs: fix the cause. It is tried again in "
        f"{_span(left)}, or when something new lands."
    )


def _seconds_to_wait(state: RetrainState, policy: RetrainPolicy) -> float:
    """Seconds until the next run may start after setbacks. A platform that was stopped once goes on at once."""
    if not state.setbacks or (state.interrupted and state.setbacks == 1):
        return 0.0
    wait = policy.back_off[min(state.setbacks, len(policy.back_off)) - 1]
    return wait - (state.seconds_since_end if state.seconds_since_end is not None else wait)


def _span(seconds: float) -> str:
    """A length of time in words: 40 seconds, 25 minutes, 23 hours."""
    for size, name in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= 1.5 * size or size == 1:
            count = max(1, round(seconds / size))
            return f"{count} {name}{'' if count == 1 else 's'}"
    raise AssertionError("the last size always fits")


def lags(seconds_undecided: float | None, hours: float = LAG_HOURS) -> str | None:
    """A warning where the oldest example that is in no decision landed too long ago; None where nothing waits too long."""
    if seconds_undecided is None or seconds_undecided < hours * 3600:
        return None
    return (
        f"An example that landed {_span(seconds_undecided)} ago is in no decision yet: see what `retrain_sensor` says, "
        "and the newest run of `retrain`."
    )


def renewed_tags(tags: Mapping[str, str], fingerprint: str) -> dict[str, str]:
    """The tags of a run whose train set came to another fingerprint than the sensor saw; none where it came to the same, or
    where a person started the run.

    Rows were held as straddling, or landed after the sensor looked: were the run killed now, the next one would want what this
    one works on, and attempts are counted by the tag.
    """
    return {WANT_TAG: fingerprint} if tags.get(WANT_TAG, fingerprint) != fingerprint else {}
