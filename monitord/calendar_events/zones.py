"""Conversion between local times and moments, also around changes of the UTC offset.

A wall time is a local time as a naive datetime. `zone` is an IANA name; None for the local time of this host. A wall
time that is repeated means its first occurrence; a skipped time has no moment.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def is_zone(name: str) -> bool:
    """Return whether this host has a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        # Invalid paths, directories of zones and missing files.
        return False
    return True


def wall_time(moment: datetime, zone: str | None) -> datetime:
    """Return the local time at this moment."""
    local = moment.astimezone(None if zone is None else ZoneInfo(zone))
    return local.replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, zone: str | None) -> datetime | None:
    """Return the first moment with this local time; None if it is skipped."""
    moment = _reading(wall, zone, fold=0)
    return moment if wall_time(moment, zone) == wall else None


def is_second_time(moment: datetime, zone: str | None) -> bool:
    """Return whether the local time at this moment is a repetition."""
    return _reading(wall_time(moment, zone), zone, fold=0) < moment


def change_around(wall: datetime, zone: str | None) -> tuple[datetime, datetime]:
    """Return the local times just before and after the offset change that skips or repeats `wall`."""
    low, high = sorted((_reading(wall, zone, fold=0), _reading(wall, zone, fold=1)))
    offset = wall_time(low, zone) - low.replace(tzinfo=None)
    # Changes are at whole seconds.
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if wall_time(middle, zone) - middle.replace(tzinfo=None) == offset:
            low = middle
        else:
            high = middle
    return high.replace(tzinfo=None) + offset, wall_time(high, zone)


def _reading(wall: datetime, zone: str | None, *, fold: int) -> datetime:
    # astimezone() takes a naive datetime as the local time of this host.
    return wall.replace(fold=fold, tzinfo=None if zone is None else ZoneInfo(zone)).astimezone(UTC)
