"""`correctly doctor`: checks of the machine and of the platform, each with its remedy.

Belongs here: the checks, one function each in one list, and the bundle for whoever helps. Does not belong here: what the
parts themselves refuse at start. A check reads and changes nothing; what `--fix` does is a function of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import SecretStr
from rich.console import Console

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, artefacts_in, read_manifest
from correctly_assets.artifacts.snapshots import sweep_leftovers
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.host_check import is_loopback
from correctly_assets.gateway.access import known_keys, why_closed
from correctly_assets.platform.processes import parts
from correctly_assets.platform.status import read_services
from correctly_assets.platform.supervisor import check_ports, leftovers, record_path, remove_record, running_supervisor
from correctly_assets.settings import Settings
from correctly_assets.settings.group import SettingsGroup
from correctly_assets.store.copies import is_sqlite_file
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import missing_migrations
from correctly_assets.workflows.back_up import newest_backup, versions
from correctly_assets.workflows.collect_garbage import LEAST_FREE
from correctly_assets.workflows.promote import serving_says
from correctly_assets.workflows.wiring import read_platform_store

Status = Literal["ok", "warning", "problem"]
_COMFORTABLE = 3 * LEAST_FREE
_LEAST_MEMORY = 12_000_000_000
_OLD_BACKUP = timedelta(hours=48)
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``remedy`` is None where all is well; ``fixed`` says that `--fix` put it right."""

    name: str
    status: Status
    says: str
    remedy: str | None = None
    fixed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "status", "says", "remedy", "fixed")}


Check = Callable[[Settings], Finding]


# ------------------------------------------------------------------ decisions over numbers


def judge_disk(free: int) -> Finding:
    """Free bytes under HOME."""
    says = f"{free / 1e9:.1f} GB are free under HOME."
    remedy = "Run `correctly gc`, or free some space."
    if free < LEAST_FREE:
        return Finding("disk", "problem", f"{says} No run starts below {LEAST_FREE / 1e9:.0f}.", remedy)
    return Finding("disk", "warning", says, remedy) if free < _COMFORTABLE else Finding("disk", "ok", says)


def judge_memory(total: int) -> Finding:
    """Bytes of the machine's memory."""
    says = f"The machine has {total / 1e9:.0f} GB of memory."
    if total < _LEAST_MEMORY:
        return Finding("memory", "warning", says, "The platform wants 12 GB while it trains; close other programs.")
    return Finding("memory", "ok", says)


def judge_backup(at: datetime | None, now: datetime) -> Finding:
    """When the newest backup was made."""
    remedy = "Run `correctly backup`, and start Dagster's schedule daily_backup (CORRECTLY_BACKUP_DAILY=true)."
    if at is None:
        return Finding("backup", "warning", "There is no backup.", remedy)
    says = f"The newest backup is {(now - at).total_seconds() / 3600:.0f} hours old."
    return Finding("backup", "warning", says, remedy) if now - at > _OLD_BACKUP else Finding("backup", "ok", says)


def judge_instructions(flags: set[str] | None) -> Finding:
    """The processor's instruction sets; None where the system does not tell them."""
    if flags is None:
        return Finding("instructions", "ok", "This system does not tell its processor's instruction sets.")
    if "avx2" not in flags and "asimd" not in flags:
        remedy = "Use a processor with AVX2, or a GPU (`make install ACCELERATOR=gpu`)."
        return Finding("instructions", "problem", "The processor lacks AVX2, which vLLM needs.", remedy)
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
    says = f"Python {sys.version_info.major}.{sys.version_info.minor} runs this."
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        return Finding("python", "problem", says, "Install Python 3.11 or 3.12, and run `make install`.")
    return Finding("python", "ok", says)


def check_pins(settings: Settings) -> Finding:
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
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return judge_instructions(None)
    line = re.search(r"(?m)^(?:flags|Features)\s*:(.*)$", info.read_text(errors="replace"))
    return judge_instructions(set(line[1].split()) if line else None)


def check_memory(settings: Settings) -> Finding:
    return judge_memory(psutil.virtual_memory().total)


def check_disk(settings: Settings) -> Finding:
    home = settings.platform.home
    there = next(parent for parent in (home, *home.parents) if parent.is_dir())
    return judge_disk(shutil.disk_usage(there).free)


