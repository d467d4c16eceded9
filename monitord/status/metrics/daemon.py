"""The metrics of the daemon itself."""

import itertools
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from monitord import __version__
from monitord.alerts import Alerts
from monitord.dispatch import Dispatcher
from monitord.dispatch.lateness import BOUNDS_S
from monitord.history import HistoryStats
from monitord.model import State
from monitord.reports.scheduler import ReportScheduler
from monitord.sources import Sources
from monitord.status.metrics.cluster import cluster_metrics
from monitord.status.metrics.families import by_label, counter, gauge
from monitord.status.metrics.sources import MetricsSources


def daemon_metrics(sources: MetricsSources) -> Iterator[Metric]:
    """The metric families of the daemon, without those of its process."""
    stall_detector, started_at = sources.stall_detector, sources.status.started_at
    yield by_label(
        "monitord_build_info", "Version of monitord; the value is always 1.", "version", {__version__: 1.0}
    )
    yield gauge(
        "monitord_start_time_seconds", "Unix timestamp of the start of the daemon.", started_at.timestamp()
    )
    yield from _monitors(sources)
    yield from _checks(sources.dispatcher)
    yield counter(
        "monitord_event_loop_stalls", "Total number of stalls of the event loop.", stall_detector.stall_count
    )
    yield gauge(
        "monitord_event_loop_max_lag_seconds",
        "Duration of the longest stall of the event loop since the start of the daemon.",
        stall_detector.max_lag_s,
    )
    yield from _reloads(sources)
    yield from _history(sources.history.stats())
    yield from _notifiers(sources.alerts)
    yield from _sources(sources.monitor_sources)
    yield from _reports(sources.reports)
    if (view := sources.cluster()) is not None:
        yield from cluster_metrics(view)
    yield counter(
        "monitord_rejected_tokens",
        "Total number of requests rejected because of an invalid token.",
        sources.access.rejected_tokens,
    )
    yield gauge(
        "monitord_event_clients",
        "Current number of clients that receive live events.",
        sources.live_events.clients,
    )
    yield counter(
        "monitord_event_clients_dropped",
        "Total number of event clients that were disconnected because they read too slowly.",
        sources.live_events.dropped,
    )


def _monitors(sources: MetricsSources) -> Iterator[Metric]:
    counts = sources.dispatcher.state_counts()
    incidents = [
        record.state.incident
        for record in sources.model.monitors.values()
        if record.state.incident is not None
    ]
    yield by_label(
        "monitord_monitors",
        "Current number of monitors by state.",
        "state",
        {state.value: counts[state] for state in State},
    )
    yield gauge("monitord_incidents_open", "Current number of open incidents.", len(incidents))
    yield gauge(
        "monitord_incidents_unacknowledged",
        "Current number of open incidents that are not acknowledged.",
        sum(incident.acknowledged_by is None for incident in incidents),
    )


def _checks(dispatcher: Dispatcher) -> Iterator[Metric]:
    yield counter("monitord_checks", "Total number of checks started.", dispatcher.check_count)
    yield counter(
        "monitord_checks_skipped",
        "Total number of scheduled checks skipped because the previous check was still running or queued.",
        dispatcher.skipped_count,
    )
    yield counter(
        "monitord_checks_abandoned",
        "Total number of checks that did not end after cancellation.",
        dispatcher.abandoned_count,
    )
    yield gauge("monitord_checks_in_flight", "Current number of running checks.", dispatcher.in_flight)
    yield gauge("monitord_checks_queued", "Current number of checks queued for a slot.", dispatcher.queued)
    yield gauge(
        "monitord_scheduler_overdue_seconds",
        "Time by which the earliest check that has not started is overdue.",
        dispatcher.overdue_s(),
    )
    lateness = dispatcher.lateness
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    late = HistogramMetricFamily(
        "monitord_check_lateness_seconds", "Start time of a check minus its scheduled time."
    )
    late.add_metric(
        (), list(zip(bounds, itertools.accumulate(lateness.counts), strict=True)), sum_value=lateness.total_s
    )
    yield late


