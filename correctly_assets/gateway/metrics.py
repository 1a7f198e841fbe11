"""What can be seen of the gateway: Prometheus metrics per release, and structured logs without anybody's text.

Belongs here: metric names and the log's format. Does not belong here: where they are counted (service.py, routes).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from correctly_assets.core.types import Correction
from correctly_assets.engine.replicas import Replica
from correctly_assets.workflows.loop_metrics import TABLE, Reading

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_SECONDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 15, 30, 60)
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Loop(Collector):
    """The loop's metrics as they were last read: from the store, and by whoever they came about.

    Nothing is counted here. A vote given in Open WebUI never passes the gateway, and one that is turned round leaves the
    count that it stood in; decisions are taken by another process.
    """

    def __init__(self) -> None:
        self.known: Reading = {}

    def collect(self) -> Iterator[Metric]:
        """The families of metrics, as Prometheus's registry asks for them at each scrape."""
        for metric in TABLE:
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = make(f"correctly_{metric.name}", metric.meaning, labels=metric.labels)
            for labels, value in self.known.get(metric.name, {}).items():
                family.add_metric(labels, value)
            yield family


class Metrics:
    """One gateway's metrics, in a registry of their own. The base model's answers carry the release ``base``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests by route and status.", "route", "status")
        self.answers = self._counter("answers", "Answers by outcome.", "release", "changed")
        self.seconds = self._seconds("answer_seconds", "Seconds from request to whole answer.")
        self.first = self._seconds("first_piece_seconds", "Seconds to the first piece of a chat answer.")
        self.tokens = self._counter("tokens", "Tokens asked of the engine.", "release", "kind")
        self.edits = self._counter("edits", "Edits in answers, by origin of the reason.", "release", "reason")
        self.fallbacks = self._counter("fallbacks", "Answers with a fallback.", "release", "kind")
        self.shadow = self._counter("shadow_requests", "Requests shared with a challenger, by outcome.", "outcome")
        self.loop = Loop()
        self.registry.register(self.loop)
        self.engine_errors = self._counter("engine_errors", "Requests that the engine failed.", "code")
        self.engine_losses = self._gauge("engine_losses", "Times that the engine went away in the last hour.")
        self.engine_up = self._gauge("engine_up", "1 for an engine that answers and has not computed NaN.", "engine")
        self.engine_adapters = self._gauge("engine_adapters", "Adapters that an engine has loaded.", "engine")
        self.ready = self._gauge("ready", "1 when the champion answers.")
        self.release = self._gauge("release", "1 for the release that answers.", "release", "adapter")
        self.pending = self._gauge("journal_pending", "Answers that wait to be journalled.")

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(f"correctly_{name}", description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(f"correctly_{name}", description, labels, registry=self.registry)

    def _seconds(self, name: str, description: str) -> Histogram:
        return Histogram(f"correctly_{name}", description, ["release"], buckets=_SECONDS, registry=self.registry)

    def see_engines(self, engines: Iterable[Replica]) -> None:
        """Take down each engine as it was last seen, by its place in CORRECTLY_VLLM_REPLICAS; 1 is the platform's own."""
        for place, engine in enumerate(engines, 1):
            self.engine_up.labels(place).set(engine.up and not engine.corrupted)
            self.engine_adapters.labels(place).set(len(engine.adapters))

    def answered(self, correction: Correction, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Count one whole answer."""
        release = correction.release or correction.adapter or "base"
        self.answers.labels(release, str(correction.changed).lower()).inc()
        self.seconds.labels(release).observe(seconds)
        self.tokens.labels(release, "prompt").inc(prompt_tokens)
        self.tokens.labels(release, "completion").inc(completion_tokens)
        for edit in correction.edits:
            self.edits.labels(release, edit.reason_origin or "none").inc()
        if correction.fallback:
            self.fallbacks.labels(release, correction.fallback).inc()


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, event, request id, and the call's ``extra`` values."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every log line of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)
