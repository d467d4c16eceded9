"""Maintenance windows: scheduled times in which failures cause no notifications and open no incidents.

[maintenance.NAME]   schedule and duration, or from and until (or duration); monitors, tags, comment

A window is open from its start until just before its end. Overlapping or adjacent times of a schedule are one time.
Its duration is elapsed time, even when daylight saving time begins or ends during it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache

from monitord.automatic_names import full_monitor_name
from monitord.calendar_events import CalendarEvent, parse_calendar_event
from monitord.config import Table
from monitord.health.selection import check_selection, check_tags

MIN_DURATION_S = 1.0
MAX_DURATION_S = 366 * 86400.0

MAX_OVERLAPS = 1000
"""A window of more consecutive overlapping times has no known end."""

_PATTERN_CHARACTERS = frozenset("*?[")
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Either `schedule` or `begins_at` in UTC is set. A monitor matches if one of `monitors` (names and patterns)
    matches, and all of `tags`. A window without both applies to all monitors.
    """

    name: str
    duration_s: float
    schedule: CalendarEvent | None = None
    begins_at: datetime | None = None
    monitors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    comment: str | None = None

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.duration_s)

    def matches(self, name: str, tags: Iterable[str]) -> bool:
        """Whether the window applies to the monitor with this name and these tags."""
        is_named = not self.monitors or any(matches(name, pattern) for pattern in self.monitors)
        return is_named and set(self.tags).issubset(tags)

    def is_open(self, at: datetime) -> bool:
        began_at = self._began_at(at)
        return began_at is not None and at < began_at + self.duration

    def closes_after(self, at: datetime) -> datetime | None:
        """Return when it closes; None if it is not open, or its times overlap without a known end."""
        began_at = self._began_at(at)
        if began_at is None or at >= began_at + self.duration:
            return None
        if self.schedule is None:
            return began_at + self.duration
        for _ in range(MAX_OVERLAPS):
            closes_at = began_at + self.duration
            again_at = self.schedule.next_after(began_at)
            if again_at is None or again_at > closes_at:
                return closes_at
            began_at = again_at
        return None

    def times(self, start: datetime, end: datetime, most: int) -> list[tuple[datetime, datetime | None]]:
        """Return when the window opens and closes, for its times that are open in a period, at most `most`.

        An end of None is not known; it is the last time.
        """
        openings: list[tuple[datetime, datetime | None]] = []
        opens_at = self._began_at(start)
        if opens_at is None or opens_at + self.duration <= start:
            opens_at = self._opens_after(start)
        while opens_at is not None and opens_at < end and len(openings) < most:
            closes_at = self.closes_after(opens_at)
            openings.append((opens_at, closes_at))
            opens_at = None if closes_at is None else self._opens_after(closes_at)
        return openings

    def _opens_after(self, at: datetime) -> datetime | None:
        if self.schedule is not None:
            return self.schedule.next_after(at)
        return self.begins_at if self.begins_at is not None and self.begins_at > at else None

    def _began_at(self, at: datetime) -> datetime | None:
        """The last start at or before this time."""
        if self.schedule is not None:
            return _last_time(self.schedule, at)
        return self.begins_at if self.begins_at is not None and self.begins_at <= at else None


@lru_cache(maxsize=64)
def _last_time(schedule: CalendarEvent, at: datetime) -> datetime | None:
    """Cached, because all monitors are evaluated at the same time."""
    return schedule.previous_or_at(at)


def matches(name: str, pattern: str) -> bool:
    """Whether a name is equal to the pattern, or matches it."""
    return name == pattern or (not _PATTERN_CHARACTERS.isdisjoint(pattern) and fnmatchcase(name, pattern))


def maintenance_of(
    windows: Iterable[TimeWindow], name: str, tags: Collection[str], at: datetime
) -> TimeWindow | None:
    """The window that is open for this monitor; the last to close if there are several."""
    open_windows = [window for window in windows if window.is_open(at) and window.matches(name, tags)]
    return max(open_windows, key=lambda window: _closing(window, at) or _NEVER, default=None)


@lru_cache(maxsize=64)
def _closing(window: TimeWindow, at: datetime) -> datetime | None:
    """Cached, as `_last_time`."""
    return window.closes_after(at)


# From the configuration


def read_windows(
    maintenance: Table, names: Collection[str], tags: Collection[str] | None
) -> tuple[TimeWindow, ...]:
    """The windows of [maintenance]. `names` and `tags`: of all monitors; None: not all tags are known."""
    windows = []
    for name, table in maintenance.members().items():
        begins_at, ends_at = table.moment("from"), table.moment("until")
        duration_s = table.duration("duration", default=None, minimum=MIN_DURATION_S, maximum=MAX_DURATION_S)
        schedule = read_calendar(table, "schedule", lasts_s=duration_s or 0.0)
        monitors = table.values("monitors", full_monitor_name, default=())
        own_tags = table.texts("tags", default=())
        _check_times(table)
        if begins_at is not None and ends_at is not None:
            duration_s = (ends_at - begins_at).total_seconds()
            if duration_s <= 0:
                table.error("until", "is not after from", "write a later time")
        check_selection(table, "monitors", monitors, names)
        check_tags(table, "tags", own_tags, tags)
        comment = table.text("comment", default=None)
        windows.append(
            TimeWindow(name, duration_s or MIN_DURATION_S, schedule, begins_at, monitors, own_tags, comment)
        )
    return tuple(windows)


def read_calendar(
    table: Table, key: str, *, lasts_s: float = 0.0, required: bool = False
) -> CalendarEvent | None:
    """A calendar event with a future time, or whose last time is less than `lasts_s` ago.

    An event without either is an error for check-config and a reload, but not at a start: a daemon must also start
    with a configuration that has become outdated.
    """
    calendar = table.value(key, parse_calendar_event, default=None, required=required)
    if calendar is None:
        return None
    if not calendar.is_possible:
        table.error(key, f'"{calendar}" has no time', "write a date that exists")
        return calendar
    now = datetime.now(UTC)
    last_at = calendar.previous_or_at(now)
    is_current = last_at is not None and last_at + timedelta(seconds=lasts_s) > now
    if not is_current and calendar.next_after(now) is None:
        table.outdated(key, f'"{calendar}" has only past times', "write a later date")
    return calendar


def _check_times(table: Table) -> None:
    """Check the combination of keys; errors within one of them have been reported already."""
    has = {key for key in ("schedule", "from", "until", "duration") if table.raw(key) is not None}
    if not has & {"schedule", "from", "until"}:
        table.error("", "has no time", 'write schedule = "Sun 03:00" and duration = "2h", or from and until')
    elif "schedule" in has:
        for key in sorted(has & {"from", "until"}):
            table.error(
                key, "cannot be combined with schedule", "write schedule and duration, or from and until"
            )
        if "duration" not in has:
            table.error("schedule", "has no duration", 'write duration = "2h"')
    elif "from" not in has:
        table.error("until", "has no from", "write from = 2026-12-24T22:00:00")
    elif not has & {"until", "duration"}:
        table.error("from", "has no end", 'write until = 2026-12-25T06:00:00 or duration = "8h"')
    elif {"until", "duration"} <= has:
        table.error("duration", "cannot be combined with from and until", "remove duration or until")
