"""Numbers, moments and states in words, for people: with units, and never better than they are."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from monitord.model import WORST_FIRST, State
from monitord.text import counted

NOT_KNOWN = "\N{EN DASH}"

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
_UNITS = (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S), ("s", 1))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")

SHOWN_DIGITS_BELOW_S = 10
LEAST_S = 0.0001


def percent(ratio: float | None) -> str:
    """Cut, not rounded: 99.999 % is not 100 %."""
    if ratio is None:
        return NOT_KNOWN
    # Beyond the eighth digit is only what floating point added.
    hundredths = math.floor(round(ratio * 10_000, 4))
    if hundredths % 100 == 0 and hundredths in {0, 10_000}:
        return f"{hundredths // 100} %"
    return f"{hundredths / 100:.2f} %"


def seconds(value_s: float | None) -> str:
    """A time that was measured: 0.0042 → "4.2 ms", 0.31 → "310 ms", 2.5 → "2.50 s", 90 → "90 s"."""
    if value_s is None:
        return NOT_KNOWN
    if value_s < 0.01:  # noqa: PLR2004 - below it a whole millisecond says too little
        return f"{value_s * 1000:.1f} ms" if value_s >= LEAST_S else "< 0.1 ms" if value_s > 0 else "0 ms"
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    return f"{value_s:.2f} s" if value_s < SHOWN_DIGITS_BELOW_S else f"{value_s:,.0f} s"


def span(value_s: float | None) -> str:
    """A time that passed, in its two greatest units: 93,784 → "1 d 2 h"."""
    if value_s is None:
        return NOT_KNOWN
    left = max(int(value_s), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def span_or_less(value_s: float) -> str:
    """A setting: whole seconds as a span, anything else as a time that is measured."""
    return span(value_s) if value_s >= 1 and value_s == int(value_s) else seconds(value_s)


def size(value_bytes: float | None) -> str:
    """1,572,864 → "1.5 MiB"."""
    if value_bytes is None:
        return NOT_KNOWN
    for unit in _SIZES:
        if value_bytes < 1024 or unit == _SIZES[-1]:  # noqa: PLR2004 - the step between units
            return f"{value_bytes:,.0f} {unit}" if unit == "B" else f"{value_bytes:.1f} {unit}"
        value_bytes /= 1024
    raise AssertionError("the last unit takes all")


def number(value: float) -> str:
    """12345 → "12,345"."""
    return f"{value:,}"


def several(count: int, what: str) -> str:
    """1, "monitor" → "1 monitor"; 2 → "2 monitors"."""
    return counted(count, what, separator=",")


def machine_time(moment: datetime) -> str:
    """For `<time datetime>`: RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine_time_exact(moment: datetime) -> str:
    """The same to the microsecond, for an address that continues a list."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(at: datetime | None) -> str:
    """2026-11-26 14:02:07 UTC."""
    return NOT_KNOWN if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(at: datetime) -> str:
    """For the scale of a day."""
    return at.astimezone(UTC).strftime("%H:%M")


def day(at: datetime) -> str:
    """For the scale of more than that."""
    return at.astimezone(UTC).strftime("%-d %b")


def headline(counts: Mapping[State, int]) -> str:
    """The state of all monitors in a sentence: what is worst comes first, what is well is not counted up."""
    total = sum(counts.values())
    if not total:
        return "No monitor is configured yet"
    if counts.get(State.UP, 0) == total:
        return "The only monitor is up" if total == 1 else f"All {total:,} monitors are up"
    ill = [(health, counts.get(health, 0)) for health in _ILL if counts.get(health, 0)]
    if ill:
        health, count = ill[0]
        rest = "".join(f", {count:,} {word.value}" for word, count in ill[1:])
        if total == 1:
            return f"The only monitor is {health.value}"
        return f"{count:,} of {total:,} monitors {'is' if count == 1 else 'are'} {health.value}{rest}"
    up, pending, paused = (counts.get(one, 0) for one in (State.UP, State.PENDING, State.PAUSED))
    if not up:
        return f"{several(pending, 'monitor')} to be checked first" if pending else "All monitors are paused"
    rest = f", {pending:,} not checked yet" if pending else ""
    rest += f", {paused:,} paused" if paused else ""
    return f"{several(up, 'monitor')} {'is' if up == 1 else 'are'} up{rest}"


_ILL = WORST_FIRST[: WORST_FIRST.index(State.PENDING)]