def check_pg_dump(settings: Settings) -> Finding:
    if settings.platform.database_url and not shutil.which("pg_dump"):
        return Finding(
            "pg_dump", "problem", "pg_dump is missing: no backup can be made.", "apt-get install postgresql-client"
        )
    return Finding("pg_dump", "ok", "What backups need is installed.")


def check_chat(settings: Settings) -> Finding:
    if not any(part.name == "open-webui" for part in parts()):
        return Finding("chat", "warning", "Open WebUI is not installed: there is no chat page.", "Run `make install`.")
    return Finding("chat", "ok", "Open WebUI is installed.")


# ------------------------------------------------------------------ files


def check_home(settings: Settings) -> Finding:
    home = settings.platform.home
    if not home.is_dir():
        return Finding("home", "problem", "HOME is not there yet.", "Run `correctly up`.")
    if not os.access(home, os.W_OK):
        return Finding("home", "problem", "HOME cannot be written.", f"Give yourself the right to write {home}.")
    return Finding("home", "ok", "HOME can be written.")


def _open_files(settings: Settings) -> list[Path]:
    platform = settings.platform
    secret = ("gateway-keys.json", "store.sqlite", "run/own-key", "webui/secret-key", "webui/admin-password")
    return [path for name in secret if (path := platform.home / name).is_file() and path.stat().st_mode & 0o077]


def check_rights(settings: Settings) -> Finding:
    found = [path.name for path in _open_files(settings)]
    if found:
        return Finding(
            "rights", "problem", f"Others on this machine can read {', '.join(found)}.", "Run `correctly doctor --fix`."
        )
    return Finding("rights", "ok", "Texts and secrets can be read by their owner alone.")


def fix_rights(settings: Settings) -> None:
    for path in _open_files(settings):
        path.chmod(0o600)


def check_base_model(settings: Settings) -> Finding:
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
    for folder in (settings.platform.adapters_dir, settings.platform.snapshots_dir):
        sweep_leftovers(folder)


def check_logs(settings: Settings) -> Finding:
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
    refused = settings.platform.inbox_dir / "refused"
    count = len(list(refused.iterdir())) if refused.is_dir() else 0
    if count:
        return Finding(
            "inbox", "warning", f"{count} files of the inbox were refused.", f"Look at the reasons in {refused}."
        )
    return Finding("inbox", "ok", "No file of the inbox was refused.")


# ------------------------------------------------------------------ the store and what it names


def check_store(settings: Settings) -> Finding:
    platform = settings.platform
    path = platform.home / "store.sqlite"
    if not platform.database_url and path.is_file() and not is_sqlite_file(path):
        return Finding("store", "problem", "The store is no SQLite database.", "Restore it: `correctly restore`.")
    with read_platform_store(platform) as store:
        counts = store.counts()
        if store.is_embedded:
            with store.database.read() as connection:
                said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if said != "ok":
                return Finding("store", "problem", "The store is damaged.", "Restore it: `correctly restore`.")
    return Finding(
        "store", "ok", f"The store is sound: {counts.landed} examples landed, {counts.quarantined} in quarantine."
    )


def check_migrations(settings: Settings) -> Finding:
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
    return Finding("migrations", "ok", "The store's tables are this release's.")


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
        says = f"No decision names adapters {', '.join(without[:5])}: their runs were cut short, or they were adopted."
        return Finding("rows", "warning", says, "`correctly gc` removes old ones.")
    return Finding("rows", "ok", "Every adapter has its decision, and the champion its adapter.")


def check_serving(settings: Settings) -> Finding:
    if running_supervisor(settings.platform.home) is None:
        return Finding("serving", "ok", "The platform does not run, so nothing is served.")
    with read_platform_store(settings.platform) as store:
        says = serving_says(store, settings.platform)
    fine = says.startswith(("The gateway serves r", "No adapter")) and ", not " not in says
    return (
        Finding("serving", "ok", says) if fine else Finding("serving", "problem", says, "See `correctly logs gateway`.")
    )


def check_backup(settings: Settings) -> Finding:
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


def check_lock(settings: Settings) -> Finding:
    home = settings.platform.home
    if running_supervisor(home) is None:
        if record_path(home).exists():
            return Finding("lock", "warning", "A killed platform left its record.", "Run `correctly doctor --fix`.")
        if left := leftovers(home):
            return Finding("lock", "warning", f"A killed platform left {len(left)} processes.", "Run `correctly down`.")
    return Finding("lock", "ok", "No earlier platform is in the way.")


