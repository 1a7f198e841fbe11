"""docker-compose.yml, rendered from the process table.

Belongs here: how a part of the table becomes a compose service. Does not belong here: any command of its own; a part's
argv is the table's. `python -m correctly_assets.platform.compose` writes the file; a test holds it to this rendering.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NotRequired, Required, TypedDict, get_args

import yaml

from correctly_assets.core.telemetry import TELEMETRY_OFF
from correctly_assets.engine.key import KEY_FILE, engine_key_path
from correctly_assets.engine.launch import Device
from correctly_assets.gateway.monitoring_files import COMPOSE_DASHBOARDS, COMPOSE_KEY_FILE
from correctly_assets.platform.code_server import workspace_path
from correctly_assets.platform.openwebui import ADMIN_EMAIL
from correctly_assets.platform.processes import PROCESSES, Process, engine_command
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT, Settings
from correctly_assets.settings.alert_settings import AlertsSettings
from correctly_assets.store.schemas import DAGSTER_DATABASE


class Healthcheck(TypedDict, total=False):
    """How Docker asks a service whether it is well."""

    test: Required[list[str]]
    interval: Required[str]
    timeout: str
    retries: Required[int]
    start_period: str


class Build(TypedDict):
    """What a service's image is built from."""

    context: str
    dockerfile: str
    args: NotRequired[dict[str, str]]


class EnvFile(TypedDict):
    """A file of variables, which need not be there."""

    path: str
    required: bool


class Service(TypedDict, total=False):
    """One service, as far as any of ours says it."""

    image: Required[str]
    build: Build
    command: list[str]
    environment: dict[str, str | None]
    env_file: list[EnvFile]
    volumes: list[str]
    secrets: list[str]
    ports: list[str]
    profiles: list[str]
    networks: dict[str, dict[str, list[str]]]
    deploy: dict[str, dict[str, dict[str, list[dict[str, str | int | list[str]]]]]]
    healthcheck: Healthcheck
    cap_drop: list[str]
    security_opt: list[str]
    depends_on: dict[str, dict[str, str]]
    restart: str
    stop_grace_period: str


class Compose(TypedDict):
    """The compose file."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, dict[str, str]]
    secrets: dict[str, dict[str, str]]


HEADER = """\
# Rendered from the process table (correctly_assets/platform/processes.py) by
# `python -m correctly_assets.platform.compose`: change the table, not this file.
#
#   docker compose --profile cpu up      vLLM on the CPU, the embedded Gemma 3 270M
#   docker compose --profile gpu up      vLLM on an NVIDIA GPU; set CORRECTLY_BASE_MODEL, e.g. to Gemma 3 1B
#   --profile monitoring besides         Prometheus on 127.0.0.1:9090 and Grafana on 127.0.0.1:3001
#
# Set POSTGRES_PASSWORD, WEBUI_SECRET_KEY, WEBUI_ADMIN_PASSWORD (of admin@localhost) and WEBUI_GATEWAY_KEY (what the chat
# shows the gateway; `openssl rand -hex 32` makes one) in .env first, and any other CORRECTLY_ setting in settings.env. Only the
# gateway, Dagster, MLflow, the chat and these two are published, on loopback; vLLM stays on the private network and asks for a
# key that `prepare` makes.
"""
DATABASE = "postgresql://correctly:${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}@postgres:5432/correctly"
ADMIN_PASSWORD = "${WEBUI_ADMIN_PASSWORD:?set WEBUI_ADMIN_PASSWORD in .env}"
GATEWAY_KEY = "${WEBUI_GATEWAY_KEY:?set WEBUI_GATEWAY_KEY in .env}"
WEBUI_PORT = 8080
"""Where Open WebUI's image listens, inside its container."""
HOST_SPECIFIC_ENV = ("VLLM_CPU_NUM_OF_RESERVED_CPU", "VLLM_ENABLE_V1_MULTIPROCESSING")
"""What the process table reads off the machine it runs on, and a rendered file must not."""
ON_ONE_MACHINE = frozenset({"code"})
"""Parts that `correctly up` alone starts. Here the daemon and the web server load the definitions themselves: the sensors look for the
runs' workers, which are the daemon's children, and see those of their own container only."""
SQLALCHEMY = DATABASE.replace("postgresql://", "postgresql+psycopg2://", 1)
MLFLOW_DATABASE = f"{SQLALCHEMY}?options=-csearch_path%3Dmlflow"
CONTAINER_ROOT = "/srv/correctly"
SETTINGS_FILE = "settings.env"
"""Where people put any other CORRECTLY_ variable for our own parts."""
HOME = "/var/lib/correctly"
BASE_MODEL = f"${{CORRECTLY_BASE_MODEL:-{HOME}/models/{EMBEDDED_BASE_MODEL}}}"


