"""Conversions of parsed TOML values. Each raises InvalidValueError for a value of another type or range."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final, TypeVar

from monitord.config.secret import SECRET_SOURCES
from monitord.config.wording import value_text
from monitord.errors import InvalidValueError
from monitord.text import did_you_mean, joined

N = TypeVar("N", int, float)

MAX_LISTED_OPTIONS: Final = 6
"""If a key has more values, the error for a similar value suggests that value only."""

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> str:
    """Return a name that is safe in URLs and commands: of a monitor, notifier or window. Raises InvalidValueError."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidValueError(
            "is not a name",
            "write letters, digits, dots, hyphens and underscores, beginning with a letter or digit",
        )
    return name


MAX_LOCATION_CHARACTERS: Final = 100


def check_location(text: str) -> str:
    """Return the name of a location, or of a node, of a cluster. Raises InvalidValueError.

    HOST/NAME is the monitor NAME of the node HOST, so a name contains no slash.
    """
    if not text or not text.isprintable() or text != text.strip() or "/" in text:
        raise InvalidValueError(
            "is not the name of a location", 'write letters, digits, hyphens and spaces, such as "fra"'
        )
    if len(text) > MAX_LOCATION_CHARACTERS:
        raise InvalidValueError(f"is longer than {MAX_LOCATION_CHARACTERS} characters", "shorten it")
    return text


def as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1 and value.keys() <= set(SECRET_SOURCES):
        raise InvalidValueError(
            "is not a string, and this key cannot be a secret", 'write the text itself, as "…"'
        )
    raise InvalidValueError(
        "is not a string", 'write "…"' if isinstance(value, (dict, list)) else "write it in quotes"
    )


def as_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidValueError("is not true or false", "write true or false, without quotes")


def as_moment(value: object) -> datetime:
    """Return the moment in UTC. A date-time without an offset is local time of this host."""
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC)
        except (OverflowError, ValueError):
            raise InvalidValueError("is out of range", "write a year from 1970 to 2199") from None
    problem = "has no time of day" if isinstance(value, date) else "is not a date with a time"
    raise InvalidValueError(
        problem, "write it without quotes, such as 2026-12-24T22:00:00 or 2026-12-24T22:00:00+01:00"
    )


def as_integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValueError("is not a whole number", "write digits without quotes")
    return value


def as_number(value: object) -> float:
    """Return a finite number: TOML's nan and inf are rejected."""
    if not isinstance(value, bool) and isinstance(value, (int, float)):
        try:
            if math.isfinite(value):
                return float(value)
        except OverflowError:
            pass
    raise InvalidValueError("is not a number", "write digits without quotes")


def as_one_of(value: object, options: Mapping[object, object]) -> object:
    """Return the option that is written like the value."""
    # 1 and true are equal in Python, but not in TOML.
    for written, option in options.items():
        if type(written) is type(value) and written == value:
            return option
    hint = ""
    if isinstance(value, str) and len(options) > MAX_LISTED_OPTIONS:
        hint = did_you_mean(value, (text for text in options if isinstance(text, str)), show=value_text)
    known = [value_text(written) for written in options]
    raise InvalidValueError("is not a valid value", hint or f"write {joined(known, 'or')}")


def within(value: N, minimum: N | None, maximum: N | None, show: Callable[[N], str]) -> N:
    if minimum is not None and value < minimum:
        raise InvalidValueError("is too small", f"write at least {show(minimum)}")
    if maximum is not None and value > maximum:
        raise InvalidValueError("is too large", f"write at most {show(maximum)}")
    return value
