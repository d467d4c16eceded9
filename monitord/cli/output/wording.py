"""How monitorctl says times, spans and texts of others."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.clock import TIME_IN_TEXT
from monitord.text import plain
from monitord.units import format_duration

LONGEST_VALUE = 300

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds_since(text: str) -> float:
    return (datetime.now(UTC) - moment_of(text)).total_seconds()


def ago(text: str) -> str:
    """ "4m ago" """
    seconds = seconds_since(text)
    return "now" if seconds < 1 else f"{coarse(seconds)} ago"


def coarse(seconds: float) -> str:
    """The largest unit only: "3d", "4m", "12s"."""
    for unit, in_seconds in _UNITS:
        if seconds >= in_seconds:
            return f"{int(seconds // in_seconds)}{unit}"
    return f"{int(seconds)}s"


def span(seconds: float) -> str:
    """ "2h10m": the two largest units, for people."""
    whole = int(seconds)
    for unit_s in (86400, 3600):
        if whole >= unit_s:
            whole -= whole % (unit_s // 24 if unit_s > 3600 else 60)  # noqa: PLR2004 - hours of days, minutes of hours
            break
    return format_duration(float(whole))


def local(text: str) -> str:
    """A moment on the clock of who reads it."""
    return moment_of(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone_of(moment: datetime) -> str:
    """The reader's time zone as it was at that moment: "CET", "UTC"."""
    return moment.astimezone().tzname() or ""


def zone(texts: Iterable[str | None]) -> str:
    """The reader's time zone for the head of a column of these times: "UTC"; "CET/CEST" if it has changed."""
    zones = [zone_of(moment_of(text)) for text in texts if text is not None]
    return "/".join(dict.fromkeys(zones or [zone_of(datetime.now(UTC))]))


def local_with_zone(text: str) -> str:
    return f"{local(text)} {zone_of(moment_of(text))}"


def in_local_time(text: str) -> str:
    """Put the times in a text of the daemon into the local time zone."""
    return LocalTimes().in_text(text)


class LocalTimes:
    """Times in the local time zone, which is named with the first time, and again where it changes."""

    def __init__(self) -> None:
        self._zone = ""

    def moment(self, moment: str) -> str:
        time = moment_of(moment).astimezone()
        previous, self._zone = self._zone, zone_of(time)
        return f"{time:%Y-%m-%d %H:%M:%S}" + ("" if self._zone == previous else f" {self._zone}")

    def in_text(self, text: str) -> str:
        return TIME_IN_TEXT.sub(self._local, text)

    def _local(self, found: re.Match[str]) -> str:
        try:
            return self.moment(f"{found[1]}T{found[2]}Z")
        except (ValueError, OverflowError):  # a text of a peer that is not a time
            return found[0]


def clock_time(text: str) -> str:
    return moment_of(text).astimezone().strftime("%H:%M:%S")


def short_time(seconds: float | None) -> str:
    """A response time: "12.3 ms"; nothing known: "-"."""
    if seconds is None:
        return "-"
    if seconds >= 60:  # noqa: PLR2004 - beyond a minute milliseconds are noise
        return format_duration(float(round(seconds)))
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def percent(ratio: float | None) -> str:
    """Never rounded up to a hundred: what was not always up does not look so."""
    if ratio is None:
        return "-"
    shown = f"{ratio * 100:.3f}"
    return f"{'99.999' if shown == '100.000' and ratio < 1 else shown} %"


def value(field: Any, room: int | None = LONGEST_VALUE) -> str:
    """What a field of no known unit is. `room`: None cuts nothing."""
    if isinstance(field, bool):
        return "true" if field else "false"
    if isinstance(field, str):
        return shorten(plain(field), room)
    if isinstance(field, Sequence):
        return shorten(plain(", ".join(map(str, field))), room)
    return "-" if field is None else str(field)


def seen_to(incident: Mapping[str, Any]) -> str:
    """Who has acknowledged it, and why; nothing where nobody has."""
    who, comment = incident["acknowledged_by"], incident["comment"]
    return plain(f"{who} sees to it{f': {comment}' if comment else ''}") if who is not None else ""


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: two for wide characters, none for combining marks."""
    return len(text) if text.isascii() else sum(map(_cell_count, text))


def _cell_count(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def shorten(text: str, room: int | None) -> str:
    """The beginning of a text, in so many columns of a terminal; None cuts nothing."""
    if room is None or cells(text) <= room:
        return text
    return _beginning(text, room - 1) + "…" if room > 0 else ""


def shorten_within(text: str, room: int) -> str:
    """Both ends stay: names of machines differ in either."""
    if cells(text) <= room:
        return text
    tail = (room - 1) // 2
    end = text
    while cells(end) > tail or (end and not _cell_count(end[0])):
        end = end[1:]
    return f"{_beginning(text, room - 1 - tail)}…{end}"


def _beginning(text: str, room: int) -> str:
    """As much as there is room for, with the marks that combine with the last character."""
    taken, count = 0, 0
    for character in text:
        count += _cell_count(character)
        if count > room:
            break
        taken += 1
    return text[:taken]
