"""The checks of `correctly doctor`: machine, files, store, processes and doors, each with its remedy.

Belongs here: the checks, one function each in one list. Does not belong here: what the parts themselves refuse at start. A
check reads and changes nothing; what `--fix` does is a function of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, TypedDict

import psutil

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, artefacts_in, read_manifest
from correctly_assets.artifacts.snapshots import sweep_leftovers
from correctly_assets.core.host_check import is_loopback
from correctly_assets.curation.inbox import inbox_trouble
from correctly_assets.engine.cpu import Cpu, read_cpu
from correctly_assets.engine.launch import detect_device
from correctly_assets.gateway.access import known_keys, why_closed
from correctly_assets.platform.processes import parts
from correctly_assets.platform.status import EngineStatus, read_engines, read_services
from correctly_assets.platform.supervisor import check_ports, leftovers, record_path, remove_record, running_supervisor
from correctly_assets.settings import Settings
from correctly_assets.store.copies import is_sqlite_file
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import missing_migrations
from correctly_assets.workflows.back_up import newest_backup
from correctly_assets.workflows.collect_garbage import MIN_FREE_BYTES
from correctly_assets.workflows.other_tables import old_tables
from correctly_assets.workflows.promote import serving_summary
from correctly_assets.workflows.wiring import read_platform_store

Status = Literal["ok", "warning", "problem"]
_COMFORTABLE = 3 * MIN_FREE_BYTES
_LEAST_MEMORY = 12_000_000_000
_OLD_BACKUP = timedelta(hours=48)


class FindingJson(TypedDict):
    """A finding in ``doctor --json``."""

    name: str
    status: Status
    says: str
    remedy: str | None
    fixed: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``remedy`` is None where all is well; ``fixed`` says that `--fix` put it right."""

    name: str
    status: Status
    message: str
    remedy: str | None = None
    fixed: bool = False

    def to_json(self) -> FindingJson:
        """The shape of ``doctor --json``; ``says`` is the message."""
        return {
            "name": self.name,
            "status": self.status,
            "says": self.message,
            "remedy": self.remedy,
            "fixed": self.fixed,
        }


Check = Callable[[Settings], Finding]


# ------------------------------------------------------------------ decisions over numbers


def judge_disk(free: int) -> Finding:
    """Free bytes under HOME."""
    message = f"{free / 1e9:.1f} GB are free under HOME."
    remedy = "Run `correctly gc`, or free some space."
    if free < MIN_FREE_BYTES:
        return Finding("disk", "problem", f"{message} No run starts below {MIN_FREE_BYTES / 1e9:.0f}.", remedy)
    return Finding("disk", "warning", message, remedy) if free < _COMFORTABLE else Finding("disk", "ok", message)


def judge_memory(total: int) -> Finding:
    """Bytes of the machine's memory."""
    message = f"The machine has {total / 1e9:.0f} GB of memory."
    if total < _LEAST_MEMORY:
        return Finding("memory", "warning", message, "The platform wants 12 GB while it trains; close other programs.")
    return Finding("memory", "ok", message)


def judge_backup(at: datetime | None, now: datetime) -> Finding:
    """When the newest backup was made."""
    remedy = "Run `correctly backup`, and start Dagster's schedule daily_backup (CORRECTLY_BACKUP_DAILY=true)."
    if at is None:
        return Finding("backup", "warning", "There is no backup.", remedy)
    message = f"The newest backup is {(now - at).total_seconds() / 3600:.0f} hours old."
    return Finding("backup", "warning", message, remedy) if now - at > _OLD_BACKUP else Finding("backup", "ok", message)


