"""The type `alertmanager`: alerts for Prometheus' Alertmanager, which groups, routes and deduplicates by itself.

    type = "alertmanager"
    url = "http://alertmanager.example.org:9093"

They are posted to its API of version 2 and again every minute as long as they last, as Prometheus does: it forgets
what it does not hear of, and an alert of a host that died ends by itself. Every member of a cluster is to be told by
a notifier of its own (Alertmanager's manual, "High Availability"). How it is reached is written as for `webhook`.

An alert is known by its labels, so these do not follow from how bad it is, but for `severity`: `warning` for degraded,
`critical` for all else. With either the other one is resolved.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from monitord.config import Secret, Table
from monitord.notifiers.notification import Message, Notification, NotificationKind, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, refuse_what_webhooks_have

PATH = "/api/v2/alerts"
LASTS = timedelta(minutes=5)
"""An alert that is not heard of again is over then."""


class AlertmanagerNotifier(WebhookNotifier):
    type_name: ClassVar[str] = "alertmanager"
    wants_to_hear_again: ClassVar[bool] = True

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        options = super().read_options(table)
        refuse_what_webhooks_have(table)
        url = options.http.url.reveal().rstrip("/")
        return replace(options, http=replace(options.http, url=Secret(url + PATH if url else "")))

    def writer(self) -> Callable[[Message], str]:
        return lambda message: json.dumps(
            [one for notification in message.notifications for one in _alerts(notification, message)]
        )


def _alerts(notification: Notification, message: Message) -> list[Mapping[str, Any]]:
    """One for each severity; the one that does not hold is resolved."""
    holds = None if notification.kind.is_closing else _severity(notification)
    # From this attempt on: Alertmanager would take an alert that was retried for longer than LASTS as resolved.
    lasts_until = (message.attempted_at or message.sent_at) + LASTS
    is_in_state = not notification.kind.is_closing and notification.kind is not NotificationKind.FLAPPING
    starts_at = max(notification.since, notification.started_at) if is_in_state else notification.started_at
    # The severity before a change ended with it. Alertmanager refuses an end before the start.
    ends_at = (
        notification.ended_at
        if notification.kind.is_closing
        else max(notification.since, notification.started_at)
    )
    return [
        {
            "labels": {
                "alertname": _name(notification),
                "job": "monitord",
                "instance": message.origin,
                "severity": severity,
                **(
                    {"monitor": notification.monitor, "type": notification.type_name}
                    if notification.monitor
                    else {}
                ),
                # As Prometheus' own lists in a label: =~".*,prod,.*" finds one.
                **({"tags": f",{','.join(notification.tags)},"} if notification.tags else {}),
            },
            "annotations": {
                "summary": notification.title,
                "description": notification.detail,
                "reason": notification.reason.value,
            },
            "startsAt": utc_text(starts_at if severity == holds else notification.started_at),
            "endsAt": utc_text(lasts_until if severity == holds else ends_at),
        }
        for severity in ("critical", "warning")
    ]


def _name(notification: Notification) -> str:
    if notification.monitor:
        return "MonitorNotUp"
    return "MonitordTest" if notification.kind is NotificationKind.TEST else "MonitordIsolated"


def _severity(notification: Notification) -> str:
    return "warning" if notification.kind is NotificationKind.TEST else notification.severity
