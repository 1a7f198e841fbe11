"""`correctly doctor` over a real HOME: what it finds, puts right, and hands to whoever helps."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from correctly_assets.engine.cpu import Cpu
from correctly_assets.platform import doctor_checks as doctor
from correctly_assets.platform.doctor import examine
from correctly_assets.platform.doctor_bundle import write_bundle
from correctly_assets.platform.doctor_checks import CHECKS, Finding
from correctly_assets.platform.supervisor import record_path
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.back_up import back_up
from correctly_tests.commands import ROWS, Run, landed

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def found(settings: Settings, check: doctor.Check, *, fix: bool = False) -> Finding:
    (finding,) = examine(settings, fix=fix, checks=(check,))
    return finding


def test_numbers_are_judged_at_their_bounds():
    assert [doctor.judge_disk(size).status for size in (4_999_999_999, 5_000_000_000, 15_000_000_000)] == [
        "problem",
        "warning",
        "ok",
    ]
    ages = [None, NOW - timedelta(hours=49), NOW - timedelta(hours=47)]
    assert [doctor.judge_backup(at, NOW).status for at in ages] == ["warning", "warning", "ok"]
    processors = [Cpu("x86_64", frozenset(flags.split())) for flags in ("sse4_2", "avx2", "")] + [Cpu("aarch64")]
    statuses = [doctor.judge_instructions(cpu).status for cpu in processors]
    assert statuses == ["problem", "warning", "ok", "problem"]
    assert "a 2 (wanted 1)" in doctor.judge_pins({"a": "1", "b": "1"}, {"a": "2", "b": "1"}).message
    assert doctor.judge_memory(8_000_000_000).status == "warning"


def test_some_twenty_checks_each_say_a_sentence_with_a_remedy(settings: Settings, store: Store):
    findings = examine(settings)
    assert len(findings) == len(CHECKS) >= 20 and len({one.name for one in findings}) == len(findings)
    for one in findings:
        assert one.message and (one.status == "ok") == (one.remedy is None), one


def test_a_missing_platform_is_a_problem_and_stops_no_check(run: Run, settings: Settings):
    code, out, _ = run("doctor", "--json")
    said = json.loads(out)
    assert code == 4 and not said["ok"] and len(said["checks"]) == len(CHECKS)
    assert not settings.platform.home.exists()


def test_rights_record_and_leftovers_are_put_right(settings: Settings, store: Store):
    home = settings.platform.home
    home.chmod(0o755)
    (home / "store.sqlite").chmod(0o644)
    record_path(home).parent.mkdir(parents=True, exist_ok=True)
    record_path(home).write_text("{}")
    assert found(settings, doctor.check_rights).status == "problem"
    assert found(settings, doctor.check_lock).status == "warning"
    for check in (doctor.check_rights, doctor.check_lock):
        assert found(settings, check, fix=True).fixed
    assert home.stat().st_mode & 0o077 == (home / "store.sqlite").stat().st_mode & 0o077 == 0
    assert not record_path(home).exists()


def test_adapters_without_rows_and_changed_files_are_named(settings: Settings, store: Store):
    adapter = settings.platform.adapters_dir / "aaaaaaaaaaaa"
    adapter.mkdir(parents=True)
    (adapter / "weights").write_text("w")
    (adapter / "manifest.json").write_text(json.dumps({"id": "aaaaaaaaaaaa", "files": {"weights": "0" * 64}}))
    assert "aaaaaaaaaaaa" in found(settings, doctor.check_rows).message
    assert found(settings, doctor.check_adapters).status == "problem"
    store.add_release(adapter="bbbbbbbbbbbb", base_model="m", kind="promotion", why="It is better.")
    assert found(settings, doctor.check_rows).message == "Adapter bbbbbbbbbbbb of r0001 is not there."


def test_a_backup_open_doors_and_missing_keys_are_seen(settings: Settings, store: Store):
    assert found(settings, doctor.check_backup).message == "There is no backup."
    back_up(settings.platform)
    assert found(settings, doctor.check_backup).status == "ok"
    beyond = settings.changed(platform={"host": "0.0.0.0"})
    assert found(beyond, doctor.check_doors).status == "warning"
    assert found(beyond, doctor.check_keys).status == "problem"


def test_the_bundle_holds_nobodys_text_and_no_secret(run: Run, settings: Settings, tmp_path: Path):
    landed(run, tmp_path)
    settings.platform.logs_dir.mkdir(parents=True, exist_ok=True)
    (settings.platform.logs_dir / "gateway.log").write_text(
        '{"level": "info", "event": "ok"}\nERROR I wait for correcting.\n'
    )
    secret = settings.changed(teacher={"api_key": "sk-very-secret", "base_url": "http://people.example/v1"})
    write_bundle(secret, examine(secret), tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as file:
        text = "\n".join(file.read(name).decode() for name in file.namelist())
        logs = json.loads(file.read("logs.json"))
    assert logs["gateway.log"]["levels"] == {"INFO": 1, "ERROR": 1}
    for word in [*(row["before"] for row in ROWS), "sk-very-secret", "people.example", str(tmp_path)]:
        assert word not in text, word
