"""Open WebUI's settings, and the platform's own key where the gateway asks for one."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.gateway_client import correct_texts
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.own_key import bearer, own_key
from correctly_assets.platform.openwebui import (
    ADMIN_EMAIL,
    SUGGESTIONS,
    VENV,
    environment,
    private_environment,
    secret_key,
    set_admin_password,
    webui_command,
)
from correctly_assets.settings import PROJECT_ROOT, Settings, get_settings
from correctly_tests.serving_fakes import fake_engine, running_gateway

NEEDED = {
    "ENABLE_PERSISTENT_CONFIG": "False",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_OLLAMA_API": "False",
    "DEFAULT_MODELS": "correctly",
    "DEFAULT_MODEL_PARAMS": '{"function_calling": "legacy"}',
    "ENABLE_FORWARD_USER_INFO_HEADERS": "True",
    "BYPASS_MODEL_ACCESS_CONTROL": "True",
    "ENABLE_PLUGINS": "False",
    "ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS": "False",
    "ENABLE_CODE_EXECUTION": "False",
    "ENABLE_CODE_INTERPRETER": "False",
    "ENABLE_DIRECT_CONNECTIONS": "False",
    "DEFAULT_INTERFACE_SETTINGS": '{"showChangelog": false, "showUpdateToast": false}',
    "USER_PERMISSIONS_CHAT_FILE_UPLOAD": "False",
}


def test_the_settings_that_matter_stand_in_the_environment_and_in_compose() -> None:
    made = environment()
    assert NEEDED.items() <= made.items()
    compose = (PROJECT_ROOT / "docker-compose.yml").read_text()
    of_the_chat = compose[compose.index("  open-webui:") :]
    for name in NEEDED:
        assert name in of_the_chat, name
    tasks = [name for name in made if name.endswith("_GENERATION")]
    assert len(tasks) >= 6 and {made[name] for name in tasks} == {"False"}


def test_no_model_offers_attachments_or_what_else_a_corrector_does_not_do() -> None:
    offered = json.loads(environment()["DEFAULT_MODEL_METADATA"])["capabilities"]
    assert offered["file_upload"] is False and not any(offered.values())


@pytest.mark.slow
@pytest.mark.skipif(not (VENV / "bin" / "python").exists(), reason="Open WebUI is not installed")
def test_open_webui_takes_these_settings_as_they_are_meant(tmp_path: Path) -> None:
    """By its own code: its configuration, read with our environment."""
    code = (
        "import json; from open_webui.config import DEFAULT_CONFIG as c; "
        "print(json.dumps({k: c[k] for k in ('ui.default_interface_settings', 'models.default_metadata', "
        "'ui.prompt_suggestions')}))"
    )
    env = {**environment(), "DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "WEBUI_SECRET_KEY": "x" * 32}
    env["FROM_INIT_PY"] = "true"  # where it looks for its pages
    done = subprocess.run([str(VENV / "bin" / "python"), "-c", code], env=env, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["ui.default_interface_settings"]["showChangelog"] is False
    assert found["models.default_metadata"]["capabilities"]["file_upload"] is False
    assert len(found["ui.prompt_suggestions"]) == len(SUGGESTIONS)


def test_suggestions_are_awkward_sentences_to_try_with_a_title() -> None:
    shown = json.loads(environment()["DEFAULT_PROMPT_SUGGESTIONS"])
    assert [item["content"] for item in shown] == [text for _, _, text in SUGGESTIONS]
    assert len(shown) >= 4 and all(len(item["title"]) == 2 for item in shown)


def test_one_version_is_installed_and_its_image_is_the_same() -> None:
    lock = (PROJECT_ROOT / "deploy" / "requirements-webui.lock").read_text()
    assert "open-webui==0.12.4" in lock
    assert "ghcr.io/open-webui/open-webui:v0.12.4" in (PROJECT_ROOT / "docker-compose.yml").read_text()


def test_the_session_key_has_32_bytes_is_made_once_and_is_its_owners_alone(settings: Settings) -> None:
    key = secret_key(settings.platform)
    assert len(bytes.fromhex(key)) == 32
    assert secret_key(settings.platform) == key
    assert (settings.platform.home / "webui" / "secret-key").stat().st_mode & 0o077 == 0


def test_loopback_asks_for_no_sign_in_and_a_network_has_a_preset_admin(
    tmp_path: Path,
) -> None:
    here = Settings().changed(platform={"home": tmp_path / "a", "host": "127.0.0.1"})
    assert private_environment(here)["WEBUI_AUTH"] == "False"
    passwords = set()
    for name in "bc":
        out = Settings().changed(platform={"home": tmp_path / name, "host": "0.0.0.0"})
        made = private_environment(out)
        assert made["WEBUI_AUTH"] == "True" and made["ENABLE_SIGNUP"] == "False" and made["WEBUI_ADMIN_EMAIL"]
        passwords.add(made["WEBUI_ADMIN_PASSWORD"])
    assert len(passwords) == 2 and all(len(password) >= 20 for password in passwords)


def test_no_secret_stands_in_what_is_rendered(settings: Settings) -> None:
    new_key(keys_file(settings), "somebody")
    secrets = [value for name, value in private_environment(settings).items() if "KEY" in name]
    assert len(secrets) == 2
    _, shown = webui_command(settings.platform)
    assert not set(secrets) & set(shown.values())


def keys_file(settings: Settings) -> Path:
    found = Options.of(settings).keys_file
    assert found is not None
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


def test_no_key_is_made_where_none_is_asked_for(settings: Settings) -> None:
    assert own_key(settings) is None and bearer(settings) == {}
    assert not keys_file(settings).exists()
    assert "OPENAI_API_KEY" not in private_environment(settings)


def test_the_platforms_own_key_is_made_once_hashed_and_anew_if_gone(settings: Settings) -> None:
    keys = keys_file(settings)
    new_key(keys, "somebody")
    key = own_key(settings)
    assert key and own_key(settings) == key and private_environment(settings)["OPENAI_API_KEY"] == key
    assert key not in keys.read_text() and set(json.loads(keys.read_text())) == {"somebody", "platform"}
    assert (settings.platform.home / "run" / "own-key").stat().st_mode & 0o077 == 0
    keys.write_text(json.dumps({"somebody": json.loads(keys.read_text())["somebody"]}))
    assert own_key(settings) not in (None, key)


@pytest.mark.slow
def test_the_command_line_goes_on_working_when_keys_come_into_use(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    keys = keys_file(settings)
    with (
        fake_engine() as engine,
        running_gateway(settings.platform.home, engine, Options(poll_seconds=0.05, keys_file=keys)) as running,
    ):
        engine.default = {"He go home.": "He goes home."}
        running.serves(running.release("a"))
        new_key(keys, "somebody")
        assert running.chat("He go home.").status_code == 401
        monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", running.url.rsplit(":", 1)[1])
        [done] = correct_texts(get_settings(), ["He go home."], reasons=False, language="en")
        assert done["after"] == "He goes home."


def account_of(data: Path, email: str = ADMIN_EMAIL) -> Path:
    """An Open WebUI database with one account whose password is nobody's."""
    database = data / "webui.db"
    data.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE auth (id TEXT, email TEXT, password TEXT, active INTEGER)")
        connection.execute("INSERT INTO auth VALUES ('1', ?, 'none', 1)", (email,))
    return database


