"""The type `teams`: Adaptive Cards for the workflows of Microsoft Teams.

    type = "teams"
    url = { credential = "teams-url" }

The workflow begins with the trigger "When a Teams webhook request is received" of Power Automate, which answers with
202. All texts are in TextRun elements, which are not Markdown (Adaptive Cards, "RichTextBlock").

Limits: Microsoft's manual, "Limits and specifications for Microsoft Teams" and "Incoming Webhooks". The webhooks of the
retired connectors, and compatible gateways, answer a rejected message with 200 and an error text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from monitord.net import HttpExchange
from monitord.notifiers.base import DeliveryError
from monitord.notifiers.cards import INVISIBLE, Budget, Card, Colour, colour_runs, utf8_bytes
from monitord.notifiers.chat import ChatNotifier
from monitord.notifiers.notification import EXCERPT_LABEL, Message

MAX_MESSAGE_BYTES = 28 * 1024
MAX_CARD_BYTES = 26 * 1024
"""The workflow adds its own properties to the message."""
MAX_ACTIONS = 6
FAILURE_TEXT = b"Webhook message delivery failed"
"""The beginning of the body, the only sign of a failure in a response with status 200."""
STYLES = {
    Colour.RED: ("attention", "Attention"),
    Colour.AMBER: ("warning", "Warning"),
    Colour.GREEN: ("good", "Good"),
    Colour.GREY: ("emphasis", "Default"),
}
"""The style of a container and the colour of a text."""


class TeamsNotifier(ChatNotifier):
    type_name: ClassVar[str] = "teams"
    max_units: ClassVar[int] = 16 * 1024
    """Bytes of all texts in JSON. The rest of the card is smaller than the difference from its limit."""
    measure: ClassVar[Callable[[str], int]] = staticmethod(
        lambda text: utf8_bytes(json.dumps(text, ensure_ascii=False))
    )

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        body: list[dict[str, Any]] = [_text(budget.take_escaped(message.subject, _literal), weight="Bolder")]
        for colour, cards in colour_runs(message):
            style, text_colour = STYLES[colour]
            items = [item for card in cards for item in _items(card, text_colour, budget)]
            if len(cards) == 1:
                actions = [
                    {"type": "Action.OpenUrl", "title": label, "url": address}
                    for label, address in cards[0].links[:MAX_ACTIONS]
                    if budget.take_whole(address)
                ]
                items += [{"type": "ActionSet", "actions": actions}] if actions else []
            body.append({"type": "Container", "style": style, "bleed": True, "items": items})
        closing = [budget.take_escaped(line, _literal) for line in message.closing_lines]
        body += [_text(line, isSubtle=True, size="Small") for line in closing if line]
        composed = {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "msteams": {"width": "Full"},
                        "body": body,
                    },
                }
            ],
        }
        budget.require(utf8_bytes(json.dumps(composed, ensure_ascii=False)) <= MAX_CARD_BYTES)
        return composed

    def failure_in(self, exchange: HttpExchange) -> DeliveryError | None:
        failure = super().failure_in(exchange)
        if failure is None and exchange.beginning.lstrip().startswith(FAILURE_TEXT):
            return DeliveryError(self.response_text(exchange))
        return failure


def _items(card: Card, colour: str, budget: Budget) -> Iterator[dict[str, Any]]:
    yield _text(budget.take_escaped(card.title, _literal), weight="Bolder", color=colour)
    lines = [line for text in card.lines for line in text.splitlines()]
    texts = [budget.take_escaped(line, _literal) for line in lines]
    yield from (_text(text) for text in texts if text)
    for label, value in card.facts:
        text = budget.take_escaped(value, _literal)
        if text:
            yield {
                "type": "RichTextBlock",
                "spacing": "None",
                "inlines": [_run(f"{label}: ", weight="Bolder"), _run(text)],
            }
    if card.excerpt:
        yield _text(f"{EXCERPT_LABEL}:", weight="Bolder")
        texts = [budget.take_escaped(line, _literal) for line in card.excerpt.splitlines()]
        yield from (_text(text, fontType="Monospace") for text in texts if text)


def _text(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": "None", "inlines": [_run(text, **style)]}


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **style}


def _literal(text: str) -> str:
    """Adaptive Cards, "Text features": {{DATE(…)}} is a function in every text."""
    return text.replace("{{", f"{{{INVISIBLE}{{")
