"""deploy/monitoring/, made from the tables: `python -m correctly_assets.gateway.monitoring_files` writes it anew.

Belongs here: the formats of Prometheus and Grafana. Does not belong here: metrics, panels and rules themselves (panels.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypedDict

import yaml

from correctly_assets.core.json_shapes import Json
from correctly_assets.gateway.metrics import Metrics
from correctly_assets.gateway.panels import JOB, PANELS, Panel, rules
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.workflows.loop_metrics import TABLE

MONITORING = PROJECT_ROOT / "deploy" / "monitoring"
_MADE = "Made by `python -m correctly_assets.gateway.monitoring_files`; change the tables in correctly_assets/gateway/panels.py instead."
COMPOSE_KEY_FILE = "/run/secrets/gateway-key"
"""Where a container of docker-compose finds the key that it shows the gateway."""
COMPOSE_DASHBOARDS = "/var/lib/grafana/dashboards"
_DATASOURCE = {"name": "Prometheus", "type": "prometheus", "url": "http://prometheus:9090", "isDefault": True}
_PROVIDER = {"name": "correctly", "type": "file", "options": {"path": COMPOSE_DASHBOARDS}}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_README = """# Monitoring

{made}

The gateway serves Prometheus metrics at `/metrics`. `prometheus.yml` scrapes them, `alerts.yml` holds the alert rules with
their default limits, and `grafana-dashboard.json` is imported into Grafana (Dashboards, New, Import). The platform needs none of
them.

    prometheus --config.file=deploy/monitoring/prometheus.yml

Under docker-compose `--profile monitoring` starts both: Prometheus with `prometheus-compose.yml` on 127.0.0.1:9090, and Grafana on
127.0.0.1:3001 with this dashboard, the user admin and `WEBUI_ADMIN_PASSWORD`. The file keeps the compose specification; these two
containers were not run where it was made.

Where the gateway asks for keys, write one of `correctly keys new prometheus` into a file and name it in `prometheus.yml`.

## Metrics of the loop

Read from the store when the gateway is scraped, at most every 15 seconds.

{loop}

## Metrics of the gateway

Counted by the process since it started.

{own}
"""


class GridPosition(TypedDict):
    """Where a panel stands and how large it is, in units of Grafana's grid."""

    x: int
    y: int
    w: int
    h: int


class Target(TypedDict):
    """A query of a panel."""

    refId: str
    datasource: dict[str, str]
    expr: str
    legendFormat: str
    instant: bool
    range: bool


class GrafanaPanel(TypedDict):
    """A panel as Grafana imports it."""

    id: int
    title: str
    description: str
    type: str
    datasource: dict[str, str]
    gridPos: GridPosition
    fieldConfig: Mapping[str, Json]
    targets: list[Target]


class GrafanaDashboard(TypedDict):
    """A dashboard as Grafana imports it."""

    uid: str
    title: str
    description: str
    tags: list[str]
    schemaVersion: int
    version: int
    refresh: str
    time: dict[str, str]
    templating: dict[Literal["list"], list[dict[str, str]]]
    panels: list[GrafanaPanel]


def render() -> dict[str, str]:
    """The files by name."""
    return {
        "README.md": _README.format(made=_MADE, loop=_loop_table(), own=_own_table()),
        "prometheus.yml": _prometheus("127.0.0.1:8080", "127.0.0.1:8001", None),
        "prometheus-compose.yml": _prometheus("gateway:8080", "vllm:8001", COMPOSE_KEY_FILE),
        "grafana-datasource.yml": _provisioned("datasources", _DATASOURCE),
        "grafana-provider.yml": _provisioned("providers", _PROVIDER),
        "alerts.yml": _alerts(),
        "grafana-dashboard.json": json.dumps(dashboard(), indent=1) + "\n",
    }


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _loop_table() -> str:
    head = [_row("Metric", "Kind", "Unit", "Labels", "Meaning"), _row(*["---"] * 5)]
    rows = [_row(f"`{m.exposed}`", m.kind, m.unit, ", ".join(m.labels) or "–", m.meaning) for m in TABLE]
    return "\n".join(head + rows)


def _own_table() -> str:
    head = [_row("Metric", "Kind", "Meaning"), _row(*["---"] * 3)]
    of_the_loop = {f"correctly_{metric.name}" for metric in TABLE}
    rows = [
        _row(f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type, family.documentation)
        for family in Metrics().registry.collect()
        if family.name not in of_the_loop
    ]
    return "\n".join(head + rows)


def _prometheus(gateway: str, engine: str, key_file: str | None) -> str:
    """Prometheus' configuration.

    Args:
        gateway, engine: ``host:port`` of both. key_file: holds the key that the gateway is shown.
    """
    key = f"    authorization:\n      credentials_file: {key_file}"
    if key_file is None:
        key = "    # Where the gateway asks for keys:\n    # authorization:\n    #   credentials_file: correctly.key"
    return f"""# {_MADE}
global:
  scrape_interval: 15s
  evaluation_interval: 30s

rule_files:
  - alerts.yml

scrape_configs:
  - job_name: {JOB}
    static_configs:
      - targets: ["{gateway}"]
{key}
  - job_name: vllm
    static_configs:
      - targets: ["{engine}"]
"""


def _provisioned(kind: str, entry: Mapping[str, Json]) -> str:
    """A file that Grafana reads at start: a data source, or where dashboards lie."""
    return f"# {_MADE}\n{yaml.safe_dump({'apiVersion': 1, kind: [entry]}, sort_keys=False)}"


def _alerts() -> str:
    listed = [
        {
            "alert": rule.name,
            "expr": rule.query,
            "for": rule.lasting,
            "labels": {"severity": rule.severity},
            "annotations": {"summary": f"{rule.summary}.", "description": rule.remedy},
        }
        for rule in rules()
    ]
    groups = {"groups": [{"name": "correctly", "rules": listed}]}
    return f"# {_MADE}\n{yaml.safe_dump(groups, sort_keys=False, width=1000)}"


def dashboard() -> GrafanaDashboard:
    """The Grafana dashboard, for any Prometheus data source; panels stand two in a row."""
    panels: list[GrafanaPanel] = []
    x = y = 0
    for number, panel in enumerate(PANELS, 1):
        width = 24 if panel.wide else 12
        if x + width > 24:
            x, y = 0, y + 8
        panels.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": 8}))
        x += width
    return {
        "uid": "correctly",
        "title": "Correctly",
        "description": _MADE,
        "tags": ["correctly"],
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: GridPosition) -> GrafanaPanel:
    # Bars and numbers show the value of now; a range query would draw one bar for each moment.
    instant = panel.kind != "timeseries"
    return {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def write(directory: Path = MONITORING) -> list[Path]:
    """Write the files; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    files = render()
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in files]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{path}\n" for path in write()))
