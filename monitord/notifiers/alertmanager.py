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
from monitord.notifiers.notice import Message, Notice, NoticeKind, utc_text
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
            [one for notice in message.notices for one in _alerts(notice, message)]
        )


def _alerts(notice: Notice, message: Message) -> list[Mapping[str, Any]]:
    """One for each severity; the one that does not hold is resolved."""
    holds = None if notice.kind.is_closing else _severity(notice)
    # From this attempt on: Alertmanager would take an alert that was retried for longer than LASTS as resolved.
    lasts_until = (message.attempted_at or message.sent_at) + LASTS
    is_in_state = not notice.kind.is_closing and notice.kind is not NoticeKind.FLAPPING
    starts_at = max(notice.since, notice.started_at) if is_in_state else notice.started_at
    # The severity before a change ended with it. Alertmanager refuses an end before the start.
    ends_at = notice.ended_at if notice.kind.is_closing else max(notice.since, notice.started_at)
    return [
        {
            "labels": {
                "alertname": _name(notice),
                "job": "monitord",
                "instance": message.origin,
                "severity": severity,
                **({"monitor": notice.monitor, "type": notice.type_name} if notice.monitor else {}),
                # As Prometheus' own lists in a label: =~".*,prod,.*" finds one.
                **({"tags": f",{','.join(notice.tags)},"} if notice.tags else {}),
            },
            "annotations": {
                "summary": notice.title,
                "description": notice.detail,
                "reason": notice.reason.value,
            },
            "startsAt": utc_text(starts_at if severity == holds else notice.started_at),
            "endsAt": utc_text(lasts_until if severity == holds else ends_at),
        }
        for severity in ("critical", "warning")
    ]


def _name(notice: Notice) -> str:
    if notice.monitor:
        return "MonitorNotUp"
    return "MonitordTest" if notice.kind is NoticeKind.TEST else "MonitordBlind"


def _severity(notice: Notice) -> str:
    return "warning" if notice.kind is NoticeKind.TEST else notice.severity
