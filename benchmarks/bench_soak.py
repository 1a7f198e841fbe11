"""`make bench-soak`: half an hour of mixed load on the real gateway and engine, and what swaps, rollbacks and a training
run do to people who chat meanwhile.

    python -m benchmarks.bench_soak --adapter DIR                       half an hour of load
    python -m benchmarks.bench_soak --swap --adapter DIR --adapter DIR  ten swaps under 16 clients
    python -m benchmarks.bench_soak --rollback --adapter DIR --adapter DIR
    python -m benchmarks.bench_soak --training --adapter DIR            chat beside a training run
    python -m benchmarks.bench_soak --memory --adapter DIR              what the engine's memory grows with

Each part writes ``results/soak.json``, ``soak_swap.json`` and so on. ``--fake`` tries a part against an engine that answers
at once; it measures nothing and writes no results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common import RESULTS, ROOT, figure, quantile, write_results
from benchmarks.serve_gateway import SWAPPED, swapped
from benchmarks.serve_parts import end, running, sentences, until
from benchmarks.soak_load import Memory, Mix, growth
from benchmarks.soak_memory import memory
from benchmarks.soak_place import Place, adapters, place
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.settings import Settings

TRAINER_NICE = 10  # as the platform's trainer (resources/trainer_resource.py)
SWAPS, REQUESTS, CLIENTS = 10, 2000, 16

# figure: (unit, floor, goal, better)
KNOWN: dict[str, tuple[str, float | None, float | None, str]] = {
    "errors_not_the_clients": ("answers", 0, 0, "lower"),
    "feedback_lost": ("reactions", 0, 0, "lower"),
    "requests": ("requests", None, None, "higher"),
    "gateway_growth": ("MB per 1,000 requests", None, 0, "lower"),
    "gateway_growth_error": ("MB per 1,000 requests", None, None, "lower"),
    "engine_growth": ("MB per 1,000 requests", None, 0, "lower"),
    "engine_growth_error": ("MB per 1,000 requests", None, None, "lower"),
    "swap_requests_failed": ("requests", 0, 0, "lower"),
    "swap_answers_by_the_wrong_release": ("answers", 0, 0, "lower"),
    "swap_answers_of_neither": ("answers", None, 0, "lower"),
    "swap_flip_slowest": ("s", 2, 2, "lower"),
    "swap_load_and_proof_slowest": ("s", None, None, "lower"),
    "swap_sentence_p50": ("s", None, None, "lower"),
    "rollback_warm": ("s", 2, 2, "lower"),
    "rollback_command": ("s", None, None, "lower"),
    "rollback_cold": ("s", 120, 120, "lower"),
    "equal_growth_before": ("MB per 1,000 requests", None, 0, "lower"),
    "equal_growth_after": ("MB per 1,000 requests", None, 0, "lower"),
    "mixed_added": ("MB", None, None, "lower"),
    "chat_idle_p50": ("s", None, None, "lower"),
    "chat_training_p50": ("s", None, None, "lower"),
    "chat_training_over_idle": ("times", 3, 3, "lower"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--adapter", type=Path, action="append", default=[], help="an adapter's directory; the champion's"
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the load lasts")
    parser.add_argument("--clients", type=int, default=4, help="requests under way at once in the half hour")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--swap", action="store_true")
    parser.add_argument("--rollback", action="store_true")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks at memory")
    parser.add_argument("--fake", action="store_true", help="try it against an engine that answers at once; no results")
    chosen = parser.parse_args()
    parts = [name for name in ("swap", "rollback", "training", "memory") if getattr(chosen, name)] or ["soak"]
    for part in parts:
        with tempfile.TemporaryDirectory(prefix=f"bench-{part}-") as work:
            figures, more = asyncio.run(PARTS[part](chosen, Path(work) / "home"))
        report(part, figures, more, chosen)


def report(part: str, figures: dict[str, float], more: dict[str, Any], chosen: argparse.Namespace) -> None:
    """Write a part's results, or only say them where they measure nothing."""
    shown: dict[str, dict[str, Any]] = {}
    for key, value in figures.items():
        unit, floor, goal, better = KNOWN.get(key, ("ms", None, None, "lower"))
        shown[key] = figure(value, unit, floor=floor, goal=goal, better=better)  # pyright: ignore[reportArgumentType]
    if chosen.fake:
        for key, item in shown.items():
            print(f"tried {key} {item['value']:g} {item['unit']}")
        print(json.dumps(more)[:2000])
        return
    write_results("soak" if part == "soak" else f"soak_{part}", shown, rounds=1, **more)
    if part == "soak":
        plot(more, RESULTS / "soak.png")


