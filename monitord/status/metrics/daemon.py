"""The metrics of the daemon itself: how well it keeps up, and what it has had to leave out."""

import itertools
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from monitord import __version__
from monitord.alerts import Alerts
from monitord.dispatch import Dispatcher
from monitord.dispatch.lateness import BOUNDS_S
from monitord.history import HistoryStats
from monitord.model import State
from monitord.status.metrics.sources import MetricsSources


def own_metrics(sources: MetricsSources) -> Iterator[Metric]:
    yield _by("monitord_build_info", "The version that runs", "version", {__version__: 1.0})
    yield _gauge(
        "monitord_start_time_seconds", "When the daemon began", sources.status.started_at.timestamp()
    )
    yield from _monitors(sources)
    yield from _checks(sources.dispatcher)
    yield _counter("monitord_event_loop_stalls", "How often the event loop stood still", sources.pulse.stalls)
    yield _gauge(
        "monitord_event_loop_max_lag_seconds", "The longest of its standstills", sources.pulse.max_lag_s
    )
    yield from _reloads(sources)
    yield from _history(sources.history.stats())
    yield from _notifiers(sources.alerts)
    yield _counter(
        "monitord_rejected_tokens", "Requests for a change with a wrong token", sources.access.rejected_tokens
    )
    yield _gauge("monitord_event_clients", "Who listens to live events", sources.live.clients)
    yield _counter(
        "monitord_event_clients_dropped",
        "Who was dropped because of reading too slowly",
        sources.live.dropped,
    )


def _monitors(sources: MetricsSources) -> Iterator[Metric]:
    counts = sources.dispatcher.state_counts()
    watched = sources.dispatcher.watched.values()
    yield _by(
        "monitord_monitors",
        "How many monitors stand how",
        "state",
        {health.value: counts[health] for health in State},
    )
    yield _gauge(
        "monitord_incidents_open",
        "Incidents that have not ended",
        sum(one.state.incident is not None for one in watched),
    )
    yield _gauge(
        "monitord_incidents_unacknowledged",
        "Those that nobody has acknowledged",
        sum(one.state.incident is not None and one.state.incident.acknowledged_by is None for one in watched),
    )


def _checks(dispatcher: Dispatcher) -> Iterator[Metric]:
    yield _counter("monitord_checks", "Checks that were started", dispatcher.checks)
    yield _counter("monitord_checks_skipped", "Checks whose time passed unused", dispatcher.skipped)
    yield _counter("monitord_checks_abandoned", "Checks that did not end when told to", dispatcher.abandoned)
    yield _gauge("monitord_checks_in_flight", "Checks that run", dispatcher.in_flight)
    yield _gauge("monitord_checks_queued", "Checks that wait for a place", dispatcher.queued)
    yield _gauge(
        "monitord_dispatcher_overdue_seconds",
        "How long something has been due that was not done",
        dispatcher.overdue_s(),
    )
    lateness = dispatcher.lateness
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    late = HistogramMetricFamily("monitord_check_lateness_seconds", "Start of a check minus when it was due")
    late.add_metric(
        (), list(zip(bounds, itertools.accumulate(lateness.counts), strict=True)), sum_value=lateness.total_s
    )
    yield late


def _reloads(sources: MetricsSources) -> Iterator[Metric]:
    reloads, last = sources.model.reloads, sources.control.last_reload
    yield _by(
        "monitord_reloads",
        "Attempts to take a new configuration",
        "outcome",
        {"accepted": reloads[True], "refused": reloads[False]},
        kind=CounterMetricFamily,
    )
    yield _gauge(
        "monitord_config_last_reload_successful",
        "Whether the configuration in force is the last one that was tried",
        1.0 if last is None or last.ok else 0.0,
    )
    yield _gauge(
        "monitord_config_last_reload_timestamp_seconds",
        "When a configuration was tried last",
        (sources.status.started_at if last is None else last.at).timestamp(),
    )


def _history(stats: HistoryStats) -> Iterator[Metric]:
    yield _gauge("monitord_history_queued_rows", "Rows that wait to be written", stats.queued)
    yield _counter("monitord_history_written_rows", "Rows that were written", stats.written)
    yield _counter(
        "monitord_history_dropped_rows", "Rows that the storage did not take in time", stats.dropped
    )
    yield _gauge("monitord_history_failing", "Whether nothing can be written", stats.failing is not None)
    yield _counter(
        "monitord_history_resets",
        "How often a new database was begun because the old one was damaged or removed",
        stats.resets,
    )
    yield _gauge("monitord_history_size_bytes", "The size of the database", stats.size_bytes)
    yield _gauge("monitord_history_max_commit_seconds", "The longest that writing took", stats.max_commit_s)


def _notifiers(alerts: Alerts) -> Iterator[Metric]:
    workers = alerts.workers
    yield _by(
        "monitord_notifier_failing",
        "Whether the last attempt to deliver failed",
        "notifier",
        {name: float(one.failing is not None) for name, one in workers.items()},
    )
    yield _by(
        "monitord_notifier_warning",
        "Whether the last delivery was by a fallback: unencrypted, or without the template",
        "notifier",
        {name: float(one.warning is not None) for name, one in workers.items()},
    )
    yield _by(
        "monitord_notifications_queued",
        "Notifications that are not delivered yet",
        "notifier",
        {name: float(alerts.waiting_for(name)) for name in workers},
    )
    for metric, about, values in (
        (
            "monitord_notifications_sent",
            "Notifications that were taken",
            {name: one.sent for name, one in workers.items()},
        ),
        (
            "monitord_notification_failures",
            "Attempts to deliver that failed",
            {name: one.failed for name, one in workers.items()},
        ),
        (
            "monitord_notifications_expired",
            "Notifications that could not be delivered in time",
            {name: one.expired for name, one in workers.items()},
        ),
    ):
        yield _by(metric, about, "notifier", values, kind=CounterMetricFamily)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _by(
    name: str,
    about: str,
    label: str,
    values: Mapping[str, float],
    kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    family = kind(name, about, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