def compose_settings() -> Settings:
    """The settings a container sees; everything listens on its own interface and meets by service name."""
    return Settings().changed(
        platform={
            "home": Path(HOME),
            "host": "0.0.0.0",
            "dagster_host": "0.0.0.0",
            "gateway_host": "gateway",
            "database_url": None,
            # Read here; in what is rendered the checkout's place becomes the container's.
            "sql_dir": PROJECT_ROOT / "sql",
            "prompts_dir": PROJECT_ROOT / "prompts",
        },
        serving={"vllm_host": "vllm"},
    )


def _argv(process: Process, settings: Settings) -> list[str]:
    argv, _ = process.command(settings)
    argv = [f"{CONTAINER_ROOT}/workspace.yaml" if part == str(workspace_path(settings)) else part for part in argv]
    text = [part.replace(str(PROJECT_ROOT), CONTAINER_ROOT) for part in argv]
    if process.name == "vllm":
        # The engine listens on the private network that only the other services share; no port of it is published.
        text[text.index("--host") + 1] = "0.0.0.0"
        # Whatever CORRECTLY_BASE_MODEL names, `prepare` makes sure of its folder and puts this link to it.
        text[text.index("--model") + 1] = str(settings.platform.served_model_path)
        # Which machine it will run on is not known here.
        text[text.index("--dtype") + 1] = "${CORRECTLY_VLLM_DTYPE:-bfloat16}"
    elif process.name == "mlflow":
        # Here it is reached from other containers, by its service name.
        text[text.index("--host") + 1] = "0.0.0.0"
        text[text.index("--allowed-hosts") + 1] += f",mlflow,mlflow:{settings.platform.mlflow_port}"
    return ["python", *text[1:]]


def _service(process: Process, settings: Settings, *, image: str = "correctly") -> Service:
    _, extra = process.command(settings)
    service: Service = {
        "image": f"{image}:${{CORRECTLY_VERSION:-0.1.0}}",
        "build": {"context": ".", "dockerfile": "deploy/Dockerfile"},
        "command": _argv(process, settings),
        "environment": {
            **TELEMETRY_OFF,
            **{
                name: value.replace("$", "$$")
                for name, value in extra.items()
                if name.startswith(("VLLM_", "HF_", "MLFLOW_", "CORRECTLY_")) and name not in HOST_SPECIFIC_ENV
            },
            "CORRECTLY_HOME": HOME,
            "CORRECTLY_VLLM_HOST": "vllm",
            # The programs of others get no key or password but their own.
            **({} if process.foreign else _own_environment()),
            **({"MLFLOW_BACKEND_STORE_URI": MLFLOW_DATABASE} if process.name == "mlflow" else {}),
        },
        "volumes": [f"correctly-home:{HOME}"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{process.stop_seconds:.0f}s",
        "depends_on": {
            "postgres": {"condition": "service_healthy"},
            "prepare": {"condition": "service_completed_successfully"},
        },
    }
    if not process.foreign:
        service["env_file"] = [{"path": SETTINGS_FILE, "required": False}]
    if process.port is not None:
        port = process.port(settings)
        probe = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}{process.health}', timeout=5)"
        test, timeout = ["python", "-c", probe], "6s"
        if process.name == "vllm":
            # No supervisor restarts it here: the check ends an engine that computed NaN, and Docker starts it again.
            test, timeout = ["python", "-m", "correctly_assets.engine.vllm_plugin.health", str(port)], "12s"
        service["healthcheck"] = {
            "test": ["CMD", *test],
            "interval": "10s",
            "timeout": timeout,
            "retries": 6,
            "start_period": f"{process.ready_seconds:.0f}s",
        }
        if process.name != "vllm":
            service["ports"] = [f"127.0.0.1:{port}:{port}"]
    return service


def _own_environment() -> dict[str, str]:
    """What our own parts are told: where the others are, and the secrets of the platform."""
    return {
        "CORRECTLY_HOST": "0.0.0.0",
        "CORRECTLY_DAGSTER_HOST": "0.0.0.0",
        "CORRECTLY_DAGSTER_WEB_HOST": "webserver",
        "CORRECTLY_GATEWAY_HOST": "gateway",
        "CORRECTLY_MLFLOW_HOST": "mlflow",
        "CORRECTLY_WEBUI_HOST": "open-webui",
        "CORRECTLY_WEBUI_PORT": str(WEBUI_PORT),
        "CORRECTLY_WEBUI_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "CORRECTLY_DATABASE_URL": DATABASE,
        "CORRECTLY_BASE_MODEL": BASE_MODEL,
        "CORRECTLY_TEACHER": "${CORRECTLY_TEACHER:-embedded}",
        "CORRECTLY_TEACHER_API_KEY": "${CORRECTLY_TEACHER_API_KEY:-}",
        "DAGSTER_HOME": f"{HOME}/dagster",
        DAGSTER_DATABASE: f"{SQLALCHEMY}?options=-csearch_path%3Ddagster",
    }


def render() -> Compose:
    """The compose file as a mapping."""
    settings = compose_settings()
    services: dict[str, Service] = {
        "postgres": {
            "image": "postgres:15@sha256:9b1d34adbce1dd07ee6e94b4a2cf698884b89bd44a6c9c12f5da8f3acbfe4957",
            "environment": {
                "POSTGRES_USER": "correctly",
                "POSTGRES_DB": "correctly",
                "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}",
            },
            "volumes": ["postgres-data:/var/lib/postgresql/data"],
            "healthcheck": {"test": ["CMD-SHELL", "pg_isready -U correctly"], "interval": "5s", "retries": 12},
            "restart": "unless-stopped",
        }
    }
    services["prepare"] = _prepare(settings)
    for process in PROCESSES:
        if process.name in ON_ONE_MACHINE:
            continue
        if process.name == "open-webui":
            services["open-webui"] = _webui(process, settings)
            continue
        if process.name != "vllm":
            services[process.name] = _service(process, settings)
            if process.name == "gateway":
                # Without a value each is taken from the shell or .env, and left out where it is set in neither.
                names = sorted(AlertsSettings.variable(field) for field in AlertsSettings.model_fields)
                _environment(services[process.name]).update(dict.fromkeys(names))
            continue
        for profile in get_args(Device):
            services[f"vllm-{profile}"] = _engine(process, settings, profile)
    services |= _monitoring()
    volumes = {
        name: {} for name in ("postgres-data", "correctly-home", "webui-data", "prometheus-data", "grafana-data")
    }
    secrets = {Path(COMPOSE_KEY_FILE).name: {"environment": "WEBUI_GATEWAY_KEY"}}
    return {"name": "correctly", "services": services, "volumes": volumes, "secrets": secrets}


def _prepare(settings: Settings) -> Service:
    """What runs once before the others: the folders, the base model, the tables, and what ships."""
    service = _service(replace(PROCESSES[0], foreign=False), settings)
    service.pop("healthcheck", None)
    service.pop("ports", None)
    service.pop("stop_grace_period", None)
    # What ships lands here: no `up` does it.
    service["command"] = ["python", "-m", "correctly_assets.cli", "prepare", "--starter"]
    service["restart"] = "no"
    # It alone downloads a base model.
    _environment(service)["HF_TOKEN"] = "${HF_TOKEN:-}"
    # It lets the chat in; the gateway, which listens beyond its container's loopback, starts with keys alone.
    _environment(service)["CORRECTLY_WEBUI_GATEWAY_KEY"] = GATEWAY_KEY
    service["depends_on"] = {"postgres": {"condition": "service_healthy"}}
    return service