# ---------------------------------------------------------------- half an hour of load


async def soak(chosen: argparse.Namespace, home: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Mixed load for the given minutes; errors, memory growth, latency over time."""
    [adapter] = adapters(chosen, home, 1)
    seconds = 60 * chosen.minutes
    warm = min(180.0, seconds / 5)
    async with place(home, fake=chosen.fake) as at:
        release = at.release(at.bring(adapter))
        async with at.engine(), at.gateway_process():
            await at.serves(release)
            mix = Mix(at.gateway, [before for before, _ in sentences(chosen.sentences)], seed=at.settings.training.seed)
            roots = {"gateway": at.gateway_pid, "engine": at.engine_pid}
            memory = Memory(roots, lambda: mix.tally.done, chosen.every)
            memory.start()
            tally = await mix.run(seconds, chosen.clients)
            samples = memory.stop()
            ready = (await at.client.get(f"{at.gateway}/readyz")).json()
        # The gateway has ended and written its journal: what it acknowledged must be on disk.
        kept = sum(
            len(at.store.feedback(state, tally.done))
            for state in ("pending", "landed", "thumb", "quarantined", "ignored")
        )
    figures: dict[str, float] = {
        "errors_not_the_clients": len(tally.wrong) + (not ready["ready"]),
        "feedback_lost": tally.feedback - kept,
        "requests": tally.done,
    }
    for name in roots:
        slope = growth(samples, name, after_seconds=warm)
        if slope is not None:
            figures[f"{name}_growth"], figures[f"{name}_growth_error"] = slope
    for kind in sorted({kind for _, kind, _ in tally.times}):
        values = [1000 * seconds for _, of, seconds in tally.times if of == kind]
        figures[f"{kind}_p50"], figures[f"{kind}_p95"] = quantile(values, 50), quantile(values, 95)
    answers = [{"kind": kind, "outcome": how, "n": n} for (kind, how), n in sorted(tally.outcomes.items())]
    more = {
        "minutes": chosen.minutes,
        "clients": chosen.clients,
        "warm_up_seconds": warm,
        "answers": answers,
        "wrong": tally.wrong[:50],
        "memory": samples,
        "over_time": tally.over_time(max(60.0, seconds / 30)),
    }
    return figures, more


def plot(more: dict[str, Any], path: Path) -> None:
    """Memory over time above, p50 by kind below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    drawn, (above, below) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True)
    samples = more["memory"]
    minutes = [sample["seconds"] / 60 for sample in samples]
    for name, colour in (("gateway", "#4c72b0"), ("engine", "#c44e52")):
        first = samples[0][name] if samples else 0.0
        grown = [sample[name] - first for sample in samples]
        above.plot(minutes, grown, color=colour, label=f"{name}, from {first:,.0f} MB")
    above.axvspan(0, more["warm_up_seconds"] / 60, color="#eeeeee")
    above.set_ylabel("memory since the first look (MB)")
    above.legend(frameon=False)
    for kind in sorted({row["kind"] for row in more["over_time"]}):
        rows = [row for row in more["over_time"] if row["kind"] == kind]
        below.plot([row["minute"] for row in rows], [row["p50"] for row in rows], label=kind)
    below.set_yscale("log")
    below.set(xlabel="minutes", ylabel="p50 (ms)")
    below.legend(frameon=False, ncols=5, fontsize=7)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    drawn.tight_layout()
    drawn.savefig(path, dpi=120)
    pyplot.close(drawn)


# ---------------------------------------------------------------- ten swaps


