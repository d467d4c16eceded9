"""Conversion between local time and UTC, including around changes of the UTC offset (PEP 495).

A wall time is a local time as a naive datetime. `zone` is an IANA name; None for the local time of this host. A wall
time in a fold means its first occurrence; a wall time in a gap does not exist.
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


def first_utc(wall: datetime, zone: str | None) -> datetime | None:
    """Return the first occurrence of this local time in UTC; None if it is in a gap."""
    moment = _to_utc(wall, zone, fold=0)
    return moment if wall_time(moment, zone) == wall else None


def is_in_fold(moment: datetime, zone: str | None) -> bool:
    """Return whether this is the second occurrence of its local time (fold=1, PEP 495)."""
    return _to_utc(wall_time(moment, zone), zone, fold=0) < moment


def utc_offset_change(wall: datetime, zone: str | None) -> tuple[datetime, datetime]:
    """Return the local times just before and after the offset change that skips or repeats `wall`."""
    low, high = sorted((_to_utc(wall, zone, fold=0), _to_utc(wall, zone, fold=1)))
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


def _to_utc(wall: datetime, zone: str | None, *, fold: int) -> datetime:
    # astimezone() takes a naive datetime as the local time of this host.
    return wall.replace(fold=fold, tzinfo=None if zone is None else ZoneInfo(zone)).astimezone(UTC)
