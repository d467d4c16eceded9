"""From a clock on the wall to moments and back, where it is put forward or back.

A wall time is a naive datetime. `zone` is a name of the IANA's, None for the local time of this host. Of a wall
time that comes twice the first is meant; one that is left out does not come.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def is_zone(name: str) -> bool:
    """Whether there is such a zone here."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        # Names that are no paths, folders of zones, and what is not there at all.
        return False
    return True


def wall_time(moment: datetime, zone: str | None) -> datetime:
    """What the wall shows at this moment."""
    local = moment.astimezone(None if zone is None else ZoneInfo(zone))
    return local.replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, zone: str | None) -> datetime | None:
    """When the wall shows this for the first time; None: it is left out there."""
    moment = _reading(wall, zone, fold=0)
    return moment if wall_time(moment, zone) == wall else None


def is_second_time(moment: datetime, zone: str | None) -> bool:
    """Whether the wall has shown this before, less than a day ago."""
    return _reading(wall_time(moment, zone), zone, fold=0) < moment


def change_around(wall: datetime, zone: str | None) -> tuple[datetime, datetime]:
    """The change that leaves `wall` out or shows it twice: what the wall showed until then, and what from then on."""
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
    # A naive datetime is of this host's local time for astimezone().
    return wall.replace(fold=fold, tzinfo=None if zone is None else ZoneInfo(zone)).astimezone(UTC)
