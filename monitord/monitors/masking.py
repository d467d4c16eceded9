"""What is told of a check is made fit to be seen: without the secrets of its options, and safe for a terminal.

A peer may repeat what it was sent, as it stands or as its protocol writes it, and may say anything else. So every
text of a result goes through here: its line for people, the values that conditions saw, its excerpt.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
MAX_EXCERPT_BYTES = 1024
MAX_SEARCHED_CHARACTERS = 8192
MAX_SHOWN_ITEMS = 20
"""Of a value of which people see only the beginning."""
SHORTEST_CUT = 4
"""Characters of a secret that are masked where a text ends in the middle of it."""

_ESCAPE = re.compile(
    r"\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)"  # a string for the terminal: its title, a link
    r"|(?:\x1b\[|\x9b)[0-?]{0,100}[ -/]{0,100}[@-~]"  # ECMA-48, section 5.4: colours, movements
    r"|\x1b[ -/]{0,10}[0-~]"
)


class Masking:
    """Knows secrets, and takes them out of texts. Those that are empty are none."""

    __slots__ = ("_forms",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be a part of another.
        self._forms = sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True)

    def mask(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def mask_value(self, value: object) -> object:
        """A value as people may see it, of the same type; of long ones only the beginning."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self._mask_cut(value[:MAX_SEARCHED_CHARACTERS])
        if isinstance(value, (list, tuple)):
            return [self.mask_value(item) for item in value[:MAX_SHOWN_ITEMS]]
        return value

    def excerpt(self, text: str) -> str | None:
        """At most MAX_EXCERPT_BYTES, on lines; None where there is nothing to be seen."""
        # Masked before and after: a secret may hold what is stripped, and may be hidden by it.
        shown = self._mask_cut(printable(self.mask(text[:MAX_SEARCHED_CHARACTERS]))).strip()
        encoded = shown.encode()
        if len(encoded) > MAX_EXCERPT_BYTES:
            shown = encoded[: MAX_EXCERPT_BYTES - len("…".encode())].decode(errors="ignore") + "…"
        return shown or None

    def _mask_cut(self, text: str) -> str:
        """The text may end within a secret."""
        text = self.mask(text)
        for form in self._forms:
            longest = min(len(form) - 1, len(text))
            for length in range(longest, SHORTEST_CUT - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + MASK
        return text


def printable(text: str) -> str:
    """Lines of text that do nothing to a terminal: no escapes, no controls, nothing that turns the direction."""
    lines = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\t", " ")
    return "".join(c for c in lines if c.isprintable() or c == "\n")


def _forms(secret: str) -> Iterator[str]:
    """As it stands, and as JSON, URLs, forms and HTML write it."""
    plain = secret.strip()
    if not plain:
        return
    yield plain
    yield json.dumps(plain)[1:-1]
    yield json.dumps(plain, ensure_ascii=False)[1:-1]
    yield quote(plain, safe="")
    yield quote(plain)
    yield quote_plus(plain)
    yield html.escape(plain)
