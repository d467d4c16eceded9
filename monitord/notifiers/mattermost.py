"""The type `mattermost`: messages with attachments for incoming webhooks of Mattermost and Rocket.Chat.

    type = "mattermost"
    url = { credential = "chat-url" }

Both accept the attachments that Slack had before blocks (Mattermost's manual, "Message attachments"; Rocket.Chat's
manual, "Incoming webhook integration"). Texts are Markdown, in which those of monitored services are escaped.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from monitord.notifiers.cards import (
    INVISIBLE,
    Budget,
    Card,
    Colour,
    code_block,
    colour_runs,
    cut_to,
    markdown_escape,
    without_mentions,
)
from monitord.notifiers.chat import ChatNotifier
from monitord.notifiers.notification import EXCERPT_LABEL, Message, utf16_units

MAX_TITLE = 500
MAX_SHORT_VALUE = 40
"""Values up to this length are shown in two columns."""
MAX_ATTACHMENTS = 20
MAX_SUMMARY = 200
"""UTF-16 code units. A client shows either the summary or the text, so summaries do not count as text."""

# Not &lt;, which Rocket.Chat shows as it is. Both make a link of <https://example.org|text> before they read Markdown.
_ANGLE = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
_escape = markdown_escape("\\*_~`", _ANGLE)
"""Rocket.Chat knows no more escape sequences than these."""


class MattermostNotifier(ChatNotifier):
    type_name: ClassVar[str] = "mattermost"
    max_units: ClassVar[int] = 5000
    """The default limit of Rocket.Chat. Mattermost accepts 16,383 characters."""

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        subject = budget.take_escaped(message.subject, _escape)
        attachments = [_attachment(colour, cards, budget) for colour, cards in colour_runs(message)]
        if message.closing_lines:
            closing = "\n".join(message.closing_lines)
            attachments.append(
                {
                    "color": Colour.GREY.value,
                    "fallback": _summary(closing),
                    "text": budget.take_escaped(closing, _escape),
                }
            )
        budget.require(len(attachments) <= MAX_ATTACHMENTS)
        return {"text": subject, "attachments": attachments}


def _attachment(colour: Colour, cards: list[Card], budget: Budget) -> dict[str, Any]:
    if len(cards) > 1:
        texts = (f"**{_escape(card.title)}**\n{_escape(card.lines_text)}" for card in cards)
        return {
            "color": colour.value,
            "fallback": _summary(f"{cards[0].title} and {len(cards) - 1} more"),
            "text": budget.take("\n\n".join(texts)),
        }
    (card,) = cards
    text = budget.take_escaped("\n".join(card.lines), _escape)
    if card.excerpt:
        text += f"\n{EXCERPT_LABEL}:\n{budget.take_escaped(card.excerpt, _block)}"
    fields = [
        {
            "title": label,
            "value": budget.take_escaped(value, _escape),
            "short": len(value) <= MAX_SHORT_VALUE,
        }
        for label, value in card.facts
    ]
    fields += [
        {"title": label, "value": budget.take_whole(address), "short": False} for label, address in card.links
    ]
    return {
        "color": colour.value,
        "fallback": _summary(card.title),
        "title": budget.take_escaped(card.title, _literal_title, MAX_TITLE),
        "text": text,
        "fields": [field for field in fields if field["value"]],
    }


def _summary(text: str) -> str:
    """The text of an attachment where attachments are not shown, such as in IRC: without Markdown."""
    return cut_to(without_mentions(text.replace("<", _ANGLE)), MAX_SUMMARY, utf16_units)


def _block(text: str) -> str:
    return code_block(text.replace("<", _ANGLE))


def _literal_title(text: str) -> str:
    """A title is Markdown only for links, and no backslash is removed from it."""
    return without_mentions(text.replace("<", _ANGLE).replace("](", f"]{INVISIBLE}("))
