"""deploy/monitoring: what is there is what the tables give, and every query names a metric that exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from correctly_assets.core.alerts import TITLES, Limits
from correctly_assets.gateway.metrics import Metrics
from correctly_assets.gateway.monitoring_files import MONITORING, dashboard, render
from correctly_assets.gateway.panels import JOB, PANELS, rules

QUERIES = [query for panel in PANELS for query, _ in panel.queries] + [rule.query for rule in rules()]


def exposed_names() -> set[str]:
    """Every name that a query may ask for: counters with ``_total``, histograms with their three."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"{f.name}{end}" for f in Metrics().registry.collect() for end in ends.get(f.type, ("",))}


def test_the_files_are_what_the_tables_give() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in MONITORING.iterdir()}
    assert there == render(), "Write them anew: python -m correctly_assets.gateway.monitoring_files"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_that_exist(query: str) -> None:
    named = set(re.findall(r"\b(?:correctly_\w+|up)\b", query))
    assert named and named <= exposed_names() | {"up"}


def test_every_metric_but_a_histograms_parts_is_on_the_dashboard() -> None:
    shown = set(re.findall(r"correctly_\w+", json.dumps(dashboard()) + json.dumps([rule.query for rule in rules()])))
    parts = {name for name in exposed_names() if name.endswith(("_bucket", "_sum", "_count"))}
    assert exposed_names() - parts <= shown


def test_panels_do_not_overlap_and_stand_within_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken and all(x < 24 for x, _ in cells)
        taken |= cells


def test_each_alert_of_the_platform_has_a_rule_with_its_limit() -> None:
    made = rules(Limits(undecided_hours=2, disk_free_gb=7, backup_hours=10))
    assert {rule.summary for rule in made} >= set(TITLES.values())
    said = " ".join(rule.query for rule in made)
    assert "> 7200" in said and "< 7000000000" in said and "> 36000" in said
    assert not any(rule.name == "CorrectlyBackup" for rule in rules(Limits(backup_hours=None)))


def test_rules_name_the_job_that_is_scraped() -> None:
    jobs = [one["job_name"] for one in yaml.safe_load(render()["prometheus.yml"])["scrape_configs"]]
    assert JOB in jobs and any(f'job="{JOB}"' in rule.query for rule in rules())


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed.")
    for what, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        done = subprocess.run([promtool, "check", what, MONITORING / name], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
