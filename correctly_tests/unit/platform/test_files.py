"""What is rendered from the process table and the settings."""

# A service has what its test looks for, or the test fails.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalMemberAccess=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from correctly_assets.artifacts.progress import progress_writer, read_progress
from correctly_assets.defs.resources import make_resources
from correctly_assets.engine.vllm_plugin import health as engine_health
from correctly_assets.gateway.access import Keys, why_closed
from correctly_assets.platform import compose
from correctly_assets.platform.dagster_instance import write_instance
from correctly_assets.platform.processes import BY_NAME, PROCESSES, environment_of
from correctly_assets.platform.up import _close_to_others, _name_base_model, prepare
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.store.schemas import DAGSTER_DATABASE, dagster_storage, mlflow_backend
from correctly_tests.serving_fakes import fake_engine


def test_the_compose_file_is_what_the_table_renders():
    assert (PROJECT_ROOT / "docker-compose.yml").read_text() == compose.text()


def test_the_compose_file_keeps_the_compose_specification():
    checker = str(Path(sys.executable).parent / "check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", str(PROJECT_ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_that_a_service_uses_is_declared_in_the_file():
    rendered = compose.render()
    services = rendered["services"]
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source.startswith(("/", ".")) or source in rendered["volumes"], f"{name} mounts {source}"
        assert set(service.get("depends_on", {})) <= set(services), name
        for network in service.get("networks", {}):
            assert network == "default" or network in rendered.get("networks", {}), f"{name} joins {network}"


def test_passwords_in_env_files_reach_neither_image_nor_repository():
    for name in (".gitignore", ".dockerignore"):
        assert ".env*" in (PROJECT_ROOT / name).read_text().splitlines(), name
    copied = [line for line in (PROJECT_ROOT / "deploy" / "Dockerfile").read_text().splitlines() if "COPY" in line]
    assert copied and not any(line.split()[1] == "." for line in copied)


def test_images_of_others_are_of_one_version_and_no_digest_is_cut_short():
    images = {name: service["image"] for name, service in compose.render()["services"].items()}
    others = {name: image for name, image in images.items() if not image.startswith("correctly")}
    assert set(others) == {"postgres", "open-webui", "prometheus", "grafana"}
    for image in others.values():
        assert re.fullmatch(r"[\w./-]+:v?\d[\d.]*(@sha256:[0-9a-f]{64})?", image), image
    assert all("@sha256:" in others[name] for name in ("prometheus", "grafana"))


def test_every_part_stands_in_compose_and_the_engine_publishes_no_port():
    services = compose.render()["services"]
    for process in PROCESSES:
        if process.name in compose.ON_ONE_MACHINE:
            continue
        names = [name for name in services if name == process.name or name.startswith(f"{process.name}-")]
        assert names, process.name
    for name, service in services.items():
        if name.startswith("vllm"):
            assert "ports" not in service
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:")


def test_in_compose_an_engine_that_computed_nan_is_restarted_by_its_check():
    services = compose.render()["services"]
    for name in ("vllm-cpu", "vllm-gpu"):
        assert services[name]["healthcheck"]["test"][2:] == ["-m", engine_health.__name__, "8001"]
        # The check ends the container's first process, which no shell and no init may be.
        assert services[name]["command"][:3] == ["python", "-m", "vllm.entrypoints.openai.api_server"]
        assert services[name]["restart"] == "unless-stopped" and "init" not in services[name]
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with fake_engine() as engine:
            assert engine_health.check(engine.url, sleeper.pid) is None
            assert sleeper.poll() is None
            engine.corrupted = 2
            assert "NaN for 2 answers" in (engine_health.check(engine.url, sleeper.pid) or "")
            assert sleeper.wait(10) == -signal.SIGTERM
            engine.away = True
            with pytest.raises(OSError):
                engine_health.check(engine.url, os.getpid())
    finally:
        sleeper.kill()
        sleeper.wait()


def test_every_pin_of_a_lock_file_stands_with_the_hashes_of_its_files():
    locks = sorted((PROJECT_ROOT / "deploy").glob("*.lock"))
    assert len(locks) >= 3
    for lock in locks:
        pins = [pin for pin in re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text()) if not pin.startswith("#")]
        assert pins and all(re.match(r"\S+==\S+ \\\n {4}--hash=sha256:[0-9a-f]{64}", pin) for pin in pins), lock.name
    install = (PROJECT_ROOT / "deploy" / "install.sh").read_text()
    assert all("--require-hashes" in line for line in install.splitlines() if '-r "$1"' in line)


def test_in_compose_the_engine_serves_what_prepare_made_sure_of(tmp_path: Path):
    for name in ("vllm-cpu", "vllm-gpu"):
        command = compose.render()["services"][name]["command"]
        assert command[command.index("--model") + 1] == f"{compose.HOME}/models/served"
    for number in (1, 2):
        base = tmp_path / f"base{number}"
        base.mkdir()
        settings = Settings().changed(platform={"home": tmp_path / "home"}, training={"base_model": str(base)})
        _name_base_model(settings)
        assert (tmp_path / "home" / "models" / "served").resolve() == base
    prepare_part = compose.render()["services"]["prepare"]
    assert prepare_part["command"][-1] == "--starter" and "HF_TOKEN" in prepare_part["environment"]


def test_in_compose_every_setting_can_be_given_to_our_own_parts_alone():
    services = compose.render()["services"]
    for name in ("prepare", "gateway", "daemon", "webserver", "inbox"):
        assert services[name]["env_file"] == [{"path": "settings.env", "required": False}]
        assert services[name]["cap_drop"] == ["ALL"]
    for name in ("vllm-cpu", "vllm-gpu", "mlflow", "open-webui", "postgres"):
        assert "env_file" not in services[name]
    assert "settings.env" in (PROJECT_ROOT / ".gitignore").read_text().splitlines()


def test_in_compose_the_votes_reader_signs_in_to_the_chat_as_its_admin():
    services = compose.render()["services"]
    reader, chat = services["daemon"]["environment"], services["open-webui"]["environment"]
    assert reader["CORRECTLY_WEBUI_HOST"] in services
    assert services["open-webui"]["ports"][0].endswith(f":{reader['CORRECTLY_WEBUI_PORT']}")
    assert reader["CORRECTLY_WEBUI_ADMIN_PASSWORD"] == chat["WEBUI_ADMIN_PASSWORD"]


def test_in_compose_the_gateway_may_start_and_knows_the_chats_key(tmp_path, monkeypatch):
    services = compose.render()["services"]
    shown = services["open-webui"]["environment"]["OPENAI_API_KEY"]
    assert shown.startswith("${WEBUI_GATEWAY_KEY:?")
    holders = [name for name, service in services.items() if shown in service.get("environment", {}).values()]
    assert holders == ["prepare", "open-webui"]
    assert not any(shown in part for service in services.values() for part in service.get("command", ()))
    given = services["prepare"]["environment"]
    assert given["CORRECTLY_WEBUI_GATEWAY_KEY"] == shown

    key = "k" * 40
    monkeypatch.setenv("CORRECTLY_WEBUI_GATEWAY_KEY", key)
    monkeypatch.setenv("CORRECTLY_STARTER", "none")
    base = tmp_path / "base"
    base.mkdir()
    settings = Settings().changed(
        platform={"home": tmp_path / "home", "host": given["CORRECTLY_HOST"]}, training={"base_model": str(base)}
    )
    settings.platform.home.mkdir(mode=0o755)
    assert why_closed(settings.platform) is not None
    prepare(settings, Console(quiet=True))
    assert why_closed(settings.platform) is None
    assert Keys(settings.platform.keys_path, required=True).client(f"Bearer {key}", "").name == "open-webui"
    assert key not in settings.platform.keys_path.read_text()
    assert settings.platform.home.stat().st_mode & 0o077 == 0, "a HOME that was there is closed to other users"


def test_a_home_that_others_could_read_is_closed_to_its_last_file(tmp_path):
    home = tmp_path / "home"
    (home / "inbox" / "done").mkdir(parents=True)
    secret, program = home / "inbox" / "done" / "rows.csv", home / "program"
    elsewhere = tmp_path / "elsewhere"
    for path in (secret, program, elsewhere):
        path.write_text("x")
    secret.chmod(0o644)
    program.chmod(0o755)
    elsewhere.chmod(0o644)
    (home / "link").symlink_to(elsewhere)
    home.chmod(0o755)
    _close_to_others(home)
    assert [path.stat().st_mode & 0o777 for path in (home, home / "inbox", secret, program)] == [
        0o700,
        0o700,
        0o600,
        0o700,
    ]
    assert elsewhere.stat().st_mode & 0o777 == 0o644, "what a link names outside is left"


# Writers of files of the repository, which are for everybody, and checks that write nothing.
_FOR_EVERYBODY = {"monitoring_files", "compose", "make_starter", "settings.__main__", "openwebui_password", "health"}


def test_every_program_of_ours_writes_for_its_owner_alone():
    package = PROJECT_ROOT / "correctly_assets"
    for path in [*package.rglob("*.py")]:
        source = path.read_text()
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        if 'if __name__ == "__main__":' in source and not name.endswith(tuple(_FOR_EVERYBODY)):
            assert "os.umask(0o077)" in source, name
    # Dagster's daemon, code server and run workers are started by Dagster, and load this file.
    assert "os.umask(0o077)" in (package / "definitions.py").read_text()


def test_the_instance_file_is_the_repositorys_plus_one_storage_stanza(settings):
    written = yaml.safe_load((write_instance(settings) / "dagster.yaml").read_text())
    given = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    assert {key: written[key] for key in given} == given
    assert written["storage"] == {"sqlite": {"base_dir": str(settings.platform.dagster_home / "storage")}}
    assert written["telemetry"] == {"enabled": False}
    assert written["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_a_team_s_postgresql_gives_dagster_and_mlflow_a_schema_each(tmp_path: Path):
    settings = Settings().changed(platform={"home": tmp_path, "database_url": "postgresql://ann:secret@db/team"})
    # Dagster shows its file to whoever asks: the password stands in the environment alone.
    assert dagster_storage(settings.platform) == {"postgres": {"postgres_url": {"env": DAGSTER_DATABASE}}}
    given = environment_of(BY_NAME["daemon"], settings, {})[DAGSTER_DATABASE]
    assert given == "postgresql+psycopg2://ann:secret@db/team?options=-csearch_path%3Ddagster"
    assert mlflow_backend(settings.platform).endswith("options=-csearch_path%3Dmlflow")


def test_a_program_of_others_is_given_no_secret_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    secrets = {
        "CORRECTLY_DATABASE_URL": "postgresql://ann:s3cret-db@db/team",
        "CORRECTLY_TEACHER_API_KEY": "s3cret-teacher",
        "CORRECTLY_WEBUI_ADMIN_PASSWORD": "s3cret-admin",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings = Settings().changed(platform={"home": tmp_path})
    for part, own in (
        ("vllm", "VLLM_API_KEY"),
        ("mlflow", "MLFLOW_BACKEND_STORE_URI"),
        ("open-webui", "WEBUI_SECRET_KEY"),
    ):
        env = environment_of(BY_NAME[part], settings, {})
        assert own in env
        assert not [name for name, value in env.items() if "s3cret" in value and name != own], part
        assert not any("s3cret" in word for word in BY_NAME[part].command(settings)[0])
    assert (
        environment_of(BY_NAME["gateway"], settings, {})["CORRECTLY_DATABASE_URL"] == secrets["CORRECTLY_DATABASE_URL"]
    )
    for name in ("vllm-cpu", "vllm-gpu", "mlflow"):
        given = compose.render()["services"][name]["environment"]
        assert not any(
            "TEACHER_API_KEY" in key or "ADMIN_PASSWORD" in key or key.endswith("DATABASE_URL") for key in given
        )


def test_the_stores_password_stands_on_no_page_of_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORRECTLY_DATABASE_URL", "postgresql://ann:s3cret@db/team")
    settings = Settings().changed(platform={"home": tmp_path})
    store = make_resources(settings)["store"]
    assert "s3cret" not in str(store.model_dump()) and "s3cret" not in repr(store)


def test_progress_is_read_back_and_a_stale_one_is_not_shown(tmp_path: Path):
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    progress_writer(path, "evaluating")(5, 5)
    progress = read_progress(path)
    assert progress is not None and (progress.stage, progress.done, progress.total) == ("evaluating", 5, 5)
    assert read_progress(path, younger_than=-1) is None
