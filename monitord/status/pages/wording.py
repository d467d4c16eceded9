"""Numbers, times and states as text on the pages."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from monitord.model import WORST_FIRST, State
from monitord.text import counted
from monitord.units import approximate_size

NOT_KNOWN = "\N{EN DASH}"

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
_UNITS = (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S), ("s", 1))

SHOWN_DIGITS_BELOW_S = 10
LEAST_S = 0.0001


def percent(ratio: float | None) -> str:
    """Return a percentage that is rounded down: 99.999 % is not 100 %."""
    if ratio is None:
        return NOT_KNOWN
    # The inner rounding removes errors of floating point arithmetic.
    hundredths = math.floor(round(ratio * 10_000, 4))
    if hundredths % 100 == 0 and hundredths in {0, 10_000}:
        return f"{hundredths // 100} %"
    return f"{hundredths / 100:.2f} %"


def seconds(value_s: float | None) -> str:
    """Return a measured time: 0.0042 → "4.2 ms", 0.31 → "310 ms", 2.5 → "2.50 s", 90 → "90 s"."""
    if value_s is None:
        return NOT_KNOWN
    if value_s < 0.01:  # noqa: PLR2004 - below it a whole millisecond says too little
        return f"{value_s * 1000:.1f} ms" if value_s >= LEAST_S else "< 0.1 ms" if value_s > 0 else "0 ms"
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    return f"{value_s:.2f} s" if value_s < SHOWN_DIGITS_BELOW_S else f"{value_s:,.0f} s"


def span(value_s: float | None) -> str:
    """Return a duration in its two largest units: 93,784 → "1 d 2 h"."""
    if value_s is None:
        return NOT_KNOWN
    rest = max(int(value_s), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def duration(value_s: float) -> str:
    """Return a duration of any length: below a minute as `seconds`, others as `span`. -93,784 → "-1 d 2 h"."""
    sign, length_s = "-" if value_s < 0 else "", abs(value_s)
    return sign + (seconds(length_s) if length_s < MINUTE_S else span(length_s))


def span_or_less(value_s: float) -> str:
    """Return a configured duration: whole seconds as `span`, others as `seconds`."""
    return span(value_s) if value_s >= 1 and value_s == int(value_s) else seconds(value_s)


def size(value_bytes: float | None) -> str:
    """Return a size: 1,572,864 → "1.5 MiB"."""
    return NOT_KNOWN if value_bytes is None else approximate_size(value_bytes)


def number(value: float) -> str:
    """Return a number with separators: 12345 → "12,345"."""
    return f"{value:,}"


def several(count: int, noun: str) -> str:
    """Return a number with its noun: 1, "monitor" → "1 monitor"; 2 → "2 monitors"."""
    return counted(count, noun, separator=",")


def machine_time(moment: datetime) -> str:
    """Return the value of `<time datetime>`: RFC 3339 in UTC, in seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine_time_exact(moment: datetime) -> str:
    """Return the same in microseconds, for the URL of the next page of a list."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(at: datetime | None) -> str:
    """Return a time such as 2026-11-26 14:02:07 UTC."""
    return NOT_KNOWN if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(at: datetime) -> str:
    """Return the label of a time axis up to a day."""
    return at.astimezone(UTC).strftime("%H:%M")


def day(at: datetime) -> str:
    """Return the label of a longer time axis."""
    return at.astimezone(UTC).strftime("%-d %b")


def headline(counts: Mapping[State, int]) -> str:
    """Return the state of all monitors in a sentence that begins with the worst state."""
    total = sum(counts.values())
    if not total:
        return "No monitors configured yet"
    if counts.get(State.UP, 0) == total:
        return "The only monitor is up" if total == 1 else f"All {total:,} monitors are up"
    problems = [(state, counts.get(state, 0)) for state in _PROBLEMS if counts.get(state, 0)]
    if problems:
        state, count = problems[0]
        rest = "".join(f", {count:,} {other.value}" for other, count in problems[1:])
        if total == 1:
            return f"The only monitor is {state.value}"
        return f"{count:,} of {total:,} monitors {'is' if count == 1 else 'are'} {state.value}{rest}"
    up, pending, paused = (counts.get(state, 0) for state in (State.UP, State.PENDING, State.PAUSED))
    if not up:
        return f"{several(pending, 'monitor')} not checked yet" if pending else "All monitors are paused"
    rest = f", {pending:,} not checked yet" if pending else ""
    rest += f", {paused:,} paused" if paused else ""
    return f"{several(up, 'monitor')} {'is' if up == 1 else 'are'} up{rest}"


_PROBLEMS = WORST_FIRST[: WORST_FIRST.index(State.PENDING)]
