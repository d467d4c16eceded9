"""Parser of calendar events. It accepts and rejects the same texts as systemd's parser.

Deliberate differences: spaces around the event and before its zone are ignored; a list of days from the end of the
month may contain any of the last 28 days at any place (systemd lowers the limit by 3 for each entry); zones with leap
seconds ("right/…") are rejected, because zoneinfo does not count them.

The problem of InvalidValueError follows the quoted text: "25:00" is not a calendar event: …; write …
"""

import re
from datetime import UTC, datetime

from monitord.calendar_events.component import SECOND_US, Chain, Component, chain_of
from monitord.calendar_events.event import FIRST_YEAR, LAST_YEAR, WEEKDAYS, CalendarEvent, event_at
from monitord.calendar_events.zones import is_zone
from monitord.errors import InvalidValueError

MAX_TEXT_CHARACTERS = 1000
MAX_COMPONENTS = 240
"""Per field, as in systemd."""

MAX_DAY_FROM_END = 28
"""As in systemd: every month has at least 28 days."""

MAX_NUMBER = 2**31 - 1

_FIRST: Chain = (Component(1),)
_ANY_SECOND: Chain = (Component(0, -1, SECOND_US),)

_MINUTELY = CalendarEvent(hours=(), minutes=())
_YEARLY = CalendarEvent(months=_FIRST, days=_FIRST)
_HALF_YEARLY = CalendarEvent(months=(Component(1), Component(7)), days=_FIRST)
_SHORTHANDS = {
    "minutely": _MINUTELY,
    "hourly": CalendarEvent(hours=()),
    "daily": CalendarEvent(),
    "weekly": CalendarEvent(weekdays=frozenset({0})),
    "monthly": CalendarEvent(days=_FIRST),
    "quarterly": CalendarEvent(months=tuple(Component(month) for month in (1, 4, 7, 10)), days=_FIRST),
    "semiannually": _HALF_YEARLY,
    "semi-annually": _HALF_YEARLY,
    "biannually": _HALF_YEARLY,
    "bi-annually": _HALF_YEARLY,
    "yearly": _YEARLY,
    "annually": _YEARLY,
    "anually": _YEARLY,  # sic, as in systemd
}