def judge_engines(engines: list[EngineStatus], serving: str | None) -> Finding:
    """Each of several engines, beside the adapter that serves."""
    wrong: list[str] = []
    for place, engine in enumerate(engines, 1):
        if engine["corrupted"]:
            wrong.append(f"engine {place} ({engine['url']}) has computed NaN")
        elif not engine["up"]:
            wrong.append(f"engine {place} ({engine['url']}) does not answer")
        elif serving is not None and serving not in engine["adapters"]:
            wrong.append(f"engine {place} ({engine['url']}) does not have adapter {serving}")
    if wrong:
        remedy = "Start it again where it runs; `correctly logs gateway` says why one does not take an adapter."
        return Finding("engines", "problem", f"Of {len(engines)} engines, {'; '.join(wrong)}.", remedy)
    return Finding("engines", "ok", f"All {len(engines)} engines answer and have what serves.")


def judge_instructions(cpu: Cpu) -> Finding:
    """Whether the engine runs on a processor, and whether it is slow there."""
    if cpu.stops is not None:
        return Finding(
            "instructions", "problem", cpu.stops, "Use another machine, or a GPU (`make install ACCELERATOR=gpu`)."
        )
    if (slow := cpu.slow_warning(cpu.dtype)) is not None:
        return Finding("instructions", "warning", slow, "Use a newer processor or a GPU where it is too slow.")
    return Finding("instructions", "ok", "The processor has what vLLM needs.")


def judge_pins(wanted: dict[str, str], installed: dict[str, str | None]) -> Finding:
    """Versions that are wanted and those that are installed, by package."""
    off = [
        f"{name} {installed.get(name) or 'missing'} (wanted {pin})"
        for name, pin in wanted.items()
        if installed.get(name) != pin
    ]
    if off:
        return Finding(
            "pins", "warning", f"Other versions than the pinned: {', '.join(off[:5])}.", "Run `make install`."
        )
    return Finding("pins", "ok", f"{len(wanted)} packages are the pinned ones.")


# ------------------------------------------------------------------ the machine


def check_python(settings: Settings) -> Finding:
    """Whether a supported Python runs this."""
    message = f"Python {sys.version_info.major}.{sys.version_info.minor} runs this."
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        return Finding("python", "problem", message, "Install Python 3.11 or 3.12, and run `make install`.")
    return Finding("python", "ok", message)


def check_pins(settings: Settings) -> Finding:
    """The installed packages against the versions that the package names."""
    try:
        listed = requires("correctly") or []
    except PackageNotFoundError:
        return Finding("pins", "warning", "Correctly is not installed as a package.", "Run `make install`.")
    found = [re.match(r"([\w.-]+)==([\w.!+]+)\s*(;.*extra.*)?$", line) for line in listed]
    wanted = {match[1]: match[2] for match in found if match and not match[3]}
    return judge_pins(wanted, {name: _installed(name) for name in wanted})


def _installed(name: str) -> str | None:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return None


def check_instructions(settings: Settings) -> Finding:
    """Whether the processor has the instructions that vLLM needs; a GPU needs none of them."""
    if detect_device() == "gpu":
        return Finding("instructions", "ok", "The engine runs on the GPU.")
    return judge_instructions(read_cpu())


def check_memory(settings: Settings) -> Finding:
    """The machine's memory."""
    return judge_memory(psutil.virtual_memory().total)


def check_disk(settings: Settings) -> Finding:
    """Free space under HOME."""
    home = settings.platform.home
    there = next(parent for parent in (home, *home.parents) if parent.is_dir())
    return judge_disk(shutil.disk_usage(there).free)


def check_pg_dump(settings: Settings) -> Finding:
    """What a backup of a PostgreSQL database needs."""
    if settings.platform.database_url and not shutil.which("pg_dump"):
        return Finding(
            "pg_dump", "problem", "pg_dump is missing: no backup can be made.", "apt-get install postgresql-client"
        )
    return Finding("pg_dump", "ok", "What backups need is installed.")


def check_chat(settings: Settings) -> Finding:
    """Whether Open WebUI is installed."""
    if not any(part.name == "open-webui" for part in parts()):
        return Finding("chat", "warning", "Open WebUI is not installed: there is no chat page.", "Run `make install`.")
    return Finding("chat", "ok", "Open WebUI is installed.")


