"""The type `pagerduty`: events for PagerDuty and other services with the Events API v2.

    type = "pagerduty"
    routing_key = { credential = "pagerduty-key" }

An alert is one incident there: all its notifications have the same `dedup_key`, and the closing one resolves it. A
request has one event, so a message has one notification. The options of the HTTP request are those of `webhook`.

The key consists of `dedup_prefix`, by default the name of this host, and the name that the monitor had when the alert
began. For a monitor that the nodes of a cluster share, the default is `CLUSTER_PREFIX`. The key does not depend on the
time of the beginning, so several daemons can report the same incident. After an incident was resolved, an event with
the same key opens a new incident (PagerDuty's manual, "Event Management").
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar

from monitord.config import Secret, Table, check_name
from monitord.notifiers.base import NotifierSettings, NotifierTools
from monitord.notifiers.notification import Message, NotificationKind, cut, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, reject_webhook_options

URL = "https://events.pagerduty.com/v2/enqueue"
MAX_SUMMARY_UNITS = 1024
"""UTF-16 code units. Longer summaries are rejected (Events API v2, "Send an Alert Event")."""

CLUSTER_PREFIX = "monitord"
MAX_KEY_CHARACTERS = 255
"""Longer keys are rejected (Events API v2, "Send an Alert Event")."""


@dataclass(frozen=True, slots=True)
class PagerDutyOptions(WebhookOptions):
    """`dedup_prefix` is None for the name of this host."""

    routing_key: Secret = Secret("")  # noqa: RUF009 - frozen
    dedup_prefix: str | None = None


class PagerDutyNotifier(WebhookNotifier):
    options: PagerDutyOptions
    type_name: ClassVar[str] = "pagerduty"
    default_url: ClassVar[str | None] = URL
    max_notifications_per_message: ClassVar[int] = 1
    default_max_messages_per_minute: ClassVar[int] = 60

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        # When the problems of the open incidents began, by dedup key and alert. Not stored: it matters only if a
        # rejected event is delivered after the event of a later problem.
        self._open: dict[str, dict[str, datetime]] = {}

    @classmethod
    def read_options(cls, table: Table) -> PagerDutyOptions:
        reject_webhook_options(table)
        options = super().read_options(table)
        return PagerDutyOptions(
            options.http,
            options.format,
            table.secret("routing_key"),
            table.value("dedup_prefix", check_name, default=None),
        )

    def secrets(self) -> Iterable[str]:
        yield from super().secrets()
        yield self.options.routing_key.reveal()

    def body_writer(self) -> Callable[[Message], str]:
        def body(message: Message) -> str:
            (notification,) = message.notifications
            dedup_key = self._dedup_key(message)
            if notification.kind.is_closing:
                event: dict[str, Any] = {"event_action": "resolve", "dedup_key": dedup_key}
            else:
                context = notification.context
                links = (
                    ("Runbook", context.settings.runbook),
                    ("Page of the monitor", context.url),
                    *context.action_links,
                )
                event = {
                    "event_action": "trigger",
                    "dedup_key": dedup_key,
                    "client": "monitord",
                    **({"client_url": context.url} if context.url else {}),
                    "links": [{"href": address, "text": text} for text, address in links if address],
                    "payload": {
                        "summary": cut(f"{notification.title}: {notification.detail}", MAX_SUMMARY_UNITS),
                        "source": message.instance,
                        "severity": "info"
                        if notification.kind is NotificationKind.TEST
                        else notification.severity.value,
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
            return json.dumps({"routing_key": self.options.routing_key.reveal(), **event})

        return body

    async def deliver(self, message: Message, *, deadline: float) -> str:
        (notification,) = message.notifications
        key = self._dedup_key(message)
        alerts = self._open.get(key, {})
        if notification.kind.is_closing:
            alerts = {alert: at for alert, at in alerts.items() if at > notification.started_at}
            alerts.pop(notification.alert, None)
            if alerts:
                return "not sent: a later problem of the monitor continues the incident"
        elif notification.kind is not NotificationKind.TEST:
            alerts = {**alerts, notification.alert: notification.started_at}
        response = await super().deliver(message, deadline=deadline)
        if alerts:
            self._open[key] = alerts
        else:
            self._open.pop(key, None)
        return response

    def _dedup_key(self, message: Message) -> str:
        """Return the key of the incident: PREFIX/MONITOR, or the name of this host, which has no slash."""
        (notification,) = message.notifications
        if notification.kind is NotificationKind.TEST:
            return notification.alert  # each test notifies
        if not notification.opened_as:
            return _limited(message.instance)
        # Another node of the cluster may resolve the incident.
        sender = CLUSTER_PREFIX if notification.context.is_shared else message.instance
        return _limited(f"{self.options.dedup_prefix or sender}/{notification.opened_as}")


def _limited(key: str) -> str:
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    digest = blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: MAX_KEY_CHARACTERS - len(digest) - 1]}-{digest}"