_WEEKDAY_NUMBERS = {
    name: number
    for number, short in enumerate(WEEKDAYS)
    for name in (
        short.lower(),
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")[number],
    )
}
_WEEKDAY = re.compile(r"[a-z]+", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d+", re.ASCII)
_SECONDS = re.compile(r"(\d+)(?:\.(?!\.)(\d+))?", re.ASCII)
_DATE = re.compile(r"(?:(?P<year>[^-~ :]+)-)?(?P<month>[^-~ :]+)(?P<mark>[-~])(?P<day>[^-~ :]+)(?: +|$)")
_TIME = re.compile(r"(?P<hour>[^: ]+):(?P<minute>[^: ]+)(?::(?P<second>[^: ]+))?")
_EXAMPLE = 'write an event such as "Mon..Fri 09:00", "*-*-01 04:00:00 Europe/Berlin" or "hourly"'


def parse_calendar_event(text: str) -> CalendarEvent:
    """Parse a calendar event (systemd.time(7)). Raises InvalidValueError if it is invalid."""
    try:
        return _event(text.strip())
    except _InvalidEventError as error:
        reason = f": {error}" if str(error) else ""
        raise InvalidValueError(f"is not a calendar event{reason}", _EXAMPLE) from None


class _InvalidEventError(Exception):
    """The text is not a calendar event. The message is the problem, or empty if there is no specific one."""


def _event(text: str) -> CalendarEvent:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise _InvalidEventError(f"it is longer than {MAX_TEXT_CHARACTERS} characters")
    text, zone = _split_zone(text)
    if not text:
        raise _InvalidEventError
    if (shorthand := _SHORTHANDS.get(text.lower())) is not None:
        return _in_zone(shorthand, zone)
    weekdays, rest = _weekdays(text)
    if rest.startswith("@"):
        seconds = rest[1:]
        if not _NUMBER.fullmatch(seconds) or weekdays:
            raise _InvalidEventError("@ must be followed only by seconds since 1970")
        try:
            moment = datetime.fromtimestamp(int(seconds), UTC)
        except (ValueError, OverflowError, OSError):
            raise _InvalidEventError("it is too far in the future") from None
        if moment.year > LAST_YEAR:
            raise _InvalidEventError("it is too far in the future")
        return _in_zone(event_at(moment), "UTC")
    date, rest = _date(rest)
    hours, minutes, microseconds = _time(rest)
    return CalendarEvent(
        weekdays if len(weekdays) < len(WEEKDAYS) else frozenset(),
        *date,
        hours=hours,
        minutes=minutes,
        microseconds=microseconds,
        zone=zone,
    )


def _split_zone(text: str) -> tuple[str, str | None]:
    before, _, last = text.rpartition(" ")
    if not before:
        return text, None
    is_utc = last.upper() == "UTC"
    if is_utc or is_zone(last):
        if last.startswith("right/"):
            raise _InvalidEventError(f"{last} counts leap seconds, which are not supported")
        return before.rstrip(), "UTC" if is_utc else last
    if re.fullmatch(r"[A-Za-z]+/[A-Za-z0-9/_+-]+", last):
        raise _InvalidEventError(f"the time zone {last} does not exist on this host")
    return text, None


def _in_zone(event: CalendarEvent, zone: str | None) -> CalendarEvent:
    return CalendarEvent(
        event.weekdays,
        event.years,
        event.months,
        event.days,
        event.from_month_end,
        event.hours,
        event.minutes,
        event.microseconds,
        zone,
    )


# Weekdays


def _weekdays(text: str) -> tuple[frozenset[int], str]:
    """Return the weekdays as numbers and the rest of the text, for example of "Mon..Fri,Sun 10:00"."""
    weekdays: set[int] = set()
    rest = text
    while match := _WEEKDAY.match(rest):
        first = _weekday(match[0])
        rest = rest[match.end() :]
        last = first
        if mark := re.match(r"\.\.|-", rest):
            end = _WEEKDAY.match(rest, mark.end())
            if end is None:
                raise _InvalidEventError("a range of weekdays has no end")
            last = _weekday(end[0])
            rest = rest[end.end() :]
            if last < first:
                raise _InvalidEventError("a range of weekdays cannot continue after Sunday")
        weekdays.update(range(first, last + 1))
        if not rest or rest.startswith(" "):
            return frozenset(weekdays), rest.lstrip(" ")
        if not rest.startswith(","):
            raise _InvalidEventError(f"unexpected {rest!r} after a weekday")
        rest = rest[1:]
        if not rest or rest.startswith(" "):
            return frozenset(weekdays), rest.lstrip(" ")
    if weekdays:
        raise _InvalidEventError(f"{rest!r} is not a weekday")
    return frozenset(), text


def _weekday(name: str) -> int:
    number = _WEEKDAY_NUMBERS.get(name.lower())
    if number is None:
        raise _InvalidEventError(f"{name!r} is not a weekday")
    return number


# Dates and times


def _date(text: str) -> tuple[tuple[Chain, Chain, Chain, bool], str]:
    """Return years, months, days, whether days count from the end of the month, and the rest of the text."""
    match = _DATE.match(text)
    if match is None:
        if text and (":" not in text or "-" in text or "~" in text):
            raise _InvalidEventError
        return ((), (), (), False), text
    from_end = match["mark"] == "~"
    years = _numbers("year", match["year"] or "*", FIRST_YEAR, LAST_YEAR)
    months = _numbers("month", match["month"], 1, 12)
    days = _numbers("day", match["day"], 1, MAX_DAY_FROM_END if from_end else 31, from_end=from_end)
    return (years, months, days, from_end and bool(days)), text[match.end() :]


def _time(text: str) -> tuple[Chain, Chain, Chain]:
    zero: Chain = (Component(0),)
    if not text:
        return zero, zero, zero
    match = _TIME.fullmatch(text)
    if match is None:
        raise _InvalidEventError(f"{text!r} is not a time of day")
    second = match["second"]
    if second is None:
        microseconds = zero
    elif second == "*":
        microseconds = _ANY_SECOND
    else:
        microseconds = _chain("second", second, 0, 60 * SECOND_US - 1, is_seconds=True)
    return _numbers("hour", match["hour"], 0, 23), _numbers("minute", match["minute"], 0, 59), microseconds


def _numbers(field: str, text: str, low: int, high: int, *, from_end: bool = False) -> Chain:
    return () if text == "*" else _chain(field, text, low, high, from_end=from_end)


def _chain(
    field: str, text: str, low: int, high: int, *, from_end: bool = False, is_seconds: bool = False
) -> Chain:
    parts = text.split(",")
    if len(parts) > MAX_COMPONENTS:
        raise _InvalidEventError(f"the {field} has more than {MAX_COMPONENTS} parts")
    chain = chain_of(_component(field, part, is_seconds=is_seconds) for part in parts)
    for component in chain:
        unit = SECOND_US if is_seconds else 1
        start, stop, step = component.start, component.stop, component.step
        if not low <= start <= high or stop > high:
            suffix = " from the end of the month" if from_end else ""
            raise _InvalidEventError(f"the {field}{suffix} must be from {low // unit} to {high // unit}")
        if step and stop < 0 and (start - step < low if from_end else start + step > high):
            calculation = f"{start / unit:g} {'minus' if from_end else 'plus'} {step / unit:g}"
            limit = f"less than {low // unit}" if from_end else f"greater than {high // unit}"
            raise _InvalidEventError(f"the {field} never repeats: {calculation} is {limit}")
    return chain


def _component(field: str, text: str, *, is_seconds: bool) -> Component:
    pattern = _SECONDS.pattern if is_seconds else f"({_NUMBER.pattern})"
    match = re.fullmatch(
        rf"(?P<start>{pattern})(?:\.\.(?P<stop>{pattern}))?(?:/(?P<step>{pattern}))?", text, re.ASCII
    )
    if match is None:
        raise _InvalidEventError(f"the {field} {text!r} is not a number, a range 1..5 or a repetition 0/15")
    read = _microseconds_of if is_seconds else int
    values = {name: read(match[name]) for name in ("start", "stop", "step") if match[name] is not None}
    if any(value > MAX_NUMBER for value in values.values()):
        raise _InvalidEventError(f"the {field} {text} is too large")
    if values.get("step") == 0:
        raise _InvalidEventError(f"the {field} {text} has a repetition of 0")
    if field == "year":
        for name in {"start", "stop"} & values.keys():
            # As in systemd: 12 means 2012, 89 means 1989.
            year = values[name]
            values[name] = year + (2000 if year < 70 else 1900 if year < 100 else 0)  # noqa: PLR2004
    start, stop = values["start"], values.get("stop", -1)
    if 0 <= stop < start:
        raise _InvalidEventError(f"the {field} {text} ends before it begins")
    if is_seconds and "stop" in values and "step" not in values and start + SECOND_US > stop:
        raise _InvalidEventError(f"the {field} {text} is a range of less than a second")
    default = (SECOND_US if is_seconds else 1) if stop >= 0 else 0
    return Component(start, stop, values.get("step", default))


def _microseconds_of(text: str) -> int:
    """Parse decimal seconds. Return microseconds, rounded half up at the seventh digit."""
    whole, _, fraction = text.partition(".")
    digits = f"{fraction:0<7}"
    return int(whole) * SECOND_US + int(digits[:6]) + (digits[6] >= "5")
