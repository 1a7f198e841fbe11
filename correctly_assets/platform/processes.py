"""The one table of processes: what `up` supervises and what docker-compose.yml is rendered from.

Belongs here: each part's command, environment, port, readiness and order. Does not belong here: starting anything
(supervisor.py) or the compose file's layout (compose.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.telemetry import TELEMETRY_OFF
from correctly_assets.engine.key import engine_key
from correctly_assets.engine.launch import Device, Speculation, detect_device, engine_dtype, vllm_command
from correctly_assets.platform.code_server import (
    code_server_answers,
    code_server_command,
    source_state,
    workspace_path,
)
from correctly_assets.platform.dagster_instance import newest_beat
from correctly_assets.platform.openwebui import installed, private_environment, webui_command
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.settings.platform import http_url
from correctly_assets.store.schemas import DAGSTER_DATABASE, mlflow_backend, postgres_url, schema_url

OURS = "CORRECTLY_"
_FOR_ALL = ("CORRECTLY_HOME", "CORRECTLY_SUPERVISED")


@dataclass(frozen=True, slots=True)
class Process:
    """One part of the platform.

    Attributes:
        command: settings → (argv, environment added to the common one).
        port: settings → the port it listens on; None for the daemon.
        health: the path that answers 200 when the part is ready; readiness of a part without a port is being alive.
        ready_seconds: how long it may take to become ready before that is an error.
        stop_seconds: how long it gets between SIGTERM and SIGKILL.
        hung_seconds: how long it may leave its health check unanswered, or its pulse may stand still, once it has answered, before
            it is started again.
        pulse: settings → what changes while a part without a port works, None before it ever has.
        answers: settings, seconds → whether a part without a port answers within them. A part without any of these only has to run.
        source: what the code is that it loads; once that has changed, it is started again.
        after: names of parts that answer before it is first started; without them it would begin with an error in its log.
        ends_own_workers: SIGTERM is for it alone: it ends its workers itself, after the answers under way.
        private: settings → secrets for its environment, made at the first start; never part of what is rendered.
        foreign: a program of others: it is given none of our settings, which hold keys and passwords.
        face: it is there for people alone: the loop closes without it.
        host: settings → the address it listens on.
    """

    name: str
    title: str
    command: Callable[[Settings], tuple[list[str], dict[str, str]]]
    port: Callable[[Settings], int] | None = None
    health: str = "/"
    ready_seconds: float = 120
    stop_seconds: float = 15
    hung_seconds: float = 90
    ends_own_workers: bool = False
    private: Callable[[Settings], dict[str, str]] = lambda settings: {}
    foreign: bool = False
    face: bool = False
    pulse: Callable[[Settings], object] | None = None
    answers: Callable[[Settings, float], bool] | None = None
    source: Callable[[], object] | None = None
    after: tuple[str, ...] = ()
    host: Callable[[Settings], str] = lambda settings: settings.platform.host

    def url(self, settings: Settings) -> str | None:
        """Where the process answers; None for one that listens on no port."""
        return http_url(self.host(settings), self.port(settings)) if self.port else None


def common_environment(platform: PlatformSettings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment every part starts in."""
    env = dict(os.environ if base is None else base)
    env.update(TELEMETRY_OFF)
    env["CORRECTLY_HOME"] = str(platform.home)
    env["CORRECTLY_SUPERVISED"] = str(platform.home)
    env["DAGSTER_HOME"] = str(platform.dagster_home)
    # The parts reach each other on this machine; a proxy for the outside must not see it, nor can it bring it there.
    for name in ("NO_PROXY", "no_proxy"):
        given = [host for host in env.get(name, "").split(",") if host.strip()]
        env[name] = ",".join(dict.fromkeys([*given, "127.0.0.1", "localhost", "::1", *sorted(_own_hosts(platform))]))
    return env


