"""The type `opsgenie`: alerts in Opsgenie and in the operations part of Jira Service Management.

    type = "opsgenie"
    api_key = { credential = "opsgenie-key" }

A problem is one alert there, whose alias is the id of the problem: later notifications are notes of the alert, and the
closing one closes it (Opsgenie's manual, "Alert API": Create Alert, Add Note to Alert, Close Alert). A request is about
one alert, so a message has one notification.

A note cannot change the priority, so another state of the monitor is preceded by a request of its own ("Alert API
(continued)": Update Alert Priority). The integration API of Jira Service Management has no such request in its manual
("Integration events"), so the note is sent even if this request is rejected.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from monitord.config import Secret, Table
from monitord.model import Severity
from monitord.notifiers.cards import INVISIBLE, Budget, urgency_of
from monitord.notifiers.chat import (
    ChatNotifier,
    ChatOptions,
    reject_authorization,
    reject_query,
    with_header,
    with_path,
)
from monitord.notifiers.notification import Message, Notification, NotificationKind, cut, utc_text
from monitord.options.http import HttpOptions

URL = "https://api.opsgenie.com"
PATH = "/v2/alerts"
MAX_MESSAGE = 130
MAX_DESCRIPTION = 15_000
MAX_SOURCE = 100
MAX_ENTITY = 512
MAX_TAGS = 20
MAX_TAG = 50
MAX_DETAILS = 8000
"""Characters of all names and values."""
MAY_CHANGE_PRIORITY = frozenset(
    {NotificationKind.UPDATE, NotificationKind.FLAPPING, NotificationKind.FLAPPING_END}
)
"""Not reminders: they would undo the change of a person, although nothing is new."""

CLIENT_ERRORS = range(400, 500)
RETRIED_CLIENT_ERRORS = frozenset({408, 429})
"""Request Timeout and Too Many Requests: a later attempt may succeed."""

PRIORITIES = {Severity.CRITICAL: "P1", Severity.WARNING: "P3", Severity.INFO: "P5"}


class OpsgenieNotifier(ChatNotifier):
    type_name: ClassVar[str] = "opsgenie"
    default_url: ClassVar[str | None] = URL
    max_notifications_per_message: ClassVar[int] = 1
    default_max_messages_per_minute: ClassVar[int] = 60
    max_units: ClassVar[int] = MAX_DESCRIPTION

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = with_path(super().read_options(table), PATH)
        reject_query(table, options)
        key = table.secret("api_key")
        reject_authorization(table, "api_key")
        return with_header(options, "Authorization", Secret(f"GenieKey {key.reveal().strip()}"))

    def request_of(self, message: Message) -> HttpOptions:
        notification = message.notifications[0]
        action = self._action(notification)
        return self._request_about(notification, action) if action else self.options.http

    async def deliver(self, message: Message, *, deadline: float) -> str:
        notification = message.notifications[0]
        if notification.kind in MAY_CHANGE_PRIORITY and self._action(notification) == "notes":
            # Before the note, as only this request can be repeated without effect.
            options = replace(self._request_about(message.notifications[0], "priority"), method="PUT")
            body = json.dumps({"priority": PRIORITIES[urgency_of(message)]})
            exchange = await self.exchange(options, body, f"{message.key}-priority", deadline=deadline)
            failure = self.failure_in(exchange)
            if failure is None:
                self.warning = None
            elif exchange.status in CLIENT_ERRORS and exchange.status not in RETRIED_CLIENT_ERRORS:
                self.warning = f"the priority of an alert could not be updated: {failure}"
            else:
                raise failure
        return await super().deliver(message, deadline=deadline)

    def _request_about(self, notification: Notification, action: str) -> HttpOptions:
        """Return the request for an action on the alert of a notification."""
        alias = quote(notification.alert, safe="")
        url = f"{self.options.http.url.reveal()}/{alias}/{action}?identifierType=alias"
        return replace(self.options.http, url=Secret(url))

    def _action(self, notification: Notification) -> str:
        """ "close", "notes", or empty to create the alert.

        A rerouted notification may be the first notification here.
        """
        if notification.kind.is_closing:
            return "close"
        is_first = notification.number == 1 or notification.notifier != self.name
        return "" if is_first else "notes"

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        notification = message.notifications[0]
        source = cut(message.instance, MAX_SOURCE)
        text = budget.take_escaped(message.text.strip(), _literal)
        if self._action(notification):
            return {"user": "monitord", "source": source, "note": text}
        details = Budget(MAX_DETAILS)
        context = notification.context
        values = {
            "type": notification.type_name,
            "state": notification.state.value,
            "reason": notification.reason.value,
            "severity": "" if notification.kind is NotificationKind.TEST else notification.severity.value,
            "since": utc_text(notification.since),
            "started_at": utc_text(notification.started_at),
            "runbook": context.settings.runbook,
            "contact": context.settings.contact,
            "url": context.url,
            "parents": ", ".join(context.parents),
            "siblings": ", ".join(context.siblings),
            "detail": notification.detail,
        }
        return {
            "message": Budget(MAX_MESSAGE).take_escaped(notification.title, _literal),
            "alias": notification.alert,
            "description": text,
            "tags": [cut(tag, MAX_TAG) for tag in notification.tags[:MAX_TAGS]],
            "details": {
                details.take(label): details.take_escaped(value, _literal)
                for label, value in values.items()
                if value
            },
            "entity": cut(notification.monitor or "monitord", MAX_ENTITY),
            "source": source,
            "user": "monitord",
            "priority": PRIORITIES[urgency_of(message)],
        }


def _literal(text: str) -> str:
    """Opsgenie shows HTML in messages and descriptions ("Alerts and Alert Fields")."""
    return text.replace("<", f"<{INVISIBLE}")
