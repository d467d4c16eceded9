"""The type `gotify`: push notifications through a Gotify server.

    type = "gotify"
    url = "https://gotify.example.org"
    token = { credential = "gotify-token" }

The token is that of an application (Gotify's manual, "Push messages" and "Message extras"). The text is not Markdown.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from monitord.config import Table
from monitord.model import Severity
from monitord.notifiers.cards import Budget, urgency_of, utf8_bytes
from monitord.notifiers.chat import ChatNotifier, ChatOptions, reject_query, with_header, with_path
from monitord.notifiers.notification import Message

MAX_MESSAGE_BYTES = 16 * 1024
"""Gotify documents no limit; MySQL stores at most 65,535 bytes of a text."""
PRIORITIES = {Severity.CRITICAL: 8, Severity.WARNING: 5, Severity.INFO: 4}
"""From 4 the Android app makes a sound, from 8 it also vibrates and shows the notification at once."""


class GotifyNotifier(ChatNotifier):
    type_name: ClassVar[str] = "gotify"
    max_units: ClassVar[int] = MAX_MESSAGE_BYTES
    measure: ClassVar[Callable[[str], int]] = staticmethod(utf8_bytes)

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = with_path(super().read_options(table), "/message")
        reject_query(table, options)
        return with_header(options, "X-Gotify-Key", table.secret("token"))

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        title = budget.take(message.subject)
        url = message.notifications[0].context.url if len(message.notifications) == 1 else ""
        return {
            "title": title,
            "message": budget.take(message.text.strip()),
            "priority": PRIORITIES[urgency_of(message)],
            "extras": {
                "client::display": {"contentType": "text/plain"},
                **({"client::notification": {"click": {"url": url}}} if url else {}),
            },
        }
