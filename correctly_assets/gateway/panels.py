"""What Prometheus and Grafana are told of our metrics: panels and alert rules, as data beside the metrics they query.

Belongs here: titles, units, queries. Does not belong here: the metrics themselves (metrics.py, workflows/loop_metrics.py), the
files that are made of this (monitoring_files.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from correctly_assets.core.alerts import REMEDIES, TITLES, AlertKind, Limits

JOB = "correctly"
"""The name of the scrape job; the rules name it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of the Grafana dashboard.

    Attributes:
        unit: Grafana's name of the unit. queries: (PromQL, legend) pairs. wide: whether it takes a whole row.
    """

    title: str
    kind: Literal["timeseries", "stat", "bargauge"]
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule. ``lasting`` is how long its query must hold, in Prometheus' notation."""

    name: str
    query: str
    lasting: str
    severity: Literal["warning", "critical"]
    summary: str
    remedy: str


PANELS: tuple[Panel, ...] = (
    Panel("Answers", "stat", "short", (("correctly_ready", "ready"),), "1 while the champion answers."),
    Panel(
        "Release that answers",
        "stat",
        "short",
        (("correctly_release", "{{release}} ({{adapter}})"),),
        "Release and adapter.",
    ),
    Panel(
        "Scores by release",
        "bargauge",
        "short",
        (('correctly_release_score{score=~"gleu|errant_f05"}', "{{release}} {{score}}"),),
        "On the frozen evaluation set, when each release was judged; points from 0 to 100.",
        wide=True,
    ),
    Panel(
        "Correct sentences changed",
        "bargauge",
        "percent",
        (('correctly_release_score{score="overcorrected"}', "{{release}}"),),
        "Share of correct sentences that a release changes; the gate bounds it.",
    ),
    Panel(
        "Votes by release",
        "bargauge",
        "short",
        (
            ('correctly_votes_total{rating="1"}', "{{release}} up"),
            ('correctly_votes_total{rating="-1"}', "{{release}} down"),
        ),
        "Ratings of answers, however they were given.",
    ),
    Panel(
        "Seconds to an answer",
        "timeseries",
        "s",
        (
            ("histogram_quantile(0.5, sum by (le) (rate(correctly_answer_seconds_bucket[5m])))", "median"),
            ("histogram_quantile(0.95, sum by (le) (rate(correctly_answer_seconds_bucket[5m])))", "95 %"),
            (
                "histogram_quantile(0.5, sum by (le) (rate(correctly_first_piece_seconds_bucket[5m])))",
                "first piece, median",
            ),
        ),
        "From request to whole answer.",
    ),
    Panel(
        "Answers left unchanged",
        "timeseries",
        "percentunit",
        (
            (
                'sum by (release) (rate(correctly_answers_total{changed="false"}[15m])) '
                "/ sum by (release) (rate(correctly_answers_total[15m]))",
                "{{release}}",
            ),
        ),
        "Share of answers without an edit.",
    ),
    Panel(
        "Tokens a second",
        "timeseries",
        "short",
        (("sum by (kind) (rate(correctly_tokens_total[5m]))", "{{kind}}"),),
        "Tokens asked of the engine.",
    ),
    Panel(
        "Requests a second",
        "timeseries",
        "reqps",
        (("sum by (status) (rate(correctly_requests_total[5m]))", "{{status}}"),),
        "Requests to the gateway by status.",
    ),
    Panel(
        "Edits and answers that were replaced",
        "timeseries",
        "short",
        (
            ("sum by (reason) (rate(correctly_edits_total[15m]))", "edits, reason {{reason}}"),
            ("sum by (kind) (rate(correctly_fallbacks_total[15m]))", "fallback {{kind}}"),
        ),
        "Edits a second by where their reason comes from, and answers in whose place the writer's own text was given.",
    ),
    Panel("Examples", "timeseries", "short", (("correctly_examples", "{{state}}"),), "Examples by state."),
    Panel(
        "Rows of files that landed",
        "timeseries",
        "short",
        (("increase(correctly_landed_rows_total[1h])", "{{outcome}}"),),
        "Rows an hour by what became of them.",
    ),
    Panel(
        "Waiting for a decision",
        "timeseries",
        "s",
        (("correctly_undecided_age_seconds", "age of the oldest example"),),
        "0 when a decision has seen every accepted example.",
    ),
    Panel(
        "Waiting",
        "timeseries",
        "short",
        (
            ("correctly_undecided_examples", "examples without a decision"),
            ('correctly_feedback{state="pending"}', "feedback that is pending"),
            ("correctly_journal_pending", "answers to be journalled"),
        ),
        "What waits to be worked on.",
    ),
    Panel(
        "Decisions",
        "timeseries",
        "short",
        (
            ("increase(correctly_decisions_total[1d])", "{{verdict}}"),
            ("increase(correctly_rollbacks_total[1d])", "rollback: {{reason}}"),
        ),
        "Decisions and rollbacks a day.",
    ),
    Panel(
        "Since the last decision",
        "stat",
        "s",
        (("time() - correctly_last_decision_timestamp_seconds", "{{verdict}}"),),
        "Time since a run of the loop last ended so.",
    ),
    Panel(
        "Quiet for",
        "stat",
        "s",
        (("correctly_quiet_run_seconds", "run under way"),),
        "Time since the run under way last logged an event or reported progress.",
    ),
    Panel(
        "Teacher", "stat", "currencyUSD", (("correctly_teacher_usd_total", "spent"),), "Spent on the openai teacher."
    ),
    Panel(
        "Disk",
        "timeseries",
        "bytes",
        (("correctly_disk_free_bytes", "free"), ("correctly_disk_size_bytes", "size")),
        "The disk that holds the platform's state.",
    ),
    Panel(
        "Since the newest backup",
        "stat",
        "s",
        (("time() - correctly_backup_timestamp_seconds", "age"),),
        "No value while there is no backup.",
    ),
    Panel(
        "Live sentences beside the train set",
        "bargauge",
        "percent",
        (("correctly_sentence_share", "{{measure}} {{value}}, {{of}}"),),
        "Shares of the last week's sentences and of the train set's: error types, length, unchanged, languages.",
        wide=True,
    ),
    Panel(
        "What drifted",
        "bargauge",
        "short",
        (("correctly_drift_points", "{{measure}} {{value}}"),),
        "Points between live sentences and the train set; nothing where nothing drifted.",
    ),
    Panel(
        "The champion's scores over time",
        "timeseries",
        "short",
        (("correctly_champion_score", "{{score}}"), ("correctly_champion_score_fell", "fell below what is allowed")),
        "Measured again each night on the frozen evaluation set.",
    ),
    Panel(
        "Since the last look at live sentences",
        "stat",
        "s",
        (("time() - correctly_model_health_timestamp_seconds", "age"),),
        "Dagster's schedule `daily_model_health` looks each night.",
    ),
    Panel(
        "Challengers on real requests",
        "bargauge",
        "short",
        (("correctly_shadow_answers", "{{adapter}} {{outcome}}"),),
        "Answers of adapters that do not serve, against the champion's to the same requests (CORRECTLY_SHADOW_SHARE).",
    ),
    Panel(
        "Requests shared with a challenger",
        "timeseries",
        "reqps",
        (("sum by (outcome) (rate(correctly_shadow_requests_total[5m]))", "{{outcome}}"),),
        "Those that come while the gateway is busy are dropped.",
    ),
    Panel(
        "Engines",
        "timeseries",
        "short",
        (
            ("correctly_engine_up", "engine {{engine}} answers"),
            ("correctly_engine_adapters", "adapters of engine {{engine}}"),
        ),
        "Each engine: whether it answers, and how many adapters it has; 1 is the platform's own, the others are CORRECTLY_VLLM_REPLICAS.",
    ),
    Panel(
        "Requests that the engine failed",
        "timeseries",
        "short",
        (("sum by (code) (rate(correctly_engine_errors_total[5m]))", "{{code}}"),),
        "A second, by the failure's code.",
    ),
)