async def swap(chosen: argparse.Namespace, home: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Ten swaps between two adapters while 16 clients send 2,000 requests.

    Every swap loads a copy under a name of its own, so that it is a whole one: load, proof, flip, and the unloading of what
    is older than the previous release. An answer says which adapter gave it; that it tells the truth is seen by its text,
    for only sentences are sent that the two adapters correct differently.
    """
    both = adapters(chosen, home, 2)
    async with place(home, fake=chosen.fake) as at:
        first = at.release(at.bring(both[0], "start0"))
        async with at.engine(), at.gateway_process():
            await at.serves(first)
            texts, meant = await telling_sentences(at, both, chosen.sentences)
            seen = Seen()
            flips: list[float] = []
            proofs: list[float] = []

            async def ask(number: int) -> None:
                while seen.sent < REQUESTS:
                    seen.sent += 1
                    await seen.one(at, texts[(number + seen.sent) % len(texts)], meant)

            async def change() -> None:
                for n in range(SWAPS):
                    while seen.sent < (n + 1) * REQUESTS / (SWAPS + 1):
                        await asyncio.sleep(0.02)
                    name = at.bring(both[n % 2], f"swap{n + 1:02}side{n % 2}")
                    proofs.append(await at.prove(name))
                    release = await asyncio.to_thread(at.release, name)
                    flips.append(await at.serves(release, 60))

            await asyncio.gather(change(), *(ask(number) for number in range(CLIENTS)))
    figures = {
        "swap_requests_failed": seen.failed,
        "swap_answers_by_the_wrong_release": seen.wrong,
        "swap_answers_of_neither": seen.neither,
        "swap_flip_slowest": max(flips),
        "swap_load_and_proof_slowest": max(proofs),
        "swap_sentence_p50": quantile(seen.seconds, 50),
    }
    more = {"swaps": len(flips), "telling_sentences": len(texts), "flips": flips, "says": seen.says[:20]}
    return figures, more


class Seen:
    """What came of the requests during swaps."""

    def __init__(self) -> None:
        self.sent = self.failed = self.wrong = self.neither = 0
        self.seconds: list[float] = []
        self.says: list[str] = []

    async def one(self, at: Place, text: str, meant: dict[str, tuple[str, str]]) -> None:
        started = time.perf_counter()
        try:
            status, done = await at.correct(text)
        except httpx.HTTPError as error:
            status, done = 0, {"error": repr(error)}
        if status != 200:
            self.failed += 1
            self.says.append(f"{status} {done}")
            return
        self.seconds.append(time.perf_counter() - started)
        if at.fake:  # each of the fake engine's adapters has a word of its own
            self.wrong += done["after"] != swapped(done["adapter"])
            return
        side = 0 if done["adapter"] == "start0" else int(done["adapter"][-1])
        own, other = meant[text][side], meant[text][1 - side]
        if done["after"] == other:
            self.wrong += 1
            self.says.append(f"{done['adapter']} gave the other's {other!r}")
        elif done["after"] != own:
            # Rounding differs with what else is in the batch: neither adapter's answer, but not the other's either.
            self.neither += 1


async def telling_sentences(at: Place, both: list[Path], count: int) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Sentences that the two adapters correct differently, and both corrections."""
    if at.fake:
        return [SWAPPED], {}
    given: list[dict[str, str]] = []
    for n, adapter in enumerate(both):
        await at.serves(at.release(at.bring(adapter, f"start{n}"), "to see what it answers"))
        answers = [(before, (await at.correct(before))[1]["after"]) for before, _ in sentences(count)]
        given.append(dict(answers))
    meant = {text: (given[0][text], given[1][text]) for text in given[0] if given[0][text] != given[1][text]}
    if len(meant) < 3:
        raise SystemExit("The two adapters answer alike, so no answer would tell which gave it: choose others.")
    await at.serves(at.release("start0", "as before"))
    return list(meant), meant


# ---------------------------------------------------------------- rollbacks


async def rollback(chosen: argparse.Namespace, home: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds until the release before answers again: while it stands by, by the command, and after everything was killed."""
    from correctly_assets.workflows.make_corrector import DirectEngine
    from correctly_assets.workflows.promote import roll_back

    both = adapters(chosen, home, 2)
    figures: dict[str, float] = {}
    async with place(home, fake=chosen.fake) as at, AsyncExitStack() as stack:
        names = [at.bring(adapter) for adapter in both]
        at.release(names[0])
        release = at.release(names[1])
        engine = await stack.enter_async_context(at.engine())
        await stack.enter_async_context(at.gateway_process())
        await at.serves(release)
        if not chosen.fake:
            started = time.perf_counter()
            back = await roll_back(at.settings, at.store, DirectEngine.of(at.settings), "bench")
            await at.serves(back.release)
            figures["rollback_warm"] = time.perf_counter() - started
            await at.serves(at.release(names[1]))
            started = time.perf_counter()
            command = [sys.executable, "-m", "correctly_assets.cli", "rollback", "--why", "bench"]
            child = await asyncio.create_subprocess_exec(*command, env={**os.environ, **at.environment}, cwd=ROOT)
            if await child.wait():
                raise SystemExit("`correctly rollback` failed; its words are above.")
            figures["rollback_command"] = time.perf_counter() - started
        else:
            started = time.perf_counter()
            await at.serves(at.release(names[0]))
            figures["rollback_warm"] = time.perf_counter() - started
        # Cold: the engine is killed and knows no adapter any more; the release before is written down without it.
        release = at.release(names[1])
        await at.serves(release)
        end(engine, signal.SIGKILL)
        engine.wait()
        started = time.perf_counter()
        if not chosen.fake:
            # Beside the engine's start, as the supervisor's: it waits a while for the gateway to serve.
            rolling = asyncio.create_task(
                roll_back(at.settings, at.store, DirectEngine.of(at.settings), "bench, without an engine")
            )
            await stack.enter_async_context(at.engine())
            release = (await rolling).release
        else:
            release = at.release(names[0], "rolled back while the engine was away")
            await stack.enter_async_context(at.engine())
        await at.serves(release)
        status, done = await at.correct("She go to the office every days.")
        if status != 200 or done["adapter"] != names[0]:
            raise SystemExit(f"After the rollback {done.get('adapter')} answers ({status}).")
        figures["rollback_cold"] = time.perf_counter() - started
    return figures, {}


# ---------------------------------------------------------------- chat beside a training run


async def training(chosen: argparse.Namespace, home: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """p50 of a chat answer alone, and while a real training child runs beside, niced as the platform does."""
    if chosen.fake:
        raise SystemExit("A training run needs the model: there is no --fake of it.")
    [adapter] = adapters(chosen, home, 1)
    texts = [before for before, _ in sentences(chosen.sentences)]
    async with place(home, fake=False) as at:
        release = at.release(at.bring(adapter))
        config, progress = training_config(at.settings, home / "training")
        async with at.engine(), at.gateway_process():
            await at.serves(release)
            for text in texts[:4]:
                await chat_seconds(at, text)
            idle = [await chat_seconds(at, text) for text in texts]
            command = ["nice", "-n", str(TRAINER_NICE), sys.executable, "-m", "correctly_assets.training", str(config)]
            with running(command, at.environment) as child:
                await until(lambda: trains(child, progress), 300)
                beside = [await chat_seconds(at, text) for text in texts]
                if child.poll() is not None:
                    raise SystemExit("The training run ended before the chat was measured: use fewer --sentences.")
                steps = json.loads(progress.read_text())["step"]
    figures = {
        "equal_growth_before": ("MB per 1,000 requests", None, 0, "lower"),
        "equal_growth_after": ("MB per 1,000 requests", None, 0, "lower"),
        "mixed_added": ("MB", None, None, "lower"),
        "chat_idle_p50": quantile(idle, 50),
        "chat_training_p50": quantile(beside, 50),
        "chat_training_over_idle": quantile(beside, 50) / quantile(idle, 50),
    }
    return figures, {"sentences": len(texts), "training_steps_meanwhile": steps, "idle": idle, "beside": beside}


async def chat_seconds(at: Place, text: str) -> float:
    """Seconds to a whole chat answer, reasons included."""
    body = {"model": "correctly", "messages": [{"role": "user", "content": text}]}
    started = time.perf_counter()
    (await at.client.post(f"{at.gateway}/v1/chat/completions", json=body)).raise_for_status()
    return time.perf_counter() - started


async def trains(child: Any, progress: Path) -> bool:
    """Whether the child has done its first steps."""
    if child.poll() is not None:
        raise SystemExit(f"The training run ended at its start ({child.returncode}).")
    try:
        return json.loads(progress.read_text()).get("step", 0) >= 3
    except (OSError, ValueError):
        return False


def training_config(settings: Settings, work: Path) -> tuple[Path, Path]:
    """A config over the shipped examples that trains for longer than the chat is measured; and its progress file."""
    from correctly_assets.artifacts.train_set import TRAIN_FILE, write_train_set
    from correctly_assets.core.types import TrainPair

    pairs: list[TrainPair] = []
    for path in settings.platform.starter_paths:
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            name, after = f"p{len(pairs)}", row.get("after") or row["before"]
            pairs.append(TrainPair(name, name, "example", row["before"], after, ()))
    made = write_train_set(pairs, work / "sets", TrainSetManifest(), sql_dir=settings.platform.sql_dir)
    progress = work / "progress.json"
    config = {
        "train_set": str(work / "sets" / made.id / TRAIN_FILE),
        "base_model": settings.base_model_path,
        "adapters_dir": str(work / "adapters"),
        "checkpoint_dir": str(work / "checkpoint"),
        "prompts_dir": str(settings.platform.prompts_dir),
        "stages": [{"name": "all", "passes": 50}],
        "lora": {"rank": settings.training.lora_rank, "alpha": 2 * settings.training.lora_rank},
        "batch_size": settings.training.batch_size,
        "progress_path": str(progress),
    }
    (work / "config.json").write_text(json.dumps(config))
    return work / "config.json", progress


PARTS = {"soak": soak, "swap": swap, "rollback": rollback, "training": training, "memory": memory}


if __name__ == "__main__":
    main()
