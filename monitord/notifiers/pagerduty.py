"""The type `pagerduty`: events for PagerDuty, and for whatever else takes its Events API of version 2.

    type = "pagerduty"
    routing_key = { credential = "pagerduty-key" }

A trouble is one incident there: each notice of it has the same `dedup_key`, and the closing one resolves it. Such a
request has one event, so a message has one notice. How it is reached is written as for `webhook`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from monitord.config import Table
from monitord.notifiers.notice import Message, Notice, NoticeKind, cut, utc_text
from monitord.notifiers.webhook import WebhookNotifier, WebhookOptions, refuse_what_webhooks_have

URL = "https://events.pagerduty.com/v2/enqueue"
MOST_SUMMARY_UNITS = 1024
"""UTF-16 code units. Longer ones are refused (Events API v2, "Send an Alert Event")."""


class PagerDutyNotifier(WebhookNotifier):
    type_name: ClassVar[str] = "pagerduty"
    usual_url: ClassVar[str | None] = URL
    most_notices: ClassVar[int] = 1
    usual_per_minute: ClassVar[int] = 60

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        refuse_what_webhooks_have(table)
        return replace(super().read_options(table), routing_key=table.secret("routing_key"))

    def writer(self) -> Callable[[Message], str]:
        key = "" if self.options.routing_key is None else self.options.routing_key.reveal()
        return lambda message: json.dumps({"routing_key": key, **_event(message.notices[0], message.origin)})


def _event(notice: Notice, origin: str) -> Mapping[str, Any]:
    if notice.kind.is_closing:
        return {"event_action": "resolve", "dedup_key": notice.trouble}
    return {
        "event_action": "trigger",
        "dedup_key": notice.trouble,
        "client": "monitord",
        "payload": {
            "summary": cut(f"{notice.title}: {notice.detail}", MOST_SUMMARY_UNITS),
            "source": origin,
            "severity": "info" if notice.kind is NoticeKind.TEST else notice.severity,
            "timestamp": utc_text(notice.at),
            "component": notice.monitor or "monitord",
            "class": notice.reason.value,
            "custom_details": {
                "type": notice.type_name,
                "tags": list(notice.tags),
                "since": utc_text(notice.since),
                "started_at": utc_text(notice.started_at),
                "detail": notice.detail,
            },
        },
    }