def signs_in(database: Path, password: str) -> bool:
    """Whether Open WebUI's own check lets this password in."""
    with sqlite3.connect(database) as connection:
        (hashed,) = connection.execute("SELECT password FROM auth").fetchone()
    check = "import bcrypt, sys; sys.exit(not bcrypt.checkpw(sys.argv[1].encode(), sys.argv[2].encode()))"
    return subprocess.run([str(VENV / "bin" / "python"), "-c", check, password, hashed]).returncode == 0


needs_webui = pytest.mark.skipif(not (VENV / "bin" / "python").exists(), reason="Open WebUI is not installed")


@needs_webui
def test_the_default_password_ends_when_the_chat_is_opened_to_a_network(settings: Settings) -> None:
    database = account_of(settings.platform.home / "webui")
    private_environment(settings)
    assert signs_in(database, "admin")
    opened = private_environment(settings.changed(platform={"host": "0.0.0.0"}))
    assert not signs_in(database, "admin")
    assert signs_in(database, opened["WEBUI_ADMIN_PASSWORD"])
    private_environment(settings)
    assert signs_in(database, "admin")


@needs_webui
def test_an_account_of_another_name_keeps_its_password(tmp_path: Path) -> None:
    database = account_of(tmp_path, "teacher@school.example")
    assert set_admin_password(database, "new") is False
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT password FROM auth").fetchone() == ("none",)


def test_only_the_pages_of_the_chat_itself_may_read_its_answers(settings: Settings) -> None:
    _, extra = webui_command(settings.platform)
    port = settings.platform.webui_port
    assert extra["CORS_ALLOW_ORIGIN"].split(";") == [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