def _reloads(sources: MetricsSources) -> Iterator[Metric]:
    reloads, last = sources.model.reloads, sources.control.last_reload
    yield by_label(
        "monitord_reloads",
        "Total number of configuration reload attempts by outcome.",
        "outcome",
        {"applied": reloads[True], "rejected": reloads[False]},
        kind=CounterMetricFamily,
    )
    yield gauge(
        "monitord_config_last_reload_successful",
        "Whether the last configuration reload attempt was successful.",
        1.0 if last is None or last.ok else 0.0,
    )
    yield gauge(
        "monitord_config_last_reload_success_timestamp_seconds",
        "Unix timestamp of the last successful configuration reload, or of the start of the daemon.",
        (sources.model.last_applied_at or sources.status.started_at).timestamp(),
    )


def _history(stats: HistoryStats) -> Iterator[Metric]:
    yield gauge("monitord_history_queued_rows", "Current number of rows queued to be written.", stats.queued)
    yield counter("monitord_history_written_rows", "Total number of rows written.", stats.written)
    yield counter(
        "monitord_history_dropped_rows",
        "Total number of rows dropped because the storage was unavailable or too slow.",
        stats.dropped,
    )
    yield gauge(
        "monitord_history_up",
        "Whether the last write to the database succeeded.",
        stats.error is None,
    )
    yield counter(
        "monitord_history_resets",
        "Total number of times the database was damaged or missing and was replaced with a new database.",
        stats.resets,
    )
    yield gauge("monitord_history_size_bytes", "Size of the database.", stats.size_bytes)
    yield gauge(
        "monitord_history_max_commit_seconds",
        "Duration of the longest commit since the start of the daemon.",
        stats.max_commit_s,
    )


def _notifiers(alerts: Alerts) -> Iterator[Metric]:
    workers = alerts.workers
    yield by_label(
        "monitord_notifier_up",
        "Whether the last delivery attempt succeeded; 1 before the first attempt.",
        "notifier",
        {name: float(worker.error is None) for name, worker in workers.items()},
    )
    yield by_label(
        "monitord_notifier_warning",
        "Whether the last delivery was degraded: unencrypted, or with the default text instead of the template.",
        "notifier",
        {name: float(worker.warning is not None) for name, worker in workers.items()},
    )
    yield by_label(
        "monitord_notifications_queued",
        "Current number of notifications that are not delivered yet.",
        "notifier",
        {name: float(alerts.queue_length(name)) for name in workers},
    )
    for metric, description, values in (
        (
            "monitord_notifications_sent",
            "Total number of notifications delivered.",
            {name: worker.sent for name, worker in workers.items()},
        ),
        (
            "monitord_notification_failures",
            "Total number of failed delivery attempts.",
            {name: worker.failed_attempts for name, worker in workers.items()},
        ),
        (
            "monitord_notifications_expired",
            "Total number of notifications that expired before they could be delivered.",
            {name: worker.expired for name, worker in workers.items()},
        ),
    ):
        yield by_label(metric, description, "notifier", values, kind=CounterMetricFamily)


def _sources(sources: Sources) -> Iterator[Metric]:
    statuses = sources.status()
    for metric, description, values in (
        (
            "monitord_source_up",
            "Whether the source could find its targets at the last attempt.",
            {status.name: float(status.problem is None) for status in statuses},
        ),
        (
            "monitord_source_targets",
            "Current number of targets of the source.",
            {status.name: status.targets for status in statuses},
        ),
        (
            "monitord_source_monitors",
            "Current number of monitors of the source.",
            {status.name: status.monitors for status in statuses},
        ),
        (
            "monitord_source_rejected_targets",
            "Current number of targets whose monitor would be invalid.",
            {status.name: len(status.rejected) for status in statuses},
        ),
    ):
        yield by_label(metric, description, "source", values)


def _reports(reports: ReportScheduler) -> Iterator[Metric]:
    statuses = reports.status()
    yield by_label(
        "monitord_report_failing",
        "Whether the last delivery attempt of the scheduled report failed.",
        "report",
        {status.settings.name: float(status.error is not None) for status in statuses},
    )
    yield by_label(
        "monitord_report_failures",
        "Total number of failed delivery attempts of the scheduled report.",
        "report",
        {status.settings.name: status.failed_attempts for status in statuses},
        kind=CounterMetricFamily,
    )