# ------------------------------------------------------------------ files


def check_home(settings: Settings) -> Finding:
    """Whether HOME is there and can be written."""
    home = settings.platform.home
    if not home.is_dir():
        return Finding("home", "problem", "HOME is not there yet.", "Run `correctly up`.")
    if not os.access(home, os.W_OK):
        return Finding("home", "problem", "HOME cannot be written.", f"Give yourself the right to write {home}.")
    return Finding("home", "ok", "HOME can be written.")


def _open_files(settings: Settings) -> list[Path]:
    home = settings.platform.home
    if not home.is_dir() or not home.stat().st_mode & 0o077:
        return []  # nobody else can go in, whatever rights the files have
    secret = ("gateway-keys.json", "store.sqlite", "run/own-key", "webui/secret-key", "webui/admin-password")
    open_files = [path for name in secret if (path := home / name).is_file() and path.stat().st_mode & 0o077]
    return [home, *open_files]


def check_rights(settings: Settings) -> Finding:
    """Whether others on this machine can read texts and secrets."""
    found = ["HOME" if path.is_dir() else path.name for path in _open_files(settings)]
    if found:
        message = f"Others on this machine can read {', '.join(found)}."
        return Finding("rights", "problem", message, "Run `correctly doctor --fix`.")
    return Finding("rights", "ok", "Texts and secrets can be read by their owner alone.")


def fix_rights(settings: Settings) -> None:
    """Close HOME, and the files in it that hold texts and secrets, to everybody but their owner."""
    for path in _open_files(settings):
        path.chmod(0o700 if path.is_dir() else 0o600)


def check_base_model(settings: Settings) -> Finding:
    """Whether the base model is there and its files are whole."""
    directory = Path(settings.base_model_path)
    remedy = "Run `correctly prepare`."
    if not (directory / "config.json").is_file():
        return Finding("base_model", "problem", "The base model is not there.", remedy)
    for file in directory.glob("*.safetensors"):
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
        if length + 8 > file.stat().st_size:
            return Finding(
                "base_model", "problem", f"{file.name} of the base model is cut off.", f"Remove {directory}. {remedy}"
            )
    return Finding("base_model", "ok", "The base model's files are whole.")


def check_adapters(settings: Settings) -> Finding:
    """Every adapter's files against the hashes in its manifest."""
    bad: list[str] = []
    for path in artefacts_in(settings.platform.adapters_dir):
        try:
            files = read_manifest(path, AdapterManifest).files
            if any(not (path / name).is_file() or sha256_file(path / name) != sha for name, sha in files.items()):
                bad.append(path.name)
        except ManifestError:
            bad.append(path.name)
    if bad:
        remedy = "Restore it from a backup, or remove it; `correctly rollback` serves another."
        return Finding("adapters", "problem", f"Files are not as they were written: {', '.join(bad)}.", remedy)
    return Finding("adapters", "ok", "Every adapter's files are as they were written.")


def check_leftovers(settings: Settings) -> Finding:
    """Folders that killed runs left, a day old or more."""
    old = datetime.now(UTC).timestamp() - 86_400
    folders = (settings.platform.adapters_dir, settings.platform.snapshots_dir)
    found = [
        p for folder in folders for kind in (".new-*", ".stage-*") for p in folder.glob(kind) if p.stat().st_mtime < old
    ]
    if found:
        return Finding(
            "leftovers", "warning", f"Killed runs left {len(found)} folders.", "Run `correctly doctor --fix`."
        )
    return Finding("leftovers", "ok", "Killed runs left nothing behind.")


def fix_leftovers(settings: Settings) -> None:
    """Remove what killed runs left."""
    for folder in (settings.platform.adapters_dir, settings.platform.snapshots_dir):
        sweep_leftovers(folder)


