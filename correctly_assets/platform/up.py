"""`correctly up`: from nothing to a closed loop, shown to a person.

Belongs here: the order of events, what is printed, and what "the loop has closed" means. Does not belong here: how parts
are supervised (supervisor.py) or what the assets do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from correctly_assets.artifacts.progress import read_progress
from correctly_assets.core.errors import CorrectlyError, RefusedError, UnreachableError, UsageError
from correctly_assets.core.host_check import is_loopback
from correctly_assets.core.retrain import decide_retrain
from correctly_assets.engine.cpu import Cpu, read_cpu
from correctly_assets.engine.key import engine_key
from correctly_assets.engine.launch import detect_device
from correctly_assets.gateway.access import why_closed
from correctly_assets.gateway.own_key import let_chat_in
from correctly_assets.platform.dagster_instance import make_instance, write_instance
from correctly_assets.platform.first_screen import show_corrections, show_scores
from correctly_assets.platform.log_files import LossyOutput
from correctly_assets.platform.processes import Process, common_environment, parts
from correctly_assets.platform.supervisor import (
    Supervisor,
    check_ports,
    claim,
    clear_leftovers,
    remove_record,
    running_supervisor,
    write_record,
)
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PlatformSettings, Settings
from correctly_assets.store.schemas import ensure_schemas
from correctly_assets.training.models.base_model import is_converted
from correctly_assets.training.models.hub import download_base_model
from correctly_assets.workflows.dead_runs import fail_dead_runs
from correctly_assets.workflows.land_rows import land_starter
from correctly_assets.workflows.retrain_state import BESIDE_JOBS, policy, read_retrain_state
from correctly_assets.workflows.starter import install_starter, land_first_batch
from correctly_assets.workflows.upgrade_store import upgrade_store
from correctly_assets.workflows.wiring import open_platform_store

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

    from correctly_assets.store import Store

log = logging.getLogger(__name__)

STAGES = ("examples", "train_set", "lora_adapter", "eval_report", "served_model")


class LoopFailed(CorrectlyError):
    """The loop ended without a served adapter."""

    code = "loop_failed"


def prepare(settings: Settings, console: Console) -> None:
    """Make sure of everything that must exist before any part starts: folders, the base model, the store's tables.

    Raises:
        PermanentError: the embedded model cannot be converted, or the hub has none of the name; RetryableError: the database
            or the hub is away.
    """
    for folder in (
        settings.platform.home,
        settings.platform.home / "mlflow",
        settings.platform.inbox_dir,
        settings.platform.logs_dir,
        settings.platform.adapters_dir,
        settings.platform.snapshots_dir,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    _close_to_others(settings.platform.home)
    target = settings.platform.models_dir / EMBEDDED_BASE_MODEL
    trim = settings.training.trim_vocabulary
    if settings.is_embedded_base and not is_converted(target, trim=trim):
        with waiting(console, "Converting the embedded base model (about a minute, once)", expected=70):
            # A process of its own: transformers and a gigabyte of weights should not stay in the supervisor.
            code = (
                "from pathlib import Path; from correctly_assets.training.models.convert_model import convert_embedded_model; "
                f"convert_embedded_model(Path({str(target)!r}), trim={trim})"
            )
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, env=common_environment(settings.platform)
            )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"code {done.returncode}"
            raise CorrectlyError(f"The embedded base model could not be converted: {last}. Run `make install` again.")
    if settings.is_hub_base and not Path(settings.base_model_path).is_dir():
        console.print(
            f"Downloading {settings.training.base_model} into {settings.base_model_path}, once.", highlight=False
        )
        download_base_model(settings.training.base_model, Path(settings.base_model_path))

    write_instance(settings)
    let_chat_in(settings)
    engine_key(settings.platform.home)
    _name_base_model(settings)
    _upgrade_tables(settings, console)
    open_platform_store(settings.platform).close()


def _upgrade_tables(settings: Settings, console: Console) -> None:
    """Bring all tables up to date; Dagster's and MLflow's while no platform runs on them."""
    runs = running_supervisor(settings.platform.home) is not None
    ensure_schemas(settings.platform)
    made = upgrade_store(settings.platform, others=not runs)
    if made is not None:
        console.print(f"The tables were brought up to date; the backup before that is {made.path}.", soft_wrap=True)


def _name_base_model(settings: Settings) -> None:
    """Give the base model's folder a name that stays the same, for an engine whose command line was written beforehand."""
    link, fresh = settings.platform.served_model_path, settings.platform.models_dir / ".served-new"
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(settings.base_model_path).absolute())
    fresh.replace(link)


