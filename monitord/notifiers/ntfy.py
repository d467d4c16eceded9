"""The type `ntfy`: push notifications through ntfy.sh or another ntfy server.

    type = "ntfy"
    topic = { credential = "ntfy-topic" }
    token = { credential = "ntfy-token" }

Messages are published as JSON to the root of the server (ntfy's manual, "Publish as JSON"). The text is not Markdown.
On a server without access control the name of the topic is a password, so it is masked.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.model import Severity
from monitord.notifiers.cards import Budget, Colour, cards_of, colour_of, urgency_of, utf8_bytes
from monitord.notifiers.chat import ChatNotifier, ChatOptions, with_bearer
from monitord.notifiers.notification import Message

URL = "https://ntfy.sh"
MAX_MESSAGE_BYTES = 4096
"""A longer message becomes an attachment (ntfy's manual, "Limitations")."""
MAX_TITLE_BYTES = 250
MAX_ACTIONS = 3
PRIORITIES = {Severity.CRITICAL: 5, Severity.WARNING: 4, Severity.INFO: 3}
TAGS = {
    Colour.RED: "red_circle",
    Colour.AMBER: "warning",
    Colour.GREEN: "white_check_mark",
    Colour.GREY: "bell",
}
"""Names of emojis, which are shown before the title."""


class NtfyNotifier(ChatNotifier):
    type_name: ClassVar[str] = "ntfy"
    default_url: ClassVar[str | None] = URL
    max_units: ClassVar[int] = MAX_MESSAGE_BYTES
    measure: ClassVar[Callable[[str], int]] = staticmethod(utf8_bytes)

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = with_bearer(table, super().read_options(table), "token", is_required=False)
        url = options.http.url.reveal()
        if urlsplit(url).path.strip("/") or urlsplit(url).query:
            table.error("url", "has a path", 'write only the address of the server, and topic = "…"')
        written = table.raw("topic")
        if written is None or isinstance(written, dict):
            topic = table.secret("topic")
            if topic:
                try:
                    _topic(topic.reveal())
                except InvalidValueError as error:
                    table.error("topic", error.problem, error.hint)
        else:
            topic = Secret(table.value("topic", _topic, default=""))
        return replace(options, receiver=topic)

    def secrets(self) -> Iterable[str]:
        yield from super().secrets()
        if self.options.receiver is not None:
            yield self.options.receiver.reveal()

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        title = Budget(MAX_TITLE_BYTES, utf8_bytes).take(message.subject)
        links = cards_of(message)[0].links if len(message.notifications) == 1 else ()
        colours = dict.fromkeys(map(colour_of, message.notifications))
        actions = [
            {"action": "view", "label": label, "url": address} for label, address in links[:MAX_ACTIONS]
        ]
        url = message.notifications[0].context.url
        return {
            "topic": "" if self.options.receiver is None else self.options.receiver.reveal(),
            "title": title,
            "message": budget.take(message.text.strip()),
            "priority": PRIORITIES[urgency_of(message)],
            "tags": [TAGS[colour] for colour in Colour if colour in colours],
            **({"click": url} if url and len(message.notifications) == 1 else {}),
            **({"actions": actions} if actions else {}),
        }


def _topic(text: str) -> str:
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", text):
        raise InvalidValueError("is not a topic", 'write up to 64 letters, digits, "-" and "_"')
    return text
