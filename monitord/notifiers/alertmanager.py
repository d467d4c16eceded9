"""The type `alertmanager`: alerts for the Prometheus Alertmanager, which groups, routes and deduplicates them.

    type = "alertmanager"
    url = "http://alertmanager.example.org:9093"

Alerts are posted to its API v2, and again every minute while they are open, as Prometheus does: Alertmanager resolves
alerts that are not repeated, so the alerts of a dead host are resolved as well. Each member of a cluster needs its own
notifier (Alertmanager's manual, "High Availability"). The options of the HTTP request are those of `webhook`.

Alertmanager identifies an alert by its labels. An alert about a monitor that the nodes of a cluster share has no label
`instance`: another node may send its end. Of the labels only `severity` depends on the state and on the configuration.
The alerts with both severities, `critical` and `warning`, are always sent, one of them resolved. A monitor with
`severity = "info"` has a third alert. `labels` adds, replaces and removes labels, except the labels that distinguish
the alerts of one daemon.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

from monitord.config import Secret, Table
from monitord.model import Severity
from monitord.notifiers.notification import Message, Notification, NotificationKind, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, annotations, reject_webhook_options

PATH = "/api/v2/alerts"
RESOLVE_AFTER = timedelta(minutes=5)
"""Alertmanager resolves an alert that is not repeated within this time."""

IDENTIFYING_LABELS = frozenset({"alertname", "monitor", "severity"})
"""Without them, or with the same value in all alerts, the end of one alert would resolve another."""
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""Prometheus' manual, "Data model". Alertmanager before 0.27 rejects other names."""


@dataclass(frozen=True, slots=True)
class AlertmanagerOptions(WebhookOptions):
    """`labels` replace those of monitord. An empty value removes the label, as in Prometheus' relabelling."""

    labels: tuple[tuple[str, str], ...] = ()


class AlertmanagerNotifier(WebhookNotifier):
    options: AlertmanagerOptions
    type_name: ClassVar[str] = "alertmanager"
    needs_resend: ClassVar[bool] = True

    @classmethod
    def read_options(cls, table: Table) -> AlertmanagerOptions:
        options = super().read_options(table)
        reject_webhook_options(table)
        url = options.http.url.reveal().rstrip("/")
        http = replace(options.http, url=Secret(url + PATH if url else ""))
        labels = table.mapping("labels", default={})
        for name in labels:
            if name in IDENTIFYING_LABELS:
                table.error(
                    "labels",
                    f'"{name}" distinguishes alerts, so it can be neither replaced nor removed',
                    "add a label with another name",
                )
            elif not LABEL_NAME.fullmatch(name):
                table.error(
                    "labels",
                    f"{json.dumps(name)} is not a label name",
                    "write letters without accents, digits and underscores, not beginning with a digit",
                )
            elif name.startswith("__"):
                table.error(
                    "labels", f'"{name}" begins with "__", which Prometheus reserves', "choose another name"
                )
        configured = tuple(labels.items())
        return AlertmanagerOptions(http, options.format, labels=configured)

    def body_writer(self) -> Callable[[Message], str]:
        labels = dict(self.options.labels)
        return lambda message: json.dumps(
            [
                alert
                for notification in message.notifications
                for alert in _alerts(notification, message, labels)
            ]
        )


def _alerts(
    notification: Notification, message: Message, labels: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    """Return an alert for each severity: the alert whose severity differs from that of the notification is resolved."""
    is_test = notification.kind is NotificationKind.TEST
    severity_now = Severity.WARNING if is_test else notification.severity
    firing = None if notification.kind.is_closing else severity_now
    # From this attempt on: an alert that was retried for longer than RESOLVE_AFTER would arrive resolved.
    firing_until = (message.attempted_at or message.sent_at) + RESOLVE_AFTER
    is_in_state = not notification.kind.is_closing and notification.kind is not NotificationKind.FLAPPING
    starts_at = max(notification.since, notification.started_at) if is_in_state else notification.started_at
    # The previous severity ended with the change. Alertmanager rejects an end before the start.
    ends_at = (
        notification.problem_ended_at
        if notification.kind.is_closing
        else max(notification.since, notification.started_at)
    )
    return [
        {
            "labels": _labels(notification, severity, message.instance, labels),
            "annotations": {**annotations(notification), "reason": notification.reason.value},
            **({"generatorURL": notification.context.url} if notification.context.url else {}),
            "startsAt": utc_text(starts_at if severity == firing else notification.started_at),
            "endsAt": utc_text(firing_until if severity == firing else ends_at),
        }
        for severity in dict.fromkeys((Severity.CRITICAL, Severity.WARNING, severity_now))
    ]


def _labels(
    notification: Notification, severity: Severity, instance: str, configured: Mapping[str, str]
) -> Mapping[str, str]:
    if notification.monitor:
        alertname = "MonitorNotUp"
    else:
        alertname = "MonitordTest" if notification.kind is NotificationKind.TEST else "MonitordIsolated"
    labels = {
        "alertname": alertname,
        "job": "monitord",
        "severity": severity.value,
    }
    if not notification.context.is_shared:
        labels["instance"] = instance
    if notification.monitor:
        labels |= {"monitor": notification.monitor, "type": notification.type_name}
    if notification.tags:
        # In the format of lists in labels of Prometheus: =~".*,prod,.*" matches a tag.
        labels["tags"] = f",{','.join(notification.tags)},"
    labels |= configured
    if not notification.monitor:
        labels["instance"] = (
            instance  # the alert is about this host, not about a monitor that others watch as well
        )
    return {name: value for name, value in labels.items() if value}