def check_logs(settings: Settings) -> Finding:
    """How much room the logs take."""
    size = (
        sum(path.stat().st_size for path in settings.platform.logs_dir.glob("*"))
        if settings.platform.logs_dir.is_dir()
        else 0
    )
    if size > 1_000_000_000:
        return Finding(
            "logs",
            "warning",
            f"The logs take {size / 1e9:.1f} GB.",
            f"Remove old ones in {settings.platform.logs_dir}.",
        )
    return Finding("logs", "ok", f"The logs take {size / 1e6:.0f} MB.")


def check_inbox(settings: Settings) -> Finding:
    """Whether files can land from the inbox, and which of them were refused."""
    if (trouble := inbox_trouble(settings.platform.inbox_dir)) is not None:
        return Finding("inbox", "problem", trouble, "Give the user that runs the platform the right to write there.")
    refused = settings.platform.inbox_dir / "refused"
    count = len(list(refused.iterdir())) if refused.is_dir() else 0
    if count:
        return Finding(
            "inbox", "warning", f"{count} files of the inbox were refused.", f"Look at the reasons in {refused}."
        )
    return Finding("inbox", "ok", "No file of the inbox was refused.")


# ------------------------------------------------------------------ the store and what it names


def check_store(settings: Settings) -> Finding:
    """Whether the store can be read and is sound."""
    platform = settings.platform
    path = platform.home / "store.sqlite"
    if not platform.database_url and path.is_file() and not is_sqlite_file(path):
        return Finding("store", "problem", "The store is no SQLite database.", "Restore it: `correctly restore`.")
    with read_platform_store(platform) as store:
        counts = store.counts()
        if store.is_embedded:
            with store.database.read() as connection:
                result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if result != "ok":
                return Finding("store", "problem", "The store is damaged.", "Restore it: `correctly restore`.")
    return Finding(
        "store", "ok", f"The store is sound: {counts.landed} examples landed, {counts.quarantined} in quarantine."
    )


def check_migrations(settings: Settings) -> Finding:
    """Whether the tables of the store, of Dagster and of MLflow are this release's."""
    platform = settings.platform
    if not platform.database_url and not (platform.home / "store.sqlite").is_file():
        return Finding("migrations", "warning", "There is no store yet.", "Run `correctly up`.")
    database = Database(platform.store_url)
    try:
        missing = missing_migrations(database, platform.sql_dir)
    finally:
        database.close()
    if missing:
        remedy = "Run `correctly prepare`; it backs up first."
        return Finding("migrations", "problem", f"The store lacks migrations {', '.join(missing)}.", remedy)
    if old := old_tables(platform):
        says = f"The tables of {' and '.join(one.title for one in old)} are of an earlier release."
        return Finding("migrations", "problem", says, "Run `correctly down` and `correctly up`; it backs up first.")
    return Finding("migrations", "ok", "All tables are this release's.")


def check_rows(settings: Settings) -> Finding:
    """Adapters that no decision or release names, and a champion without its adapter."""
    with read_platform_store(settings.platform) as store:
        champion = store.champion()
        named = {one.adapter for one in store.decisions(limit=100_000)} | {
            one.adapter for one in store.releases(limit=100_000)
        }
    there = {path.name for path in artefacts_in(settings.platform.adapters_dir)}
    if champion and champion.adapter not in there:
        remedy = "Restore it from a backup, or run `correctly rollback`."
        return Finding("rows", "problem", f"Adapter {champion.adapter} of {champion.id} is not there.", remedy)
    if without := sorted(there - named):
        message = (
            f"No decision names adapters {', '.join(without[:5])}: their runs were cut short, or they were adopted."
        )
        return Finding("rows", "warning", message, "`correctly gc` removes old ones.")
    return Finding("rows", "ok", "Every adapter has its decision, and the champion its adapter.")


