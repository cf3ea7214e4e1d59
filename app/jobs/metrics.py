"""Numbers for Prometheus.

How things stand is asked of the database when somebody looks, so that every process tells the same, whoever did the
work. What happened is counted from the runs that ended since this process began, whichever process ran them: sum over
connections, not over processes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.store import measures
from app.store.measures import Measured
from app.store.store import Store, Unit

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
DONE: Final = ("pulled", "people", "linked", "updated", "archived", "created", "written", "deleted", "aside", "refused")
PUSHES: Final = ("owed", "sent", "aside", "held")


class Metrics:
    """What `/metrics` tells. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(_Standing(store))
        label = ["connection"]
        self._runs = Counter("concord_runs", "Runs that ended.", [*label, "outcome"], registry=self._registry)
        self._seconds = Histogram(
            "concord_run_seconds", "How long runs took.", label, buckets=SECONDS, registry=self._registry
        )
        self._requests = Counter("concord_requests", "Requests to the remote.", label, registry=self._registry)
        self._bytes = Counter(
            "concord_request_bytes", "Bytes to and from the remote.", [*label, "direction"], registry=self._registry
        )
        self._contacts = Counter(
            "concord_contacts", "Contacts, by what runs did with them.", [*label, "what"], registry=self._registry
        )
        self._conflicts = Counter(
            "concord_conflicts", "Values that both sides had changed.", label, registry=self._registry
        )
        with store.read() as unit:
            self._place = measures.runs_now(unit)

    def render(self) -> bytes:
        """All of it, in Prometheus' text format (`CONTENT_TYPE`)."""
        with self._lock:
            with self._store.read() as unit:
                self._count(unit)
            return generate_latest(self._registry)

    def _count(self, unit: Unit) -> None:
        ended, self._place = measures.runs_since(unit, self._place)
        for run in ended:
            self._runs.labels(run.connection, run.outcome).inc()
            self._seconds.labels(run.connection).observe(run.seconds)
            self._requests.labels(run.connection).inc(run.counters.get("requests", 0))
            self._conflicts.labels(run.connection).inc(run.counters.get("conflicts", 0))
            for direction, name in (("out", "bytes_sent"), ("in", "bytes_received")):
                self._bytes.labels(run.connection, direction).inc(run.counters.get(name, 0))
            for name in DONE:
                if number := run.counters.get(name, 0):
                    self._contacts.labels(run.connection, name).inc(number)


class _Standing(Collector):
    """How things stand now."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: registering asks no database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        with self._store.read() as unit:
            now, found = unit.now, measures.connections_measured(unit)
            persons, notices = measures.persons(unit), measures.notices_by_state(unit)
        label = ["connection"]
        lag = GaugeMetricFamily("concord_lag_seconds", "Since the last run that read the remote well.", labels=label)
        waits = GaugeMetricFamily("concord_push_wait_seconds", "Since when the oldest push is owed.", labels=label)
        for one in found:
            if one.read is not None:
                lag.add_metric([one.name], (now - one.read).total_seconds())
            waits.add_metric([one.name], (now - one.oldest).total_seconds() if one.oldest else 0.0)
        yield from (lag, waits, _pushes(found))
        yield _each("concord_refused_records", "Records that cannot be taken.", {x.name: x.refused for x in found})
        yield _each("concord_deletions_waiting", "Deletions that the brake holds.", {x.name: x.parked for x in found})
        yield _each("concord_conflicts_open", "Values for a human to decide.", {x.name: x.conflicts for x in found})
        yield _budget(found)
        up = {x.name: float(x.state == "active") for x in found}
        yield _each("concord_connection_active", "1: it runs; 0: it is paused, or waits for its first contact.", up)
        yield _each("concord_people", "Persons, by state.", persons, "state")
        yield _each("concord_notices", "Webhooks out, by state; dead ones can be resent.", notices, "state")


def _pushes(found: list[Measured]) -> Metric:
    metric = GaugeMetricFamily("concord_pushes", "Writes that are owed, by state.", labels=["connection", "state"])
    for one in found:
        for state in PUSHES:
            metric.add_metric([one.name, state], one.pushes.get(state, 0))
    return metric


def _budget(found: list[Measured]) -> Metric:
    words = "Requests that were left as the last run ended: of our own rate (burst), or as the remote told."
    metric = GaugeMetricFamily("concord_request_budget_left", words, labels=["connection", "window"])
    for one in found:
        for window, left in one.budget.items():
            metric.add_metric([one.name, window], left)
    return metric


def _each(name: str, words: str, values: dict[str, float] | dict[str, int], label: str = "connection") -> Metric:
    metric = GaugeMetricFamily(name, words, labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric
