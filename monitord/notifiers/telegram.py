"""The type `telegram`: messages of a bot in Telegram.

    type = "telegram"
    token = { credential = "telegram-token" }
    chat_id = "-1001234567890"

The format of a text is given as entities, which name the position of each bold or monospaced part: the text itself is
not parsed for markup (Telegram's manual, "Bot API", sendMessage and MessageEntity). A failure has `ok: false`, and
`parameters.retry_after` in seconds if too many messages were sent (ResponseParameters).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.notifiers.cards import INVISIBLE, Budget, cards_of, without_mentions
from monitord.notifiers.chat import ChatNotifier, ChatOptions, Reply, delay_s, reject_query, with_path
from monitord.notifiers.notification import EXCERPT_LABEL, MAX_FULL_NOTIFICATIONS, Message, cut, utf16_units

URL = "https://api.telegram.org"
MAX_TEXT = 4096
MAX_ENTITIES = 100
"""Further entities of a message are ignored."""
MAX_BUTTONS = 8
"""Buttons in one row."""
MAX_BUTTON = 64
"""UTF-16 code units that a button shows."""
_BLANK_LINE = "\n\n"


class TelegramNotifier(ChatNotifier):
    type_name: ClassVar[str] = "telegram"
    default_url: ClassVar[str | None] = URL
    max_units: ClassVar[int] = MAX_TEXT

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = super().read_options(table)
        reject_query(table, options)
        token = table.secret("token")
        if token and not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]+", token.reveal().strip()):
            table.error(
                "token", "is not the token of a bot", 'write the token from @BotFather, "123456:ABC…"'
            )
        options = with_path(options, f"/bot{quote(token.reveal().strip(), safe=':')}/sendMessage")
        http = replace(options.http, is_url_secret=True, hidden=(*options.http.hidden, token))
        if isinstance(table.raw("chat_id"), int):
            chat_id = str(table.integer("chat_id"))
        else:
            chat_id = table.value("chat_id", _chat_id, default="0", required=True)
        return replace(options, http=http, receiver=Secret(chat_id))

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        text = _Text(budget)
        text.add(message.subject, "bold")
        cards = cards_of(message)
        is_full = len(cards) <= MAX_FULL_NOTIFICATIONS
        for card in cards:
            text.add(_BLANK_LINE)
            text.add(card.title, "bold")
            if not is_full:
                text.add(f"\n{card.lines_text}")
                continue
            text.add("".join(f"\n{line}" for line in card.lines))
            for label, value in card.facts:
                text.add("\n")
                text.add(f"{label}:", "bold")
                text.add(f" {value}")
            if card.excerpt:
                text.add("\n")
                text.add(f"{EXCERPT_LABEL}:", "bold")
                text.add("\n")
                text.add(card.excerpt, "pre")
        for number, line in enumerate(message.closing_lines):
            text.add(_BLANK_LINE if number == 0 else "\n")
            text.add(line, "italic")
        # All rows are below the text, so in a message of several cards they name theirs.
        rows = (
            [
                [
                    {
                        "text": label if len(cards) == 1 else cut(f"{label}: {card.title}", MAX_BUTTON),
                        "url": address,
                    }
                    for label, address in card.links[:MAX_BUTTONS]
                ]
                for card in cards
                if card.links
            ]
            if is_full
            else []
        )
        chat_id = "" if self.options.receiver is None else self.options.receiver.reveal()
        return {
            "chat_id": chat_id if chat_id.startswith("@") else int(chat_id or 0),
            "text": text.text,
            "entities": text.entities[:MAX_ENTITIES],
            "link_preview_options": {"is_disabled": True},
            **({"reply_markup": {"inline_keyboard": rows}} if rows else {}),
        }

    def reports_failure(self, reply: Reply) -> bool:
        return reply.get("ok") is False

    def rejects(self, reply: Reply) -> bool:
        return reply.get("error_code") in {400, 413}

    def retry_after_in(self, reply: Reply) -> float | None:
        parameters = reply.get("parameters")
        return delay_s(parameters.get("retry_after")) if isinstance(parameters, dict) else None


class _Text:
    """A text and its entities. Offsets and lengths are UTF-16 code units."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.text = ""
        self._units = 0
        self.entities: list[dict[str, Any]] = []

    def add(self, text: str, entity: str = "") -> None:
        taken = self._budget.take_escaped(text, _literal)
        length = utf16_units(taken)
        if entity and taken:
            self.entities.append({"type": entity, "offset": self._units, "length": length})
        self.text += taken
        self._units += length


def _literal(text: str) -> str:
    """Without mentions (@name) and commands (/name), which Telegram finds in every text."""
    return re.sub(r"(?<![^\s(\"'])/(?=\w)", f"/{INVISIBLE}", without_mentions(text))


def _chat_id(text: str) -> str:
    if not re.fullmatch(r"-?[0-9]{1,18}|@[A-Za-z][A-Za-z0-9_]{3,31}", text, re.ASCII):
        raise InvalidValueError("is not the ID of a chat", 'write "-1001234567890", or "@name" for a channel')
    return text