def _engine(process: Process, settings: Settings, profile: Device) -> Service:
    """The engine of one profile, ``cpu`` or ``gpu``."""
    engine = replace(process, command=partial(engine_command, device=profile))
    service = _service(engine, settings, image=f"correctly-{profile}")
    service["build"] = {"context": ".", "dockerfile": "deploy/Dockerfile", "args": {"ACCELERATOR": profile}}
    service["profiles"] = [profile]
    # Both answer to one name: the gateway does not know which build serves it.
    service["networks"] = {"default": {"aliases": ["vllm"]}}
    if profile == "gpu":
        devices: list[dict[str, str | int | list[str]]] = [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
        service["deploy"] = {"resources": {"reservations": {"devices": devices}}}
    _environment(service)[KEY_FILE] = str(engine_key_path(Path(HOME)))
    return service


def _environment(service: Service) -> dict[str, str | None]:
    return service.setdefault("environment", {})


def _monitoring() -> dict[str, Service]:
    """Prometheus and Grafana over deploy/monitoring, behind a profile of their own."""
    here = "./deploy/monitoring"
    return {
        "prometheus": {
            "image": "prom/prometheus:v3.5.0@sha256:63805ebb8d2b3920190daf1cb14a60871b16fd38bed42b857a3182bc621f4996",
            "command": ["--config.file=/etc/prometheus/prometheus-compose.yml", "--storage.tsdb.path=/prometheus"],
            "volumes": [f"{here}:/etc/prometheus:ro", "prometheus-data:/prometheus"],
            "secrets": [Path(COMPOSE_KEY_FILE).name],
            "ports": ["127.0.0.1:9090:9090"],
            "profiles": ["monitoring"],
            "restart": "unless-stopped",
        },
        "grafana": {
            "image": "grafana/grafana:12.1.0@sha256:6ac590e7cabc2fbe8d7b8fc1ce9c9f0582177b334e0df9c927ebd9670469440f",
            "environment": {"GF_SECURITY_ADMIN_PASSWORD": ADMIN_PASSWORD, "GF_ANALYTICS_REPORTING_ENABLED": "false"},
            "volumes": [
                f"{here}/grafana-datasource.yml:/etc/grafana/provisioning/datasources/correctly.yml:ro",
                f"{here}/grafana-provider.yml:/etc/grafana/provisioning/dashboards/correctly.yml:ro",
                f"{here}/grafana-dashboard.json:{COMPOSE_DASHBOARDS}/correctly.json:ro",
                "grafana-data:/var/lib/grafana",
            ],
            "ports": ["127.0.0.1:3001:3000"],
            "profiles": ["monitoring"],
            "restart": "unless-stopped",
        },
    }


def _webui(process: Process, settings: Settings) -> Service:
    _, extra = process.command(settings)
    environment: dict[str, str | None] = {
        k: v for k, v in extra.items() if k not in ("DATA_DIR", "PATH", "WEBUI_SECRET_KEY", "WEBUI_AUTH")
    }
    environment |= {
        "OPENAI_API_BASE_URL": f"http://gateway:{settings.platform.gateway_port}/v1",
        "CORS_ALLOW_ORIGIN": f"http://127.0.0.1:{settings.platform.webui_port};http://localhost:{settings.platform.webui_port}",
        # A container cannot show the platform's own key, which is made at start: it is given a client's.
        "OPENAI_API_KEY": GATEWAY_KEY,
        "WEBUI_SECRET_KEY": "${WEBUI_SECRET_KEY:?set WEBUI_SECRET_KEY in .env}",
        # The votes' reader signs in as this admin; other people's accounts are made by it, not by signing up.
        "WEBUI_ADMIN_EMAIL": ADMIN_EMAIL,
        "WEBUI_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "ENABLE_SIGNUP": "False",
    }
    return {
        "image": "ghcr.io/open-webui/open-webui:v0.12.4",
        "environment": environment,
        "ports": [f"127.0.0.1:{settings.platform.webui_port}:{WEBUI_PORT}"],
        "volumes": ["webui-data:/app/backend/data"],
        "depends_on": {"gateway": {"condition": "service_healthy"}},
        "restart": "unless-stopped",
    }


def text() -> str:
    """The compose file's text."""
    return HEADER + yaml.safe_dump(render(), sort_keys=False, width=110)


if __name__ == "__main__":
    (PROJECT_ROOT / "docker-compose.yml").write_text(text())
