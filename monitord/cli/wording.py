"""How monitorctl says times, spans and texts of others."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.units import format_duration

LONGEST_VALUE = 300

_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
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


def in_local_time(sentence: str) -> str:
    """What the daemon says in sentences has its moments in UTC; who reads it has a clock that says otherwise."""
    return _MOMENT.sub(lambda found: local(found[0]), sentence)


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


def counted(count: int, what: str) -> str:
    """ "1 monitor", "2 monitors" """
    return f"{count} {what}{'' if count == 1 else 's'}"


def plain(text: str) -> str:
    """In one line, and nothing in it that does something to a terminal: a peer may have said it."""
    return "".join(c if c.isprintable() else " " for c in text)


def value(fact: Any) -> str:
    """What a fact of no known unit is."""
    if isinstance(fact, bool):
        return "true" if fact else "false"
    if isinstance(fact, str):
        return shorten(plain(fact), LONGEST_VALUE)
    if isinstance(fact, Sequence):
        return shorten(plain(", ".join(map(str, fact))), LONGEST_VALUE)
    return "-" if fact is None else str(fact)


def seen_to(incident: Mapping[str, Any]) -> str:
    """Who has acknowledged it, and why; nothing where nobody has."""
    who, comment = incident["acknowledged_by"], incident["comment"]
    return plain(f"{who} sees to it{f': {comment}' if comment else ''}") if who is not None else ""


def shorten(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def shorten_within(text: str, room: int) -> str:
    """Both ends stay: names of machines differ in either."""
    tail = (room - 1) // 2
    return text if len(text) <= room else f"{text[: room - 1 - tail]}…{text[-tail:]}"
