"""Periods of reports: calendar months and ISO 8601 weeks in a time zone, and any other range.

A month or a week begins at the local midnight of its first day, so its length depends on changes of the UTC offset.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from monitord.calendar_events.zones import first_utc, utc_offset_change, wall_time

DAYS_PER_WEEK = 7


class PeriodKind(Enum):
    MONTH = "month"
    WEEK = "week"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Period:
    """`start` (included) and `end` (excluded) are in UTC. `zone`: an IANA name; None for the local time."""

    kind: PeriodKind
    start: datetime
    end: datetime
    zone: str | None = None

    @property
    def name(self) -> str:
        """ "2026-10", "2026-W44" (ISO 8601), or the first and last local times of a range."""
        first = wall_time(self.start, self.zone)
        if self.kind is PeriodKind.MONTH:
            return f"{first.year:04}-{first.month:02}"
        if self.kind is PeriodKind.WEEK:
            # The middle of the week: a midnight that does not exist moves the start by an hour.
            year, week, _ = (first + timedelta(days=3)).isocalendar()
            return f"{year:04}-W{week:02}"
        return f"{first:%Y-%m-%d %H:%M} to {wall_time(self.end, self.zone):%Y-%m-%d %H:%M}"

    @property
    def duration_s(self) -> float:
        return (self.end - self.start).total_seconds()

    def previous(self) -> "Period":
        """Return the previous month or week; for a range, the time of the same length before it."""
        if self.kind is PeriodKind.RANGE:
            return Period(self.kind, self.start - (self.end - self.start), self.start, self.zone)
        return period_containing(self.kind, self.start - timedelta(hours=12), self.zone)


def month(year: int, number: int, zone: str | None) -> Period:
    """Return a calendar month."""
    following = date(year + number // 12, number % 12 + 1, 1)
    return Period(PeriodKind.MONTH, _midnight(date(year, number, 1), zone), _midnight(following, zone), zone)


def week(year: int, number: int, zone: str | None) -> Period:
    """Return a week of ISO 8601. Week 53 of a year with 52 weeks is the first of the next year."""
    return _week_from(date.fromisocalendar(year, 1, 1) + timedelta(weeks=number - 1), zone)


def period_containing(kind: PeriodKind, moment: datetime, zone: str | None) -> Period:
    """Return the month or week of a moment."""
    day = wall_time(moment, zone).date()
    if kind is PeriodKind.MONTH:
        return month(day.year, day.month, zone)
    return _week_from(day - timedelta(days=day.weekday()), zone)


def last_complete(kind: PeriodKind, moment: datetime, zone: str | None) -> Period:
    """Return the last complete month or week at this moment."""
    return period_containing(kind, moment, zone).previous()


def _week_from(monday: date, zone: str | None) -> Period:
    end = _midnight(monday + timedelta(days=DAYS_PER_WEEK), zone)
    return Period(PeriodKind.WEEK, _midnight(monday, zone), end, zone)


def _midnight(day: date, zone: str | None) -> datetime:
    """The first moment of a local day, in UTC. In some zones, summer time begins at midnight, which is skipped."""
    wall = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall time has no zone
    moment = first_utc(wall, zone)
    if moment is None:
        _, after = utc_offset_change(wall, zone)
        moment = first_utc(after, zone)
    assert moment is not None  # noqa: S101 - the local time after a change exists
    return moment.astimezone(UTC)