_GATEWAY_RULES = (
    Rule(
        "CorrectlyGatewayAway",
        f'up{{job="{JOB}"}} == 0',
        "5m",
        "critical",
        "The gateway does not answer",
        "`correctly status` says which part is away; `correctly logs gateway` says why.",
    ),
    Rule(
        "CorrectlyNotReady",
        "correctly_ready == 0",
        "5m",
        "critical",
        "The champion does not answer",
        "The gateway's /readyz says in a sentence what is waited for.",
    ),
    Rule(
        "CorrectlyEngineOut",
        "correctly_engine_up == 0",
        "10m",
        "warning",
        "One of the engines does not answer, or has computed NaN",
        "`correctly status` says which; the others answer meanwhile.",
    ),
    Rule(
        "CorrectlyManyFallbacks",
        "sum(rate(correctly_fallbacks_total[15m])) / sum(rate(correctly_answers_total[15m])) > 0.1",
        "15m",
        "warning",
        "A tenth of the answers is the writer's own text",
        "The release may be a bad one: `correctly rollback` returns to the one before.",
    ),
)


def rules(limits: Limits | None = None) -> tuple[Rule, ...]:
    """The alert rules: those of the platform's own alerts, and those on the gateway, which cannot tell of itself.

    Args:
        limits: the default limits when None.
    """
    limits = limits or Limits()
    last = "correctly_last_decision_timestamp_seconds"
    backup = "correctly_backup_timestamp_seconds"
    own: tuple[tuple[AlertKind, str, str, Literal["warning", "critical"]], ...] = (
        ("refused_gate", f'max({last}{{verdict="refused"}}) >= max({last})', "0m", "warning"),
        ("failed_run", f'max({last}{{verdict="failed"}}) >= max({last})', "0m", "warning"),
        (
            "rollback",
            'max(correctly_release_timestamp_seconds{kind="rollback"}) >= max(correctly_release_timestamp_seconds)',
            "0m",
            "critical",
        ),
        (
            "votes",
            '(sum by (release) (correctly_voters{rating="-1"}) / sum by (release) (correctly_voters) > 0.5) '
            f"and on (release) (sum by (release) (correctly_voters) >= {limits.votes}) "
            "and on (release) (correctly_release == 1)",
            "0m",
            "warning",
        ),
        ("engine", f"correctly_engine_losses >= {limits.engine_losses}", "0m", "critical"),
        ("lag", f"correctly_undecided_age_seconds > {3600 * limits.undecided_hours:.0f}", "5m", "warning"),
        ("disk", f"correctly_disk_free_bytes < {1e9 * limits.disk_free_gb:.0f}", "5m", "critical"),
        ("stuck_run", f"correctly_quiet_run_seconds > {60 * limits.stuck_minutes:.0f}", "0m", "warning"),
        ("drift", "count(correctly_drift_points) > 0 or correctly_champion_score_fell == 1", "0m", "warning"),
    )
    found = [
        Rule(_name(kind), query, lasting, severity, TITLES[kind], REMEDIES[kind])
        for kind, query, lasting, severity in own
    ]
    if limits.backup_hours is not None:
        query = f'time() - {backup} > {3600 * limits.backup_hours:.0f} or absent({backup}{{job="{JOB}"}})'
        found.append(Rule(_name("backup"), query, "1h", "warning", TITLES["backup"], REMEDIES["backup"]))
    return (*found, *_GATEWAY_RULES)


def _name(kind: AlertKind) -> str:
    return "Correctly" + "".join(word.capitalize() for word in kind.split("_"))
