"""Formats of times, durations, values and texts for the terminal."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.clock import TIME_IN_TEXT, in_zone
from monitord.text import plain
from monitord.units import format_duration, format_percent

MAX_VALUE_CHARACTERS = 300

_DAY_S, _HOUR_S = 86400, 3600
_UNITS = (("d", _DAY_S), ("h", _HOUR_S), ("m", 60))


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds_since(text: str) -> float:
    return (datetime.now(UTC) - moment_of(text)).total_seconds()


def ago(text: str) -> str:
    """ "4m ago" """
    seconds = seconds_since(text)
    return "now" if seconds < 1 else f"{coarse(seconds)} ago"


def coarse(seconds: float) -> str:
    """ "3d", "4m", "12s": the largest unit only."""
    for unit, unit_s in _UNITS:
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)}{unit}"
    return f"{int(seconds)}s"


def span(seconds: float) -> str:
    """ "2h10m": the two largest units."""
    whole_s = int(seconds)
    if whole_s >= _DAY_S:
        whole_s -= whole_s % _HOUR_S
    elif whole_s >= _HOUR_S:
        whole_s -= whole_s % 60
    return format_duration(float(whole_s))


def local(text: str) -> str:
    """ "2026-01-31 18:00:00" in the local time zone."""
    return in_zone(moment_of(text)).strftime("%Y-%m-%d %H:%M:%S")


def zone_of(moment: datetime) -> str:
    """The name of the local time zone at that moment: "CET", "UTC"."""
    return in_zone(moment).tzname() or ""


def zone(texts: Iterable[str | None]) -> str:
    """The local time zone of these times, for the head of a column: "UTC", or "CET/CEST" if it changes."""
    zones = [zone_of(moment_of(text)) for text in texts if text is not None]
    return "/".join(dict.fromkeys(zones or [zone_of(datetime.now(UTC))]))


def local_with_zone(text: str) -> str:
    return f"{local(text)} {zone_of(moment_of(text))}"


def in_local_time(text: str) -> str:
    """Put the times in a text of the daemon into the local time zone."""
    return LocalTimes().in_text(text)


class LocalTimes:
    """Times in the local time zone, which is named with the first time, and again where it changes.

    `zone`: the name that is already shown.
    """

    def __init__(self, zone: str = "") -> None:
        self._zone = zone

    def moment(self, moment: str) -> str:
        time = in_zone(moment_of(moment))
        previous, self._zone = self._zone, zone_of(time)
        return f"{time:%Y-%m-%d %H:%M:%S}" + ("" if self._zone == previous else f" {self._zone}")

    def in_text(self, text: str) -> str:
        return TIME_IN_TEXT.sub(self._local, text)

    def _local(self, match: re.Match[str]) -> str:
        try:
            return self.moment(f"{match[1]}T{match[2]}Z")
        except ValueError:  # a text of a peer that is not a time
            return match[0]


def clock_time(text: str) -> str:
    return in_zone(moment_of(text)).strftime("%H:%M:%S")


def short_time(seconds: float | None) -> str:
    """ "12.3 ms", "1.50 s", "1m30s"; "-" for None."""
    if seconds is None:
        return "-"
    if seconds >= 60:  # noqa: PLR2004 - a minute
        return format_duration(float(round(seconds)))
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def percent(ratio: float | None) -> str:
    """ "99.950 %"; only a ratio of exactly 1 is 100 %."""
    if ratio is None:
        return "-"
    return format_percent(ratio)


def value(field: Any, columns: int | None = MAX_VALUE_CHARACTERS) -> str:
    """Format a field without a unit, in at most this number of terminal columns."""
    if isinstance(field, bool):
        return "true" if field else "false"
    if isinstance(field, str):
        return shorten(plain(field), columns)
    if isinstance(field, Sequence):
        return shorten(plain(", ".join(map(str, field))), columns)
    return "-" if field is None else str(field)


def acknowledgement(incident: Mapping[str, Any]) -> str:
    """ "acknowledged by kim: on it", or an empty text."""
    by, comment = incident["acknowledged_by"], incident["comment"]
    return "" if by is None else plain(f"acknowledged by {by}{f': {comment}' if comment else ''}")


def cells(text: str) -> int:
    """The width of a text on a terminal: two columns for wide characters, none for combining marks."""
    return len(text) if text.isascii() else sum(map(_cell_count, text))


def _cell_count(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def shorten(text: str, columns: int | None) -> str:
    """Truncate a text to this number of terminal columns, if it is not None."""
    if columns is None or cells(text) <= columns:
        return text
    return _beginning(text, columns - 1) + "…" if columns > 0 else ""


def shorten_within(text: str, columns: int) -> str:
    """Truncate a text in its middle: names of hosts differ at their beginning or at their end."""
    if cells(text) <= columns:
        return text
    tail = (columns - 1) // 2
    end = text
    while cells(end) > tail or (end and not _cell_count(end[0])):
        end = end[1:]
    return f"{_beginning(text, columns - 1 - tail)}…{end}"


def _beginning(text: str, columns: int) -> str:
    """The longest beginning that fits, with the combining marks of its last character."""
    length, width = 0, 0
    for character in text:
        width += _cell_count(character)
        if width > columns:
            break
        length += 1
    return text[:length]
