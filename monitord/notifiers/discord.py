"""The type `discord`: messages with embeds for webhooks of Discord.

    type = "discord"
    url = { credential = "discord-url" }

Limits: Discord's manual, "Execute Webhook" and "Embed Limits". A request beyond a rate limit is answered with
`retry_after` in seconds in the body ("Rate Limits").
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from monitord.notifiers.cards import Budget, Card, Colour, code_block, colour_runs, markdown_escape
from monitord.notifiers.chat import ChatNotifier, Reply, delay_s
from monitord.notifiers.notification import EXCERPT_LABEL, Message

MAX_CONTENT = 2000
MAX_EMBEDS = 10
MAX_TITLE = 256
MAX_DESCRIPTION = 4096
MAX_FIELDS = 25
MAX_VALUE = 1024
MAX_FOOTER = 2048
MAX_INLINE_VALUE = 40
"""Values up to this length are shown side by side."""

_escape = markdown_escape("\\*_~`|", "\\<")


class DiscordNotifier(ChatNotifier):
    type_name: ClassVar[str] = "discord"
    max_units: ClassVar[int] = 6000
    """All texts of all embeds."""

    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        content = Budget(MAX_CONTENT)
        embeds = [_embed(colour, cards, budget) for colour, cards in colour_runs(message)]
        footer = budget.take("\n".join(message.closing_lines), MAX_FOOTER)
        if footer:
            embeds[-1]["footer"] = {"text": footer}
        budget.require(len(embeds) <= MAX_EMBEDS)
        return {
            "content": content.take_escaped(message.subject, _escape),
            "embeds": embeds,
            "allowed_mentions": {"parse": []},
        }

    def retry_after_in(self, reply: Reply) -> float | None:
        return delay_s(reply.get("retry_after"))


def _embed(colour: Colour, cards: list[Card], budget: Budget) -> dict[str, Any]:
    color = int(colour.value[1:], 16)
    if len(cards) > 1:
        texts = (f"**{_escape(card.title)}**\n{_escape(card.lines_text)}" for card in cards)
        return {"color": color, "description": budget.take("\n\n".join(texts), MAX_DESCRIPTION)}
    (card,) = cards
    embed: dict[str, Any] = {
        "color": color,
        "title": budget.take_escaped(card.title, _escape, MAX_TITLE),
        "description": budget.take_escaped("\n".join(card.lines), _escape, MAX_DESCRIPTION),
    }
    values = [(label, value, _escape) for label, value in card.facts]
    if card.excerpt:
        values.append((EXCERPT_LABEL, card.excerpt, code_block))
    fields = [
        {
            "name": budget.take(label),
            "value": budget.take_escaped(value, escape, MAX_VALUE),
            "inline": len(value) <= MAX_INLINE_VALUE and escape is _escape,
        }
        for label, value, escape in values
    ]
    fields += [
        {"name": budget.take(label), "value": budget.take_whole(address)} for label, address in card.links
    ]
    embed["fields"] = [field for field in fields if field["name"] and field["value"]][:MAX_FIELDS]
    return embed