def _close_to_others(home: Path) -> None:
    """Take from other users of the machine what an earlier release let them read; one look where HOME is closed already."""
    if not home.stat().st_mode & 0o077:
        return
    for root, folders, names in os.walk(home):
        for path in (Path(root) / name for name in (*folders, *names)):
            # What another process takes away meanwhile, and what belongs to somebody else, is left.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & ~0o077)
    # Last: whoever is killed before comes back here.
    home.chmod(0o700)


def check_machine(settings: Settings, console: Console, cpu: Cpu | None = None) -> None:
    """Say what this machine's processor makes slow, before minutes are spent.

    Args:
        cpu: this machine's when None.

    Raises:
        UsageError: the engine cannot run on it.
    """
    device = detect_device()
    if device == "gpu":
        return
    cpu = cpu or read_cpu()
    if cpu.stops is not None:
        raise UsageError(cpu.stops)
    setting = settings.serving.vllm_dtype
    if message := cpu.slow_warning(cpu.dtype if setting == "auto" else setting):
        console.print(f"[yellow]![/] {message}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def waiting(console: Console, words: str, *, expected: float) -> Iterator[None]:
    """A bar for work whose end is known only roughly: it fills by time and stops short of full until the work is done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=100, left="")
        started, stop = time.monotonic(), threading.Event()

        def run() -> None:
            while not stop.wait(0.5):
                seconds = time.monotonic() - started
                left = f"about {max(1.0, expected - seconds):.0f} s left" if seconds < expected else "a little longer"
                bar.update(task, completed=min(97.0, 100 * seconds / expected), left=left)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def start_parts(settings: Settings, console: Console, *, faces: bool) -> Supervisor:
    """Clear what a killed machine left, then start every part; returns with all of them ready.

    Args:
        faces: start what is there for people alone (Open WebUI) too, after the others and without waiting for it.

    Raises:
        PortTaken: a port is taken; UnreachableError: a part did not become ready.
    """
    cleared = clear_leftovers(settings.platform.home)
    if cleared:
        console.print(f"Cleared {cleared} processes that an earlier platform left behind.")
    wanted = parts(faces=faces)
    check_ports(settings, wanted)
    write_record(settings.platform.home)
    _end_dead_runs(settings, console)
    supervisor = Supervisor(settings)
    supervisor.before_restart["daemon"] = lambda: _end_dead_runs(settings, console)
    console.print(
        f"Starting {', '.join(process.title for process in wanted)}; logs in {settings.platform.logs_dir}",
        highlight=False,
    )
    try:
        needed = [process for process in wanted if not process.face]
        for process in needed:
            for before in (part for part in needed if part.name in process.after):
                supervisor.wait_ready(before)
            supervisor.start(process)
        for process in needed:
            with waiting(console, f"Starting {process.title}", expected=90 if process.name == "vllm" else 25):
                seconds = supervisor.wait_ready(process)
            where = process.url(settings) or "running"
            console.print(
                f"  [green]●[/] {process.title:<14} {where}  [dim]{_reach(process, settings)}({seconds:.0f} s)[/]",
                highlight=False,
            )
        for process in wanted:
            if process.face:
                supervisor.start(process)
                reach = _reach(process, settings)
                console.print(f"  [yellow]●[/] {process.title:<14} {process.url(settings)}  [dim]{reach}(starting)[/]")
    except BaseException:
        supervisor.stop()
        remove_record(settings.platform.home)
        raise
    return supervisor


def _reach(process: Process, settings: Settings) -> str:
    """From where a part can be reached, and what it then asks for."""
    if process.port is None:
        return ""
    if is_loopback(process.host(settings)):
        return "from this machine alone "
    return (
        f"from the network at {process.host(settings)}, with a {'password' if process.name == 'open-webui' else 'key'} "
    )


def _end_dead_runs(settings: Settings, console: Console) -> None:
    """Mark the runs as failed whose worker is gone, while no daemon runs."""
    instance = make_instance(settings)
    try:
        dead = fail_dead_runs(instance)
    finally:
        instance.dispose()
    if dead:
        console.print(
            f"Marked {len(dead)} unfinished {'run' if len(dead) == 1 else 'runs'} as failed: the worker is gone."
        )


def up(settings: Settings, console: Console, *, once: bool) -> int:
    """Start the platform, close the loop, show the result; then stay (or, with ``once``, stop).

    Returns:
        The exit code.

    Raises:
        CorrectlyError: the loop could not be closed, with the reason.
    """
    if (why := why_closed(settings.platform)) is not None:
        raise UsageError(why)
    check_machine(settings, console)
    prepare(settings, console)
    lock = claim(settings.platform.home)
    if lock is None:
        return _with_running_platform(settings, console, once=once)
    # A disk that is full must not end the platform for want of a place to say so.
    console.file = cast("IO[str]", LossyOutput(console.file))
    with lock:
        return _supervise(settings, console, once=once)


def _with_running_platform(settings: Settings, console: Console, *, once: bool) -> int:
    """What `up` does where another process supervises this HOME."""
    other = running_supervisor(settings.platform.home)
    if other is None:
        raise UnreachableError("Another `correctly up` is starting this platform: look again in a minute.")
    if once:
        return _close_and_show(settings, console, lambda: None)
    console.print(
        f"The platform already runs (process {other.pid}): {settings.platform.gateway_url}. Stop it with `correctly down`."
    )
    return 0


def _supervise(settings: Settings, console: Console, *, once: bool) -> int:
    # SIGTERM (correctly down, systemd) ends like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    supervisor: Supervisor | None = None
    started = time.monotonic()
    try:
        if install_starter(settings) is not None:
            console.print(f"The adapter that ships serves as r0000; its examples have landed ({_seconds(started)}).")
        supervisor = start_parts(settings, console, faces=not once)
        try:
            code = _close_and_show(settings, console, lambda: _restart_dead(supervisor, console))
        except (RefusedError, LoopFailed) as error:
            if once:
                raise
            # Whoever stays wants to look at the run, or to be served by the champion there is.
            console.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            code = error.exit_code
        except Exception as error:
            # A database that restarts, say, is no reason to stop what people use: only they stop it.
            if once:
                raise
            log.exception("Showing how the loop closes failed; the platform runs on.")
            console.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            code = 1
        if once:
            return code
        console.print("\nThe platform runs; files moved into the inbox land by themselves. Ctrl-C stops it.")
        console.print(
            f"  chat and API {settings.platform.gateway_url}   Dagster {settings.platform.dagster_url}   inbox {settings.platform.inbox_dir}"
        )
        while True:
            time.sleep(1)
            _restart_dead(supervisor, console)
    except KeyboardInterrupt:
        console.print("\nStopping …")
        return 0 if not once else 130
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if supervisor is not None:
            supervisor.stop()
        remove_record(settings.platform.home)


def _restart_dead(supervisor: Supervisor | None, console: Console) -> None:
    if supervisor is not None:
        if _engine_is_corrupted(supervisor):
            supervisor.end("vllm")
        for name in supervisor.restart_dead():
            console.print(f"  [yellow]●[/] {name} had ended and was started again; see `correctly logs {name}`.")


def _engine_is_corrupted(supervisor: Supervisor) -> bool:
    """Whether the gateway asks for the engine's restart: once NaN was computed, no answer of that process can be trusted."""
    try:
        state = supervisor.client.get(f"{supervisor.settings.platform.gateway_url}/readyz", timeout=2).json()
    except (httpx.HTTPError, ValueError):
        return False
    return bool(state.get("restart_engine"))


def _close_and_show(settings: Settings, console: Console, restart_dead: Callable[[], None]) -> int:
    landed = land_starter(settings)
    if landed:
        console.print(f"Landed {landed} starter examples.")
    instance = make_instance(settings)
    store = open_platform_store(settings.platform)
    try:
        champion = store.champion()
        if champion is not None:
            _wait_served(settings.platform, console, restart_dead)
        if champion is not None and champion.id == "r0000":
            # People can write from here on; the loop closes beside them, once, over what was kept out of this adapter.
            show_corrections(settings, console)
            if more := land_first_batch(settings):
                console.print(f"\nLanded {more} examples more, to show the loop once: it trains on from {champion.id}.")
        if champion and read_retrain_state(store, instance, settings).want == _decided(store):
            console.print(f"nothing new since {champion.id}")
        else:
            _close_while_serving(settings, instance, store, console, restart_dead, serving=champion is not None)
            _wait_served(settings.platform, console, restart_dead)
        show_scores(store, console)
        show_corrections(settings, console)
    finally:
        store.close()
        instance.dispose()
    return 0


def _close_while_serving(
    settings: Settings,
    instance: DagsterInstance,
    store: Store,
    console: Console,
    restart_dead: Callable[[], None],
    *,
    serving: bool,
) -> None:
    """Close the loop; where a release serves already, a refusal by the gate is an answer and no failure."""
    try:
        close_loop(settings, instance, store, console, restart_dead)
    except RefusedError as error:
        if not serving:
            raise
        console.print(f"{error} The release before it keeps serving.", highlight=False, soft_wrap=True)


def _seconds(since: float) -> str:
    return f"{time.monotonic() - since:.0f} s"


def _decided(store: Store) -> str | None:
    last = store.last_decision()
    return last.fingerprint if last else None


def close_loop(
    settings: Settings, instance: DagsterInstance, store: Store, console: Console, restart_dead: Callable[[], None]
) -> None:
    """Wait until what has landed is decided, showing the stages of the run.

    Raises:
        RefusedError: the gate refused the candidate and nothing serves; LoopFailed: training cannot succeed unchanged, the
            sensor gave up, or a person canceled the run.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    reported: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 4 * 3600
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Waiting for the retrain sensor", total=None, note="")
        while time.monotonic() < deadline:
            restart_dead()
            state = read_retrain_state(store, instance, settings)
            last = store.last_decision()
            # Reactions are read, or the platform is backed up, meanwhile: that is no run of the loop.
            runs = [run for run in instance.get_runs(limit=20) if run.job_name not in BESIDE_JOBS][:1]
            # Told before the end is looked at: the last stage is done in the same moment as the decision.
            done = _tell_stages(instance, runs[0], reported, console) if runs else []
            if last is not None and state.want == last.fingerprint and not state.in_flight:
                if last.verdict == "promoted":
                    return
                reasons = " ".join(last.reasons)
                if last.verdict == "refused":
                    raise RefusedError(f"The gate refused adapter {last.adapter}: {reasons}")
                raise LoopFailed(f"The loop did not close: {reasons}")
            if state.canceled is not None and not state.in_flight:
                raise LoopFailed(f"The loop did not close: {decide_retrain(state, policy(settings.training)).message}")
            if runs and runs[0].run_id in state.in_flight:
                _show_stage(settings.platform, bar, task, next((s for s in STAGES if s not in done), STAGES[-1]))
            else:
                # A run that may start now starts at the sensor's next tick.
                note = decide_retrain(state, policy(settings.training)).message
                bar.update(task, description="Waiting for the retrain sensor", note=note)
            time.sleep(1)
    raise LoopFailed("The loop did not close within four hours: see the run in the Dagster UI.")


def _tell_stages(
    instance: DagsterInstance, run: DagsterRun, reported: set[tuple[str, str]], console: Console
) -> list[str]:
    """Print why a run runs and each stage that it has finished, once; returns those stages."""
    from dagster import DagsterEventType

    why = run.tags.get("correctly/why")
    if why and (run.run_id, "") not in reported:
        reported.add((run.run_id, ""))
        console.print(f"Run {run.run_id[:8]}: {why}", highlight=False, soft_wrap=True)
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_SUCCESS)
    done = [e.dagster_event.step_key for e in entries if e.dagster_event and e.dagster_event.step_key in STAGES]
    for step in done:
        if step is not None and (run.run_id, step) not in reported:
            reported.add((run.run_id, step))
            console.print(f"  [green]✓[/] {step}")
    return [step for step in done if step is not None]


def _show_stage(platform: PlatformSettings, bar: Progress, task, stage: str) -> None:
    progress = read_progress(platform.progress_path)
    if progress is None or not progress.total:
        bar.update(task, description=f"{stage}", total=None, note="")
        return
    left = "" if progress.seconds_left is None else f"about {progress.seconds_left:.0f} s left"
    bar.update(
        task,
        description=f"{stage}: {progress.stage}",
        total=progress.total,
        completed=progress.done,
        note=f"{left} {progress.note}",
    )


def _wait_served(platform: PlatformSettings, console: Console, restart_dead: Callable[[], None]) -> None:
    """Wait until the gateway serves the champion.

    Raises:
        UnreachableError: it does not within five minutes; the message is the gateway's own.
    """
    started, message = time.monotonic(), ""
    patience = 300
    with waiting(console, "Waiting for the champion to be served", expected=20):
        while time.monotonic() - started < patience:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                answer = httpx.get(f"{platform.gateway_url}/readyz", timeout=5, trust_env=False)
                if answer.status_code == 200:
                    return
                message = answer.text[:300]
            restart_dead()
            time.sleep(0.5)
    raise UnreachableError(f"The gateway does not serve the champion: {message} See `correctly logs gateway`.")