def fix_lock(settings: Settings) -> None:
    if running_supervisor(settings.platform.home) is None:
        remove_record(settings.platform.home)


def check_keys(settings: Settings) -> Finding:
    count = len(known_keys(settings.platform.keys_path))
    if (closed := why_closed(settings.platform)) is not None:
        return Finding("keys", "problem", closed, "Run `correctly keys new NAME`.")
    return Finding("keys", "ok", f"{count} keys are known." if count else "No keys are asked for on loopback.")


def check_doors(settings: Settings) -> Finding:
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
    check_parts, check_lock, check_keys, check_doors,
)  # fmt: skip
"""Every check, in the order in which they are told."""
FIXES: dict[Check, Callable[[Settings], None]] = {
    check_rights: fix_rights,
    check_leftovers: fix_leftovers,
    check_lock: fix_lock,
}


def examine(settings: Settings, *, fix: bool = False, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Run every check; one that cannot be made is a problem of its own and stops no other.

    Args:
        fix: put right what has a fix, and look again.
    """
    found: list[Finding] = []
    for check in checks:
        finding = _run(check, settings)
        if fix and finding.status != "ok" and check in FIXES:
            FIXES[check](settings)
            after = _run(check, settings)
            finding = replace(after, fixed=after.status == "ok")
        found.append(finding)
    return found


def _run(check: Check, settings: Settings) -> Finding:
    name = check.__name__.removeprefix("check_")
    try:
        return check(settings)
    except CorrectlyError as error:
        return Finding(name, "problem", str(error), "Do what the sentence says, and run `correctly doctor` again.")
    except (OSError, ValueError) as error:
        return Finding(
            name, "problem", f"This could not be checked ({type(error).__name__}).", "See `correctly logs up`."
        )


def print_findings(findings: list[Finding], console: Console) -> None:
    """One line a check, and the remedy below it."""
    marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
    for finding in findings:
        fixed = " (put right)" if finding.fixed else ""
        console.print(f"{marks[finding.status]}  {finding.name:<13}", end="", highlight=False)
        console.print(f"{finding.says}{fixed}", highlight=False, markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':24}{finding.remedy}", highlight=False, markup=False, soft_wrap=True)


# ------------------------------------------------------------------ the bundle


def write_bundle(settings: Settings, findings: list[Finding], path: Path) -> None:
    """Write a zip for whoever helps. It holds names, numbers and versions: no text of anybody's, no key, no address."""
    content = {
        "checks": [{"name": one.name, "status": one.status, "fixed": one.fixed} for one in findings],
        "versions": versions(),
        "machine": {
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "system": sys.platform,
        },
        "settings": _settings(settings),
        "logs": _logs(settings.platform.logs_dir),
        "store": _counts(settings),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in content.items():
            file.writestr(f"{name}.json", json.dumps(value, indent=1, default=str) + "\n")


def _settings(settings: Settings) -> dict[str, Any]:
    """Numbers and choices as they are; of texts, paths and secrets only that they are set."""
    shown: dict[str, Any] = {}
    for group in (getattr(settings, name) for name in type(settings).model_fields):
        assert isinstance(group, SettingsGroup)
        for name in type(group).model_fields:
            value = getattr(group, name)
            plain = isinstance(value, bool | int | float) and not isinstance(value, SecretStr)
            shown[group.variable(name)] = value if plain or value is None else "set"
    return shown


def _logs(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        levels: Counter[str] = Counter()
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                levels.update(_LEVEL.findall(line[:200])[:1])
        found[path.name] = {"bytes": path.stat().st_size, "levels": dict(levels)}
    return found


def _counts(settings: Settings) -> dict[str, Any]:
    try:
        with read_platform_store(settings.platform) as store:
            counts = store.counts()
            decisions = [
                {"at": one.at, "verdict": one.verdict, "attempt": one.attempt} for one in store.decisions(limit=20)
            ]
    except CorrectlyError:
        return {}
    return {
        "landed": counts.landed,
        "accepted": counts.accepted,
        "waiting": counts.waiting,
        "quarantined": counts.quarantined,
        "decisions": decisions,
    }
