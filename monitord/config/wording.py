"""Keys and values as TOML writes them, for messages: quoted where TOML quotes, shortened where long."""

import re
from datetime import date, time

MAX_SHOWN_CHARACTERS = 60
MAX_DECIMAL_BITS = 4096

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_SHOWN_CHARACTERS}}}")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key_text(path: Path) -> str:
    """("alerts", "routes", 0, "a b") → alerts.routes[0]."a b"."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else _quoted(part))
    return text


def value_text(value: object) -> str:
    """The value as it would be written, on one line. What a table holds stays hidden: it may be a secret."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        if isinstance(value, bool):
            return "true" if value else "false"
        # Python refuses to write out a number of thousands of digits.
        return _shortened(str(value) if value.bit_length() < MAX_DECIMAL_BITS else hex(value))
    if isinstance(value, dict):
        return "{ … }" if value else "{}"
    if isinstance(value, list):
        # Two levels say enough, and keep a list nested a thousand deep out of here.
        shown = ["[…]" if isinstance(item, list) and item else value_text(item) for item in value[:8]]
        return _shortened(f"[{', '.join(shown)}{', …' if len(value) > len(shown) else ''}]")
    return value.isoformat() if isinstance(value, (date, time)) else _shortened(str(value))


def _quoted(text: str) -> str:
    """A password in a URL is left out."""
    shown = _shortened(_USER_INFO.sub("***@", text))
    return '"' + "".join(_ESCAPES.get(character) or _printable(character) for character in shown) + '"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"  # noqa: PLR2004 - the end of \u


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