def environment_of(process: Process, settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment that a part starts in; each part gets the secrets that are its own, and no others.

    Args:
        extra: what its command adds.
    """
    env = common_environment(settings.platform)
    if process.foreign:
        own_names = [name for name in env if name.startswith(OURS) and name not in _FOR_ALL]
        for name in (*own_names, DAGSTER_DATABASE):
            env.pop(name, None)
    elif (url := postgres_url(settings.platform)) is not None:
        env[DAGSTER_DATABASE] = schema_url(url, "dagster")
    return {**env, **extra, **process.private(settings)}


def _own_hosts(platform: PlatformSettings) -> set[str]:
    return {host for host in (platform.gateway_host, platform.mlflow_host, platform.webui_host) if host}


def _mlflow(settings: Settings) -> tuple[list[str], dict[str, str]]:
    port = settings.platform.mlflow_port
    argv = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--artifacts-destination", str(settings.platform.home / "mlflow" / "artifacts"), "--workers", "1"]
    # Its defaults take any name that begins like a private address (10.evil.example) for one of its own.
    own = [f"{name}{port_}" for name in ("127.0.0.1", "localhost") for port_ in ("", f":{port}")]
    argv += ["--allowed-hosts", ",".join(own)]
    argv += [f"--cors-allowed-origins=http://127.0.0.1:{port},http://localhost:{port}"]
    return argv, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _mlflow_secrets(settings: Settings) -> dict[str, str]:
    # The database's password stands in its URL, and every user of the machine can read a command line.
    return {"MLFLOW_BACKEND_STORE_URI": mlflow_backend(settings.platform)}


def engine_command(settings: Settings, device: Device | None = None) -> tuple[list[str], dict[str, str]]:
    """The engine's command.

    Args:
        device: None is what this machine has.
    """
    prompts = load_prompts(settings.platform.prompts_dir, family_of(settings.training.base_model))
    device = device or detect_device()
    return vllm_command(
        model=settings.base_model_path,
        device=device,
        # The proposer was measured on CPUs; on a GPU a step costs too little for it to matter.
        speculation=Speculation(prompt=prompts.around_sentence()) if device == "cpu" else Speculation(),
        # Wherever the others listen, the engine never does beyond loopback or a private network.
        host=settings.serving.vllm_host,
        port=settings.serving.vllm_port,
        chat_template=settings.platform.prompts_dir / "chat" / "gemma3.jinja",
        kvcache_gb=settings.serving.vllm_kvcache_gb,
        max_model_len=settings.serving.vllm_max_model_len,
        max_lora_rank=settings.training.lora_rank,
        dtype=engine_dtype(settings.serving.vllm_dtype, device or detect_device()),
    )


def _engine_secrets(settings: Settings) -> dict[str, str]:
    return {"VLLM_API_KEY": engine_key(settings.platform.home)}


def _inbox(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "correctly_assets.commands.watch_inbox"], {}


def _gateway(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "correctly_assets.gateway"], {}


def _webserver(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "correctly_assets.commands.serve_dagster", str(workspace_path(settings))], {}


def _daemon(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace_path(settings))], {}


PROCESSES: tuple[Process, ...] = (
    Process(
        "vllm",
        "vLLM",
        engine_command,
        lambda s: s.serving.vllm_port,
        "/health",
        ready_seconds=400,
        stop_seconds=30,
        hung_seconds=60,
        ends_own_workers=True,
        private=_engine_secrets,
        foreign=True,
        host=lambda s: s.serving.vllm_host,
    ),
    Process(
        "mlflow",
        "MLflow",
        _mlflow,
        lambda s: s.platform.mlflow_port,
        "/health",
        ready_seconds=180,
        private=_mlflow_secrets,
        foreign=True,
        host=lambda s: "127.0.0.1",
    ),
    Process(
        "gateway",
        "Gateway",
        _gateway,
        lambda s: s.platform.gateway_port,
        "/healthz",
        ready_seconds=180,
        hung_seconds=60,
    ),
    # Before whoever asks it.
    Process(
        "code",
        "Code server",
        code_server_command,
        ready_seconds=180,
        answers=code_server_answers,
        source=source_state,
    ),
    Process(
        "webserver",
        "Dagster",
        _webserver,
        lambda s: s.platform.dagster_port,
        "/server_info",
        ready_seconds=180,
        after=("code",),
        host=lambda s: s.platform.dagster_host,
    ),
    Process(
        "open-webui",
        "Open WebUI",
        lambda s: webui_command(s.platform),
        lambda s: s.platform.webui_port,
        "/health",
        ready_seconds=240,
        private=private_environment,
        foreign=True,
        face=True,
    ),
    Process("inbox", "Inbox", _inbox),
    # Last in, first out: its run workers must get their signal, and their time, before what they talk to is gone.
    Process(
        "daemon",
        "Dagster daemon",
        _daemon,
        stop_seconds=40,
        pulse=newest_beat,
        ready_seconds=180,
        hung_seconds=180,
        after=("code",),
    ),
)
BY_NAME = {process.name: process for process in PROCESSES}


def parts(*, faces: bool = True) -> tuple[Process, ...]:
    """The parts that can run on this machine, in their order; Open WebUI only where it is installed."""
    return tuple(p for p in PROCESSES if not p.face or (faces and installed()))
