"""The type `slack`: messages of blocks for Slack, through an incoming webhook or with the token of an app.

    type = "slack"
    url = { credential = "slack-url" }

With `token` and `channel`, messages are posted with chat.postMessage, which needs the scope `chat:write`. All texts are
of the type plain_text, which Slack does not parse: no formatting, no links, no mentions.

Limits: Slack's manual, "Block Kit", "Attachments" and "chat.postMessage".
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from monitord.config import Secret, Table
from monitord.notifiers.cards import Budget, Card, Colour, colour_runs, joined_within
from monitord.notifiers.chat import ChatNotifier, ChatOptions, Reply, with_bearer
from monitord.notifiers.notification import MAX_SUBJECT_UNITS, Message, cut

URL = "https://slack.com/api/chat.postMessage"
MAX_ATTACHMENTS = 20
MAX_BLOCKS = 20
"""Blocks in one attachment. Slack rejects more, although 50 are documented for a message."""
MAX_BLOCKS_IN_MESSAGE = 50
MAX_HEADER = 150
MAX_SECTION = 3000
MAX_FIELDS = 10
MAX_FIELD = 2000
MAX_BUTTONS = 25
MAX_BUTTON = 75
MAX_CONTEXT = 2000
REJECTIONS = frozenset(
    {
        "invalid_arguments",
        "invalid_attachments",
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_too_long",
        "too_many_attachments",
    }
)


class SlackNotifier(ChatNotifier):
    type_name: ClassVar[str] = "slack"
    default_url: ClassVar[str | None] = URL
    max_units: ClassVar[int] = 12_000
    """Not a limit of Slack, which shows longer messages only in part."""

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = with_bearer(table, super().read_options(table), "token", is_required=False)
        channel = table.text("channel", default=None)
        if "token" not in table and "url" not in table:
            table.error("url", "missing", 'add url = { credential = "…" }, or token and channel')
        elif options.http.bearer_token and not channel:
            table.error("channel", "missing", 'add channel = "#…", or the ID of the channel')
        elif "token" not in table and channel is not None:
            table.error(
                "channel", "is set without token", "remove it; an incoming webhook has its own channel"
            )
        return replace(options, receiver=None if channel is None else Secret(channel))

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        subject = budget.take(message.subject, MAX_SUBJECT_UNITS * 2)
        attachments = [
            {"color": colour.value, "blocks": list(_blocks(cards, budget))}
            for colour, cards in colour_runs(message)
        ]
        if message.closing_lines:
            closing = _plain(budget.take("\n".join(message.closing_lines), MAX_CONTEXT))
            attachments.append(
                {"color": Colour.GREY.value, "blocks": [{"type": "context", "elements": [closing]}]}
            )
        counts = [len(attachment["blocks"]) for attachment in attachments]
        budget.require(
            len(counts) <= MAX_ATTACHMENTS
            and max(counts) <= MAX_BLOCKS
            and sum(counts) <= MAX_BLOCKS_IN_MESSAGE
        )
        return {
            **({} if self.options.receiver is None else {"channel": self.options.receiver.reveal()}),
            "text": subject.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
            "attachments": attachments,
        }

    def reports_failure(self, reply: Reply) -> bool:
        return reply.get("ok") is False

    def rejects(self, reply: Reply) -> bool:
        return reply.get("error") in REJECTIONS


def _blocks(cards: list[Card], budget: Budget) -> Iterator[dict[str, Any]]:
    if len(cards) > 1:
        texts = [budget.take(f"{card.title}\n{card.lines_text}", MAX_SECTION) for card in cards]
        yield from (_section(text) for text in joined_within(filter(None, texts), MAX_SECTION))
        return
    (card,) = cards
    yield {"type": "header", "text": _plain(budget.take(card.title, MAX_HEADER))}
    text = budget.take("\n".join(card.lines), MAX_SECTION)
    if text:
        yield _section(text)
    links = card.links[:MAX_BUTTONS]
    facts = [(label, value) for label, value in card.facts if value]
    budget.require(len(facts) <= MAX_FIELDS)
    fields = [budget.take(f"{label}:\n{value}", MAX_FIELD) for label, value in facts[:MAX_FIELDS]]
    if any(fields):
        yield {"type": "section", "fields": [_plain(field) for field in fields if field]}
    excerpt = budget.take(f"Response excerpt:\n{card.excerpt}", MAX_SECTION) if card.excerpt else ""
    if excerpt:
        yield _section(excerpt)
    if links:
        yield {
            "type": "actions",
            "elements": [
                {"type": "button", "text": _plain(cut(label, MAX_BUTTON)), "url": address}
                for label, address in links
            ],
        }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text)}
