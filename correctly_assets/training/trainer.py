"""The trainer: from a config to a trained adapter in memory, stoppable and resumable at every step.

Belongs here: the optimisation loop, its budget, checkpoints and safety stops. Does not belong here: writing the adapter
(output.py), the process around it (__main__.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.checkpoint import Checkpoint, Progress, read_checkpoint, save_checkpoint
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.data import Batch, TrainData, cut_plan
from correctly_assets.training.engines.torch_errors import is_out_of_memory
from correctly_assets.training.models.base_model import base_model_revision
from correctly_assets.training.models.lora_model import Adapter, Engine
from correctly_assets.training.rendering import Turn
from correctly_assets.training.run_ends import Interrupted, out_of_memory
from correctly_assets.training.schedule import Schedule, steps_that_fit

_MEASURE_STEPS = 8
_REPLAN_EVERY = 25
_EXPLODES_AT = 4.0
_RESERVE_SHARE = 0.06


@dataclass
class Point:
    """One step as it is logged."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    seconds_left: float


class Trainer:
    """Trains one adapter.

    Args:
        config, data: the run.
        adapter, engine: what is trained and what computes.
        started: `time.monotonic` of the process's start; the budget counts from there.
        stop: true once a signal has arrived.
        report: called after every step.
        say: takes one line for the log.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainData,
        adapter: Adapter,
        engine: Engine,
        *,
        started: float,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[Point], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config, self.data, self.adapter, self.engine = config, data, adapter, engine
        self._started, self._stop, self._report, self._say = started, stop, report, say
        self._fingerprint = config.fingerprint(
            data.sha256, prompts=data.prompts, base_revision=base_model_revision(config.base_model)
        )
        fused = adapter.masters[0].device.type in ("cpu", "cuda")
        self._optimiser = torch.optim.AdamW(
            adapter.masters, lr=1.0, betas=(0.9, 0.999), weight_decay=config.weight_decay, fused=fused
        )
        total = len(data.plan)
        self.progress = Progress(
            plan=list(range(total)), schedule=Schedule(config.schedule, total, config.warmup_steps)
        )
        self.resumed = False

    def resume(self) -> bool:
        """Take up this run's checkpoint, if there is one."""
        found = read_checkpoint(self.config.checkpoint_dir, self._fingerprint)
        if found is None:
            return False
        self.adapter.load(found.weights)
        for name, master in zip(self.adapter.names, self.adapter.masters, strict=True):
            if name in found.first:
                self._optimiser.state[master] = {
                    # Beside the weights: the fused kernel of a GPU refuses a counter on the CPU.
                    "step": torch.tensor(float(found.progress.step), device=master.device),
                    "exp_avg": found.first[name].to(master.device),
                    "exp_avg_sq": found.second[name].to(master.device),
                }
        torch.set_rng_state(found.rng)
        if found.gpu_rng is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(found.gpu_rng)
        self.progress = found.progress
        self.resumed = True
        self._say(f"Resuming after step {self.progress.step} of {len(self.progress.plan)}.")
        return True

    def checkpoint(self) -> None:
        """Write the state between two steps."""
        state = [self._optimiser.state.get(master, {}) for master in self.adapter.masters]
        names = self.adapter.names
        save_checkpoint(
            self.config.checkpoint_dir,
            Checkpoint(
                self._fingerprint,
                self.adapter.tensors(),
                {n: s["exp_avg"].cpu() for n, s in zip(names, state, strict=True) if "exp_avg" in s},
                {n: s["exp_avg_sq"].cpu() for n, s in zip(names, state, strict=True) if "exp_avg_sq" in s},
                torch.get_rng_state(),
                self.progress,
                torch.cuda.get_rng_state() if self.adapter.masters[0].device.type == "cuda" else None,
            ),
        )

    def run(self) -> None:
        """Run every remaining step.

        Raises:
            Interrupted: a signal arrived; the checkpoint is written.
            PermanentError: the loss is not finite or has exploded; nothing is written.
        """
        state = self.progress
        if self._stop():
            raise Interrupted
        if not state.before:
            state.before = self.held_out()
        before_this_part = state.spent
        saved = time.monotonic()
        while state.step < len(state.plan):
            if self._stop():
                state.spent = before_this_part + time.monotonic() - self._started
                self.checkpoint()
                raise Interrupted
            if self.config.checkpoint_seconds <= time.monotonic() - saved:
                state.spent = before_this_part + time.monotonic() - self._started
                self.checkpoint()
                saved = time.monotonic()
            self._one_step()
            done = state.step
            if done == _MEASURE_STEPS or (done > _MEASURE_STEPS and done % _REPLAN_EVERY == 0):
                self._fit_budget(before_this_part + time.monotonic() - self._started)
        # A run that is killed while it measures and writes must not train its last steps again.
        state.spent = before_this_part + time.monotonic() - self._started
        self.checkpoint()

    def _one_step(self) -> None:
        state, config = self.progress, self.config
        assert state.schedule is not None
        clock = time.monotonic()
        batch = self.data.plan[state.plan[state.step]]
        turns = [self.data.turns[i] for i in batch.turns]
        rate = config.stages[batch.stage].learning_rate * state.schedule.factor(state.step)
        try:
            loss = self.engine.train(turns)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise out_of_memory(config) from error
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise out_of_memory(config) from error
            raise
        self.adapter.pull_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.adapter.masters, config.clip_norm)
        self._check(loss, float(norm))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.adapter.push()
        state.step += 1
        state.losses.append(loss)
        state.rates.append(rate)
        state.tokens += sum(turn.length for turn in turns)
        state.seconds += time.monotonic() - clock
        self._report(Point(state.step, len(state.plan), loss, rate, state.tokens, state.seconds, self._seconds_left()))

    def _tokens(self, batch: Batch) -> int:
        return sum(self.data.turns[i].length for i in batch.turns)

    def _seconds_left(self) -> float:
        state = self.progress
        return state.seconds / max(1, state.step) * (len(state.plan) - state.step)

    def _fit_budget(self, spent: float) -> None:
        """Thin the remaining plan if the measured speed will not finish it in time; the schedule is cut with it."""
        state, minutes = self.progress, self.config.max_minutes
        if minutes is None or state.step >= len(state.plan) or state.schedule is None:
            return
        left = minutes * 60 * (1 - _RESERVE_SHARE) - spent
        remaining = [self.data.plan[i] for i in state.plan[state.step :]]
        fit = steps_that_fit(left, [self._tokens(batch) for batch in remaining], state.seconds / max(1, state.tokens))
        # A tenth over is noise early on; cutting for it at every look would make runs differ for nothing.
        if fit >= len(remaining) or (fit > 0.9 * len(remaining) and state.step < 0.5 * len(state.plan)):
            return
        kept = cut_plan([Batch((i,), 0) for i in state.plan[state.step :]], fit)
        state.plan = state.plan[: state.step] + [batch.turns[0] for batch in kept]
        state.schedule = state.schedule.cut(state.step, len(state.plan))
        self._say(
            f"The budget of {minutes:g} minutes allows {len(state.plan)} of {len(self.data.plan)} steps at this speed."
        )

    def _check(self, loss: float, norm: float) -> None:
        recent = self.progress.losses[-10:]
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise PermanentError(
                f"The loss is not a number at step {self.progress.step + 1}; no adapter was written. "
                "Lower CORRECTLY_TRAIN_LEARNING_RATE.",
                code="loss_not_finite",
            )
        first = self.progress.losses[:10]
        if len(recent) >= 10 and loss > _EXPLODES_AT and fmean([*recent[-4:], loss]) > 2 * max(fmean(first), 1.0):
            raise PermanentError(
                f"The loss has exploded ({fmean(first):.2f} at first, {loss:.2f} at step {self.progress.step + 1}); "
                "no adapter was written. Lower CORRECTLY_TRAIN_LEARNING_RATE.",
                code="loss_exploded",
            )

    def held_out(self) -> dict[str, dict[str, float]]:
        """Held-out loss per completion token in all (key ``all``), by origin, task and slice: {"loss", "items"}.

        Raises:
            Interrupted: a signal arrived; whatever was trained stands in the last checkpoint.
        """
        turns = sorted(self.data.held_out, key=lambda turn: turn.length)
        sums: dict[str, list[float]] = {}
        for start in range(0, len(turns), self.config.batch_size):
            if self._stop():
                # On a busy machine this takes longer than a cancelled run is given.
                raise Interrupted
            part = turns[start : start + self.config.batch_size]
            for turn, losses in zip(part, self.engine.losses(part), strict=True):
                for key in ("all", turn.origin, turn.task, *turn.slices):
                    entry = sums.setdefault(key, [0.0, 0, 0])
                    entry[0] += float(losses.sum())
                    entry[1] += len(losses)
                    entry[2] += 1
        return {key: {"loss": total / max(1, tokens), "items": items} for key, (total, tokens, items) in sums.items()}

    def curve_ends(self) -> tuple[float, float]:
        """Mean loss over the first and the last tenth of the steps (at least one)."""
        losses = self.progress.losses
        tenth = max(1, len(losses) // 10)
        return fmean(losses[:tenth]), fmean(losses[-tenth:])


def log_probability(engine: Engine, turn: Turn) -> float:
    """Total log-probability of a turn's completion without its end token, as the model now stands."""
    return -float(engine.losses([turn])[0][:-1].sum())


def mean_length(turns: Sequence[Turn]) -> float:
    """Mean tokens of a turn; 0 for none."""
    return fmean([turn.length for turn in turns]) if turns else 0.0
