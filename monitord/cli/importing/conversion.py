"""Conversion of durations, conditions, tags and addresses of other programs to those of monitord."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from monitord.cli.importing.source import FieldError
from monitord.text import plain, shortened, unicode_escape

REVERSED_OPERATORS = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""The operator of the same comparison with its sides exchanged. == and != do not change."""

_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 7 * 86_400.0,
    "y": 365 * 86_400.0,
}
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ns|us|µs|ms|s|m|h|d|w|y)")
_ESCAPED_IN_CONDITIONS = {*"ntr\\'\"uU", ""}
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def go_duration(text: str, path: str) -> float:
    """Return the seconds of a duration of Go or Prometheus, such as "1h30m". Raises FieldError."""
    if text == "0":
        return 0.0
    seconds = sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))
    if not text or _PART.sub("", text):
        raise FieldError(f'{path}: "{shortened(plain(text))}" is not a duration')
    return seconds


def literal(text: str) -> str:
    """Return the text as a string literal of the condition language."""
    parts = []
    for index, character in enumerate(text):
        if character == "\\":
            # Elsewhere a backslash is literal, so that patterns remain readable.
            following = text[index + 1 : index + 2]
            is_escape = following in _ESCAPED_IN_CONDITIONS or not following.isprintable()
            parts.append("\\\\" if is_escape else "\\")
        elif character == "'":
            parts.append("\\'")
        elif character in "\n\t\r":
            parts.append({"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character])
        else:
            parts.append(character if character.isprintable() else unicode_escape(character))
    return f"'{''.join(parts)}'"


def json_value(text: str) -> str:
    """Return literals that equal the value in programs that compare values as text: [5, '5'] for "5"."""
    if re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", text) or text in {"true", "false"}:
        return f"[{text}, {literal(text)}]"
    return literal(text)


def json_equals(path: str, text: str) -> str:
    """Return the condition that the value at this path equals the text, in programs that compare values as text."""
    value = json_value(text)
    return f"json({literal(path)}) {'in' if value.startswith('[') else '=='} {value}"


def json_path(text: str) -> str | None:
    """Return the path in the syntax of monitord: "$.data[0]" for "data[0]" or "$.data[0]"; None if it is not plain."""
    rest = text.strip().removeprefix("$").removeprefix(".")
    parts = []
    for match in re.finditer(r"([^.\[\]]+)|\[(-?[0-9]{1,6})\]|(\.)|(.)", rest):
        if match[4] or (match[1] and re.search(r"[()*?@'\"&|=<>+{}:,\s]", match[1])):
            return None
        if match[1]:
            parts.append(f".{match[1]}" if _MEMBER.fullmatch(match[1]) else f"[{literal(match[1])}]")
        elif match[2]:
            parts.append(f"[{match[2]}]")
    return "$" + "".join(parts)


def status_condition(ranges: Sequence[tuple[int, int]]) -> str:
    """Return a condition that the status is in one of the inclusive ranges."""
    single = sorted({first for first, last in ranges if first == last})
    parts = [f"status >= {first} and status < {last + 1}" for first, last in ranges if first != last]
    if len(single) == 1:
        parts.append(f"status == {single[0]}")
    elif single:
        parts.append(f"status in {single}")
    return (
        parts[0]
        if len(parts) == 1
        else " or ".join(f"({part})" if " and " in part else part for part in parts)
    )


def glob_pattern(text: str) -> str:
    """Return the pattern that matches the same texts as a glob with * and ?."""
    return "(?s)^" + "".join({"*": ".*", "?": "."}.get(char) or escaped_pattern(char) for char in text) + "$"


def escaped_pattern(text: str) -> str:
    """Return the pattern that matches exactly this text."""
    return re.sub(r"[\\.^$*+?{}\[\]|()]", lambda match: f"\\{match[0]}", text)


def clean_tag(text: str) -> str:
    """Return the tag without control characters and repeated spaces."""
    return " ".join(plain(text).split())


def host_and_port(address: str, default_port: int | None = None) -> str:
    """Return "HOST:PORT", with IPv6 in brackets. Raises FieldError if there is neither a port nor a default."""
    try:
        parts = urlsplit(f"//{address}" if "//" not in address else address)
        host, port = parts.hostname or "", parts.port or default_port
    except ValueError as error:
        raise FieldError(f'"{shortened(plain(address))}" is not an address: {error}') from None
    if not host:
        raise FieldError(f'"{shortened(plain(address))}" has no host')
    if port is None:
        raise FieldError(f'"{shortened(plain(address))}" has no port')
    return address_of(host, port)


def address_of(host: str, port: int) -> str:
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
