"""Calendar events and their occurrences.

The search iterates over local times, day by day up to 2199, so that it ends soon for dates that do not exist; `zones`
converts them to moments. As in systemd, a local time that is skipped in spring is not an occurrence, and a time that is
repeated in autumn occurs once, at its first time. Deliberate difference: systemd 252 may skip the first time of a
repetition without an end after a change of the hour, day or month ("23,0:17/33" at 00:17); here it occurs.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from monitord.calendar_events.component import (
    SECOND_US,
    Chain,
    Component,
    chain_text,
    first_from,
    last_until,
    numbers,
    seconds_text,
)
from monitord.calendar_events.zones import first_utc, is_in_fold, utc_offset_change, wall_time

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""The limits of systemd."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_BEFORE_ALL = datetime(1969, 12, 30, tzinfo=UTC)
_US = timedelta(microseconds=1)
_MINUTE_US = 60 * SECOND_US
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_ZERO: Chain = (Component(0),)


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """A calendar event; equal events have equal texts. `weekdays` counts from 0 (Monday); empty: any day.

    `from_month_end`: days count backwards from the last day of the month, which is 1. `zone`: None for local time.
    """

    weekdays: frozenset[int] = frozenset()
    years: Chain = ()
    months: Chain = ()
    days: Chain = ()
    from_month_end: bool = False
    hours: Chain = _ZERO
    minutes: Chain = _ZERO
    microseconds: Chain = _ZERO
    zone: str | None = None

    def __str__(self) -> str:
        # "Mon..Fri" or "Sat,Sun": three or more consecutive days are written as a range.
        runs: list[list[int]] = []
        for number in sorted(self.weekdays):
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        weekdays = ",".join(
            WEEKDAYS[run[0]]
            + ("" if len(run) == 1 else f"{',' if len(run) == 2 else '..'}{WEEKDAYS[run[-1]]}")  # noqa: PLR2004 - two days are written as a list, not as a range
            for run in runs
        )
        weekdays += " " if runs else ""
        day = f"{'~' if self.from_month_end else '-'}{chain_text(self.days, 2)}"
        time = f"{chain_text(self.hours, 2)}:{chain_text(self.minutes, 2)}:{seconds_text(self.microseconds)}"
        zone = f" {self.zone}" if self.zone else ""
        return f"{weekdays}{chain_text(self.years, 4)}-{chain_text(self.months, 2)}{day} {time}{zone}"

    @property
    def is_possible(self) -> bool:
        """Whether there is any occurrence, past or future."""
        return self.next_after(_BEFORE_ALL) is not None

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first occurrence after this moment, in UTC; None if there is none."""
        zone = self.zone
        wall = wall_time(moment, zone) + _US
        if is_in_fold(moment, zone):
            wall, _ = utc_offset_change(wall - _US, zone)
        while (candidate := self._first_from(wall)) is not None:
            at = first_utc(candidate, zone)
            if at is not None:
                return at
            _, wall = utc_offset_change(candidate, zone)
        return None

    def previous_or_at(self, moment: datetime) -> datetime | None:
        """Return the last occurrence at or before this moment, in UTC; None if there is none since 1970."""
        zone = self.zone
        wall = wall_time(moment, zone)
        if is_in_fold(moment, zone):
            wall = utc_offset_change(wall, zone)[0] - _US
        while (candidate := self._last_until(wall)) is not None:
            at = first_utc(candidate, zone)
            if at is not None:
                return at
            wall = utc_offset_change(candidate, zone)[0] - _US
        return None

    def _first_from(self, wall: datetime) -> datetime | None:
        first = wall.date()
        for day in self._days_from(first):
            time_us = self._first_time_from(_time_us(wall) if day == first else 0)
            if time_us is not None:
                return _wall(day, time_us)
        return None

    def _last_until(self, wall: datetime) -> datetime | None:
        last = wall.date()
        for day in self._days_until(last):
            time_us = self._last_time_until(_time_us(wall) if day == last else _DAY_US - 1)
            if time_us is not None:
                return _wall(day, time_us)
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        months = numbers(self.months, 1, 12)
        for year in numbers(self.years, max(first.year, FIRST_YEAR), LAST_YEAR):
            for month in months:
                if (year, month) >= (first.year, first.month):
                    yield from (day for day in self._days_in(year, month) if day >= first)

    def _days_until(self, last: date) -> Iterator[date]:
        months = numbers(self.months, 1, 12)
        for year in reversed(numbers(self.years, FIRST_YEAR, min(last.year, LAST_YEAR))):
            for month in reversed(months):
                if (year, month) <= (last.year, last.month):
                    yield from (day for day in reversed(self._days_in(year, month)) if day <= last)

    def _days_in(self, year: int, month: int) -> list[date]:
        length = monthrange(year, month)[1]
        days = numbers(self.days, 1, length)
        if self.from_month_end:
            # ~07/1 means the last seven days of the month.
            components: list[Component] = []
            for component in self.days:
                start, stop = length + 1 - component.start, length + 1 - component.stop
                if component.stop < 0:
                    components.append(Component(start, -1, component.step))
                elif start > 0:
                    components.append(Component(stop, start, component.step))
            days = numbers(tuple(components), 1, length) if components else ()
        dates = [date(year, month, day) for day in days]
        return [day for day in dates if day.weekday() in self.weekdays] if self.weekdays else dates

    def _first_time_from(self, time_us: int) -> int | None:
        minutes = numbers(self.minutes, 0, 59)
        for hour in numbers(self.hours, time_us // _HOUR_US, 23):
            for minute in minutes:
                start_us = hour * _HOUR_US + minute * _MINUTE_US
                if start_us + _MINUTE_US > time_us:
                    microsecond = first_from(self.microseconds, max(0, time_us - start_us))
                    if microsecond is not None and microsecond < _MINUTE_US:
                        return start_us + microsecond
        return None

    def _last_time_until(self, time_us: int) -> int | None:
        minutes = numbers(self.minutes, 0, 59)
        for hour in reversed(numbers(self.hours, 0, time_us // _HOUR_US)):
            for minute in reversed(minutes):
                start_us = hour * _HOUR_US + minute * _MINUTE_US
                if start_us <= time_us:
                    microsecond = last_until(self.microseconds, min(_MINUTE_US - 1, time_us - start_us))
                    if microsecond is not None:
                        return start_us + microsecond
        return None


def _time_us(wall: datetime) -> int:
    return (wall - datetime.combine(wall.date(), datetime.min.time())) // _US


def _wall(day: date, time_us: int) -> datetime:
    return datetime(day.year, day.month, day.day) + time_us * _US  # noqa: DTZ001 - a wall time has no zone


def event_at(moment: datetime) -> CalendarEvent:
    """Return the event that occurs once, at this second."""
    at = moment.astimezone(UTC)
    return CalendarEvent(
        years=(Component(at.year),),
        months=(Component(at.month),),
        days=(Component(at.day),),
        hours=(Component(at.hour),),
        minutes=(Component(at.minute),),
        microseconds=(Component(at.second * SECOND_US),),
        zone="UTC",
    )
