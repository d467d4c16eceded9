"""systemd-timesyncd over D-Bus, and the kernel's view of the clock: org.freedesktop.timesync1(5) and timedate1(5)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.net.clock.status import NOT_SYNCHRONIZED, ClockError, ClockStatus
from monitord.net.dbus.bus import BusConnection, BusError, BusFailure, BusPeer
from monitord.text import shortened

_PROPERTIES = "org.freedesktop.DBus.Properties"
_TIMESYNC = "org.freedesktop.timesync1"
_TIMEDATE = "org.freedesktop.timedate1"
_MANAGER = f"{_TIMESYNC}.Manager"
_SERVICES = {_TIMESYNC: "systemd-timesyncd", _TIMEDATE: "systemd-timedated"}

# NTPMessage: leap indicator, version, mode, stratum, precision, root delay, root dispersion, reference, the four
# timestamps in microseconds, whether it was ignored, number of packets, jitter.
_MESSAGE_LENGTH = 15
_STRATUM, _TIMESTAMPS, _IGNORED = 3, slice(8, 12), 12


async def query(address: str, *, deadline: float) -> ClockStatus:
    """Return the state that systemd-timesyncd reports. Raises ClockError."""
    peer = BusPeer(_TIMESYNC, "/org/freedesktop/timesync1", _PROPERTIES)
    names = ("NTPMessage", "ServerName")
    message, server = await _get(address, peer, [(_MANAGER, name) for name in names], deadline=deadline)
    return parse(message, server)


def parse(message: Any, server: Any) -> ClockStatus:
    """Parse the values of the properties. Raises ClockError."""
    if not isinstance(message, (list, tuple)) or len(message) != _MESSAGE_LENGTH:
        raise ClockError("systemd-timesyncd has sent an unknown NTPMessage")
    leap, stratum = message[0], message[_STRATUM]
    times = message[_TIMESTAMPS]
    if not all(isinstance(value, int) for value in (leap, stratum, *times)):
        raise ClockError("systemd-timesyncd has sent an unknown NTPMessage")
    sent, received, replied, arrived = times
    is_synchronized = bool(arrived) and leap != NOT_SYNCHRONIZED
    try:
        measured_at = datetime.fromtimestamp(arrived / 1e6, UTC) if arrived else None
    except (OverflowError, ValueError, OSError):
        measured_at = None
    return ClockStatus(
        "timesyncd",
        is_synchronized,
        offset_s=((received - sent) + (replied - arrived)) / 2e6 if is_synchronized else None,
        is_corrected=not message[_IGNORED],
        measured_at=measured_at,
        server=shortened(str(server)) if is_synchronized else "",
        stratum=stratum if is_synchronized else None,
    )


async def query_kernel(address: str, *, deadline: float) -> ClockStatus:
    """Return whether the kernel considers the clock synchronized. Starts systemd-timedated. Raises ClockError."""
    peer = BusPeer(_TIMEDATE, "/org/freedesktop/timedate1", _PROPERTIES)
    (is_synchronized,) = await _get(
        address, peer, [(_TIMEDATE, "NTPSynchronized")], deadline=deadline, starts_service=True
    )
    return ClockStatus("kernel", is_synchronized is True)


async def _get(
    address: str,
    peer: BusPeer,
    properties: Sequence[tuple[str, str]],
    *,
    deadline: float,
    starts_service: bool = False,
) -> list[Any]:
    try:
        connection = await BusConnection.open(address, lambda _: None, deadline=deadline)
    except ImportError as error:
        raise ClockError(f"{error}; install the package python3-dbus-fast") from error
    except BusError as error:
        raise ClockError(error.detail) from error
    try:
        replies = await connection.call_each(
            peer, "Get", "ss", properties, "v", deadline=deadline, starts_service=starts_service
        )
    except BusError as error:
        # A named error of the bus: no process has the bus name of the service.
        is_absent = error.failure is BusFailure.AWAY and error.name
        raise ClockError(f"{_SERVICES[peer.name]} is not running" if is_absent else error.detail) from error
    finally:
        connection.close()
    return [reply[0].value for reply in replies]