def check_serving(settings: Settings) -> Finding:
    """Whether the gateway serves the newest release."""
    if running_supervisor(settings.platform.home) is None:
        return Finding("serving", "ok", "The platform does not run, so nothing is served.")
    with read_platform_store(settings.platform) as store:
        message = serving_summary(store, settings.platform)
    fine = message.startswith(("The gateway serves r", "No adapter")) and ", not " not in message
    return (
        Finding("serving", "ok", message)
        if fine
        else Finding("serving", "problem", message, "See `correctly logs gateway`.")
    )


def check_backup(settings: Settings) -> Finding:
    """How old the newest backup is."""
    found = newest_backup(settings.platform)
    return judge_backup(found[1].at if found else None, datetime.now(UTC))


# ------------------------------------------------------------------ processes and doors


def check_parts(settings: Settings) -> Finding:
    """Ports that are free, or, while the platform runs, parts that answer."""
    if running_supervisor(settings.platform.home) is None:
        check_ports(settings, parts())
        return Finding("parts", "ok", "Every port is free.")
    away = [name for name, service in read_services(settings).items() if not service["ready"]]
    if away:
        return Finding("parts", "problem", f"Not ready: {', '.join(away)}.", f"See `correctly logs {away[0]}`.")
    return Finding("parts", "ok", "Every part answers.")


def check_engines(settings: Settings) -> Finding:
    """Each of several engines: that it answers, has not computed NaN, and has what is served."""
    if running_supervisor(settings.platform.home) is None or len(settings.serving.vllm_urls) == 1:
        return Finding("engines", "ok", "There is no further engine to look at.")
    with read_platform_store(settings.platform) as store:
        champion = store.champion()
    return judge_engines(read_engines(settings), champion.adapter if champion else None)


def check_lock(settings: Settings) -> Finding:
    """Whether an earlier platform that was killed is in the way."""
    home = settings.platform.home
    if running_supervisor(home) is None:
        if record_path(home).exists():
            return Finding("lock", "warning", "A killed platform left its record.", "Run `correctly doctor --fix`.")
        if left := leftovers(home):
            return Finding("lock", "warning", f"A killed platform left {len(left)} processes.", "Run `correctly down`.")
    return Finding("lock", "ok", "No earlier platform is in the way.")


def fix_lock(settings: Settings) -> None:
    """Remove the record of a platform that no longer runs."""
    if running_supervisor(settings.platform.home) is None:
        remove_record(settings.platform.home)


def check_keys(settings: Settings) -> Finding:
    """Whether the gateway may start with the keys there are."""
    count = len(known_keys(settings.platform.keys_path))
    if (closed := why_closed(settings.platform)) is not None:
        return Finding("keys", "problem", closed, "Run `correctly keys new NAME`.")
    return Finding("keys", "ok", f"{count} keys are known." if count else "No keys are asked for on loopback.")


def check_doors(settings: Settings) -> Finding:
    """Parts that can be reached from other machines."""
    hosts = {
        "the gateway and the chat": settings.platform.host,
        "Dagster": settings.platform.dagster_host,
        "vLLM": settings.serving.vllm_host,
    }
    beyond = [f"{name} ({host})" for name, host in hosts.items() if not is_loopback(host)]
    if beyond:
        remedy = "Intended? Put a proxy with TLS in front; otherwise unset CORRECTLY_HOST and its like."
        return Finding("doors", "warning", f"Open beyond this machine: {', '.join(beyond)}.", remedy)
    return Finding("doors", "ok", "Every part listens on loopback alone.")


CHECKS: tuple[Check, ...] = (
    check_python, check_pins, check_instructions, check_memory, check_disk, check_pg_dump, check_chat,
    check_home, check_rights, check_base_model, check_adapters, check_leftovers, check_logs, check_inbox,
    check_store, check_migrations, check_rows, check_serving, check_backup,
    check_parts, check_engines, check_lock, check_keys, check_doors,
)  # fmt: skip
"""Every check, in the order in which they are told."""
FIXES: dict[Check, Callable[[Settings], None]] = {
    check_rights: fix_rights,
    check_leftovers: fix_leftovers,
    check_lock: fix_lock,
}
