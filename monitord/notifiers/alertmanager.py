"""The type `alertmanager`: alerts for the Prometheus Alertmanager, which groups, routes and deduplicates them.

    type = "alertmanager"
    url = "http://alertmanager.example.org:9093"

Alerts are posted to its API v2, and again every minute while they are open, as Prometheus does: Alertmanager resolves
alerts that are not repeated, so the alerts of a dead host are resolved as well. Each member of a cluster needs its own
notifier (Alertmanager's manual, "High Availability"). The options of the HTTP request are those of `webhook`.

Alertmanager identifies an alert by its labels. Of these only `severity` depends on the state and on the configuration.
The alerts with both severities, `critical` and `warning`, are always sent, one of them resolved. A monitor with
`severity = "info"` has a third one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from monitord.config import Secret, Table
from monitord.model import Severity
from monitord.notifiers.notification import Message, Notification, NotificationKind, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, annotations, reject_webhook_options

PATH = "/api/v2/alerts"
RESOLVE_AFTER = timedelta(minutes=5)
"""Alertmanager resolves an alert that is not repeated within this time."""


class AlertmanagerNotifier(WebhookNotifier):
    type_name: ClassVar[str] = "alertmanager"
    needs_resend: ClassVar[bool] = True

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        options = super().read_options(table)
        reject_webhook_options(table)
        url = options.http.url.reveal().rstrip("/")
        return replace(options, http=replace(options.http, url=Secret(url + PATH if url else "")))

    def body_writer(self) -> Callable[[Message], str]:
        return lambda message: json.dumps(
            [alert for notification in message.notifications for alert in _alerts(notification, message)]
        )


def _alerts(notification: Notification, message: Message) -> list[Mapping[str, Any]]:
    """Return an alert for each severity: the alert with another severity than the notification is resolved."""
    severity_now = _severity(notification)
    firing = None if notification.kind.is_closing else severity_now
    # From this attempt on: an alert that was retried for longer than RESOLVE_AFTER would arrive resolved.
    firing_until = (message.attempted_at or message.sent_at) + RESOLVE_AFTER
    is_in_state = not notification.kind.is_closing and notification.kind is not NotificationKind.FLAPPING
    starts_at = max(notification.since, notification.started_at) if is_in_state else notification.started_at
    # The previous severity ended with the change. Alertmanager rejects an end before the start.
    ends_at = (
        notification.ended_at
        if notification.kind.is_closing
        else max(notification.since, notification.started_at)
    )
    return [
        {
            "labels": {
                "alertname": _alert_name(notification),
                "job": "monitord",
                "instance": message.instance,
                "severity": severity.value,
                **(
                    {"monitor": notification.monitor, "type": notification.type_name}
                    if notification.monitor
                    else {}
                ),
                # In the format of lists in labels of Prometheus: =~".*,prod,.*" matches a tag.
                **({"tags": f",{','.join(notification.tags)},"} if notification.tags else {}),
            },
            "annotations": {**annotations(notification), "reason": notification.reason.value},
            **({"generatorURL": notification.context.url} if notification.context.url else {}),
            "startsAt": utc_text(starts_at if severity == firing else notification.started_at),
            "endsAt": utc_text(firing_until if severity == firing else ends_at),
        }
        for severity in dict.fromkeys((Severity.CRITICAL, Severity.WARNING, severity_now))
    ]


def _alert_name(notification: Notification) -> str:
    if notification.monitor:
        return "MonitorNotUp"
    return "MonitordTest" if notification.kind is NotificationKind.TEST else "MonitordIsolated"


def _severity(notification: Notification) -> Severity:
    return Severity.WARNING if notification.kind is NotificationKind.TEST else notification.severity
