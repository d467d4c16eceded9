"""The content of a message for chat and push services, without the format of one of them.

A card is one notification, with its colour, its short facts and its links. A budget limits texts in the unit that the
receiver counts, and records whether anything was cut.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from urllib.parse import urlsplit

from monitord.model import Severity, State
from monitord.notifiers.notification import (
    EXCERPT_LABEL,
    MAX_FULL_NOTIFICATIONS,
    Message,
    Notification,
    NotificationKind,
    utf16_units,
)

MAX_LINK_CHARACTERS = 500
"""A longer address is text, not a button: Discord accepts 512 characters."""
INVISIBLE = "\N{ZERO WIDTH SPACE}"
"""Separates characters that have a meaning together for a receiver, without being seen."""

_WEB_ADDRESS = re.compile(r"https?://\S+")


class Colour(Enum):
    """Readable on white and on black, as the reader chooses the background. The value is #rrggbb."""

    RED = "#d1332a"
    AMBER = "#a86a00"
    GREEN = "#1f8a41"
    GREY = "#737373"


_COLOURS = {State.DOWN: Colour.RED, State.DEGRADED: Colour.AMBER, State.UP: Colour.GREEN}


def colour_of(notification: Notification) -> Colour:
    match notification.kind:
        case NotificationKind.TEST | NotificationKind.CLOSED:
            return Colour.GREY
        case NotificationKind.ISOLATED:
            return Colour.RED
        case NotificationKind.RECONNECTED:
            return Colour.GREEN
        case _:
            return _COLOURS.get(notification.state, Colour.GREY)


def urgency_of(message: Message) -> Severity:
    """The highest severity in the message. A recovery and a test are not urgent: INFO."""
    severities = {
        Severity.INFO
        if notification.kind.is_closing or notification.kind is NotificationKind.TEST
        else notification.severity
        for notification in message.notifications
    }
    return next(
        severity
        for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
        if severity in severities
    )


@dataclass(frozen=True, slots=True)
class Card:
    """One notification: its title, the lines below it, and labels with values of one line.

    Only `excerpt` and the description have several lines. `links`: labels and addresses.
    """

    title: str
    colour: Colour
    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    excerpt: str
    links: tuple[tuple[str, str], ...]

    @property
    def lines_text(self) -> str:
        """Everything below the title as lines of text, except the excerpt."""
        labelled = (f"{label}: {value}" for label, value in (*self.facts, *self.links))
        return "\n".join([*self.lines, *labelled])


def cards_of(message: Message) -> list[Card]:
    cards = []
    for paragraph in message.paragraphs:
        excerpt = "".join(value for label, value in paragraph.facts if label == EXCERPT_LABEL)
        others = [(label, value) for label, value in paragraph.facts if label != EXCERPT_LABEL]
        cards.append(
            Card(
                paragraph.notification.title,
                colour_of(paragraph.notification),
                paragraph.lines,
                tuple((label, value) for label, value in others if not _is_link(value)),
                excerpt,
                tuple((label, value) for label, value in others if _is_link(value)),
            )
        )
    return cards


def colour_runs(message: Message) -> list[tuple[Colour, list[Card]]]:
    """The cards, in their order. In a message of many notifications, neighbours with the same colour are together."""
    cards = cards_of(message)
    if len(cards) <= MAX_FULL_NOTIFICATIONS:
        return [(card.colour, [card]) for card in cards]
    return [(colour, list(run)) for colour, run in groupby(cards, key=lambda card: card.colour)]


def _is_link(value: str) -> bool:
    """Whether a button may have this address. Telegram and Discord reject a host without a domain."""
    if len(value) > MAX_LINK_CHARACTERS or not value.isascii() or not _WEB_ADDRESS.fullmatch(value):
        return False
    try:
        return "." in (urlsplit(value).hostname or "")
    except ValueError:
        return False


# Limits


def utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def cut_to(text: str, most: int, measure: Callable[[str], int]) -> str:
    """Cut a text to `most` units of `measure`, with "…" at the end if it was longer. Empty if not even that fits."""
    if measure(text) <= most:
        return text
    if most <= 0:
        return ""
    shortest, too_long = -1, len(text) + 1
    while too_long - shortest > 1:
        characters = (shortest + too_long) // 2
        if measure(text[:characters] + "…") <= most:
            shortest = characters
        else:
            too_long = characters
    return text[:shortest] + "…" if shortest >= 0 else ""


class Budget:
    """Limits the texts of one message, each and together, in units of `measure`.

    `is_whole`: nothing was cut, and no other limit was reported as exceeded.
    """

    def __init__(self, units: int, measure: Callable[[str], int] = utf16_units) -> None:
        self._left = units
        self._measure = measure
        self.is_whole = True

    def take(self, text: str, most: int | None = None) -> str:
        """Return the text, truncated to `most` units and to the rest of the total."""
        limit = self._left if most is None else min(most, self._left)
        taken = cut_to(text, limit, self._measure)
        self._left -= self._measure(taken)
        self.is_whole = self.is_whole and taken == text
        return taken

    def take_escaped(self, text: str, escape: Callable[[str], str], most: int | None = None) -> str:
        """Return the escaped text. Its end is cut before it is escaped: no escape sequence is cut in two."""
        limit = self._left if most is None else min(most, self._left)
        taken = cut_to(text, limit, lambda part: self._measure(escape(part)))
        self.is_whole = self.is_whole and taken == text
        escaped = escape(taken)
        self._left -= self._measure(escaped)
        return escaped

    def take_whole(self, text: str) -> str:
        """Return the text, or nothing if it does not fit: a part of an address leads elsewhere."""
        taken = text if self._measure(text) <= self._left else ""
        self._left -= self._measure(taken)
        self.is_whole = self.is_whole and taken == text
        return taken

    def require(self, is_within: bool) -> None:  # noqa: FBT001 - the condition is the argument
        """Record a limit that is not a length."""
        self.is_whole = self.is_whole and is_within


# Escaping

_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def without_mentions(text: str) -> str:
    """Names of users are not recognized. An address or a unit such as getty@tty1 is unchanged, as it may be copied."""
    return _MENTION.sub(f"@{INVISIBLE}", text)


_PLAIN_ADDRESS = r"https?://[\w.~:/?#&=%+,;!$'-]+"
_LINE_START = re.compile(r"^(?=\s|[#>|+=-]|\d+[.)])", re.MULTILINE)


def markdown_escape(specials: str, angle: str) -> Callable[[str], str]:
    """Return a function that makes a text literal in a dialect of Markdown.

    `specials` get a backslash, except in addresses, of which it would become a part. `angle` replaces "<" before a
    character. No line begins a list, a heading or a quotation, no brackets are a link and no name is mentioned.
    """
    pattern = re.compile(rf"(?P<address>{_PLAIN_ADDRESS})|(?P<special>[{re.escape(specials)}])|<(?=\S)")

    def replaced(match: re.Match[str]) -> str:
        if match["address"]:
            return match[0]
        return f"\\{match[0]}" if match["special"] else angle

    def escape(text: str) -> str:
        text = without_mentions(pattern.sub(replaced, text).replace("](", f"]{INVISIBLE}("))
        return _LINE_START.sub(INVISIBLE, text)

    return escape


def code_block(text: str) -> str:
    """A fenced block, which the text cannot end."""
    return f"```\n{text.replace('```', f'`{INVISIBLE}`{INVISIBLE}`')}\n```"


def joined_within(texts: Iterable[str], most: int) -> list[str]:
    """Join texts with a blank line to as few as possible, of at most `most` UTF-16 code units each."""
    blocks: list[str] = []
    for text in texts:
        if blocks and utf16_units(blocks[-1]) + 2 + utf16_units(text) <= most:
            blocks[-1] += f"\n\n{text}"
        else:
            blocks.append(text)
    return blocks
