"""Writing TOML 1.0: keys, values and comments. Any text is written so that a reader returns it unchanged."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from monitord.text import plain, shortened, unicode_escape

TomlValue = str | bool | int | float | datetime | Sequence["TomlValue"] | Mapping[str, "TomlValue"]

MAX_LINE = 100
MAX_COMMENT = 300

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key_of(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else text_of(name)


def text_of(text: str) -> str:
    """A basic string. Unpaired surrogates, which TOML cannot contain, become U+FFFD."""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    characters = (
        _ESCAPES.get(character) or (character if character.isprintable() else unicode_escape(character))
        for character in text
    )
    return '"' + "".join(characters) + '"'


def value_of(value: TomlValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return text_of(value)
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            items = ", ".join(f"{key_of(key)} = {value_of(item)}" for key, item in value.items())
            return f"{{ {items} }}" if items else "{}"
        case _:
            return f"[{', '.join(map(value_of, value))}]"


def assignment(key: str, value: TomlValue) -> list[str]:
    """The lines of a key and its value: a long list has a line for each item."""
    line = f"{key_of(key)} = {value_of(value)}"
    if len(line) <= MAX_LINE or isinstance(value, str) or not isinstance(value, Sequence) or len(value) < 2:  # noqa: PLR2004 - a list of one
        return [line]
    return [f"{key_of(key)} = [", *(f"    {value_of(item)}," for item in value), "]"]


def comment(text: str) -> str:
    return f"# {shortened(plain(text), MAX_COMMENT)}".rstrip()
