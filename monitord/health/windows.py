"""Maintenance windows: times announced beforehand, when what fails is nobody's concern.

[maintenance.NAME]   schedule and duration, or from and until (or duration); monitors, tags, comment

A window is open from its start on and not any more at its end. Times of a schedule that overlap or touch are one.
Its duration is one of hours that pass, whatever the clock on the wall does meanwhile.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache

from monitord.calendar_events import CalendarEvent, parse_calendar_event
from monitord.config import Table, value_text
from monitord.text import nearest
from monitord.unit_monitors import full_monitor_name, is_for_unit_monitors

SHORTEST_S = 1.0
LONGEST_S = 366 * 86400.0

MOST_OVERLAPS = 1000
"""A schedule whose times overlap more often than this in a row has no end that anybody would wait for."""

_PATTERN_CHARACTERS = frozenset("*?[")
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Either `schedule`, or `begins_at` in UTC. One of `monitors` (names and patterns) has to match, and all of
    `tags`. Without both a window is for every monitor.

    Equal windows mean that a reload changes nothing.
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

    def covers(self, name: str, tags: Iterable[str]) -> bool:
        """Whether the monitor of this name, with these tags, is meant."""
        is_named = not self.monitors or any(fits(name, pattern) for pattern in self.monitors)
        return is_named and set(self.tags).issubset(tags)

    def is_open(self, at: datetime) -> bool:
        began_at = self._began_at(at)
        return began_at is not None and at < began_at + self.duration

    def opens_after(self, at: datetime) -> datetime | None:
        """When it opens next, from shut; None: never again."""
        if self.schedule is None:
            return self.begins_at if self.begins_at is not None and self.begins_at > at else None
        if self.is_open(at):
            closes_at = self.closes_after(at)
            return None if closes_at is None else self.schedule.next_after(closes_at)
        return self.schedule.next_after(at)

    def closes_after(self, at: datetime) -> datetime | None:
        """When it closes, if it is open; None: it is not, or one time overlaps the next without end."""
        began_at = self._began_at(at)
        if began_at is None or at >= began_at + self.duration:
            return None
        if self.schedule is None:
            return began_at + self.duration
        for _ in range(MOST_OVERLAPS):
            closes_at = began_at + self.duration
            again_at = self.schedule.next_after(began_at)
            if again_at is None or again_at > closes_at:
                return closes_at
            began_at = again_at
        return None

    def _began_at(self, at: datetime) -> datetime | None:
        """The last start until then."""
        if self.schedule is not None:
            return _last_time(self.schedule, at)
        return self.begins_at if self.begins_at is not None and self.begins_at <= at else None


@lru_cache(maxsize=64)
def _last_time(schedule: CalendarEvent, at: datetime) -> datetime | None:
    """Asked for all monitors at one moment."""
    return schedule.previous_or_at(at)


def fits(name: str, pattern: str) -> bool:
    """Whether a name is this one, or fits the pattern."""
    return name == pattern or (_is_pattern(pattern) and fnmatchcase(name, pattern))


def maintenance_of(
    windows: Iterable[Window], name: str, tags: Collection[str], at: datetime
) -> Window | None:
    """The window that is open for this monitor, of several the one that closes last."""
    found = [window for window in windows if window.is_open(at) and window.covers(name, tags)]
    return max(found, key=lambda window: _closing(window, at) or _NEVER, default=None)


@lru_cache(maxsize=64)
def _closing(window: Window, at: datetime) -> datetime | None:
    """Asked for all monitors at one moment."""
    return window.closes_after(at)


# From the configuration


def read_windows(
    maintenance: Table, names: Collection[str], tags: Collection[str] | None
) -> tuple[Window, ...]:
    """The windows of [maintenance]. `names` and `tags` are those of all monitors; None: they are not all known."""
    return tuple(_read(name, table, names, tags) for name, table in maintenance.members().items())


def read_calendar(
    table: Table, key: str, *, lasts_s: float = 0.0, required: bool = False
) -> CalendarEvent | None:
    """A calendar event that comes at least once more, or whose last time is not over after `lasts_s`.

    It may be over where the daemon starts: what has become outdated must not keep it from starting.
    """
    calendar = table.value(key, parse_calendar_event, default=None, required=required)
    if calendar is None:
        return None
    if not calendar.is_possible:
        table.error(key, f'"{calendar}" never comes', "write a date that exists")
    elif not _comes_again(calendar, datetime.now(UTC), lasts_s):
        table.outdated(key, f'"{calendar}" is over and never comes again', "write a later date")
    return calendar


def _comes_again(calendar: CalendarEvent, now: datetime, lasts_s: float) -> bool:
    last_at = calendar.previous_or_at(now)
    is_going_on = last_at is not None and last_at + timedelta(seconds=lasts_s) > now
    return is_going_on or calendar.next_after(now) is not None


def _read(name: str, table: Table, names: Collection[str], known_tags: Collection[str] | None) -> Window:
    begins_at, ends_at = table.moment("from"), table.moment("until")
    duration_s = table.duration("duration", default=None, minimum=SHORTEST_S, maximum=LONGEST_S)
    schedule = read_calendar(table, "schedule", lasts_s=duration_s or 0.0)
    monitors = table.values("monitors", full_monitor_name, default=())
    tags = table.texts("tags", default=())
    _check_times(table)
    if begins_at is not None and ends_at is not None:
        duration_s = (ends_at - begins_at).total_seconds()
        if duration_s <= 0:
            table.error("until", "is not after from", "write a later time")
    _check_monitors(table, monitors, names)
    if known_tags is not None:
        _check_tags(table, tags, known_tags)
    comment = table.text("comment", default=None)
    return Window(name, duration_s or SHORTEST_S, schedule, begins_at, monitors, tags, comment)


def _check_times(table: Table) -> None:
    """Which keys stand beside which; what is wrong within one of them was said already."""
    has = {key for key in ("schedule", "from", "until", "duration") if table.look_up(key) is not None}
    if not has & {"schedule", "from", "until"}:
        table.error(
            "", "says not when it is", 'write schedule = "Sun 03:00" and duration = "2h", or from and until'
        )
    elif "schedule" in has:
        for key in sorted(has & {"from", "until"}):
            table.error(key, "stands beside schedule", "write schedule and duration, or from and until")
        if "duration" not in has:
            table.error("schedule", "has no duration beside it", 'write duration = "2h"')
    elif "from" not in has:
        table.error("until", "has no from beside it", "write from = 2026-12-24T22:00:00")
    elif not has & {"until", "duration"}:
        table.error("from", "has no end", 'write until = 2026-12-25T06:00:00 or duration = "8h"')
    elif {"until", "duration"} <= has:
        table.error("duration", "stands beside from and until", "leave out duration or until")


def _check_monitors(table: Table, monitors: Sequence[str], names: Collection[str]) -> None:
    for wanted in monitors:
        if is_for_unit_monitors(wanted):
            continue
        if not any(fits(name, wanted) for name in names):
            what = "fits no monitor" if _is_pattern(wanted) else "is not a monitor"
            table.error(
                "monitors", f"{value_text(wanted)} {what}", _nearest(wanted, names, "write the name of one")
            )


def _check_tags(table: Table, tags: Sequence[str], known: Collection[str]) -> None:
    for tag in tags:
        if tag not in known:
            table.error(
                "tags", f"no monitor has the tag {value_text(tag)}", _nearest(tag, known, "leave it out")
            )


def _nearest(wanted: str, known: Collection[str], otherwise: str) -> str:
    near = nearest(wanted, known)
    return f"did you mean {value_text(near)}?" if near else otherwise


def _is_pattern(text: str) -> bool:
    return not _PATTERN_CHARACTERS.isdisjoint(text)
