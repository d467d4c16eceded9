"""The type `pagerduty`: events for PagerDuty and other services with the Events API v2.

    type = "pagerduty"
    routing_key = { credential = "pagerduty-key" }

An alert is one incident there: all its notifications have the same `dedup_key`, and the closing one resolves it. A
request has one event, so a message has one notification. The options of the HTTP request are those of `webhook`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from monitord.config import Table
from monitord.notifiers.notification import Message, Notification, NotificationKind, cut, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, reject_webhook_options

URL = "https://events.pagerduty.com/v2/enqueue"
MAX_SUMMARY_UNITS = 1024
"""UTF-16 code units. Longer summaries are rejected (Events API v2, "Send an Alert Event")."""


class PagerDutyNotifier(WebhookNotifier):
    type_name: ClassVar[str] = "pagerduty"
    default_url: ClassVar[str | None] = URL
    max_notifications: ClassVar[int] = 1
    default_per_minute: ClassVar[int] = 60

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        reject_webhook_options(table)
        return replace(super().read_options(table), routing_key=table.secret("routing_key"))

    def body_writer(self) -> Callable[[Message], str]:
        key = "" if self.options.routing_key is None else self.options.routing_key.reveal()
        return lambda message: json.dumps(
            {"routing_key": key, **_event(message.notifications[0], message.instance)}
        )


def _event(notification: Notification, instance: str) -> Mapping[str, Any]:
    if notification.kind.is_closing:
        return {"event_action": "resolve", "dedup_key": notification.alert}
    context = notification.context
    links = (("Runbook", context.settings.runbook), ("Page of the monitor", context.url))
    return {
        "event_action": "trigger",
        "dedup_key": notification.alert,
        "client": "monitord",
        **({"client_url": context.url} if context.url else {}),
        "links": [{"href": address, "text": text} for text, address in links if address],
        "payload": {
            "summary": cut(f"{notification.title}: {notification.detail}", MAX_SUMMARY_UNITS),
            "source": instance,
            "severity": "info" if notification.kind is NotificationKind.TEST else notification.severity.value,
            "timestamp": utc_text(notification.at),
            "component": notification.monitor or "monitord",
            "class": notification.reason.value,
            "custom_details": {
                "type": notification.type_name,
                "tags": list(notification.tags),
                "since": utc_text(notification.since),
                "started_at": utc_text(notification.started_at),
                "detail": notification.detail,
                **context.as_json(),
            },
        },
    }
