"""The type `matrix`: messages in a room of Matrix.

    type = "matrix"
    url = "https://matrix.example.org"
    access_token = { credential = "matrix-token" }
    room_id = "!abcdef:example.org"

The key of a message is its transaction ID, so a server that got it before does not send it again (Matrix specification,
"Client-Server API", PUT /rooms/{roomId}/send/{eventType}/{txnId}). The room must not be encrypted.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote

from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.notifiers.cards import Budget, Card, cards_of, utf8_bytes
from monitord.notifiers.chat import (
    ChatNotifier,
    ChatOptions,
    Reply,
    delay_s,
    reject_query,
    with_bearer,
    with_path,
)
from monitord.notifiers.notification import EXCERPT_LABEL, Message
from monitord.options.http import HttpOptions

MAX_EVENT_BYTES = 65_536
"""The complete event, including the fields that servers add ("Size limits")."""
MAX_TEXT_BYTES = 24 * 1024
"""The content is sent twice, as text and as HTML, and in JSON."""
MAX_CONTENT_BYTES = 60_000


class MatrixNotifier(ChatNotifier):
    type_name: ClassVar[str] = "matrix"
    max_units: ClassVar[int] = MAX_TEXT_BYTES
    measure: ClassVar[Callable[[str], int]] = staticmethod(
        lambda text: utf8_bytes(json.dumps(escape(text), ensure_ascii=False))
    )

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = with_bearer(table, super().read_options(table), "access_token")
        reject_query(table, options)
        room_id = table.value("room_id", _room_id, default="", required=True)
        options = with_path(
            options, f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/send/m.room.message"
        )
        return replace(options, http=replace(options.http, method="PUT"), receiver=Secret(room_id))

    def request_of(self, message: Message) -> HttpOptions:
        return replace(
            self.options.http, url=Secret(f"{self.options.http.url.reveal()}/{quote(message.key, safe='')}")
        )

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        # m.text, as clients do not notify of m.notice. An empty m.mentions: no word in the text mentions a user.
        html_budget = Budget(self.max_units, type(self).measure)
        cards = "".join(_section(card, html_budget) for card in cards_of(message))
        closing = "".join(
            f"<p><em>{escape(html_budget.take(line))}</em></p>" for line in message.closing_lines
        )
        content = {
            "msgtype": "m.text",
            "body": budget.take(f"{message.subject}\n\n{message.text}".strip()),
            "format": "org.matrix.custom.html",
            "formatted_body": f"<p>{escape(html_budget.take(message.subject))}</p>{cards}{closing}",
            "m.mentions": {},
        }
        budget.require(utf8_bytes(json.dumps(content, ensure_ascii=False)) <= MAX_CONTENT_BYTES)
        return content

    def retry_after_in(self, reply: Reply) -> float | None:
        return delay_s(reply.get("retry_after_ms"), unit_s=0.001)


def _section(card: Card, budget: Budget) -> str:
    """Elements and attributes that the specification recommends to clients ("m.room.message msgtypes")."""
    colour = card.colour.value
    parts = [
        f'<font color="{colour}" data-mx-color="{colour}"><strong>{escape(budget.take(card.title))}</strong></font>'
    ]
    lines = [line for text in card.lines for line in text.splitlines()]
    parts += [escape(budget.take(line)) for line in lines]
    parts += [
        f"<strong>{escape(label)}:</strong> {escape(budget.take(value))}" for label, value in card.facts
    ]
    links = [(label, budget.take_whole(address)) for label, address in card.links]
    anchors = [f'<a href="{escape(address)}">{escape(label)}</a>' for label, address in links if address]
    if anchors:
        parts.append(" · ".join(anchors))
    excerpt = ""
    if card.excerpt:
        excerpt = f"<p>{EXCERPT_LABEL}:</p><pre><code>{escape(budget.take(card.excerpt))}</code></pre>"
    return f"<p>{'<br>'.join(parts)}</p>{excerpt}"


def _room_id(text: str) -> str:
    if text.startswith("#"):
        raise InvalidValueError(
            "is an alias", 'write the ID of the room, "!abcdef:example.org", from its settings'
        )
    if not re.fullmatch(r"![^\s/?#]{1,254}", text):
        raise InvalidValueError("is not the ID of a room", 'write "!abcdef:example.org"')
    return text
